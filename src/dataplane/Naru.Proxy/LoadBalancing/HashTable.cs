// Tables that hashing balancers look endpoints up in: the ring (ketama) and Maglev's, filled as Envoy fills them, so that proxies of
// either kind beside each other send a key to the same endpoint (Envoy docs: supported load balancers, ring hash, Maglev). Made once for
// all workers, by whoever changes the configuration; immutable. A table names endpoints by number, so that it goes on while those are the
// same.
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

/// <summary>How many entries the tables of a cluster may have together; what is beyond goes without a table.</summary>
internal sealed class HashBudget(long entries = HashBudget.Most)
{
    /// <summary>Entries: of one that is as large as may be, and of many that are not.</summary>
    public const long Most = 32 * 1024 * 1024;
    private long _left = entries;

    /// <summary>Takes so many; false where fewer are left.</summary>
    public bool Take(long entries)
    {
        if (entries > _left) return false;
        _left -= entries;
        return true;
    }
}

internal sealed class HashTable
{
    private readonly Host[] _hosts;
    private readonly HashingConfig _config;
    private readonly double[] _weights;

    // Of the ring, in order; null of Maglev's.
    private readonly ulong[]? _hashes;
    private readonly int[] _entries;

    private HashTable(Host[] hosts, HashTable same)
    {
        _hosts = hosts;
        (_config, _weights, _hashes, _entries) = (same._config, same._weights, same._hashes, same._entries);
        (Least, Most) = (same.Least, same.Most);
    }

    private HashTable(Host[] hosts, HashingConfig config, double[] weights)
    {
        (_hosts, _config, _weights) = (hosts, config, weights);
        byte[][] keys = [.. hosts.Select(KeyOf)];
        var counts = new int[hosts.Length];
        if (config.TableSize > 0) _entries = Maglev(weights, keys, config.TableSize, counts);
        else (_hashes, _entries) = Ring(weights, keys, config, counts);
        (Least, Most) = (counts.Min(), counts.Max());

        byte[] KeyOf(Host host) => host.Config.HashKey is { } own ? Encoding.UTF8.GetBytes(own)
            : config.UsesHostname ? Encoding.UTF8.GetBytes(host.Config.Hostname) : host.State.DisplayBytes;
    }

    /// <summary>Entries.</summary>
    public int Size => _entries.Length;

    /// <summary>Least and most entries of one endpoint.</summary>
    public int Least { get; }
    public int Most { get; }

    /// <summary>The table of a policy; null where the policy does not hash, of nobody, and where there is no room for it.</summary>
    /// <param name="hosts">Endpoints.</param>
    /// <param name="config">Policy and sizes.</param>
    /// <param name="localities">Their weights, also of those that have none of the endpoints; null where they do not hold.</param>
    /// <param name="budget">Of the cluster; null for any number.</param>
    /// <param name="before">Tables of which one may be for the same endpoints.</param>
    public static HashTable? Of(Host[] hosts, ClusterConfig config, IReadOnlyDictionary<string, ulong>? localities,
        HashBudget? budget = null, params ReadOnlySpan<HashTable?> before)
    {
        if (config.Hashing is not { } hashing) return null;
        double[] weights = Weights(hosts, localities);
        // Whose locality gets nothing is not in it, also where loads are bounded.
        hosts = [.. hosts.Where((_, i) => weights[i] > 0)];
        weights = [.. weights.Where(w => w > 0)];
        if (hosts.Length == 0) return null;
        foreach (HashTable? one in before)
            if (one is not null && one.IsFor(hosts, hashing, weights))
                return budget?.Take(one.Size) == false ? null : new HashTable(hosts, one);
        long size = hashing.TableSize > 0 ? hashing.TableSize : (long)Math.Ceiling(Scale(weights, hashing)) + hosts.Length;
        return budget?.Take(size) == false ? null : new HashTable(hosts, hashing, weights);
    }

    /// <summary>Whether it is another's, for endpoints that are the same.</summary>
    public bool SharesEntries(HashTable other) => ReferenceEquals(_entries, other._entries);

    /// <summary>The endpoint of a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="attempt">How many of it were picked before, which were to be avoided.</param>
    public Host Pick(ulong key, int attempt = 0) => _hosts[IndexOf(key, attempt)];

    /// <summary>The same, but for an endpoint that has more than its bound: then another one, the same for the same key as far as bounds
    /// allow (Envoy: hash_balance_factor). What is in flight is counted over all workers.</summary>
    /// <param name="key">The key, which chooses the others, too.</param>
    /// <param name="attempt">How many of it were picked before, which were to be avoided.</param>
    /// <param name="slot">Counts what is in flight.</param>
    /// <param name="worker">Who picks.</param>
    public Host PickBounded(ulong key, int attempt, ClusterSlot slot, int worker)
    {
        int at = IndexOf(key, attempt), workers = slot.Workers.Length;
        long active = Math.Max(0, slot.Stats!.Read(ClusterStats.RqActive));
        double slots = Math.Floor(((active + 1) * (double)_config.BalanceFactor + 99) / 100);
        double least = Load(at);
        if (least <= 1) return _hosts[at];
        Span<uint> state = stackalloc uint[Twister.Words];
        var chance = new Twister(key, state);
        int[] order = slot.Of(worker).Order(_hosts.Length);
        int best = at, looked = 0;
        while (looked < _hosts.Length)
        {
            int other = looked + (int)chance.Below((uint)(_hosts.Length - looked));
            (order[looked], order[other]) = (order[other], order[looked]);
            int host = order[looked++];
            if (host == at) continue;
            double load = Load(host);
            if (load >= least) continue;
            (best, least) = (host, load);
            if (load <= 1) break;
        }
        slot.Of(worker).Disordered(looked);
        return _hosts[best];

        double Load(int index)
        {
            int busy = 0;
            for (int i = 0; i < workers; i++) busy += _hosts[index].State.ActiveRequestsOf(i);
            return busy / Math.Max(1, Math.Ceiling(slots * _weights[index]));
        }
    }

    // A further attempt takes the next places of the ring, and another key of Maglev's table, as in Envoy.
    private int IndexOf(ulong key, int attempt)
    {
        if (_hashes is null) return _entries[(attempt == 0 ? key : key ^ (ulong)-(long)attempt) % (ulong)_entries.Length];
        // The first entry at or behind the key; behind the last one the ring begins again.
        int at = Array.BinarySearch(_hashes, key);
        if (at < 0) at = ~at;
        while (at > 0 && at < _hashes.Length && _hashes[at - 1] == key) at--;
        if (at == _hashes.Length) at = 0;
        return _entries[(int)(((long)at + attempt) % _entries.Length)];
    }

    private bool IsFor(Host[] hosts, HashingConfig config, double[] weights)
    {
        if (_hosts.Length != hosts.Length || _config != config || !weights.AsSpan().SequenceEqual(_weights)) return false;
        for (int i = 0; i < hosts.Length; i++)
        {
            (Host a, Host b) = (_hosts[i], hosts[i]);
            if (a.State != b.State || a.Config.HashKey != b.Config.HashKey || a.Config.Hostname != b.Config.Hostname) return false;
        }
        return true;
    }

    /// <summary>Shares of endpoints: parts of one, divided by weight; with weights of localities each locality's part is, of which those
    /// that have no endpoint here keep theirs (Envoy: ThreadAwareLoadBalancerBase).</summary>
    /// <param name="hosts">Endpoints.</param>
    /// <param name="localities">Null where they have no weights.</param>
    public static double[] Weights(Host[] hosts, IReadOnlyDictionary<string, ulong>? localities)
    {
        double all = localities?.Values.Sum(w => (double)w) ?? 0, sum = hosts.Sum(h => (double)h.Weight);
        if (all == 0) return [.. hosts.Select(h => h.Weight / sum)];
        var own = hosts.GroupBy(h => h.Config.Locality).ToDictionary(g => g.Key, g => g.Sum(h => (double)h.Weight), StringComparer.Ordinal);
        return [.. hosts.Select(h => localities![h.Config.Locality] / all * h.Weight / own[h.Config.Locality])];
    }

    // Entries of the whole ring, so that the lightest endpoint has whole ones.
    private static double Scale(double[] weights, HashingConfig config)
    {
        double least = weights.Where(w => w > 0).DefaultIfEmpty(1).Min();
        return Math.Min(Math.Ceiling(least * config.MinimumRingSize) / least, config.MaximumRingSize);
    }

    private static (ulong[] Hashes, int[] Entries) Ring(double[] weights, byte[][] keys, HashingConfig config, int[] counts)
    {
        double scale = Scale(weights, config);
        var hashes = new List<ulong>((int)Math.Ceiling(scale));
        var entries = new List<int>((int)Math.Ceiling(scale));
        double target = 0;
        byte[] key = new byte[keys.Max(k => k.Length) + 13];
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i].CopyTo(key, 0);
            int stem = keys[i].Length;
            key[stem++] = (byte)'_';
            target += scale * weights[i];
            for (int n = 0; entries.Count < target; n++)
            {
                n.TryFormat(key.AsSpan(stem), out int written, default, CultureInfo.InvariantCulture);
                ReadOnlySpan<byte> text = key.AsSpan(0, stem + written);
                hashes.Add(config.IsMurmur ? Murmur(text) : XxHash64.Of(text));
                entries.Add(i);
                counts[i]++;
            }
        }
        ulong[] ring = [.. hashes];
        int[] order = [.. entries];
        Array.Sort(ring, order);
        return (ring, order);
    }

    // What weighs as much as the heaviest has an entry each round, others as often as their weight says, in the order of their keys, so
    // that it does not matter in which order they are known. The next round of each is kept in
    // a queue, so that one heavy endpoint among many light ones costs no look at those in each of its rounds.
    private static int[] Maglev(double[] weights, byte[][] keys, int size, int[] counts)
    {
        var table = new int[size];
        Array.Fill(table, -1);
        double heaviest = weights.Max();
        var offsets = new ulong[keys.Length];
        var skips = new ulong[keys.Length];
        var next = new ulong[keys.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            offsets[i] = XxHash64.Of(keys[i]) % (ulong)size;
            skips[i] = XxHash64.Of(keys[i], 1) % (ulong)(size - 1) + 1;
        }
        int[] sorted = [.. Enumerable.Range(0, keys.Length)];
        Array.Sort(sorted, (a, b) => keys[a].AsSpan().SequenceCompareTo(keys[b]) is not 0 and int order ? order : a.CompareTo(b));
        int filled = 0;
        if (Array.TrueForAll(weights, w => w == heaviest))
        {
            while (filled < size) for (int i = 0; i < keys.Length && filled < size; i++) Place(sorted[i]);
            return table;
        }
        var dues = new double[keys.Length];
        var queue = new PriorityQueue<int, (long Round, int Index)>(keys.Length);
        for (int at = 0; at < sorted.Length; at++) queue.Enqueue(at, (1, at));
        while (filled < size)
        {
            queue.TryPeek(out int at, out (long Round, int Index) last);
            int i = sorted[at];
            Place(i);
            dues[i] += heaviest;
            // At most one a round.
            long round = Math.Max(last.Round + 1, (long)(dues[i] / weights[i]) - 1);
            while (round * weights[i] < dues[i]) round++;
            queue.DequeueEnqueue(at, (round, at));
        }
        return table;

        void Place(int i)
        {
            ulong place;
            do place = (offsets[i] + skips[i] * next[i]++) % (ulong)size;
            while (table[place] >= 0);
            table[place] = i;
            counts[i]++;
            filled++;
        }
    }

    // MurmurHash64A with the seed that libstdc++ has.
    internal static ulong Murmur(ReadOnlySpan<byte> data)
    {
        const ulong Multiplier = 0xc6a4a7935bd1e995;
        ulong hash = 0xc70f6907 ^ (ulong)data.Length * Multiplier;
        for (; data.Length >= 8; data = data[8..]) hash = (hash ^ Mixed(BinaryPrimitives.ReadUInt64LittleEndian(data) * Multiplier) * Multiplier) * Multiplier;
        if (data.Length > 0)
        {
            ulong rest = 0;
            for (int i = data.Length - 1; i >= 0; i--) rest = rest << 8 | data[i];
            hash = (hash ^ rest) * Multiplier;
        }
        return Mixed(Mixed(hash) * Multiplier);

        static ulong Mixed(ulong value) => value ^ value >> 47;
    }
}

/// <summary>The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998): whoever is seeded alike draws alike, here and in Envoy.</summary>
internal ref struct Twister
{
    /// <summary>Length of its state.</summary>
    public const int Words = 624;
    private const int Far = 397;
    private readonly Span<uint> _state;
    private int _at;

    /// <param name="seed">Of which the lower half counts.</param>
    /// <param name="state">Room for <see cref="Words"/>.</param>
    public Twister(ulong seed, Span<uint> state)
    {
        _state = state;
        state[0] = (uint)seed;
        for (int i = 1; i < Words; i++) state[i] = 1812433253u * (state[i - 1] ^ state[i - 1] >> 30) + (uint)i;
    }

    /// <summary>The next number.</summary>
    public uint Next()
    {
        int next = _at + 1 == Words ? 0 : _at + 1, far = _at + Far < Words ? _at + Far : _at + Far - Words;
        uint mixed = _state[_at] & 0x8000_0000 | _state[next] & 0x7fff_ffff;
        uint drawn = _state[_at] = _state[far] ^ mixed >> 1 ^ ((mixed & 1) == 0 ? 0 : 0x9908_b0dfu);
        _at = next;
        drawn ^= drawn >> 11;
        drawn ^= drawn << 7 & 0x9d2c_5680;
        drawn ^= drawn << 15 & 0xefc6_0000;
        return drawn ^ drawn >> 18;
    }

    /// <summary>One of 0 to <paramref name="count"/> - 1, all alike.</summary>
    public uint Below(uint count)
    {
        uint width = (uint)Math.Min(uint.MaxValue, (1UL << 32) / count), drawn;
        do drawn = Next() / width;
        while (drawn >= count);
        return drawn;
    }
}

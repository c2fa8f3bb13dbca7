// Tables that hashing balancers look endpoints up in: the ring (ketama) and Maglev's, filled as Envoy fills them, so that proxies of either kind beside each
// other send a key to the same endpoint (Envoy docs: supported load balancers, ring hash, Maglev). Made with the list of endpoints, immutable.
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal abstract class HashTable
{
    /// <summary>Entries.</summary>
    public abstract int Size { get; }

    /// <summary>Least and most entries of one endpoint.</summary>
    public int Least { get; private set; }
    public int Most { get; private set; }

    /// <summary>The endpoint of a key.</summary>
    public abstract Host Pick(ulong key);

    /// <summary>The table of a policy; null where the policy does not hash, and of nobody.</summary>
    /// <param name="hosts">Endpoints.</param>
    /// <param name="config">Policy and sizes.</param>
    public static HashTable? Of(Host[] hosts, ClusterConfig config)
    {
        if (hosts.Length == 0 || config.Hashing is not { } hashing) return null;
        double[] weights = Weights(hosts, config.LocalityWeighted);
        byte[][] keys = [.. hosts.Select(h => Encoding.UTF8.GetBytes(h.Config.HashKey is { } own ? own : hashing.UsesHostname ? h.Config.Hostname : h.State.Display))];
        var counts = new int[hosts.Length];
        HashTable table = hashing.TableSize > 0 ? new Maglev(hosts, weights, keys, hashing.TableSize, counts) : new Ring(hosts, weights, keys, hashing, counts);
        (table.Least, table.Most) = (counts.Min(), counts.Max());
        return table;
    }

    // Shares that add up to one; of a locality with a weight that is divided among its endpoints.
    private static double[] Weights(Host[] hosts, bool byLocality)
    {
        double sum = hosts.Sum(h => (double)h.Weight);
        if (!byLocality || !hosts.Any(h => h.Config.LocalityWeight > 0)) return [.. hosts.Select(h => h.Weight / sum)];
        var own = hosts.GroupBy(h => h.Config.Locality).ToDictionary(g => g.Key, g => g.Sum(h => (double)h.Weight), StringComparer.Ordinal);
        double all = hosts.DistinctBy(h => h.Config.Locality).Sum(h => (double)h.Config.LocalityWeight);
        return [.. hosts.Select(h => h.Config.LocalityWeight / all * h.Weight / own[h.Config.Locality])];
    }

    private sealed class Ring : HashTable
    {
        private readonly ulong[] _hashes;
        private readonly Host[] _hosts;

        public Ring(Host[] hosts, double[] weights, byte[][] keys, HashingConfig config, int[] counts)
        {
            double least = weights.Where(w => w > 0).DefaultIfEmpty(1).Min();
            double scale = Math.Min(Math.Ceiling(least * config.MinimumRingSize) / least, config.MaximumRingSize);
            var entries = new List<(ulong Hash, Host Host)>((int)Math.Ceiling(scale));
            double target = 0;
            Span<byte> number = stackalloc byte[12];
            for (int i = 0; i < hosts.Length; i++)
            {
                byte[] key = [.. keys[i], (byte)'_', .. new byte[12]];
                int stem = keys[i].Length + 1;
                target += scale * weights[i];
                for (int n = 0; entries.Count < target; n++)
                {
                    n.TryFormat(number, out int written, default, CultureInfo.InvariantCulture);
                    number[..written].CopyTo(key.AsSpan(stem));
                    ReadOnlySpan<byte> text = key.AsSpan(0, stem + written);
                    entries.Add((config.IsMurmur ? Murmur(text) : XxHash64.Of(text), hosts[i]));
                    counts[i]++;
                }
            }
            (ulong Hash, Host Host)[] order = [.. entries.OrderBy(e => e.Hash)];
            _hashes = [.. order.Select(e => e.Hash)];
            _hosts = [.. order.Select(e => e.Host)];
        }

        public override int Size => _hashes.Length;

        // The first entry at or behind the key; behind the last one the ring begins again.
        public override Host Pick(ulong key)
        {
            int at = Array.BinarySearch(_hashes, key);
            if (at < 0) at = ~at;
            while (at > 0 && at < _hashes.Length && _hashes[at - 1] == key) at--;
            return _hosts[at == _hashes.Length ? 0 : at];
        }
    }

    private sealed class Maglev : HashTable
    {
        private readonly Host[] _table;

        public Maglev(Host[] hosts, double[] weights, byte[][] keys, int size, int[] counts)
        {
            _table = new Host[size];
            double heaviest = weights.Max();
            var offsets = new ulong[hosts.Length];
            var skips = new ulong[hosts.Length];
            var next = new ulong[hosts.Length];
            var due = new double[hosts.Length];
            for (int i = 0; i < hosts.Length; i++)
            {
                offsets[i] = XxHash64.Of(keys[i]) % (ulong)size;
                skips[i] = XxHash64.Of(keys[i], 1) % (ulong)(size - 1) + 1;
            }
            int filled = 0;
            // What weighs as much as the heaviest has an entry each round, others as often as their weight says.
            for (int round = 1; filled < size; round++)
            {
                for (int i = 0; i < hosts.Length && filled < size; i++)
                {
                    if (weights[i] <= 0 || round * weights[i] < due[i]) continue;
                    due[i] += heaviest;
                    ulong place;
                    do place = (offsets[i] + skips[i] * next[i]++) % (ulong)size;
                    while (_table[place] is not null);
                    _table[place] = hosts[i];
                    counts[i]++;
                    filled++;
                }
            }
        }

        public override int Size => _table.Length;

        public override Host Pick(ulong key) => _table[key % (ulong)_table.Length];
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

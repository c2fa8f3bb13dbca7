// The hosts of a dynamic forward proxy: looked up when a request brings them, off the workers, kept while they are good. One look-up
// serves all who wait for the same host; a name that is nowhere is asked for again after a while only. Addresses where no request may lead
// are none (Reach).
using System.Collections.Concurrent;
using System.Net;
using System.Runtime.CompilerServices;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Clusters;

/// <summary>Looks a name up, as a cluster wants it.</summary>
public delegate Task<NameAnswer> NameLookup(string name, ClusterConfig cluster);

/// <summary>How a wait for a host's addresses ended.</summary>
internal enum NameWait : byte
{
    /// <summary>They are here, or it is known that there are none.</summary>
    Known,

    /// <summary>The exchange was given up.</summary>
    GivenUp,

    /// <summary>Too many wait already.</summary>
    Overflow,
}

internal sealed class ForwardNames
{
    /// <summary>Characters of host and port.</summary>
    public const int LongestKey = 255 + 2 + 6;

    private readonly NameLookup _lookup;
    private readonly NameStats _stats;
    private readonly Reach _reach;
    private readonly ConcurrentDictionary<string, Entry> _hosts = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Entry>.AlternateLookup<ReadOnlySpan<char>> _byChars;
    private int _pending;

    public ForwardNames(NameLookup lookup, ClusterConfig settings, NameStats stats, Reach reach)
    {
        (_lookup, Settings, _stats, _reach) = (lookup, settings, stats, reach);
        _byChars = _hosts.GetAlternateLookup<ReadOnlySpan<char>>();
        _stats.Cache.Set(NameStats.Hosts, 0);
    }

    /// <summary>How names are looked up and kept.</summary>
    public ClusterConfig Settings { get; }

    /// <summary>What is known of a host; null where no more hosts are taken, or it is none.</summary>
    /// <param name="authority">Host and perhaps port: what is no host is refused by the request's own checks before.</param>
    /// <param name="standard">The port where there is none.</param>
    /// <param name="now">Worker ms.</param>
    /// <param name="isFull">There is no room for it.</param>
    public Entry? Get(ReadOnlySpan<byte> authority, int standard, long now, out bool isFull)
    {
        isFull = false;
        Span<char> room = stackalloc char[LongestKey];
        if (!TrySplit(authority, standard, room, out int length, out int nameLength, out int port)) return null;
        ReadOnlySpan<char> key = room[..length];
        if (!_byChars.TryGetValue(key, out Entry? entry))
        {
            // Names come from requests: whoever sends many of them must not fill the memory.
            if (_hosts.Count >= Settings.MaxHosts && !Forget(now))
            {
                _stats.Cache.Add(NameStats.Overflow);
                isFull = true;
                return null;
            }
            entry = Add(key.ToString(), key[..nameLength].Trim("[]").ToString(), port);
        }
        entry.UsedAt = now;
        if (now >= entry.GoodUntil && entry.TryBegin()) _ = LookUpAsync(entry);
        return entry;
    }

    /// <summary>Waits until the host was looked up once. Not for long: each look-up has its time.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<NameWait> WaitAsync(Exchange x, Entry entry)
    {
        if (entry.Addresses is not null) return NameWait.Known;
        if (Interlocked.Increment(ref _pending) > Settings.MaxPendingLookups)
        {
            Interlocked.Decrement(ref _pending);
            _stats.Cache.Add(NameStats.PendingOverflow);
            return NameWait.Overflow;
        }
        try
        {
            return await x.WaitAsync(new PoolWaiter(w => entry.Wait(x.Worker, w))) ? NameWait.Known : NameWait.GivenUp;
        }
        finally
        {
            Interlocked.Decrement(ref _pending);
        }
    }

    /// <summary>Looks hosts up that nobody has asked for yet (Envoy: preresolve_hostnames).</summary>
    public void Preresolve()
    {
        foreach (string host in Settings.PreresolveHostnames) Get(System.Text.Encoding.Latin1.GetBytes(host), 80, Environment.TickCount64, out _);
    }

    /// <summary>Forgets what nobody has asked for, and says how many are left.</summary>
    public void Refresh()
    {
        Forget(Environment.TickCount64);
        int left = Math.Max(0, Settings.MaxPendingLookups - Volatile.Read(ref _pending));
        _stats.Breaker.Set(NameStats.PendingOpen, left == 0 ? 1 : 0);
        _stats.Breaker.Set(NameStats.PendingRemaining, left);
    }

    // host, host:port, [v6], [v6]:port. The key is all of it, in lower case and with its port.
    private static bool TrySplit(ReadOnlySpan<byte> authority, int standard, Span<char> room, out int length, out int nameLength, out int port)
    {
        (length, nameLength, port) = (0, 0, standard);
        ReadOnlySpan<byte> host = authority;
        int colon = authority.LastIndexOf((byte)':');
        if (colon >= 0 && authority.LastIndexOf((byte)']') < colon)
        {
            host = authority[..colon];
            ReadOnlySpan<byte> digits = authority[(colon + 1)..];
            if (digits.Length is 0 or > 5) return false;
            port = 0;
            foreach (byte b in digits)
            {
                if (!char.IsAsciiDigit((char)b)) return false;
                port = port * 10 + (b - '0');
            }
            if (port is 0 or > 65535) return false;
        }
        if (host.Length is 0 or > 255 || host.SequenceEqual("[]"u8)) return false;
        for (int i = 0; i < host.Length; i++) room[i] = char.ToLowerInvariant((char)host[i]);
        nameLength = host.Length;
        room[nameLength] = ':';
        port.TryFormat(room[(nameLength + 1)..], out int written);
        length = nameLength + 1 + written;
        return true;
    }

    private Entry Add(string key, string name, int port)
    {
        var made = new Entry(name, port);
        Entry kept = _hosts.GetOrAdd(key, made);
        if (kept != made) return kept;
        _stats.Cache.Add(NameStats.Added);
        _stats.Cache.Set(NameStats.Hosts, _hosts.Count);
        return made;
    }

    // What nobody has asked for in its time.
    private bool Forget(long now)
    {
        long then = now - (long)Settings.CleanupInterval.TotalMilliseconds;
        int removed = 0;
        foreach ((string key, Entry entry) in _hosts)
            if (entry.UsedAt < then && _hosts.TryRemove(key, out _)) removed++;
        if (removed == 0) return false;
        _stats.Cache.Add(NameStats.Removed, removed);
        _stats.Cache.Set(NameStats.Hosts, _hosts.Count);
        return true;
    }

    private async Task LookUpAsync(Entry entry)
    {
        _stats.Cache.Add(NameStats.Attempt);
        if (entry.Literal is { } literal)
        {
            Found(entry, [literal], long.MaxValue, "");
            return;
        }
        NameAnswer found = new([], null);
        string why = "no_address";
        try
        {
            // Also what a look-up does before it waits must not hold the worker up.
            found = await Task.Run(() => _lookup(entry.Name, Settings)).WaitAsync(Settings.DnsQueryTimeout ?? Timeout.InfiniteTimeSpan).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            why = "timeout";
            _stats.Cache.Add(NameStats.Timeout);
        }
        catch (Exception)
        {
            // Whatever it is, it has no addresses as far as we know; else all who wait would wait for their time, and nobody ask again.
            why = "failure";
        }
        entry.Failures = found.Addresses.Length > 0 ? 0 : entry.Failures + 1;
        TimeSpan wait = entry.Failures > 0 ? Settings.DnsFailureWait(entry.Failures) ?? Settings.DnsRefreshRate
            : found.TimeToLive is { } ttl ? TimeSpan.FromTicks(Math.Max(ttl.Ticks, Settings.DnsMinRefreshRate.Ticks)) : Settings.DnsRefreshRate;
        Found(entry, found.Addresses, Environment.TickCount64 + Math.Max(1, (long)wait.TotalMilliseconds), why);
    }

    private void Found(Entry entry, IReadOnlyList<IPAddress> all, long until, string why)
    {
        _stats.Cache.Add(all.Count > 0 ? NameStats.Success : NameStats.Failure);
        SockAddr[] addresses = [.. all.Where(a => _reach.Allows(a, entry.Port)).Select(a => SockAddr.From(a, entry.Port).Unmapped)];
        if (entry.End(addresses, until, all.Count > 0 ? "forbidden_address" : why)) _stats.Cache.Add(NameStats.Changed);
    }

    /// <summary>What is known of a host and port.</summary>
    /// <param name="name">As it is looked up: lower case, without brackets.</param>
    /// <param name="port">Its port.</param>
    internal sealed class Entry(string name, int port)
    {
        private readonly Lock _gate = new();
        private readonly List<(Worker Worker, PoolWaiter Waiter)> _waiting = [];
        private volatile SockAddr[]? _addresses;
        private volatile string _why = "";
        private long _goodUntil;
        private bool _running;

        public string Name { get; } = name;

        /// <summary>It is an address: there is nothing to look up.</summary>
        public IPAddress? Literal { get; } = IPAddress.TryParse(name, out IPAddress? address) ? address : null;
        public int Port { get; } = port;

        /// <summary>Null until the first answer, empty where there are none.</summary>
        public SockAddr[]? Addresses => _addresses;

        /// <summary>Why there are none, in one word.</summary>
        public string Why => _why;

        public long GoodUntil => Volatile.Read(ref _goodUntil);
        public long UsedAt { get; set; }

        /// <summary>Look-ups in a row that gave nothing; whoever looks up alone touches it.</summary>
        public int Failures { get; set; }

        public bool TryBegin()
        {
            lock (_gate)
            {
                if (_running) return false;
                return _running = true;
            }
        }

        /// <summary>Resumes a waiter on its worker when the answer is there.</summary>
        public void Wait(Worker worker, PoolWaiter waiter)
        {
            lock (_gate)
            {
                if (_running)
                {
                    _waiting.Add((worker, waiter));
                    return;
                }
            }
            worker.Post(_ => waiter.Resume());
        }

        /// <summary>A look-up has ended.</summary>
        /// <returns>Whether there are other addresses than before.</returns>
        public bool End(SockAddr[] addresses, long until, string why)
        {
            (Worker, PoolWaiter)[] waiting;
            bool changed = false;
            lock (_gate)
            {
                // What was good stays good while nobody says otherwise.
                if (addresses.Length > 0 || _addresses is null)
                {
                    changed = addresses.Length > 0 && !(_addresses is { } before && before.AsSpan().SequenceEqual(addresses));
                    _why = why;
                    _addresses = addresses;
                }
                Volatile.Write(ref _goodUntil, until);
                _running = false;
                waiting = [.. _waiting];
                _waiting.Clear();
            }
            foreach ((Worker worker, PoolWaiter waiter) in waiting) worker.Post(_ => waiter.Resume());
            return changed;
        }
    }
}

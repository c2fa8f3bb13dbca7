// The names of a dynamic forward proxy: looked up when a request brings them, off the workers, kept while they are good. One look-up
// serves all who wait for the same name; a name that is nowhere is asked for again after a while only.
using System.Collections.Concurrent;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Clusters;

/// <summary>Looks a name up, as a cluster wants it.</summary>
public delegate Task<NameAnswer> NameLookup(string name, ClusterConfig cluster);

internal sealed class ForwardNames(NameLookup lookup)
{
    private readonly ConcurrentDictionary<string, Entry> _names = new(StringComparer.Ordinal);

    /// <summary>What is known of a name; null where no more names are taken.</summary>
    /// <param name="name">Lower case.</param>
    /// <param name="config">The cluster's.</param>
    /// <param name="now">Worker ms.</param>
    public Entry? Get(string name, ClusterConfig config, long now)
    {
        if (!_names.TryGetValue(name, out Entry? entry))
        {
            // Names come from requests: whoever sends many of them must not fill the memory.
            if (_names.Count >= config.MaxHosts && !Forget(now - (long)config.CleanupInterval.TotalMilliseconds)) return null;
            entry = _names.GetOrAdd(name, static _ => new Entry());
        }
        entry.UsedAt = now;
        if (now >= entry.GoodUntil && entry.TryBegin()) _ = LookUpAsync(entry, name, config);
        return entry;
    }

    /// <summary>Looks names up that nobody has asked for yet (Envoy: preresolve_hostnames).</summary>
    public void Preresolve(ClusterConfig config)
    {
        foreach (string name in config.PreresolveHostnames) Get(name, config, Environment.TickCount64);
    }

    // What nobody has asked for since then.
    private bool Forget(long then)
    {
        bool any = false;
        foreach ((string name, Entry entry) in _names)
            if (entry.UsedAt < then) any |= _names.TryRemove(name, out _);
        return any;
    }

    private async Task LookUpAsync(Entry entry, string name, ClusterConfig config)
    {
        NameAnswer found = new([], null);
        try
        {
            // Also what a look-up does before it waits must not hold the worker up.
            found = await Task.Run(() => lookup(name, config)).WaitAsync(config.DnsQueryTimeout ?? Timeout.InfiniteTimeSpan).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Whatever it is, it has no addresses as far as we know; else all who wait would wait for their time, and nobody ask again.
        }
        entry.Failures = found.Addresses.Length > 0 ? 0 : entry.Failures + 1;
        TimeSpan wait = entry.Failures > 0 ? config.DnsFailureWait(entry.Failures) ?? config.DnsRefreshRate
            : found.TimeToLive is { } ttl ? TimeSpan.FromTicks(Math.Max(ttl.Ticks, config.DnsMinRefreshRate.Ticks)) : config.DnsRefreshRate;
        entry.End([.. found.Addresses.Select(a => SockAddr.From(a, 0))], Environment.TickCount64 + Math.Max(1, (long)wait.TotalMilliseconds));
    }

    internal sealed class Entry
    {
        private readonly Lock _gate = new();
        private readonly List<(Worker Worker, PoolWaiter Waiter)> _waiting = [];
        private volatile SockAddr[]? _addresses;
        private long _goodUntil;
        private bool _running;

        /// <summary>Without ports; null until the first answer, empty where there are none.</summary>
        public SockAddr[]? Addresses => _addresses;

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

        public void End(SockAddr[] addresses, long until)
        {
            (Worker, PoolWaiter)[] waiting;
            lock (_gate)
            {
                // What was good stays good while nobody says otherwise.
                if (addresses.Length > 0 || _addresses is null) _addresses = addresses;
                Volatile.Write(ref _goodUntil, until);
                _running = false;
                waiting = [.. _waiting];
                _waiting.Clear();
            }
            foreach ((Worker worker, PoolWaiter waiter) in waiting) worker.Post(_ => waiter.Resume());
        }
    }
}

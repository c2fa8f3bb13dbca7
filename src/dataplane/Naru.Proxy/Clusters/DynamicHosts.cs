// Endpoints that nobody configured: those that connections and requests name (ORIGINAL_DST, dynamic forward proxy). Each worker has its
// own and forgets those that were not used for the cleanup interval, so that nobody has to be asked.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Clusters;

internal sealed class DynamicHosts : ITimerOwner
{
    // Whoever names address after address must not fill the memory before the unused ones go.
    private const int MostHosts = 4096;
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);
    private readonly ClusterSlot _slot;
    private readonly Worker _worker;
    private readonly TimerNode _timer;
    private readonly Dictionary<(SockAddr Address, string Name), Entry> _hosts = [];

    public DynamicHosts(ClusterSlot slot, Worker worker)
    {
        _slot = slot;
        _worker = worker;
        _timer = new TimerNode(this);
    }

    /// <summary>The endpoint of an address; null while there are too many.</summary>
    /// <param name="address">Where it is.</param>
    /// <param name="name">The name it was looked up by; empty for a bare address.</param>
    public Host? Get(in SockAddr address, string name)
    {
        if (!_hosts.TryGetValue((address, name), out Entry? entry))
        {
            if (_hosts.Count >= MostHosts) return null;
            var state = new HostState(_slot, address, address.ToString(), _worker.Index);
            var config = new EndpointConfig(new AddressConfig(address.Address.ToString(), address.Port)) { Hostname = name };
            entry = new Entry(new Host(config, state, Encoding.ASCII.GetBytes(name)), _slot.Stats!.Shard(_worker.Index));
            _hosts[(address, name)] = entry;
            if (_hosts.Count == 1) Arm();
        }
        entry.UsedAt = _worker.Now;
        return entry.Host;
    }

    // While the cluster is gone it is only asked when to look whether it still is.
    private long IntervalMs => Math.Max(1, (long)(_slot.Current?.Config.CleanupInterval ?? s_interval).TotalMilliseconds);

    private void Arm() => _worker.Timers.Set(_timer, _worker.Now + IntervalMs, _worker.Now);

    public void OnTimer(TimerNode timer)
    {
        // Whoever began before its cluster went may have named some since.
        if (_slot.Current is not { IsDynamic: true })
        {
            Retire();
            return;
        }
        long old = _worker.Now - IntervalMs;
        foreach (((SockAddr, string) key, Entry entry) in _hosts.ToArray())
        {
            HostPool pool = entry.Host.State.Pool(_worker);
            if (entry.UsedAt > old || pool.Connections > 0 || pool.ActiveRequests > 0) continue;
            _hosts.Remove(key);
            entry.Forget();
        }
        if (_hosts.Count > 0) Arm();
    }

    /// <summary>Their cluster has gone: idle connections close now, busy ones with what they do. Should it come back, its endpoints are
    /// new.</summary>
    public void Retire()
    {
        TimerWheel.Stop(_timer);
        foreach (Entry entry in _hosts.Values)
        {
            entry.Forget();
            entry.Host.State.Pool(_worker).Retire();
        }
        _hosts.Clear();
    }

    private sealed class Entry
    {
        // A cluster that comes back counts elsewhere.
        private readonly long[] _shard;

        public Entry(Host host, long[] shard)
        {
            (Host, _shard) = (host, shard);
            _shard[ClusterStats.MembershipTotal]++;
        }

        public Host Host { get; }
        public long UsedAt { get; set; }

        public void Forget() => _shard[ClusterStats.MembershipTotal]--;
    }
}

// One client's datagrams to one endpoint and back: a connected socket of its own, so that what comes back is the client's.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed unsafe class UdpSession : IoHandle, ITimerOwner
{
    private const int Batch = 64;
    private static long s_ids;
    private readonly Worker _worker;
    private readonly UdpServer _server;
    private readonly UdpProxy _proxy;
    private readonly SessionKey _key;
    private readonly HostPool _pool;
    private readonly long[] _stats;
    private readonly long[] _clusterStats;
    private readonly TimerNode _timer;
    private readonly ConnectionRecord? _record;
    private Permit _permit;
    private long _movedAt;
    private long _received;
    private long _sent;

    private UdpSession(Worker worker, UdpServer server, UdpProxy proxy, in SessionKey key, Host host, int fd)
    {
        _worker = worker;
        _server = server;
        _proxy = proxy;
        _key = key;
        _pool = host.State.Pool(worker);
        _stats = proxy.Stats.Shard(worker.Index);
        _clusterStats = proxy.ClusterStats.Shard(worker.Index);
        _timer = new TimerNode(this);
        Fd = fd;
        if (proxy.Logs.Length == 0) return;
        _record = new ConnectionRecord(Interlocked.Increment(ref s_ids), worker.Ticks) { Cluster = proxy.Slot.Name, Type = "UdpSessionEnd"u8.ToArray() };
        _record.Begin(key.Peer, server.LocalOf(key));
        _record.Attempted(host, 1);
        _record.Connected(Sys.LocalAddress(fd), worker.Ticks);
    }

    /// <summary>A session that is watched and counted, or null where its socket cannot be made.</summary>
    public static UdpSession? Open(Worker worker, UdpServer server, UdpProxy proxy, in SessionKey key, Host host)
    {
        int fd = UpstreamSocket.OpenDatagrams(host.State, proxy.Config.UseOriginalSrcIp ? key.Peer.Unmapped : default);
        if (fd < 0)
        {
            proxy.Slot.Stats!.Shard(worker.Index)[ClusterStats.CxConnectFail]++;
            return null;
        }
        var session = new UdpSession(worker, server, proxy, key, host, fd);
        session._pool.Opened();
        session._permit = Breakers.Enter(proxy.Slot, worker, Resource.Connections, RequestPriority.Default);
        session._stats[UdpStats.SessTotal]++;
        session._stats[UdpStats.SessActive]++;
        session._movedAt = worker.Now;
        session.Arm();
        worker.Add(session, Sys.EPOLLIN, level: true);
        return session;
    }

    /// <summary>Its endpoint has left the cluster.</summary>
    public bool IsStale => _pool.Retired;

    private void Arm()
    {
        if (_proxy.IdleMs > 0) _worker.Timers.Set(_timer, _movedAt + _proxy.IdleMs, _worker.Now);
    }

    public void OnTimer(TimerNode timer)
    {
        if (_worker.Now < _movedAt + _proxy.IdleMs)
        {
            Arm();
            return;
        }
        _stats[UdpStats.IdleTimeout]++;
        Close();
    }

    /// <summary>Passes a datagram of the client on.</summary>
    public void SendUp(byte* bytes, int length)
    {
        _movedAt = _worker.Now;
        if (Sys.send(Fd, bytes, length, Sys.MSG_NOSIGNAL) != length)
        {
            _clusterStats[UdpClusterStats.TxErrors]++;
            return;
        }
        _clusterStats[UdpClusterStats.TxDatagrams]++;
        _received += length;
    }

    internal override void OnEvents(uint events)
    {
        IoBuffer buffer = _worker.Buffers.RentLarge();
        for (int i = 0; i < Batch && Fd >= 0; i++)
        {
            nint n = Sys.recv(Fd, buffer.Memory, buffer.Capacity, 0);
            if (n < 0)
            {
                if (Sys.FastErrno == Sys.EAGAIN) break;
                // The endpoint is not there (an ICMP message came); it may be again.
                _clusterStats[UdpClusterStats.RxErrors]++;
                continue;
            }
            _movedAt = _worker.Now;
            _clusterStats[UdpClusterStats.RxDatagrams]++;
            if (!_server.SendDown(_key, buffer.Memory, (int)n))
            {
                _stats[UdpStats.TxErrors]++;
                continue;
            }
            _stats[UdpStats.TxDatagrams]++;
            _stats[UdpStats.TxBytes] += n;
            _sent += n;
        }
        _worker.Buffers.Return(buffer);
    }

    public void Close()
    {
        if (Fd < 0) return;
        _worker.Timers.Remove(_timer);
        _worker.CloseHandle(this);
        _server.Forget(_key);
        _permit.Dispose();
        _pool.Closed();
        _stats[UdpStats.SessActive]--;
        if (_record is not { } record) return;
        record.End(_received, _sent, _worker.Ticks);
        record.Write(_proxy.Logs, _worker.Index);
    }
}

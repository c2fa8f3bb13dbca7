// A worker's own socket of a UDP listener, and its sessions: one for each client (and endpoint, where each datagram picks anew). The
// kernel gives a client's datagrams always to the same worker, so a session belongs to it alone.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Network;

internal sealed unsafe class UdpServer : IoHandle
{
    private const int Batch = 64;
    private readonly Worker _worker;
    private readonly Listener _listener;
    private readonly bool _isWildcard;
    private readonly Dictionary<SessionKey, UdpSession> _sessions = [];

    public UdpServer(Worker worker, Listener listener, int fd)
    {
        _worker = worker;
        _listener = listener;
        Fd = fd;
        SockAddr local = Sys.LocalAddress(fd);
        _isWildcard = local.Address.Equals(System.Net.IPAddress.Any) || local.Address.Equals(System.Net.IPAddress.IPv6Any);
        if (_isWildcard) Sys.AskForDestination(fd, local.Family);
    }

    internal override void OnEvents(uint events)
    {
        IoBuffer buffer = _worker.Buffers.RentLarge();
        try
        {
            for (int i = 0; i < Batch && Fd >= 0; i++) if (!ReceiveOne(buffer)) break;
        }
        finally
        {
            _worker.Buffers.Return(buffer);
        }
    }

    private bool ReceiveOne(IoBuffer buffer)
    {
        UdpProxy proxy = _listener.Udp!;
        long[] stats = proxy.Stats.Shard(_worker.Index);
        nint n = Sys.ReceiveDatagram(Fd, buffer.Memory, Math.Min(buffer.Capacity, proxy.Config.MaxDatagramSize), out SockAddr peer, out SockAddr local, out bool truncated);
        if (n < 0)
        {
            if (Sys.FastErrno == Sys.EAGAIN) return false;
            stats[UdpStats.RxErrors]++;
            return true;
        }
        if (truncated)
        {
            // Half a datagram is none.
            stats[UdpStats.RxTooLarge]++;
            return true;
        }
        if (Session(proxy, peer, local, stats) is not { } session) return true;
        stats[UdpStats.RxDatagrams]++;
        stats[UdpStats.RxBytes] += n;
        session.SendUp(buffer.Memory, (int)n);
        return true;
    }

    private UdpSession? Session(UdpProxy proxy, in SockAddr peer, in SockAddr local, long[] stats)
    {
        var key = new SessionKey(peer, local, null);
        Host? host = null;
        if (!proxy.Config.PerPacket && _sessions.TryGetValue(key, out UdpSession? session))
        {
            if (!session.IsStale) return session;
            session.Close();
        }
        if (proxy.Slot.Current is not { } cluster)
        {
            stats[UdpStats.SessNoRoute]++;
            return null;
        }
        long[] clusterStats = proxy.Slot.Stats!.Shard(_worker.Index);
        host = proxy.Pick(cluster, _worker, peer);
        if (host is null)
        {
            clusterStats[ClusterStats.CxNoneHealthy]++;
            return null;
        }
        if (proxy.Config.PerPacket)
        {
            key = key with { Host = host.State };
            if (_sessions.TryGetValue(key, out session)) return session;
        }
        // Whoever forges senders opens no more sessions than the cluster takes connections.
        if (!Breakers.HasRoom(cluster, Resource.Connections, RequestPriority.Default))
        {
            clusterStats[ClusterStats.CxOverflow]++;
            return null;
        }
        session = UdpSession.Open(_worker, this, proxy, key, host);
        if (session is not null) _sessions[key] = session;
        return session;
    }

    /// <summary>Sends an answer to a session's client.</summary>
    public bool SendDown(SessionKey key, byte* bytes, int length) => Fd >= 0 && Sys.SendDatagram(Fd, bytes, length, key.Peer, key.Local) == length;

    /// <summary>Our address as the client of a session sees it.</summary>
    public SockAddr LocalOf(SessionKey key) => key.Local.Length == 0 ? Sys.LocalAddress(Fd) : key.Local.WithPort(Sys.LocalAddress(Fd).Port);

    public void Forget(SessionKey key) => _sessions.Remove(key);

    /// <summary>On the worker: ends all sessions and the socket.</summary>
    public void Close()
    {
        foreach (UdpSession session in _sessions.Values.ToArray()) session.Close();
        _worker.CloseHandle(this);
    }
}

/// <summary>What tells sessions apart.</summary>
/// <param name="Peer">The client.</param>
/// <param name="Local">The address it sends to; length 0 where there is only one.</param>
/// <param name="Host">The endpoint, where each datagram picks one.</param>
internal readonly record struct SessionKey(SockAddr Peer, SockAddr Local, HostState? Host);

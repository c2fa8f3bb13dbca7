// A downstream connection that is passed on as it is: connects to an endpoint, then bytes both ways until both sides are done. An end
// of one side is passed on as an end, a reset as a reset; nobody has to trust a stream that was cut.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class TcpProxyConnection : ListenerConnection, IRelayOwner
{
    private readonly TcpProxy _proxy;
    private readonly long[] _shard;
    private readonly ConnectionRecord? _record;
    private long[]? _clusterShard;
    private UpstreamConnection? _up;
    private LoopSocket? _loop;
    private RelayLane? _upward;
    private RelayLane? _downward;
    private IoBuffer? _behind;
    private bool _noted;
    private bool _isWhole;
    private bool _refused;
    private bool _tlsFailed;
    private long _movedAt;
    private SubsetMatch? _match;
    private long _drainDue = TimerNode.Never;

    public TcpProxyConnection(in Arrival arrival, TcpProxy proxy) : base(arrival)
    {
        _proxy = proxy;
        _shard = proxy.Stats.Shard(Worker.Index);
        if (proxy.Logs.Length > 0 || proxy.Tunnel is not null || Listener.Logs.Length > 0) _record = new ConnectionRecord(Id, Worker.Ticks);
    }

    public override void Start()
    {
        _shard[TcpStats.CxTotal]++;
        _movedAt = Worker.Now;
        Begin();
        if (_record is { } record) record.Begin(this);
        Arm();
        Unawaited.Run(ServeAsync());
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        try
        {
            if (_proxy.Pick(Info?.Cluster ?? "", Worker, out _match) is not { Current: { } cluster } slot)
            {
                _shard[TcpStats.CxNoRoute]++;
                Note(ConnectionReasons.NoCluster, Info?.Cluster ?? "");
            }
            else if (_proxy.Http is { } http && cluster.Config.Protocol is UpstreamProtocol.Http2 or UpstreamProtocol.Auto ? await LoopAsync(http.Listener, http.Chain, cluster) : await ConnectAsync(slot, cluster))
            {
                _isWhole = await RelayAsync();
            }
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
        Finish();
        return true;
    }

    // Another endpoint, where there is one, as often as the configuration says.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ConnectAsync(ClusterSlot slot, Cluster cluster)
    {
        long[] stats = _clusterShard = slot.Stats!.Shard(Worker.Index);
        if (_record is { } record) record.Cluster = slot.Name;
        List<Host>? tried = null;
        Cluster named = cluster;
        for (int attempt = 1; ; attempt++)
        {
            UInt128 left = 0;
            // Each attempt anew.
            if (named.Members is { } members && members.Choose(Worker.Random, null, [], 0, out left) is { } member)
            {
                cluster = member;
                stats = _clusterShard = member.Slot.Stats!.Shard(Worker.Index);
            }
            if (!Breakers.HasRoom(cluster, Resource.Connections, RequestPriority.Default))
            {
                stats[ClusterStats.CxOverflow]++;
                Note(ConnectionReasons.Overflow, cluster: slot);
                return false;
            }
            Host? host = cluster.Config.Type == DiscoveryType.OriginalDst ? OriginalDst.Pick(cluster, Worker, this, null)
                : cluster.Balancer.Pick(new PickContext(Worker)
                {
                    Hash = _proxy.Config.HashSourceIp && tried is null ? Peer.StableHash(withPort: false) : null,
                    Match = _match,
                    Avoid = tried,
                    AvoidAttempts = cluster.Balancer.ChoicesOf(_match),
                    LeftPriorities = left,
                });
            if (host is null)
            {
                stats[ClusterStats.CxNoneHealthy]++;
                Note(ConnectionReasons.NoHealthyUpstream, cluster: slot);
                return false;
            }
            HostPool pool = host.State.Pool(Worker);
            var up = new UpstreamConnection(Worker, pool, UpstreamPeer.Of(cluster, host, pool, this));
            _up = up;
            stats[ClusterStats.RqTotal]++;
            stats[ClusterStats.RqActive]++;
            pool.ActiveRequests++;
            pool.Counts.Requests++;
            if (cluster.Config.ClosesFailed) (pool.Relays ??= []).Add(this);
            if (_record is not null) _record.Attempted(host, attempt);
            ConnectResult result = await up.ConnectAsync(cluster.ConnectMs);
            if (result != ConnectResult.Cancelled)
            {
                host.State.Report(Worker.Index, new TryOutcome(result switch
                {
                    ConnectResult.Connected => TryEnd.Connected,
                    ConnectResult.TimedOut => TryEnd.TimedOut,
                    _ => TryEnd.Failed,
                }));
            }
            if (result == ConnectResult.Connected)
            {
                _record?.Connected(up.LocalAddress(), Worker.Ticks);
                if (_proxy.Tunnel is not { } tunnel || await OpenTunnelAsync(tunnel, up, cluster)) return !Cancelled;
                up.Close();
            }
            _tlsFailed = up.TransportFailure.Length > 0;
            Left(up);
            if (result == ConnectResult.Cancelled || Cancelled || Dead) return false;
            if (attempt >= _proxy.Config.MaxConnectAttempts)
            {
                stats[ClusterStats.CxConnectAttemptsExceeded]++;
                Note(result == ConnectResult.TimedOut ? ConnectionReasons.ConnectTimeout : ConnectionReasons.ConnectFailure, up.Failure, slot, host, attempt > 1 ? ResponseFlags.UpstreamRetryLimitExceeded : ResponseFlags.None);
                if (up.TlsFailed) _record?.FailedWith(up.FailureWords);
                return false;
            }
            (tried ??= []).Add(host);
            cluster = slot.Current ?? cluster;
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> OpenTunnelAsync(TcpTunnel tunnel, UpstreamConnection up, Cluster cluster)
    {
        if (tunnel.IsPost)
        {
            Note(ConnectionReasons.TunnelRefused, "a tunnel by POST needs a cluster that speaks HTTP/2");
            return false;
        }
        IoBuffer request = Worker.Buffers.Rent();
        if (!tunnel.Write(_record!, request))
        {
            Worker.Buffers.Return(request);
            Note(ConnectionReasons.TunnelRefused, "no CONNECT request can be made");
            return false;
        }
        up.SetTimer(Worker.Now + cluster.ConnectMs);
        (_behind, int status) = await TcpTunnel.OpenAsync(up, Worker, request);
        up.SetTimer(TimerNode.Never);
        if (_behind is null) Note(ConnectionReasons.TunnelRefused, status == 0 ? "no answer to CONNECT" : $"CONNECT was answered with {status}");
        return _behind is not null;
    }

    // Over HTTP/2 the tunnel is a stream among others: layer 7 does that, at the other end of a pair of sockets.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> LoopAsync(Listener listener, FilterChain chain, Cluster cluster)
    {
        if (_record is { } record) record.Cluster = cluster.Slot.Name;
        IoBuffer request = Worker.Buffers.Rent();
        if (!_proxy.Tunnel!.Write(_record!, request) || (_loop = LoopSocket.Open(Worker, listener, chain, Peer)) is not { } loop)
        {
            Worker.Buffers.Return(request);
            Note(ConnectionReasons.TunnelRefused, "no CONNECT request can be made");
            return false;
        }
        // Connecting takes its time at most, and so does the answer.
        loop.SetTimeout(2 * cluster.ConnectMs);
        (_behind, int status) = await TcpTunnel.OpenAsync(loop, Worker, request);
        loop.SetTimeout(0);
        if (_behind is not null) return !Cancelled;
        Note(ConnectionReasons.TunnelFailed, status == 0 ? "no answer to CONNECT" : $"CONNECT was answered with {status}");
        return false;
    }

    // True where both sides ended what they had to say.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RelayAsync()
    {
        TcpSocket up = _loop is { } loop ? loop : _up!;
        _upward = new RelayLane(Worker, this, up, this);
        _downward = new RelayLane(Worker, up, this, this);
        IoBuffer? behind = _behind;
        _behind = null;
        ValueTask<bool> there = OneWayAsync(_upward, this, up, null);
        bool isWhole = await OneWayAsync(_downward, up, this, behind);
        return await there && isWhole;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> OneWayAsync(RelayLane lane, TcpSocket from, TcpSocket to, IoBuffer? first)
    {
        switch (await lane.RunAsync(first))
        {
            case RelayEnd.Ended:
                to.ShutdownWrite();
                return true;
            case RelayEnd.SourceFailed:
                Note(ReferenceEquals(from, this) ? ConnectionReasons.ClientReset : ConnectionReasons.UpstreamReset, Sys.Describe(from.Errno));
                // Who was refused has said nothing to the other side, which is left in order.
                if (_refused && ReferenceEquals(from, this)) to.Close();
                else to.Reset();
                from.Close();
                break;
            case RelayEnd.SinkFailed:
                Note(ReferenceEquals(to, this) ? ConnectionReasons.ClientReset : ConnectionReasons.UpstreamReset, Sys.Describe(to.Errno));
                from.Reset();
                to.Close();
                break;
        }
        return false;
    }

    public void OnMoved(RelayLane lane, int bytes)
    {
        _movedAt = Worker.Now;
        bool up = ReferenceEquals(lane, _upward);
        _shard[up ? TcpStats.CxRxBytes : TcpStats.CxTxBytes] += bytes;
        // Bytes in a stream are counted by whom they are sent by.
        if (_clusterShard is { } cluster) cluster[up ? ClusterStats.CxTxBytes : ClusterStats.CxRxBytes] += bytes;
    }

    public void OnBlocked(RelayLane lane, bool blocked)
    {
        if (ReferenceEquals(lane, _upward)) _shard[blocked ? TcpStats.PausedReading : TcpStats.ResumedReading]++;
    }

    public override void Refused(Reason reason)
    {
        _refused = true;
        Note(reason);
    }

    // The first reason is the cause; what follows from it is not told again.
    private void Note(Reason reason, string why = "", ClusterSlot? cluster = null, Host? host = null, ResponseFlags more = ResponseFlags.None)
    {
        if (_noted) return;
        _noted = true;
        EndsFor(reason);
        _record?.Ended(reason, Upstream(reason, why), more: more);
        if (!Listener.Log.IsOn()) return;
        string where = host is not null ? $"{why} [cluster {cluster!.Name}, endpoint {host.State.Display}]" : cluster is not null ? $"cluster {cluster.Name}" : why;
        Listener.Log.Tell(Listener, this, reason, where);
    }

    // Envoy's words for a socket that was refused; those of TLS are OpenSSL's.
    private string Upstream(Reason reason, string why) =>
        reason == ConnectionReasons.ClientReset || reason == ConnectionReasons.NoCluster ? ""
        : reason == ConnectionReasons.ConnectFailure && !_tlsFailed ? $"delayed_connect_error:_{why.Replace(' ', '_')}" : why;

    public override ConnectionRecord Record() => _record ?? base.Record();

    private void Arm()
    {
        long due = _drainDue;
        if (_proxy.IdleMs > 0) due = Math.Min(due, _movedAt + _proxy.IdleMs);
        if (_proxy.MaxDurationMs > 0) due = Math.Min(due, OpenedAt + _proxy.MaxDurationMs);
        if (due != TimerNode.Never) Worker.Timers.Set(Timer, due, Worker.Now);
    }

    public override void OnTimer(TimerNode timer)
    {
        long now = Worker.Now;
        if (_proxy.MaxDurationMs > 0 && now >= OpenedAt + _proxy.MaxDurationMs)
        {
            _shard[TcpStats.MaxDuration]++;
            Note(ConnectionReasons.MaxDuration);
        }
        else if (_proxy.IdleMs > 0 && now >= _movedAt + _proxy.IdleMs)
        {
            _shard[TcpStats.IdleTimeout]++;
            Note(ConnectionReasons.IdleTimeout);
        }
        else if (now < _drainDue)
        {
            Arm();
            return;
        }
        else
        {
            _shard[TcpStats.CxDrainClose]++;
            Note(ConnectionReasons.Drained);
        }
        _up?.Cancel();
        _loop?.Cancel();
        Cancel();
    }

    /// <summary>The endpoint failed its checks, and its cluster wants that nobody goes on with it.</summary>
    public void HostFailed()
    {
        Note(ConnectionReasons.UpstreamReset, "the endpoint failed its health check");
        _up?.Cancel();
        Cancel();
    }

    // While the endpoint is being connected to nobody reads here; a client that went away by a reset is not connected for any more.
    protected override void OnUnexpectedReadable()
    {
        if (_upward is not null || !Dead) return;
        _up?.Cancel();
        _loop?.Cancel();
    }

    /// <summary>Nothing says when a stream of bytes may be cut: it ends by itself, or when the time for draining is over.</summary>
    public override void Drain()
    {
        if (_drainDue != TimerNode.Never) return;
        _drainDue = Worker.Now + Listener.DrainMs;
        Arm();
    }

    private void Left(UpstreamConnection up)
    {
        up.Pool.ActiveRequests--;
        up.Pool.Relays?.Remove(this);
        _clusterShard![ClusterStats.RqActive]--;
        _up = null;
    }

    private void Finish()
    {
        if (_behind is not null) Worker.Buffers.Return(_behind);
        _behind = null;
        _loop?.End(_isWhole);
        if (_up is { } up)
        {
            Left(up);
            up.Close();
        }
        if (_record is { } record)
        {
            record.End(_upward?.Bytes ?? 0, _downward?.Bytes ?? 0, Worker.Ticks);
            record.Write(_proxy.Logs, Worker.Index);
        }
        Close();
    }
}

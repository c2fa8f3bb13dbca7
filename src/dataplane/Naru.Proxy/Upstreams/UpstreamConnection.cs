// One connection to an endpoint: connects, carries one exchange at a time, waits idle in its pool, notices when the peer closes.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

/// <summary>How connecting ended.</summary>
internal enum ConnectResult
{
    Connected,
    Failed,
    TimedOut,
    Cancelled,
}

internal sealed class UpstreamConnection : SecureSocket, IHttp2Owner
{
    private readonly HostPool _pool;
    private readonly StatBlock _stats;
    private readonly long[] _shard;
    private bool _idle;
    private bool _timedOut;
    private bool _closed;
    private string? _failure;
    private Permit _permit;

    /// <param name="worker">Its worker.</param>
    /// <param name="pool">Where it belongs.</param>
    /// <param name="peer">Whom it is made with.</param>
    public UpstreamConnection(Worker worker, HostPool pool, in UpstreamPeer peer) : base(worker)
    {
        _pool = pool;
        Peer = peer;
        _stats = pool.Host.Slot.Stats!;
        _shard = _stats.Shard(worker.Index);
    }

    public HostPool Pool => _pool;

    public UpstreamPeer Peer { get; }

    /// <summary>The HTTP that is spoken on it, and offered to TLS; null of bytes.</summary>
    public UpstreamProtocol? Offered { get; init; }

    /// <summary>Whether HTTP is spoken on it; else bytes.</summary>
    public bool SpeaksHttp => Offered is not null;

    /// <summary>Its number among all connections of this process.</summary>
    public long Id { get; } = ConnectionIds.Next();

    /// <summary>Our own end's address in words; null before <see cref="KnowLocal"/>.</summary>
    public byte[]? LocalText { get; private set; }

    /// <summary>Looks our own end's address up, once: of a closed connection nobody knows it any more.</summary>
    public void KnowLocal()
    {
        if (LocalText is null && Fd >= 0) LocalText = Encoding.ASCII.GetBytes(LocalAddress().ToString());
    }

    /// <summary>Exchanges it has finished.</summary>
    public int Served { get; set; }

    /// <summary>It lay idle before: the endpoint may have closed it meanwhile.</summary>
    public bool HasLain { get; private set; }

    /// <summary>Worker milliseconds after which it must not be used again.</summary>
    public long ReuseUntil { get; set; }

    /// <summary>Worker milliseconds at which it is old (Envoy: max_connection_duration): it ends with what is under way.</summary>
    public long LifeEnd { get; private set; } = TimerNode.Never;

    /// <summary>An exchange of HTTP/1 is under way on it.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Seconds the endpoint said it keeps idle connections, or -1.</summary>
    public int PeerKeepAliveSeconds { get; set; } = -1;

    /// <summary>What is spoken on it, where that is HTTP/2.</summary>
    public Http2ClientSession? Session { get; set; }

    /// <summary>Why connecting failed, in one sentence.</summary>
    public string Failure => _failure ?? Sys.Describe(Errno);

    /// <summary>The same for <c>%UPSTREAM_TRANSPORT_FAILURE_REASON%</c>: of TLS in Envoy's words.</summary>
    public string FailureWords => _failure is null ? Failure : TransportFailure;

    /// <summary>Whether it was TLS that failed.</summary>
    public bool TlsFailed => _failure is not null;

    /// <summary>How that ends the try that it was made for.</summary>
    public (AttemptEnd End, ConnectFailure? Why) FailureOf(ConnectResult result) => result == ConnectResult.TimedOut
        ? (new AttemptEnd(AttemptKind.ConnectTimedOut, RequestBegun: false), null)
        : (new AttemptEnd(TlsFailed ? AttemptKind.TlsFailed : AttemptKind.ConnectFailed, RequestBegun: false),
            new ConnectFailure(Failure, Encoding.ASCII.GetBytes(FailureWords)));

    public UpstreamConnection? NextIdle { get; set; }
    public UpstreamConnection? PreviousIdle { get; set; }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<ConnectResult> ConnectAsync(long timeoutMs)
    {
        long started = Worker.Now;
        int errno = StartConnect();
        _pool.Opened(this);
        _permit = Breakers.Enter(_pool.Host.Slot, Worker, Resource.Connections, Peer.Priority);
        _shard[ClusterStats.CxTotal]++;
        _pool.Counts.Connections++;
        if (errno == Sys.EINPROGRESS)
        {
            Worker.Timers.Set(Timer, Worker.Now + timeoutMs, Worker.Now);
            await Writable();
            TimerWheel.Stop(Timer);
            if (_timedOut)
            {
                _shard[ClusterStats.CxConnectTimeout]++;
                _shard[ClusterStats.CxConnectFail]++;
                _pool.Counts.FailedConnections++;
                Close();
                return ConnectResult.TimedOut;
            }
            if (Cancelled)
            {
                Close();
                return ConnectResult.Cancelled;
            }
            errno = Errno != 0 ? Errno : Sys.SocketError(Fd);
        }
        if (errno != 0)
        {
            FailedWith(errno);
            _shard[ClusterStats.CxConnectFail]++;
            _pool.Counts.FailedConnections++;
            Close();
            return ConnectResult.Failed;
        }
        if (Peer.Origin is { ProxyVersion: > 0 } origin && !UpstreamSocket.SendHeader(Fd, origin))
        {
            FailedWith(Sys.ECONNRESET);
            _shard[ClusterStats.CxConnectFail]++;
            _pool.Counts.FailedConnections++;
            Close();
            return ConnectResult.Failed;
        }
        if (Peer.Tls is { } tls)
        {
            // The handshake is part of connecting: one timeout for both (Envoy: connect_timeout).
            Worker.Timers.Set(Timer, started + timeoutMs, Worker.Now);
            bool secure = await ConnectTlsAsync(tls, Peer.Sni!, Peer.ExpectedName!, Offered is { } protocol ? Offer(protocol) : default);
            TimerWheel.Stop(Timer);
            if (!secure)
            {
                _failure = HandshakeFailure;
                _shard[ClusterStats.CxConnectFail]++;
                _pool.Counts.FailedConnections++;
                if (_timedOut) _shard[ClusterStats.CxConnectTimeout]++;
                bool cancelled = Cancelled;
                Close();
                return _timedOut ? ConnectResult.TimedOut : cancelled ? ConnectResult.Cancelled : ConnectResult.Failed;
            }
        }
        _stats.HistogramOf(Worker.Index, ClusterStats.ConnectMs).Record(Worker.Now - started);
        if (_pool.Host.Slot.Current is { MaxConnectionMs: > 0 and long life }) LifeEnd = Worker.Now + life;
        return ConnectResult.Connected;
    }

    private int StartConnect()
    {
        (Fd, int errno) = UpstreamSocket.Connect(Worker, _pool.Host, Peer.Origin);
        if (Fd >= 0) Watch(writable: errno == 0);
        return errno;
    }

    // What ALPN offers where the context names nothing.
    private static ReadOnlySpan<byte> Offer(UpstreamProtocol protocol) => protocol switch
    {
        UpstreamProtocol.Http2 => "\x02h2"u8,
        UpstreamProtocol.Auto => "\x02h2\x08http/1.1"u8,
        _ => "\x08http/1.1"u8,
    };

    /// <summary>Whether ALPN settled on HTTP/2.</summary>
    public bool AgreedOnHttp2 => Tls is { Alpn: "h2" };

    public void EnterIdle()
    {
        (_idle, HasLain) = (true, true);
        if (ReuseUntil < long.MaxValue / 8) Worker.Timers.Set(Timer, ReuseUntil, Worker.Now);
    }

    public void LeaveIdle()
    {
        _idle = false;
        TimerWheel.Stop(Timer);
    }

    /// <summary>Closes an idle connection that was taken off its list.</summary>
    public void CloseIdle()
    {
        _idle = false;
        Close();
    }

    // Idle and suddenly readable: the peer closed it, or speaks out of turn. Either way it is of no use.
    protected override void OnUnexpectedReadable()
    {
        if (!_idle || IsQuiet()) return;
        _pool.Unlink(this);
        EndMet = true;
        CloseIdle();
    }

    /// <summary>For the session: its next deadline (worker ms).</summary>
    public void SetTimer(long due)
    {
        if (due == TimerNode.Never || due > long.MaxValue / 8) TimerWheel.Stop(Timer);
        else Worker.Timers.Set(Timer, due, Worker.Now);
    }

    bool IHttp2Owner.IsRetired => _pool.Retired;

    int IHttp2Owner.AssumedStreams { get => _pool.Http2.AssumedStreams; set => _pool.Http2.AssumedStreams = value; }

    void IHttp2Owner.OnRoom() => _pool.Wake();

    void IHttp2Owner.OnEnding(Http2ClientSession session)
    {
        if (_pool.Http2.Forget(session)) _pool.Wake();
    }

    private void CountDestroyed()
    {
        _shard[ClusterStats.CxDestroy]++;
        _shard[EndMet ? ClusterStats.CxDestroyRemote : ClusterStats.CxDestroyLocal]++;
        if (!IsBusy && Session is not { DiedBusy: true }) return;
        _shard[ClusterStats.CxDestroyWithActiveRq]++;
        _shard[EndMet ? ClusterStats.CxDestroyRemoteWithActiveRq : ClusterStats.CxDestroyLocalWithActiveRq]++;
    }

    public override void OnTimer(TimerNode timer)
    {
        if (Session is { } session)
        {
            session.OnTimer();
            return;
        }
        if (_idle)
        {
            _pool.Unlink(this);
            CountEnd();
            CloseIdle();
            return;
        }
        _timedOut = true;
        Cancel();
    }

    /// <summary>Counts that its time is over: it is old, or was idle for too long.</summary>
    public void CountEnd() => _shard[Worker.Now >= LifeEnd ? ClusterStats.CxMaxDuration : ClusterStats.CxIdleTimeout]++;

    /// <summary>It was found to be of no use before it was used again: the endpoint had closed it, or spoken out of turn.</summary>
    public void CloseStale()
    {
        EndMet = true;
        CloseIdle();
    }

    public override void Close()
    {
        if (_closed || !_permit.IsHeld) return;
        _closed = true;
        base.Close();
        _permit.Dispose();
        CountDestroyed();
        _pool.Closed(this);
    }
}

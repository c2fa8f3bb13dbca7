// What an access log wants to know of a layer 4 connection; made only where there is a log.
using System.Diagnostics;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class ConnectionRecord(long id, long startTicks) : IRequestInfo
{
    private readonly LineBuffer _line = new();
    private byte[] _peer = [], _direct = [], _local = [], _directLocal = [], _serverName = [], _chain = [], _upstreamLocal = [];
    private long _connectTicks;
    private long _endTicks;
    private long _received;
    private long _sent;
    private int _attempts;
    private Host? _host;
    private byte[] _upstreamFailure = [], _downstreamFailure = [];
    private TlsSession? _tls;
    private StateText? _states;
    private Reason? _reason;
    private MetaValue? _metadata;

    public DateTime StartTime { get; } = DateTime.UtcNow - Stopwatch.GetElapsedTime(startTicks);
    public ResponseFlags Flags { get; private set; }

    bool IRequestInfo.IsConnection => true;

    /// <summary>At which moment of what it is written.</summary>
    public byte[] Type { get; set; } = "TcpConnectionEnd"u8.ToArray();

    ReadOnlySpan<byte> IRequestInfo.LogType => Type;
    public string Cluster { get; set; } = "";

    public void Begin(ListenerConnection connection)
    {
        _peer = Bytes(connection.Peer);
        _direct = connection.Info is { } info ? Bytes(info.DirectPeer) : _peer;
        _local = Bytes(connection.Local);
        _directLocal = Bytes(connection.LocalAddress());
        _serverName = Encoding.ASCII.GetBytes(connection.Info?.ServerName is { Length: > 0 } name ? name : connection.Tls?.Sni ?? "");
        _chain = connection.Chain?.Name ?? [];
        _tls = connection.Tls;
        _states = connection.Info?.States;
        _metadata = connection.Info?.Metadata;
    }

    public void Begin(in SockAddr peer, in SockAddr local)
    {
        _peer = _direct = Bytes(peer.Unmapped);
        _local = _directLocal = Bytes(local.Unmapped);
    }

    public void Attempted(Host host, int attempt)
    {
        _host = host;
        _attempts = attempt;
    }

    public void Connected(in SockAddr local, long ticks)
    {
        _upstreamLocal = Bytes(local);
        _connectTicks = ticks;
    }

    /// <summary>Why it ended; the first reason is kept.</summary>
    /// <param name="reason">The reason.</param>
    /// <param name="upstream">Why the upstream's transport failed.</param>
    /// <param name="downstream">Why the client's did.</param>
    /// <param name="more">Further flags.</param>
    public void Ended(Reason reason, string upstream = "", string downstream = "", ResponseFlags more = ResponseFlags.None)
    {
        if (_reason is not null) return;
        _reason = reason;
        Flags = reason.Flags | more;
        _upstreamFailure = Encoding.ASCII.GetBytes(upstream);
        _downstreamFailure = Encoding.ASCII.GetBytes(downstream);
    }

    bool IRequestInfo.IsPeerVerified => _tls is { IsPeerVerified: true };

    /// <summary>Why the transport of the endpoint failed, in Envoy's words.</summary>
    public void FailedWith(string words) => _upstreamFailure = Encoding.ASCII.GetBytes(words);

    public void End(long received, long sent, long ticks) => (_received, _sent, _endTicks) = (received, sent, ticks);

    public void Write(AccessLog[] logs, int worker)
    {
        foreach (AccessLog log in logs) log.Write(this, null, _line, worker);
    }

    private static byte[] Bytes(in SockAddr address) => Encoding.UTF8.GetBytes(address.ToString());

    private static byte[] Bytes(string? text) => text is { Length: > 0 } ? Encoding.ASCII.GetBytes(text) : [];

    public bool TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) => StateText.TryGet(_states, key, out value);

    public bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        return false;
    }

    public MetaValue? Metadata(MetadataSource whose) => whose == MetadataSource.Dynamic ? _metadata : null;

    public ReadOnlySpan<byte> Tls(TlsParty whose, TlsFact what) =>
        (whose is TlsParty.DownstreamPeer or TlsParty.DownstreamLocal) && _tls is { } tls ? tls.Fact(whose == TlsParty.DownstreamPeer, what) : default;

    public ReadOnlySpan<byte> Text(RequestText what) => what switch
    {
        RequestText.UpstreamHost or RequestText.UpstreamRemoteAddress => _host is null ? default : _host.State.DisplayBytes,
        RequestText.UpstreamHostName => _host is null ? default : _host.Hostname,
        RequestText.UpstreamCluster or RequestText.UpstreamClusterRaw => Encoding.UTF8.GetBytes(Cluster),
        RequestText.UpstreamLocalAddress => _upstreamLocal,
        RequestText.ConnectionTerminationDetails => Bytes(_reason?.Termination),
        RequestText.DownstreamLocalCloseReason => Bytes(_reason?.Details),
        RequestText.ResponseCodeDetails => Bytes(_reason?.CodeDetails),
        RequestText.NaruReason => _reason is null ? default : Bytes($"{_reason.Code} {_reason.Sentence}"),
        RequestText.UpstreamTransportFailureReason => _upstreamFailure,
        RequestText.DownstreamTransportFailureReason => _downstreamFailure,
        RequestText.DownstreamRemoteAddress => _peer,
        RequestText.DownstreamDirectRemoteAddress => _direct,
        RequestText.DownstreamLocalAddress => _local,
        RequestText.DownstreamDirectLocalAddress => _directLocal,
        RequestText.RequestedServerName => _serverName,
        RequestText.FilterChainName => _chain,
        _ => default,
    };

    public long Number(RequestNumber what) => what switch
    {
        RequestNumber.ResponseCode => 0,
        RequestNumber.BytesReceived or RequestNumber.DownstreamWireBytesReceived or RequestNumber.UpstreamWireBytesSent => _received,
        RequestNumber.BytesSent or RequestNumber.DownstreamWireBytesSent or RequestNumber.UpstreamWireBytesReceived => _sent,
        RequestNumber.UpstreamRequestAttemptCount => _attempts,
        RequestNumber.ConnectionId => id,
        _ => -1,
    };

    public long Nanoseconds(TimePoint point)
    {
        long ticks = point switch
        {
            TimePoint.DownstreamRxBegin => startTicks,
            TimePoint.UpstreamConnectEnd or TimePoint.UpstreamPoolReady => _connectTicks,
            TimePoint.DownstreamRxEnd or TimePoint.DownstreamTxEnd => _endTicks,
            _ => 0,
        };
        return ticks == 0 ? -1 : (long)Stopwatch.GetElapsedTime(startTicks, ticks).TotalNanoseconds;
    }
}

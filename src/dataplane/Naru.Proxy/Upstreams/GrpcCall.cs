// One method of a gRPC service that filters ask: a message out, a message back (gRPC over HTTP/2, "Requests", "Responses"). Knows frames and
// statuses, not messages. Takes nothing for an answer but one whole message, not compressed, and status 0.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using Google.Protobuf;
using Naru.Http.Bodies;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

internal sealed class GrpcMethod
{
    private readonly WeightedTarget _target;
    private readonly byte[] _head;
    private readonly string _path;
    private readonly (byte[] Name, HeaderValueFormat Value)[] _metadata;
    private readonly long _timeoutMs;
    private readonly int _most;
    private readonly bool _skipsOrigin;

    /// <param name="config">The service.</param>
    /// <param name="clusters">All clusters.</param>
    /// <param name="path">Of the method: <c>/PACKAGE.SERVICE/METHOD</c>.</param>
    public GrpcMethod(GrpcServiceConfig config, ClusterDirectory clusters, string path)
    {
        _path = path;
        _target = new WeightedTarget(clusters.GetOrAdd(config.Cluster), 1, null, null);
        _timeoutMs = config.Timeout is { } time ? Math.Max(1, (long)time.TotalMilliseconds) : 0;
        _most = config.MostMessage;
        _skipsOrigin = config.SkipEnvoyHeaders;
        _metadata = [.. config.Metadata.Select(m => (Encoding.ASCII.GetBytes(m.Name), new HeaderValueFormat(m.Value)))];
        string timeout = _timeoutMs == 0 ? "" : _timeoutMs < 100_000_000 ? $"grpc-timeout: {_timeoutMs}m\r\n" : $"grpc-timeout: {_timeoutMs / 1000}S\r\n";
        _head = Encoding.ASCII.GetBytes(
            $"POST {path} HTTP/1.1\r\nhost: {config.Authority}\r\nte: trailers\r\ncontent-type: application/grpc\r\n{timeout}");
    }

    /// <summary>The service's cluster.</summary>
    public string Cluster => _target.Slot.Name;

    /// <summary>A call with a message.</summary>
    public CallOut Call(Exchange x, ReadOnlySpan<byte> message)
    {
        Reports.CallSpan? span = Reports.CallSpan.OfMethod(x, _path, _target.Slot.Name, out TraceContext context);
        CallOut call = Call(x.Worker, x, x.Scratch, message, x, context);
        call.Span = span;
        return call;
    }

    /// <summary>The same about something else than a request.</summary>
    /// <param name="worker">Whose call it is.</param>
    /// <param name="about">What formats of metadata are told.</param>
    /// <param name="scratch">For them to write in.</param>
    /// <param name="message">The message.</param>
    public CallOut Call(Worker worker, IRequestInfo about, LineBuffer scratch, ReadOnlySpan<byte> message) =>
        Call(worker, about, scratch, message, null, default);

    private CallOut Call(Worker worker, IRequestInfo about, LineBuffer scratch, ReadOnlySpan<byte> message, Exchange? x, in TraceContext context)
    {
        var call = new CallOut(worker) { HidesLength = true };
        Begin(call.Call, about, scratch);
        if (context.IsKnown) x!.Manager.Tracing!.Tell(call.Call, x, context);
        call.Append("content-length: "u8);
        call.Append(message.Length + ProtoBody.Prefix);
        call.Append("\r\n\r\n"u8);
        Span<byte> prefix = stackalloc byte[ProtoBody.Prefix];
        ProtoBody.WritePrefix(prefix, message.Length);
        call.Append(prefix);
        call.Append(message);
        return call;
    }

    /// <summary>A stream of messages both ways, which is opened with the first one.</summary>
    /// <param name="x">For whom.</param>
    /// <param name="changed">Called on the worker, when something came of it.</param>
    public GrpcStream Open(Exchange x, Action changed)
    {
        Reports.CallSpan? span = Reports.CallSpan.OfMethod(x, _path, _target.Slot.Name, out TraceContext context);
        GrpcStream stream = Open(x.Worker, x, x.Scratch, changed, x, context);
        stream.Span = span;
        return stream;
    }

    /// <summary>The same for nobody's request.</summary>
    public GrpcStream Open(Worker worker, IRequestInfo about, LineBuffer scratch, Action changed, Exchange? x = null, in TraceContext context = default)
    {
        SideCall call = SideCall.Rent(worker);
        Begin(call, about, scratch);
        if (context.IsKnown) x!.Manager.Tracing!.Tell(call, x, context);
        call.Append("transfer-encoding: chunked\r\n\r\n"u8);
        return new GrpcStream(worker, call, _target, _most, changed);
    }

    private void Begin(SideCall call, IRequestInfo about, LineBuffer scratch)
    {
        call.Append(_head);
        foreach ((byte[] name, HeaderValueFormat format) in _metadata)
        {
            ReadOnlySpan<byte> value = format.Value(about, scratch);
            if (!value.IsEmpty) call.AppendField(name, name.AsSpan().EndsWith("-bin"u8) ? Encoded(value) : value);
        }
        if (!_skipsOrigin) call.AppendOrigin(_timeoutMs, saysAddress: true);
    }

    /// <summary>Asks, and waits. False where the exchange was given up meanwhile.</summary>
    public ValueTask<bool> RunAsync(CallOut call, Exchange x) => call.RunAsync(x, _target, _timeoutMs, _most + ProtoBody.Prefix);

    /// <summary>Asks; <paramref name="ended"/> is called on the call's worker when it is over, maybe at once.</summary>
    /// <param name="call">The call.</param>
    /// <param name="ended">The same.</param>
    /// <param name="ms">Time for it where the service has none of its own; 0 is no bound.</param>
    public void Run(CallOut call, Action<CallOut> ended, long ms = 0) =>
        call.Run(_target, _timeoutMs > 0 ? _timeoutMs : ms, _most + ProtoBody.Prefix, ended);

    /// <summary>The message of an answer; null where it is none.</summary>
    public static T? Read<T>(CallOut call, MessageParser<T> parser) where T : class, IMessage<T>
    {
        if (!TryRead(call, out ReadOnlySpan<byte> message)) return null;
        try
        {
            return parser.ParseFrom(message);
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
    }

    /// <summary>The bytes of an answer's message; false where it is none.</summary>
    public static bool TryRead(CallOut call, out ReadOnlySpan<byte> message)
    {
        message = default;
        if (!call.IsAnswered || call.Answer.Status != 200) return false;
        if (!call.TryGet("grpc-status"u8, out ReadOnlySpan<byte> status) || !status.SequenceEqual("0"u8)) return false;
        ReadOnlySpan<byte> body = call.Body;
        if (!ProtoBody.IsOne(body)) return false;
        message = body[ProtoBody.Prefix..];
        return true;
    }

    // Binary metadata (gRPC over HTTP/2, "Binary-Header").
    private static byte[] Encoded(ReadOnlySpan<byte> value)
    {
        byte[] text = new byte[Base64.GetMaxEncodedToUtf8Length(value.Length)];
        Base64.EncodeToUtf8(value, text, out _, out int written);
        return text.AsSpan(0, written).TrimEnd((byte)'=').ToArray();
    }
}

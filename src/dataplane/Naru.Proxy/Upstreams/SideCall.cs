// A request of the proxy's own, or a copy of one: the same attempt on the same pools and breakers as everybody's, with nobody downstream.
// It is its exchange's client itself: it takes the answer in, up to a limit, or only past. Rented from the worker.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

/// <summary>How a side call ended.</summary>
internal enum SideEnd : byte
{
    /// <summary>An endpoint answered, and all of it was taken.</summary>
    Answered,

    /// <summary>None did; see the reason.</summary>
    NoAnswer,

    /// <summary>The answer ended before its end.</summary>
    Cut,

    /// <summary>It is longer than wanted.</summary>
    TooLarge,
}

/// <summary>What came of a side call.</summary>
/// <param name="End">How it ended.</param>
/// <param name="Status">The answer's status; what a client would have been told where there was none.</param>
/// <param name="Why">Why there was no answer.</param>
internal readonly record struct SideAnswer(SideEnd End, int Status, Reason? Why);

internal sealed class SideCall(Worker worker) : IDownstream, IPooled
{
    private const int MaxHeadBytes = 1024 * 1024, MaxFields = 10_000;

    // Of no listener: what the connection manager adds to messages of clients is not added here, and nothing is counted for anybody.
    private static readonly WorkerLocal<HttpManager> s_manager = new(static worker => new HttpManager(
        new HttpConnectionManagerConfig
        {
            StatPrefix = "side",
            ServerHeader = ServerHeaderTransformation.PassThrough,
            AllowCustomMethods = true,
            SuppressEnvoyHeaders = true,
        },
        new StatRegistry(worker.Index).Block("http.side", HttpStats.Schema), null, null, [], [], new Runtime([])));

    // More than this of an answer's body is not kept room for.
    private const int KeepBytes = 64 * 1024;

    private readonly LineBuffer _head = new(), _trailers = new();
    private LineBuffer _body = new();
    private IoBuffer _request = null!;
    private Exchange? _x;
    private int _most;
    private bool _keeps, _cut, _tooLarge;
    private BodyFeed? _feed;
    private BytesTaker? _taker;

    /// <summary>The answer said a field that belonged to its connection.</summary>
    public bool TakesBack { get; private set; }

    /// <summary>Who was asked last, as logs show it; null for nobody. Once it has run.</summary>
    public byte[]? Endpoint { get; private set; }

    /// <summary>What went wrong.</summary>
    public ResponseFlags Flags { get; private set; }

    bool IPooled.IsRented { get; set; }

    /// <summary>One to be filled; <see cref="Return"/> gives it back.</summary>
    /// <param name="worker">Whose.</param>
    public static SideCall Rent(Worker worker)
    {
        SideCall call = worker.Cache.RentSideCall();
        call._request = worker.Buffers.Rent();
        call.Endpoint = null;
        call.Flags = ResponseFlags.None;
        call.SpeaksHttp2 = true;
        call.HidesLength = false;
        return call;
    }

    /// <summary>Gives it back, and what it holds.</summary>
    public void Return()
    {
        worker.Buffers.Return(_request);
        _request = null!;
        _feed?.Drop(worker.Buffers);
        _feed = null;
        _taker = null;
        if (_body.Capacity > KeepBytes) _body = new LineBuffer();
        worker.Cache.Return(this);
    }

    /// <summary>Its body comes later, and that of the answer is taken as it comes; before it is asked. Its head says that it is chunked.</summary>
    public void Stream(BodyFeed feed, BytesTaker taker) => (_feed, _taker) = (feed, taker);

    /// <summary>The answer's status, once its head is here and while it runs.</summary>
    public int Status => _x?.Status ?? 0;

    /// <summary>Whether a cluster that speaks what its clients speak is to speak HTTP/2.</summary>
    public bool SpeaksHttp2 { get; set; } = true;

    /// <summary>Over HTTP/2 the length of its body is not told: its frames tell it.</summary>
    public bool HidesLength { get; set; }

    /// <summary>The answer's head as HTTP/1 has it, without what belonged to its connection.</summary>
    public ReadOnlySpan<byte> Head => _head.Written;

    /// <summary>The answer's body, where it was to be kept.</summary>
    public ReadOnlySpan<byte> Body => _body.Written;

    /// <summary>Looks up a field of the answer's head, or of its trailers; <paramref name="name"/> in lower case.</summary>
    public bool TryGet(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value) =>
        ResponseWriter.FindHeader(_head.Written, name, out value) || ResponseWriter.FindHeader(_trailers.Written, name, out value);

    /// <summary>Adds to the request: its head as HTTP/1 has it, with <c>content-length</c> where it has a body, and then all of that.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        _request.Append(bytes);
    }

    /// <summary>Adds a number in decimal.</summary>
    public void Append(long number)
    {
        Span<byte> digits = stackalloc byte[20];
        Utf8Formatter.TryFormat(number, digits, out int written);
        Append(digits[..written]);
    }

    /// <summary>Adds a field. What is none is left out: values come from requests and services.</summary>
    public void AppendField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (!Http1Head.IsToken(name) || !Http1Head.IsFieldValue(value)) return;
        Append(name);
        Append(": "u8);
        Append(value);
        Append("\r\n"u8);
    }

    /// <summary>Adds what Envoy adds to requests of its own.</summary>
    /// <param name="timeoutMs">Time for all of it; 0 is no bound.</param>
    /// <param name="saysAddress">Whose request it is, too.</param>
    public void AppendOrigin(long timeoutMs, bool saysAddress)
    {
        Append("x-envoy-internal: true\r\n"u8);
        if (saysAddress) AppendField("x-forwarded-for"u8, TrustedHeaders.Machine ?? "127.0.0.1"u8);
        if (timeoutMs <= 0) return;
        Append("x-envoy-expected-rq-timeout-ms: "u8);
        Append(timeoutMs);
        Append("\r\n"u8);
    }

    /// <summary>Makes room for bytes that are to be added.</summary>
    public void Reserve(long bytes)
    {
        if (_request.Room < bytes) _request = worker.Buffers.Grow(_request, (int)bytes);
    }

    /// <summary>Asks, and takes the answer.</summary>
    /// <param name="target">The cluster.</param>
    /// <param name="timeoutMs">Time for all of it; 0 is no bound.</param>
    /// <param name="idleMs">How long nothing may move; nobody waits for it who would give it up.</param>
    /// <param name="most">Most bytes of the answer's body.</param>
    /// <param name="keeps">Whether its body is wanted.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<SideAnswer> RunAsync(WeightedTarget target, long timeoutMs, long idleMs, int most, bool keeps)
    {
        (_most, _keeps, _cut, _tooLarge) = (most, keeps, false, false);
        _head.Clear();
        _body.Clear();
        _trailers.Clear();
        Exchange x = _x = worker.Cache.RentExchange();
        bool sound = false;
        try
        {
            x.Head.StartRequest();
            x.Head.Parse(_request.Filled, MaxHeadBytes, MaxFields);
            x.Begin(this, null, s_manager.Of(worker), _request, _request.Start, worker.Ticks);
            SideAnswer answer;
            if (RequestCheck.Refusal(x) is { } refusal)
            {
                answer = new SideAnswer(SideEnd.NoAnswer, refusal.Status, refusal);
            }
            else if (target.Slot.Current is not { } cluster)
            {
                answer = new SideAnswer(SideEnd.NoAnswer, Reasons.NoCluster.Status, Reasons.NoCluster);
            }
            else
            {
                _request.Start += x.Head.Length;
                x.StartRequestBody();
                x.Target = target;
                await Forwarder.AskAsync(x, cluster, timeoutMs, idleMs);
                answer = new SideAnswer(EndOf(x), x.Status, x.Reason);
                TakesBack = x.AnswerTakesBack;
                Endpoint = x.Host?.State.DisplayBytes;
                Flags = x.Flags;
            }
            sound = true;
            return answer;
        }
        finally
        {
            _x = null;
            x.End();
            if (sound) worker.Cache.Return(x);
            else worker.Cache.Drop(x);
        }
    }

    /// <summary>Nobody wants the answer any more: what is under way ends soon, maybe at once.</summary>
    public void Cancel() => _x?.GiveUp(AbortReason.DownstreamGone);

    private SideEnd EndOf(Exchange x) =>
        _tooLarge ? SideEnd.TooLarge : _cut ? SideEnd.Cut : x.Reason is not null ? SideEnd.NoAnswer : SideEnd.Answered;

    bool IDownstream.IsOpen => true;

    bool IDownstream.HasEnded => false;

    // The whole request is here from the start, but for a stream; what that began with can be sent anew where nobody processed it.
    void IDownstream.StartBody(Exchange x, BodyKind kind, long length)
    {
        if (_feed is not { } feed) throw new InvalidOperationException("a side call has no tunnel and no body that comes later");
        x.RequestBody.Start(worker, feed);
        x.RequestBody.Keep();
    }

    bool IDownstream.SendInterim(ReadOnlySpan<byte> head) => true;

    void IDownstream.Owe(IoBuffer rest) => throw new InvalidOperationException("a side call takes a head whole");

    // What is not the end is an interim head.
    ValueTask<bool> IDownstream.SendAsync(IoBuffer o, int headBytes, bool end)
    {
        if (end) Take(o, headBytes);
        return new ValueTask<bool>(!_tooLarge);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    async ValueTask<PumpResult> IDownstream.PumpAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked)
    {
        Take(o, (int)x.HeadBytesSent);
        while (!whole && !_tooLarge)
        {
            switch (from.Next())
            {
                case BodyEvent.Data:
                    Take(from);
                    break;
                case BodyEvent.NeedMore:
                    switch (await from.FillAsync())
                    {
                        case FillResult.Filled: x.Touch(); break;
                        case FillResult.Cancelled: return PumpResult.Cancelled;
                        case FillResult.Answered: return PumpResult.SourceAnswered;
                        default: return PumpResult.SourceEnded;
                    }
                    break;
                case BodyEvent.End:
                    TakeTrailers(from);
                    return PumpResult.Done;
                default:
                    return PumpResult.SourceRefused;
            }
        }
        return _tooLarge ? PumpResult.SinkFailed : PumpResult.Done;
    }

    private void Take(IoBuffer o, int headBytes)
    {
        _head.Append(o.Filled[..headBytes]);
        TakeBody(o.Filled[headBytes..]);
        o.Clear();
    }

    private unsafe void Take(BodyReader from) => TakeBody(new ReadOnlySpan<byte>(from.PieceBytes, from.PieceLength));

    private void TakeBody(ReadOnlySpan<byte> bytes)
    {
        if (_taker is { } taker)
        {
            taker(bytes);
            return;
        }
        _most -= bytes.Length;
        _tooLarge = _most < 0;
        if (_keeps && !_tooLarge) _body.Append(bytes);
    }

    private void TakeTrailers(BodyReader from)
    {
        if (!_keeps || from.ReceivedTrailers.Count == 0) return;
        _trailers.Append("\r\n"u8);
        _trailers.Append(from.TrailerBytes);
    }

    void IDownstream.EndSending()
    {
    }

    bool IDownstream.GoesOnAfter(Exchange x) => true;

    // Nothing is waited for on this side but what is said on a stream.
    void IDownstream.Cancel() => _feed?.Cancel();

    void IDownstream.Uncancel() => _feed?.Uncancel();

    void IDownstream.Cut(bool endsWithClose) => _cut = true;
}

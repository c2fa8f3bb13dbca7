// What is known of one try. A new one is assigned whole when the next try begins, so that nothing of a try that failed is told of the one
// that answered, and nobody has to remember to reset anything.
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Upstreams;

internal struct AttemptState
{
    /// <summary>The endpoint, and the worker's connections to it.</summary>
    public Host? Host;
    public HostPool? Pool;

    /// <summary>The cluster as it was when the try began.</summary>
    public Cluster? Cluster;

    /// <summary>The connection over HTTP/1, from taking it until it is given back: what is still here at the try's end is closed.</summary>
    public UpstreamConnection? Connection;

    /// <summary>The connection over HTTP/2, which is shared, and the stream while it is open.</summary>
    public Http2ClientSession? Session;
    public Http2Stream? Stream;

    /// <summary>It is one of the cluster's requests, from the moment it has its connection (Envoy: max_requests).</summary>
    public Permit Request;

    /// <summary>What it went over, from the moment that was ready; also when it was given back, for the log.</summary>
    public UpstreamConnection? Ridden;

    /// <summary>TLS of the connection.</summary>
    public TlsSession? Tls;

    /// <summary>Its span, where tries have some.</summary>
    public Telemetry.SpanRecord? Span;

    /// <summary>The cluster's filters, which see this try and no other; null for none.</summary>
    public FilterRun? Filters;

    /// <summary>It went over HTTP/2.</summary>
    public bool IsHttp2;

    /// <summary>The request on its way: what of it was written and not sent, and the pump that sends its body beside the answer.</summary>
    public IoBuffer? Out;
    public ValueTask<PumpResult> Pump;
    public bool IsPumping;

    /// <summary>What it sends, where the cluster's filters look at the body; null where it sends what all tries do.</summary>
    public BodyReader? Sends;

    /// <summary>What was read over HTTP/1, until the body's reader has it.</summary>
    public IoBuffer? In;

    /// <summary>What it brought, where it brought one.</summary>
    public Answer Answer;

    /// <summary>How it ended, as far as that is known.</summary>
    public AttemptKind Kind;

    /// <summary>Nothing is held any more.</summary>
    public bool IsFinished;

    /// <summary>Its waits have been ended.</summary>
    public bool IsCancelled;

    /// <summary>It waits for the client to take an interim answer of its.</summary>
    public bool TellsClient;

    /// <summary>Its pump has begun to send the request's body.</summary>
    public bool SendsBody;

    /// <summary>Its own time runs, or ran.</summary>
    public bool IsTimed;

    /// <summary>The whole request went out.</summary>
    public bool RequestComplete;

    /// <summary>Its own time is up (Envoy: RetryPolicy.per_try_timeout).</summary>
    public bool TimedOut;

    /// <summary>The same, since nothing came of it for so long (Envoy: RetryPolicy.per_try_idle_timeout).</summary>
    public bool WasIdle;

    /// <summary>It was as long on its way as it may be (Envoy: max_stream_duration of a cluster).</summary>
    public bool Outlived;

    /// <summary>Its answer is one of a canary.</summary>
    public bool IsCanary;

    /// <summary>Another try was granted because of it, while it goes on.</summary>
    public bool IsRetried;

    /// <summary>Who watches endpoints was told how it ended.</summary>
    public bool IsReported;

    /// <summary>Why there was no connection.</summary>
    public ConnectFailure? Unconnected;

    /// <summary>Worker ticks: it had its connection; the answer's first byte came, its last.</summary>
    public long StartTicks, AnswerStartTicks, AnswerEndTicks;

    /// <summary>Worker ticks: the request's last byte was handed on; 0 where that was so when the request ended.</summary>
    public long SentTicks;

    /// <summary>Worker ticks at its beginning, where its cluster records how long tries take.</summary>
    public long BeganTicks;

    /// <summary>Bytes of the answer's head, and of the request's as it was sent.</summary>
    public long HeadBytes, HeadSent;

    /// <summary>Bytes of the latter that are no fields: the first line, and the empty one at the end.</summary>
    public int LineSent;
}

/// <summary>Why a connection was not made.</summary>
/// <param name="Sentence">In our words.</param>
/// <param name="Words">For <c>%UPSTREAM_TRANSPORT_FAILURE_REASON%</c>; may be empty.</param>
internal sealed record ConnectFailure(string Sentence, byte[] Words);

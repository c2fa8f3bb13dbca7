// How long a request may take and how often it is tried where the request itself has a say: grpc-timeout of any client, x-envoy-* of
// internal ones, or of a filter (Envoy: router filter, "HTTP headers (consumed from downstreams)"; RouteAction.max_stream_duration and max_grpc_timeout).
// What cannot be read is ignored, what is absurd is cut to a bound. Strangers' x-envoy-* never count.
using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

internal static class RequestLimits
{
    /// <summary>Longest timeout that is taken from a request, ms: ten years.</summary>
    public const long MostMs = 10L * 365 * 24 * 3600 * 1000;

    private const int MostRetries = 1000;
    private const int MostNames = 32;
    private const long MostGrpcDigits = 99_999_999;

    private static readonly (byte[] Token, RetryOn On)[] s_conditions = Bytes(RetryTokens.Http), s_grpcConditions = Bytes(RetryTokens.Grpc);

    // What the router takes in and does not pass on; internal clients alone may ask for it (TrustedHeaders).
    private static readonly byte[][] s_consumed =
    [
        "x-envoy-upstream-rq-timeout-ms"u8.ToArray(), "x-envoy-upstream-rq-per-try-timeout-ms"u8.ToArray(), "x-envoy-upstream-rq-timeout-alt-response"u8.ToArray(),
        "x-envoy-max-retries"u8.ToArray(), "x-envoy-retry-on"u8.ToArray(), "x-envoy-retry-grpc-on"u8.ToArray(), "x-envoy-retriable-status-codes"u8.ToArray(),
        "x-envoy-retriable-header-names"u8.ToArray(), "x-envoy-hedge-on-per-try-timeout"u8.ToArray(),
        "x-envoy-upstream-alt-stat-name"u8.ToArray(), "x-envoy-upstream-stream-duration-ms"u8.ToArray(),
    ];

    /// <summary>Names of the fields by which internal clients ask something of the router alone; all begin with <c>x-envoy-</c>.</summary>
    public static ReadOnlySpan<byte[]> Consumed => s_consumed;

    /// <summary>Takes out what internal clients ask of the router alone.</summary>
    public static void TakeConsumed(Exchange x, RequestHeaders head)
    {
        // A timeout that had no say is passed on (Envoy: respect_expected_rq_timeout).
        bool unread = x.Manager.Config.RespectExpectedTimeout && head.Has("x-envoy-expected-rq-timeout-ms"u8);
        foreach (byte[] name in unread ? s_consumed.AsSpan(1) : s_consumed) head.Remove(name);
    }

    /// <summary>Changes the limits that the exchange has from its route by what the request says. Where no time is left from the start,
    /// the exchange is given up.</summary>
    public static void Apply(Exchange x, ForwardAction action)
    {
        long grpc = GrpcTimeout(x);
        if (action.Config.StreamLimits is null) ByMaxGrpc(x, action.Config, Math.Max(0, grpc));
        ByStreamLimits(x, action, grpc);
        if (HasInternalFields(x)) ByHeaders(x);
        if (x.TimeoutMs > 0 && x.PerTryMs >= x.TimeoutMs) x.PerTryMs = 0;
        if (x.GrpcTimeoutMs == ToBeExpected) x.GrpcTimeoutMs = Expected(x) is > 0 and long expected ? expected : -1;
    }

    // The place of a timeout that is known when all else is.
    private const long ToBeExpected = long.MaxValue;

    // The deprecated pair: the route's timeout is the call's, 0 of either is infinite (RouteAction.max_grpc_timeout).
    private static void ByMaxGrpc(Exchange x, ForwardActionConfig config, long grpc)
    {
        if (config.MaxGrpcTimeout is not { } most || !IsGrpc(x)) return;
        // An offset that would leave nothing is left out.
        if (config.GrpcTimeoutOffset is { } offset && Ms(offset) < grpc) grpc -= Ms(offset);
        if (most > TimeSpan.Zero && (grpc == 0 || grpc > Ms(most))) grpc = Ms(most);
        x.TimeoutMs = grpc;
        x.IsTimeClients = grpc > 0;
        x.GrpcTimeoutMs = ToBeExpected;
    }

    // RouteAction.MaxStreamDuration; without grpc_timeout_header_max the header only learns what the limit is.
    private static void ByStreamLimits(Exchange x, ForwardAction action, long grpc)
    {
        StreamLimitsConfig? limits = action.Config.StreamLimits;
        long life = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs;
        if (grpc < 0)
        {
            // A call without a deadline of its own is told the one that it has.
            if (limits is not null && life > 0 && IsGrpc(x)) x.GrpcTimeoutMs = life;
            return;
        }
        if (limits?.GrpcTimeoutHeaderMax is not { } most)
        {
            // Envoy would also write a longer life than the client gave; we never promise more than was asked for.
            if (life > 0 && x.GrpcTimeoutMs < 0) x.GrpcTimeoutMs = Math.Min(life, grpc);
            return;
        }
        if (most > TimeSpan.Zero) grpc = Math.Min(grpc, Ms(most));
        if (limits.GrpcTimeoutHeaderOffset is { } offset) grpc = Math.Max(0, grpc - Ms(offset));
        x.GrpcTimeoutMs = grpc;
        x.Deadlines.Stream = x.Worker.Now + grpc;
        if (grpc == 0) x.Abort = AbortReason.MaxDuration;
    }

    private static bool HasInternalFields(Exchange x) => x.RequestHeaders.Has(KnownHeader.Internal);

    // Envoy: router filter, x-envoy-upstream-rq-timeout-ms and those that follow it there.
    private static void ByHeaders(Exchange x)
    {
        if (x.Manager.Config.RespectExpectedTimeout && Field(x, "x-envoy-expected-rq-timeout-ms"u8, out ReadOnlySpan<byte> value)) SetTimeout(x, value);
        else if (Field(x, "x-envoy-upstream-rq-timeout-ms"u8, out value)) SetTimeout(x, value);
        if (Field(x, "x-envoy-upstream-rq-per-try-timeout-ms"u8, out value) && TryNumber(value, out long perTry)) x.PerTryMs = Math.Min(perTry, MostMs);
        if (Field(x, "x-envoy-upstream-stream-duration-ms"u8, out value) && TryNumber(value, out long life)) x.UpstreamLifeMs = Math.Min(life, MostMs);
        if (Field(x, "x-envoy-upstream-rq-timeout-alt-response"u8, out _)) x.TimesOutWith204 = true;
        if (Field(x, "x-envoy-hedge-on-per-try-timeout"u8, out value))
        {
            if (value.SequenceEqual("true"u8)) x.Hedges = true;
            else if (value.SequenceEqual("false"u8)) x.Hedges = false;
        }
        // A name takes one of few places for good: who only asks takes none.
        if (x.Explanation is not { IsLive: false }) NameStats(x);
        ByRetryHeaders(x);
    }

    /// <summary>Finds the statistics that the caller named, of the request's cluster (Envoy: x-envoy-upstream-alt-stat-name).</summary>
    public static void NameStats(Exchange x) =>
        x.AltStats = HasInternalFields(x) && Field(x, "x-envoy-upstream-alt-stat-name"u8, out ReadOnlySpan<byte> value)
            ? x.Target!.Slot.Answers!.Named(value) : null;

    private static void SetTimeout(Exchange x, ReadOnlySpan<byte> value)
    {
        if (!TryNumber(value, out long ms)) return;
        x.TimeoutMs = Math.Min(ms, MostMs);
        x.IsTimeClients = true;
        if (x.GrpcTimeoutMs != ToBeExpected && x.GrpcTimeoutMs > x.TimeoutMs && x.TimeoutMs > 0) x.GrpcTimeoutMs = x.TimeoutMs;
    }

    private static void ByRetryHeaders(Exchange x)
    {
        RetryOn on = x.Retry?.On ?? RetryOn.None;
        if (Field(x, "x-envoy-retry-on"u8, out ReadOnlySpan<byte> value)) on |= Conditions(value, s_conditions);
        if (Field(x, "x-envoy-retry-grpc-on"u8, out value)) on |= Conditions(value, s_grpcConditions);
        if (on == RetryOn.None) return;
        RetryPolicyConfig policy = x.Retry ?? new RetryPolicyConfig();
        if (policy.On != on) policy = policy with { On = on };
        if (Field(x, "x-envoy-max-retries"u8, out value) && TryNumber(value, out long most)) policy = policy with { NumRetries = (int)Math.Min(most, MostRetries) };
        // These two are for internal clients alone, whoever wrote them (Envoy docs: router).
        bool isInternal = ClientAddress.IsInternal(x);
        if (isInternal && Field(x, "x-envoy-retriable-status-codes"u8, out value)) policy = policy with { RetriableStatusCodes = Codes(policy.RetriableStatusCodes, value) };
        if (isInternal && Field(x, "x-envoy-retriable-header-names"u8, out value)) policy = policy with { RetriableHeaders = Names(value) };
        x.Retry = policy;
    }

    private static (byte[] Token, RetryOn On)[] Bytes(IReadOnlyList<(string Token, RetryOn On)> tokens) =>
        [.. tokens.Select(t => (Encoding.ASCII.GetBytes(t.Token), t.On))];

    private static RetryOn Conditions(ReadOnlySpan<byte> list, (byte[] Token, RetryOn On)[] known)
    {
        RetryOn on = RetryOn.None;
        foreach (Range range in list.Split((byte)','))
        {
            ReadOnlySpan<byte> token = Http1Framing.Trim(list[range]);
            foreach ((byte[] name, RetryOn condition) in known) if (token.SequenceEqual(name)) on |= condition;
        }
        return on;
    }

    private static ImmutableArray<int> Codes(ImmutableArray<int> configured, ReadOnlySpan<byte> list)
    {
        ImmutableArray<int>.Builder codes = configured.ToBuilder();
        foreach (Range range in list.Split((byte)','))
        {
            if (TryNumber(Http1Framing.Trim(list[range]), out long code) && code is >= 100 and <= 599 && codes.Count < configured.Length + MostNames) codes.Add((int)code);
        }
        return codes.ToImmutable();
    }

    private static ImmutableArray<string> Names(ReadOnlySpan<byte> list)
    {
        var names = ImmutableArray.CreateBuilder<string>();
        foreach (Range range in list.Split((byte)','))
        {
            ReadOnlySpan<byte> name = Http1Framing.Trim(list[range]);
            if (Http1Head.IsToken(name) && names.Count < MostNames) names.Add(Encoding.ASCII.GetString(name).ToLowerInvariant());
        }
        return names.ToImmutable();
    }

    /// <summary>What the upstream is told to expect, ms; 0 is nothing (Envoy: x-envoy-expected-rq-timeout-ms). A further try has what is left.</summary>
    public static long Expected(Exchange x)
    {
        // A try that is not ended when its time is over may take what the route has.
        long expected = x.PerTryMs > 0 && !x.Hedges ? x.PerTryMs : x.TimeoutMs;
        return x.Attempts > 1 && x.Deadlines.Route != TimerNode.Never ? Math.Clamp(x.Deadlines.Route - x.Worker.Now, 1, expected) : expected;
    }

    /// <summary>The answer to a timeout: 204 where an internal client wants that (Envoy: x-envoy-upstream-rq-timeout-alt-response).
    /// A gRPC client gets its status all the same.</summary>
    public static Reason Answer(Exchange x, Reason reason) =>
        x.TimesOutWith204 && !IsGrpc(x) ? reason with { Status = 204, Body = "" } : reason;

    /// <summary><c>grpc-timeout</c> in the finest unit in which its eight digits hold it; nothing is shorter than one millisecond. Bytes written.</summary>
    public static int FormatGrpcTimeout(long ms, Span<byte> into)
    {
        byte unit = (byte)'m';
        long value = Math.Max(1, ms);
        if (value > MostGrpcDigits) (value, unit) = (value / 1000, (byte)'S');
        if (value > MostGrpcDigits) (value, unit) = (value / 60, (byte)'M');
        if (value > MostGrpcDigits) (value, unit) = (Math.Min(value / 60, MostGrpcDigits), (byte)'H');
        value.TryFormat(into, out int written);
        into[written] = unit;
        return written + 1;
    }

    /// <summary>Reads <c>grpc-timeout</c>: one to eight digits and a unit (gRPC over HTTP/2, "Requests"). Parts of a millisecond count as one.</summary>
    public static bool TryGrpcTimeout(ReadOnlySpan<byte> text, out long ms)
    {
        ms = 0;
        if (text.Length is < 2 or > 9 || !TryNumber(text[..^1], out long value)) return false;
        ms = text[^1] switch
        {
            (byte)'H' => value * 3_600_000,
            (byte)'M' => value * 60_000,
            (byte)'S' => value * 1000,
            (byte)'m' => value,
            (byte)'u' => (value + 999) / 1000,
            (byte)'n' => (value + 999_999) / 1_000_000,
            _ => -1,
        };
        ms = Math.Min(ms, MostMs);
        return ms >= 0;
    }

    // -1 where there is none, or it cannot be read, or it is said twice.
    private static long GrpcTimeout(Exchange x)
    {
        RequestHeaders head = x.RequestHeaders;
        int index = head.Next("grpc-timeout"u8);
        return index >= 0 && head.Next("grpc-timeout"u8, index + 1) < 0 && TryGrpcTimeout(head.Value(index), out long ms) ? ms : -1;
    }

    private static bool Field(Exchange x, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value) => x.RequestHeaders.TryGet(name, out value);

    /// <summary>Whether one of the headers that <c>strict_check_headers</c> may name can be read (Envoy: Router.strict_check_headers).</summary>
    public static bool IsReadable(string name, ReadOnlySpan<byte> value) => name switch
    {
        "x-envoy-retry-on" => AllKnown(value, s_conditions),
        "x-envoy-retry-grpc-on" => AllKnown(value, s_grpcConditions),
        _ => TryNumber(value, out _),
    };

    private static bool AllKnown(ReadOnlySpan<byte> list, (byte[] Token, RetryOn On)[] known)
    {
        foreach (Range range in list.Split((byte)','))
        {
            ReadOnlySpan<byte> token = Http1Framing.Trim(list[range]);
            bool found = token.IsEmpty || token.SequenceEqual("http3-post-connect-failure"u8);
            foreach ((byte[] name, _) in known) found |= token.SequenceEqual(name);
            if (!found) return false;
        }
        return true;
    }

    // Digits alone; what is longer than any number we take counts as the largest.
    private static bool TryNumber(ReadOnlySpan<byte> text, out long value)
    {
        value = 0;
        if (text.Length is 0 or > 20 || text.ContainsAnyExceptInRange((byte)'0', (byte)'9')) return false;
        foreach (byte b in text) value = Math.Min(MostMs * 10, value * 10 + (b - '0'));
        return true;
    }

    private static bool IsGrpc(Exchange x) => x.Web != GrpcWebForm.None || ReplyForms.IsGrpc(x);

    private static long Ms(TimeSpan time) => (long)time.TotalMilliseconds;
}

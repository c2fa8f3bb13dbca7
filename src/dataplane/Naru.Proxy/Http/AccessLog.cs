// One access log, compiled: what a line says, which entries get one, where it goes; and the filters, for logs and for local replies.
// Reads requests and connections through IRequestInfo; of the request's headers only an exchange has any.
using Naru.Proxy.Config;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>Whether an entry passes.</summary>
/// <param name="info">What is logged.</param>
/// <param name="x">The same as an exchange; null for connections.</param>
internal delegate bool LogFilter(IRequestInfo info, Exchange? x);

/// <summary>An access log.</summary>
/// <param name="Format">What a line says; null where a service takes entries.</param>
/// <param name="Sink">Where it goes; the same.</param>
/// <param name="Filter">Which entries get a line; null is all of them.</param>
internal sealed record AccessLog(AccessLogFormat? Format, AccessLogSink? Sink, LogFilter? Filter)
{
    /// <summary>Writes the line of an entry that passes.</summary>
    public void Write(IRequestInfo info, Exchange? x, LineBuffer scratch, int worker)
    {
        if (Filter is not null && !Filter(info, x)) return;
        if (Service is { } service)
        {
            service.Write(info, x, worker);
            return;
        }
        scratch.Clear();
        Format!.Write(info, scratch);
        Sink!.Write(worker, scratch.Written);
    }

    /// <summary>Who takes entries in place of a file; null for a file.</summary>
    public Reports.ServiceLog? Service { get; init; }
}

/// <summary>Compiles filters (Envoy: AccessLogFilter).</summary>
internal static class LogFilters
{
    public static LogFilter Compile(LogFilterConfig config, Runtime runtime)
    {
        switch (config)
        {
            case StatusCodeFilterConfig status:
                RuntimeSlot code = runtime.Slot(status.RuntimeKey);
                return (info, _) => Compare(status.Op, info.Number(RequestNumber.ResponseCode), (long)code.Integer((ulong)status.Value));
            case DurationFilterConfig duration:
                RuntimeSlot time = runtime.Slot(duration.RuntimeKey);
                return (info, x) => Lasted(info, x) is >= 0 and var ms && Compare(duration.Op, ms, (long)time.Integer((ulong)duration.Value));
            case NotHealthCheckFilterConfig:
                return static (_, x) => x is not { IsHealthCheck: true };
            case TraceableFilterConfig:
                return static (_, x) => x is { Trace.Reason: Reports.TraceReason.ServiceForced };
            case RuntimeFilterConfig share:
                RuntimeSlot drawn = runtime.Slot(share.RuntimeKey);
                return (info, x) => drawn.Value is { } now && (now.PerMillion is not null || now.Integer is not null)
                    ? Drawn(info, x, share.Independent) % 1_000_000 < drawn.PerMillion(0)
                    : Drawn(info, x, share.Independent) % share.Denominator < share.Numerator;
            case AndFilterConfig and:
                LogFilter[] all = [.. and.Filters.Select(f => Compile(f, runtime))];
                return (info, x) => Array.TrueForAll(all, f => f(info, x));
            case OrFilterConfig or:
                LogFilter[] any = [.. or.Filters.Select(f => Compile(f, runtime))];
                return (info, x) => Array.Exists(any, f => f(info, x));
            case HeaderFilterConfig header:
                var matcher = new HeaderMatcher(header.Header);
                bool none = matcher.MatchesNone();
                return (_, x) => x is { Head.Length: > 0 } ? matcher.Matches(x.RequestHeaders) : none;
            case ResponseFlagFilterConfig flags:
                return (info, _) => flags.Flags == ResponseFlags.None ? info.Flags != ResponseFlags.None : (info.Flags & flags.Flags) != ResponseFlags.None;
            case GrpcStatusFilterConfig grpc:
                return (info, _) => grpc.Statuses.Contains(GrpcCodes.Of(info) is >= 0 and var status ? status : 2) != grpc.Exclude;
            case MetadataFilterConfig metadata:
                var compared = new MetadataMatcher(metadata.Matcher);
                return (info, _) => info.Metadata(MetadataSource.Dynamic) is var said && compared.Finds(said) ? compared.Matches(said)
                    : metadata.MatchIfKeyNotFound;
            case ExpressionFilterConfig asked:
                return (info, _) => asked.Expression.Holds(info) == true;
            case LogTypeFilterConfig types:
                byte[][] names = [.. types.Types.Select(System.Text.Encoding.ASCII.GetBytes)];
                return (info, _) => Named(names, info.LogType) != types.Exclude;
            default:
                throw new ArgumentException($"{config.GetType().Name} is no filter of log entries");
        }
    }

    // In ms; of what goes on, until now.
    private static long Lasted(IRequestInfo info, Exchange? x) =>
        info.Nanoseconds(TimePoint.DownstreamTxEnd) is >= 0 and var ns ? ns / 1_000_000 : x?.AgeMs ?? -1;

    private static bool Named(byte[][] names, ReadOnlySpan<byte> name)
    {
        foreach (byte[] one in names) if (name.SequenceEqual(one)) return true;
        return false;
    }

    private static bool Compare(ComparisonOp op, long value, long with) => op switch
    {
        ComparisonOp.Eq => value == with,
        ComparisonOp.Ge => value >= with,
        ComparisonOp.Le => value <= with,
        _ => value != with,
    };

    // The first eight digits of the request's id, so that every proxy on its way draws the same; chance where there are none.
    private static uint Drawn(IRequestInfo info, Exchange? x, bool independent)
    {
        if (!independent && info.TryGetHeader(HeaderSource.Request, "x-request-id"u8, out ReadOnlySpan<byte> id) && id.Length >= 8
            && System.Buffers.Text.Utf8Parser.TryParse(id[..8], out uint drawn, out int used, 'x') && used == 8) return drawn;
        return x is null ? (uint)Random.Shared.Next() : (uint)x.Worker.Random.Next();
    }
}

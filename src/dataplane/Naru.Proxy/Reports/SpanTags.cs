// Names and words of what spans say (Envoy docs: tracing, "What data each trace contains"), and how they are taken from a request.
using System.Buffers.Text;
using System.Text;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

internal static class SpanTags
{
    public static readonly byte[] Component = B("component"), DownstreamCluster = B("downstream_cluster"), Error = B("error"),
        RequestId = B("guid:x-request-id"),
        ClientTraceId = B("guid:x-client-trace-id"), Method = B("http.method"), Protocol = B("http.protocol"),
            Status = B("http.status_code"), Url = B("http.url"),
        NodeId = B("node_id"), Zone = B("zone"), Peer = B("peer.address"), RequestSize = B("request_size"),
            ResponseSize = B("response_size"), Flags = B("response_flags"),
        UpstreamCluster = B("upstream_cluster"), UpstreamClusterName = B("upstream_cluster.name"), UpstreamAddress = B("upstream_address"),
            UserAgent = B("user_agent"),
        RetryCount = B("retry.count"), Canceled = B("canceled"), ErrorReason = B("error.reason"), GrpcPath = B("grpc.path"),
            GrpcAuthority = B("grpc.authority"),
        GrpcContentType = B("grpc.content_type"), GrpcTimeout = B("grpc.timeout"), GrpcStatus = B("grpc.status_code"),
            GrpcMessage = B("grpc.message"),
        AuthzStatus = B("ext_authz_status"), RateLimitStatus = B("ratelimit_status");

    public static readonly byte[] Proxy = B("proxy"), True = B("true"), None = B("-");

    // As Envoy names them, in the order in which they come.
    private static readonly (TimePoint Point, string What)[] s_moments =
    [
        (TimePoint.DownstreamRxEnd, "last_downstream_rx_byte_received"), (TimePoint.UpstreamTxBegin, "first_upstream_tx_byte_sent"),
        (TimePoint.UpstreamTxEnd, "last_upstream_tx_byte_sent"), (TimePoint.UpstreamRxBegin, "first_upstream_rx_byte_received"),
        (TimePoint.UpstreamRxEnd, "last_upstream_rx_byte_received"), (TimePoint.DownstreamTxBegin, "first_downstream_tx_byte_sent"),
        (TimePoint.DownstreamTxEnd, "last_downstream_tx_byte_sent"),
    ];

    private static byte[] B(string name) => Encoding.ASCII.GetBytes(name);

    /// <summary>Adds the moments of a request.</summary>
    public static void Moments(SpanRecord span, IRequestInfo info)
    {
        foreach ((TimePoint point, string what) in s_moments)
            if (info.Nanoseconds(point) is >= 0 and var ns) span.Event(span.Start + ns, what);
    }

    /// <summary>A header, or a dash.</summary>
    public static void Header(SpanRecord span, byte[] tag, IRequestInfo info, ReadOnlySpan<byte> name, bool orDash)
    {
        if (info.TryGetHeader(HeaderSource.Request, name, out ReadOnlySpan<byte> value)) span.Tag(tag, value);
        else if (orDash) span.Tag(tag, None);
    }

    /// <summary>What went wrong, in the words of logs.</summary>
    public static void ResponseFlagsOf(SpanRecord span, ResponseFlags flags, LineBuffer scratch)
    {
        scratch.Clear();
        ResponseFlagNames.Append(flags, scratch);
        span.Tag(Flags, scratch.Length == 0 ? None : scratch.Written);
    }

    /// <summary>A status of HTTP; 0 is none.</summary>
    public static void StatusOf(SpanRecord span, int status)
    {
        span.Tag(Status, status);
        if (status >= 500 || (status >= 400 && span.Kind == SpanKind.Client)) span.Status = SpanStatus.Error;
        if (status is 0 or >= 500) span.Tag(Error, True);
    }

    /// <summary>What an answer of gRPC says, in its headers or trailers.</summary>
    public static void GrpcAnswer(SpanRecord span, IRequestInfo info)
    {
        foreach (HeaderSource source in (ReadOnlySpan<HeaderSource>)[HeaderSource.Response, HeaderSource.ResponseTrailer])
        {
            if (info.TryGetHeader(source, "grpc-message"u8, out ReadOnlySpan<byte> message)) span.Tag(GrpcMessage, message);
            if (!info.TryGetHeader(source, "grpc-status"u8, out ReadOnlySpan<byte> text)) continue;
            span.Tag(GrpcStatus, text);
            GrpcEnd(span, Utf8Parser.TryParse(text, out int status, out int used) && used == text.Length ? status : 2);
        }
    }

    /// <summary>How a call of gRPC ended: a server answers for its own faults only (OpenTelemetry: semantic conventions for
    /// gRPC).</summary>
    public static void GrpcEnd(SpanRecord span, int status)
    {
        bool fault = status is 2 or 4 or 12 or 13 or 14 or 15;
        if (fault) span.Tag(Error, True);
        if (fault || (status != 0 && span.Kind == SpanKind.Client)) span.Status = SpanStatus.Error;
        else if (span.Status == SpanStatus.None) span.Status = SpanStatus.Unset;
    }
}

/// <summary>Custom tags, compiled.</summary>
internal sealed class CustomTags
{
    private readonly List<(byte[] Tag, CustomTagConfig Config, byte[] Default, byte[] Name, byte[][] Path,
        AccessLogFormat? Format)> _tags = [];

    /// <param name="all">Of two of a name the later counts.</param>
    public CustomTags(IEnumerable<CustomTagConfig> all)
    {
        var last = new Dictionary<string, CustomTagConfig>(StringComparer.Ordinal);
        foreach (CustomTagConfig tag in all) last[tag.Tag] = tag;
        foreach (CustomTagConfig tag in last.Values)
        {
            byte[] name = Encoding.UTF8.GetBytes(tag.Tag);
            _tags.Add(tag switch
            {
                LiteralTagConfig literal => (name, tag, Encoding.UTF8.GetBytes(literal.Value), [], [], null),
                HeaderTagConfig header => (name, tag, Encoding.UTF8.GetBytes(header.Default), Encoding.ASCII.GetBytes(header.Name), [],
                    null),
                MetadataTagConfig metadata => (name, tag, Encoding.UTF8.GetBytes(metadata.Default), [],
                    [Encoding.UTF8.GetBytes(metadata.Key), .. metadata.Path.Select(Encoding.UTF8.GetBytes)], null),
                FormatTagConfig format => (name, tag, [], [], [], AccessLogFormat.Compile(format.Format, new Core.Diagnostics(),
                    FormatUse.HeaderValue)),
                _ => throw new ArgumentException($"{tag.GetType().Name} is no tag"),
            });
        }
    }

    /// <summary>There is none.</summary>
    public bool IsEmpty => _tags.Count == 0;

    /// <summary>Takes a tag's value.</summary>
    public delegate void Taker(byte[] tag, ReadOnlySpan<byte> value);

    /// <summary>Says all that have a value.</summary>
    public void Say(IRequestInfo info, LineBuffer scratch, Taker taker)
    {
        foreach ((byte[] tag, CustomTagConfig config, byte[] standard, byte[] name, byte[][] path, AccessLogFormat? format) in _tags)
        {
            scratch.Clear();
            ReadOnlySpan<byte> value = standard;
            switch (config)
            {
                case HeaderTagConfig:
                    if (info.TryGetHeader(HeaderSource.Request, name, out ReadOnlySpan<byte> header)) value = header;
                    break;
                case MetadataTagConfig metadata:
                    if (info.Metadata(metadata.Source)?.Find(path) is not { } found) break;
                    if (found.Kind == MetaKind.Null) break;
                    if (found.Kind == MetaKind.Text) value = found.Text;
                    else
                    {
                        found.WriteJson(scratch);
                        value = scratch.Written;
                    }
                    break;
                case FormatTagConfig:
                    format?.Write(info, scratch);
                    value = scratch.Written;
                    break;
            }
            if (!value.IsEmpty) taker(tag, value);
        }
    }
}

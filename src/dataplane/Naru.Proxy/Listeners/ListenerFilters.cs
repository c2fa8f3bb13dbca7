// Listener filters compiled: what is done with a new connection before its chain is picked. Their work on the socket is
// AcceptedConnection's; here are their kinds and their counters (Envoy: listener filters).
using Naru.Proxy.Config;
using Naru.Proxy.Network;
using Naru.Telemetry;

namespace Naru.Proxy.Listeners;

internal abstract class ListenerFilter
{
    /// <summary>Ports whose connections pass it by; null for none.</summary>
    public PortRanges? Except { get; private set; }

    /// <summary>Compiles one.</summary>
    public static ListenerFilter Make(ListenerFilterConfig config, StatRegistry stats, Runtime runtime)
    {
        ListenerFilter made = Kind(config, stats, runtime);
        made.Except = config.Except;
        return made;
    }

    private static ListenerFilter Kind(ListenerFilterConfig config, StatRegistry stats, Runtime runtime) => config switch
    {
        TlsInspectorConfig => new TlsInspector(stats.Block("tls_inspector", TlsInspectorStats.Schema)),
        HttpInspectorConfig => new HttpInspector(stats.Block("http_inspector", HttpInspectorStats.Schema)),
        OriginalDstFilterConfig => new OriginalDstFilter(),
        OriginalSrcConfig source => new OriginalSrcFilter(source),
        ProxyProtocolFilterConfig proxy => new ProxyProtocolFilter(
            proxy, stats.Block(Filters.AccessStats.Scope("proxy_proto", proxy.StatPrefix), ProxyProtocolStats.Schema)),
        ListenerRateLimitConfig limit => new ListenerRateLimit(
            limit, new TokenBucket(limit.Bucket, Environment.TickCount64), stats.Block($"listener_local_ratelimit.{limit.StatPrefix}", RateLimitStats.Schema),
            new RuntimeSwitch(limit.Switch, runtime)),
        _ => throw new ArgumentException($"no listener filter {config.GetType().Name}"),
    };
}

internal sealed class TlsInspector(StatBlock stats) : ListenerFilter
{
    public StatBlock Stats { get; } = stats;
}

internal sealed class HttpInspector(StatBlock stats) : ListenerFilter
{
    public StatBlock Stats { get; } = stats;
}

internal sealed class OriginalDstFilter : ListenerFilter;

internal sealed class OriginalSrcFilter(OriginalSrcConfig config) : ListenerFilter
{
    public OriginalSrcConfig Config { get; } = config;
}

internal sealed class ProxyProtocolFilter(ProxyProtocolFilterConfig config, StatBlock stats) : ListenerFilter
{
    public ProxyProtocolFilterConfig Config { get; } = config;
    public StatBlock Stats { get; } = stats;
}

internal sealed class ListenerRateLimit(ListenerRateLimitConfig config, TokenBucket bucket, StatBlock stats, RuntimeSwitch enabled) : ListenerFilter
{
    public bool IsOn => enabled.IsOn;
    public ListenerRateLimitConfig Config { get; } = config;
    public TokenBucket Bucket { get; } = bucket;
    public StatBlock Stats { get; } = stats;
}

internal static class TlsInspectorStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int TlsFound = Schema.Counter("tls_found");
    public static readonly int TlsNotFound = Schema.Counter("tls_not_found");
    public static readonly int SniFound = Schema.Counter("sni_found");
    public static readonly int SniNotFound = Schema.Counter("sni_not_found");
    public static readonly int AlpnFound = Schema.Counter("alpn_found");
    public static readonly int AlpnNotFound = Schema.Counter("alpn_not_found");
    public static readonly int TooLarge = Schema.Counter("client_hello_too_large");
}

internal static class HttpInspectorStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Http10Found = Schema.Counter("http10_found");
    public static readonly int Http11Found = Schema.Counter("http11_found");
    public static readonly int Http2Found = Schema.Counter("http2_found");
    public static readonly int HttpNotFound = Schema.Counter("http_not_found");
    public static readonly int ReadError = Schema.Counter("read_error");
}

internal static class ProxyProtocolStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int NotFoundAllowed = Schema.Counter("not_found_allowed");
    public static readonly int NotFoundDisallowed = Schema.Counter("not_found_disallowed");
    public static readonly int[] Found = [Schema.Counter("versions.v1.found"), Schema.Counter("versions.v2.found")];
    public static readonly int[] Disallowed = [Schema.Counter("versions.v1.disallowed"), Schema.Counter("versions.v2.disallowed")];
    public static readonly int[] Error = [Schema.Counter("versions.v1.error"), Schema.Counter("versions.v2.error")];
}

internal static class RateLimitStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int RateLimited = Schema.Counter("rate_limited");
}

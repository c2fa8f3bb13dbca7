// envoy.filters.http.dynamic_forward_proxy: how its configuration is read, in the chain and at routes. Clusters of its own for each host
// (sub_cluster_config) are refused by name.
using System.Text;
using Envoy.Extensions.Filters.Http.DynamicForwardProxy.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.DynamicForwardProxy;

/// <summary>Hosts that requests name are looked up before the requests go on (Envoy docs: dynamic forward proxy).</summary>
public sealed class DynamicForwardProxyExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.dynamic_forward_proxy";

    /// <inheritdoc/>
    public override MessageDescriptor Message => FilterConfig.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => PerRouteConfig.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.dynamic_forward_proxy.v2alpha.FilterConfig";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig
          + dns_cache_config save_upstream_address
          - sub_cluster_config: use dns_cache_config
          - allow_dynamic_host_from_filter_state: name the host in the request, or with host_rewrite_header
        envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig
          + host_rewrite_literal host_rewrite_header

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (FilterConfig)message;
        var settings = new ClusterConfig { Name = "", Type = DiscoveryType.DynamicForwardProxy };
        if (filter.DnsCacheConfig is { } cache) settings = DnsResolvers.OfCache(scope.In("dns_cache_config", cache), cache, settings);
        else if (filter.SubClusterConfig is null) scope.Error("dns_cache_config", "NARU-C101", "\"dns_cache_config\" is required", "write the cluster's");
        return new ForwardProxySettings(settings, filter.SaveUpstreamAddress);
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (PerRouteConfig)message;
        string header = entry.HostRewriteHeader.ToLowerInvariant();
        if (header.Length > 0) Values.HeaderName(scope, "host_rewrite_header", header);
        if (entry.HostRewriteLiteral.Any(c => c is <= ' ' or > '~' or '/'))
            scope.Error("host_rewrite_literal", "NARU-C107", $"\"{entry.HostRewriteLiteral}\" is not a host", "write a name, and perhaps a port");
        return new ForwardProxyRoute(Bytes(entry.HostRewriteLiteral), Bytes(header));
    }

    private static byte[]? Bytes(string text) => text.Length > 0 ? Encoding.Latin1.GetBytes(text) : null;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context)
    {
        var own = (ForwardProxySettings)settings;
        return new DynamicForwardProxyFilter(context.Clusters.Caches.Of(own.DnsCache), own.SavesAddress);
    }
}

/// <summary>What the filter says.</summary>
/// <param name="DnsCache">How names are looked up and kept.</param>
/// <param name="SavesAddress">The address that was found becomes filter state.</param>
internal sealed record ForwardProxySettings(ClusterConfig DnsCache, bool SavesAddress) : IHasDnsCache;

/// <summary>What a route says: another host, and which header has it; null for none.</summary>
internal sealed record ForwardProxyRoute(byte[]? Host, byte[]? Header);

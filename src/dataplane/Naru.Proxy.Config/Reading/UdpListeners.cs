// A listener for datagrams: its one listener filter is envoy.filters.udp_listener.udp_proxy; filter chains are for connections.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Udp.UdpProxy.V3;
using UdpProxy = Envoy.Extensions.Filters.Udp.UdpProxy.V3.UdpProxyConfig;
using XdsMatcher = Xds.Type.Matcher.V3.Matcher;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads UDP listeners.</summary>
internal static class UdpListeners
{
    private const string Name = "envoy.filters.udp_listener.udp_proxy";

    /// <summary>The proxy; null after an error.</summary>
    public static UdpProxyConfig? Read(Scope scope, Listener listener)
    {
        if (listener.FilterChains.Count > 0) scope.Error("filter_chains", "NARU-C113", "a UDP listener has no filter chains", $"use the listener filter {Name}");
        if (listener.DefaultFilterChain is not null) scope.Error("default_filter_chain", "NARU-C113", "a UDP listener has no filter chains", $"use the listener filter {Name}");
        UdpProxyConfig? proxy = null;
        for (int i = 0; i < listener.ListenerFilters.Count; i++)
        {
            ListenerFilter filter = listener.ListenerFilters[i];
            Scope at = scope.In("listener_filters", i, filter);
            string type = filter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type != "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig")
            {
                if (type.Length == 0 && filter.Name == Name) at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                else at.Error(type.Length > 0 ? "typed_config" : "name", "NARU-C112", $"Naru does not support the UDP listener filter {(type.Length > 0 ? type : filter.Name)}", $"known here: {Name}");
                continue;
            }
            if (proxy is not null) at.Error("", "NARU-C103", "there are two UDP proxies", "keep one of them");
            if (scope.Pass.Unpack<UdpProxy>(filter.TypedConfig!, at) is { } message) proxy = Proxy(at.In("typed_config", message), message, listener);
        }
        if (listener.ListenerFilters.Count == 0) scope.Error("listener_filters", "NARU-C101", "\"listener_filters\" is required", $"add {Name}");
        return proxy;
    }

    private static UdpProxyConfig Proxy(Scope scope, UdpProxy proxy, Listener listener)
    {
        FieldWalk.Check(scope);
        Values.Required(scope, "stat_prefix", proxy.StatPrefix);
        string cluster = proxy.Cluster;
        if (proxy.Matcher is { } matcher) cluster = Only(scope.In("matcher", matcher), matcher);
        else Values.Required(scope, "cluster", cluster);
        string key = "";
        bool sourceIp = false;
        for (int i = 0; i < proxy.HashPolicies.Count; i++)
        {
            UdpProxy.Types.HashPolicy policy = proxy.HashPolicies[i];
            Scope at = scope.In("hash_policies", i, policy);
            switch (policy.PolicySpecifierCase)
            {
                case UdpProxy.Types.HashPolicy.PolicySpecifierOneofCase.SourceIp when policy.SourceIp: sourceIp = true; break;
                case UdpProxy.Types.HashPolicy.PolicySpecifierOneofCase.SourceIp: at.Error("source_ip", "NARU-C102", "\"source_ip\" can only be true"); break;
                case UdpProxy.Types.HashPolicy.PolicySpecifierOneofCase.Key when Values.Required(at, "key", policy.Key): key = policy.Key; break;
                case UdpProxy.Types.HashPolicy.PolicySpecifierOneofCase.None: at.Error("", "NARU-C101", "a hash policy says what it looks at", "add source_ip or key"); break;
            }
        }
        if (proxy.HashPolicies.Count > 1) scope.Error("hash_policies", "NARU-C102", "there is one hash policy at most", "keep one of them");
        Scope bare = scope;
        return new UdpProxyConfig
        {
            StatPrefix = proxy.StatPrefix,
            Cluster = cluster,
            IdleTimeout = Values.Time(scope, "idle_timeout", proxy.IdleTimeout, mustBePositive: true) ?? TimeSpan.FromMinutes(1),
            UseOriginalSrcIp = proxy.UseOriginalSrcIp,
            HashSourceIp = sourceIp,
            HashKey = key,
            PerPacket = proxy.UsePerPacketLoadBalancing,
            MaxDatagramSize = Math.Max(Size(scope, "upstream_socket_config", proxy.UpstreamSocketConfig), Size(bare, "udp_listener_config", listener.UdpListenerConfig?.DownstreamSocketConfig)),
            AccessLogs = AccessLogs.All(scope, "access_log", proxy.AccessLog),
        };
    }

    // A matcher that leads all datagrams to one cluster is that cluster; what would have to be looked at is refused.
    private static string Only(Scope scope, XdsMatcher matcher)
    {
        if (matcher.MatcherTypeCase != XdsMatcher.MatcherTypeOneofCase.None)
        {
            scope.Error(matcher.MatcherList is null ? "matcher_tree" : "matcher_list", "NARU-C113", "datagrams are not looked at: all go to one cluster",
                "name it in on_no_match, or in cluster");
            return "";
        }
        if (matcher.OnNoMatch?.Action?.TypedConfig is not { } action)
        {
            scope.Error("on_no_match", "NARU-C101", "\"on_no_match\" is required: its action names the cluster");
            return "";
        }
        Scope at = scope.In("on_no_match", matcher.OnNoMatch).In("action", matcher.OnNoMatch.Action);
        if (EnvoyTypes.NameOf(action) != Route.Descriptor.FullName)
        {
            at.Error("typed_config", "NARU-C112", $"{EnvoyTypes.NameOf(action)} names no cluster", $"write {Route.Descriptor.FullName}");
            return "";
        }
        if (scope.Pass.Unpack<Route>(action, at) is not { } route) return "";
        Scope inside = at.In("typed_config", route);
        FieldWalk.Check(inside);
        Values.Required(inside, "cluster", route.Cluster);
        return route.Cluster;
    }

    private static int Size(Scope scope, string field, UdpSocketConfig? socket)
    {
        if (socket?.MaxRxDatagramSize is not { } size) return 1500;
        if (size is > 0 and < 65536) return (int)size;
        scope.Error(field, "NARU-C102", $"\"max_rx_datagram_size\" cannot be {size}", "it may be 1 to 65535");
        return 1500;
    }
}

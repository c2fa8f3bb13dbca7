// The words of API v2 and what v3 calls them: messages, extensions, the message that an extension's free-form "config" stands for.
namespace Naru.Proxy.Config.Reading;

internal sealed partial class OldNames
{
    private static readonly Dictionary<string, string> s_types = new(StringComparer.Ordinal)
    {
        ["envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager"] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        ["envoy.config.filter.http.router.v2.Router"] = "envoy.extensions.filters.http.router.v3.Router",
        ["envoy.config.accesslog.v2.FileAccessLog"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.config.filter.accesslog.v2.FileAccessLog"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.config.retry.previous_hosts.v2.PreviousHostsPredicate"] = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        ["envoy.config.transport_socket.raw_buffer.v2.RawBuffer"] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        ["envoy.api.v2.auth.UpstreamTlsContext"] = TlsUpstream,
        ["envoy.api.v2.auth.DownstreamTlsContext"] = TlsDownstream,
        ["envoy.config.filter.network.tcp_proxy.v2.TcpProxy"] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        ["envoy.config.filter.network.direct_response.v2.Config"] = "envoy.extensions.filters.network.direct_response.v3.Config",
        ["envoy.config.filter.network.echo.v2.Echo"] = "envoy.extensions.filters.network.echo.v3.Echo",
        ["envoy.config.filter.network.sni_cluster.v2.SniCluster"] = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
        ["envoy.config.filter.network.local_rate_limit.v2alpha.LocalRateLimit"] = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
        ["envoy.config.filter.listener.tls_inspector.v2.TlsInspector"] = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        ["envoy.config.filter.listener.http_inspector.v2.HttpInspector"] = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        ["envoy.config.filter.listener.original_dst.v2.OriginalDst"] = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        ["envoy.config.filter.listener.original_src.v2alpha1.OriginalSrc"] = "envoy.extensions.filters.listener.original_src.v3.OriginalSrc",
        ["envoy.config.filter.listener.proxy_protocol.v2.ProxyProtocol"] = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        ["envoy.config.filter.udp.udp_proxy.v2alpha.UdpProxyConfig"] = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
        ["envoy.config.cluster.dynamic_forward_proxy.v2alpha.ClusterConfig"] = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
        ["envoy.config.resource_monitor.fixed_heap.v2alpha.FixedHeapConfig"] = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        ["envoy.api.v2.auth.Secret"] = "envoy.extensions.transport_sockets.tls.v3.Secret",
        ["envoy.api.v2.Listener"] = "envoy.config.listener.v3.Listener",
        ["envoy.api.v2.Cluster"] = "envoy.config.cluster.v3.Cluster",
        ["envoy.api.v2.RouteConfiguration"] = "envoy.config.route.v3.RouteConfiguration",
        ["envoy.api.v2.ClusterLoadAssignment"] = "envoy.config.endpoint.v3.ClusterLoadAssignment",
    };

    private static readonly Dictionary<string, string> s_names = new(StringComparer.Ordinal)
    {
        ["envoy.http_connection_manager"] = "envoy.filters.network.http_connection_manager",
        ["envoy.tcp_proxy"] = "envoy.filters.network.tcp_proxy",
        ["envoy.mongo_proxy"] = "envoy.filters.network.mongo_proxy",
        ["envoy.redis_proxy"] = "envoy.filters.network.redis_proxy",
        ["envoy.ratelimit"] = "envoy.filters.network.ratelimit",
        ["envoy.echo"] = "envoy.filters.network.echo",
        ["envoy.client_ssl_auth"] = "envoy.filters.network.client_ssl_auth",
        ["envoy.router"] = "envoy.filters.http.router",
        ["envoy.buffer"] = "envoy.filters.http.buffer",
        ["envoy.cors"] = "envoy.filters.http.cors",
        ["envoy.csrf"] = "envoy.filters.http.csrf",
        ["envoy.fault"] = "envoy.filters.http.fault",
        ["envoy.grpc_http1_bridge"] = "envoy.filters.http.grpc_http1_bridge",
        ["envoy.grpc_json_transcoder"] = "envoy.filters.http.grpc_json_transcoder",
        ["envoy.grpc_web"] = "envoy.filters.http.grpc_web",
        ["envoy.gzip"] = "envoy.filters.http.gzip",
        ["envoy.health_check"] = "envoy.filters.http.health_check",
        ["envoy.http_dynamo_filter"] = "envoy.filters.http.dynamo",
        ["envoy.ip_tagging"] = "envoy.filters.http.ip_tagging",
        ["envoy.lua"] = "envoy.filters.http.lua",
        ["envoy.rate_limit"] = "envoy.filters.http.ratelimit",
        ["envoy.squash"] = "envoy.filters.http.squash",
        ["envoy.local_rate_limit"] = "envoy.filters.http.local_ratelimit",
        ["envoy.listener.original_dst"] = "envoy.filters.listener.original_dst",
        ["envoy.listener.proxy_protocol"] = "envoy.filters.listener.proxy_protocol",
        ["envoy.listener.tls_inspector"] = "envoy.filters.listener.tls_inspector",
        ["envoy.listener.http_inspector"] = "envoy.filters.listener.http_inspector",
        ["envoy.file_access_log"] = "envoy.access_loggers.file",
        ["envoy.http_grpc_access_log"] = "envoy.access_loggers.http_grpc",
        ["envoy.tcp_grpc_access_log"] = "envoy.access_loggers.tcp_grpc",
        ["envoy.filters.udp.udp_proxy"] = "envoy.filters.udp_listener.udp_proxy",
        ["tls"] = "envoy.transport_sockets.tls",
        ["raw_buffer"] = "envoy.transport_sockets.raw_buffer",
    };

    // The message that an extension's free-form "config" stands for.
    private static readonly Dictionary<string, string> s_typeOfName = new(StringComparer.Ordinal)
    {
        ["envoy.filters.network.http_connection_manager"] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        ["envoy.filters.network.tcp_proxy"] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        ["envoy.filters.network.connection_limit"] = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        ["envoy.filters.network.local_ratelimit"] = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
        ["envoy.filters.network.direct_response"] = "envoy.extensions.filters.network.direct_response.v3.Config",
        ["envoy.filters.network.echo"] = "envoy.extensions.filters.network.echo.v3.Echo",
        ["envoy.filters.network.sni_cluster"] = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
        ["envoy.filters.listener.tls_inspector"] = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        ["envoy.filters.listener.http_inspector"] = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        ["envoy.filters.listener.original_dst"] = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        ["envoy.filters.listener.original_src"] = "envoy.extensions.filters.listener.original_src.v3.OriginalSrc",
        ["envoy.filters.listener.proxy_protocol"] = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        ["envoy.filters.udp_listener.udp_proxy"] = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
        ["envoy.resource_monitors.fixed_heap"] = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        ["envoy.filters.http.router"] = "envoy.extensions.filters.http.router.v3.Router",
        ["envoy.access_loggers.file"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.access_loggers.stdout"] = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        ["envoy.access_loggers.stderr"] = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        ["envoy.retry_host_predicates.previous_hosts"] = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        ["envoy.transport_sockets.raw_buffer"] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        ["envoy.transport_sockets.tls"] = TlsUpstream,
    };

    private static readonly Dictionary<string, string> s_explained = new(StringComparer.Ordinal)
    {
        ["envoy.config.bootstrap.v3.Bootstrap.runtime"] = "values of the runtime are not read yet",
        ["envoy.config.listener.v3.Listener.fcds_config"] = "filter chains are not discovered",
        ["envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb"] = "heads of answers have a fixed limit",
        ["envoy.config.route.v3.VirtualHost.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.route.v3.Route.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.route.v3.WeightedCluster.ClusterWeight.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.cluster.v3.Cluster.extension_protocol_options"] = "use typed_extension_protocol_options",
    };
}

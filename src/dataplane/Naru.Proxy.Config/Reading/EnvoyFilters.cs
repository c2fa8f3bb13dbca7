// The filters of others that we have heard of: Envoy's own, those of its contrib images, and Istio's. One of them that is missing here
// is refused by name, optional or not: "optional" may leave out only what nobody knows, or an access rule would be left out with it.
namespace Naru.Proxy.Config.Reading;

/// <summary>Filters by the type of their configuration, or by name where there is none.</summary>
internal static class EnvoyFilters
{
    // Envoy docs, API: extensions.filters.http, .network, .listener, .udp, and what was removed since v2. Folder = last part of the name.
    private static readonly HashSet<string> s_http = Words("""
        a2a adaptive_concurrency admission_control alternate_protocols_cache api_key_auth aws_eventstream_parser aws_lambda aws_request_signing
        bandwidth_limit bandwidth_share basic_auth buffer cache cache_v2 cdn_loop checksum composite compressor connect_grpc_bridge cors credential_injector csrf
        custom_response decompressor dynamic_forward_proxy dynamic_modules dynamo ext_authz ext_proc fault file_server file_system_buffer gcp_authn geoip
        golang grpc_field_extraction grpc_http1_bridge grpc_http1_reverse_bridge grpc_json_reverse_transcoder grpc_json_transcoder grpc_stats grpc_web
        gzip header_mutation header_to_metadata health_check ip_tagging json_to_metadata jwt_authn kill_request language local_ratelimit lua match_delegate mcp
        mcp_json_rest_bridge mcp_router oauth2 on_demand original_src peer_metadata proto_api_scrubber proto_message_extraction proto_message_logging
        query_parameter_mutation rate_limit_quota ratelimit rbac router set_filter_state set_metadata squash sse_to_metadata stateful_session sxg tap
        thrift_to_metadata transform upstream_codec wasm
        """);

    private static readonly HashSet<string> s_network = Words("""
        client_ssl_auth connection_limit direct_response dubbo_proxy dynamic_modules echo envoy_mobile_http_connection_manager ext_authz ext_proc generic_proxy
        geoip golang http_connection_manager kafka_broker kafka_mesh local_ratelimit match_delegate metadata_exchange mongo_proxy mysql_proxy postgres_inspector postgres_proxy
        ratelimit rbac redis_proxy reverse_tunnel rocketmq_proxy set_filter_state sip_proxy sni_cluster sni_dynamic_forward_proxy tcp_proxy thrift_proxy
        wasm zookeeper_proxy
        """);

    private static readonly HashSet<string> s_listener = Words("""
        dynamic_modules http_inspector local_ratelimit match_delegate original_dst original_src postgres_inspector proxy_protocol set_filter_state tls_inspector
        """);

    // Names and types that follow no rule: wrappers of Envoy's, and what Istio adds.
    private static readonly HashSet<string> s_others = Words("""
        envoy.extensions.common.matching.v3.ExtensionWithMatcher mixer jwt-auth istio_authn istio.alpn istio.stats istio.metadata_exchange istio.istio_authn
        stats.PluginConfig envoy.tcp.metadataexchange.config.MetadataExchange
        """);

    /// <summary>Whether a filter is known by this type of its configuration, or by this name where it has none.</summary>
    public static bool IsHeardOf(string typeOrName)
    {
        if (s_others.Contains(typeOrName)) return true;
        // The old packages are closed: all that is in them was a filter of Envoy's or Istio's.
        if (StartsWith("envoy.config.filter.") || StartsWith("istio.") || StartsWith("io.istio.")) return true;
        return Folder("envoy.extensions.filters.http.", s_http) || Folder("envoy.filters.http.", s_http)
            || Folder("envoy.extensions.filters.network.", s_network) || Folder("envoy.filters.network.", s_network)
            || Folder("envoy.extensions.filters.listener.", s_listener) || Folder("envoy.filters.listener.", s_listener);

        bool StartsWith(string prefix) => typeOrName.StartsWith(prefix, StringComparison.Ordinal);

        bool Folder(string prefix, HashSet<string> folders)
        {
            if (!StartsWith(prefix)) return false;
            int end = typeOrName.IndexOf('.', prefix.Length);
            return folders.Contains(end < 0 ? typeOrName[prefix.Length..] : typeOrName[prefix.Length..end]);
        }
    }

    private static HashSet<string> Words(string text) => new(text.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries), StringComparer.Ordinal);
}

// The rows of the table of honoured fields: listeners, filter chains and filters below HTTP.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Listeners = """
envoy.config.core.v3.Address
  + socket_address
  + pipe envoy_internal_address
envoy.config.core.v3.SocketAddress
  + protocol address port_value
  + ipv4_compat network_namespace_filepath
  ~ resolver_name: the system's resolver is used
  - named_port: a port is a number here
envoy.config.listener.v3.Listener
  + name address additional_addresses filter_chains default_filter_chain traffic_direction stat_prefix
  + listener_filters bind_to_port deprecated_v1
  + use_original_dst transparent freebind socket_options drain_type listener_filters_timeout continue_on_listener_filters_timeout
  + tcp_backlog_size udp_listener_config internal_listener metadata
  + per_connection_buffer_limit_bytes access_log filter_chain_matcher
  ~ reuse_port enable_reuse_port connection_balance_config: every worker listens, and the kernel balances
  ~ ignore_global_conn_limit bypass_overload_manager: there is no global limit
  ~ max_connections_to_accept_per_socket_event: the workers decide
  - api_listener: that is for gRPC clients, not for a proxy
  - enable_mptcp: connections are plain TCP
  - tcp_fast_open_queue_length: data in the first packet would be taken twice where it is repeated
envoy.config.listener.v3.AdditionalAddress
  + address
  - socket_options: all addresses have the listener's options
envoy.config.listener.v3.Listener.DeprecatedV1
  + bind_to_port
envoy.config.listener.v3.ListenerFilter
  + name typed_config filter_disabled
  - config_discovery: extensions are not discovered
envoy.config.listener.v3.FilterChain
  + filter_chain_match filters transport_socket
  + name transport_socket_connect_timeout use_proxy_proto metadata
  - on_demand_configuration: a listener is ready with all its chains
envoy.config.listener.v3.FilterChainMatch
  + destination_port prefix_ranges server_names transport_protocol application_protocols
  + direct_source_prefix_ranges source_type source_prefix_ranges source_ports
  - address_suffix suffix_len: Envoy does not match it either; use prefix_ranges
envoy.config.listener.v3.Filter
  + name typed_config
  - config_discovery: extensions are not discovered
envoy.config.core.v3.Pipe
  + path mode
envoy.config.core.v3.EnvoyInternalAddress
  + server_listener_name endpoint_id
envoy.config.core.v3.CidrRange
  + address_prefix prefix_len
envoy.config.core.v3.SocketOption
  + description level name int_value buf_value state
envoy.config.core.v3.RuntimeFeatureFlag
  + default_value runtime_key
envoy.config.core.v3.UdpSocketConfig
  + max_rx_datagram_size
  ~ prefer_gro: the kernel decides
envoy.config.core.v3.TypedExtensionConfig
  + name typed_config
envoy.type.v3.TokenBucket
  + max_tokens tokens_per_fill fill_interval
envoy.type.v3.HashPolicy
  + source_ip
  - filter_state: connections have no filter state
envoy.type.v3.HashPolicy.SourceIp
envoy.config.listener.v3.Listener.InternalListenerConfig
envoy.config.listener.v3.UdpListenerConfig
  + downstream_socket_config
  ~ udp_packet_packet_writer_config: datagrams are written in batches in any case
  - quic_options: HTTP/3 is not supported
envoy.config.listener.v3.ListenerFilterChainMatchPredicate
  + any_match or_match and_match not_match destination_port_range
envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet
  + rules
envoy.type.v3.Int32Range
  + start end
envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector
  ~ initial_read_buffer_size: a ClientHello is read as far as it has come
  - enable_ja3_fingerprinting: there is no command that would print it
envoy.extensions.filters.listener.http_inspector.v3.HttpInspector
envoy.extensions.filters.listener.original_dst.v3.OriginalDst
envoy.extensions.filters.listener.original_src.v3.OriginalSrc
  + bind_port mark
envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
  + allow_requests_without_proxy_protocol disallowed_versions rules stat_prefix
  - pass_through_tlvs: type-length values are not sent on
envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.Rule
  + tlv_type on_tlv_present
envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.KeyValuePair
  + metadata_namespace key
envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit
  + stat_prefix token_bucket runtime_enabled
envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
  + stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts hash_policy tunneling_config
  + max_downstream_connection_duration
  ~ access_log_flush_interval flush_access_log_on_connected access_log_options: a connection is logged once, when it has ended
  + metadata_match
  - on_demand: clusters are not loaded on demand
  - downstream_idle_timeout upstream_idle_timeout: use idle_timeout
envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster
  + clusters
envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight
  + name weight
  + metadata_match
envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig
  + hostname headers_to_add use_post post_path
  ~ propagate_response_headers propagate_response_trailers: connections have no filter state to keep them in
envoy.extensions.filters.network.direct_response.v3.Config
  + response
envoy.extensions.filters.network.echo.v3.Echo
envoy.extensions.filters.network.sni_cluster.v3.SniCluster
envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit
  + stat_prefix max_connections delay runtime_enabled
envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit
  + stat_prefix token_bucket runtime_enabled
  - share_key: a filter chain has a bucket of its own
envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
  + stat_prefix cluster idle_timeout use_original_src_ip hash_policies upstream_socket_config use_per_packet_load_balancing access_log
  + matcher
  ~ access_log_options: a session is logged once, when it has ended
  - proxy_access_log: log sessions with access_log
  - session_filters: sessions have no filters
  - tunneling_config: datagrams are not tunnelled
envoy.extensions.filters.udp.udp_proxy.v3.Route
  + cluster
envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.HashPolicy
  + source_ip key

""";
}

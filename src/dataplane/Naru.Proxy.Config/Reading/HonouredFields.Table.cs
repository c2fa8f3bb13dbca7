// The rows of the table of honoured fields. "+" is honoured, "~" is taken without effect and says why, "-" is refused with a
// reason of its own; what is not listed is refused as not supported.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Table = """
envoy.config.bootstrap.v3.Bootstrap
  + node static_resources dynamic_resources admin layered_runtime cluster_manager
  ~ stats_flush_interval stats_flush_on_admin: statistics are read at the admin endpoint, nothing is flushed
  ~ stats_config: statistics have Envoy's default names and tags, all of them
  ~ stats_server_version_override enable_dispatcher_stats: there is no such statistic
  ~ watchdog watchdogs: workers are not watched by a timer
  ~ inline_headers perf_tracing_file_path memory_allocator_manager deferred_stat_options default_socket_interface: there is nothing to tune here
  - stats_sinks: statistics are read at the admin endpoint; scrape /stats/prometheus
  - tracing: spans are not exported yet
  - overload_manager: there are no overload actions yet
envoy.config.bootstrap.v3.Bootstrap.StaticResources
  + listeners clusters
  - secrets: TLS is not supported yet
envoy.config.bootstrap.v3.Bootstrap.DynamicResources
  + lds_config cds_config ads_config
envoy.config.bootstrap.v3.Admin
  + address
  ~ access_log access_log_path: requests to the admin endpoint are not logged
  ~ profile_path: there is no CPU profiler
  ~ ignore_global_conn_limit: there is no global limit of connections
envoy.config.bootstrap.v3.ClusterManager
  ~ local_cluster_name: only zone-aware balancing would use it
  ~ enable_deferred_cluster_creation: clusters cost little until they are used
envoy.config.bootstrap.v3.LayeredRuntime
  + layers
envoy.config.bootstrap.v3.RuntimeLayer
  + name
  ~ admin_layer: there is no /runtime_modify
  - static_layer disk_layer rtds_layer: values of the runtime are not read yet
envoy.config.core.v3.Node
  + id cluster metadata locality user_agent_name user_agent_version user_agent_build_version extensions client_features listening_addresses
envoy.config.core.v3.Locality
  + region zone sub_zone
envoy.config.core.v3.BuildVersion
  + version metadata
envoy.type.v3.SemanticVersion
  + major_number minor_number patch
envoy.config.core.v3.Extension
  + name category type_descriptor version disabled type_urls
envoy.config.core.v3.Address
  + socket_address
  - pipe: unix sockets are not supported yet
  - envoy_internal_address: internal listeners are not supported
envoy.config.core.v3.SocketAddress
  + protocol address port_value
  ~ resolver_name: the system's resolver is used
  - named_port: a port is a number here
  - ipv4_compat: an IPv6 listener takes IPv6 only; add an IPv4 address in additional_addresses
envoy.config.core.v3.ConfigSource
  + path path_config_source api_config_source ads self initial_fetch_timeout resource_api_version
envoy.config.core.v3.PathConfigSource
  + path watched_directory
envoy.config.core.v3.WatchedDirectory
  + path
envoy.config.core.v3.AggregatedConfigSource
envoy.config.core.v3.SelfConfigSource
  + transport_api_version
envoy.config.core.v3.ApiConfigSource
  + api_type grpc_services transport_api_version
  ~ refresh_delay request_timeout: streams are not polled
  ~ set_node_on_first_message_only: the node is sent with the first message only
  ~ rate_limit_settings: a stream sends one request for each answer, no more
  - cluster_names: REST is not supported, use api_type GRPC or DELTA_GRPC with grpc_services
envoy.config.core.v3.GrpcService
  + envoy_grpc
  ~ timeout: a stream has no end
  - google_grpc: name a cluster under envoy_grpc
  - initial_metadata: no metadata is sent
envoy.config.core.v3.GrpcService.EnvoyGrpc
  + cluster_name
  ~ retry_policy: a stream that ends is opened again with back-off
  ~ max_receive_message_length: messages may have any length
  ~ skip_envoy_headers: no x-envoy headers are sent
  - authority: the stream's authority is the address it connects to
envoy.config.listener.v3.Listener
  + name address additional_addresses filter_chains default_filter_chain traffic_direction stat_prefix
  + listener_filters bind_to_port deprecated_v1
  ~ metadata: nothing reads it
  ~ per_connection_buffer_limit_bytes: the buffers of a connection have a fixed limit
  ~ listener_filters_timeout continue_on_listener_filters_timeout: there are no listener filters that wait
  ~ reuse_port enable_reuse_port connection_balance_config: every worker listens, and the kernel balances
  ~ tcp_backlog_size: the backlog is the system's maximum
  ~ ignore_global_conn_limit bypass_overload_manager: there is no global limit
  ~ max_connections_to_accept_per_socket_event: the workers decide
  - use_original_dst: connections are not redirected to other listeners yet
  - api_listener: that is for gRPC clients, not for a proxy
  - access_log: log at the HTTP connection manager
  - udp_listener_config: UDP is not supported
envoy.config.listener.v3.AdditionalAddress
  + address
envoy.config.listener.v3.Listener.DeprecatedV1
  + bind_to_port
envoy.config.listener.v3.ListenerFilter
  + name typed_config
  ~ filter_disabled: the filter has no effect in any case
envoy.config.listener.v3.FilterChain
  + filter_chain_match filters transport_socket
  ~ name metadata: nothing reads it
  ~ transport_socket_connect_timeout: there is no handshake to wait for
  - use_proxy_proto: the PROXY protocol is not supported yet
envoy.config.listener.v3.FilterChainMatch
  - prefix_ranges address_suffix suffix_len source_prefix_ranges source_ports destination_port transport_protocol application_protocols server_names source_type direct_source_prefix_ranges: filter chains are not matched yet; a listener has one
envoy.config.listener.v3.Filter
  + name typed_config
  - config_discovery: extensions are not discovered
envoy.config.core.v3.TransportSocket
  + name typed_config
envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
  + codec_type stat_prefix rds route_config http_filters http_protocol_options server_name drain_timeout access_log use_remote_address
  + generate_request_id proxy_100_continue skip_xff_append via upgrade_configs stream_idle_timeout delayed_close_timeout
  + request_timeout max_request_headers_kb normalize_path preserve_external_request_id merge_slashes server_header_transformation
  + common_http_protocol_options always_set_request_id_in_response request_headers_timeout path_with_escaped_slashes_action
  ~ http2_protocol_options http3_protocol_options: clients are spoken to in HTTP/1 only
  ~ request_id_extension: request ids are UUIDs
  ~ forward_client_cert_details set_current_client_cert_details: without TLS there is no client certificate, and x-forwarded-client-cert passes as it came
  ~ add_proxy_protocol_connection_state: there is no PROXY protocol
  ~ access_log_flush_interval flush_access_log_on_new_request access_log_options: a request is logged once, when it has ended
  - scoped_routes: use route_config or rds
  - xff_num_trusted_hops: the client's address is the connection's
  - tracing: spans are not exported yet
  - local_reply_config: local replies have a fixed form
  - strip_matching_host_port strip_any_host_port strip_trailing_host_dot: the Host header is not changed; use ignore_port_in_host_matching in the route configuration
  - internal_address_config: x-envoy-internal is not set
envoy.extensions.filters.network.http_connection_manager.v3.Rds
  + config_source route_config_name
envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter
  + name typed_config is_optional disabled
  - config_discovery: extensions are not discovered
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig
  + upgrade_type enabled
envoy.extensions.filters.http.router.v3.Router
  ~ dynamic_stats: statistics are always kept
  ~ start_child_span: spans are not exported yet
  ~ suppress_grpc_request_failure_code_stats: there is no such statistic
  ~ upstream_log_options: there is no upstream log
envoy.config.core.v3.HttpProtocolOptions
  + idle_timeout max_headers_count max_connection_duration max_stream_duration headers_with_underscores_action max_requests_per_connection
envoy.config.core.v3.Http1ProtocolOptions
  + accept_http_10 allow_absolute_url header_key_format
  - default_host_for_http_10: a request without Host is routed without one
  ~ enable_trailers: trailers are always passed on
  ~ use_balsa_parser: the parser is our own
  ~ allow_custom_methods: any token is a method
  ~ override_stream_error_on_invalid_http_message: a connection with a bad request is always closed
envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat
  ~ stateful_formatter: header names keep the case in which they came
  - proper_case_words: header names keep the case in which they came
envoy.config.core.v3.Http2ProtocolOptions
  ~ hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect allow_metadata: the values of the library are used
  ~ max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream: the values of the library are used
  ~ max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging: the values of the library are used
  ~ override_stream_error_on_invalid_http_message connection_keepalive use_oghttp2_codec custom_settings_parameters: the values of the library are used
envoy.config.accesslog.v3.AccessLog
  + name typed_config
  - filter: every request is logged
envoy.extensions.access_loggers.file.v3.FileAccessLog
  + path format json_format typed_json_format log_format
envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
  + log_format
envoy.extensions.access_loggers.stream.v3.StderrAccessLog
  + log_format
envoy.config.core.v3.SubstitutionFormatString
  + text_format json_format text_format_source
  ~ content_type json_format_options: a line of a log has no content type, and its keys keep their order
envoy.config.core.v3.DataSource
  + filename inline_bytes inline_string environment_variable
envoy.config.route.v3.RouteConfiguration
  + name virtual_hosts request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove
  + validate_clusters most_specific_header_mutations_wins ignore_port_in_host_matching max_direct_response_body_size_bytes
  ~ metadata: nothing reads it
  - internal_only_headers: requests are not told apart as internal and external
  - vhds: virtual hosts are not loaded on demand
envoy.config.route.v3.VirtualHost
  + name domains routes request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove retry_policy
  + include_request_attempt_count include_attempt_count_in_response require_tls
  ~ metadata: nothing reads it
  ~ virtual_clusters: there are no statistics by virtual cluster
envoy.config.route.v3.Route
  + name match route redirect direct_response request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove
  ~ metadata: nothing reads it
  ~ decorator tracing: spans are not exported yet
  ~ stat_prefix: there are no statistics by route
  - filter_action: there is no filter that takes it
  - non_forwarding_action: that is for gRPC servers, not for a proxy
  - typed_per_filter_config: the filters it configures are not supported yet
envoy.config.route.v3.RouteMatch
  + prefix path safe_regex path_separated_prefix case_sensitive headers query_parameters runtime_fraction grpc
  - connect_matcher: CONNECT is not supported yet
  - tls_context: TLS is not supported yet
envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions
envoy.config.route.v3.HeaderMatcher
  + name exact_match range_match present_match prefix_match suffix_match safe_regex_match contains_match string_match invert_match treat_missing_header_as_empty
envoy.config.route.v3.QueryParameterMatcher
  + name string_match present_match
envoy.config.route.v3.RouteAction
  + cluster cluster_header weighted_clusters prefix_rewrite regex_rewrite host_rewrite_literal host_rewrite_header auto_host_rewrite
  + append_x_forwarded_host timeout idle_timeout retry_policy cluster_not_found_response_code upgrade_configs max_stream_duration priority
  + internal_redirect_action
  ~ hash_policy: only hashing balancers use it
  ~ include_vh_rate_limits: there are no rate limits
  ~ max_internal_redirects: redirects are passed on
  - metadata_match: endpoints are not divided into subsets yet
  - request_mirror_policies: requests are not mirrored yet
  - rate_limits: there is no rate limit filter yet
  - cors: there is no CORS filter yet
  - max_grpc_timeout grpc_timeout_offset: grpc-timeout is not read yet
envoy.config.route.v3.RouteAction.MaxStreamDuration
  + max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset
envoy.config.route.v3.RouteAction.UpgradeConfig
  + upgrade_type enabled
envoy.config.route.v3.WeightedCluster
  + clusters total_weight
  ~ runtime_key_prefix: values of the runtime are not read yet
envoy.config.route.v3.WeightedCluster.ClusterWeight
  + name weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove host_rewrite_literal
  - metadata_match: endpoints are not divided into subsets yet
  - typed_per_filter_config: the filters it configures are not supported yet
envoy.config.route.v3.RetryPolicy
  + retry_on num_retries per_try_timeout retriable_status_codes retry_back_off retry_host_predicate host_selection_retry_max_attempts
envoy.config.route.v3.RetryPolicy.RetryBackOff
  + base_interval max_interval
envoy.config.route.v3.RetryPolicy.RetryHostPredicate
  + name typed_config
envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
envoy.config.route.v3.RedirectAction
  + host_redirect path_redirect prefix_rewrite regex_rewrite response_code https_redirect scheme_redirect strip_query port_redirect
envoy.config.route.v3.DirectResponseAction
  + status body
envoy.config.core.v3.HeaderValueOption
  + header append append_action
  ~ keep_empty_value: a header whose value is empty is added all the same
envoy.config.core.v3.HeaderValue
  + key value
envoy.config.core.v3.RuntimeFractionalPercent
  + default_value
  ~ runtime_key: values of the runtime are not read yet
envoy.type.v3.FractionalPercent
  + numerator denominator
envoy.type.v3.Int64Range
  + start end
envoy.type.matcher.v3.StringMatcher
  + exact prefix suffix safe_regex contains ignore_case
envoy.type.matcher.v3.RegexMatcher
  + regex google_re2
envoy.type.matcher.v3.RegexMatcher.GoogleRE2
  ~ max_program_size: patterns are limited by length, and run in linear time
envoy.type.matcher.v3.RegexMatchAndSubstitute
  + pattern substitution
envoy.config.cluster.v3.Cluster
  + name type eds_cluster_config connect_timeout lb_policy least_request_lb_config round_robin_lb_config load_assignment circuit_breakers
  + dns_refresh_rate dns_lookup_family alt_stat_name common_http_protocol_options http_protocol_options http2_protocol_options
  + typed_extension_protocol_options max_requests_per_connection common_lb_config transport_socket protocol_selection
  ~ metadata: nothing reads it
  ~ per_connection_buffer_limit_bytes: the buffers of a connection have a fixed limit
  ~ cleanup_interval: only ORIGINAL_DST uses it
  ~ respect_dns_ttl dns_failure_refresh_rate: names are asked for again at dns_refresh_rate
  ~ wait_for_warm_on_init: listeners always wait for clusters to warm
  ~ ignore_health_on_host_removal close_connections_on_host_health_failure: there are no active health checks yet
  ~ track_timeout_budgets track_cluster_stats lrs_report_endpoint_metrics: there is no such statistic
  ~ preconnect_policy: connections are opened when they are needed
  ~ upstream_connection_options: keep-alive probes have the system's timing
  ~ upstream_http_protocol_options: it concerns TLS only
  - cluster_type: use type STATIC, STRICT_DNS, LOGICAL_DNS or EDS
  - health_checks: active health checks are not supported yet
  - outlier_detection: outliers are not ejected yet
  - lb_subset_config: endpoints are not divided into subsets yet
  - dns_resolvers dns_resolution_config typed_dns_resolver_config use_tcp_for_dns_lookups: the system's resolver is used
  - transport_socket_matches: TLS is not supported yet
  - lrs_server: load is not reported yet
envoy.config.cluster.v3.Cluster.EdsClusterConfig
  + eds_config service_name
envoy.config.cluster.v3.Cluster.LeastRequestLbConfig
  + choice_count
envoy.config.cluster.v3.Cluster.RoundRobinLbConfig
envoy.config.cluster.v3.Cluster.CommonLbConfig
  ~ healthy_panic_threshold: endpoints that are not healthy are used only when none is
  ~ update_merge_window: every change is applied at once
  ~ ignore_new_hosts_until_first_hc: there are no active health checks yet
  - locality_weighted_lb_config: weights of localities are not counted yet
  ~ consistent_hashing_lb_config: only hashing balancers use it
  ~ zone_aware_lb_config: all zones are used alike
envoy.config.cluster.v3.CircuitBreakers
  + thresholds
envoy.config.cluster.v3.CircuitBreakers.Thresholds
  + priority max_connections max_pending_requests max_requests max_retries
  ~ track_remaining: there is no such statistic
  ~ max_connection_pools: a cluster has one pool a worker
  - retry_budget: use max_retries
envoy.extensions.upstreams.http.v3.HttpProtocolOptions
  + common_http_protocol_options explicit_http_config
  ~ upstream_http_protocol_options: it concerns TLS only
  - use_downstream_protocol_config auto_config: use explicit_http_config
envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig
  + http_protocol_options http2_protocol_options
  - http3_protocol_options: HTTP/3 is not supported
envoy.config.endpoint.v3.ClusterLoadAssignment
  + cluster_name endpoints policy
envoy.config.endpoint.v3.ClusterLoadAssignment.Policy
  ~ overprovisioning_factor weighted_priority_health: a priority is left when none of its endpoints is usable
  - drop_overloads: requests are not dropped by category
  - endpoint_stale_after: endpoints do not grow stale
envoy.config.endpoint.v3.LocalityLbEndpoints
  + locality lb_endpoints priority
  ~ load_balancing_weight: only clusters with locality_weighted_lb_config would use it
  ~ proximity metadata: nothing reads it
envoy.config.endpoint.v3.LbEndpoint
  + endpoint health_status load_balancing_weight
  ~ metadata: nothing reads it
envoy.config.endpoint.v3.Endpoint
  + address hostname
  ~ health_check_config: there are no active health checks yet
  - additional_addresses: an endpoint has one address
""";
}

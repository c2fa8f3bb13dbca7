// The rows of the table of honoured fields: clusters and endpoints.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Clusters = """
envoy.config.cluster.v3.Cluster
  + ring_hash_lb_config maglev_lb_config
  + name type eds_cluster_config connect_timeout lb_policy least_request_lb_config round_robin_lb_config load_assignment circuit_breakers
  + dns_refresh_rate dns_lookup_family alt_stat_name common_http_protocol_options http_protocol_options http2_protocol_options
  + typed_extension_protocol_options max_requests_per_connection common_lb_config transport_socket protocol_selection
  + cluster_type original_dst_lb_config cleanup_interval upstream_bind_config upstream_connection_options upstream_http_protocol_options
  + transport_socket_matches respect_dns_ttl dns_failure_refresh_rate dns_resolvers dns_resolution_config typed_dns_resolver_config
  + use_tcp_for_dns_lookups dns_jitter health_checks ignore_health_on_host_removal outlier_detection
  + load_balancing_policy lb_subset_config preconnect_policy metadata close_connections_on_host_health_failure
  ~ per_connection_buffer_limit_bytes: the buffers of a connection have a fixed limit
  ~ wait_for_warm_on_init: listeners always wait for clusters to warm
  + track_timeout_budgets track_cluster_stats
  ~ lrs_report_endpoint_metrics: there is no such statistic
  - lrs_server: load is not reported yet
envoy.config.cluster.v3.TrackClusterStats
  + timeout_budgets request_response_sizes
  ~ per_endpoint_stats: endpoints are told of at /clusters only
envoy.config.cluster.v3.Cluster.TransportSocketMatch
  + name match transport_socket
envoy.config.core.v3.Metadata
  + filter_metadata
  ~ typed_filter_metadata: only envoy.transport_sockets.proxy_protocol of endpoints is read
envoy.config.cluster.v3.Cluster.RefreshRate
  + base_interval max_interval
envoy.config.core.v3.DnsResolutionConfig
  + resolvers dns_resolver_options
envoy.config.core.v3.DnsResolverOptions
  + use_tcp_for_dns_lookups no_default_search_domain
envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
  + resolvers dns_resolver_options use_resolvers_as_fallback
  - filter_unroutable_families: name the families with dns_lookup_family
  ~ udp_max_queries: every query has a socket of its own
envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig
envoy.config.cluster.v3.Cluster.EdsClusterConfig
  + eds_config service_name
envoy.config.cluster.v3.Cluster.LeastRequestLbConfig
  + choice_count active_request_bias slow_start_config
envoy.config.cluster.v3.Cluster.SlowStartConfig
  + slow_start_window aggression min_weight_percent
envoy.config.cluster.v3.Cluster.PreconnectPolicy
  + per_upstream_preconnect_ratio
  ~ predictive_preconnect_ratio: which endpoint the next request goes to is not known before it comes
envoy.config.cluster.v3.Cluster.LbSubsetConfig
  + fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any
  + metadata_fallback_policy
envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector
  + keys fallback_policy fallback_keys_subset single_host_per_subset
envoy.config.core.v3.HealthStatusSet
  + statuses
envoy.config.cluster.v3.Cluster.RingHashLbConfig
  + minimum_ring_size maximum_ring_size hash_function
envoy.config.cluster.v3.Cluster.MaglevLbConfig
  + table_size
envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig
  + use_hostname_for_hashing hash_balance_factor
envoy.config.cluster.v3.Cluster.RoundRobinLbConfig
  + slow_start_config
envoy.config.cluster.v3.Cluster.CommonLbConfig
  + healthy_panic_threshold ignore_new_hosts_until_first_hc locality_weighted_lb_config zone_aware_lb_config override_host_status
  ~ update_merge_window: every change is applied at once
  + consistent_hashing_lb_config
envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig
envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig
  + fail_traffic_on_panic routing_enabled min_cluster_size
envoy.config.cluster.v3.CircuitBreakers
  + thresholds per_host_thresholds
envoy.config.cluster.v3.CircuitBreakers.Thresholds
  + priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining
  ~ max_connection_pools: a cluster has one pool a worker
envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget
  + budget_percent min_retry_concurrency
envoy.extensions.upstreams.http.v3.HttpProtocolOptions
  + common_http_protocol_options explicit_http_config
  + upstream_http_protocol_options use_downstream_protocol_config auto_config
  + http_filters
envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig
  + http_protocol_options http2_protocol_options
  - http3_protocol_options: HTTP/3 is not supported
envoy.config.cluster.v3.OutlierDetection
  + consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate
  + success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure
  + enforcing_consecutive_gateway_failure split_external_local_origin_errors consecutive_local_origin_failure
  + enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate failure_percentage_threshold
  + enforcing_failure_percentage enforcing_failure_percentage_local_origin failure_percentage_minimum_hosts
  + failure_percentage_request_volume max_ejection_time max_ejection_time_jitter successful_active_health_check_uneject_host
  + always_eject_one_host
  - monitors: known are those that have fields of their own
envoy.config.cluster.v3.LoadBalancingPolicy
  + policies
envoy.config.cluster.v3.LoadBalancingPolicy.Policy
  + typed_extension_config
envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig
  + zone_aware_lb_config locality_weighted_lb_config
envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig
  + fail_traffic_on_panic routing_enabled min_cluster_size force_locality_direct_routing force_local_zone locality_basis
envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.ForceLocalZone
  + min_size
envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig
  + slow_start_window aggression min_weight_percent
envoy.extensions.load_balancing_policies.subset.v3.Subset
  + fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any
  + metadata_fallback_policy
  + subset_lb_policy allow_redundant_keys
envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector
  + keys fallback_policy fallback_keys_subset single_host_per_subset
envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality
  + endpoint_picking_policy
envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin
  ~ enable_oob_load_report oob_reporting_period: endpoints' reports of load are not read; they weigh what the configuration says
  ~ blackout_period weight_expiration_period: endpoints' reports of load are not read; they weigh what the configuration says
  ~ weight_update_period error_utilization_penalty: endpoints' reports of load are not read; they weigh what the configuration says
  ~ metric_names_for_computing_utilization: endpoints' reports of load are not read; they weigh what the configuration says
envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost
  + override_host_sources fallback_policy
  - selected_host_key: which endpoint was picked is not written into the metadata of its request
envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.OverrideHostSource
  + header
  - metadata: addresses are read from headers alone
envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig
envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin
  + locality_lb_config slow_start_config
envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig
  + use_hostname_for_hashing hash_balance_factor
envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash
  + hash_function minimum_ring_size maximum_ring_size use_hostname_for_hashing hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config
envoy.extensions.load_balancing_policies.maglev.v3.Maglev
  + table_size consistent_hashing_lb_config locality_weighted_lb_config
envoy.extensions.load_balancing_policies.random.v3.Random
  + locality_lb_config
envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
  + choice_count locality_lb_config selection_method active_request_bias slow_start_config
envoy.config.core.v3.RuntimeDouble
  + default_value
  ~ runtime_key: the runtime has no say in it
envoy.config.endpoint.v3.ClusterLoadAssignment
  + cluster_name endpoints policy
envoy.config.endpoint.v3.ClusterLoadAssignment.Policy
  + overprovisioning_factor weighted_priority_health
  - drop_overloads: requests are not dropped by category
  - endpoint_stale_after: endpoints do not grow stale
envoy.config.endpoint.v3.LocalityLbEndpoints
  + locality lb_endpoints priority metadata load_balancing_weight
  ~ proximity: nothing reads it
envoy.config.endpoint.v3.LbEndpoint
  + endpoint health_status load_balancing_weight metadata
envoy.config.endpoint.v3.Endpoint
  + address hostname health_check_config
  - additional_addresses: an endpoint has one address
envoy.config.endpoint.v3.Endpoint.HealthCheckConfig
  + port_value hostname disable_active_health_check address
envoy.config.core.v3.HealthCheck
  + timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold alt_port reuse_connection
  + http_health_check tcp_health_check grpc_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval
  + unhealthy_edge_interval healthy_edge_interval event_log_path event_logger
  + always_log_health_check_failures always_log_health_check_success
  - custom_health_check: known are http_health_check, tcp_health_check and grpc_health_check
  - event_service: changes go to files (event_logger) and to the log
  - tls_options: ALPN is what the protocol of the check asks for
  - transport_socket_match_criteria: a check uses the transport socket of its endpoint
envoy.config.core.v3.HealthCheck.HttpHealthCheck
  + host path request_headers_to_add request_headers_to_remove expected_statuses retriable_statuses codec_client_type
  + service_name_matcher method receive response_buffer_size
  - send: a check has no body
envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink
  + event_log_path
envoy.config.core.v3.HealthCheck.TcpHealthCheck
  + send receive
  - proxy_protocol_config: a PROXY header goes first where the transport socket of the endpoint says so
envoy.config.core.v3.HealthCheck.GrpcHealthCheck
  + service_name authority initial_metadata
envoy.config.core.v3.HealthCheck.Payload
  + text binary
envoy.config.core.v3.BindConfig
  + source_address socket_options
  - freebind: bind to an address that this machine has
  - additional_source_addresses extra_source_addresses: connections have one source address
  - local_address_selector: connections have one source address
envoy.config.core.v3.TcpKeepalive
  + keepalive_probes keepalive_time keepalive_interval
envoy.config.core.v3.UpstreamHttpProtocolOptions
  + auto_sni auto_san_validation
  - override_auto_sni_header: the server name is taken from Host
envoy.config.cluster.v3.Cluster.CustomClusterType
  + name typed_config
envoy.config.cluster.v3.Cluster.OriginalDstLbConfig
  + use_http_header http_header_name upstream_port_override
  - metadata_key: addresses are not read from metadata yet
envoy.config.cluster.v3.UpstreamConnectionOptions
  + tcp_keepalive
  ~ set_local_interface_name_on_upstream_connections: nothing reads it
  ~ happy_eyeballs_config: the families are tried in the order of RFC 8305
envoy.extensions.clusters.aggregate.v3.ClusterConfig
  + clusters
envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
  + dns_cache_config allow_insecure_cluster_options
  ~ allow_coalesced_connections: a connection serves one host
  - sub_clusters_config: use dns_cache_config
envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig
  + name dns_lookup_family dns_refresh_rate host_ttl dns_failure_refresh_rate dns_min_refresh_rate dns_query_timeout
  + use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config preresolve_hostnames
  + max_hosts dns_cache_circuit_breaker
envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheCircuitBreakers
  + max_pending_requests
envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig
  + http_protocol_options http2_protocol_options
  - http3_protocol_options: HTTP/3 is not supported
envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig
  + http_protocol_options http2_protocol_options
  - http3_protocol_options: HTTP/3 is not supported
  - alternate_protocols_cache_options: HTTP/3 is not supported

""";
}

// The rows of the table of honoured fields: the bootstrap, sources of configuration, the overload manager.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Bootstrap = """
envoy.config.bootstrap.v3.Bootstrap
  + node static_resources dynamic_resources admin layered_runtime cluster_manager
  + overload_manager stats_config bootstrap_extensions application_log_config stats_sinks stats_flush_interval stats_flush_on_admin
  ~ stats_server_version_override enable_dispatcher_stats: there is no such statistic
  ~ watchdog watchdogs: workers are not watched by a timer
  ~ inline_headers perf_tracing_file_path memory_allocator_manager deferred_stat_options default_socket_interface: there is nothing to tune here
  - tracing: say it in each HTTP connection manager
envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig
  + log_format
envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig.LogFormat
  + json_format text_format
envoy.extensions.network.socket_interface.v3.DefaultSocketInterface
  ~ io_uring_options: workers wait with epoll, as Envoy does where the kernel has no io_uring
envoy.extensions.bootstrap.internal_listener.v3.InternalListener
  ~ buffer_size_kb: the system's buffers of local sockets are used
envoy.config.metrics.v3.StatsConfig
  + stats_tags use_all_default_tags stats_matcher histogram_bucket_settings
envoy.config.metrics.v3.StatsMatcher
  + reject_all exclusion_list inclusion_list
envoy.config.metrics.v3.TagSpecifier
  + tag_name regex fixed_value
envoy.config.metrics.v3.HistogramBucketSettings
  + match buckets
  - bins: histograms have 90 buckets in each power of ten
envoy.config.bootstrap.v3.Bootstrap.StaticResources
  + listeners clusters
  + secrets
envoy.config.bootstrap.v3.Bootstrap.DynamicResources
  + lds_config cds_config ads_config
envoy.config.bootstrap.v3.Admin
  + address allow_paths
  ~ access_log access_log_path: requests to the admin endpoint are not logged
  ~ profile_path: there is no CPU profiler
  ~ ignore_global_conn_limit: there is no global limit of connections
envoy.config.bootstrap.v3.ClusterManager
  + outlier_detection local_cluster_name load_stats_config
  ~ enable_deferred_cluster_creation: clusters cost little until they are used
envoy.config.bootstrap.v3.ClusterManager.OutlierDetection
  + event_log_path
  - event_service: events go to a file
envoy.config.bootstrap.v3.LayeredRuntime
  + layers
envoy.config.bootstrap.v3.RuntimeLayer
  + name static_layer admin_layer
  + disk_layer rtds_layer
envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer
envoy.config.bootstrap.v3.RuntimeLayer.DiskLayer
  + symlink_root append_service_cluster subdirectory
envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer
  + name rtds_config
envoy.service.runtime.v3.Runtime
  + name layer
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
  + api_type grpc_services transport_api_version set_node_on_first_message_only
  ~ refresh_delay request_timeout: streams are not polled
  + rate_limit_settings
  - cluster_names: REST is not supported, use api_type GRPC or DELTA_GRPC with grpc_services
envoy.type.metadata.v3.MetadataKey
  + key path
envoy.type.metadata.v3.MetadataKey.PathSegment
  + key
envoy.type.matcher.v3.ListStringMatcher
  + patterns
envoy.config.core.v3.HttpUri
  + uri cluster timeout
envoy.config.core.v3.GrpcService
  + envoy_grpc timeout initial_metadata
  - google_grpc: name a cluster under envoy_grpc
envoy.config.core.v3.GrpcService.EnvoyGrpc
  + cluster_name authority max_receive_message_length skip_envoy_headers retry_policy
envoy.config.core.v3.RetryPolicy
  + retry_back_off
  ~ num_retries retry_on: a stream that ends is opened again, however often it did
envoy.config.core.v3.BackoffStrategy
  + base_interval max_interval
envoy.config.core.v3.RateLimitSettings
  + max_tokens fill_rate
envoy.config.overload.v3.OverloadManager
  + refresh_interval resource_monitors actions
  - loadshed_points: use actions
  - buffer_factory_config: streams are reset by what they hold in buffers, largest first, in any case
envoy.config.overload.v3.ResourceMonitor
  + name typed_config
envoy.config.overload.v3.Trigger
  + name threshold scaled
envoy.config.overload.v3.ThresholdTrigger
  + value
envoy.config.overload.v3.ScaledTrigger
  + scaling_threshold saturation_threshold
envoy.config.overload.v3.OverloadAction
  + name triggers typed_config
envoy.config.overload.v3.ScaleTimersOverloadActionConfig
  + timer_scale_factors
envoy.config.overload.v3.ScaleTimersOverloadActionConfig.ScaleTimer
  + timer min_timeout min_scale
envoy.config.overload.v3.ShrinkHeapConfig
  + timer_interval max_unfreed_memory_bytes
envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig
  + mode
envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
  + max_heap_size_bytes
envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
  + max_active_downstream_connections
envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig
  + filename

""";
}

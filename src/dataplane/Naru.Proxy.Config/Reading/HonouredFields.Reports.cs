// The rows of the table of honoured fields: what is told of requests, and to whom. The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Reports = """
envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension
  + typed_config
envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
  + pack_trace_reason use_request_id_for_trace_sampling
envoy.config.trace.v3.Tracing.Http
  + name typed_config
envoy.config.trace.v3.ZipkinConfig
  + collector_cluster collector_endpoint trace_id_128bit shared_span_context collector_endpoint_version collector_hostname
  + split_spans_for_request trace_context_option collector_service
envoy.config.trace.v3.OpenTelemetryConfig
  + grpc_service service_name http_service resource_detectors sampler max_cache_size
envoy.config.core.v3.HttpService
  + http_uri request_headers_to_add
envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig
  + attributes
envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig
envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig
envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig
  + wrapped_sampler
envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig
  + common_config additional_request_headers_to_log additional_response_headers_to_log additional_response_trailers_to_log
envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig
  + common_config
envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig
  + log_name grpc_service buffer_flush_interval buffer_size_bytes filter_state_objects_to_log transport_api_version custom_tags
  ~ grpc_stream_retry_policy: a stream that ends is opened again a second later, however often it did
envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
  + common_config body attributes resource_attributes disable_builtin_labels stat_prefix formatters http_service grpc_service log_name
  + buffer_flush_interval buffer_size_bytes filter_state_objects_to_log custom_tags resource_detectors
opentelemetry.proto.common.v1.AnyValue
  + string_value bool_value int_value double_value array_value kvlist_value bytes_value
opentelemetry.proto.common.v1.ArrayValue
  + values
opentelemetry.proto.common.v1.KeyValueList
  + values
opentelemetry.proto.common.v1.KeyValue
  + key value
envoy.config.metrics.v3.StatsSink
  + name typed_config
envoy.config.metrics.v3.StatsdSink
  + address tcp_cluster_name prefix
envoy.config.metrics.v3.DogStatsdSink
  + address prefix max_bytes_per_datagram
envoy.config.metrics.v3.MetricsServiceConfig
  + grpc_service report_counters_as_deltas transport_api_version emit_tags_as_labels histogram_emit_mode
envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig
  + grpc_service report_counters_as_deltas report_histograms_as_deltas emit_tags_as_attributes use_tag_extracted_name prefix
envoy.type.tracing.v3.CustomTag
  + tag literal environment request_header metadata value
envoy.type.tracing.v3.CustomTag.Literal
  + value
envoy.type.tracing.v3.CustomTag.Environment
  + name default_value
envoy.type.tracing.v3.CustomTag.Header
  + name default_value
envoy.type.tracing.v3.CustomTag.Metadata
  + kind metadata_key default_value
envoy.type.metadata.v3.MetadataKind
  + request route cluster host
envoy.type.metadata.v3.MetadataKind.Request
envoy.type.metadata.v3.MetadataKind.Route
envoy.type.metadata.v3.MetadataKind.Cluster
envoy.type.metadata.v3.MetadataKind.Host

""";
}

// The rows of the table of honoured fields: the HTTP connection manager, its filters and access logs.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Http = """
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
  + codec_type stat_prefix rds route_config http_filters http_protocol_options server_name drain_timeout access_log use_remote_address
  + generate_request_id proxy_100_continue skip_xff_append via upgrade_configs stream_idle_timeout delayed_close_timeout
  + request_timeout max_request_headers_kb normalize_path preserve_external_request_id merge_slashes server_header_transformation
  + common_http_protocol_options always_set_request_id_in_response request_headers_timeout path_with_escaped_slashes_action
  + http2_protocol_options forward_client_cert_details set_current_client_cert_details xff_num_trusted_hops internal_address_config
  + strip_matching_host_port strip_any_host_port append_x_forwarded_port strip_trailing_host_dot stream_error_on_invalid_http_message
  + local_reply_config original_ip_detection_extensions early_header_mutation_extensions scheme_header_transformation add_user_agent
  + proxy_status_config tracing access_log_flush_interval flush_access_log_on_new_request access_log_options forward_proto_config
  + request_id_extension
  ~ http3_protocol_options: HTTP/3 is not supported
  ~ add_proxy_protocol_connection_state: connections have no filter state
  + scoped_routes
envoy.extensions.filters.network.http_connection_manager.v3.ForwardProtoConfig
  + https_destination_ports http_destination_ports
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes
  + name scope_key_builder scoped_route_configurations_list rds_config_source scoped_rds
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRds
  + scoped_rds_config_source
  - srds_resources_locator: scopes are asked for without a locator
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder
  + fragments
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder
  + header_value_extractor
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor
  + name element_separator index element
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement
  + separator key
envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList
  + scoped_route_configurations
envoy.config.route.v3.ScopedRouteConfiguration
  + name key route_configuration route_configuration_name
  ~ on_demand: its table is there from the beginning
envoy.config.route.v3.ScopedRouteConfiguration.Key
  + fragments
envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment
  + string_key
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing
  + client_sampling random_sampling overall_sampling verbose max_path_tag_length custom_tags spawn_upstream_span provider operation
  + upstream_operation no_context_propagation
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ProxyStatusConfig
  + remove_details remove_response_flags set_recommended_response_code use_node_id literal_proxy_name
  ~ remove_connection_termination_details: answers are made before a connection is terminated
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.HcmAccessLogOptions
  + access_log_flush_interval flush_access_log_on_new_request flush_log_on_tunnel_successfully_established
envoy.config.core.v3.SchemeHeaderTransformation
  + scheme_to_overwrite match_upstream
envoy.extensions.http.original_ip_detection.xff.v3.XffConfig
  + xff_num_trusted_hops
envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig
  + header_name allow_extension_to_set_address_as_trusted reject_with_status
envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
  + mutations
envoy.extensions.filters.network.http_connection_manager.v3.Rds
  + config_source route_config_name
envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter
  + name typed_config is_optional disabled config_discovery
envoy.config.core.v3.ExtensionConfigSource
  + config_source default_config apply_default_config_without_warming type_urls
envoy.config.core.v3.TypedExtensionConfig
  + name typed_config
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig
  + upgrade_type enabled
envoy.extensions.filters.http.router.v3.Router
  + respect_expected_rq_timeout suppress_envoy_headers strict_check_headers upstream_log
  ~ dynamic_stats: statistics are always kept
  + start_child_span
  ~ suppress_grpc_request_failure_code_stats: there is no such statistic
  - upstream_log_options: a line is written when a try ends, and at no other time
envoy.config.core.v3.HttpProtocolOptions
  + idle_timeout max_headers_count max_connection_duration max_stream_duration headers_with_underscores_action max_requests_per_connection
  + max_response_headers_kb
envoy.config.core.v3.Http1ProtocolOptions
  + accept_http_10 allow_absolute_url header_key_format default_host_for_http_10 allow_custom_methods allow_chunked_length
  + override_stream_error_on_invalid_http_message ignore_http_11_upgrade send_fully_qualified_url
  ~ enable_trailers: trailers are always passed on
  ~ use_balsa_parser: the parser is our own
envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat
  + proper_case_words
  ~ stateful_formatter: header names keep the case in which they came
envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords
envoy.config.core.v3.Http2ProtocolOptions
  + hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size
  + max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream
  + max_inbound_window_update_frames_per_data_frame_sent
  + connection_keepalive
  ~ use_oghttp2_codec: the codec is our own
  ~ allow_metadata: METADATA frames are skipped, as RFC 9113 has it for unknown frames
  ~ allow_connect: extended CONNECT is offered where an upgrade or CONNECT is configured
  ~ max_outbound_frames: frames that wait to be sent are bounded by flow control, and answers to the peer by max_outbound_control_frames
  ~ stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message: a malformed message ends its stream only (RFC 9113 8.1.1)
  - custom_settings_parameters: other settings are not sent
envoy.config.accesslog.v3.AccessLog
  + name typed_config filter
envoy.config.accesslog.v3.AccessLogFilter
  + status_code_filter duration_filter not_health_check_filter traceable_filter runtime_filter and_filter or_filter header_filter
  + response_flag_filter grpc_status_filter metadata_filter log_type_filter extension_filter
envoy.config.accesslog.v3.ExtensionFilter
  + name typed_config
envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
  + expression
envoy.config.accesslog.v3.StatusCodeFilter
  + comparison
envoy.config.accesslog.v3.DurationFilter
  + comparison
envoy.config.accesslog.v3.ComparisonFilter
  + op value
envoy.config.core.v3.RuntimeUInt32
  + default_value runtime_key
envoy.config.accesslog.v3.NotHealthCheckFilter
envoy.config.accesslog.v3.TraceableFilter
envoy.config.accesslog.v3.RuntimeFilter
  + percent_sampled use_independent_randomness runtime_key
envoy.config.accesslog.v3.AndFilter
  + filters
envoy.config.accesslog.v3.OrFilter
  + filters
envoy.config.accesslog.v3.HeaderFilter
  + header
envoy.config.accesslog.v3.ResponseFlagFilter
  + flags
envoy.config.accesslog.v3.GrpcStatusFilter
  + statuses exclude
envoy.config.accesslog.v3.MetadataFilter
  + match_if_key_not_found matcher
envoy.config.accesslog.v3.LogTypeFilter
  + types exclude
envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig
  + mappers body_format
envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper
  + filter status_code body body_format_override headers_to_add
envoy.extensions.access_loggers.file.v3.FileAccessLog
  + path format json_format typed_json_format log_format
envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
  + log_format
envoy.extensions.access_loggers.stream.v3.StderrAccessLog
  + log_format
envoy.config.core.v3.SubstitutionFormatString
  + text_format json_format text_format_source omit_empty_values content_type formatters
  ~ json_format_options: the names of an object are always sorted
envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery
envoy.type.v3.Percent
  + value
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig
  + unix_sockets cidr_ranges
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails
  + subject cert chain dns uri
envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
envoy.config.core.v3.KeepaliveSettings
  + interval timeout interval_jitter
  - connection_idle_interval: connections are asked at their interval only

""";
}

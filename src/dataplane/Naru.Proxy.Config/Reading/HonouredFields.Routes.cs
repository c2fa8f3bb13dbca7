// The rows of the table of honoured fields: routes and what they match.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Routes = """
envoy.config.route.v3.RouteConfiguration
  + name virtual_hosts request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove
  + validate_clusters most_specific_header_mutations_wins ignore_port_in_host_matching max_direct_response_body_size_bytes
  + internal_only_headers typed_per_filter_config request_mirror_policies ignore_path_parameters_in_path_matching vhost_header
  ~ metadata: nothing reads it
  + vhds
envoy.config.route.v3.Vhds
  + config_source
envoy.config.route.v3.VirtualHost
  + name domains routes request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove retry_policy
  + include_request_attempt_count include_attempt_count_in_response require_tls typed_per_filter_config rate_limits
  + request_mirror_policies virtual_clusters hedge_policy include_is_timeout_retry_header per_request_buffer_limit_bytes matcher
  + request_body_buffer_limit metadata
envoy.config.route.v3.Route
  + metadata
  + name match route redirect direct_response request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove
  + decorator per_request_buffer_limit_bytes stat_prefix tracing
  - filter_action: there is no filter that takes it
  - non_forwarding_action: that is for gRPC servers, not for a proxy
  + typed_per_filter_config request_body_buffer_limit
envoy.config.route.v3.RouteList
  + routes
envoy.config.route.v3.Tracing
  + client_sampling random_sampling overall_sampling custom_tags operation upstream_operation
envoy.config.route.v3.Decorator
  + operation propagate
envoy.config.route.v3.VirtualCluster
  + name headers
envoy.config.route.v3.FilterConfig
  + config is_optional disabled
envoy.config.route.v3.RouteMatch
  + prefix path safe_regex path_separated_prefix case_sensitive headers query_parameters runtime_fraction grpc connect_matcher
  + tls_context cookies path_match_policy dynamic_metadata filter_state
envoy.config.route.v3.RouteMatch.TlsContextMatchOptions
  + presented validated
envoy.config.route.v3.RouteMatch.ConnectMatcher
envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions
envoy.config.route.v3.HeaderMatcher
  + name exact_match range_match present_match prefix_match suffix_match safe_regex_match contains_match string_match invert_match treat_missing_header_as_empty
envoy.config.route.v3.CookieMatcher
  + name string_match invert_match
envoy.config.route.v3.QueryParameterMatcher
  + name string_match present_match
envoy.config.route.v3.RouteAction
  + cluster cluster_header weighted_clusters prefix_rewrite regex_rewrite host_rewrite_literal host_rewrite_header auto_host_rewrite host_rewrite_path_regex
  + append_x_forwarded_host timeout idle_timeout retry_policy cluster_not_found_response_code upgrade_configs max_stream_duration priority
  + internal_redirect_action max_grpc_timeout grpc_timeout_offset rate_limits include_vh_rate_limits request_mirror_policies hedge_policy
  + hash_policy inline_cluster_specifier_plugin internal_redirect_policy max_internal_redirects path_rewrite path_rewrite_policy host_rewrite
  + metadata_match
  - cors: give the policy in typed_per_filter_config of the filter
envoy.config.route.v3.RouteAction.HashPolicy
  + header cookie connection_properties query_parameter terminal
  - filter_state: filter state is not hashed yet
envoy.config.route.v3.RouteAction.HashPolicy.Header
  + header_name regex_rewrite
envoy.config.route.v3.RouteAction.HashPolicy.Cookie
  + name ttl path attributes
envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute
  + name value
envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties
  + source_ip
envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter
  + name
envoy.config.route.v3.ClusterSpecifierPlugin
  + extension
  ~ is_optional: the plugin is known, or refused by name
envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier
  + cluster_matcher
envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction
  + cluster
envoy.config.route.v3.InternalRedirectPolicy
  + max_internal_redirects redirect_response_codes predicates allow_cross_scheme_redirect response_headers_to_copy
envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig
envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig
envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig
  + allowed_route_names
envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig
  + path_template
envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig
  + path_template_rewrite
envoy.config.route.v3.RouteAction.RequestMirrorPolicy
  + cluster cluster_header runtime_fraction disable_shadow_host_suffix_append host_rewrite_literal
  + trace_sampled
  - request_headers_mutations: copies have no header changes of their own; make them in request_headers_to_add of the route
envoy.config.route.v3.RouteAction.MaxStreamDuration
  + max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset
envoy.config.route.v3.RouteAction.UpgradeConfig
  + upgrade_type enabled connect_config
envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig
  - proxy_protocol_config: set upstream_proxy_protocol at the cluster
  - allow_post: only CONNECT begins a tunnel
envoy.config.route.v3.WeightedCluster
  + clusters total_weight runtime_key_prefix header_name use_hash_policy
envoy.config.route.v3.WeightedCluster.ClusterWeight
  + name cluster_header weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove host_rewrite_literal
  + metadata_match
  + typed_per_filter_config
envoy.config.route.v3.RateLimit
  + stage actions disable_key limit hits_addend
  - apply_on_stream_done: a request is asked about before it goes on
envoy.config.route.v3.RateLimit.HitsAddend
  + number format
envoy.config.route.v3.RateLimit.Override
  + dynamic_metadata
envoy.config.route.v3.RateLimit.Override.DynamicMetadata
  + metadata_key
envoy.config.route.v3.RateLimit.Action
  + source_cluster destination_cluster request_headers remote_address generic_key header_value_match masked_remote_address query_parameter_value_match
  + dynamic_metadata metadata query_parameters
  + extension
envoy.config.route.v3.RateLimit.Action.SourceCluster
envoy.config.route.v3.RateLimit.Action.DestinationCluster
envoy.config.route.v3.RateLimit.Action.RemoteAddress
envoy.config.route.v3.RateLimit.Action.RequestHeaders
  + header_name descriptor_key skip_if_absent
envoy.config.route.v3.RateLimit.Action.QueryParameters
  + query_parameter_name descriptor_key skip_if_absent
envoy.config.route.v3.RateLimit.Action.DynamicMetaData
  + descriptor_key metadata_key default_value
envoy.config.route.v3.RateLimit.Action.MetaData
  + descriptor_key metadata_key default_value source skip_if_absent
envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress
  + v4_prefix_mask_len v6_prefix_mask_len
envoy.config.route.v3.RateLimit.Action.GenericKey
  + descriptor_value descriptor_key
envoy.config.route.v3.RateLimit.Action.HeaderValueMatch
  + descriptor_value expect_match headers descriptor_key
envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch
  + descriptor_value expect_match query_parameters descriptor_key
envoy.config.route.v3.RetryPolicy
  + retry_on num_retries per_try_timeout retriable_status_codes retry_back_off retry_host_predicate host_selection_retry_max_attempts
  + retry_priority per_try_idle_timeout retriable_headers retriable_request_headers rate_limited_retry_back_off
envoy.config.route.v3.HedgePolicy
  + hedge_on_per_try_timeout
  ~ initial_requests: one request goes out at first, as with Envoy
  ~ additional_request_chance: nothing reads it, as with Envoy
envoy.config.route.v3.RetryPolicy.RetryBackOff
  + base_interval max_interval
envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff
  + reset_headers max_interval
envoy.config.route.v3.RetryPolicy.ResetHeader
  + name format
envoy.config.route.v3.RetryPolicy.RetryHostPredicate
  + name typed_config
envoy.config.route.v3.RetryPolicy.RetryPriority
  + name typed_config
envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate
envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig
  + metadata_match
envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
  + update_frequency
envoy.config.route.v3.RedirectAction
  + host_redirect path_redirect prefix_rewrite regex_rewrite response_code https_redirect scheme_redirect strip_query port_redirect
  + path_rewrite
envoy.config.route.v3.DirectResponseAction
  + status body body_format
envoy.config.core.v3.HeaderValueOption
  + header append append_action keep_empty_value
envoy.config.core.v3.HeaderValue
  + key value
envoy.config.core.v3.RuntimeFractionalPercent
  + default_value runtime_key
envoy.type.v3.FractionalPercent
  + numerator denominator
envoy.type.v3.Int64Range
  + start end
envoy.type.matcher.v3.StringMatcher
  + exact prefix suffix safe_regex contains ignore_case
envoy.type.matcher.v3.MetadataMatcher
  + filter path value invert
envoy.type.matcher.v3.MetadataMatcher.PathSegment
  + key
envoy.type.matcher.v3.ValueMatcher
  + null_match double_match string_match bool_match present_match list_match or_match
envoy.type.matcher.v3.ValueMatcher.NullMatch
envoy.type.matcher.v3.ListMatcher
  + one_of
envoy.type.matcher.v3.OrMatcher
  + value_matchers
envoy.type.matcher.v3.DoubleMatcher
  + range exact
envoy.type.v3.DoubleRange
  + start end
envoy.type.matcher.v3.FilterStateMatcher
  + key string_match
xds.core.v3.TypedExtensionConfig
  + name typed_config
xds.type.matcher.v3.Matcher
  + matcher_list matcher_tree on_no_match
xds.type.matcher.v3.Matcher.OnMatch
  + matcher action
xds.type.matcher.v3.Matcher.MatcherList
  + matchers
xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher
  + predicate on_match
xds.type.matcher.v3.Matcher.MatcherList.Predicate
  + single_predicate or_matcher and_matcher not_matcher
xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate
  + input value_match custom_match
xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList
  + predicate
xds.type.matcher.v3.Matcher.MatcherTree
  + input exact_match_map prefix_match_map custom_match
xds.type.matcher.v3.Matcher.MatcherTree.MatchMap
  + map
xds.type.matcher.v3.StringMatcher
  + exact prefix suffix safe_regex contains ignore_case
xds.type.matcher.v3.RegexMatcher
  + regex google_re2
xds.type.matcher.v3.RegexMatcher.GoogleRE2
xds.type.matcher.v3.HttpAttributesCelMatchInput
xds.type.matcher.v3.CelMatcher
  + expr_match description
xds.type.v3.CelExpression
  + parsed_expr checked_expr cel_expr_parsed cel_expr_checked cel_expr_string
google.api.expr.v1alpha1.ParsedExpr
  + expr
  ~ source_info: it tells where parts stood in a text
google.api.expr.v1alpha1.CheckedExpr
  + expr reference_map
  ~ type_map: types are known when an expression is evaluated
  ~ source_info expr_version: they tell where parts stood in a text
google.api.expr.v1alpha1.Expr
  + id const_expr ident_expr select_expr call_expr list_expr struct_expr comprehension_expr
google.api.expr.v1alpha1.Expr.Ident
  + name
google.api.expr.v1alpha1.Expr.Select
  + operand field test_only
google.api.expr.v1alpha1.Expr.Call
  + target function args
google.api.expr.v1alpha1.Expr.CreateList
  + elements
  - optional_indices: there are no optional values
google.api.expr.v1alpha1.Expr.CreateStruct
  + message_name entries
google.api.expr.v1alpha1.Expr.CreateStruct.Entry
  + id field_key map_key value
  - optional_entry: there are no optional values
google.api.expr.v1alpha1.Expr.Comprehension
  + iter_var iter_range accu_var accu_init loop_condition loop_step result
  - iter_var2: loops have one variable
google.api.expr.v1alpha1.Constant
  + null_value bool_value int64_value uint64_value double_value string_value bytes_value duration_value timestamp_value
google.api.expr.v1alpha1.Reference
  + value
  ~ name overload_id: functions are found by their names
cel.expr.ParsedExpr
  + expr
  ~ source_info: it tells where parts stood in a text
cel.expr.CheckedExpr
  + expr reference_map
  ~ type_map: types are known when an expression is evaluated
  ~ source_info expr_version: they tell where parts stood in a text
cel.expr.Expr
  + id const_expr ident_expr select_expr call_expr list_expr struct_expr comprehension_expr
cel.expr.Expr.Ident
  + name
cel.expr.Expr.Select
  + operand field test_only
cel.expr.Expr.Call
  + target function args
cel.expr.Expr.CreateList
  + elements
  - optional_indices: there are no optional values
cel.expr.Expr.CreateStruct
  + message_name entries
cel.expr.Expr.CreateStruct.Entry
  + id field_key map_key value
  - optional_entry: there are no optional values
cel.expr.Expr.Comprehension
  + iter_var iter_range accu_var accu_init loop_condition loop_step result
  - iter_var2: loops have one variable
cel.expr.Constant
  + null_value bool_value int64_value uint64_value double_value string_value bytes_value duration_value timestamp_value
cel.expr.Reference
  + value
  ~ name overload_id: functions are found by their names
envoy.type.matcher.v3.HttpRequestHeaderMatchInput
  + header_name
envoy.type.matcher.v3.RegexMatcher
  + regex google_re2
envoy.type.matcher.v3.RegexMatcher.GoogleRE2
  ~ max_program_size: patterns are limited by length, and run in linear time
envoy.type.matcher.v3.RegexMatchAndSubstitute
  + pattern substitution

""";
}

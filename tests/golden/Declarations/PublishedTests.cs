// Our own declarations in proto/ say on the wire what the published ones say: every message, field, enum value and method of ours
// is compared with the .proto files that npm's @grpc/grpc-js-xds carries (./test installs it). Ours may leave out, never differ.
using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using Google.Protobuf.Reflection;
using Naru.Kit;
using Xunit;

namespace Naru.GoldenTests.Declarations;

public sealed class PublishedTests
{
    // Files of ours that the package does not carry, or not with all that they import; each would need another oracle.
    private static readonly string[] s_withoutOracle =
    [
        "envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
        "envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto",
        "envoy/extensions/load_balancing_policies/override_host/v3/override_host.proto",
        "envoy/extensions/resource_monitors/cpu_utilization/v3/cpu_utilization.proto",
        "envoy/extensions/router/cluster_specifiers/matcher/v3/matcher.proto",
        "envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler.proto",
        "envoy/service/metrics/v3/metrics_service.proto",
    ];

    // Messages, fields and values that Envoy added after the package was made.
    private static readonly string[] s_newer =
    [
        "envoy.config.accesslog.v3.ComparisonFilter.Op.NE",
        "envoy.config.bootstrap.v3.Admin.allow_paths",
        "envoy.config.cluster.v3.Cluster.dns_jitter",
        "envoy.config.core.v3.KeyValuePair",
        "envoy.config.core.v3.PerHostConfig",
        "envoy.config.core.v3.ProxyProtocolConfig.added_tlvs",
        "envoy.config.core.v3.SocketAddress.network_namespace_filepath",
        "envoy.config.core.v3.TlvEntry",
        "envoy.config.core.v3.KeyValueAppend.record",
        "envoy.config.core.v3.Http1ProtocolOptions.ignore_http_11_upgrade",
        "envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb",
        "envoy.config.overload.v3.ShrinkHeapConfig",
        "envoy.config.route.v3.CookieMatcher",
        "envoy.config.route.v3.RateLimit.Action.QueryParameters",
        "envoy.config.route.v3.RateLimit.Action.query_parameters",
        "envoy.config.route.v3.RateLimit.HitsAddend",
        "envoy.config.route.v3.RateLimit.apply_on_stream_done",
        "envoy.config.route.v3.RateLimit.hits_addend",
        "envoy.config.rbac.v3.MetadataSource",
        "envoy.config.rbac.v3.SourcedMetadata",
        "envoy.config.rbac.v3.Permission.sourced_metadata",
        "envoy.config.rbac.v3.Principal.sourced_metadata",
        "envoy.config.rbac.v3.Principal.custom",
        "envoy.extensions.filters.network.rbac.v3.RBAC.delay_deny",
        "envoy.extensions.filters.network.rbac.v3.RBAC.enforce_on_transport_ready",
        "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.authentication_header",
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        "envoy.extensions.filters.http.api_key_auth.v3.Credential",
        "envoy.extensions.filters.http.api_key_auth.v3.KeySource",
        "envoy.extensions.filters.http.api_key_auth.v3.Forwarding",
        "google.api.expr.v1alpha1.CheckedExpr.expr_version",
        "google.api.expr.v1alpha1.Expr.CreateList.optional_indices",
        "google.api.expr.v1alpha1.Expr.CreateStruct.Entry.optional_entry",
        "google.api.expr.v1alpha1.Expr.Comprehension.iter_var2",
        "envoy.config.route.v3.DirectResponseAction.body_format",
        "envoy.config.route.v3.RedirectAction.path_rewrite",
        "envoy.config.route.v3.Route.request_body_buffer_limit",
        "envoy.config.route.v3.RouteAction.host_rewrite",
        "envoy.config.route.v3.RouteAction.path_rewrite",
        "envoy.config.route.v3.RouteConfiguration.vhost_header",
        "envoy.config.route.v3.RouteMatch.cookies",
        "envoy.config.route.v3.RouteMatch.filter_state",
        "envoy.config.route.v3.VirtualHost.request_body_buffer_limit",
        "envoy.config.route.v3.WeightedCluster.use_hash_policy",
        "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction",
        "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier",
        "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.request_headers_mutations",
        "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.host_rewrite_literal",
        "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.uncompressible_response_codes",
        "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.status_header_enabled",
        "envoy.extensions.filters.http.compressor.v3.CompressorOverrides.compressor_library",
        "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig.allow_dynamic_host_from_filter_state",
        "envoy.extensions.filters.http.ext_proc.v3.ExtProcHttpService",
        "envoy.extensions.filters.http.ext_proc.v3.ExtProcOverrides.failure_mode_allow",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.allowed_override_modes",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.http_service",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.on_processing_response",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.processing_request_modifier",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.send_body_without_waiting_for_header_response",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.status_on_error",
        "envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode.FULL_DUPLEX_STREAMED",
        "envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode.GRPC",
        "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder.PrintOptions.stream_sse_style_delimited",
        "envoy.service.ext_proc.v3.ProcessingRequest.protocol_config",
        "envoy.service.ext_proc.v3.ProtocolConfiguration",
        "envoy.extensions.filters.http.header_mutation.v3.Mutations.query_parameter_mutations",
        "envoy.extensions.filters.http.lua.v3.Lua.clear_route_cache",
        "envoy.extensions.filters.http.lua.v3.LuaPerRoute.filter_context",
        // Published since as the limits of routes; on the wire they were the same.
        "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute.rate_limits",
        "envoy.extensions.filters.http.header_mutation.v3.Mutations.response_trailers_mutations",
        "envoy.extensions.filters.http.header_mutation.v3.Mutations.request_trailers_mutations",
        "envoy.extensions.filters.http.set_filter_state.v3.Config.clear_route_cache",
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSession.stat_prefix",
        "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin.metric_names_for_computing_utilization",
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.ForceLocalZone",
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.LocalityBasis",
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.force_locality_direct_routing",
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.force_local_zone",
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.locality_basis",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.OverrideHostSource",
        "envoy.extensions.matching.common_inputs.network.v3.NetworkNamespaceInput",
        "envoy.extensions.network.socket_interface.v3.DefaultSocketInterface.io_uring_options",
        "envoy.extensions.network.socket_interface.v3.IoUringOptions",
        "envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig",
        "envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig.UtilizationComputeStrategy",
        "envoy.type.http.v3.CookieAttribute",
        "envoy.type.http.v3.Cookie.attributes",
        "envoy.extensions.filters.network.http_connection_manager.v3.ForwardProtoConfig",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.forward_proto_config",
        "google.api.expr.v1alpha1.CheckedExpr.expr_version",
        "google.api.expr.v1alpha1.Expr.Comprehension.iter_var2",
        "google.api.expr.v1alpha1.Expr.CreateList.optional_indices",
        "google.api.expr.v1alpha1.Expr.CreateStruct.Entry.optional_entry",
        "xds.type.v3.CelExpression.cel_expr_checked",
        "xds.type.v3.CelExpression.cel_expr_parsed",
        "xds.type.v3.CelExpression.cel_expr_string",
        "envoy.config.metrics.v3.HistogramBucketSettings.bins",
        "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz.check_on_new_connection",
        "envoy.extensions.filters.http.oauth2.v3.CookieConfig",
        "envoy.extensions.filters.http.oauth2.v3.CookieConfig.SameSite",
        "envoy.extensions.filters.http.oauth2.v3.CookieConfigs",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2TokenForwarding",
        "envoy.extensions.filters.http.oauth2.v3.PostLogoutRedirectUri",
        "envoy.extensions.filters.http.oauth2.v3.PrivateKeyJwtConfig",
        "envoy.extensions.filters.http.oauth2.v3.PrivateKeyJwtConfig.SigningAlgorithm",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.cookie_domain",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.code_verifier",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.oauth_nonce",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.AuthType.PRIVATE_KEY_JWT",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.AuthType.TLS_CLIENT_AUTH",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.allow_failed_matcher",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.allowed_redirect_domains",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.code_verifier_token_expires_in",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.cookie_configs",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.csrf_token_expires_in",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.disable_access_token_set_cookie",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.disable_refresh_token_set_cookie",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.disable_token_encryption",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.end_session_endpoint",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.forward_id_token",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.original_request_uri",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.post_logout_redirect_uri",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.private_key_jwt_config",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.retry_policy",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.stat_prefix",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.use_access_token_expiry_for_id_token_cookie",
        "envoy.config.route.v3.Tracing.operation",
        "envoy.config.route.v3.Tracing.upstream_operation",
        "envoy.config.trace.v3.OpenTelemetryConfig.max_cache_size",
        "envoy.config.trace.v3.ZipkinConfig.TraceContextOption",
        "envoy.config.trace.v3.ZipkinConfig.collector_service",
        "envoy.config.trace.v3.ZipkinConfig.trace_context_option",
        "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing.no_context_propagation",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing.operation",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing.upstream_operation",
        "envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig",
        "envoy.service.metrics.v3.StreamMetricsMessage",
        "envoy.service.metrics.v3.StreamMetricsMessage.Identifier",
        "envoy.service.metrics.v3.StreamMetricsResponse",
        "envoy.type.tracing.v3.CustomTag.value",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.auto_host_sni",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.auto_sni_san_validation",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.prefer_client_ciphers",
    ];

    // Fields of one choice that C# cannot have in one: both would bring a member ClearBody. On the wire it is the same.
    private static readonly string[] s_apart = ["envoy.service.ext_proc.v3.BodyMutation.body", "envoy.service.ext_proc.v3.BodyMutation.clear_body"];

    private static readonly string[] s_packages = ["envoy", "google", "udpa", "xds"];

    private static readonly Lazy<JsonElement> s_published = new(Describe);

    private static FileDescriptor[] Ours { get; } = [.. Collect()];

    public static TheoryData<string> Files => [.. Ours.Select(f => f.Name)];

    [Fact]
    public void Every_file_of_ours_has_an_oracle_or_is_listed()
    {
        HashSet<string> published = [.. s_published.Value.GetProperty("present").EnumerateArray().Select(e => e.GetString()!)];
        Assert.Equal(s_withoutOracle, Ours.Select(f => f.Name).Where(f => !published.Contains(f)));
    }

    [Fact]
    public void Every_proto_file_is_compared()
    {
        string root = Repository.At("proto");
        string[] files = [.. s_packages.SelectMany(d => Directory.EnumerateFiles(Path.Combine(root, d), "*.proto", SearchOption.AllDirectories))
            .Select(f => Path.GetRelativePath(root, f)).Order(StringComparer.Ordinal)];
        Assert.Equal(files, Ours.Select(f => f.Name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void A_file_says_what_the_published_one_says(string name)
    {
        FileDescriptor file = Ours.Single(f => f.Name == name);
        var differences = new List<string>();
        foreach (MessageDescriptor message in All(file.MessageTypes)) Compare(message, differences);
        foreach (EnumDescriptor type in file.EnumTypes.Concat(All(file.MessageTypes).SelectMany(m => m.EnumTypes))) Compare(type, differences);
        foreach (ServiceDescriptor service in file.Services) Compare(service, differences);
        Assert.Empty(differences);
    }

    // cel.expr is younger than the package; it is google.api.expr.v1alpha1 under another name, and is read as that.
    [Fact]
    public void The_two_packages_of_expressions_are_the_same_bytes()
    {
        foreach ((FileDescriptor one, FileDescriptor other) in new[]
            {
                (Google.Api.Expr.V1Alpha1.SyntaxReflection.Descriptor, Cel.Expr.SyntaxReflection.Descriptor),
                (Google.Api.Expr.V1Alpha1.CheckedReflection.Descriptor, Cel.Expr.CheckedReflection.Descriptor),
            })
        {
            Assert.Equal(
                one.ToProto().ToString().Replace("google.api.expr.v1alpha1", "P",
                    StringComparison.Ordinal).Replace("google/api/expr/v1alpha1", "F", StringComparison.Ordinal),
                other.ToProto().ToString().Replace("cel.expr", "P", StringComparison.Ordinal).Replace("cel/expr", "F",
                    StringComparison.Ordinal));
        }
    }

    private static void Compare(MessageDescriptor message, List<string> differences)
    {
        if (message.GetOptions()?.MapEntry == true) return;
        if (s_newer.Contains(message.FullName)) return;
        if (!s_published.Value.GetProperty("messages").TryGetProperty(message.FullName, out JsonElement published))
        {
            differences.Add($"message {message.FullName} is not published");
            return;
        }
        foreach (FieldDescriptor field in message.Fields.InDeclarationOrder())
        {
            if (s_newer.Contains(field.FullName)) continue;
            if (!published.TryGetProperty(field.Name, out JsonElement theirs))
            {
                differences.Add($"field {field.FullName} is not published");
                continue;
            }
            string said = $"{theirs.GetProperty("number").GetInt32()} {theirs.GetProperty("label").GetString()} {theirs.GetProperty("type").GetString()} oneof={theirs.GetProperty("oneof").GetString()}";
            string ours = $"{field.FieldNumber} {Label(field)} {TypeOf(field.IsMap ? field.MessageType.FindFieldByNumber(2) : field)} oneof={(s_apart.Contains(field.FullName) ? "mutation" : field.RealContainingOneof?.Name)}";
            if (ours != said) differences.Add($"field {field.FullName}: ours {ours}, published {said}");
        }
    }

    private static void Compare(EnumDescriptor type, List<string> differences)
    {
        if (s_newer.Contains(type.FullName)) return;
        if (!s_published.Value.GetProperty("enums").TryGetProperty(type.FullName, out JsonElement published))
        {
            differences.Add($"enum {type.FullName} is not published");
            return;
        }
        foreach (EnumValueDescriptor value in type.Values)
        {
            if (IsNewer(value)) continue;
            if (!published.TryGetProperty(value.Name, out JsonElement number) || number.GetInt32() != value.Number) differences.Add($"value {type.FullName}.{value.Name} = {value.Number}");
        }
        // An enum is never cut: a value that is left out could not be named in a complaint.
        int theirs = published.EnumerateObject().Count(v => !v.Name.StartsWith("hidden_envoy_deprecated", StringComparison.Ordinal));
        if (theirs != type.Values.Count(v => !IsNewer(v))) differences.Add($"enum {type.FullName} has {type.Values.Count} values, published are {theirs}");
    }

    private static bool IsNewer(EnumValueDescriptor value) => s_newer.Contains($"{value.EnumDescriptor.FullName}.{value.Name}");

    private static void Compare(ServiceDescriptor service, List<string> differences)
    {
        JsonElement published = s_published.Value.GetProperty("services").GetProperty(service.FullName);
        foreach (MethodDescriptor method in service.Methods)
        {
            string ours = $"{(method.IsClientStreaming ? "stream " : "")}{method.InputType.FullName} -> {(method.IsServerStreaming ? "stream " : "")}{method.OutputType.FullName}";
            string? theirs = published.TryGetProperty(method.Name, out JsonElement said) ? said.GetString() : null;
            if (ours != theirs) differences.Add($"method {method.FullName}: ours {ours}, published {theirs}");
        }
    }

    private static string Label(FieldDescriptor field)
    {
        if (field.IsMap) return $"map<{TypeOf(field.MessageType.FindFieldByNumber(1))}>";
        if (field.IsRepeated) return "repeated";
        return field.ToProto().Proto3Optional ? "optional" : "single";
    }

    private static string TypeOf(FieldDescriptor field) => field.FieldType switch
    {
        FieldType.Message => field.MessageType.FullName,
        FieldType.Enum => field.EnumType.FullName,
        var scalar => scalar.ToString().ToLowerInvariant(),
    };

    private static IEnumerable<MessageDescriptor> All(IEnumerable<MessageDescriptor> messages) => messages.SelectMany(m => All(m.NestedTypes).Prepend(m));

    // Every generated file of these packages, found in the assembly, so that none is forgotten.
    private static IEnumerable<FileDescriptor> Collect() => typeof(Envoy.Config.Core.V3.Node).Assembly.GetExportedTypes()
        .Where(t => t.Name.EndsWith("Reflection", StringComparison.Ordinal))
        .Select(t => t.GetProperty("Descriptor", BindingFlags.Public | BindingFlags.Static)?.GetValue(null)).OfType<FileDescriptor>()
        .Where(f => s_packages.Contains(f.Name.Split('/')[0])).OrderBy(f => f.Name, StringComparer.Ordinal);

    private static JsonElement Describe()
    {
        string peers = Repository.At("tests", "kit", "peers");
        if (!Directory.Exists(Path.Combine(peers, "node_modules"))) throw new DirectoryNotFoundException("the npm peers are not installed; ./test installs them");
        var start = new ProcessStartInfo(Tools.Path("node", "nodejs")) { RedirectStandardOutput = true, WorkingDirectory = peers };
        start.ArgumentList.Add("describe.js");
        foreach (FileDescriptor file in Ours) start.ArgumentList.Add(file.Name);
        using Process node = Process.Start(start)!;
        using JsonDocument document = JsonDocument.Parse(node.StandardOutput.ReadToEnd());
        node.WaitForExit();
        Assert.Equal(0, node.ExitCode);
        return document.RootElement.Clone();
    }
}

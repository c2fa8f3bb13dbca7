// What configurations of external processors say is read, and what is wrong with them is said by name.
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class ExtProcReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Grpc = "grpc_service: { envoy_grpc: { cluster_name: c } }";

    private static string Bootstrap(string fields, string perRoute = "") => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 }, "
        + $"typed_per_filter_config: {{ {(perRoute.Length > 0 ? $"f: {{ \"@type\": {Http}ext_proc.v3.ExtProcPerRoute, {perRoute} }}" : "")} }} }}] }}] }}, "
        + $"http_filters: [{{ name: f, typed_config: {{ \"@type\": {Http}ext_proc.v3.ExternalProcessor, {fields} }} }}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    [Theory]
    [InlineData("stat_prefix: a", "NARU-C101 grpc_service")]
    [InlineData("grpc_service: {}", "NARU-C101 grpc_service")]
    [InlineData("grpc_service: { google_grpc: { target_uri: a, stat_prefix: s } }", "NARU-C110 google_grpc")]
    [InlineData("grpc_service: { envoy_grpc: { cluster_name: c, retry_policy: {} } }", "NARU-C113 retry_policy")]
    [InlineData($"{Grpc}, processing_mode: {{ request_body_mode: FULL_DUPLEX_STREAMED }}", "NARU-C113 request_body_mode")]
    [InlineData($"{Grpc}, processing_mode: {{ response_body_mode: GRPC }}", "NARU-C113 response_body_mode")]
    [InlineData($"{Grpc}, allowed_override_modes: [{{ response_body_mode: GRPC }}]", "NARU-C113 response_body_mode")]
    [InlineData($"{Grpc}, message_timeout: 3601s", "NARU-C102 message_timeout")]
    [InlineData($"{Grpc}, message_timeout: -1s", "NARU-C102 message_timeout")]
    [InlineData($"{Grpc}, max_message_timeout: 3601s", "NARU-C102 max_message_timeout")]
    [InlineData($"{Grpc}, status_on_error: {{ code: 200 }}", "NARU-C102 status_on_error")]
    [InlineData($"{Grpc}, mutation_rules: {{ allow_expression: {{ regex: '(' }} }}", "NARU-C105 regex")]
    [InlineData($"{Grpc}, disable_clear_route_cache: true, route_cache_action: CLEAR", "NARU-C113 disable_clear_route_cache")]
    [InlineData($"{Grpc}, request_attributes: [ request.path ]", "NARU-C110 request_attributes")]
    [InlineData($"{Grpc}, response_attributes: [ response.code ]", "NARU-C110 response_attributes")]
    [InlineData($"{Grpc}, observability_mode: true", "NARU-C110 observability_mode")]
    [InlineData($"{Grpc}, deferred_close_timeout: 1s", "NARU-C110 deferred_close_timeout")]
    [InlineData($"{Grpc}, send_body_without_waiting_for_header_response: true", "NARU-C110 send_body_without_waiting_for_header_response")]
    [InlineData($"{Grpc}, filter_metadata: {{ a: b }}", "NARU-C110 filter_metadata")]
    [InlineData($"{Grpc}, http_service: {{}}", "NARU-C110 http_service")]
    [InlineData($"{Grpc}, metadata_options: {{ forwarding_namespaces: {{ typed: [ a ] }} }}", "NARU-C110 typed")]
    [InlineData($"{Grpc}, forward_rules: {{ allowed_headers: {{ patterns: [{{}}] }} }}", "NARU-C101 patterns[0]")]
    public void What_is_wrong_with_a_processor_is_said(string fields, string error) => Assert.Equal(error, Read.Bad(Bootstrap(fields)));

    [Theory]
    [InlineData("disabled: false", "NARU-C102 disabled")]
    [InlineData("overrides: { processing_mode: { request_body_mode: GRPC } }", "NARU-C113 request_body_mode")]
    [InlineData("overrides: { async_mode: true }", "NARU-C110 async_mode")]
    [InlineData("overrides: { grpc_initial_metadata: [{ key: host, value: a }] }", "NARU-C108 key")]
    [InlineData("overrides: { grpc_initial_metadata: [{ key: x-a, value: \"a\\nb\" }] }", "NARU-C108 value")]
    [InlineData("overrides: { request_attributes: [ a ] }", "NARU-C110 request_attributes")]
    public void What_is_wrong_with_a_route_is_said(string perRoute, string error) => Assert.Equal(error, Read.Bad(Bootstrap(Grpc, perRoute)));
}

// What configurations of filters that ask other services say is read, and what is wrong with them is said by name.
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class CallOutReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Grpc = "grpc_service: { envoy_grpc: { cluster_name: c } }";
    private const string Uri = "uri: 'http://k/keys', cluster: c, timeout: 1s";
    private const string Key = "{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    private const string Secret = "{\"kty\": \"oct\", \"k\": \"AAAA\"}";
    private const string Good = $"local_jwks: {{ inline_string: '{{\"keys\": [{Key}]}}' }}";
    private const string Limit = $"domain: d, rate_limit_service: {{ {Grpc} }}";

    private static string Bootstrap(string filters, string action = "direct_response: { status: 200 }", string perRoute = "") => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + $"route_config: {{ virtual_hosts: [{{ name: v, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, {action}, typed_per_filter_config: {{ {perRoute} }} }}] }}] }}, "
        + $"http_filters: [{filters}{(filters.Length > 0 ? ", " : "")}{{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    private static string One(string type, string fields) => $"{{ name: f, typed_config: {{ \"@type\": {Http}{type}, {fields} }} }}";

    [Theory]
    [InlineData("", "NARU-C101 providers[a]")]
    [InlineData("local_jwks: { inline_string: nothing }", "NARU-C102 local_jwks")]
    [InlineData($"local_jwks: {{ inline_string: '{{\"keys\": [{Secret}]}}' }}", "NARU-C113 local_jwks")]
    [InlineData($"local_jwks: {{ inline_string: '{{\"keys\": [{Key}, {Secret}]}}' }}", "NARU-C113 local_jwks")]
    [InlineData("local_jwks: { inline_string: '{\"keys\": []}' }", "NARU-C102 local_jwks")]
    [InlineData("local_jwks: { inline_string: '{\"keys\": [], \"keys\": []}' }", "NARU-C102 local_jwks")]
    [InlineData("local_jwks: { filename: /nowhere/keys }", "NARU-C104 filename")]
    [InlineData("remote_jwks: {}", "NARU-C101 http_uri")]
    [InlineData("remote_jwks: { http_uri: { uri: 'http://k', cluster: c } }", "NARU-C101 timeout")]
    [InlineData("remote_jwks: { http_uri: { uri: 'http:// k', cluster: c, timeout: 1s } }", "NARU-C102 uri")]
    [InlineData("remote_jwks: { http_uri: { uri: 'http://k', cluster: c, timeout: 0s } }", "NARU-C102 timeout")]
    [InlineData($"{Good}, from_cookies: ['a;b']", "NARU-C102 from_cookies")]
    [InlineData($"remote_jwks: {{ http_uri: {{ {Uri} }}, cache_duration: 0s }}", "NARU-C102 cache_duration")]
    [InlineData($"remote_jwks: {{ http_uri: {{ {Uri} }}, retry_policy: {{ num_retries: 101 }} }}", "NARU-C102 num_retries")]
    [InlineData($"remote_jwks: {{ http_uri: {{ {Uri} }}, retry_policy: {{ retry_on: 5xx }} }}", "NARU-C110 retry_on")]
    [InlineData($"{Good}, from_headers: [{{ name: 'a b' }}]", "NARU-C108 name")]
    [InlineData($"{Good}, claim_to_headers: [{{ header_name: host, claim_name: sub }}]", "NARU-C108 header_name")]
    [InlineData($"{Good}, claim_to_headers: [{{ header_name: x-a }}]", "NARU-C101 claim_name")]
    [InlineData($"{Good}, forward_payload_header: content-length", "NARU-C108 forward_payload_header")]
    [InlineData($"{Good}, failed_status_in_metadata: a", "NARU-C110 failed_status_in_metadata")]
    [InlineData($"{Good}, jwt_cache_config: {{ jwt_cache_size: 100001 }}", "NARU-C102 jwt_cache_size")]
    public void What_is_wrong_with_a_provider_is_said(string provider, string error) =>
        Assert.Equal(error, Read.Bad(Bootstrap(One("jwt_authn.v3.JwtAuthentication", $"providers: {{ a: {{ {provider} }} }}"))));

    [Theory]
    [InlineData("rules: [{ match: { prefix: / }, requires: { provider_name: b } }]", "NARU-C104 provider_name")]
    [InlineData("rules: [{ match: { prefix: / }, requirement_name: b }]", "NARU-C104 requirement_name")]
    [InlineData("rules: [{ requires: { provider_name: a } }]", "NARU-C101 match")]
    [InlineData("rules: [{ match: { prefix: / }, requires: { requires_any: { requirements: [{ provider_name: a }] } } }]", "NARU-C101 requirements")]
    [InlineData("filter_state_rules: { requires: {} }", "NARU-C101 name")]
    public void What_is_wrong_with_a_rule_is_said(string rules, string error) =>
        Assert.Equal(error, Read.Bad(Bootstrap(One("jwt_authn.v3.JwtAuthentication", $"providers: {{ a: {{ {Good} }} }}, {rules}"))));

    [Theory]
    [InlineData("ext_authz.v3.ExtAuthz", "stat_prefix: a", "NARU-C101 typed_config")]
    [InlineData("ext_authz.v3.ExtAuthz", "grpc_service: { google_grpc: { target_uri: a, stat_prefix: s } }", "NARU-C110 google_grpc")]
    [InlineData("ext_authz.v3.ExtAuthz", "grpc_service: {}", "NARU-C101 grpc_service")]
    [InlineData("ext_authz.v3.ExtAuthz", "grpc_service: { envoy_grpc: { cluster_name: c }, retry_policy: {} }", "NARU-C110 retry_policy")]
    [InlineData("ext_authz.v3.ExtAuthz", "grpc_service: { envoy_grpc: { cluster_name: c }, initial_metadata: [{ key: host, value: a }] }", "NARU-C108 key")]
    [InlineData("ext_authz.v3.ExtAuthz", "http_service: {}", "NARU-C101 server_uri")]
    [InlineData("ext_authz.v3.ExtAuthz", "http_service: { server_uri: { uri: 'http://k', cluster: c, timeout: 0s } }", "NARU-C102 timeout")]
    [InlineData("ext_authz.v3.ExtAuthz", $"http_service: {{ server_uri: {{ {Uri} }}, path_prefix: a }}", "NARU-C102 path_prefix")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, with_request_body: {{ max_request_bytes: 0 }}", "NARU-C102 max_request_bytes")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, status_on_error: {{ code: Continue }}", "NARU-C102 status_on_error")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, bootstrap_metadata_labels_key: a", "NARU-C110 bootstrap_metadata_labels_key")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, typed_metadata_context_namespaces: [a]", "NARU-C110 typed_metadata_context_namespaces")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, transport_api_version: V2", "NARU-C113 transport_api_version")]
    [InlineData("ext_authz.v3.ExtAuthz", $"{Grpc}, decoder_header_mutation_rules: {{ allow_expression: {{ regex: '(' }} }}", "NARU-C105 regex")]
    [InlineData("ratelimit.v3.RateLimit", $"rate_limit_service: {{ {Grpc} }}", "NARU-C101 domain")]
    [InlineData("ratelimit.v3.RateLimit", "domain: d", "NARU-C101 rate_limit_service")]
    [InlineData("ratelimit.v3.RateLimit", $"{Limit}, stage: 11", "NARU-C102 stage")]
    [InlineData("ratelimit.v3.RateLimit", $"{Limit}, request_type: some", "NARU-C102 request_type")]
    [InlineData("ratelimit.v3.RateLimit", $"{Limit}, status_on_error: {{ code: Continue }}", "NARU-C102 status_on_error")]
    public void What_is_wrong_with_a_service_is_said(string type, string fields, string error) => Assert.Equal(error, Read.Bad(Bootstrap(One(type, fields))));

    [Theory]
    [InlineData("metadata: { descriptor_key: a }", "NARU-C101 metadata_key")]
    [InlineData("metadata: { descriptor_key: a, metadata_key: { key: k } }", "NARU-C101 path")]
    [InlineData("metadata: { metadata_key: { key: k, path: [{ key: a }] } }", "NARU-C101 descriptor_key")]
    [InlineData("query_parameters: { descriptor_key: a }", "NARU-C101 query_parameter_name")]
    [InlineData("extension: { name: a }", "NARU-C101 typed_config")]
    public void What_is_wrong_with_an_action_is_said(string limited, string error) =>
        Assert.Equal(error, Read.Bad(Bootstrap("", $"route: {{ cluster_header: x-c, rate_limits: [{{ actions: [{{ {limited} }}] }}] }}")));

    [Theory]
    [InlineData("ext_authz.v3.ExtAuthzPerRoute", "disabled: false", "NARU-C102")]
    [InlineData("ext_authz.v3.ExtAuthzPerRoute", "check_settings: { disable_request_body_buffering: true, with_request_body: { max_request_bytes: 1 } }", "NARU-C113")]
    [InlineData("jwt_authn.v3.PerRouteConfig", "disabled: false", "NARU-C102")]
    [InlineData("jwt_authn.v3.PerRouteConfig", "requirement_name: ''", "NARU-C101")]
    public void What_is_wrong_at_a_route_is_said(string type, string fields, string code) =>
        Assert.StartsWith(code, Read.Bad(Bootstrap("", perRoute: $"f: {{ \"@type\": {Http}{type}, {fields} }}")));
}

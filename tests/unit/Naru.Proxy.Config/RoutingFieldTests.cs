// Matchers, templates, hashes, redirects that are followed, scopes and the runtime: what cannot be is refused, each by its field.
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class RoutingFieldTests
{
    private const string Input = "input: { name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x-a } }";
    private const string Route = "action: { name: r, typed_config: { \"@type\": type.googleapis.com/envoy.config.route.v3.Route, match: { prefix: / }, direct_response: { status: 200 } } }";

    private static string Http(string fields) => Read.InListener(
        $"filter_chains: [{{ filters: [{{ name: h, typed_config: {{ \"@type\": {Read.Types}filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, http_filters: [{{ name: envoy.filters.http.router }}], {fields} }} }}] }}]");

    private static string Host(string fields) => Http($"route_config: {{ virtual_hosts: [{{ name: v, domains: ['*'], {fields} }}] }}");

    private static string Template(string template) =>
        Host($"routes: [{{ match: {{ path_match_policy: {{ name: t, typed_config: {{ \"@type\": {Read.Types}path.match.uri_template.v3.UriTemplateMatchConfig, path_template: '{template}' }} }} }}, direct_response: {{ status: 200 }} }}]");

    [Theory]
    [InlineData("users/{id}")]
    [InlineData("/a//b")]
    [InlineData("/{a}/{a}")]
    [InlineData("/{a}{b}")]
    [InlineData("/**/*")]
    [InlineData("/**/{a}")]
    [InlineData("/***")]
    [InlineData("/{a")]
    [InlineData("/{}")]
    [InlineData("/{1a}")]
    [InlineData("/{abcdefghijklmnopq}")]
    [InlineData("/{a=}")]
    [InlineData("/{a={b}}")]
    [InlineData("/{a}/{b}/{c}/{d}/{e}/{f}")]
    [InlineData("/a b")]
    [InlineData("/a?b")]
    [InlineData("/a[b]")]
    public void A_template_that_is_none_is_refused(string template) => Assert.Equal("NARU-C102 path_template", Read.Bad(Template(template)));

    [Theory]
    [InlineData("/")]
    [InlineData("/users/{id}/pets/*")]
    [InlineData("/img/{dir=**}/pic.png")]
    [InlineData("/{a=v1/*}/x")]
    [InlineData("/videos/{file}.m3u8")]
    [InlineData("/all/**")]
    public void A_template_is_taken(string template) => Read.Good(Template(template));

    [Theory]
    [InlineData("matcher: {}", "NARU-C101 matcher")]
    [InlineData($"matcher: {{ matcher_tree: {{ {Input}, exact_match_map: {{ map: {{ a: {{ {Route} }} }} }} }} }}, routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}]", "NARU-C113 matcher")]
    [InlineData($"matcher: {{ matcher_tree: {{ {Input}, exact_match_map: {{}} }} }}", "NARU-C101 map")]
    [InlineData($"matcher: {{ matcher_tree: {{ exact_match_map: {{ map: {{ a: {{ {Route} }} }} }} }} }}", "NARU-C101 input")]
    [InlineData($"matcher: {{ matcher_tree: {{ {Input} }} }}", "NARU-C101 matcher_tree")]
    [InlineData($"matcher: {{ matcher_list: {{ matchers: [{{ predicate: {{ single_predicate: {{ {Input} }} }}, on_match: {{ {Route} }} }}] }} }}", "NARU-C101 single_predicate")]
    [InlineData($"matcher: {{ matcher_list: {{ matchers: [{{ predicate: {{ and_matcher: {{ predicate: [] }} }}, on_match: {{ {Route} }} }}] }} }}", "NARU-C102 predicate")]
    [InlineData("matcher: { on_no_match: { action: { name: r, typed_config: { \"@type\": type.googleapis.com/envoy.config.route.v3.RouteList } } } }", "NARU-C101 routes")]
    [InlineData("matcher: { on_no_match: { action: { name: r, typed_config: { \"@type\": type.googleapis.com/envoy.config.route.v3.Route, match: { prefix: / }, route: { cluster: nothing } } } } }", "NARU-C104 cluster")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, prefix_rewrite: /a, path_rewrite: /b } }]", "NARU-C113 path_rewrite")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, path_rewrite: '/a b' } }]", "NARU-C102 path_rewrite")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, host_rewrite_literal: '한.kr' } }]", "NARU-C102 host_rewrite_literal")]
    [InlineData("routes: [{ match: { prefix: / }, redirect: { host_redirect: '한.kr' } }]", "NARU-C102 host_redirect")]
    [InlineData("routes: [{ match: { prefix: / }, redirect: { host_redirect: 'a b' } }]", "NARU-C102 host_redirect")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, internal_redirect_policy: { response_headers_to_copy: [Host] } } }]", "NARU-C108 response_headers_to_copy[0]")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, hash_policy: [{}] } }]", "NARU-C101 hash_policy[0]")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, hash_policy: [{ cookie: { name: 'a;b' } }] } }]", "NARU-C102 name")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c, hash_policy: [{ cookie: { name: a, path: '/;x' } }] } }]", "NARU-C102 path")]
    [InlineData("routes: [{ match: { prefix: /, cookies: [{ name: a }] }, direct_response: { status: 200 } }]", "NARU-C101 string_match")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { cluster: none } } } }]", "NARU-C104 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, direct_response: { status: 200 }, metadata: { filter_metadata: { naru.fallback: { status: 200 } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("metadata: { filter_metadata: { naru.fallback: { status: 200 } } }, routes: [{ match: { prefix: / }, direct_response: { status: 200 } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: {} } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { body: x } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 99 } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 200.5 } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 200, statuses: 503 } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 200, statuses: [200] } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 200, content_type: '' } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: / }, route: { cluster_header: x-c }, metadata: { filter_metadata: { naru.fallback: { status: 200, stat: 1 } } } }]", "NARU-C102 filter_metadata")]
    [InlineData("routes: [{ match: { prefix: /, filter_state: [{ key: a }] }, direct_response: { status: 200 } }]",
        "NARU-C101 string_match")]
    public void A_virtual_host_that_cannot_be_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Host(fields)));

    [Theory]
    [InlineData("scope_key_builder: { fragments: [{ header_value_extractor: { name: a, index: 0 } }] }, scoped_route_configurations_list: { scoped_route_configurations: [{ name: s, key: { fragments: [{ string_key: a }, { string_key: b }] }, route_configuration: {} }] }", "NARU-C102 key")]
    [InlineData("scope_key_builder: { fragments: [{ header_value_extractor: { name: a, index: 1 } }] }, scoped_route_configurations_list: { scoped_route_configurations: [{ name: s, key: { fragments: [{ string_key: a }] }, route_configuration: {} }] }", "NARU-C102 index")]
    [InlineData("scope_key_builder: { fragments: [{ header_value_extractor: { name: a, index: 0 } }] }, scoped_route_configurations_list: { scoped_route_configurations: [{ name: s, key: { fragments: [{ string_key: a }] }, route_configuration_name: b }] }", "NARU-C113 route_configuration_name")]
    public void Scopes_that_cannot_be_are_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Http($"scoped_routes: {{ name: s, {fields} }}")));

    [Theory]
    [InlineData("layers: [{ name: a }]", "NARU-C101 layers[0]")]
    [InlineData("layers: [{ static_layer: {} }]", "NARU-C101 name")]
    [InlineData("layers: [{ name: a, static_layer: {} }, { name: a, admin_layer: {} }]", "NARU-C103 name")]
    [InlineData("layers: [{ name: a, admin_layer: {} }, { name: b, admin_layer: {} }]", "NARU-C103 admin_layer")]
    [InlineData("layers: [{ name: a, static_layer: { k: [1] } }]", "NARU-C102 static_layer")]
    [InlineData("layers: [{ name: a, static_layer: { k: { numerator: -1 } } }]", "NARU-C102 static_layer")]
    [InlineData("layers: [{ name: a, disk_layer: {} }]", "NARU-C101 symlink_root")]
    public void Layers_of_the_runtime_that_cannot_be_are_refused(string fields, string expected) =>
        Assert.Equal(expected, Read.Bad($"layered_runtime: {{ {fields} }}"));

    [Theory]
    [InlineData("lb_policy: MAGLEV, maglev_lb_config: { table_size: 100 }", "NARU-C102 table_size")]
    [InlineData("lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 10, maximum_ring_size: 5 }", "NARU-C102 minimum_ring_size")]
    [InlineData("lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 8388609 }", "NARU-C102 maximum_ring_size")]
    [InlineData("lb_policy: RING_HASH, common_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: 99 } }",
        "NARU-C102 hash_balance_factor")]
    public void A_hashing_balancer_that_cannot_be_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Read.InCluster(fields)));
}

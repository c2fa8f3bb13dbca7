// What configurations of HTTP filters say is read, and what is wrong with them is said by name.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class FilterReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Wrapper = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
    private const string Mutation = $"{{ \"@type\": {Http}header_mutation.v3.HeaderMutation }}";

    private static string Bootstrap(string filters, string perRoute = "", string action = "direct_response: { status: 200 }") => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + $"route_config: {{ virtual_hosts: [{{ name: v, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, {action}, typed_per_filter_config: {{ {perRoute} }} }}] }}] }}, "
        + $"http_filters: [{filters}{(filters.Length > 0 ? ", " : "")}{{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    private static string One(string type, string fields) => $"{{ name: f, typed_config: {{ \"@type\": {Http}{type}{(fields.Length > 0 ? ", " : "")}{fields} }} }}";

    [Fact]
    public void An_extension_s_messages_are_in_the_package_that_it_names()
    {
        foreach (HttpFilterExtension filter in ExtensionTable.HttpFilters)
            Assert.All(new[] { filter.Message, filter.RouteMessage ?? filter.Message }, m => Assert.Equal(filter.Package, m.File.Package));
        foreach (NetworkFilterExtension filter in ExtensionTable.NetworkFilters) Assert.Equal(filter.Package, filter.Message.File.Package);
    }

    [Theory]
    [InlineData("fault.v3.HTTPFault", "abort: { http_status: 199 }", "NARU-C102 http_status")]
    [InlineData("fault.v3.HTTPFault", "abort: { percentage: { numerator: 1 } }", "NARU-C101 abort")]
    [InlineData("fault.v3.HTTPFault", "delay: { percentage: { numerator: 1 } }", "NARU-C101 delay")]
    [InlineData("fault.v3.HTTPFault", "delay: { fixed_delay: 0s }", "NARU-C102 fixed_delay")]
    [InlineData("health_check.v3.HealthCheck", "", "NARU-C101 pass_through_mode")]
    [InlineData("health_check.v3.HealthCheck", "pass_through_mode: false, cache_time: 1s", "NARU-C113 cache_time")]
    [InlineData("health_check.v3.HealthCheck", "pass_through_mode: true, cluster_min_healthy_percentages: { a: { value: 1 } }", "NARU-C113 cluster_min_healthy_percentages")]
    [InlineData("local_ratelimit.v3.LocalRateLimit", "token_bucket: { max_tokens: 1, fill_interval: 1s }", "NARU-C101 stat_prefix")]
    [InlineData("local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, token_bucket: { max_tokens: 1, fill_interval: 0.01s }", "NARU-C102 fill_interval")]
    [InlineData("local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, stage: 11", "NARU-C102 stage")]
    [InlineData("local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, status: {}", "NARU-C102 status")]
    [InlineData("local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, descriptors: [{ token_bucket: { max_tokens: 1, fill_interval: 1s } }]", "NARU-C101 entries")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { request_mutations: [{ remove: \":path\" }] }", "NARU-C108 remove")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { request_mutations: [{}] }", "NARU-C101 request_mutations[0]")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { request_mutations: [{ append: { header: { key: \":path\", value: x } } }] }", "NARU-C108 key")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { query_parameter_mutations: [{}] }", "NARU-C101 query_parameter_mutations[0]")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { query_parameter_mutations: [{ append: {} }] }", "NARU-C101 record")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { query_parameter_mutations: [{ append: { record: { key: a, value: 1 } } }] }", "NARU-C102 value")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { response_trailers_mutations: [{ remove: \":status\" }] }", "NARU-C108 remove")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { request_mutations: [{ append: { header: { key: \":status\", value: \"200\" } } }] }", "NARU-C108 key")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { response_trailers_mutations: [{ append: { header: { key: \":status\", value: \"200\" } } }] }", "NARU-C108 key")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { response_mutations: [{ append: { header: { key: \":status\", value: \"200\" } } }] }", "NARU-C102 append")]
    [InlineData("header_mutation.v3.HeaderMutation", "mutations: { response_mutations: [{ append: { header: { key: \":status\", value: \"100\" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } }] }", "NARU-C102 append")]
    [InlineData("buffer.v3.Buffer", "", "NARU-C101 max_request_bytes")]
    [InlineData("buffer.v3.Buffer", "max_request_bytes: 0", "NARU-C102 max_request_bytes")]
    [InlineData("fault.v3.HTTPFault", "response_rate_limit: { fixed_limit: { limit_kbps: 0 } }", "NARU-C102 limit_kbps")]
    [InlineData("fault.v3.HTTPFault", "response_rate_limit: { percentage: { numerator: 1 } }", "NARU-C101 response_rate_limit")]
    public void What_is_wrong_with_a_filter_is_said(string type, string fields, string error) => Assert.Equal(error, Read.Bad(Bootstrap(One(type, fields))));

    [Theory]
    [InlineData($"f: {{ \"@type\": {Wrapper}, disabled: false }}", "NARU-C101")]
    [InlineData($"f: {{ \"@type\": {Http}header_mutation.v3.HeaderMutation }}", "NARU-C113")]
    [InlineData($"f: {{ \"@type\": {Http}wasm.v3.Wasm }}", "NARU-C112")]
    [InlineData($"f: {{ \"@type\": {Wrapper}, is_optional: true, config: {{ \"@type\": {Http}wasm.v3.Wasm }} }}", "NARU-C112")]
    [InlineData("f: { \"@type\": type.googleapis.com/made.up.v1.Route }", "NARU-C112")]
    [InlineData("f: { \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c }", "NARU-C112")]
    [InlineData($"f: {{ \"@type\": {Http}local_ratelimit.v3.LocalRateLimit, stat_prefix: s }}", "NARU-C101")]
    [InlineData($"f: {{ \"@type\": {Http}buffer.v3.BufferPerRoute }}", "NARU-C101")]
    [InlineData($"f: {{ \"@type\": {Http}buffer.v3.BufferPerRoute, disabled: false }}", "NARU-C102")]
    [InlineData($"f: {{ \"@type\": {Http}buffer.v3.BufferPerRoute, buffer: {{}} }}", "NARU-C101")]
    [InlineData($"f: {{ \"@type\": {Http}buffer.v3.Buffer, max_request_bytes: 1 }}", "NARU-C113")]
    public void What_is_wrong_with_an_entry_of_a_route_is_said(string entry, string code)
    {
        // The entry is for the filter that has its name.
        string filter = entry.Contains("BufferPerRoute", StringComparison.Ordinal) ? One("buffer.v3.Buffer", "max_request_bytes: 1")
            : entry.Contains("LocalRateLimit", StringComparison.Ordinal) ? One("local_ratelimit.v3.LocalRateLimit", "stat_prefix: s")
            : One("header_mutation.v3.HeaderMutation", "");
        Assert.StartsWith(code, Read.Bad(Bootstrap(filter, entry)));
    }

    [Fact]
    public void An_entry_that_nobody_knows_may_be_optional_and_that_is_said()
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.Read(Bootstrap(
            One("header_mutation.v3.HeaderMutation", ""), $"f: {{ \"@type\": {Wrapper}, is_optional: true, config: {{ \"@type\": type.googleapis.com/made.up.v1.Route }} }}"), "b.yaml", found);
        Assert.NotNull(config);
        Assert.Contains(found.Items, d => d is { Severity: Severity.Warning, Code: "NARU-C114" } && d.Message.Contains("made.up.v1.Route", StringComparison.Ordinal));
    }

    [Fact]
    public void An_entry_for_a_filter_that_its_chain_does_not_have_is_said()
    {
        var found = new Diagnostics();
        Assert.NotNull(BootstrapReader.Read(Bootstrap(One("header_mutation.v3.HeaderMutation", ""), $"g: {{ \"@type\": {Wrapper}, disabled: true }}"), "b.yaml", found));
        Assert.Contains(found.Items, d => d is { Severity: Severity.Warning, Code: "NARU-C114" } && d.Message.Contains("\"g\"", StringComparison.Ordinal));
    }

    // Under its kind's name, under the chain's own name, in a wrapper, in a filter that has another one do its work.
    [Theory]
    [InlineData("f", "rbac.v3.RBAC", "ext_authz.v3.ExtAuthzPerRoute, disabled: true", "NARU-C113 typed_per_filter_config[f]")]
    [InlineData("f", "cors.v3.Cors", "rbac.v3.RBACPerRoute", "NARU-C113 typed_per_filter_config[f]")]
    [InlineData("envoy.filters.http.rbac", "rbac.v3.RBAC", "ext_authz.v3.ExtAuthzPerRoute, disabled: true", "NARU-C113 rbac]")]
    [InlineData("envoy.filters.http.jwt_authn", "jwt_authn.v3.JwtAuthentication", "cors.v3.CorsPolicy", "NARU-C113 jwt_authn]")]
    public void An_entry_for_another_filter_than_that_of_its_name_is_refused(string name, string chain, string entry, string error)
    {
        string filter = $"{{ name: {name}, typed_config: {{ \"@type\": {Http}{chain} }} }}";
        Assert.Equal(error, Read.Bad(Bootstrap(filter, $"{name}: {{ \"@type\": {Http}{entry} }}")));
        Assert.StartsWith("NARU-C113", Read.Bad(Bootstrap(filter, $"{name}: {{ \"@type\": {Wrapper}, config: {{ \"@type\": {Http}{entry} }} }}")));
    }

    [Theory]
    [InlineData("rbac.v3.RBAC", true)]
    [InlineData("cors.v3.Cors", false)]
    public void A_filter_within_another_hears_what_is_said_to_its_kind_and_nothing_else(string inner, bool hears)
    {
        string filter = $"{{ name: f, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher, extension_config: {{ name: i, typed_config: {{ \"@type\": {Http}{inner} }} }}, "
            + "xds_matcher: { on_no_match: { action: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter } } } } } }";
        string text = Bootstrap(filter, $"f: {{ \"@type\": {Http}rbac.v3.RBACPerRoute }}");
        if (hears) Assert.NotNull(BootstrapReader.Read(text, "b.yaml", new Diagnostics()));
        else Assert.StartsWith("NARU-C113", Read.Bad(text));
    }

    [Fact]
    public void A_requirement_that_the_chain_does_not_have_is_said()
    {
        var found = new Diagnostics();
        Assert.NotNull(BootstrapReader.Read(Bootstrap(One("jwt_authn.v3.JwtAuthentication", "requirement_map: { a: {} }"), $"f: {{ \"@type\": {Http}jwt_authn.v3.PerRouteConfig, requirement_name: b }}"), "b.yaml", found));
        Assert.Contains(found.Items, d => d is { Severity: Severity.Warning, Code: "NARU-C114" } && d.Message.Contains("requirement_map has no \"b\"", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData($"[{{ name: c, typed_config: {{ \"@type\": {Http}cors.v3.Cors }} }}, {{ name: e, typed_config: {{ \"@type\": {Http}upstream_codec.v3.UpstreamCodec }} }}]", "NARU-C113")]
    [InlineData($"[{{ name: m, typed_config: {Mutation} }}]", "NARU-C106")]
    [InlineData($"[{{ name: e, typed_config: {{ \"@type\": {Http}upstream_codec.v3.UpstreamCodec }} }}, {{ name: m, typed_config: {Mutation} }}]", "NARU-C106")]
    public void A_cluster_has_filters_that_may_stand_there_before_its_codec(string filters, string code) => Assert.StartsWith(code, Read.Bad(Read.InCluster(
        "typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
        + $"explicit_http_config: {{ http_protocol_options: {{}} }}, http_filters: {filters} }} }}")));
}

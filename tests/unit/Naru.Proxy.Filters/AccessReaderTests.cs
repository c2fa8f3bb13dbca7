// What rules of access may not say is refused by name: a rule that is not understood never becomes one that fits.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Filters.Http.CdnLoop;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class AccessReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Network = "type.googleapis.com/envoy.extensions.filters.network.";

    private static string OfHttp(string type, string fields) => Read.InListener(
        $"filter_chains: [{{ filters: [{{ name: m, typed_config: {{ \"@type\": {Network}http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }, "
        + $"http_filters: [{{ name: f, typed_config: {{ \"@type\": {Http}{type}{(fields.Length > 0 ? ", " : "")}{fields} }} }}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    private static string OfNetwork(string fields) => Read.InListener(
        $"filter_chains: [{{ filters: [{{ name: g, typed_config: {{ \"@type\": {Network}rbac.v3.RBAC, stat_prefix: r, {fields} }} }}, {{ name: envoy.filters.network.echo }}] }}]");

    private static string Policy(string permission, string principal = "{ any: true }", string more = "") =>
        $"rules: {{ policies: {{ p: {{ permissions: [{permission}], principals: [{principal}]{more} }} }} }}";

    public static TheoryData<string, string> Bad => new()
    {
        { "rules: { action: 7 }", "NARU-C012 action" },
        { "rules: { policies: { p: { principals: [{ any: true }] } } }", "NARU-C101 permissions" },
        { "rules: { policies: { p: { permissions: [{ any: true }] } } }", "NARU-C101 principals" },
        { Policy("{}"), "NARU-C101 permissions[0]" },
        { Policy("{ any: false }"), "NARU-C102 any" },
        { Policy("{ any: true }", "{}"), "NARU-C101 principals[0]" },
        { Policy("{ any: true }", "{ any: false }"), "NARU-C102 any" },
        { Policy("{ and_rules: {} }"), "NARU-C101 rules" },
        { Policy("{ any: true }", "{ or_ids: {} }"), "NARU-C101 ids" },
        { Policy("{ destination_port: 65536 }"), "NARU-C102 destination_port" },
        { Policy("{ destination_port_range: { start: 5, end: 5 } }"), "NARU-C102 destination_port_range" },
        { Policy("{ destination_port_range: { start: 5, end: 65537 } }"), "NARU-C102 destination_port_range" },
        { Policy("{ destination_ip: { address_prefix: nowhere, prefix_len: 8 } }"), "NARU-C107 address_prefix" },
        { Policy("{ any: true }", "{ remote_ip: { address_prefix: 10.0.0.0, prefix_len: 33 } }"), "NARU-C102 prefix_len" },
        { Policy("{ url_path: {} }"), "NARU-C101 path" },
        { Policy("{ url_path: { path: { prefix: \"\" } } }"), "NARU-C101 prefix" },
        { Policy("{ url_path: { path: { safe_regex: { regex: \"(\" } } } }"), "NARU-C105 regex" },
        { Policy("{ header: { name: \"a b\" } }"), "NARU-C108 name" },
        { Policy("{ metadata: { path: [{ key: k }], value: { bool_match: true } } }"), "NARU-C101 filter" },
        { Policy("{ sourced_metadata: {} }"), "NARU-C101 metadata_matcher" },
        { Policy("{ sourced_metadata: { metadata_matcher: { filter: f, path: [{ key: k }], value: { bool_match: true } }, metadata_source: 7 } }"), "NARU-C012 metadata_source" },
        { Policy("{ requested_server_name: {} }"), "NARU-C101 requested_server_name" },
        { Policy("{ any: true }", "{ filter_state: { key: k } }"), "NARU-C101 string_match" },
        { Policy("{ any: true }", "{ authenticated: { principal_name: {} } }"), "NARU-C101 principal_name" },
        { Policy("{ matcher: { name: m } }"), "NARU-C110 matcher" },
        { Policy("{ any: true }", "{ custom: { name: m } }"), "NARU-C110 custom" },
        { Policy("{ any: true }", "{ any: true }", ", condition: { call_expr: { function: f } }"), "NARU-C115 condition" },
        { Policy("{ any: true }", "{ any: true }", ", checked_condition: {}"), "NARU-C101 checked_condition" },
        { "rules: { audit_logging_options: { audit_condition: ON_DENY } }", "NARU-C110 audit_logging_options" },
        { "rules: {}, matcher: { on_no_match: { action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.rbac.v3.Action, name: n } } } }", "NARU-C113 matcher" },
        { "matcher: { on_no_match: { action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.rbac.v3.Action } } } }", "NARU-C101 name" },
        { "matcher: { on_no_match: { action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.rbac.v3.RBAC } } } }", "NARU-C112 typed_config" },
        { "matcher: {}", "NARU-C101 matcher" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void What_is_wrong_with_a_rule_is_said(string fields, string error) => Assert.Equal(error, Read.Bad(OfHttp("rbac.v3.RBAC", fields)));

    [Fact]
    public void Rules_of_a_try_are_read_as_those_that_decide()
    {
        Assert.Equal("NARU-C102 any", Read.Bad(OfHttp("rbac.v3.RBAC", "shadow_" + Policy("{ any: false }"))));
        Assert.Equal("NARU-C101 shadow_matcher", Read.Bad(OfHttp("rbac.v3.RBAC", "shadow_matcher: {}")));
        Assert.Equal("NARU-C102 any", Read.Bad(OfNetwork("shadow_" + Policy("{ any: false }"))));
    }

    [Theory]
    [InlineData("{ header: { name: a, present_match: true } }", "NARU-C113 header")]
    [InlineData("{ not_rule: { url_path: { path: { exact: / } } } }", "NARU-C113 url_path")]
    [InlineData("{ uri_template: { name: t } }", "NARU-C113 uri_template")]
    [InlineData("{ metadata: { filter: f, path: [{ key: k }], value: { bool_match: true } } }", "NARU-C113 metadata")]
    public void What_only_requests_have_is_refused_of_connections(string permission, string error) => Assert.Equal(error, Read.Bad(OfNetwork(Policy(permission))));

    [Fact]
    public void A_matcher_of_connections_looks_at_no_header()
    {
        const string End = "{ action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.rbac.v3.Action, name: n } } }";
        string tree = $"matcher: {{ matcher_tree: {{ input: {{ name: i, typed_config: {{ \"@type\": TYPE }} }}, exact_match_map: {{ map: {{ a: {End} }} }} }} }}";
        Assert.Equal("NARU-C113 matcher", Read.Bad(OfNetwork(tree.Replace("TYPE", "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x", StringComparison.Ordinal))));
        Read.Good(OfNetwork(tree.Replace("TYPE", "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("{ not_rule: { url_path: { path: { prefix: /admin } } } }", "", true)]
    [InlineData("{ header: { name: \":path\", string_match: { exact: / } } }", "", true)]
    [InlineData("{ url_path: { path: { prefix: /admin } } }", "normalize_path: true, ", false)]
    [InlineData("{ header: { name: x, present_match: true } }", "", false)]
    public void Whoever_compares_paths_that_nobody_normalizes_is_told(string permission, string manager, bool told)
    {
        var found = new Diagnostics();
        BootstrapReader.Read(OfHttp("rbac.v3.RBAC", Policy(permission)).Replace("stat_prefix: s, ", "stat_prefix: s, " + manager, StringComparison.Ordinal), "b.yaml", found);
        Assert.DoesNotContain(found.Items, d => d.Severity == Severity.Error);
        Assert.Equal(told, found.Items.Any(d => d is { Severity: Severity.Warning, Code: "NARU-C114" }));
    }

    [Fact]
    public void Rules_that_stand_in_each_other_too_deep_are_refused()
    {
        string deep = "{ any: true }";
        for (int i = 0; i < 17; i++) deep = $"{{ not_rule: {deep} }}";
        Assert.StartsWith("NARU-C102", Read.Bad(OfHttp("rbac.v3.RBAC", Policy(deep))));
    }

    [Theory]
    [InlineData("basic_auth.v3.BasicAuth", "", "NARU-C101 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: {}", "NARU-C101 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { filename: /nowhere/users }", "NARU-C104 filename")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"ann\" }", "NARU-C102 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \":{SHA}JIkCExpzJiiu9uKHKCfbEN98B78=\" }", "NARU-C102 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"ann:$apr1$x\" }", "NARU-C102 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"ann:{SHA}abc=\" }", "NARU-C102 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"a:{SHA}JIkCExpzJiiu9uKHKCfbEN98B78=\\na:{SHA}JIkCExpzJiiu9uKHKCfbEN98B78=\" }", "NARU-C102 users")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"\" }, forward_username_header: \":path\"", "NARU-C108 forward_username_header")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"\" }, forward_username_header: Content-Length", "NARU-C108 forward_username_header")]
    [InlineData("basic_auth.v3.BasicAuth", "users: { inline_string: \"\" }, authentication_header: connection", "NARU-C108 authentication_header")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "forwarding: { header: Transfer-Encoding }", "NARU-C108 header")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "key_sources: [{ cookie: \"a;b\" }]", "NARU-C102 cookie")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "key_sources: [{ cookie: \"a=b\" }]", "NARU-C102 cookie")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "credentials: [{ key: k }]", "NARU-C101 client")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "credentials: [{ key: k, client: a }, { key: k, client: b }]", "NARU-C103 key")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "key_sources: [{}]", "NARU-C101 key_sources[0]")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "key_sources: [{ header: a, query: b }]", "NARU-C113 key_sources[0]")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "key_sources: [{ header: \":path\" }]", "NARU-C108 header")]
    [InlineData("api_key_auth.v3.ApiKeyAuth", "forwarding: { header: host }", "NARU-C108 header")]
    [InlineData("csrf.v3.CsrfPolicy", "", "NARU-C101 filter_enabled")]
    [InlineData("csrf.v3.CsrfPolicy", "filter_enabled: { default_value: { numerator: 1 } }, additional_origins: [{}]", "NARU-C101 additional_origins[0]")]
    [InlineData("cdn_loop.v3.CdnLoopConfig", "", "NARU-C101 cdn_id")]
    [InlineData("cdn_loop.v3.CdnLoopConfig", "cdn_id: \"a b\"", "NARU-C102 cdn_id")]
    [InlineData("cdn_loop.v3.CdnLoopConfig", "cdn_id: \"a, b\"", "NARU-C102 cdn_id")]
    public void What_is_wrong_with_a_login_is_said(string type, string fields, string error) => Assert.Equal(error, Read.Bad(OfHttp(type, fields)));

    [Theory]
    [InlineData("", 0)]
    [InlineData(",", 0)]
    [InlineData("a", 1)]
    [InlineData("a,b ,\ta", 2)]
    [InlineData("A", 0)]
    [InlineData("a:1", 0)]
    [InlineData("a ; x=y;z=\"q\\\"a,\" , a", 2)]
    [InlineData("[::1]:8, a", 1)]
    [InlineData("a b", -1)]
    [InlineData("a;", -1)]
    [InlineData("a;x", -1)]
    [InlineData("a;x=", -1)]
    [InlineData("a;x=\"", -1)]
    [InlineData("\"a\"", -1)]
    [InlineData("[::1", -1)]
    [InlineData("[]", -1)]
    [InlineData("a@b", -1)]
    [InlineData(";x=y", -1)]
    public void A_list_of_networks_is_read_as_it_is_written(string list, int count) => Assert.Equal(count, CdnInfo.Count(System.Text.Encoding.Latin1.GetBytes(list), "a"u8));
}

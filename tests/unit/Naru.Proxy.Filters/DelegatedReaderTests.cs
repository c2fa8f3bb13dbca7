// Filters within filters, matchers that ask expressions, and logs that do: what is wrong with them is said by name.
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class DelegatedReaderTests
{
    private const string Types = "type.googleapis.com/";
    private const string Http = Types + "envoy.extensions.filters.http.";
    private const string Router = $"{{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}";
    private const string Cel = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter";
    private const string Input =
        "input: { name: i, typed_config: { \"@type\": type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput } }";
    private const string Header = "input: { name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x } }";
    private const string Leave = "action: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter } }";
    private const string Fault = $"{{ name: e, typed_config: {{ \"@type\": {Http}fault.v3.HTTPFault }} }}";
    private const string Composite = $"{{ name: e, typed_config: {{ \"@type\": {Http}composite.v3.Composite }} }}";
    private const string Execute = $"\"@type\": {Http}composite.v3.ExecuteFilterAction";

    private static string Manager(string filters, string more = "", string router = Router) => Read.InListener(
        $"filter_chains: [{{ filters: [{{ name: m, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, {more}"
        + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }, "
        + $"http_filters: [{filters}{(filters.Length > 0 ? ", " : "")}{router}] }} }}] }}]");

    private static string Matched(string extension, string matcher) => Manager(
        $"{{ name: f, typed_config: {{ \"@type\": {Types}envoy.extensions.common.matching.v3.ExtensionWithMatcher{extension}{matcher} }} }}");

    private static string When(string predicate, string then = Leave) =>
        $", xds_matcher: {{ matcher_list: {{ matchers: [{{ predicate: {{ {predicate} }}, on_match: {{ {then} }} }}] }} }}";

    private static string Asked(string expression) => $"single_predicate: {{ {Input}, custom_match: {{ name: c, typed_config: {{ \"@type\": {Types}xds.type.matcher.v3.CelMatcher{expression} }} }} }}";

    private static string Action(string fields) => When(Asked(", expr_match: { cel_expr_string: 'true' }"),
        $"action: {{ name: a, typed_config: {{ {Execute}{fields} }} }}");

    public static TheoryData<string, string> Bad => new()
    {
        { Matched("", When(Asked(", expr_match: { cel_expr_string: 'true' }"))), "NARU-C101 extension_config" },
        { Matched($", extension_config: {Fault}", ""), "NARU-C101 xds_matcher" },
        { Matched(", extension_config: { name: e }", When(Asked(", expr_match: { cel_expr_string: 'true' }"))), "NARU-C101 typed_config" },
        { Matched($", extension_config: {{ name: e, typed_config: {{ \"@type\": {Http}rbac.v9.RBAC }} }}",
            When(Asked(", expr_match: { cel_expr_string: 'true' }"))), "NARU-C112 typed_config" },
        { Matched($", extension_config: {Fault}", When(Asked(""))), "NARU-C101 expr_match" },
        { Matched($", extension_config: {Fault}", When(Asked(", expr_match: {}"))), "NARU-C101 expr_match" },
        { Matched($", extension_config: {Fault}", When(Asked(", expr_match: { cel_expr_string: 'requst.path' }"))),
            "NARU-C115 cel_expr_string" },
        { Matched($", extension_config: {Fault}", When(Asked(", expr_match: { parsed_expr: {} }"))), "NARU-C101 parsed_expr" },
        { Matched($", extension_config: {Fault}", When(Asked(", expr_match: { cel_expr_checked: { expr: { ident_expr: { name: x } } } }"))),
            "NARU-C115 cel_expr_checked" },
        { Matched($", extension_config: {Fault}", When($"single_predicate: {{ {Input}, value_match: {{ exact: a }} }}")),
            "NARU-C113 value_match" },
        { Matched($", extension_config: {Fault}", When($"single_predicate: {{ {Header}, custom_match: {{ name: c, typed_config: {{ \"@type\": {Types}xds.type.matcher.v3.CelMatcher }} }} }}")), "NARU-C113 custom_match" },
        { Matched($", extension_config: {Fault}", Action($", typed_config: {Fault}")), "NARU-C112 typed_config" },
        { Matched($", extension_config: {Composite}", When(Asked(", expr_match: { cel_expr_string: 'true' }"))), "NARU-C112 typed_config" },
        { Matched($", extension_config: {Composite}", Action("")), "NARU-C101 typed_config" },
        { Matched($", extension_config: {Composite}", Action($", dynamic_config: {{ name: d }}")), "NARU-C110 dynamic_config" },
        { Matched($", extension_config: {Composite}", Action($", typed_config: {Composite}")), "NARU-C113 typed_config" },
        { Manager(Composite), "NARU-C113 typed_config" },
        { Manager("", "access_log: [{ name: envoy.access_loggers.stdout, filter: { extension_filter: { name: c } } }], "),
            "NARU-C101 typed_config" },
        { Manager("", $"access_log: [{{ name: envoy.access_loggers.stdout, filter: {{ extension_filter: {{ name: c, typed_config: {{ \"@type\": {Cel} }} }} }} }}], "), "NARU-C101 expression" },
        { Manager("", $"access_log: [{{ name: envoy.access_loggers.stdout, filter: {{ extension_filter: {{ name: c, typed_config: {{ \"@type\": {Cel}, expression: '1 +' }} }} }} }}], "), "NARU-C115 expression" },
        { Manager("", "forward_proto_config: { https_destination_ports: [0] }, "), "NARU-C102 https_destination_ports[0]" },
        { Manager("", "forward_proto_config: { https_destination_ports: [1], http_destination_ports: [1] }, "),
            "NARU-C113 http_destination_ports[0]" },
        { Manager("", router: $"{{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router, upstream_log: [{{ name: x }}] }} }}"),
            "NARU-C101 typed_config" },
        { Manager("", router: $"{{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router, upstream_log_options: {{ flush_upstream_log_on_upstream_stream: true }} }} }}"),
            "NARU-C110 upstream_log_options" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void What_is_wrong_is_said_by_name(string bootstrap, string error) => Assert.Equal(error, Read.Bad(bootstrap));

    [Fact]
    public void What_is_right_is_read()
    {
        Read.Good(Matched($", extension_config: {Fault}", When(Asked(", expr_match: { cel_expr_string: 'request.path == \"/\"' }"))));
        Read.Good(Matched($", extension_config: {Composite}",
            Action($", typed_config: {Fault}, sample_percent: {{ default_value: {{ numerator: 5 }}, runtime_key: k }}")));
    }
}

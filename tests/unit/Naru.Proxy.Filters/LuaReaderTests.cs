// What configurations of scripts say is read, and what is wrong with them is said by name, line and remedy.
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class LuaReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";

    private static string Bootstrap(string fields, string perRoute = "") => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 }, "
        + $"typed_per_filter_config: {{ {(perRoute.Length > 0 ? $"f: {{ \"@type\": {Http}lua.v3.LuaPerRoute, {perRoute} }}" : "")} }} }}] }}] }}, "
        + $"http_filters: [{{ name: f, typed_config: {{ \"@type\": {Http}lua.v3.Lua, {fields} }} }}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    private static string Standard(string script) => $"default_source_code: {{ inline_string: \"{script}\" }}";

    [Theory]
    [InlineData("inline_code: 'x = 1', default_source_code: { inline_string: 'x = 1' }", "NARU-C013 inline_code")]
    [InlineData("inline_code: 'function f('", "NARU-X201 inline_code")]
    [InlineData("default_source_code: { inline_string: 'if' }", "NARU-X201 default_source_code")]
    [InlineData("default_source_code: {}", "NARU-C101 default_source_code")]
    [InlineData("default_source_code: { filename: /nowhere/at/all.lua }", "NARU-C104 filename")]
    [InlineData("source_codes: { a: { inline_string: 'end' } }", "NARU-X201 source_codes[a]")]
    [InlineData("default_source_code: { inline_string: 'local x = require(1)' }", "NARU-X202 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'function envoy_on_request(h) io.open(1) end' }", "NARU-X202 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'error(1)' }", "NARU-X203 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'local x = nil + 1' }", "NARU-X203 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'while true do end' }", "NARU-X203 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'local t = {} while true do t[#t + 1] = t end' }", "NARU-X203 default_source_code")]
    [InlineData("default_source_code: { inline_string: 'local function f() return 1 + f() end f()' }", "NARU-X203 default_source_code")]
    public void What_is_wrong_with_a_script_is_said(string fields, string error) => Assert.Contains(error, Read.Bad(Bootstrap(fields)));

    [Theory]
    [InlineData("disabled: false", "NARU-C102 disabled")]
    [InlineData("name: ''", "NARU-C101 name")]
    [InlineData("source_code: { inline_string: 'end' }", "NARU-X201 source_code")]
    [InlineData("source_code: {}", "NARU-C101 source_code")]
    public void What_is_wrong_with_a_route_is_said(string perRoute, string error) => Assert.Contains(error, Read.Bad(Bootstrap(Standard("x = 1"), perRoute)));

    [Theory]
    [InlineData("stat_prefix: a", "")]
    [InlineData("default_source_code: { inline_string: 'require = 1 return require' }", "")]
    [InlineData("default_source_code: { inline_string: 'x = 1' }, source_codes: { a: { inline_string: 'y = 1' } }, clear_route_cache: false", "name: a")]
    [InlineData("inline_code: 'x = 1'", "filter_context: { a: 1 }")]
    public void What_is_good_is_read(string fields, string perRoute) => Read.Good(Bootstrap(fields, perRoute));
}

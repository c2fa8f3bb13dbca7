// Which filter chain serves a connection where a matcher of the listener says so (Envoy: filter_chain_matcher), and listeners in network
// namespaces, which a matcher can tell apart.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class FilterChainMatcherTests
{
    private const string Filters = "type.googleapis.com/envoy.extensions.filters";
    private const string Inputs = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.";

    private static string Chain(string name) =>
        $"- {{ name: {name}, filters: [{{ name: envoy.filters.network.direct_response, typed_config: {{ \"@type\": {Filters}.network.direct_response.v3.Config, response: {{ inline_string: {name} }} }} }}] }}";

    private static string To(string name) => $"{{ action: {{ name: a, typed_config: {{ \"@type\": type.googleapis.com/google.protobuf.StringValue, value: {name} }} }} }}";

    private static string Input(string name) => $"input: {{ name: i, typed_config: {{ \"@type\": {Inputs}{name} }} }}";

    private static string Bootstrap(string matcher, string more = "", string address = "port_value: 0") => $$"""
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        static_resources:
          listeners:
          - name: main
            stat_prefix: main
            address: { socket_address: { address: 127.0.0.1, {{address}} } }
            listener_filters:
            - name: envoy.filters.listener.proxy_protocol
              typed_config: { "@type": {{Filters}}.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true }
            filter_chains:
        {{Bootstraps.Indent(Chain("one") + "\n" + Chain("two"), 4)}}
            filter_chain_matcher: { {{matcher}} }
            {{more}}
        """;

    private const string Default = """
        default_filter_chain: { name: rest, filters: [{ name: envoy.filters.network.direct_response, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: { inline_string: rest } } }] }
        """;

    private static async Task<string> AskAsync(ProxyProcess proxy, string first)
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(first);
        return await client.RestAsync();
    }

    private static string From(string source, int port = 443) => $"PROXY TCP4 {source} 198.51.100.1 56324 {port}\r\n";

    [Fact]
    public async Task The_chain_that_the_matcher_names_serves()
    {
        string ranges = $"matcher_tree: {{ {Input("SourceIPInput")}, custom_match: {{ name: m, typed_config: {{ \"@type\": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{{ ranges: [{{ address_prefix: 10.0.0.0, prefix_len: 8 }}], on_match: {To("one")} }}] }} }} }}";
        string map = $"matcher_tree: {{ {Input("DestinationPortInput")}, exact_match_map: {{ map: {{ \"80\": {To("two")}, \"443\": {{ matcher: {{ {ranges} }} }} }} }} }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(map, Default));
        Assert.Equal("two", await AskAsync(proxy, From("203.0.113.7", 80)));
        Assert.Equal("one", await AskAsync(proxy, From("10.1.2.3")));
        Assert.Equal("rest", await AskAsync(proxy, From("203.0.113.7")));
        Assert.Equal("rest", await AskAsync(proxy, From("10.1.2.3", 8080)));
    }

    [Fact]
    public async Task Where_the_matcher_leads_nowhere_and_there_is_no_default_the_connection_is_closed()
    {
        string map = $"matcher_tree: {{ {Input("DestinationIPInput")}, prefix_match_map: {{ map: {{ \"10.\": {To("one")} }} }} }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(map));
        Assert.Equal("", await AskAsync(proxy, From("203.0.113.7")));
        Assert.Equal(1, await proxy.StatAsync("listener.main.no_filter_chain_match"));
    }

    [Fact]
    public async Task A_list_of_conditions_leads_to_the_first_that_holds()
    {
        string condition = $"predicate: {{ single_predicate: {{ {Input("TransportProtocolInput")}, value_match: {{ exact: tls }} }} }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($"matcher_list: {{ matchers: [{{ {condition}, on_match: {To("one")} }}] }}, on_no_match: {To("two")}"));
        Assert.Equal("two", await AskAsync(proxy, From("203.0.113.7")));
    }

    // This process's own namespace by its path: a client is there, too.
    [Fact]
    public async Task The_network_namespace_of_its_address_can_lead_a_connection()
    {
        const string Here = "/proc/self/ns/net";
        string map = $"matcher_tree: {{ {Input("NetworkNamespaceInput")}, exact_match_map: {{ map: {{ \"{Here}\": {To("two")} }} }} }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(map, Default, $"port_value: 0, network_namespace_filepath: {Here}"));
        Assert.Equal("two", await AskAsync(proxy, From("203.0.113.7")));
        await using ProxyProcess plain = await ProxyProcess.StartAsync(Bootstrap(map, Default));
        Assert.Equal("rest", await AskAsync(plain, From("203.0.113.7")));
    }
}

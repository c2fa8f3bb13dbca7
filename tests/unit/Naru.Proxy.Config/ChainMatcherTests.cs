// The matcher that leads connections to filter chains by name, and listeners in other network namespaces.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class ChainMatcherTests
{
    private const string Inputs = "type.googleapis.com/envoy.extensions.matching.common_inputs.";

    private static string Chain(string name) => $"{{ name: {name}, {Read.Echo} }}";

    private static string Action(string name) =>
        $"{{ action: {{ name: a, typed_config: {{ \"@type\": type.googleapis.com/google.protobuf.StringValue, value: {name} }} }} }}";

    private static string Tree(string input, string map, string more = "") =>
        $"filter_chain_matcher: {{ matcher_tree: {{ input: {{ name: i, typed_config: {{ \"@type\": {Inputs}{input} }} }}, exact_match_map: {{ map: {{ {map} }} }} }}{more} }}";

    private static string Two(string matcher) => $"filter_chains: [{Chain("one")}, {Chain("two")}], {matcher}";

    [Fact]
    public void Chains_are_led_to_by_name_and_may_say_the_same_of_themselves()
    {
        ListenerConfig listener = Read.Listener(Two(Tree("network.v3.TransportProtocolInput", $"tls: {Action("one")}", $", on_no_match: {Action("two")}")));
        Assert.Equal(["one", "two"], listener.ChainMatcher!.Actions.Select(a => a.Name));
        Assert.Equal([ConnectionInput.TransportProtocol], listener.ChainMatcher.Inputs);
    }

    [Fact]
    public void What_chains_say_of_themselves_counts_no_more()
    {
        string chains = $"filter_chains: [{{ name: one, filter_chain_match: {{ destination_port: 80 }}, {Read.Echo} }}]";
        ListenerConfig listener = Read.Listener($"{chains}, {Tree("network.v3.DestinationPortInput", $"\"80\": {Action("one")}")}");
        Assert.Null(Assert.Single(listener.FilterChains).Match.DestinationPort);
    }

    [Theory]
    [InlineData("three", "NARU-C104 typed_config")]
    [InlineData("\"\"", "NARU-C104 typed_config")]
    public void A_chain_that_is_not_there_is_refused(string name, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InListener(Two(Tree("network.v3.TransportProtocolInput", $"tls: {Action(name)}")))));

    [Fact]
    public void A_matcher_leads_somewhere() =>
        Assert.Equal("NARU-C101 filter_chain_matcher", Read.Bad(Read.InListener(Two("filter_chain_matcher: {}"))));

    [Fact]
    public void An_action_that_names_no_chain_is_refused() =>
        Assert.Equal("NARU-C112 typed_config", Read.Bad(Read.InListener(Two(Tree("network.v3.ServerNameInput",
            "a: { action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.core.v3.SubstitutionFormatString, text_format: x } } }")))));

    [Theory]
    [InlineData("filter_chains: [{ name: one, FILTERS }, { name: one, FILTERS }]", "NARU-C103 name")]
    [InlineData("filter_chains: [{ name: one, FILTERS }, { FILTERS }]", "NARU-C101 name")]
    public void Chains_need_names_of_their_own(string chains, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InListener(
            $"{chains.Replace("FILTERS", Read.Echo, StringComparison.Ordinal)}, {Tree("network.v3.ServerNameInput", $"a: {Action("one")}")}")));

    [Theory]
    [InlineData("ssl.v3.SubjectInput")]
    [InlineData("ssl.v3.UriSanInput")]
    public void Nobody_has_a_certificate_before_the_handshake(string input) =>
        Assert.Equal("NARU-C113 filter_chain_matcher", Read.Bad(Read.InListener(Two(Tree(input, $"a: {Action("one")}")))));

    [Fact]
    public void Connections_have_no_headers() =>
        Assert.Equal("NARU-C113 filter_chain_matcher", Read.Bad(Read.InListener(Two(
            Tree("X", $"a: {Action("one")}").Replace($"{Inputs}X", "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x", StringComparison.Ordinal)))));

    [Fact]
    public void Certificates_are_looked_for_in_every_corner()
    {
        string single = $"{{ single_predicate: {{ input: {{ name: i, typed_config: {{ \"@type\": {Inputs}ssl.v3.DnsSanInput }} }}, value_match: {{ exact: a }} }} }}";
        string list = $"matcher_list: {{ matchers: [{{ predicate: {{ not_matcher: {{ or_matcher: {{ predicate: [{single}, {single}] }} }} }}, on_match: {Action("one")} }}] }}";
        string nested = Tree("network.v3.ServerNameInput", $"a: {{ matcher: {{ {list} }} }}");
        Assert.Equal("NARU-C113 filter_chain_matcher", Read.Bad(Read.InListener(Two(nested))));
    }

    [Fact]
    public void One_address_may_be_in_several_network_namespaces()
    {
        string address = "socket_address: { address: 127.0.0.1, port_value: 1, network_namespace_filepath: /run/netns/b }";
        ListenerConfig listener = Read.Listener($"filter_chains: [{Chain("one")}], additional_addresses: [{{ address: {{ {address} }} }}]");
        Assert.Equal(["", "/run/netns/b"], listener.AllAddresses.Select(a => a.NetworkNamespace));
        Assert.Equal("NARU-C103 address", Read.Bad(Read.InListener(
            $"filter_chains: [{Chain("one")}], additional_addresses: [{{ address: {{ {address} }} }}, {{ address: {{ {address} }} }}]")));
    }

    [Fact]
    public void The_path_of_a_network_namespace_is_whole() =>
        Assert.Equal("NARU-C102 network_namespace_filepath", Read.Bad(Read.InListener(
            $"filter_chains: [{Chain("one")}], additional_addresses: [{{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 2, network_namespace_filepath: blue }} }} }}]")));

    [Fact]
    public void Endpoints_and_the_admin_are_in_no_other_network_namespace()
    {
        const string Address = "{ socket_address: { address: 127.0.0.1, port_value: 2, network_namespace_filepath: /run/netns/b } }";
        Assert.Equal("NARU-C113 network_namespace_filepath", Read.Bad(Read.InCluster(
            $"type: STATIC, load_assignment: {{ cluster_name: c, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {Address} }} }}] }}] }}")));
        Assert.Equal("NARU-C113 network_namespace_filepath", Read.Bad($"admin: {{ address: {Address} }}"));
    }
}

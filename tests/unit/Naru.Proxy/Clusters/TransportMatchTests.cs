// Which transport socket an endpoint gets: its metadata, its locality's, the order of the matches, the cluster's own.
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Clusters;

public sealed class TransportMatchTests
{
    private const string Proxy = "envoy.transport_sockets.upstream_proxy_protocol";
    private const string ProxyType = Read.Types + "transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
    private const string Raw = "{ name: envoy.transport_sockets.raw_buffer }";

    // Told apart by what needs no certificates: plain text without a PROXY header, or with its version 1 or 2.
    private static string Socket(int version) => version == 0 ? Raw
        : $"{{ name: {Proxy}, typed_config: {{ \"@type\": {ProxyType}, config: {{ version: V{version} }}, transport_socket: {Raw} }} }}";

    private static int Version(string matches, string endpoint = "", string locality = "", int standard = 0)
    {
        ClusterConfig config = Read.Cluster($$"""
            transport_socket: {{Socket(standard)}},
            transport_socket_matches: [{{matches}}],
            load_assignment: { cluster_name: c, endpoints: [{ {{locality}} lb_endpoints: [{ {{endpoint}} endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }] }
            """.Replace('\n', ' '));
        using var store = new TlsContextStore(static _ => { });
        var found = new Diagnostics();
        ClusterTransports transports = ClusterTransports.Make(store, config, null, found)!;
        Assert.Empty(found.Items);
        return transports.Of(Assert.Single(config.LoadAssignment!.Endpoints)).ProxyProtocol;
    }

    private static string Match(string match, int version) => $"{{ name: m{version}, match: {match}, transport_socket: {Socket(version)} }}";

    private static string Metadata(string labels) => $"metadata: {{ filter_metadata: {{ envoy.transport_socket_match: {labels}, istio: {{ workload: w }} }} }},";

    [Theory]
    [InlineData("{ tlsMode: istio }", 1)]
    [InlineData("{ tlsMode: istio, more: x }", 1)]
    [InlineData("{ tlsMode: Istio }", 2)]
    [InlineData("{ tlsMode: disabled }", 2)]
    [InlineData("{ tlsMode: [istio] }", 2)]
    [InlineData("{ tlsmode: istio }", 2)]
    [InlineData("{}", 2)]
    public void What_istiod_sends_gives_each_endpoint_its_own(string labels, int version) =>
        Assert.Equal(version, Version($"{Match("{ tlsMode: istio }", 1)}, {Match("{}", 2)}", Metadata(labels)));

    [Fact]
    public void An_endpoint_without_metadata_fits_an_empty_match_only()
    {
        Assert.Equal(2, Version($"{Match("{ tlsMode: istio }", 1)}, {Match("{}", 2)}"));
        Assert.Equal(0, Version(Match("{ tlsMode: istio }", 1)));
        Assert.Equal(2, Version(Match("{ tlsMode: istio }", 1), standard: 2));
    }

    [Fact]
    public void The_first_match_that_fits_is_taken()
    {
        Assert.Equal(2, Version($"{Match("{}", 2)}, {Match("{ tlsMode: istio }", 1)}", Metadata("{ tlsMode: istio }")));
        Assert.Equal(1, Version($"{Match("{ a: 1 }", 1)}, {Match("{ a: 1, b: 2 }", 2)}", Metadata("{ a: 1, b: 2 }")));
        Assert.Equal(2, Version($"{Match("{ a: 1, b: 3 }", 1)}, {Match("{ b: 2 }", 2)}", Metadata("{ a: 1, b: 2 }")));
    }

    [Fact]
    public void A_locality_speaks_where_the_endpoint_itself_fits_nothing()
    {
        string matches = $"{Match("{ tlsMode: istio }", 1)}, {Match("{ tlsMode: other }", 2)}";
        Assert.Equal(1, Version(matches, locality: Metadata("{ tlsMode: istio }")));
        Assert.Equal(2, Version(matches, Metadata("{ tlsMode: other }"), Metadata("{ tlsMode: istio }")));
        Assert.Equal(1, Version(matches, Metadata("{ tlsMode: none }"), Metadata("{ tlsMode: istio }")));
        Assert.Equal(0, Version(matches, Metadata("{ tlsMode: none }"), Metadata("{ tlsMode: none }")));
    }

    [Theory]
    [InlineData("{ a: 1 }", "{ a: 1.0 }", true)]
    [InlineData("{ a: 1 }", "{ a: \"1\" }", false)]
    [InlineData("{ a: true }", "{ a: true }", true)]
    [InlineData("{ a: true }", "{ a: \"true\" }", false)]
    [InlineData("{ a: null }", "{ a: null }", true)]
    [InlineData("{ a: null }", "{ a: \"null\" }", false)]
    [InlineData("{ a: { x: 1, y: [2, 3] } }", "{ a: { y: [2, 3], x: 1 } }", true)]
    [InlineData("{ a: { x: 1, y: [2, 3] } }", "{ a: { x: 1, y: [3, 2] } }", false)]
    [InlineData("{ a: \"x,y\" }", "{ a: [x, y] }", false)]
    public void Values_are_compared_as_what_they_are(string match, string labels, bool same) => Assert.Equal(same ? 1 : 0, Version(Match(match, 1), Metadata(labels)));

    [Fact]
    public void Metadata_that_endpoints_share_is_kept_once()
    {
        string endpoint = "{ " + Metadata("{ tlsMode: istio }") + " endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT } } } }";
        ClusterConfig config = Read.Cluster($"load_assignment: {{ cluster_name: c, endpoints: [{{ lb_endpoints: [{endpoint.Replace("PORT", "1", StringComparison.Ordinal)}, {endpoint.Replace("PORT", "2", StringComparison.Ordinal)}] }}] }}");
        Assert.Equal(config.LoadAssignment!.Endpoints[0].TransportMetadata, config.LoadAssignment.Endpoints[1].TransportMetadata);
    }

    [Theory]
    [InlineData("transport_socket_matches: [{ match: {} }]", "NARU-C101 name")]
    [InlineData("transport_socket_matches: [{ name: m, transport_socket: { name: quic } }]", "NARU-C112 transport_socket")]
    [InlineData("""typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, auto_config: {} } }, transport_socket: { name: envoy.transport_sockets.tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext } }, transport_socket_matches: [{ name: m }]""", "NARU-C113 auto_config")]
    public void What_cannot_be_is_refused(string fields, string complaint) => Assert.Equal(complaint, Read.Bad(Read.InCluster(fields)));
}

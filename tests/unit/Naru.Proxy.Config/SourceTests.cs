// Clusters that configuration is fetched from: over TLS where what their socket says can be done there, and by name where not.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class SourceTests
{
    private static string Fetching(string cluster) =>
        "dynamic_resources: { ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: x } }] }, cds_config: { ads: {}, resource_api_version: V3 } }\n"
        + $"static_resources: {{ clusters: [{{ name: x, http2_protocol_options: {{}}, {cluster} }}] }}";

    private static string Tls(string context) => Fetching($"transport_socket: {Read.Socket("UpstreamTlsContext", context)}");

    [Fact]
    public void Configuration_may_come_over_tls()
    {
        BootstrapConfig config = Read.Good(Tls("sni: istiod.test, common_tls_context: { alpn_protocols: [h2], tls_certificates: [{ certificate_chain: { inline_string: x }, private_key: { inline_string: x } }], "
            + "validation_context: { trusted_ca: { inline_string: x }, match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: a } }] } }"));
        Assert.Equal("istiod.test", Assert.Single(config.Clusters).Tls!.Sni);
        Assert.Equal("x", config.Ads!.ClusterName);
    }

    [Theory]
    [InlineData("tls_params: { cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256] }", "cipher_suites")]
    [InlineData("tls_params: { ecdh_curves: [X25519] }", "ecdh_curves")]
    [InlineData("tls_params: { tls_minimum_protocol_version: TLSv1_1 }", "a version of TLS below 1.2")]
    [InlineData("alpn_protocols: [http/1.1]", "alpn_protocols without h2")]
    [InlineData("tls_certificate_sds_secret_configs: [{ name: default, sds_config: { path_config_source: { path: /s } } }]", "secrets of SDS")]
    [InlineData("tls_certificates: [{ pkcs12: { inline_string: x } }]", "pkcs12")]
    [InlineData("validation_context: { trusted_ca: { inline_string: x }, max_verify_depth: 2 }", "max_verify_depth")]
    [InlineData("validation_context: { trusted_ca: { inline_string: x }, crl: { inline_string: x } }", "crl")]
    public void What_cannot_be_done_there_is_refused_by_name(string common, string part) => Assert.Contains($"has {part}, which", Read.Said(Tls($"common_tls_context: {{ {common} }}")));

    [Fact]
    public void A_header_before_it_is_refused()
    {
        string socket = "{ name: p, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {}, transport_socket: { name: envoy.transport_sockets.raw_buffer } } }";
        Assert.Contains("has a PROXY header", Read.Said(Fetching($"transport_socket: {socket}")));
        Assert.Contains("has transport_socket_matches", Read.Said(Fetching("transport_socket_matches: [{ name: m, match: {}, transport_socket: { name: envoy.transport_sockets.raw_buffer } }]")));
    }
}

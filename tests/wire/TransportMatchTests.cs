// Endpoints of one cluster, some with TLS and some without, as istiod describes them: by metadata, in files that change.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class TransportMatchTests
{
    private const string Tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";
    private const string Istio = "metadata: { filter_metadata: { envoy.transport_socket_match: { tlsMode: istio } } },";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Each_endpoint_is_spoken_to_as_its_metadata_says_and_no_request_is_lost_when_that_changes(bool http2)
    {
        using var folder = new TempFolder();
        await using var backend = new Cases();
        var authority = new TestAuthority("root");
        TestCertificate identity = authority.Issue(["spiffe://cluster.local/ns/a/sa/inner"]);
        folder.Write("ca.pem", authority.Pem);
        folder.Write("own.crt", identity.Chain);
        folder.Write("own.key", identity.PrivateKey);
        string certificate = $"tls_certificates: [{{ certificate_chain: {{ filename: {folder.At("own.crt")} }}, private_key: {{ filename: {folder.At("own.key")} }} }}]";
        // Takes both on each port, as a permissive workload does, and says which it was.
        await using ProxyProcess inner = await ProxyProcess.StartAsync($$"""
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
            {{Listener("one")}}
            {{Listener("two")}}
              clusters:
            {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("backend", [backend.Port])]), 2)}}
            """);
        int one = inner.Listener("one").Port, two = inner.Listener("two").Port;
        Write("", Istio);
        string cluster = $$"""
            transport_socket_matches:
            - name: tlsMode-istio
              match: { tlsMode: istio }
              transport_socket:
                name: envoy.transport_sockets.tls
                typed_config:
                  "@type": {{Tls}}UpstreamTlsContext
                  common_tls_context:
                    alpn_protocols: [{{(http2 ? "h2" : "http/1.1")}}]
                    {{certificate}}
                    validation_context: { trusted_ca: { filename: {{folder.At("ca.pem")}} }, match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: "spiffe://cluster.local/ns/a/sa/inner" } }] }
            - name: tlsMode-disabled
              match: {}
              transport_socket: { name: envoy.transport_sockets.raw_buffer }
            """;
        string clusters = $$"""
              - name: backend
                type: EDS
                eds_cluster_config: { service_name: pair, eds_config: { path_config_source: { path: {{folder.At("eds.yaml")}} } } }
            {{Bootstraps.Indent(cluster + (http2 ? "\n" + Bootstraps.Http2Cluster : ""), 4)}}
            """;
        string text = Bootstraps.One(1);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text[..text.IndexOf("  - name: backend\n", StringComparison.Ordinal)] + clusters);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(["one plain", "two tls"], await MetAsync());
        Write(Istio, "");
        await Waiting.UntilAsync(async () => (await MetAsync()).SequenceEqual(["one tls", "two plain"]), "the endpoints to have changed places");
        Write(Istio, Istio);
        await Waiting.UntilAsync(async () => (await MetAsync()).SequenceEqual(["one tls", "two tls"]), "both endpoints to be spoken to in TLS");

        async Task<string[]> MetAsync()
        {
            var met = new SortedSet<string>(StringComparer.Ordinal);
            for (int i = 0; i < 8; i++)
            {
                HttpMessage answer = await client.ExchangeAsync("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
                Assert.Equal(200, answer.Status);
                met.Add(answer.Header("x-met")!);
            }
            return [.. met];
        }

        void Write(string first, string second) => folder.Replace("eds.yaml", $$"""
            resources:
            - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
              cluster_name: pair
              endpoints:
              - lb_endpoints:
                - { {{first}} endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{one}} } } } }
                - { {{second}} endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{two}} } } } }
            """);

        string Listener(string name) => Bootstraps.Indent($$"""
            - name: {{name}}
              address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
              listener_filters:
              - name: envoy.filters.listener.tls_inspector
                typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }
              filter_chains:
              - filter_chain_match: { transport_protocol: tls }
                transport_socket:
                  name: envoy.transport_sockets.tls
                  typed_config:
                    "@type": {{Tls}}DownstreamTlsContext
                    require_client_certificate: true
                    common_tls_context: { alpn_protocols: [h2, http/1.1], {{certificate}}, validation_context: { trusted_ca: { filename: {{folder.At("ca.pem")}} } } }
                filters: [{{Manager(name, "tls")}}]
              - filter_chain_match: { transport_protocol: raw_buffer }
                filters: [{{Manager(name, "plain")}}]
            """, 2);

        static string Manager(string name, string kind) => $$"""
            { name: m, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: {{name}}, http_filters: [{ name: envoy.filters.http.router }], route_config: { virtual_hosts: [{ name: all, domains: ["*"], response_headers_to_add: [{ header: { key: x-met, value: "{{name}} {{kind}}" } }], routes: [{ match: { prefix: "/" }, route: { cluster: backend } }] }] } } }
            """.Trim();
    }
}

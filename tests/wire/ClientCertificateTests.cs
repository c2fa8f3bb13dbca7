// What a client's certificate is worth where nobody can vouch for it, with openssl as the client: who is let in, and what of it and of the client's own
// x-forwarded-client-cert backends are told.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ClientCertificateTests : IAsyncLifetime
{
    private const string Type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";
    private static readonly string s_openssl = Tools.Path("openssl", "openssl");
    private readonly TestAuthority _root = new("root");
    private readonly TempFolder _folder = new();
    private readonly Cases _backend = new();

    public ValueTask InitializeAsync()
    {
        _folder.Write("ca.pem", _root.Pem);
        Write("own", _root.Issue(["a.example"]));
        Write("good", _root.Issue(["client.example"]));
        Write("forged", new TestAuthority("root").Issue(["client.example"]));
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _backend.DisposeAsync();
        _folder.Dispose();
    }

    private void Write(string name, TestCertificate certificate)
    {
        _folder.Write($"{name}.crt", certificate.Chain);
        _folder.Write($"{name}.key", certificate.PrivateKey);
    }

    private Task<ProxyProcess> ServeAsync(string validation, string forward) => ProxyProcess.StartAsync($$"""
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            stat_prefix: main
            filter_chains:
            - transport_socket:
                name: envoy.transport_sockets.tls
                typed_config:
                  "@type": {{Type}}DownstreamTlsContext
                  require_client_certificate: true
                  common_tls_context:
                    tls_certificates: [{ certificate_chain: { filename: {{_folder.At("own.crt")}} }, private_key: { filename: {{_folder.At("own.key")}} } }]
                    {{validation.Replace("CA", _folder.At("ca.pem"))}}
              filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: main
                  forward_client_cert_details: {{forward}}
                  set_current_client_cert_details: { dns: true }
                  route_config:
                    virtual_hosts: [ { name: all, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: backend } } ] } ]
                    response_headers_to_add: [ { header: { key: x-peer, value: "%CEL(connection.dns_san_peer_certificate)%" } } ]
                  http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          clusters:
        {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("backend", [_backend.Port])]), 2)}}
        """);

    // s_client goes with its server: the request asks for the end.
    private async Task<string> AskAsync(ProxyProcess proxy, string own, string version)
    {
        string certificate = own.Length == 0 ? "" : $"-cert {_folder.At(own + ".crt")} -key {_folder.At(own + ".key")}";
        const string Request = "GET /x HTTP/1.1\\r\\nhost: a.example\\r\\nx-forwarded-client-cert: Hash=00;DNS=admin.example\\r\\nconnection: close\\r\\n\\r\\n";
        ProcessResult said = await ChildProcess.RunAsync(
            "/bin/sh", ["-c", $"printf '{Request}' | {s_openssl} s_client -quiet -ign_eof -{version} {certificate} -connect {proxy.Address}"]);
        return said.All;
    }

    private const string Nobody = "", Root = "validation_context: { trusted_ca: { filename: CA } }",
        Anybody = "validation_context: { trusted_ca: { filename: CA }, trust_chain_verification: ACCEPT_UNTRUSTED }";

    // Rows: who verifies, what is to be forwarded, whose certificate; whether it gets in, whether the backend hears of its certificate, and of what it says itself.
    [Theory]
    [InlineData(Nobody, "SANITIZE_SET", "", false, false, false)]
    [InlineData(Nobody, "SANITIZE_SET", "forged", true, false, false)]
    [InlineData(Nobody, "FORWARD_ONLY", "forged", true, false, false)]
    [InlineData(Nobody, "APPEND_FORWARD", "forged", true, false, false)]
    [InlineData(Root, "APPEND_FORWARD", "good", true, true, true)]
    [InlineData(Root, "FORWARD_ONLY", "good", true, false, true)]
    [InlineData(Root, "FORWARD_ONLY", "forged", false, false, false)]
    [InlineData(Root, "FORWARD_ONLY", "", false, false, false)]
    [InlineData(Anybody, "SANITIZE_SET", "forged", true, true, false)]
    [InlineData(Anybody, "FORWARD_ONLY", "forged", true, false, false)]
    [InlineData(Anybody, "APPEND_FORWARD", "forged", true, true, false)]
    [InlineData(Anybody, "APPEND_FORWARD", "good", true, true, true)]
    public async Task A_certificate_nobody_vouches_for_opens_no_door_and_carries_no_word(string validation, string forward, string own, bool gets, bool made, bool kept)
    {
        await using ProxyProcess proxy = await ServeAsync(validation, forward);
        foreach (string version in new[] { "tls1_2", "tls1_3" })
        {
            string said = await AskAsync(proxy, own, version);
            Assert.Equal(gets, said.Contains("HTTP/1.1 200", StringComparison.Ordinal));
            Assert.Equal(made, said.Contains("DNS=client.example", StringComparison.Ordinal));
            Assert.Equal(kept, said.Contains("DNS=admin.example", StringComparison.Ordinal));
            // Expressions know the names of those who are verified, as rules do.
            Assert.Equal(kept, said.Contains("x-peer: client.example", StringComparison.Ordinal));
        }
        Assert.Equal(gets ? 2 : 0, await proxy.StatAsync("listener.main.ssl.handshake"));
        Assert.Equal(2, await proxy.StatAsync("http.main.downstream_cx_ssl_total"));
    }
}

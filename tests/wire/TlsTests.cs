// TLS as people configure it, from YAML to the wire: chains by server name, mutual TLS between two listeners, what is logged and shown,
// certificates replaced on disk, and the example of the articles that sends requests to a public site.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class TlsTests : IAsyncLifetime
{
    private const string ProxyIdentity = "spiffe://cluster.local/ns/a/sa/proxy";
    private readonly TestAuthority _root = new("root");
    private readonly TempFolder _folder = new();
    private readonly Cases _backend = new();
    private ProxyProcess _proxy = null!;

    public async ValueTask InitializeAsync()
    {
        _folder.Write("ca.pem", _root.Pem);
        Write("a", _root.Issue(["a.example"]));
        Write("b", _root.Issue(["*.b.example"], rsa: true));
        Write("proxy", _root.Issue([ProxyIdentity]));
        Write("inner", _root.Issue(["inner.example", "spiffe://cluster.local/ns/a/sa/inner"]));
        int inner = FreePort();
        _proxy = await ProxyProcess.StartAsync($$"""
            node: { id: test, cluster: tests }
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
              - name: main
                address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
                stat_prefix: main
                listener_filters:
                - name: envoy.filters.listener.tls_inspector
                  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }
                filter_chains:
                - filter_chain_match: { server_names: [a.example] }
            {{Downstream("a", "alpn_protocols: [h2, http/1.1]")}}
            {{Manager("main", "inner", """
                access_log:
                - name: envoy.access_loggers.file
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                    path: LOG
                    log_format: { text_format_source: { inline_string: "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_URI_SAN% | %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_DNS_SAN% %UPSTREAM_LOCAL_URI_SAN% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n" } }
                """.Replace("LOG", _folder.At("access.log")))}}
                - filter_chain_match: { server_names: ["*.b.example"] }
            {{Downstream("b", "")}}
            {{Manager("main", "wrong", "")}}
              - name: inner
                address: { socket_address: { address: 127.0.0.1, port_value: {{inner}} } }
                stat_prefix: inner
                filter_chains:
                - transport_socket_connect_timeout: 5s
            {{Downstream("inner", $"validation_context: {{ trusted_ca: {{ filename: {_folder.At("ca.pem")} }}, match_typed_subject_alt_names: [{{ san_type: URI, matcher: {{ exact: \"{ProxyIdentity}\" }} }}] }}", "require_client_certificate: true")}}
            {{Manager("inner", "backend", """
                forward_client_cert_details: SANITIZE_SET
                set_current_client_cert_details: { uri: true }
                """)}}
              clusters:
            {{Bootstraps.Indent(Bootstraps.Clusters([
                new TestCluster("backend", [_backend.Port]),
                new TestCluster("inner", [inner], Upstream("inner.example")),
                new TestCluster("wrong", [inner], Upstream("other.example")),
            ]), 2)}}
            """);
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await _backend.DisposeAsync();
        _folder.Dispose();
    }

    // The port must be in the proxy's own configuration before it binds it.
    private static int FreePort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    private void Write(string name, TestCertificate certificate)
    {
        _folder.Replace($"{name}.crt", certificate.Chain);
        _folder.Replace($"{name}.key", certificate.PrivateKey);
    }

    private string Certificate(string name) =>
        $"tls_certificates: [ {{ certificate_chain: {{ filename: {_folder.At(name + ".crt")} }}, private_key: {{ filename: {_folder.At(name + ".key")} }} }} ]";

    private string Downstream(string name, string common, string more = "") => Bootstraps.Indent($$"""
        transport_socket:
          name: envoy.transport_sockets.tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
            {{more}}
            common_tls_context:
              {{Certificate(name)}}
              {{common}}
        """, 6);

    private string Upstream(string name) => $$"""
        transport_socket:
          name: envoy.transport_sockets.tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
            sni: {{name}}
            common_tls_context:
              {{Certificate("proxy")}}
              validation_context: { trusted_ca: { filename: {{_folder.At("ca.pem")}} }, match_typed_subject_alt_names: [ { san_type: DNS, matcher: { exact: {{name}} } } ] }
        """;

    private static string Manager(string prefix, string cluster, string more) => Bootstraps.Indent($$"""
        filters:
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: {{prefix}}
        {{Bootstraps.Indent(more, 4)}}
            route_config: { virtual_hosts: [ { name: all, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: {{cluster}} } } ] } ] }
            http_filters:
            - name: envoy.filters.http.router
              typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
        """, 6);

    private HttpClient Client(string sni, Version version) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        SslOptions = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = (_, certificate, _, _) => (_given = certificate!.Subject) is not null },
    })
    {
        DefaultRequestVersion = version,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Timeout = Waiting.Bound,
        // It is also the server name that is sent.
        DefaultRequestHeaders = { Host = sni },
    };

    private string? _given;

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task A_request_goes_through_two_listeners_and_mutual_tls_and_everybody_knows_who_is_who(string version)
    {
        using HttpClient client = Client("a.example", Version.Parse(version));
        string echo = await client.GetStringAsync($"https://{_proxy.Listener("main")}/x");
        Assert.Contains("CN=a.example", _given);
        Assert.Contains("x-forwarded-client-cert: By=spiffe://cluster.local/ns/a/sa/inner;Hash=", echo);
        Assert.Contains($";URI={ProxyIdentity}", echo);
        Assert.Contains("x-forwarded-proto: https", echo);
        string line = await Waiting.ForAsync(() => Task.FromResult(File.Exists(_folder.At("access.log")) ? File.ReadLines(_folder.At("access.log")).FirstOrDefault() : null), "a line in the access log");
        Assert.Equal($"a.example TLSv1.3 TLS_AES_256_GCM_SHA384 - | TLSv1.2 inner.example {ProxyIdentity} -", line);
        Assert.Equal(1, await _proxy.StatAsync("cluster.inner.ssl.handshake"));
        Assert.Equal(1, await _proxy.StatAsync("listener.inner.ssl.handshake"));
        Assert.Equal(1, await _proxy.StatAsync("listener.main.ssl.no_certificate"));
        Assert.Equal(1, await _proxy.StatAsync("listener.main.ssl.versions.TLSv1.3"));
    }

    [Fact]
    public async Task The_other_chain_has_its_own_certificate_and_its_upstream_is_refused_by_name()
    {
        using HttpClient client = Client("x.b.example", HttpVersion.Version11);
        using HttpResponseMessage answer = await client.GetAsync($"https://{_proxy.Listener("main")}/x");
        Assert.Contains("CN=*.b.example", _given);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.Contains("NARU-U508", await answer.Content.ReadAsStringAsync());
        Assert.Equal(1, await _proxy.StatAsync("cluster.wrong.ssl.fail_verify_san"));
        await Waiting.UntilAsync(() => _proxy.Child.Output.Contains("(other.example): its certificate names inner.example") || _proxy.Child.Error.Contains("(other.example): its certificate names inner.example"), "the reason in the log");
    }

    [Fact]
    public async Task A_name_that_no_chain_has_and_plain_text_get_nowhere()
    {
        using HttpClient client = Client("unknown.example", HttpVersion.Version11);
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync($"https://{_proxy.Listener("main")}/x"));
        Assert.Equal(1, await _proxy.StatAsync("listener.main.no_filter_chain_match"));
    }

    [Fact]
    public async Task Certificates_on_disk_are_shown_and_their_replacement_is_taken()
    {
        using JsonDocument before = JsonDocument.Parse(await _proxy.Admin.GetStringAsync("certs"));
        JsonElement a = before.RootElement.GetProperty("certificates").EnumerateArray().SelectMany(c => c.GetProperty("cert_chain").EnumerateArray()).Single(c => c.GetProperty("path").GetString() == _folder.At("a.crt"));
        Assert.Equal("a.example", a.GetProperty("subject_alt_names")[0].GetProperty("dns").GetString());
        Assert.Equal("29", a.GetProperty("days_until_expiration").GetString());
        Assert.Contains(before.RootElement.GetProperty("certificates").EnumerateArray().SelectMany(c => c.GetProperty("ca_cert").EnumerateArray()), c => c.GetProperty("path").GetString() == _folder.At("ca.pem"));

        Write("a", _root.Issue(["a.example", "new.example"]));
        await Waiting.UntilAsync(async () => (await _proxy.Admin.GetStringAsync("certs")).Contains("new.example"), "the new certificate");
        using HttpClient client = Client("a.example", HttpVersion.Version11);
        Assert.NotEmpty(await client.GetStringAsync($"https://{_proxy.Listener("main")}/x"));
    }

    [Theory]
    [InlineData("v2", """
        hosts: [{ socket_address: { address: localhost, port_value: PORT }}]
        tls_context: { sni: www.google.com }
        """)]
    [InlineData("v3", """
        load_assignment:
          cluster_name: service_google
          endpoints:
          - lb_endpoints:
            - endpoint: { address: { socket_address: { address: localhost, port_value: PORT } } }
        transport_socket:
          name: envoy.transport_sockets.tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
            sni: www.google.com
        """)]
    public async Task The_example_of_the_articles_reaches_a_tls_server_by_its_name(string spelling, string cluster)
    {
        var names = new ConcurrentQueue<string>();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task site = SiteAsync(listener, _root.Issue(["www.google.com"]), names);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync($$"""
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
              - name: main
                address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
                filter_chains:
                -
            {{Manager("ingress_http", "service_google", "").Replace("cluster: service_google", "cluster: service_google, host_rewrite_literal: www.google.com")}}
              clusters:
              - name: service_google
                connect_timeout: 5s
                type: LOGICAL_DNS
                dns_lookup_family: V4_ONLY
                lb_policy: ROUND_ROBIN
            {{Bootstraps.Indent(cluster.Replace("PORT", ((IPEndPoint)listener.LocalEndpoint).Port.ToString()), 4)}}
            """);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.Contains("host: www.google.com", answer.Text, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("www.google.com", Assert.Single(names));
        Assert.NotEmpty(spelling);
        listener.Stop();
        await site.Within("the site");
    }

    private static async Task SiteAsync(TcpListener listener, TestCertificate own, ConcurrentQueue<string> names)
    {
        try
        {
            using TcpClient client = await listener.AcceptTcpClientAsync();
            await using var stream = new SslStream(client.GetStream());
            await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificateContext = SslStreamCertificateContext.Create(own.Certificate, null, offline: true) });
            names.Enqueue(stream.TargetHostName);
            byte[] buffer = new byte[8192];
            int n = await stream.ReadAsync(buffer);
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n"));
            await stream.WriteAsync(buffer.AsMemory(0, n));
            _ = await stream.ReadAsync(buffer);
        }
        catch (Exception e) when (e is IOException or AuthenticationException or SocketException or ObjectDisposedException)
        {
            // The proxy ended, or the test did.
        }
    }
}

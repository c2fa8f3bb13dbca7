// Whose connections are served: rules on what is known of a connection, when they are asked, and that nothing of a refused one goes on.
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class NetworkAccessTests
{
    private const string Network = "type.googleapis.com/envoy.extensions.filters.network.";

    private static string Bootstrap(Witness backend, string rbac, string more = "", string before = "") => $$"""
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            filter_chains:
            - filters:
        {{before}}
              - { name: g, typed_config: { "@type": {{Network}}rbac.v3.RBAC, stat_prefix: r, {{rbac}} } }
              - { name: t, typed_config: { "@type": {{Network}}tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: b } }
        {{more}}
          clusters:
        {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("b", [backend.Port])]), 2)}}
        """;

    internal static async Task Echo(WitnessConnection c)
    {
        var piece = new byte[1024];
        int n;
        while ((n = await c.Reader.SomeAsync(piece)) > 0) await c.SendAsync(piece.AsMemory(0, n));
        c.HalfClose();
    }

    private static string Rules(string action, string permission, string principal = "{ any: true }") =>
        $"rules: {{ action: {action}, policies: {{ p: {{ permissions: [{permission}], principals: [{principal}] }} }} }}";

    [Theory]
    [InlineData("ALLOW", "{ any: true }", "{ direct_remote_ip: { address_prefix: 127.0.0.0, prefix_len: 8 } }", true)]
    [InlineData("ALLOW", "{ any: true }", "{ remote_ip: { address_prefix: \"::ffff:127.0.0.0\", prefix_len: 104 } }", true)]
    [InlineData("ALLOW", "{ any: true }", "{ source_ip: { address_prefix: 10.0.0.0, prefix_len: 8 } }", false)]
    [InlineData("DENY", "{ destination_ip: { address_prefix: 127.0.0.1, prefix_len: 32 } }", "{ any: true }", false)]
    [InlineData("ALLOW", "{ destination_port_range: { start: 1, end: 65536 } }", "{ any: true }", true)]
    [InlineData("ALLOW", "{ destination_port: 1 }", "{ any: true }", false)]
    [InlineData("ALLOW", "{ any: true }", "{ authenticated: {} }", false)]
    [InlineData("ALLOW", "{ requested_server_name: { exact: a.test } }", "{ any: true }", false)]
    [InlineData("LOG", "{ destination_port: 1 }", "{ any: true }", true)]
    public async Task A_connection_is_served_by_its_rules(string action, string permission, string principal, bool may)
    {
        await using var backend = new Witness(Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend, Rules(action, permission, principal)));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync("hello");
            if (may) Assert.Equal("hello", await client.TextAsync(5));
            else Assert.Equal("", await client.RestAsync());
        }
        if (!may) Assert.All(backend.Connections, c => Assert.Empty(c.Received));
        await Waiting.UntilAsync(async () => await proxy.StatAsync($"r.rbac.{(may ? "allowed" : "denied")}") == 1, "the rules were counted once");
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_client_that_says_nothing_is_asked_nothing()
    {
        await using var backend = new Witness(async c =>
        {
            await c.SendAsync("hi");
            await Echo(c);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend, Rules("DENY", "{ any: true }")));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("hi", await client.TextAsync(2));
        Assert.Equal(0, await proxy.StatAsync("r.rbac.denied"));
        await client.TrySendAsync("x");
        Assert.Equal("", await client.RestAsync());
        Assert.Equal(1, await proxy.StatAsync("r.rbac.denied"));
    }

    [Fact]
    public async Task Rules_of_a_try_are_counted_and_let_everybody_in()
    {
        await using var backend = new Witness(Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend,
            Rules("DENY", "{ any: true }").Replace("rules:", "shadow_rules:", StringComparison.Ordinal) + ", shadow_rules_stat_prefix: s., enforcement_type: CONTINUOUS"));
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 1; i <= 3; i++)
        {
            await client.SendAsync("x");
            Assert.Equal("x", await client.TextAsync(1));
            Assert.Equal(i, await proxy.StatAsync("r.rbac.s.shadow_denied"));
        }
    }

    [Fact]
    public async Task A_refused_connection_may_be_held_and_nothing_more_of_it_goes_on()
    {
        await using var backend = new Witness(Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend, Rules("DENY", "{ any: true }") + ", delay_deny: 0.3s"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("one");
            await client.TrySendAsync("two");
            Assert.Equal("", await client.RestAsync());
        }
        Assert.All(backend.Connections, c => Assert.Empty(c.Received));
        Assert.Equal(1, await proxy.StatAsync("r.rbac.denied"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_a_filter_before_them_keeps_decides_too()
    {
        await using var backend = new Witness(Echo);
        string state = $"      - {{ name: s, typed_config: {{ \"@type\": {Network}set_filter_state.v3.Config, on_new_connection: "
            + "[{ object_key: who, factory_key: envoy.string, format_string: { text_format_source: { inline_string: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" } } }] } }\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend,
            Rules("ALLOW", "{ any: true }", "{ filter_state: { key: who, string_match: { exact: 127.0.0.1 } } }"), before: state));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("hello");
        Assert.Equal("hello", await client.TextAsync(5));
    }

    // A name counts where somebody verified it; without a client's certificate there is none.
    [Theory]
    [InlineData(true, "", "ann", true)]
    [InlineData(true, "", "bob", false)]
    [InlineData(true, "", null, false)]
    [InlineData(false, "trust_chain_verification: ACCEPT_UNTRUSTED, ", "stranger", false)]
    [InlineData(false, "trust_chain_verification: ACCEPT_UNTRUSTED, ", "ann", true)]
    public async Task Who_a_client_is_its_verified_certificate_says(bool onReady, string context, string? who, bool may)
    {
        var root = new TestAuthority("root");
        var stranger = new TestAuthority("stranger");
        using var folder = new TempFolder();
        TestCertificate server = root.Issue(["proxy.test"]);
        string ca = folder.Write("ca.pem", root.Pem), chain = folder.Write("s.pem", server.Chain), key = folder.Write("s.key", server.PrivateKey);
        await using var backend = new Witness(Echo);
        string tls = $"      transport_socket: {{ name: tls, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, "
            + $"common_tls_context: {{ tls_certificates: [{{ certificate_chain: {{ filename: {chain} }}, private_key: {{ filename: {key} }} }}], "
            + $"validation_context: {{ {context}trusted_ca: {{ filename: {ca} }} }} }} }} }}\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend,
            Rules("ALLOW", "{ any: true }", "{ authenticated: { principal_name: { exact: \"spiffe://mesh.test/ann\" } } }")
            + (onReady ? ", enforce_on_transport_ready: true" : ""), tls));
        TestCertificate? own = who is null ? null : (who == "stranger" ? stranger : root).Issue([$"spiffe://mesh.test/{(who == "stranger" ? "ann" : who)}"]);
        using var socket = new TcpClient();
        await socket.ConnectAsync(proxy.Address);
        await using var stream = new SslStream(socket.GetStream(), false, (_, _, _, _) => true);
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "proxy.test",
            ClientCertificateContext = own is null ? null : SslStreamCertificateContext.Create(new X509Certificate2(own.Certificate), null, offline: true),
        });
        string heard = "";
        try
        {
            await stream.WriteAsync("x"u8.ToArray());
            byte[] one = new byte[1];
            if (await stream.ReadAsync(one).AsTask().Within("an answer or the end") == 1) heard = "x";
        }
        catch (IOException)
        {
        }
        Assert.Equal(may ? "x" : "", heard);
        // Asked when TLS is there, nobody was connected to for whom is refused.
        if (onReady && !may) Assert.Empty(backend.Connections);
    }
}

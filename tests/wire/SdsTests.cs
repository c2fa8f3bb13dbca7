// Secrets by SDS from a file to the wire: the listener waits for its certificate, a newer one is shown to new connections while old
// ones go on, and no key is ever shown.
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class SdsTests
{
    private const string Tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";

    [Fact]
    public async Task A_certificate_from_a_watched_file_is_served_and_replaced_under_a_living_connection()
    {
        using var folder = new TempFolder();
        var authority = new TestAuthority("root");
        string sds = folder.At("sds.json");
        Write(sds, authority.Issue(["one.example"]));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync($$"""
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
              - name: main
                address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
                filter_chains:
                - filters: [{ name: envoy.filters.network.echo }]
                  transport_socket:
                    name: envoy.transport_sockets.tls
                    typed_config:
                      "@type": {{Tls}}DownstreamTlsContext
                      common_tls_context: { tls_certificate_sds_secret_configs: [{ name: own, sds_config: { path_config_source: { path: {{sds}} } } }] }
            """);
        await using SslStream old = await DialAsync(proxy);
        Assert.Contains("one.example", NameOf(old), StringComparison.Ordinal);

        Write(sds, authority.Issue(["two.example"]));
        string name = "";
        await Waiting.UntilAsync(
            async () =>
            {
                await using SslStream fresh = await DialAsync(proxy);
                name = NameOf(fresh);
                return name.Contains("two.example", StringComparison.Ordinal);
            },
            "the new certificate");
        Assert.Equal("still here", await EchoAsync(old, "still here"));

        string dump = await proxy.Admin.GetStringAsync("/config_dump", TestContext.Current.CancellationToken);
        Assert.DoesNotContain("PRIVATE KEY", dump, StringComparison.Ordinal);
        using JsonDocument document = JsonDocument.Parse(dump);
        JsonElement secrets = document.RootElement.GetProperty("configs").EnumerateArray().Single(c => c.GetProperty("@type").GetString()!.EndsWith("SecretsConfigDump", StringComparison.Ordinal));
        Assert.Equal("own", secrets.GetProperty("dynamic_active_secrets")[0].GetProperty("name").GetString());
    }

    // Renamed into place, as those who write such files should.
    private static void Write(string path, TestCertificate certificate)
    {
        string chain = JsonSerializer.Serialize(certificate.Chain), key = JsonSerializer.Serialize(certificate.PrivateKey);
        File.WriteAllText(path + ".new", $"{{\"resources\": [{{\"@type\": \"{Tls}Secret\", \"name\": \"own\", \"tls_certificate\": {{\"certificate_chain\": {{\"inline_string\": {chain}}}, \"private_key\": {{\"inline_string\": {key}}}}}}}]}}");
        File.Move(path + ".new", path, overwrite: true);
    }

    private static async Task<SslStream> DialAsync(ProxyProcess proxy)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(proxy.Address, TestContext.Current.CancellationToken);
        var tls = new SslStream(new NetworkStream(socket, ownsSocket: true));
        await tls.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions { TargetHost = "any.example", RemoteCertificateValidationCallback = static (_, _, _, _) => true }, TestContext.Current.CancellationToken);
        return tls;
    }

    private static string NameOf(SslStream tls) => tls.RemoteCertificate is System.Security.Cryptography.X509Certificates.X509Certificate2 certificate
        ? string.Join(" ", certificate.Extensions.OfType<System.Security.Cryptography.X509Certificates.X509SubjectAlternativeNameExtension>().SelectMany(e => e.EnumerateDnsNames()))
        : "";

    private static async Task<string> EchoAsync(SslStream tls, string text)
    {
        await tls.WriteAsync(Encoding.ASCII.GetBytes(text), TestContext.Current.CancellationToken);
        byte[] answer = new byte[text.Length];
        await tls.ReadExactlyAsync(answer, TestContext.Current.CancellationToken);
        return Encoding.ASCII.GetString(answer);
    }
}

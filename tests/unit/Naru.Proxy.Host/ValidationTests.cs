// --mode validate: certificates and keys are tried, files that name files are followed, and nothing is started.
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Host;
using Xunit;

namespace Naru.UnitTests.Proxy.Host;

public sealed class ValidationTests : IDisposable
{
    private const string Tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";
    private readonly TempFolder _folder = new();
    private readonly TestAuthority _authority = new("authority");

    public void Dispose() => _folder.Dispose();

    private List<Diagnostic> Validate(string path) => [.. Configuration.Validate(new CommandLine { ConfigPath = path }).Items.Where(d => d.Severity == Severity.Error)];

    private string Listener(string certificate) => _folder.Write("listener.yaml", $$"""
        static_resources:
          listeners:
          - name: l
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            filter_chains:
            - filters: [{ name: envoy.filters.network.echo }]
              transport_socket: { name: envoy.transport_sockets.tls, typed_config: { "@type": {{Tls}}DownstreamTlsContext, common_tls_context: {{certificate}} } }
        """);

    private string Files(string name, string chain, string key) =>
        $"certificate_chain: {{ filename: {_folder.Write(name + ".pem", chain)} }}, private_key: {{ filename: {_folder.Write(name + ".key", key)} }}";

    [Fact]
    public void A_key_that_does_not_fit_its_certificate_is_found_and_one_that_does_is_taken()
    {
        TestCertificate one = _authority.Issue(["a.example"]), other = _authority.Issue(["b.example"]);
        Assert.Empty(Validate(Listener($"{{ tls_certificates: [{{ {Files("good", one.Chain, one.PrivateKey)} }}] }}")));
        Diagnostic fault = Assert.Single(Validate(Listener($"{{ tls_certificates: [{{ {Files("bad", one.Chain, other.PrivateKey)} }}] }}")));
        Assert.Equal(("NARU-P104", _folder.At("listener.yaml")), (fault.Code, fault.Place.File));
        Assert.DoesNotContain("BEGIN", fault.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_password_and_an_unknown_cipher_are_found_and_the_password_is_not_said()
    {
        TestCertificate one = _authority.Issue(["a.example"]);
        string encrypted = Files("locked", one.Chain, one.Encrypted("right"));
        Assert.Empty(Validate(Listener($"{{ tls_certificates: [{{ {encrypted}, password: {{ inline_string: right }} }}] }}")));
        Diagnostic fault = Assert.Single(Validate(Listener($"{{ tls_certificates: [{{ {encrypted}, password: {{ inline_string: w-r-o-n-g }} }}] }}")));
        Assert.DoesNotContain("w-r-o-n-g", fault.ToString(), StringComparison.Ordinal);
        Assert.Single(Validate(Listener($"{{ tls_params: {{ cipher_suites: [NO-SUCH-CIPHER] }}, tls_certificates: [{{ {Files("own", one.Chain, one.PrivateKey)} }}] }}")));
    }

    [Fact]
    public void Files_that_name_files_are_followed()
    {
        TestCertificate one = _authority.Issue(["a.example"]), other = _authority.Issue(["b.example"]);
        string sds = _folder.Write("sds.yaml", $"resources:\n- {{ \"@type\": {Tls}Secret, name: own, tls_certificate: {{ {Files("own", one.Chain, other.PrivateKey)} }} }}\n");
        string cds = _folder.Write("cds.yaml", $$"""
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: c
              transport_socket: { name: tls, typed_config: { "@type": {{Tls}}UpstreamTlsContext, common_tls_context: { tls_certificate_sds_secret_configs: [{ name: own, sds_config: { path_config_source: { path: {{sds}} } } }] } } }
            """);
        string bootstrap = _folder.Write("bootstrap.yaml", $"dynamic_resources: {{ cds_config: {{ path_config_source: {{ path: {cds} }} }} }}\n");
        Diagnostic fault = Assert.Single(Validate(bootstrap));
        Assert.Equal(("NARU-P104", sds), (fault.Code, fault.Place.File));
    }

    [Theory]
    [InlineData("v2-google.yaml")]
    [InlineData("v3-google.yaml")]
    public void The_google_com_example_is_valid_in_both_spellings(string name) => Assert.Empty(Validate(Repository.At("tests", "golden", "Bootstraps", "cases", name)));
}

// Security objects: what nobody would enforce is refused by name, what can be enforced is taken, and every fault names its field.
using Naru.Control.Model;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class SecurityReaderTests
{
    private const string Head = "apiVersion: security.istio.io/v1\nmetadata: {name: x}\nkind: ";
    private const string Policy = Head + "AuthorizationPolicy\nspec: ";
    private const string Tokens = Head + "RequestAuthentication\nspec: ";
    private const string Peers = Head + "PeerAuthentication\nspec: ";
    private const string Keys = "jwks: '{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}'";
    private const string Mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: { mesh: ";
    private const string Rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec: ";
    private const string Gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: x}\nspec: ";

    [Theory]
    [InlineData(Policy + "{}")]
    [InlineData(Head + "AuthorizationPolicy")]
    [InlineData(Policy + "{ action: DENY, rules: [ { to: [ { operation: { paths: [ /a, '/b/{*}/c', '/d/{**}' ], ports: [ '80' ] } } ] } ] }")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { ipBlocks: [ 10.0.0.0/8, '::1' ], requestPrincipals: [ '*' ] } } ] } ] }")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: 'request.auth.claims[a][b]', values: [ c ] }, { key: source.ip, notValues: [ 10.0.0.1 ] } ] } ] }")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + " } ] }")]
    [InlineData(Tokens + "{}")]
    public void What_a_proxy_without_certificates_enforces_is_taken(string yaml) => Assert.Empty(Errors(yaml));

    [Theory]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { principals: [ a ] } } ] } ] }", "principals")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { notPrincipals: [ a ] } } ] } ] }", "principals")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { namespaces: [ a ] } } ] } ] }", "namespaces")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { notNamespaces: [ a ], ipBlocks: [ 10.0.0.1 ] } } ] } ] }", "namespaces")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { serviceAccounts: [ a ] } } ] } ] }", "serviceAccounts")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: source.principal, values: [ a ] } ] } ] }", "source.principal")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: source.namespace, notValues: [ a ] } ] } ] }", "source.namespace")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: connection.sni, values: [ a ] } ] } ] }", "connection.sni")]
    [InlineData(Peers + "{ mtls: { mode: STRICT } }", "PeerAuthentication")]
    [InlineData(Peers + "{}", "PeerAuthentication")]
    [InlineData(Rule + "{ host: a, trafficPolicy: { tls: { mode: ISTIO_MUTUAL } } }", "trafficPolicy.tls")]
    [InlineData(Rule + "{ host: a, trafficPolicy: { portLevelSettings: [ { port: { number: 80 }, tls: { mode: SIMPLE } } ] } }",
        "portLevelSettings[0].tls")]
    [InlineData(Rule + "{ host: a, subsets: [ { name: s, trafficPolicy: { tls: { mode: DISABLE } } } ] }", "subsets[0].trafficPolicy.tls")]
    [InlineData(Gateway + "{ servers: [ { port: { number: 443, name: a, protocol: HTTPS }, hosts: [ a ], tls: { mode: SIMPLE, credentialName: c } } ] }", "servers[0].tls")]
    [InlineData(Gateway + "{ servers: [ { port: { number: 80, name: a, protocol: HTTP }, hosts: [ a ], tls: { httpsRedirect: true } } ] }",
        "servers[0].tls")]
    public void What_needs_certificates_is_refused_by_name_unless_it_is_allowed(string yaml, string field)
    {
        Diagnostic error = Assert.Single(Errors(yaml));
        Assert.Equal("NARU-C520", error.Code);
        Assert.Contains(field, error.Message, StringComparison.Ordinal);
        ManifestItem item = Assert.Single(ManifestReader.Read(yaml, "f.yaml", unenforced: true).Items);
        Assert.NotNull(item.Object);
        Assert.Contains(item.Diagnostics, d => d is { Code: "NARU-C520", Severity: Severity.Warning });
    }

    [Theory]
    [InlineData(Policy + "{ action: CUSTOM, rules: [ {} ] }", "NARU-C204")]
    [InlineData(Policy + "{ action: CUSTOM, provider: { name: a } }", "NARU-C204")]
    [InlineData(Policy + "{ action: ALOW }", "NARU-C012")]
    [InlineData(Policy + "{ rules: [ { form: [] } ] }", "NARU-C010")]
    [InlineData(Policy + "{ targetRefs: [] }", "NARU-C201")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: {} } ] } ] }", "NARU-C204")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: {} } ] } ] }", "NARU-C204")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { ipBlocks: [ 10.0.0.0/33 ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { remoteIpBlocks: [ here ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { ports: [ '0' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ '' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ '/a{*}' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ '/{**}/{**}' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: source.ip } ] } ] }", "NARU-C204")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: source.pi, values: [ a ] } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: 'request.headers[a', values: [ a ] } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: destination.port, values: [ http ] } ] } ] }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { " + Keys + " } ] }", "NARU-C204")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i } ] }", "NARU-C204")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, jwks: '[]' } ] }", "NARU-C522")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, jwks: '{\"keys\":[]}' } ] }", "NARU-C522")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, jwks: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"YQ\"}]}' } ] }", "NARU-C522")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", fromHeaders: [ { name: 'a b' } ] } ] }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", fromParams: [ '' ] } ] }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", fromCookies: [ 'a=b' ] } ] }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", outputPayloadToHeader: host } ] }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", outputClaimToHeaders: [ { header: ':path', claim: sub } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ '/{**}/{*}' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ 'a/{*}' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { to: [ { operation: { paths: [ '/a b/{*}' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { ipBlocks: [ '1.2' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { ipBlocks: [ 'fe80::1%1' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { ipBlocks: [ '10.0.0.0/+8' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: 'request.headers[a b]', values: [ a ] } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { when: [ { key: 'request.auth.claims[]', values: [ a ] } ] } ] }", "NARU-C205")]
    [InlineData(Policy + "{ rules: [ { from: [ { source: { serviceAccounts: [ 'a(' ] } } ] } ] }", "NARU-C205")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzGrpc: { service: b, port: 1, failOpen: yes } } ]' }", "NARU-C205")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzGrpc: { service: b, port: 1, statusOnError: 99 } } ]' }", "NARU-C205")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzHttp: { service: b, port: 1, pathPrefix: check } } ]' }", "NARU-C205")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzHttp: { service: b, port: 1, includeAdditionalHeadersInCheck: { host: c } } } ]' }", "NARU-C205")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzHttp: { service: b, port: 1, includeRequestBodyInCheck: { maxRequestBytes: 0 } } } ]' }", "NARU-C205")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, jwksUri: 'https://a/keys' } ] }", "NARU-C201")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", fromHeaders: [ { prefix: a } ] } ] }", "NARU-C204")]
    [InlineData(Tokens + "{ jwtRules: [ { issuer: i, " + Keys + ", spaceDelimitedClaims: [ a ] } ] }", "NARU-C201")]
    [InlineData(Mesh + "'connectTimeout: soon' }", "NARU-C205")]
    [InlineData(Mesh + "'outboundTrafficPolicy: { mode: REGISTRY }' }", "NARU-C205")]
    [InlineData(Mesh + "'trustDomian: a' }", "NARU-C201")]
    [InlineData(Mesh + "'rootNamespace: other' }", "NARU-C201")]
    [InlineData(Mesh + "'meshMTLS: { minProtocolVersion: TLSV1_3 }' }", "NARU-C520")]
    [InlineData(Mesh + "'tlsDefaults: { minProtocolVersion: SSLV3 }' }", "NARU-C205")]
    [InlineData(Mesh + "'tlsDefaults: { ecdhCurves: [ P-1 ] }' }", "NARU-C205")]
    [InlineData(Mesh + "'tlsDefaults: { cipherSuites: [ \"a b\" ] }' }", "NARU-C205")]
    [InlineData(Mesh + "'pathNormalization: { normalization: SOME }' }", "NARU-C205")]
    [InlineData(Mesh + "'protocolDetectionTimeout: soon' }", "NARU-C205")]
    [InlineData(Mesh + "'tcpKeepalive: { probes: 1000 }' }", "NARU-C205")]
    [InlineData(Mesh + "'tcpKeepalive: { every: 1s }' }", "NARU-C201")]
    [InlineData(Mesh + "'h2UpgradePolicy: YES' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultHttpRetryPolicy: { retryOn: sometimes }' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultHttpRetryPolicy: { attempt: 2 }' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultServiceExportTo: [ \"a b\" ]' }", "NARU-C205")]
    [InlineData(Mesh + "'inboundTrafficPolicy: { mode: SOMEWHERE }' }", "NARU-C205")]
    [InlineData(Mesh + "'proxyListenPort: 70000' }", "NARU-C205")]
    [InlineData(Mesh + "'{ accessLogFile: log.txt }' }", "NARU-C205")]
    [InlineData(Mesh + "'{ accessLogFile: /dev/stdout, accessLogFormat: \"%NOTHING%\" }' }", "NARU-C205")]
    [InlineData(Mesh + "'{ accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: \"[\" }' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultConfig: { proxyHeaders: { forwardedClientCert: SOMETIMES } }' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultConfig: { proxyHeaders: { server: { disabled: maybe } } }' }", "NARU-C205")]
    [InlineData(Mesh + "'defaultConfig: { gatewayTopology: { numTrustedProxies: 2 } }' }", "NARU-C201")]
    [InlineData(Mesh + "'extensionProviders: [ { name: a, envoyExtAuthzGrpc: { service: b, port: 1, failOpn: true } } ]' }", "NARU-C201")]
    public void A_fault_is_refused_by_its_code(string yaml, string code) => Assert.Contains(Errors(yaml), d => d.Code == code);

    [Theory]
    [InlineData("enableTracing: true", "enableTracing")]
    [InlineData("defaultConfig: { proxyHeaders: { preserveHttp1HeaderCase: true } }", "preserveHttp1HeaderCase")]
    [InlineData("defaultConfig: { discoveryAddress: a }", "defaultConfig.discoveryAddress")]
    [InlineData("extensionProviders: [ { name: a, zipkin: { service: b, port: 1 } } ]", "extensionProviders a: zipkin")]
    [InlineData("outboundTrafficPolicy: { egressProxy: {} }", "outboundTrafficPolicy.egressProxy")]
    public void A_field_of_the_mesh_configuration_that_is_not_read_is_named_and_the_others_are_honoured(string field, string name)
    {
        ManifestItem item = Assert.Single(ManifestReader.Read($"{Mesh}'{{ trustDomain: td, {field} }}' }}", null).Items);
        Assert.Equal("td", ((MeshConfigSpec)item.Object!.Spec).TrustDomain);
        Diagnostic said = Assert.Single(item.Diagnostics);
        Assert.Equal(("NARU-C201", Severity.Warning), (said.Code, said.Severity));
        Assert.Contains(name, said.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_that_only_other_proxies_take_are_for_those_alone()
    {
        ManifestItem item = Assert.Single(ManifestReader.Read(
            Tokens + "{ jwtRules: [ { issuer: i, jwks: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"YQ\"}]}' }, { issuer: j, " + Keys + " } ] }",
                null, unenforced: true).Items);
        Assert.Equal([false, true], ((RequestAuthenticationSpec)item.Object!.Spec).Rules.Select(r => r.IsChecked));
        Assert.Contains(item.Diagnostics, d => d is { Code: "NARU-C522", Severity: Severity.Warning });
    }

    [Fact]
    public void A_policy_that_is_only_tried_says_so_by_its_annotation()
    {
        const string Tried = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: x, annotations: {istio.io/dry-run: \"true\"}}\nspec: {action: DENY, rules: [{}]}";
        Assert.True(((AuthorizationSpec)Assert.Single(ManifestReader.Read(Tried, null).Items).Object!.Spec).DryRun);
        Assert.Contains(Errors(Tried.Replace("\"true\"", "\"yes\"", StringComparison.Ordinal)), d => d.Code == "NARU-C205");
        Assert.Contains(Errors(Tried.Replace("DENY", "AUDIT", StringComparison.Ordinal)), d => d.Code == "NARU-C206");
    }

    private static Diagnostic[] Errors(string yaml) =>
        [.. ManifestReader.Read(yaml, "f.yaml").AllDiagnostics.Where(d => d.Severity == Severity.Error)];
}

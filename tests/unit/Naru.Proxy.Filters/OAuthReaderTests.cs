// What configurations of oauth2 and of injected credentials say is read, what is wrong with them is said by name, and what is sealed opens again.
using System.Text;
using Naru.Proxy.Filters.Http.OAuth2;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class OAuthReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Injected = "type.googleapis.com/envoy.extensions.http.injected_credentials.";
    private const string Uri = "token_endpoint: { uri: 'http://k/token', cluster: c, timeout: 1s }";
    private const string Credentials = "credentials: { client_id: a, token_secret: { name: t }, hmac_secret: { name: h } }";
    private const string Where = "authorization_endpoint: 'https://k/a', redirect_uri: 'https://%REQ(:authority)%/back', "
        + "redirect_path_matcher: { path: { exact: /back } }, signout_path: { path: { exact: /out } }";

    private static string Bootstrap(string filter, string secrets = "{ name: t, generic_secret: { secret: { inline_string: x } } }, { name: h, generic_secret: { secret: { inline_string: y } } }") =>
        Read.InListener(
            "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
            + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }, "
            + $"http_filters: [{filter}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]")
            .Replace("static_resources: {", $"static_resources: {{ secrets: [{secrets}],", StringComparison.Ordinal);

    private static string SignIn(string config) => Bootstrap($"{{ name: f, typed_config: {{ \"@type\": {Http}oauth2.v3.OAuth2, config: {{ {config} }} }} }}");

    private static string Injector(string typed) => Bootstrap(
        $"{{ name: f, typed_config: {{ \"@type\": {Http}credential_injector.v3.CredentialInjector{typed} }} }}");

    [Theory]
    [InlineData($"{Credentials}, {Where}", "NARU-C101 token_endpoint")]
    [InlineData($"{Uri}, {Where}", "NARU-C101 credentials")]
    [InlineData($"{Uri}, {Credentials}, redirect_uri: a, redirect_path_matcher: {{ path: {{ exact: /b }} }}, signout_path: {{ path: {{ exact: /c }} }}", "NARU-C101 authorization_endpoint")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, hmac_secret: {{ name: h }} }}", "NARU-C101 token_secret")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: t }} }}", "NARU-C101 hmac_secret")]
    [InlineData($"{Uri}, {Where}, credentials: {{ token_secret: {{ name: t }}, hmac_secret: {{ name: h }} }}", "NARU-C101 client_id")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: nobody }}, hmac_secret: {{ name: h }} }}", "NARU-C104 filter_chains")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: t }}, hmac_secret: {{ name: h }}, cookie_domain: 'a;b' }}", "NARU-C102 cookie_domain")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: t }}, hmac_secret: {{ name: h }}, cookie_names: {{ id_token: 'a b' }} }}", "NARU-C108 id_token")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: t }}, hmac_secret: {{ name: h }}, cookie_names: {{ id_token: BearerToken }} }}", "NARU-C103 id_token")]
    [InlineData($"{Uri}, {Where}, credentials: {{ client_id: a, token_secret: {{ name: t }}, hmac_secret: {{ name: h }}, cookie_domain: a, cookie_names: {{ id_token: __Host-a }} }}", "NARU-C113 id_token")]
    [InlineData($"{Uri}, {Credentials}, {Where}, forward_bearer_token: true, preserve_authorization_header: true", "NARU-C113 preserve_authorization_header")]
    [InlineData($"{Uri}, {Credentials}, {Where}, end_session_endpoint: 'https://k/e'", "NARU-C113 end_session_endpoint")]
    [InlineData($"{Uri}, {Credentials}, {Where}, auth_scopes: [openid], end_session_endpoint: '/e'", "NARU-C102 end_session_endpoint")]
    [InlineData($"{Uri}, {Credentials}, {Where}, auth_type: PRIVATE_KEY_JWT", "NARU-C113 auth_type")]
    [InlineData($"{Uri}, {Credentials}, {Where}, private_key_jwt_config: {{}}", "NARU-C110 private_key_jwt_config")]
    [InlineData($"{Uri}, {Credentials}, {Where}, retry_policy: {{ retry_on: retriable-headers }}", "NARU-C113 retry_on")]
    [InlineData($"{Uri}, {Credentials}, {Where}, retry_policy: {{ retry_back_off: {{ base_interval: 2s, max_interval: 1s }} }}", "NARU-C102 max_interval")]
    [InlineData($"{Uri}, {Credentials}, {Where}, cookie_configs: {{ id_token_cookie_config: {{ path: a }} }}", "NARU-C102 path")]
    [InlineData($"{Uri}, {Credentials}, {Where}, allowed_redirect_domains: ['a/b']", "NARU-C102 allowed_redirect_domains[0]")]
    [InlineData($"{Uri}, {Credentials}, {Where}, forward_id_token: {{ header: host }}", "NARU-C108 header")]
    [InlineData($"{Uri}, {Credentials}, {Where}, default_expires_in: -1s", "NARU-C102 default_expires_in")]
    [InlineData($"{Uri}, {Credentials}, {Where}, pass_through_matcher: [{{ name: 'a b', present_match: true }}]", "NARU-C108 name")]
    [InlineData($"{Uri}, {Credentials}, authorization_endpoint: 'https://k/a#b', redirect_uri: a, redirect_path_matcher: {{ path: {{ exact: /b }} }}, signout_path: {{ path: {{ exact: /c }} }}", "NARU-C102 authorization_endpoint")]
    [InlineData($"{Uri}, {Credentials}, authorization_endpoint: 'https://k/a', redirect_uri: '%NOTHING%', redirect_path_matcher: {{ path: {{ exact: /b }} }}, signout_path: {{ path: {{ exact: /c }} }}", "NARU-L002 redirect_uri")]
    public void What_is_wrong_with_a_sign_in_is_said(string config, string error) => Assert.Equal(error, Read.Bad(SignIn(config)));

    [Theory]
    [InlineData("", "NARU-C101 credential")]
    [InlineData(", credential: { name: a }", "NARU-C101 typed_config")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}generic.v3.Generic }} }}", "NARU-C101 credential")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}generic.v3.Generic, header: host, credential: {{ name: t }} }} }}", "NARU-C108 header")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}generic.v3.Generic, credential: {{ name: nobody }} }} }}", "NARU-C104 filter_chains")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}", "NARU-C112 typed_config")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}oauth2.v3.OAuth2, {Uri} }} }}", "NARU-C101 client_credentials")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}oauth2.v3.OAuth2, {Uri}, client_credentials: {{ client_id: a }} }} }}", "NARU-C101 client_secret")]
    [InlineData($", credential: {{ name: a, typed_config: {{ \"@type\": {Injected}oauth2.v3.OAuth2, {Uri}, token_fetch_retry_interval: 0.5s, client_credentials: {{ client_id: a, client_secret: {{ name: t }} }} }} }}", "NARU-C102 token_fetch_retry_interval")]
    public void What_is_wrong_with_a_credential_is_said(string typed, string error) => Assert.Equal(error, Read.Bad(Injector(typed)));

    [Fact]
    public void A_secret_of_another_kind_is_none_for_a_filter()
    {
        string filter = $"{{ name: f, typed_config: {{ \"@type\": {Http}credential_injector.v3.CredentialInjector, "
            + $"credential: {{ name: a, typed_config: {{ \"@type\": {Injected}generic.v3.Generic, credential: {{ name: t }} }} }} }} }}";
        Assert.Equal("NARU-C113 filter_chains", Read.Bad(Bootstrap(filter, "{ name: t, validation_context: {} }")));
    }

    [Theory]
    [InlineData("generic_secret: { secret: { inline_string: '' } }", "NARU-C101 inline_string")]
    [InlineData("generic_secret: { secret: { filename: /nowhere/x } }", "NARU-C104 filename")]
    [InlineData("generic_secret: {}", "NARU-C101 secret")]
    public void What_is_wrong_with_a_secret_is_said(string secret, string error) =>
        Assert.Equal(error, Read.Bad($"static_resources: {{ secrets: [{{ name: a, {secret} }}] }}"));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_was_sealed_opens_by_its_secret_alone(bool marked)
    {
        var seals = new OAuthSeals("one"u8.ToArray());
        foreach (int length in (int[])[1, 15, 16, 17, 1000])
        {
            string text = new('t', length), isSealed = seals.Seal(text, marked);
            Assert.NotEqual(isSealed, seals.Seal(text, marked));
            Assert.Equal(text, seals.Open(isSealed, takesOld: true, out bool wasOld));
            Assert.Equal(!marked, wasOld);
            Assert.Equal(marked ? text : "", seals.Open(isSealed, takesOld: false, out _));
            Assert.NotEqual(text, new OAuthSeals("two"u8.ToArray()).Open(isSealed, takesOld: true, out _));
        }
    }

    // What Envoy 1.40 made with this key.
    [Fact]
    public void Cookies_of_Envoy_are_read()
    {
        var seals = new OAuthSeals("mac-key-for-the-lab"u8.ToArray());
        Assert.Equal("at-1", seals.Open("6Nl-90Dd67Jc5ph3LIgjVai100h31jOipDeljsFuruA", takesOld: true, out _));
        Assert.True(seals.IsSigned("0jq99KUDHYiq2IKaIVCBWjZf2CmKzNh+FSgdc6umB78=", "shop.test", "5795943281", "at-1", "it-1", "rt-1"));
        Assert.False(seals.IsSigned("0jq99KUDHYiq2IKaIVCBWjZf2CmKzNh+FSgdc6umB78=", "shop.test", "5795943281", "at-1", "it-1\nrt-1", ""));
        Assert.True(seals.IsNonce("5bae174e787829dc.0HfhUBJUpmIwcqA4IvIIMjuaCgVPlcLCwLLlAxoPjl8="));
        Assert.False(seals.IsNonce("5bae174e787829dd.0HfhUBJUpmIwcqA4IvIIMjuaCgVPlcLCwLLlAxoPjl8="));
    }

    // A text whose padding is wrong looks like one whose padding is right (CVE-2026-47775): both are texts.
    [Fact]
    public void What_cannot_be_opened_is_taken_as_it_stands_but_with_a_mark()
    {
        var seals = new OAuthSeals("one"u8.ToArray());
        string old = seals.Seal("a token", marked: false), marked = seals.Seal("a token", marked: true);
        for (int i = 0; i < old.Length - 2; i++) Assert.NotEmpty(seals.Open(old[..i] + (old[i] == 'A' ? 'B' : 'A') + old[(i + 1)..], takesOld: true, out _));
        for (int i = 4; i < marked.Length - 2; i++) Assert.Empty(seals.Open(marked[..i] + (marked[i] == 'A' ? 'B' : 'A') + marked[(i + 1)..], takesOld: true, out _));
    }

    // RFC 7636, appendix B.
    [Fact]
    public void A_challenge_is_the_digest_of_its_verifier() =>
        Assert.Equal("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", OAuthTexts.Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));

    [Theory]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":\"60\"}", 60)]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":1e30,\"id_token\":null}", 4_000_000_000)]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":59.9}", 59)]
    [InlineData("{\"access_token\":\"a\"}", 0)]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":-1}", -1)]
    [InlineData("{\"access_token\":\"a b\"}", -1)]
    public void An_answer_of_a_token_endpoint_is_read_or_is_none(string body, long expires) =>
        Assert.Equal(expires, TokenEndpoint.Read(Encoding.UTF8.GetBytes(body)).Tokens?.ExpiresIn ?? -1);

    [Theory]
    [InlineData("https://a.test/x", "a.test")]
    [InlineData("HTTP://A.test:80?x", "a.test:80")]
    [InlineData("http://a@b.test/", null)]
    [InlineData("http://a\\@b.test/", null)]
    [InlineData("http:///a", null)]
    [InlineData("//a.test/", null)]
    [InlineData("http://a.test/\r\nb", null)]
    public void Where_people_are_sent_is_read_as_browsers_do(string uri, string? authority) => Assert.Equal(authority, OAuth2Level.Authority(uri));
}

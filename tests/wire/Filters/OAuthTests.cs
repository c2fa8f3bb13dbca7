// Signing in at an authorization server: what a browser goes through, what services see of it, and what becomes of the session when it ends.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class OAuthTests : IAsyncDisposable
{
    private readonly Cases _app = new();
    private readonly AuthorizationServer _server = new();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _server.DisposeAsync();
    }

    internal const string Secrets = """
          secrets:
          - { name: token, generic_secret: { secret: { inline_string: s3cret } } }
          - { name: hmac, generic_secret: { secret: { inline_string: a-key-for-cookies } } }

        """;

    internal static string Config(string more = "", string credentials = "") => "config: { token_endpoint: { cluster: idp, uri: \"http://idp.test/token\", timeout: 20s }, "
        + "authorization_endpoint: \"http://idp.test/authorize?pre=1\", redirect_uri: \"http://%REQ(:authority)%/callback\", "
        + "redirect_path_matcher: { path: { exact: /callback } }, signout_path: { path: { exact: /bye } }, "
        + (credentials.Contains("client_id", StringComparison.Ordinal) ? credentials
            : $"credentials: {{ client_id: shop, token_secret: {{ name: token }}, hmac_secret: {{ name: hmac }}{credentials} }}")
        + (more.Length > 0 ? ", " : "") + more + " }";

    internal static string Bootstrap(int app, int server, string config, string routes = "- { match: { prefix: / }, route: { cluster: backend } }", string secrets = Secrets) =>
        Bootstraps.Many(routes, [new TestCluster("backend", [app]), new TestCluster("idp", [server])], filters: Yaml.Filter("envoy.filters.http.oauth2", "oauth2.v3.OAuth2", config))
            .Replace("static_resources:\n", $"static_resources:\n{secrets}", StringComparison.Ordinal);

    private Task<ProxyProcess> StartAsync(string more = "", string credentials = "") => ProxyProcess.StartAsync(Bootstrap(_app.Port, _server.Port, Config(more, credentials)));

    [Fact]
    public async Task A_browser_signs_in_and_its_page_gets_the_token()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("forward_bearer_token: true, auth_scopes: [openid, mail], resources: [\"https://api.test/a b\"]");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        var browser = new Browser(proxy);
        HttpMessage sent = await browser.AskAsync($"{path}?x=1");
        Dictionary<string, string> form = AuthorizationServer.Form(new Uri(sent.Header("location")!).Query[1..]);
        Assert.Equal(("shop", "code", "openid mail", "1", "S256", "http://shop.test/callback", "https://api.test/a b"),
            (form["client_id"], form["response_type"], form["scope"], form["pre"], form["code_challenge_method"], form["redirect_uri"], form["resource"]));
        HttpMessage back = await browser.AskAsync(await Browser.AuthorizeAsync(_server, sent));
        Assert.Equal((302, $"http://shop.test{path}?x=1"), (back.Status, back.Header("location")));
        Assert.All(back.All("set-cookie").Where(c => !c.Contains("=deleted", StringComparison.Ordinal)),
            c => Assert.EndsWith(";secure;HttpOnly", c, StringComparison.Ordinal));
        Assert.Equal(["BearerToken", "IdToken", "OauthExpires", "OauthHMAC", "RefreshToken"], browser.Jar.Keys.Order(StringComparer.Ordinal));

        Assert.Equal(200, (await browser.AskAsync($"{path}?x=1", "Authorization: Bearer mallory\r\n")).Status);
        HttpMessage seen = _app.Seen(path).Single();
        string token = _server.Given.Single();
        Assert.Equal([$"Bearer {token}"], seen.All("authorization"));
        string cookies = string.Join("; ", seen.All("cookie"));
        Assert.Contains($"BearerToken={token}", cookies, StringComparison.Ordinal);
        Assert.DoesNotContain("Oauth", cookies, StringComparison.Ordinal);
        Assert.DoesNotContain("RefreshToken", cookies, StringComparison.Ordinal);
        Assert.DoesNotContain(token, browser.Cookies, StringComparison.Ordinal);
        Assert.Equal((1, 2, 0), (await proxy.StatAsync("http.test.oauth_unauthorized_rq"), await proxy.StatAsync("http.test.oauth_success"), await proxy.StatAsync("http.test.oauth_failure")));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Curl_with_a_jar_of_cookies_follows_its_way_to_the_page_and_out()
    {
        string path = _app.Echo();
        using var folder = new TempFolder();
        string config = Config("forward_bearer_token: true").Replace("http://idp.test/authorize", $"http://127.0.0.1:{_server.Port}/authorize", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(_app.Port, _server.Port, config));
        string curl = Tools.Path("curl", "curl"), jar = folder.At("jar");
        string[] asked = ["-sSL", "--max-redirs", "5", "-c", jar, "-b", jar, "-w", " %{http_code} %{num_redirects}"];
        ProcessResult first = await ChildProcess.RunAsync(curl, [.. asked, $"{proxy.Url}{path}"]);
        Assert.EndsWith(" 200 3", first.Output.TrimEnd(), StringComparison.Ordinal);
        ProcessResult second = await ChildProcess.RunAsync(curl, [.. asked, $"{proxy.Url}{path}"]);
        Assert.EndsWith(" 200 0", second.Output.TrimEnd(), StringComparison.Ordinal);
        Assert.Equal(2, _app.Seen(path).Count(r => r.Header("authorization") == $"Bearer {_server.Given.Single()}"));
        // What curl keeps of it is not asked: its jar takes cookies up again that were taken away.
        ProcessResult bye = await ChildProcess.RunAsync(curl, ["-sSi", "-b", jar, $"{proxy.Url}/bye"]);
        Assert.StartsWith("HTTP/1.1 302 ", bye.Output, StringComparison.Ordinal);
        Assert.Contains("set-cookie: BearerToken=deleted; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT", bye.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_session_that_ended_is_renewed_beside_the_request()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("forward_bearer_token: true, auth_scopes: [openid]");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        foreach (string gone in (string[])["OauthHMAC", "OauthExpires", "BearerToken", "IdToken"]) browser.Jar.Remove(gone);
        string before = browser.Jar["RefreshToken"];
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        string token = _server.Given.Last();
        Assert.Equal(2, _server.Given.Count);
        Assert.Equal($"Bearer {token}", _app.Seen(path).Single().Header("authorization"));
        Assert.NotEqual(before, browser.Jar["RefreshToken"]);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.Equal(2, _server.Given.Count);
        Assert.Equal(1, await proxy.StatAsync("http.test.oauth_refreshtoken_success"));
        // The old one is good no more, and leads to where one signs in.
        browser.Jar.Clear();
        browser.Jar["RefreshToken"] = before;
        Assert.Equal(302, (await browser.AskAsync(path)).Status);
        Assert.Equal(1, await proxy.StatAsync("http.test.oauth_refreshtoken_failure"));
    }

    [Fact]
    public async Task A_renewal_without_a_new_token_to_renew_by_leaves_the_old_one()
    {
        await using ProxyProcess proxy = await StartAsync();
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        _server.GivesRefresh = false;
        browser.Jar.Remove("OauthHMAC");
        string path = _app.Echo();
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.Contains("RefreshToken", browser.Jar.Keys);
    }

    [Theory]
    [InlineData("auth_type: BASIC_AUTH", "", "grant_type=authorization_code&code=", false)]
    [InlineData("auth_type: TLS_CLIENT_AUTH", "credentials: { client_id: shop, hmac_secret: { name: hmac } }", "&client_id=shop&redirect_uri=", false)]
    [InlineData("", "", "&client_id=shop&client_secret=s3cret&redirect_uri=http%3A%2F%2Fshop.test%2Fcallback&code_verifier=", true)]
    public async Task The_server_is_told_who_asks_as_it_wants_it(string more, string credentials, string said, bool hasSecret)
    {
        await using ProxyProcess proxy = await StartAsync(more, credentials);
        var browser = new Browser(proxy);
        _ = await browser.AskAsync(await Browser.AuthorizeAsync(_server, await browser.AskAsync("/a")));
        HttpMessage asked = Assert.Single(_server.Asked);
        Assert.Contains(said, asked.Text, StringComparison.Ordinal);
        Assert.Equal(hasSecret, asked.Text.Contains("s3cret", StringComparison.Ordinal));
        string? basic = more.Contains("BASIC", StringComparison.Ordinal) ? "Basic " + Convert.ToBase64String("shop:s3cret"u8) : null;
        Assert.Equal(basic, asked.Header("authorization"));
    }

    [Fact]
    public async Task Cookies_have_the_names_paths_and_attributes_that_are_configured()
    {
        string more = "cookie_configs: { bearer_token_cookie_config: { same_site: LAX, path: /shop, partitioned: true }, oauth_nonce_cookie_config: { same_site: STRICT } }, "
            + "csrf_token_expires_in: 60s, stat_prefix: mine, disable_id_token_set_cookie: true, disable_refresh_token_set_cookie: true, auth_scopes: [openid]";
        await using ProxyProcess proxy = await StartAsync(more, ", cookie_domain: test, cookie_names: { bearer_token: __Secure-b, oauth_hmac: sig }");
        var browser = new Browser(proxy);
        HttpMessage sent = await browser.AskAsync("/shop/a");
        Assert.Contains(sent.All("set-cookie"), c => c.StartsWith("OauthNonce.", StringComparison.Ordinal) && c.EndsWith(";domain=test;path=/;Max-Age=60;secure;HttpOnly;SameSite=Strict", StringComparison.Ordinal));
        HttpMessage back = await browser.AskAsync(await Browser.AuthorizeAsync(_server, sent));
        Assert.Contains(back.All("set-cookie"), c => c.StartsWith("__Secure-b=gcm.", StringComparison.Ordinal) && c.EndsWith(";domain=test;path=/shop;Max-Age=3600;secure;HttpOnly;SameSite=Lax;Partitioned", StringComparison.Ordinal));
        Assert.Equal(["OauthExpires", "__Secure-b", "sig"], browser.Jar.Keys.Order(StringComparer.Ordinal));
        // Signed for the domain: good at its other hosts, too.
        var other = new Browser(proxy, "other.test");
        foreach ((string name, string value) in browser.Jar) other.Jar[name] = value;
        string path = _app.Echo();
        Assert.Equal(200, (await other.AskAsync(path)).Status);
        Assert.Equal(2, await proxy.StatAsync("http.test.mine.oauth_success"));
        HttpMessage bye = await browser.AskAsync("/bye");
        Assert.Contains("__Secure-b=deleted; path=/shop; expires=Thu, 01 Jan 1970 00:00:00 GMT;domain=test; Secure; Partitioned", bye.All("set-cookie"));
        Assert.Empty(browser.Jar);
    }

    [Fact]
    public async Task Who_may_not_be_sent_away_is_told_so_and_who_may_fail_goes_on_as_nobody()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync(
            "deny_redirect_matcher: [{ name: x-requested-with, present_match: true }], allow_failed_matcher: [{ name: x-open, present_match: true }], "
            + "pass_through_matcher: [{ name: ':path', string_match: { prefix: /health } }]");
        var browser = new Browser(proxy) { Jar = { ["OauthHMAC"] = "forged", ["BearerToken"] = "forged", ["mine"] = "1", ["OauthNonce.ab"] = "x" } };
        HttpMessage denied = await browser.AskAsync(path, "X-Requested-With: XMLHttpRequest\r\n");
        Assert.Equal((401, "OAuth flow failed."), (denied.Status, denied.Text));
        HttpMessage open = await browser.AskAsync(path, "X-Open: 1\r\nX-Requested-With: a\r\nAuthorization: Bearer x\r\nx-envoy-oauth-status: ok\r\n");
        Assert.Equal(200, open.Status);
        HttpMessage seen = _app.Seen(path).Single();
        Assert.Equal(["failed"], seen.All("x-envoy-oauth-status"));
        Assert.Equal((null, "mine=1"), (seen.Header("authorization"), seen.Header("cookie")));
        Assert.NotNull(seen.Header("x-envoy-oauth-failure-reason"));
        _app.At("/health", static (connection, _) => connection.OkAsync());
        Assert.Equal(200, (await browser.AskAsync("/health", "Authorization: Bearer x\r\n")).Status);
        Assert.Equal(1, await proxy.StatAsync("http.test.oauth_passthrough"));
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("preserve_authorization_header: true", "Bearer own")]
    public async Task A_header_of_the_clients_own_goes_on_only_where_it_is_to_be_kept(string more, string? seen)
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync(more);
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Assert.Equal(200, (await browser.AskAsync(path, "Authorization: Bearer own\r\n")).Status);
        Assert.Equal(seen, _app.Seen(path).Single().Header("authorization"));
    }

    [Fact]
    public async Task A_route_has_a_server_of_its_own_or_none()
    {
        string Entry(string at) => $"typed_per_filter_config: {{ envoy.filters.http.oauth2: {at} }}";
        string own = Yaml.At("oauth2.v3.OAuth2PerRoute", Config("", "credentials: { client_id: other, token_secret: { name: token }, hmac_secret: { name: hmac } }"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(
            _app.Port, _server.Port, Config(),
            $"- {{ match: {{ prefix: /own }}, route: {{ cluster: backend }}, {Entry(own)} }}\n- {{ match: {{ prefix: /free }}, route: {{ cluster: backend }}, {Entry(Yaml.Off)} }}\n"
            + "- { match: { prefix: / }, route: { cluster: backend } }"));
        var browser = new Browser(proxy);
        Assert.Contains("client_id=other&", (await browser.AskAsync("/own")).Header("location"), StringComparison.Ordinal);
        Assert.Contains("client_id=shop&", (await browser.AskAsync("/a")).Header("location"), StringComparison.Ordinal);
        Assert.NotEqual(302, (await browser.AskAsync("/free")).Status);
    }

    [Fact]
    public async Task The_end_of_a_session_is_told_to_the_server_with_the_token_of_who_signed_in_only()
    {
        await using ProxyProcess proxy = await StartAsync("auth_scopes: [openid], end_session_endpoint: \"https://idp.test/end?a=1\"");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Dictionary<string, string> jar = new(browser.Jar);
        HttpMessage bye = await browser.AskAsync("/bye");
        Assert.Matches("^https://idp[.]test/end[?]a=1&id_token_hint=eyJ[^&]+&client_id=shop&post_logout_redirect_uri=http%3A%2F%2Fshop[.]test%2F$", bye.Header("location"));
        // A sealed text in the wrong cookie is not opened for whoever came by it.
        browser.Jar["IdToken"] = jar["BearerToken"];
        browser.Jar["OauthHMAC"] = jar["OauthHMAC"];
        browser.Jar["OauthExpires"] = jar["OauthExpires"];
        Assert.Contains("id_token_hint=&", (await browser.AskAsync("/bye")).Header("location"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_stumbles_is_asked_again_where_the_policy_says_so()
    {
        int stumbles = 2;
        _server.Lie = async (connection, _) =>
        {
            if (Interlocked.Decrement(ref stumbles) < 0) return false;
            await connection.SendAsync("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
            return true;
        };
        await using ProxyProcess proxy = await StartAsync("retry_policy: { num_retries: 3, retry_back_off: { base_interval: 0.001s } }");
        await new Browser(proxy).SignInAsync(_server);
        Assert.Equal(3, _server.Asked.Count);
    }
}

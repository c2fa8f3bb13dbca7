// What strangers try with signing in: forged, swapped and doubled cookies, states that lead elsewhere, callbacks of others, token endpoints that are
// dead, slow, endless or lie; and secrets that change, are missing, or would be seen.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class OAuthAttackTests : IAsyncDisposable
{
    private readonly Cases _app = new();
    private readonly AuthorizationServer _server = new();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _server.DisposeAsync();
    }

    private Task<ProxyProcess> StartAsync(string more = "", string credentials = "") =>
        ProxyProcess.StartAsync(OAuthTests.Bootstrap(_app.Port, _server.Port, OAuthTests.Config(more, credentials)));

    private static string B64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text)).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    [Theory]
    [InlineData("")]
    [InlineData("disable_token_encryption: true")]
    public async Task A_changed_cookie_lets_nobody_in(string more)
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("use_refresh_token: false" + (more.Length > 0 ? ", " + more : ""));
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Dictionary<string, string> good = new(browser.Jar);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        foreach ((string name, string value) in good)
        {
            for (int at = 0; at < value.Length; at += Math.Max(1, value.Length / 12))
            {
                // Base64 has bits in its last letter that are none of the value's.
                if (at >= value.Length - 2 && name != "OauthExpires") continue;
                browser.Jar[name] = value[..at] + (value[at] == '1' ? '2' : '1') + value[(at + 1)..];
                Assert.True((await browser.AskAsync(path)).Status == 302, $"{name} changed at {at}");
                foreach ((string n, string v) in good) browser.Jar[n] = v;
            }
            browser.Jar[name] = value + "x";
            Assert.True((await browser.AskAsync(path)).Status == 302, $"{name} lengthened");
            browser.Jar.Remove(name);
            Assert.True((await browser.AskAsync(path)).Status == 302, $"no {name}");
            foreach ((string n, string v) in good) browser.Jar[n] = v;
        }
        Assert.Single(_app.Seen(path));
    }

    [Fact]
    public async Task Cookies_of_another_host_or_in_each_others_place_or_twice_let_nobody_in()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("use_refresh_token: false, auth_scopes: [openid]");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Dictionary<string, string> good = new(browser.Jar);
        var other = new Browser(proxy, "other.test");
        foreach ((string name, string value) in good) other.Jar[name] = value;
        Assert.Equal(302, (await other.AskAsync(path)).Status);
        (browser.Jar["IdToken"], browser.Jar["BearerToken"]) = (good["BearerToken"], good["IdToken"]);
        Assert.Equal(302, (await browser.AskAsync(path)).Status);
        (browser.Jar["IdToken"], browser.Jar["BearerToken"]) = (good["IdToken"], good["BearerToken"]);
        foreach (string name in good.Keys)
        {
            HttpMessage twice = await browser.AskAsync(path, $"Cookie: {name}=x\r\n");
            Assert.Equal((401, "OAuth flow failed."), (twice.Status, twice.Text));
            Assert.Equal(401, (await browser.AskAsync(path, $"Cookie: {name}={good[name]}\r\n")).Status);
        }
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.Single(_app.Seen(path));
    }

    [Theory]
    [InlineData("BearerToken =evil")]
    [InlineData("BearerToken\t=evil")]
    [InlineData("\"BearerToken\"=evil")]
    [InlineData("mine=1,BearerToken=evil")]
    [InlineData("mine=1, BearerToken=evil")]
    [InlineData("BearerToken")]
    [InlineData("IdToken =evil")]
    [InlineData("OauthHMAC =evil")]
    public async Task No_spelling_of_a_name_brings_a_token_to_the_service(string cookie)
    {
        string path = _app.Echo(), open = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("use_refresh_token: false, auth_scopes: [openid], allow_failed_matcher: [{ name: x-open, present_match: true }]");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Assert.Equal(401, (await browser.AskAsync(path, $"Cookie: {cookie}\r\n")).Status);
        Assert.Empty(_app.Seen(path));
        browser.Jar.Clear();
        Assert.Equal(200, (await browser.AskAsync(open, $"x-open: 1\r\nCookie: a=b; {cookie}; c=d,e\r\n")).Status);
        string seen = string.Join("; ", _app.Seen(open).Single().All("cookie"));
        Assert.DoesNotContain("evil", seen, StringComparison.Ordinal);
        Assert.DoesNotContain("Token", seen, StringComparison.Ordinal);
        Assert.StartsWith("a=b; ", seen, StringComparison.Ordinal);
        Assert.EndsWith("; c=d,e", seen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://evil.test/a")]
    [InlineData("//evil.test/a")]
    [InlineData("/a")]
    [InlineData("http://shop.test@evil.test/a")]
    [InlineData("http://shop.test:80@evil.test/a")]
    [InlineData("http://evil.test\\\\@shop.test/a")]
    [InlineData("http://evil.test\\\\.shop.test/a")]
    [InlineData("http://shop.test.evil.test/a")]
    [InlineData("http://evilshop.test/a")]
    [InlineData("http://shop.test:81/a")]
    [InlineData("http:///evil.test/a")]
    [InlineData("http:/\\\\/evil.test/a")]
    [InlineData("javascript:alert(1)//shop.test")]
    [InlineData("data:text/html,x")]
    [InlineData("ftp://shop.test/a")]
    [InlineData("http://shop.test/a\\r\\nset-cookie: a=b")]
    [InlineData("http://shop.test/a b")]
    [InlineData("http://shop.test/\\u0000")]
    [InlineData("http://sh\\u00f6p.test/a")]
    [InlineData("http://shop.test/callback?code=1")]
    [InlineData("")]
    public async Task No_state_leads_to_another_host(string url)
    {
        await using ProxyProcess proxy = await StartAsync();
        var browser = new Browser(proxy);
        HttpMessage sent = await browser.AskAsync("/a");
        string nonce = browser.Jar["OauthNonce"], flow = nonce.Split('.')[0];
        // With a nonce that is this browser's own: what else there is in a state nobody signs.
        string state = B64($"{{\"url\":\"{url}\",\"csrf_token\":\"{nonce}\",\"flow_id\":\"{flow}\"}}");
        HttpMessage answer = await browser.AskAsync($"/callback?code=c&state={state}");
        Assert.Equal((401, null), (answer.Status, answer.Header("location")));
        Assert.Empty(_server.Asked);
        Assert.Contains(answer.All("set-cookie"), c => c.StartsWith($"OauthNonce.{flow}=deleted", StringComparison.Ordinal));
        // Nor where somebody has signed in already.
        await browser.SignInAsync(_server);
        HttpMessage again = await browser.AskAsync("/b", "X-Nothing: 1\r\n");
        Assert.Null(again.Header("location"));
        browser.Jar["OauthNonce"] = nonce;
        Assert.Equal(401, (await browser.AskAsync($"/callback?code=c&state={state}")).Status);
        Assert.NotNull(sent);
    }

    [Fact]
    public async Task A_callback_is_good_for_the_browser_alone_that_asked_and_once()
    {
        await using ProxyProcess proxy = await StartAsync();
        var victim = new Browser(proxy);
        HttpMessage sent = await victim.AskAsync("/a");
        string callback = await Browser.AuthorizeAsync(_server, sent);
        string state = callback.Split("state=")[1].Split('&')[0], code = callback.Split("code=")[1].Split('&')[0];
        var attacker = new Browser(proxy);
        _ = await attacker.AskAsync("/a");
        foreach (string target in (string[])
        [
            callback, "/callback", "/callback?code=x", $"/callback?state={state}", $"/callback?code={code}&state={state}&code={code}", $"/callback?code={code}&state={state}&state={state}",
            $"/callback?code={code}&state=", $"/callback?code=&state={state}", $"/callback?code={code}&state=%00", $"/callback?code={code}&state={new string('A', 20_000)}",
            $"/callback?code={code}&state={B64("[]")}", $"/callback?code={code}&state={B64("{\"url\":1,\"csrf_token\":{}}")}", $"/callback?error=x&state={state}", "/callback?error=",
            $"/callback?code={code}&state={B64("{\"url\":\"http://shop.test/\",\"csrf_token\":\"\",\"flow_id\":\"\"}")}",
            $"/callback?code={code}&state={B64("{\"url\":\"http://shop.test/\",\"csrf_token\":\"a.b\",\"flow_id\":\"a\"}")}",
        ])
        {
            HttpMessage answer = await attacker.AskAsync(target);
            Assert.True(answer.Status == 401, $"{answer.Status} for {target[..Math.Min(60, target.Length)]}");
        }
        Assert.Empty(_server.Asked);
        // A nonce that nobody signed is none, though cookie and state agree.
        attacker.Jar["OauthNonce"] = "aa.forged";
        string forged = B64("{\"url\":\"http://shop.test/\",\"csrf_token\":\"aa.forged\",\"flow_id\":\"aa\"}");
        Assert.Equal(401, (await attacker.AskAsync($"/callback?code={code}&state={forged}")).Status);
        Dictionary<string, string> jar = new(victim.Jar);
        Assert.Equal(302, (await victim.AskAsync(callback)).Status);
        // The same once more, with all that the browser had then.
        victim.Jar.Clear();
        foreach ((string name, string value) in jar) victim.Jar[name] = value;
        Assert.Equal(401, (await victim.AskAsync(callback)).Status);
        Assert.Equal(["invalid_grant"], _server.Refusals);
    }

    [Fact]
    public async Task Who_is_renewed_brings_no_token_of_his_own_to_the_service()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync("disable_access_token_set_cookie: true");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        browser.Jar.Remove("OauthHMAC");
        (browser.Jar["IdToken"], browser.Jar["BearerToken"]) = ("forged", "forged");
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.DoesNotContain("forged", string.Concat(_app.Seen(path).Single().All("cookie")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_as_long_as_one_may_be_comes_through()
    {
        string path = _app.Echo(), token = new('t', 16_000);
        _server.Lie = async (connection, _) =>
        {
            await connection.OkAsync($"{{\"access_token\":\"{token}\",\"expires_in\":60}}");
            return true;
        };
        await using ProxyProcess proxy = await StartAsync("forward_bearer_token: true");
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Assert.Equal($"Bearer {token}", _app.Seen(path).Single().Header("authorization"));
    }

    [Fact]
    public async Task Two_windows_sign_in_at_a_time_and_each_comes_to_its_page()
    {
        await using ProxyProcess proxy = await StartAsync();
        var browser = new Browser(proxy);
        HttpMessage one = await browser.AskAsync("/one"), two = await browser.AskAsync("/two");
        string first = await Browser.AuthorizeAsync(_server, one), second = await Browser.AuthorizeAsync(_server, two);
        Assert.Equal("http://shop.test/one", (await browser.AskAsync(first)).Header("location"));
        Assert.Equal("http://shop.test/two", (await browser.AskAsync(second)).Header("location"));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("not json")]
    [InlineData("{\"access_token\":1,\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\",\"access_token\":\"b\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\"}")]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":0}")]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":-5}")]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":\"soon\"}")]
    [InlineData("{\"access_token\":\"a; OauthHMAC=x\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\\r\\nset-cookie: b=c\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\\nb\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\",\"id_token\":\"b,c\",\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\",\"refresh_token\":{},\"expires_in\":60}")]
    [InlineData("{\"access_token\":\"a\",\"expires_in\":60}{}")]
    public async Task A_token_endpoint_that_lies_signs_nobody_in(string body)
    {
        _server.Lie = async (connection, _) =>
        {
            await connection.OkAsync(body);
            return true;
        };
        await using ProxyProcess proxy = await StartAsync();
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        var browser = new Browser(proxy);
        HttpMessage answer = await browser.AskAsync(await Browser.AuthorizeAsync(_server, await browser.AskAsync("/a")));
        Assert.Equal((401, "OAuth flow failed."), (answer.Status, answer.Text));
        Assert.Empty(browser.Jar);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("dead")]
    [InlineData("silent")]
    [InlineData("endless")]
    [InlineData("cut")]
    [InlineData("slow")]
    [InlineData("huge")]
    public async Task A_token_endpoint_that_is_no_good_costs_its_time_and_no_more(string kind)
    {
        _server.Lie = async (connection, _) =>
        {
            switch (kind)
            {
                case "dead":
                    connection.Reset();
                    break;
                case "cut":
                    await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"a\"");
                    connection.Close();
                    break;
                case "silent" or "slow":
                    if (kind == "slow") await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
                    await connection.RequestAsync();
                    break;
                case "huge":
                    await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{{\"access_token\":\"{new string('a', 90_000)}");
                    await connection.RequestAsync();
                    break;
                default:
                    await connection.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for (int i = 0; i < 100_000; i++) await connection.SendAsync("400\r\n" + new string(' ', 1024) + "\r\n");
                    break;
            }
            return true;
        };
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(OAuthTests.Bootstrap(
            _app.Port, _server.Port, OAuthTests.Config().Replace("timeout: 20s", $"timeout: {(kind is "silent" or "slow" ? "0.3s" : "20s")}", StringComparison.Ordinal)));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        var browser = new Browser(proxy);
        HttpMessage answer = await browser.AskAsync(await Browser.AuthorizeAsync(_server, await browser.AskAsync("/a")));
        Assert.Equal((401, "OAuth flow failed."), (answer.Status, answer.Text));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Who_goes_away_while_the_server_thinks_leaves_nothing_behind()
    {
        var asked = new TaskCompletionSource();
        _server.Lie = async (connection, _) =>
        {
            asked.TrySetResult();
            await connection.RequestAsync();
            return true;
        };
        await using ProxyProcess proxy = await StartAsync();
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        var browser = new Browser(proxy);
        string callback = await Browser.AuthorizeAsync(_server, await browser.AskAsync("/a"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {callback} HTTP/1.1\r\nHost: shop.test\r\nCookie: {browser.Cookies}\r\n\r\n");
            await asked.Task.Within("a question to the token endpoint");
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", 403)]
    [InlineData("Sec-Fetch-Site: cross-site\r\n", 403)]
    [InlineData("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 302)]
    [InlineData("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n", 302)]
    [InlineData("", 302)]
    public async Task Another_site_signs_nobody_out_behind_his_back(string headers, int status)
    {
        await using ProxyProcess proxy = await StartAsync();
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Assert.Equal(status, (await browser.AskAsync("/bye", headers)).Status);
        Assert.Equal(status == 302, browser.Jar.Count == 0);
    }

    [Fact]
    public async Task Very_long_cookies_and_many_are_only_that()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync();
        var browser = new Browser(proxy) { Jar = { ["OauthHMAC"] = new string('a', 20_000), ["OauthExpires"] = new string('9', 5000), ["BearerToken"] = "gcm." + new string('a', 20_000) } };
        Assert.Equal(302, (await browser.AskAsync(path)).Status);
        browser.Jar.Clear();
        for (int i = 0; i < 500; i++) browser.Jar[$"OauthNonce.{i}"] = "x";
        Assert.Equal(302, (await browser.AskAsync(path)).Status);
        HttpMessage bye = await browser.AskAsync("/bye");
        Assert.Equal(302, bye.Status);
        Assert.True(bye.All("set-cookie").Length < 100);
        Assert.Empty(_app.Seen(path));
    }

    [Fact]
    public async Task A_secret_that_changes_is_used_from_then_on_while_requests_run_and_is_never_seen()
    {
        using var folder = new TempFolder();
        string path = _app.Echo();
        void Write(string key) => SdsFile.Write(folder.At("s.json"), ("hmac", key), ("token", "s3cret"));
        Write("first-key-for-cookies");
        string source = $"sds_config: {{ path_config_source: {{ path: {folder.At("s.json")} }} }}";
        string config = OAuthTests.Config(
            "use_refresh_token: false", $"credentials: {{ client_id: shop, token_secret: {{ name: token, {source} }}, hmac_secret: {{ name: hmac, {source} }} }}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(OAuthTests.Bootstrap(_app.Port, _server.Port, config, secrets: ""));
        var browser = new Browser(proxy);
        await browser.SignInAsync(_server);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        Write("second-key-for-cookies");
        int asked = 0;
        await Waiting.UntilAsync(
            async () =>
            {
                HttpMessage answer = await new Browser(proxy) { Jar = { ["x"] = "1" } }.AskAsync(path);
                Assert.Equal(302, answer.Status);
                asked++;
                using RawClient client = await proxy.ConnectAsync();
                return (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: shop.test\r\nCookie: {browser.Cookies}\r\n\r\n")).Status == 302;
            },
            "cookies of the old key are no good");
        Assert.True(asked > 0);
        browser.Jar.Clear();
        await browser.SignInAsync(_server);
        Assert.Equal(200, (await browser.AskAsync(path)).Status);
        string seen = await proxy.Admin.GetStringAsync("/config_dump", TestContext.Current.CancellationToken)
            + await proxy.Admin.GetStringAsync("/stats", TestContext.Current.CancellationToken) + proxy.Child.Output + proxy.Child.Error;
        foreach (string secret in (string[])["first-key", "second-key", "s3cret"]) Assert.DoesNotContain(secret, seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_its_secret_the_filter_refuses_and_goes_on_when_it_comes()
    {
        using var folder = new TempFolder();
        string path = _app.Echo();
        SdsFile.Write(folder.At("s.json"), ("else", "x"));
        string source = $"sds_config: {{ initial_fetch_timeout: 0.2s, path_config_source: {{ path: {folder.At("s.json")} }} }}";
        string config = OAuthTests.Config("", $"credentials: {{ client_id: shop, token_secret: {{ name: token }}, hmac_secret: {{ name: hmac, {source} }} }}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(OAuthTests.Bootstrap(
            _app.Port, _server.Port, config, secrets: "  secrets: [{ name: token, generic_secret: { secret: { inline_string: s3cret } } }]\n"));
        var browser = new Browser(proxy) { Jar = { ["OauthHMAC"] = "x" } };
        Assert.Equal(503, (await browser.AskAsync(path)).Status);
        SdsFile.Write(folder.At("s.json"), ("hmac", "a-key-that-came-late"));
        await Waiting.UntilAsync(async () => (await browser.AskAsync(path)).Status == 302, "the secret is there");
        Assert.Empty(_app.Seen(path));
    }
}

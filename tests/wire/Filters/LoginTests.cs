// Names, passwords, keys, origins and circles: who is let in, who is told what, and what those behind get to see.
using System.Security.Cryptography;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class LoginTests
{
    private static string Sha(string password) =>
        "{SHA}" + Convert.ToBase64String(SHA1.HashData(Encoding.UTF8.GetBytes(password)));

    private static string Basic(string credentials) => $"Authorization: Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials))}\r\n";

    private static Task<ProxyProcess> StartAsync(Cases backend, string filters, string routes = "- { match: { prefix: / }, route: { cluster: backend } }\n") =>
        ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("backend", [backend.Port])], filters: filters));

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string target, string headers, string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"{method} {target} HTTP/1.1\r\nHost: shop.test:80\r\n{headers}\r\n");
    }

    [Fact]
    public async Task Names_and_passwords_are_right_or_nobody_comes_in()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("login", "basic_auth.v3.BasicAuth",
            $"users: {{ inline_string: \"# users\\r\\n\\nann:{Sha("a:b")}\\r\\nb\u00f6b:{Sha("p\u00e4ss")}\\n\" }}, forward_username_header: X-User"));
        foreach ((string headers, int status, string? user) in new[]
        {
            ("", 401, null), (Basic("ann:a:b"), 200, "ann"), (Basic("b\u00f6b:p\u00e4ss"), 200, "b\u00c3\u00b6b"),
            (Basic("ann:a"), 401, null), (Basic("ann:"), 401, null), (Basic("Ann:a:b"), 401, null), (Basic(":a:b"), 401, null), (Basic("nobody:a:b"), 401, null),
            (Basic("ann"), 401, null), ("Authorization: Basic \r\n", 401, null), ("Authorization: Basic YW\u00ff=\r\n", 401, null),
            ("Authorization: Basic YW5u OmE6Yg==\r\n", 401, null), ("Authorization: Basic YW5uOmE6Yg====\r\n", 401, null),
            ("Authorization: Basic YW5uOmE6Yg\r\n", 200, "ann"), ("Authorization: Digest x\r\n", 401, null),
            (Basic("ann:a:b") + Basic("ann:x"), 401, null), (Basic("ann:x") + Basic("ann:a:b"), 401, null),
            (Basic("ann:a:b") + "X-User: root\r\nx-user: root\r\n", 200, "ann"),
        })
        {
            int before = backend.Seen(path).Count;
            HttpMessage answer = await AskAsync(proxy, path, headers);
            Assert.Equal((headers, status), (headers, answer.Status));
            HttpMessage[] seen = [.. backend.Seen(path).Skip(before)];
            if (user is null) Assert.Empty(seen);
            else Assert.Equal([user], seen.Single().All("x-user"));
        }
        Assert.Equal(4, await proxy.StatAsync("http.test.basic_auth.allowed"));
        Assert.Equal(14, await proxy.StatAsync("http.test.basic_auth.denied"));
    }

    [Fact]
    public async Task What_was_asked_for_cannot_break_out_of_the_realm()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("login", "basic_auth.v3.BasicAuth", $"users: {{ inline_string: \"a:{Sha("b")}\" }}"));
        HttpMessage answer = await AskAsync(proxy, "/%22a?x=%22,y", "");
        Assert.Equal(["Basic realm=\"http://shop.test:80/%22a?x=%22,y\""], answer.All("www-authenticate"));
        HttpMessage cut = await AskAsync(proxy, "/" + new string('a', 3000), "");
        Assert.Equal($"Basic realm=\"http://shop.test:80/{new string('a', 255)}\"", cut.Header("www-authenticate"));
    }

    [Fact]
    public async Task Keys_are_looked_for_in_order_and_hidden_in_all_places()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("login", "api_key_auth.v3.ApiKeyAuth",
            "credentials: [{ key: k-one, client: first }, { key: \"k/two\", client: second }], key_sources: [{ header: X-Key }, { query: key }, { cookie: k }], "
            + "forwarding: { header: X-Client, hide_credentials: true }"));
        foreach ((string target, string headers, string? client, string seenTarget, string? cookie) in new[]
        {
            (path, "X-Key: k-one\r\n", "first", path, null),
            (path, "x-key: bearer k-one\r\n", "first", path, null),
            ($"{path}?a=%20b&key=k%2Ftwo&c", "", "second", $"{path}?a=%20b&c", null),
            ($"{path}?%6bey=k-one", "", "first", path, null),
            (path, "Cookie: a=1; k=\"k-one\"\r\nCookie: b=2\r\n", "first", path, "a=1; b=2"),
            ($"{path}?key=zz", "X-Key: k-one\r\nCookie: k=zz\r\n", "first", path, null),
            (path, "X-Key: k-one\r\nX-Client: root\r\n", "first", path, null),
            (path, "", null, "", null),
            (path, "X-Key: \r\n", null, "", null),
            (path, "X-Key: K-ONE\r\n", null, "", null),
            (path, "X-Key: k-one, k-one\r\n", null, "", null),
            (path, "X-Key: k-one\r\nX-Key: zz\r\n", null, "", null),
            (path, "X-Key: zz\r\nX-Key: k-one\r\n", null, "", null),
            ($"{path}?key=k-one&key=zz", "", null, "", null),
            ($"{path}?key=zz", "Cookie: k=k-one\r\n", null, "", null),
            ($"{path}?akey=k-one", "", null, "", null),
        })
        {
            int before = backend.Witness.Requests.Count;
            HttpMessage answer = await AskAsync(proxy, target, headers);
            Assert.Equal((target + headers, client is null ? 401 : 200), (target + headers, answer.Status));
            HttpMessage[] seen = [.. backend.Witness.Requests.Skip(before)];
            if (client is null)
            {
                Assert.Equal("Client authentication failed.", answer.Text);
                Assert.Empty(seen);
                continue;
            }
            Assert.Equal((client, seenTarget, cookie, false),
                (string.Join(',', seen.Single().All("x-client")), seen.Single().Target, seen.Single().Header("cookie"), seen.Single().Has("x-key")));
        }
    }

    [Fact]
    public async Task Changes_come_from_pages_of_the_same_host()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("csrf", "csrf.v3.CsrfPolicy",
            "filter_enabled: { default_value: { numerator: 100 } }, additional_origins: [{ suffix: .friends.test }]"));
        foreach ((string method, string headers, int status) in new[]
        {
            ("POST", "Origin: http://shop.test:80\r\n", 200), ("POST", "Origin: http://a.friends.test\r\n", 200), ("PUT", "Referer: http://shop.test:80/x\r\n", 200),
            ("GET", "Origin: http://evil.test\r\n", 200), ("POST", "Origin: http://shop.test\r\n", 403), ("POST", "Origin: http://shop.test:81\r\n", 403),
            ("post", "Origin: http://evil.test\r\n", 400), ("PATCH", "", 403), ("POST", "Origin: null\r\nReferer: http://shop.test:80/\r\n", 403),
            ("POST", "Origin: http://shop.test:80\r\nOrigin: http://evil.test\r\n", 403), ("POST", "Origin: http://evil.test\r\nReferer: http://shop.test:80/\r\n", 403),
            ("POST", "Origin: http://shop.test:80@evil.test\r\n", 403), ("POST", "Origin: http://evil.test#.friends.test\r\n", 403),
            ("POST", "Origin: http://evil.test/.friends.test\r\n", 403), ("POST", "Origin: shop.test:80\r\n", 403), ("DELETE", "Origin: ://shop.test:80\r\n", 403),
            ("POST", "Origin: http://shop.test:80, http://evil.test\r\n", 403),
        })
        {
            HttpMessage answer = await AskAsync(proxy, path, headers + (method == "GET" ? "" : "Content-Length: 0\r\n"), method);
            Assert.Equal((method + headers, status), (method + headers, answer.Status));
        }
    }

    [Fact]
    public async Task A_request_that_went_in_a_circle_is_refused()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("loop", "cdn_loop.v3.CdnLoopConfig", "cdn_id: edge.test"));
        foreach ((string headers, int status, string? seen) in new[]
        {
            ("", 200, "edge.test"), ("CDN-Loop: , ,\r\n", 200, ", ,,edge.test"), ("CDN-Loop: other.test;a=\"x,edge.test\"\r\n", 200, "other.test;a=\"x,edge.test\",edge.test"),
            ("CDN-Loop: edge.test\r\n", 502, null), ("cdn-loop: a\r\ncdn-loop: b, edge.test ; v=1\r\n", 502, null), ("CDN-Loop: a b\r\n", 400, null),
            ("CDN-Loop: a;\r\n", 400, null), ("CDN-Loop: a;b=\"\r\n", 400, null), ("CDN-Loop: [::1]:80, 1.2.3.4:9\r\n", 200, "[::1]:80, 1.2.3.4:9,edge.test"),
        })
        {
            int before = backend.Seen(path).Count;
            Assert.Equal((headers, status), (headers, (await AskAsync(proxy, path, headers)).Status));
            if (seen is not null) Assert.Equal([seen], backend.Seen(path)[before].All("cdn-loop"));
        }
    }
}

// Clients that stay with an endpoint (Envoy docs: stateful session): what a cookie or header names is used only where the cluster has it,
// whatever a client writes into it.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class StatefulSessionTests
{
    private const string Types = "type.googleapis.com/envoy.extensions.";

    private static string Filter(string state, string more = "") =>
        $"{{ name: s, typed_config: {{ \"@type\": {Types}filters.http.stateful_session.v3.StatefulSession{more}, " +
        $"session_state: {{ name: st, typed_config: {{ \"@type\": {Types}http.stateful_session.{state} }} }} }} }}";

    private static string Base64(string text) => Convert.ToBase64String(Encoding.Latin1.GetBytes(text));

    private static Task<HttpMessage> AskAsync(RawClient client, string headers, string path = "/") =>
        client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");

    private static Cases Saying(string body)
    {
        var backend = new Cases();
        backend.At("/", async (connection, _) =>
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}"));
        return backend;
    }

    private static string Bootstrap(string filter, params int[] ports) => Bootstraps.Many("""
        - match: { prefix: "/" }
          route: { cluster: c }
        """, [new TestCluster("c", ports)], filters: "- " + filter);

    [Fact]
    public async Task A_client_gets_a_cookie_and_comes_back_to_its_endpoint_with_it()
    {
        await using Cases a = Saying("a"), b = Saying("b");
        string bootstrap = Bootstrap(Filter("cookie.v3.CookieBasedSessionState, cookie: { name: sid, ttl: 60s, path: / }"), a.Port, b.Port);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            HttpMessage first = await AskAsync(client, "");
            string cookie = Assert.Single(first.All("set-cookie"));
            Assert.Matches("^sid=\"[A-Za-z0-9+/=]+\"; Max-Age=60; Path=/; HttpOnly$", cookie);
            for (int i = 0; i < 4; i++)
            {
                HttpMessage again = await AskAsync(client, $"Cookie: {cookie.Split(';')[0]}\r\n");
                Assert.Equal(first.Text, again.Text);
                Assert.False(again.Has("set-cookie"));
            }
            // One whose time is over is as none.
            string old = Base64($"\x0a\x0f127.0.0.1:{a.Port:00000}\x10\x01");
            Assert.True((await AskAsync(client, $"Cookie: sid={old}\r\n")).Has("set-cookie"));
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Whatever_a_client_writes_it_reaches_endpoints_of_the_cluster_only()
    {
        await using Cases a = Saying("a"), other = Saying("other");
        string bootstrap = Bootstrap(Filter("cookie.v3.CookieBasedSessionState, cookie: { name: sid }"), a.Port);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            foreach (string value in (string[])[Base64($"\x0a\x0f127.0.0.1:{other.Port}"), Base64($"127.0.0.1:{other.Port}"),
                Base64("\x0a\xff"), Base64("\x0a"), Base64("\x0a\x00\x10"),
                Base64($"\x0a\x0f127.0.0.1:{a.Port}\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Base64("[::1"), Base64("::1"),
                    Base64("localhost:80"), Base64("127.0.0.1"),
                Base64("127.0.0.1:99999"), "", "=", "====", "a", new string('A', 256), new string('A', 4000), "\"", "\"\"", "\u00ff\u00fe"])
            {
                HttpMessage answer = await AskAsync(client, $"Cookie: sid={value}\r\n");
                Assert.Equal((200, "a"), (answer.Status, answer.Text));
                Assert.Single(answer.All("set-cookie"));
            }
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_strict_session_has_nobody_else()
    {
        await using Cases a = Saying("a"), b = Saying("b");
        string bootstrap = Bootstrap(Filter("header.v3.HeaderBasedSessionState, name: x-session", ", strict: true"), a.Port, b.Port);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            for (int i = 0; i < 3; i++) Assert.Equal("b", (await AskAsync(client, $"x-session: {Base64($"127.0.0.1:{b.Port}")}\r\n")).Text);
            HttpMessage refused = await AskAsync(client, $"x-session: {Base64("127.0.0.1:1")}\r\n");
            Assert.Equal(503, refused.Status);
            Assert.False(refused.Has("x-session"));
            HttpMessage first = await AskAsync(client, "");
            Assert.Equal(Base64($"127.0.0.1:{(first.Text == "a" ? a : b).Port}"), first.Header("x-session"));
        }
        await proxy.SettleAsync(before);
    }
}

// Hashing balancers on the wire: one key, one endpoint, whatever a client writes into it; and the cookie that is made for a client without one.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class HashBalancingTests
{
    [Theory]
    [InlineData("lb_policy: RING_HASH")]
    [InlineData("lb_policy: MAGLEV")]
    public async Task A_key_has_its_endpoint_and_a_made_cookie_leads_back_to_it(string policy)
    {
        Cases[] backends = [.. Enumerable.Range(0, 4).Select(_ => new Cases())];
        for (int i = 0; i < backends.Length; i++)
        {
            string name = $"b{i}";
            backends[i].At("/", async (connection, _) => await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{name}"));
        }
        const string Routes = """
            - match: { prefix: "/", headers: [{ name: x-key, present_match: true }] }
              route: { cluster: hashed, hash_policy: [{ header: { header_name: x-key } }] }
            - match: { prefix: "/" }
              route: { cluster: hashed, hash_policy: [{ cookie: { name: stick, ttl: 60s, path: /p } }] }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes, [new TestCluster("hashed", [.. backends.Select(b => b.Port)], policy)]));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        var reached = new HashSet<string>();
        using (RawClient client = await proxy.ConnectAsync())
        {
            foreach (string key in (string[])["", "a", "\u00ff\u00fe", "a b", new string('k', 4000), "1", "2", "3", "4", "5", "6", "7", "8"])
            {
                string first = (await AskAsync(client, $"x-key: {key}\r\n")).Text;
                Assert.Equal(first, (await AskAsync(client, $"x-key: {key}\r\n")).Text);
                reached.Add(first);
            }
            // The order of lines does not matter.
            Assert.Equal((await AskAsync(client, "x-key: one\r\nx-key: two\r\n")).Text, (await AskAsync(client, "x-key: two\r\nx-key: one\r\n")).Text);
            Assert.True(reached.Count > 1);

            HttpMessage made = await AskAsync(client, "");
            string cookie = Assert.Single(made.All("set-cookie"));
            Assert.Matches("^stick=\"[0-9a-f]{16}\"; Max-Age=60; Path=/p; HttpOnly$", cookie);
            HttpMessage again = await AskAsync(client, $"Cookie: a=1; {cookie.Split(';')[0]}\r\n");
            Assert.False(again.Has("set-cookie"));
            Assert.Equal(made.Text, again.Text);
            Assert.False((await AskAsync(client, "Cookie: stick=\r\n")).Has("set-cookie"));
        }
        await proxy.SettleAsync(before);
        foreach (Cases backend in backends) await backend.DisposeAsync();

        static Task<HttpMessage> AskAsync(RawClient client, string headers) => client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    }

    [Fact]
    public async Task A_policy_behind_a_terminal_one_that_gave_a_hash_makes_no_cookie()
    {
        await using var backend = new Cases();
        backend.At("/", async (connection, _) => await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        const string Routes = """
            - match: { prefix: "/" }
              route: { cluster: hashed,
                  hash_policy: [{ header: { header_name: x-key }, terminal: true }, { cookie: { name: stick, ttl: 60s } }] }
            """;
        await using ProxyProcess proxy =
            await ProxyProcess.StartAsync(Bootstraps.Many(Routes, [new TestCluster("hashed", [backend.Port], "lb_policy: RING_HASH")]));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            Assert.False((await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-key: 1\r\n\r\n")).Has("set-cookie"));
            Assert.True((await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Has("set-cookie"));
        }
        await proxy.SettleAsync(before);
    }
}

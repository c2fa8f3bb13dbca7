// Attacks that cost the attacker little: none may cost the proxy much, stop it, or hurt a bystander.
// Bounds are bytes and answers; the canary is an ordinary client beside the attack.
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class TortureTests
{
    private const long Budget = 48L << 20;

    private static async Task CanaryAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 5; i++) Assert.Equal(200, (await client.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n")).Status);
    }

    [Fact]
    public async Task Pipelined_requests_whose_answers_nobody_reads_do_not_pile_up()
    {
        string body = new('b', 1 << 20);
        await using var backend = new Cases();
        backend.Witness.KeepsBytes = false;
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port), new ProxyOptions { Concurrency = 1 });
        await CanaryAsync(proxy);
        long before = proxy.Child.ResidentBytes;
        var attackers = new List<RawClient>();
        byte[] request = Encoding.Latin1.GetBytes($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        byte[] many = [.. Enumerable.Range(0, 1_000).SelectMany(_ => request)];
        for (int i = 0; i < 10; i++)
        {
            RawClient client = await proxy.ConnectAsync();
            attackers.Add(client);
            client.Socket.Blocking = false;
            try
            {
                // As much as the proxy takes without anybody reading.
                for (int at = 0; at < many.Length;) at += client.Socket.Send(many.AsSpan(at));
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                // Held back, as it should be.
            }
        }
        await CanaryAsync(proxy);
        await CanaryAsync(proxy);
        Assert.True(proxy.Child.ResidentBytes - before < Budget, $"grew by {proxy.Child.ResidentBytes - before}");
        foreach (RawClient client in attackers) client.Reset();
        await CanaryAsync(proxy);
    }

    [Fact]
    public async Task A_thousand_heads_that_never_end_are_cleared_away()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, "request_headers_timeout: 1s"));
        await CanaryAsync(proxy);
        var attackers = new List<RawClient>();
        for (int i = 0; i < 1_000; i++)
        {
            RawClient client = await proxy.ConnectAsync();
            attackers.Add(client);
            await client.SendAsync($"GET /{i} HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        }
        await CanaryAsync(proxy);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_active") <= 2, "slow heads to be cleared away");
        foreach (RawClient client in attackers) client.Dispose();
        await CanaryAsync(proxy);
    }

    [Fact]
    public async Task A_body_in_one_byte_chunks_costs_no_memory()
    {
        await using var backend = new Cases();
        backend.Witness.KeepsBytes = false;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port), new ProxyOptions { Concurrency = 1 });
        await CanaryAsync(proxy);
        long before = proxy.Child.ResidentBytes;
        string path = backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        string piece = string.Concat(Enumerable.Repeat("1\r\na\r\n", 1_000));
        for (int i = 0; i < 200; i++) await client.SendAsync(piece);
        await client.SendAsync("0\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        Assert.True(proxy.Child.ResidentBytes - before < Budget, $"grew by {proxy.Child.ResidentBytes - before}");
        Assert.Equal(200_000, Assert.Single(backend.Seen(path)).Body.Length);
    }

    [Fact]
    public async Task A_regular_expression_cannot_be_made_to_think_for_ever()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { safe_regex: { regex: "/(a+)+b" } }
              direct_response: { status: 204 }
            - match: { prefix: "/h", headers: [{ name: x-re, string_match: { safe_regex: { regex: "(x+x+)+y" } } }] }
              direct_response: { status: 204 }
            - match: { prefix: "/" }
              route: { cluster: backend }
            """, [new TestCluster("backend", [backend.Port])]), new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(200, (await client.ExchangeAsync($"GET /{new string('a', 40_000)} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            Assert.Equal(200, (await client.ExchangeAsync($"GET /h HTTP/1.1\r\nHost: x\r\nX-Re: {new string('x', 40_000)}\r\n\r\n")).Status);
        }
        await CanaryAsync(proxy);
    }

    [Theory]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 1e99")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: -1")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 99999999999999999999")]
    [InlineData("x-envoy-upstream-rq-per-try-timeout-ms: 18446744073709551616")]
    [InlineData("x-envoy-max-retries: 4294967296")]
    [InlineData("x-envoy-retry-on: ,,,5xx,\u00ff")]
    [InlineData("grpc-timeout: 99999999H")]
    [InlineData("x-forwarded-for: ,,,,")]
    [InlineData("x-request-id: not-a-guid")]
    [InlineData("max-forwards: -1")]
    public async Task Odd_numbers_in_our_own_headers_are_clamped_or_passed_over(string header)
    {
        await using var backend = new Cases();
        foreach (string manager in new[] { "", "use_remote_address: true" })
        {
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, manager), new ProxyOptions { Concurrency = 1 });
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
            Assert.True(answer.Status == 200, $"{manager}: {answer}");
            await CanaryAsync(proxy);
        }
    }

    [Fact]
    public async Task Clients_that_reset_at_any_moment_stop_nobody()
    {
        await using var backend = new Cases();
        string echo = backend.Echo();
        string large = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{new string('l', 3_000_000)}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port));
        string[] starts =
        [
            "", "G", "GET / HT", $"GET {echo} HTTP/1.1\r\nHost: x\r\n\r\n", $"POST {echo} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
            $"POST {echo} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", $"GET {large} HTTP/1.1\r\nHost: x\r\n\r\n",
            $"POST {echo} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        ];
        await using var canary = Load.Start(proxy.Address, connections: 1);
        for (int i = 0; i < 400; i++)
        {
            RawClient client = await proxy.ConnectAsync();
            string start = starts[i % starts.Length];
            if (start.Length > 0) await client.SendAsync(start);
            if (i % 3 == 0) client.Dispose();
            else client.Reset();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_active") <= 1, "the connections to be gone");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") <= 1, "the requests to be gone");
        Assert.Empty((await canary.StopAsync()).Failures);
    }

    [Fact]
    public async Task Backends_that_reset_at_any_moment_stop_nobody()
    {
        int n = 0;
        await using var hostile = new Witness(async c =>
        {
            int kind = Interlocked.Increment(ref n) % 6;
            if (kind == 0)
            {
                c.Reset();
                return;
            }
            if (await c.Reader.HeadAsync() is null) return;
            string[] starts = ["", "H", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"];
            await c.SendAsync(starts[kind - 1]);
            c.Reset();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(hostile.Port));
        for (int i = 0; i < 300; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            string all = await client.RestAsync();
            Assert.True(all.StartsWith("HTTP/1.1 50", StringComparison.Ordinal) || all.StartsWith("HTTP/1.1 200", StringComparison.Ordinal) || all.Length == 0, all);
        }
        Assert.False(proxy.Child.HasExited);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_cx_active") == 0, "the connections to be gone");
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }
}

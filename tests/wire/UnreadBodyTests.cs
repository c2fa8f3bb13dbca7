// Every reason for which a request ends before its content was read, times every way in which the content comes, on a worker with a past:
// one request in, one answer out. The content spells a request; it must stay content. What comes after it is the next request, unless the
// answer said that the connection ends. Nobody else notices, and everything that was handed out is back.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>Routes that end in every way, to backends that do not read.</summary>
public sealed class UnreadBodyFixture : IAsyncLifetime
{
    public ProxyProcess Proxy { get; private set; } = null!;
    public Cases One { get; } = new();
    public Http2Backend Two { get; } = new();

    public async ValueTask InitializeAsync()
    {
        One.At("/silent", async (c, _) => await c.Reader.RestAsync());
        One.At("/dies", (c, _) =>
        {
            c.Close();
            return Task.CompletedTask;
        });
        One.At("/resets", (c, _) =>
        {
            c.Reset();
            return Task.CompletedTask;
        });
        One.At("/garbage", async (c, _) =>
        {
            await c.SendAsync("this is no answer\r\n\r\n");
            await c.Reader.RestAsync();
        });
        One.At("/early", async (c, head) =>
        {
            await c.SendAsync("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
            await c.Reader.RequestBodyAsync(head);
        });
        Two.At("/h2resets", (peer, request) => peer.ResetAsync(request.Id));
        Two.At("/h2early", (peer, request) => peer.HeadersAsync(request.Id, [(":status", "413")], end: true));
        Two.At("/h2dies", (peer, _) =>
        {
            peer.Abort();
            return Task.CompletedTask;
        });
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts("""
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/direct" }
                direct_response: { status: 403, body: { inline_string: "no" } }
              - match: { prefix: "/redirect" }
                redirect: { path_redirect: "/there" }
              - match: { prefix: "/unknown" }
                route: { cluster: nowhere }
              - match: { prefix: "/empty" }
                route: { cluster: empty }
              - match: { prefix: "/overflow" }
                route: { cluster: overflow }
              - match: { prefix: "/down" }
                route: { cluster: down }
              - match: { path: "/silent/try" }
                route: { cluster: one, timeout: 20s, retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: 0.2s } }
              - match: { prefix: "/silent" }
                route: { cluster: one, timeout: 0.2s }
              - match: { prefix: "/h2" }
                route: { cluster: two }
              - match: { safe_regex: { regex: "/(ok|dies|resets|garbage|early)(/.*)?" } }
                route: { cluster: one }
            """,
            [
                new TestCluster("one", [One.Port]), new TestCluster("two", [Two.Port], Bootstraps.Http2Cluster), new TestCluster("empty", []),
                new TestCluster("down", [Loopback.FreePort()]),
                new TestCluster("overflow", [One.Port], "circuit_breakers: { thresholds: [{ max_connections: 0, max_pending_requests: 0, max_requests: 0 }] }"),
            ], routeConfig: "validate_clusters: false"));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await One.DisposeAsync();
        await Two.DisposeAsync();
    }
}

public sealed class UnreadBodyTests(UnreadBodyFixture fixture) : IClassFixture<UnreadBodyFixture>
{
    private static int s_next;

    private static readonly Dictionary<string, int> s_reasons = new()
    {
        ["/none"] = 404,
        ["/direct"] = 403,
        ["/redirect"] = 301,
        ["/unknown"] = 503,
        ["/empty"] = 503,
        ["/overflow"] = 503,
        ["/down"] = 503,
        ["/dies"] = 503,
        ["/resets"] = 503,
        ["/garbage"] = 502,
        ["/early"] = 413,
        ["/h2resets"] = 503,
        ["/h2early"] = 413,
        ["/h2dies"] = 503,
        ["/silent"] = 504,
        ["/silent/try"] = 504,
    };

    // A time for the answer begins when the request is whole, so these two are asked with whole requests only.
    private static bool WaitsForTheWhole(string reason) => reason.StartsWith("/silent", StringComparison.Ordinal);

    /// <summary>Reasons by ways of the content: framing, and whether it comes with the head or after the answer.</summary>
    public static TheoryData<string, string, bool> Matrix(params string[] framings)
    {
        var rows = new TheoryData<string, string, bool>();
        foreach (string reason in s_reasons.Keys)
            foreach (string framing in framings)
                foreach (bool late in new[] { false, true })
                    if (!(late && WaitsForTheWhole(reason))) rows.Add(reason, framing, late);
        return rows;
    }

    public static TheoryData<string, string, bool> OverHttp1 => Matrix("length", "chunks");

    public static TheoryData<string, string, bool> OverHttp2 => Matrix("frames", "frames and trailers");

    // A backend that answers without reading may find these bytes in its buffer and take them for a request: what the proxy made a request of has
    // a request id.
    private static string Smuggled(string next) => $"GET {next}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

    [Theory]
    [MemberData(nameof(OverHttp1))]
    public async Task One_request_of_http1_has_one_answer_and_its_content_is_no_request(string reason, string framing, bool late)
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        string next = $"/ok/next{Interlocked.Increment(ref s_next)}";
        string content = Smuggled(next);
        await using (Canary canary = await Canary.SetOutAsync(fixture.Proxy))
        {
            using RawClient client = await fixture.Proxy.ConnectAsync();
            string head = $"POST {reason} HTTP/1.1\r\nHost: x\r\n{(framing == "length" ? $"Content-Length: {content.Length}" : "Transfer-Encoding: chunked")}\r\n\r\n";
            string rest = (framing == "length" ? content : $"{content.Length:x}\r\n{content}\r\n0\r\n\r\n") + $"GET {next} HTTP/1.1\r\nHost: x\r\n\r\n";
            await client.SendAsync(late ? head : head + rest);
            HttpMessage answer = await client.ResponseAsync("POST");
            Assert.Equal(s_reasons[reason], answer.Status);
            if (late) await client.TrySendAsync(rest);
            if (answer.Header("connection") == "close")
            {
                Assert.Equal("", await client.RestAsync());
                Assert.DoesNotContain(fixture.One.Seen("/ok"), r => r.Target == next);
            }
            else
            {
                HttpMessage second = await client.ResponseAsync();
                Assert.Equal(200, second.Status);
                Assert.StartsWith($"GET {next} HTTP/1.1\n", second.Text);
            }
        }
        Assert.DoesNotContain(fixture.One.Seen("/ok"), r => r.Target == next + "/smuggled" && r.Has("x-request-id"));
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(OverHttp2))]
    public async Task One_stream_has_one_answer_and_its_content_stays_its_own(string reason, string framing, bool late)
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        string next = $"/ok/next{Interlocked.Increment(ref s_next)}";
        await using (Canary canary = await Canary.SetOutAsync(fixture.Proxy))
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
            int id = await client.OpenAsync("POST", reason, end: false);
            if (late) Assert.Equal(s_reasons[reason], (await client.HeadAsync(id)).Status);
            await client.DataAsync(id, Smuggled(next), end: framing == "frames");
            if (framing != "frames") await client.HeadersAsync(id, [("x-trailer", Smuggled(next).Split('\r')[0])], end: true);
            Http2Message answer = await client.EndAsync(id);
            Assert.True(answer.Ended, answer.ToString());
            Assert.Equal(s_reasons[reason], answer.Status);
            Http2Message second = await client.ExchangeAsync("GET", next);
            Assert.True(second is { Status: 200, Ended: true }, second.ToString());
            Assert.StartsWith($"GET {next} HTTP/1.1\n", second.Text);
        }
        Assert.DoesNotContain(fixture.One.Seen("/ok"), r => r.Target == next + "/smuggled" && r.Has("x-request-id"));
        await fixture.Proxy.SettleAsync(before);
    }

    /// <summary>Somebody else on the same worker, in the middle of a head with a secret in it while the case runs: gets exactly its own answer.</summary>
    private sealed class Canary : IAsyncDisposable
    {
        private readonly RawClient _client;
        private readonly string _name;

        private Canary(RawClient client, string name)
        {
            _client = client;
            _name = name;
        }

        public static async Task<Canary> SetOutAsync(ProxyProcess proxy)
        {
            string name = $"canary{Interlocked.Increment(ref s_next)}";
            RawClient client = await RawClient.ConnectAsync(proxy.Address);
            HttpMessage first = await client.ExchangeAsync($"GET /ok/{name} HTTP/1.1\r\nHost: {name}\r\n\r\n");
            Assert.Equal(200, first.Status);
            await client.SendAsync($"GET /ok/{name} HTTP/1.1\r\nHost: {name}\r\nCookie: {name}=secret");
            return new Canary(client, name);
        }

        public async ValueTask DisposeAsync()
        {
            await _client.SendAsync("\r\n\r\n");
            HttpMessage answer = await _client.ResponseAsync();
            string[] lines = answer.Text.Split('\n');
            Assert.Equal($"GET /ok/{_name} HTTP/1.1", lines[0]);
            Assert.Single(lines, l => l.Equals($"Cookie: {_name}=secret", StringComparison.OrdinalIgnoreCase));
            _client.Dispose();
        }
    }
}

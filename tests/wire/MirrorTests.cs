// Copies of requests: what they carry, when they go out, and that the request and its client never notice them.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class MirrorTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Config(int main, int mirror, string policy = "cluster: mirror", string cluster = "", string route = "") =>
        Bootstraps.Many($"""
            - match: {"{ prefix: / }"}
              route:
                cluster: backend
                request_mirror_policies:
                - {"{ " + policy + " }"}
            {Bootstraps.Indent(route, 4)}
            """, [new TestCluster("backend", [main]), new TestCluster("mirror", [mirror], cluster)]);

    private static Task SeenAsync(Witness witness, int requests) => Waiting.UntilAsync(() => witness.Requests.Count >= requests, $"{requests} copies");

    // Nobody waits for it who would give it up.
    [Fact]
    public async Task A_copy_that_is_never_answered_ends_when_nothing_moves_whatever_time_the_request_has()
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Witness(async c => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port, route: "timeout: 0s\nidle_timeout: 0.3s"), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.mirror.upstream_rq_total") == 1, "the copy to be out");
        }
        await proxy.SettleAsync(before);
        Assert.Equal(0, await proxy.StatAsync("cluster.mirror.upstream_rq_active"));
    }

    [Theory]
    [InlineData("POST /a HTTP/1.1\r\nHost: one.example:8080\r\nContent-Length: 5\r\n\r\nhello", "hello")]
    [InlineData("POST /a HTTP/1.1\r\nHost: one.example:8080\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello")]
    [InlineData("GET /a HTTP/1.1\r\nHost: one.example:8080\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", "")]
    public async Task A_copy_is_the_request_with_another_host(string request, string body)
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Witness(Witness.Always("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            HttpMessage answer = await client.ExchangeAsync(request);
            Assert.Equal(200, answer.Status);
            await SeenAsync(mirror, 1);
        }
        HttpMessage copy = mirror.Requests[0];
        Assert.Equal(main.Requests[0].StartLine, copy.StartLine);
        Assert.Equal("one.example-shadow:8080", copy.Header("host"));
        Assert.Equal("true", copy.Header("x-envoy-internal"));
        Assert.Equal(body, copy.Text);
        Assert.Equal(body.Length > 0 ? [$"{body.Length}"] : [], copy.All("content-length"));
        Assert.Single(copy.All("x-forwarded-for"));
        if (request.Contains("X-Forwarded-For", StringComparison.Ordinal)) Assert.StartsWith("192.0.2.1,", copy.Header("x-forwarded-for"));
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.mirror.upstream_rq_500") == 1, "the copy's answer is counted");
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_rq_5xx"));
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_total"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("cluster: mirror, disable_shadow_host_suffix_append: true", "one.example")]
    [InlineData("cluster: mirror, host_rewrite_literal: other.example", "other.example")]
    [InlineData("cluster_header: x-copy", "one.example-shadow")]
    public async Task A_policy_says_what_the_host_of_a_copy_is(string policy, string host)
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Witness(Witness.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port, policy), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: one.example\r\nx-copy: mirror\r\n\r\n");
        await SeenAsync(mirror, 1);
        Assert.Equal(host, mirror.Requests[0].Header("host"));
    }

    // What became of three copies: their answers by status, connections that could not be made, and copies that the mirror's end cut off.
    [Theory]
    [InlineData("silent", 0, 0)]
    [InlineData("close", 0, 0)]
    [InlineData("dead", 0, 3)]
    [InlineData("endless", 3, 0)]
    public async Task A_client_never_waits_for_a_copy_and_copies_are_made_all_the_same(string kind, int answered, int unreachable)
    {
        await using var main = new Witness(Witness.Echo);
        var release = new TaskCompletionSource();
        await using var mirror = new Witness(async c =>
        {
            if (await c.RequestAsync() is null || kind == "close") return;
            if (kind == "silent") await release.Task;
            else await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while (kind == "endless") await c.SendAsync("8000\r\n" + new string('x', 0x8000) + "\r\n");
        });
        int port = kind == "dead" ? Loopback.FreePort() : mirror.Port;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, port, route: "timeout: 300s"), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            for (int i = 0; i < 3; i++)
            {
                HttpMessage answer = await client.ExchangeAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
                Assert.Equal(200, answer.Status);
            }
        }
        if (kind != "dead")
        {
            await SeenAsync(mirror, 3);
            Assert.All(mirror.Requests, copy => Assert.Equal("hi", copy.Text));
            // Each on its own connection: none had an answer by which its connection could be used again.
            Assert.Equal(3, mirror.Connections.Count);
        }
        // The client has its answers while the mirror still has the copies in its hands.
        if (kind == "silent") Assert.Equal(3, await proxy.StatAsync("cluster.mirror.upstream_rq_active"));
        release.SetResult();
        await proxy.SettleAsync(before);
        Assert.Equal((answered, unreachable, 0),
            (await proxy.StatAsync("cluster.mirror.upstream_rq_200"), await proxy.StatAsync("cluster.mirror.upstream_cx_connect_fail"), await proxy.StatAsync("cluster.mirror.upstream_rq_active")));
        Assert.Equal(3, main.Requests.Count);
    }

    [Fact]
    public async Task A_request_that_does_not_end_has_no_copy()
    {
        await using var main = new Witness(async c => await c.SendAsync("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        await using var mirror = new Witness(Witness.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
            Assert.Equal(403, (await client.ResponseAsync("POST")).Status);
        }
        await proxy.SettleAsync(before);
        Assert.Equal(0, await proxy.StatAsync("cluster.mirror.upstream_rq_total"));
    }

    [Fact]
    public async Task A_copy_goes_over_http2_where_its_cluster_speaks_that()
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Http2Backend();
        mirror.At("/copied", Http2Backend.EchoAsync);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port, cluster: Bootstraps.Http2Cluster), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("POST /copied HTTP/1.1\r\nHost: one.example\r\nContent-Length: 5\r\n\r\nhello");
        await Waiting.UntilAsync(() => mirror.Seen("/copied").Count == 1, "the copy");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.mirror.upstream_rq_200") == 1, "the copy's answer is counted");
    }

    [Fact]
    public async Task A_policy_without_a_cluster_is_refused_by_name()
    {
        using var folder = new TempFolder();
        ProcessResult result = await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("b.yaml", Config(1, 2, "trace_sampled: true")));
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains("request_mirror_policies[0]", result.All, StringComparison.Ordinal);
    }

    // --- together with what else may happen to a request -----------------------------------------------------------------

    [Theory]
    [InlineData(100, false)]
    [InlineData(100, true)]
    [InlineData(200_000, false)]
    [InlineData(200_000, true)]
    [InlineData(900_000, false)]
    public async Task A_request_that_is_tried_again_has_one_copy_with_all_of_its_body(int length, bool chunked)
    {
        int tries = 0;
        await using var main = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
                await c.SendAsync($"HTTP/1.1 {(request.Target == "/a" && Interlocked.Increment(ref tries) < 3 ? 503 : 200)} S\r\nContent-Length: 0\r\n\r\n");
        });
        await using var mirror = new Witness(Witness.Echo);
        string retries = "retry_policy: { retry_on: 5xx, num_retries: 3, retry_back_off: { base_interval: 0.001s, max_interval: 0.001s } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port, route: retries), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        string body = Body(length);
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(chunked
                ? $"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                : $"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
            HttpMessage answer = await client.ResponseAsync("POST");
            Assert.Equal(200, answer.Status);
            await SeenAsync(mirror, 1);
            // One more, so that a second copy of the first would be there by now.
            await client.ExchangeAsync("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
            await Waiting.UntilAsync(() => mirror.Requests.Any(r => r.Target == "/b"), "the copy of the second request");
        }
        Assert.Equal((3, true), (tries, main.Requests.Where(r => r.Target == "/a").All(r => r.Text == body)));
        HttpMessage copy = Assert.Single(mirror.Requests, r => r.Target == "/a");
        Assert.True(copy.Text == body, $"{copy.Body.Length} bytes for {length}");
        await proxy.SettleAsync(before);
    }

    private static string Body(int length) => string.Concat(Enumerable.Range(0, (length / 8) + 1).Select(i => $"{i:x8}"))[..length];

    [Theory]
    [InlineData(1024 * 1024, false, true)]
    [InlineData((1024 * 1024) + 1, false, false)]
    [InlineData((1024 * 1024) + 1, true, false)]
    [InlineData(3_000_000, true, false)]
    public async Task A_body_beyond_a_mebibyte_is_not_copied_and_arrives_whole(int length, bool chunked, bool copied)
    {
        await using var main = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request) await c.OkAsync($"{request.Body.Length}");
        });
        await using var mirror = new Witness(Witness.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            string body = Body(length);
            await client.SendAsync(chunked
                ? $"POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                : $"POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
            Assert.Equal($"{length}", (await client.ResponseAsync("POST")).Text);
            await client.ExchangeAsync("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
            await Waiting.UntilAsync(() => mirror.Requests.Any(r => r.Target == "/short"), "the copy of the short request");
        }
        await proxy.SettleAsync(before);
        Assert.Equal(copied ? [length] : [], mirror.Requests.Where(r => r.Target == "/long").Select(r => r.Body.Length));
        Assert.Empty(mirror.Faults);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Trailers_are_no_part_of_a_copy_and_do_not_spoil_it(int down)
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Witness(Witness.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, mirror.Port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        if (down == 1)
        {
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
            Assert.Equal(200, answer.Status);
        }
        else
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
            int id = await client.OpenAsync("POST", "/a", end: false);
            await client.DataAsync(id, "hello");
            await client.HeadersAsync(id, [("x-sum", "7")], end: true);
            Assert.Equal(200, (await client.EndAsync(id)).Status);
        }
        await SeenAsync(mirror, 1);
        Assert.Equal("7", main.Requests[0].Trailers.Single(t => t.Name == "x-sum").Value);
        Assert.Equal(("hello", "5"), (mirror.Requests[0].Text, mirror.Requests[0].Header("content-length")));
        Assert.Empty(mirror.Faults);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("cluster_header: x-copy", "gone")]
    [InlineData("cluster_header: x-copy", "empty")]
    public async Task A_copy_to_nowhere_is_no_copy_and_the_request_goes_on(string policy, string cluster)
    {
        await using var main = new Witness(Witness.Echo);
        string bootstrap = Bootstraps.Many($"""
            - match: {"{ prefix: / }"}
              route: {"{ cluster: backend, request_mirror_policies: [{ " + policy + " }] }"}
            """, [new TestCluster("backend", [main.Port]), new TestCluster("empty", [])]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            HttpMessage answer = await client.ExchangeAsync($"POST / HTTP/1.1\r\nHost: x\r\nx-copy: {cluster}\r\nContent-Length: 2\r\n\r\nhi");
            Assert.Equal(200, answer.Status);
        }
        await proxy.SettleAsync(before);
        if (cluster == "empty") Assert.Equal(1, await proxy.StatAsync("cluster.empty.upstream_cx_none_healthy"));
    }
}

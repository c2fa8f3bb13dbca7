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

    [Theory]
    [InlineData("silent")]
    [InlineData("close")]
    [InlineData("dead")]
    [InlineData("endless")]
    public async Task A_client_never_waits_for_a_copy(string kind)
    {
        await using var main = new Witness(Witness.Echo);
        await using var mirror = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                if (kind == "close") return;
                if (kind == "silent") await c.Reader.RestAsync();
                await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                while (true) await c.SendAsync("8000\r\n" + new string('x', 0x8000) + "\r\n");
            }
        });
        int port = kind == "dead" ? Loopback.FreePort() : mirror.Port;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Config(main.Port, port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            for (int i = 0; i < 3; i++)
            {
                HttpMessage answer = await client.ExchangeAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
                Assert.Equal(200, answer.Status);
            }
        }
        if (kind == "silent") foreach (WitnessConnection connection in mirror.Connections) connection.Close();
        await proxy.SettleAsync(before);
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
}

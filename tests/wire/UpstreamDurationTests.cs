// How long a try may be on its way (Envoy: max_stream_duration of a cluster, x-envoy-upstream-stream-duration-ms of an internal client):
// before an answer it is a try that failed, behind an answer's head it cuts what is on its way.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class UpstreamDurationTests
{
    private const string Life = """
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            common_http_protocol_options: { max_stream_duration: 0.2s }
            explicit_http_config: { PROTOCOL: {} }
        """;

    private static Task<ProxyProcess> StartAsync(int up, int port, bool life = true, string route = "", string manager = "") => ProxyProcess.StartAsync(
        Bootstraps.Many(
            $"- match: {{ path: /slow }}\n  route: {{ cluster: backend, timeout: 0.5s }}\n- match: {{ prefix: / }}\n  route: {{ cluster: backend, timeout: 0s{route} }}",
            [new TestCluster("backend", [port], !life ? "" : Life.Replace("PROTOCOL", up == 2 ? "http2_protocol_options" : "http_protocol_options", StringComparison.Ordinal))],
            manager),
        new ProxyOptions { Concurrency = 1 });

    public static TheoryData<int, string, int> Silences => new()
    {
        { 1, "", 504 }, { 2, "", 504 }, { 1, "Content-Length: 9\r\n", 408 }, { 2, "Content-Length: 9\r\n", 408 },
    };

    [Theory]
    [MemberData(nameof(Silences))]
    public async Task A_try_without_an_answer_ends_with_its_life(int up, string framing, int status)
    {
        await using var old = new Cases();
        await using var next = new Http2Backend();
        string path = up == 1 ? old.Add(async (c, _) => await c.Reader.RestAsync()) : next.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(up, up == 1 ? old.Port : next.Port);
        var before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(status, answer.Status);
        Assert.StartsWith("NARU-T508 ", answer.Header("x-naru-reason"));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_max_duration_reached"));
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_try_whose_life_is_over_may_be_followed_by_another(int up)
    {
        await using var old = new Cases();
        await using var next = new Http2Backend();
        int tries = 0;
        string path = up == 1
            ? old.Add(async (c, _) =>
            {
                if (tries++ == 0) await c.Reader.RestAsync();
                else await c.OkAsync("second");
            })
            : next.Add(async (peer, request) =>
            {
                if (tries++ > 0) await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "second"u8.ToArray());
            });
        await using ProxyProcess proxy = await StartAsync(up, up == 1 ? old.Port : next.Port, route: ", retry_policy: { retry_on: reset, num_retries: 1 }");
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((200, "second"), (answer.Status, answer.Text));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_retry_backoff_exponential"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task An_answer_that_takes_longer_is_cut_and_the_next_request_is_served(int up)
    {
        await using var old = new Cases();
        await using var next = new Http2Backend();
        string path = up == 1
            ? old.Add(async (c, _) =>
            {
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                await c.Reader.RestAsync();
            })
            : next.Add((peer, request) => peer.HeadersAsync(request.Id, [(":status", "200"), ("content-length", "100")]));
        string fine = up == 1 ? old.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") : next.Answer([(":status", "200")], "ok"u8.ToArray());
        await using ProxyProcess proxy = await StartAsync(up, up == 1 ? old.Port : next.Port);
        var before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            Http2Message cut = await peer.ExchangeAsync("GET", path);
            Assert.Equal((200, false), (cut.Status, cut.Ended));
            Assert.Equal("ok", (await peer.ExchangeAsync("GET", fine)).Text);
        }
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_max_duration_reached"));
        await proxy.SettleAsync(before);
    }

    // A client inside says it for its own request, above the cluster's word; 0 is for ever. A stranger's is not heard.
    [Theory]
    [InlineData(true, true, "200", 504)]
    [InlineData(true, false, "50", 504)]
    [InlineData(true, true, "0", 200)]
    [InlineData(false, false, "50", 200)]
    [InlineData(true, false, "x", 200)]
    public async Task A_client_inside_may_say_how_long(bool isInside, bool life, string ms, int status)
    {
        var go = new SemaphoreSlim(0);
        var there = new TaskCompletionSource<bool>();
        await using var old = new Cases();
        string path = old.Add(async (c, head) =>
        {
            there.TrySetResult(head.Has("x-envoy-upstream-stream-duration-ms"));
            if (status == 200) await go.WaitAsync();
            else await c.Reader.RestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using ProxyProcess proxy = await StartAsync(
            1, old.Port, life, manager: isInside ? Inside : "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-stream-duration-ms: {ms}\r\n\r\n");
        // It was said to this proxy alone: the next hop has limits of its own.
        Assert.False(await there.Task.Within("the request to be there"));
        if (status == 200)
        {
            // Longer than any of the limits above.
            using RawClient other = await proxy.ConnectAsync();
            old.At("/slow", async (c, _) => await c.Reader.RestAsync());
            Assert.Equal(504, (await other.ExchangeAsync("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            go.Release();
        }
        Assert.Equal(status, (await client.ResponseAsync()).Status);
    }

    private const string Inside = "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";
}

// Those who wait for an HTTP/2 connection get one, whatever becomes of the connection that they waited for.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class PoolTests
{
    private const string One = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }\n";

    private static string Limits(int requests) => requests == 0 ? One : $$"""
        {{One}}typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            common_http_protocol_options: { max_requests_per_connection: {{requests}} }
            explicit_http_config: { http2_protocol_options: {} }
        """;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public async Task Requests_beyond_what_a_connection_may_carry_go_over_the_next(int most)
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200")]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, route: "timeout: 0s", cluster: Limits(most)), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        var ids = new List<int>();
        for (int i = 0; i < 12; i++) ids.Add(await client.OpenAsync("GET", path));
        foreach (int id in ids) Assert.Equal(200, (await client.EndAsync(id)).Status);
        Assert.Equal(12, backend.Requests.Count);
        Assert.Equal((12 + most - 1) / most, backend.Connections.Count);
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_pending_active"));
    }

    [Fact]
    public async Task Those_who_wait_outlive_connections_that_take_one_stream_and_say_goodbye()
    {
        await using var backend = new Http2Backend((Http2SettingId.MaxConcurrentStreams, 1));
        string path = backend.Add(async (peer, request) =>
        {
            await peer.GoAwayAsync(request.Id);
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200")]);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, route: "timeout: 0s", cluster: One + Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        var ids = new List<int>();
        for (int i = 0; i < 7; i++) ids.Add(await client.OpenAsync("GET", path));
        foreach (int id in ids) Assert.Equal(200, (await client.EndAsync(id)).Status);
    }
}

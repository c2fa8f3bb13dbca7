// Timeouts that grow shorter while the proxy is short of something: those that run already, too.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class OverloadTimeoutTests
{
    // Full pressure from the third connection on.
    private static string Bootstrap(int port, string timers) => Bootstraps.One(port, "common_http_protocol_options: { idle_timeout: 3600s }\nstream_idle_timeout: 3600s") + $$"""

        overload_manager:
          refresh_interval: 0.02s
          resource_monitors:
          - name: envoy.resource_monitors.global_downstream_max_connections
            typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 10 }
          actions:
          - name: envoy.overload_actions.reduce_timeouts
            triggers: [{ name: envoy.resource_monitors.global_downstream_max_connections, scaled: { scaling_threshold: 0.25, saturation_threshold: 0.3 } }]
            typed_config:
              "@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig
              timer_scale_factors: [{{timers}}]
        """;

    private static async Task<ProxyProcess> StartAsync(int port, string timers) => await ProxyProcess.StartAsync(Bootstrap(port, timers));

    [Fact]
    public async Task Idle_connections_go_when_there_are_too_many_and_stay_when_not()
    {
        await using var backend = new Witness();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "{ timer: HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 0.05s }");
        using RawClient one = await proxy.ConnectAsync();
        Assert.Equal(200, (await one.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        using Http2Peer two = await Http2Peer.ConnectAsync(proxy.Address);
        Assert.Equal(200, (await two.ExchangeAsync("GET", "/")).Status);
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_cx_idle_timeout"));
        using RawClient three = await proxy.ConnectAsync();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_idle_timeout") >= 1, "idle connections to be closed");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("overload.envoy.overload_actions.reduce_timeouts.scale_percent") == 0, "the pressure to be gone");
        using RawClient four = await proxy.ConnectAsync();
        Assert.Equal(200, (await four.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Streams_on_which_nothing_moves_go_too(bool http2)
    {
        await using var backend = new Witness(async c => { while (await c.RequestAsync() is not null) { } });
        await using ProxyProcess proxy = await StartAsync(backend.Port, "{ timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_scale: { value: 0 } }");
        using RawClient one = await proxy.ConnectAsync();
        using Http2Peer? peer = http2 ? await Http2Peer.ConnectAsync(proxy.Address) : null;
        int id = peer is null ? 0 : await peer.OpenAsync("GET", "/");
        if (!http2) await one.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 1, "the request to be under way");
        using RawClient two = await proxy.ConnectAsync();
        using RawClient three = await proxy.ConnectAsync();
        if (peer is null) Assert.Equal(504, (await one.ResponseAsync()).Status);
        else Assert.Equal(504, (await peer.EndAsync(id)).Status);
    }

    [Fact]
    public async Task Handshakes_that_do_not_come_to_an_end_go_too()
    {
        TestCertificate own = new TestAuthority("root").Issue(["a.test"]);
        using var folder = new TempFolder();
        folder.Write("own.crt", own.Chain);
        folder.Write("own.key", own.PrivateKey);
        await using var backend = new Witness();
        string certificate = $"{{ certificate_chain: {{ filename: {folder.At("own.crt")} }}, private_key: {{ filename: {folder.At("own.key")} }} }}";
        string context = $"{{ \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{ tls_certificates: [{certificate}] }} }}";
        string text = Bootstrap(backend.Port, "{ timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 0.05s }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text.Replace(
            "- filters:", $"- transport_socket: {{ name: envoy.transport_sockets.tls, typed_config: {context} }}\n      transport_socket_connect_timeout: 3600s\n      filters:", StringComparison.Ordinal));
        using RawClient one = await proxy.ConnectAsync();
        using RawClient two = await proxy.ConnectAsync();
        using RawClient three = await proxy.ConnectAsync();
        Assert.Equal("", await one.RestAsync());
        await Waiting.UntilAsync(async () => await proxy.StatAsync("listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout") >= 1, "the time to be over");
    }
}

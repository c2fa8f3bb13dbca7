// Http2ProtocolOptions on both sides: what is configured is what is said and kept.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class OptionsTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Upstream(string options, string common = "") => $$"""
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            common_http_protocol_options: { {{common}} }
            explicit_http_config: { http2_protocol_options: { {{options}} } }
        """;

    private static Task<ProxyProcess> StartAsync(Http2Backend backend, string down = "", string up = "", string common = "", string cluster = "") =>
        ProxyProcess.StartAsync(Bootstraps.One(backend.Port, down.Length > 0 ? $"http2_protocol_options: {{ {down} }}" : "", "timeout: 0s", Upstream(up, common) + "\n" + cluster), s_oneWorker);

    [Fact]
    public async Task Settings_are_said_as_configured_on_both_sides()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await StartAsync(backend,
            "max_concurrent_streams: 7, initial_stream_window_size: 100000, initial_connection_window_size: 200000, hpack_table_size: 8192",
            "initial_stream_window_size: 70000, initial_connection_window_size: 300000");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/a")).Is(200);
        Assert.Equal(7u, client.PeerSettings[3]);
        Assert.Equal(100_000u, client.PeerSettings[4]);
        Assert.Equal(8192u, client.PeerSettings[1]);
        Assert.Equal(200_000u - 65_535, client.Frames.First(f => f.Type == Http2FrameType.WindowUpdate && f.StreamId == 0).Number());
        Http2Peer up = backend.Connections[0];
        Assert.Equal(0u, up.PeerSettings[2]);
        Assert.Equal(70_000u, up.PeerSettings[4]);
        Assert.Equal(300_000u - 65_535, up.Frames.First(f => f.Type == Http2FrameType.WindowUpdate && f.StreamId == 0).Number());
    }

    [Fact]
    public async Task A_client_keeps_its_number_of_streams_or_is_refused()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend, "max_concurrent_streams: 2");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int first = await client.OpenAsync("GET", path), second = await client.OpenAsync("GET", path), third = await client.OpenAsync("GET", path);
        Assert.Equal(Http2ErrorCode.RefusedStream, (await client.EndAsync(third)).Reset);
        await client.ResetAsync(first);
        (await client.ExchangeAsync("GET", "/a")).Is(200);
        Assert.False(client[second].IsOver);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task More_requests_than_a_backend_takes_get_more_connections(bool backendSays)
    {
        await using var backend = backendSays ? new Http2Backend((Http2SettingId.MaxConcurrentStreams, 2)) : new Http2Backend();
        var release = new TaskCompletionSource();
        string path = backend.Add(async (peer, request) =>
        {
            await release.Task;
            await Http2Backend.EchoAsync(peer, request);
        });
        await using ProxyProcess proxy = await StartAsync(backend, "", backendSays ? "" : "max_concurrent_streams: 2");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/warm")).Is(200);
        int[] ids = new int[7];
        for (int i = 0; i < ids.Length; i++) ids[i] = await client.OpenAsync("GET", path);
        await Waiting.UntilAsync(() => backend.Requests.Count == 8, "all requests to be under way");
        Assert.Equal(4, backend.Connections.Count);
        release.SetResult();
        foreach (int id in ids) (await client.EndAsync(id)).Is(200);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task Where_no_more_connections_are_allowed_requests_wait_their_turn()
    {
        await using var backend = new Http2Backend((Http2SettingId.MaxConcurrentStreams, 3));
        await using ProxyProcess proxy = await StartAsync(backend, cluster: "circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1000 }] }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/warm")).Is(200);
        int[] ids = new int[100];
        for (int i = 0; i < ids.Length; i++) ids[i] = await client.OpenAsync("GET", "/a");
        foreach (int id in ids) (await client.EndAsync(id)).Is(200);
        Assert.Single(backend.Connections);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task Who_waits_beyond_the_breaker_is_503()
    {
        await using var backend = new Http2Backend((Http2SettingId.MaxConcurrentStreams, 1));
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend, cluster: "circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1 }] }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/warm")).Is(200);
        int taken = await client.OpenAsync("GET", path), waits = await client.OpenAsync("GET", path), refused = await client.OpenAsync("GET", path);
        (await client.EndAsync(refused)).Is(503);
        Assert.Equal("true", client[refused].Header("x-envoy-overloaded"));
        Assert.False(client[taken].IsOver || client[waits].IsOver);
        await client.ResetAsync(waits);
        await client.ResetAsync(taken);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task A_backend_that_takes_no_streams_yet_is_waited_for()
    {
        await using var backend = new Http2Backend((Http2SettingId.MaxConcurrentStreams, 1));
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend, cluster: "circuit_breakers: { thresholds: [{ max_connections: 1 }] }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/warm")).Is(200);
        int taken = await client.OpenAsync("GET", path);
        int waits = await client.OpenAsync("GET", "/a");
        await client.PingAsync();
        Assert.False(client[waits].IsOver);
        await backend.Connections[0].SettingsAsync((Http2SettingId.MaxConcurrentStreams, 2));
        (await client.EndAsync(waits)).Is(200);
        Assert.False(client[taken].IsOver);
    }

    [Fact]
    public async Task An_upstream_connection_that_served_its_number_of_requests_is_not_used_again()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await StartAsync(backend, common: "max_requests_per_connection: 2");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 6; i++) (await client.ExchangeAsync("GET", "/a")).Is(200);
        Assert.Equal(3, backend.Connections.Count);
    }

    [Fact]
    public async Task A_client_that_answers_no_pings_is_let_go_and_one_that_does_stays()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend, "connection_keepalive: { interval: 0.1s, timeout: 2s }");
        using Http2Peer alive = await Http2Peer.ConnectAsync(proxy.Address);
        using Http2Peer dead = await Http2Peer.ConnectAsync(proxy.Address);
        await dead.PingAsync();
        dead.Acknowledges = false;
        await dead.OpenAsync("GET", path);
        await dead.ClosedAsync();
        await alive.WaitAsync(() => alive.Frames.Count(f => f.Type == Http2FrameType.Ping) >= 3, "three pings");
        (await alive.ExchangeAsync("GET", "/a")).Is(200);
        Assert.Equal(1, await proxy.StatAsync("http.test.http2.keepalive_timeout") + await proxy.StatAsync("http2.keepalive_timeout"));
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task A_backend_that_answers_no_pings_is_let_go()
    {
        await using var backend = new Http2Backend { OnConnection = peer => peer.Acknowledges = false };
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend, up: "connection_keepalive: { interval: 0.1s, timeout: 0.2s }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        Http2Message answer = await client.ExchangeAsync("GET", path);
        answer.Is(503);
        await backend.Connections[0].ClosedAsync();
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task Windows_that_settings_change_are_kept()
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200")], new byte[100_000]);
        await using ProxyProcess proxy = await StartAsync(backend);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address, (Http2SettingId.InitialWindowSize, 1));
        client.OpensWindows = false;
        int id = await client.OpenAsync("GET", path);
        await client.WaitAsync(() => client[id].Length == 1, "one byte");
        await client.PingAsync();
        Assert.Equal(1, client[id].Length);
        // Below zero: what is given next only fills the hole.
        await client.SettingsAsync((Http2SettingId.InitialWindowSize, 0));
        await client.WindowAsync(id, 1);
        await client.PingAsync();
        Assert.Equal(1, client[id].Length);
        await client.WindowAsync(id, 10);
        await client.WaitAsync(() => client[id].Length == 11, "ten bytes more");
        await client.SettingsAsync((Http2SettingId.InitialWindowSize, 1_000_000));
        await client.WindowAsync(0, 1_000_000);
        (await client.EndAsync(id)).Is(200);
        Assert.Equal(100_000, client[id].Length);
    }
}

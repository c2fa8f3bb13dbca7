// Everything that a peer can make us hold has a bound, in bytes or in time, and whoever stalls harms itself only.
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class BoundTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    // --- time -----------------------------------------------------------------------------------------------------------

    private static readonly byte[] s_begin = [.. Http2FrameHeader.Preface, .. Settings()];
    private static readonly byte[] s_get = Headers(1, Request("GET", "/a"), true);

    // What a client begins and does not end.
    private static readonly Dictionary<string, byte[]> s_unfinished = new()
    {
        ["half a preface"] = Http2FrameHeader.Preface[..10].ToArray(),
        ["a preface"] = Http2FrameHeader.Preface.ToArray(),
        ["half of the first SETTINGS"] = [.. Http2FrameHeader.Preface, .. Settings((Http2SettingId.EnablePush, 0))[..12]],
        ["half a frame header"] = [.. s_begin, .. s_get[..5]],
        ["half a HEADERS frame"] = [.. s_begin, .. s_get[..20]],
        ["a field section without END_HEADERS"] = [.. s_begin, .. Frame(Http2FrameType.Headers, Http2Flags.EndStream, 1, Section(Request("GET", "/a")))],
        ["a field section with half a CONTINUATION"] = [.. s_begin, .. Frame(Http2FrameType.Headers, 0, 1, []), .. Frame(Http2FrameType.Continuation, 0, 1, [1, 2, 3])[..10]],
        ["half an unknown frame"] = [.. s_begin, .. Frame((Http2FrameType)0x77, 0, 0, new byte[10])[..12]],
        ["half of DATA on a stream that was answered"] = [.. s_begin, .. Headers(1, Request("POST", "/none", [("content-length", "3")])), .. Window(1, 0), .. Data(1, "abc"u8)[..10]],
    };

    public static TheoryData<string> Unfinished() => [.. s_unfinished.Keys];

    [Theory]
    [MemberData(nameof(Unfinished))]
    public async Task What_a_client_begins_must_end_in_time(string what)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http1.Port, "codec_type: HTTP2\nrequest_headers_timeout: 0.2s"));
        using Http2Peer client = await SilentAsync(proxy);
        await client.SendAsync(s_unfinished[what]);
        await client.ClosedAsync();
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_header_timeout"));
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task Content_that_comes_slowly_is_waited_for()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http1.Port, "codec_type: HTTP2\nrequest_headers_timeout: 0.2s"));
        string path = fixture.Http1.Echo();
        using Http2Peer slow = await SilentAsync(proxy);
        byte[] data = Data(1, "slow content"u8, true);
        await slow.SendAsync((byte[])[.. s_begin, .. Headers(1, Request("POST", path)), .. data[..12]]);
        await slow.WaitAsync(() => slow.PeerSettings.Count > 0, "the proxy's SETTINGS");
        // Whoever comes later and owes the rest of a head is ended, so the time is over for this one too.
        using Http2Peer late = await SilentAsync(proxy);
        await late.SendAsync(s_unfinished["half a HEADERS frame"]);
        await late.ClosedAsync();
        await slow.SendAsync(data[12..]);
        Http2Message answer = await slow.EndAsync(1);
        Assert.True(answer.Status == 200 && answer.Text.Contains("slow content"), answer.ToString());
    }

    // Answers nothing by itself: that would stand in the middle of what is not ended.
    private static async Task<Http2Peer> SilentAsync(ProxyProcess proxy)
    {
        Http2Peer peer = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: false);
        peer.Acknowledges = peer.OpensWindows = false;
        peer.StartReading();
        return peer;
    }

    [Theory]
    [InlineData("half a frame")]
    [InlineData("a field section without END_HEADERS")]
    public async Task What_an_endpoint_begins_and_does_not_end_is_no_black_hole(string what)
    {
        await using var backend = new Http2Backend();
        string path = backend.Add(async (peer, request) =>
        {
            byte[] head = what == "half a frame" ? Headers(request.Id, [(":status", "200")])[..10] : Frame(Http2FrameType.Headers, 0, request.Id, Section([(":status", "200")]));
            await peer.SendAsync(head);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        Http2Message answer = await client.ExchangeAsync("GET", path);
        // What is not ended is no answer: a fault of the protocol.
        Assert.Equal(502, answer.Status);
        (await client.ExchangeAsync("GET", "/next")).Is(200);
        Assert.Equal(2, backend.Connections.Count);
    }

    // --- heads ----------------------------------------------------------------------------------------------------------

    [Fact]
    public async Task Heads_that_few_bytes_make_large_are_held_up_to_a_bound()
    {
        const int streams = 1000;
        string path = fixture.Http1.Answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(fixture.Http1.Port, "http2_protocol_options: { max_concurrent_streams: 2000 }", "timeout: 0s"), new ProxyOptions { Concurrency = 1 });
        await proxy.StillServesAsync();
        long before = proxy.Child.ResidentBytes;
        // Nothing can leave, so that nothing ends.
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address, (Http2SettingId.InitialWindowSize, 0));
        var first = new MemoryStream();
        first.Write(Section(Request("GET", path)));
        first.Write([0x40, 3, .. "x-a"u8]);
        Integer(first, 0, 7, 3900);
        first.Write(Encoding.ASCII.GetBytes(new string('a', 3900)));
        await client.SendAsync(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders | Http2Flags.EndStream, 1, first.ToArray()));
        byte[] again = [.. Section(Request("GET", path)), .. Enumerable.Repeat((byte)0xbe, 14)];
        var bytes = new MemoryStream();
        for (int i = 1; i < streams; i++) bytes.Write(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders | Http2Flags.EndStream, 2 * i + 1, again));
        await client.TrySendAsync(bytes.ToArray());
        // Refused one by one, or told to calm down and closed.
        await client.ClosedAsync();
        Assert.Equal(Http2ErrorCode.EnhanceYourCalm, client.GoAway);
        int refused = Enumerable.Range(0, streams).Count(i => client[2 * i + 1].Reset == Http2ErrorCode.RefusedStream);
        Assert.InRange(refused, 200, streams);
        Assert.True(proxy.Child.ResidentBytes - before < 24 << 20, $"grew by {proxy.Child.ResidentBytes - before} bytes");
        await proxy.StillServesAsync();
    }

    [Fact]
    public async Task Heads_that_end_make_room_for_others()
    {
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        (string, string)[] large = [("x-large", new string('a', 40_000))];
        for (int i = 0; i < 100; i++) (await client.ExchangeAsync("GET", "/a", large)).Is(200);
        int[] ids = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => client.OpenAsync("GET", "/a", large)));
        foreach (int id in ids) (await client.EndAsync(id)).Is(200);
    }

    [Fact]
    public async Task A_name_longer_than_any_may_be_is_431()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http1.Port, "max_request_headers_kb: 96"));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/a", [(new string('n', 65_535 + 4), "evil")])).Is(431);
        Http2Message whole = await client.ExchangeAsync("GET", "/a", [(new string('n', 65_535), "good")]);
        whole.Is(200);
        Assert.Contains(new string('n', 65_535) + ": good", whole.Text);
    }

    [Theory]
    [InlineData("REJECT_REQUEST")]
    [InlineData("DROP_HEADER")]
    public async Task Trailers_keep_the_rules_for_names_with_underscores(string action)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(fixture.Http2.Port, $"common_http_protocol_options: {{ headers_with_underscores_action: {action} }}", cluster: Bootstraps.Http2Cluster));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        await client.SendAsync((byte[])[.. Headers(1, Request("POST", "/echo")), .. Data(1, "x"u8), .. Headers(1, [("x_forwarded_for", "1.2.3.4"), ("x-t", "2")], true)]);
        Http2Message answer = await client.EndAsync(1);
        if (action == "REJECT_REQUEST")
        {
            Assert.Equal(Http2ErrorCode.ProtocolError, answer.Reset);
            return;
        }
        answer.Is(200);
        Assert.Contains("x-t: 2", answer.Text);
        Assert.DoesNotContain("1.2.3.4", answer.Text);
    }

    [Fact]
    public async Task Trailers_bring_no_twins_of_trusted_names_over_the_edge()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http2.Port, "use_remote_address: true", cluster: Bootstraps.Http2Cluster));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        await client.SendAsync((byte[])
        [
            .. Headers(1, Request("POST", "/echo")),
            .. Data(1, "x"u8),
            .. Headers(1, [("x_forwarded_for", "evil"), ("transfer_encoding", "evil"), ("x-envoy-internal", "evil"), ("x-t", "2")], true),
        ]);
        Http2Message answer = await client.EndAsync(1);
        answer.Is(200);
        Assert.Contains("x-t: 2", answer.Text);
        Assert.DoesNotContain("evil", answer.Text);
    }

    [Theory]
    [InlineData("POST", true)]
    [InlineData("PUT", true)]
    [InlineData("PATCH", true)]
    [InlineData("OPTIONS", true)]
    [InlineData("GET", false)]
    [InlineData("DELETE", false)]
    [InlineData("HEAD", false)]
    public async Task Requests_that_end_with_their_head_say_so_in_HTTP_1(string method, bool says)
    {
        string path = fixture.Http1.Echo();
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        (await client.ExchangeAsync(method, path)).Is(200);
        using RawClient other = await fixture.ToHttp1.ConnectAsync();
        Assert.Equal(200, (await other.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.All(fixture.Http1.Seen(path), request => Assert.Equal(says ? "0" : null, request.Header("content-length")));
        Assert.Equal(2, fixture.Http1.Seen(path).Count);
    }

    [Fact]
    public async Task TE_reaches_HTTP_2_in_lower_case()
    {
        using RawClient client = await fixture.ToHttp2.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET /te HTTP/1.1\r\nHost: x\r\nTE: Trailers\r\n\r\n");
        Assert.Contains("te: trailers", answer.Text);
    }

    // --- never indexed --------------------------------------------------------------------------------------------------

    [Fact]
    public async Task A_field_that_must_enter_no_table_enters_none_on_the_way()
    {
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            var block = new MemoryStream();
            block.Write(Section([(":status", "200")]));
            NeverIndexed(block, "x-answer-key", "secret");
            await peer.SendAsync(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders | Http2Flags.EndStream, request.Id, block.ToArray()));
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp2.Address);
        // Repeated, so that an encoder that does not know better puts it into its table.
        for (int i = 0; i < 4; i++)
        {
            int id = 2 * i + 1;
            var block = new MemoryStream();
            block.Write(Section(Request("GET", path)));
            NeverIndexed(block, "x-api-key", "secret");
            await client.SendAsync(Frame(Http2FrameType.Headers, Http2Flags.EndHeaders | Http2Flags.EndStream, id, block.ToArray()));
            Http2Message answer = await client.EndAsync(id);
            Assert.Equal("secret", answer.Header("x-answer-key"));
            Assert.Contains("x-answer-key", client.NeverIndexed);
        }
        Assert.Equal(4, fixture.Http2.Seen(path).Count);
        Assert.All(fixture.Http2.Seen(path), request => Assert.Equal("secret", request.Header("x-api-key")));
        Assert.Contains(fixture.Http2.Connections, peer => peer.NeverIndexed.Count(name => name == "x-api-key") == 4);
    }

    private static void NeverIndexed(MemoryStream block, string name, string value)
    {
        block.WriteByte(0x10);
        Integer(block, 0, 7, name.Length);
        block.Write(Encoding.ASCII.GetBytes(name));
        Integer(block, 0, 7, value.Length);
        block.Write(Encoding.ASCII.GetBytes(value));
    }

    // --- windows --------------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData("an endpoint that grants nothing")]
    [InlineData("a connection that is not to be had")]
    public async Task Uploads_that_stall_leave_the_window_of_the_connection_to_others(string why)
    {
        const int uploads = 8;
        byte[] content = new byte[256 * 1024];
        await using var stalls = new Http2Backend((Http2SettingId.InitialWindowSize, 0));
        stalls.OnConnection = p => p.OpensWindows = false;
        string stalled = stalls.Add((_, _) => Task.CompletedTask);
        fixture.Http1.At("/busy", async (c, head) => await c.Reader.RestAsync());
        bool grants = why == "an endpoint that grants nothing";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/case" }
              route: { cluster: stalls, timeout: 0s }
            - match: { prefix: "/busy" }
              route: { cluster: busy, timeout: 0s }
            - match: { prefix: "/" }
              route: { cluster: backend, timeout: 0s }
            """,
            [
                new TestCluster("backend", [fixture.Http1.Port]),
                new TestCluster("busy", [fixture.Http1.Port], "circuit_breakers: { thresholds: [{ max_connections: 1 }] }"),
                new TestCluster("stalls", [stalls.Port], Bootstraps.Http2Cluster),
            ]), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        if (!grants) await client.OpenAsync("GET", "/busy");
        // Each sends as much as its own window takes, together more than the connection's.
        await Task.WhenAll(Enumerable.Range(0, uploads).Select(async _ =>
        {
            int id = await client.OpenAsync("POST", grants ? stalled : "/busy", end: false);
            await client.BodyAsync(id, content, end: false);
        }));
        Http2Message answer = await client.ExchangeAsync("POST", "/healthy", body: new byte[1000]);
        answer.Is(200);
    }

    [Fact]
    public async Task What_stalled_and_went_leaves_no_window_behind()
    {
        await using var stalls = new Http2Backend((Http2SettingId.InitialWindowSize, 0));
        stalls.OnConnection = p => p.OpensWindows = false;
        string stalled = stalls.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(stalls.Port, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        // Far more in all than what may wait at once.
        for (int i = 0; i < 200; i++)
        {
            int id = await client.OpenAsync("POST", stalled, end: false);
            await client.BodyAsync(id, new byte[256 * 1024], end: false);
            await client.ResetAsync(id);
        }
        await proxy.ComesToRestAsync();
    }
}

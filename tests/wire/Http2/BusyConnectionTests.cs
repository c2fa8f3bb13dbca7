// A connection that many share lives on while they come and go: what one of them does, or what a peer does that is its right, is not held
// against all.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class BusyConnectionTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    // Each round is less than what may wait unread at once (1000), all of them are more.
    [Fact]
    public async Task A_client_that_is_slower_than_its_downloads_may_ask_on_as_long_as_it_reads_the_answers()
    {
        byte[] piece = new byte[64 * 1024];
        fixture.Http1.At("/endless", async (c, head) =>
        {
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
            try
            {
                while (true) await c.SendAsync(piece);
            }
            catch (System.Net.Sockets.SocketException)
            {
                // The client has left.
            }
        });
        fixture.Http1.At("/sink", async (c, head) => await c.Reader.RestAsync());
        using Http2Peer client = await Http2Peer.ConnectSilentAsync(fixture.ToHttp1.Address, reading: false);
        await client.SendAsync(Http2FrameHeader.Preface.ToArray());
        await client.SettingsAsync((Http2SettingId.InitialWindowSize, int.MaxValue));
        await client.SendAsync(Window(0, int.MaxValue - 65535));
        for (int id = 1; id <= 39; id += 2) await client.SendAsync(Headers(id, Request("GET", "/endless"), end: true));
        await client.SendAsync(Headers(41, Request("POST", "/sink")));
        var reader = new FrameReader(client.Socket);
        // Every message pays for a question.
        byte[] questions = [.. Enumerable.Repeat((byte[])[.. Data(41, "x"u8), .. Frame(Http2FrameType.Ping, 0, 0, new byte[8])], 600).SelectMany(b => b)];
        for (int round = 0; round < 5; round++)
        {
            await client.SendAsync(questions);
            for (int answers = 0; answers < 600;)
            {
                (Http2FrameType type, Http2Flags flags) = await reader.NextAsync();
                Assert.NotEqual(Http2FrameType.GoAway, type);
                if (type == Http2FrameType.Ping && (flags & Http2Flags.Ack) != 0) answers++;
            }
        }
    }

    [Theory]
    [InlineData(20, 3000)]
    [InlineData(1, 5000)]
    public async Task What_an_endpoint_had_sent_before_it_saw_our_reset_hurts_none_of_its_other_streams(int bytes, int frames)
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster, route: "timeout: 0s"), new ProxyOptions { Concurrency = 1 });
        string cut = backend.Add(async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            await peer.WaitAsync(() => request.Reset is not null, "the reset");
            byte[] late = [.. Enumerable.Repeat(Data(request.Id, new byte[bytes]), frames).SelectMany(b => b)];
            await peer.SendAsync(late);
        });
        string other = backend.Answer([(":status", "200")]);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int round = 0; round < 3; round++)
        {
            int id = await client.OpenAsync("GET", cut);
            await client.HeadAsync(id);
            await client.ResetAsync(id);
            Http2Peer upstream = backend.Connections[0];
            await upstream.WaitAsync(() => backend.Seen(cut).Count == round + 1 && backend.Seen(cut)[round].Reset is not null, "the reset");
            await upstream.PingAsync();
            (await client.ExchangeAsync("GET", other)).Is(200);
        }
        Assert.Single(backend.Connections);
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_cx_protocol_error"));
    }

    // What was read of a stream stays as it is: its trailers may be on their way to a client when more comes.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Sections_behind_the_end_of_a_stream_change_nothing_of_its_trailers(bool ofAnswer)
    {
        await using var backend = new Http2Backend();
        var more = new List<(string, string)>();
        for (int i = 0; i < 60; i++) more.Add(("x-more", new string('m', 900)));
        string path = backend.Add(async (peer, request) =>
        {
            if (!ofAnswer) await peer.WaitAsync(() => request.Ended, "the request");
            byte[] answer = [.. Headers(request.Id, [(":status", "200")]), .. Data(request.Id, "x"u8), .. Headers(request.Id, [("x-t", "1")], end: true)];
            await peer.SendAsync(ofAnswer ? (byte[])[.. answer, .. Headers(request.Id, more, end: true)] : answer);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster, route: "timeout: 0s"), new ProxyOptions { Concurrency = 1 });
        if (ofAnswer)
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
            HttpMessage answer = await client.ResponseAsync();
            Assert.Equal((200, "x"), (answer.Status, answer.Text));
            Assert.Equal([new HeaderLine("x-t", "1")], answer.Trailers);
        }
        else
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
            byte[] request = [.. Headers(1, Request("POST", path)), .. Data(1, "a"u8), .. Headers(1, [("x-t", "1")], end: true), .. Headers(1, more, end: true)];
            await client.SendAsync(request);
            await client.WaitAsync(() => client[1].IsOver, "the end of the stream", orClosed: true);
            foreach (Http2Message seen in backend.Seen(path)) Assert.DoesNotContain(seen.Trailers ?? [], t => t.Name == "x-more");
        }
        await proxy.StillServesAsync();
    }

    // A connection that the client keeps alive with pings of its own is told of a drain twice; only the answer to what went with the first
    // word says that it was heard.
    [Fact]
    public async Task The_answer_to_an_earlier_PING_does_not_end_a_drain()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(
            witness.Port, "drain_timeout: 60s\nhttp2_protocol_options: { connection_keepalive: { interval: 0.05s, timeout: 60s } }"));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        client.Acknowledges = false;
        (await client.ExchangeAsync("GET", "/")).Is(200);
        await client.FrameAsync(IsPing, "a PING");
        byte[] alive = client.Frames.First(IsPing).Payload;
        using (HttpResponseMessage drain = await proxy.Admin.PostAsync("drain_listeners?graceful", null)) Assert.True(drain.IsSuccessStatusCode);
        await client.WaitAsync(() => client.GoAway is not null, "the first word");
        await client.FrameAsync(f => IsPing(f) && !f.Payload.AsSpan().SequenceEqual(alive), "the PING behind it");
        byte[] ends = client.Frames.First(f => IsPing(f) && !f.Payload.AsSpan().SequenceEqual(alive)).Payload;
        await client.SendAsync(Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, alive));
        (await client.ExchangeAsync("GET", "/")).Is(200);
        Assert.Equal(int.MaxValue, client.GoAwayLast);
        await client.SendAsync(Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, ends));
        await client.WaitAsync(() => client.GoAwayLast != int.MaxValue, "the last word", orClosed: true);
        Assert.Equal(3, client.GoAwayLast);
    }

    private static bool IsPing(Http2FrameLine frame) => frame.Type == Http2FrameType.Ping && (frame.Flags & Http2Flags.Ack) == 0;

    // Reads when it is asked to and not before.
    private sealed class FrameReader(System.Net.Sockets.Socket socket)
    {
        private readonly byte[] _buffer = new byte[1 << 20];
        private int _at, _count;

        public async Task<(Http2FrameType Type, Http2Flags Flags)> NextAsync()
        {
            await HoldAsync(Http2FrameHeader.Size);
            Http2FrameHeader head = Http2FrameHeader.Read(_buffer.AsSpan(_at));
            await HoldAsync(Http2FrameHeader.Size + head.Length);
            _at += Http2FrameHeader.Size + head.Length;
            return (head.Type, head.Flags);
        }

        private async Task HoldAsync(int bytes)
        {
            while (_count - _at < bytes)
            {
                _buffer.AsSpan(_at, _count - _at).CopyTo(_buffer);
                (_at, _count) = (0, _count - _at);
                int n = await socket.ReceiveAsync(_buffer.AsMemory(_count), System.Net.Sockets.SocketFlags.None).AsTask().Within("a frame");
                Assert.True(n > 0, "the connection ended");
                _count += n;
            }
        }
    }
}

// Any mix of versions means the same: what a client says arrives, what the backend answers comes back, whatever each of them speaks.
using System.Security.Cryptography;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class MixTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    public static TheoryData<int, int> Mixes => Mix.All;

    private static byte[] Bytes(int count) => [.. Enumerable.Range(0, count).Select(i => (byte)(i * 31 + i / 251))];

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task Method_path_host_fields_and_content_arrive(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(201, "made"u8.ToArray(), [("x-back", "b1"), ("x-back", "b2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
        });
        Arrived answer = await mix.ExchangeAsync("PATCH", path + "/deep%20er?q=%3F&r=1", [("x-one", "1"), ("x-list", "a"), ("x-list", "b"), ("accept", "*/*")], "content"u8.ToArray());
        Assert.Equal($"PATCH {path}/deep%20er?q=%3F&r=1 x", seen!.Start);
        Assert.Equal("content", seen.Text);
        Assert.Equal("1", seen.Field("x-one"));
        Assert.Equal(["a", "b"], seen.All("x-list"));
        Assert.Equal(201, answer.Status);
        Assert.Equal("made", answer.Text);
        Assert.Equal(["b1", "b2"], answer.All("x-back"));
        Assert.Equal(["a=1", "b=2"], answer.All("set-cookie"));
        Assert.NotNull(answer.Field("date"));
        foreach (string name in new[] { "connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection" }) Assert.Null(up == 2 ? seen.Field(name) : answer.Field(name));
    }

    public static TheoryData<int, int, int> Sizes()
    {
        var rows = new TheoryData<int, int, int>();
        foreach ((int down, int up) in new[] { (1, 2), (2, 1), (2, 2) })
            foreach (int size in new[] { 0, 1, 16383, 16384, 16385, 65535, 65536, 262_144, 1_500_001 }) rows.Add(down, up, size);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public async Task Content_of_any_length_goes_and_comes_back_whole(int down, int up, int size)
    {
        var mix = new Mix(fixture, down, up);
        string path = mix.On(r => new Reply(200, r.Body));
        byte[] body = Bytes(size);
        Arrived answer = await mix.ExchangeAsync("POST", path, null, body);
        Assert.Equal(200, answer.Status);
        Assert.Equal(SHA256.HashData(body), SHA256.HashData(answer.Body));
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task Trailers_travel_both_ways(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200, "body"u8.ToArray(), null, [("x-sum", "42"), ("grpc-status", "0"), ("authorization", "no"), ("set-cookie", "no=1")]);
        });
        Arrived answer = await mix.ExchangeAsync("POST", path, [("te", "trailers")], "there"u8.ToArray(), [("x-hash", "7"), ("cookie", "no=1"), ("x-last", "1")]);
        Assert.Equal("there", seen!.Text);
        Assert.Equal(["x-hash", "x-last"], seen.Trailers.Select(t => t.Name));
        Assert.Equal("body", answer.Text);
        Assert.Equal("42", answer.Trailer("x-sum"));
        Assert.Equal("0", answer.Trailer("grpc-status"));
        Assert.Equal(2, answer.Trailers.Count);
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task Trailers_behind_no_content_travel(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200, null, null, [("x-sum", "42")]);
        });
        Arrived answer = await mix.ExchangeAsync("POST", path, null, [], [("x-hash", "7")]);
        Assert.Equal("7", seen!.Trailer("x-hash"));
        Assert.Equal("42", answer.Trailer("x-sum"));
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task Trailers_larger_than_a_buffer_travel(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        string large = new('t', 30_000);
        Assert.Equal(200, (await mix.ExchangeAsync("POST", path, null, "b"u8.ToArray(), [("x-a", "1"), ("x-large", large), ("x-z", "26")])).Status);
        Assert.Equal(["1", large, "26"], seen!.Trailers.Select(t => t.Value));
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task Answers_without_content_have_none(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        string head = mix.On(_ => new Reply(200, "1234567"u8.ToArray(), up == 2 ? [("content-length", "7")] : [("Content-Length", "7")]));
        Arrived answer = await mix.ExchangeAsync("HEAD", head);
        Assert.Equal("7", answer.Field("content-length"));
        Assert.Empty(answer.Body);
        foreach (int status in new[] { 204, 304 })
        {
            Arrived none = await mix.ExchangeAsync("GET", mix.On(_ => new Reply(status, null, [("etag", "\"e\"")])));
            Assert.Equal(status, none.Status);
            Assert.Equal("\"e\"", none.Field("etag"));
            Assert.Empty(none.Body);
        }
        Arrived empty = await mix.ExchangeAsync("GET", mix.On(_ => new Reply(200)));
        Assert.Equal(200, empty.Status);
        Assert.Empty(empty.Body);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task An_answer_that_ends_with_its_head_ends(int down)
    {
        string path = fixture.Http2.Answer([(":status", "200"), ("location", "/b")]);
        Arrived answer = await new Mix(fixture, down, 2).ExchangeAsync("GET", path);
        Assert.Equal("/b", answer.Field("location"));
        Assert.Empty(answer.Body);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task Cookie_crumbs_become_one_field(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        await mix.ExchangeAsync("GET", path, [("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        Assert.Equal(["a=1; b=2; c=3; d=4"], seen!.All("cookie"));
    }

    // One field as well as many, as long as a head may be.
    [Theory]
    [InlineData(16_380)]
    [InlineData(40_000)]
    public async Task A_long_cookie_is_as_good_as_a_long_field(int length)
    {
        var mix = new Mix(fixture, 2, 1);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        string value = new('c', length);
        await mix.ExchangeAsync("GET", path, [("cookie", "a=" + value)]);
        Assert.Equal(["a=" + value], seen!.All("cookie"));
        await mix.ExchangeAsync("GET", path, [("cookie", "b=2"), ("cookie", "a=" + value)]);
        Assert.Equal(["b=2; a=" + value], seen!.All("cookie"));
    }

    [Fact]
    public async Task What_belongs_to_an_http_1_connection_stays_there()
    {
        Arrived? seen = null;
        string path = new Mix(fixture, 1, 2).On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        using RawClient client = await fixture.ToHttp2.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: Host.Example:81\r\nConnection: keep-alive, x-gone\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Gone: 1\r\nTE: trailers, deflate\r\nX-Kept: 1\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.EndsWith(" Host.Example:81", seen!.Start);
        foreach (string name in new[] { "connection", "keep-alive", "proxy-connection", "x-gone", "host" }) Assert.Null(seen.Field(name));
        // The one value that HTTP/2 knows (RFC 9113 8.2.2).
        Assert.Equal("trailers", seen.Field("te"));
        Assert.Equal("1", seen.Field("x-kept"));
        Assert.All(seen.Fields, f => Assert.Equal(f.Name.ToLowerInvariant(), f.Name));
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task TE_trailers_travels(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        Arrived? seen = null;
        string path = mix.On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        await mix.ExchangeAsync("GET", path, [("te", "trailers")]);
        Assert.Equal("trailers", seen!.Field("te"));
    }

    [Fact]
    public async Task A_request_without_authority_uses_its_host()
    {
        Arrived? seen = null;
        string path = new Mix(fixture, 2, 1).On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(1, [(":method", "GET"), (":scheme", "http"), (":path", path), ("host", "by.host")], end: true);
        (await client.EndAsync(1)).Is(200);
        Assert.EndsWith(" by.host", seen!.Start);
        await client.HeadersAsync(3, [(":method", "GET"), (":scheme", "http"), (":path", path)], end: true);
        (await client.EndAsync(3)).Is(400);
    }

    [Fact]
    public async Task A_client_in_plain_text_cannot_say_that_it_speaks_tls()
    {
        Arrived? seen = null;
        string path = new Mix(fixture, 2, 1).On(r =>
        {
            seen = r;
            return new Reply(200);
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(1, [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "x")], end: true);
        (await client.EndAsync(1)).Is(200);
        Assert.Equal("http", seen!.Field("x-forwarded-proto"));
    }

    [Theory]
    [InlineData("user@x", false)]
    [InlineData("x/y", false)]
    [InlineData("a,b", false)]
    [InlineData("x y", true)]
    public async Task An_authority_that_is_no_host_is_refused_and_one_that_no_field_may_hold_is_an_error_of_the_stream(string value, bool reset)
    {
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(1, [(":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", value)], end: true);
        Http2Message answer = await client.EndAsync(1);
        Assert.Equal(reset ? (0, Http2ErrorCode.ProtocolError) : (400, null), (answer.Status, answer.Reset));
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task Interim_answers_travel_in_order_before_the_final_one(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        string path;
        if (up == 1)
        {
            path = fixture.Http1.Answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        else
        {
            path = fixture.Http2.Add(async (peer, request) => await peer.SendAsync((byte[])[
                .. Http2Bytes.Headers(request.Id, [(":status", "103"), ("link", "</a>")]),
                .. Http2Bytes.Headers(request.Id, [(":status", "103"), ("link", "</b>")]),
                .. Http2Bytes.Headers(request.Id, [(":status", "200")]), .. Http2Bytes.Data(request.Id, "ok"u8, true)]));
        }
        if (down == 2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(mix.Proxy.Address);
            Http2Message answer = await client.ExchangeAsync("GET", path);
            answer.Is(200);
            Assert.Equal(["</a>", "</b>"], answer.Interim.Select(i => i.First(f => f.Name == "link").Value));
            Assert.Equal("ok", answer.Text);
            return;
        }
        using RawClient old = await mix.Proxy.ConnectAsync();
        await old.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        foreach (string link in new[] { "</a>", "</b>" })
        {
            HttpMessage interim = (await old.Reader.HeadAsync())!;
            Assert.StartsWith("HTTP/1.1 103", interim.StartLine);
            Assert.Equal(link, interim.Header("link"));
        }
        Assert.Equal("ok", (await old.ResponseAsync()).Text);
    }

    [Theory]
    [MemberData(nameof(Mixes))]
    public async Task An_expectation_of_100_is_met_before_the_content(int down, int up)
    {
        var mix = new Mix(fixture, down, up);
        string path = mix.On(r => new Reply(200, r.Body));
        if (down == 2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(mix.Proxy.Address);
            int id = await client.OpenAsync("POST", path, [("expect", "100-continue"), ("content-length", "4")], end: false);
            await client.WaitAsync(() => client[id].Interim.Count > 0, "100");
            Assert.Equal("100", client[id].Interim[0][0].Value);
            await client.DataAsync(id, "late", end: true);
            (await client.EndAsync(id)).Is(200);
            Assert.Equal("late", client[id].Text);
            return;
        }
        using RawClient old = await mix.Proxy.ConnectAsync();
        await old.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 100", (await old.Reader.HeadAsync())!.StartLine);
        await old.SendAsync("late");
        Assert.Equal("late", (await old.ResponseAsync("POST")).Text);
    }

    [Fact]
    public async Task An_http_1_body_until_close_ends_a_stream_in_order()
    {
        string path = fixture.Http1.Answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", thenClose: true);
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        Http2Message answer = await client.ExchangeAsync("GET", path);
        answer.Is(200);
        Assert.Equal("until the end", answer.Text);
        Assert.Null(answer.Header("connection"));
    }

    [Fact]
    public async Task Chunks_become_data_and_their_extensions_vanish()
    {
        string path = fixture.Http1.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n");
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        Http2Message answer = await client.ExchangeAsync("GET", path);
        answer.Is(200);
        Assert.Equal("abcdefg", answer.Text);
        Assert.Equal("1", answer.Trailer("x-t"));
        Assert.Null(answer.Header("transfer-encoding"));
    }

    [Fact]
    public async Task Data_without_a_length_becomes_chunks()
    {
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            await peer.DataAsync(request.Id, "abc");
            await peer.DataAsync(request.Id, "defg", end: true);
        });
        using RawClient client = await fixture.ToHttp2.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("HTTP/1.1 200 OK", answer.StartLine);
        Assert.Equal("abcdefg", answer.Text);
        Assert.Equal("chunked", answer.Header("transfer-encoding"));
    }

    [Theory]
    [InlineData("HTTP/1.0")]
    public async Task A_client_of_http_1_0_gets_what_it_can_read(string version)
    {
        string path = fixture.Http2.Answer([(":status", "200")], "plain"u8.ToArray());
        using RawClient client = await fixture.ToHttp2.ConnectAsync();
        await client.SendAsync($"GET {path} {version}\r\nHost: x\r\n\r\n");
        string all = await client.RestAsync();
        Assert.EndsWith("\r\n\r\nplain", all);
        Assert.DoesNotContain("chunked", all);
    }

    [Fact]
    public async Task Padding_is_dropped_and_given_back()
    {
        string path = new Mix(fixture, 2, 2).On(r => new Reply(200, r.Body));
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp2.Address);
        int id = await client.OpenAsync("POST", path, end: false);
        // 3 MiB of frames within the windows, most of them padding: what is padding must come back too.
        long sent = 0;
        byte[] frame = Http2Bytes.Frame(Http2FrameType.Data, Http2Flags.Padded, id, [255, .. new byte[10], .. new byte[255]]);
        for (int i = 0; i < 12_000; i++)
        {
            await client.BodyWindowAsync(id, frame.Length - 9);
            await client.SendAsync(frame);
            sent += 10;
        }
        await client.DataAsync(id, "", end: true);
        (await client.EndAsync(id)).Is(200);
        Assert.Equal(sent, client[id].Length);
    }

    [Fact]
    public async Task CONNECT_is_refused_where_nobody_asked_for_it()
    {
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(1, [(":method", "CONNECT"), (":authority", "x:443")]);
        Http2Message answer = await client.HeadAsync(1);
        // No route takes it (Envoy: a CONNECT route matches only by connect_matcher).
        Assert.Equal(404, answer.Status);
        await client.PingAsync();
    }

    // 2xx is how extended CONNECT says that the tunnel stands (RFC 8441 5); an HTTP/1 backend that only answered did not switch.
    [Theory]
    [InlineData("200 OK\r\ncontent-length: 7\r\n\r\ncontent", 502)]
    [InlineData("204 No Content\r\n\r\n", 502)]
    [InlineData("302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", 302)]
    [InlineData("404 Not Found\r\ncontent-length: 7\r\n\r\ncontent", 404)]
    public async Task A_backend_that_answers_instead_of_101_gives_no_tunnel(string answered, int expected)
    {
        string path = fixture.Http1.Answer($"HTTP/1.1 {answered}");
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "x")]);
        Http2Message answer = await client.HeadAsync(1);
        Assert.Equal(expected, answer.Status);
        await client.PingAsync();
    }

    // What follows it is the tunnel's: without an upgrade its 200 would be a lie.
    [Fact]
    public async Task An_extended_CONNECT_that_tells_a_length_is_no_ordinary_request()
    {
        string path = fixture.Http1.Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.HeadersAsync(
            1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "x"), ("content-length", "5")]);
        Assert.Equal(400, (await client.HeadAsync(1)).Status);
        Assert.Empty(fixture.Http1.Seen(path));
        await client.PingAsync();
    }

    [Fact]
    public async Task Many_streams_at_once_each_get_their_own_answer()
    {
        foreach (int up in new[] { 1, 2 })
        {
            var mix = new Mix(fixture, 2, up);
            string path = mix.On(r => new Reply(200, Encoding.Latin1.GetBytes(r.Start + r.Text)));
            using Http2Peer client = await Http2Peer.ConnectAsync(mix.Proxy.Address);
            int[] ids = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
            {
                int id = 2 * i + 1;
                await client.HeadersAsync(id, Http2Bytes.Request("POST", $"{path}/{i}"));
                return id;
            }).ToArray());
            foreach (int id in ids.Reverse()) await client.DataAsync(id, $"body of {id}", end: true);
            for (int i = 0; i < ids.Length; i++)
            {
                Http2Message answer = await client.EndAsync(ids[i]);
                answer.Is(200);
                Assert.Equal($"POST {path}/{i} xbody of {ids[i]}", answer.Text);
            }
        }
    }
}

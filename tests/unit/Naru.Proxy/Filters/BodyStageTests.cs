// The stages of bodies and trailers: what filters see, in which order, what they may do with it, and what never happens whatever they do.
using System.Collections.Concurrent;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class BodyStageTests
{
    private static readonly Reason s_refused = new(418, "T-1", "no", Naru.Telemetry.ResponseFlags.None, "test") { Body = "refused" };

    private static byte[] Body(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)('a' + i * 7 % 26))];

    private static ValueTask<BodyVerdict> Is(BodyVerdict verdict) => new(verdict);

    private static void Append(BodyPiece piece, string text)
    {
        IoBuffer into = piece.Rent(piece.Bytes.Length + text.Length);
        into.Append(piece.Bytes);
        into.Append(Encoding.ASCII.GetBytes(text));
        piece.Become(into);
    }

    // In place: the length stays.
    private static TestFilter Upper(ConcurrentQueue<bool>? ends = null) => new(FilterStages.RequestBody)
    {
        RequestBody = (_, piece) =>
        {
            foreach (ref byte b in piece.Bytes) if (b is >= (byte)'a' and <= (byte)'z') b -= 32;
            ends?.Enqueue(piece.End);
            return Is(BodyVerdict.Go);
        },
    };

    // At the end, and so that those behind it see it as body.
    private static TestFilter Tail(string text) => new(FilterStages.RequestTrailers)
    {
        Request = call =>
        {
            call.ChangesRequestLength();
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        },
        RequestTrailers = (call, last) =>
        {
            bool any = call.RequestTrailers.TryGet("x-sent"u8, out ReadOnlySpan<byte> sent);
            Append(last, text + (any ? Encoding.ASCII.GetString(sent) : ""));
            call.RequestTrailers.Set("x-seen"u8, "1"u8);
        },
    };

    public static TheoryData<int, int, bool, int> Ways
    {
        get
        {
            var rows = new TheoryData<int, int, bool, int>();
            foreach (int down in new[] { 1, 2 })
                foreach (int up in new[] { 1, 2 })
                    foreach (bool chunked in new[] { false, true })
                        foreach (int length in new[] { 1, 17, 16_384, 300_000 }) rows.Add(down, up, chunked, length);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task A_request_body_passes_all_filters_in_order_and_its_end_is_told_once(int down, int up, bool chunked, int length)
    {
        var ends = new ConcurrentQueue<bool>();
        await using var bench = new FilterBench(up, [Tail("x"), Upper(ends), Tail("y")]);
        string path = up == 1 ? bench.Http1.Echo() : "/echo";
        byte[] body = Body(length);
        (int status, string said, _) = await bench.PostAsync(down, path, body, chunked, chunked ? "T" : "");
        Assert.Equal(200, status);
        string expected = Encoding.ASCII.GetString(body).ToUpperInvariant() + (chunked ? "XTyT" : "Xy");
        string got = said[(said.IndexOf("\n\n", StringComparison.Ordinal) + 2)..];
        Assert.StartsWith(expected, got);
        if (up == 2) Assert.Contains("x-seen: 1", got[expected.Length..]);
        Assert.Equal([true], ends.Where(e => e));
        Assert.True(ends.Last());
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task An_answers_body_passes_them_in_reverse_the_clusters_first(int down, int up)
    {
        static TestFilter Signs(string name) => new(FilterStages.ResponseBody | FilterStages.ResponseTrailers)
        {
            Response = call => call.ChangesResponseLength(),
            ResponseBody = (_, piece) =>
            {
                if (piece.End) Append(piece, name);
                return Is(BodyVerdict.Go);
            },
            ResponseTrailers = (call, _) => call.ResponseTrailers.Append("x-by"u8, Encoding.ASCII.GetBytes(name)),
        };
        await using var bench = new FilterBench(up, [Signs("a"), Signs("b")], [Signs("c")]);
        byte[] body = Body(100_000);
        string path = up == 1
            ? bench.Http1.Answer($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{Encoding.ASCII.GetString(body)}")
            : bench.Http2.Answer([(":status", "200")], body);
        (int status, string said, string trailers) = await bench.PostAsync(down, path, Body(3));
        Assert.Equal((200, Encoding.ASCII.GetString(body) + "cba", "x-by:c;x-by:b;x-by:a;"), (status, said, trailers));
    }

    [Fact]
    public async Task An_answer_of_the_proxys_own_passes_them_too()
    {
        await using var bench = new FilterBench(1, [new TestFilter(FilterStages.ResponseBody | FilterStages.ResponseTrailers)
        {
            Request = call => new ValueTask<FilterVerdict>(call.Refuse(s_refused)),
            ResponseBody = (_, piece) =>
            {
                Append(piece, piece.End ? "!" : "?");
                return Is(BodyVerdict.Go);
            },
            ResponseTrailers = (_, last) => Append(last, "there are none"),
        }]);
        (int status, string said, string trailers) = await bench.PostAsync(2, "/", Body(3));
        Assert.Equal((418, true, ""), (status, said.EndsWith('!'), trailers));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task What_is_held_back_goes_on_with_the_piece_that_is_let_go(int up)
    {
        int held = 0;
        var third = new TestFilter(FilterStages.RequestBody) { RequestBody = (_, _) => Is(++held % 3 == 0 ? BodyVerdict.Go : BodyVerdict.Hold) };
        await using var bench = new FilterBench(up, [third, Upper()]);
        byte[] body = Body(200_000);
        (int status, string said, _) = await bench.PostAsync(1, up == 1 ? bench.Http1.Echo() : "/echo", body);
        Assert.Equal(200, status);
        Assert.EndsWith("\n\n" + Encoding.ASCII.GetString(body).ToUpperInvariant(), said);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    public async Task Who_holds_back_too_much_of_a_request_answers_it(int down, int up)
    {
        var holds = new TestFilter(FilterStages.RequestBody) { RequestBody = (_, _) => Is(BodyVerdict.Hold) };
        await using var bench = new FilterBench(up, [holds]);
        (int status, _, _) = await bench.PostAsync(down, up == 1 ? bench.Http1.Echo() : "/echo", Body(BodyPipe.MostHeld + 100_000));
        Assert.Equal(413, status);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task A_filter_may_answer_in_the_middle_of_a_body_and_the_endpoint_gets_no_whole_request(int down, int up)
    {
        await using var bench = new FilterBench(up, [new TestFilter(FilterStages.RequestBody)
        {
            RequestBody = (call, piece) =>
            {
                if (!piece.Bytes.Contains((byte)'#')) return Is(BodyVerdict.Go);
                call.Refuse(s_refused);
                return Is(BodyVerdict.Answer);
            },
        }]);
        string path = up == 1 ? bench.Http1.Echo() : "/echo";
        (int status, string said, _) = await bench.PostAsync(down, path, [.. Body(50_000), (byte)'#', .. Body(50_000)]);
        Assert.Equal(418, status);
        Assert.Contains("T-1", said);
        if (up == 1) Assert.Empty(bench.Http1.Seen(path));
        else Assert.DoesNotContain(bench.Http2.Seen(path), r => r.Ended && r.Reset is null);
        Assert.Equal(200, (await bench.PostAsync(down, path, Body(5))).Status);
        await bench.StatAsync("cluster.backend.upstream_rq_active", 0);
    }

    [Fact]
    public async Task An_answer_that_began_is_cut_short_where_a_filter_will_have_no_more_of_it()
    {
        await using var bench = new FilterBench(1, [new TestFilter(FilterStages.ResponseBody)
        {
            ResponseBody = (call, piece) =>
            {
                if (!piece.Bytes.Contains((byte)'#')) return Is(BodyVerdict.Go);
                call.Refuse(s_refused);
                return Is(BodyVerdict.Answer);
            },
        }]);
        string half = Encoding.ASCII.GetString(Body(50_000));
        string path = bench.Http1.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n{half}#{half}");
        using Http2Peer peer = await bench.ConnectHttp2Async();
        Http2Message answer = await peer.ExchangeAsync("GET", path);
        Assert.Equal((200, true), (answer.Status, answer.Reset is not null));
    }

    // Whoever says nothing about the length must keep to it.
    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task A_length_that_was_told_is_kept_or_the_request_never_ends(int change)
    {
        await using var bench = new FilterBench(1, [new TestFilter(FilterStages.RequestBody)
        {
            RequestBody = (_, piece) =>
            {
                if (piece.End && change > 0) Append(piece, "x");
                else if (piece.End) piece.Trim(piece.Bytes.Length - 1);
                return Is(BodyVerdict.Go);
            },
        }]);
        string path = bench.Http1.Echo();
        (int status, _, _) = await bench.PostAsync(1, path, Body(1_000));
        Assert.Equal(400, status);
        Assert.Empty(bench.Http1.Seen(path));
    }

    private static readonly TimeSpan s_soon = TimeSpan.FromMilliseconds(1);

    private static RouteConfig[] Retrying { get; } =
    [
        new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" },
            Action = new ForwardActionConfig
            {
                Clusters = [new WeightedClusterConfig("backend", 1)],
                RetryPolicy = new RetryPolicyConfig { On = RetryOn.FiveXx, NumRetries = 2, BackOffBase = s_soon, BackOffMax = s_soon },
            },
        },
    ];

    [Theory]
    [InlineData(1, 100)]
    [InlineData(1, 50_000)]
    [InlineData(2, 100)]
    [InlineData(2, 50_000)]
    public async Task A_retry_sends_what_the_chain_made_of_the_body_and_the_clusters_filters_see_it_again(int up, int length)
    {
        int ofChain = 0, ofCluster = 0, tries = 0;
        TestFilter chain = new(FilterStages.RequestBody)
        {
            RequestBody = (_, piece) =>
            {
                ofChain += piece.Bytes.Length;
                foreach (ref byte b in piece.Bytes) b -= 32;
                return Is(BodyVerdict.Go);
            },
        };
        TestFilter cluster = new(FilterStages.RequestBody)
        {
            RequestBody = (_, piece) =>
            {
                ofCluster += piece.Bytes.Length;
                if (piece.Bytes.Length > 0) piece.Bytes[0] = (byte)'*';
                return Is(BodyVerdict.Go);
            },
        };
        await using var bench = new FilterBench(up, [chain], [cluster], Retrying);
        var bodies = new ConcurrentQueue<string>();
        string path = up == 1
            ? bench.Http1.Add(async (connection, head) =>
            {
                await connection.Reader.RequestBodyAsync(head);
                bodies.Enqueue(head.Text);
                await connection.SendAsync($"HTTP/1.1 {(++tries < 3 ? 503 : 200)} S\r\nContent-Length: 0\r\n\r\n");
            })
            : bench.Http2.Add(async (peer, request) =>
            {
                await peer.EndAsync(request.Id);
                bodies.Enqueue(request.Text);
                await Http2Backend.AnswerAsync(peer, request, [(":status", ++tries < 3 ? "503" : "200")]);
            });
        byte[] body = Body(length);
        Assert.Equal(200, (await bench.PostAsync(1, path, body)).Status);
        Assert.Equal((length, 3 * length, 3), (ofChain, ofCluster, bodies.Count));
        string seen = Assert.Single(bodies.Distinct());
        Assert.Equal(length, seen.Length);
        Assert.Equal(seen.Replace("*", "", StringComparison.Ordinal).ToUpperInvariant(), seen.Replace("*", "", StringComparison.Ordinal));
        await bench.StatAsync("cluster.backend.upstream_rq_active", 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_filter_that_waits_stops_the_sender_and_ends_with_a_client_that_leaves(int down)
    {
        var waiting = new TaskCompletionSource();
        await using var bench = new FilterBench(1, [new TestFilter(FilterStages.RequestBody)
        {
            RequestBody = async (call, _) =>
            {
                waiting.TrySetResult();
                await call.DelayAsync(3_600_000);
                return BodyVerdict.Go;
            },
        }]);
        string path = bench.Http1.Echo();
        if (down == 1)
        {
            using RawClient client = await bench.ConnectAsync();
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{Encoding.ASCII.GetString(Body(10))}");
            await waiting.Task;
            client.Reset();
        }
        else
        {
            using Http2Peer peer = await bench.ConnectHttp2Async();
            int id = await peer.OpenAsync("POST", path, end: false);
            await peer.BodyAsync(id, Body(10), end: false);
            await waiting.Task;
            await peer.ResetAsync(id);
        }
        await bench.StatAsync("http.test.downstream_rq_active", 0);
        Assert.Empty(bench.Http1.Seen(path));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_filter_may_take_all_in_as_those_before_it_leave_it(int up)
    {
        long taken = 0;
        await using var bench = new FilterBench(up, [Upper(), Tail("x"), new TestFilter(FilterStages.None)
        {
            Request = async call =>
            {
                Assert.Equal(BufferResult.Whole, await call.BufferAsync(200_000));
                taken = call.Exchange.BytesBuffered;
                return FilterVerdict.Go;
            },
        }, Tail("y")]);
        byte[] body = Body(100_000);
        (int status, string said, _) = await bench.PostAsync(2, up == 1 ? bench.Http1.Echo() : "/echo", body);
        Assert.Equal((200, 100_001), (status, taken));
        Assert.Contains("\n\n" + Encoding.ASCII.GetString(body).ToUpperInvariant() + "xy", said);
    }

    [Fact]
    public async Task A_clusters_filter_may_answer_and_no_endpoint_hears_of_it()
    {
        TestFilter chain = new(FilterStages.None) { Response = call => call.Response.Set("x-chain"u8, "1"u8) };
        TestFilter cluster = new(FilterStages.None)
        {
            Request = call => new ValueTask<FilterVerdict>(call.Refuse(s_refused)),
            Response = call => call.Response.Set("x-cluster"u8, "1"u8),
        };
        await using var bench = new FilterBench(1, [chain], [cluster], Retrying);
        using RawClient client = await bench.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((418, "1", null), (answer.Status, answer.Header("x-chain"), answer.Header("x-cluster")));
        Assert.Equal(418, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        await Waiting.UntilAsync(() => bench.Stat("cluster.backend.upstream_rq_completed") == 2, "both to be counted");
        Assert.Equal(0, bench.Stat("cluster.backend.upstream_rq_total"));
        Assert.Empty(bench.Http1.Witness.Requests);
    }

    [Fact]
    public async Task A_filter_may_have_the_route_chosen_again()
    {
        RouteConfig[] routes =
        [
            Direct(PathMatchKind.Exact, "/new", 201),
            Direct(PathMatchKind.Prefix, "/", 202),
        ];
        static RouteConfig Direct(PathMatchKind kind, string path, int status) =>
            new() { Match = new RouteMatchConfig { Kind = kind, Path = path }, Action = new DirectResponseActionConfig(status, []) };
        TestFilter Rewrites(FilterVerdict verdict) => new(FilterStages.None)
        {
            Request = call =>
            {
                call.Request.Set(":path"u8, "/new"u8);
                return new ValueTask<FilterVerdict>(verdict);
            },
        };
        int after = 0;
        TestFilter counts = new(FilterStages.None)
        {
            Request = _ =>
            {
                after++;
                return new ValueTask<FilterVerdict>(FilterVerdict.Go);
            },
        };
        foreach ((FilterVerdict verdict, int status) in new[] { (FilterVerdict.Go, 202), (FilterVerdict.RouteAgain, 201) })
        {
            await using var bench = new FilterBench(1, [counts, Rewrites(verdict), counts], routes: routes);
            using RawClient client = await bench.ConnectAsync();
            Assert.Equal(status, (await client.ExchangeAsync("GET /old HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
        Assert.Equal(4, after);
    }
}

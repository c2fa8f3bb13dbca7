// Filters and the tries of a request: whose runs they are, when those end, and that nobody waits for a filter whose work nobody wants.
using System.Collections.Concurrent;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class AttemptStageTests
{
    private const long AnHour = 3_600_000;

    private const string Handshake = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    // Waits with each piece of the body for longer than any test does, and says how that ended.
    private static TestFilter Waits(TaskCompletionSource begun, ConcurrentQueue<bool> ended) => new(FilterStages.RequestBody)
    {
        RequestBody = async (call, _) =>
        {
            begun.TrySetResult();
            ended.Enqueue(await call.DelayAsync(AnHour));
            return BodyVerdict.Go;
        },
    };

    private static RouteConfig[] Retrying(int retries) =>
    [
        new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" },
            Action = new ForwardActionConfig
            {
                Clusters = [new WeightedClusterConfig("backend", 1)],
                RetryPolicy = new RetryPolicyConfig
                {
                    On = RetryOn.FiveXx,
                    NumRetries = retries,
                    BackOffBase = TimeSpan.FromMilliseconds(1),
                },
            },
        },
    ];

    private static string Path(FilterBench bench, int status, Action seen, Task? after = null)
    {
        if (bench.IsHttp2)
        {
            return bench.Http2.Add(async (peer, request) =>
            {
                seen();
                if (after is not null) await after;
                await Http2Backend.AnswerAsync(peer, request, [(":status", $"{status}")], "done"u8.ToArray());
            });
        }
        return bench.Http1.Add(async (c, _) =>
        {
            seen();
            if (after is not null) await after;
            await c.SendAsync($"HTTP/1.1 {status} It\r\nContent-Length: 4\r\n\r\ndone");
            await c.Reader.RestAsync();
        });
    }

    public static TheoryData<int, int, bool> Ways
    {
        get
        {
            var rows = new TheoryData<int, int, bool>();
            foreach (int down in new[] { 1, 2 })
                foreach (int up in new[] { 1, 2 })
                    foreach (bool ofCluster in new[] { false, true }) rows.Add(down, up, ofCluster);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task A_filter_that_waits_with_a_piece_is_not_waited_for_when_the_answer_is_complete(int down, int up, bool ofCluster)
    {
        var ended = new ConcurrentQueue<bool>();
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        TestFilter[] two = [Waits(begun, ended), Waits(begun, ended)];
        await using (var bench = new FilterBench(up, ofCluster ? [] : two, ofCluster ? two : null))
        {
            string path = Path(bench, 200, static () => { }, begun.Task);
            await PostPartAsync(bench, down, path, 200);
            await bench.StatAsync("http.test.downstream_rq_completed", 1);
            await bench.StatAsync("cluster.backend.upstream_rq_active", 0);
        }
        // The second never had it.
        Assert.Equal([false], ended);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task A_filter_that_waits_with_a_piece_is_not_waited_for_when_its_try_failed(int down, int up, bool ofCluster)
    {
        var ended = new ConcurrentQueue<bool>();
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        TestFilter waits = Waits(begun, ended);
        await using (var bench = new FilterBench(up, ofCluster ? [] : [waits], ofCluster ? [waits] : null))
        {
            string path = bench.IsHttp2
                ? bench.Http2.Add(async (peer, request) =>
                {
                    await begun.Task;
                    await peer.ResetAsync(request.Id, Naru.Http.Http2.Http2ErrorCode.InternalError);
                })
                : bench.Http1.Add(async (c, _) =>
                {
                    await begun.Task;
                    c.Close();
                });
            await PostPartAsync(bench, down, path, 503);
            await bench.StatAsync("http.test.downstream_rq_completed", 1);
        }
        Assert.Equal([false], ended);
    }

    // A head and a part of the body; the rest never comes.
    private static async Task PostPartAsync(FilterBench bench, int down, string path, int status)
    {
        if (down == 2)
        {
            using Http2Peer peer = await bench.ConnectHttp2Async();
            int id = await peer.OpenAsync("POST", path, [("content-length", "20")], end: false);
            await peer.BodyAsync(id, "12345"u8.ToArray(), end: false);
            Http2Message answer = await peer.EndAsync(id);
            Assert.Equal(status, answer.Status);
            return;
        }
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n12345");
        Assert.Equal(status, (await client.ResponseAsync("POST")).Status);
        Assert.Equal("", await client.RestAsync());
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    public async Task A_clusters_filters_see_each_try_from_its_beginning_to_its_end(int down, int up)
    {
        var told = new ConcurrentQueue<string>();
        int tries = 0;
        var filter = new TestFilter(FilterStages.None)
        {
            Request = call =>
            {
                told.Enqueue($"begin {++call.State.Number} {Interlocked.Increment(ref tries)}");
                return new ValueTask<FilterVerdict>(FilterVerdict.Go);
            },
            Response = call => told.Enqueue($"answer {++call.State.Number} {tries}"),
            End = call => told.Enqueue($"end {++call.State.Number} {tries}"),
        };
        await using (var bench = new FilterBench(up, [], [filter], Retrying(2)))
        {
            int seen = 0;
            string path = Path(bench, 503, () => seen++);
            (int status, string body, _) = await bench.PostAsync(down, path, "content"u8.ToArray());
            Assert.Equal((503, "done", 3), (status, body, seen));
            await bench.StatAsync("http.test.downstream_rq_completed", 1);
        }
        // Answers that were not passed on reached no filter.
        Assert.Equal(["begin 1 1", "end 2 1", "begin 1 2", "end 2 2", "begin 1 3", "answer 2 3", "end 3 3"], told);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    public async Task Tries_that_run_at_once_have_runs_of_their_own(int down, int up)
    {
        var told = new ConcurrentQueue<string>();
        int tries = 0;
        var filter = new TestFilter(FilterStages.RequestBody)
        {
            Request = call =>
            {
                call.State.Number = ++tries;
                return new ValueTask<FilterVerdict>(FilterVerdict.Go);
            },
            RequestBody = (call, piece) =>
            {
                if (piece.End) told.Enqueue($"body {call.State.Number}");
                return new ValueTask<BodyVerdict>(BodyVerdict.Go);
            },
            Response = call => told.Enqueue($"answer {call.State.Number}"),
            End = call => told.Enqueue($"end {call.State.Number}"),
        };
        RouteConfig route = Retrying(1)[0];
        var action = (ForwardActionConfig)route.Action;
        RetryPolicyConfig policy = action.RetryPolicy! with { PerTryTimeout = TimeSpan.FromMilliseconds(30) };
        action = action with { HedgesOnPerTryTimeout = true, RetryPolicy = policy };
        await using (var bench = new FilterBench(up, [], [filter], [route with { Action = action }]))
        {
            var second = new TaskCompletionSource();
            int seen = 0;
            string path;
            if (up == 2)
            {
                path = bench.Http2.Add(async (peer, request) =>
                {
                    await peer.EndAsync(request.Id);
                    if (Interlocked.Increment(ref seen) == 2) second.SetResult();
                    else await second.Task;
                    if (seen == 2) await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "done"u8.ToArray());
                });
            }
            else
            {
                path = bench.Http1.Add(async (c, _) =>
                {
                    if (Interlocked.Increment(ref seen) == 2) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
                    await c.Reader.RestAsync();
                });
            }
            (int status, string body, _) = await bench.PostAsync(down, path, "content"u8.ToArray());
            Assert.Equal((200, "done"), (status, body));
            await bench.StatAsync("http.test.downstream_rq_completed", 1);
        }
        string won = Assert.Single(told, t => t.StartsWith("answer", StringComparison.Ordinal))[^1..];
        Assert.Equal(["body 1", "body 2", $"end {(won == "1" ? 2 : 1)}", $"answer {won}", $"end {won}"], told);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(1, 2)]
    public async Task A_tunnel_whose_answer_a_filter_cuts_never_stands(int down, int up)
    {
        var ended = new ConcurrentQueue<int>();
        var filter = new TestFilter(FilterStages.None) { Passes = static _ => false, End = call => ended.Enqueue(call.Exchange.Status) };
        await using (var bench = new FilterBench(up, [filter], upgrades: ["websocket"]))
        {
            bench.Http2.Settings = [(Naru.Http.Http2.Http2SettingId.EnableConnectProtocol, 1)];
            var closed = new TaskCompletionSource();
            string path = up == 2
                ? bench.Http2.Add(static (peer, request) => peer.HeadersAsync(request.Id, [(":status", "200")], end: false))
                : bench.Http1.Add(async (c, _) =>
                {
                    await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
                    Assert.Empty(await c.Reader.RestAsync());
                    closed.SetResult();
                });
            if (down == 2)
            {
                using Http2Peer peer = await bench.ConnectHttp2Async();
                (string, string)[] head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "x")];
                await peer.HeadersAsync(1, head);
                Http2Message answer = await peer.EndAsync(1);
                Assert.Equal((0, true), (answer.Status, answer.Reset is not null));
            }
            else
            {
                using RawClient client = await bench.ConnectAsync();
                await client.SendAsync($"GET {path} HTTP/1.1\r\n{Handshake}what a tunnel would carry");
                Assert.Equal("", await client.RestAsync());
            }
            if (up == 1) await closed.Task.Within("the endpoint's connection to end");
            await bench.StatAsync("http.test.downstream_rq_active", 0);
            Assert.Equal(0, bench.Stat("http.test.downstream_rq_completed"));
            Assert.Equal(0, bench.Stat("http.test.downstream_cx_upgrades_total"));
            Assert.Equal(0, bench.Stat("http.test.downstream_cx_upgrades_active"));
        }
        Assert.Equal([0], ended);
    }
}

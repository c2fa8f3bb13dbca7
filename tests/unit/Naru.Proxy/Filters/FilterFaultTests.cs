// A filter that throws, in any stage, at once or later: while no head went out the client gets 500, after that the answer is cut; it is
// logged once, nothing of it stays behind, and others are served as before.
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class FilterFaultTests
{
    private static readonly string[] s_stages =
    [
        "request head", "request head, later", "request body", "request body, later", "request trailers", "response head",
        "response body", "response body, later", "response trailers",
    ];

    public static TheoryData<string, bool, int, int> Rows()
    {
        var rows = new TheoryData<string, bool, int, int>();
        foreach (string stage in s_stages)
            foreach (bool ofCluster in new[] { false, true })
                foreach (int down in new[] { 1, 2 })
                    foreach (int up in new[] { 1, 2 }) rows.Add(stage, ofCluster, down, up);
        return rows;
    }

    // Throws in its stage where it is armed, "later" after a wait.
    private sealed class Thrower(string stage) : HttpFilter
    {
        public bool Armed { get; set; }

        public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.RequestTrailers
            | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.ResponseTrailers;

        private bool Throws(string here) => Armed && stage.StartsWith(here, StringComparison.Ordinal);

        private async ValueTask AtAsync(FilterCall call, string here)
        {
            if (!Throws(here)) return;
            if (stage.EndsWith("later", StringComparison.Ordinal)) await call.DelayAsync(1);
            throw new InvalidOperationException("thrown by a filter");
        }

        public override async ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
        {
            call.Want(FilterStages.RequestBody | FilterStages.RequestTrailers);
            await AtAsync(call, "request head");
            return FilterVerdict.Go;
        }

        public override async ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
        {
            await AtAsync(call, "request body");
            return BodyVerdict.Go;
        }

        public override ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last) => AtAsync(call, "request trailers");

        public override async ValueTask<bool> OnResponseAsync(FilterCall call)
        {
            call.Want(FilterStages.ResponseBody | FilterStages.ResponseTrailers);
            await AtAsync(call, "response head");
            return true;
        }

        public override async ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
        {
            await AtAsync(call, "response body");
            return BodyVerdict.Go;
        }

        public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last) => AtAsync(call, "response trailers");
    }

    // Deadlines run on each request.
    private static readonly RouteConfig[] s_routes =
    [
        new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" },
            Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig("backend", 1)], Timeout = TimeSpan.FromMinutes(5) },
        },
    ];

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task A_filter_that_throws_ends_its_exchange_alone(string stage, bool ofCluster, int down, int up)
    {
        var thrower = new Thrower(stage);
        await using var bench = new FilterBench(up, ofCluster ? [] : [thrower], ofCluster ? [thrower] : [], s_routes);
        string path = up == 1
            ? bench.Http1.Add(async (c, head) =>
            {
                await c.Reader.RequestBodyAsync(head);
                await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
            })
            : bench.Http2.Answer([(":status", "200")], "hello"u8.ToArray(), [("x-t", "1")]);
        Assert.Equal((200, "hello"), await AskAsync(bench, down, path));
        string before = await SettledAsync(bench);

        thrower.Armed = true;
        (int Status, string Text)? said = null;
        bool answered = !stage.StartsWith("response body", StringComparison.Ordinal) && stage != "response trailers";
        if (down == 1 && answered)
        {
            using RawClient client = await bench.ConnectAsync();
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
            await client.TrySendAsync("2\r\nhi\r\n0\r\nx-sent: 1\r\n\r\n");
            HttpMessage got = await client.ResponseAsync("POST");
            said = (got.Status, got.Text);
        }
        else if (down == 1)
        {
            using RawClient client = await bench.ConnectAsync();
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
            await client.TrySendAsync("2\r\nhi\r\n0\r\nx-sent: 1\r\n\r\n");
            string got = await client.RestAsync();
            Assert.DoesNotContain("0\r\n", got[Math.Min(got.Length, got.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
            Assert.True(got.Length == 0 || got.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal), got);
        }
        else
        {
            using Http2Peer peer = await bench.ConnectHttp2Async();
            int id = await peer.OpenAsync("POST", path, end: false);
            await peer.TrySendAsync((byte[])[.. Http2Bytes.Data(id, "hi"u8), .. Http2Bytes.Headers(id, [("x-sent", "1")], true)]);
            Http2Message answer = await peer.EndAsync(id);
            if (answered) said = (answer.Status, answer.Text);
            else Assert.Equal((false, Http2ErrorCode.InternalError), (answer.Ended, answer.Reset));
            // The connection goes on.
            thrower.Armed = false;
            Assert.Equal(200, (await peer.ExchangeAsync("GET", path)).Status);
        }
        thrower.Armed = false;

        await Waiting.UntilAsync(() => !bench.Faults.IsEmpty, "the exception to be logged");
        Assert.Contains("thrown by a filter", Assert.Single(bench.Faults), StringComparison.Ordinal);
        bench.Faults.Clear();
        if (answered)
        {
            Assert.Equal(500, said?.Status);
            Assert.StartsWith("NARU-F502 an HTTP filter failed", said?.Text);
        }
        await bench.StatAsync("http.test.downstream_rq_active", 0);
        await bench.StatAsync("cluster.backend.upstream_rq_active", 0);
        Assert.Equal((200, "hello"), await AskAsync(bench, down, path));
        Assert.Equal(before, await SettledAsync(bench, before));
    }

    private static async Task<(int, string)> AskAsync(FilterBench bench, int down, string path)
    {
        (int status, string body, _) = await bench.PostAsync(down, path, Encoding.ASCII.GetBytes("hi"), chunked: true, "1");
        return (status, body);
    }

    // The ledger once it is what is wanted, or stands still.
    private static async Task<string> SettledAsync(FilterBench bench, string? wanted = null)
    {
        string last = "";
        int same = 0;
        try
        {
            await Waiting.UntilAsync(async () =>
            {
                string now = await bench.LedgerAsync();
                same = now == last ? same + 1 : 0;
                last = now;
                return wanted is null ? same > 5 : now == wanted;
            }, "the ledger", TimeSpan.FromSeconds(wanted is null ? 30 : 10));
        }
        catch (TimeoutException)
        {
            // What it is then is what the test shows.
        }
        return last;
    }
}

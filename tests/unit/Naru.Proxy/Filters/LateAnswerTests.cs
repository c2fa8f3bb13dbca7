// A filter that answers when somebody else is about to: whoever is first is the client's answer, and there is no second one behind it,
// which would be taken for the next request's.
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class LateAnswerTests
{
    private static readonly Reason s_refused = new(418, "T-1", "no", Naru.Telemetry.ResponseFlags.None, "test") { Body = "refused" };

    // Bad answers lead to the same cluster once more.
    private static RouteConfig[] FallingBack(bool hedges) =>
    [
        new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" },
            Action = new ForwardActionConfig
            {
                Clusters = [new WeightedClusterConfig("backend", 1)],
                Fallback = new FallbackConfig("backend", 200, [], "text/plain", [503]),
                HedgesOnPerTryTimeout = hedges,
                RetryPolicy = hedges
                    ? new RetryPolicyConfig { On = RetryOn.ConnectFailure, NumRetries = 1, PerTryTimeout = TimeSpan.FromHours(1) } : null,
            },
        },
    ];

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public async Task One_that_answers_while_a_bad_answer_is_put_away_for_a_fallback_is_the_only_answer(int down, bool hedges)
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var late = new TestFilter(FilterStages.RequestBody)
        {
            RequestBody = async (call, piece) =>
            {
                if (!piece.Bytes.Contains((byte)'#')) return BodyVerdict.Go;
                begun.TrySetResult();
                await call.DelayAsync(300);
                call.Refuse(s_refused);
                return BodyVerdict.Answer;
            },
        };
        int requests = 0;
        await using var bench = new FilterBench(1, [late], routes: FallingBack(hedges));
        string path = bench.Http1.Add(async (connection, _) =>
        {
            Interlocked.Increment(ref requests);
            await begun.Task.Within("the filter to have what it answers for");
            await connection.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        });
        if (down == 1)
        {
            using RawClient client = await bench.ConnectAsync();
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
            await client.SendAsync("1\r\n#\r\n");
            Assert.Equal(418, (await client.ResponseAsync("POST")).Status);
            Assert.Equal("", await client.RestAsync());
        }
        else
        {
            using Http2Peer peer = await bench.ConnectHttp2Async();
            int id = await peer.OpenAsync("POST", path, end: false);
            await peer.DataAsync(id, "a");
            await peer.DataAsync(id, "#");
            Assert.Equal(418, (await peer.HeadAsync(id)).Status);
            await peer.WaitAsync(() => peer[id].IsOver, "the end of the answer");
        }
        Assert.Equal(1, requests);
        await bench.StatAsync("cluster.backend.upstream_rq_active", 0);
    }
}

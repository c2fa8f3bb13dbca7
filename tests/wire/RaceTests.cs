// Tries beside tries (hedge_policy): one whose time is over goes on, another begins beside it, and the better answer is the client's. No
// test waits for more than what the backend was told to wait for.
using System.Collections.Concurrent;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RaceTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };
    private const string Hedges = "hedge_policy: { hedge_on_per_try_timeout: true }\n";
    private const string Retries =
        "retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.05s, retry_back_off: { base_interval: 0.002s } }\n";

    private const string Unrelated = "retry_policy: { retry_on: retriable-4xx, num_retries: 1, per_try_timeout: 60s }\n";

    // Requests in the order in which they came, each answered when the test says so; the end of its connection or stream is told.
    private sealed class Backend : IAsyncDisposable
    {
        private readonly Witness? _http1;
        private readonly Http2Backend? _http2;
        private readonly TaskCompletionSource<int>[] _answers = [.. Enumerable.Range(0, 8).Select(_ => new TaskCompletionSource<int>())];
        private int _count;

        public Backend(int up)
        {
            if (up == 1)
            {
                _http1 = new Witness(async c =>
                {
                    while (await c.RequestAsync() is { } request)
                    {
                        int index = Came(request.Text);
                        Task rest = c.Reader.RestAsync().AsTask();
                        Task<int> answer = _answers[index].Task;
                        if (await Task.WhenAny(answer, rest) == rest)
                        {
                            Lost.Enqueue(index);
                            return;
                        }
                        if (await answer == 0) return;
                        string body = $"answer {index}";
                        await c.SendAsync($"HTTP/1.1 {await answer} It\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{body}");
                        return;
                    }
                });
                return;
            }
            _http2 = new Http2Backend();
            _http2.At("/a", async (peer, request) =>
            {
                await peer.EndAsync(request.Id);
                int index = Came(request.Text);
                Task<int> answer = _answers[index].Task;
                Task reset = peer.WaitAsync(() => request.Reset is not null, "an answer or its end", orClosed: true);
                if (await Task.WhenAny(answer, reset) == reset)
                {
                    Lost.Enqueue(index);
                    return;
                }
                if (await answer == 0) await peer.ResetAsync(request.Id, Http2ErrorCode.InternalError);
                else await Http2Backend.AnswerAsync(peer, request, [(":status", $"{await answer}")], Encoding.ASCII.GetBytes($"answer {index}"));
            });
        }

        public int Port => _http1?.Port ?? _http2!.Port;
        public string Cluster => _http1 is null ? Bootstraps.Http2Cluster : "";
        public ConcurrentQueue<string> Bodies { get; } = new();
        public ConcurrentQueue<int> Lost { get; } = new();

        public Task CameAsync(int requests) => Waiting.UntilAsync(() => Bodies.Count == requests, $"{requests} requests");

        public Task LostAsync(params int[] those) =>
            Waiting.UntilAsync(() => Lost.Order().SequenceEqual(those), $"the ends of {string.Join(", ", those)}");

        /// <summary>The answer's status; 0 is none, but an end.</summary>
        public void Answer(int index, int status) => _answers[index].SetResult(status);

        private int Came(string body)
        {
            Bodies.Enqueue(body);
            return _count++;
        }

        public async ValueTask DisposeAsync()
        {
            if (_http1 is not null) await _http1.DisposeAsync();
            if (_http2 is not null) await _http2.DisposeAsync();
        }
    }

    private static Task<ProxyProcess> StartAsync(Backend backend, string route = Hedges + Retries, string cluster = "") =>
        ProxyProcess.StartAsync(Bootstraps.One(backend.Port, "", route, $"{backend.Cluster}\n{cluster}"), s_oneWorker);

    private static string Get(string headers = "") => $"GET /a HTTP/1.1\r\nHost: x\r\n{headers}\r\n";

    private static Task OneLeftAsync(ProxyProcess proxy) =>
        Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 1, "one try to end");

    public static TheoryData<int, int> Ways => new() { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 2, 2 } };

    private static async Task<(int Status, string Text)> AskAsync(
        ProxyProcess proxy, int down, Func<Task> meanwhile, string body = "", bool chunked = false)
    {
        if (down == 2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            int id = await peer.OpenAsync(body.Length > 0 ? "POST" : "GET", "/a", end: body.Length == 0);
            if (body.Length > 0) await peer.BodyAsync(id, Encoding.ASCII.GetBytes(body));
            await meanwhile();
            Http2Message answer = await peer.EndAsync(id);
            return (answer.Status, answer.Text);
        }
        using RawClient client = await proxy.ConnectAsync();
        string framing = chunked ? "Transfer-Encoding: chunked\r\n" : $"Content-Length: {body.Length}\r\n";
        if (body.Length == 0) await client.SendAsync(Get());
        else await client.SendAsync($"POST /a HTTP/1.1\r\nHost: x\r\n{framing}\r\n");
        if (body.Length > 0) await client.SendAsync(chunked ? $"{body.Length:x}\r\n{body}\r\n0\r\n\r\n" : body);
        await meanwhile();
        HttpMessage said = await client.ResponseAsync(body.Length > 0 ? "POST" : "GET");
        return (said.Status, said.Text);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task The_first_good_answer_is_the_clients_and_the_other_try_is_reset(int down, int up)
    {
        foreach (int winner in new[] { 0, 1 })
        {
            await using var backend = new Backend(up);
            await using ProxyProcess proxy = await StartAsync(backend);
            IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
            (int, string) answer = await AskAsync(proxy, down, async () =>
            {
                await backend.CameAsync(2);
                Assert.Empty(backend.Lost);
                backend.Answer(winner, 200);
            });
            Assert.Equal((200, $"answer {winner}"), answer);
            await backend.LostAsync(1 - winner);
            Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
            Assert.Equal(winner, await proxy.StatAsync("cluster.backend.upstream_rq_retry_success"));
            Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout"));
            Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
            await proxy.SettleAsync(before);
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task A_bad_answer_is_not_taken_while_another_try_may_bring_a_better_one(int down, int up)
    {
        // An answer that would be retried, or none.
        foreach (int status in new[] { 503, 0 })
        {
            foreach (int bad in new[] { 0, 1 })
            {
                await using var backend = new Backend(up);
                await using ProxyProcess proxy = await StartAsync(backend);
                IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
                (int, string) answer = await AskAsync(proxy, down, async () =>
                {
                    await backend.CameAsync(2);
                    backend.Answer(bad, status);
                    await OneLeftAsync(proxy);
                    backend.Answer(1 - bad, 200);
                });
                Assert.Equal((200, $"answer {1 - bad}"), answer);
                await proxy.SettleAsync(before);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task The_last_bad_answer_is_the_clients_when_all_are(int down, int up)
    {
        await using var backend = new Backend(up);
        await using ProxyProcess proxy = await StartAsync(backend);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        (int, string) answer = await AskAsync(proxy, down, async () =>
        {
            await backend.CameAsync(2);
            backend.Answer(1, 503);
            await OneLeftAsync(proxy);
            backend.Answer(0, 500);
        });
        Assert.Equal((500, "answer 0"), answer);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task The_routes_timeout_ends_all_tries_and_counts_each(int down, int up)
    {
        await using var backend = new Backend(up);
        await using ProxyProcess proxy = await StartAsync(backend, $"{Hedges}{Retries}timeout: 1s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal(504, (await AskAsync(proxy, down, () => backend.CameAsync(2))).Status);
        await backend.LostAsync(0, 1);
        Assert.Equal(2, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
        Assert.Equal(2, await proxy.StatAsync("cluster.backend.upstream_rq_504"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(1, 1, 10, false)]
    [InlineData(1, 1, 30_000, false)]
    [InlineData(1, 2, 30_000, true)]
    [InlineData(2, 1, 30_000, false)]
    [InlineData(2, 2, 30_000, false)]
    public async Task Each_try_sends_the_whole_body(int down, int up, int length, bool chunked)
    {
        string body = string.Concat(Enumerable.Range(0, length).Select(i => (char)('a' + i % 26)));
        await using var backend = new Backend(up);
        string twice = Retries.Replace("num_retries: 1", "num_retries: 2", StringComparison.Ordinal);
        await using ProxyProcess proxy = await StartAsync(backend, Hedges + twice);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        (int, string) answer = await AskAsync(proxy, down, async () =>
        {
            await backend.CameAsync(3);
            backend.Answer(1, 200);
        }, body, chunked);
        Assert.Equal((200, "answer 1"), answer);
        Assert.Equal([body, body, body], backend.Bodies);
        await proxy.SettleAsync(before);
    }

    // What an endpoint says it has not processed is sent anew though no retry was asked for, and though it was the first try.
    [Theory]
    [InlineData(10)]
    [InlineData(60_000)]
    public async Task A_body_that_nobody_has_processed_is_sent_anew_from_its_first_byte(int length)
    {
        string body = string.Concat(Enumerable.Range(0, length).Select(i => (char)('a' + i % 26)));
        var bodies = new ConcurrentQueue<string>();
        await using var backend = new Http2Backend();
        string warm = backend.Answer([(":status", "200")]);
        backend.At("/a", async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            bodies.Enqueue(request.Text);
            if (bodies.Count == 1) await peer.GoAwayAsync(request.Id - 2);
            else await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "done"u8.ToArray());
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, "", Hedges + Unrelated, Bootstraps.Http2Cluster), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync($"GET {warm} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        await client.SendAsync($"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        await Waiting.UntilAsync(() => backend.Seen("/a").Count == 1, "the head");
        await client.SendAsync(body);
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal((200, "done"), (answer.Status, answer.Text));
        Assert.Equal([body, body], bodies);
    }

    [Fact]
    public async Task A_body_that_is_too_long_to_be_kept_is_sent_once()
    {
        await using var backend = new Backend(1);
        await using ProxyProcess proxy = await StartAsync(backend, $"{Hedges}{Retries}timeout: 1s");
        (int status, _) = await AskAsync(proxy, 1, () => backend.CameAsync(1), new string('x', 1_200_000));
        Assert.Equal(504, status);
        Assert.Single(backend.Bodies);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_client_that_leaves_ends_all_tries(int up)
    {
        await using var backend = new Backend(up);
        await using ProxyProcess proxy = await StartAsync(backend);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(Get());
            await backend.CameAsync(2);
        }
        await backend.LostAsync(0, 1);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("", "circuit_breakers: { thresholds: [{ max_retries: 0 }] }")]
    [InlineData("num_retries: 0", "")]
    public async Task A_try_whose_time_is_over_goes_on_alone_where_no_retry_is_left(string retries, string cluster)
    {
        await using var backend = new Backend(1);
        string policy = retries.Length == 0 ? Retries : Retries.Replace("num_retries: 1", retries, StringComparison.Ordinal);
        await using ProxyProcess proxy = await StartAsync(backend, Hedges + policy, cluster);
        string refused = retries.Length == 0 ? "upstream_rq_retry_overflow" : "upstream_rq_retry_limit_exceeded";
        (int, string) answer = await AskAsync(proxy, 1, async () =>
        {
            await Waiting.UntilAsync(async () => await proxy.StatAsync($"cluster.backend.{refused}") == 1, "the refusal of a second try");
            backend.Answer(0, 200);
        });
        Assert.Equal((200, "answer 0"), answer);
        Assert.Single(backend.Bodies);
    }

    [Fact]
    public async Task Two_tries_that_failed_are_one_answer()
    {
        await using var backend = new Backend(1);
        await using ProxyProcess proxy = await StartAsync(backend);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        (int status, _) = await AskAsync(proxy, 1, async () =>
        {
            await backend.CameAsync(2);
            backend.Answer(0, 0);
            backend.Answer(1, 0);
        });
        Assert.Equal(503, status);
        await proxy.SettleAsync(before);
    }

    // What a route says stands in place of what its virtual host does, and a trusted client's word in place of both.
    [Theory]
    [InlineData("hedge_policy: { hedge_on_per_try_timeout: true }", "", "", 200)]
    [InlineData("hedge_policy: { hedge_on_per_try_timeout: true }", "hedge_policy: {}", "", 504)]
    [InlineData("", "hedge_policy: { hedge_on_per_try_timeout: true }", "", 200)]
    [InlineData("", "", "true", 200)]
    [InlineData("", "", "soon", 504)]
    [InlineData("", "hedge_policy: { hedge_on_per_try_timeout: true }", "false", 504)]
    public async Task Who_says_last_whether_to_hedge(string host, string route, string header, int status)
    {
        await using var backend = new Backend(1);
        string hosts = $$"""
            - name: all
              domains: ["*"]
            {{Bootstraps.Indent(host, 2)}}
              routes:
              - match: { prefix: "/" }
                route:
                  cluster: backend
            {{Bootstraps.Indent(route, 6)}}
            {{Bootstraps.Indent(Retries, 6)}}
            """;
        const string Trusts = "use_remote_address: true\n"
            + "internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Hosts(hosts, [new TestCluster("backend", [backend.Port])], Trusts), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(Get(header.Length > 0 ? $"x-envoy-hedge-on-per-try-timeout: {header}\r\n" : ""));
        await backend.CameAsync(2);
        if (status == 200)
        {
            Assert.Empty(backend.Lost);
            backend.Answer(0, 200);
        }
        Assert.Equal(status, (await client.ResponseAsync()).Status);
    }
}

// What a retry policy may say besides its conditions: which requests it is for, what of an answer's fields asks for another try, how long
// to wait when the endpoint says so, how long a try may be silent, and how much of a body is kept.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RetryPolicyTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Answer(int status, string body, string headers = "") =>
        $"HTTP/1.1 {status} It\r\n{headers}Content-Length: {body.Length}\r\n\r\n{body}";

    private static string Request(string method, string path, string body = "", string headers = "") =>
        $"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{(body.Length > 0 ? $"Content-Length: {body.Length}\r\n" : "")}\r\n{body}";

    // Answers in turn; the last one stays. "silent" says nothing more until the other side is gone.
    private static Witness Answers(params string[] answers)
    {
        int next = -1;
        return new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                string answer = answers[Math.Min(Interlocked.Increment(ref next), answers.Length - 1)];
                bool silent = answer.EndsWith("silent", StringComparison.Ordinal);
                if (silent) answer = answer[..^"silent".Length];
                if (answer.Length > 0) await c.SendAsync(answer);
                if (silent) await c.Reader.RestAsync();
            }
        });
    }

    private static Task<ProxyProcess> StartAsync(Witness witness, string policy, string more = "") =>
        ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: $"retry_policy: {{ {policy} }}{more}"), s_oneWorker);

    [Theory]
    [InlineData("{ name: x-stale, present_match: true }", "X-Stale: yes\r\n", true)]
    [InlineData("{ name: x-stale, present_match: true }", "X-Fresh: yes\r\n", false)]
    [InlineData("{ name: x-stock, string_match: { contains: \" of \" } }", "X-Stock: 3 of 8\r\n", true)]
    [InlineData("{ name: x-stock, string_match: { contains: \" of \" } }", "X-Stock: all\r\n", false)]
    [InlineData("{ name: \":status\", string_match: { exact: \"203\" } }", "", true)]
    public async Task An_answer_whose_fields_fit_is_tried_again_whatever_its_status(string matcher, string headers, bool again)
    {
        await using Witness witness = Answers(Answer(203, "first", headers), Answer(200, "second"));
        await using ProxyProcess proxy = await StartAsync(witness, $"retry_on: retriable-headers, retriable_headers: [{matcher}]");
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal(again ? (200, "second") : (203, "first"), (answer.Status, answer.Text));
        Assert.Equal(again ? 1 : 0, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
    }

    [Theory]
    [InlineData("GET", "", true)]
    [InlineData("POST", "", false)]
    [InlineData("POST", "X-Again:\r\n", true)]
    public async Task A_policy_may_be_for_some_requests_only(string method, string headers, bool again)
    {
        await using Witness witness = Answers(Answer(500, "no"), Answer(200, "good"));
        await using ProxyProcess proxy = await StartAsync(
            witness, "retry_on: 5xx, retriable_request_headers: [{ name: \":method\", string_match: { exact: GET } }, "
                + "{ name: x-again, present_match: true }]");
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request(method, "/a", method == "GET" ? "" : "content", headers));
        Assert.Equal(again ? (200, "good") : (500, "no"), (answer.Status, answer.Text));
        Assert.Equal(again ? 2 : 1, witness.Requests.Count);
    }

    [Theory]
    [InlineData("Retry-After: 1\r\n", true)]
    [InlineData("retry-after: 60\r\n", false)]
    [InlineData("Retry-After: soon\r\n", false)]
    [InlineData("Retry-After: 1.5\r\n", false)]
    [InlineData("Retry-After: -1\r\n", false)]
    [InlineData("Retry-After: 0\r\n", false)]
    [InlineData("", false)]
    public async Task A_retry_waits_as_long_as_the_endpoint_says_where_that_can_be_believed(string headers, bool told)
    {
        await using Witness witness = Answers(Answer(429, "wait", headers), Answer(200, "good"));
        await using ProxyProcess proxy = await StartAsync(witness,
            "retry_on: retriable-status-codes, retriable_status_codes: [429], retry_back_off: { base_interval: 0.001s }, " +
            "rate_limited_retry_back_off: { reset_headers: [{ name: Retry-After, format: SECONDS }], max_interval: 20s }");
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal((200, "good"), (answer.Status, answer.Text));
        Assert.Equal(told ? 1 : 0, await proxy.StatAsync("cluster.backend.upstream_rq_retry_backoff_ratelimited"));
        Assert.Equal(told ? 0 : 1, await proxy.StatAsync("cluster.backend.upstream_rq_retry_backoff_exponential"));
    }

    [Fact]
    public async Task Who_came_too_early_is_asked_again_without_a_back_off()
    {
        await using Witness witness = Answers(Answer(425, "early"), Answer(200, "good"));
        await using ProxyProcess proxy = await StartAsync(
            witness, "retry_on: retriable-status-codes, retriable_status_codes: [425], "
                + "retry_back_off: { base_interval: 3600s, max_interval: 3600s }");
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal((200, "good"), (answer.Status, answer.Text));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_retry_backoff_exponential"));
    }

    [Fact]
    public async Task A_try_that_is_silent_is_tried_again_and_then_given_up()
    {
        await using Witness witness = Answers("silent", Answer(200, "good"), "silent");
        await using ProxyProcess proxy = await StartAsync(
            witness, "retry_on: 5xx, per_try_idle_timeout: 0.1s, retry_back_off: { base_interval: 0.001s }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage first = await client.ExchangeAsync(Request("GET", "/a"));
        HttpMessage second = await client.ExchangeAsync(Request("GET", "/b"));
        Assert.Equal((200, "good"), (first.Status, first.Text));
        Assert.Equal(504, second.Status);
        Assert.Equal(3, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_idle_timeout"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task An_answer_that_falls_silent_is_cut()
    {
        await using Witness witness = Answers("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nbeginningsilent");
        await using ProxyProcess proxy = await StartAsync(witness, "retry_on: 5xx, per_try_idle_timeout: 0.1s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(Request("GET", "/a"));
        string all = Encoding.Latin1.GetString(await client.Reader.RestAsync());
        Assert.EndsWith("beginning", all, StringComparison.Ordinal);
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_idle_timeout"));
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_tx_reset"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(3000, false, true)]
    [InlineData(20_000, false, false)]
    [InlineData(20_000, true, false)]
    public async Task A_body_longer_than_the_connections_limit_goes_through_and_is_not_sent_again(int length, bool chunked, bool again)
    {
        await using Witness witness = Answers(Answer(503, "no"), Answer(200, "good"));
        string yaml = Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx, retry_back_off: { base_interval: 0.001s } }")
            .Replace("filter_chains:", "per_connection_buffer_limit_bytes: 4096\n    filter_chains:", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(yaml, s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        string body = new('x', length);
        HttpMessage answer = await client.ExchangeAsync(chunked
            ? $"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            : Request("POST", "/a", body));
        Assert.Equal(again ? 200 : 503, answer.Status);
        Assert.All(witness.Requests, r => Assert.Equal(length, r.Text.Length));
        await proxy.SettleAsync(before);
        // Counted behind the answer.
        Assert.Equal(again ? 0 : 1, await proxy.StatAsync("cluster.backend.retry_or_shadow_abandoned"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_retry_limit_exceeded"));
    }
}

// What is tried again, and what reaches the client when nothing more is: the last real answer, never a story of ours in its place.
using System.Collections.Concurrent;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RetryTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    // What a control plane sends for routes whose retries nobody wrote.
    private const string Unwritten = "retry_policy: { retry_on: \"connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes\", num_retries: 2 }";

    private static string Request(string method, string path, string body = "", string headers = "") =>
        $"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{(body.Length > 0 || method == "POST" ? $"Content-Length: {body.Length}\r\n" : "")}\r\n{body}";

    // Answers in turn; the last one stays. "" closes the connection, "silent" waits for its end.
    private static Witness Answers(params string[] answers)
    {
        int next = -1;
        return new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                string answer = answers[Math.Min(Interlocked.Increment(ref next), answers.Length - 1)];
                if (answer.Length == 0) return;
                if (answer == "silent") await c.Reader.RestAsync();
                else await c.SendAsync(answer);
                if (answer.EndsWith("half a he", StringComparison.Ordinal)) return;
            }
        });
    }

    private static string Answer(int status, string body, string headers = "") => $"HTTP/1.1 {status} It\r\n{headers}Content-Length: {body.Length}\r\n\r\n{body}";

    public static TheoryData<string, string, string> Methods
    {
        get
        {
            var rows = new TheoryData<string, string, string>();
            foreach (string method in new[] { "GET", "POST", "PATCH", "PUT", "DELETE", "PURGE" })
            {
                rows.Add(method, "5xx", Answer(503, "no"));
                rows.Add(method, "gateway-error", Answer(502, "no"));
                rows.Add(method, "retriable-4xx", Answer(409, "no"));
                rows.Add(method, "retriable-status-codes", Answer(429, "no"));
                rows.Add(method, "reset", "");
                rows.Add(method, "gateway-error", "");
                rows.Add(method, "5xx", "");
                rows.Add(method, "5xx", "HTTP/1.1 200 half a he");
                rows.Add(method, "envoy-ratelimited", Answer(503, "no", "x-envoy-ratelimited: true\r\n"));
            }
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public async Task What_a_route_says_is_retried_whatever_the_method(string method, string on, string first)
    {
        await using Witness witness = Answers(first, Answer(200, "good"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: $"retry_policy: {{ retry_on: \"{on}\", retriable_status_codes: [429] }}"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request(method, "/a", method == "GET" ? "" : "content"));
        Assert.Equal((200, "good"), (answer.Status, answer.Text));
        Assert.Equal(2, witness.Requests.Count);
        Assert.Equal(witness.Requests[0].Text, witness.Requests[1].Text);
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
    }

    [Theory]
    [InlineData("5xx", 409)]
    [InlineData("gateway-error", 500)]
    [InlineData("retriable-4xx", 404)]
    [InlineData("connect-failure", 503)]
    [InlineData("reset-before-request", 503)]
    public async Task What_a_route_does_not_name_is_passed_on(string on, int status)
    {
        await using Witness witness = Answers(Answer(status, "as it is"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: $"retry_policy: {{ retry_on: \"{on}\" }}"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal((status, "as it is"), (answer.Status, answer.Text));
        Assert.Single(witness.Requests);
    }

    [Theory]
    [InlineData("5xx", "5xx,envoy-ratelimited", 2)]
    [InlineData("5xx", "5xx", 1)]
    [InlineData("retriable-status-codes", "retriable-status-codes", 1)]
    public async Task An_answer_that_was_rate_limited_is_retried_only_where_that_is_named(string _, string on, int requests)
    {
        await using Witness witness = Answers(Answer(503, "slower", "x-envoy-ratelimited: true\r\n"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: $"retry_policy: {{ retry_on: \"{on}\", retriable_status_codes: [503] }}"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("slower", (await client.ExchangeAsync(Request("GET", "/a"))).Text);
        Assert.Equal(requests, witness.Requests.Count);
    }

    [Theory]
    [InlineData(409, "retriable-4xx", "max_retries: 0", 1, "UO")]
    [InlineData(503, "5xx", "max_retries: 0", 1, "UO")]
    [InlineData(503, "gateway-error", "max_retries: 0", 0, "URX")]
    [InlineData(503, "5xx", "max_retries: 9", 0, "URX")]
    [InlineData(503, "5xx", "max_retries: 9", 2, "URX")]
    public async Task The_last_real_answer_reaches_the_client(int status, string on, string limits, int retries, string flag)
    {
        foreach (string method in new[] { "GET", "POST" })
        {
            await using Witness witness = Answers(Answer(status, "the reason why", "x-own: 1\r\n"));
            using var folder = new TempFolder();
            string log = folder.At("log");
            string logs = $$"""
                access_log:
                - name: envoy.access_loggers.file
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                    path: {{log}}
                    log_format: { text_format_source: { inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n" } }
                """;
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(
                Bootstraps.One(witness.Port, logs, $"retry_policy: {{ retry_on: \"{on}\", num_retries: {retries} }}", $"circuit_breakers: {{ thresholds: [{{ {limits} }}] }}"), s_oneWorker);
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync(Request(method, "/a", method == "GET" ? "" : "content"));
            Assert.Equal((status, "the reason why", "1"), (answer.Status, answer.Text, answer.Header("x-own")));
            Assert.Equal(flag == "UO" ? 1 : 1 + retries, witness.Requests.Count);
            Assert.Equal(1, await proxy.StatAsync(flag == "UO" ? "cluster.backend.upstream_rq_retry_overflow" : "cluster.backend.upstream_rq_retry_limit_exceeded"));
            Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_retry_active"));
            await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).Length > 0, "the log line");
            Assert.Equal($"{status} {flag} via_upstream\n", File.ReadAllText(log));
            // The connection was not harmed by it.
            Assert.Equal(status, (await client.ExchangeAsync(Request("GET", "/b"))).Status);
        }
    }

    [Fact]
    public async Task An_answer_is_kept_where_the_content_is_gone()
    {
        await using Witness witness = Answers(Answer(503, "too much"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx, num_retries: 3 }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("too much", (await client.ExchangeAsync(Request("POST", "/a", new string('x', 2_000_000)))).Text);
        Assert.Single(witness.Requests);
    }

    // As much as Envoy keeps (per_connection_buffer_limit_bytes).
    [Theory]
    [InlineData(70_000, false)]
    [InlineData(1 << 20, false)]
    [InlineData(1 << 20, true)]
    public async Task A_body_of_up_to_1_MiB_is_sent_again(int bytes, bool chunked)
    {
        await using Witness witness = Answers(Answer(503, "no"), Answer(200, "good"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        string body = new('x', bytes);
        string request = chunked
            ? $"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"
            : Request("POST", "/a", body);
        Assert.Equal("good", (await client.ExchangeAsync(request)).Text);
        Assert.Equal([bytes, bytes], witness.Requests.Select(r => r.Body.Length));
    }

    [Theory]
    [InlineData("")]
    [InlineData(Unwritten)]
    public async Task What_nobody_asked_for_is_not_done_twice(string route)
    {
        foreach (string answer in new[] { Answer(503, "no"), "" })
        {
            await using Witness witness = Answers(answer);
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: route), s_oneWorker);
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal(503, (await client.ExchangeAsync(Request("POST", "/pay", "money"))).Status);
            Assert.Single(witness.Requests);
        }
    }

    [Theory]
    [InlineData("5xx")]
    [InlineData("gateway-error")]
    [InlineData("reset")]
    public async Task A_try_whose_time_is_up_is_followed_by_another(string on)
    {
        await using Witness witness = Answers("silent", Answer(200, "good"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: $"timeout: 0s\nretry_policy: {{ retry_on: \"{on}\", per_try_timeout: 0.1s }}"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("good", (await client.ExchangeAsync(Request("POST", "/a", "content"))).Text);
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout"));
    }

    [Theory]
    [InlineData("connect-failure", 2)]
    [InlineData("gateway-error", 2)]
    [InlineData("5xx", 2)]
    [InlineData("reset", 2)]
    [InlineData("retriable-status-codes", 0)]
    public async Task A_connection_that_is_refused_is_retried_as_the_route_says(string on, int retries)
    {
        int port;
        await using (var gone = new Witness()) port = gone.Port;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(port, route: $"retry_policy: {{ retry_on: \"{on}\", num_retries: 2, retriable_status_codes: [503] }}"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(503, (await client.ExchangeAsync(Request("POST", "/a", "content"))).Status);
        Assert.Equal(retries, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
    }

    [Fact]
    public async Task An_answer_before_the_request_is_whole_is_retried_with_all_of_it()
    {
        var bodies = new ConcurrentQueue<string>();
        int heads = 0;
        await using var witness = new Witness(async c =>
        {
            if (await c.Reader.HeadAsync() is not { } head) return;
            if (Interlocked.Increment(ref heads) == 1)
            {
                await c.SendAsync(Answer(503, "early", "Connection: close\r\n"));
                await c.Reader.RestAsync();
                return;
            }
            await c.Reader.RequestBodyAsync(head);
            bodies.Enqueue(head.Text);
            await c.OkAsync("whole");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst");
        await Waiting.UntilAsync(() => Volatile.Read(ref heads) == 2, "the second try");
        await client.SendAsync("other");
        Assert.Equal("whole", (await client.ResponseAsync("POST")).Text);
        Assert.Equal(["firstother"], bodies);
    }
}

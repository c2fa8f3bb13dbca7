// Connections to backends: reused, never longer than the backend keeps them, and a request is sent twice only when it may be.
using System.Collections.Concurrent;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class PoolTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Request(string method, string path, string body = "") =>
        $"{method} {path} HTTP/1.1\r\nHost: x\r\n{(body.Length > 0 ? $"Content-Length: {body.Length}\r\n" : "")}\r\n{body}";

    [Fact]
    public async Task One_after_another_requests_share_one_connection()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        for (int i = 0; i < 10; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal(200, (await client.ExchangeAsync(Request("GET", "/a"))).Status);
        }
        Assert.Single(witness.Connections);
        Assert.Equal(10, witness.Requests.Count);
    }

    [Fact]
    public async Task A_connection_whose_backend_says_close_is_not_used_again()
    {
        await using var witness = new Witness(async c =>
        {
            // Says close and does not close: using it again would hang.
            if (await c.RequestAsync() is not null) await c.OkAsync("ok", "Connection: close\r\n");
            await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 5; i++)
        {
            HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
            Assert.Equal("ok", answer.Text);
            Assert.False(answer.Has("connection"));
        }
        Assert.Equal(5, witness.Connections.Count);
    }

    [Theory]
    [InlineData("GET", "")]
    [InlineData("HEAD", "")]
    [InlineData("OPTIONS", "")]
    [InlineData("PUT", "content")]
    [InlineData("DELETE", "")]
    public async Task When_a_reused_connection_dies_a_repeatable_request_is_sent_again_unseen(string method, string body)
    {
        // Each connection answers one request, then dies silently with the second one in its hands.
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is { } first) await c.OkAsync(first.Method == "HEAD" ? "" : first.Target);
            await c.RequestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 6; i++) Assert.Equal(200, (await client.ExchangeAsync(Request(method, $"/{i}", body))).Status);
    }

    [Fact]
    public async Task A_reset_of_a_reused_connection_is_resent_too()
    {
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is { } first) await c.OkAsync(first.Target);
            await c.RequestAsync();
            c.Reset();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 6; i++) Assert.Equal($"/{i}", (await client.ExchangeAsync(Request("GET", $"/{i}"))).Text);
    }

    [Theory]
    [InlineData("")]
    [InlineData("retry_policy: { retry_on: \"connect-failure,refused-stream,reset-before-request\", num_retries: 3 }")]
    public async Task A_post_whose_bytes_were_written_is_never_sent_twice(string route)
    {
        var seen = new ConcurrentBag<string>();
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is { } first)
            {
                if (first.Method == "POST") seen.Add(first.Text);
                await c.OkAsync("ok");
            }
            if (await c.RequestAsync() is { Method: "POST" } second) seen.Add(second.Text);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: route), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 8; i++)
        {
            HttpMessage answer = await client.ExchangeAsync(Request("POST", "/pay", $"payment-{i}"));
            // Every second one meets a connection that dies with it: nobody knows what became of it, so it is not sent again.
            Assert.Equal(i % 2 == 0 ? 200 : 503, answer.Status);
            Assert.Equal(i % 2 == 1, answer.Has("x-naru-reason"));
        }
        Assert.Equal(seen.Distinct().Order(), seen.Order());
    }

    [Theory]
    [InlineData(4, false)]
    [InlineData(4, true)]
    [InlineData(30_000, false)]
    [InlineData(30_000, true)]
    [InlineData(60_000, false)]
    [InlineData(60_000, true)]
    public async Task A_body_that_comes_behind_its_head_is_sent_again_whole(int length, bool chunked)
    {
        var heads = new SemaphoreSlim(0);
        var bodies = new ConcurrentQueue<HttpMessage>();
        await using var witness = new Witness(async c =>
        {
            // The first connection dies with it, the second one answers it with a failure.
            while (await ReadAsync(c) is { } request)
            {
                if (request.Target == "/first" || c.Index > 1) await c.OkAsync(request.Target);
                else if (c.Index == 1) await c.SendAsync("HTTP/1.1 500 Not Yet\r\nContent-Length: 0\r\n\r\n");
                else return;
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx, num_retries: 5 }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(Request("GET", "/first"))).Status);
        await heads.WaitAsync();
        string body = string.Concat(Enumerable.Range(0, (length / 8) + 1).Select(i => $"{i:x8}"))[..length];
        await client.SendAsync($"PUT /again HTTP/1.1\r\nHost: x\r\n{(chunked ? "Transfer-Encoding: chunked\r\nTrailer: x-sum" : $"Content-Length: {length}")}\r\n\r\n");
        await heads.WaitAsync();
        for (int i = 0; i < 3; i++)
        {
            string piece = body[(i * length / 3)..((i + 1) * length / 3)];
            await client.SendAsync(chunked ? $"{piece.Length:x}\r\n{piece}\r\n" : piece);
        }
        if (chunked) await client.SendAsync("0\r\nx-sum: 7\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("PUT");
        Assert.True(answer is { Status: 200, Text: "/again" }, answer.ToString());
        Assert.Equal(3, bodies.Count(m => m.Target == "/again"));
        Assert.All(bodies.Where(m => m.Target == "/again"), m => Assert.Equal((body, chunked ? "7" : null), (m.Text, m.Trailers.FirstOrDefault(t => t.Name == "x-sum")?.Value)));
        // What follows on the connection was not touched.
        Assert.True((await client.ExchangeAsync(Request("POST", "/first", "after"))).Status == 200);
        Assert.Equal("after", bodies.Last().Text);

        async Task<HttpMessage?> ReadAsync(WitnessConnection c)
        {
            if (await c.Reader.HeadAsync() is not { } head) return null;
            heads.Release();
            await c.Reader.RequestBodyAsync(head);
            bodies.Enqueue(head);
            return head;
        }
    }

    [Theory]
    [InlineData("PUT", 200_000)]
    [InlineData("POST", 100)]
    public async Task A_body_that_is_long_or_may_not_be_repeated_is_sent_once(string method, int length)
    {
        var heads = new SemaphoreSlim(0);
        var seen = new ConcurrentQueue<string>();
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is not null) await c.OkAsync();
            if (await c.Reader.HeadAsync() is not { } head) return;
            seen.Enqueue(head.Target);
            heads.Release();
            await c.Reader.RequestBodyAsync(head);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync(Request("GET", "/first"));
        await client.SendAsync($"{method} /once HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        await heads.WaitAsync();
        await client.SendAsync(new string('x', length));
        HttpMessage answer = await client.ResponseAsync(method);
        Assert.Equal(503, answer.Status);
        Assert.Single(seen);
    }

    [Fact]
    public async Task A_fresh_connection_that_dies_is_an_error_and_says_so()
    {
        await using var witness = new Witness(async c => await c.RequestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal(503, answer.Status);
        Assert.True(answer.Has("x-naru-reason"), answer.ToString());
        Assert.Single(witness.Requests);
    }

    [Fact]
    public async Task An_answer_that_has_begun_is_not_asked_for_again()
    {
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is not null) await c.OkAsync();
            if (await c.RequestAsync() is not null) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync(Request("GET", "/1"));
        await client.SendAsync(Request("GET", "/2"));
        await Assert.ThrowsAnyAsync<Exception>(async () => await client.ResponseAsync());
        Assert.Equal(2, witness.Requests.Count);
    }

    [Fact]
    public async Task A_backend_that_closes_idle_connections_costs_no_request()
    {
        // Closes each connection a moment after its last answer, again and again in the very instant of reuse.
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                await c.OkAsync(request.Target);
                if (Random.Shared.Next(3) == 0) return;
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async n =>
        {
            using RawClient client = await proxy.ConnectAsync();
            for (int i = 0; i < 100; i++)
            {
                HttpMessage answer = await client.ExchangeAsync(Request("GET", $"/{n}/{i}"));
                Assert.Equal((200, $"/{n}/{i}"), (answer.Status, answer.Text));
            }
        }));
    }

    [Fact]
    public async Task Keep_alive_timeout_of_the_backend_is_learned()
    {
        // The backend keeps connections for 2 s; we must close ours before, without being told by a close.
        var ended = new TaskCompletionSource();
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is not null) await c.OkAsync("ok", "Keep-Alive: timeout=2\r\n");
            await c.Reader.RestAsync();
            ended.TrySetResult();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, cluster: """
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                common_http_protocol_options: { idle_timeout: 3600s }
                explicit_http_config: { http_protocol_options: {} }
            """), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("ok", (await client.ExchangeAsync(Request("GET", "/a"))).Text);
        await ended.Task.Within("the proxy to close the idle connection");
    }

    [Fact]
    public async Task An_idle_connection_is_closed_by_default()
    {
        var ended = new TaskCompletionSource();
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is not null) await c.OkAsync();
            await c.Reader.RestAsync();
            ended.TrySetResult();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync(Request("GET", "/a"));
        await ended.Task.Within("the proxy to close the idle connection");
    }

    [Fact]
    public async Task A_backend_that_is_not_there_is_503_with_a_reason()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(Loopback.FreePort()), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Request("GET", "/a"));
        Assert.Equal(503, answer.Status);
        Assert.True(answer.Has("x-naru-reason"), answer.ToString());
        Assert.Equal(503, (await client.ExchangeAsync(Request("GET", "/a"))).Status);
    }

    [Fact]
    public async Task A_retry_policy_finds_the_backend_that_works()
    {
        await using var good = new Witness();
        int dead = Loopback.FreePort();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/" }
              route:
                cluster: pair
                retry_policy:
                  retry_on: connect-failure
                  num_retries: 3
                  retry_host_predicate: [{ name: envoy.retry_host_predicates.previous_hosts, typed_config: { "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate } }]
                  host_selection_retry_max_attempts: 5
            """, [new TestCluster("pair", [dead, good.Port])]), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 20; i++) Assert.Equal(200, (await client.ExchangeAsync(Request(i % 2 == 0 ? "GET" : "POST", "/a", i % 2 == 0 ? "" : "b"))).Status);
        Assert.Equal(20, good.Requests.Count);
    }

    [Fact]
    public async Task An_answer_without_content_that_is_asked_for_again_keeps_its_connection()
    {
        int count = 0;
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                if (Interlocked.Increment(ref count) % 3 == 0) await c.OkAsync();
                else await c.SendAsync("HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n");
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx, num_retries: 2 }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 4; i++) Assert.Equal(200, (await client.ExchangeAsync(Request("GET", "/a"))).Status);
        Assert.Equal(12, witness.Requests.Count);
        Assert.Single(witness.Connections);
    }

    [Fact]
    public async Task Statuses_are_retried_only_when_the_policy_says_so()
    {
        int count = 0;
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                if (Interlocked.Increment(ref count) % 3 == 0) await c.OkAsync();
                else await c.SendAsync("HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n");
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: gateway-error, num_retries: 2 }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++) Assert.Equal(200, (await client.ExchangeAsync(Request("GET", "/a"))).Status);
        Assert.Equal(9, witness.Requests.Count);

        await using ProxyProcess plain = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient other = await plain.ConnectAsync();
        Assert.Equal(503, (await other.ExchangeAsync(Request("GET", "/a"))).Status);
    }
}

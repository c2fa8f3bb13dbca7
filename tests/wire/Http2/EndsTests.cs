// How exchanges end before their time, on either side and in any mix of versions: who is told, what is tried again, what is not.
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class EndsTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static Task<ProxyProcess> ToAsync(Http2Backend backend, string route = "timeout: 0s", string manager = "", string cluster = "") =>
        ProxyProcess.StartAsync(Bootstraps.One(backend.Port, manager, route, Bootstraps.Http2Cluster + "\n" + cluster), s_oneWorker);

    // --- the client goes -------------------------------------------------------------------------------------------------

    [Fact]
    public async Task A_client_that_resets_its_stream_frees_the_http_1_backend()
    {
        var arrived = new TaskCompletionSource();
        var gone = new TaskCompletionSource();
        string path = fixture.Http1.Add(async (c, head) =>
        {
            arrived.SetResult();
            await c.Reader.RestAsync();
            gone.SetResult();
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        int id = await client.OpenAsync("GET", path);
        await arrived.Task.Within("the request");
        await client.ResetAsync(id);
        await gone.Task.Within("the backend's connection to end");
        await client.PingAsync();
        await fixture.ToHttp1.ComesToRestAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_goes_has_its_stream_cancelled_upstream(bool wholeConnection)
    {
        var seen = new TaskCompletionSource<(Http2Peer, Http2Message)>();
        string path = fixture.Http2.Add((peer, request) =>
        {
            seen.SetResult((peer, request));
            return Task.CompletedTask;
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp2.Address);
        int id = await client.OpenAsync("GET", path);
        (Http2Peer backend, Http2Message request) = await seen.Task.Within("the request");
        if (wholeConnection) client.Dispose();
        else await client.ResetAsync(id);
        Http2Message end = await backend.EndAsync(request.Id);
        await backend.WaitAsync(() => end.Reset is not null, "the reset");
        Assert.Equal(Http2ErrorCode.Cancel, end.Reset);
        await fixture.ToHttp2.ComesToRestAsync();
    }

    [Fact]
    public async Task An_http_1_client_that_goes_has_its_stream_cancelled_upstream()
    {
        var seen = new TaskCompletionSource<(Http2Peer, Http2Message)>();
        string path = fixture.Http2.Add((peer, request) =>
        {
            seen.SetResult((peer, request));
            return Task.CompletedTask;
        });
        RawClient client = await fixture.ToHttp2.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        (Http2Peer backend, Http2Message request) = await seen.Task.Within("the request");
        client.Reset();
        await backend.WaitAsync(() => request.Reset is not null, "the reset");
        Assert.Equal(Http2ErrorCode.Cancel, request.Reset);
        await fixture.ToHttp2.ComesToRestAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_client_that_goes_in_the_middle_of_its_content_ends_the_request_upstream(int up)
    {
        var ended = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        string path = up == 1
            ? fixture.Http1.Add(async (c, head) =>
            {
                begun.SetResult();
                await c.Reader.RestAsync();
                ended.SetResult();
            })
            : fixture.Http2.Add(async (peer, request) =>
            {
                begun.SetResult();
                await peer.EndAsync(request.Id);
                if (request is { Reset: not null, Ended: false }) ended.SetResult();
            });
        ProxyProcess proxy = up == 1 ? fixture.ToHttp1 : fixture.ToHttp2;
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int id = await client.OpenAsync("POST", path, end: false);
        await client.DataAsync(id, "some");
        await begun.Task.Within("the request");
        await client.ResetAsync(id);
        await ended.Task.Within("the end of the request");
        await proxy.ComesToRestAsync();
    }

    // --- the backend goes ------------------------------------------------------------------------------------------------

    public static TheoryData<int, Http2ErrorCode> Codes()
    {
        var rows = new TheoryData<int, Http2ErrorCode>();
        foreach (int down in new[] { 1, 2 })
            foreach (Http2ErrorCode code in Enum.GetValues<Http2ErrorCode>()) rows.Add(down, code);
        rows.Add(2, (Http2ErrorCode)0x77);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public async Task A_stream_reset_before_its_answer_becomes_an_error_with_a_reason(int down, Http2ErrorCode code)
    {
        string path = fixture.Http2.Add((peer, request) => peer.ResetAsync(request.Id, code));
        Arrived answer = await new Mix(fixture, down, 2).ExchangeAsync("GET", path);
        Assert.Equal(code == Http2ErrorCode.ProtocolError ? 502 : 503, answer.Status);
        Assert.StartsWith("NARU-", answer.Field("x-naru-reason"));
        // Only what was refused may be sent again, and that once.
        Assert.Equal(code == Http2ErrorCode.RefusedStream ? 2 : 1, fixture.Http2.Seen(path).Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_stream_reset_in_the_middle_of_its_answer_is_seen_as_cut(int down)
    {
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200"), ("content-length", "100")]);
            await peer.DataAsync(request.Id, "begun");
            await peer.ResetAsync(request.Id, Http2ErrorCode.InternalError);
        });
        await IsCutAsync(fixture.ToHttp2, down, path);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_connection_that_dies_in_the_middle_of_an_answer_is_seen_as_cut(int down)
    {
        await using var backend = new Http2Backend();
        string path = backend.Add(async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            await peer.DataAsync(request.Id, "begun");
            peer.Dispose();
        });
        await using ProxyProcess proxy = await ToAsync(backend);
        await IsCutAsync(proxy, down, path);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task An_http_1_backend_that_dies_in_the_middle_resets_the_stream_only()
    {
        string path = fixture.Http1.Add(async (c, head) =>
        {
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
            c.Close();
        });
        await IsCutAsync(fixture.ToHttp1, 2, path);
    }

    private static async Task IsCutAsync(ProxyProcess proxy, int down, string path)
    {
        if (down == 2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
            Http2Message answer = await client.ExchangeAsync("GET", path);
            Assert.True(answer is { Status: 200, Ended: false, Reset: Http2ErrorCode.InternalError, Text: "begun" }, answer.ToString());
            await client.PingAsync();
            (await client.ExchangeAsync("GET", "/other")).Is(200);
            return;
        }
        using RawClient old = await proxy.ConnectAsync();
        await old.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage head = (await old.Reader.HeadAsync())!;
        Assert.Equal(200, head.Status);
        Assert.Equal(head.Has("content-length") ? "begun" : "5\r\nbegun\r\n", await old.RestAsync());
    }

    [Theory]
    [InlineData("GET", 0)]
    [InlineData("POST", 1)]
    [InlineData("POST", 20)]
    public async Task A_refused_stream_is_sent_again_unseen_with_its_content(string method, int parts)
    {
        int count = 0;
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            if (Interlocked.Increment(ref count) == 1)
            {
                // Some of it has come, the rest is to follow.
                if (parts > 0) await peer.WaitAsync(() => request.Length > 0, "content");
                await peer.ResetAsync(request.Id, Http2ErrorCode.RefusedStream);
                return;
            }
            await Http2Backend.EchoAsync(peer, request);
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp2.Address);
        int id = await client.OpenAsync(method, path, [("te", "trailers")], end: parts == 0);
        for (int i = 1; i <= parts; i++)
        {
            await client.DataAsync(id, $"<part {i}>");
            if (i == 1) await Waiting.UntilAsync(() => count == 2, "the second try");
        }
        if (parts > 0) await client.HeadersAsync(id, [("x-last", "1")], end: true);
        Http2Message answer = await client.EndAsync(id);
        answer.Is(200);
        Assert.EndsWith("\n\n" + string.Concat(Enumerable.Range(1, parts).Select(i => $"<part {i}>")) + (parts > 0 ? "\nx-last: 1" : ""), answer.Text);
        Assert.Equal(2, count);
    }

    [Fact]
    public async Task What_a_goaway_says_was_not_processed_is_sent_again_on_another_connection_unseen()
    {
        await using var backend = new Http2Backend();
        Http2Message? held = null;
        string path = backend.Add(async (peer, request) =>
        {
            if (ReferenceEquals(peer, backend.Connections[0]))
            {
                if (held is null)
                {
                    held = request;
                    return;
                }
                // The first is answered, the second never seen.
                await peer.GoAwayAsync(held.Id);
                await Http2Backend.AnswerAsync(peer, held, [(":status", "200")], "first"u8.ToArray());
                return;
            }
            await Http2Backend.EchoAsync(peer, request);
        });
        await using ProxyProcess proxy = await ToAsync(backend);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int first = await client.OpenAsync("GET", path);
        await Waiting.UntilAsync(() => held is not null, "the first request");
        int second = await client.OpenAsync("POST", path, end: false);
        await client.DataAsync(second, "pa");
        await client.DataAsync(second, "y", end: true);
        Http2Message answer = await client.EndAsync(first);
        answer.Is(200);
        Assert.Equal("first", answer.Text);
        answer = await client.EndAsync(second);
        answer.Is(200);
        Assert.EndsWith("\n\npay", answer.Text);
        Assert.Equal(2, backend.Connections.Count);
        await proxy.ComesToRestAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_connection_that_dies_as_it_is_used_again_is_not_seen(bool abruptly)
    {
        await using var backend = new Http2Backend();
        string path = backend.Add(async (peer, request) =>
        {
            if (request.Id == 1)
            {
                await Http2Backend.EchoAsync(peer, request);
                return;
            }
            if (abruptly) peer.Abort();
            else peer.Dispose();
        });
        await using ProxyProcess proxy = await ToAsync(backend);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 5; i++) (await client.ExchangeAsync("GET", path)).Is(200);
        Assert.Equal(5, backend.Connections.Count);
    }

    [Fact]
    public async Task A_post_on_a_connection_that_dies_is_never_sent_twice()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add(async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            if (request.Id > 1) peer.Dispose();
            else await Http2Backend.EchoAsync(peer, request);
        });
        await using ProxyProcess proxy = await ToAsync(backend, route: "retry_policy: { retry_on: \"refused-stream,connect-failure,reset-before-request\", num_retries: 3 }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 6; i++)
        {
            Http2Message answer = await client.ExchangeAsync("POST", path, null, Encoding.ASCII.GetBytes($"pay {i}"));
            // Every second one meets a connection that dies with it.
            Assert.Equal(i % 2 == 0 ? 200 : 503, answer.Status);
        }
        Assert.Equal(backend.Requests.Select(r => r.Text).Distinct().Count(), backend.Requests.Count);
    }

    [Fact]
    public async Task A_backend_that_cannot_be_reached_is_503_for_all_who_wait()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(1, cluster: Bootstraps.Http2Cluster), s_oneWorker);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int[] ids = new int[50];
        for (int i = 0; i < ids.Length; i++) ids[i] = await client.OpenAsync("GET", "/a");
        foreach (int id in ids)
        {
            Http2Message answer = await client.EndAsync(id);
            answer.Is(503);
            Assert.Contains("NARU-", answer.Header("x-naru-reason"));
        }
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task A_request_whose_content_follows_is_connected_elsewhere_when_one_endpoint_is_down()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/" }
              route: { cluster: backend, retry_policy: { retry_on: "connect-failure", num_retries: 2, retry_host_predicate: [{ name: envoy.retry_host_predicates.previous_hosts, typed_config: { "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate } }], host_selection_retry_max_attempts: 5 } }
            """, [new TestCluster("backend", [1, backend.Port], Bootstraps.Http2Cluster)]), s_oneWorker);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 6; i++)
        {
            int id = await client.OpenAsync("POST", "/a", end: false);
            await client.PingAsync();
            await client.DataAsync(id, "pay", end: true);
            Http2Message answer = await client.EndAsync(id);
            answer.Is(200);
            Assert.EndsWith("\n\npay", answer.Text);
        }
    }

    // --- answers before the request is whole -----------------------------------------------------------------------------

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task An_answer_may_come_before_the_request_is_whole(int up)
    {
        string path = up == 1
            ? fixture.Http1.Add(async (c, head) =>
            {
                await c.SendAsync("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nstop");
                await c.Reader.RestAsync();
            })
            : fixture.Http2.Add(async (peer, request) =>
            {
                await Http2Backend.AnswerAsync(peer, request, [(":status", "413"), ("content-length", "4")], "stop"u8.ToArray());
                await peer.ResetAsync(request.Id, Http2ErrorCode.NoError);
            });
        ProxyProcess proxy = up == 1 ? fixture.ToHttp1 : fixture.ToHttp2;
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int id = await client.OpenAsync("POST", path, end: false);
        await client.DataAsync(id, new string('x', 10_000));
        await client.WaitAsync(() => client[id] is { Ended: true }, "the answer");
        Assert.Equal(413, client[id].Status);
        Assert.Equal("stop", client[id].Text);
        await client.WaitAsync(() => client[id].Reset is not null, "the reset that says that the rest is not wanted");
        Assert.Equal(Http2ErrorCode.NoError, client[id].Reset);
        // What crossed the reset is dropped, and its bytes come back to the connection's window.
        for (int i = 0; i < 200; i++)
        {
            await client.BodyWindowAsync(0, 16384);
            await client.DataAsync(id, new string('x', 16384));
        }
        (await client.ExchangeAsync("GET", "/other")).Is(200);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task An_http_1_client_gets_an_early_answer_from_an_http_2_backend()
    {
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            await Http2Backend.AnswerAsync(peer, request, [(":status", "413")], "stop"u8.ToArray());
            await peer.ResetAsync(request.Id, Http2ErrorCode.NoError);
        });
        using RawClient client = await fixture.ToHttp2.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{new string('x', 20_000)}");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(413, answer.Status);
        Assert.Equal("stop", answer.Text);
    }

    // More than its window: some of the body is left with us when the answer is complete.
    [Theory]
    [InlineData(65_536)]
    [InlineData(80_000)]
    [InlineData(100_000)]
    public async Task Whom_an_early_answer_does_not_tell_to_close_is_served_on(int length)
    {
        string path = fixture.Http2.Add(async (peer, request) => await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "early"u8.ToArray()));
        for (int i = 0; i < 20; i++)
        {
            using RawClient client = await fixture.ToHttp2.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{new string('x', length)}");
            Assert.Equal((200, "early"), (answer.Status, answer.Text));
            if (answer.Header("connection") != "close") Assert.Equal(200, (await client.ExchangeAsync("GET /other HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
    }

    [Fact]
    public async Task An_answer_may_stream_while_the_request_does()
    {
        string path = fixture.Http2.Add(async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            long sent = 0;
            while (!request.Ended)
            {
                await peer.WaitAsync(() => request.Length > sent || request.Ended, "more");
                byte[] more = request.Body[(int)sent..];
                sent += more.Length;
                if (more.Length > 0) await peer.BodyAsync(request.Id, more, end: false);
            }
            await peer.HeadersAsync(request.Id, [("grpc-status", "0")], end: true);
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp2.Address);
        int id = await client.OpenAsync("POST", path, [("te", "trailers")], end: false);
        for (int i = 0; i < 20; i++)
        {
            await client.DataAsync(id, $"<{i}>");
            await client.WaitAsync(() => client[id].Text.EndsWith($"<{i}>", StringComparison.Ordinal), $"message {i}");
        }
        await client.DataAsync(id, "", end: true);
        (await client.EndAsync(id)).Is(200);
        Assert.Equal("0", client[id].Trailer("grpc-status"));
    }

    // --- time ------------------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task A_route_timeout_is_504(int down, int up)
    {
        await using var backend = new Http2Backend();
        await using var old = new Cases();
        string path = up == 2 ? backend.Add((_, _) => Task.CompletedTask) : old.Add(async (c, _) => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(up == 2 ? backend.Port : old.Port, route: "timeout: 0.2s", cluster: up == 2 ? Bootstraps.Http2Cluster : ""), s_oneWorker);
        if (down == 2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
            Http2Message answer = await client.ExchangeAsync("GET", path);
            answer.Is(504);
            Assert.StartsWith("NARU-T504", answer.Header("x-naru-reason"));
        }
        else
        {
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal(504, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
        if (up == 2) await backend.Connections[0].WaitAsync(() => backend.Requests is [{ Reset: Http2ErrorCode.Cancel }], "the stream upstream to be cancelled");
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task A_stream_without_a_byte_ends_and_the_others_go_on()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((_, _) => Task.CompletedTask);
        // What goes on has no limit that a slow machine could reach; the rest has the manager's.
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/other" }
              route: { cluster: backend, timeout: 0s, idle_timeout: 0s }
            - match: { prefix: "/" }
              route: { cluster: backend, timeout: 0s }
            """, [new TestCluster("backend", [backend.Port], Bootstraps.Http2Cluster)], "stream_idle_timeout: 0.2s"), s_oneWorker);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int silent = await client.OpenAsync("GET", path);
        int half = await client.OpenAsync("POST", path, end: false);
        (await client.EndAsync(silent)).Is(504);
        await client.HeadAsync(half);
        Assert.Equal(408, client[half].Status);
        (await client.ExchangeAsync("GET", "/other")).Is(200);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task A_try_that_takes_too_long_is_tried_again()
    {
        await using var backend = new Http2Backend();
        int count = 0;
        string path = backend.Add((peer, request) => Interlocked.Increment(ref count) == 1 ? Task.CompletedTask : Http2Backend.EchoAsync(peer, request));
        // A slow machine may need further tries.
        await using ProxyProcess proxy = await ToAsync(backend, route: "timeout: 0s\nretry_policy: { retry_on: \"5xx\", num_retries: 100, per_try_timeout: 0.2s }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", path)).Is(200);
        Assert.True(count >= 2);
        Assert.True(await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout") >= 1);
    }

    [Fact]
    public async Task A_status_that_the_policy_wants_is_tried_again()
    {
        await using var backend = new Http2Backend();
        int count = 0;
        string path = backend.Add((peer, request) => Interlocked.Increment(ref count) < 3
            ? Http2Backend.AnswerAsync(peer, request, [(":status", "503")], new byte[100_000]) : Http2Backend.EchoAsync(peer, request));
        await using ProxyProcess proxy = await ToAsync(backend, route: "retry_policy: { retry_on: \"5xx\", num_retries: 3 }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", path)).Is(200);
        Assert.Equal(3, count);
        await proxy.ComesToRestAsync();
    }

    [Fact]
    public async Task An_idle_connection_is_told_to_go()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ToAsync(backend, manager: "common_http_protocol_options: { idle_timeout: 2s }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/a")).Is(200);
        await client.EndsWithAsync(Http2ErrorCode.NoError);
    }

    [Fact]
    public async Task A_connection_that_served_its_number_of_requests_goes_in_order()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ToAsync(backend, manager: "drain_timeout: 1s\ncommon_http_protocol_options: { max_requests_per_connection: 3 }");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 3; i++) (await client.ExchangeAsync("GET", "/a")).Is(200);
        Assert.Equal(int.MaxValue, client.GoAwayLast);
        // What was on its way when it was said.
        (await client.ExchangeAsync("GET", "/a")).Is(200);
        await client.EndsWithAsync(Http2ErrorCode.NoError);
        Assert.Equal(7, client.GoAwayLast);
        Assert.Equal(2, await proxy.StatAsync("http.test.downstream_cx_max_requests_reached"));
    }

    [Fact]
    public async Task A_drain_is_announced_and_loses_nothing()
    {
        await using var backend = new Http2Backend();
        var release = new TaskCompletionSource();
        string slow = backend.Add(async (peer, request) =>
        {
            await release.Task;
            await Http2Backend.EchoAsync(peer, request);
        });
        await using ProxyProcess proxy = await ToAsync(backend);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        client.Acknowledges = false;
        int before = await client.OpenAsync("GET", slow);
        await Waiting.UntilAsync(() => backend.Requests.Count > 0, "the request");
        using HttpResponseMessage asked = await proxy.Admin.PostAsync("drain_listeners?graceful", null);
        await client.FrameAsync(f => f.Type == Http2FrameType.GoAway, "the announcement");
        Assert.Equal(int.MaxValue, client.GoAwayLast);
        // Sent before the announcement was seen: it is served.
        int crossing = await client.OpenAsync("GET", "/crossing");
        (await client.EndAsync(crossing)).Is(200);
        Http2FrameLine ping = client.Frames.Single(f => f.Type == Http2FrameType.Ping);
        await client.SendAsync(Http2Bytes.Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, ping.Payload));
        await client.WaitAsync(() => client.GoAwayLast == crossing, "the last word");
        int late = await client.OpenAsync("GET", "/late");
        release.SetResult();
        (await client.EndAsync(before)).Is(200);
        await client.ClosedAsync();
        Assert.False(client[late].IsOver, client[late].ToString());
        Assert.Equal(Http2ErrorCode.NoError, client.GoAway);
    }

    [Fact]
    public async Task A_timeout_is_told_to_a_client_whose_window_is_closed_and_its_body_waits_for_the_window()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await ToAsync(backend, "timeout: 0.2s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address, (Http2SettingId.InitialWindowSize, 0)))
        {
            int id = await client.OpenAsync("GET", path);
            Http2Message answer = await client.HeadAsync(id);
            Assert.Equal((504, false, 0L), (answer.Status, answer.IsOver, answer.Length));
            await client.PingAsync();
            Assert.Equal((false, 0L), (answer.IsOver, answer.Length));
            await client.SendAsync(Http2Bytes.Window(id, 10_000));
            (await client.EndAsync(id)).Is(504);
            Assert.Equal(answer.Header("content-length"), $"{answer.Length}");
            await backend.Connections[0].WaitAsync(() => backend.Requests[0].Reset is not null, "the stream to be cancelled");
        }
        await proxy.SettleAsync(before);
    }
}

// While a request waits for its endpoint's side it is read on, up to the limit of a connection's buffer, as in Envoy: so it is known when it is
// whole, from when on its times run, and when its client has left. Nothing of it is lost or doubled thereby (docs/decisions/0022).
using System.IO.Compression;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ReadAheadTests
{
    private const string OneConnection = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    private const string Hurry = "timeout: 0.3s";
    private const string Trailer = "x-sum: 7";
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    public static TheoryData<string, int> Kinds
    {
        get
        {
            var rows = new TheoryData<string, int>();
            foreach (string kind in (string[])["length", "chunks", "http2"])
                foreach (int size in (int[])[10, 100_000, 200_000, 900_000]) rows.Add(kind, size);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Sent_whole_it_times_out_while_it_waits_for_a_connection(string kind, int size)
    {
        await using var silent = new Witness(async c => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(Hurry, silent.Port, OneConnection), s_oneWorker);
        using RawClient holder = await HoldAsync(proxy, silent);
        using Sender sender = await Sender.StartAsync(proxy, kind, Text(size));
        Assert.Equal(504, await sender.StatusAsync());
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_pending_active"));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Sent_whole_it_times_out_while_its_endpoint_takes_nothing_or_little(string kind, int size)
    {
        await using Http2Backend slow = Slow(1, 1, 200);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(Hurry, slow.Port, Bootstraps.Http2Cluster), s_oneWorker);
        // Until its settings came, its windows are those that everybody has.
        using RawClient first = await proxy.ConnectAsync();
        Assert.Equal(200, (await first.ExchangeAsync("GET /free HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        using Sender sender = await Sender.StartAsync(proxy, kind, Text(size));
        Assert.Equal(504, await sender.StatusAsync());
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "the try to be over");
    }

    [Theory]
    [InlineData("length", 10)]
    [InlineData("length", 300_000)]
    [InlineData("http2", 300_000)]
    public async Task Sent_whole_it_times_out_while_its_connection_is_made(string kind, int size)
    {
        await using var mute = new Witness(async c => await c.Reader.RestAsync());
        const string Secure = """
            transport_socket: { name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext } }
            """;
        string text = Bootstrap(Hurry, mute.Port, Secure).Replace("connect_timeout: 2s", "connect_timeout: 60s", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text, s_oneWorker);
        using Sender sender = await Sender.StartAsync(proxy, kind, Text(size));
        Assert.Equal(504, await sender.StatusAsync());
    }

    [Theory]
    [InlineData("length", 10)]
    [InlineData("length", 300_000)]
    [InlineData("chunks", 300_000)]
    [InlineData("http2", 300_000)]
    public async Task Sent_whole_it_times_out_while_it_backs_off(string kind, int size)
    {
        await using var early = new Witness(async c =>
        {
            await c.Reader.LineAsync();
            await c.SendAsync("HTTP/1.1 503 no\r\nContent-Length: 0\r\nretry-after: 60\r\n\r\n");
            await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Hurry}}
            retry_policy: { retry_on: 5xx, num_retries: 2, rate_limited_retry_back_off: { reset_headers: [{ name: retry-after, format: SECONDS }] } }
            """, early.Port), s_oneWorker);
        using Sender sender = await Sender.StartAsync(proxy, kind, Text(size));
        Assert.Equal(504, await sender.StatusAsync());
    }

    [Theory]
    [InlineData("Content-Length: 150000", "", "", "", "")]
    [InlineData("Transfer-Encoding: chunked", "186a0\r\n", "\r\n", "c350\r\n", "\r\n0\r\n\r\n")]
    public async Task What_another_try_begins_with_stays_while_the_rest_is_read(
        string framing, string before, string behind, string next, string end)
    {
        string text = Text(150_000), second = "";
        int tries = 0;
        using var half = new SemaphoreSlim(0);
        await using var endpoint = new Witness(async c =>
        {
            if (Interlocked.Increment(ref tries) > 1)
            {
                HttpMessage? request = await c.RequestAsync();
                second = request!.Text;
                await c.OkAsync("done");
                return;
            }
            // All that was sent of it, and an answer before its end. What another try begins with is near its limit.
            await c.Reader.HeadAsync();
            await c.Reader.ExactlyAsync(100_000);
            await c.SendAsync("HTTP/1.1 503 no\r\nContent-Length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n");
            half.Release();
        });
        string bootstrap = Bootstrap($$"""
            timeout: 30s
            retry_policy: { retry_on: 5xx, num_retries: 2, rate_limited_retry_back_off: { reset_headers: [{ name: retry-after, format: SECONDS }] } }
            """, endpoint.Port).Replace("name: main\n", "name: main\n    per_connection_buffer_limit_bytes: 131072\n", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"PUT /slow HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{before}{text[..100_000]}{behind}");
        await half.WaitAsync(TestContext.Current.CancellationToken).Within("the first try");
        await client.SendAsync($"{next}{text[100_000..]}{end}");
        Assert.Equal(200, (await client.ResponseAsync()).Status);
        Assert.Equal(2, tries);
        Assert.Equal(text, second);
    }

    [Theory]
    [InlineData("per_try_timeout: 0.2s", "")]
    [InlineData("per_try_timeout: 0.2s", "hedge_policy: { hedge_on_per_try_timeout: true }")]
    public async Task A_try_that_does_not_take_it_is_followed_by_another_one(string time, string hedge)
    {
        await using var backend = new Http2Backend((Http2SettingId.InitialWindowSize, 0));
        int tries = 0;
        backend.At("/slow", async (peer, request) =>
        {
            if (Interlocked.Increment(ref tries) == 1) return;
            await peer.WindowAsync(request.Id, 1 << 20);
            await peer.WindowAsync(0, 1 << 20);
            await peer.EndAsync(request.Id);
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], Encoding.Latin1.GetBytes(request.Text));
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap($"timeout: 0s\nretry_policy: {{ retry_on: reset, num_retries: 1, {time} }}\n{hedge}", backend.Port, Bootstraps.Http2Cluster), s_oneWorker);
        string text = Text(200_000);
        using Sender sender = await Sender.StartAsync(proxy, "length", text);
        Assert.Equal(text, (await sender.Client!.ResponseAsync("POST")).Text);
        Assert.Equal(2, tries);
    }

    [Theory]
    [InlineData("length", 10)]
    [InlineData("length", 300_000)]
    [InlineData("chunks", 300_000)]
    [InlineData("http2", 300_000)]
    public async Task Nobody_blames_a_client_that_has_sent_everything(string kind, int size)
    {
        await using var silent = new Witness(async c => await c.Reader.RestAsync());
        foreach ((string route, string manager) in ((string, string)[])[("timeout: 0s\nidle_timeout: 0.3s", ""), ("timeout: 0s\nmax_stream_duration: { max_stream_duration: 0.3s }", ""), ("timeout: 0.6s", "request_timeout: 0.2s")])
        {
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(route, silent.Port, OneConnection, manager), s_oneWorker);
            silent.Forget();
            using RawClient holder = await HoldAsync(proxy, silent);
            using Sender sender = await Sender.StartAsync(proxy, kind, Text(size));
            Assert.Equal(504, await sender.StatusAsync());
        }
    }

    [Theory]
    [InlineData(300, false)]
    [InlineData(200_000, false)]
    [InlineData(700_000, false)]
    [InlineData(200_000, true)]
    public async Task A_client_that_leaves_is_noticed_while_its_request_waits(int size, bool endpointTakesNothing)
    {
        await using var silent = new Witness(async c => await c.Reader.RestAsync());
        await using Http2Backend closed = Slow(0, 0);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            endpointTakesNothing ? Bootstrap("timeout: 0s", closed.Port, Bootstraps.Http2Cluster) : Bootstrap("timeout: 0s", silent.Port, OneConnection), s_oneWorker);
        using RawClient? holder = endpointTakesNothing ? null : await HoldAsync(proxy, silent);
        int held = holder is null ? 0 : 1;
        using (Sender sender = await Sender.StartAsync(proxy, "length", Text(size)))
        {
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == held + 1, "the request to wait");
            await sender.Sent;
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == held, "the client's end to be noticed");
        Assert.Equal(1, silent.Connections.Count + closed.Requests.Count);
    }

    [Theory]
    [InlineData("length", 2_000_000, false)]
    [InlineData("chunks", 2_000_000, false)]
    [InlineData("http2", 2_000_000, false)]
    [InlineData("length", 300_000, true)]
    [InlineData("chunks", 300_000, true)]
    public async Task What_waited_arrives_as_it_was_sent(string kind, int size, bool keeps)
    {
        var go = new SemaphoreSlim(0);
        await using Witness endpoint = Echo(go);
        string retry = keeps ? "retry_policy: { retry_on: reset, num_retries: 1 }" : "";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($"timeout: 0s\n{retry}", endpoint.Port, OneConnection), s_oneWorker);
        using RawClient holder = await HoldAsync(proxy, endpoint);
        string text = Text(size);
        using Sender sender = await Sender.StartAsync(proxy, kind, text);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_pending_active") == 1, "the request to wait");
        using RawClient other = await proxy.ConnectAsync();
        Assert.Equal(504, (await other.ExchangeAsync("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        go.Release();
        Assert.Equal(200, await sender.StatusAsync());
        Assert.Equal(text, endpoint.Requests.Single(r => r.Target == "/slow").Text);
        if (sender.Client is { } client) Assert.Equal("/next", (await client.ExchangeAsync("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
    }

    [Theory]
    [InlineData("length", 1, 7_000, 5, "")]
    [InlineData("chunks", 1, 7_000, 5, "")]
    [InlineData("http2", 1, 7_000, 5, "")]
    [InlineData("length", 40, 20_000, 20, "")]
    [InlineData("chunks", 40, 20_000, 20, "")]
    [InlineData("http2", 40, 20_000, 20, "")]
    [InlineData("chunks", 40, 20_000, 20, "retry_policy: { retry_on: reset, num_retries: 1 }")]
    [InlineData("length", 40, 20_000, 20, "retry_policy: { retry_on: reset, num_retries: 1 }")]
    [InlineData("http2", 40, 20_000, 20, "retry_policy: { retry_on: reset, num_retries: 1 }")]
    public async Task What_is_taken_little_by_little_arrives_as_it_was_sent(string kind, int first, int by, int everyMs, string retry)
    {
        await using Http2Backend slow = Slow(first, by, everyMs);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($"timeout: 0s\n{retry}", slow.Port, Bootstraps.Http2Cluster), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        string text = Text(700_000);
        using (Sender sender = await Sender.StartAsync(proxy, kind, text))
        {
            Assert.Equal(200, await sender.StatusAsync());
            Assert.Equal(text, slow.Requests.Single().Text);
            if (kind != "length") Assert.Equal("7", slow.Requests.Single().Trailer("x-sum"));
            if (sender.Client is { } client) Assert.Equal(200, (await client.ExchangeAsync("GET /free HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("length")]
    [InlineData("chunks")]
    public async Task What_trickles_while_it_waits_arrives_as_it_was_sent(string kind)
    {
        var go = new SemaphoreSlim(0);
        await using Witness endpoint = Echo(go);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap("timeout: 0s", endpoint.Port, OneConnection), s_oneWorker);
        using RawClient holder = await HoldAsync(proxy, endpoint);
        using RawClient client = await proxy.ConnectAsync();
        string text = Text(3_000), framed = kind == "length" ? text : string.Concat(text.Chunk(7).Select(c => $"{c.Length:x}\r\n{new string(c)}\r\n")) + "0\r\n\r\n";
        await client.SendAsync($"POST /slow HTTP/1.1\r\nHost: x\r\n{(kind == "length" ? $"Content-Length: {text.Length}" : "Transfer-Encoding: chunked")}\r\n\r\n");
        await client.SendBytewiseAsync(framed[..^10]);
        go.Release();
        await client.SendBytewiseAsync(framed[^10..]);
        Assert.Equal("/slow", (await client.ResponseAsync("POST")).Text);
        Assert.Equal(text, endpoint.Requests.Single(r => r.Target == "/slow").Text);
        Assert.Equal("/next", (await client.ExchangeAsync("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
    }

    [Theory]
    [InlineData("length", false)]
    [InlineData("chunks", false)]
    [InlineData("length", true)]
    [InlineData("chunks", true)]
    public async Task Behind_a_request_that_was_read_ahead_stands_the_next_one(string kind, bool copied)
    {
        var go = new SemaphoreSlim(0);
        await using var copies = new Witness(async c => { while (await c.RequestAsync() is not null) await c.OkAsync(); });
        await using var slow = new Http2Backend((Http2SettingId.InitialWindowSize, 0));
        slow.At("/slow", async (peer, request) =>
        {
            await go.WaitAsync();
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "early"u8.ToArray());
        });
        slow.At("/next", async (peer, request) => await Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "next"u8.ToArray()));
        slow.At("/hurry", (_, _) => Task.CompletedTask);
        string text = Bootstrap(copied ? "timeout: 0s\nrequest_mirror_policies: [{ cluster: copies }]" : "timeout: 0s", slow.Port, Bootstraps.Http2Cluster);
        text += "\n" + Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("copies", [copies.Port])]), 2);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text, s_oneWorker);
        string body = Text(200_000);
        using Sender sender = await Sender.StartAsync(proxy, kind, body);
        await sender.Sent;
        await sender.Client!.SendAsync("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        if (copied) await Waiting.UntilAsync(() => copies.Requests.Count == 1, "the copy of a request that is whole");
        if (copied) Assert.Equal(body, copies.Requests.Single().Text);
        using RawClient other = await proxy.ConnectAsync();
        Assert.Equal(504, (await other.ExchangeAsync("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        go.Release();
        Assert.Equal("early", (await sender.Client.ResponseAsync("POST")).Text);
        Assert.Equal("next", (await sender.Client.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Broken_framing_is_told_while_it_waits()
    {
        await using var silent = new Witness(async c => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap("timeout: 0s", silent.Port, OneConnection), s_oneWorker);
        using RawClient holder = await HoldAsync(proxy, silent);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n{Text(20_000)}\r\nzz\r\n");
        Assert.Equal(400, (await client.ResponseAsync("POST")).Status);
    }

    [Fact]
    public async Task What_filters_look_at_is_read_ahead_too()
    {
        await using Http2Backend slow = Slow(1, 20_000, 20);
        string filter = """
            - name: unpack
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor
                decompressor_library: { name: g, typed_config: { "@type": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip } }
            """;
        string routes = "- match: { prefix: \"/\" }\n  route: { cluster: backend, timeout: 0s }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many(routes, [new TestCluster("backend", [slow.Port], Bootstraps.Http2Cluster)], filters: filter), s_oneWorker);
        string text = Text(600_000);
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.NoCompression)) gzip.Write(Encoding.Latin1.GetBytes(text));
        using Sender sender = await Sender.StartAsync(proxy, "chunks", Encoding.Latin1.GetString(packed.ToArray()), "content-encoding: gzip\r\n");
        Assert.Equal(200, await sender.StatusAsync());
        Assert.Equal(text, slow.Requests.Single().Text);
    }

    private static string Bootstrap(string route, int port, string cluster = "", string manager = "") => Bootstraps.Many($$"""
        - match: { prefix: "/slow" }
          route:
            cluster: backend
        {{Bootstraps.Indent(route, 4)}}
        - match: { prefix: "/hurry" }
          route: { cluster: backend, timeout: 0.1s }
        - match: { prefix: "/" }
          route: { cluster: backend, timeout: 0s }
        """, [new TestCluster("backend", [port], cluster)], manager);

    // The only connection is taken.
    private static async Task<RawClient> HoldAsync(ProxyProcess proxy, Witness endpoint)
    {
        int before = endpoint.Connections.Count;
        RawClient holder = await proxy.ConnectAsync();
        await holder.SendAsync("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => endpoint.Connections.Count > before, "the only connection");
        return holder;
    }

    // Holds the first request until it is let go, and answers others with their targets.
    private static Witness Echo(SemaphoreSlim go) => new(async c =>
    {
        while (await c.RequestAsync() is { } request)
        {
            if (request.Target == "/hold") await go.WaitAsync();
            await c.OkAsync(request.Target);
        }
    });

    // An endpoint that opens its window by so much, again and again, and answers a request that is whole.
    private static Http2Backend Slow(int first, int by, int everyMs = 50)
    {
        var backend = new Http2Backend((Http2SettingId.InitialWindowSize, (uint)first)) { OnConnection = peer => peer.OpensWindows = false };
        backend.At("/free", async (peer, request) => await Http2Backend.AnswerAsync(peer, request, [(":status", "200")]));
        backend.At("/slow", async (peer, request) =>
        {
            using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(everyMs));
            while (by > 0 && !request.IsOver && !peer.IsClosed && await pace.WaitForNextTickAsync())
            {
                await peer.WindowAsync(request.Id, by);
                await peer.WindowAsync(0, by);
            }
            if (request.Ended) await Http2Backend.AnswerAsync(peer, request, [(":status", "200")]);
        });
        return backend;
    }

    // No two places of it look alike.
    private static string Text(int length)
    {
        var text = new StringBuilder(length + 16);
        for (int i = 0; text.Length < length; i++) text.Append(i).Append(' ');
        return text.ToString(0, length);
    }

    // Sends a request whose answer may come before its end.
    private sealed class Sender : IDisposable
    {
        private Http2Peer? _peer;
        private int _id;

        public RawClient? Client { get; private set; }

        public Task Sent { get; private set; } = Task.CompletedTask;

        public static async Task<Sender> StartAsync(ProxyProcess proxy, string kind, string text, string fields = "")
        {
            var sender = new Sender();
            if (kind == "http2")
            {
                sender._peer = await Http2Peer.ConnectAsync(proxy.Address);
                sender._id = await sender._peer.OpenAsync("POST", "/slow", end: false);
                sender.Sent = SendAsync(sender._peer, sender._id, text);
            }
            else
            {
                sender.Client = await proxy.ConnectAsync();
                string body = kind == "length" ? text : string.Concat(text.Chunk(5_000).Select(c => $"{c.Length:x}\r\n{new string(c)}\r\n")) + $"0\r\n{Trailer}\r\n\r\n";
                string framing = kind == "length" ? $"Content-Length: {text.Length}" : "Transfer-Encoding: chunked\r\nTrailer: x-sum";
                sender.Sent = SendAsync(sender.Client, $"POST /slow HTTP/1.1\r\nHost: x\r\n{fields}{framing}\r\n\r\n{body}");
            }
            return sender;
        }

        private static async Task SendAsync(Http2Peer peer, int id, string text)
        {
            await peer.BodyAsync(id, Encoding.Latin1.GetBytes(text), end: false);
            await peer.HeadersAsync(id, [("x-sum", "7")], end: true);
        }

        private static async Task SendAsync(RawClient client, string text) => await client.TrySendAsync(text);

        public async Task<int> StatusAsync() => _peer is { } peer ? (await peer.EndAsync(_id)).Status : (await Client!.ResponseAsync("POST")).Status;

        public void Dispose()
        {
            Client?.Dispose();
            _peer?.Dispose();
        }
    }
}

// Interim answers for a client that reads nothing: whoever waits for it waits no longer than its try, its race and the exchange do, and
// what it held of the cluster is free by then.
using System.Net.Sockets;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class InterimWaitTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };
    private static readonly string s_hint = $"HTTP/1.1 103 Early Hints\r\nx-filler: {new string('f', 50_000)}\r\n\r\n";
    private const string Retries = "retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s, retry_back_off: { base_interval: 0.002s } }\n";
    private const string Hedged = "hedge_policy: { hedge_on_per_try_timeout: true }\n" + Retries;
    private const string Breakers = "circuit_breakers: { thresholds: [{ max_retries: 1, track_remaining: true }] }\n";
    private const int Hints = 8;

    // The first request is answered with more interim heads than anybody takes unread, each other one as the test says.
    private sealed class Backend : IAsyncDisposable
    {
        private readonly Witness? _http1;
        private readonly Http2Backend? _http2;
        private int _count;

        public Backend(int up, bool others)
        {
            if (up == 1)
            {
                _http1 = new Witness(async c =>
                {
                    while (await c.RequestAsync() is not null)
                    {
                        if (Interlocked.Increment(ref _count) == 1) for (int i = 0; i < Hints; i++) await c.SendAsync(s_hint);
                        else if (others)
                        {
                            await c.OkAsync("fine");
                            continue;
                        }
                        await c.Reader.RestAsync();
                        return;
                    }
                });
                return;
            }
            _http2 = new Http2Backend();
            _http2.At("/a", async (peer, request) =>
            {
                if (Interlocked.Increment(ref _count) == 1)
                {
                    for (int i = 0; i < Hints; i++)
                        await peer.HeadersAsync(request.Id, [(":status", "103"), ("x-filler", new string('f', 12_000))]);
                }
                else if (others) await Http2Backend.AnswerAsync(peer, request, [(":status", "200"), ("content-length", "4")], "fine"u8.ToArray());
            });
        }

        public int Port => _http1?.Port ?? _http2!.Port;
        public string Cluster => _http1 is null ? Bootstraps.Http2Cluster + "\n" : "";
        public int Count => _count;

        public async ValueTask DisposeAsync()
        {
            if (_http1 is not null) await _http1.DisposeAsync();
            if (_http2 is not null) await _http2.DisposeAsync();
        }
    }

    // Its socket holds little, and nothing is read from it before the test says so.
    private sealed class Slow : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };

        public static async Task<Slow> AskAsync(ProxyProcess proxy, string more = "")
        {
            var slow = new Slow();
            await slow._socket.ConnectAsync(proxy.Address);
            await slow._socket.SendAsync(Encoding.ASCII.GetBytes($"GET /a HTTP/1.1\r\nHost: x\r\n{more}\r\n"));
            return slow;
        }

        public async Task<string> ReadAsync(string until)
        {
            var got = new StringBuilder();
            var piece = new byte[16 * 1024];
            while (!got.ToString().EndsWith(until, StringComparison.Ordinal) && await _socket.ReceiveAsync(piece).Within("the answer") is > 0 and int n)
                got.Append(Encoding.Latin1.GetString(piece, 0, n));
            return got.ToString();
        }

        public void Dispose() => _socket.Dispose();
    }

    private static Task<ProxyProcess> StartAsync(Backend backend, string route)
    {
        const string Chains = "    filter_chains:";
        const string SmallBuffers = "    socket_options: [{ level: 1, name: 7, int_value: 4096, state: STATE_PREBIND }]\n";
        return ProxyProcess.StartAsync(Bootstraps.One(backend.Port, "", route, backend.Cluster + Breakers)
            .Replace(Chains, SmallBuffers + Chains, StringComparison.Ordinal), s_oneWorker);
    }

    private static Task FreeAsync(ProxyProcess proxy) => Waiting.UntilAsync(async () =>
        await proxy.StatAsync("cluster.backend.circuit_breakers.default.remaining_retries") == 1
        && await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "requests and retries to be free");

    // All that is whole of it: heads of 103, and behind them the answer.
    private static void IsOneAnswer(string got, string end)
    {
        string[] heads = got.Split("\r\n\r\n");
        int hints = heads.TakeWhile(h => h.StartsWith("HTTP/1.1 103 Early Hints\r\n", StringComparison.Ordinal)).Count();
        Assert.InRange(hints, 1, Hints);
        Assert.StartsWith(end, heads[hints]);
        Assert.Equal(hints + 2, heads.Length);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_race_goes_on_without_the_try_that_waits_and_the_answer_is_whole(int up)
    {
        await using var backend = new Backend(up, others: true);
        await using ProxyProcess proxy = await StartAsync(backend, Hedged + "timeout: 60s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Slow client = await Slow.AskAsync(proxy))
        {
            await Waiting.UntilAsync(() => backend.Count == 2, "the second try");
            // Before the client has read a byte; what the answer rides on is its own until it is read.
            await Waiting.UntilAsync(async () =>
                await proxy.StatAsync("cluster.backend.circuit_breakers.default.remaining_retries") == 1
                && await proxy.StatAsync("cluster.backend.upstream_rq_active") <= 1, "the race to be over");
            IsOneAnswer(await client.ReadAsync("fine"), "HTTP/1.1 200 OK\r\n");
        }
        await FreeAsync(proxy);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public async Task A_race_won_or_not_ends_with_the_routes_time_and_holds_nothing_for_a_client_that_does_not_read(int up, bool others)
    {
        await using var backend = new Backend(up, others);
        await using ProxyProcess proxy = await StartAsync(backend, Hedged + "timeout: 0.5s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Slow client = await Slow.AskAsync(proxy))
        {
            await Waiting.UntilAsync(() => backend.Count == 2, "the second try");
            await FreeAsync(proxy);
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_try_whose_time_is_over_waits_for_the_client_no_longer_and_is_followed_by_another(int up)
    {
        await using var backend = new Backend(up, others: true);
        await using ProxyProcess proxy = await StartAsync(backend, Retries + "timeout: 60s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Slow client = await Slow.AskAsync(proxy))
        {
            await Waiting.UntilAsync(() => backend.Count == 2, "the second try");
            IsOneAnswer(await client.ReadAsync("fine"), "HTTP/1.1 200 OK\r\n");
        }
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout"));
        await FreeAsync(proxy);
        await proxy.SettleAsync(before);
    }

    // The life of a try, as against its time.
    [Fact]
    public async Task A_try_that_has_lived_long_enough_waits_no_longer_either()
    {
        await using var backend = new Backend(1, others: true);
        const string Life = """
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                common_http_protocol_options: { max_stream_duration: 0.2s }
                explicit_http_config: { http_protocol_options: {} }
            """;
        const string Chains = "    filter_chains:";
        const string SmallBuffers = "    socket_options: [{ level: 1, name: 7, int_value: 4096, state: STATE_PREBIND }]\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, "", "timeout: 60s", Life)
            .Replace(Chains, SmallBuffers + Chains, StringComparison.Ordinal), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Slow client = await Slow.AskAsync(proxy, "Connection: close\r\n"))
        {
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "the try to end");
            IsOneAnswer(await client.ReadAsync("\0"), "HTTP/1.1 504 Gateway Timeout\r\n");
        }
        await proxy.SettleAsync(before);
    }

    // Over HTTP/2 heads need no window, but room on a connection whose client reads nothing.
    private static async Task<Http2Peer> AskDeafAsync(ProxyProcess proxy)
    {
        Http2Peer peer = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: false);
        peer.Socket.ReceiveBufferSize = 4096;
        await peer.SendAsync(Http2FrameHeader.Preface.ToArray());
        await peer.SettingsAsync();
        await peer.HeadersAsync(1, [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/a")], end: true);
        return peer;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Over_HTTP_2_a_race_goes_on_without_it_too(int up)
    {
        await using var backend = new Backend(up, others: true);
        await using ProxyProcess proxy = await StartAsync(backend, Hedged + "timeout: 60s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await AskDeafAsync(proxy))
        {
            await Waiting.UntilAsync(() => backend.Count == 2, "the second try");
            await Waiting.UntilAsync(async () =>
                await proxy.StatAsync("cluster.backend.circuit_breakers.default.remaining_retries") == 1
                && await proxy.StatAsync("cluster.backend.upstream_rq_active") <= 1, "the race to be over");
            peer.StartReading();
            Assert.Equal("fine", (await peer.EndAsync(1)).Text);
        }
        await FreeAsync(proxy);
        await proxy.SettleAsync(before);
    }

    // Nothing is torn there: the answer is told, and waits for its client with nothing of the cluster in its hands.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Over_HTTP_2_what_ends_with_the_routes_time_holds_nothing_of_the_cluster_while_its_client_reads_nothing(int up)
    {
        await using var backend = new Backend(up, others: false);
        await using ProxyProcess proxy = await StartAsync(backend, Hedged + "timeout: 0.5s");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await AskDeafAsync(proxy))
        {
            await Waiting.UntilAsync(() => backend.Count == 2, "the second try");
            await FreeAsync(proxy);
            peer.StartReading();
            Assert.Equal(504, (await peer.EndAsync(1)).Status);
        }
        await proxy.SettleAsync(before);
    }
}

// Bodies and streams that are longer than what the proxy reads at once, whatever frames them: every byte arrives in its place, what
// follows them on the connection is the next message, what was cut stays cut, and the log counts what went through.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class LargeBodyFixture : IAsyncLifetime
{
    private readonly TempFolder _folder = new();

    public Cases Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;
    public string Log { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Log = _folder.At("access.log");
        Proxy = await ProxyProcess.StartAsync(Bootstraps.One(Backend.Port, $$"""
            upgrade_configs: [{ upgrade_type: websocket }]
            access_log:
            - name: file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: {{Log}}
                log_format: { text_format_source: { inline_string: "%REQ(:PATH)% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n" } }
            """), new ProxyOptions { Concurrency = 1, Arguments = ["--file-flush-interval-msec", "10"] });
    }

    /// <summary>The line of a path's only request, without the path.</summary>
    public async Task<string> LoggedAsync(string path)
    {
        string? line = null;
        await Waiting.UntilAsync(() =>
        {
            line = File.Exists(Log) ? File.ReadLines(Log).FirstOrDefault(l => l.StartsWith(path + " ", StringComparison.Ordinal)) : null;
            return line is not null;
        }, $"the log to speak of {path}");
        return line![(path.Length + 1)..];
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class LargeBodyTests(LargeBodyFixture fixture) : IClassFixture<LargeBodyFixture>
{
    private const int Small = 16 * 1024;

    public static readonly TheoryData<string, int> Framed = new()
    {
        { "length", 64 * 1024 }, { "length", 256 * 1024 + Small }, { "length", 3_000_017 },
        { "chunks of 1000", 300_000 }, { "chunks of 65536", 1 << 20 }, { "chunks of 262145", 2_000_003 }, { "one chunk", 3_000_017 },
    };

    // Every byte says where it stands.
    private static string Content(int bytes)
    {
        var text = new StringBuilder(bytes + 8);
        for (int at = 0; at < bytes; at += 8) text.Append($"{at:x7}\n");
        return text.ToString(0, bytes);
    }

    private static (string Fields, string Body) Frame(string how, string content)
    {
        if (how == "length") return ($"Content-Length: {content.Length}\r\n", content);
        if (how == "close") return ("Connection: close\r\n", content);
        int chunk = how == "one chunk" ? content.Length : int.Parse(how.Split(' ')[^1]);
        var body = new StringBuilder();
        for (int at = 0; at < content.Length; at += chunk)
        {
            int take = Math.Min(chunk, content.Length - at);
            body.Append($"{take:x};part\r\n").Append(content, at, take).Append("\r\n");
        }
        return ("Transfer-Encoding: chunked\r\n", body.Append("0\r\nx-sum: 1\r\n\r\n").ToString());
    }

    private static void Same(string expected, string actual)
    {
        if (expected == actual) return;
        int at = expected.Zip(actual).TakeWhile(p => p.First == p.Second).Count();
        Assert.Fail($"{actual.Length} bytes for {expected.Length}, the first wrong one is number {at}");
    }

    [Theory]
    [MemberData(nameof(Framed))]
    public async Task A_large_answer_arrives_whole_and_the_connection_goes_on(string how, int bytes)
    {
        string content = Content(bytes);
        (string fields, string body) = Frame(how, content);
        string path = fixture.Backend.Answer($"HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            for (int i = 0; i < 3; i++)
            {
                HttpMessage answer = await client.ExchangeAsync($"GET {path}/{i} HTTP/1.1\r\nHost: x\r\n\r\n");
                Same(content, answer.Text);
                Assert.Equal(how == "length" ? [] : ["1"], answer.Trailers.Select(t => t.Value));
            }
        }
        for (int i = 0; i < 3; i++) Assert.Equal($"0 {bytes} - via_upstream", await fixture.LoggedAsync($"{path}/{i}"));
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(Framed))]
    public async Task A_large_request_arrives_whole_and_what_was_sent_behind_it_is_the_next_one(string how, int bytes)
    {
        string content = Content(bytes);
        (string fields, string body) = Frame(how, content);
        string? seen = null;
        string path = fixture.Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            seen = head.Text;
            await c.OkAsync();
        });
        string echo = fixture.Backend.Echo();
        string filler = new('f', 5000);
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}"
                + $"POST {echo}/second HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{filler}GET {echo}/third HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(200, (await client.ResponseAsync()).Status);
            Same(content, seen!);
            HttpMessage second = await client.ResponseAsync();
            Assert.StartsWith($"POST {echo}/second", second.Text, StringComparison.Ordinal);
            Assert.EndsWith(filler, second.Text, StringComparison.Ordinal);
            Assert.StartsWith($"GET {echo}/third", (await client.ResponseAsync()).Text, StringComparison.Ordinal);
        }
        Assert.StartsWith($"{bytes} ", await fixture.LoggedAsync(path), StringComparison.Ordinal);
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(100_000)]
    [InlineData(3_000_017)]
    public async Task An_answer_that_ends_with_its_connection_arrives_whole(int bytes)
    {
        string content = Content(bytes);
        string path = fixture.Backend.Answer($"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{content}", thenClose: true);
        using RawClient client = await fixture.Proxy.ConnectAsync();
        Same(content, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        Assert.Equal($"0 {bytes} - via_upstream", await fixture.LoggedAsync(path));
    }

    [Theory]
    [InlineData("length")]
    [InlineData("one chunk")]
    [InlineData("close")]
    public async Task A_reader_that_is_slow_misses_nothing_and_is_waited_for(string how)
    {
        string content = Content(12_000_000);
        (string fields, string body) = Frame(how, content);
        bool sent = false;
        string path = fixture.Backend.Add(async (c, head) =>
        {
            await c.SendAsync($"HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
            sent = true;
            if (how == "close") c.Close();
        });
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            client.Socket.ReceiveBufferSize = 256 * 1024;
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            await Waiting.UntilAsync(async () => (await fixture.Proxy.LedgerAsync())["buffers_bytes"] >= Small, "the answer to be on its way");
            Assert.False(sent);
            Same(content, (await client.ResponseAsync()).Text);
        }
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("length", 0, "UPE")]
    [InlineData("length", Small, "UPE")]
    [InlineData("length", 300_000, "UPE")]
    [InlineData("length", 1_048_575, "UPE")]
    [InlineData("one chunk", 300_000, "UPE")]
    [InlineData("chunks of 65536", 65536 + 20, "UPE")]
    [InlineData("one chunk", 1_048_576 + 15, "UPE")]
    public async Task An_answer_that_its_backend_cuts_is_seen_to_be_cut(string how, int after, string flags)
    {
        (string fields, string body) = Frame(how, Content(1 << 20));
        string path = fixture.Backend.Answer($"HTTP/1.1 200 OK\r\n{fields}\r\n{body[..after]}", thenClose: true);
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            string got = await client.RestAsync();
            Assert.StartsWith("HTTP/1.1 200", got, StringComparison.Ordinal);
            Assert.False(got.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal), "it has an end");
            Assert.True(got.Length < (1 << 20) + 300, "it is longer than what was sent");
        }
        Assert.Equal(flags, (await fixture.LoggedAsync(path)).Split(' ')[2]);
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("length", 0)]
    [InlineData("length", Small)]
    [InlineData("length", 300_000)]
    [InlineData("one chunk", 300_000)]
    [InlineData("length", 1_048_575)]
    public async Task A_request_that_its_client_cuts_does_not_arrive_as_a_whole_one(string how, int after)
    {
        (string fields, string body) = Frame(how, Content(1 << 20));
        bool whole = false;
        string path = fixture.Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            whole = true;
        });
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body[..after]}");
            client.HalfClose();
            await client.RestAsync();
        }
        Assert.Equal("DC", (await fixture.LoggedAsync(path)).Split(' ')[2]);
        Assert.False(whole);
        await fixture.Proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_leaves_a_large_answer_leaves_nothing_behind(bool reset)
    {
        string path = fixture.Backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n{new string('x', 20_000_000)}");
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            await client.TextAsync(400_000);
            if (reset) client.Reset();
        }
        Assert.StartsWith("DC ", string.Join(' ', (await fixture.LoggedAsync(path)).Split(' ')[2..]), StringComparison.Ordinal);
        await fixture.Proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_tunnel_carries_large_messages_both_ways_and_ends_one_way_at_a_time()
    {
        string there = Content(2_000_003);
        string back = Content(3_000_017);
        string? seen = null;
        string path = fixture.Backend.Add(async (c, _) =>
        {
            await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            Task answering = c.SendAsync(back);
            seen = Encoding.Latin1.GetString(await c.Reader.RestAsync());
            await answering;
            c.HalfClose();
        });
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            Assert.Equal(101, (await client.ResponseAsync()).Status);
            Task sending = client.SendAsync(there);
            Same(back, await client.TextAsync(back.Length));
            await sending;
            client.HalfClose();
            Assert.Equal("", await client.RestAsync());
            Same(there, seen!);
        }
        Assert.StartsWith($"{there.Length} {back.Length} ", await fixture.LoggedAsync(path), StringComparison.Ordinal);
        await fixture.Proxy.SettleAsync(before);
    }
}

public sealed class LargeRelayTests
{
    private static string Relay(int port, string log) => $$"""
        node: { id: test, cluster: tests }
        admin:
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            filter_chains:
            - filters:
              - name: envoy.filters.network.tcp_proxy
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  stat_prefix: test
                  cluster: backend
                  access_log:
                  - name: file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: {{log}}
                      log_format: { text_format_source: { inline_string: "%BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS%\n" } }
          clusters:
        {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("backend", [port])]), 2)}}
        """;

    [Theory]
    [InlineData(100, 100)]
    [InlineData(3_000_017, 0)]
    [InlineData(0, 3_000_017)]
    [InlineData(6_000_000, 5_000_000)]
    public async Task A_relay_carries_both_ways_at_once_and_ends_each_by_itself(int there, int back)
    {
        using var folder = new TempFolder();
        string log = folder.At("tcp.log");
        byte[] up = Pattern(there), down = Pattern(back);
        byte[] seen = [];
        await using var backend = new Witness(async c =>
        {
            Task answering = c.SendAsync(down);
            seen = await c.Reader.RestAsync();
            await answering;
            c.HalfClose();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Relay(backend.Port, log), new ProxyOptions { Concurrency = 1, Arguments = ["--file-flush-interval-msec", "10"] });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            client.Socket.ReceiveBufferSize = 256 * 1024;
            Task sending = client.SendAsync(up);
            byte[] got = Encoding.Latin1.GetBytes(await client.TextAsync(back));
            Assert.True(down.AsSpan().SequenceEqual(got));
            await sending;
            client.HalfClose();
            Assert.Equal("", await client.RestAsync());
        }
        Assert.True(up.AsSpan().SequenceEqual(seen));
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).EndsWith('\n'), "the log");
        Assert.Equal($"{there} {back} -\n", File.ReadAllText(log));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reset_in_the_middle_of_a_relay_is_passed_on(bool byClient)
    {
        using var folder = new TempFolder();
        bool seenReset = false;
        await using var backend = new Witness(async c =>
        {
            await c.SendAsync(Pattern(400_000));
            if (!byClient)
            {
                await c.Reader.ByteAsync();
                c.Reset();
                return;
            }
            try
            {
                await c.Reader.RestAsync();
            }
            catch (System.Net.Sockets.SocketException)
            {
                seenReset = true;
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Relay(backend.Port, folder.At("tcp.log")), new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TextAsync(400_000);
            if (byClient)
            {
                client.Reset();
                await Waiting.UntilAsync(() => seenReset, "the backend to see the reset");
            }
            else
            {
                await client.SendAsync("x");
                await Assert.ThrowsAsync<System.Net.Sockets.SocketException>(() => client.TextAsync(1));
            }
        }
        await proxy.SettleAsync(before);
    }

    private static byte[] Pattern(int bytes)
    {
        var pattern = new byte[bytes];
        new Random(7).NextBytes(pattern);
        return pattern;
    }
}

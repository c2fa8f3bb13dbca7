// A backend may be hostile or broken: its answer is passed on whole and unambiguous, or the client gets 502 (or sees the cut),
// and nobody else ever gets what is left on that connection.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ResponseStrictnessTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// <summary>Heads that no client may see.</summary>
    public static TheoryData<string, string> Heads => new()
    {
        { "CL then TE", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE then CL", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" },
        { "two CL that differ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 2\r\n\r\nhello" },
        { "CL list that differs", "HTTP/1.1 200 OK\r\nContent-Length: 5, 2\r\n\r\nhello" },
        { "CL +5", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello" },
        { "CL -1", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello" },
        { "CL 0x5", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello" },
        { "CL empty", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello" },
        { "CL beyond 63 bits", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello" },
        { "TE xchunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
        { "TE chunked, identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
        { "TE twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok" },
        { "LF after a field", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok" },
        { "NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok" },
        { "CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok" },
        { "no colon", "HTTP/1.1 200 OK\r\nFoo\r\nContent-Length: 2\r\n\r\nok" },
        { "empty name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok" },
        { "blank in a name", "HTTP/1.1 200 OK\r\nFoo Bar: x\r\nContent-Length: 2\r\n\r\nok" },
        { "status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok" },
        { "status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok" },
        { "status in letters", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok" },
        { "status 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok" },
        { "version 2", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok" },
        { "ICY", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok" },
        { "not HTTP", "SSH-2.0-OpenSSH_9.2\r\n" },
        { "NUL bytes", "\0\0\0\0\0\0\0\0\r\n\r\n" },
        { "101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
        { "control byte in the reason", "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok" },
        { "TE in HTTP/1.0 with CL", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok" },
    };

    /// <summary>Content that breaks off or is malformed after a good head.</summary>
    public static TheoryData<string, string> Contents => new()
    {
        { "LF in a chunk line", Chunked + "2;a\nok\r\n0\r\n\r\n" },
        { "LF after a size", Chunked + "2\nok\r\n0\r\n\r\n" },
        { "size of 17 digits", Chunked + "ffffffffffffffff1\r\nok\r\n0\r\n\r\n" },
        { "blank after a size", Chunked + "2 \r\nok\r\n0\r\n\r\n" },
        { "size 0x2", Chunked + "0x2\r\nok\r\n0\r\n\r\n" },
        { "no size", Chunked + "\r\nok\r\n0\r\n\r\n" },
        { "no CRLF after a chunk", Chunked + "2\r\nokX\r\n0\r\n\r\n" },
        { "LF after the last chunk", Chunked + "2\r\nok\r\n0\n\n" },
        { "bad name in a trailer", Chunked + "2\r\nok\r\n0\r\nTrail er: x\r\n\r\n" },
        { "NUL in a trailer", Chunked + "2\r\nok\r\n0\r\nX: a\0b\r\n\r\n" },
    };

    /// <summary>Good answers with something behind them that belongs to nobody.</summary>
    public static TheoryData<string, string, string, string> Leftovers => new()
    {
        { "two answers to one request", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + Evil, "ok" },
        { "204 with content", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nLEFT!", "" },
        { "204 with an answer behind", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + Evil, "" },
        { "304 with content", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nLEFT!", "" },
        { "HEAD with content", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nLEFT!", "" },
        { "HEAD with an answer behind", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + Evil, "" },
        { "more content than its length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokLEFT!", "ok" },
        { "bytes after the last chunk", "GET", Chunked + "2\r\nok\r\n0\r\n\r\nLEFT!", "ok" },
        { "an answer after the last chunk", "GET", Chunked + "2\r\nok\r\n0\r\n\r\n" + Evil, "ok" },
        { "a stray empty line", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", "ok" },
    };

    private const string Evil = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 5\r\n\r\nLEFT!";

    [Theory]
    [MemberData(nameof(Heads))]
    public async Task A_head_that_is_not_http_becomes_502(string row, string bytes)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {fixture.Backend.Answer(bytes, thenClose: true)} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.True(answer.Status is 502, $"{row}: {answer}");
        Assert.True(answer.Has("x-naru-reason"), answer.ToString());
        Assert.DoesNotContain("LEFT", answer.ToString());
        await fixture.StillServesAsync();
    }

    [Theory]
    [MemberData(nameof(Contents))]
    public async Task Content_that_breaks_is_never_passed_off_as_whole(string row, string bytes)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {fixture.Backend.Answer(bytes)} HTTP/1.1\r\nHost: x\r\n\r\n");
        // What there is of it, head first, and then the end: no answer of our own can take the place of one that began (Envoy).
        HttpMessage head = (await client.Reader.HeadAsync())!;
        Assert.Equal((200, "chunked"), (head.Status, head.Header("transfer-encoding")));
        string rest = await client.RestAsync();
        Assert.Equal((row, row.Contains("trailer", StringComparison.Ordinal) || row.StartsWith("LF after the last", StringComparison.Ordinal) || row.StartsWith("no CRLF", StringComparison.Ordinal) ? "2\r\nok\r\n" : ""), (row, rest));
        await fixture.StillServesAsync();
    }

    [Theory]
    [MemberData(nameof(Leftovers))]
    public async Task What_is_left_on_a_connection_reaches_nobody(string row, string method, string bytes, string expected)
    {
        // One worker and one backend connection: the next request would meet the leftovers if anyone kept them.
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port), new ProxyOptions { Concurrency = 1 });
        string path = backend.Answer(bytes);
        string echo = backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.True(answer.Status == int.Parse(bytes.Split(' ')[1]) && answer.Text == expected, $"{row}: {answer}");

        for (int i = 0; i < 3; i++)
        {
            using RawClient next = await proxy.ConnectAsync();
            HttpMessage clean = await next.ExchangeAsync($"GET {echo}/{i} HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.StartsWith($"GET {echo}/{i} ", clean.Text);
            Assert.False(clean.Has("X-Evil"));
        }
        Assert.DoesNotContain("LEFT", await ReadAvailableAsync(client));
    }

    [Fact]
    public async Task An_answer_that_nobody_asked_for_reaches_nobody()
    {
        await using var witness = new Witness(async c =>
        {
            bool first = c.Index == 0;
            while (await c.RequestAsync() is { } request)
            {
                await c.OkAsync(request.Target);
                if (first) await c.SendAsync(Evil);
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal($"/{i}", (await client.ExchangeAsync($"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
            // What comes after the next request has gone out cannot be told from its answer: the connection has to be gone before.
            if (i == 0) await Waiting.UntilAsync(() => witness.Connections[0].IsOver, "the end of the connection");
        }
    }

    [Fact]
    public async Task Informational_answers_without_end_do_not_hurt()
    {
        string path = fixture.Backend.Add(async (c, head) =>
        {
            for (int i = 0; i < 2_000; i++) await c.SendAsync("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            await c.OkAsync();
        });
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer;
        do answer = await client.ResponseAsync();
        while (answer.Status == 103);
        // More than 16 are no answer.
        Assert.Equal(502, answer.Status);
        await fixture.StillServesAsync();
    }

    [Fact]
    public async Task A_head_beyond_the_limit_becomes_502()
    {
        string path = fixture.Backend.Answer("HTTP/1.1 200 OK\r\nX-Long: " + new string('a', 2_000_000) + "\r\nContent-Length: 2\r\n\r\nok", thenClose: true);
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(502, answer.Status);
        await fixture.StillServesAsync();
    }

    [Theory]
    [InlineData("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200)]
    [InlineData("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n", 200)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 502)]
    [InlineData("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 502)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 502)]
    public async Task A_careless_answer_is_repaired_where_it_has_one_meaning_and_refused_where_readers_differ(string bytes, int status)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {fixture.Backend.Answer(bytes)} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(status, answer.Status);
        if (status == 200) Assert.Equal("ok", answer.Text);
        else Assert.StartsWith("NARU-U502", answer.Header("x-naru-reason"));
        await fixture.StillServesAsync();
    }

    // Asks once more on the same connection and gives everything that came.
    private static async Task<string> ReadAvailableAsync(RawClient client)
    {
        if (!await client.TrySendAsync("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) return "";
        return await client.RestAsync();
    }
}

// What RFC 9112 calls ambiguous is refused, and nothing hidden in one request ever reaches the backend as another.
// Every row sends its bytes and, on the same connection, a second marked request.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RequestStrictnessTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Marker = "GET /marker HTTP/1.1\r\nHost: x\r\nX-Marker: yes\r\n\r\n";

    private const string Post = "POST /row HTTP/1.1\r\nHost: x\r\n";

    private const string Chunked = Post + "Transfer-Encoding: chunked\r\n\r\n";

    /// <summary>Refused before anything is forwarded with 400, or what <see cref="Refusal"/> says; then the connection ends.</summary>
    public static TheoryData<string, string> Heads => new()
    {
        // Length and coding together, lengths repeated or odd (attack class 1).
        { "CL then TE", Post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE then CL", Post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" },
        { "TE then CL 0", Post + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" },
        { "two CL that differ", Post + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello" },
        { "two CL that agree", Post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" },
        { "CL list", Post + "Content-Length: 5, 5\r\n\r\nhello" },
        { "CL list that differs", Post + "Content-Length: 5,6\r\n\r\nhello" },
        { "CL +5", Post + "Content-Length: +5\r\n\r\nhello" },
        { "CL -5", Post + "Content-Length: -5\r\n\r\nhello" },
        { "CL 0x5", Post + "Content-Length: 0x5\r\n\r\nhello" },
        { "CL 5.0", Post + "Content-Length: 5.0\r\n\r\nhello" },
        { "CL 1e1", Post + "Content-Length: 1e1\r\n\r\nhello" },
        { "CL 5 5", Post + "Content-Length: 5 5\r\n\r\nhello" },
        { "CL 5;", Post + "Content-Length: 5;\r\n\r\nhello" },
        { "CL \"5\"", Post + "Content-Length: \"5\"\r\n\r\nhello" },
        { "CL VT 5", Post + "Content-Length: \v5\r\n\r\nhello" },
        { "CL five", Post + "Content-Length: five\r\n\r\nhello" },
        { "CL empty", Post + "Content-Length:\r\n\r\n" },
        { "CL empty, then one", Post + "Content-Length:\r\nContent-Length: 5\r\n\r\nhello" },
        { "CL beyond 63 bits", Post + "Content-Length: 9223372036854775808\r\n\r\nhello" },
        { "CL beyond 64 bits", Post + "Content-Length: 18446744073709551621\r\n\r\nhello" },
        { "CL of 200 digits", Post + "Content-Length: " + new string('1', 200) + "\r\n\r\nhello" },
        { "TE xchunked", Post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
        { "TE chunk", Post + "Transfer-Encoding: chunk\r\n\r\n0\r\n\r\n" },
        { "TE identity", Post + "Transfer-Encoding: identity\r\n\r\n" },
        { "TE empty", Post + "Transfer-Encoding:\r\n\r\n0\r\n\r\n" },
        { "TE chunked, identity", Post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
        { "TE identity, chunked", Post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" },
        { "TE gzip, chunked", Post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
        { "TE chunked, chunked", Post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" },
        { "TE twice", Post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE twice, the second odd", Post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n" },
        { "TE with a parameter", Post + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" },
        { "TE quoted", Post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" },
        { "TE VT chunked", Post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" },
        { "TE chunked NUL", Post + "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" },
        { "TE in HTTP/1.0", "POST /row HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE VT colon", Post + "Transfer-Encoding\v: chunked\r\n\r\n0\r\n\r\n" },
        // Blanks, folds and empty names (classes 2 and 4).
        { "blank before the colon", Post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" },
        { "tab before the colon", Post + "Content-Length\t: 5\r\n\r\nhello" },
        { "folded TE", Post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" },
        { "folded value", Post + "X: a\r\n b\r\n\r\n" },
        { "folded with a tab", Post + "X: a\r\n\tb\r\n\r\n" },
        { "first line folded", "POST /row HTTP/1.1\r\n Host: x\r\n\r\n" },
        { "empty name", Post + ": x\r\n\r\n" },
        { "no colon", Post + "Foo\r\n\r\n" },
        { "blank in a name", Post + "Foo Bar: x\r\n\r\n" },
        { "parenthesis in a name", Post + "Foo(: x\r\n\r\n" },
        { "at sign in a name", Post + "F@o: x\r\n\r\n" },
        { "NUL in a name", Post + "F\0o: x\r\n\r\n" },
        { "8-bit byte in a name", Post + "F\u00e9o: x\r\n\r\n" },
        { "NUL in a value", Post + "X: a\0b\r\n\r\n" },
        { "CR in a value", Post + "X: a\rb\r\n\r\n" },
        { "CR at the end of a value", Post + "X: a\r\r\n\r\n" },
        { "BEL in a value", Post + "X: a\ab\r\n\r\n" },
        { "DEL in a value", Post + "X: a\u007fb\r\n\r\n" },
        // Line ends.
        { "LF after the request line", "POST /row HTTP/1.1\nHost: x\r\n\r\n" },
        { "LF after a field", Post + "X: y\nZ: w\r\n\r\n" },
        { "LF instead of the empty line", Post + "X: y\r\n\n" },
        { "LF everywhere", "POST /row HTTP/1.1\nHost: x\n\n" },
        { "CR only", "POST /row HTTP/1.1\rHost: x\r\r" + "\n" },
        // Request lines.
        { "two blanks", "GET  /row HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "blank before the method", " GET /row HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "tab between", "GET\t/row\tHTTP/1.1\r\nHost: x\r\n\r\n" },
        { "blank in the target", "GET /row x HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "blank at the end", "GET /row HTTP/1.1 \r\nHost: x\r\n\r\n" },
        { "no target", "GET HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "no version", "GET /row\r\nHost: x\r\n\r\n" },
        { "lower-case version", "GET /row http/1.1\r\nHost: x\r\n\r\n" },
        { "version 2.0", "GET /row HTTP/2.0\r\nHost: x\r\n\r\n" },
        { "version 0.9", "GET /row HTTP/0.9\r\nHost: x\r\n\r\n" },
        { "version 1.10", "GET /row HTTP/1.10\r\nHost: x\r\n\r\n" },
        { "version 1", "GET /row HTTP/1\r\nHost: x\r\n\r\n" },
        { "version 1,1", "GET /row HTTP/1,1\r\nHost: x\r\n\r\n" },
        { "nearly an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n" },
        { "at sign in the method", "G@T /row HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "NUL in the method", "G\0T /row HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "NUL in the target", "GET /r\0w HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "CR in the target", "GET /r\rw HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "DEL in the target", "GET /r\u007fw HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "VT in the target", "GET /r\vw HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "target without a slash", "GET row HTTP/1.1\r\nHost: x\r\n\r\n" },
        // Host.
        { "no Host", "GET /row HTTP/1.1\r\n\r\n" },
        { "two Hosts", "GET /row HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" },
        { "two Hosts that agree", "GET /row HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n" },
        { "blank in Host", "GET /row HTTP/1.1\r\nHost: x y\r\n\r\n" },
        { "slash in Host", "GET /row HTTP/1.1\r\nHost: x/y\r\n\r\n" },
        { "comma in Host", "GET /row HTTP/1.1\r\nHost: x,y\r\n\r\n" },
        { "NUL in Host", "GET /row HTTP/1.1\r\nHost: x\0y\r\n\r\n" },
    };

    /// <summary>The head is fine, the content is not: what was forwarded must stay visibly unfinished.</summary>
    public static TheoryData<string, string> Contents => new()
    {
        { "LF in a chunk line", Chunked + "4;ext=a\nabcd\r\n0\r\n\r\n" },
        { "LF after a size", Chunked + "4\nabcd\r\n0\r\n\r\n" },
        { "CR in a chunk line", Chunked + "4\rX\r\nabcd\r\n0\r\n\r\n" },
        { "size of 17 digits", Chunked + "ffffffffffffffff1\r\nabcd\r\n0\r\n\r\n" },
        { "size of 16 digits", Chunked + "ffffffffffffffff\r\nabcd\r\n0\r\n\r\n" },
        { "size beyond 63 bits", Chunked + "8000000000000000\r\nabcd\r\n0\r\n\r\n" },
        { "blank after a size", Chunked + "4 \r\nabcd\r\n0\r\n\r\n" },
        { "blank before a size", Chunked + " 4\r\nabcd\r\n0\r\n\r\n" },
        { "size 0x4", Chunked + "0x4\r\nabcd\r\n0\r\n\r\n" },
        { "size +4", Chunked + "+4\r\nabcd\r\n0\r\n\r\n" },
        { "size -4", Chunked + "-4\r\nabcd\r\n0\r\n\r\n" },
        { "size 4g", Chunked + "4g\r\nabcd\r\n0\r\n\r\n" },
        { "no size", Chunked + "\r\nabcd\r\n0\r\n\r\n" },
        { "only an extension", Chunked + ";a=b\r\nabcd\r\n0\r\n\r\n" },
        { "NUL in an extension", Chunked + "4;a\0b\r\nabcd\r\n0\r\n\r\n" },
        { "no CRLF after a chunk", Chunked + "4\r\nabcdX\r\n0\r\n\r\n" },
        { "LF after a chunk", Chunked + "4\r\nabcd\n0\r\n\r\n" },
        { "CR X after a chunk", Chunked + "4\r\nabcd\rX0\r\n\r\n" },
        { "LF after the last chunk", Chunked + "4\r\nabcd\r\n0\n\r\n" },
        { "LF at the very end", Chunked + "4\r\nabcd\r\n0\r\n\n" },
        { "bad name in a trailer", Chunked + "4\r\nabcd\r\n0\r\nTrail er: x\r\n\r\n" },
        { "LF in a trailer", Chunked + "4\r\nabcd\r\n0\r\nX: y\n\r\n" },
        { "folded trailer", Chunked + "4\r\nabcd\r\n0\r\nX: y\r\n z\r\n\r\n" },
        { "NUL in a trailer", Chunked + "4\r\nabcd\r\n0\r\nX: a\0b\r\n\r\n" },
    };

    // A coding we lack is 501 (RFC 9112 6.1), a version we lack 505 (RFC 9110 15.6.6); everything else is malformed.
    private static int Refusal(string row) => row switch
    {
        "TE then CL" or "TE then CL 0" or "TE VT chunked" or "TE chunked NUL" or "TE VT colon" => 400,
        "version 1" or "version 1.10" => 400,
        "no target" or "no version" or "nearly an HTTP/2 preface" => 505,
        _ when row.StartsWith("TE ", StringComparison.Ordinal) => 501,
        _ when row.StartsWith("version ", StringComparison.Ordinal) => 505,
        _ => 400,
    };

    /// <summary>Unusual and legal, or left to us: refused as <see cref="Said"/> says, or forwarded as one message that everybody reads alike.</summary>
    public static TheoryData<string, string> Alike => new()
    {
        { "TE CHUNKED", Post + "Transfer-Encoding: CHUNKED\r\n\r\n4\r\nabcd\r\n0\r\n\r\n" },
        { "TE with blanks around", Post + "Transfer-Encoding: \t chunked \t\r\n\r\n4\r\nabcd\r\n0\r\n\r\n" },
        { "CL with blanks around", Post + "Content-Length:   4 \r\n\r\nabcd" },
        { "CL 004", Post + "Content-Length: 004\r\n\r\nabcd" },
        { "size 004", Chunked + "004\r\nabcd\r\n0\r\n\r\n" },
        { "size of 16 digits, small", Chunked + "0000000000000004\r\nabcd\r\n0\r\n\r\n" },
        { "last chunk 000", Chunked + "4\r\nabcd\r\n000\r\n\r\n" },
        { "extension", Chunked + "4;name=value\r\nabcd\r\n0;last\r\n\r\n" },
        { "quoted extension", Chunked + "4;name=\"a;b\"\r\nabcd\r\n0\r\n\r\n" },
        { "CRLF in a quoted extension", Chunked + "4;a=\"\r\n\"bcd\r\n0\r\n\r\n" },
        { "long extension", Chunked + "4;" + new string('a', 20_000) + "\r\nabcd\r\n0\r\n\r\n" },
        { "CL as a trailer", Chunked + "4\r\nabcd\r\n0\r\nContent-Length: 50\r\n\r\n" },
        { "TE as a trailer", Chunked + "4\r\nabcd\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { "Host as a trailer", Chunked + "4\r\nabcd\r\n0\r\nHost: evil\r\n\r\n" },
        { "8-bit value", Post + "X: caf\u00e9\r\nContent-Length: 4\r\n\r\nabcd" },
        { "8-bit target", "GET /caf\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "fragment in the target", "GET /row#frag HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "empty Host", "GET /row HTTP/1.1\r\nHost:\r\n\r\n" },
        { "user in Host", "GET /row HTTP/1.1\r\nHost: user@x\r\n\r\n" },
        { "version 1.2", "GET /row HTTP/1.2\r\nHost: x\r\n\r\n" },
        { "lower-case method", "get /row HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "GET with content", "GET /row HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" },
        { "underscore twin of CL", Post + "Content_Length: 0\r\nContent-Length: 4\r\n\r\nabcd" },
        { "OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n" },
        { "scoped IPv6 Host", "GET /row HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n" },
        { "TRACE", "TRACE /row HTTP/1.1\r\nHost: x\r\n\r\n" },
    };

    // Answers to the row and to the marked request behind it; the first refusal of a malformed one is the last.
    private static string Said(string row) => row switch
    {
        "8-bit target" or "fragment in the target" or "empty Host" or "user in Host" or "lower-case method" => "400",
        "size of 16 digits, small" or "long extension" => "400",
        "version 1.2" => "505",
        // No route takes it, and its connection is one it alone may use.
        "CONNECT" => "404",
        "OPTIONS *" => "404 200",
        _ => "200 200",
    };

    [Theory]
    [MemberData(nameof(Heads))]
    public async Task An_ambiguous_head_is_refused_and_the_connection_ends(string row, string bytes)
    {
        (int strict, int sloppy, _) = await fixture.Backend.Witness.CountAsync();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.TrySendAsync(bytes + Marker);
        HttpMessage? answer = await client.ResponseOrCloseAsync();

        Assert.True(answer?.Status == Refusal(row), $"{row}: {answer?.ToString() ?? "closed without an answer"}");
        Assert.Equal("", await client.RestAsync());
        (int strictAfter, int sloppyAfter, string? fault) = await fixture.Backend.Witness.CountAsync();
        Assert.Equal((strict, sloppy, null), (strictAfter, sloppyAfter, fault));
    }

    [Theory]
    [MemberData(nameof(Contents))]
    public async Task Ambiguous_content_never_completes_a_message(string row, string bytes)
    {
        // Its own backend: the unfinished message must be the last on its connection.
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        await client.TrySendAsync(bytes + Marker);
        HttpMessage? answer = await client.ResponseOrCloseAsync();

        Assert.True(answer is { Status: 400 }, $"{row}: {answer?.ToString() ?? "closed without an answer"}");
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(witness.Requests);
        Assert.All(witness.Connections, c => Assert.DoesNotContain("marker", Encoding.Latin1.GetString(c.Received)));
    }

    [Theory]
    [MemberData(nameof(Alike))]
    public async Task Unusual_requests_are_read_alike_by_everybody(string row, string bytes)
    {
        (int strict, int sloppy, _) = await fixture.Backend.Witness.CountAsync();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.TrySendAsync(bytes + Marker);
        var said = new List<int>();
        string method = bytes.Split(' ')[0];
        while (await client.ResponseOrCloseAsync(method) is { } answer)
        {
            method = "GET";
            said.Add(answer.Status);
            if (answer.Text.Contains("\nX-Marker: yes\n", StringComparison.Ordinal))
            {
                Assert.StartsWith("GET /marker HTTP/1.1\n", answer.Text);
                break;
            }
        }

        (int strictAfter, int sloppyAfter, string? fault) = await fixture.Backend.Witness.CountAsync();
        Assert.Null(fault);
        Assert.Equal(Said(row), string.Join(' ', said));
        int served = said.Count(s => s == 200);
        Assert.True(strictAfter - strict == served && sloppyAfter - sloppy == served, $"{row}: answered {served}, strict {strictAfter - strict}, sloppy {sloppyAfter - sloppy}");
        await fixture.StillServesAsync();
    }

    [Fact]
    public async Task Every_byte_in_a_field_value_goes_on_as_it_is_or_is_refused()
    {
        for (int b = 0; b < 256; b++)
        {
            char c = (char)b;
            if (c is '\r' or '\n') continue;
            string path = fixture.Backend.Echo();
            using RawClient client = await fixture.Proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nX-Byte: a{c}b\r\n\r\n");
            if (c < ' ' && c != '\t' || b == 127) Assert.True(answer.Status == 400, $"byte {b:x2}: {answer.Status}");
            else Assert.True(answer.Status == 200 && fixture.Backend.Seen(path).Single().Header("X-Byte") == $"a{c}b", $"byte {b:x2}");
        }
    }

    [Fact]
    public async Task Only_token_bytes_make_a_field_name()
    {
        for (int b = 0; b < 256; b++)
        {
            char c = (char)b;
            if (c is ':' or '\n') continue;
            bool token = char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c);
            string path = fixture.Backend.Echo();
            using RawClient client = await fixture.Proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nA{c}B: v\r\n\r\n");
            Assert.True(answer.Status == (token ? 200 : 400), $"byte {b:x2}: {answer.Status}");
        }
    }

    [Fact]
    public async Task A_refusal_says_why_and_is_counted()
    {
        long before = await fixture.Proxy.StatAsync("http.test.downstream_cx_protocol_error");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n");
        Assert.Equal(400, answer.Status);
        Assert.True(answer.Has("x-naru-reason"), answer.ToString());
        Assert.Equal("close", answer.Header("connection"));
        await Waiting.UntilAsync(async () => await fixture.Proxy.StatAsync("http.test.downstream_cx_protocol_error") > before, "the counter of protocol errors");
    }
}

// HTTP/1 as it is meant: messages of every legal shape pass through whole, both ways, in order.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class MessageTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private Cases Backend => fixture.Backend;

    private Task<RawClient> ConnectAsync() => fixture.Proxy.ConnectAsync();

    [Fact]
    public async Task A_connection_carries_many_requests()
    {
        using RawClient client = await ConnectAsync();
        string path = Backend.Echo();
        for (int i = 0; i < 20; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {path}/{i} HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(200, answer.Status);
            Assert.StartsWith($"GET {path}/{i} ", answer.Text);
        }
    }

    [Fact]
    public async Task Pipelined_requests_are_answered_in_order_though_the_first_is_slowest()
    {
        var release = new TaskCompletionSource();
        string slow = Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            await release.Task;
            await c.OkAsync("slow");
        });
        string quick = Backend.Echo();
        using RawClient client = await ConnectAsync();
        var requests = new StringBuilder($"GET {slow} HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < 50; i++) requests.Append($"POST {quick}/{i} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{i:00}");
        await client.SendAsync(requests.ToString());
        release.SetResult();

        Assert.Equal("slow", (await client.ResponseAsync()).Text);
        for (int i = 0; i < 50; i++)
        {
            string text = (await client.ResponseAsync()).Text;
            Assert.StartsWith($"POST {quick}/{i} ", text);
            Assert.EndsWith($"\n\n{i:00}", text);
        }
    }

    [Fact]
    public async Task A_request_may_come_one_byte_at_a_time()
    {
        using RawClient client = await ConnectAsync();
        string path = Backend.Echo();
        await client.SendBytewiseAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(200, answer.Status);
        Assert.EndsWith("\n\nhello world", answer.Text);
    }

    [Fact]
    public async Task An_answer_may_come_one_byte_at_a_time()
    {
        string path = Backend.Add(async (c, head) =>
        {
            foreach (char b in "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n5\r\nhello\r\n0\r\n\r\n") await c.SendAsync(b.ToString());
        });
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("hello", answer.Text);
        Assert.Equal("b", answer.Header("X-A"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(65_535)]
    [InlineData(3_000_000)]
    public async Task Content_with_a_length_passes_both_ways(int size)
    {
        byte[] body = new byte[size];
        new Random(size).NextBytes(body);
        string path = Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Body.Length}\r\n\r\n");
            await c.SendAsync(head.Body);
        });
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
        Task sending = client.SendAsync(body);
        HttpMessage answer = await client.ResponseAsync("POST");
        await sending;
        Assert.Equal(size.ToString(), answer.Header("content-length"));
        Assert.True(body.AsSpan().SequenceEqual(answer.Body));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 100)]
    [InlineData(70_000, 20)]
    public async Task Chunked_content_passes_both_ways(int chunk, int count)
    {
        byte[] piece = Encoding.Latin1.GetBytes(new string('p', chunk));
        string path = Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (int at = 0; at < head.Body.Length; at += chunk)
            {
                await c.SendAsync($"{chunk:x}\r\n");
                await c.SendAsync(head.Body.AsMemory(at, chunk));
                await c.SendAsync("\r\n");
            }
            await c.SendAsync("0\r\n\r\n");
        });
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        Task<HttpMessage> answering = client.ResponseAsync("POST");
        for (int i = 0; i < count; i++)
        {
            await client.SendAsync($"{chunk:X}\r\n");
            await client.SendAsync(piece);
            await client.SendAsync("\r\n");
        }
        await client.SendAsync("0\r\n\r\n");
        HttpMessage answer = await answering;
        Assert.Equal(chunk * count, answer.Body.Length);
        Assert.All(answer.Body, b => Assert.Equal((byte)'p', b));
        Assert.Equal("chunked", answer.Header("transfer-encoding"));
        Assert.False(answer.Has("content-length"));
    }

    [Fact]
    public async Task Content_streams_before_it_is_complete_in_both_directions()
    {
        var first = new TaskCompletionSource<string>();
        string path = Backend.Add(async (c, head) =>
        {
            first.SetResult(await c.Reader.LineAsync() + "|" + Encoding.Latin1.GetString(await c.Reader.ExactlyAsync(5)));
            await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
            await c.Reader.ExactlyAsync(2 + 5);
            await c.SendAsync("0\r\n\r\n");
        });
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        Assert.Equal("5|hello", await first.Task.Within("the first chunk upstream"));
        HttpMessage head = (await client.Reader.HeadAsync().AsTask().Within("the answer's head"))!;
        Assert.Equal(200, head.Status);
        Assert.Equal("3", await client.Reader.LineAsync().AsTask().Within("the first chunk downstream"));
        Assert.Equal("abc", await client.TextAsync(3));
        await client.SendAsync("0\r\n\r\n");
        Assert.Equal("\r\n0\r\n\r\n", await client.TextAsync(7));
    }

    [Fact]
    public async Task Trailers_pass_both_ways()
    {
        string path = Backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            c.Witness.Remember(head);
            await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n");
        });
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Check: yes\r\n\r\n");
        Assert.Equal(new HeaderLine("X-Sum", "42"), Assert.Single(answer.Trailers));
        Assert.Equal(new HeaderLine("X-Check", "yes"), Assert.Single(Backend.Seen(path).Single().Trailers));
    }

    [Fact]
    public async Task Expect_100_continue_is_answered_before_the_content_is_sent()
    {
        string path = Backend.Echo();
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        Assert.Equal(100, (await client.ResponseAsync("POST")).Status);
        await client.SendAsync("body");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(200, answer.Status);
        Assert.EndsWith("\n\nbody", answer.Text);
        Assert.DoesNotContain("Expect:", answer.Text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task An_expectation_that_nobody_knows_is_passed_on()
    {
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"POST {Backend.Echo()} HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.Contains("Expect: miracles\n", answer.Text);
    }

    [Fact]
    public async Task Informational_answers_pass_before_the_final_one()
    {
        string path = Backend.Answer("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        if (answer.Status == 103)
        {
            Assert.True(answer.Has("Link"));
            answer = await client.ResponseAsync();
        }
        Assert.Equal("ok", answer.Text);
    }

    [Theory]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, "1234")]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, null)]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, null)]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, "99")]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, null)]
    public async Task Answers_without_content_end_with_their_head(string method, string bytes, int status, string? length)
    {
        string path = Backend.Answer(bytes);
        using RawClient client = await ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(status, answer.Status);
            Assert.Equal(length, answer.Header("content-length"));
        }
        Assert.Equal("GET", (await client.ExchangeAsync($"GET {Backend.Echo()} HTTP/1.1\r\nHost: x\r\n\r\n")).Text[..3]);
    }

    [Fact]
    public async Task An_answer_that_ends_with_its_connection_arrives_whole()
    {
        string path = Backend.Answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end", thenClose: true);
        using RawClient client = await ConnectAsync();
        Assert.Equal("until the end", (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
    }

    [Fact]
    public async Task An_answer_of_http_1_0_arrives_as_1_1()
    {
        string path = Backend.Answer("HTTP/1.0 200 OK\r\n\r\nold", thenClose: true);
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("HTTP/1.1 200 OK", answer.StartLine);
        Assert.Equal("old", answer.Text);
    }

    [Fact]
    public async Task An_early_answer_reaches_the_client_while_it_still_sends()
    {
        string path = Backend.Add(async (c, head) =>
        {
            await c.SendAsync("HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!");
            c.HalfClose();
            await c.Reader.RestAsync();
        });
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nonly the beginning");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal((413, "no!"), (answer.Status, answer.Text));
        await fixture.StillServesAsync();
    }

    [Theory]
    [InlineData("GET {0} HTTP/1.0\r\nHost: x\r\n\r\n", true)]
    [InlineData("GET {0} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", false)]
    [InlineData("GET {0} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true)]
    [InlineData("GET {0} HTTP/1.1\r\nHost: x\r\nConnection: foo, CLOSE\r\n\r\n", true)]
    [InlineData("GET {0} HTTP/1.1\r\nHost: x\r\n\r\n", false)]
    public async Task A_connection_persists_exactly_when_version_and_tokens_say_so(string request, bool closes)
    {
        using RawClient client = await ConnectAsync();
        string one = string.Format(request, Backend.Echo());
        HttpMessage answer = await client.ExchangeAsync(one);
        Assert.Equal(200, answer.Status);
        if (closes) Assert.Equal("", await client.RestAsync());
        else Assert.Equal(200, (await client.ExchangeAsync(one)).Status);
    }

    [Fact]
    public async Task A_client_of_http_1_0_never_gets_chunks()
    {
        string path = Backend.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        using RawClient client = await ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
        string all = await client.RestAsync();
        Assert.DoesNotContain("chunked", all, StringComparison.OrdinalIgnoreCase);
        Assert.EndsWith("\r\n\r\nhello", all);
    }

    [Fact]
    public async Task The_absolute_form_names_the_host_and_goes_on_in_origin_form()
    {
        using RawClient client = await ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET http://real.test:81/a?b=c HTTP/1.1\r\nHost: other.test\r\n\r\n");
        Assert.StartsWith("GET /a?b=c HTTP/1.1\n", answer.Text);
        Assert.Contains("\nHost: real.test:81\n", answer.Text);
        Assert.DoesNotContain("other.test", answer.Text);
    }

    [Fact]
    public async Task Empty_lines_before_a_request_are_passed_over()
    {
        using RawClient client = await ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        await client.SendAsync("\r\n");
        Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Fact]
    public async Task A_truncated_answer_is_never_passed_off_as_a_whole_one()
    {
        foreach (string bytes in new[] { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n" })
        {
            using RawClient client = await ConnectAsync();
            await client.SendAsync($"GET {Backend.Answer(bytes, thenClose: true)} HTTP/1.1\r\nHost: x\r\n\r\n");
            // Its head was on its way before anybody knew: it is cut, and the client can tell.
            HttpFormatException cut = await Assert.ThrowsAsync<HttpFormatException>(() => client.ResponseOrCloseAsync());
            Assert.StartsWith("ended", cut.Message);
        }
    }

    [Fact]
    public async Task A_client_that_leaves_takes_its_request_with_it()
    {
        var left = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        string path = Backend.Add(async (c, head) =>
        {
            begun.SetResult();
            await c.Reader.RestAsync();
            left.SetResult();
        });
        RawClient client = await ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        await begun.Task.Within("the request upstream");
        client.Reset();
        await left.Task.Within("the upstream connection to be given up");
        await fixture.StillServesAsync();
    }
}

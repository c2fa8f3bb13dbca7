// Thousands of messages that are almost right: seeded mutations of good ones, both directions. Whatever the proxy forwards,
// the strict and the sloppy reader must count alike; whatever it refuses, it survives. A failure prints its seed.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class MutationTests
{
    private const string Marker = "GET /marker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    // What is not whole is not waited for: a client that ended its side would have given up what it waits for.
    private const string Impatient = "request_headers_timeout: 0.05s\nrequest_timeout: 0.05s\ndelayed_close_timeout: 0.05s\ncommon_http_protocol_options: { idle_timeout: 0.05s }";

    private static readonly string[] s_requests =
    [
        "GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        "PUT /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nContent-Length: 3\r\n\r\nabc",
        "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];

    private static readonly string[] s_responses =
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    ];

    private static readonly string[] s_grains =
    [
        "\r", "\n", "\r\n", "\0", " ", "\t", ":", ",", ";", "0", "5", "ffffffff", "-", "+", "\v", "\u00ff", "\"", "HTTP/1.1", "chunked", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n",
        "content-length:0\r\n", "\r\n\r\n", "Transfer-Encoding : chunked\r\n", "GET /hidden HTTP/1.1\r\nHost: y\r\n\r\n", "0\r\n\r\n",
    ];

    private static string Mutate(Random random, string text)
    {
        var bytes = new StringBuilder(text);
        for (int i = random.Next(1, 4); i > 0; i--)
        {
            int at = random.Next(bytes.Length);
            switch (random.Next(5))
            {
                case 0: bytes.Insert(at, s_grains[random.Next(s_grains.Length)]); break;
                case 1: bytes.Remove(at, Math.Min(random.Next(1, 4), bytes.Length - at)); break;
                case 2: bytes[at] = (char)random.Next(256); break;
                case 3: bytes.Insert(at, bytes.ToString(at, Math.Min(random.Next(1, 30), bytes.Length - at))); break;
                default: bytes[at] = char.IsUpper(bytes[at]) ? char.ToLowerInvariant(bytes[at]) : char.ToUpperInvariant(bytes[at]); break;
            }
            if (bytes.Length == 0) return text;
        }
        return bytes.ToString();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task What_is_forwarded_of_a_mutated_request_is_read_alike_by_everybody(int seed)
    {
        var random = new Random(seed);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, Impatient), new ProxyOptions { Concurrency = 1 });
        var sent = new List<string>();
        for (int i = 0; i < 400; i++)
        {
            string bytes = Mutate(random, s_requests[random.Next(s_requests.Length)]);
            sent.Add(bytes);
            using RawClient client = await proxy.ConnectAsync();
            if (!await client.TrySendAsync(bytes + Marker)) continue;
            await client.RestAsync();
            if (i % 50 != 49) continue;
            foreach (WitnessConnection connection in witness.Connections)
            {
                byte[] received = connection.Received;
                (int strict, string? fault) = await RequestCount.StrictAsync(received);
                int sloppy = RequestCount.Sloppy(received);
                bool unfinished = fault?.StartsWith("ended", StringComparison.Ordinal) == true;
                Assert.True((fault is null || unfinished) && strict + (unfinished ? 1 : 0) == sloppy,
                    $"seed {seed}, up to {i}: strict {strict} ({fault}), sloppy {sloppy}\n{Encoding.Latin1.GetString(received)}\n--- sent\n{string.Join("\n~~~\n", sent.TakeLast(50))}");
            }
        }
        Assert.True(witness.Requests.Count > 100, $"only {witness.Requests.Count} were forwarded: nothing was tried");
        using RawClient last = await proxy.ConnectAsync();
        Assert.Equal(200, (await last.ExchangeAsync("GET /last HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal("", proxy.Child.Error.Contains("Exception", StringComparison.Ordinal) ? proxy.Child.Error : "");
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public async Task A_mutated_answer_arrives_valid_or_visibly_broken_and_hurts_nobody_else(int seed)
    {
        var random = new Random(seed);
        string answer = "";
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (request.Target == "/clean") await c.OkAsync("clean");
                else
                {
                    await c.SendAsync(answer);
                    c.HalfClose();
                }
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        for (int i = 0; i < 400; i++)
        {
            answer = Mutate(random, s_responses[random.Next(s_responses.Length)]);
            using (RawClient client = await proxy.ConnectAsync())
            {
                await client.SendAsync("GET /mutated HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                try
                {
                    HttpMessage? got;
                    do got = await client.ResponseOrCloseAsync();
                    while (got is { Status: < 200 });
                    Assert.True(got is null || await client.RestAsync() == "", $"seed {seed}, {i}: bytes behind the answer to\n{answer}");
                }
                catch (HttpFormatException e)
                {
                    Assert.True(e.Message.StartsWith("ended", StringComparison.Ordinal), $"seed {seed}, {i}: {e.Message} from\n{answer}");
                }
            }
            using RawClient next = await proxy.ConnectAsync();
            HttpMessage clean = await next.ExchangeAsync("GET /clean HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.True(clean is { Status: 200, Text: "clean" }, $"seed {seed}, {i}: after\n{answer}\ncame\n{clean}");
        }
        Assert.Equal("", proxy.Child.Error.Contains("Exception", StringComparison.Ordinal) ? proxy.Child.Error : "");
    }
}

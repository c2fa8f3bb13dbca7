// The tools of the tests, tested: a witness that miscounts would make every other test worthless.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.HouseTests;

public sealed class KitTests
{
    [Fact]
    public async Task A_witness_keeps_the_exact_bytes_and_answers_by_its_script()
    {
        await using var witness = new Witness();
        using RawClient client = await RawClient.ConnectAsync(witness.EndPoint);
        const string request = "POST /a HTTP/1.1\r\nHoSt: x\r\nContent-Length: 3\r\n\r\nabc";

        HttpMessage answer = await client.ExchangeAsync(request);

        Assert.Equal(200, answer.Status);
        Assert.Equal(request.Replace("\r\n", "\n"), answer.Text);
        Assert.Equal(request, Encoding.Latin1.GetString(witness.Connections[0].Received));
        Assert.Equal((1, 1, null), await witness.CountAsync());
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 2, 2)]
    [InlineData("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 2)]
    [InlineData("POST / HTTP/1.1\r\nContent-Length: 28\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n", 0, 2)]
    [InlineData("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", 0, 2)]
    [InlineData("GET / HTTP/1.1\n\nGET / HTTP/1.1\n\n", 0, 2)]
    public async Task The_strict_and_the_sloppy_count_differ_exactly_where_requests_can_be_smuggled(string bytes, int strict, int sloppy)
    {
        byte[] wire = Encoding.Latin1.GetBytes(bytes);
        Assert.Equal(strict, (await RequestCount.StrictAsync(wire)).Count);
        Assert.Equal(sloppy, RequestCount.Sloppy(wire));
    }

    [Fact]
    public async Task A_child_process_is_heard_line_by_line_and_gone_after_disposal()
    {
        int id;
        await using (ChildProcess child = ChildProcess.Start("/bin/sh", ["-c", "echo one; echo two >&2; exec tail -f /dev/null"]))
        {
            Assert.Equal("one", await child.LineAsync("on"));
            Assert.Equal("two", await child.LineAsync("tw"));
            id = child.Id;
        }
        Assert.False(Directory.Exists($"/proc/{id}"));
        ProcessResult result = await ChildProcess.RunAsync("/bin/sh", ["-c", "echo out; exit 3"]);
        Assert.Equal((3, "out\n"), (result.ExitCode, result.Output));
    }

    [Fact]
    public async Task A_wait_that_fails_says_what_it_waited_for()
    {
        TimeoutException e = await Assert.ThrowsAsync<TimeoutException>(() => Waiting.UntilAsync(() => false, "the sun", TimeSpan.FromMilliseconds(50)));
        Assert.Contains("the sun", e.Message);
    }
}

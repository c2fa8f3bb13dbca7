// A frame whose stream ends before the frame does: what is left of it belongs to nobody. Streams are pooled, so another client's or another
// backend's message may by then be on the same object, under the same number.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class LeftoverFrameTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    // DATA that ends its stream, of so many bytes of which the first few are sent with it.
    private static byte[] Begun(int id, int length, int sent) =>
        Http2Bytes.Frame(Http2FrameType.Data, Http2Flags.EndStream, id, new byte[length])[..(9 + sent)];

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task The_rest_of_a_clients_frame_does_not_end_another_clients_request(int sent)
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("- { match: { prefix: /a }, route: { cluster: backend } }", [new TestCluster("backend", [witness.Port])]), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer one = await Http2Peer.ConnectAsync(proxy.Address))
        using (Http2Peer other = await Http2Peer.ConnectAsync(proxy.Address))
        {
            await one.PingAsync();
            // Nothing of its own accord: the next bytes belong to the frame.
            one.Acknowledges = one.OpensWindows = false;
            await one.SendAsync((byte[])[.. Http2Bytes.Headers(1, Http2Bytes.Request("POST", "/none")), .. Begun(1, 10, sent)]);
            Assert.Equal(404, (await one.HeadAsync(1)).Status);
            await one.WaitAsync(() => one[1].IsOver, "the end of the refused stream");
            int id = await other.OpenAsync("POST", "/a", end: false);
            await other.DataAsync(id, "first,");
            await Waiting.UntilAsync(() => witness.Connections.Any(c => c.Received.AsSpan().IndexOf("first,"u8) >= 0), "the first part");
            await one.SendAsync(new byte[10 - sent]);
            await one.PingAsync();
            await other.DataAsync(id, "second", end: true);
            Http2Message answer = await other.EndAsync(id);
            answer.Is(200);
            Assert.EndsWith("\nfirst,second", answer.Text);
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task The_rest_of_a_backends_frame_does_not_end_another_backends_answer()
    {
        await using var one = new Http2Backend();
        await using var other = new Http2Backend();
        Http2Peer? odd = null, even = null;
        one.At("/one", async (peer, request) =>
        {
            odd = peer;
            await peer.SendAsync((byte[])[.. Http2Bytes.Headers(request.Id, [(":status", "200")]), .. Begun(request.Id, 10, 4)]);
        });
        other.At("/other", async (peer, request) =>
        {
            even = peer;
            await peer.SendAsync((byte[])[.. Http2Bytes.Headers(request.Id, [(":status", "200")]), .. Http2Bytes.Data(request.Id, "first,"u8)]);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - { match: { prefix: /one }, route: { cluster: one } }
            - { match: { prefix: /other }, route: { cluster: other } }
            """, [new TestCluster("one", [one.Port], Bootstraps.Http2Cluster), new TestCluster("other", [other.Port], Bootstraps.Http2Cluster)]), s_oneWorker);
        using (RawClient client = await proxy.ConnectAsync())
        {
            using (RawClient leaves = await proxy.ConnectAsync())
            {
                await leaves.SendAsync("GET /one HTTP/1.1\r\nHost: x\r\n\r\n");
                Assert.Equal(200, (await leaves.Reader.HeadAsync())!.Status);
                leaves.Reset();
            }
            await Waiting.UntilAsync(() => odd is not null && one.Requests[0].Reset is not null, "the stream to be cancelled");
            await client.SendAsync("GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
            await client.Reader.HeadAsync();
            Assert.Equal("6\r\nfirst,\r\n", await client.TextAsync(11));
            Assert.Equal(one.Requests[0].Id, other.Requests[0].Id);
            await odd!.SendAsync(new byte[6]);
            await odd.PingAsync();
            await even!.DataAsync(other.Requests[0].Id, "second", end: true);
            Assert.Equal("6\r\nsecond\r\n0\r\n\r\n", await client.TextAsync(16));
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.other.upstream_rq_active") == 0, "the requests to be over");
        Assert.Equal(0, (await proxy.LedgerAsync())["buffers_returned_twice"]);
    }
}

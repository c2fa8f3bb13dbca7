// Looking at a body before it goes on: what is seen, that nothing of it is lost, told twice or framed anew, and that nobody waits for more.
using System.Collections.Concurrent;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class PeekTests
{
    private static byte[] Body(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)('a' + i * 7 % 26))];

    // What came of it, how many bytes were there, and whether they are the first ones of the body.
    private static TestFilter Peeks(int most, ConcurrentQueue<(PeekResult Result, string Text)> seen, PeekUntil until = PeekUntil.End) =>
        new(FilterStages.None)
        {
            Request = async call =>
            {
                PeekResult result = await call.PeekAsync(most, until);
                if (result is PeekResult.Here or PeekResult.TooLarge)
                {
                    using PeekedBody body = call.Peeked();
                    seen.Enqueue((result, Encoding.ASCII.GetString(body.Bytes)));
                }
                return result == PeekResult.Answered ? FilterVerdict.Answer : FilterVerdict.Go;
            },
        };

    private static TestFilter Upper() => new(FilterStages.RequestBody)
    {
        RequestBody = (_, piece) =>
        {
            foreach (ref byte b in piece.Bytes) if (b is >= (byte)'a' and <= (byte)'z') b -= 32;
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        },
    };

    private static TestFilter Buffers(int most, ConcurrentQueue<BufferResult> seen) => new(FilterStages.None)
    {
        Request = async call =>
        {
            BufferResult result = await call.BufferAsync(most);
            seen.Enqueue(result);
            return result == BufferResult.TooLarge ? call.Refuse(FilterReasons.RequestTooLarge) : FilterVerdict.Go;
        },
    };

    public static TheoryData<int, int, bool, int> Ways
    {
        get
        {
            var rows = new TheoryData<int, int, bool, int>();
            foreach (int down in new[] { 1, 2 })
                foreach (int up in new[] { 1, 2 })
                    foreach (bool chunked in new[] { false, true })
                        foreach (int length in new[] { 1, 1000, 1001, 40_000, 300_000 }) rows.Add(down, up, chunked, length);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task What_was_looked_at_goes_on_as_if_nobody_had_looked(int down, int up, bool chunked, int length)
    {
        byte[] body = Body(length);
        string text = Encoding.ASCII.GetString(body);
        // Twice, then by one that changes it, then by those who see what that one made.
        var before = new ConcurrentQueue<(PeekResult Result, string Text)>();
        var after = new ConcurrentQueue<(PeekResult Result, string Text)>();
        await using var bench = new FilterBench(up, [Peeks(1000, before), Peeks(2000, before), Upper(), Peeks(1000, after),
            Peeks(30_000, after), Upper()]);
        (int status, string said, _) = await bench.PostAsync(down, up == 1 ? bench.Http1.Echo() : "/echo", body, chunked, chunked ? "T"
            : "");
        Assert.Equal(200, status);
        Assert.StartsWith(text.ToUpperInvariant(), said[(said.IndexOf("\n\n", StringComparison.Ordinal) + 2)..]);
        Check(before, text, 1000, 2000);
        Check(after, text.ToUpperInvariant(), 1000, 30_000);
    }

    private static void Check(IEnumerable<(PeekResult Result, string Text)> seen, string text, params int[] most)
    {
        Assert.Equal(most.Select(m => text.Length > m ? PeekResult.TooLarge : PeekResult.Here), seen.Select(s => s.Result));
        foreach ((PeekResult result, string got) in seen)
        {
            if (result == PeekResult.Here) Assert.Equal(text, got);
            else Assert.StartsWith(got, text);
        }
        // Pieces are no longer than a buffer, so no more of them is here than that.
        Assert.All(seen.Zip(most), s => Assert.True(s.First.Text.Length <= Math.Max(30_000, s.Second) + 32 * 1024));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public async Task It_can_be_taken_in_whole_afterwards_and_looked_at_again(int down, bool chunked)
    {
        byte[] body = Body(50_000);
        var seen = new ConcurrentQueue<(PeekResult Result, string Text)>();
        var taken = new ConcurrentQueue<BufferResult>();
        await using var bench = new FilterBench(1, [Peeks(100, seen), Buffers(60_000, taken), Peeks(60_000, seen), Buffers(60_000, taken)]);
        (int status, string said, _) = await bench.PostAsync(down, bench.Http1.Echo(), body, chunked);
        Assert.Equal(200, status);
        Assert.EndsWith("\n\n" + Encoding.ASCII.GetString(body), said);
        Assert.Equal([PeekResult.TooLarge, PeekResult.Here], seen.Select(s => s.Result));
        Assert.Equal(Encoding.ASCII.GetString(body), seen.Last().Text);
        Assert.Equal([BufferResult.Whole, BufferResult.Whole], taken);
    }

    // Each reads less, more, or all of what the one before has read, some with a change between them: it is the same body in the same
    // order.
    [Theory]
    [InlineData(1, false, 40_000)]
    [InlineData(1, true, 40_000)]
    [InlineData(2, false, 40_000)]
    [InlineData(2, true, 300_000)]
    [InlineData(1, true, 300_000)]
    [InlineData(1, true, 700)]
    public async Task Behind_one_that_sees_what_passes_nobody_who_reads_takes_anything_from_those_behind(int down, bool chunked, int length)
    {
        byte[] body = Body(length);
        string upper = Encoding.ASCII.GetString(body).ToUpperInvariant();
        var seen = new ConcurrentQueue<(PeekResult Result, string Text)>();
        var taken = new ConcurrentQueue<BufferResult>();
        await using var bench = new FilterBench(1, [Upper(), Peeks(250_000, seen), Peeks(500, seen), Upper(), Peeks(30_000, seen), Peeks(900, seen),
            Upper(), Buffers(400_000, taken), Peeks(10, seen), Buffers(400_000, taken)]);
        (int status, string said, _) = await bench.PostAsync(down, bench.Http1.Echo(), body, chunked, chunked ? "T" : "");
        Assert.Equal(200, status);
        Assert.StartsWith(upper, said[(said.IndexOf("\n\n", StringComparison.Ordinal) + 2)..]);
        int[] most = [250_000, 500, 30_000, 900, 10];
        Assert.Equal(most.Select(m => length > m ? PeekResult.TooLarge : PeekResult.Here), seen.Select(s => s.Result));
        Assert.All(seen.Zip(most), s => Assert.StartsWith(s.First.Result == PeekResult.Here ? upper : s.First.Text[..s.Second], s.First.Text));
        Assert.All(seen, s => Assert.StartsWith(s.Text, upper));
        Assert.Equal([BufferResult.Whole, BufferResult.Whole], taken);
    }

    [Fact]
    public async Task Who_wants_less_than_was_looked_at_is_told_so()
    {
        var seen = new ConcurrentQueue<(PeekResult Result, string Text)>();
        var taken = new ConcurrentQueue<BufferResult>();
        await using var bench = new FilterBench(1, [Peeks(60_000, seen), Buffers(1000, taken)]);
        Assert.Equal(413, (await bench.PostAsync(1, "/", Body(5000), chunked: true)).Status);
        Assert.Equal([BufferResult.TooLarge], taken);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Of_a_call_the_first_message_is_enough_while_the_rest_stays_away(int up)
    {
        var seen = new ConcurrentQueue<(PeekResult Result, string Text)>();
        await using var bench = new FilterBench(up, [Peeks(100, seen, PeekUntil.GrpcMessage)]);
        using Http2Peer peer = await bench.ConnectHttp2Async();
        int id = await peer.OpenAsync("POST", up == 1 ? bench.Http1.Echo() : "/echo", end: false);
        foreach (char c in "\0\0\0\0\u0003abc") await peer.DataAsync(id, c.ToString());
        await Waiting.UntilAsync(() => seen.Count == 1, "the first message to be looked at");
        await peer.DataAsync(id, "\0\0\0\0\u0001d", end: true);
        Http2Message answer = await peer.EndAsync(id);
        Assert.Equal((200, true), (answer.Status, answer.Text.Contains("\0\0\0\0\u0003abc\0\0\0\0\u0001d", StringComparison.Ordinal)));
        Assert.Equal((PeekResult.Here, "\0\0\0\0\u0003abc"), seen.Single());
    }

    [Theory]
    [InlineData("\u0001", false)]
    [InlineData("\0\0\0\0\u0061", true)]
    [InlineData("\u0001\0\0\0\u0001", false)]
    [InlineData("{", false)]
    public async Task What_cannot_be_a_message_that_fits_is_known_from_its_first_bytes(string bytes, bool tooLarge)
    {
        var seen = new ConcurrentQueue<(PeekResult Result, string Text)>();
        await using var bench = new FilterBench(1, [Peeks(100, seen, PeekUntil.GrpcMessage)]);
        using Http2Peer peer = await bench.ConnectHttp2Async();
        int id = await peer.OpenAsync("POST", bench.Http1.Echo(), end: false);
        await peer.DataAsync(id, bytes);
        if (bytes != "\u0001") await Waiting.UntilAsync(() => seen.Count == 1, "it to be looked at");
        await peer.DataAsync(id, "", end: true);
        Assert.Equal(200, (await peer.EndAsync(id)).Status);
        Assert.Equal((tooLarge ? PeekResult.TooLarge : PeekResult.Here, bytes), seen.Single());
    }
}

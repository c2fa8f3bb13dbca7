// The reader of bodies: whatever frames them and however they arrive, what was kept is read again as it came, once or more, what is
// too long is read once, and every buffer goes back.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class BodyReaderTests
{
    private readonly Worker _worker = new(1, static (_, e) => throw e);
    private readonly BodyReader _reader = new();
    private IoBuffer _in = null!;

    private static byte[] Body(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)('a' + i * 7 % 26))];

    private static byte[] Framed(byte[] body, BodyKind kind, int chunk)
    {
        if (kind == BodyKind.Length) return body;
        var all = new MemoryStream();
        foreach (byte[] part in body.Chunk(chunk))
        {
            all.Write(Encoding.ASCII.GetBytes($"{part.Length:x}\r\n"));
            all.Write(part);
            all.Write("\r\n"u8);
        }
        all.Write("0\r\nX-T: 1\r\n\r\n"u8);
        return all.ToArray();
    }

    private void Start(byte[] body, BodyKind kind)
    {
        _in = _worker.Buffers.RentLarge();
        _reader.Start(_worker, null!, _in, kind, body.Length, pinned: true);
    }

    // Reads until the end; bytes arrive whenever the reader has no more.
    private byte[] Read(Queue<byte[]> arrivals, Action<long>? each = null)
    {
        var all = new MemoryStream();
        while (true)
        {
            switch (_reader.Next())
            {
                case BodyEvent.Data:
                    all.Write(Piece());
                    each?.Invoke(all.Length);
                    break;
                case BodyEvent.NeedMore:
                    _in.Append(arrivals.Dequeue());
                    break;
                case BodyEvent.End:
                    Assert.True(_reader is { Done: true, IsWhole: true });
                    return all.ToArray();
                default:
                    Assert.Fail("refused");
                    break;
            }
        }
    }

    private unsafe byte[] Piece() => new ReadOnlySpan<byte>(_reader.PieceBytes, _reader.PieceLength).ToArray();

    private void End()
    {
        _reader.End();
        _worker.Buffers.Return(_in);
        Assert.Equal(0, _worker.Buffers.Active);
    }

    public static TheoryData<BodyKind, int, int, int> Cases()
    {
        var rows = new TheoryData<BodyKind, int, int, int>();
        foreach (BodyKind kind in new[] { BodyKind.Length, BodyKind.Chunked })
            foreach (int length in new[] { 1, 100, BufferPool.Small, BufferPool.Small + 1, 60_000 })
                foreach (int arrival in new[] { 1, 7, 16_000, 100_000 })
                    if (length < 1000 || arrival > 1) rows.Add(kind, length, arrival, length < 1000 ? 3 : 5000);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void What_was_kept_is_read_again_as_it_came(BodyKind kind, int length, int arrival, int chunk)
    {
        byte[] body = Body(length);
        var arrivals = new Queue<byte[]>(Framed(body, kind, chunk).Chunk(arrival));
        Start(body, kind);
        _reader.Keep();
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(body, Read(arrivals));
            Assert.True(_reader.MayReplay);
            Assert.Equal(body.Length, _reader.Bytes);
            _reader.Rewind();
        }
        End();
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Beginning_again_in_the_middle_loses_nothing(BodyKind kind, int length, int arrival, int chunk)
    {
        byte[] body = Body(length);
        var arrivals = new Queue<byte[]>(Framed(body, kind, chunk).Chunk(arrival));
        Start(body, kind);
        _reader.Keep();
        var seen = new MemoryStream();
        while (seen.Length < length / 2)
        {
            BodyEvent found = _reader.Next();
            if (found == BodyEvent.Data) seen.Write(Piece());
            else _in.Append(arrivals.Dequeue());
        }
        Assert.Equal(body[..(int)seen.Length], seen.ToArray());
        _reader.Rewind();
        // The answer begins while what was kept is on its way: the rest is still given out.
        Assert.Equal(body, Read(arrivals, at => { if (at > length / 4) _reader.StopKeeping(); }));
        End();
    }

    [Theory]
    [InlineData(BodyKind.Length)]
    [InlineData(BodyKind.Chunked)]
    public void What_is_longer_than_the_limit_is_read_once(BodyKind kind)
    {
        byte[] body = Body(5000);
        Start(body, kind);
        _reader.Keep(limit: 4999);
        Assert.Equal(body, Read(new Queue<byte[]>(Framed(body, kind, 1000).Chunk(300))));
        Assert.False(_reader.MayReplay);
        End();
    }

    [Theory]
    [InlineData(5000, "Whole")]
    [InlineData(4999, "TooLarge")]
    [InlineData(0, "TooLarge")]
    public async Task A_body_can_be_taken_in_whole_before_anybody_reads_it(int limit, string result)
    {
        foreach (BodyKind kind in new[] { BodyKind.Length, BodyKind.Chunked })
        {
            byte[] body = Body(5000);
            Start(body, kind);
            _in.Append(Framed(body, kind, 700));
            ValueTask<BufferResult> taken = _reader.BufferAsync(null!, limit);
            Assert.True(taken.IsCompleted);
            Assert.Equal(result, (await taken).ToString());
            if (result == "Whole") Assert.Equal(body, Read(new Queue<byte[]>()));
            End();
        }
    }

    [Fact]
    public void An_ended_reader_knows_of_no_body()
    {
        byte[] body = Body(100);
        Start(body, BodyKind.Length);
        Assert.Equal(body, Read(new Queue<byte[]>([body])));
        End();
        Assert.True(_reader is { Done: false, IsWhole: false, Bytes: 0 });
        Assert.Null(_reader.TakeOwn());
    }
}

// Frame headers and header blocks in frames against RFC 9113 4.
using Naru.Http.Http2;
using Xunit;

namespace Naru.UnitTests.HttpCodecs;

public sealed class Http2Tests
{
    [Fact]
    public void The_preface_is_that_of_the_rfc()
    {
        Assert.Equal(24, Http2FrameHeader.Preface.Length);
        Assert.Equal("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a", Convert.ToHexStringLower(Http2FrameHeader.Preface));
    }

    [Theory]
    [InlineData("000000 04 01 00000000", 0, Http2FrameType.Settings, Http2Flags.Ack, 0)]
    [InlineData("ffffff 00 09 7fffffff", 0xffffff, Http2FrameType.Data, Http2Flags.EndStream | Http2Flags.Padded, int.MaxValue)]
    [InlineData("000102 01 25 ffffffff", 0x102, Http2FrameType.Headers, Http2Flags.EndStream | Http2Flags.EndHeaders | Http2Flags.Priority, int.MaxValue)]
    public void A_frame_header_is_nine_bytes_and_its_reserved_bit_is_ignored(string hex, int length, Http2FrameType type, Http2Flags flags, int stream)
    {
        byte[] bytes = FieldList.Hex(hex);
        var header = Http2FrameHeader.Read(bytes);
        Assert.Equal(new Http2FrameHeader(length, type, flags, stream), header);
        var again = new byte[9];
        Http2FrameHeader.Write(again, length, type, flags, stream);
        bytes[5] &= 0x7f;
        Assert.Equal(bytes, again);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(99)]
    [InlineData(100)]
    [InlineData(101)]
    [InlineData(200)]
    [InlineData(555)]
    public void A_block_longer_than_a_frame_goes_on_in_continuations(int length)
    {
        byte[] block = [.. Enumerable.Range(0, length).Select(i => (byte)i)];
        int size = Http2Writer.HeadersSize(length, 100);
        var buffer = new byte[size];
        if (length + 9 <= size) block.CopyTo(buffer, 9);
        Assert.Equal(-1, Http2Writer.Headers(buffer.AsSpan(0, size - 1), length, 3, true, 100));
        Assert.Equal(size, Http2Writer.Headers(buffer, length, 3, true, 100));
        var joined = new List<byte>();
        for (int at = 0; at < size;)
        {
            var header = Http2FrameHeader.Read(buffer.AsSpan(at));
            Assert.Equal((at == 0 ? Http2FrameType.Headers : Http2FrameType.Continuation, 3), (header.Type, header.StreamId));
            Assert.Equal(at == 0, header.EndStream);
            Assert.InRange(header.Length, 0, 100);
            joined.AddRange(buffer.AsSpan(at + 9, header.Length));
            at += 9 + header.Length;
            Assert.Equal(at == size, header.EndHeaders);
        }
        Assert.Equal(block, joined);
    }
}

// Frame headers, payloads and settings against RFC 9113 4 and 6.
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
    [InlineData(Http2FrameType.Data, 16385, 1, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.Data, 16384, 1, Http2Flags.None, Http2ErrorCode.NoError, false)]
    [InlineData(Http2FrameType.Data, 0, 0, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Headers, 1, 0, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Continuation, 1, 0, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Priority, 5, 0, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Priority, 6, 1, Http2Flags.None, Http2ErrorCode.FrameSizeError, true)]
    [InlineData(Http2FrameType.RstStream, 4, 0, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.RstStream, 3, 1, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.Settings, 6, 1, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Settings, 7, 0, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.Settings, 6, 0, Http2Flags.Ack, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.Settings, 12, 0, Http2Flags.None, Http2ErrorCode.NoError, false)]
    [InlineData(Http2FrameType.Ping, 8, 1, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.Ping, 7, 0, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.GoAway, 8, 3, Http2Flags.None, Http2ErrorCode.ProtocolError, false)]
    [InlineData(Http2FrameType.GoAway, 7, 0, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.WindowUpdate, 5, 0, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(Http2FrameType.WindowUpdate, 4, 0, Http2Flags.None, Http2ErrorCode.NoError, false)]
    [InlineData((Http2FrameType)0xfe, 100, 0, Http2Flags.None, Http2ErrorCode.NoError, false)]
    [InlineData((Http2FrameType)0xfe, 16385, 0, Http2Flags.None, Http2ErrorCode.FrameSizeError, false)]
    public void A_frame_of_a_wrong_size_or_on_a_wrong_stream_is_an_error(Http2FrameType type, int length, int stream, Http2Flags flags, Http2ErrorCode error, bool ofStream)
    {
        Assert.Equal(error, new Http2FrameHeader(length, type, flags, stream).Check(16384, out bool streamError));
        Assert.Equal(ofStream, streamError);
    }

    [Theory]
    [InlineData(10, Http2Flags.None, "", 0, 10, Http2ErrorCode.NoError)]
    [InlineData(10, Http2Flags.Padded, "04", 1, 5, Http2ErrorCode.NoError)]
    [InlineData(10, Http2Flags.Padded, "09", 1, 0, Http2ErrorCode.NoError)]
    [InlineData(10, Http2Flags.Padded, "0a", 0, 10, Http2ErrorCode.ProtocolError)]
    [InlineData(1, Http2Flags.Padded, "00", 1, 0, Http2ErrorCode.NoError)]
    [InlineData(0, Http2Flags.Padded, "", 0, 0, Http2ErrorCode.FrameSizeError)]
    public void Padding_leaves_the_data_it_says(int length, Http2Flags flags, string start, int dataStart, int dataLength, Http2ErrorCode error)
    {
        var header = new Http2FrameHeader(length, Http2FrameType.Data, flags, 1);
        Assert.Equal(error, Http2Payload.Data(header, FieldList.Hex(start), out int from, out int count));
        if (error == Http2ErrorCode.NoError) Assert.Equal((dataStart, dataLength), (from, count));
    }

    [Theory]
    [InlineData(10, Http2Flags.None, "000000", 0, 10, -1, Http2ErrorCode.NoError, false)]
    [InlineData(10, Http2Flags.Priority, "00000003 10", 5, 5, 3, Http2ErrorCode.NoError, false)]
    [InlineData(10, Http2Flags.Priority, "80000000 10", 5, 5, 0, Http2ErrorCode.NoError, false)]
    [InlineData(10, Http2Flags.Priority | Http2Flags.Padded, "02 00000003 10", 6, 2, 3, Http2ErrorCode.NoError, false)]
    [InlineData(10, Http2Flags.Priority | Http2Flags.Padded, "04 00000003 10", 6, 0, 3, Http2ErrorCode.NoError, false)]
    [InlineData(10, Http2Flags.Priority | Http2Flags.Padded, "05 00000003 10", 0, 0, 0, Http2ErrorCode.ProtocolError, false)]
    [InlineData(4, Http2Flags.Priority, "00000003", 0, 0, 0, Http2ErrorCode.FrameSizeError, false)]
    [InlineData(10, Http2Flags.Priority, "80000005 10", 5, 5, 5, Http2ErrorCode.ProtocolError, true)]
    public void Headers_hold_a_fragment_behind_padding_and_priority(
        int length, Http2Flags flags, string start, int blockStart, int blockLength, int dependsOn, Http2ErrorCode error, bool ofStream)
    {
        var header = new Http2FrameHeader(length, Http2FrameType.Headers, flags, 5);
        Assert.Equal(error, Http2Payload.Headers(header, FieldList.Hex(start), out Http2HeadersPayload payload, out bool streamError));
        Assert.Equal(ofStream, streamError);
        if (error == Http2ErrorCode.NoError || ofStream) Assert.Equal(new Http2HeadersPayload(blockStart, blockLength, dependsOn), payload);
    }

    [Theory]
    [InlineData("0002 00000002", Http2ErrorCode.ProtocolError)]
    [InlineData("0004 80000000", Http2ErrorCode.FlowControlError)]
    [InlineData("0005 00003fff", Http2ErrorCode.ProtocolError)]
    [InlineData("0005 01000000", Http2ErrorCode.ProtocolError)]
    [InlineData("0008 00000002", Http2ErrorCode.ProtocolError)]
    [InlineData("0008 00000001 0008 00000000", Http2ErrorCode.ProtocolError)]
    [InlineData("0001 00000000 00", Http2ErrorCode.FrameSizeError)]
    [InlineData("9999 ffffffff", Http2ErrorCode.NoError)]
    [InlineData("0002 00000001", Http2ErrorCode.NoError)]
    public void A_setting_out_of_range_is_an_error_by_name(string payload, Http2ErrorCode error)
    {
        Assert.Equal(error, new Http2Settings().Apply(FieldList.Hex(payload), fromServer: false));
    }

    [Fact]
    public void A_server_may_not_enable_push() =>
        Assert.Equal(Http2ErrorCode.ProtocolError, new Http2Settings().Apply(FieldList.Hex("0002 00000001"), fromServer: true));

    [Fact]
    public void Settings_are_written_as_far_as_they_differ_and_read_back()
    {
        var bytes = new byte[Http2Settings.MaxWritten];
        Assert.Equal(9, new Http2Settings().Write(bytes));
        var ours = new Http2Settings
        {
            HeaderTableSize = 0,
            EnablePush = false,
            MaxConcurrentStreams = 100,
            InitialWindowSize = 1 << 20,
            MaxFrameSize = 1 << 20,
            MaxHeaderListSize = 61440,
            EnableConnectProtocol = true,
        };
        Assert.Equal(Http2Settings.MaxWritten, ours.Write(bytes));
        Assert.Equal(new Http2FrameHeader(42, Http2FrameType.Settings, Http2Flags.None, 0), Http2FrameHeader.Read(bytes));
        var theirs = new Http2Settings();
        Assert.Equal(Http2ErrorCode.NoError, theirs.Apply(bytes.AsSpan(9), fromServer: true));
        Assert.Equal(ours, theirs);
    }

    [Fact]
    public void Fixed_frames_have_the_bytes_of_the_rfc()
    {
        var b = new byte[64];
        string Hex(int length) => Convert.ToHexStringLower(b.AsSpan(0, length));
        Assert.Equal("000000040100000000", Hex(Http2Writer.SettingsAck(b)));
        Assert.Equal("0000080601000000000102030405060708", Hex(Http2Writer.Ping(b, 0x0102030405060708, ack: true)));
        Assert.Equal(0x0102030405060708u, Http2Payload.Ping(b.AsSpan(9)));
        Assert.Equal("00000403000000000500000008", Hex(Http2Writer.RstStream(b, 5, Http2ErrorCode.Cancel)));
        Assert.Equal(Http2ErrorCode.Cancel, Http2Payload.RstStream(b.AsSpan(9)));
        Assert.Equal("0000040800000000007fffffff", Hex(Http2Writer.WindowUpdate(b, 0, int.MaxValue)));
        Assert.Equal(int.MaxValue, Http2Payload.WindowUpdate(b.AsSpan(9)));
        Assert.Equal("00000a070000000000000000070000000b6869", Hex(Http2Writer.GoAway(b, 7, Http2ErrorCode.EnhanceYourCalm, "hi"u8)));
        Assert.Equal((7, Http2ErrorCode.EnhanceYourCalm), Http2Payload.GoAway(b.AsSpan(9)));
        Assert.Equal("000003000100000001", Hex(Http2Writer.DataHeader(b, 1, 3, endStream: true)));
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

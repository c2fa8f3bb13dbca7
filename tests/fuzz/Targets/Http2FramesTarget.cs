// What a hostile peer may write on an HTTP/2 connection, taken apart as a connection does it: frames and header blocks.
using Naru.FuzzTests.Engine;
using Naru.Http.Hpack;
using Naru.Http.Http2;

namespace Naru.FuzzTests.Targets;

internal sealed class Http2FramesTarget : FuzzTarget
{
    private const int MaxFrameSize = 16384;

    public override string Name => "http2-frames";

    public override IEnumerable<byte[]> Seeds
    {
        get
        {
            // HEADERS and two CONTINUATION with RFC 7541 C.4.1's block, DATA; then the small frames.
            yield return Convert.FromHexString("000007010000000001828684410f7777000006090000000001772e6578616d000007090400000001706c652e636f6d00000400010000000161626364");
            yield return Convert.FromHexString("00000c04000000000000040010000000080000000100000408000000000000000fff00000806000000000000000000000000" + "2a0000000401000000000000040300000000010000000800000b0700000000000000000300" + "00000b627965");
            yield return Convert.FromHexString("00000a012d000000010200000003108286840000000005020000000001800000051000000c0009000000010361626364656667680000000000000300000000");
        }
    }

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. Enumerable.Range(0, 11).Select(type => new byte[] { 0, 0, 0, (byte)type, 0, 0, 0, 0, 1 }),
        .. new[] { "000006040000000000", "000400000000", "000480000000", "00050000400000", "000500003fff", "000200000002", "000800000001", "000004080000000000", "0000040300000000010000000", "000009010d00000003" }
            .Where(h => h.Length % 2 == 0).Select(Convert.FromHexString),
    ];

    public override int Run(byte[] input)
    {
        var hpack = new HpackDecoder();
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        var block = new List<byte>();
        var outcome = new HashCode();
        int continuing = 0;
        for (int at = 0; at + Http2FrameHeader.Size <= input.Length;)
        {
            var header = Http2FrameHeader.Read(input.AsSpan(at, Http2FrameHeader.Size));
            var again = new byte[Http2FrameHeader.Size];
            Http2FrameHeader.Write(again, header.Length, header.Type, header.Flags, header.StreamId);
            byte[] original = input[at..(at + Http2FrameHeader.Size)];
            original[5] &= 0x7f;
            Law(original.AsSpan().SequenceEqual(again), "a frame header is written as it is read");

            outcome.Add(header.Type);
            if (header.Length > MaxFrameSize) break;
            at += Http2FrameHeader.Size;
            if (header.Length > input.Length - at) break;
            byte[] payload = input[at..(at + header.Length)];
            at += header.Length;
            if (continuing != 0 && (header.Type != Http2FrameType.Continuation || header.StreamId != continuing)) break;

            Http2ErrorCode error = Take(header, payload);
            outcome.Add(error);
            if (error != Http2ErrorCode.NoError) break;
        }
        return outcome.ToHashCode();

        Http2ErrorCode Take(Http2FrameHeader header, byte[] payload)
        {
            switch (header.Type)
            {
                case Http2FrameType.Headers:
                    block.Clear();
                    block.AddRange(payload);
                    return meter.OnHeaders(payload.Length, header.EndHeaders, header.EndStream) == Http2Abuse.None ? EndOfBlock(header) : Http2ErrorCode.EnhanceYourCalm;
                case Http2FrameType.Continuation:
                    if (continuing == 0) return Http2ErrorCode.ProtocolError;
                    block.AddRange(payload);
                    return meter.OnContinuation(payload.Length, header.EndHeaders) == Http2Abuse.None ? EndOfBlock(header) : Http2ErrorCode.EnhanceYourCalm;
                default:
                    return Http2ErrorCode.NoError;
            }
        }

        Http2ErrorCode EndOfBlock(Http2FrameHeader header)
        {
            continuing = header.EndHeaders ? 0 : header.StreamId;
            if (continuing != 0) return Http2ErrorCode.NoError;
            var fields = new FieldCollector(20);
            HpackStatus status = hpack.Decode(block.ToArray(), ref fields);
            outcome.Add(status);
            if (status is not (HpackStatus.Ok or HpackStatus.RefusedBySink)) return Http2ErrorCode.CompressionError;
            Reframe(block.ToArray());
            return Http2ErrorCode.NoError;
        }
    }

    // A block that is cut into frames is the same block.
    private static void Reframe(byte[] block)
    {
        int maxFrame = 1 + block.Length / 3;
        var buffer = new byte[Math.Max(Http2Writer.HeadersSize(block.Length, maxFrame), block.Length + Http2FrameHeader.Size)];
        block.CopyTo(buffer, Http2FrameHeader.Size);
        int size = Http2Writer.Headers(buffer, block.Length, 1, true, maxFrame);
        var joined = new List<byte>();
        for (int at = 0; at < size;)
        {
            var header = Http2FrameHeader.Read(buffer.AsSpan(at));
            joined.AddRange(buffer.AsSpan(at + Http2FrameHeader.Size, header.Length));
            at += Http2FrameHeader.Size + header.Length;
            Law(header.EndHeaders == (at == size), "the last frame of a block says so");
        }
        Same(Convert.ToHexString(block), Convert.ToHexString([.. joined]), "a block in frames is the same block");
    }
}

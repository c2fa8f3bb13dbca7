// What a hostile peer may write on an HTTP/2 connection, taken apart as a connection does it: frames, payloads, header blocks.
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
            var b = new byte[400];
            var settings = new Http2Settings { InitialWindowSize = 1 << 20, MaxConcurrentStreams = 10, EnablePush = false, EnableConnectProtocol = true };
            int start = settings.Write(b);
            int at = start;
            at += Http2Writer.WindowUpdate(b.AsSpan(at), 0, 65535);
            int headers = at;
            Convert.FromHexString("828684410f7777772e6578616d706c652e636f6d").CopyTo(b, headers + 9);
            at += Http2Writer.Headers(b.AsSpan(headers), 20, 1, false, 7);
            int data = at;
            at += Http2Writer.DataHeader(b.AsSpan(at), 1, 4, true) + 4;
            yield return b[..at];
            yield return b[headers..at];
            at = start;
            at += Http2Writer.Ping(b.AsSpan(at), 42, false);
            at += Http2Writer.SettingsAck(b.AsSpan(at));
            at += Http2Writer.RstStream(b.AsSpan(at), 1, Http2ErrorCode.Cancel);
            at += Http2Writer.GoAway(b.AsSpan(at), 3, Http2ErrorCode.EnhanceYourCalm, "bye"u8);
            yield return b[start..at];
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
        var theirs = new Http2Settings();
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

            Http2ErrorCode error = header.Check(MaxFrameSize, out bool ofStream);
            outcome.Add(error);
            outcome.Add(header.Type);
            if (error != Http2ErrorCode.NoError && !ofStream) break;
            at += Http2FrameHeader.Size;
            if (header.Length > input.Length - at) break;
            byte[] payload = input[at..(at + header.Length)];
            at += header.Length;
            if (error != Http2ErrorCode.NoError) continue;
            if (continuing != 0 && (header.Type != Http2FrameType.Continuation || header.StreamId != continuing)) break;

            error = Take(header, payload);
            outcome.Add(error);
            if (error != Http2ErrorCode.NoError) break;
        }
        return outcome.ToHashCode();

        Http2ErrorCode Take(Http2FrameHeader header, byte[] payload)
        {
            // No more than the reader says that it wants.
            byte[] start = payload.AsSpan(0, Math.Min(payload.Length, Http2Payload.HeadersPrefix)).ToArray();
            switch (header.Type)
            {
                case Http2FrameType.Data:
                    Http2ErrorCode error = Http2Payload.Data(header, start, out int dataStart, out int dataLength);
                    if (error == Http2ErrorCode.NoError) Inside(dataStart, dataLength, payload.Length);
                    return error;
                case Http2FrameType.Headers:
                    error = Http2Payload.Headers(header, start, out Http2HeadersPayload found, out bool ofStream);
                    if (error != Http2ErrorCode.NoError && !ofStream) return error;
                    Inside(found.BlockStart, found.BlockLength, payload.Length);
                    block.Clear();
                    block.AddRange(payload.AsSpan(found.BlockStart, found.BlockLength));
                    _ = meter.OnHeaders(found.BlockLength, header.EndHeaders, header.EndStream);
                    return EndOfBlock(header);
                case Http2FrameType.Continuation:
                    if (continuing == 0) return Http2ErrorCode.ProtocolError;
                    block.AddRange(payload);
                    return meter.OnContinuation(payload.Length, header.EndHeaders) == Http2Abuse.None ? EndOfBlock(header) : Http2ErrorCode.EnhanceYourCalm;
                case Http2FrameType.Settings when !header.Ack:
                    error = theirs.Apply(payload, fromServer: false);
                    if (error != Http2ErrorCode.NoError) return error;
                    Law(theirs.InitialWindowSize >= 0 && theirs.MaxFrameSize is >= Http2Settings.MinMaxFrameSize and <= Http2Settings.MaxMaxFrameSize, "settings are in range");
                    var bytes = new byte[Http2Settings.MaxWritten];
                    int written = theirs.Write(bytes);
                    var back = new Http2Settings();
                    Law(back.Apply(bytes.AsSpan(Http2FrameHeader.Size, written - Http2FrameHeader.Size), fromServer: false) == Http2ErrorCode.NoError && back.Equals(theirs), "settings come back");
                    return error;
                case Http2FrameType.Priority:
                    Law(Http2Payload.Priority(payload) >= 0, "a stream is not negative");
                    return Http2ErrorCode.NoError;
                case Http2FrameType.RstStream:
                    _ = Http2Payload.RstStream(payload);
                    return Http2ErrorCode.NoError;
                case Http2FrameType.WindowUpdate:
                    Law(Http2Payload.WindowUpdate(payload) >= 0, "an increment is not negative");
                    return Http2ErrorCode.NoError;
                case Http2FrameType.Ping:
                    _ = Http2Payload.Ping(payload);
                    return Http2ErrorCode.NoError;
                case Http2FrameType.GoAway:
                    Law(Http2Payload.GoAway(payload).LastStreamId >= 0, "a stream is not negative");
                    return Http2ErrorCode.NoError;
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

    private static void Inside(int start, int length, int whole) => Law(start >= 0 && length >= 0 && start + length <= whole, "what is found lies in the payload");

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

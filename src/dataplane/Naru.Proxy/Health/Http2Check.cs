// A health check by one stream of an HTTP/2 connection of its own: a request, or a call of grpc.health.v1.Health/Check
// (github.com/grpc/grpc/blob/master/doc/health-checking.md). Reads as little as it can; frames and bytes have their bounds.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Health;

internal static class Http2Check
{
    private const int MaxFrame = 16384, MaxFrames = 1000, MaxBlock = 60 * 1024, MaxMessage = 64 * 1024;

    /// <summary>Everything that is sent: preface, settings, the request.</summary>
    public static byte[] Request(CheckHead head, bool tls, string? grpcService)
    {
        var bytes = new ArrayBuilder();
        bytes.Add(Http2FrameHeader.Preface);
        // Nothing is to be pushed.
        bytes.Frame(Http2FrameType.Settings, Http2Flags.None, 0, [0, 2, 0, 0, 0, 0]);
        byte[] block = Block(head, tls);
        for (int from = 0; from < block.Length; from += MaxFrame)
        {
            Http2Flags flags = from + MaxFrame >= block.Length ? Http2Flags.EndHeaders : Http2Flags.None;
            if (from == 0 && grpcService is null) flags |= Http2Flags.EndStream;
            bytes.Frame(from == 0 ? Http2FrameType.Headers : Http2FrameType.Continuation, flags, 1, block.AsSpan(from, Math.Min(MaxFrame, block.Length - from)));
        }
        if (grpcService is not null) bytes.Frame(Http2FrameType.Data, Http2Flags.EndStream, 1, Message(grpcService));
        return bytes.ToArray();
    }

    private static byte[] Block(CheckHead head, bool tls)
    {
        (string Name, string Value)[] fields = [(":method", head.Method), (":scheme", tls ? "https" : "http"), (":authority", head.Host), (":path", head.Path), .. head.Fields];
        var block = new byte[fields.Sum(f => 4 * (f.Name.Length + f.Value.Length) + 64)];
        var encoder = new HpackEncoder(0);
        int at = Math.Max(0, encoder.BeginBlock(block));
        foreach ((string name, string value) in fields) at += encoder.Encode(Encoding.Latin1.GetBytes(name), Encoding.Latin1.GetBytes(value), block.AsSpan(at));
        return block[..at];
    }

    // HealthCheckRequest { string service = 1 } behind the prefix of a message that is not compressed.
    private static byte[] Message(string service)
    {
        byte[] name = Encoding.UTF8.GetBytes(service);
        var message = new ArrayBuilder();
        if (name.Length > 0)
        {
            message.Add([0x0a]);
            message.Varint(name.Length);
            message.Add(name);
        }
        byte[] content = message.ToArray();
        var framed = new byte[5 + content.Length];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), content.Length);
        content.CopyTo(framed, 5);
        return framed;
    }

    /// <summary>Asks; the connection is closed.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<CheckAnswer> RunAsync(CheckConnection connection, Worker worker, byte[] request, CheckHead head, bool grpc)
    {
        IoBuffer buffer = worker.Buffers.RentLarge();
        try
        {
            if (!await connection.SendAsync(request, buffer)) return CheckAnswer.Broken(connection);
            var answer = new Answer(head, grpc);
            for (int frames = 0; frames < MaxFrames;)
            {
                if (buffer.Count >= Http2FrameHeader.Size)
                {
                    Http2FrameHeader frame = Http2FrameHeader.Read(buffer.Filled);
                    if (frame.Length > MaxFrame) return CheckAnswer.Unreadable;
                    if (buffer.Count >= Http2FrameHeader.Size + frame.Length)
                    {
                        frames++;
                        if (answer.Take(frame, buffer.Filled.Slice(Http2FrameHeader.Size, frame.Length)) is { } end) return end;
                        buffer.Start += Http2FrameHeader.Size + frame.Length;
                        if (answer.Reply is { } reply)
                        {
                            answer.Reply = null;
                            IoBuffer o = worker.Buffers.Rent();
                            bool sent = await connection.SendAsync(reply, o);
                            worker.Buffers.Return(o);
                            if (!sent) return CheckAnswer.Broken(connection);
                        }
                        continue;
                    }
                }
                buffer.Compact();
                if (!await connection.FillAsync(buffer)) return CheckAnswer.Broken(connection);
            }
            return new CheckAnswer(CheckOutcome.Network, "frames without an answer");
        }
        finally
        {
            worker.Buffers.Return(buffer);
            connection.Close();
        }
    }

    /// <summary>What has come so far on stream 1.</summary>
    private sealed class Answer(CheckHead head, bool grpc)
    {
        private readonly HpackDecoder _decoder = new();
        private readonly List<byte> _block = [];
        private readonly List<byte> _message = [];
        private int _status, _grpcStatus = -1;
        private byte[] _service = [];
        private bool _inBlock, _endsStream;

        /// <summary>A frame that must go back.</summary>
        public byte[]? Reply { get; set; }

        /// <summary>Takes a frame; the verdict, when it is known.</summary>
        public CheckAnswer? Take(Http2FrameHeader frame, ReadOnlySpan<byte> payload)
        {
            if (_inBlock && (frame.Type != Http2FrameType.Continuation || frame.StreamId != 1)) return CheckAnswer.Unreadable;
            switch (frame.Type)
            {
                case Http2FrameType.Settings when !frame.Ack:
                    Reply = Framed(Http2FrameType.Settings, Http2Flags.Ack, 0, []);
                    return null;
                case Http2FrameType.Ping when !frame.Ack && payload.Length == 8:
                    Reply = Framed(Http2FrameType.Ping, Http2Flags.Ack, 0, payload);
                    return null;
                case Http2FrameType.GoAway:
                    // What it still answers is told by the last stream (RFC 9113 6.8).
                    return payload.Length >= 8 && (BinaryPrimitives.ReadUInt32BigEndian(payload) & 0x7fffffff) >= 1 && BinaryPrimitives.ReadUInt32BigEndian(payload[4..]) == 0
                        ? null : new CheckAnswer(CheckOutcome.Network, "GOAWAY");
                case Http2FrameType.RstStream when frame.StreamId == 1:
                    return new CheckAnswer(CheckOutcome.Network, "the stream was reset");
                case Http2FrameType.PushPromise:
                    return CheckAnswer.Unreadable;
                case Http2FrameType.Headers when frame.StreamId == 1:
                    if (!Unpad(frame, ref payload)) return CheckAnswer.Unreadable;
                    if ((frame.Flags & Http2Flags.Priority) != 0)
                    {
                        if (payload.Length < 5) return CheckAnswer.Unreadable;
                        payload = payload[5..];
                    }
                    _endsStream = frame.EndStream;
                    _block.Clear();
                    return Fragment(frame, payload);
                case Http2FrameType.Continuation when frame.StreamId == 1 && _inBlock:
                    return Fragment(frame, payload);
                case Http2FrameType.Headers or Http2FrameType.Continuation:
                    return CheckAnswer.Unreadable;
                case Http2FrameType.Data when frame.StreamId == 1:
                    if (_status == 0 || !Unpad(frame, ref payload) || _message.Count + payload.Length > MaxMessage) return CheckAnswer.Unreadable;
                    _message.AddRange(payload);
                    return frame.EndStream ? End() : null;
                default:
                    return null;
            }
        }

        private CheckAnswer? Fragment(Http2FrameHeader frame, ReadOnlySpan<byte> fragment)
        {
            if (_block.Count + fragment.Length > MaxBlock) return CheckAnswer.Unreadable;
            _block.AddRange(fragment);
            _inBlock = !frame.EndHeaders;
            if (_inBlock) return null;
            var sink = new Sink { Service = _service, GrpcStatus = _grpcStatus };
            if (_decoder.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_block), ref sink) != HpackStatus.Ok || sink.Malformed) return CheckAnswer.Unreadable;
            if (_status == 0)
            {
                if (sink.Status < 100) return CheckAnswer.Unreadable;
                // An interim answer: the real one follows.
                if (sink.Status < 200) return _endsStream ? CheckAnswer.Unreadable : null;
                _status = sink.Status;
            }
            (_service, _grpcStatus) = (sink.Service, sink.GrpcStatus);
            return _endsStream || !grpc ? End() : null;
        }

        private CheckAnswer End()
        {
            if (!grpc) return head.Judge(_status, _service);
            if (_status != 200) return new CheckAnswer(CheckOutcome.Failing, $"status {_status}");
            if (_grpcStatus != 0) return new CheckAnswer(CheckOutcome.Failing, _grpcStatus < 0 ? "no grpc-status" : $"grpc-status {_grpcStatus}");
            return Serving() switch
            {
                1 => CheckAnswer.Good,
                -1 => CheckAnswer.Unreadable,
                2 => new CheckAnswer(CheckOutcome.Failing, "NOT_SERVING"),
                3 => new CheckAnswer(CheckOutcome.Failing, "SERVICE_UNKNOWN"),
                _ => new CheckAnswer(CheckOutcome.Failing, "UNKNOWN"),
            };
        }

        // HealthCheckResponse { ServingStatus status = 1 }; -1 where it is not one.
        private long Serving()
        {
            ReadOnlySpan<byte> bytes = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_message);
            if (bytes.Length < 5 || bytes[0] != 0 || BinaryPrimitives.ReadUInt32BigEndian(bytes[1..]) != bytes.Length - 5) return -1;
            bytes = bytes[5..];
            long status = 0;
            while (!bytes.IsEmpty)
            {
                if (!Varint(ref bytes, out ulong tag)) return -1;
                switch (tag & 7)
                {
                    case 0:
                        if (!Varint(ref bytes, out ulong value)) return -1;
                        if (tag >> 3 == 1) status = (long)Math.Min(value, 100);
                        break;
                    case 1 when bytes.Length >= 8: bytes = bytes[8..]; break;
                    case 5 when bytes.Length >= 4: bytes = bytes[4..]; break;
                    case 2:
                        if (!Varint(ref bytes, out ulong length) || length > (ulong)bytes.Length) return -1;
                        bytes = bytes[(int)length..];
                        break;
                    default: return -1;
                }
            }
            return status;
        }

        private static bool Varint(ref ReadOnlySpan<byte> bytes, out ulong value)
        {
            value = 0;
            for (int i = 0; i < bytes.Length && i < 10; i++)
            {
                value |= (ulong)(bytes[i] & 0x7f) << (7 * i);
                if (bytes[i] >= 0x80) continue;
                bytes = bytes[(i + 1)..];
                return true;
            }
            return false;
        }

        private static bool Unpad(Http2FrameHeader frame, ref ReadOnlySpan<byte> payload)
        {
            if (!frame.Padded) return true;
            if (payload.IsEmpty || payload[0] >= payload.Length) return false;
            payload = payload[1..^payload[0]];
            return true;
        }

        private static byte[] Framed(Http2FrameType type, Http2Flags flags, int stream, ReadOnlySpan<byte> payload)
        {
            var bytes = new ArrayBuilder();
            bytes.Frame(type, flags, stream, payload);
            return bytes.ToArray();
        }
    }

    private struct Sink : IHpackSink
    {
        public int Status;
        public int GrpcStatus;
        public byte[] Service;
        public bool Malformed;

        public bool OnField(scoped ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
        {
            if (!wellFormed)
            {
                Malformed = true;
                return false;
            }
            if (name.SequenceEqual(":status"u8)) Status = Number(value);
            else if (name.SequenceEqual("grpc-status"u8)) GrpcStatus = Number(value);
            else if (name.SequenceEqual("x-envoy-upstream-healthchecked-cluster"u8)) Service = value.ToArray();
            return true;
        }

        private static int Number(ReadOnlySpan<byte> value) =>
            System.Buffers.Text.Utf8Parser.TryParse(value, out int number, out int used) && used == value.Length && number >= 0 ? number : -1;
    }

    private sealed class ArrayBuilder
    {
        private readonly List<byte> _bytes = [];

        public void Add(ReadOnlySpan<byte> bytes) => _bytes.AddRange(bytes);

        public void Varint(int value)
        {
            for (; value >= 0x80; value >>= 7) _bytes.Add((byte)(value | 0x80));
            _bytes.Add((byte)value);
        }

        public void Frame(Http2FrameType type, Http2Flags flags, int stream, ReadOnlySpan<byte> payload)
        {
            Span<byte> header = stackalloc byte[Http2FrameHeader.Size];
            Http2FrameHeader.Write(header, payload.Length, type, flags, stream);
            Add(header);
            Add(payload);
        }

        public byte[] ToArray() => [.. _bytes];
    }
}

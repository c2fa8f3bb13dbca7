// Where a body goes: an HTTP/1 socket, with or without chunked framing, or an HTTP/2 stream. It takes what it can without waiting, and says
// when it can take more; what it has taken of small pieces it gathers into one write.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

/// <summary>How far the end of a body was written.</summary>
internal struct BodyEnd
{
    public bool Begun;
    public int Field, Written;
}

internal struct BodySink
{
    private const int Direct = 4096;
    private const int ChunkOverhead = 12;
    private readonly TcpSocket? _socket;
    private readonly IoBuffer? _out;
    private readonly bool _chunked;
    private readonly Http2Stream? _stream;

    // Bytes of the current chunk that were announced and not yet written.
    private int _open;

    private BodySink(TcpSocket? socket, IoBuffer? o, bool chunked, Http2Stream? stream) => (_socket, _out, _chunked, _stream) = (socket, o, chunked, stream);

    /// <summary>An HTTP/1 socket. What is in <paramref name="o"/> goes out first; it is empty once all was flushed.</summary>
    public static BodySink To(TcpSocket socket, IoBuffer o, bool chunked) => new(socket, o, chunked, null);

    /// <summary>An HTTP/2 stream whose head was sent.</summary>
    public static BodySink To(Http2Stream stream) => new(null, null, false, stream);

    /// <summary>Whether the end can go with the last byte.</summary>
    public readonly bool EndsWithData => _stream is not null;

    /// <summary>Bytes taken at once that count as progress: a peer that opens its window byte by byte must not keep a stream alive for ever
    /// by that.</summary>
    public readonly int LeastProgress => _stream is not null ? 1024 : 1;

    /// <summary>Nothing can be written any more.</summary>
    public readonly bool IsGone => _stream is { } stream ? stream.IsReset : _socket!.Dead;

    /// <summary>Bytes wait to be flushed.</summary>
    public readonly bool Holds => _out is { IsEmpty: false };

    /// <summary>Takes of the reader's piece what it can: how many bytes, 0 when it has to wait.</summary>
    /// <param name="reader">The source.</param>
    /// <param name="from">Bytes of the piece that were taken before.</param>
    /// <param name="end">Nothing follows the piece.</param>
    public unsafe int Take(BodyReader reader, int from, bool end)
    {
        byte* bytes = reader.PieceBytes + from;
        int length = reader.PieceLength - from;
        if (_stream is { } stream) return stream.Session.SendData(stream, bytes, length, end);
        IoBuffer o = _out!;
        // Over TLS each write is a record: what goes before goes with it.
        bool isSecure = _socket!.HasLayer;
        if (_chunked && _open == 0 && (isSecure || length + ChunkOverhead <= o.Room)) return Gather(o, bytes, length);
        if (_chunked) return SendChunk(o, bytes, length);
        if (length <= o.Room && ((length < Direct && reader.MayGiveMore) || (isSecure && !o.IsEmpty)))
        {
            o.Append(new ReadOnlySpan<byte>(bytes, length));
            return length;
        }
        // Straight from where it lies, behind what goes before.
        return o.IsEmpty ? Math.Max(0, _socket.Send(bytes, length)) : SendBehind(o, bytes, length, 0);
    }

    private static unsafe int Gather(IoBuffer o, byte* bytes, int length)
    {
        if (o.Room <= ChunkOverhead) return 0;
        int chunk = Math.Min(length, o.Room - ChunkOverhead);
        Announce(o, chunk);
        o.Append(new ReadOnlySpan<byte>(bytes, chunk));
        o.Append("\r\n"u8);
        return chunk;
    }

    /// <summary>The line before a chunk (RFC 9112 7.1).</summary>
    public static void Announce(IoBuffer o, int chunk)
    {
        chunk.TryFormat(o.Free, out int digits, "x");
        o.End += digits;
        o.Append("\r\n"u8);
    }

    // What does not fit the buffer becomes one chunk and, where the socket has room, one write with what was gathered before.
    private unsafe int SendChunk(IoBuffer o, byte* bytes, int length)
    {
        if (_open == 0)
        {
            if (o.Room <= ChunkOverhead) return 0;
            Announce(o, length);
            _open = length;
        }
        int taken = SendBehind(o, bytes, length, 2);
        _open = Math.Max(0, _open - taken);
        // Of the line's end behind the chunk may be left what the socket had no room for.
        if (taken >= length) o.Append("\r\n"u8[(taken - length)..]);
        return Math.Min(taken, length);
    }

    // What waits in the buffer, the piece, and the end of a line: how much of the piece and of what follows it was written.
    private readonly unsafe int SendBehind(IoBuffer o, byte* bytes, int length, int lineEnd)
    {
        Sys.Vector* parts = stackalloc Sys.Vector[3];
        int sent;
        fixed (byte* line = "\r\n"u8)
        {
            parts[0] = new Sys.Vector { Bytes = o.Memory + o.Start, Length = o.Count };
            parts[1] = new Sys.Vector { Bytes = bytes, Length = length };
            parts[2] = new Sys.Vector { Bytes = line, Length = lineEnd };
            sent = Math.Max(0, _socket!.Send(parts, lineEnd > 0 ? 3 : 2));
        }
        int before = Math.Min(sent, o.Count);
        o.Start += before;
        if (o.IsEmpty) o.Clear();
        return sent - before;
    }

    /// <summary>Takes the end of the body, trailers included; false when it has to wait, to be called again with the same mark.</summary>
    public readonly bool TakeEnd(BodyReader reader, ref BodyEnd at)
    {
        if (_stream is { } stream) return stream.EndSent || SendEnd(stream, reader);
        if (!_chunked) return true;
        IoBuffer o = _out!;
        if (!at.Begun)
        {
            if (o.Room < 8) return false;
            o.Append("0\r\n"u8);
            at.Begun = true;
        }
        // Trailers may be longer than the buffer: they go in pieces.
        for (; at.Field < reader.TrailerFields.Count; at.Field++)
        {
            ReadOnlySpan<byte> bytes = reader.TrailerBytes;
            ref readonly HeaderField field = ref reader.TrailerFields.Fields[at.Field];
            if (!BodyPump.IsTrailer(bytes, field)) continue;
            ReadOnlySpan<byte> left = bytes[(field.NameStart + at.Written)..field.LineEnd];
            int take = Math.Min(left.Length, o.Room);
            o.Append(left[..take]);
            at.Written += take;
            if (take < left.Length) return false;
            at.Written = 0;
        }
        if (o.Room < 2) return false;
        o.Append("\r\n"u8);
        return true;
    }

    private static unsafe bool SendEnd(Http2Stream to, BodyReader reader)
    {
        bool any = false;
        ReadOnlySpan<byte> bytes = reader.TrailerBytes;
        foreach (ref readonly HeaderField field in reader.TrailerFields.Fields) any |= BodyPump.IsTrailer(bytes, field);
        if (!any)
        {
            to.Session.SendData(to, null, 0, end: true);
            return to.EndSent;
        }
        return to.Session.SendHead(to, new HeadReader(SectionKind.Trailers, bytes) { Marks = reader.TrailerFields }, end: true);
    }

    /// <summary>Waits until more can be taken; Done, or why that will not be.</summary>
    public readonly ValueTask<PumpResult> RoomAsync(Exchange x) => RoomAsync(x, _socket, _out, _stream);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> RoomAsync(Exchange x, TcpSocket? plain, IoBuffer? gathered, Http2Stream? stream)
    {
        if (stream is not null)
        {
            if (stream.IsReset) return PumpResult.SinkFailed;
            if (stream.Cancelled) return PumpResult.Cancelled;
            await stream.Writable();
            return stream.Cancelled ? PumpResult.Cancelled : PumpResult.Done;
        }
        TcpSocket socket = plain!;
        if (gathered is { IsEmpty: false } o)
        {
            bool sent = await socket.SendAllAsync(o);
            x.Touch();
            if (!sent) return socket.Cancelled && !socket.Dead ? PumpResult.Cancelled : PumpResult.SinkFailed;
            o.Clear();
            return PumpResult.Done;
        }
        if (socket.Dead) return PumpResult.SinkFailed;
        if (socket.Cancelled) return PumpResult.Cancelled;
        await socket.Writable();
        return socket.Cancelled && !socket.Dead ? PumpResult.Cancelled : PumpResult.Done;
    }
}

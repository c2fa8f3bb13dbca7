// Copies a body from one side to the other with back-pressure: nothing is read before what was read is written.
// Small pieces are gathered with whatever waits in the out buffer (a head, chunk framing) into one write; large ones go straight.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal enum PumpResult
{
    Done,
    SourceEnded,
    SourceRefused,
    SinkFailed,
    Cancelled,
}

internal static class BodyPump
{
    private const int Direct = 4096;
    private const int ChunkOverhead = 12;
    private const int MinProgress = 1024;

    /// <summary>Runs until the body ended or a side failed. What is in <paramref name="o"/> goes out first.</summary>
    /// <param name="x">The exchange, told about progress.</param>
    /// <param name="reader">The source.</param>
    /// <param name="to">The sink.</param>
    /// <param name="o">Out buffer; empty when this returns Done.</param>
    /// <param name="chunked">Whether the sink's framing is chunked.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> RunAsync(Exchange x, BodyReader reader, TcpSocket to, IoBuffer o, bool chunked)
    {
        while (true)
        {
            switch (reader.Next())
            {
                case BodyEvent.Data:
                    if (chunked)
                    {
                        int taken = 0;
                        while (taken < reader.PieceLength)
                        {
                            if (o.Room <= ChunkOverhead && !await Flush(x, to, o)) return Failure(to);
                            taken += AppendChunk(o, reader, taken);
                        }
                    }
                    else if (reader.PieceLength < Direct && reader.PieceLength <= o.Room)
                    {
                        AppendPiece(o, reader);
                    }
                    else
                    {
                        if (!o.IsEmpty && !await Flush(x, to, o)) return Failure(to);
                        int sent = 0;
                        while (sent < reader.PieceLength)
                        {
                            int n = SendPiece(to, reader, sent);
                            if (n > 0)
                            {
                                sent += n;
                                x.Touch();
                                continue;
                            }
                            if (n == TcpSocket.Failed) return PumpResult.SinkFailed;
                            if (to.Cancelled) return PumpResult.Cancelled;
                            await to.Writable();
                        }
                    }
                    break;

                case BodyEvent.NeedMore:
                    if (!o.IsEmpty && !await Flush(x, to, o)) return Failure(to);
                    switch (await reader.FillAsync())
                    {
                        case FillResult.Filled: x.Touch(); break;
                        case FillResult.Cancelled: return PumpResult.Cancelled;
                        default: return PumpResult.SourceEnded;
                    }
                    break;

                case BodyEvent.End:
                    if (chunked)
                    {
                        if (o.Room < 8 && !await Flush(x, to, o)) return Failure(to);
                        o.Append("0\r\n"u8);
                        // Trailers may be longer than the buffer: they go in pieces.
                        for (int field = 0, done = 0; field < reader.TrailerFields.Count;)
                        {
                            done = AppendTrailer(o, reader, field, done);
                            if (done == 0) field++;
                            else if (!await Flush(x, to, o)) return Failure(to);
                        }
                        if (o.Room < 2 && !await Flush(x, to, o)) return Failure(to);
                        o.Append("\r\n"u8);
                    }
                    return o.IsEmpty || await Flush(x, to, o) ? PumpResult.Done : Failure(to);

                default:
                    return PumpResult.SourceRefused;
            }
        }
    }

    /// <summary>The same into an HTTP/2 stream: nothing is read before the stream took what was read.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> ToStreamAsync(Exchange x, BodyReader reader, Http2Stream to)
    {
        while (true)
        {
            switch (reader.Next())
            {
                case BodyEvent.Data:
                    // The end goes with the last byte where it is known to be the last.
                    bool end = reader.Done && reader.TrailerFields.Count == 0;
                    for (int sent = 0; sent < reader.PieceLength;)
                    {
                        int n = SendPiece(to, reader, sent, end);
                        sent += n;
                        if (to.IsReset) return PumpResult.SinkFailed;
                        // A peer that opens its window byte by byte must not keep the stream alive for ever by that.
                        if (n >= MinProgress || sent == reader.PieceLength) x.Touch();
                        if (sent == reader.PieceLength) break;
                        if (to.Cancelled) return PumpResult.Cancelled;
                        await to.Writable();
                        if (to.Cancelled) return PumpResult.Cancelled;
                    }
                    if (end) return PumpResult.Done;
                    break;

                case BodyEvent.NeedMore:
                    switch (await reader.FillAsync())
                    {
                        case FillResult.Filled: x.Touch(); break;
                        case FillResult.Cancelled: return PumpResult.Cancelled;
                        default: return PumpResult.SourceEnded;
                    }
                    break;

                case BodyEvent.End:
                    while (!to.EndSent)
                    {
                        if (to.IsReset) return PumpResult.SinkFailed;
                        if (SendEnd(to, reader)) break;
                        if (to.Cancelled) return PumpResult.Cancelled;
                        await to.Writable();
                        if (to.Cancelled) return PumpResult.Cancelled;
                    }
                    return PumpResult.Done;

                default:
                    return PumpResult.SourceRefused;
            }
        }
    }

    private static unsafe int SendPiece(Http2Stream to, BodyReader reader, int from, bool end) =>
        to.Session.SendData(to, reader.PieceBytes + from, reader.PieceLength - from, end);

    private static unsafe bool SendEnd(Http2Stream to, BodyReader reader)
    {
        bool any = false;
        ReadOnlySpan<byte> bytes = reader.TrailerBytes;
        foreach (ref readonly HeaderField field in reader.TrailerFields.Fields) any |= IsTrailer(bytes, field);
        if (!any)
        {
            to.Session.SendData(to, null, 0, end: true);
            return to.EndSent;
        }
        return to.Session.SendHead(to, new HeadReader(SectionKind.Trailers, bytes) { Marks = reader.TrailerFields }, end: true);
    }

    private static PumpResult Failure(TcpSocket to) => to.Cancelled && !to.Dead ? PumpResult.Cancelled : PumpResult.SinkFailed;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> Flush(Exchange x, TcpSocket to, IoBuffer o)
    {
        bool sent = await to.SendAllAsync(o);
        x.Touch();
        if (sent) o.Clear();
        return sent;
    }

    private static unsafe int SendPiece(TcpSocket to, BodyReader reader, int from) =>
        to.Send(reader.PieceBytes + from, reader.PieceLength - from);

    private static unsafe void AppendPiece(IoBuffer o, BodyReader reader) =>
        o.Append(new ReadOnlySpan<byte>(reader.PieceBytes, reader.PieceLength));

    private static unsafe int AppendChunk(IoBuffer o, BodyReader reader, int from)
    {
        int length = Math.Min(reader.PieceLength - from, o.Room - ChunkOverhead);
        length.TryFormat(o.Free, out int digits, "x");
        o.End += digits;
        o.Append("\r\n"u8);
        o.Append(new ReadOnlySpan<byte>(reader.PieceBytes + from, length));
        o.Append("\r\n"u8);
        return length;
    }

    // Trailers travel, but those that would frame or route a message must not (RFC 9110 6.5.1).
    // Appends what fits of a field's line behind its first bytes: how many are done, or 0 when all are.
    private static int AppendTrailer(IoBuffer o, BodyReader reader, int index, int done)
    {
        ReadOnlySpan<byte> bytes = reader.TrailerBytes;
        ref readonly HeaderField field = ref reader.TrailerFields.Fields[index];
        if (!IsTrailer(bytes, field)) return 0;
        ReadOnlySpan<byte> left = bytes[(field.NameStart + done)..field.LineEnd];
        int take = Math.Min(left.Length, o.Room);
        o.Append(left[..take]);
        return take == left.Length ? 0 : done + take;
    }

    /// <summary>Whether a field may travel as a trailer.</summary>
    public static bool IsTrailer(ReadOnlySpan<byte> bytes, in HeaderField field) => IsTrailer(field.Id, Http1Head.Name(bytes, field));

    /// <summary>The same by name.</summary>
    public static bool IsTrailer(KnownHeader id, ReadOnlySpan<byte> name) => id is KnownHeader.Other && !IsForbidden(name);

    private static bool IsForbidden(ReadOnlySpan<byte> name) =>
        Ascii.EqualsIgnoreCase(name, "trailer"u8) || Ascii.EqualsIgnoreCase(name, "content-encoding"u8) || Ascii.EqualsIgnoreCase(name, "content-range"u8)
        || Ascii.EqualsIgnoreCase(name, "authorization"u8) || Ascii.EqualsIgnoreCase(name, "set-cookie"u8) || Ascii.EqualsIgnoreCase(name, "cookie"u8)
        || Ascii.EqualsIgnoreCase(name, "cache-control"u8);
}

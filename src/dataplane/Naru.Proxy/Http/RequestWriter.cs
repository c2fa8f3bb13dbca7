// Writes the request head for the upstream: the client's own lines in their order and letter case, less what belongs to the
// client's connection (RFC 9110 7.6.1) and what was taken out on the way, then what was added.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal static class RequestWriter
{
    /// <summary>A buffer with the head in it, as this try is to send it.</summary>
    public static IoBuffer Write(Exchange x, Attempt attempt)
    {
        IoBuffer o = x.Worker.Buffers.Rent();
        RequestHeaders head = x.RequestHeaders;
        ReadOnlySpan<byte> target = x.PathAndQuery;
        Ensure(x, ref o, x.Bytes.Length + target.Length + 2 * x.Authority.Length + head.AddedBytes + 512);
        ClusterConfig? cluster = attempt.State.IsHttp2 ? null : attempt.State.Cluster?.Config;
        o.Append(x.Method);
        o.Append(" "u8);
        if (cluster is { SendsFullyQualifiedUrl: true } && !x.IsConnect)
        {
            o.Append(x.IsHttps ? "https://"u8 : "http://"u8);
            o.Append(x.Authority);
        }
        o.Append(target);
        o.Append(" HTTP/1.1\r\n"u8);
        WriteFields(x, o, head);
        WriteFraming(x, attempt, o);
        attempt.SentBody.Declare(x.ToldRequestLength);
        if (x.IsUpgrade && !x.IsConnect)
        {
            o.Append("connection: Upgrade\r\n"u8);
            if (x.SpeaksHttp2 && Tunnel.IsWebSocket(x) && !head.Has("sec-websocket-key"u8)) Tunnel.WriteKey(x, o);
        }
        head.CopyAdded(o);
        o.Append("\r\n"u8);
        if (cluster is { ProperCaseWords: true }) ProperCase.Apply(o.Filled);
        attempt.State.HeadSent = o.Count;
        attempt.State.LineSent = o.Filled.IndexOf("\r\n"u8) + 4;
        return o;
    }

    private static void WriteFields(Exchange x, IoBuffer o, RequestHeaders head)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        ReadOnlySpan<byte> bytes = x.Bytes;
        ReadOnlySpan<HeaderField> fields = x.Head.Fields;
        int kept = x.Head.FieldsStart;
        bool hasHost = false, anyDropped = head.AnyDropped;
        for (int i = 0; i < fields.Length; i++)
        {
            ref readonly HeaderField field = ref fields[i];
            if (field.Id == KnownHeader.Other && !anyDropped) continue;
            bool drop = field.Id switch
            {
                KnownHeader.Host or KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection => true,
                // A tunnel has no length: behind one of 0 its bytes would be too many (RFC 9113 8.1.1).
                KnownHeader.ContentLength or KnownHeader.TransferEncoding => x.IsFramedAnew || x.IsUpgrade
                    || (x.UpstreamIsHttp2 && x.Down is Upstreams.SideCall { HidesLength: true }),
                KnownHeader.Te => head.IsDropped(i) || !Ascii.EqualsIgnoreCase(Http1Head.Value(bytes, field), "trailers"u8),
                // Only the one that was looked at: a second could ask for what is not allowed (h2c).
                KnownHeader.Upgrade => !x.IsUpgrade || i != x.Framing.Upgrade,
                KnownHeader.Expect => (x.Framing.Expect100 && (!config.Proxy100Continue || x.Continued)) || head.IsDropped(i),
                _ => anyDropped && head.IsDropped(i),
            };
            if (!drop) continue;
            o.Append(bytes[kept..field.NameStart]);
            kept = field.LineEnd;
            // Of all that it may say we can do this one thing.
            bool takesTrailers = field.Id == KnownHeader.Te && !head.IsDropped(i) && Http1Framing.ListHas(Http1Head.Value(bytes, field), "trailers"u8);
            if (takesTrailers) o.Append("te: trailers\r\n"u8);
            if (field.Id != KnownHeader.Host) continue;
            hasHost = true;
            WriteHost(o, Http1Head.Name(bytes, field), x.Authority);
        }
        o.Append(bytes[kept..(x.Head.Length - 2)]);
        if (!hasHost) WriteHost(o, "host"u8, x.Authority);
    }

    private static void WriteHost(IoBuffer o, ReadOnlySpan<byte> name, ReadOnlySpan<byte> host)
    {
        o.Append(name);
        o.Append(": "u8);
        o.Append(host);
        o.Append("\r\n"u8);
    }

    // HTTP/2 needs no framing fields, HTTP/1 does: those of the client were copied, where it gave any and nobody took them away.
    private static void WriteFraming(Exchange x, Attempt attempt, IoBuffer o)
    {
        if (x.IsFramedAnew)
        {
            long length = x.RequestLength;
            if (length == Exchange.NoBody) return;
            // Where nobody changes the body on its way it is as long as it was told, whatever a filter says.
            if (length >= 0 && x.Framing.Body == BodyKind.Length && !attempt.SentBody.IsFiltered && !x.RequestBody.IsFiltered)
                length = x.Framing.ContentLength;
            if (length >= 0 || !attempt.State.IsHttp2) WriteLength(o, length);
            return;
        }
        if (x.IsUpgrade || attempt.State.IsHttp2 || x.Has(KnownHeader.ContentLength) || x.Has(KnownHeader.TransferEncoding)) return;
        if (x.Framing.Body == BodyKind.None)
        {
            if (!MeansNoContent(x.Method)) WriteLength(o, 0);
            return;
        }
        WriteLength(o, x.Framing.Body == BodyKind.Length ? x.Framing.ContentLength : -1);
    }

    // Of other requests a server must be told that there is none (RFC 9110 8.6), or it may ask for a length (411). As Envoy does.
    private static bool MeansNoContent(ReadOnlySpan<byte> method) =>
        method.SequenceEqual("GET"u8) || method.SequenceEqual("HEAD"u8) || method.SequenceEqual("DELETE"u8) || method.SequenceEqual("CONNECT"u8)
        || method.SequenceEqual("TRACE"u8);

    private static void WriteLength(IoBuffer o, long length)
    {
        if (length < 0)
        {
            o.Append("transfer-encoding: chunked\r\n"u8);
            return;
        }
        o.Append("content-length: "u8);
        Number(o, length);
        o.Append("\r\n"u8);
    }

    public static unsafe void Number(IoBuffer o, long value)
    {
        if ((ulong)value < 10 && o.Room > 0)
        {
            o.Memory[o.End++] = (byte)('0' + value);
            return;
        }
        value.TryFormat(o.Free, out int written);
        o.End += written;
    }

    /// <summary>Makes room for so many bytes: what a route adds to a head at its limit may need more than a buffer.</summary>
    public static void Ensure(Exchange x, ref IoBuffer o, int bytes)
    {
        if (o.Room < bytes) o = x.Worker.Buffers.Grow(o, bytes);
    }
}

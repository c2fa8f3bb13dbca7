// Writes response heads downstream: the upstream's lines in their order and letter case less what belongs to its connection and what
// was taken out, then what was added; or an answer of our own. Server, date and via come after all mutations.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class ResponseWriter
{
    /// <summary>The upstream's final head (or 101), for a body framed as <paramref name="body"/> says downstream.</summary>
    public static void WriteUpstream(Exchange x, ref IoBuffer o, IoBuffer from, in Http1Framing framing, BodyKind body)
    {
        Http1Head head = x.UpstreamHead;
        bool upgrade = head.Status == 101 || (x.IsConnect && head.Status is >= 200 and < 300);
        if (!x.ResponseHeaders.IsOpen) RouteHeaders.BeginAnswer(x, from, upgrade);
        int start = Begin(x, ref o, head.Length);
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        StatusLine(x, o, x.Status);
        CopyFields(x, o, bytes, framing, body, upgrade);
        bool declared = x.ChangesResponseLength && body == BodyKind.Length;
        // Where nobody changes the body on its way it is as long as it was told, whatever a filter says.
        if (declared && framing.Body == BodyKind.Length && !x.ResponseBody.IsFiltered) x.ResponseLength = framing.ContentLength;
        x.ResponseBody.Declare(declared ? x.ResponseLength : framing.Body == BodyKind.Length && !x.ChangesResponseLength ? framing.ContentLength : -1);
        if (declared)
        {
            o.Append("content-length: "u8);
            RequestWriter.Number(o, x.ResponseLength);
            o.Append("\r\n"u8);
        }
        if (body == BodyKind.Chunked && framing.Body != BodyKind.Chunked) o.Append("transfer-encoding: chunked\r\n"u8);
        // A stream that ended with its head says so by that; HTTP/1 has to be told. So is whoever gets a status with content for one without.
        bool unsaid = x.UpstreamIsHttp2 && !x.SpeaksHttp2 && framing.ContentLength < 0;
        if (body == BodyKind.None && !x.IsHead && head.Status >= 200 && !Http1Framing.IsContentless(x.Status)
            && (unsaid || Http1Framing.IsContentless(head.Status)))
            o.Append("content-length: 0\r\n"u8);
        // A request that still comes when its answer begins is not waited for; behind a tunnel that was refused may come what was meant for it.
        if (!upgrade && (x.IsUpgrade || !x.IsBodyHere)) x.KeepAlive = false;
        Finish(x, o, upgrade, start);
    }

    // The lines that go on.
    private static void CopyFields(Exchange x, IoBuffer o, ReadOnlySpan<byte> bytes, in Http1Framing framing, BodyKind body, bool upgrade)
    {
        Http1Head head = x.UpstreamHead;
        ResponseHeaders edits = x.ResponseHeaders;
        ReadOnlySpan<HeaderField> fields = head.Fields;
        bool anyDropped = edits.AnyDropped;
        int kept = head.FieldsStart;
        for (int i = 0; i < fields.Length; i++)
        {
            ref readonly HeaderField field = ref fields[i];
            if (field.Id == KnownHeader.Other && !framing.ConnectionNamesFields && !anyDropped) continue;
            bool drop = anyDropped && edits.IsDropped(i);
            switch (field.Id)
            {
                case KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection or KnownHeader.Te:
                    drop = true;
                    break;
                case KnownHeader.Upgrade:
                    drop = !upgrade && head.Status != 426;
                    break;
                case KnownHeader.TransferEncoding:
                    drop = body != BodyKind.Chunked && !(x.IsHead && x.Head.Minor == 1 && head.Status != 204 && x.Status != 204);
                    break;
                case KnownHeader.ContentLength:
                    drop = body == BodyKind.Chunked || x.Status == 204 || head.Status is 204 or 101
                        || Http1Framing.IsContentless(head.Status) != Http1Framing.IsContentless(x.Status) || (upgrade && x.IsConnect)
                        || (x.ChangesResponseLength && (body != BodyKind.None || x.IsHead));
                    break;
                case KnownHeader.Other when !drop:
                    drop = framing.ConnectionNamesFields && IsNamedByConnection(head, bytes, Http1Head.Name(bytes, field));
                    x.AnswerTakesBack |= drop;
                    break;
            }
            if (!drop) continue;
            o.Append(bytes[kept..field.NameStart]);
            kept = field.LineEnd;
        }
        o.Append(bytes[kept..(head.Length - 2)]);
    }

    /// <summary>The head that tells a client that its tunnel stands (RFC 9110 9.3.6): no framing fields.</summary>
    public static void WriteEstablished(Exchange x, ref IoBuffer o)
    {
        x.ResponseHeaders.BeginOwn(isLocal: false);
        RouteHeaders.ApplyToAnswer(x);
        int start = Begin(x, ref o, 0);
        StatusLine(x, o, 200);
        Finish(x, o, upgrade: true, start);
    }

    /// <summary>The head with which an HTTP/2 upstream accepted a tunnel; for a client of HTTP/1 it becomes a 101.</summary>
    public static void WriteAccepted(Exchange x, ref IoBuffer o, IoBuffer from)
    {
        Http1Head head = x.UpstreamHead;
        ResponseHeaders edits = x.ResponseHeaders;
        if (!edits.IsOpen) RouteHeaders.BeginAnswer(x, from, upgrade: true);
        // The endpoint never saw the key (RFC 8441 5): its answer to it would be a second one.
        if (x.Status == 101 && Tunnel.IsWebSocket(x)) edits.Remove("sec-websocket-accept"u8);
        int start = Begin(x, ref o, head.Length);
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        StatusLine(x, o, x.Status);
        for (int i = 0; i < head.Count; i++)
        {
            ref readonly HeaderField field = ref head.Fields[i];
            if (field.Id is KnownHeader.Other or KnownHeader.Date or KnownHeader.Server or KnownHeader.Via && !edits.IsDropped(i)) o.Append(bytes[field.NameStart..field.LineEnd]);
        }
        if (x.Status == 101)
        {
            ReadOnlySpan<byte> token = Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]);
            o.Append("upgrade: "u8);
            o.Append(token);
            o.Append("\r\n"u8);
            if (Tunnel.IsWebSocket(x)) Tunnel.WriteAccept(x, o);
        }
        Finish(x, o, upgrade: x.Status == 101 || x.IsConnect, start);
    }

    /// <summary>An interim response (1xx), passed on as it came.</summary>
    public static void WriteInterim(Exchange x, Http1Head head, ref IoBuffer o, IoBuffer from)
    {
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        RequestWriter.Ensure(x, ref o, bytes.Length + 64);
        StatusLine(x, o, head.Status);
        foreach (ref readonly HeaderField field in head.Fields)
            if (field.Id is KnownHeader.Other or KnownHeader.Date or KnownHeader.Server && !IsNamedByConnection(head, bytes, Http1Head.Name(bytes, field))) o.Append(bytes[field.NameStart..field.LineEnd]);
        o.Append("\r\n"u8);
    }

    /// <summary>Begins the head of an answer of our own with what the exchange's route says in it; whoever goes on knows its status.</summary>
    /// <param name="x">The exchange; its route mutations are used.</param>
    /// <param name="reason">Content of <c>x-naru-reason</c>, or empty.</param>
    /// <param name="extra">Whole header lines to add.</param>
    public static ResponseHeaders BeginLocal(Exchange x, string reason, string extra)
    {
        ResponseHeaders head = x.ResponseHeaders;
        head.BeginOwn(isLocal: true);
        AddLines(head, Encoding.Latin1.GetBytes(extra));
        if (reason.Length > 0) head.Add("x-naru-reason"u8, Encoding.ASCII.GetBytes(reason));
        RouteHeaders.ApplyToAnswer(x);
        head.KnowStatus();
        return head;
    }

    /// <summary>Writes an answer of our own whose head was begun.</summary>
    /// <param name="x">The exchange; its status and keep-alive are used.</param>
    /// <param name="o">Out buffer.</param>
    /// <param name="body">Body; left out for HEAD but still counted.</param>
    public static void WriteLocal(Exchange x, ref IoBuffer o, ReadOnlySpan<byte> body)
    {
        int start = Begin(x, ref o, body.Length);
        StatusLine(x, o, x.Status);
        bool bodyless = x.Status is 204 or 304;
        // HTTP/2 tells by END_STREAM that nothing follows.
        bool changed = x is { ChangesResponseLength: true, ResponseLength: < 0 } && body.Length > 0 && (x.SpeaksHttp2 || x.Head.Minor == 1);
        bool chunked = changed && !x.SpeaksHttp2 && !bodyless;
        if (chunked)
        {
            o.Append("transfer-encoding: chunked\r\n"u8);
        }
        else if (!changed && !bodyless && (body.Length > 0 || !x.SpeaksHttp2))
        {
            o.Append("content-length: "u8);
            RequestWriter.Number(o, body.Length);
            o.Append("\r\n"u8);
        }
        Finish(x, o, upgrade: false, start);
        if (x.IsHead || bodyless) return;
        // Whoever packs an answer of ours does not know its length before, and nobody is told it, as of others (RFC 9112 7.1).
        if (chunked) BodySink.Announce(o, body.Length);
        o.Append(body);
        if (chunked) o.Append("\r\n0\r\n\r\n"u8);
        x.BytesSent = body.Length;
    }

    private static void AddLines(ResponseHeaders head, ReadOnlySpan<byte> lines)
    {
        for (int end = lines.IndexOf("\r\n"u8); end > 0; end = lines.IndexOf("\r\n"u8))
        {
            int colon = lines.IndexOf((byte)':');
            head.Add(lines[..colon], Http1Framing.Trim(lines[(colon + 1)..end]));
            lines = lines[(end + 2)..];
        }
    }

    // Envoy: x-envoy-force-trace, which internal clients alone may send.
    private static bool IsTraceForced(Exchange x) => x.Manager.HasInternal && ClientAddress.IsInternal(x) && x.RequestHeaders.Has("x-envoy-force-trace"u8);

    // What comes after all mutations (Envoy: HTTP connection manager): the connection's own fields. Where the head begins in the buffer, which has
    // room for it and so many bytes more.
    private static int Begin(Exchange x, ref IoBuffer o, int more)
    {
        Complete(x);
        RequestWriter.Ensure(x, ref o, more + x.ResponseHeaders.AddedBytes + x.Manager.ServerLine.Length + 512);
        return o.End;
    }

    /// <summary>Says in an answer what comes after all mutations but the connection's own fields; may change its status.</summary>
    internal static void Complete(Exchange x)
    {
        HttpManager manager = x.Manager;
        ResponseHeaders head = x.ResponseHeaders;
        bool server = head.Has(KnownHeader.Server);
        if (server && manager.Config.ServerHeader == ServerHeaderTransformation.Overwrite) head.Remove("server"u8);
        if (manager.Via.Length > 0) head.Join("via"u8, manager.Via, ", "u8);
        if (manager.Tracing is not null) Decorators.OnAnswer(x);
        manager.ProxyStatus?.Say(x);
        if ((manager.Config.AlwaysSetRequestIdInResponse || IsTraceForced(x)) && x.RequestHeaders.TryGet("x-request-id"u8, out ReadOnlySpan<byte> id)) head.Set("x-request-id"u8, id);
    }

    private static void Finish(Exchange x, IoBuffer o, bool upgrade, int start)
    {
        ResponseHeaders head = x.ResponseHeaders;
        head.CopyAdded(o);
        if (x.Manager.Config.ServerHeader != ServerHeaderTransformation.PassThrough && !head.Has(KnownHeader.Server)) o.Append(x.Manager.ServerLine);
        if (!head.Has(KnownHeader.Date)) o.Append(x.Worker.Cache.DateLine(x.Worker.Now));
        x.KeepAlive = x.KeepAlive && x.Down.GoesOnAfter(x);
        if (upgrade && x.IsConnect) x.KeepAlive = false;
        else if (upgrade) o.Append("connection: Upgrade\r\n"u8);
        else if (!x.KeepAlive) o.Append("connection: close\r\n"u8);
        else if (x.Head.Minor == 0) o.Append("connection: keep-alive\r\n"u8);
        o.Append("\r\n"u8);
        if (x.Manager.Config.ProperCaseWords && !x.SpeaksHttp2) ProperCase.Apply(o.Filled[(start - o.Start)..]);
        head.End();
        x.HeadBytesSent = o.End - start;
        if (x.WantAccessLog || x.ResponseBody.IsFiltered) x.ResponseHeadCopy.Append(o.Filled[(start - o.Start)..]);
    }

    // The phrase is ours, as Envoy's is its own: what an endpoint has to say there nobody reads, and HTTP/2 has none.
    private static void StatusLine(Exchange x, IoBuffer o, int status)
    {
        // A client of HTTP/1.0 that is served is spoken to in its version (Envoy: accept_http_10).
        o.Append(x.Head.Minor == 0 && x.Head.Length > 0 && x.Manager.Config.AcceptHttp10 ? "HTTP/1.0 "u8 : "HTTP/1.1 "u8);
        RequestWriter.Number(o, status);
        o.Append(" "u8);
        o.End += Encoding.ASCII.GetBytes(Reasons.Phrase(status), o.Free);
        o.Append("\r\n"u8);
    }

    private static bool IsNamedByConnection(Http1Head head, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> name)
    {
        foreach (ref readonly HeaderField field in head.Fields)
            if (field.Id == KnownHeader.Connection && Http1Framing.ListHas(Http1Head.Value(bytes, field), name)) return true;
        return false;
    }

    /// <summary>Looks a field up in a head that was written out; <paramref name="name"/> in lower case.</summary>
    public static bool FindHeader(ReadOnlySpan<byte> head, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        int at = head.IndexOf("\r\n"u8);
        while (at >= 0)
        {
            head = head[(at + 2)..];
            at = head.IndexOf("\r\n"u8);
            if (at <= 0) return false;
            if (at > name.Length && head[name.Length] == ':' && Ascii.EqualsIgnoreCase(head[..name.Length], name))
            {
                value = Http1Framing.Trim(head[(name.Length + 1)..at]);
                return true;
            }
        }
        return false;
    }
}

// Writes response heads downstream: the upstream's lines in their order and letter case less what belongs to its connection,
// or an answer of our own with its reason code.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal static class ResponseWriter
{
    /// <summary>The upstream's final head (or 101), for a body framed as <paramref name="body"/> says downstream.</summary>
    public static void WriteUpstream(Exchange x, ref IoBuffer o, IoBuffer from, in Http1Framing framing, BodyKind body)
    {
        Http1Head head = x.UpstreamHead;
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        int start = o.End;
        RequestWriter.Ensure(x, ref o, bytes.Length + 512);
        StatusLine(o, head.Status, bytes.Slice(head.ReasonStart, head.ReasonLength));

        HttpConnectionManagerConfig config = x.Manager.Config;
        ReadOnlySpan<HeaderField> fields = head.Fields;
        bool upgrade = head.Status == 101 || (x.IsConnect && head.Status is >= 200 and < 300);
        bool hasDate = false, hasServer = false, web = false;
        int kept = head.FieldsStart;
        for (int i = 0; i < fields.Length; i++)
        {
            ref readonly HeaderField field = ref fields[i];
            if (field.Id == KnownHeader.Other && !framing.ConnectionNamesFields && x.Mutations is null) continue;
            bool drop = false;
            switch (field.Id)
            {
                case KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection or KnownHeader.Te:
                    drop = true;
                    break;
                case KnownHeader.Upgrade:
                    drop = !upgrade && head.Status != 426;
                    break;
                case KnownHeader.TransferEncoding:
                    drop = body != BodyKind.Chunked && !(x.IsHead && x.Head.Minor == 1 && head.Status != 204);
                    break;
                case KnownHeader.ContentLength:
                    drop = body == BodyKind.Chunked || head.Status is 204 or 101 || (upgrade && x.IsConnect) || x.ResponseBody.IsForWeb;
                    break;
                case KnownHeader.ContentType:
                    drop = web = x.Web != GrpcWebForm.None && ReplyForms.IsGrpc(Http1Head.Value(bytes, field));
                    break;
                case KnownHeader.Date:
                    hasDate = true;
                    break;
                case KnownHeader.Server:
                    hasServer = true;
                    drop = config.ServerHeader == ServerHeaderTransformation.Overwrite;
                    break;
                case KnownHeader.Internal:
                    // Only we speak in our name; interim heads and trailers have no such fields at all.
                    drop = Ascii.EqualsIgnoreCase(Http1Head.Name(bytes, field), "x-naru-reason"u8);
                    break;
                case KnownHeader.Other:
                    drop = framing.ConnectionNamesFields && IsNamedByConnection(head, bytes, Http1Head.Name(bytes, field));
                    break;
            }
            if (!drop && x.Mutations is { } mutations && field.Id is not (KnownHeader.ContentLength or KnownHeader.TransferEncoding))
                drop = HeaderMutations.Drops(mutations.ResponseRemove, mutations.ResponseAdd, Http1Head.Name(bytes, field));
            if (!drop) continue;
            o.Append(bytes[kept..field.NameStart]);
            kept = field.LineEnd;
        }
        o.Append(bytes[kept..(head.Length - 2)]);

        if (web)
        {
            o.Append("content-type: "u8);
            o.Append(GrpcWeb.AnswerType(x));
            o.Append("\r\n"u8);
        }
        if (body == BodyKind.Chunked && framing.Body != BodyKind.Chunked) o.Append("transfer-encoding: chunked\r\n"u8);
        // A stream that ended with its head says so by that; HTTP/1 has to be told.
        if (body == BodyKind.None && x.UpstreamIsHttp2 && x.Stream is null && framing.ContentLength < 0 && !x.IsHead && head.Status is >= 200 and not (204 or 304))
            o.Append("content-length: 0\r\n"u8);
        if (!upgrade)
        {
            o.Append("x-envoy-upstream-service-time: "u8);
            RequestWriter.Number(o, Worker.Milliseconds(x.UpstreamStartTicks, x.ResponseStartTicks));
            o.Append("\r\n"u8);
        }
        // A request that still comes when its answer begins is not waited for; behind a tunnel that was refused may come what was meant for it.
        if (!upgrade && (x.IsUpgrade || !(x.RequestBodyBuffered || x.RequestBody.Done))) x.KeepAlive = false;
        Finish(x, ref o, hasDate, hasServer && config.ServerHeader != ServerHeaderTransformation.Overwrite, upgrade, start);
    }

    /// <summary>The head that tells a client that its tunnel stands (RFC 9110 9.3.6): no framing fields.</summary>
    public static void WriteEstablished(Exchange x, ref IoBuffer o)
    {
        int start = o.End;
        RequestWriter.Ensure(x, ref o, 512);
        StatusLine(o, 200, "OK"u8);
        Finish(x, ref o, hasDate: false, hasServer: false, upgrade: true, start);
    }

    /// <summary>The head with which an HTTP/2 upstream accepted a tunnel; for a client of HTTP/1 it becomes a 101.</summary>
    public static void WriteAccepted(Exchange x, ref IoBuffer o, IoBuffer from)
    {
        int start = o.End;
        Http1Head head = x.UpstreamHead;
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        RequestWriter.Ensure(x, ref o, bytes.Length + 512);
        StatusLine(o, x.Status, x.Status == 101 ? "Switching Protocols"u8 : default);
        foreach (ref readonly HeaderField field in head.Fields)
            if (field.Id is KnownHeader.Other or KnownHeader.Date or KnownHeader.Server or KnownHeader.Via) o.Append(bytes[field.NameStart..field.LineEnd]);
        if (x.Status == 101)
        {
            ReadOnlySpan<byte> token = Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]);
            o.Append("upgrade: "u8);
            o.Append(token);
            o.Append("\r\n"u8);
            if (Tunnel.IsWebSocket(x)) Tunnel.WriteAccept(x, o);
        }
        Finish(x, ref o, hasDate: true, hasServer: true, upgrade: x.Status == 101 || x.IsConnect, start);
    }

    /// <summary>An interim response (1xx), passed on as it came.</summary>
    public static void WriteInterim(Exchange x, Http1Head head, ref IoBuffer o, IoBuffer from)
    {
        ReadOnlySpan<byte> bytes = from.Filled[..head.Length];
        RequestWriter.Ensure(x, ref o, bytes.Length + 64);
        StatusLine(o, head.Status, bytes.Slice(head.ReasonStart, head.ReasonLength));
        foreach (ref readonly HeaderField field in head.Fields)
            if (field.Id is KnownHeader.Other or KnownHeader.Date or KnownHeader.Server && !IsNamedByConnection(head, bytes, Http1Head.Name(bytes, field))) o.Append(bytes[field.NameStart..field.LineEnd]);
        o.Append("\r\n"u8);
    }

    /// <summary>An answer of the proxy's own.</summary>
    /// <param name="x">The exchange; its status, keep-alive and route mutations are used.</param>
    /// <param name="o">Out buffer.</param>
    /// <param name="reason">Content of <c>x-naru-reason</c>, or empty.</param>
    /// <param name="body">Body; left out for HEAD but still counted.</param>
    /// <param name="contentType">Of a body.</param>
    /// <param name="extra">Whole header lines to add.</param>
    public static void WriteLocal(Exchange x, ref IoBuffer o, ReadOnlySpan<byte> reason, ReadOnlySpan<byte> body, string contentType, ReadOnlySpan<byte> extra)
    {
        int start = o.End;
        RequestWriter.Ensure(x, ref o, 1024 + reason.Length + extra.Length);
        StatusLine(o, x.Status, Encoding.ASCII.GetBytes(Reasons.Phrase(x.Status)));
        bool bodyless = x.Status is 204 or 304;
        // HTTP/2 tells by END_STREAM that nothing follows.
        if (!bodyless && (body.Length > 0 || x.Stream is null))
        {
            o.Append("content-length: "u8);
            RequestWriter.Number(o, body.Length);
            o.Append("\r\n"u8);
            // A route may say what its answer is.
            if (body.Length > 0 && !(x.Mutations is { } m && HeaderMutations.Drops(m.ResponseRemove, m.ResponseAdd, "content-type"u8)))
                o.Append(Encoding.ASCII.GetBytes($"content-type: {contentType}\r\n"));
        }
        o.Append(extra);
        if (reason.Length > 0)
        {
            o.Append("x-naru-reason: "u8);
            o.Append(reason);
            o.Append("\r\n"u8);
        }
        Finish(x, ref o, hasDate: false, hasServer: false, upgrade: false, start);
        if (x.IsHead || bodyless) return;
        RequestWriter.Ensure(x, ref o, body.Length);
        o.Append(body);
        x.BytesSent = body.Length;
    }

    private static void Finish(Exchange x, ref IoBuffer o, bool hasDate, bool hasServer, bool upgrade, int start)
    {
        if (!hasServer && x.Manager.Config.ServerHeader != ServerHeaderTransformation.PassThrough)
        {
            RequestWriter.Ensure(x, ref o, x.Manager.ServerLine.Length + 256);
            o.Append(x.Manager.ServerLine);
        }
        if (!hasDate) o.Append(x.Worker.Cache.DateLine(x.Worker.Now));
        if (x.Manager.Via.Length > 0)
        {
            o.Append("via: "u8);
            o.Append(x.Manager.Via);
            o.Append("\r\n"u8);
        }
        if (x.Manager.Config.AlwaysSetRequestIdInResponse && x.HasRequestId)
        {
            o.Append("x-request-id: "u8);
            o.Append(x.RequestId);
            o.Append("\r\n"u8);
        }
        if (x.Route?.Host.IncludeAttemptCountInResponse == true)
        {
            o.Append("x-envoy-attempt-count: "u8);
            RequestWriter.Number(o, x.Attempts);
            o.Append("\r\n"u8);
        }
        if (x.Stream is null) x.KeepAlive = x.KeepAlive && ((Http1Connection)x.Connection).GoesOnAfter(x);
        if (upgrade && x.IsConnect) x.KeepAlive = false;
        else if (upgrade) o.Append("connection: Upgrade\r\n"u8);
        else if (!x.KeepAlive) o.Append("connection: close\r\n"u8);
        else if (x.Head.Minor == 0) o.Append("connection: keep-alive\r\n"u8);
        if (x.Mutations is { } mutations)
        {
            foreach (HeaderAddition addition in mutations.ResponseAdd)
            {
                if (addition.Action is HeaderAppendAction.AddIfAbsent or HeaderAppendAction.OverwriteIfExists)
                {
                    bool exists = FindHeader(o.Filled[(start - o.Start)..], addition.Lower, out _);
                    if (exists == (addition.Action == HeaderAppendAction.AddIfAbsent)) continue;
                }
                ReadOnlySpan<byte> value = addition.Value.Value(x, x.Scratch);
                RequestWriter.Ensure(x, ref o, addition.Name.Length + value.Length + 256);
                o.Append(addition.Name);
                o.Append(": "u8);
                o.Append(value);
                o.Append("\r\n"u8);
            }
        }
        o.Append("\r\n"u8);
        x.HeadBytesSent = o.End - start;
        if (x.WantAccessLog) x.ResponseHeadCopy.Append(o.Filled[(start - o.Start)..]);
    }

    private static void StatusLine(IoBuffer o, int status, ReadOnlySpan<byte> reason)
    {
        o.Append("HTTP/1.1 "u8);
        RequestWriter.Number(o, status);
        o.Append(" "u8);
        // HTTP/2 has no reason phrases; some HTTP/1 clients do not see a status without one.
        if (reason.IsEmpty && Reasons.Phrase(status) is { Length: > 0 } phrase) o.End += Encoding.ASCII.GetBytes(phrase, o.Free);
        else o.Append(reason);
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

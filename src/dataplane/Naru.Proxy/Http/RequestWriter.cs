// Writes the request head for the upstream: the client's own lines in their order and letter case, less what belongs to the
// client's connection (RFC 9110 7.6.1), with the host and path the route asks for and the headers a proxy adds.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

internal static class RequestWriter
{
    /// <summary>A buffer with the head in it.</summary>
    public static IoBuffer Write(Exchange x)
    {
        IoBuffer o = x.Worker.Buffers.Rent();
        HttpConnectionManagerConfig config = x.Manager.Config;
        ForwardAction action = x.Route!.Forward!;
        ReadOnlySpan<byte> bytes = x.Bytes;
        Ensure(x, ref o, bytes.Length + 1024 + (action.PrefixRewrite?.Length ?? 0) + (x.NormalizedPath?.Length ?? 0));

        o.Append(x.Method);
        o.Append(" "u8);
        WritePath(x, ref o, action);
        o.Append(" HTTP/1.1\r\n"u8);

        WriteFields(x, ref o, action, bytes, config);

        if (x.Web != GrpcWebForm.None) GrpcWeb.WriteRequestType(x, o);
        if (x.Web == GrpcWebForm.Text) WriteDecodedFraming(x, o);
        else if (x.Stream is not null) WriteFraming(x, o);
        if (x.IsUpgrade && !x.IsConnect)
        {
            o.Append("connection: Upgrade\r\n"u8);
            if (x.Stream is not null && Tunnel.IsWebSocket(x) && x.Head.IndexOf(bytes, "sec-websocket-key"u8) < 0) Tunnel.WriteKey(x, o);
        }
        if (x.Manager.KnowsClients) TrustedHeaders.Write(x, ref o);
        else if (!x.Has(KnownHeader.XForwardedProto)) o.Append(x.IsHttps ? "x-forwarded-proto: https\r\n"u8 : "x-forwarded-proto: http\r\n"u8);
        if (x.HasRequestId)
        {
            o.Append("x-request-id: "u8);
            o.Append(x.RequestId);
            o.Append("\r\n"u8);
        }
        if (x.Manager.Via.Length > 0 && !x.Has(KnownHeader.Via))
        {
            Ensure(x, ref o, x.Manager.Via.Length + 16);
            o.Append("via: "u8);
            o.Append(x.Manager.Via);
            o.Append("\r\n"u8);
        }
        if ((action.PrefixRewrite is not null || action.Config.RegexRewrite is not null) && x.Path[0] == '/' && !KeepsOriginalPath(x))
        {
            Ensure(x, ref o, x.Head.TargetLength + 512);
            o.Append("x-envoy-original-path: "u8);
            o.Append(x.Path);
            if (x.HasQuery)
            {
                o.Append("?"u8);
                o.Append(x.Query);
            }
            o.Append("\r\n"u8);
        }
        if (x.GrpcTimeoutMs >= 0) RequestLimits.WriteGrpcTimeout(x.GrpcTimeoutMs, o);
        long expected = RequestLimits.Expected(x);
        if (expected > 0)
        {
            o.Append("x-envoy-expected-rq-timeout-ms: "u8);
            Number(o, expected);
            o.Append("\r\n"u8);
        }
        if (x.Route.Host.IncludeRequestAttemptCount)
        {
            o.Append("x-envoy-attempt-count: "u8);
            Number(o, x.Attempts);
            o.Append("\r\n"u8);
        }
        if (x.Mutations is { } mutations) Add(x, ref o, mutations);
        Ensure(x, ref o, 2);
        o.Append("\r\n"u8);
        x.UpstreamHeadSent = o.Count;
        return o;
    }

    // HTTP/2 needs no framing fields, HTTP/1 does; a Content-Length that the client gave is there already.
    private static void WriteFraming(Exchange x, IoBuffer o)
    {
        if (x.Has(KnownHeader.ContentLength) || x.IsUpgrade) return;
        if (x.Framing.Body == BodyKind.Chunked)
        {
            o.Append("transfer-encoding: chunked\r\n"u8);
        }
        else if (x.Framing.Body == BodyKind.Length)
        {
            o.Append("content-length: "u8);
            Number(o, x.Framing.ContentLength);
            o.Append("\r\n"u8);
        }
    }

    // Of the bytes that the base64 stands for.
    private static void WriteDecodedFraming(Exchange x, IoBuffer o)
    {
        if (x.RequestBodyBuffered)
        {
            o.Append("content-length: "u8);
            Number(o, Math.Max(0, x.Framing.ContentLength));
            o.Append("\r\n"u8);
        }
        else
        {
            o.Append("transfer-encoding: chunked\r\n"u8);
        }
    }

    private static void WriteFields(Exchange x, ref IoBuffer o, ForwardAction action, ReadOnlySpan<byte> bytes, HttpConnectionManagerConfig config)
    {
        ReadOnlySpan<HeaderField> fields = x.Head.Fields;
        int kept = x.Head.FieldsStart;
        bool edge = config.UseRemoteAddress && TrustedHeaders.IsEdge(x);
        bool plain = !edge && !x.Framing.ConnectionNamesFields && x.Mutations is null && x.GrpcTimeoutMs < 0;
        for (int i = 0; i < fields.Length; i++)
        {
            ref readonly HeaderField field = ref fields[i];
            if (plain && field.Id == KnownHeader.Other) continue;
            bool drop = field.Id switch
            {
                KnownHeader.Host or KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection => true,
                KnownHeader.ContentType => x.Web != GrpcWebForm.None,
                KnownHeader.ContentLength or KnownHeader.TransferEncoding => x.Web == GrpcWebForm.Text,
                KnownHeader.Te when x.Web != GrpcWebForm.None => true,
                KnownHeader.Te => !Ascii.EqualsIgnoreCase(Http1Head.Value(bytes, field), "trailers"u8),
                // Only the one that was looked at: a second could ask for what is not allowed (h2c).
                KnownHeader.Upgrade => !x.IsUpgrade || i != x.Framing.Upgrade,
                KnownHeader.Expect => x.Framing.Expect100 && !config.Proxy100Continue,
                KnownHeader.Internal => TrustedHeaders.DropsInternal(x, Http1Head.Name(bytes, field)),
                KnownHeader.XForwardedProto => TrustedHeaders.DropsForwardedProto(x),
                KnownHeader.XForwardedHost => TrustedHeaders.DropsForwarded(x),
                KnownHeader.XForwardedPort => TrustedHeaders.DropsForwarded(x) || TrustedHeaders.ReplacesPort(x),
                KnownHeader.XForwardedClientCert => !ClientCertHeader.Keeps(x) || (!ClientCertHeader.Own(x).IsEmpty && IsLast(fields, i, KnownHeader.XForwardedClientCert)),
                KnownHeader.XForwardedFor => config.UseRemoteAddress && !config.SkipXffAppend && IsLast(fields, i, KnownHeader.XForwardedFor),
                KnownHeader.Via => x.Manager.Via.Length > 0 && IsLast(fields, i, KnownHeader.Via),
                KnownHeader.XRequestId => x.HasRequestId,
                KnownHeader.Other => (x.Framing.ConnectionNamesFields && IsNamedByConnection(x, bytes, Http1Head.Name(bytes, field)))
                    || (edge && TrustedHeaders.IsTwin(Http1Head.Name(bytes, field)))
                    || (x.GrpcTimeoutMs >= 0 && Ascii.EqualsIgnoreCase(Http1Head.Name(bytes, field), "grpc-timeout"u8)),
                _ => false,
            };
            bool rewrite = drop && (field.Id is KnownHeader.Host or KnownHeader.XForwardedFor or KnownHeader.Via || (field.Id == KnownHeader.XForwardedClientCert && ClientCertHeader.Keeps(x)));
            if (!drop && field.Id != KnownHeader.ContentLength && field.Id != KnownHeader.TransferEncoding && x.Mutations is { } mutations)
                drop = HeaderMutations.Drops(mutations.RequestRemove, mutations.RequestAdd, Http1Head.Name(bytes, field));
            if (!drop) continue;
            o.Append(bytes[kept..field.NameStart]);
            kept = field.LineEnd;
            if (!rewrite) continue;
            switch (field.Id)
            {
                case KnownHeader.Host:
                    o.Append(Http1Head.Name(bytes, field));
                    WriteHost(x, ref o, action);
                    break;
                case KnownHeader.XForwardedFor:
                    o.Append(bytes[field.NameStart..field.ValueEnd]);
                    o.Append(", "u8);
                    TrustedHeaders.Append(x.Connection.Peer, o);
                    o.Append("\r\n"u8);
                    break;
                case KnownHeader.XForwardedClientCert:
                    o.Append(bytes[field.NameStart..field.ValueEnd]);
                    Ensure(x, ref o, ClientCertHeader.Own(x).Length + bytes.Length + 16);
                    o.Append(","u8);
                    o.Append(ClientCertHeader.Own(x));
                    o.Append("\r\n"u8);
                    break;
                case KnownHeader.Via:
                    o.Append(bytes[field.NameStart..field.ValueEnd]);
                    Ensure(x, ref o, x.Manager.Via.Length + bytes.Length);
                    o.Append(", "u8);
                    o.Append(x.Manager.Via);
                    o.Append("\r\n"u8);
                    break;
            }
        }
        o.Append(bytes[kept..(x.Head.Length - 2)]);
        if (x.Framing.Host < 0)
        {
            o.Append("host"u8);
            WriteHost(x, ref o, action);
        }
    }

    // Behind the name: the client's host, or what the route makes of it; then the old one where that was asked for.
    private static void WriteHost(Exchange x, ref IoBuffer o, ForwardAction action)
    {
        ReadOnlySpan<byte> host = x.Authority;
        bool changed = true;
        if (x.Target!.HostRewrite is { } literal) host = literal;
        else if (action.Config.AutoHostRewrite && x.Host!.Hostname.Length > 0) host = x.Host.Hostname;
        else if (action.HostRewriteHeader is { } name && x.View.TryGetHeader(name, out ReadOnlySpan<byte> value) && value.Length > 0) host = value;
        else changed = false;
        Ensure(x, ref o, host.Length + x.Authority.Length + x.Head.Length + 1024);
        o.Append(": "u8);
        o.Append(host);
        o.Append("\r\n"u8);
        if (!changed || !action.Config.AppendXForwardedHost) return;
        o.Append("x-forwarded-host: "u8);
        o.Append(x.Authority);
        o.Append("\r\n"u8);
    }

    private static void WritePath(Exchange x, ref IoBuffer o, ForwardAction action)
    {
        ReadOnlySpan<byte> path = x.Path;
        // An authority and the asterisk are no paths.
        if (path[0] != '/')
        {
            o.Append(path);
        }
        else if (action.PrefixRewrite is { } prefix)
        {
            o.Append(prefix);
            o.Append(path[x.Route!.MatchedLength(path)..]);
        }
        else if (action.Config.RegexRewrite is { } rewrite)
        {
            byte[] rewritten = PathRewrite.ByRegex(path, rewrite.Pattern, rewrite.Substitution);
            Ensure(x, ref o, rewritten.Length + x.Head.Length + 1024);
            o.Append(rewritten);
        }
        else
        {
            o.Append(path);
        }
        if (!x.HasQuery) return;
        o.Append("?"u8);
        o.Append(x.Query);
    }

    private static void Add(Exchange x, ref IoBuffer o, HeaderMutations mutations)
    {
        foreach (HeaderAddition addition in mutations.RequestAdd)
        {
            bool exists = x.Head.IndexOf(x.Bytes, addition.Lower) >= 0;
            if (addition.Action == HeaderAppendAction.AddIfAbsent && exists) continue;
            if (addition.Action == HeaderAppendAction.OverwriteIfExists && !exists) continue;
            ReadOnlySpan<byte> value = addition.Value.Value(x, x.Scratch);
            Ensure(x, ref o, addition.Name.Length + value.Length + 4);
            o.Append(addition.Name);
            o.Append(": "u8);
            o.Append(value);
            o.Append("\r\n"u8);
        }
    }

    /// <summary>Whether <c>Connection</c> names a field that it may take away.</summary>
    private static bool IsNamedByConnection(Exchange x, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> name)
    {
        bool named = false;
        foreach (ref readonly HeaderField field in x.Head.Fields)
            if (field.Id == KnownHeader.Connection && Http1Framing.ListHas(Http1Head.Value(bytes, field), name)) named = true;
        return named && !TrustedHeaders.IsProtected(name);
    }

    private static bool IsLast(ReadOnlySpan<HeaderField> fields, int index, KnownHeader id)
    {
        for (int i = index + 1; i < fields.Length; i++) if (fields[i].Id == id) return false;
        return true;
    }

    // One that a trusted proxy in front wrote is older than ours.
    private static bool KeepsOriginalPath(Exchange x) =>
        x.Head.IndexOf(x.Bytes, "x-envoy-original-path"u8) >= 0 && !TrustedHeaders.DropsInternal(x, "x-envoy-original-path"u8);

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

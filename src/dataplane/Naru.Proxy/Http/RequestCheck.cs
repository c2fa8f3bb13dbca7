// Looks a parsed request over before anything is done with it: framing, target form, host, expectations (RFC 9110 7, RFC 9112 3).
// Whatever two recipients could understand differently ends here.
using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

internal static class RequestCheck
{
    /// <summary>Fills in what the exchange needs to know of the head; the reason for refusing it, or null.</summary>
    public static Reason? Refusal(Exchange x)
    {
        // Whatever is not HTTP/1.1 is an older version to whom does not take those (Envoy).
        if (x.Head.Length == 0) return x.Head.Error == Http1Error.Version && !x.Manager.Config.AcceptHttp10 ? Reasons.Http10 : Reasons.Of(x.Head.Error);
        bool closer = x.Manager.LooksCloser;
        if (closer && !x.SpeaksHttp2 && Underscored(x))
        {
            Count(x, CodecStats.RejectedUnderscores);
            x.Framing.Body = BodyKind.UntilClose;
            return Reasons.Underscore;
        }
        ReadOnlySpan<byte> bytes = x.Bytes;
        ReadOnlySpan<byte> method = x.Method;
        x.IsHead = method.SequenceEqual("HEAD"u8);
        x.IsIdempotent = IsIdempotent(method);

        Http1Error error = Http1Framing.OfRequest(bytes, x.Head, out x.Framing);
        if (error == Http1Error.LengthAndEncoding && x.Manager.Config.AllowChunkedLength && x.Head.Minor == 1)
        {
            DropLength(x);
            bytes = x.Bytes;
            method = x.Method;
            error = Http1Framing.OfRequest(bytes, x.Head, out x.Framing);
        }
        if (error != Http1Error.None)
        {
            x.Framing.Body = BodyKind.UntilClose;
            return Reasons.Of(error);
        }
        bool http10 = x.Head.Minor == 0;
        x.KeepAlive = http10 ? x.Framing.KeepAlive && !x.Framing.Close : !x.Framing.Close;
        if (http10 && !x.Manager.Config.AcceptHttp10) return Reasons.Http10;
        if (!x.IsIdempotent && !x.SpeaksHttp2 && !x.Manager.Config.AllowCustomMethods && !IsKnown(method)) return Reasons.UnknownMethod;
        if (x.Framing.ConnectionNamesFields && NamesTooMuch(x, bytes)) return Reasons.Nominated;

        if (method.SequenceEqual("CONNECT"u8)) return Connect(x, bytes);
        if (!Target(x, bytes, method))
            return bytes.Slice(x.Head.TargetStart, x.Head.TargetLength).Contains((byte)'#') ? Reasons.BadTarget : Reasons.InvalidUrl;
        // Taken for a path, it would begin with no slash: there is no route for it (Envoy: allow_absolute_url).
        if (x.TargetHasScheme && !x.Manager.Config.AllowAbsoluteUrl)
        {
            x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.NoRoute]++;
            return Reasons.NoRoute;
        }
        // At the edge only TLS makes a request a secure one.
        if (x.TargetHasScheme && x.IsHttps && !x.IsFromTls && x.Manager.Config is { UseRemoteAddress: true, XffNumTrustedHops: 0 }) return Reasons.HttpsInPlaintext;
        if (!Host(x, bytes, http10)) return Reasons.MissingHost;
        if (method.Length > 4 && IsLastHop(x, bytes, method)) return method[0] == 'O' ? Reasons.LastHop with { Status = 200 } : Reasons.LastHop;

        if (closer)
        {
            StripPort(x);
            if (x.Manager.Config.StripTrailingHostDot) StripDot(x);
            if (x.Manager.LooksAtPaths && PathRefusal(x) is { } refusal) return refusal;
        }
        return KindRefusal(x);
    }

    // What it is: a request, perhaps with a body, or one that opens a tunnel. Said here and nowhere else, before any filter looks, and
    // all that read, change and send it go by that. One with a body is an ordinary request, whatever it asks for besides (RFC 9110 7.8: a
    // server may ignore Upgrade). Whether the wish is allowed at all is known with the route. h2c is one that nobody has to grant (RFC
    // 9113 3.1 took it back). What follows an extended CONNECT is the tunnel's: a length of it says nothing, and a 2xx to anything but an
    // upgrade would pass for one.
    private static Reason? KindRefusal(Exchange x)
    {
        x.AsksUpgrade = x.Head.Minor != 0 && x.Framing.ConnectionUpgrade && x.Framing.Upgrade >= 0
            && !IsIgnored(x, Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]));
        x.IsUpgrade = x.AsksUpgrade && x.Framing.Body == BodyKind.None;
        return x.AsksUpgrade && !x.IsUpgrade && x.SpeaksHttp2 ? Reasons.TunnelWithLength : null;
    }

    private static bool IsIgnored(Exchange x, ReadOnlySpan<byte> upgrade)
    {
        if (Ascii.EqualsIgnoreCase(upgrade, "h2c"u8)) return true;
        if (x.SpeaksHttp2) return false;
        foreach (ByteMatcher ignored in x.Manager.IgnoredUpgrades) if (ignored.Matches(upgrade)) return true;
        return false;
    }

    // Of a length beside chunks the chunks are meant (RFC 9112 6.3): nobody behind us sees the length (Envoy: allow_chunked_length).
    private static unsafe void DropLength(Exchange x)
    {
        int moved = x.Head.RemoveNamed(new Span<byte>(x.In.Memory + x.HeadOffset, x.Head.Length), s_length);
        x.HeadOffset += moved;
        x.In.Start += moved;
    }

    private static readonly byte[][] s_length = ["content-length"u8.ToArray()];

    private static void Count(Exchange x, int stat)
    {
        if (x.Manager.Codecs is { } codecs) codecs.Http1.Shard(x.Worker.Index)[stat]++;
    }

    /// <summary>Looks a request over once more whose head has lost fields; it was good, and is, unless it was an extended CONNECT and has
    /// lost its wish: of the tunnel that its client has then nobody would know.</summary>
    public static Reason? Again(Exchange x)
    {
        // What was found out of its body stays: a stream of HTTP/2 says it, not its head, and a head may have lost the field that did.
        (BodyKind body, long length, bool keepAlive) = (x.Framing.Body, x.Framing.ContentLength, x.KeepAlive);
        x.AuthorityStart = x.AuthorityLength = x.PathStart = x.PathLength = x.QueryStart = x.QueryLength = 0;
        x.HasQuery = false;
        x.NormalizedPath = x.MadeAuthority = null;
        Refusal(x);
        (x.Framing.Body, x.Framing.ContentLength, x.KeepAlive) = (body, length, keepAlive);
        if (!x.IsConnect) KindRefusal(x);
        return x.Stream is { IsTunnel: true } && !x.IsUpgrade ? Reasons.UpgradeNotAllowed : null;
    }

    // Authority form only (RFC 9112 3.2.3): host and port, no path. Bytes behind the head belong to the tunnel, and where there is none
    // nobody may take them for a request: what a client relays for others who count on their tunnel would become its own.
    private static Reason? Connect(Exchange x, ReadOnlySpan<byte> bytes)
    {
        x.KeepAlive = false;
        ReadOnlySpan<byte> target = bytes.Slice(x.Head.TargetStart, x.Head.TargetLength);
        int colon = target.LastIndexOf((byte)':');
        // A tunnel of our own that is asked for by POST is for a host, with a port or without.
        bool isPort = (x.Manager.PostPath is not null && colon < 0) || (colon > 0 && IsPort(target[(colon + 1)..]));
        if (!IsHost(target) || !isPort) return Reasons.InvalidUrl;
        if (x.Framing.Body != BodyKind.None) return Reasons.InvalidUrl;
        x.AuthorityStart = x.PathStart = x.Head.TargetStart;
        x.AuthorityLength = x.PathLength = x.Head.TargetLength;
        x.IsConnect = x.IsUpgrade = x.AsksUpgrade = true;
        if (!x.Manager.Config.StripTrailingHostDot) return null;
        StripDot(x);
        x.NormalizedPath = x.MadeAuthority;
        return null;
    }

    // RFC 9110 9.3.6: an invalid port is refused.
    private static bool IsPort(ReadOnlySpan<byte> digits) => ushort.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0;

    // HTTP/2 heads are looked over as they are decoded.
    private static unsafe bool Underscored(Exchange x)
    {
        switch (x.Manager.Config.UnderscoreHeaders)
        {
            case UnderscoreHeaders.Reject:
                ReadOnlySpan<byte> bytes = x.Bytes;
                foreach (ref readonly HeaderField field in x.Head.Fields) if (Http1Head.Name(bytes, field).Contains((byte)'_')) return true;
                return false;
            case UnderscoreHeaders.Drop:
                foreach (ref readonly HeaderField field in x.Head.Fields)
                    if (Http1Head.Name(x.Bytes, field).Contains((byte)'_')) Count(x, CodecStats.DroppedUnderscores);
                int moved = x.Head.RemoveUnderscored(new Span<byte>(x.In.Memory + x.HeadOffset, x.Head.Length));
                x.HeadOffset += moved;
                x.In.Start += moved;
                return false;
            default:
                return false;
        }
    }

    // Before routing and policy, so that both see what the upstream will (Envoy: path normalization in this order).
    private static Reason? PathRefusal(Exchange x)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        if (x.Path.SequenceEqual("*"u8)) return null;
        bool unescaped = false;
        if (config.EscapedSlashes != EscapedSlashes.KeepUnchanged && PathRewrite.UnescapeSlashes(x.Path) is { } plain)
        {
            if (config.EscapedSlashes == EscapedSlashes.Reject) return BadPath(x);
            x.NormalizedPath = plain;
            unescaped = true;
        }
        byte[]? normalized = PathRewrite.Normalize(x.Path, config.NormalizePath, config.MergeSlashes, out bool valid);
        if (!valid) return BadPath(x);
        if (normalized is not null) x.NormalizedPath = normalized;
        if (!unescaped || config.EscapedSlashes != EscapedSlashes.UnescapeAndRedirect) return null;
        // A gRPC client follows no redirect.
        return ReplyForms.IsGrpc(x) ? BadPath(x) : Reasons.EscapedSlash;
    }

    private static Reason BadPath(Exchange x)
    {
        x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqFailedPathNormalization]++;
        return Reasons.BadPath;
    }

    private static void StripPort(Exchange x)
    {
        int colon = PortAt(x, x.Authority);
        if (colon < 0) return;
        if (x.MadeAuthority is { } made) x.MadeAuthority = made[..colon];
        else x.AuthorityLength = colon;
    }

    private static void StripDot(Exchange x)
    {
        ReadOnlySpan<byte> authority = x.Authority;
        int dot = DotAt(authority);
        if (dot < 0) return;
        if (dot == authority.Length - 1 && x.MadeAuthority is null) x.AuthorityLength--;
        else x.MadeAuthority = [.. authority[..dot], .. authority[(dot + 1)..]];
    }

    /// <summary>An authority as it would count if the client had asked for it; null where such a request is refused.</summary>
    public static byte[]? AsAsked(Exchange x, byte[] authority)
    {
        if (authority.Length == 0 || !IsHost(authority)) return null;
        if (PortAt(x, authority) is >= 0 and int colon) authority = authority[..colon];
        if (x.Manager.Config.StripTrailingHostDot && DotAt(authority) is >= 0 and int dot)
            authority = [.. authority[..dot], .. authority[(dot + 1)..]];
        return authority;
    }

    // Where the port begins that is to be taken off; -1 for none.
    private static int PortAt(Exchange x, ReadOnlySpan<byte> authority)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        if (!config.StripAnyHostPort && !config.StripMatchingHostPort) return -1;
        int colon = authority.LastIndexOf((byte)':');
        if (colon <= 0 || authority[^1] == ']') return -1;
        if (config.StripAnyHostPort) return colon;
        bool isNumber = int.TryParse(authority[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int port);
        return isNumber && port == x.Connection.Local.Port ? colon : -1;
    }

    // A dot at the end, or before the port, which stays (Envoy docs: strip_trailing_host_dot); -1 for none.
    private static int DotAt(ReadOnlySpan<byte> authority)
    {
        int colon = authority.LastIndexOf((byte)':');
        int end = colon < 0 ? authority.Length : colon;
        return end < 2 || authority[end - 1] != '.' ? -1 : end - 1;
    }

    private static readonly SearchValues<byte> s_plainHost = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"u8);

    // Those that HTTP parsers have a name for; others need allow_custom_methods. Case matters (RFC 9110 9.1).
    private static readonly byte[][] s_methods =
    [
        .. new[]
        {
            "POST", "PATCH", "CONNECT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "ACL", "BIND", "REBIND", "UNBIND", "CHECKOUT",
            "LINK", "UNLINK", "MERGE", "MKACTIVITY", "MKCALENDAR", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "REPORT", "SOURCE",
        }.Select(Encoding.ASCII.GetBytes),
    ];

    private static bool IsKnown(ReadOnlySpan<byte> method)
    {
        foreach (byte[] known in s_methods) if (method.SequenceEqual(known)) return true;
        return false;
    }

    // What says from where and for whom a request came is not Connection's to take away (Envoy: sanitized connection headers); without
    // Host there is no request.
    private static bool NamesTooMuch(Exchange x, ReadOnlySpan<byte> bytes)
    {
        foreach (ref readonly HeaderField field in x.Head.Fields)
        {
            if (field.Id != KnownHeader.Connection) continue;
            ReadOnlySpan<byte> list = Http1Head.Value(bytes, field);
            foreach (Range range in list.Split((byte)','))
            {
                ReadOnlySpan<byte> token = Http1Framing.Trim(list[range]);
                if (token.Length is 4 && Ascii.EqualsIgnoreCase(token, "host"u8)) return true;
                if (token.Contains((byte)':')) return true;
                if (token.Length is 15 or 16 or 17 && (Ascii.EqualsIgnoreCase(token, "x-forwarded-for"u8) || Ascii.EqualsIgnoreCase(token, "x-forwarded-host"u8)
                    || Ascii.EqualsIgnoreCase(token, "x-forwarded-proto"u8))) return true;
            }
        }
        return false;
    }

    // RFC 9110 7.6.2, of the two methods for which it is meant.
    private static bool IsLastHop(Exchange x, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> method)
    {
        if (!method.SequenceEqual("TRACE"u8) && !method.SequenceEqual("OPTIONS"u8)) return false;
        int index = x.Head.IndexOf(bytes, "max-forwards"u8);
        return index >= 0 && !Http1Head.Value(bytes, x.Head.Fields[index]).ContainsAnyExcept((byte)'0');
    }

    /// <summary>Whether what a request asks to become is allowed: as the route says, else as the manager does (Envoy: upgrade_configs).
    /// One protocol, asked for once: of a list nobody could tell which one was meant.</summary>
    public static bool MayUpgrade(Exchange x, ForwardAction? action)
    {
        ReadOnlySpan<byte> token = x.IsConnect ? "connect"u8 : Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]);
        if (!x.IsConnect) for (int i = x.Framing.Upgrade + 1; i < x.Head.Count; i++) if (x.Head.Fields[i].Id == KnownHeader.Upgrade) return false;
        if (action is not null)
            foreach ((string own, bool enabled) in action.Config.Upgrades) if (Ascii.EqualsIgnoreCase(token, own)) return enabled;
        foreach (byte[] allowed in x.Manager.Upgrades) if (Ascii.EqualsIgnoreCase(token, allowed)) return true;
        return false;
    }

    // RFC 9110 9.2.2.
    private static bool IsIdempotent(ReadOnlySpan<byte> method) =>
        method.SequenceEqual("GET"u8) || method.SequenceEqual("HEAD"u8) || method.SequenceEqual("PUT"u8) || method.SequenceEqual("DELETE"u8)
        || method.SequenceEqual("OPTIONS"u8) || method.SequenceEqual("TRACE"u8);

    // Origin form, absolute form (its authority wins over Host, RFC 9112 3.2.2), or * for OPTIONS.
    private static bool Target(Exchange x, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> method)
    {
        int start = x.Head.TargetStart;
        ReadOnlySpan<byte> target = bytes.Slice(start, x.Head.TargetLength);
        if (target.IndexOf((byte)'#') >= 0) return false;
        if (target[0] == '/')
        {
            Split(x, start, target);
            return true;
        }
        if (target.SequenceEqual("*"u8))
        {
            x.PathStart = start;
            x.PathLength = 1;
            return method.SequenceEqual("OPTIONS"u8);
        }
        int scheme = target.IndexOf("://"u8);
        if (scheme <= 0 || !(Ascii.EqualsIgnoreCase(target[..scheme], "http"u8) || Ascii.EqualsIgnoreCase(target[..scheme], "https"u8))) return false;
        ReadOnlySpan<byte> rest = target[(scheme + 3)..];
        int end = rest.IndexOfAny((byte)'/', (byte)'?');
        ReadOnlySpan<byte> authority = end < 0 ? rest : rest[..end];
        if (!IsHost(authority) || authority.IsEmpty) return false;
        x.IsHttps = scheme == 5;
        if (!x.TargetHasScheme) x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqNonRelativePath]++;
        x.TargetHasScheme = true;
        x.AuthorityStart = start + scheme + 3;
        x.AuthorityLength = authority.Length;
        if (end >= 0 && rest[end] == '/')
        {
            Split(x, x.AuthorityStart + end, rest[end..]);
            return true;
        }
        // An empty path means the root (RFC 9110 4.2.3); the query, if any, stays.
        x.NormalizedPath = "/"u8.ToArray();
        if (end >= 0)
        {
            x.HasQuery = true;
            x.QueryStart = x.AuthorityStart + end + 1;
            x.QueryLength = rest.Length - end - 1;
        }
        return true;
    }

    private static void Split(Exchange x, int start, ReadOnlySpan<byte> target)
    {
        int question = target.IndexOf((byte)'?');
        x.PathStart = start;
        x.PathLength = question < 0 ? target.Length : question;
        if (question < 0) return;
        x.HasQuery = true;
        x.QueryStart = start + question + 1;
        x.QueryLength = target.Length - question - 1;
    }

    private static bool Host(Exchange x, ReadOnlySpan<byte> bytes, bool http10)
    {
        if (x.Framing.Host < 0)
        {
            if (http10 && x.AuthorityLength == 0) x.MadeAuthority = x.Manager.DefaultHost;
            return http10;
        }
        ReadOnlySpan<byte> host = Http1Head.Value(bytes, x.Head.Fields[x.Framing.Host]);
        if (!IsHost(host)) return false;
        if (x.AuthorityLength > 0) return true;
        // A URI of http without a host is none (RFC 9110 4.2.1).
        if (host.IsEmpty) return false;
        x.AuthorityStart = x.Head.Fields[x.Framing.Host].ValueStart;
        x.AuthorityLength = host.Length;
        return true;
    }

    // An IPv6 address, perhaps with a zone (RFC 6874).
    private static bool IsLiteral(ReadOnlySpan<byte> text)
    {
        int zone = text.IndexOf((byte)'%');
        if (zone >= 0)
        {
            foreach (byte b in text[(zone + 1)..]) if (!char.IsAsciiLetterOrDigit((char)b) && b is not ((byte)'-' or (byte)'.' or (byte)'_' or (byte)'~' or (byte)'%')) return false;
            text = text[..zone];
        }
        return text.IndexOf((byte)':') >= 0 && IPAddress.TryParse(text, out _);
    }

    // uri-host [ ":" port ]: no user information, path, blanks or lists.
    private static bool IsHost(ReadOnlySpan<byte> host)
    {
        // Names and IPv4 addresses, with or without a port: nearly all there are.
        int odd = host.IndexOfAnyExcept(s_plainHost);
        if (odd < 0) return true;
        if (host[odd] == ':' && odd > 0 && host.Length - odd <= 6) return host[(odd + 1)..].IndexOfAnyExceptInRange((byte)'0', (byte)'9') < 0;
        int colon = -1;
        bool bracketed = host.Length > 0 && host[0] == '[';
        int from = 0;
        if (bracketed)
        {
            int close = host.IndexOf((byte)']');
            if (close < 3 || !IsLiteral(host[1..close])) return false;
            from = close + 1;
            if (from == host.Length) return true;
            if (host[from] != ':') return false;
            colon = from;
        }
        for (int i = from; i < host.Length; i++)
        {
            byte b = host[i];
            if (b == ':')
            {
                if (colon >= 0 && !(bracketed && i == colon)) return false;
                colon = i;
                continue;
            }
            if (colon >= 0)
            {
                if (!char.IsAsciiDigit((char)b)) return false;
                continue;
            }
            bool ok = char.IsAsciiLetterOrDigit((char)b) || b is (byte)'-' or (byte)'.' or (byte)'_' or (byte)'~' or (byte)'%' or (byte)'!' or (byte)'$'
                or (byte)'&' or (byte)'\'' or (byte)'(' or (byte)')' or (byte)'*' or (byte)'+' or (byte)';' or (byte)'=';
            if (!ok) return false;
        }
        return colon != 0;
    }
}

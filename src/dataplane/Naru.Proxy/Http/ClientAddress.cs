// Who the client is, and whether it belongs to us: the peer of the connection, or what x-forwarded-for says where proxies in front
// are trusted (Envoy: HTTP header operations, x-forwarded-for). Nothing is computed before somebody asks.
using System.Net;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class ClientAddress
{
    /// <summary>The trusted address of the client; of an address that came in a header the port is 0.</summary>
    public static SockAddr Of(Exchange x)
    {
        if (!x.ClientKnown) Find(x);
        return x.Client;
    }

    /// <summary>Whether the request is internal, so that its <c>x-envoy-*</c> headers are believed.</summary>
    public static bool IsInternal(Exchange x)
    {
        if (!x.Manager.HasInternal) return false;
        if (!x.ClientKnown) Find(x);
        return x.ClientIsInternal;
    }

    /// <summary>Whether the client may read why exactly it was answered so: somebody asked for that, and everybody on the way (the connection's peer, who stands
    /// behind it, whomever the head speaks of) is on this machine, and no page of another site is.</summary>
    public static bool MayKnow(Exchange x) =>
        x.Manager.Explains && IsHere(x.Connection.Peer) && IsHere(x.Connection.Info?.DirectPeer ?? x.Connection.Peer) && SpeaksOfNobodyElse(x);

    /// <summary>Whether no name server of somebody else's can have led the request here: its authority is an IP address, a name without a
    /// dot, or below a name that is in no public zone (RFC 6761, RFC 6762; <c>internal</c>). A page of evil.example whose name suddenly
    /// leads to this machine reads as its own what it is answered, so it is told no more than a code.</summary>
    public static bool IsNamedHere(ReadOnlySpan<byte> authority)
    {
        if (authority.Length > 0 && authority[0] == '[') return authority.IndexOf((byte)']') is > 1 and var end && TryParse(authority[1..end], out _);
        int colon = authority.LastIndexOf((byte)':');
        ReadOnlySpan<byte> host = (colon < 0 ? authority : authority[..colon]).TrimEnd((byte)'.');
        if (TryParse(host, out _)) return true;
        int dot = host.LastIndexOf((byte)'.');
        if (dot < 0) return true;
        ReadOnlySpan<byte> top = host[(dot + 1)..];
        return Ascii.EqualsIgnoreCase(top, "localhost"u8) || Ascii.EqualsIgnoreCase(top, "local"u8) || Ascii.EqualsIgnoreCase(top, "internal"u8)
            || Ascii.EqualsIgnoreCase(top, "test"u8) || Ascii.EqualsIgnoreCase(top, "example"u8) || Ascii.EqualsIgnoreCase(top, "invalid"u8);
    }

    // In these, proxies say for whom they ask: lists of addresses.
    private static readonly byte[][] s_speakOfClients =
    [
        "x-real-ip"u8.ToArray(), "x-client-ip"u8.ToArray(), "x-cluster-client-ip"u8.ToArray(), "true-client-ip"u8.ToArray(), "cf-connecting-ip"u8.ToArray(),
        "fastly-client-ip"u8.ToArray(),
    ];

    // As the head came. Whoever writes Via or Forwarded (RFC 9110 7.6.3, RFC 7239) passes somebody else's request on; a browser says in Origin and
    // Sec-Fetch-Site (Fetch Metadata) whose page asks.
    private static bool SpeaksOfNobodyElse(Exchange x)
    {
        if (x.Head.Length == 0) return true;
        foreach (ref readonly HeaderField field in x.Head.Fields)
        {
            ReadOnlySpan<byte> value = Http1Head.Value(x.Bytes, field);
            if (field.Id == KnownHeader.Via || (field.Id == KnownHeader.XForwardedFor && !AreLoopback(value))) return false;
            if (field.Id == KnownHeader.Other && SpeaksOfSomebody(x, Http1Head.Name(x.Bytes, field), value)) return false;
        }
        return true;
    }

    private static bool SpeaksOfSomebody(Exchange x, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (Ascii.EqualsIgnoreCase(name, "forwarded"u8)) return true;
        if (Ascii.EqualsIgnoreCase(name, "origin"u8)) return !IsOwnOrigin(x, value);
        if (Ascii.EqualsIgnoreCase(name, "sec-fetch-site"u8)) return !Ascii.EqualsIgnoreCase(value, "same-origin"u8) && !Ascii.EqualsIgnoreCase(value, "none"u8);
        foreach (byte[] known in s_speakOfClients) if (Ascii.EqualsIgnoreCase(name, known)) return !AreLoopback(value);
        return false;
    }

    private static bool IsOwnOrigin(Exchange x, ReadOnlySpan<byte> origin)
    {
        int scheme = origin.StartsWith("http://"u8) ? 7 : origin.StartsWith("https://"u8) ? 8 : 0;
        return scheme > 0 && Ascii.EqualsIgnoreCase(origin[scheme..], x.Authority);
    }

    private static bool AreLoopback(ReadOnlySpan<byte> addresses)
    {
        foreach (Range range in addresses.Split((byte)','))
            if (!TryParse(Http1Framing.Trim(addresses[range]), out SockAddr address) || !IsLoopback(address)) return false;
        return true;
    }

    private static bool IsHere(in SockAddr address) => IsLoopback(address) || address.IsUnix;

    /// <summary>Why a request is refused in whose head the client's address had to be; null for no reason.</summary>
    public static Reason? Refusal(Exchange x)
    {
        // Headers will be changed: what they say now is what counts.
        if (x.Manager.EarlyMutations is not null) Of(x);
        return x.Manager.Detections.Length == 0 ? null : Detect(x);
    }

    private static Reason? Detect(Exchange x)
    {
        x.ClientKnown = true;
        x.Client = x.Connection.Peer;
        if (x.Head.Length == 0) return null;
        foreach (AddressDetection detection in x.Manager.Detections)
        {
            if (detection.Find(x, out SockAddr address, out bool isTrusted, out int rejectStatus))
            {
                x.Client = address;
                x.ClientIsInternal = isTrusted && x.Manager.IsInternal(address);
                return null;
            }
            if (rejectStatus <= 0) continue;
            x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqRejectedByDetection]++;
            return Reasons.AddressNotDetected with { Status = rejectStatus };
        }
        return null;
    }

    private static void Find(Exchange x)
    {
        if (x.Manager.Detections.Length > 0)
        {
            Detect(x);
            return;
        }
        HttpConnectionManagerConfig config = x.Manager.Config;
        SockAddr peer = x.Connection.Peer;
        SockAddr forwarded = default;
        bool single = true, found = false;
        if (x.Head.Length > 0)
        {
            // Behind use_remote_address the peer itself is the last hop; the hops before it are in the header.
            int hops = config.UseRemoteAddress ? config.XffNumTrustedHops - 1 : config.XffNumTrustedHops;
            found = FromHeader(x, hops, out forwarded, out bool any, out single);
            // An address that came in is one too many where the peer's is appended.
            if (config.UseRemoteAddress) single = !any;
        }
        x.Client = found ? forwarded : peer;
        x.ClientIsInternal = single && (found || config.UseRemoteAddress) && x.Manager.IsInternal(x.Client);
        x.ClientKnown = true;
    }

    /// <summary>The entry of <c>x-forwarded-for</c> so many places from the right, over all fields of the name.</summary>
    public static bool FromHeader(Exchange x, int fromRight, out SockAddr address, out bool any, out bool single)
    {
        address = default;
        any = single = false;
        int seen = 0;
        bool found = false;
        int entries = 0;
        for (int i = Next(x, 0); i >= 0; i = Next(x, i + 1)) entries += Value(x, i).Count((byte)',') + 1;
        int wanted = entries - 1 - fromRight;
        for (int i = Next(x, 0); i >= 0; i = Next(x, i + 1))
        {
            ReadOnlySpan<byte> value = Value(x, i);
            foreach (Range range in value.Split((byte)','))
                if (seen++ == wanted) found = TryParse(Http1Framing.Trim(value[range]), out address);
        }
        any = seen > 0;
        single = seen == 1;
        return found;
    }

    // As the client sent them, or as early mutations left them; what we add ourselves is not meant.
    private static int Next(Exchange x, int from)
    {
        if (x.Manager.EarlyMutations is not null) return x.RequestHeaders.Next(KnownHeader.XForwardedFor, from);
        ReadOnlySpan<HeaderField> fields = x.Head.Fields;
        while (from < fields.Length && fields[from].Id != KnownHeader.XForwardedFor) from++;
        return from < fields.Length ? from : -1;
    }

    private static ReadOnlySpan<byte> Value(Exchange x, int index) =>
        x.Manager.EarlyMutations is not null ? x.RequestHeaders.Value(index) : Http1Head.Value(x.Bytes, x.Head.Fields[index]);

    /// <summary>An address as headers have it: four decimal numbers, or an IPv6 address without brackets; no port.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out SockAddr address)
    {
        address = default;
        if (text.Length is < 2 or > 45) return false;
        if (text.IndexOf((byte)':') >= 0)
        {
            if (text.IndexOfAny((byte)'[', (byte)'%', (byte)'/') >= 0 || !IPAddress.TryParse(text, out IPAddress? parsed)) return false;
            address = SockAddr.From(parsed.IsIPv4MappedToIPv6 ? parsed.MapToIPv4() : parsed, 0);
            return true;
        }
        Span<byte> four = stackalloc byte[4];
        for (int i = 0; i < 4; i++)
        {
            int digits = 0, value = 0;
            while (digits < text.Length && digits < 4 && char.IsAsciiDigit((char)text[digits])) value = value * 10 + text[digits++] - '0';
            if (digits is 0 or > 3 || value > 255 || (digits > 1 && text[0] == '0')) return false;
            four[i] = (byte)value;
            text = text[digits..];
            if (i == 3) break;
            if (text.IsEmpty || text[0] != '.') return false;
            text = text[1..];
        }
        if (!text.IsEmpty) return false;
        address = SockAddr.FromIPv4(four);
        return true;
    }

    /// <summary>Whether an address is one of loopback.</summary>
    public static bool IsLoopback(in SockAddr address)
    {
        Span<byte> bytes = stackalloc byte[16];
        return AddressBytes(address, bytes) switch
        {
            4 => bytes[0] == 127,
            16 => bytes.IndexOfAnyExcept((byte)0) == 15 && bytes[15] == 1,
            _ => false,
        };
    }

    /// <summary>The address's bytes, of a mapped IPv6 address those of IPv4; their number, 0 for what is no IP address (a Unix socket).</summary>
    public static int AddressBytes(in SockAddr address, Span<byte> into)
    {
        ReadOnlySpan<byte> all = address.Bytes;
        if (address.Family == Sys.AF_INET)
        {
            all[4..8].CopyTo(into);
            return 4;
        }
        if (address.Family != Sys.AF_INET6) return 0;
        ReadOnlySpan<byte> bytes = all[8..24];
        bool mapped = bytes[..10].IndexOfAnyExcept((byte)0) < 0 && bytes[10] == 0xff && bytes[11] == 0xff;
        (mapped ? bytes[12..] : bytes).CopyTo(into);
        return mapped ? 4 : 16;
    }
}

/// <summary>A range of addresses, ready to be compared bytewise.</summary>
internal readonly struct AddressRange(IPNetwork network)
{
    private readonly byte[] _prefix = network.BaseAddress.GetAddressBytes();
    private readonly int _bits = network.PrefixLength;

    public bool Contains(ReadOnlySpan<byte> address)
    {
        if (address.Length != _prefix.Length) return false;
        int whole = _bits / 8, rest = _bits % 8;
        return address[..whole].SequenceEqual(_prefix.AsSpan(0, whole)) && (rest == 0 || (address[whole] ^ _prefix[whole]) >> (8 - rest) == 0);
    }
}

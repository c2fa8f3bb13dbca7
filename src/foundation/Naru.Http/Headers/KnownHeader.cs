// The header names a proxy must understand, recognised once while a head is parsed so that nobody compares names again.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Naru.Http.Headers;

/// <summary>Header names with a meaning to a proxy. Everything else is <see cref="Other"/>.</summary>
public enum KnownHeader : byte
{
    /// <summary>Not special.</summary>
    Other,
    /// <summary>RFC 9110 7.2.</summary>
    Host,
    /// <summary>RFC 9112 6.2.</summary>
    ContentLength,
    /// <summary>RFC 9112 6.1.</summary>
    TransferEncoding,
    /// <summary>RFC 9110 7.6.1.</summary>
    Connection,
    /// <summary>RFC 2068 19.7.1, hop by hop.</summary>
    KeepAlive,
    /// <summary>Never standardised, hop by hop.</summary>
    ProxyConnection,
    /// <summary>RFC 9110 10.1.4.</summary>
    Te,
    /// <summary>RFC 9110 7.8.</summary>
    Upgrade,
    /// <summary>RFC 9110 10.1.1.</summary>
    Expect,
    /// <summary>RFC 9110 6.6.1.</summary>
    Date,
    /// <summary>RFC 9110 10.2.4.</summary>
    Server,
    /// <summary>RFC 9110 7.6.3.</summary>
    Via,
    /// <summary>RFC 9110 8.3.</summary>
    ContentType,
    /// <summary>Envoy: request id.</summary>
    XRequestId,
    /// <summary>Client address chain.</summary>
    XForwardedFor,
    /// <summary>Client scheme.</summary>
    XForwardedProto,
    /// <summary>Host before a rewrite.</summary>
    XForwardedHost,
    /// <summary>Port of the client's connection.</summary>
    XForwardedPort,
    /// <summary>Envoy: who the client's certificate says it is.</summary>
    XForwardedClientCert,
    /// <summary>Any other <c>x-envoy-</c> or <c>x-naru-</c> name: internal, not to be believed from strangers.</summary>
    Internal,
    /// <summary>HTTP/2 <c>:method</c> (RFC 9113 8.3.1).</summary>
    PseudoMethod,
    /// <summary>HTTP/2 <c>:scheme</c>.</summary>
    PseudoScheme,
    /// <summary>HTTP/2 <c>:authority</c>.</summary>
    PseudoAuthority,
    /// <summary>HTTP/2 <c>:path</c>.</summary>
    PseudoPath,
    /// <summary>HTTP/2 <c>:protocol</c> (RFC 8441).</summary>
    PseudoProtocol,
    /// <summary>HTTP/2 <c>:status</c> (RFC 9113 8.3.2).</summary>
    PseudoStatus,
    /// <summary>Any other name that begins with a colon: never allowed.</summary>
    PseudoUnknown,
}

/// <summary>Recognises <see cref="KnownHeader"/> names, letter case ignored.</summary>
public static class KnownHeaders
{
    /// <summary>The id of a name.</summary>
    [SkipLocalsInit]
    public static KnownHeader Of(ReadOnlySpan<byte> name)
    {
        if (name.Length > 0 && name[0] == ':') return OfPseudo(name);
        switch (name.Length)
        {
            case 2: return Is(name, "te"u8) ? KnownHeader.Te : KnownHeader.Other;
            case 3: return Is(name, "via"u8) ? KnownHeader.Via : KnownHeader.Other;
            case 4:
                if (Is(name, "host"u8)) return KnownHeader.Host;
                return Is(name, "date"u8) ? KnownHeader.Date : KnownHeader.Other;
            case 6:
                if (Is(name, "server"u8)) return KnownHeader.Server;
                return Is(name, "expect"u8) ? KnownHeader.Expect : KnownHeader.Other;
            case 7: return Is(name, "upgrade"u8) ? KnownHeader.Upgrade : KnownHeader.Other;
            case 10:
                if (Is(name, "connection"u8)) return KnownHeader.Connection;
                return Is(name, "keep-alive"u8) ? KnownHeader.KeepAlive : KnownHeader.Other;
            case 12:
                if (Is(name, "content-type"u8)) return KnownHeader.ContentType;
                if (Is(name, "x-request-id"u8)) return KnownHeader.XRequestId;
                break;
            case 14:
                if (Is(name, "content-length"u8)) return KnownHeader.ContentLength;
                break;
            case 15:
                if (Is(name, "x-forwarded-for"u8)) return KnownHeader.XForwardedFor;
                break;
            case 16:
                if (Is(name, "proxy-connection"u8)) return KnownHeader.ProxyConnection;
                if (Is(name, "x-forwarded-host"u8)) return KnownHeader.XForwardedHost;
                if (Is(name, "x-forwarded-port"u8)) return KnownHeader.XForwardedPort;
                break;
            case 17:
                if (Is(name, "transfer-encoding"u8)) return KnownHeader.TransferEncoding;
                if (Is(name, "x-forwarded-proto"u8)) return KnownHeader.XForwardedProto;
                break;
            case 23:
                if (Is(name, "x-forwarded-client-cert"u8)) return KnownHeader.XForwardedClientCert;
                break;
        }
        if (name.Length > 7 && (name[0] | 0x20) == 'x' && name[1] == '-')
        {
            if (Is(name[..7], "x-naru-"u8) || (name.Length > 8 && Is(name[..8], "x-envoy-"u8))) return KnownHeader.Internal;
        }
        return KnownHeader.Other;
    }

    private static KnownHeader OfPseudo(ReadOnlySpan<byte> name) => name.Length switch
    {
        5 when name.SequenceEqual(":path"u8) => KnownHeader.PseudoPath,
        7 when name.SequenceEqual(":method"u8) => KnownHeader.PseudoMethod,
        7 when name.SequenceEqual(":scheme"u8) => KnownHeader.PseudoScheme,
        7 when name.SequenceEqual(":status"u8) => KnownHeader.PseudoStatus,
        9 when name.SequenceEqual(":protocol"u8) => KnownHeader.PseudoProtocol,
        10 when name.SequenceEqual(":authority"u8) => KnownHeader.PseudoAuthority,
        _ => KnownHeader.PseudoUnknown,
    };

    // Both of the same length. Setting the bit of lower case maps no other token byte onto a letter, a digit or the hyphen, which is
    // all that known names are made of.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> lower)
    {
        if ((name[0] | 0x20) != lower[0]) return false;
        if (name.Length < 8)
        {
            for (int i = 1; i < name.Length; i++) if ((name[i] | 0x20) != lower[i]) return false;
            return true;
        }
        const ulong Lower = 0x2020202020202020;
        int at = 0;
        for (; at <= name.Length - 8; at += 8)
            if ((BinaryPrimitives.ReadUInt64LittleEndian(name[at..]) | Lower) != BinaryPrimitives.ReadUInt64LittleEndian(lower[at..])) return false;
        return (BinaryPrimitives.ReadUInt64LittleEndian(name[^8..]) | Lower) == BinaryPrimitives.ReadUInt64LittleEndian(lower[^8..]);
    }
}

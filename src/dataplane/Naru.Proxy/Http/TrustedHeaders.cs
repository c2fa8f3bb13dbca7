// Which headers of a request are believed (Envoy: HTTP header sanitizing, x-forwarded-*, x-envoy-*): what only we or a trusted peer may
// say is taken from strangers, and what we know about the client is said in its place.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class TrustedHeaders
{
    // What an internal client may ask of the router, and nobody else; in Envoy's words behind x-envoy-.
    private static readonly byte[][] s_internalOnly =
    [
        .. new[]
        {
            "retry-on", "retry-grpc-on", "max-retries", "retriable-status-codes", "retriable-header-names", "upstream-alt-stat-name", "upstream-rq-timeout-ms",
            "upstream-rq-per-try-timeout-ms", "upstream-rq-timeout-alt-response", "upstream-stream-duration-ms", "expected-rq-timeout-ms", "hedge-on-per-try-timeout",
            "force-trace", "ip-tags", "original-url",
        }.Select(Encoding.ASCII.GetBytes),
    ];

    /// <summary>Whether a stranger stands at the other end: a client from outside, where the connection is trusted for its address.</summary>
    public static bool IsEdge(Exchange x) => x.Manager.Config.UseRemoteAddress && !ClientAddress.IsInternal(x);

    /// <summary>Whether an <c>x-envoy-*</c> or <c>x-naru-*</c> field stays behind.</summary>
    public static bool DropsInternal(Exchange x, ReadOnlySpan<byte> name)
    {
        if (IsEdge(x)) return true;
        if (name.Length < 9 || (name[2] | 0x20) != 'e') return false;
        ReadOnlySpan<byte> rest = name[8..];
        if (Ascii.EqualsIgnoreCase(rest, "internal"u8)) return true;
        if (Ascii.EqualsIgnoreCase(rest, "attempt-count"u8)) return x.Route!.Host.IncludeRequestAttemptCount;
        if (ClientAddress.IsInternal(x)) return Ascii.EqualsIgnoreCase(rest, "expected-rq-timeout-ms"u8) || RequestLimits.Consumes(rest);
        foreach (byte[] internalOnly in s_internalOnly) if (Ascii.EqualsIgnoreCase(rest, internalOnly)) return true;
        return false;
    }

    /// <summary>Whether what a client says about scheme, host and port before us is taken away: nobody in front of us is trusted.</summary>
    public static bool DropsForwarded(Exchange x) => x.Manager.Config is { UseRemoteAddress: true, XffNumTrustedHops: 0 } && IsEdge(x);

    /// <summary>Whether our port stands in for what <c>x-forwarded-port</c> says (Envoy: append_x_forwarded_port).</summary>
    public static bool ReplacesPort(Exchange x) => x.Manager.Config is { AppendXForwardedPort: true, UseRemoteAddress: true, XffNumTrustedHops: 0 };

    /// <summary>Whether a name is one of those that servers take for a trusted one, since they read underscores as hyphens.</summary>
    public static bool IsTwin(ReadOnlySpan<byte> name)
    {
        if (name.Length < 8 || (name[0] | 0x20) != 'x' || name.Length > 64 || !name.Contains((byte)'_')) return false;
        Span<byte> hyphens = stackalloc byte[name.Length];
        name.Replace(hyphens, (byte)'_', (byte)'-');
        return KnownHeaders.Of(hyphens) != KnownHeader.Other;
    }

    /// <summary>Whether <c>Connection</c> must not take a field away. What identifies, routes or traces a request it may not: a client must
    /// not be able to delete what a proxy in front has said about it.</summary>
    public static bool IsProtected(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 => Ascii.EqualsIgnoreCase(name, "b3"u8),
        6 => Ascii.EqualsIgnoreCase(name, "cookie"u8) || Ascii.EqualsIgnoreCase(name, "origin"u8),
        7 => Ascii.EqualsIgnoreCase(name, "baggage"u8),
        9 => Ascii.EqualsIgnoreCase(name, "forwarded"u8) || Ascii.EqualsIgnoreCase(name, "x-real-ip"u8),
        10 => Ascii.EqualsIgnoreCase(name, "tracestate"u8),
        11 => Ascii.EqualsIgnoreCase(name, "traceparent"u8),
        13 when Ascii.EqualsIgnoreCase(name, "authorization"u8) => true,
        _ => StartsWith(name, "x-forwarded-"u8) || StartsWith(name, "content-"u8) || StartsWith(name, "x-b3-"u8) || StartsWith(name, "x-client-"u8)
            || StartsWith(name, "x-datadog-"u8) || StartsWith(name, "x-amzn-trace-id"u8) || StartsWith(name, "x-ot-span-context"u8) || StartsWith(name, "grpc-"u8),
    };

    private static bool StartsWith(ReadOnlySpan<byte> name, ReadOnlySpan<byte> lower) => name.Length >= lower.Length && Ascii.EqualsIgnoreCase(name[..lower.Length], lower);

    /// <summary>Writes what is known about the client: its scheme, its address, whether it is one of us, its certificate.</summary>
    public static void Write(Exchange x, ref IoBuffer o)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        RequestWriter.Ensure(x, ref o, 256);
        bool forwarded = x.Has(KnownHeader.XForwardedProto);
        if (!forwarded || DropsForwardedProto(x)) o.Append(x.Connection.Tls is not null ? "x-forwarded-proto: https\r\n"u8 : "x-forwarded-proto: http\r\n"u8);
        if (config.AppendXForwardedPort && x.Connection.Local.Port > 0 && (ReplacesPort(x) || !x.Has(KnownHeader.XForwardedPort)))
        {
            o.Append("x-forwarded-port: "u8);
            RequestWriter.Number(o, x.Connection.Local.Port);
            o.Append("\r\n"u8);
        }
        if (config.UseRemoteAddress && !config.SkipXffAppend && !x.Has(KnownHeader.XForwardedFor))
        {
            o.Append("x-forwarded-for: "u8);
            Append(x.Connection.Peer, o);
            o.Append("\r\n"u8);
        }
        if (ClientAddress.IsInternal(x))
        {
            o.Append("x-envoy-internal: true\r\n"u8);
        }
        else if (config.UseRemoteAddress && !ClientAddress.Of(x).IsUnix)
        {
            o.Append("x-envoy-external-address: "u8);
            Append(ClientAddress.Of(x), o);
            o.Append("\r\n"u8);
        }
        ReadOnlySpan<byte> clientCert = ClientCertHeader.Own(x);
        if (clientCert.IsEmpty || (x.Has(KnownHeader.XForwardedClientCert) && ClientCertHeader.Keeps(x))) return;
        RequestWriter.Ensure(x, ref o, clientCert.Length + 1024);
        o.Append("x-forwarded-client-cert: "u8);
        o.Append(clientCert);
        o.Append("\r\n"u8);
    }

    /// <summary>The scheme is the connection's, whatever a client says, unless trusted proxies stand in front.</summary>
    public static bool DropsForwardedProto(Exchange x) => x.Manager.Config is { UseRemoteAddress: true, XffNumTrustedHops: 0 };

    /// <summary>Appends an address without its port.</summary>
    public static void Append(in SockAddr address, IoBuffer o)
    {
        Span<byte> text = stackalloc byte[64];
        o.Append(text[..address.FormatAddress(text)]);
    }

    /// <summary>Whether the request has such a field.</summary>
    public static bool Has(this Exchange x, KnownHeader id)
    {
        foreach (ref readonly HeaderField field in x.Head.Fields) if (field.Id == id) return true;
        return false;
    }
}

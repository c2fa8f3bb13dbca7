// Decides from a parsed head how its body is delimited, and what the connection-level fields say. RFC 9112 6, strictly:
// anything two recipients could read differently is refused.
using System.Text;
using Naru.Http.Headers;

namespace Naru.Http.Http1;

/// <summary>How a body ends.</summary>
public enum BodyKind : byte
{
    /// <summary>There is none.</summary>
    None,
    /// <summary>After a number of bytes.</summary>
    Length,
    /// <summary>With the last chunk.</summary>
    Chunked,
    /// <summary>When the sender closes (responses only).</summary>
    UntilClose,
}

/// <summary>The framing facts of one head.</summary>
public struct Http1Framing
{
    /// <summary>How the body ends.</summary>
    public BodyKind Body;
    /// <summary>Bytes of the body for <see cref="BodyKind.Length"/>; what Content-Length said (or -1) otherwise.</summary>
    public long ContentLength;
    /// <summary><c>Connection: close</c> was said.</summary>
    public bool Close;
    /// <summary><c>Connection: keep-alive</c> was said.</summary>
    public bool KeepAlive;
    /// <summary><c>Connection: upgrade</c> was said.</summary>
    public bool ConnectionUpgrade;
    /// <summary><c>Connection</c> names fields other than the well-known tokens.</summary>
    public bool ConnectionNamesFields;
    /// <summary><c>Expect: 100-continue</c>.</summary>
    public bool Expect100;
    /// <summary>Index of the Host field, or -1.</summary>
    public int Host;
    /// <summary>Index of the (first) Upgrade field, or -1.</summary>
    public int Upgrade;
    /// <summary>Index of x-request-id, or -1.</summary>
    public int RequestId;
    /// <summary>Any field is one that proxies tell each other (<c>x-envoy-</c>, <c>x-naru-</c>).</summary>
    public bool HasInternal;
    /// <summary>Seconds of <c>Keep-Alive: timeout=</c>, or -1.</summary>
    public int KeepAliveTimeout;

    /// <summary>Reads a request's framing.</summary>
    public static Http1Error OfRequest(ReadOnlySpan<byte> bytes, Http1Head head, out Http1Framing framing)
    {
        Http1Error error = Read(bytes, head, out framing, out bool chunked);
        if (error != Http1Error.None) return error;
        if (chunked) framing.Body = BodyKind.Chunked;
        else framing.Body = framing.ContentLength > 0 ? BodyKind.Length : BodyKind.None;
        return Http1Error.None;
    }

    /// <summary>Whether final answers with this status have no content (RFC 9110 15.3.5, 15.4.5).</summary>
    public static bool IsContentless(int status) => status is 204 or 304;

    /// <summary>Reads a response's framing (RFC 9112 6.3), given whether it answers HEAD.</summary>
    public static Http1Error OfResponse(ReadOnlySpan<byte> bytes, Http1Head head, bool toHead, out Http1Framing framing)
    {
        Http1Error error = Read(bytes, head, out framing, out bool chunked);
        if (error != Http1Error.None) return error;
        if (toHead || head.Status is < 200 or 204 or 304) framing.Body = BodyKind.None;
        else if (chunked) framing.Body = BodyKind.Chunked;
        else if (framing.ContentLength >= 0) framing.Body = framing.ContentLength > 0 ? BodyKind.Length : BodyKind.None;
        else framing.Body = BodyKind.UntilClose;
        return Http1Error.None;
    }

    private static Http1Error Read(ReadOnlySpan<byte> bytes, Http1Head head, out Http1Framing framing, out bool chunked)
    {
        framing = default;
        framing.ContentLength = framing.KeepAliveTimeout = framing.Host = framing.Upgrade = framing.RequestId = -1;
        chunked = false;
        bool hasLength = false, unknownCoding = false;
        ReadOnlySpan<HeaderField> fields = head.Fields;
        for (int i = 0; i < fields.Length; i++)
        {
            ref readonly HeaderField field = ref fields[i];
            if (field.Id == KnownHeader.Other) continue;
            ReadOnlySpan<byte> value = Http1Head.Value(bytes, field);
            switch (field.Id)
            {
                case KnownHeader.Host:
                    if (framing.Host >= 0) return Http1Error.Host;
                    framing.Host = i;
                    break;
                case KnownHeader.ContentLength:
                    if (hasLength || !TryParseLength(value, out framing.ContentLength)) return Http1Error.ContentLength;
                    hasLength = true;
                    break;
                case KnownHeader.TransferEncoding:
                    if (chunked || head.Minor == 0 || !Ascii.EqualsIgnoreCase(value, "chunked"u8)) unknownCoding = true;
                    chunked = true;
                    break;
                case KnownHeader.Connection:
                    ReadConnection(value, ref framing);
                    break;
                // Not a field of HTTP, but what it says is meant.
                case KnownHeader.ProxyConnection:
                    framing.Close |= Ascii.EqualsIgnoreCase(value, "close"u8);
                    break;
                case KnownHeader.KeepAlive:
                    framing.KeepAliveTimeout = TimeoutParameter(value);
                    break;
                case KnownHeader.Upgrade:
                    if (framing.Upgrade < 0) framing.Upgrade = i;
                    break;
                case KnownHeader.Expect:
                    framing.Expect100 |= Ascii.EqualsIgnoreCase(value, "100-continue"u8);
                    break;
                case KnownHeader.Internal:
                    framing.HasInternal = true;
                    break;
                case KnownHeader.XRequestId:
                    if (framing.RequestId < 0) framing.RequestId = i;
                    break;
            }
        }
        if (chunked && hasLength) return Http1Error.LengthAndEncoding;
        return unknownCoding ? Http1Error.TransferEncoding : Http1Error.None;
    }

    /// <summary>Reads a Content-Length: digits only, no sign, no list, no blanks, no overflow (RFC 9110 8.6).</summary>
    public static bool TryParseLength(ReadOnlySpan<byte> value, out long length)
    {
        length = 0;
        if (value.Length is 0 or > 18) return false;
        foreach (byte b in value)
        {
            if (!char.IsAsciiDigit((char)b)) return false;
            length = length * 10 + (b - '0');
        }
        return true;
    }

    private static void ReadConnection(ReadOnlySpan<byte> value, ref Http1Framing framing)
    {
        // Nearly always one token.
        if (value.SequenceEqual("keep-alive"u8))
        {
            framing.KeepAlive = true;
            return;
        }
        if (value.SequenceEqual("close"u8))
        {
            framing.Close = true;
            return;
        }
        foreach (Range range in value.Split((byte)','))
        {
            ReadOnlySpan<byte> token = Trim(value[range]);
            if (token.IsEmpty) continue;
            if (Ascii.EqualsIgnoreCase(token, "close"u8)) framing.Close = true;
            else if (Ascii.EqualsIgnoreCase(token, "keep-alive"u8)) framing.KeepAlive = true;
            else if (Ascii.EqualsIgnoreCase(token, "upgrade"u8)) framing.ConnectionUpgrade = true;
            else framing.ConnectionNamesFields = true;
        }
    }

    private static int TimeoutParameter(ReadOnlySpan<byte> value)
    {
        foreach (Range range in value.Split((byte)','))
        {
            ReadOnlySpan<byte> parameter = Trim(value[range]);
            if (parameter.Length < 9 || !Ascii.EqualsIgnoreCase(parameter[..8], "timeout="u8)) continue;
            return System.Buffers.Text.Utf8Parser.TryParse(parameter[8..], out int seconds, out int used) && used == parameter.Length - 8 && seconds >= 0
                ? seconds
                : -1;
        }
        return -1;
    }

    /// <summary>Without blanks (SP, HTAB) at either end.</summary>
    public static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> value) => value.Trim(" \t"u8);

    /// <summary>Whether a comma-separated list holds a token, letter case ignored.</summary>
    public static bool ListHas(ReadOnlySpan<byte> list, ReadOnlySpan<byte> token)
    {
        foreach (Range range in list.Split((byte)','))
            if (Ascii.EqualsIgnoreCase(Trim(list[range]), token)) return true;
        return false;
    }
}

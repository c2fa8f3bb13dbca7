// What names and values of HTTP/2 fields may look like (RFC 9113 8.2.1). HTTP/1 lines are judged where they are parsed.
using System.Buffers;

namespace Naru.Http.Headers;

/// <summary>Rules for HTTP/2 fields.</summary>
public static class FieldRules
{
    private static readonly SearchValues<byte> s_lowerToken = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"u8);

    // Controls but HTAB, and DEL.
    private static readonly SearchValues<byte> s_badValue = SearchValues.Create(
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127]);

    /// <summary>Whether bytes are a lower-case token, for pseudo-headers behind a colon.</summary>
    public static bool IsName(ReadOnlySpan<byte> name)
    {
        if (name.Length > 0 && name[0] == ':') name = name[1..];
        return name.Length > 0 && !name.ContainsAnyExcept(s_lowerToken);
    }

    /// <summary>Whether bytes have no control (HTAB is allowed) and no blank at either end.</summary>
    public static bool IsValue(ReadOnlySpan<byte> value)
    {
        if (value.Length == 0) return true;
        if (value[0] is (byte)' ' or (byte)'\t' || value[^1] is (byte)' ' or (byte)'\t') return false;
        return !value.ContainsAny(s_badValue);
    }
}

// Path rewriting by pattern, and normalization (RFC 3986 6.2.2, Envoy's normalize_path and merge_slashes).
using System.Text;
using System.Text.RegularExpressions;
using Naru.Core;

namespace Naru.Proxy.Routing;

internal static class PathRewrite
{
    /// <summary>All matches replaced, bytes outside of ASCII being what UTF-8 makes of them.</summary>
    public static byte[] Replace(ReadOnlySpan<byte> text, Regex pattern, string substitution) =>
        Encoding.UTF8.GetBytes(Re2.Replace(pattern, Encoding.UTF8.GetString(text), substitution));

    /// <summary>All matches replaced; empty where nothing is left. The substitution refers to groups as .NET has it (<c>${1}</c>): RE2's <c>\1</c> was translated when the
    /// configuration was read. A result with bytes no target may hold is escaped, and one without a slash in front gets it: what a client wrote
    /// behind the pattern must not become another form of target, or a part of the host.</summary>
    public static byte[] ByRegex(ReadOnlySpan<byte> path, Regex pattern, string substitution) =>
        Re2.Replace(pattern, Encoding.Latin1.GetString(path), Encoded(substitution)) is { Length: > 0 } made ? Escape(Rooted(made)) : [];

    /// <summary>What configuration says of a path: bytes beyond ASCII escaped as UTF-8 (RFC 3986 2.5), all else as it is.</summary>
    public static string Encoded(string text) => Ascii.IsValid(text) ? text
        : string.Concat(Encoding.UTF8.GetBytes(text).Select(b => b < 0x80 ? ((char)b).ToString() : $"%{(int)b:X2}"));

    /// <summary>With a slash in front.</summary>
    public static string Rooted(string path) => path.StartsWith('/') ? path : "/" + path;

    private static byte[] Escape(string path)
    {
        var bytes = new List<byte>(path.Length);
        foreach (char c in path)
        {
            if (c is > ' ' and < (char)127) bytes.Add((byte)c);
            else bytes.AddRange(Encoding.ASCII.GetBytes($"%{(int)(byte)c:X2}"));
        }
        return [.. bytes];
    }

    /// <summary>The path without its parameters: each from its semicolon to the next slash.</summary>
    /// <param name="path">The path.</param>
    /// <param name="into">Has room for it.</param>
    /// <returns>How many bytes are left.</returns>
    public static int WithoutParameters(ReadOnlySpan<byte> path, Span<byte> into)
    {
        int length = 0;
        while (path.Length > 0)
        {
            int semicolon = path.IndexOf((byte)';'), end = semicolon < 0 ? path.Length : semicolon;
            path[..end].CopyTo(into[length..]);
            length += end;
            path = path[end..];
            int slash = path.IndexOf((byte)'/');
            path = slash < 0 ? [] : path[slash..];
        }
        return length;
    }

    /// <summary>What a format made, as a path: with a slash in front, bytes that no target may hold escaped. What a client wrote into it must
    /// not become another form of target, nor begin a query.</summary>
    /// <param name="made">What it made.</param>
    /// <param name="mayHaveQuery">The format itself writes a question mark.</param>
    public static byte[] Formatted(ReadOnlySpan<byte> made, bool mayHaveQuery)
    {
        string path = Rooted(Encoding.Latin1.GetString(made)).Replace("#", "%23");
        return Escape(mayHaveQuery ? path : path.Replace("?", "%3F"));
    }

    /// <summary>A path put together from what the template's variables stood for; empty where the template does not fit.</summary>
    public static byte[] ByTemplate(ReadOnlySpan<byte> path, Regex template, IEnumerable<Config.UriRewritePart> parts)
    {
        Match match = template.Match(Encoding.Latin1.GetString(path));
        return match.Success ? Escape(Rooted(string.Concat(parts.Select(p => (p.Text is { } own ? Encoded(own) : null) ?? match.Groups[p.Group].Value)))) : [];
    }

    /// <summary>The path with <c>%2F</c> and <c>%5C</c> as the slashes they stand for, or null where there are none.</summary>
    public static byte[]? UnescapeSlashes(ReadOnlySpan<byte> path)
    {
        int first = path.IndexOf((byte)'%');
        if (first < 0) return null;
        byte[]? output = null;
        int length = 0;
        for (int i = 0; i < path.Length; i++)
        {
            byte b = path[i];
            byte slash = b == '%' && i + 2 < path.Length ? EscapedSlash(path[i + 1], path[i + 2]) : (byte)0;
            if (slash != 0 && output is null)
            {
                output = new byte[path.Length];
                path[..i].CopyTo(output);
                length = i;
            }
            if (output is not null) output[length++] = slash != 0 ? slash : b;
            if (slash != 0) i += 2;
        }
        return output?[..length];
    }

    private static byte EscapedSlash(byte high, byte low) => (high, (byte)(low | 0x20)) switch
    {
        ((byte)'2', (byte)'f') => (byte)'/',
        ((byte)'5', (byte)'c') => (byte)'\\',
        _ => 0,
    };

    /// <summary>The path normalized, or null when it is so already; <paramref name="valid"/> is false for one that escapes the root or
    /// holds an escaped NUL, or escapes that hide in each other.</summary>
    public static byte[]? Normalize(ReadOnlySpan<byte> path, bool normalize, bool mergeSlashes, out bool valid)
    {
        valid = true;
        if (!NeedsWork(path, normalize, mergeSlashes)) return null;
        var output = new List<byte>(path.Length);
        var lone = new List<int>();
        for (int i = 0; i < path.Length; i++)
        {
            byte b = path[i];
            if (normalize && b == '%')
            {
                // What is no escape stands for itself; what is one keeps its letter case.
                if (i + 2 < path.Length && TryHex(path[i + 1], out int high) && TryHex(path[i + 2], out int low))
                {
                    byte decoded = (byte)(high << 4 | low);
                    if (decoded == 0)
                    {
                        valid = false;
                        return null;
                    }
                    if (IsUnreserved(decoded)) output.Add(decoded);
                    else output.AddRange(path.Slice(i, 3));
                    i += 2;
                    continue;
                }
                lone.Add(output.Count);
            }
            if (normalize && b == '\\') b = (byte)'/';
            if (mergeSlashes && b == '/' && output.Count > 0 && output[^1] == '/') continue;
            output.Add(b);
        }
        // A percent sign that was no escape may have become one: who reads the path next must not read another one.
        foreach (int at in lone)
        {
            if (at + 2 >= output.Count || !TryHex(output[at + 1], out _) || !TryHex(output[at + 2], out _)) continue;
            valid = false;
            return null;
        }
        if (normalize) RemoveDotSegments(output);
        return [.. output];
    }

    private static bool NeedsWork(ReadOnlySpan<byte> path, bool normalize, bool mergeSlashes) =>
        (normalize && (path.IndexOfAny((byte)'%', (byte)'\\') >= 0 || path.IndexOf("/."u8) >= 0)) || (mergeSlashes && path.IndexOf("//"u8) >= 0);

    // RFC 3986 5.2.4.
    private static void RemoveDotSegments(List<byte> path)
    {
        string[] segments = Encoding.Latin1.GetString([.. path]).Split('/');
        var kept = new List<string>();
        for (int i = 1; i < segments.Length; i++)
        {
            bool last = i == segments.Length - 1;
            if (segments[i] == ".")
            {
                if (last) kept.Add("");
            }
            else if (segments[i] == "..")
            {
                if (kept.Count > 0) kept.RemoveAt(kept.Count - 1);
                if (last) kept.Add("");
            }
            else kept.Add(segments[i]);
        }
        path.Clear();
        path.AddRange(Encoding.Latin1.GetBytes("/" + string.Join('/', kept)));
    }

    private static bool IsUnreserved(byte b) => char.IsAsciiLetterOrDigit((char)b) || b is (byte)'-' or (byte)'.' or (byte)'_' or (byte)'~';

    private static bool TryHex(byte b, out int value)
    {
        value = char.IsAsciiHexDigit((char)b) ? Convert.ToInt32(((char)b).ToString(), 16) : -1;
        return value >= 0;
    }
}

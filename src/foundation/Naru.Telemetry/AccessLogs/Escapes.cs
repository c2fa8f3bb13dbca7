// Makes bytes that strangers chose safe for one line of a log: no line ends, no terminal commands, no closing quote.
// Stands under AccessLogFormat. Text uses \xNN as nginx does, so that "..." stays one field; JSON uses RFC 8259.
using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Naru.Telemetry;

/// <summary>Escaping for text lines, JSON strings and header values.</summary>
public static class Escapes
{
    private static readonly SearchValues<byte> s_plain = SearchValues.Create(
        [.. Enumerable.Range(0x20, 0x5f).Where(b => b is not '"' and not '\\').Select(b => (byte)b)]);

    private static readonly SearchValues<byte> s_breaksHeader = SearchValues.Create([(byte)'\r', (byte)'\n', (byte)0]);

    /// <summary>Appends for a text line: quotes, backslashes, controls (C0, DEL, C1), line separators, direction overrides and bytes that
    /// are not UTF-8 become <c>\xNN</c>.</summary>
    public static void AppendText(ReadOnlySpan<byte> value, LineBuffer into) => Append(value, into, quotes: true);

    /// <summary>As <see cref="AppendText"/>, but quotes and backslashes stay: for messages that people read.</summary>
    public static void AppendTerminal(ReadOnlySpan<byte> value, LineBuffer into) => Append(value, into, quotes: false);

    private static void Append(ReadOnlySpan<byte> value, LineBuffer into, bool quotes)
    {
        while (true)
        {
            int odd = value.IndexOfAnyExcept(s_plain);
            if (odd < 0) { into.Append(value); return; }
            into.Append(value[..odd]);
            value = value[odd..];
            bool harmless = Next(value, out Rune rune, out int length) && (rune.Value >= 0x80 ? !IsTreacherous(rune) : !quotes && rune.Value is '"' or '\\');
            if (harmless) into.Append(value[..length]);
            else foreach (byte b in value[..length]) AppendHex(b, into);
            value = value[length..];
        }
    }

    /// <summary>Appends for the inside of a JSON string (RFC 8259 7). Bytes that are not UTF-8 count as Latin-1, and in such a value everything
    /// but plain ASCII becomes <c>\u00NN</c> (Envoy).</summary>
    public static void AppendJson(ReadOnlySpan<byte> value, LineBuffer into)
    {
        bool valid = true;
        for (bool first = true; ; first = false)
        {
            int odd = value.IndexOfAnyExcept(s_plain);
            if (odd < 0) { into.Append(value); return; }
            into.Append(value[..odd]);
            value = value[odd..];
            if (first) valid = Utf8.IsValid(value);
            if (!valid || !Next(value, out Rune rune, out int length))
            {
                AppendUnicode(value[0], into);
                value = value[1..];
                continue;
            }
            if (rune.Value is '"' or '\\')
            {
                into.Append((byte)'\\');
                into.Append((byte)rune.Value);
            }
            else if (rune.Value == '\n') into.Append("\\n"u8);
            else if (rune.Value == '\r') into.Append("\\r"u8);
            else if (rune.Value == '\t') into.Append("\\t"u8);
            else if (rune.Value < 0x80 || IsTreacherous(rune)) AppendUnicode(rune.Value, into);
            else into.Append(value[..length]);
            value = value[length..];
        }
    }

    /// <summary>Appends for a header value: CR, LF and NUL (RFC 9110 section 5.5) become spaces.</summary>
    public static void AppendHeader(ReadOnlySpan<byte> value, LineBuffer into)
    {
        int start = into.Length;
        Span<byte> room = into.GetSpan(value.Length);
        value.CopyTo(room);
        into.Advance(value.Length);
        if (into.Length == start || value.IndexOfAny(s_breaksHeader) < 0) return;
        room[..value.Length].ReplaceAny(s_breaksHeader, (byte)' ');
    }

    // C1 controls reach terminals, U+2028 and U+2029 end lines for some readers, the rest turns text around or hides it.
    private static bool IsTreacherous(Rune rune) =>
        rune.Value is <= 0x9f or 0x2028 or 0x2029 or (>= 0x202a and <= 0x202e) or (>= 0x2066 and <= 0x2069) or 0x200b or 0xfeff;

    private static bool Next(ReadOnlySpan<byte> value, out Rune rune, out int length) =>
        Rune.DecodeFromUtf8(value, out rune, out length) == OperationStatus.Done;

    private static void AppendHex(byte b, LineBuffer into)
    {
        into.Append("\\x"u8);
        into.Append("0123456789ABCDEF"u8[b >> 4]);
        into.Append("0123456789ABCDEF"u8[b & 15]);
    }

    internal static void AppendUnicode(int value, LineBuffer into)
    {
        into.Append("\\u"u8);
        for (int shift = 12; shift >= 0; shift -= 4) into.Append("0123456789abcdef"u8[value >> shift & 15]);
    }
}

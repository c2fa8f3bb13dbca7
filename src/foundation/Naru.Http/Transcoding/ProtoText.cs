// Values as texts: numbers, base64, times and masks, as JSON writes them for Protobuf (protobuf.dev, ProtoJSON; RFC 3339, RFC 4648).
using System.Buffers.Text;
using System.Globalization;

namespace Naru.Http.Transcoding;

/// <summary>Values of Protobuf as texts.</summary>
public static class ProtoText
{
    /// <summary>Seconds of 0001-01-01 and 9999-12-31T23:59:59, between which a Timestamp lies.</summary>
    public const long FirstSecond = -62135596800, LastSecond = 253402300799;

    /// <summary>Seconds of a Duration at most, either way.</summary>
    public const long MostSeconds = 315576000000;

    /// <summary>Whether a text is a number of JSON (RFC 8259 6), and where it ends.</summary>
    public static int NumberLength(ReadOnlySpan<byte> text)
    {
        int at = 0;
        if (at < text.Length && text[at] == '-') at++;
        int digits = Digits(text, at);
        if (digits == 0 || (digits > 1 && text[at] == '0')) return 0;
        at += digits;
        if (at < text.Length && text[at] == '.')
        {
            digits = Digits(text, at + 1);
            if (digits == 0) return 0;
            at += digits + 1;
        }
        if (at < text.Length && (text[at] | 0x20) == 'e')
        {
            int sign = at + 1 < text.Length && text[at + 1] is (byte)'+' or (byte)'-' ? 2 : 1;
            if (at + 1 >= text.Length) return 0;
            digits = Digits(text, at + sign);
            if (digits == 0) return 0;
            at += sign + digits;
        }
        return at;
    }

    /// <summary>How many digits stand there.</summary>
    public static int Digits(ReadOnlySpan<byte> text, int at)
    {
        if (at >= text.Length) return 0;
        int end = text[at..].IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return end < 0 ? text.Length - at : end;
    }

    /// <summary>A whole number, also one written with a point or an exponent, where nothing is lost by that.</summary>
    public static bool TryInteger(ReadOnlySpan<byte> text, out bool negative, out ulong magnitude)
    {
        negative = false;
        magnitude = 0;
        if (text.IsEmpty || NumberLength(text) != text.Length) return false;
        negative = text[0] == '-';
        if (negative) text = text[1..];
        int mark = text.IndexOfAny((byte)'.', (byte)'e', (byte)'E');
        if (mark < 0) return TryDigits(text, ref magnitude);
        ReadOnlySpan<byte> whole = text[..mark], part = default;
        long exponent = 0;
        ReadOnlySpan<byte> rest = text[mark..];
        if (rest[0] == '.')
        {
            int end = Digits(rest, 1);
            part = rest.Slice(1, end).TrimEnd((byte)'0');
            rest = rest[(end + 1)..];
        }
        if (rest.Length > 1)
        {
            bool down = rest[1] == '-';
            ReadOnlySpan<byte> digits = rest[(rest[1] is (byte)'-' or (byte)'+' ? 2 : 1)..].TrimStart((byte)'0');
            // More than any number has digits here.
            exponent = digits.Length > 9 ? int.MaxValue : digits.IsEmpty ? 0 : long.Parse(digits, NumberStyles.None, CultureInfo.InvariantCulture);
            if (down) exponent = -exponent;
        }
        // How many of all digits stand behind the point at last.
        long behind = part.Length - exponent;
        if (behind > 0)
        {
            // The last digit of the part is none of the zeros that may go.
            if (part.Length > 0) return false;
            if (behind >= whole.Length) return whole.IndexOfAnyExcept((byte)'0') < 0;
            if (whole[^(int)behind..].IndexOfAnyExcept((byte)'0') >= 0) return false;
            return TryDigits(whole[..^(int)behind], ref magnitude);
        }
        if (!TryDigits(whole, ref magnitude) || !TryDigits(part, ref magnitude)) return false;
        if (magnitude == 0) return true;
        if (behind < -20) return false;
        for (; behind < 0; behind++)
        {
            if (magnitude > ulong.MaxValue / 10) return false;
            magnitude *= 10;
        }
        return true;
    }

    private static bool TryDigits(ReadOnlySpan<byte> digits, ref ulong value)
    {
        foreach (byte digit in digits)
        {
            uint d = (uint)(digit - '0');
            if (value > (ulong.MaxValue - d) / 10) return false;
            value = value * 10 + d;
        }
        return true;
    }

    /// <summary>A number that has no end; the words for those that JSON has no number for count, too.</summary>
    public static bool TryDouble(ReadOnlySpan<byte> text, bool isWord, out double value)
    {
        value = 0;
        if (isWord && text.SequenceEqual("NaN"u8)) value = double.NaN;
        else if (isWord && text.SequenceEqual("Infinity"u8)) value = double.PositiveInfinity;
        else if (isWord && text.SequenceEqual("-Infinity"u8)) value = double.NegativeInfinity;
        else
        {
            return NumberLength(text) == text.Length && text.Length > 0
                && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value);
        }
        return true;
    }

    /// <summary>Base64 of either alphabet, with padding or without; false where it is none.</summary>
    public static bool TryBase64(ReadOnlySpan<byte> text, ByteSink into)
    {
        int pad = 0;
        while (pad < 2 && text.Length > 0 && text[^1] == '=')
        {
            text = text[..^1];
            pad++;
        }
        if (text.Length % 4 == 1 || (pad > 0 && (text.Length + pad) % 4 != 0)) return false;
        Span<byte> room = into.Room(text.Length / 4 * 3 + 3);
        uint bits = 0;
        int n = 0, count = 0;
        foreach (byte b in text)
        {
            int digit = b switch
            {
                >= (byte)'A' and <= (byte)'Z' => b - 'A',
                >= (byte)'a' and <= (byte)'z' => b - 'a' + 26,
                >= (byte)'0' and <= (byte)'9' => b - '0' + 52,
                (byte)'+' or (byte)'-' => 62,
                (byte)'/' or (byte)'_' => 63,
                _ => -1,
            };
            if (digit < 0) return false;
            bits = bits << 6 | (uint)digit;
            if (++count < 4) continue;
            room[n++] = (byte)(bits >> 16);
            room[n++] = (byte)(bits >> 8);
            room[n++] = (byte)bits;
            bits = 0;
            count = 0;
        }
        if (count >= 2) room[n++] = (byte)(bits >> (count == 2 ? 4 : 10));
        if (count == 3) room[n++] = (byte)(bits >> 2);
        into.Advance(n);
        return true;
    }

    /// <summary>A time of RFC 3339.</summary>
    public static bool TryTimestamp(ReadOnlySpan<byte> text, out long seconds, out int nanos)
    {
        seconds = 0;
        nanos = 0;
        if (text.Length < 20 || text[4] != '-' || text[7] != '-' || (text[10] | 0x20) != 't' || text[13] != ':' || text[16] != ':') return false;
        if (!Two(text, 0, out int century) || !Two(text, 2, out int year) || !Two(text, 5, out int month) || !Two(text, 8, out int day)
            || !Two(text, 11, out int hour) || !Two(text, 14, out int minute) || !Two(text, 17, out int second)) return false;
        year += century * 100;
        if (year < 1 || month is < 1 or > 12 || day < 1 || day > DateTime.DaysInMonth(year, month) || hour > 23 || minute > 59 || second > 59)
            return false;
        int at = 19;
        if (text[at] == '.')
        {
            int digits = Digits(text, at + 1);
            if (!TryNanos(text.Slice(at + 1, digits), out nanos)) return false;
            at += digits + 1;
        }
        if (at >= text.Length) return false;
        seconds = new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc).Ticks / TimeSpan.TicksPerSecond + FirstSecond;
        if ((text[at] | 0x20) == 'z') return at + 1 == text.Length;
        if (text[at] is not ((byte)'+' or (byte)'-') || text.Length - at != 6 || text[at + 3] != ':' || !Two(text, at + 1, out int hours)
            || !Two(text, at + 4, out int minutes) || hours > 23 || minutes > 59) return false;
        int offset = (hours * 60 + minutes) * 60;
        seconds += text[at] == '+' ? -offset : offset;
        return seconds is >= FirstSecond and <= LastSecond;
    }

    private static bool Two(ReadOnlySpan<byte> text, int at, out int value)
    {
        (int tens, int ones) = (text[at] - '0', text[at + 1] - '0');
        value = tens * 10 + ones;
        return (uint)tens < 10 && (uint)ones < 10;
    }

    // One to nine digits behind a point.
    private static bool TryNanos(ReadOnlySpan<byte> digits, out int nanos)
    {
        nanos = 0;
        if (digits.Length is 0 or > 9) return false;
        foreach (byte digit in digits) nanos = nanos * 10 + (digit - '0');
        for (int i = digits.Length; i < 9; i++) nanos *= 10;
        return true;
    }

    /// <summary>A time span: seconds and an s.</summary>
    public static bool TryDuration(ReadOnlySpan<byte> text, out long seconds, out int nanos)
    {
        seconds = 0;
        nanos = 0;
        if (text.Length < 2 || text[^1] != 's') return false;
        text = text[..^1];
        bool negative = text[0] == '-';
        if (negative) text = text[1..];
        int digits = Digits(text, 0);
        ulong whole = 0;
        if (digits is 0 or > 18 || !TryDigits(text[..digits], ref whole) || whole > MostSeconds) return false;
        if (digits < text.Length && (text[digits] != '.' || Digits(text, digits + 1) != text.Length - digits - 1
            || !TryNanos(text[(digits + 1)..], out nanos))) return false;
        if (whole == MostSeconds && nanos > 0) return false;
        seconds = negative ? -(long)whole : (long)whole;
        if (negative) nanos = -nanos;
        return true;
    }

    /// <summary>Writes a time; false where it is none.</summary>
    public static bool WriteTimestamp(long seconds, int nanos, ByteSink into)
    {
        if (seconds is < FirstSecond or > LastSecond || nanos is < 0 or > 999_999_999) return false;
        var time = new DateTime((seconds - FirstSecond) * TimeSpan.TicksPerSecond, DateTimeKind.Utc);
        Span<byte> room = into.Room(32);
        time.TryFormat(room, out int written, "yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture);
        into.Advance(written);
        WriteNanos(nanos, into);
        into.Add((byte)'Z');
        return true;
    }

    /// <summary>Writes a time span; false where it is none.</summary>
    public static bool WriteDuration(long seconds, int nanos, ByteSink into)
    {
        if (seconds is < -MostSeconds or > MostSeconds || nanos is < -999_999_999 or > 999_999_999
            || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) return false;
        if (seconds < 0 || nanos < 0) into.Add((byte)'-');
        WriteInteger((ulong)Math.Abs(seconds), into);
        WriteNanos(Math.Abs(nanos), into);
        into.Add((byte)'s');
        return true;
    }

    // Three digits at a time.
    private static void WriteNanos(int nanos, ByteSink into)
    {
        if (nanos == 0) return;
        Span<byte> room = into.Room(10);
        room[0] = (byte)'.';
        nanos.TryFormat(room[1..], out int written, "D9", CultureInfo.InvariantCulture);
        if (nanos % 1000 == 0) written -= 3;
        if (nanos % 1_000_000 == 0) written -= 3;
        into.Advance(written + 1);
    }

    /// <summary>Writes a number.</summary>
    public static void WriteInteger(ulong value, ByteSink into)
    {
        Utf8Formatter.TryFormat(value, into.Room(20), out int written);
        into.Advance(written);
    }

    /// <summary>Writes a number.</summary>
    public static void WriteInteger(long value, ByteSink into)
    {
        Utf8Formatter.TryFormat(value, into.Room(21), out int written);
        into.Advance(written);
    }

    /// <summary>Writes a number with as many digits as it takes to read it back: 15, or 17 where those are too few (C's %g, as Protobuf
    /// writes them); six or nine of a float.</summary>
    public static void WriteDouble(double value, bool isFloat, ByteSink into)
    {
        if (value == 0)
        {
            into.Add(double.IsNegative(value) ? "-0"u8 : "0"u8);
            return;
        }
        Span<byte> text = stackalloc byte[32];
        int precision = isFloat ? 6 : 15;
        // d.ddddE+xxx
        value.TryFormat(text, out int length, isFloat ? "E5" : "E14", CultureInfo.InvariantCulture);
        double.TryParse(text[..length], NumberStyles.Float, CultureInfo.InvariantCulture, out double back);
        if (isFloat ? (float)back != (float)value : back != value)
        {
            precision = isFloat ? 9 : 17;
            value.TryFormat(text, out length, isFloat ? "E8" : "E16", CultureInfo.InvariantCulture);
        }
        int e = text[..length].IndexOf((byte)'E');
        int exponent = int.Parse(text[(e + 1)..length], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        Span<byte> digits = stackalloc byte[20];
        int n = 0;
        foreach (byte b in text[..e]) if (b is >= (byte)'0' and <= (byte)'9') digits[n++] = b;
        while (n > 1 && digits[n - 1] == '0') n--;
        if (value < 0) into.Add((byte)'-');
        if (exponent < -4 || exponent >= precision)
        {
            into.Add(digits[0]);
            if (n > 1) into.Add((byte)'.');
            into.Add(digits[1..n]);
            into.Add((byte)'e');
            into.Add(exponent < 0 ? (byte)'-' : (byte)'+');
            int size = Math.Abs(exponent);
            if (size < 10) into.Add((byte)'0');
            WriteInteger((ulong)size, into);
            return;
        }
        if (exponent < 0)
        {
            into.Add("0."u8);
            for (int i = exponent; i < -1; i++) into.Add((byte)'0');
            into.Add(digits[..n]);
            return;
        }
        for (int i = 0; i <= exponent; i++) into.Add(i < n ? digits[i] : (byte)'0');
        if (n <= exponent + 1) return;
        into.Add((byte)'.');
        into.Add(digits[(exponent + 1)..n]);
    }

    /// <summary>Writes a path of a field mask in camel case; false where it does not come back out of that.</summary>
    public static bool WriteCamel(ReadOnlySpan<byte> path, ByteSink into)
    {
        bool up = false;
        foreach (byte b in path)
        {
            if (b is >= (byte)'A' and <= (byte)'Z' || (up && b is not (>= (byte)'a' and <= (byte)'z'))) return false;
            if (b == '_') up = true;
            else
            {
                into.Add(up ? (byte)(b - 32) : b);
                up = false;
            }
        }
        return !up;
    }

    /// <summary>Writes it back; false where it is none.</summary>
    public static bool WriteSnake(ReadOnlySpan<byte> path, ByteSink into)
    {
        foreach (byte b in path)
        {
            if (b == '_') return false;
            bool upper = b is >= (byte)'A' and <= (byte)'Z';
            if (upper) into.Add((byte)'_');
            into.Add(upper ? (byte)(b + 32) : b);
        }
        return true;
    }
}

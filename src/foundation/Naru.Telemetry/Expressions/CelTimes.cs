// Moments and time spans of expressions: how they are written, and their parts (cel-spec, "Timezones"; RFC 3339).
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Naru.Telemetry;

internal static class CelTimes
{
    public enum Part { FullYear, Month, Date, DayOfMonth, DayOfWeek, DayOfYear, Hours, Minutes, Seconds, Milliseconds }

    /// <summary>Methods, with the dot.</summary>
    public static (string Name, Part Part)[] Parts { get; } = [.. Enum.GetValues<Part>().Select(p => ($".get{p}", p))];

    private static readonly (string Unit, long Nanos)[] s_units =
        [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

    /// <summary>A part of a moment in a zone, or the whole of a span in a unit.</summary>
    public static CelValue Get(in CelValue value, Part part, TimeZoneInfo? zone)
    {
        if (value.Kind == CelKind.Duration)
        {
            // Towards zero: a span below it has its seconds one lower.
            long whole = value.Seconds < 0 && value.Nanos > 0 ? value.Seconds + 1 : value.Seconds;
            if (zone is not null) return CelValue.NoOverload;
            return part switch
            {
                Part.Hours => CelValue.Of(whole / 3600),
                Part.Minutes => CelValue.Of(whole / 60),
                Part.Seconds => CelValue.Of(whole),
                Part.Milliseconds => CelValue.Of((long)((value.Seconds == whole ? value.Nanos : value.Nanos - 1_000_000_000) / 1_000_000)),
                _ => CelValue.NoOverload,
            };
        }
        if (value.Kind != CelKind.Timestamp) return CelValue.NoOverload;
        DateTime time = DateTime.UnixEpoch.AddSeconds(value.Seconds);
        if (zone is not null)
        {
            TimeSpan offset = zone.GetUtcOffset(time);
            if (time.Ticks + offset.Ticks < 0 || time.Ticks + offset.Ticks > DateTime.MaxValue.Ticks) return CelValue.Overflow;
            time += offset;
        }
        return CelValue.Of((long)(part switch
        {
            Part.FullYear => time.Year,
            Part.Month => time.Month - 1,
            Part.Date => time.Day,
            Part.DayOfMonth => time.Day - 1,
            Part.DayOfWeek => (int)time.DayOfWeek,
            Part.DayOfYear => time.DayOfYear - 1,
            Part.Hours => time.Hour,
            Part.Minutes => time.Minute,
            Part.Seconds => time.Second,
            _ => value.Nanos / 1_000_000,
        }));
    }

    /// <summary>A zone by its name (<c>Europe/Berlin</c>) or its distance (<c>+01:00</c>); null for none.</summary>
    public static TimeZoneInfo? Zone(ReadOnlySpan<byte> name)
    {
        if (name.Length is 0 or > 64) return null;
        if (name.SequenceEqual("UTC"u8) || name.SequenceEqual("Z"u8)) return TimeZoneInfo.Utc;
        if (Offset(name) is { } seconds)
            return TimeZoneInfo.CreateCustomTimeZone("offset", TimeSpan.FromMinutes(seconds / 60), "offset", "offset");
        return TimeZoneInfo.TryFindSystemTimeZoneById(Encoding.UTF8.GetString(name), out TimeZoneInfo? found) ? found : null;
    }

    // [+-]hh:mm, the sign of plus may be missing.
    private static int? Offset(ReadOnlySpan<byte> text)
    {
        int sign = text.Length > 0 && text[0] == '-' ? -1 : 1;
        if (text.Length > 0 && text[0] is (byte)'+' or (byte)'-') text = text[1..];
        return text.Length == 5 && text[2] == ':' && Digits(text[..2]) is { } hours && Digits(text[3..]) is { } minutes && hours < 14
            && minutes < 60
            ? sign * (hours * 3600 + minutes * 60) : null;
    }

    private static int? Digits(ReadOnlySpan<byte> text) =>
        !text.IsEmpty && text.IndexOfAnyExceptInRange((byte)'0', (byte)'9') < 0 && Utf8Parser.TryParse(text, out int number, out _) ? number
            : null;

    /// <summary>A moment of RFC 3339.</summary>
    public static CelValue ParseTimestamp(ReadOnlySpan<byte> text)
    {
        CelValue wrong = CelValue.Error("it is no time of RFC 3339");
        if (text.Length < 20 || text[4] != '-' || text[7] != '-' || text[10] is not ((byte)'T' or (byte)'t') || text[13] != ':'
            || text[16] != ':') return wrong;
        if (Digits(text[..4]) is not (> 0 and var year) || Digits(text[5..7]) is not (> 0 and <= 12 and var month)
            || Digits(text[8..10]) is not (> 0 and var day)
            || Digits(text[11..13]) is not (< 24 and var hour) || Digits(text[14..16]) is not (< 60 and var minute)
            || Digits(text[17..19]) is not (< 60 and var second) || day > DateTime.DaysInMonth(year, month)) return wrong;
        text = text[19..];
        int nanos = 0;
        if (text[0] == '.')
        {
            int digits = text[1..].IndexOfAnyExceptInRange((byte)'0', (byte)'9');
            if (digits is < 1 or > 9 || Digits(text[1..(1 + digits)]) is not { } fraction) return wrong;
            nanos = fraction;
            for (int i = digits; i < 9; i++) nanos *= 10;
            text = text[(1 + digits)..];
        }
        int? offset = text.Length == 1 && text[0] is (byte)'Z' or (byte)'z' ? 0 : text.Length == 6 && text[0] is (byte)'+' or (byte)'-'
            ? Offset(text) : null;
        if (offset is not { } zone) return wrong;
        long seconds =
            (new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc) - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerSecond;
        return CelValue.Timestamp(seconds - zone, nanos);
    }

    /// <summary>A span such as <c>1h30m</c>, <c>-1.5s</c>.</summary>
    public static CelValue ParseDuration(ReadOnlySpan<byte> text)
    {
        CelValue wrong = CelValue.Error("it is no duration");
        bool negative = text.Length > 0 && text[0] == '-';
        if (text.Length > 0 && text[0] is (byte)'-' or (byte)'+') text = text[1..];
        if (text.Length is 0 or > 100) return wrong;
        if (text.SequenceEqual("0"u8)) return CelValue.Duration(0, 0);
        Int128 total = 0;
        while (!text.IsEmpty)
        {
            int length = text.IndexOfAnyExceptInRange((byte)'0', (byte)'9'), whole = Math.Max(length, 0);
            if (length < 0 || whole > 18) return wrong;
            long units = 0;
            foreach (byte digit in text[..whole]) units = units * 10 + (digit - '0');
            text = text[whole..];
            ReadOnlySpan<byte> fraction = default;
            if (text[0] == '.')
            {
                length = text[1..].IndexOfAnyExceptInRange((byte)'0', (byte)'9');
                if (length < 0) return wrong;
                fraction = text[1..(1 + length)];
                text = text[(1 + length)..];
            }
            if (whole == 0 && fraction.IsEmpty) return wrong;
            int end = text.IndexOfAny(".0123456789"u8);
            ReadOnlySpan<byte> name = end < 0 ? text : text[..end];
            long nanos = 0;
            foreach ((string unit, long size) in s_units) if (Named(name, unit)) nanos = size;
            if (nanos == 0) return wrong;
            text = text[name.Length..];
            total += (Int128)units * nanos;
            Int128 part = nanos;
            long scaled = 0;
            foreach (byte digit in fraction)
            {
                scaled += (long)(part * (digit - '0') / 10);
                part /= 10;
            }
            total += scaled;
        }
        if (negative) total = -total;
        Int128 seconds = total / 1_000_000_000;
        return seconds > 315_576_000_000 || seconds < -315_576_000_000 ? CelValue.Overflow
            : CelValue.Duration((long)seconds, (long)(total % 1_000_000_000));
    }

    private static bool Named(ReadOnlySpan<byte> text, string name)
    {
        Span<byte> bytes = stackalloc byte[4];
        return text.SequenceEqual(bytes[..Encoding.UTF8.GetBytes(name, bytes)]);
    }

    /// <summary>RFC 3339; 48 bytes are enough.</summary>
    public static int Format(in CelValue value, Span<byte> into, ReadOnlySpan<byte> zone)
    {
        DateTime.UnixEpoch.AddSeconds(value.Seconds).TryFormat(into, out int at, "yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture);
        at += Fraction(value.Nanos, 9, into[at..]);
        zone.CopyTo(into[at..]);
        return at + zone.Length;
    }

    /// <summary>A span in seconds, as Protobuf's JSON has it.</summary>
    public static int Seconds(in CelValue value, Span<byte> into)
    {
        Int128 nanos = (Int128)value.Seconds * 1_000_000_000 + value.Nanos;
        int at = 0;
        if (nanos < 0) into[at++] = (byte)'-';
        if (nanos < 0) nanos = -nanos;
        Utf8Formatter.TryFormat((long)(nanos / 1_000_000_000), into[at..], out int written);
        at += written;
        at += Fraction((int)(nanos % 1_000_000_000), 9, into[at..]);
        into[at++] = (byte)'s';
        return at;
    }

    /// <summary>A span as people write it: <c>1h2m3.5s</c>, <c>1.5ms</c>.</summary>
    public static int Short(in CelValue value, Span<byte> into)
    {
        Int128 nanos = (Int128)value.Seconds * 1_000_000_000 + value.Nanos;
        int at = 0, written;
        if (nanos == 0)
        {
            into[0] = (byte)'0';
            return 1;
        }
        if (nanos < 0)
        {
            into[at++] = (byte)'-';
            nanos = -nanos;
        }
        if (nanos < 1_000_000_000)
        {
            (long size, int digits, byte unit) = nanos < 1_000 ? (1L, 0, (byte)'n') : nanos < 1_000_000 ? (1_000L, 3, (byte)'u')
                : (1_000_000L, 6, (byte)'m');
            Utf8Formatter.TryFormat((long)(nanos / size), into[at..], out written);
            at += written;
            at += Fraction((int)(nanos % size), digits, into[at..]);
            into[at++] = unit;
            into[at++] = (byte)'s';
            return at;
        }
        long seconds = (long)(nanos / 1_000_000_000);
        int rest = (int)(nanos % 1_000_000_000);
        if (seconds >= 3600)
        {
            Utf8Formatter.TryFormat(seconds / 3600, into[at..], out written);
            at += written;
            into[at++] = (byte)'h';
        }
        if (seconds % 3600 >= 60)
        {
            Utf8Formatter.TryFormat(seconds % 3600 / 60, into[at..], out written);
            at += written;
            into[at++] = (byte)'m';
        }
        if (seconds % 60 == 0 && rest == 0) return at;
        Utf8Formatter.TryFormat(seconds % 60, into[at..], out written);
        at += written;
        at += Fraction(rest, 9, into[at..]);
        into[at++] = (byte)'s';
        return at;
    }

    // A point and what stands behind it, without zeros at the end; nothing for zero.
    private static int Fraction(int value, int digits, Span<byte> into)
    {
        if (value == 0) return 0;
        into[0] = (byte)'.';
        for (int i = digits; i > 0; i--, value /= 10) into[i] = (byte)('0' + value % 10);
        while (into[digits] == '0') digits--;
        return digits + 1;
    }
}

// strftime as access logs know it, with Envoy's fractions of a second; compiled once, written without allocation.
// Stands under AccessLogFormat. Names are English; locales are refused by not being there.
using System.Text;

namespace Naru.Telemetry;

/// <summary>A compiled time format (Envoy, "Access logging", <c>%START_TIME%</c>): strftime letters, <c>%s</c>, <c>%f</c>,
/// <c>%1f</c> to <c>%9f</c>, <c>%E1S</c> to <c>%E9S</c>. Ours resolve to 100 ns; further digits are zeros.</summary>
public sealed class TimeFormat
{
    private static readonly string[] s_days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

    private static readonly string[] s_months =
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

    private readonly List<(char Letter, int Digits, byte[]? Literal)> _parts = [];

    private TimeFormat(bool local) => Local = local;

    /// <summary>Whether times are shown in the machine's zone instead of UTC.</summary>
    public bool Local { get; }

    /// <summary>ISO 8601 with milliseconds, Envoy's default.</summary>
    public static TimeFormat Default(bool local) => Compile("%Y-%m-%dT%H:%M:%E3S" + (local ? "%Ez" : "Z"), local, out _)!;

    /// <summary>Compiles a format.</summary>
    /// <param name="format">strftime text.</param>
    /// <param name="local">Local time instead of UTC.</param>
    /// <param name="error">What is wrong, where null is returned.</param>
    public static TimeFormat? Compile(string format, bool local, out string? error)
    {
        var made = new TimeFormat(local);
        var literal = new StringBuilder();
        error = null;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%') { literal.Append(format[i]); continue; }
            int digits = -1;
            bool extended = false;
            i++;
            if (i < format.Length && format[i] == 'E') { extended = true; i++; }
            if (i < format.Length && char.IsAsciiDigit(format[i])) digits = format[i++] - '0';
            else if (extended && i < format.Length && format[i] == '*') { digits = 9; i++; }
            char letter = i < format.Length ? format[i] : '\0';
            bool known = letter switch
            {
                'S' => extended == digits >= 1,
                'f' => !extended && digits != 0,
                's' => !extended,
                'z' => digits < 0,
                _ => !extended && digits < 0 && "YymdeHIMpjaAbBhZnTFDR%nt".Contains(letter),
            };
            if (!known || letter == '\0')
            {
                error = $"the time format has no \"%{(extended ? "E" : "")}{(digits >= 0 ? digits : "")}{(letter == '\0' ? "" : letter)}\"";
                return null;
            }
            if (letter is '%' or 'n' or 't') { literal.Append(letter switch { 'n' => '\n', 't' => '\t', _ => '%' }); continue; }
            made.Flush(literal);
            made._parts.Add((letter == 'z' && extended ? ':' : letter, digits, null));
        }
        made.Flush(literal);
        return made;
    }

    /// <summary>Appends a time.</summary>
    public void Write(DateTime utc, LineBuffer into)
    {
        DateTime time = utc;
        TimeSpan offset = TimeSpan.Zero;
        if (Local)
        {
            offset = TimeZoneInfo.Local.GetUtcOffset(utc);
            time = new DateTime(utc.Ticks + offset.Ticks, DateTimeKind.Unspecified);
        }
        foreach ((char letter, int digits, byte[]? literal) in _parts)
        {
            if (literal is not null) into.Append(literal);
            else WritePart(letter, digits, time, utc, offset, into);
        }
    }

    private static void WritePart(char letter, int digits, DateTime time, DateTime utc, TimeSpan offset, LineBuffer into)
    {
        switch (letter)
        {
            case 'Y': into.AppendPadded(time.Year, 4); break;
            case 'y': into.AppendPadded(time.Year, 2); break;
            case 'm': into.AppendPadded(time.Month, 2); break;
            case 'd': into.AppendPadded(time.Day, 2); break;
            case 'e':
                if (time.Day < 10) into.Append((byte)' ');
                into.Append(time.Day);
                break;
            case 'H': into.AppendPadded(time.Hour, 2); break;
            case 'I': into.AppendPadded((time.Hour + 11) % 12 + 1, 2); break;
            case 'M': into.AppendPadded(time.Minute, 2); break;
            case 'S':
                into.AppendPadded(time.Second, 2);
                if (digits <= 0) break;
                into.Append((byte)'.');
                Fraction(time, digits, into);
                break;
            case 'f': Fraction(time, digits < 0 ? 9 : digits, into); break;
            case 's':
                into.Append((utc.Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerSecond);
                if (digits > 0) Fraction(time, digits, into);
                break;
            case 'p': into.Append(time.Hour < 12 ? "AM"u8 : "PM"u8); break;
            case 'j': into.AppendPadded(time.DayOfYear, 3); break;
            case 'a': Name(s_days[(int)time.DayOfWeek], 3, into); break;
            case 'A': Name(s_days[(int)time.DayOfWeek], 9, into); break;
            case 'b' or 'h': Name(s_months[time.Month - 1], 3, into); break;
            case 'B': Name(s_months[time.Month - 1], 9, into); break;
            case 'Z': if (offset == TimeSpan.Zero) into.Append("UTC"u8); else Offset(offset, ':', into); break;
            case 'z': Offset(offset, '\0', into); break;
            case ':': Offset(offset, ':', into); break;
            case 'T':
                WritePart('R', -1, time, utc, offset, into);
                into.Append((byte)':');
                into.AppendPadded(time.Second, 2);
                break;
            case 'R':
                into.AppendPadded(time.Hour, 2);
                into.Append((byte)':');
                into.AppendPadded(time.Minute, 2);
                break;
            case 'F':
                into.AppendPadded(time.Year, 4);
                into.Append((byte)'-');
                into.AppendPadded(time.Month, 2);
                into.Append((byte)'-');
                into.AppendPadded(time.Day, 2);
                break;
            case 'D':
                into.AppendPadded(time.Month, 2);
                into.Append((byte)'/');
                into.AppendPadded(time.Day, 2);
                into.Append((byte)'/');
                into.AppendPadded(time.Year, 2);
                break;
        }
    }

    private static void Fraction(DateTime time, int digits, LineBuffer into)
    {
        long value = time.Ticks % TimeSpan.TicksPerSecond * 100;
        for (int cut = digits; cut < 9; cut++) value /= 10;
        into.AppendPadded(value, digits);
    }

    private static void Offset(TimeSpan offset, char separator, LineBuffer into)
    {
        into.Append((byte)(offset < TimeSpan.Zero ? '-' : '+'));
        into.AppendPadded(Math.Abs(offset.Hours), 2);
        if (separator != '\0') into.Append((byte)separator);
        into.AppendPadded(Math.Abs(offset.Minutes), 2);
    }

    private static void Name(string name, int length, LineBuffer into)
    {
        for (int i = 0; i < name.Length && i < length; i++) into.Append((byte)name[i]);
    }

    private void Flush(StringBuilder literal)
    {
        if (literal.Length == 0) return;
        _parts.Add(('\0', 0, Encoding.UTF8.GetBytes(literal.ToString())));
        literal.Clear();
    }
}

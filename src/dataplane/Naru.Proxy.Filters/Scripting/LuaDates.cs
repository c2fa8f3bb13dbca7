// os.date and os.time (reference manual 5.8). The zone is UTC whatever the machine's: what a script makes of a request does not depend
// on where it runs.
using System.Globalization;
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

internal static class LuaDates
{
    // Years that a date can have.
    private const double Least = -62_135_596_800, Most = 253_402_300_799;

    /// <summary>A time of its parts, in seconds.</summary>
    public static double Time(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        double year = Field("year", null), month = Field("month", null), day = Field("day", null);
        double hour = Field("hour", 12), minute = Field("min", 0), second = Field("sec", 0);
        if (Math.Abs(year) > 9000 || Math.Abs(month) > 12_000 || Math.Abs(day) > 3_000_000)
            throw new LuaException("time result cannot be represented");
        double months = year * 12 + month - 1;
        double inYear = Math.Floor(months / 12);
        if (inYear is < 1 or > 9998) throw new LuaException("time result cannot be represented");
        var first = new DateTime((int)inYear, (int)(months - inYear * 12) + 1, 1, 0, 0, 0, DateTimeKind.Utc);
        double seconds = (first - DateTime.UnixEpoch).TotalSeconds;
        return seconds + (day - 1) * 86_400 + hour * 3600 + minute * 60 + second;

        double Field(string name, double? otherwise)
        {
            LuaValue value = table.Get(new LuaString(Encoding.ASCII.GetBytes(name)));
            if (value.TryNumber(out double number) && double.IsFinite(number)) return Math.Truncate(number);
            return otherwise ?? throw new LuaException($"field '{name}' missing in date table");
        }
    }

    /// <summary>A time in a format, or its parts.</summary>
    public static LuaValue Date(LuaArguments a)
    {
        string format = Encoding.Latin1.GetString(a.TextOrNone(0)?.Bytes ?? "%c"u8.ToArray());
        if (format.Length > 4096) throw a.Wrong(0, "a format has 4096 bytes at most");
        double seconds = a[1].IsNil ? a.State.Time.GetUtcNow().ToUnixTimeSeconds() : Math.Floor(a.Number(1));
        if (!(seconds is >= Least and <= Most)) throw a.Wrong(1, "time out of range");
        DateTime at = DateTime.UnixEpoch.AddSeconds(seconds);
        if (format.StartsWith('!')) format = format[1..];
        if (format.StartsWith("*t", StringComparison.Ordinal)) return Parts(a.State, at);
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length) text.Append(format[i]);
            else
            {
                a.State.Spend(32);
                text.Append(Part(at, format[++i]));
            }
        }
        return a.State.String(Encoding.Latin1.GetBytes(text.ToString()));
    }

    private static LuaTable Parts(LuaState state, DateTime at)
    {
        var table = new LuaTable(state);
        table.Set("sec", at.Second);
        table.Set("min", at.Minute);
        table.Set("hour", at.Hour);
        table.Set("day", at.Day);
        table.Set("month", at.Month);
        table.Set("year", at.Year);
        table.Set("wday", (int)at.DayOfWeek + 1);
        table.Set("yday", at.DayOfYear);
        table.Set("isdst", LuaValue.False);
        return table;
    }

    // As in C's locale.
    private static string Part(DateTime at, char what)
    {
        int sunday = (at.DayOfYear + 6 - (int)at.DayOfWeek) / 7, monday = (at.DayOfYear + 6 - ((int)at.DayOfWeek + 6) % 7) / 7;
        return what switch
        {
            'a' => Named("ddd"),
            'A' => Named("dddd"),
            'b' or 'h' => Named("MMM"),
            'B' => Named("MMMM"),
            'c' => Named("ddd MMM ") + at.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2) + Named(" HH:mm:ss yyyy"),
            'd' => Named("dd"),
            'D' or 'x' => Named("MM'/'dd'/'yy"),
            'e' => at.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
            'F' => Named("yyyy-MM-dd"),
            'H' => Named("HH"),
            'I' => Named("hh"),
            'j' => at.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
            'm' => Named("MM"),
            'M' => Named("mm"),
            'n' => "\n",
            'p' => at.Hour < 12 ? "AM" : "PM",
            'R' => Named("HH:mm"),
            's' => new DateTimeOffset(at).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
            'S' => Named("ss"),
            't' => "\t",
            'T' or 'X' => Named("HH:mm:ss"),
            'u' => (((int)at.DayOfWeek + 6) % 7 + 1).ToString(CultureInfo.InvariantCulture),
            'U' => sunday.ToString("00", CultureInfo.InvariantCulture),
            'w' => ((int)at.DayOfWeek).ToString(CultureInfo.InvariantCulture),
            'W' => monday.ToString("00", CultureInfo.InvariantCulture),
            'y' => Named("yy"),
            'Y' => Named("yyyy"),
            'z' => "+0000",
            'Z' => "UTC",
            '%' => "%",
            _ => throw new LuaException($"os.date has no %{what}"),
        };

        string Named(string format) => at.ToString(format, CultureInfo.InvariantCulture);
    }
}

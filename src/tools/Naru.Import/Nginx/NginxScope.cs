// What holds at a place of nginx.conf: its own directives, else those of the block around it. Directives that may repeat are inherited
// only where the block has none of them.
using System.Globalization;
using Naru.Core;

namespace Naru.Import.Nginx;

internal sealed class NginxScope(IReadOnlyList<Directive> own, NginxScope? around)
{
    public IReadOnlyList<Directive> Own { get; } = own;

    public NginxScope? Around { get; } = around;

    /// <summary>The last directive of a name, here or around.</summary>
    public Directive? Last(string name) => Own.LastOrDefault(d => d.Name == name) ?? Around?.Last(name);

    /// <summary>All of a name, of the innermost block that has any.</summary>
    public IReadOnlyList<Directive> All(params string[] names)
    {
        Directive[] here = [.. Own.Where(d => names.Contains(d.Name))];
        return here.Length > 0 ? here : Around?.All(names) ?? [];
    }

    /// <summary>The value of a variable that <c>set</c> gave, or null.</summary>
    public string? Variable(string name)
    {
        Directive? set = Own.LastOrDefault(d => d.Name == "set" && d.Argument(0) == "$" + name);
        return set is not null ? set.Argument(1) : Around?.Variable(name);
    }

    /// <summary>A time: <c>30</c>, <c>30s</c>, <c>1m30s</c>, <c>500ms</c> (nginx.org/en/docs/syntax.html).</summary>
    public TimeSpan? Time(string name, Notes notes)
    {
        if (Last(name) is not { } directive) return null;
        double seconds = 0;
        string text = directive.Argument(0);
        for (int i = 0; i < text.Length;)
        {
            int start = i;
            while (i < text.Length && char.IsAsciiDigit(text[i])) i++;
            int unitStart = i;
            while (i < text.Length && char.IsAsciiLetter(text[i])) i++;
            double? unit = text[unitStart..i] switch
            {
                "ms" => 0.001,
                "" or "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86400,
                "w" => 604800,
                _ => null
            };
            if (unit is null || unitStart == start || unitStart - start > 9) { seconds = -1; break; }
            seconds += int.Parse(text.AsSpan(start, unitStart - start), CultureInfo.InvariantCulture) * unit.Value;
        }
        if (seconds > 0 && seconds < 315_360_000) return TimeSpan.FromSeconds(seconds);
        notes.Value(directive.Place, directive.ToString(), $"\"{Notes.Short(text)}\" is no time");
        return null;
    }

    /// <summary>A size in bytes: <c>8k</c>, <c>10m</c>; null where none is said, or no limit.</summary>
    public static long? Size(Directive? directive, Notes notes)
    {
        if (directive is null) return null;
        string text = directive.Argument(0).ToLowerInvariant();
        long unit = text.Length == 0 ? 0 : text[^1] switch { 'k' => 1 << 10, 'm' => 1 << 20, 'g' => 1 << 30, _ => 1 };
        if (long.TryParse(unit > 1 ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            && number < 1L << 32) return number == 0 ? null : number * unit;
        notes.Value(directive.Place, directive.ToString(), $"\"{Notes.Short(text)}\" is no size");
        return null;
    }

    /// <summary>The place of the last directive of a name.</summary>
    public Place PlaceOf(string name) => Last(name)?.Place ?? default;
}

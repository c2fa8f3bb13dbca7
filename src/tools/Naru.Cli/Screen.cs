// How naru talks: data on standard output, everything else on standard error, colour only where a person looks.
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Core;

namespace Naru.Cli;

/// <summary>Exit codes.</summary>
internal static class Exit
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int Unreachable = 3;
}

internal static partial class Screen
{
    private static readonly bool s_noColour = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) || Environment.GetEnvironmentVariable("TERM") is "dumb";

    public static bool OutColour { get; } = !s_noColour && !Console.IsOutputRedirected;

    public static bool ErrorColour { get; } = !s_noColour && !Console.IsErrorRedirected;

    /// <summary>Whether a line may be written over: a terminal, and escape codes are welcome.</summary>
    public static bool Live { get; } = !s_noColour && !Console.IsErrorRedirected;

    /// <summary>How people call this program here: what the launcher said, else naru.</summary>
    public static string Program { get; } = Name();

    /// <summary>Has the runtime write no control codes of its own to a terminal (it would switch the keypad): it takes them from the
    /// description of the terminal, once, when it is first asked for something. What we start sees the true description.</summary>
    public static void KeepQuiet()
    {
        if (Console.IsOutputRedirected && Console.IsErrorRedirected) return;
        string? terminal = Environment.GetEnvironmentVariable("TERM");
        Environment.SetEnvironmentVariable("TERM", "dumb");
        try
        {
            _ = Console.BufferWidth;
        }
        catch (IOException)
        {
            // Not that kind of terminal.
        }
        Environment.SetEnvironmentVariable("TERM", terminal);
    }

    /// <summary>A sentence of ours on standard error.</summary>
    public static void Say(string sentence) => Console.Error.WriteLine($"naru: {Hint(sentence)}");

    /// <summary>Commands in a text as they can be typed here.</summary>
    public static string Hint(string text) => Program == "naru" ? text : Command().Replace(text, _ => Program);

    public static string Bold(string text, bool colour) => colour ? $"\e[1m{text}\e[0m" : text;

    public static string Red(string text, bool colour) => colour ? $"\e[31m{text}\e[0m" : text;

    public static string Yellow(string text, bool colour) => colour ? $"\e[33m{text}\e[0m" : text;

    public static string Green(string text, bool colour) => colour ? $"\e[32m{text}\e[0m" : text;

    public static string Dim(string text, bool colour) => colour ? $"\e[2m{text}\e[0m" : text;

    /// <summary>Prints a complaint: what, where, how to fix it.</summary>
    public static void Complain(Diagnostic d)
    {
        string word = d.Severity switch { Severity.Error => Red("error", ErrorColour), Severity.Warning => Yellow("warning", ErrorColour), _ => "info" };
        var text = new StringBuilder($"{word}[{d.Code}]: {Bold(Hint(d.Message), ErrorColour)}");
        if (!string.IsNullOrEmpty(d.Subject)) text.Append($" ({d.Subject})");
        if (d.Place.ToString() is { Length: > 0 } place) text.Append($"\n  --> {place}");
        if (!string.IsNullOrEmpty(d.Remedy)) text.Append($"\n  help: {Hint(d.Remedy)}");
        Console.Error.WriteLine(text);
    }

    /// <summary>Complaints, but no wall of them: of each severity the first ones, then how many more there are.</summary>
    public static void Complain(IEnumerable<Diagnostic> all)
    {
        const int Most = 50;
        foreach (IGrouping<Severity, Diagnostic> group in all.GroupBy(d => d.Severity).OrderBy(g => g.Key))
        {
            foreach (Diagnostic d in group.Take(Most)) Complain(d);
            if (group.Count() > Most) Say($"{group.Count() - Most} more {group.Key.ToString().ToLowerInvariant()}s are not shown; `naru validate -o json` lists all of them");
        }
    }

    /// <summary>Columns with three spaces between them, as kubectl prints them.</summary>
    public static void Table(TextWriter to, IReadOnlyList<string>? head, IEnumerable<IReadOnlyList<string>> rows)
    {
        List<IReadOnlyList<string>> all = [.. head is null ? [] : new[] { head }, .. rows];
        foreach (string line in Lines(all, Widths(all))) to.WriteLine(line);
    }

    /// <summary>How wide each column has to be.</summary>
    public static int[] Widths(IReadOnlyList<IReadOnlyList<string>> rows) => [.. Enumerable.Range(0, rows.Count > 0 ? rows[0].Count : 0).Select(c => rows.Max(r => r[c].Length))];

    /// <summary>Rows as lines.</summary>
    public static IEnumerable<string> Lines(IEnumerable<IReadOnlyList<string>> rows, int[] widths)
    {
        foreach (IReadOnlyList<string> row in rows)
        {
            var line = new StringBuilder();
            for (int c = 0; c < row.Count; c++)
            {
                line.Append(row[c]);
                if (c + 1 < row.Count) line.Append(' ', Math.Max(0, widths[c] - row[c].Length) + 3);
            }
            yield return line.ToString().TrimEnd();
        }
    }

    /// <summary>JSON for people and programs.</summary>
    public static void Json<T>(T value) =>
        Console.Out.WriteLine(JsonSerializer.Serialize(value, Inspect.MeshLocation.Json));

    /// <summary>As kubectl writes it: 90s, 3m20s, 45m, 5h10m, 30h, 3d4h, 20d.</summary>
    public static string Age(TimeSpan age) => age switch
    {
        { TotalSeconds: < 0 } => "0s",
        { TotalSeconds: < 120 } => $"{(int)age.TotalSeconds}s",
        { TotalMinutes: < 10 } => age.Seconds == 0 ? $"{age.Minutes}m" : $"{age.Minutes}m{age.Seconds}s",
        { TotalHours: < 3 } => $"{(int)age.TotalMinutes}m",
        { TotalHours: < 8 } => age.Minutes == 0 ? $"{age.Hours}h" : $"{age.Hours}h{age.Minutes}m",
        { TotalHours: < 48 } => $"{(int)age.TotalHours}h",
        { TotalDays: < 8 } => age.Hours == 0 ? $"{age.Days}d" : $"{age.Days}d{age.Hours}h",
        _ => $"{(int)age.TotalDays}d",
    };

    /// <summary>1 pod, 2 pods.</summary>
    public static string Count(long number, string what) => $"{number} {what}{(number == 1 ? "" : "s")}";

    /// <summary>Bytes as MB.</summary>
    public static string Megabytes(long bytes) => $"{(bytes + (1 << 19)) >> 20} MB";

    // Said once, for this process: what it starts is called otherwise.
    private static string Name()
    {
        string? said = Environment.GetEnvironmentVariable("NARU_COMMAND");
        Environment.SetEnvironmentVariable("NARU_COMMAND", null);
        return string.IsNullOrEmpty(said) ? "naru" : said;
    }

    // "naru" where a verb or a placeholder follows it, and nothing stands before it that makes it part of another word.
    [GeneratedRegex(@"(?<![\w./-])naru(?= (up|demo|down|status|logs|run|rollout|scale|apply|create|get|delete|diff|edit|describe|explain|test|validate|import|samples|stub|top|events|port-forward|api-resources|proxy|proxy-status|control|version|completion)\b)")]
    private static partial Regex Command();
}

/// <summary>One line of progress on standard error; on a terminal it is written over and vanishes.</summary>
internal sealed class Progress : IProgress<string>, IDisposable
{
    private readonly bool _live = Screen.Live;
    private readonly Lock _lock = new();
    private bool _shown;

    public void Report(string value)
    {
        lock (_lock)
        {
            if (_live) Console.Error.Write($"\r\e[K{value} ...");
            else Console.Error.WriteLine($"naru: {value}");
            _shown = true;
        }
    }

    public void Clear()
    {
        lock (_lock)
        {
            if (_live && _shown) Console.Error.Write("\r\e[K");
            _shown = false;
        }
    }

    public void Dispose() => Clear();
}

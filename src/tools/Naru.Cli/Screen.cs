// How naru talks: data on standard output, everything else on standard error, colour only where a person looks.
using System.Text;
using System.Text.Json;
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

internal static class Screen
{
    private static readonly bool s_noColour = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) || Environment.GetEnvironmentVariable("TERM") == "dumb";

    public static bool OutColour { get; } = !s_noColour && !Console.IsOutputRedirected;

    public static bool ErrorColour { get; } = !s_noColour && !Console.IsErrorRedirected;

    public static string Bold(string text, bool colour) => colour ? $"\e[1m{text}\e[0m" : text;

    public static string Red(string text, bool colour) => colour ? $"\e[31m{text}\e[0m" : text;

    public static string Yellow(string text, bool colour) => colour ? $"\e[33m{text}\e[0m" : text;

    public static string Green(string text, bool colour) => colour ? $"\e[32m{text}\e[0m" : text;

    public static string Dim(string text, bool colour) => colour ? $"\e[2m{text}\e[0m" : text;

    /// <summary>Prints a complaint: what, where, how to fix it.</summary>
    public static void Complain(Diagnostic d)
    {
        string word = d.Severity switch { Severity.Error => Red("error", ErrorColour), Severity.Warning => Yellow("warning", ErrorColour), _ => "info" };
        var text = new StringBuilder($"{word}[{d.Code}]: {Bold(d.Message, ErrorColour)}");
        if (!string.IsNullOrEmpty(d.Subject)) text.Append($" ({d.Subject})");
        if (d.Place.ToString() is { Length: > 0 } place) text.Append($"\n  --> {place}");
        if (!string.IsNullOrEmpty(d.Remedy)) text.Append($"\n  help: {d.Remedy}");
        Console.Error.WriteLine(text);
    }

    /// <summary>Columns with two or three spaces between them, as kubectl prints them.</summary>
    public static void Table(TextWriter to, IReadOnlyList<string> head, IEnumerable<IReadOnlyList<string>> rows)
    {
        List<IReadOnlyList<string>> all = [head, .. rows];
        int[] widths = [.. Enumerable.Range(0, head.Count).Select(c => all.Max(r => r[c].Length))];
        foreach (IReadOnlyList<string> row in all)
        {
            var line = new StringBuilder();
            for (int c = 0; c < row.Count; c++)
            {
                line.Append(row[c]);
                if (c + 1 < row.Count) line.Append(' ', widths[c] - row[c].Length + 3);
            }
            to.WriteLine(line.ToString().TrimEnd());
        }
    }

    /// <summary>JSON for people and programs.</summary>
    public static void Json<T>(T value) =>
        Console.Out.WriteLine(JsonSerializer.Serialize(value, Inspect.MeshLocation.Json));

    /// <summary>12 s, 3 m, 2 h, 4 d.</summary>
    public static string Age(TimeSpan age) => age switch
    {
        { TotalSeconds: < 0 } => "0s",
        { TotalSeconds: < 120 } => $"{(int)age.TotalSeconds}s",
        { TotalMinutes: < 120 } => $"{(int)age.TotalMinutes}m",
        { TotalHours: < 48 } => $"{(int)age.TotalHours}h",
        _ => $"{(int)age.TotalDays}d",
    };

    /// <summary>Bytes as MB.</summary>
    public static string Megabytes(long bytes) => $"{(bytes + (1 << 19)) >> 20} MB";
}

/// <summary>One line of progress on standard error; on a terminal it is written over and vanishes.</summary>
internal sealed class Progress : IProgress<string>, IDisposable
{
    private readonly bool _live = !Console.IsErrorRedirected;
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

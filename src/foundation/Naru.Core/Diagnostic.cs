// What Naru has to say about something a person wrote: one shape for the command line, webhooks, NACKs and the console.
// Stands below everything; it knows no file format and prints nothing by itself.
using System.Text;

namespace Naru.Core;

/// <summary>How bad a <see cref="Diagnostic"/> is. Only <see cref="Error"/> keeps configuration from being used.</summary>
public enum Severity
{
    /// <summary>The object cannot be used.</summary>
    Error,

    /// <summary>Used, but probably not as its author meant.</summary>
    Warning,

    /// <summary>Worth knowing.</summary>
    Info,
}

/// <summary>Where something was written. Lines and columns count from 1; 0 means unknown.</summary>
public readonly record struct Place(string? File, int Line = 0, int Column = 0)
{
    /// <summary>A place nobody can point at, for example a resource that came over xDS.</summary>
    public static Place Unknown => default;

    /// <summary><c>file:line:column</c>, as far as it is known.</summary>
    public override string ToString()
    {
        if (File is null) return Line > 0 ? $"{Line}:{Column}" : "";
        if (Line <= 0) return File;
        return Column > 0 ? $"{File}:{Line}:{Column}" : $"{File}:{Line}";
    }
}

/// <summary>One complaint: stable code, place, cause and remedy.</summary>
/// <param name="Code">Stable, for example <c>NARU-C101</c>. Codes below 100 are about reading, above about meaning.</param>
/// <param name="Severity">Error, warning or info.</param>
/// <param name="Message">The cause in one sentence that names the field or object.</param>
/// <param name="Place">File, line and column, where known.</param>
/// <param name="Subject">The field path or object, for example <c>static_resources.clusters[0].lb_policy</c> or <c>VirtualService default/reviews</c>.</param>
/// <param name="Remedy">What to do about it; null where nothing sensible can be said.</param>
public record Diagnostic(string Code, Severity Severity, string Message, Place Place = default, string? Subject = null, string? Remedy = null)
{
    /// <summary><c>file:line:column: error[CODE]: message (subject); help: remedy</c> on one line.</summary>
    public sealed override string ToString()
    {
        var text = new StringBuilder();
        string place = Place.ToString();
        if (place.Length > 0) text.Append(place).Append(": ");
        text.Append(Severity switch { Severity.Error => "error", Severity.Warning => "warning", _ => "info" });
        text.Append('[').Append(Code).Append("]: ").Append(Message);
        if (!string.IsNullOrEmpty(Subject)) text.Append(" (").Append(Subject).Append(')');
        if (!string.IsNullOrEmpty(Remedy)) text.Append("; help: ").Append(Remedy);
        return text.ToString();
    }
}

/// <summary>Collects diagnostics: validation reports every fault, never only the first. Not safe for concurrent use.</summary>
public sealed class Diagnostics
{
    /// <summary>Kept of each severity; what is beyond is counted. Nobody reads more, and whoever writes a bad file must not be able to fill a log.</summary>
    public const int Most = 500;

    /// <summary>Characters of a message.</summary>
    public const int MostText = 2000;

    private readonly List<Diagnostic> _items = [];
    private readonly int[] _found = new int[3];

    /// <summary>In the order they were found; the last ones say how many were left out.</summary>
    public IReadOnlyList<Diagnostic> Items => _found.Max() <= Most ? _items : [.. _items, .. LeftOut()];

    /// <summary>Whether anything found is an error.</summary>
    public bool HasErrors { get; private set; }

    /// <summary>Adds one.</summary>
    public void Add(Diagnostic diagnostic)
    {
        if (++_found[(int)diagnostic.Severity] <= Most)
            _items.Add(diagnostic.Message.Length <= MostText ? diagnostic : diagnostic with { Message = $"{diagnostic.Message.AsSpan(0, MostText)}…" });
        HasErrors |= diagnostic.Severity == Severity.Error;
    }

    private IEnumerable<Diagnostic> LeftOut()
    {
        foreach (Severity severity in Enum.GetValues<Severity>())
        {
            int left = _found[(int)severity] - Most;
            if (left > 0) yield return new Diagnostic("NARU-C199", severity, $"{left} more of this severity were found and are left out");
        }
    }

    /// <summary>Adds an error.</summary>
    public void Error(string code, string message, Place place = default, string? subject = null, string? remedy = null) =>
        Add(new Diagnostic(code, Severity.Error, message, place, subject, remedy));

    /// <summary>Adds a warning.</summary>
    public void Warning(string code, string message, Place place = default, string? subject = null, string? remedy = null) =>
        Add(new Diagnostic(code, Severity.Warning, message, place, subject, remedy));

    /// <summary>Adds many.</summary>
    public void AddRange(IEnumerable<Diagnostic> diagnostics)
    {
        foreach (Diagnostic diagnostic in diagnostics) Add(diagnostic);
    }
}

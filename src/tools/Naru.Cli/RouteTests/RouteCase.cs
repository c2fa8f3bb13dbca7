// One case of a file of route tests: a request, and what is expected to become of it. What comes is the proxy's own explanation; here it is only compared.
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Cli.Output;
using Naru.Core;

namespace Naru.Cli.RouteTests;

/// <summary>One case.</summary>
/// <param name="Name">For people.</param>
/// <param name="Place">Where it stands.</param>
/// <param name="Request">Fields of docs/reference/explain.md.</param>
/// <param name="Expected">At least one.</param>
internal sealed record RouteCase(string Name, Place Place, IReadOnlyDictionary<string, object> Request, IReadOnlyList<Expectation> Expected)
{
    /// <summary>What is not as expected, a sentence each.</summary>
    public IReadOnlyList<string> Check(JsonElement explanation) => [.. Expected.Select(e => e.Fault(this, explanation)).OfType<string>()];

    /// <summary>The headers with which the request goes on: its own, less what is taken out, and what is added.</summary>
    public IReadOnlyList<string> SentHeaders(JsonElement explanation)
    {
        List<string> sent = [.. (Request.TryGetValue("headers", out object? own) ? (IEnumerable<string>)own : []).Select(Line)];
        foreach (JsonElement removed in Json.Items(explanation, "upstream_request", "headers_removed")) sent.Remove(removed.GetString()!);
        foreach (JsonElement added in Json.Items(explanation, "upstream_request", "headers_added")) sent.Add(added.GetString()!);
        return sent;
    }

    private static string Line(string header)
    {
        int colon = header.IndexOf(':', 1);
        return $"{header[..colon].Trim().ToLowerInvariant()}: {header[(colon + 1)..].Trim()}";
    }
}

/// <summary>What is expected of one thing.</summary>
/// <param name="Field">As it is written in the file.</param>
/// <param name="Place">Where.</param>
internal abstract record Expectation(string Field, Place Place)
{
    /// <summary>A sentence where it is not so.</summary>
    public abstract string? Fault(RouteCase of, JsonElement explanation);
}

/// <summary>A text is expected at a place of the explanation; an empty one means that there is none.</summary>
/// <param name="Path">Where it stands.</param>
/// <param name="Wanted">What.</param>
internal sealed record TextExpectation(string Field, Place Place, string[] Path, string Wanted) : Expectation(Field, Place)
{
    public override string? Fault(RouteCase of, JsonElement explanation)
    {
        // Of a request that goes nowhere there is no cluster, whatever the route wanted.
        bool goes = Json.Text(explanation, "outcome", "kind") == "forward";
        string found = !goes && Path[0] == "cluster" ? "" : Json.Text(explanation, Path);
        if (found == Wanted) return null;
        return $"{Field}: expected {Shown(Wanted)}, got {Shown(found)}{(goes || found.Length > 0 || Path[0] == "outcome" ? "" : $" (the request {Outcome(explanation)})")}";
    }

    private static string Shown(string text) => text.Length == 0 ? "none" : text;

    private static string Outcome(JsonElement explanation)
    {
        string kind = Json.Text(explanation, "outcome", "kind"), status = Json.Text(explanation, "outcome", "status"), reason = Json.Text(explanation, "outcome", "reason");
        return kind == "redirect" ? $"is redirected to {Json.Text(explanation, "outcome", "location")}" : $"is answered {status}{(reason.Length > 0 ? $": {reason}" : "")}";
    }
}

/// <summary>A header is expected, or expected not to be there.</summary>
/// <param name="OfAnswer">Of the answer; else of the request as it goes on.</param>
/// <param name="Name">Lower case.</param>
/// <param name="What">In words.</param>
/// <param name="Fits">Judges all values, of which there may be none.</param>
internal sealed record HeaderExpectation(string Field, Place Place, bool OfAnswer, string Name, string What, Func<IReadOnlyList<string>, bool> Fits) : Expectation(Field, Place)
{
    public override string? Fault(RouteCase of, JsonElement explanation)
    {
        IEnumerable<string> lines = !OfAnswer ? of.SentHeaders(explanation)
            : Json.Text(explanation, "outcome", "kind") == "forward" ? Json.Items(explanation, "answer_headers_added").Select(h => h.GetString()!)
            : Json.Items(explanation, "outcome", "headers").Select(h => h.GetString()!);
        string[] values = [.. lines.Where(l => l.StartsWith(Name + ": ", StringComparison.Ordinal)).Select(l => l[(Name.Length + 2)..])];
        return Fits(values) ? null : $"{Field}: expected {Name} {What}, got {(values.Length == 0 ? "none" : string.Join(" and ", values))}";
    }

    /// <summary>A judge of one value.</summary>
    public static Func<IReadOnlyList<string>, bool> Any(Func<string, bool> fits, bool inverted = false) => values => values.Any(fits) != inverted;

    /// <summary>A judge by pattern: the whole value, in linear time.</summary>
    public static Func<string, bool> ByPattern(string pattern)
    {
        var regex = new Regex($"^(?:{pattern})$", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        return regex.IsMatch;
    }
}

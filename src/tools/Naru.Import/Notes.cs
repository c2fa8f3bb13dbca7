// What is said about a file that is imported: every word of it is expressed, dropped by name, changed, or without effect, and the
// last three are said here, each with its own code. Codes are explained in docs/reference/import.md.
using Naru.Core;

namespace Naru.Import;

/// <summary>Codes of imports.</summary>
public static class Codes
{
    /// <summary>The file cannot be read.</summary>
    public const string Unreadable = "NARU-I001";

    /// <summary>It is not written in the language of its kind.</summary>
    public const string Syntax = "NARU-I002";

    /// <summary>There is nothing in it that could be imported.</summary>
    public const string Nothing = "NARU-I003";

    /// <summary>What was written is refused; a fault of the importer.</summary>
    public const string Refused = "NARU-I004";

    /// <summary>Dropped: Naru has nothing like it.</summary>
    public const string Dropped = "NARU-I101";

    /// <summary>Dropped: nobody knows this word.</summary>
    public const string Unknown = "NARU-I102";

    /// <summary>Dropped: the value is none.</summary>
    public const string Value = "NARU-I103";

    /// <summary>A route was left out whole, since its condition cannot be expressed.</summary>
    public const string LeftOut = "NARU-I104";

    /// <summary>A route is closed (403), since what guards it cannot be expressed.</summary>
    public const string Closed = "NARU-I105";

    /// <summary>Dropped here, and expressed with <c>--proxy</c>.</summary>
    public const string OnlyProxy = "NARU-I106";

    /// <summary>Expressed, but some requests see something else.</summary>
    public const string Changed = "NARU-I107";

    /// <summary>Expressed; a small difference. Information.</summary>
    public const string Slight = "NARU-I201";

    /// <summary>Without effect on a proxy, or done by Naru in any case. Information.</summary>
    public const string NoEffect = "NARU-I202";
}

/// <summary>Collects what there is to say about one import.</summary>
internal sealed class Notes
{
    /// <summary>Everything so far, in the order of finding.</summary>
    public Diagnostics Found { get; } = new();

    // What is read for each port that a server listens on is said once.
    private readonly HashSet<Diagnostic> _said = [];

    private void Say(string code, Severity severity, string message, Place place, string? subject, string? remedy)
    {
        var said = new Diagnostic(code, severity, message, place, subject, remedy);
        if (_said.Count > 20_000 || _said.Add(said)) Found.Add(said);
    }

    private void Warn(string code, string message, Place place, string subject, string? remedy) =>
        Say(code, Severity.Warning, message, place, subject, remedy);

    public void Syntax(Place place, string message, string? remedy = null) => Found.Error(Codes.Syntax, message, place, null, remedy);

    public void Unreadable(Place place, string message, string? remedy = null) => Found.Error(Codes.Unreadable, message, place, null,
        remedy);

    public void Nothing(Place place, string message, string? remedy) => Found.Error(Codes.Nothing, message, place, null, remedy);

    public void Dropped(Place place, string subject, string message, string? remedy = null) =>
        Warn(Codes.Dropped, $"dropped: {message}", place, subject, remedy);

    public void Unknown(Place place, string subject, string word, IEnumerable<string> known) => Warn(Codes.Unknown,
        $"dropped: nothing here knows \"{Short(word)}\"", place, subject, Nearest.Suggestion(word, known)
        ?? "say in Istio's or Envoy's words what it does, if routes need it");

    public void Value(Place place, string subject, string message, string? remedy = null) =>
        Warn(Codes.Value, $"dropped: {message}", place, subject, remedy);

    public void LeftOut(Place place, string subject, string message, string? remedy = null) =>
        Warn(Codes.LeftOut, $"left out: {message}", place, subject, remedy);

    /// <summary>A route that is left out; what it took is refused, unless the user wants it to go to the next one.</summary>
    public void Refused(Place place, string subject, string message, string? remedy = null) => Warn(Codes.LeftOut,
        $"left out: {message}; its requests get 403 rather than another route", place, subject, remedy
        ?? "--unguarded leaves them to the next route");

    public void Closed(Place place, string subject, string guard) => Warn(Codes.Closed,
        $"closed: {guard}; the route answers 403 rather than to stand open", place, subject, "--unguarded imports it open");

    public void OnlyProxy(Place place, string subject, string message, string? remedy = null) => Warn(Codes.OnlyProxy,
        $"dropped: {message}", place, subject, remedy ?? "a bootstrap has it: add --proxy");

    public void Changed(Place place, string subject, string message, string? remedy = null) =>
        Warn(Codes.Changed, $"changed: {message}", place, subject, remedy);

    public void Slight(Place place, string subject, string message) => Say(Codes.Slight, Severity.Info, message, place, subject, null);

    public void NoEffect(Place place, string subject, string message) => Say(Codes.NoEffect, Severity.Info, message, place, subject, null);

    public static string Short(string text) => (text.Length > 60 ? text[..57] + "..." : text).ReplaceLineEndings(" ");
}

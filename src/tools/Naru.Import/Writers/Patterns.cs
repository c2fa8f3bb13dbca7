// Rewrites of matched prefixes as patterns, for writers whose target replaces prefixes letter by letter only.
using Naru.Import.Model;

namespace Naru.Import.Writers;

internal static class Patterns
{
    /// <summary>The same as a pattern over the whole path; null where the route matches nothing that could be replaced.</summary>
    public static ReplaceRegex? Of(ImportedRoute route, ReplaceMatched replace)
    {
        if (route.Matches.FirstOrDefault(m => m.Kind != PathKind.Regex) is not { } match) return null;
        string begin = match.IgnoreCase ? "(?i)^" : "^", path = Named.Quote(match.Path), with = Named.Literal(replace.With);
        return match.Kind switch
        {
            PathKind.Segments when replace.With.Length == 0 => new ReplaceRegex($"{begin}{path}/?(.*)$", @"/\1"),
            PathKind.Segments or PathKind.Prefix => new ReplaceRegex($"{begin}{path}(.*)$", $@"{with}\1"),
            _ => new ReplaceRegex("^/.*$", with),
        };
    }
}

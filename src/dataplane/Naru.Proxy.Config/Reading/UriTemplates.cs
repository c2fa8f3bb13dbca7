// Templates of paths (envoy.extensions.path.match.uri_template, .rewrite.uri_template): each becomes a pattern of whole paths whose groups are its variables,
// compared in linear time. Refuses what Envoy's documentation of UriTemplateMatchConfig does not allow.
using System.Collections.Immutable;
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Path.Match.UriTemplate.V3;
using Envoy.Extensions.Path.Rewrite.UriTemplate.V3;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads templates.</summary>
internal static class UriTemplates
{
    private const string MatchType = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
    private const string RewriteType = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";
    private const int MostLength = 256, MostVariables = 5, MostName = 16;

    // What a path's segment may hold (RFC 3986 3.3).
    private const string Pchar = "-A-Za-z0-9._~%!$&'()+,;:@=";

    /// <summary>The template of <c>path_match_policy</c>; null after an error.</summary>
    public static UriTemplateConfig? Match(Scope scope, TypedExtensionConfig policy)
    {
        string type = policy.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : policy.Name;
        if (policy.TypedConfig is null || type != MatchType)
        {
            scope.Error("typed_config", "NARU-C112", $"Naru does not support the path matcher {type}", $"known here: {MatchType}");
            return null;
        }
        if (scope.Pass.Unpack<UriTemplateMatchConfig>(policy.TypedConfig, scope) is not { } config) return null;
        Scope at = scope.In("typed_config", config);
        FieldWalk.Check(at);
        if (!IsLong(at, "path_template", config.PathTemplate)) return null;
        var variables = new List<string>();
        if (Pattern(config.PathTemplate, variables, out string fault) is { } pattern)
            return new UriTemplateConfig(config.PathTemplate, Re2.Compile(pattern, whole: true), [.. variables]);
        at.Error("path_template", "NARU-C102", $"\"{config.PathTemplate}\" is not a template of paths: {fault}", "write segments such as /users/{id}/*, and ** once and last");
        return null;
    }

    /// <summary>What <c>path_rewrite_policy</c> puts together; empty without one and after an error.</summary>
    public static ImmutableArray<UriRewritePart> Rewrite(Scope scope, RouteAction action, RouteMatchConfig? match)
    {
        if (action.PathRewritePolicy is not { } policy) return [];
        Scope inside = scope.In("path_rewrite_policy", policy);
        string type = policy.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : policy.Name;
        if (policy.TypedConfig is null || type != RewriteType)
        {
            inside.Error("typed_config", "NARU-C112", $"Naru does not support the path rewriter {type}", $"known here: {RewriteType}");
            return [];
        }
        if (scope.Pass.Unpack<UriTemplateRewriteConfig>(policy.TypedConfig, inside) is not { } config) return [];
        Scope at = inside.In("typed_config", config);
        FieldWalk.Check(at);
        if (!IsLong(at, "path_template_rewrite", config.PathTemplateRewrite) || match is null) return [];
        if (match.Template is not { } template)
        {
            at.Error("path_template_rewrite", "NARU-C113", "there is no template in the route's match whose variables it could use", "add path_match_policy to the match");
            return [];
        }
        var parts = ImmutableArray.CreateBuilder<UriRewritePart>();
        string text = config.PathTemplateRewrite, fault = text[0] == '/' ? "" : "it does not begin with /";
        for (int i = 0; i < text.Length && fault.Length == 0;)
        {
            int open = text.IndexOf('{', i), end = open < 0 ? text.Length : open;
            string literal = text[i..end];
            if (literal.Any(c => !IsLiteral(c) && c != '/') || literal.Contains("//", StringComparison.Ordinal)) fault = $"\"{literal}\" is not a part of a path";
            if (literal.Length > 0) parts.Add(new UriRewritePart(literal, 0));
            i = end;
            if (open < 0 || fault.Length > 0) continue;
            int close = text.IndexOf('}', open);
            string name = close < 0 ? "" : text[(open + 1)..close];
            int at2 = template.Variables.IndexOf(name);
            if (close < 0) fault = "a brace is not closed";
            else if (at2 < 0) fault = $"the match has no variable \"{name}\"";
            else parts.Add(new UriRewritePart(null, at2 + 1));
            i = close + 1;
        }
        if (fault.Length == 0) return parts.ToImmutable();
        at.Error("path_template_rewrite", "NARU-C102", $"\"{text}\" cannot be made: {fault}", $"variables of the match: {string.Join(", ", template.Variables)}");
        return [];
    }

    private static bool IsLong(Scope scope, string field, string template)
    {
        if (!Values.Required(scope, field, template)) return false;
        if (template.Length <= MostLength) return true;
        scope.Error(field, "NARU-C102", $"the template has {template.Length} characters; the most is {MostLength}");
        return false;
    }

    // Null with the reason.
    private static string? Pattern(string template, List<string> variables, out string fault)
    {
        fault = template[0] == '/' ? "" : "it does not begin with /";
        if (fault.Length > 0) return null;
        var pattern = new StringBuilder();
        bool anyDeep = false;
        foreach (string segment in Segments(template[1..]))
        {
            pattern.Append('/');
            int operators = 0;
            for (int i = 0; i < segment.Length && fault.Length == 0;)
            {
                if (segment[i] is '*' or '{')
                {
                    if (operators++ > 0) fault = $"\"{segment}\" has two operators";
                    if (anyDeep) fault = "an operator stands behind **";
                    i = segment[i] == '*' ? Star(segment, i, pattern, ref anyDeep) : Variable(segment, i, pattern, variables, ref anyDeep, ref fault);
                }
                else if (IsLiteral(segment[i])) pattern.Append(Regex.Escape(segment[i++].ToString()));
                else fault = $"\"{segment[i]}\" stands in no path";
            }
            if (fault.Length > 0) return null;
        }
        if (template.Contains("//", StringComparison.Ordinal)) fault = "a segment is empty";
        return fault.Length == 0 ? pattern.ToString() : null;
    }

    // A slash within braces belongs to a variable's own pattern.
    private static List<string> Segments(string rest)
    {
        var segments = new List<string>();
        int depth = 0, start = 0;
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i] == '{') depth++;
            else if (rest[i] == '}') depth--;
            if (rest[i] != '/' || depth > 0) continue;
            segments.Add(rest[start..i]);
            start = i + 1;
        }
        segments.Add(rest[start..]);
        return segments;
    }

    private static int Star(string text, int at, StringBuilder pattern, ref bool anyDeep)
    {
        bool deep = at + 1 < text.Length && text[at + 1] == '*';
        anyDeep |= deep;
        pattern.Append(deep ? $"[{Pchar}/]*" : $"[{Pchar}]+");
        return at + (deep ? 2 : 1);
    }

    private static int Variable(string segment, int at, StringBuilder pattern, List<string> variables, ref bool anyDeep, ref string fault)
    {
        int close = segment.IndexOf('}', at);
        if (close < 0)
        {
            fault = "a brace is not closed";
            return segment.Length;
        }
        string inside = segment[(at + 1)..close];
        int equals = inside.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? inside : inside[..equals], own = equals < 0 ? "*" : inside[(equals + 1)..];
        if (name.Length is 0 or > MostName || !char.IsAsciiLetter(name[0]) || name.Any(c => !char.IsAsciiLetterOrDigit(c) && c != '_'))
            fault = $"\"{name}\" is not a name: a letter, then letters, digits and _, {MostName} at most";
        else if (variables.Contains(name)) fault = $"there are two variables \"{name}\"";
        else if (variables.Count == MostVariables) fault = $"there are more than {MostVariables} variables";
        else if (own.Length == 0) fault = $"the pattern of \"{name}\" is empty";
        variables.Add(name);
        pattern.Append('(');
        for (int i = 0; i < own.Length && fault.Length == 0;)
        {
            if (own[i] == '*')
            {
                if (anyDeep) fault = "an operator stands behind **";
                i = Star(own, i, pattern, ref anyDeep);
            }
            else if (own[i] == '/' || IsLiteral(own[i])) pattern.Append(Regex.Escape(own[i++].ToString()));
            else fault = $"\"{own[i]}\" stands in no path";
        }
        pattern.Append(')');
        return close + 1;
    }

    private static bool IsLiteral(char c) => char.IsAsciiLetterOrDigit(c) || "-._~%!$&'()+,;:@=".Contains(c, StringComparison.Ordinal);
}

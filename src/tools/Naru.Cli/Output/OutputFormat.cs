// -o FORMAT, the same for every verb: what it may be, and what is said where it is something else.
using System.CommandLine;
using System.CommandLine.Completions;
using Naru.Core;

namespace Naru.Cli.Output;

internal enum OutputKind
{
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath,
    CustomColumns,
}

/// <summary>How objects are to be printed.</summary>
internal sealed record OutputFormat(OutputKind Kind)
{
    public static readonly OutputFormat Plain = new(OutputKind.Table);
    public static readonly string[] Words = ["wide", "json", "yaml", "name", "jsonpath=", "custom-columns="];

    /// <summary>With <see cref="OutputKind.JsonPath"/>.</summary>
    public JsonPath? Template { get; private init; }
    /// <summary>With <see cref="OutputKind.CustomColumns"/>.</summary>
    public IReadOnlyList<(string Head, JsonPath Path)> Columns { get; private init; } = [];

    public bool IsTable => Kind is OutputKind.Table or OutputKind.Wide;

    /// <summary>Reads one; null for the table.</summary>
    /// <exception cref="TemplateException">There is no such format.</exception>
    public static OutputFormat Parse(string? text)
    {
        if (text is null) return Plain;
        int cut = text.IndexOf('=');
        string word = cut < 0 ? text : text[..cut], rest = cut < 0 ? "" : text[(cut + 1)..];
        switch (word)
        {
            case "wide" or "json" or "yaml" or "name" when cut < 0:
                return new OutputFormat(word switch { "wide" => OutputKind.Wide, "json" => OutputKind.Json, "yaml" => OutputKind.Yaml, _ => OutputKind.Name });
            case "jsonpath":
                if (rest.Length == 0) throw new TemplateException("jsonpath needs a template: -o jsonpath='{.items[*].metadata.name}'");
                return new OutputFormat(OutputKind.JsonPath) { Template = JsonPath.Parse(rest) };
            case "custom-columns":
                if (rest.Length == 0) throw new TemplateException("custom-columns needs columns: -o custom-columns=NAME:.metadata.name,HOSTS:.spec.hosts");
                return new OutputFormat(OutputKind.CustomColumns) { Columns = [.. SplitColumns(rest).Select(Column)] };
            case "wide" or "json" or "yaml" or "name":
                throw new TemplateException($"{word} takes nothing after a =");
            default:
                throw new TemplateException($"there is no output \"{word}\"; {Nearest.Suggestion(word, Words.Select(w => w.TrimEnd('='))) ?? $"there are {string.Join(", ", Words.Select(w => w.EndsWith('=') ? w + "…" : w))}"}");
        }
    }

    /// <summary><c>-o</c>, refused while reading the command line where it is none of ours.</summary>
    public static Option<OutputFormat> Option()
    {
        var option = new Option<OutputFormat>("--output", "-o")
        {
            Description = "wide, json, yaml, name, jsonpath=TEMPLATE, custom-columns=HEAD:PATH,…",
            HelpName = "FORMAT",
            CustomParser = result =>
            {
                try
                {
                    return Parse(result.Tokens[0].Value);
                }
                catch (TemplateException e)
                {
                    result.AddError($"-o: {e.Message}");
                    return null;
                }
            },
        };
        option.CompletionSources.Add(_ => Words.Select(w => new CompletionItem(w)));
        return option;
    }

    /// <summary>Only json, for pages that are one document and no objects.</summary>
    public static Option<string?> JsonOnly(params string[] more)
    {
        string[] words = ["json", .. more];
        var option = new Option<string?>("--output", "-o") { Description = string.Join(", ", words), HelpName = "FORMAT" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !words.Contains(token.Value))
                result.AddError($"-o: there is no output \"{token.Value}\" here; {Nearest.Suggestion(token.Value, words) ?? $"there {(words.Length == 1 ? "is" : "are")} {string.Join(", ", words)}"}");
        });
        option.CompletionSources.Add(_ => words.Select(w => new CompletionItem(w)));
        return option;
    }

    // Commas inside brackets and quotes belong to the path.
    private static IEnumerable<string> SplitColumns(string text)
    {
        int depth = 0, start = 0;
        char quote = '\0';
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (quote != '\0') quote = c == quote ? '\0' : quote;
            else if (c is '"' or '\'') quote = c;
            else if (c is '[' or '(') depth++;
            else if (c is ']' or ')') depth--;
            else if (c == ',' && depth == 0)
            {
                yield return text[start..i];
                start = i + 1;
            }
        }
        yield return text[start..];
    }

    private static (string, JsonPath) Column(string text)
    {
        int colon = text.IndexOf(':');
        if (colon <= 0 || colon == text.Length - 1) throw new TemplateException($"column \"{text}\" is not HEAD:PATH, for example NAME:.metadata.name");
        return (text[..colon], JsonPath.Expression(text[(colon + 1)..]));
    }
}

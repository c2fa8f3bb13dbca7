// What the library that reads the command line leaves open: options glued to their values as kubectl's users write them (-oyaml, -nshop,
// -Aw), options before the verb, and above all that a word with a dash is an option or a mistake, never a name.
using System.CommandLine;
using System.CommandLine.Parsing;
using Naru.Core;

namespace Naru.Cli;

internal static class Arguments
{
    // Verbs of kubectl and istioctl that are not here, and what to do in their place.
    private static readonly Dictionary<string, string> s_elsewhere = new(StringComparer.Ordinal)
    {
        ["exec"] = "a pod here is a process of this machine: there is no container to enter. `naru status` says its pid and address; any shell can reach both",
        ["attach"] = "a pod here is a process of this machine; `naru logs -f NAME` shows what it writes",
        ["cp"] = "a pod here is a process of this machine and sees the same files",
        ["analyze"] = "`naru validate FILES` says what is wrong with files, `naru get KIND` marks what is wrong in the running mesh",
        ["replace"] = "`naru apply -f FILE` replaces whole objects",
        ["patch"] = "`naru edit KIND NAME`, or change the file and `naru apply` it",
        ["label"] = "labels are set in manifests: `naru edit KIND NAME`",
        ["annotate"] = "annotations are set in manifests: `naru edit KIND NAME`",
        ["expose"] = "a Service is written as a manifest and applied: `naru apply -f FILE`",
        ["wait"] = "`naru rollout status deployment/NAME` waits for a Deployment",
        ["config"] = "meshes are chosen by name: --mesh NAME, or $NARU_MESH",
        ["cluster-info"] = "`naru status` says what runs and where",
        ["ps"] = "`naru proxy-status`",
        ["pc"] = "`naru get` shows configuration; a proxy's own is at its admin page config_dump",
        ["proxy-config"] = "`naru get` shows configuration; a proxy's own is at its admin page config_dump",
        ["install"] = "Naru is not installed on Kubernetes yet; `naru up PATH` runs a mesh here, `naru control` a control plane",
        ["dashboard"] = "`naru status` and `naru top pods` say how the mesh is",
    };

    /// <summary>The arguments as the library understands them.</summary>
    public static string[] Expand(RootCommand root, string[] args)
    {
        int at = VerbAt(root, args);
        if (at > 0) args = [args[at], .. args[..at], .. args[(at + 1)..]];
        var made = new List<string>();
        Command command = root;
        bool valueNext = false;
        for (int i = 0; i < args.Length; i++)
        {
            string word = args[i];
            if (word == "--")
            {
                made.AddRange(args[i..]);
                break;
            }
            if (valueNext) made.Add(word);
            else if (command.Subcommands.FirstOrDefault(c => c.Name == word || c.Aliases.Contains(word)) is { } sub)
            {
                command = sub;
                made.Add(word);
            }
            // What may stand alone must not swallow the next word.
            else if (word == "--dry-run") made.Add("--dry-run=server");
            else made.AddRange(Unglue(command, word));
            valueNext = !valueNext && TakesValue(command, made[^1]);
        }
        return [.. made];
    }

    /// <summary>What is wrong with a command line, in our words; empty where nothing is.</summary>
    public static IReadOnlyList<string> Faults(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string verb = Path(parsed.CommandResult) is var path && path.Length > 5 ? path[5..] : path;
        if (Strays(parsed) is { Count: > 0 } strays) return [.. strays.Select(s => Unknown(command, verb, s))];
        if (parsed.Errors.Count == 0) return [];
        if (parsed.UnmatchedTokens is [var word, ..])
        {
            if (command.Subcommands.Count == 0) return [$"unexpected \"{word}\" after {verb}{(command.Options.Any(o => o.Name == "--filename") ? "; each file has an -f of its own" : "")}"];
            if (command is RootCommand && s_elsewhere.TryGetValue(word, out string? instead)) return [$"there is no {word}: {instead}"];
            IEnumerable<string> verbs = command.Subcommands.SelectMany(c => c.Aliases.Prepend(c.Name));
            return [$"there is no \"{(command is RootCommand ? word : $"{verb} {word}")}\"; {Nearest.Suggestion(word, verbs) ?? $"there are {string.Join(", ", command.Subcommands.Select(c => c.Name))}"}"];
        }
        return [.. parsed.Errors.Select(e => Sentence(e, command, verb)).Distinct()];
    }

    /// <summary><c>naru rollout undo</c>.</summary>
    public static string Path(CommandResult result)
    {
        string path = result.Command is RootCommand ? "naru" : result.Command.Name;
        for (SymbolResult? above = result.Parent; above is CommandResult parent; above = parent.Parent) path = $"{(parent.Command is RootCommand ? "naru" : parent.Command.Name)} {path}";
        return path;
    }

    private static int VerbAt(RootCommand root, string[] args)
    {
        for (int i = 0; i < args.Length && args[i] != "--"; i++)
        {
            if (args[i].StartsWith('-')) continue;
            return root.Subcommands.Any(c => c.Name == args[i] || c.Aliases.Contains(args[i])) ? i : i > 0 && args[i - 1].StartsWith('-') && !args[i - 1].Contains('=') ? Next(i) : 0;
        }
        return 0;

        // A word after an option may be its value.
        int Next(int i) => i + 1 < args.Length && root.Subcommands.Any(c => c.Name == args[i + 1]) ? i + 1 : 0;
    }

    // -oyaml is -o yaml, -Aw is -A -w; what has a letter that is no option stays whole and is refused whole.
    private static IEnumerable<string> Unglue(Command command, string word)
    {
        if (word.Length < 3 || word[0] != '-' || word[1] == '-' || word[2] == '=' || command.Options.Any(o => o.Aliases.Contains(word))) return [word];
        var parts = new List<string>();
        for (int i = 1; i < word.Length; i++)
        {
            string name = $"-{word[i]}";
            if (command.Options.FirstOrDefault(o => o.Aliases.Contains(name)) is not { } option) return [word];
            parts.Add(name);
            if (option.ValueType == typeof(bool)) continue;
            if (i + 1 < word.Length) parts.Add(word[(i + 1)..].TrimStart('='));
            break;
        }
        return parts;
    }

    private static bool TakesValue(Command command, string word) =>
        word.StartsWith('-') && command.Options.FirstOrDefault(o => o.Name == word || o.Aliases.Contains(word)) is { } option && option.ValueType != typeof(bool) && option.Arity.MinimumNumberOfValues > 0;

    // Words with a dash, before any --, that were taken as names or by nobody.
    private static List<string> Strays(ParseResult parsed)
    {
        var named = new HashSet<Token>(parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens), ReferenceEqualityComparer.Instance);
        var unmatched = new List<string>(parsed.UnmatchedTokens);
        var found = new List<string>();
        foreach (Token token in parsed.Tokens)
        {
            if (token.Type == TokenType.DoubleDash) break;
            if (token.Value.Length > 1 && token.Value[0] == '-' && token.Type != TokenType.Option && (named.Contains(token) || unmatched.Contains(token.Value))) found.Add(token.Value);
        }
        return found;
    }

    private static string Unknown(Command command, string verb, string word)
    {
        string name = word.Split('=')[0];
        IEnumerable<string> known = command.Options.SelectMany(o => o.Aliases.Prepend(o.Name)).Where(o => o.StartsWith("--", StringComparison.Ordinal));
        string? near = name.Length > 2 ? Nearest.Suggestion(name, known) : null;
        bool wraps = command.Arguments.Any(a => a.Name == "CMD");
        return $"{verb} has no option \"{name}\"{(near is not null ? $"; {near}" : wraps ? "; what belongs to the command stands after --" : "")}";
    }

    private static string Sentence(ParseError error, Command command, string verb)
    {
        if (error.SymbolResult is ArgumentResult { Parent: CommandResult } argument && argument.Tokens.Count < argument.Argument.Arity.MinimumNumberOfValues)
            return $"{verb}: {argument.Argument.Name} is missing";
        if (error.SymbolResult is OptionResult { Tokens.Count: 0, Implicit: false } option) return $"{option.Option.Name} needs a value";
        if (error.SymbolResult is OptionResult { Tokens: [var value, ..] } given
            && error.Message.StartsWith("Cannot parse", StringComparison.Ordinal))
        {
            Type type = given.Option.ValueType.GetElementType() ?? Nullable.GetUnderlyingType(given.Option.ValueType)
                ?? given.Option.ValueType;
            string no = type == typeof(int) ? "is no whole number" : type == typeof(bool)
                ? "is neither true nor false" : "is not understood";
            return $"{given.Option.Name}: \"{value.Value}\" {no}";
        }
        if (command.Subcommands.Count > 0) return $"{verb} what? There are {string.Join(", ", command.Subcommands.Select(c => c.Name))}";
        return error.Message.TrimEnd('.');
    }
}

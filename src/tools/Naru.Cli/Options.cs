// Options that verbs share, each made in one place, so that one word means one thing whatever the verb.
using System.CommandLine;
using System.Globalization;
using Naru.Cli.Output;
using Naru.Core;

namespace Naru.Cli;

/// <summary>Whether something is only tried.</summary>
internal enum DryRun
{
    /// <summary>It is done.</summary>
    None,
    /// <summary>Only what can be said here is said; where files are read, no mesh is needed.</summary>
    Client,
    /// <summary>The control plane judges, and changes nothing.</summary>
    Server,
}

/// <summary>Where a verb works: mesh or control plane, and namespace.</summary>
internal sealed class ScopeOptions
{
    public Option<string> Mesh { get; } = Where.MeshOption();
    public Option<string?> Server { get; } = Where.ServerOption();
    public Option<string?> Token { get; } = Where.TokenOption();
    public Option<string?> Namespace { get; } = new("--namespace", "-n") { Description = "Namespace (default: default)", HelpName = "NAMESPACE" };
    public Option<bool> Everywhere { get; } = new("--all-namespaces", "-A") { Description = "Every namespace" };

    public ScopeOptions() => Namespace.CompletionSources.Add(Completions.Namespaces);

    public void AddTo(Command command, bool everywhere = true)
    {
        command.Add(Namespace);
        if (everywhere) command.Add(Everywhere);
        command.Add(Mesh);
        command.Add(Server);
        command.Add(Token);
    }

    /// <summary>The namespace asked for; null for all.</summary>
    public string? Space(ParseResult parsed) => parsed.GetResult(Everywhere) is not null && parsed.GetValue(Everywhere) ? null : parsed.GetValue(Namespace) ?? "default";

    public Cluster Open(ParseResult parsed) => Cluster.Open(parsed.GetValue(Mesh)!, parsed.GetValue(Server), parsed.GetValue(Token));
}

/// <summary>Which files a verb reads.</summary>
internal sealed class FileOptions
{
    public Option<string[]> Files { get; } = new("--filename", "-f") { Description = "File, folder, URL, or - for standard input; may be given several times", HelpName = "PATH", Arity = new ArgumentArity(1, 1000), AllowMultipleArgumentsPerToken = false };
    public Option<string?> Kustomize { get; } = new("--kustomize", "-k") { Description = "Folder with a kustomization.yaml (only its resources)", HelpName = "FOLDER" };
    public Option<bool> Recursive { get; } = new("--recursive", "-R") { Description = "Folders with all that is below them" };

    public void AddTo(Command command)
    {
        command.Add(Files);
        command.Add(Kustomize);
        command.Add(Recursive);
    }

    public bool Any(ParseResult parsed) => parsed.GetValue(Files) is { Length: > 0 } || parsed.GetValue(Kustomize) is not null;

    /// <summary>The texts, or null where something cannot be read; that was said then.</summary>
    public async Task<IReadOnlyList<ManifestText>?> ReadAsync(ParseResult parsed, CancellationToken cancel)
    {
        var faults = new Diagnostics();
        IReadOnlyList<ManifestText> found = await ManifestFiles.ReadAsync(parsed.GetValue(Files) ?? [], parsed.GetValue(Kustomize), parsed.GetValue(Recursive), faults, cancel).ConfigureAwait(false);
        foreach (Diagnostic d in faults.Items) Screen.Complain(d);
        return faults.HasErrors ? null : found;
    }
}

/// <summary>Which objects are shown, and how.</summary>
internal sealed class ListOptions
{
    public Option<OutputFormat> Output { get; } = OutputFormat.Option();
    public Option<Selector> Selector { get; } = Options.Selector();
    public Option<bool> Labels { get; } = new("--show-labels") { Description = "Labels as a last column" };
    public Option<bool> NoHeaders { get; } = new("--no-headers") { Description = "Tables without headings" };
    public Option<JsonPath?> SortBy { get; } = new("--sort-by")
    {
        Description = "Sort by what this JSONPath finds, for example .metadata.name",
        HelpName = "JSONPATH",
        CustomParser = result =>
        {
            try
            {
                return JsonPath.Expression(result.Tokens[0].Value);
            }
            catch (TemplateException e)
            {
                result.AddError($"--sort-by: {e.Message}");
                return null;
            }
        },
    };

    public void AddTo(Command command)
    {
        command.Add(Selector);
        command.Add(Output);
        command.Add(Labels);
        command.Add(NoHeaders);
        command.Add(SortBy);
    }

    public ListView View(ParseResult parsed) => new() { Labels = parsed.GetValue(Labels), Heads = !parsed.GetValue(NoHeaders), SortBy = parsed.GetValue(SortBy) };
}

internal static class Options
{
    public static Option<Selector> Selector() => new("--selector", "-l")
    {
        Description = "Only objects with these labels: a=b, a!=b, a in (x,y), a notin (x,y), a, !a",
        HelpName = "LABELS",
        CustomParser = result =>
        {
            try
            {
                return Output.Selector.Parse(result.Tokens[0].Value);
            }
            catch (TemplateException e)
            {
                result.AddError($"-l: {e.Message}");
                return null;
            }
        },
    };

    /// <summary><c>--dry-run[=client|server|none]</c>; without a word (see <see cref="Arguments"/>) the control plane is asked.</summary>
    public static Option<DryRun> DryRunOption()
    {
        string[] words = ["client", "server", "none"];
        var option = new Option<DryRun>("--dry-run")
        {
            Description = "Change nothing, say what would happen: client (files only), server (the control plane judges; also without a word)",
            HelpName = "client|server|none",
            CustomParser = result =>
            {
                string word = result.Tokens[0].Value;
                if (words.Contains(word)) return word switch { "client" => DryRun.Client, "server" => DryRun.Server, _ => DryRun.None };
                result.AddError($"--dry-run: \"{word}\" is none of client, server, none{(Nearest.Suggestion(word, words) is { } near ? $"; {near}" : "")}");
                return DryRun.Server;
            },
        };
        option.CompletionSources.Add(words);
        return option;
    }

    /// <summary>Refuses a number outside of a range as wrong usage, before anything is asked.</summary>
    public static Option<T> InRange<T>(this Option<T> option, long least, long most, string what)
    {
        option.Validators.Add(result =>
        {
            foreach (string text in result.Tokens.Select(t => t.Value))
            {
                if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
                    && (number < least || number > most))
                    result.AddError($"{option.Name} {text} is {what}; {least} to {most}");
            }
        });
        return option;
    }

    /// <summary>What stands behind "created", "deleted" … where it was only tried.</summary>
    public static string Suffix(DryRun dry) => dry switch { DryRun.Client => " (dry run)", DryRun.Server => " (server dry run)", _ => "" };
}

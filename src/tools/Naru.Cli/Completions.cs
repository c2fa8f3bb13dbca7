// What could come next, asked of the running mesh: kinds, and real names. Silent and quick where there is none.
using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Inspect;

namespace Naru.Cli;

internal static class Completions
{
    // A shell waits for this with every key.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(2);

    /// <summary>Prints what could come next, one a line: options only where a dash asks for them, as kubectl does it.</summary>
    public static int Answer(RootCommand root, string ask, string line)
    {
        int at = int.TryParse(ask.AsSpan(ask.IndexOf(':') + 1).TrimEnd(']'), out int given) ? Math.Clamp(given, 0, line.Length) : line.Length;
        // The program's own name, however it was started.
        int start = line.IndexOf(' ');
        if (start < 0 || start >= at) return Exit.Ok;
        string rest = line[(start + 1)..at];
        string word = rest[(rest.LastIndexOf(' ') + 1)..];
        bool dash = word.StartsWith('-');
        foreach (CompletionItem item in root.Parse(rest).GetCompletions(rest.Length))
        {
            if (item.Label.StartsWith('-') == dash && !(dash && item.Label.Length < 3) && item.Label[0] != '/' && item.Label.StartsWith(word, StringComparison.Ordinal)) Console.WriteLine(item.Label);
        }
        return Exit.Ok;
    }

    /// <summary>For KIND NAME…: kinds first, then names of that kind; KIND/NAME as well.</summary>
    public static IEnumerable<CompletionItem> Targets(CompletionContext context)
    {
        string[] words = Words(context);
        string last = context.WordToComplete;
        if (last.Contains('/')) return Names(context, last.Split('/')[0]).Select(n => new CompletionItem($"{last.Split('/')[0]}/{n}"));
        return words.Length == 0 ? KindNames(last) : Names(context, words[0].Split(',')[0]).Except(words.Skip(1)).Select(n => new CompletionItem(n));
    }

    /// <summary>For verbs about Deployments: deployment/NAME.</summary>
    public static IEnumerable<CompletionItem> Deployments(CompletionContext context) =>
        Words(context).Length > 0 ? Names(context, "deployment").Select(n => new CompletionItem(n)) : Names(context, "deployment").Select(n => new CompletionItem($"deployment/{n}"));

    /// <summary>Pods, Deployments and services by their bare names.</summary>
    public static IEnumerable<CompletionItem> Workloads(CompletionContext context) =>
        [.. Names(context, "service").Concat(Names(context, "deployment")).Concat(Names(context, "pod")).Distinct().Select(n => new CompletionItem(n))];

    public static IEnumerable<CompletionItem> Namespaces(CompletionContext context) => Names(context, "namespace").Select(n => new CompletionItem(n));

    public static IEnumerable<CompletionItem> KindNames(CompletionContext context) => KindNames(context.WordToComplete);

    // Short names would drown the full ones: they are offered where nothing else begins so.
    private static IEnumerable<CompletionItem> KindNames(string begun)
    {
        List<string> full = [.. Kinds.All.Select(k => k.Plural).Where(n => n.StartsWith(begun, StringComparison.OrdinalIgnoreCase))];
        return (full.Count > 0 ? full : Kinds.Names).Select(n => new CompletionItem(n));
    }

    private static string[] Words(CompletionContext context)
    {
        string[] all = [.. context.ParseResult.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens).Select(t => t.Value)];
        return all is [.. var before, var last] && last == context.WordToComplete ? before : all;
    }

    private static IEnumerable<string> Names(CompletionContext context, string kindName)
    {
        if (Kinds.Find(kindName) is not { } kind || kind.Name == "Event") return [];
        string Option(string name, string otherwise) => context.ParseResult.CommandResult.Children.OfType<OptionResult>().FirstOrDefault(o => o.Option.Name == name) is { Tokens: [var token, ..] } ? token.Value : otherwise;
        try
        {
            using var bound = new CancellationTokenSource(s_bound);
            using Cluster cluster = Cluster.Open(Option("--mesh", Environment.GetEnvironmentVariable("NARU_MESH") is { Length: > 0 } mesh ? mesh : "default"), null, null);
            IReadOnlyList<JsonElement> found = Task.Run(() => cluster.ListAsync(kind, kind.Namespaced ? Option("--namespace", "default") : null, bound.Token), bound.Token).WaitAsync(bound.Token).GetAwaiter().GetResult();
            return [.. found.Select(Json.Name)];
        }
        catch (Exception e) when (e is UnreachableException or RefusedException or OperationCanceledException or JsonException or IOException)
        {
            return [];
        }
    }
}

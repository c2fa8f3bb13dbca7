// naru get KIND[,KIND] [NAME …]: configuration and what runs, in tables that users of kubectl know. With -w it goes on as things change.
using System.CommandLine;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class GetVerb
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    /// <summary>How long a control plane that is being started again is waited for.</summary>
    private static readonly TimeSpan s_away = TimeSpan.FromSeconds(10);

    public static Command Make()
    {
        var scope = new ScopeOptions();
        var list = new ListOptions();
        var watch = new Option<bool>("--watch", "-w") { Description = "Go on: print what changes" };
        var target = new Argument<string[]>("KIND NAME") { HelpName = "KIND NAME", Description = "vs, dr, gw, se, svc, po, deploy, ns, no, ep, ev, sa, in full or in short; several with commas; all", Arity = ArgumentArity.OneOrMore };
        target.CompletionSources.Add(Completions.Targets);
        var command = new Command("get", "Shows configuration and what runs") { target };
        list.AddTo(command);
        command.Add(watch);
        scope.AddTo(command);
        command.SetAction(async (parsed, cancel) =>
        {
            if (Targets.Parse(parsed.GetValue(target)!, "get") is not { } targets) return Exit.Usage;
            return await ShowAsync(scope, parsed, targets, new Shown(parsed.GetValue(list.Output) ?? OutputFormat.Plain, parsed.GetValue(list.Selector) ?? Selector.All, list.View(parsed), parsed.GetValue(watch)), cancel).ConfigureAwait(false);
        });
        return command;
    }

    public static Command Events()
    {
        var scope = new ScopeOptions();
        var list = new ListOptions();
        var watch = new Option<bool>("--watch", "-w") { Description = "Go on: print what happens" };
        var about = new Option<string?>("--for") { Description = "Only of this object: KIND/NAME", HelpName = "KIND/NAME" };
        about.CompletionSources.Add(Completions.Targets);
        var command = new Command("events", "What happened in the mesh lately") { about };
        list.AddTo(command);
        command.Add(watch);
        scope.AddTo(command);
        command.SetAction(async (parsed, cancel) =>
        {
            Target? only = null;
            if (parsed.GetValue(about) is { } text)
            {
                if (!text.Contains('/') || Targets.Parse([text], "events") is not [var found])
                {
                    Screen.Say("--for takes KIND/NAME, for example deployment/reviews-v1");
                    return Exit.Usage;
                }
                only = found;
            }
            var shown = new Shown(parsed.GetValue(list.Output) ?? OutputFormat.Plain, parsed.GetValue(list.Selector) ?? Selector.All, list.View(parsed), parsed.GetValue(watch))
            {
                Also = only is null ? null : e => Json.Text(e, "involvedObject", "kind") == only.Kind.Name && Json.Text(e, "involvedObject", "name") == only.Name,
            };
            return await ShowAsync(scope, parsed, [new Target(Kinds.Find("events")!, null)], shown, cancel).ConfigureAwait(false);
        });
        return command;
    }

    private sealed record Shown(OutputFormat Format, Selector Selector, ListView View, bool Watch)
    {
        public Func<JsonElement, bool>? Also { get; init; }
        public bool Takes(JsonElement item) => Selector.Takes(item) && (Also is null || Also(item));
    }

    private static async Task<int> ShowAsync(ScopeOptions scope, ParseResult parsed, IReadOnlyList<Target> targets, Shown shown, CancellationToken cancel)
    {
        using Cluster cluster = scope.Open(parsed);
        string? space = scope.Space(parsed);
        var missing = new List<string>();
        List<JsonElement> found = await FindAsync(cluster, targets, space, shown, missing, cancel).ConfigureAwait(false);
        ListView view = shown.View with
        {
            Namespaces = space is null && targets.Any(t => t.Kind.Namespaced),
            Prefix = targets.Select(t => t.Kind).Distinct().Count() > 1,
            Single = targets is [{ Name: not null }],
        };
        if (found.Count > 0 || !view.Single) Printer.Print(Console.Out, shown.Format, found, view);
        foreach (string sentence in missing) Screen.Say(sentence);
        if (found.Count == 0 && missing.Count == 0 && shown.Format.IsTable) Console.Error.WriteLine($"nothing{(space is null || !targets.Any(t => t.Kind.Namespaced) ? "" : $" in namespace {space}")}");
        if (!shown.Watch || missing.Count > 0) return missing.Count > 0 ? Exit.Failed : Exit.Ok;
        await Console.Out.FlushAsync(cancel).ConfigureAwait(false);
        return await FollowAsync(cluster, targets, space, shown, view, found, cancel).ConfigureAwait(false);
    }

    /// <summary>Objects that are meant; what is named and not there is told in sentences.</summary>
    private static async Task<List<JsonElement>> FindAsync(Cluster cluster, IReadOnlyList<Target> targets, string? space, Shown shown, List<string> missing, CancellationToken cancel)
    {
        var found = new List<JsonElement>();
        var lists = new Dictionary<Kind, IReadOnlyList<JsonElement>>();
        foreach (Target target in targets)
        {
            if (!lists.TryGetValue(target.Kind, out IReadOnlyList<JsonElement>? items)) lists[target.Kind] = items = await cluster.ListAsync(target.Kind, target.Kind.Namespaced ? space : null, cancel).ConfigureAwait(false);
            List<JsonElement> named = [.. items.Where(i => target.Name is null || Json.Name(i) == target.Name)];
            found.AddRange(named.Where(shown.Takes));
            if (target.Name is not null && named.Count == 0) missing.Add(Missing(target, space, items));
        }
        return found;
    }

    /// <summary>There is no such object, and what might be meant.</summary>
    public static string Missing(Target target, string? space, IEnumerable<JsonElement> there) =>
        $"there is no {target.Kind.Name} \"{target.Name}\"{(space is null || !target.Kind.Namespaced ? "" : $" in namespace {space}")}{(Nearest.Suggestion(target.Name!, there.Select(Json.Name)) is { } near ? $"; {near}" : "")}";

    private static async Task<int> FollowAsync(Cluster cluster, IReadOnlyList<Target> targets, string? space, Shown shown, ListView view, List<JsonElement> first, CancellationToken cancel)
    {
        static string Id(JsonElement i) => $"{Json.Kind(i)}/{Json.Namespace(i)}/{Json.Name(i)}";
        Dictionary<string, JsonElement> before = first.ToDictionary(Id);
        // Columns stay where the first table put them.
        var widths = new Dictionary<string, int[]>();
        foreach (IGrouping<string, JsonElement> group in first.GroupBy(Json.Kind))
        {
            (IReadOnlyList<string> head, List<IReadOnlyList<string>> rows) = Printer.Rows(group.Key, group, shown.Format.Kind == OutputKind.Wide, view);
            widths[group.Key] = Screen.Widths([head, .. rows]);
        }
        using var timer = new PeriodicTimer(s_look);
        long heard = TimeProvider.System.GetTimestamp();
        while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
        {
            List<JsonElement> now;
            try
            {
                cluster.Forget();
                now = await FindAsync(cluster, targets, space, shown, [], cancel).ConfigureAwait(false);
                heard = TimeProvider.System.GetTimestamp();
            }
            catch (UnreachableException) when (TimeProvider.System.GetElapsedTime(heard) < s_away)
            {
                continue;
            }
            Dictionary<string, JsonElement> after = now.ToDictionary(Id);
            foreach ((string id, JsonElement item) in after)
            {
                if (!before.TryGetValue(id, out JsonElement old) || old.GetRawText() != item.GetRawText()) Line(item, gone: false);
            }
            foreach ((string id, JsonElement item) in before)
            {
                if (!after.ContainsKey(id)) Line(item, gone: true);
            }
            before = after;
            await Console.Out.FlushAsync(cancel).ConfigureAwait(false);
        }
        return Exit.Ok;

        void Line(JsonElement item, bool gone)
        {
            if (!shown.Format.IsTable)
            {
                if (!gone) Printer.Print(Console.Out, shown.Format, [item], view with { Single = true, Heads = false });
                if (!gone && shown.Format.Kind == OutputKind.JsonPath) Console.WriteLine();
                return;
            }
            string kind = Json.Kind(item);
            (IReadOnlyList<string> head, List<IReadOnlyList<string>> rows) = Printer.Rows(kind, [item], shown.Format.Kind == OutputKind.Wide, view);
            if (!widths.TryGetValue(kind, out int[]? wide))
            {
                widths[kind] = wide = Screen.Widths([head, .. rows]);
                if (view.Heads) rows.Insert(0, head);
            }
            if (gone) rows[^1] = [.. rows[^1].Take(rows[^1].Count - 1), "deleted"];
            foreach (string line in Screen.Lines(rows, wide)) Console.WriteLine(line);
        }
    }
}

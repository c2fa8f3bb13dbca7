// naru describe KIND [NAME …]: all there is to know about objects, for reading: fields, what runs, what is wrong, what happened.
using System.CommandLine;
using System.Text;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Inspect;
using static Naru.Cli.Output.Json;

namespace Naru.Cli.Commands;

internal static class DescribeVerb
{
    public static Command Make()
    {
        var scope = new ScopeOptions();
        Option<Selector> selector = Options.Selector();
        Option<OutputFormat> output = OutputFormat.Option();
        var target = new Argument<string[]>("KIND NAME") { HelpName = "KIND NAME", Description = "As for get; a beginning of a name will do", Arity = ArgumentArity.OneOrMore };
        target.CompletionSources.Add(Completions.Targets);
        var command = new Command("describe", "Everything about objects, for reading") { target, selector, output };
        scope.AddTo(command);
        command.SetAction(async (parsed, cancel) =>
        {
            if (Targets.Parse(parsed.GetValue(target)!, "describe") is not { } targets) return Exit.Usage;
            using Cluster cluster = scope.Open(parsed);
            string? space = scope.Space(parsed);
            var found = new List<JsonElement>();
            bool missing = false;
            foreach (Target wanted in targets)
            {
                IReadOnlyList<JsonElement> all = await cluster.ListAsync(wanted.Kind, wanted.Kind.Namespaced ? space : null, cancel).ConfigureAwait(false);
                List<JsonElement> named = [.. all.Where(i => wanted.Name is null || Name(i) == wanted.Name)];
                // Pods have names that nobody types.
                if (named.Count == 0) named = [.. all.Where(i => Name(i).StartsWith(wanted.Name!, StringComparison.Ordinal))];
                found.AddRange(named.Where((parsed.GetValue(selector) ?? Selector.All).Takes));
                if (named.Count > 0 || wanted.Name is null) continue;
                missing = true;
                Screen.Say(GetVerb.Missing(wanted, space, all));
            }
            OutputFormat format = parsed.GetValue(output) ?? OutputFormat.Plain;
            if (!format.IsTable) Printer.Print(Console.Out, format, found, new ListView { Single = targets is [{ Name: not null }], Namespaces = space is null });
            else await TellAsync(cluster, found, cancel).ConfigureAwait(false);
            if (found.Count == 0 && !missing) Console.Error.WriteLine($"nothing{(space is null ? "" : $" in namespace {space}")}");
            return missing ? Exit.Failed : Exit.Ok;
        });
        return command;
    }

    private static async Task TellAsync(Cluster cluster, List<JsonElement> items, CancellationToken cancel)
    {
        IReadOnlyList<JsonElement> events = [], endpoints = [];
        if (await cluster.StatusAsync(cancel).ConfigureAwait(false) is not null) events = await cluster.ListAsync(Kinds.Find("events")!, null, cancel).ConfigureAwait(false);
        if (items.Any(i => Kind(i) == "Service")) endpoints = await cluster.ListAsync(Kinds.Find("endpoints")!, null, cancel).ConfigureAwait(false);
        bool first = true;
        foreach (JsonElement item in items)
        {
            if (!first) Console.WriteLine("\n");
            first = false;
            JsonElement? points = endpoints.Where(e => Name(e) == Name(item) && Namespace(e) == Namespace(item)).Select(e => (JsonElement?)e).FirstOrDefault();
            Console.Write(Text(item, points, events));
        }
    }

    private static string Text(JsonElement item, JsonElement? endpoints, IReadOnlyList<JsonElement> events)
    {
        var text = new StringBuilder();
        void Line(string head, string value)
        {
            if (value.Length > 0) text.Append((head + ":").PadRight(18)).Append(value.Replace("\n", "\n" + new string(' ', 18))).Append('\n');
        }
        string kind = Kind(item);
        Line("Name", Name(item));
        Line("Namespace", Namespace(item));
        Line("Kind", $"{kind} ({Json.Text(item, "apiVersion")})");
        Line("Labels", Map(At(item, "metadata", "labels")));
        Line("Annotations", Map(At(item, "metadata", "annotations")));
        if (Json.Text(item, "metadata", "creationTimestamp") is { Length: > 0 } created) Line("Created", $"{created} ({Columns.Age(created)} ago)");
        Line("Written in", Json.Text(item, "status", "naru", "place"));
        switch (kind)
        {
            case "Pod":
                Line("Status", Columns.PodPhase(item));
                Line("Reason", Json.Text(item, "status", "message"));
                Line("IP", Json.Text(item, "status", "podIP"));
                Line("Containers", string.Join('\n', Items(item, "status", "containerStatuses").Select(c => $"{Json.Text(c, "name")}: {(Json.Text(c, "ready") == "true" ? "ready" : "not ready")}, {Json.Text(c, "restartCount")} restarts")));
                break;
            case "Deployment":
                Line("Replicas", $"{Number(item, "spec", "replicas", "1")} wanted, {Number(item, "status", "replicas", "0")} there, {Number(item, "status", "updatedReplicas", "0")} up to date, {Number(item, "status", "readyReplicas", "0")} ready");
                break;
            case "Service" when endpoints is { } known:
                Line("Endpoints", Columns.For("Endpoints", wide: false).First().Cell(known));
                break;
        }
        if (At(item, "spec") is { ValueKind: JsonValueKind.Object } spec && spec.EnumerateObject().Any()) text.Append("Spec:\n").Append(Indent(Yaml.Write(spec)));
        else if (kind is "Node" && At(item, "status") is { } status) text.Append("Status:\n").Append(Indent(Yaml.Write(status)));
        List<JsonElement> remarks = [.. Items(item, "status", "naru", "diagnostics")];
        if (remarks.Count > 0)
        {
            text.Append("Remarks:\n");
            foreach (ReportedDiagnostic d in remarks.Select(r => r.Deserialize<ReportedDiagnostic>(MeshLocation.Json)!)) text.Append(Indent(Screen.Hint(d.ToDiagnostic().ToString()) + "\n"));
        }
        if (kind == "Event") return text.Append(Indent(Yaml.Write(item))).ToString();
        List<JsonElement> happened = [.. events.Where(e => Json.Text(e, "involvedObject", "kind") == kind && Json.Text(e, "involvedObject", "name") == Name(item) && Json.Text(e, "involvedObject", "namespace") == Namespace(item))];
        if (happened.Count == 0) return text.ToString();
        text.Append("Events:\n");
        using var table = new StringWriter { NewLine = "\n" };
        Screen.Table(table, ["LAST SEEN", "TYPE", "REASON", "MESSAGE"], happened.Select(e => (IReadOnlyList<string>)[Columns.Age(Json.Text(e, "lastTimestamp")), Json.Text(e, "type"), Json.Text(e, "reason"), Json.Text(e, "message")]));
        return text.Append(Indent(table.ToString())).ToString();
    }

    private static string Number(JsonElement item, string part, string field, string otherwise) => Json.Text(item, part, field) is { Length: > 0 } number ? number : otherwise;

    private static string Map(JsonElement? map) =>
        map is { ValueKind: JsonValueKind.Object } some && some.EnumerateObject().Any() ? string.Join('\n', some.EnumerateObject().Select(p => $"{p.Name}={p.Value}")) : "<none>";

    private static string Indent(string text) => string.Concat(text.TrimEnd('\n').Split('\n').Select(l => $"  {l}\n"));
}

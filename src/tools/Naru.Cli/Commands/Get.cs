// naru get KIND[,KIND] [NAME]: configuration as the control plane has it, in tables that users of kubectl know.
using System.CommandLine;
using System.Text.Json;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class GetVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> server = Where.ServerOption(), token = Where.TokenOption();
        var ns = new Option<string?>("--namespace", "-n") { Description = "Namespace (default: default)" };
        var all = new Option<bool>("--all-namespaces", "-A") { Description = "Every namespace" };
        var output = new Option<string?>("--output", "-o") { Description = "json, yaml, name" };
        output.AcceptOnlyFromAmong("json", "yaml", "name");
        var kinds = new Argument<string>("KIND") { HelpName = "KIND", Description = "vs, dr, gw, se, svc, po, deploy, in full or in short; several with commas; all" };
        kinds.CompletionSources.Add(_ => Kinds.Names);
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.ZeroOrMore };
        var command = new Command("get", "Shows configuration") { kinds, names, ns, all, output, mesh, server, token };
        command.SetAction(async (parsed, cancel) =>
        {
            string meshName = parsed.GetValue(mesh)!;
            using ControlPlaneClient control = Where.ControlPlane(meshName, parsed.GetValue(server), parsed.GetValue(token));
            string[] asked = parsed.GetValue(kinds)!.Split(',', StringSplitOptions.RemoveEmptyEntries);
            List<string> wanted = [.. parsed.GetValue(names)!];
            // KIND/NAME, as kubectl takes it.
            if (asked is [var single] && single.Split('/') is [var kindPart, var namePart])
            {
                asked = [kindPart];
                wanted.Add(namePart);
            }
            if (asked is ["all"]) asked = ["gw", "vs", "dr", "se", "svc", "deploy", "po"];
            foreach (string word in asked)
            {
                if (Kinds.Suggestion(word) is not { } suggestion) continue;
                Screen.Complain(new Diagnostic("NARU-L042", Severity.Error, $"no kind \"{word}\" is known", Remedy: suggestion));
                return Exit.Usage;
            }
            string? space = parsed.GetValue(all) ? null : parsed.GetValue(ns) ?? "default";
            var found = new List<JsonElement>();
            foreach (string kind in asked.Select(Kinds.Full).Distinct())
            {
                IReadOnlyList<JsonElement> items = await control.ObjectsAsync(kind, kind == "Namespace" ? null : space, null, cancel).ConfigureAwait(false);
                found.AddRange(items.Where(i => wanted.Count == 0 || wanted.Contains(Text(i, "metadata", "name"))));
            }
            foreach (string missing in wanted.Where(w => found.All(i => Text(i, "metadata", "name") != w))) Console.Error.WriteLine($"naru: there is no {string.Join(" or ", asked.Select(Kinds.Full))} \"{missing}\"{(space is null ? "" : $" in namespace {space}")}");
            bool complete = wanted.All(w => found.Any(i => Text(i, "metadata", "name") == w));
            switch (parsed.GetValue(output))
            {
                case "json":
                    if (wanted.Count == 1 && found.Count == 1) Screen.Json(found[0]);
                    else Screen.Json(new { apiVersion = "v1", kind = "List", items = found });
                    break;
                case "yaml":
                    Console.Write(string.Join("---\n", found.Select(Yaml.Write)));
                    break;
                case "name":
                    foreach (JsonElement item in found) Console.WriteLine($"{Text(item, "kind").ToLowerInvariant()}/{Text(item, "metadata", "name")}");
                    break;
                default:
                    MeshStatus? status = parsed.GetValue(server) is null ? await StatusAsync(meshName, cancel).ConfigureAwait(false) : null;
                    Print(found, space is null, asked.Length > 1, status);
                    if (found.Count == 0 && wanted.Count == 0) Console.Error.WriteLine($"nothing{(space is null ? "" : $" in namespace {space}")}");
                    break;
            }
            return complete ? Exit.Ok : Exit.Failed;
        });
        return command;
    }

    private static async Task<MeshStatus?> StatusAsync(string mesh, CancellationToken cancel)
    {
        if (MeshLocation.Find(mesh) is not { } location) return null;
        try
        {
            using var runner = new RunnerClient(location.Socket);
            return await runner.StatusAsync(cancel).ConfigureAwait(false);
        }
        catch (UnreachableException)
        {
            return null;
        }
    }

    private static void Print(List<JsonElement> items, bool showNamespace, bool prefix, MeshStatus? status)
    {
        bool first = true;
        foreach (IGrouping<string, JsonElement> group in items.GroupBy(i => Text(i, "kind")))
        {
            if (!first) Console.WriteLine();
            first = false;
            string[] columns = Columns(group.Key);
            IEnumerable<IReadOnlyList<string>> rows = group.Select(i => (IReadOnlyList<string>)
            [
                .. showNamespace ? [Text(i, "metadata", "namespace")] : Array.Empty<string>(),
                (prefix ? $"{group.Key.ToLowerInvariant()}/" : "") + Text(i, "metadata", "name"),
                .. Cells(group.Key, i, status),
                Remarks(i),
            ]).ToList();
            Screen.Table(Console.Out, [.. showNamespace ? ["NAMESPACE"] : Array.Empty<string>(), "NAME", .. columns, ""], rows);
        }
    }

    private static string[] Columns(string kind) => kind switch
    {
        "VirtualService" => ["GATEWAYS", "HOSTS"],
        "DestinationRule" => ["HOST", "SUBSETS"],
        "Gateway" => ["SELECTOR", "PORTS"],
        "ServiceEntry" => ["HOSTS", "LOCATION", "RESOLUTION"],
        "Service" => ["CLUSTER-IP", "PORT(S)", "READY"],
        "Pod" => ["READY", "STATUS", "RESTARTS", "IP"],
        "Deployment" => ["READY", "WANTED"],
        _ => [],
    };

    private static string[] Cells(string kind, JsonElement item, MeshStatus? status)
    {
        string name = Text(item, "metadata", "name"), ns = Text(item, "metadata", "namespace");
        switch (kind)
        {
            case "VirtualService":
                return [List(item, "spec", "gateways"), List(item, "spec", "hosts")];
            case "DestinationRule":
                return [Text(item, "spec", "host"), string.Join(",", Items(item, "spec", "subsets").Select(s => Text(s, "name")))];
            case "Gateway":
                return [Pairs(item, "spec", "selector"), string.Join(",", Items(item, "spec", "servers").Select(s => $"{Text(s, "port", "number")}/{Text(s, "port", "protocol")}"))];
            case "ServiceEntry":
                return [List(item, "spec", "hosts"), Text(item, "spec", "location"), Text(item, "spec", "resolution")];
            case "Service":
                string ready = status?.Services.FirstOrDefault(s => s.Name == name && s.Namespace == ns) is { } service ? $"{service.Ready}" : "";
                return [Text(item, "spec", "clusterIP"), string.Join(",", Items(item, "spec", "ports").Select(p => $"{Text(p, "port")}/{(Text(p, "protocol") is { Length: > 0 } protocol ? protocol : "TCP")}")), ready];
            case "Pod":
                if (status?.Pods.FirstOrDefault(p => p.Name == name && p.Namespace == ns) is { } pod) return [pod.Ready ? "yes" : "no", pod.Phase, $"{pod.Restarts + pod.ProxyRestarts}", pod.Address];
                string condition = Items(item, "status", "conditions").Where(c => Text(c, "type") == "Ready").Select(c => Text(c, "status")).FirstOrDefault("");
                return [condition == "True" ? "yes" : "no", Text(item, "status", "phase"), "", Text(item, "status", "podIP")];
            case "Deployment":
                int? up = status?.Pods.Count(p => p.Workload == name && p.Namespace == ns && p.Ready);
                int? there = status?.Pods.Count(p => p.Workload == name && p.Namespace == ns);
                return [up is null ? "" : $"{up}/{there}", Text(item, "spec", "replicas") is { Length: > 0 } replicas ? replicas : "1"];
            default:
                return [];
        }
    }

    // What the control plane has to say about an object stands behind it.
    private static string Remarks(JsonElement item)
    {
        string[] codes = [.. Items(item, "status", "naru", "diagnostics").Where(d => Text(d, "severity") != "info").Select(d => Text(d, "code")).Distinct()];
        return codes.Length == 0 ? "" : $"! {string.Join(" ", codes)}";
    }

    private static JsonElement? At(JsonElement item, params string[] path)
    {
        foreach (string step in path)
        {
            if (item.ValueKind != JsonValueKind.Object || !item.TryGetProperty(step, out item)) return null;
        }
        return item;
    }

    private static string Text(JsonElement item, params string[] path) => At(item, path) is { } value
        ? value.ValueKind switch { JsonValueKind.String => value.GetString()!, JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(), _ => "" }
        : "";

    private static IEnumerable<JsonElement> Items(JsonElement item, params string[] path) => At(item, path) is { ValueKind: JsonValueKind.Array } list ? list.EnumerateArray() : [];

    private static string List(JsonElement item, params string[] path) => string.Join(",", Items(item, path).Select(i => i.ToString()));

    private static string Pairs(JsonElement item, params string[] path) =>
        At(item, path) is { ValueKind: JsonValueKind.Object } map ? string.Join(",", map.EnumerateObject().Select(p => $"{p.Name}={p.Value}")) : "";
}

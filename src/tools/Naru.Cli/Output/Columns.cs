// What a table shows of each kind, in kubectl's words and order; everything comes from the object's own JSON.
using System.Globalization;
using System.Text.Json;
using static Naru.Cli.Output.Json;

namespace Naru.Cli.Output;

/// <summary>A column.</summary>
/// <param name="Head">Its heading.</param>
/// <param name="Cell">Its text for an object.</param>
/// <param name="Wide">Shown with <c>-o wide</c> only.</param>
internal sealed record Column(string Head, Func<JsonElement, string> Cell, bool Wide = false);

internal static class Columns
{
    private static readonly Column s_age = new("AGE", i => Age(Text(i, "metadata", "creationTimestamp")));
    private static readonly Column s_selector = new("SELECTOR", i => None(Pairs(i, "spec", "selector")), Wide: true);

    private static readonly Dictionary<string, Column[]> s_kinds = new(StringComparer.Ordinal)
    {
        ["VirtualService"] = [new("GATEWAYS", i => List(i, "spec", "gateways")), new("HOSTS", i => List(i, "spec", "hosts")), s_age],
        ["DestinationRule"] = [new("HOST", i => Text(i, "spec", "host")), new("SUBSETS", i => string.Join(",", Items(i, "spec", "subsets").Select(s => Text(s, "name")))), s_age],
        ["Gateway"] =
        [
            new("SELECTOR", i => Pairs(i, "spec", "selector")),
            new("PORTS", i => string.Join(",", Items(i, "spec", "servers").Select(s => $"{Text(s, "port", "number")}/{Text(s, "port", "protocol")}"))),
            s_age,
            new("HOSTS", i => string.Join(",", Items(i, "spec", "servers").SelectMany(s => Items(s, "hosts")).Select(h => h.ToString()).Distinct()), Wide: true),
        ],
        ["ServiceEntry"] = [new("HOSTS", i => List(i, "spec", "hosts")), new("LOCATION", i => Text(i, "spec", "location")), new("RESOLUTION", i => Text(i, "spec", "resolution")), s_age],
        ["Service"] =
        [
            new("TYPE", i => Or(Text(i, "spec", "type"), "ClusterIP")),
            new("CLUSTER-IP", i => None(Text(i, "spec", "clusterIP"))),
            new("PORT(S)", i => string.Join(",", Items(i, "spec", "ports").Select(p => $"{Text(p, "port")}/{Or(Text(p, "protocol"), "TCP")}"))),
            new("READY", i => Text(i, "status", "naru", "ready")),
            s_age,
            s_selector,
        ],
        ["Pod"] =
        [
            new("READY", i => Items(i, "status", "containerStatuses").ToList() is { Count: > 0 } all ? $"{all.Count(c => Text(c, "ready") == "true")}/{all.Count}" : ReadyCondition(i) == "True" ? "1/1" : "0/1"),
            new("STATUS", PodPhase),
            new("RESTARTS", i => $"{Items(i, "status", "containerStatuses").Sum(c => int.TryParse(Text(c, "restartCount"), out int n) ? n : 0)}"),
            s_age,
            new("IP", i => Or(Text(i, "status", "podIP"), "<none>"), Wide: true),
            new("NODE", i => Or(Text(i, "spec", "nodeName"), "<none>"), Wide: true),
            new("REASON", i => Text(i, "status", "message"), Wide: true),
        ],
        ["Deployment"] =
        [
            new("READY", i => $"{Or(Text(i, "status", "readyReplicas"), "0")}/{Or(Text(i, "spec", "replicas"), "1")}"),
            new("UP-TO-DATE", i => Or(Text(i, "status", "updatedReplicas"), "0")),
            new("AVAILABLE", i => Or(Text(i, "status", "availableReplicas"), "0")),
            s_age,
            new("CONTAINERS", i => string.Join(",", Items(i, "spec", "template", "spec", "containers").Select(c => Text(c, "name"))), Wide: true),
            new("IMAGES", i => string.Join(",", Items(i, "spec", "template", "spec", "containers").Select(c => Text(c, "image"))), Wide: true),
            new("SELECTOR", i => None(Pairs(i, "spec", "selector", "matchLabels")), Wide: true),
        ],
        ["Namespace"] = [new("STATUS", i => Or(Text(i, "status", "phase"), "Active")), s_age],
        ["Node"] =
        [
            new("STATUS", i => ReadyCondition(i) == "True" ? "Ready" : "NotReady"), new("ROLES", _ => "<none>"), s_age, new("VERSION", i => Text(i, "status", "nodeInfo", "kubeletVersion")),
            new("OS-IMAGE", i => Text(i, "status", "nodeInfo", "osImage"), Wide: true), new("KERNEL-VERSION", i => Text(i, "status", "nodeInfo", "kernelVersion"), Wide: true),
        ],
        ["Endpoints"] = [new("ENDPOINTS", Endpoints), s_age],
        ["Event"] =
        [
            new("LAST SEEN", i => Age(Text(i, "lastTimestamp"))), new("TYPE", i => Text(i, "type")), new("REASON", i => Text(i, "reason")),
            new("OBJECT", i => $"{Text(i, "involvedObject", "kind").ToLowerInvariant()}/{Text(i, "involvedObject", "name")}"),
            new("MESSAGE", i => Text(i, "message") + (Text(i, "count") is { } n && n.Length > 0 && n != "1" ? $" (x{n})" : "")),
        ],
    };

    public static IEnumerable<Column> For(string kind, bool wide) => (s_kinds.GetValueOrDefault(kind) ?? [s_age]).Where(c => wide || !c.Wide);

    /// <summary>Whether the first column of a table of this kind is the name (events have none that says something).</summary>
    public static bool HasName(string kind) => kind != "Event";

    /// <summary>Codes of what the control plane has to say about an object; empty for nothing.</summary>
    public static string Remarks(JsonElement item)
    {
        string[] codes = [.. Items(item, "status", "naru", "diagnostics").Where(d => Text(d, "severity") != "info").Select(d => Text(d, "code")).Distinct()];
        return codes.Length == 0 ? "" : $"! {string.Join(" ", codes)}";
    }

    public static string PodPhase(JsonElement pod) => Text(pod, "metadata", "deletionTimestamp").Length > 0 ? "Terminating" : Or(Text(pod, "status", "reason"), Or(Text(pod, "status", "phase"), "Unknown"));

    public static string ReadyCondition(JsonElement item) => Items(item, "status", "conditions").Where(c => Text(c, "type") == "Ready").Select(c => Text(c, "status")).FirstOrDefault("");

    public static string Age(string timestamp) =>
        DateTimeOffset.TryParse(timestamp, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset since) ? Screen.Age(DateTimeOffset.UtcNow - since) : "<unknown>";

    private static string Endpoints(JsonElement item)
    {
        string[] all = [.. Items(item, "subsets").SelectMany(s => Items(s, "addresses").SelectMany(a => Items(s, "ports").Select(p => $"{Text(a, "ip")}:{Text(p, "port")}")))];
        return all.Length == 0 ? "<none>" : all.Length > 3 ? $"{string.Join(",", all.Take(3))} + {all.Length - 3} more..." : string.Join(",", all);
    }

    private static string Or(string text, string otherwise) => text.Length > 0 ? text : otherwise;

    private static string None(string text) => Or(text, "<none>");
}

// Runs imports for tests, and has everything that comes out judged: by the control plane's readers, and by the proxy's.
using System.Text.Json;
using System.Text.Json.Nodes;
using Naru.Control.Host;
using Naru.Core;
using Naru.Import;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.Imports;

internal static class Imported
{
    public static ImportResult Istio(ImportKind kind, string text, bool unguarded = false) => Run(kind, text, new ImportOptions { Unguarded = unguarded });

    public static ImportResult Proxy(ImportKind kind, string text) => Run(kind, text, new ImportOptions { Proxy = true });

    public static ImportResult Run(ImportKind kind, string text, ImportOptions options)
    {
        ImportResult result = Importer.Run(kind, text, "file", options with { JudgeBootstrap = Judge });
        Assert.All(result.Diagnostics, d => Assert.False(string.IsNullOrEmpty(d.Message)));
        if (result.Documents.Count == 0)
        {
            Assert.False(result.Readable);
            return result;
        }
        if (options.Proxy) Assert.DoesNotContain(Judge(result.Documents[0].ToJsonString()), d => d.Severity == Severity.Error && !d.Message.Contains("there is no file", StringComparison.Ordinal));
        else Assert.DoesNotContain(Offline.Check(result.Documents.Select((d, i) => ($"{i}", d.ToJsonString())), "default").Diagnostics, d => d.Severity != Severity.Info && d.Code != "NARU-C224");
        return result;
    }

    public static IReadOnlyList<Diagnostic> Judge(string text)
    {
        var found = new Diagnostics();
        BootstrapReader.Read(text, "bootstrap", found);
        return found.Items;
    }

    /// <summary>The only route of that name.</summary>
    public static JsonNode Route(this ImportResult result, string name) => result.Documents.Where(d => (string?)d["kind"] == "VirtualService")
        .SelectMany(d => d["spec"]!["http"]!.AsArray()).First(r => (string?)r!["name"] == name)!;

    public static string[] RouteNames(this ImportResult result, string service) => [.. result.Documents.Single(d => (string?)d["kind"] == "VirtualService" && (string?)d["metadata"]!["name"] == service)["spec"]!["http"]!
        .AsArray().Select(r => (string?)r!["name"] ?? "")];

    public static JsonNode Object(this ImportResult result, string kind, string name) =>
        result.Documents.Single(d => (string?)d["kind"] == kind && (string?)d["metadata"]!["name"] == name)["spec"]!;

    /// <summary>Codes with their lines: <c>I101@3</c>.</summary>
    public static string[] Said(this ImportResult result) => [.. result.Diagnostics.Select(d => $"{d.Code[5..]}@{d.Place.Line}")];

    public static void Is(string json, JsonNode? node) => Assert.True(JsonNode.DeepEquals(JsonNode.Parse(json), node), $"expected {json}\nfound    {node?.ToJsonString() ?? "nothing"}");
}

// What Istio's own control plane sent for meshes of ours (tests/recorded/istiod), and what this one sends for the same: each pair of case
// and node is translated here, and compared by tests/recorded/istiod/compare. Pairs that are not equal stand in differences.yaml, each with
// its reason; one that is equal leaves the list.
using System.Diagnostics;
using System.Reflection;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Control.Translation;
using Naru.Yaml;
using Xunit;

namespace Naru.GoldenTests;

public sealed class IstiodTests
{
    private static readonly string s_folder = Path.GetFullPath(Path.Combine(
        typeof(IstiodTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "CasesFolder").Value!,
            "../../recorded/istiod"));

    private static readonly JsonFormatter s_json = new(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true)
        .WithTypeRegistry(Translator.Types));

    private static readonly (string Part, string Type)[] s_parts =
    [
        ("listeners", TypeUrls.Listener), ("routes", TypeUrls.RouteConfiguration), ("clusters", TypeUrls.Cluster),
            ("endpoints", TypeUrls.ClusterLoadAssignment),
    ];

    [Fact]
    public void What_is_sent_is_what_Istio_sends_or_stands_in_the_list_with_its_reason()
    {
        string made = Directory.CreateTempSubdirectory("naru-istiod-").FullName;
        try
        {
            foreach (string @case in Cases()) Translate(@case, made);
            (List<string> equal, Dictionary<string, string> different) = Compare(made);
            Dictionary<string, string> listed = Listed();
            string[] news = [.. different.Keys.Where(p => !listed.ContainsKey(p)).Select(p => $"{p} differs: {different[p]}")];
            string[] old = [.. equal.Where(listed.ContainsKey).Select(p => $"{p} is equal now: it leaves differences.yaml")];
            string[] gone = [.. listed.Keys.Where(p => !equal.Contains(p) && !different.ContainsKey(p))
                .Select(p => $"{p} is in differences.yaml and nowhere else")];
            TestContext.Current.TestOutputHelper?.WriteLine($"{equal.Count} of {equal.Count + different.Count} pairs are equal");
            Assert.True(equal.Count + different.Count > 100, "the recordings are not there");
            Assert.True(news.Length + old.Length + gone.Length == 0, string.Join("\n", [.. news, .. old, .. gone]));
            Assert.All(listed, l => Assert.True(l.Value.Length > 10, $"{l.Key} has no reason"));
        }
        finally
        {
            if (Environment.GetEnvironmentVariable("NARU_ISTIOD_KEEP") is { Length: > 0 } keep)
            {
                if (Directory.Exists(keep)) Directory.Delete(keep, recursive: true);
                Copy(made, keep);
            }
            Directory.Delete(made, recursive: true);
        }
    }

    [Fact]
    public void A_proxy_of_ours_takes_all_that_it_is_sent_and_waits_for_no_secret()
    {
        var faults = new List<string>();
        int sent = 0;
        foreach (string @case in Cases())
        {
            Snapshot snapshot = Registry.Build(new ConfigState { Objects = Objects(@case, []).ToSortedObjects() }, Snapshot.Empty);
            foreach (YamlMapping said in Sequence(Either(@case, "nodes.yaml")))
            {
                NodeInfo node = Node(said) with { IsOurs = true };
                ResourceSet made = Translator.Translate(snapshot, node);
                string name = $"{Path.GetRelativePath(s_folder, @case)} {node.Name}";
                faults.AddRange(AgreementTests.Refused(made, name));
                foreach (Resource resource in s_parts.SelectMany(p => made.Of(p.Type).InOrder))
                {
                    sent++;
                    string text = s_json.Format(resource.Message);
                    if (text.Contains("sds_secret_config",
                        StringComparison.Ordinal)) faults.Add($"{name}: {resource.Name} waits for a secret");
                }
            }
        }
        Assert.True(sent > 1000, "the recordings are not there");
        Assert.True(faults.Count == 0, string.Join("\n", faults.Distinct().Take(50)));
    }

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    private static IEnumerable<string> Cases() => Directory.EnumerateDirectories(s_folder).Where(t => Path.GetFileName(t) != "base")
        .SelectMany(t => Directory.EnumerateFiles(t, "*.yaml").Any() ? [t] : Directory.EnumerateDirectories(t))
            .Order(StringComparer.Ordinal);

    private static void Translate(string @case, string made)
    {
        string to = Path.Combine(made, Path.GetRelativePath(s_folder, @case));
        Directory.CreateDirectory(to);
        var refused = new List<string>();
        Snapshot snapshot = Registry.Build(new ConfigState { Objects = Objects(@case, refused).ToSortedObjects() }, Snapshot.Empty);
        if (refused.Count > 0) File.WriteAllLines(Path.Combine(to, "refused.txt"), refused);
        foreach (YamlMapping said in Sequence(Either(@case, "nodes.yaml")))
        {
            NodeInfo node = Node(said);
            ResourceSet all = Translator.Translate(snapshot, node);
            var text = new StringBuilder("{");
            foreach ((string part, string type) in s_parts)
            {
                if (text.Length > 1) text.Append(",\n");
                IEnumerable<Resource> asked = type == TypeUrls.RouteConfiguration ? all.Of(type).InOrder.Where(Asked(all))
                    : all.Of(type).InOrder;
                text.Append($"\"{part}\":{{")
                    .AppendJoin(",\n", asked.Select(r =>
                    $"{JsonFormatter.ToDiagnosticString(new StringValue { Value = r.Name })}:{s_json.Format(r.Message)}"))
                    .Append('}');
            }
            File.WriteAllText(Path.Combine(to, $"{said.GetText("name")}.json"), text.Append('}').ToString());
        }
    }

    // A proxy asks for the routes that its listeners name.
    private static Func<Resource, bool> Asked(ResourceSet all)
    {
        string listeners = string.Concat(all.Of(TypeUrls.Listener).InOrder.Select(r => s_json.Format(r.Message)));
        return r => listeners.Contains($"\"route_config_name\": \"{r.Name}\"", StringComparison.Ordinal);
    }

    private static string Either(string @case, string file) =>
        File.Exists(Path.Combine(@case, file)) ? Path.Combine(@case, file) : Path.Combine(s_folder, "base", file);

    // The order of files and documents stands for age.
    private static IEnumerable<ConfigObject> Objects(string @case, List<string> refused)
    {
        string mesh = string.Concat(File.ReadAllLines(Either(@case, "mesh.yaml")).Select(l => $"    {l}\n"));
        IEnumerable<(string Text, string File)> texts = Directory.EnumerateFiles(@case, "*.yaml").Order(StringComparer.Ordinal)
            .Where(f => Path.GetFileName(f) is not ("mesh.yaml" or "nodes.yaml")).Select(f => (File.ReadAllText(f), f))
            .Prepend((File.ReadAllText(Path.Combine(s_folder, "base/mesh-of-four.yaml")), "base"))
            .Prepend(($"apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: istio, namespace: istio-system }}\ndata:\n  mesh: |\n{mesh}",
                "mesh.yaml"));
        int age = 0;
        foreach ((string text, string file) in texts)
        {
            foreach (ManifestItem item in ManifestReader.Read(text, file, unenforced: true).Items)
            {
                if (item.IsBroken) refused.AddRange(item.Diagnostics.Where(d => d.Severity == Naru.Core.Severity.Error)
                    .Select(d => d.ToString()));
                if (item.Object is not { } made) continue;
                yield return made.Spec is ServiceSpec ? made : made with { Created = DateTimeOffset.UnixEpoch.AddSeconds(++age) };
            }
        }
    }

    private static IEnumerable<YamlMapping> Sequence(string file)
    {
        var faults = new Naru.Core.Diagnostics();
        YamlNode node = YamlReader.ReadAll(File.ReadAllText(file), file, faults).Single();
        Assert.Empty(faults.Items);
        return ((YamlSequence)node).Items.Cast<YamlMapping>();
    }

    private static NodeInfo Node(YamlMapping said)
    {
        string ns = said.GetText("namespace")!, ip = said.GetText("ip")!;
        var metadata = new Struct
        {
            Fields =
            {
                ["NAMESPACE"] = Value.ForString(ns), ["INSTANCE_IPS"] = Value.ForString(ip),
                    ["SERVICE_ACCOUNT"] = Value.ForString(said.GetText("service_account")!),
            },
        };
        var labels = new Struct();
        foreach (YamlEntry label in ((YamlMapping)said.Get("labels")!).Entries)
            labels.Fields[label.Key] = Value.ForString(((YamlScalar)label.Value).Value);
        metadata.Fields["LABELS"] = Value.ForStruct(labels);
        foreach (YamlEntry more in (said.Get("metadata") as YamlMapping)?.Entries ?? [])
            if (more.Value is YamlScalar { IsNull: false } scalar) metadata.Fields[more.Key] = Value.ForString(scalar.Value);
        // An ordinary proxy brings its configuration itself, unless it is said that it does not.
        if ((said.Get("metadata") as YamlMapping)?.Get("PROXY_CONFIG") is null) metadata.Fields["PROXY_CONFIG"] = Value.ForStruct(new Struct());
        string id = $"{said.GetText("type")}~{ip}~{said.GetText("name")}.{ns}~{ns}.svc.cluster.local";
        return NodeInfo.TryParse(id, "test", metadata, out string? error) ?? throw new InvalidOperationException(error);
    }

    private static (List<string> Equal, Dictionary<string, string> Different) Compare(string made)
    {
        var start = new ProcessStartInfo("python3", [Path.Combine(s_folder, "compare"), made])
        {
            RedirectStandardOutput = true,
            Environment = { ["ROWS"] = "1" }
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        var equal = new List<string>();
        var different = new Dictionary<string, string>(StringComparer.Ordinal);
        string last = "";
        foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ');
            if (words[0] == "ok") equal.Add(words[1]);
            else if (words[0] == "differs") different[last = words[1]] = "";
            else different[last] = line.Trim();
        }
        return (equal, different);
    }

    private static Dictionary<string, string> Listed()
    {
        var faults = new Naru.Core.Diagnostics();
        string file = Path.Combine(s_folder, "differences.yaml");
        var made = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (YamlNode document in YamlReader.ReadAll(File.ReadAllText(file), file, faults))
        {
            foreach (YamlEntry @case in (document as YamlMapping)?.Entries ?? [])
                foreach (YamlEntry node in ((YamlMapping)@case.Value).Entries)
                    made.Add($"{@case.Key}/{node.Key}", ((YamlScalar)node.Value).Value);
        }
        Assert.Empty(faults.Items);
        return made;
    }
}

file static class Sorting
{
    public static System.Collections.Immutable.ImmutableSortedDictionary<ObjectKey,
        ConfigObject> ToSortedObjects(this IEnumerable<ConfigObject> objects)
    {
        var made = System.Collections.Immutable.ImmutableSortedDictionary.CreateBuilder<ObjectKey, ConfigObject>();
        foreach (ConfigObject item in objects) made[item.Key] = item;
        return made.ToImmutable();
    }
}

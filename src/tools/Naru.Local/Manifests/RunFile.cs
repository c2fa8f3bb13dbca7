// naru.run.yaml: what runs in place of containers, written beside manifests of others that one does not want to change. Each key is a
// Deployment; what names none of them, or says something unknown, is refused with its line.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Local.Manifests;

/// <summary>What a run file says of one Deployment.</summary>
/// <param name="Key"><c>name</c>, <c>name/container</c>, <c>namespace/name</c> or <c>namespace/name/container</c>, as written.</param>
/// <param name="Command">For a shell; empty where <paramref name="Skip"/> leaves the Deployment out.</param>
/// <param name="Folder">Where it runs: <c>cwd</c>, relative to the file; the file's folder where not said.</param>
/// <param name="Environment">Variables that go before the container's.</param>
/// <param name="Skip">Whether the Deployment is left out.</param>
/// <param name="Place">Where it was written.</param>
internal sealed record RunEntry(string Key, string Command, string Folder, ImmutableArray<EnvironmentVariable> Environment, bool Skip,
    Place Place);

/// <summary>Whom an entry is about; <paramref name="Container"/> is null where it did not say.</summary>
internal sealed record RunTarget(RunEntry Entry, DeploymentManifest Deployment, ContainerManifest? Container);

internal static class RunFile
{
    private static readonly string[] s_fields = ["command", "cwd", "env", "skip"];

    /// <summary>Reads a file. Takes <c>NARU-L006</c>.</summary>
    public static IReadOnlyList<RunEntry> Read(string path, Diagnostics d)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            d.Error("NARU-L006", $"cannot read the file: {Causes.Of(e)}", new Place(path));
            return [];
        }
        return ReadText(text, path, d);
    }

    /// <summary>Reads a text.</summary>
    public static IReadOnlyList<RunEntry> ReadText(string text, string path, Diagnostics d)
    {
        IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(text, path, d);
        if (documents.Count == 0 || documents[0].IsNullScalar) return [];
        if (documents is not [YamlMapping map])
        {
            d.Error("NARU-L006", "a run file is one mapping of Deployments to commands", documents[^1].Place, null,
                "write lines like: orders-v1: dotnet run");
            return [];
        }
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return [.. map.Entries.Select(e => Entry(e, folder, d)).OfType<RunEntry>()];
    }

    /// <summary>Finds whom entries are about. Takes <c>NARU-L007</c> (nobody, or several) and <c>NARU-L008</c> (one Deployment
    /// twice).</summary>
    public static IReadOnlyDictionary<string,
        RunTarget> Resolve(IEnumerable<RunEntry> entries, IReadOnlyList<DeploymentManifest> deployments, Diagnostics d)
    {
        var found = new Dictionary<string, RunTarget>(StringComparer.Ordinal);
        foreach (RunEntry entry in entries)
        {
            if (Find(entry, deployments, d) is not { } target) continue;
            if (found.TryGetValue(target.Deployment.Key, out RunTarget? other))
                d.Error("NARU-L008",
                    $"{entry.Key} and {other.Entry.Key} ({other.Entry.Place}) are the same Deployment, and a pod runs one process here",
                    entry.Place, null, "keep one; let its command start what the pod needs");
            else found[target.Deployment.Key] = target;
        }
        return found;
    }

    private static RunEntry? Entry(YamlEntry entry, string folder, Diagnostics d)
    {
        if (entry.Value is YamlScalar { IsNull: false } line && line.Value.Trim().Length > 0)
            return new RunEntry(entry.Key, line.Value.Trim(), folder, [], false, entry.KeyPlace);
        if (entry.Value is not YamlMapping map)
        {
            d.Error("NARU-L006", $"{entry.Key} says no command", entry.KeyPlace, null,
                $"write {entry.Key}: COMMAND, or a mapping with {string.Join(", ", s_fields)}");
            return null;
        }
        bool good = true;
        foreach (YamlEntry field in map.Entries.Where(f => !s_fields.Contains(f.Key)))
        {
            d.Error("NARU-L006", $"unknown field {entry.Key}.{field.Key}", field.KeyPlace, null, Nearest.Suggestion(field.Key, s_fields)
                ?? $"there are {string.Join(", ", s_fields)}");
            good = false;
        }
        string command = Command(map.Get("command"));
        bool skip = map.GetText("skip") == "true";
        if (map.Get("skip") is { } said && map.GetText("skip") is not ("true" or "false"))
        {
            d.Error("NARU-L006", $"{entry.Key}.skip is true or false", said.Place);
            good = false;
        }
        if (command.Length == 0 && !skip)
        {
            d.Error("NARU-L006", $"{entry.Key} says no command", map.Get("command")?.Place ?? entry.KeyPlace, null,
                "add command: (a line for a shell, or a list of words), or skip: true to leave it out");
            good = false;
        }
        if (map.Get("cwd") is { } at && map.GetText("cwd") is not { Length: > 0 })
        {
            d.Error("NARU-L006", $"{entry.Key}.cwd is a folder", at.Place);
            good = false;
        }
        string where = Path.GetFullPath(Path.Combine(folder, map.GetText("cwd") ?? "."));
        if (good && !skip && !Directory.Exists(where))
        {
            d.Error("NARU-L006", $"{entry.Key}.cwd: there is no folder {where}", map.Get("cwd")?.Place ?? entry.KeyPlace, null,
                "cwd is relative to this file");
            good = false;
        }
        var environment = ImmutableArray.CreateBuilder<EnvironmentVariable>();
        if (map.Get("env") is { IsNullScalar: false } env)
        {
            if (env is not YamlMapping variables)
            {
                d.Error("NARU-L006", $"{entry.Key}.env is a mapping of names to values", env.Place, null, "write env: {NAME: value}");
                return null;
            }
            foreach (YamlEntry variable in variables.Entries)
            {
                if (variable.Value is YamlScalar value && variable.Key.Length > 0 && !variable.Key.Contains('='))
                    environment.Add(new EnvironmentVariable(variable.Key, value.IsNull ? "" : value.Value, null));
                else
                {
                    d.Error("NARU-L006", $"{entry.Key}.env.{variable.Key} is no variable with a value", variable.KeyPlace);
                    good = false;
                }
            }
        }
        return good ? new RunEntry(entry.Key, command, where, environment.ToImmutable(), skip, entry.KeyPlace) : null;
    }

    private static string Command(YamlNode? node) => node switch
    {
        YamlScalar { IsNull: false } line => line.Value.Trim(),
        YamlSequence words => string.Join(' ', words.Items.OfType<YamlScalar>().Select(w => Shell.Quote(w.Value))),
        _ => "",
    };

    private static RunTarget? Find(RunEntry entry, IReadOnlyList<DeploymentManifest> deployments, Diagnostics d)
    {
        string[] parts = entry.Key.Split('/');
        IEnumerable<(DeploymentManifest Deployment, string? Container)> meant = parts switch
        {
            [var name] => deployments.Where(x => x.Name == name).Select(x => (x, (string?)null)),
            [var a, var b] => deployments.Where(x => x.Name == a && x.Containers.Any(c => c.Name == b)).Select(x => (x, (string?)b))
                .Concat(deployments.Where(x => x.Namespace == a && x.Name == b).Select(x => (x, (string?)null))),
            [var ns, var name, var container] =>
                deployments.Where(x => x.Namespace == ns && x.Name == name && x.Containers.Any(c => c.Name == container))
                .Select(x => (x, (string?)container)),
            _ => [],
        };
        (DeploymentManifest Deployment, string? Container)[] all = [.. meant];
        if (all is [var (only, of)]) return new RunTarget(entry, only, of is null ? null : only.Containers.First(c => c.Name == of));
        if (all.Length > 1)
        {
            d.Error("NARU-L007", $"{entry.Key} may be {string.Join(" or ", all.Select(Full))}", entry.Place, null,
                "write it as namespace/name, or namespace/name/container");
            return null;
        }
        IEnumerable<string> names = deployments.Select(x => x.Name)
            .Concat(deployments.Select(x => x.Key)).Concat(deployments.SelectMany(x => x.Containers.Select(c => $"{x.Name}/{c.Name}")));
        string there = deployments.Count == 0
            ? "the manifests have no Deployment" : $"there {(deployments.Count == 1 ? "is" : "are")} {string.Join(", ", deployments.Select(x => x.Name).Take(8))}";
        d.Error("NARU-L007", $"the manifests have no Deployment {entry.Key}", entry.Place, null, Nearest.Suggestion(entry.Key, names)
            ?? there);
        return null;

        static string Full((DeploymentManifest Deployment, string? Container) one) => one.Deployment.Key
            + (one.Container is null ? "" : $"/{one.Container}");
    }
}

/// <summary>Words for a shell.</summary>
internal static class Shell
{
    /// <summary>A word as /bin/sh reads it back.</summary>
    public static string Quote(string word) =>
        word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || "_./:=,@%+-".Contains(c, StringComparison.Ordinal))
            ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    /// <summary>A command of words.</summary>
    public static string Line(IEnumerable<string> words) => string.Join(' ', words.Select(Quote));
}

// naru-proxy --mode validate: reads a bootstrap and the resource files it names, starts nothing, prints every fault.
using Google.Protobuf;
using Naru.Core;

namespace Naru.Proxy.Config;

/// <summary>The outcome of a validation.</summary>
/// <param name="Diagnostics">Everything found, errors first in the order of the file.</param>
public sealed record Validation(IReadOnlyList<Diagnostic> Diagnostics)
{
    /// <summary>Whether the proxy would start with it.</summary>
    public bool Ok => Diagnostics.All(d => d.Severity != Severity.Error);

    /// <summary>Prints <c>OK</c>, or one line a fault; warnings too, information only where asked for.</summary>
    /// <returns>The exit code: 0 or 1.</returns>
    public int Print(TextWriter output, bool withInformation = false)
    {
        foreach (Diagnostic diagnostic in Diagnostics)
        {
            if (withInformation || diagnostic.Severity != Severity.Info) output.WriteLine(diagnostic);
        }
        if (Ok) output.WriteLine("OK");
        return Ok ? 0 : 1;
    }
}

/// <summary>Validates without starting.</summary>
public static class ConfigValidator
{
    /// <summary>Validates a bootstrap file and every resource file that <c>path_config_source</c>s name, in it or in one another.</summary>
    /// <param name="path">The bootstrap.</param>
    /// <param name="options">What the command line adds.</param>
    /// <param name="each">Called with every record that was accepted, the bootstrap's own included, and where it stands; for checks that
    /// need more than the configuration.</param>
    public static Validation ValidateFile(string path, BootstrapOptions? options = null, Action<object, Place, Diagnostics>? each = null)
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.ReadFile(path, found, options, out _);
        if (config is not null)
        {
            each?.Invoke(config, new Place(path), found);
            var seen = new HashSet<string>(StringComparer.Ordinal);
            foreach (ConfigSourceConfig? source in SourcesOf(config)) ValidateResources(source, seen, each, found);
        }
        return new Validation([.. found.Items.OrderBy(d => d.Severity).ThenBy(d => d.Place.File, StringComparer.Ordinal).ThenBy(d => d.Place.Line).ThenBy(d => d.Place.Column)]);
    }

    private static void ValidateResources(ConfigSourceConfig? source, HashSet<string> seen, Action<object, Place, Diagnostics>? each, Diagnostics found)
    {
        if (source is not { Kind: ConfigSourceKind.Path, Path: var path } || !seen.Add(path)) return;
        if (!File.Exists(path))
        {
            found.Warning("NARU-C104", "there is no such file yet; its resources are waited for", new Place(path));
            return;
        }
        if (BootstrapReader.TextOf(path, found) is not { } text || ResourceFiles.Read(text, path, found) is not { } file) return;
        foreach (IMessage resource in file.Resources)
        {
            if (ResourceReader.Read(resource, found, file.Places) is not { } record) continue;
            each?.Invoke(record, file.Places.Of(resource), found);
            foreach (ConfigSourceConfig? further in SourcesOf(record)) ValidateResources(further, seen, each, found);
        }
    }

    private static IEnumerable<ConfigSourceConfig?> SourcesOf(object record) => record switch
    {
        BootstrapConfig bootstrap => [.. bootstrap.Runtime.Select(l => l.Source), bootstrap.Lds, bootstrap.Cds, .. bootstrap.Clusters.SelectMany(SourcesOf), .. bootstrap.Listeners.SelectMany(SourcesOf)],
        ClusterConfig cluster => [cluster.EdsSource, .. cluster.SecretReferences.Select(r => r.Source)],
        ListenerConfig listener => [.. listener.HttpManagers.SelectMany(h => h.Sources), .. listener.SecretReferences.Select(r => r.Source)],
        _ => [],
    };
}

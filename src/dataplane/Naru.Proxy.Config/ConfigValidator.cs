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
    /// <summary>Validates a bootstrap file and every resource file that its <c>path_config_source</c>s name.</summary>
    public static Validation ValidateFile(string path, BootstrapOptions? options = null)
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.ReadFile(path, found, options, out _);
        foreach (ConfigSourceConfig? source in new[] { config?.Lds, config?.Cds })
        {
            if (source is { Kind: ConfigSourceKind.Path }) ValidateResources(source.Path, found);
        }
        return new Validation([.. found.Items.OrderBy(d => d.Severity).ThenBy(d => d.Place.File, StringComparer.Ordinal).ThenBy(d => d.Place.Line).ThenBy(d => d.Place.Column)]);
    }

    private static void ValidateResources(string path, Diagnostics found)
    {
        if (!File.Exists(path))
        {
            found.Warning("NARU-C104", "there is no such file yet; its resources are waited for", new Place(path));
            return;
        }
        if (BootstrapReader.TextOf(path, found) is not { } text || ResourceFiles.Read(text, path, found) is not { } file) return;
        foreach (IMessage resource in file.Resources) ResourceReader.Read(resource, found, file.Places);
    }
}

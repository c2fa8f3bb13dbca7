// How configuration gets into the proxy, wherever it comes from: the bootstrap, the wire and watched files, read and judged alike.
// Composes the readers with the check of formats; returns nothing where there was an error, and then says why.
using System.Collections.Immutable;
using Envoy.Config.Bootstrap.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.Proxy.Xds;

namespace Naru.Proxy.Host;

internal static class Configuration
{
    /// <summary>Reads the bootstrap that the command line names.</summary>
    public static (BootstrapConfig Config, Bootstrap Message)? Load(CommandLine options, Diagnostics found)
    {
        BootstrapOptions overrides = OverridesOf(options);
        BootstrapConfig? config = options.ConfigPath is { } path
            ? BootstrapReader.ReadFile(path, found, overrides, out Bootstrap message)
            : BootstrapReader.Read("", null, found, overrides, out message);
        if (config is null) return null;
        CheckFormats(config, options, found);
        return found.HasErrors ? null : (config, message);
    }

    /// <summary>Judges the bootstrap and the resource files it names, with their formats, certificates and keys, without using them.</summary>
    public static Diagnostics Validate(CommandLine options)
    {
        var found = new Diagnostics();
        ImmutableArray<SecretConfig> secrets = [];
        if (options.ConfigPath is { } path) found.AddRange(ConfigValidator.ValidateFile(path, OverridesOf(options), Each).Diagnostics);
        else if (Load(options, found) is var (config, _)) TlsCheck.Check(config.Secrets, config, new Place("--config-yaml"), found);
        return found;

        // The bootstrap comes first.
        void Each(object record, Place place, Diagnostics diagnostics)
        {
            if (record is BootstrapConfig bootstrap) secrets = bootstrap.Secrets;
            FormatCheck.Check(record, place, diagnostics);
            TlsCheck.Check(secrets, record, place, diagnostics);
        }
    }

    /// <summary>Judges a resource that came over the wire.</summary>
    public static object? Decode(ResourceType type, ByteString bytes, Diagnostics diagnostics)
    {
        object? record = EnvoyResources.Decode(type, bytes, diagnostics);
        if (record is not null) FormatCheck.Check(record, default, diagnostics);
        return diagnostics.HasErrors ? null : record;
    }

    /// <summary>Reads a watched file of resources.</summary>
    public static FileContent ReadFile(ResourceType type, string text, string path)
    {
        FileContent content = EnvoyResources.ReadFile(type, text, path);
        foreach (FileResource resource in content.Resources)
            if (resource.Record is { } record) FormatCheck.Check(record, resource.Place, resource.Diagnostics);
        return content;
    }

    private static void CheckFormats(BootstrapConfig config, CommandLine options, Diagnostics found) =>
        FormatCheck.Check(config, new Place(options.ConfigPath ?? "--config-yaml"), found);

    private static BootstrapOptions OverridesOf(CommandLine options) => new()
    {
        Overlay = options.ConfigYaml,
        ServiceNode = options.ServiceNode,
        ServiceCluster = options.ServiceCluster,
        ServiceZone = options.ServiceZone,
    };
}

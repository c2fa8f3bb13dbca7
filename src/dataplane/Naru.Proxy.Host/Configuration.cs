// How configuration gets into the proxy, wherever it comes from: the bootstrap, the wire and watched files, read and judged alike.
// Composes the readers with the check of formats; returns nothing where there was an error, and then says why.
using Envoy.Config.Bootstrap.V3;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Naru.Yaml;

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

    /// <summary>Judges the bootstrap and the resource files it names, without using them.</summary>
    public static Diagnostics Validate(CommandLine options)
    {
        var found = new Diagnostics();
        if (options.ConfigPath is { } path)
        {
            found.AddRange(ConfigValidator.ValidateFile(path, OverridesOf(options)).Diagnostics);
            if (!found.HasErrors && BootstrapReader.ReadFile(path, new Diagnostics(), OverridesOf(options), out _) is { } config) CheckFormats(config, options, found);
        }
        else
        {
            Load(options, found);
        }
        return found;
    }

    /// <summary>Judges a resource that came over the wire.</summary>
    public static object? Decode(ResourceType type, ByteString bytes, Diagnostics diagnostics)
    {
        try
        {
            IMessage message = type switch
            {
                ResourceType.Cluster => Cluster.Parser.ParseFrom(bytes),
                ResourceType.Endpoints => ClusterLoadAssignment.Parser.ParseFrom(bytes),
                ResourceType.Listener => Listener.Parser.ParseFrom(bytes),
                _ => RouteConfiguration.Parser.ParseFrom(bytes),
            };
            return Record(message, diagnostics, null);
        }
        catch (InvalidProtocolBufferException e)
        {
            diagnostics.Error("NARU-C016", $"the bytes are not a message of this type: {e.Message}");
            return null;
        }
    }

    /// <summary>Reads a watched file of resources.</summary>
    public static FileContent ReadFile(ResourceType type, string text, string path)
    {
        var found = new Diagnostics();
        ResourceFile? file = ResourceFiles.Read(text, path, found);
        var resources = new List<FileResource>();
        foreach (IMessage message in file?.Resources ?? [])
        {
            var own = new Diagnostics();
            string name = message switch
            {
                Cluster cluster => cluster.Name,
                ClusterLoadAssignment endpoints => endpoints.ClusterName,
                Listener listener => listener.Name,
                RouteConfiguration routes => routes.Name,
                _ => "",
            };
            object? record = null;
            if (TypeOf(message) == type) record = Record(message, own, file!.Places);
            else own.Error("NARU-C014", $"the file is for {type.Abbreviation()}, and this is a {message.Descriptor.Name}", file!.Places.Of(message));
            resources.Add(new FileResource(name, message, record, own));
        }
        return new FileContent(file?.VersionInfo ?? "", resources, found);
    }

    private static object? Record(IMessage message, Diagnostics diagnostics, ProtoPlaces? places)
    {
        var own = new Diagnostics();
        object? record = message switch
        {
            Cluster cluster => ResourceReader.Cluster(cluster, own, places),
            ClusterLoadAssignment endpoints => ResourceReader.ClusterLoadAssignment(endpoints, own, places),
            Listener listener => ResourceReader.Listener(listener, own, places),
            RouteConfiguration routes => ResourceReader.RouteConfiguration(routes, own, places),
            _ => null,
        };
        if (record is not null) FormatCheck.Check(record, places?.Of(message) ?? default, own);
        diagnostics.AddRange(own.Items);
        return own.HasErrors ? null : record;
    }

    private static ResourceType? TypeOf(IMessage message) => message switch
    {
        Cluster => ResourceType.Cluster,
        ClusterLoadAssignment => ResourceType.Endpoints,
        Listener => ResourceType.Listener,
        RouteConfiguration => ResourceType.Route,
        _ => null,
    };

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

// Envoy's resources as Naru.Proxy.Config reads them, in the shape that discovery wants: one function for bytes, one for files.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Yaml;

namespace Naru.Proxy.Xds;

/// <summary>The readers of production.</summary>
public static class EnvoyResources
{
    /// <summary>Decodes and validates a resource from the wire. Throws <see cref="InvalidProtocolBufferException"/> for bytes that are no message.</summary>
    public static object? Decode(ResourceType type, ByteString bytes, Diagnostics diagnostics) => type switch
    {
        ResourceType.Cluster => Read(Cluster.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Endpoints => Read(ClusterLoadAssignment.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Listener => Read(Listener.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Secret => Read(Secret.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Filter => Read(TypedExtensionConfig.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Scope => Read(ScopedRouteConfiguration.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.VirtualHost => Read(VirtualHost.Parser.ParseFrom(bytes), diagnostics, null),
        ResourceType.Runtime => Read(Envoy.Service.Runtime.V3.Runtime.Parser.ParseFrom(bytes), diagnostics, null),
        _ => Read(RouteConfiguration.Parser.ParseFrom(bytes), diagnostics, null),
    };

    /// <summary>Reads a file of resources of one type.</summary>
    public static FileContent ReadFile(ResourceType type, string text, string path)
    {
        var diagnostics = new Diagnostics();
        if (ResourceFiles.Read(text, path, diagnostics) is not { } file) return new FileContent("", [], diagnostics);
        var resources = ImmutableArray.CreateBuilder<FileResource>(file.Resources.Length);
        foreach (IMessage message in file.Resources)
        {
            var found = new Diagnostics();
            string name = ResourceReader.NameOf(message);
            object? record = null;
            if (TypeOf(message) != type)
            {
                found.Error(
                    "NARU-X103", $"its type is {message.Descriptor.FullName}, but this file is read for {type.Abbreviation()}",
                    file.Places.Of(message), name, $"put only {type.Url()} into it");
            }
            else if (name.Length == 0) found.Error("NARU-X102", $"a {type.Abbreviation()} resource has no name", file.Places.Of(message));
            else record = ResourceReader.Read(message, found, file.Places);
            resources.Add(new FileResource(name, message, record, found, file.Places.Of(message)));
        }
        return new FileContent(file.VersionInfo, resources.ToImmutable(), diagnostics);
    }

    private static object? Read(IMessage message, Diagnostics diagnostics, ProtoPlaces? places) => ResourceReader.Read(message, diagnostics, places);

    private static ResourceType? TypeOf(IMessage message) => message switch
    {
        Cluster => ResourceType.Cluster,
        ClusterLoadAssignment => ResourceType.Endpoints,
        Listener => ResourceType.Listener,
        RouteConfiguration => ResourceType.Route,
        Secret => ResourceType.Secret,
        TypedExtensionConfig => ResourceType.Filter,
        ScopedRouteConfiguration => ResourceType.Scope,
        VirtualHost => ResourceType.VirtualHost,
        Envoy.Service.Runtime.V3.Runtime => ResourceType.Runtime,
        _ => null,
    };
}

// Resources in files, as path_config_source names them: a DiscoveryResponse in YAML or JSON, or a single resource with "@type".
// Parses only; ResourceReader validates, and Naru.Proxy.Xds watches.
using System.Collections.Immutable;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config.Reading;
using Naru.Yaml;

namespace Naru.Proxy.Config;

/// <summary>What a resource file holds.</summary>
/// <param name="VersionInfo"><c>version_info</c>; may be empty.</param>
/// <param name="Resources">Messages, unwrapped from <c>Any</c> and from <c>envoy.service.discovery.v3.Resource</c>, in order.</param>
/// <param name="Places">Where their fields stood.</param>
public sealed record ResourceFile(string VersionInfo, ImmutableArray<IMessage> Resources, ProtoPlaces Places);

/// <summary>Reads resource files.</summary>
public static class ResourceFiles
{
    /// <summary>Parses a text; null where it has errors. Several documents are several single resources.</summary>
    public static ResourceFile? Read(string text, string? file, Diagnostics diagnostics)
    {
        var found = new Diagnostics();
        var places = new ProtoPlaces();
        var resources = ImmutableArray.CreateBuilder<IMessage>();
        string version = "";
        foreach (YamlNode document in YamlReader.ReadAll(text, file, found))
        {
            YamlNode response = document is YamlMapping mapping && mapping.Get("@type") is not null
                ? new YamlMapping(document.Place, [new YamlEntry("resources", document.Place, new YamlSequence(document.Place, [document]))])
                : document;
            var message = ProtoBinder.Bind<DiscoveryResponse>(OldNames.Rewrite(response, DiscoveryResponse.Descriptor, found), found, "", places, EnvoyTypes.Binding);
            if (message.VersionInfo.Length > 0) version = message.VersionInfo;
            for (int i = 0; i < message.Resources.Count; i++)
            {
                Any any = message.Resources[i];
                IMessage? inner = places.Unpacked(any);
                if (inner is Resource wrapped && wrapped.Resource_ is { } held)
                {
                    any = held;
                    inner = places.Unpacked(held);
                }
                if (inner is not null) resources.Add(inner);
                else found.Error("NARU-C014", $"the type {EnvoyTypes.NameOf(any)} is not known here", places.Of(message, $"resources[{i}]"), $"resources[{i}]");
            }
        }
        diagnostics.AddRange(found.Items);
        return found.HasErrors ? null : new ResourceFile(version, resources.ToImmutable(), places);
    }
}

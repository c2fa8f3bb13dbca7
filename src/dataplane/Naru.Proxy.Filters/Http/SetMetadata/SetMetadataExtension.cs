// envoy.filters.http.set_metadata: fixed metadata about every request that passes. What is typed is refused: nothing would read it.
using System.Collections.Immutable;
using System.Text;
using Envoy.Extensions.Filters.Http.SetMetadata.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.SetMetadata;

/// <summary>Metadata that configuration says (Envoy docs: set metadata).</summary>
public sealed class SetMetadataExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.set_metadata";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.SetMetadata.V3.Config.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.set_metadata.v3.Config
          + metadata metadata_namespace value
        envoy.extensions.filters.http.set_metadata.v3.Metadata
          + metadata_namespace allow_overwrite value
          - typed_value: metadata has no types here; write value

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.SetMetadata.V3.Config)message;
        var said = ImmutableArray.CreateBuilder<SaidConfig>();
        // The older fields come first, and over what is there.
        if (filter.MetadataNamespace.Length > 0)
            said.Add(new SaidConfig(filter.MetadataNamespace, MetadataReader.Read(filter.Value ?? new()), true));
        else if (filter.Value is not null) Values.Required(scope, "metadata_namespace", "");
        for (int i = 0; i < filter.Metadata.Count; i++)
        {
            Metadata given = filter.Metadata[i];
            Scope at = scope.In("metadata", i, given);
            if (Values.Required(at, "metadata_namespace", given.MetadataNamespace))
                said.Add(new SaidConfig(given.MetadataNamespace, MetadataReader.Read(given.Value ?? new()), given.AllowOverwrite));
        }
        return new SetMetadataConfig(said.ToImmutable());
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new SetMetadataFilter((SetMetadataConfig)settings, context);
}

/// <summary>What is said under one namespace.</summary>
internal sealed record SaidConfig(string Namespace, MetaValue Value, bool Overwrites)
{
    public byte[] Name { get; } = Encoding.UTF8.GetBytes(Namespace);
}

/// <summary>All of it, in order.</summary>
internal sealed record SetMetadataConfig(ImmutableArray<SaidConfig> Said);

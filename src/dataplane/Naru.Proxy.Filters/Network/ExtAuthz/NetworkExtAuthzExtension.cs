// envoy.filters.network.ext_authz: how its configuration is read. Refused by name is what has no counterpart here: labels of the
// bootstrap's node.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Network;

namespace Naru.Proxy.Filters.Network.ExtAuthz;

/// <summary>Another service lets connections in (Envoy docs: network external authorization).</summary>
public sealed class NetworkExtAuthzExtension : NetworkFilterExtension, INetworkFilterKind
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromMilliseconds(200);

    /// <inheritdoc/>
    public override string Name => "envoy.filters.network.ext_authz";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Network.ExtAuthz.V3.ExtAuthz.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.network.ext_authz.v2.ExtAuthz";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.network.ext_authz.v3.ExtAuthz
          + stat_prefix grpc_service failure_mode_allow include_peer_certificate transport_api_version filter_enabled_metadata
          + include_tls_session check_on_new_connection
          - bootstrap_metadata_labels_key: nothing of the bootstrap's node is sent

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Network.ExtAuthz.V3.ExtAuthz)message;
        Values.Required(scope, "stat_prefix", filter.StatPrefix);
        CallOuts.Version(scope, "transport_api_version", filter.TransportApiVersion);
        return new NetworkExtAuthzConfig
        {
            StatPrefix = filter.StatPrefix,
            Service = CallOuts.Grpc(scope, "grpc_service", filter.GrpcService, s_timeout)!,
            AllowsFailures = filter.FailureModeAllow,
            SendsCertificate = filter.IncludePeerCertificate,
            SendsTls = filter.IncludeTlsSession,
            EnabledBy = filter.FilterEnabledMetadata is { } by ? MetadataReader.Matcher(scope.In("filter_enabled_metadata", by), by) : null,
            OnNew = filter.CheckOnNewConnection,
        };
    }

    NetworkFilter INetworkFilterKind.Compile(object settings, FilterContext context) =>
        new NetworkExtAuthzFilter((NetworkExtAuthzConfig)settings, context);
}

/// <summary>What the chain says.</summary>
internal sealed record NetworkExtAuthzConfig
{
    public required string StatPrefix { get; init; }
    public required GrpcServiceConfig Service { get; init; }
    public bool AllowsFailures { get; init; }
    public bool SendsCertificate { get; init; }
    public bool SendsTls { get; init; }

    /// <summary>It is on for connections whose metadata says so; null is all.</summary>
    public MetadataMatcherConfig? EnabledBy { get; init; }

    /// <summary>Asked before TLS, when a connection begins.</summary>
    public bool OnNew { get; init; }
}

// envoy.filters.http.grpc_http1_bridge: how its configuration is read.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.GrpcHttp1Bridge;

/// <summary>gRPC for clients that know no trailers (Envoy docs: gRPC HTTP/1.1 bridge).</summary>
public sealed class GrpcHttp1BridgeExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_http1_bridge";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.GrpcHttp1Bridge.V3.Config.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.grpc_http1_bridge.v2.Config";

    /// <inheritdoc/>
    public override bool NeedsNothing => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_http1_bridge.v3.Config
          + upgrade_protobuf_to_grpc ignore_query_parameters

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var config = (Envoy.Extensions.Filters.Http.GrpcHttp1Bridge.V3.Config)message;
        return new BridgeSettings(config.UpgradeProtobufToGrpc, config.IgnoreQueryParameters);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcHttp1BridgeFilter((BridgeSettings)settings);
}

/// <summary>What the chain says.</summary>
/// <param name="Frames">Requests of plain protobuf become calls.</param>
/// <param name="DropsQuery">Calls go on without the query of their target.</param>
internal sealed record BridgeSettings(bool Frames, bool DropsQuery);

// envoy.filters.http.grpc_web: it has nothing to be configured.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.GrpcWeb;

/// <summary>Calls of browsers, translated to gRPC and back (gRPC: PROTOCOL-WEB).</summary>
public sealed class GrpcWebExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_web";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.GrpcWeb.V3.GrpcWeb.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.grpc_web.v2.GrpcWeb";

    /// <inheritdoc/>
    public override bool NeedsNothing => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_web.v3.GrpcWeb

        """;

    internal override object Read(Scope scope, IMessage message) => this;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcWebFilter();
}

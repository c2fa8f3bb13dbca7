// envoy.filters.http.grpc_http1_reverse_bridge: how its configuration is read, in the chain and at routes.
using System.Text;
using Envoy.Extensions.Filters.Http.GrpcHttp1ReverseBridge.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.GrpcHttp1ReverseBridge;

/// <summary>gRPC for services that know no gRPC (Envoy docs: gRPC HTTP/1.1 reverse bridge).</summary>
public sealed class GrpcHttp1ReverseBridgeExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_http1_reverse_bridge";

    /// <inheritdoc/>
    public override MessageDescriptor Message => FilterConfig.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => FilterConfigPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.grpc_http1_reverse_bridge.v2alpha1.FilterConfig";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig
          + content_type withhold_grpc_frames response_size_header
        envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute
          + disabled

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var config = (FilterConfig)message;
        Values.Required(scope, "content_type", config.ContentType);
        if (config.ContentType.AsSpan().IndexOfAnyExceptInRange(' ', '~') >= 0)
            scope.Error("content_type", "NARU-C108", "\"content_type\" is no content type", "write one as it stands in headers");
        string size = config.ResponseSizeHeader.ToLowerInvariant();
        if (size.Length > 0 && Values.HeaderName(scope, "response_size_header", size) && !config.WithholdGrpcFrames)
            scope.Error("response_size_header", "NARU-C113", "\"response_size_header\" is of no use where frames are left as they are",
                "write withhold_grpc_frames: true, or remove it");
        return new ReverseSettings(
            Encoding.Latin1.GetBytes(config.ContentType), config.WithholdGrpcFrames, size.Length > 0 ? Encoding.ASCII.GetBytes(size) : null);
    }

    internal override object ReadRoute(Scope scope, IMessage message) => new ReverseLevel(((FilterConfigPerRoute)message).Disabled);

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcHttp1ReverseBridgeFilter((ReverseSettings)settings);
}

/// <summary>What the chain says.</summary>
/// <param name="ContentType">What the service reads and answers.</param>
/// <param name="Withholds">It sees messages without their frames.</param>
/// <param name="SizeHeader">Says how long its answer is; null for none.</param>
internal sealed record ReverseSettings(byte[] ContentType, bool Withholds, byte[]? SizeHeader);

/// <summary>What a route says.</summary>
internal sealed record ReverseLevel(bool IsOff);

// envoy.filters.http.decompressor: how its configuration is read. Routes can only switch it off.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Configured = Envoy.Extensions.Filters.Http.Decompressor.V3.Decompressor;

namespace Naru.Proxy.Filters.Http.Decompressor;

/// <summary>Packed bodies that are unpacked on their way (Envoy docs: decompressor).</summary>
public sealed class DecompressorExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.decompressor";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Configured.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.decompressor.v3.Decompressor
          + decompressor_library request_direction_config response_direction_config
        envoy.extensions.filters.http.decompressor.v3.Decompressor.CommonDirectionConfig
          + enabled ignore_no_transform_header
        envoy.extensions.filters.http.decompressor.v3.Decompressor.RequestDirectionConfig
          + common_config advertise_accept_encoding
        envoy.extensions.filters.http.decompressor.v3.Decompressor.ResponseDirectionConfig
          + common_config

        """ + UnpackingLibrary.Fields;

    internal override object Read(Scope scope, IMessage message)
    {
        var given = (Configured)message;
        UnpackingLibrary library = UnpackingLibrary.Read(scope, given.DecompressorLibrary) ?? new UnpackingLibrary("", PackCoding.Gzip, 15, 1);
        return new UnpackSettings(
            library,
            given.RequestDirectionConfig is { } up
                ? Direction(scope.In("request_direction_config", up), up.CommonConfig) : new UnpackDirection(true, false),
            given.ResponseDirectionConfig is { } down
                ? Direction(scope.In("response_direction_config", down), down.CommonConfig) : new UnpackDirection(true, false),
            given.RequestDirectionConfig?.AdvertiseAcceptEncoding ?? true);
    }

    private static UnpackDirection Direction(Scope parent, Configured.Types.CommonDirectionConfig? common)
    {
        if (common is null) return new UnpackDirection(true, false);
        bool isOn = Values.RuntimeSwitch(parent.In("common_config", common), "enabled", common.Enabled).IsOn;
        return new UnpackDirection(isOn, common.IgnoreNoTransformHeader);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new DecompressorFilter((UnpackSettings)settings, context);
}

/// <summary>One direction's bodies.</summary>
/// <param name="IsOn">Whether they are unpacked at all.</param>
/// <param name="DespiteNoTransform">Also those that nobody is to change.</param>
internal readonly record struct UnpackDirection(bool IsOn, bool DespiteNoTransform);

/// <summary>What the chain says.</summary>
/// <param name="Library">How.</param>
/// <param name="Request">Of clients.</param>
/// <param name="Response">Of endpoints.</param>
/// <param name="Advertises">Endpoints are told that they may pack.</param>
internal sealed record UnpackSettings(UnpackingLibrary Library, UnpackDirection Request, UnpackDirection Response, bool Advertises);

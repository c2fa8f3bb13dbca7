// The extensions of this program, one line each.
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Filters.Http.BandwidthLimit;
using Naru.Proxy.Filters.Http.BodyToMetadata;
using Naru.Proxy.Filters.Http.Buffer;
using Naru.Proxy.Filters.Http.Compressor;
using Naru.Proxy.Filters.Http.Cors;
using Naru.Proxy.Filters.Http.CustomResponse;
using Naru.Proxy.Filters.Http.Decompressor;
using Naru.Proxy.Filters.Http.DynamicForwardProxy;
using Naru.Proxy.Filters.Http.Fault;
using Naru.Proxy.Filters.Http.GrpcHttp1Bridge;
using Naru.Proxy.Filters.Http.GrpcHttp1ReverseBridge;
using Naru.Proxy.Filters.Http.GrpcStats;
using Naru.Proxy.Filters.Http.GrpcWeb;
using Naru.Proxy.Filters.Http.HeaderMutation;
using Naru.Proxy.Filters.Http.HeaderToMetadata;
using Naru.Proxy.Filters.Http.HealthCheck;
using Naru.Proxy.Filters.Http.JsonToMetadata;
using Naru.Proxy.Filters.Http.LocalRateLimit;
using Naru.Proxy.Filters.Http.SetFilterState;
using Naru.Proxy.Filters.Http.SetMetadata;
using Naru.Proxy.Filters.Http.StatefulSession;

namespace Naru.Proxy.Host;

internal static class Extensions
{
    /// <summary>Makes them known; before the first configuration is read.</summary>
    public static void Use() => ExtensionTable.Use(
    [
        new BandwidthLimitExtension(),
        new BodyToMetadataExtension(),
        new BufferExtension(),
        new CompressorExtension(),
        new CorsExtension(),
        new CustomResponseExtension(),
        new DecompressorExtension(),
        new DynamicForwardProxyExtension(),
        new FaultExtension(),
        new GrpcHttp1BridgeExtension(),
        new GrpcHttp1ReverseBridgeExtension(),
        new GrpcStatsExtension(),
        new GrpcWebExtension(),
        new HeaderMutationExtension(),
        new HeaderToMetadataExtension(),
        new HealthCheckExtension(),
        new JsonToMetadataExtension(),
        new LocalRateLimitExtension(),
        new SetFilterStateExtension(),
        new SetMetadataExtension(),
        new StatefulSessionExtension(),
    ]);
}

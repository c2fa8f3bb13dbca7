// The extensions of this program, one line each.
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Filters.Http.ApiKeyAuth;
using Naru.Proxy.Filters.Http.BandwidthLimit;
using Naru.Proxy.Filters.Http.BasicAuth;
using Naru.Proxy.Filters.Http.BodyToMetadata;
using Naru.Proxy.Filters.Http.Buffer;
using Naru.Proxy.Filters.Http.CdnLoop;
using Naru.Proxy.Filters.Http.Composite;
using Naru.Proxy.Filters.Http.Compressor;
using Naru.Proxy.Filters.Http.Cors;
using Naru.Proxy.Filters.Http.CredentialInjector;
using Naru.Proxy.Filters.Http.Csrf;
using Naru.Proxy.Filters.Http.CustomResponse;
using Naru.Proxy.Filters.Http.Decompressor;
using Naru.Proxy.Filters.Http.DynamicForwardProxy;
using Naru.Proxy.Filters.Http.ExtAuthz;
using Naru.Proxy.Filters.Http.ExtProc;
using Naru.Proxy.Filters.Http.Fault;
using Naru.Proxy.Filters.Http.GrpcHttp1Bridge;
using Naru.Proxy.Filters.Http.GrpcHttp1ReverseBridge;
using Naru.Proxy.Filters.Http.GrpcJsonTranscoder;
using Naru.Proxy.Filters.Http.GrpcStats;
using Naru.Proxy.Filters.Http.GrpcWeb;
using Naru.Proxy.Filters.Http.HeaderMutation;
using Naru.Proxy.Filters.Http.HeaderToMetadata;
using Naru.Proxy.Filters.Http.HealthCheck;
using Naru.Proxy.Filters.Http.JsonToMetadata;
using Naru.Proxy.Filters.Http.JwtAuthn;
using Naru.Proxy.Filters.Http.LocalRateLimit;
using Naru.Proxy.Filters.Http.Lua;
using Naru.Proxy.Filters.Http.MatchDelegate;
using Naru.Proxy.Filters.Http.OAuth2;
using Naru.Proxy.Filters.Http.OnDemand;
using Naru.Proxy.Filters.Http.RateLimit;
using Naru.Proxy.Filters.Http.Rbac;
using Naru.Proxy.Filters.Http.SetFilterState;
using Naru.Proxy.Filters.Http.SetMetadata;
using Naru.Proxy.Filters.Http.StatefulSession;
using Naru.Proxy.Filters.Network.ExtAuthz;
using Naru.Proxy.Filters.Network.RateLimit;

namespace Naru.Proxy.Host;

internal static class Extensions
{
    /// <summary>Makes them known; before the first configuration is read.</summary>
    public static void Use() => ExtensionTable.Use(
    [
        new ApiKeyAuthExtension(),
        new BandwidthLimitExtension(),
        new BasicAuthExtension(),
        new BodyToMetadataExtension(),
        new BufferExtension(),
        new CdnLoopExtension(),
        new CompositeExtension(),
        new CompressorExtension(),
        new CorsExtension(),
        new CredentialInjectorExtension(),
        new CsrfExtension(),
        new CustomResponseExtension(),
        new DecompressorExtension(),
        new DynamicForwardProxyExtension(),
        new ExtAuthzExtension(),
        new ExtProcExtension(),
        new FaultExtension(),
        new GrpcHttp1BridgeExtension(),
        new GrpcHttp1ReverseBridgeExtension(),
        new GrpcJsonTranscoderExtension(),
        new GrpcStatsExtension(),
        new GrpcWebExtension(),
        new HeaderMutationExtension(),
        new HeaderToMetadataExtension(),
        new HealthCheckExtension(),
        new JsonToMetadataExtension(),
        new JwtAuthnExtension(),
        new LocalRateLimitExtension(),
        new LuaExtension(),
        new MatchDelegateExtension(),
        new OAuth2Extension(),
        new OnDemandExtension(),
        new RateLimitExtension(),
        new RbacExtension(),
        new SetFilterStateExtension(),
        new SetMetadataExtension(),
        new StatefulSessionExtension(),
    ],
    [
        new NetworkExtAuthzExtension(),
        new NetworkRateLimitExtension(),
    ]);
}

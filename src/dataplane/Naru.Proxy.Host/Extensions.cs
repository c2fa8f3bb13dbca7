// The extensions of this program, one line each.
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Filters.Http.ApiKeyAuth;
using Naru.Proxy.Filters.Http.BasicAuth;
using Naru.Proxy.Filters.Http.BodyToMetadata;
using Naru.Proxy.Filters.Http.Buffer;
using Naru.Proxy.Filters.Http.CdnLoop;
using Naru.Proxy.Filters.Http.Cors;
using Naru.Proxy.Filters.Http.Csrf;
using Naru.Proxy.Filters.Http.DynamicForwardProxy;
using Naru.Proxy.Filters.Http.Fault;
using Naru.Proxy.Filters.Http.GrpcWeb;
using Naru.Proxy.Filters.Http.HeaderMutation;
using Naru.Proxy.Filters.Http.HeaderToMetadata;
using Naru.Proxy.Filters.Http.HealthCheck;
using Naru.Proxy.Filters.Http.JsonToMetadata;
using Naru.Proxy.Filters.Http.LocalRateLimit;
using Naru.Proxy.Filters.Http.Rbac;
using Naru.Proxy.Filters.Http.SetFilterState;
using Naru.Proxy.Filters.Http.SetMetadata;
using Naru.Proxy.Filters.Http.StatefulSession;

namespace Naru.Proxy.Host;

internal static class Extensions
{
    /// <summary>Makes them known; before the first configuration is read.</summary>
    public static void Use() => ExtensionTable.Use(
    [
        new ApiKeyAuthExtension(),
        new BasicAuthExtension(),
        new BodyToMetadataExtension(),
        new BufferExtension(),
        new CdnLoopExtension(),
        new CorsExtension(),
        new CsrfExtension(),
        new DynamicForwardProxyExtension(),
        new FaultExtension(),
        new GrpcWebExtension(),
        new HeaderMutationExtension(),
        new HeaderToMetadataExtension(),
        new HealthCheckExtension(),
        new JsonToMetadataExtension(),
        new LocalRateLimitExtension(),
        new RbacExtension(),
        new SetFilterStateExtension(),
        new SetMetadataExtension(),
        new StatefulSessionExtension(),
    ]);
}

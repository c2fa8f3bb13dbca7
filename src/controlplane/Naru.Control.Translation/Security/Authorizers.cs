// Whom CUSTOM policies ask → ext_authz, which is asked where the shadow rules before it took the request.
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.ExtAuthz.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Type.Matcher.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;

namespace Naru.Control.Translation;

internal static class Authorizers
{
    private const string Name = "envoy.filters.http.ext_authz";

    public static HttpFilter Http(AuthorizerSpec spec)
    {
        string cluster = Clusters.OutboundName(spec.Port, "", spec.Service);
        Duration timeout = Duration.FromTimeSpan(spec.Timeout);
        var made = new ExtAuthz
        {
            FailureModeAllow = spec.FailOpen,
            ClearRouteCache = spec.ClearRouteCache,
            TransportApiVersion = ApiVersion.V3,
            FilterEnabledMetadata = new MetadataMatcher
            {
                Filter = "envoy.filters.http.rbac",
                Path = { new MetadataMatcher.Types.PathSegment { Key = "istio_ext_authz_shadow_effective_policy_id" } },
                Value = new ValueMatcher { StringMatch = new StringMatcher { Prefix = $"istio-ext-authz-{spec.Name}" } },
            },
        };
        if (spec.StatusOnError > 0) made.StatusOnError = new HttpStatus { Code = (StatusCode)spec.StatusOnError };
        if (spec.MaxBody > 0)
            made.WithRequestBody = new BufferSettings { MaxRequestBytes = spec.MaxBody, AllowPartialMessage = spec.PartialBody,
                PackAsBytes = spec.PackAsBytes };
        if (spec.Grpc)
        {
            made.GrpcService = new GrpcService
            {
                EnvoyGrpc = new GrpcService.Types.EnvoyGrpc { ClusterName = cluster, Authority = spec.Service },
                Timeout = timeout,
            };
            return new HttpFilter { Name = Name, TypedConfig = Any.Pack(made) };
        }
        made.HttpService = new HttpService
        {
            ServerUri = new HttpUri { Uri = $"http://{spec.Service}", Cluster = cluster, Timeout = timeout },
            PathPrefix = spec.PathPrefix,
            AuthorizationRequest = spec.AddHeaders.IsEmpty ? null : new AuthorizationRequest
            {
                HeadersToAdd = { spec.AddHeaders.Select(h => new HeaderValue { Key = h.Key, Value = h.Value }) },
            },
            AuthorizationResponse = new AuthorizationResponse
            {
                AllowedUpstreamHeaders = Names(spec.UpstreamOnAllow),
                AllowedClientHeaders = Names(spec.DownstreamOnDeny),
                AllowedClientHeadersOnSuccess = Names(spec.DownstreamOnAllow),
            },
        };
        made.AllowedHeaders = Names(spec.IncludeHeaders);
        return new HttpFilter { Name = Name, TypedConfig = Any.Pack(made) };
    }

    private static ListStringMatcher? Names(IReadOnlyCollection<string> names) => names.Count == 0 ? null
        : new ListStringMatcher { Patterns = { names.Select(Pattern) } };

    private static StringMatcher Pattern(string name) => name switch
    {
        ['*', ..] => new StringMatcher { Suffix = name[1..], IgnoreCase = true },
        [.., '*'] => new StringMatcher { Prefix = name[..^1], IgnoreCase = true },
        _ => new StringMatcher { Exact = name, IgnoreCase = true },
    };
}

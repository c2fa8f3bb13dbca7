// Whom CUSTOM policies ask → ext_authz, which is asked where the shadow rules before it took the request.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Http.ExtAuthz.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Type.Matcher.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using HttpAuthorizer = Envoy.Extensions.Filters.Http.ExtAuthz.V3.HttpService;
using NetworkExtAuthz = Envoy.Extensions.Filters.Network.ExtAuthz.V3.ExtAuthz;

namespace Naru.Control.Translation;

internal static class Authorizers
{
    private const string Name = "envoy.filters.http.ext_authz", NetworkName = "envoy.filters.network.ext_authz";

    /// <summary>Asked about connections, where the shadow rules before it took one.</summary>
    public static Filter Network(AuthorizerSpec spec)
    {
        var made = new NetworkExtAuthz
        {
            StatPrefix = "tcp.",
            FailureModeAllow = spec.FailOpen,
            TransportApiVersion = ApiVersion.V3,
            GrpcService = Service(spec),
            FilterEnabledMetadata = Taken(spec, "envoy.filters.network.rbac"),
        };
        return new Filter { Name = NetworkName, TypedConfig = Any.Pack(made) };
    }

    private static GrpcService Service(AuthorizerSpec spec) => new()
    {
        EnvoyGrpc = new GrpcService.Types.EnvoyGrpc
        {
            ClusterName = Clusters.OutboundName(spec.Port, "", spec.Service),
            Authority = spec.Service
        },
        Timeout = Duration.FromTimeSpan(spec.Timeout),
    };

    private static MetadataMatcher Taken(AuthorizerSpec spec, string filter) => new()
    {
        Filter = filter,
        Path = { new MetadataMatcher.Types.PathSegment { Key = "istio_ext_authz_shadow_effective_policy_id" } },
        Value = new ValueMatcher { StringMatch = new StringMatcher { Prefix = $"istio-ext-authz-{spec.Name}" } },
    };

    public static HttpFilter Http(AuthorizerSpec spec)
    {
        string cluster = Clusters.OutboundName(spec.Port, "", spec.Service);
        Duration timeout = Duration.FromTimeSpan(spec.Timeout);
        var made = new ExtAuthz
        {
            FailureModeAllow = spec.FailOpen,
            ClearRouteCache = spec.ClearRouteCache,
            TransportApiVersion = ApiVersion.V3,
            FilterEnabledMetadata = Taken(spec, "envoy.filters.http.rbac"),
        };
        if (spec.StatusOnError > 0) made.StatusOnError = new HttpStatus { Code = (StatusCode)spec.StatusOnError };
        if (spec.MaxBody > 0)
            made.WithRequestBody = new BufferSettings
            {
                MaxRequestBytes = spec.MaxBody,
                AllowPartialMessage = spec.PartialBody,
                PackAsBytes = spec.PackAsBytes
            };
        if (spec.Grpc)
        {
            made.GrpcService = Service(spec);
            return new HttpFilter { Name = Name, TypedConfig = Any.Pack(made) };
        }
        made.HttpService = new HttpAuthorizer
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
        "*" => new StringMatcher { SafeRegex = new RegexMatcher { Regex = ".+" } },
        ['*', ..] => new StringMatcher { Suffix = name[1..], IgnoreCase = true },
        [.., '*'] => new StringMatcher { Prefix = name[..^1], IgnoreCase = true },
        _ => new StringMatcher { Exact = name, IgnoreCase = true },
    };
}

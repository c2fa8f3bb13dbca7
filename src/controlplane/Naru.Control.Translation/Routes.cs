// VirtualServices' http rules → Envoy routes. One Envoy route for each match; the order stays. Everything that decides about a
// request's way is here; who may use which rule (mesh, gateway, source) is asked of the caller's Audience.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Retry.Host.PreviousHosts.V3;
using Envoy.Extensions.Retry.Priority.PreviousPriorities.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;
using RetryPolicy = Envoy.Config.Route.V3.RetryPolicy;
using StringMatch = Naru.Control.Model.StringMatch;

namespace Naru.Control.Translation;

/// <summary>For whom rules are translated.</summary>
/// <param name="Gateway"><c>mesh</c> or <c>namespace/name</c>.</param>
/// <param name="Port">Port of the service or of the gateway's server that requests come to; 0 where there is none.</param>
/// <param name="Node">The proxy.</param>
internal sealed record Audience(string Gateway, int Port, NodeInfo Node)
{
    /// <summary>Services of this port; null where it does not matter. One that is not among them is called at the port of the
    /// caller.</summary>
    public IReadOnlySet<string>? Here { get; init; }
}

internal static class Routes
{
    /// <summary>Of policies that nobody wrote: only what the endpoint did not process, and what gRPC calls unavailable; no status, so that no
    /// payment is made twice (istiod sends the same).</summary>
    public const string DefaultRetryOn = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

    /// <summary>The routes of one VirtualService that its audience gets.</summary>
    public static IEnumerable<Route> Of(BoundVirtualService service, MeshLayout layout, Audience audience)
    {
        foreach (Route route in All(service, layout, audience))
        {
            if (audience.Node.IsCaptured) CapturedRoutes.Finish(route, service.Object.Key.Name, audience.Port);
            yield return route;
            if (audience.Node.IsCaptured && CapturedRoutes.TakesAll(route)) yield break;
        }
    }

    private static IEnumerable<Route> All(BoundVirtualService service, MeshLayout layout, Audience audience)
    {
        string ns = service.Object.Key.Namespace;
        foreach (HttpRoute rule in service.Spec.Http)
        {
            if (rule.Matches.IsEmpty)
            {
                yield return Make(rule, null, layout, ns, audience);
                continue;
            }
            foreach (HttpMatch match in rule.Matches)
            {
                if (Concerns(match, ns, audience)) yield return Make(rule, match, layout, ns, audience);
            }
        }
    }

    /// <summary>An empty route configuration that takes whatever bodies the rules may have.</summary>
    public static RouteConfiguration Configuration(string name) => new() { Name = name, MaxDirectResponseBodySizeBytes = DirectResponse.MaxBody };

    /// <summary>Everything to one cluster, with the mesh's defaults.</summary>
    /// <param name="hash">What tells requests apart; null for nothing.</param>
    public static Route Plain(string cluster, string name, HashRule? hash, bool grpc, MeshConfigSpec mesh)
    {
        var route = new Route { Name = name, Match = new RouteMatch { Prefix = "/" }, Route_ = new RouteAction { Cluster = cluster, Timeout = new Duration() } };
        route.Route_.RetryPolicy = Retry(mesh.Retries, grpc);
        if (hash is not null && !grpc) route.Route_.HashPolicy.Add(Balancing.HashPolicy(hash));
        return route;
    }

    /// <summary>Everything to the process behind an inbound listener: no retries, since the caller's sidecar does them.</summary>
    public static Route Inbound(string cluster) => new() { Name = "default", Match = new RouteMatch { Prefix = "/" }, Route_ = new RouteAction { Cluster = cluster, Timeout = new Duration() } };

    private static bool Concerns(HttpMatch match, string ns, Audience audience)
    {
        if (match.Port != 0 && match.Port != audience.Port) return false;
        // gRPC's clients know of no token, and would take the route for everybody.
        if (audience.Node.IsGrpc && match.Headers.Concat(match.WithoutHeaders).Any(h => RequestClaims.Is(h.Key))) return false;
        if (match.SourceNamespace.Length > 0 && match.SourceNamespace != audience.Node.Namespace) return false;
        if (match.SourceLabels.Count > 0 && !HostNames.Matches(match.SourceLabels, audience.Node.Labels)) return false;
        return match.Gateways.IsEmpty || match.Gateways.Any(g => BoundVirtualService.GatewayName(g.Value, ns) == audience.Gateway);
    }

    private static Route Make(HttpRoute rule, HttpMatch? match, MeshLayout layout, string ns, Audience audience)
    {
        string name = match is { Name.Length: > 0 } ? rule.Name.Length > 0 ? $"{rule.Name}.{match.Name}" : match.Name : rule.Name;
        var route = new Route { Name = name, Match = Match(match, audience.Node.IsGrpc) };
        HeaderChanges headers = rule.Headers;
        if (rule.Redirect is { } redirect) route.Redirect = Redirect(redirect, audience);
        else if (rule.DirectResponse is { } direct) route.DirectResponse = Direct(direct);
        else
        {
            route.Route_ = Forward(rule, layout, ns, audience);
            if (rule.Fallback is { } fallback && !audience.Node.IsGrpc)
                route.Metadata = Traffic.Fallback(fallback, fallback.Destination is { } other ? ClusterOf(other, layout, ns, audience) : null);
            // What a single destination changes is changed by the route.
            if (rule.Destinations is [var only])
            {
                headers = new HeaderChanges(Join(headers.Request, only.Headers.Request), Join(headers.Response, only.Headers.Response));
            }
            // The route's word goes before its destination's.
            if ((Host(rule.Headers.Request) ?? Host(headers.Request)) is { } host) route.Route_.HostRewriteLiteral = host;
        }
        Apply(headers, route.RequestHeadersToAdd, route.RequestHeadersToRemove, route.ResponseHeadersToAdd, route.ResponseHeadersToRemove);
        if (rule.Fault is { } fault) route.TypedPerFilterConfig.Add(Managers.FaultName, Any.Pack(Traffic.Fault(fault)));
        // gRPC's clients refuse a route with the configuration of a filter that they do not know; neither do they send copies.
        if (rule.Cors is { } cors && !audience.Node.IsGrpc) route.TypedPerFilterConfig.Add(Managers.CorsName, Any.Pack(Traffic.Cors(cors)));
        if (match is { StatPrefix.Length: > 0 }) route.StatPrefix = match.StatPrefix;
        return route;
    }

    // ---- match ----

    private static RouteMatch Match(HttpMatch? match, bool grpc)
    {
        var made = new RouteMatch();
        switch (match?.Uri?.Kind)
        {
            case StringMatchKind.Exact: made.Path = match.Uri.Value; break;
            case StringMatchKind.Prefix: made.Prefix = match.Uri.Value; break;
            case StringMatchKind.Regex: made.SafeRegex = new RegexMatcher { Regex = match.Uri.Value }; break;
            default: made.Prefix = "/"; break;
        }
        if (match is null) return made;
        if (match.IgnoreUriCase && match.Uri is not null) made.CaseSensitive = false;
        foreach ((string name, StringMatch value) in match.Headers)
        {
            if (RequestClaims.Is(name)) made.DynamicMetadata.Add(Claim(name, value, invert: false));
            else made.Headers.Add(Header(name, value, grpc));
        }
        foreach ((string name, StringMatch value) in match.WithoutHeaders)
        {
            if (RequestClaims.Is(name))
            {
                made.DynamicMetadata.Add(Claim(name, value, invert: true));
                continue;
            }
            HeaderMatcher without = Header(name, value, grpc);
            without.InvertMatch = true;
            // Otherwise a header that is not there would not count as being without that value.
            if (value.Kind != StringMatchKind.Present) without.TreatMissingHeaderAsEmpty = true;
            made.Headers.Add(without);
        }
        if (match.Method is not null) made.Headers.Add(Header(":method", match.Method, grpc));
        if (match.Authority is not null) made.Headers.Add(Header(":authority", match.Authority, grpc));
        if (match.Scheme is not null) made.Headers.Add(Header(":scheme", match.Scheme, grpc));
        foreach ((string name, StringMatch value) in match.QueryParams)
        {
            var query = new QueryParameterMatcher { Name = name };
            if (value.Kind == StringMatchKind.Present) query.PresentMatch = true;
            else query.StringMatch = Matcher(value);
            made.QueryParameters.Add(query);
        }
        return made;
    }

    // What jwt_authn read of the token before; a claim is a list that has the value, or the value itself.
    private static MetadataMatcher Claim(string name, StringMatch match, bool invert)
    {
        // A match without a pattern, as istiod sends it for presence, is refused by every proxy.
        StringMatcher One() => match.Kind == StringMatchKind.Present ? new StringMatcher { SafeRegex = new RegexMatcher { Regex = ".*" } }
            : Matcher(match);
        var made = new MetadataMatcher { Filter = "envoy.filters.http.jwt_authn", Invert = invert };
        made.Path.Add(new MetadataMatcher.Types.PathSegment { Key = "payload" });
        made.Path.AddRange(RequestClaims.Keys(name).Select(k => new MetadataMatcher.Types.PathSegment { Key = k }));
        made.Value = new ValueMatcher
        {
            OrMatch = new OrMatcher
            {
                ValueMatchers =
                {
                    new ValueMatcher { ListMatch = new ListMatcher { OneOf = new ValueMatcher { StringMatch = One() } } },
                    new ValueMatcher { StringMatch = One() },
                },
            },
        };
        return made;
    }

    private static HeaderMatcher Header(string name, StringMatch match, bool grpc)
    {
        var made = new HeaderMatcher { Name = name };
        if (match.Kind == StringMatchKind.Present) made.PresentMatch = true;
        // gRPC's older clients know only the older spelling.
        else if (grpc && match.Kind == StringMatchKind.Exact) made.ExactMatch = match.Value;
        else if (grpc && match.Kind == StringMatchKind.Prefix) made.PrefixMatch = match.Value;
        else if (grpc) made.SafeRegexMatch = new RegexMatcher { Regex = match.Value };
        else made.StringMatch = Matcher(match);
        return made;
    }

    internal static StringMatcher Matcher(StringMatch match) => match.Kind switch
    {
        StringMatchKind.Exact => new StringMatcher { Exact = match.Value },
        StringMatchKind.Prefix => new StringMatcher { Prefix = match.Value },
        _ => new StringMatcher { SafeRegex = new RegexMatcher { Regex = match.Value } },
    };

    // ---- actions ----

    private static RouteAction Forward(HttpRoute rule, MeshLayout layout, string ns, Audience audience)
    {
        var action = new RouteAction { Timeout = Duration.FromTimeSpan(rule.Timeout ?? TimeSpan.Zero) };
        // A single destination takes everything; weight 0 among several takes nothing and need not be sent.
        ImmutableArray<RouteDestination> targets = rule.Destinations.Length == 1 ? rule.Destinations : [.. rule.Destinations.Where(d => d.Weight > 0)];
        if (rule.Destinations.Length == 1) action.Cluster = ClusterOf(targets[0].Destination, layout, ns, audience);
        else action.WeightedClusters = Split(targets, layout, ns, audience);
        // Of several destinations those of all that ask for it, in their order.
        foreach (RouteDestination target in targets)
        {
            if (!audience.Node.IsGrpc && HashOf(target.Destination, layout, ns, audience) is { } hash)
                action.HashPolicy.Add(Balancing.HashPolicy(hash));
        }

        if (rule.Rewrite is { } rewrite)
        {
            if (rewrite.Uri.Length > 0) action.PrefixRewrite = rewrite.Uri;
            if (rewrite.Authority.Length > 0) action.HostRewriteLiteral = rewrite.Authority;
            if (rewrite.Regex is { } regex)
                action.RegexRewrite = new RegexMatchAndSubstitute { Pattern = new RegexMatcher { Regex = regex.Match }, Substitution = regex.Rewrite };
        }
        if (Retry(rule.Retries ?? layout.Mesh.Retries, audience.Node.IsGrpc) is { } retry) action.RetryPolicy = retry;
        foreach (HttpMirror mirror in rule.Mirrors)
        {
            if (mirror.Share.Percent > 0 && !audience.Node.IsGrpc)
                action.RequestMirrorPolicies.Add(Traffic.Mirror(mirror, ClusterOf(mirror.Destination, layout, ns, audience)));
        }
        return action;
    }

    private static WeightedCluster Split(ImmutableArray<RouteDestination> targets, MeshLayout layout, string ns, Audience audience)
    {
        var split = new WeightedCluster();
        foreach (RouteDestination target in targets)
        {
            var weighted = new WeightedCluster.Types.ClusterWeight { Name = ClusterOf(target.Destination, layout, ns, audience), Weight = (uint)target.Weight };
            Apply(target.Headers, weighted.RequestHeadersToAdd, weighted.RequestHeadersToRemove, weighted.ResponseHeadersToAdd, weighted.ResponseHeadersToRemove);
            if (Host(target.Headers.Request) is { } host) weighted.HostRewriteLiteral = host;
            split.Clusters.Add(weighted);
        }
        // gRPC's older clients take 100 for granted.
        if (audience.Node.IsGrpc) split.TotalWeight = (uint)targets.Sum(t => (long)t.Weight);
        return split;
    }

    // A cluster that does not exist answers 503 and names itself; the moment the service appears, the route works.
    private static string ClusterOf(Destination to, MeshLayout layout, string ns, Audience audience)
    {
        MeshService? service = layout.Find(to.Host, ns);
        int port = PortOf(to, service, audience);
        return Clusters.OutboundName(port, to.Subset, service?.Hostname ?? layout.Resolve(to.Host, ns));
    }

    private static int PortOf(Destination to, MeshService? service, Audience audience) => to.Port != 0 ? to.Port
        : service is null ? audience.Port
        : service.Ports.Length == 1 && audience.Here?.Contains(service.Hostname) != false ? service.Ports[0].Number
        : audience.Port;

    // The rule counts as the caller has it.
    private static HashRule? HashOf(Destination to, MeshLayout layout, string ns, Audience audience) => layout.Find(to.Host, ns) is { } service
        ? Clusters.HashOf(layout, service, PortOf(to, service, audience), to.Subset, audience.Node.Namespace) : null;

    private static RetryPolicy? Retry(HttpRetry? retry, bool grpc)
    {
        if (retry is { Attempts: 0 }) return null;
        var policy = new RetryPolicy
        {
            RetryOn = retry is { RetryOn.Length: > 0 } ? retry.RetryOn : DefaultRetryOn,
            NumRetries = (uint)(retry?.Attempts ?? 2),
        };
        if (retry is { RetryOn.Length: > 0 }) policy.RetriableStatusCodes.AddRange(retry.StatusCodes.Select(c => (uint)c));
        if (retry?.PerTryTimeout is { } perTry) policy.PerTryTimeout = Duration.FromTimeSpan(perTry);
        if (retry?.Backoff is { } backoff)
            policy.RetryBackOff = new RetryPolicy.Types.RetryBackOff { BaseInterval = Duration.FromTimeSpan(backoff) };
        if (grpc) return policy;
        policy.HostSelectionRetryMaxAttempts = 5;
        if (retry is { RemoteLocalities: true })
        {
            var elsewhere = new PreviousPrioritiesConfig { UpdateFrequency = 2 };
            policy.RetryPriority = new RetryPolicy.Types.RetryPriority
            {
                Name = "envoy.retry_priorities.previous_priorities",
                TypedConfig = Any.Pack(elsewhere)
            };
        }
        if (retry?.IgnorePreviousHosts != false)
        {
            policy.RetryHostPredicate.Add(new RetryPolicy.Types.RetryHostPredicate { Name = "envoy.retry_host_predicates.previous_hosts", TypedConfig = Any.Pack(new PreviousHostsPredicate()) });
        }
        return policy;
    }

    private static RedirectAction Redirect(HttpRedirect redirect, Audience audience)
    {
        var made = new RedirectAction
        {
            HostRedirect = redirect.Authority,
            ResponseCode = redirect.Code switch
            {
                302 => RedirectAction.Types.RedirectResponseCode.Found,
                303 => RedirectAction.Types.RedirectResponseCode.SeeOther,
                307 => RedirectAction.Types.RedirectResponseCode.TemporaryRedirect,
                308 => RedirectAction.Types.RedirectResponseCode.PermanentRedirect,
                _ => RedirectAction.Types.RedirectResponseCode.MovedPermanently,
            },
            PortRedirect = redirect.Port > 0 ? (uint)redirect.Port
                : redirect.PortFromRequest ? (uint)audience.Port
                : redirect.PortFromProtocol && !audience.Node.IsCaptured ? redirect.Scheme == "https" ? 443u : 80u : 0,
        };
        if (redirect.Uri.Length > 0) made.PathRedirect = redirect.Uri;
        if (redirect.PrefixRewrite.Length > 0) made.PrefixRewrite = redirect.PrefixRewrite;
        if (redirect.Scheme.Length > 0) made.SchemeRedirect = redirect.Scheme;
        return made;
    }

    private static DirectResponseAction Direct(DirectResponse direct)
    {
        var made = new DirectResponseAction { Status = (uint)direct.Status };
        if (direct.Body.IsEmpty) return made;
        try
        {
            made.Body = new DataSource { InlineString = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(direct.Body.AsSpan()) };
        }
        catch (DecoderFallbackException)
        {
            made.Body = new DataSource { InlineBytes = ByteString.CopyFrom(direct.Body.AsSpan()) };
        }
        return made;
    }

    // ---- headers ----

    private static HeaderOps Join(HeaderOps a, HeaderOps b) => new([.. a.Set, .. b.Set], [.. a.Add, .. b.Add], [.. a.Remove, .. b.Remove]);

    private static bool IsHost(string name) => name.Equals("host", StringComparison.OrdinalIgnoreCase) || name.Equals(":authority", StringComparison.OrdinalIgnoreCase);

    private static string? Host(HeaderOps ops) => ops.Set.Where(s => IsHost(s.Key)).Select(s => s.Value).LastOrDefault();

    private static void Apply(HeaderChanges changes, RepeatedField<HeaderValueOption> requestAdd, RepeatedField<string> requestRemove,
        RepeatedField<HeaderValueOption> responseAdd, RepeatedField<string> responseRemove)
    {
        Add(changes.Request, requestAdd, request: true);
        requestRemove.AddRange(changes.Request.Remove);
        Add(changes.Response, responseAdd, request: false);
        responseRemove.AddRange(changes.Response.Remove);
    }

    private static void Add(HeaderOps ops, RepeatedField<HeaderValueOption> to, bool request)
    {
        foreach ((string name, string value) in ops.Set)
        {
            if (request && IsHost(name)) continue;
            to.Add(new HeaderValueOption { Header = new HeaderValue { Key = name, Value = value }, AppendAction = HeaderValueOption.Types.HeaderAppendAction.OverwriteIfExistsOrAdd });
        }
        foreach ((string name, string value) in ops.Add)
            to.Add(new HeaderValueOption { Header = new HeaderValue { Key = name, Value = value }, AppendAction = HeaderValueOption.Types.HeaderAppendAction.AppendIfExistsOrAdd });
    }
}

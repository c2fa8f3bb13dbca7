// envoy.config.route.v3.RouteConfiguration as a record: virtual hosts, their domains, routes and what they match.
// Actions are read in RouteActions.cs. Refuses domains that two hosts share and matches that can never be compiled.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads route configurations.</summary>
internal static class RouteReader
{
    /// <summary>The record; meaningless where the reading has errors.</summary>
    /// <param name="scope">Of the message.</param>
    /// <param name="message">The message.</param>
    /// <param name="mustBeNamed">Whether it is a resource of its own.</param>
    public static RouteConfigurationConfig Read(Scope scope, RouteConfiguration message, bool mustBeNamed)
    {
        if (mustBeNamed) Values.Required(scope, "name", message.Name);
        int maxBody = Values.Count(scope, "max_direct_response_body_size_bytes", message.MaxDirectResponseBodySizeBytes, 4096);
        var hosts = ImmutableArray.CreateBuilder<VirtualHostConfig>(message.VirtualHosts.Count);
        var domains = new Dictionary<string, string>(StringComparer.Ordinal);
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < message.VirtualHosts.Count; i++)
        {
            VirtualHost host = message.VirtualHosts[i];
            Scope at = scope.In("virtual_hosts", i, host);
            if (Values.Required(at, "name", host.Name) && !names.Add(host.Name))
            {
                at.Error("name", "NARU-C103", $"there are two virtual hosts \"{host.Name}\"", "give each its own name");
            }
            hosts.Add(Host(at, host, domains, maxBody));
        }
        return new RouteConfigurationConfig
        {
            Name = message.Name,
            Digest = Digest.Of(message),
            VirtualHosts = hosts.MoveToImmutable(),
            Headers = Values.Headers(scope, message.RequestHeadersToAdd, message.RequestHeadersToRemove, message.ResponseHeadersToAdd, message.ResponseHeadersToRemove),
            IgnorePortInHostMatching = message.IgnorePortInHostMatching,
            IgnorePathParameters = message.IgnorePathParametersInPathMatching,
            VirtualHostHeader = VirtualHostHeader(scope, message.VhostHeader.ToLowerInvariant()),
            MostSpecificHeaderMutationsWins = message.MostSpecificHeaderMutationsWins,
            InternalOnlyHeaders = InternalOnly(scope, message),
            Mirrors = MirrorPolicies.Read(scope, message.RequestMirrorPolicies),
            Filters = HttpFilters.PerRoute(scope, message.TypedPerFilterConfig),
            ValidateClusters = message.ValidateClusters,
            HostsOnDemand = message.Vhds is { } vhds ? OnDemand(scope, scope.In("vhds", vhds), vhds, mustBeNamed) : null,
        };
    }

    /// <summary>A virtual host of VHDS; meaningless after an error. The fields were walked already.</summary>
    public static VirtualHostConfig Alone(Scope scope, VirtualHost host)
    {
        Values.Required(scope, "name", host.Name);
        return Host(scope, host, new Dictionary<string, string>(StringComparer.Ordinal), 4096);
    }

    // VHDS is a protocol of differences: nobody could name all hosts there might be.
    private static ConfigSourceConfig? OnDemand(Scope scope, Scope at, Vhds vhds, bool mustBeNamed)
    {
        if (!mustBeNamed)
            scope.Error("vhds", "NARU-C113", "virtual hosts on demand belong to a table that discovery brings", "bring the table by rds");
        if (ConfigSources.Read(at, "config_source", vhds.ConfigSource) is not { } source) return null;
        if (source.Kind == ConfigSourceKind.Path)
            at.Error("config_source", "NARU-C113", "virtual hosts on demand do not come from a file",
                "name a server: ads, or api_config_source with DELTA_GRPC");
        if (source is { Kind: ConfigSourceKind.Grpc, Delta: false })
            at.Error("config_source", "NARU-C113", "virtual hosts on demand are asked for with DELTA_GRPC only",
                "use api_type: DELTA_GRPC");
        return source;
    }

    private static string? VirtualHostHeader(Scope scope, string name) =>
        name.Length == 0 || !Values.HeaderName(scope, "vhost_header", name) || name is "host" or ":authority" ? null : name;

    private static ImmutableArray<string> InternalOnly(Scope scope, RouteConfiguration message)
    {
        var names = ImmutableArray.CreateBuilder<string>(message.InternalOnlyHeaders.Count);
        for (int i = 0; i < message.InternalOnlyHeaders.Count; i++)
        {
            string name = message.InternalOnlyHeaders[i].ToLowerInvariant();
            if (!Values.HeaderName(scope, $"internal_only_headers[{i}]", name)) continue;
            if (name[0] == ':' || name is "host" or "content-length" or "transfer-encoding" or "connection")
                scope.Error($"internal_only_headers[{i}]", "NARU-C108", $"\"{name}\" cannot be taken away: the request could not be read without it");
            else names.Add(name);
        }
        return names.ToImmutable();
    }

    /// <summary>Every cluster that the routes name, with the place of its name.</summary>
    public static void CheckClusters(Scope scope, RouteConfiguration message, IReadOnlyCollection<string> known)
    {
        MirrorPolicies.CheckClusters(scope, message.RequestMirrorPolicies, Check);
        for (int h = 0; h < message.VirtualHosts.Count; h++)
        {
            VirtualHost host = message.VirtualHosts[h];
            Scope hostAt = scope.In("virtual_hosts", h, host);
            MirrorPolicies.CheckClusters(hostAt, host.RequestMirrorPolicies, Check);
            for (int r = 0; r < host.Routes.Count; r++) CheckRoute(hostAt.In("routes", r, host.Routes[r]), host.Routes[r]);
            if (host.Matcher is not { } matcher) continue;
            // What is wrong with it is said where it is read.
            var silent = new ResourcePass(new Diagnostics(), scope.Pass.Places, scope.Pass.Subject);
            MatcherReader.Read(new Scope(silent, matcher, hostAt.In("matcher", matcher).Path), matcher, (at, any) =>
            {
                Routes(at, any, (routeAt, route) => { CheckRoute(routeAt, route); return null; });
                return "";
            });
        }

        void CheckRoute(Scope routeAt, Route route)
        {
            if (route.Route_ is not { } action) return;
            Scope at = routeAt.In("route", action);
            MirrorPolicies.CheckClusters(at, action.RequestMirrorPolicies, Check);
            if (Fallbacks.ClusterOf(route.Metadata) is { } fallback) Check(routeAt.In("metadata", route.Metadata!), "filter_metadata", fallback);
            if (action.ClusterSpecifierCase == RouteAction.ClusterSpecifierOneofCase.Cluster) Check(at, "cluster", action.Cluster);
            for (int c = 0; c < (action.WeightedClusters?.Clusters.Count ?? 0); c++)
            {
                WeightedCluster.Types.ClusterWeight target = action.WeightedClusters!.Clusters[c];
                Check(at.In("weighted_clusters", action.WeightedClusters).In("clusters", c, target), "name", target.Name);
            }
        }

        void Check(Scope at, string field, string name)
        {
            if (name.Length == 0 || known.Contains(name)) return;
            new Scope(scope.Pass, at.Message, at.Path).Error(
                field, "NARU-C104", $"there is no cluster \"{name}\"", Nearest.Suggestion(name, known) ?? "add it to static_resources.clusters");
        }
    }

    private static VirtualHostConfig Host(Scope scope, VirtualHost host, Dictionary<string, string> taken, int maxBody)
    {
        if (host.Domains.Count == 0) scope.Error("domains", "NARU-C101", "\"domains\" is required", "write domains: [\"*\"] for every host");
        var domains = ImmutableArray.CreateBuilder<string>(host.Domains.Count);
        for (int i = 0; i < host.Domains.Count; i++)
        {
            string domain = host.Domains[i].ToLowerInvariant();
            if (!DomainIsValid(scope, $"domains[{i}]", domain)) continue;
            if (!taken.TryAdd(domain, host.Name))
            {
                scope.Error($"domains[{i}]", "NARU-C103", $"the domain \"{domain}\" already belongs to the virtual host \"{taken[domain]}\"", "a domain belongs to one virtual host");
                continue;
            }
            domains.Add(domain);
        }
        var routes = ImmutableArray.CreateBuilder<RouteConfig>(host.Routes.Count);
        for (int i = 0; i < host.Routes.Count; i++)
        {
            if (Route(scope.In("routes", i, host.Routes[i]), host.Routes[i], maxBody) is { } route) routes.Add(route);
        }
        MatcherConfig<MatchedRoutesConfig>? matcher = null;
        if (host.Matcher is { } tree)
        {
            if (host.Routes.Count > 0) scope.Error("matcher", "NARU-C113", "\"routes\" and \"matcher\" exclude each other", "keep one of them");
            matcher = MatcherReader.Read(scope.In("matcher", tree), tree, (at, any) => Routes(at, any, (routeAt, route) =>
            {
                FieldWalk.Check(routeAt);
                return Route(routeAt, route, maxBody);
            }));
        }
        Fallbacks.Refuse(scope, host.Metadata);
        return new VirtualHostConfig
        {
            Matcher = matcher,
            Name = host.Name,
            Domains = domains.ToImmutable(),
            Routes = routes.ToImmutable(),
            Headers = Values.Headers(scope, host.RequestHeadersToAdd, host.RequestHeadersToRemove, host.ResponseHeadersToAdd, host.ResponseHeadersToRemove),
            RetryPolicy = host.RetryPolicy is { } retry ? RetryPolicies.Read(scope.In("retry_policy", retry), retry) : null,
            HedgesOnPerTryTimeout = RetryPolicies.Hedges(scope, host.HedgePolicy),
            RequireTls = host.RequireTls switch
            {
                VirtualHost.Types.TlsRequirementType.All => TlsRequirement.All,
                VirtualHost.Types.TlsRequirementType.ExternalOnly => TlsRequirement.ExternalOnly,
                _ => TlsRequirement.None,
            },
            IncludeRequestAttemptCount = host.IncludeRequestAttemptCount,
            IncludeAttemptCountInResponse = host.IncludeAttemptCountInResponse,
            IncludeIsTimeoutRetry = host.IncludeIsTimeoutRetryHeader,
            BufferLimit = host.PerRequestBufferLimitBytes,
            BodyBufferLimit = Bytes(host.RequestBodyBufferLimit),
            Filters = HttpFilters.PerRoute(scope, host.TypedPerFilterConfig),
            RateLimits = RateLimits.Read(scope, host.RateLimits),
            Mirrors = MirrorPolicies.Read(scope, host.RequestMirrorPolicies),
            VirtualClusters = VirtualClusters(scope, host),
            FilterMetadata = MetadataReader.Read(host.Metadata),
        };
    }

    private static ImmutableArray<VirtualClusterConfig> VirtualClusters(Scope scope, VirtualHost host)
    {
        var all = ImmutableArray.CreateBuilder<VirtualClusterConfig>(host.VirtualClusters.Count);
        for (int i = 0; i < host.VirtualClusters.Count; i++)
        {
            VirtualCluster given = host.VirtualClusters[i];
            Scope at = scope.In("virtual_clusters", i, given);
            if (given.Headers.Count == 0) at.Error("headers", "NARU-C101", "\"headers\" is required", "write headers: [{name: \":path\", string_match: {prefix: /}}]");
            var headers = ImmutableArray.CreateBuilder<HeaderMatcherConfig>(given.Headers.Count);
            for (int h = 0; h < given.Headers.Count; h++)
            {
                if (Header(at.In("headers", h, given.Headers[h]), given.Headers[h]) is { } header) headers.Add(header);
            }
            if (Values.Required(at, "name", given.Name)) all.Add(new VirtualClusterConfig(given.Name, headers.ToImmutable()));
        }
        return all.ToImmutable();
    }

    private static bool DomainIsValid(Scope scope, string field, string domain)
    {
        int star = domain.IndexOf('*', StringComparison.Ordinal);
        bool wildcard = star < 0 || (domain.Length == 1) || ((star == 0 || star == domain.Length - 1) && domain.LastIndexOf('*') == star);
        if (domain.Length > 0 && wildcard && !domain.Any(c => c <= ' ' || c == '/')) return true;
        scope.Error(field, "NARU-C102", $"\"{domain}\" is not a domain", "write a host name, *.suffix, prefix.* or *");
        return false;
    }

    // The route, or the list of routes, at the end of a matcher; null after an error.
    private static MatchedRoutesConfig? Routes(Scope scope, Any any, Func<Scope, Route, RouteConfig?> read)
    {
        string type = EnvoyTypes.NameOf(any);
        if (type == Envoy.Config.Route.V3.Route.Descriptor.FullName)
        {
            if (scope.Pass.Unpack<Route>(any, scope) is not { } route) return null;
            return read(scope.In("typed_config", route), route) is { } one ? new MatchedRoutesConfig([one]) : null;
        }
        if (type != RouteList.Descriptor.FullName)
        {
            scope.Error("typed_config", "NARU-C112", $"a matcher of a virtual host ends in a route, not in {type}", "give an envoy.config.route.v3.Route or RouteList");
            return null;
        }
        if (scope.Pass.Unpack<RouteList>(any, scope) is not { } list) return null;
        Scope at = scope.In("typed_config", list);
        if (list.Routes.Count == 0) at.Error("routes", "NARU-C101", "\"routes\" is required");
        RouteConfig?[] all = [.. list.Routes.Select((r, i) => read(at.In("routes", i, r), r))];
        return all.Length == 0 || all.Any(r => r is null) ? null : new MatchedRoutesConfig([.. all.Select(r => r!)]);
    }

    private static ForwardActionConfig? Forward(Scope scope, Route route, RouteMatchConfig? match)
    {
        ForwardActionConfig? action = RouteActions.Forward(scope.In("route", route.Route_), route.Route_, match);
        return route.Metadata is { } metadata && action is not null
            ? action with { Fallback = Fallbacks.Read(scope.In("metadata", metadata), metadata) } : action;
    }

    private static RouteConfig? Route(Scope scope, Route route, int maxBody)
    {
        RouteMatchConfig? match = route.Match is { } given ? Match(scope.In("match", given), given) : null;
        if (route.Match is null) scope.Error("match", "NARU-C101", "\"match\" is required", "write match: {prefix: \"/\"} for every path");
        RouteActionBase? action = route.ActionCase switch
        {
            Envoy.Config.Route.V3.Route.ActionOneofCase.Route_ => Forward(scope, route, match),
            Envoy.Config.Route.V3.Route.ActionOneofCase.Redirect => RouteActions.Redirect(scope.In("redirect", route.Redirect), route.Redirect),
            Envoy.Config.Route.V3.Route.ActionOneofCase.DirectResponse => RouteActions.Direct(scope.In("direct_response", route.DirectResponse), route.DirectResponse, maxBody),
            _ => null,
        };
        if (route.ActionCase != Envoy.Config.Route.V3.Route.ActionOneofCase.Route_) Fallbacks.Refuse(scope, route.Metadata);
        if (route.ActionCase == Envoy.Config.Route.V3.Route.ActionOneofCase.None)
        {
            scope.Error("", "NARU-C101", "a route needs an action", "add route, redirect or direct_response");
        }
        HeaderMutationsConfig headers = Values.Headers(scope, route.RequestHeadersToAdd, route.RequestHeadersToRemove, route.ResponseHeadersToAdd, route.ResponseHeadersToRemove);
        ImmutableArray<RouteFilterConfig> filters = HttpFilters.PerRoute(scope, route.TypedPerFilterConfig);
        if (route.Decorator is { } decorator) Values.Required(scope.In("decorator", decorator), "operation", decorator.Operation);
        if (match is null || action is null) return null;
        return new RouteConfig
        {
            Name = route.Name,
            StatPrefix = route.StatPrefix,
            Match = match,
            Action = action,
            Headers = headers,
            BufferLimit = route.PerRequestBufferLimitBytes,
            BodyBufferLimit = Bytes(route.RequestBodyBufferLimit),
            Filters = filters,
            FilterMetadata = MetadataReader.Read(route.Metadata),
            Operation = route.Decorator?.Operation ?? "",
            PropagatesOperation = route.Decorator?.Propagate ?? true,
            Tracing = TracingReader.Read(scope, route.Tracing),
        };
    }

    /// <summary>Which requests are meant; null after an error.</summary>
    public static RouteMatchConfig? Match(Scope scope, RouteMatch match)
    {
        (PathMatchKind Kind, string Path)? path = match.PathSpecifierCase switch
        {
            RouteMatch.PathSpecifierOneofCase.Prefix => (PathMatchKind.Prefix, match.Prefix),
            RouteMatch.PathSpecifierOneofCase.Path => (PathMatchKind.Exact, match.Path),
            RouteMatch.PathSpecifierOneofCase.PathSeparatedPrefix => (PathMatchKind.PathSeparatedPrefix, match.PathSeparatedPrefix),
            RouteMatch.PathSpecifierOneofCase.SafeRegex => (PathMatchKind.Regex, match.SafeRegex.Regex),
            RouteMatch.PathSpecifierOneofCase.ConnectMatcher => (PathMatchKind.Connect, ""),
            RouteMatch.PathSpecifierOneofCase.PathMatchPolicy => (PathMatchKind.Template, ""),
            _ => null,
        };
        if (match.PathSpecifierCase == RouteMatch.PathSpecifierOneofCase.None)
        {
            scope.Error("", "NARU-C101", "a match compares the path", "add prefix, path, path_separated_prefix, safe_regex, path_match_policy or connect_matcher");
        }
        bool caseSensitive = match.CaseSensitive ?? true;
        System.Text.RegularExpressions.Regex? regex = null;
        if (match.SafeRegex is { } pattern)
        {
            regex = Values.Pattern(scope.In("safe_regex", pattern), pattern);
            if (regex is null) path = null;
        }
        UriTemplateConfig? template = null;
        if (match.PathMatchPolicy is { } policy && (template = UriTemplates.Match(scope.In("path_match_policy", policy), policy)) is null) path = null;
        if (match.PathSpecifierCase == RouteMatch.PathSpecifierOneofCase.PathSeparatedPrefix
            && (match.PathSeparatedPrefix.Length < 2 || match.PathSeparatedPrefix[0] != '/' || match.PathSeparatedPrefix.AsSpan().IndexOfAny('?', '#') >= 0 || match.PathSeparatedPrefix[^1] == '/'))
        {
            scope.Error("path_separated_prefix", "NARU-C102", $"\"{match.PathSeparatedPrefix}\" is not a prefix of path segments", "begin it with /, end it without, and leave the query out");
        }
        var headers = ImmutableArray.CreateBuilder<HeaderMatcherConfig>(match.Headers.Count);
        for (int i = 0; i < match.Headers.Count; i++)
        {
            if (Header(scope.In("headers", i, match.Headers[i]), match.Headers[i]) is { } header) headers.Add(header);
        }
        var parameters = ImmutableArray.CreateBuilder<QueryParameterMatcherConfig>(match.QueryParameters.Count);
        for (int i = 0; i < match.QueryParameters.Count; i++)
        {
            if (Parameter(scope.In("query_parameters", i, match.QueryParameters[i]), match.QueryParameters[i]) is { } parameter) parameters.Add(parameter);
        }
        var cookies = ImmutableArray.CreateBuilder<CookieMatcherConfig>(match.Cookies.Count);
        for (int i = 0; i < match.Cookies.Count; i++)
        {
            CookieMatcher given = match.Cookies[i];
            Scope at = scope.In("cookies", i, given);
            if (given.StringMatch is null) at.Error("string_match", "NARU-C101", "\"string_match\" is required");
            else if (Values.Match(at.In("string_match", given.StringMatch), given.StringMatch) is { } value
                && Values.CookieName(at, "name", given.Name))
                cookies.Add(new CookieMatcherConfig(given.Name, value, given.InvertMatch));
        }
        var metadata = ImmutableArray.CreateBuilder<MetadataMatcherConfig>(match.DynamicMetadata.Count);
        for (int i = 0; i < match.DynamicMetadata.Count; i++)
        {
            if (MetadataReader.Matcher(scope.In("dynamic_metadata", i, match.DynamicMetadata[i]),
                match.DynamicMetadata[i]) is { } said) metadata.Add(said);
        }
        var states = ImmutableArray.CreateBuilder<StateMatcherConfig>(match.FilterState.Count);
        for (int i = 0; i < match.FilterState.Count; i++)
        {
            if (MetadataReader.State(scope.In("filter_state", i, match.FilterState[i]),
                match.FilterState[i]) is { } state) states.Add(state);
        }
        int share = match.RuntimeFraction is { } fraction ? Fraction(scope.In("runtime_fraction", fraction), fraction) : 1_000_000;
        if (path is not { } found) return null;
        return new RouteMatchConfig
        {
            Kind = found.Kind,
            Path = found.Path,
            Regex = regex,
            CaseSensitive = caseSensitive,
            Headers = headers.ToImmutable(),
            QueryParameters = parameters.ToImmutable(),
            RuntimeFractionPerMillion = share,
            RuntimeKey = match.RuntimeFraction?.RuntimeKey ?? "",
            Grpc = match.Grpc is not null,
            Cookies = cookies.ToImmutable(),
            CertificatePresented = match.TlsContext?.Presented,
            CertificateValidated = match.TlsContext?.Validated,
            Template = template,
            Metadata = metadata.ToImmutable(),
            States = states.ToImmutable(),
        };
    }

    /// <summary>A share in millionths.</summary>
    public static int Fraction(Scope scope, RuntimeFractionalPercent fraction)
    {
        if (fraction.DefaultValue is not { } share)
        {
            scope.Error("default_value", "NARU-C101", "\"default_value\" is required");
            return 0;
        }
        return Fraction(share);
    }

    /// <summary>A share in millionths, 1,000,000 at most.</summary>
    public static int Fraction(FractionalPercent share) =>
        (int)Math.Min(1_000_000, share.Numerator * share.Denominator switch
        {
            FractionalPercent.Types.DenominatorType.TenThousand => 100ul,
            FractionalPercent.Types.DenominatorType.Million => 1ul,
            _ => 10_000ul,
        });

    /// <summary>One comparison of a request's header; null after an error.</summary>
    public static HeaderMatcherConfig? Header(Scope scope, HeaderMatcher matcher)
    {
        string name = matcher.Name.ToLowerInvariant();
        if (!Values.HeaderName(scope, "name", name)) return null;
        if (name == "host") name = ":authority";
        var config = new HeaderMatcherConfig { Name = name, Invert = matcher.InvertMatch, TreatMissingAsEmpty = matcher.TreatMissingHeaderAsEmpty };
        StringMatcherConfig? value = null;
        switch (matcher.HeaderMatchSpecifierCase)
        {
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.None: return config with { Present = true };
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.PresentMatch: return config with { Present = matcher.PresentMatch };
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.RangeMatch:
                if (matcher.RangeMatch.Start < matcher.RangeMatch.End) return config with { Range = (matcher.RangeMatch.Start, matcher.RangeMatch.End) };
                scope.Error("range_match", "NARU-C102", "the range is empty", "end must be more than start");
                return null;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.ExactMatch: value = new(StringMatchKind.Exact, matcher.ExactMatch); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.PrefixMatch when Values.Required(scope, "prefix_match", matcher.PrefixMatch): value = new(StringMatchKind.Prefix, matcher.PrefixMatch); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.SuffixMatch when Values.Required(scope, "suffix_match", matcher.SuffixMatch): value = new(StringMatchKind.Suffix, matcher.SuffixMatch); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.ContainsMatch when Values.Required(scope, "contains_match", matcher.ContainsMatch): value = new(StringMatchKind.Contains, matcher.ContainsMatch); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.SafeRegexMatch:
                value = Values.Pattern(scope.In("safe_regex_match", matcher.SafeRegexMatch), matcher.SafeRegexMatch) is { } regex ? new(StringMatchKind.Regex, matcher.SafeRegexMatch.Regex, Regex: regex) : null;
                break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.StringMatch: value = Values.Match(scope.In("string_match", matcher.StringMatch), matcher.StringMatch); break;
        }
        return value is null ? null : config with { Value = value };
    }

    /// <summary>One comparison of a query parameter; null after an error.</summary>
    public static QueryParameterMatcherConfig? Parameter(Scope scope, QueryParameterMatcher matcher)
    {
        if (!Values.Required(scope, "name", matcher.Name)) return null;
        return matcher.QueryParameterMatchSpecifierCase switch
        {
            QueryParameterMatcher.QueryParameterMatchSpecifierOneofCase.StringMatch =>
                Values.Match(scope.In("string_match", matcher.StringMatch), matcher.StringMatch) is { } value ? new(matcher.Name, value, null) : null,
            QueryParameterMatcher.QueryParameterMatchSpecifierOneofCase.PresentMatch => new(matcher.Name, null, matcher.PresentMatch),
            _ => new(matcher.Name, null, true),
        };
    }

    private static long? Bytes(ulong? limit) => limit is { } bytes ? (long)Math.Min(bytes, long.MaxValue) : null;
}

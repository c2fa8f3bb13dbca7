// What routes do: forward (with retries and rewrites), redirect, answer directly. Read after the match, refused by value.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Router.ClusterSpecifiers.Matcher.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads actions of routes.</summary>
internal static class RouteActions
{
    /// <summary>Forwards; null after an error that leaves no target.</summary>
    public static ForwardActionConfig? Forward(Scope scope, RouteAction action, RouteMatchConfig? match)
    {
        MatcherConfig<string>? specifier = null;
        ImmutableArray<WeightedClusterConfig> clusters = [];
        string? header = null;
        switch (action.ClusterSpecifierCase)
        {
            case RouteAction.ClusterSpecifierOneofCase.Cluster when Values.Required(scope, "cluster", action.Cluster):
                clusters = [new WeightedClusterConfig(action.Cluster, 1)];
                break;
            case RouteAction.ClusterSpecifierOneofCase.WeightedClusters:
                clusters = Weighted(scope.In("weighted_clusters", action.WeightedClusters), action.WeightedClusters);
                break;
            case RouteAction.ClusterSpecifierOneofCase.ClusterHeader:
                header = action.ClusterHeader.ToLowerInvariant();
                Values.HeaderName(scope, "cluster_header", header);
                break;
            case RouteAction.ClusterSpecifierOneofCase.InlineClusterSpecifierPlugin:
                specifier = ClusterSpecifier(scope.In("inline_cluster_specifier_plugin", action.InlineClusterSpecifierPlugin), action.InlineClusterSpecifierPlugin);
                break;
            case RouteAction.ClusterSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "a route names where it leads", "add cluster, weighted_clusters or cluster_header");
                break;
        }
        Exclusive(scope, ("prefix_rewrite", action.PrefixRewrite.Length > 0), ("regex_rewrite", action.RegexRewrite is not null),
            ("path_rewrite_policy", action.PathRewritePolicy is not null), ("path_rewrite", action.PathRewrite.Length > 0));
        if (action.PathRewrite.Length > 0) PathFormat(scope, "path_rewrite", action.PathRewrite);
        if (action.HostRewrite.Length > 0) scope.CheckFormat("host_rewrite", action.HostRewrite, FormatUse.Body);
        if (action.HostRewrite.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) scope.Error("host_rewrite", "NARU-C102", "\"host_rewrite\" holds a line end or NUL");
        if (NotOnALine(action.PrefixRewrite) || action.PrefixRewrite.Contains('#', StringComparison.Ordinal))
            scope.Error("prefix_rewrite", "NARU-C102", "\"prefix_rewrite\" holds a blank, a control character or #, which no path has", "escape it, as in %20");
        Values.Authority(scope, "host_rewrite_literal", action.HostRewriteLiteral);
        if (action.HostRewriteHeader.Length > 0) Values.HeaderName(scope, "host_rewrite_header", action.HostRewriteHeader.ToLowerInvariant());
        if (!System.Enum.IsDefined(action.Priority)) scope.Error("priority", "NARU-C102", $"{(int)action.Priority} is not a priority");
        if (action.MaxStreamDuration is not null && action.Timeout is { Seconds: > 0 } or { Nanos: > 0 })
            scope.Info("timeout", "NARU-C111", "\"timeout\" has no effect: max_stream_duration is there");
        TimeSpan? idle = Values.Time(scope, "idle_timeout", action.IdleTimeout);
        return new ForwardActionConfig
        {
            Clusters = clusters,
            ClusterHeader = header,
            ClusterMatcher = specifier,
            WeightHeader = action.WeightedClusters is { HeaderName: { Length: > 0 } byHeader } ? byHeader.ToLowerInvariant() : null,
            WeightsByHash = action.WeightedClusters?.UseHashPolicy == true,
            WeightRuntimePrefix = action.WeightedClusters?.RuntimeKeyPrefix ?? "",
            HashPolicies = HashPolicies.Read(scope, action.HashPolicy),
            InternalRedirects = InternalRedirects.Read(scope, action),
            PathFormat = action.PathRewrite.Length > 0 ? action.PathRewrite : null,
            TemplateRewrite = UriTemplates.Rewrite(scope, action, match),
            HostFormat = action.HostRewrite.Length > 0 ? action.HostRewrite : null,
            PrefixRewrite = action.PrefixRewrite.Length > 0 ? action.PrefixRewrite : null,
            RegexRewrite = action.RegexRewrite is { } rewrite ? Values.Rewrite(scope.In("regex_rewrite", rewrite), rewrite) : null,
            HostRewriteLiteral = action.HostRewriteLiteral.Length > 0 ? action.HostRewriteLiteral : null,
            HostRewriteHeader = action.HostRewriteHeader.Length > 0 ? action.HostRewriteHeader.ToLowerInvariant() : null,
            HostRewritePathRegex = action.HostRewritePathRegex is { } byPath ? Values.Rewrite(scope.In("host_rewrite_path_regex", byPath), byPath) : null,
            AutoHostRewrite = action.AutoHostRewrite ?? false,
            AppendXForwardedHost = action.AppendXForwardedHost,
            Timeout = Values.Limit(scope, "timeout", action.Timeout, TimeSpan.FromSeconds(15)),
            StreamLimits = action.MaxStreamDuration is { } limits ? StreamLimits(scope.In("max_stream_duration", limits), limits) : null,
            MaxGrpcTimeout = Values.Time(scope, "max_grpc_timeout", action.MaxGrpcTimeout),
            GrpcTimeoutOffset = Values.Time(scope, "grpc_timeout_offset", action.GrpcTimeoutOffset),
            IdleTimeout = idle == TimeSpan.Zero ? Timeout.InfiniteTimeSpan : idle,
            RetryPolicy = action.RetryPolicy is { } retry ? RetryPolicies.Read(scope.In("retry_policy", retry), retry) : null,
            HedgesOnPerTryTimeout = RetryPolicies.Hedges(scope, action.HedgePolicy),
            ClusterNotFoundResponseCode = action.ClusterNotFoundResponseCode switch
            {
                RouteAction.Types.ClusterNotFoundResponseCode.NotFound => 404,
                RouteAction.Types.ClusterNotFoundResponseCode.InternalServerError => 500,
                _ => 503,
            },
            Priority = action.Priority == RoutingPriority.High ? RequestPriority.High : RequestPriority.Default,
            Upgrades = Upgrades(scope, action),
            MetadataMatch = SubsetReader.Match(scope, "metadata_match", action.MetadataMatch),
            TerminatesConnect = action.UpgradeConfigs.Any(u => u.ConnectConfig is not null),
            Mirrors = MirrorPolicies.Read(scope, action.RequestMirrorPolicies),
            RateLimits = RateLimits.Read(scope, action.RateLimits),
            IncludeVirtualHostRateLimits = action.IncludeVhRateLimits ?? false,
        };
    }

    private static void Exclusive(Scope scope, params (string Field, bool IsSet)[] fields)
    {
        string[] set = [.. fields.Where(f => f.IsSet).Select(f => f.Field)];
        for (int i = 1; i < set.Length; i++) scope.Error(set[i], "NARU-C113", $"\"{set[0]}\" and \"{set[i]}\" exclude each other", "keep one of them");
    }

    // What the format itself holds; values are looked at when they are known.
    private static void PathFormat(Scope scope, string field, string format)
    {
        if (NotOnALine(format) || format.Contains('#', StringComparison.Ordinal))
            scope.Error(field, "NARU-C102", $"\"{field}\" holds a blank, a control character or #, which no path has", "escape it, as in %2520");
        else scope.CheckFormat(field, format, FormatUse.HeaderValue);
    }

    private static MatcherConfig<string>? ClusterSpecifier(Scope scope, ClusterSpecifierPlugin plugin)
    {
        const string Specifier = "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier";
        if (plugin.Extension?.TypedConfig is not { } any)
        {
            scope.Error("extension", "NARU-C101", "\"extension\" with typed_config is required");
            return null;
        }
        Scope at = scope.In("extension", plugin.Extension);
        if (EnvoyTypes.NameOf(any) != Specifier)
        {
            at.Error("typed_config", "NARU-C112", $"Naru does not support the cluster specifier {EnvoyTypes.NameOf(any)}", $"known here: {Specifier}");
            return null;
        }
        if (scope.Pass.Unpack<MatcherClusterSpecifier>(any, at) is not { } config) return null;
        Scope inside = at.In("typed_config", config);
        FieldWalk.Check(inside);
        if (config.ClusterMatcher is not null) return MatcherReader.Read(inside.In("cluster_matcher", config.ClusterMatcher), config.ClusterMatcher, Cluster);
        inside.Error("cluster_matcher", "NARU-C101", "\"cluster_matcher\" is required");
        return null;

        static string? Cluster(Scope end, Any action)
        {
            string type = EnvoyTypes.NameOf(action);
            if (type != ClusterAction.Descriptor.FullName)
            {
                end.Error("typed_config", "NARU-C112", $"a matcher of clusters ends in a cluster, not in {type}", $"give a {ClusterAction.Descriptor.FullName}");
                return null;
            }
            if (end.Pass.Unpack<ClusterAction>(action, end) is not { } cluster) return null;
            Scope clusterAt = end.In("typed_config", cluster);
            FieldWalk.Check(clusterAt);
            return Values.Required(clusterAt, "cluster", cluster.Cluster) ? cluster.Cluster : null;
        }
    }

    private static ImmutableArray<(string, bool)> Upgrades(Scope scope, RouteAction action)
    {
        var upgrades = ImmutableArray.CreateBuilder<(string, bool)>();
        for (int i = 0; i < action.UpgradeConfigs.Count; i++)
        {
            RouteAction.Types.UpgradeConfig upgrade = action.UpgradeConfigs[i];
            Scope at = scope.In("upgrade_configs", i, upgrade);
            if (HttpManagerReader.UpgradeToken(at, upgrade.UpgradeType) is not { } token) continue;
            if (upgrades.Any(u => u.Item1 == token)) HttpManagerReader.Twice(at, upgrade.UpgradeType);
            upgrades.Add((token, upgrade.Enabled != false));
        }
        return upgrades.ToImmutable();
    }

    private static StreamLimitsConfig StreamLimits(Scope scope, RouteAction.Types.MaxStreamDuration limits) => new()
    {
        MaxStreamDuration = Values.Time(scope, "max_stream_duration", limits.MaxStreamDuration_),
        GrpcTimeoutHeaderMax = Values.Time(scope, "grpc_timeout_header_max", limits.GrpcTimeoutHeaderMax),
        GrpcTimeoutHeaderOffset = Values.Time(scope, "grpc_timeout_header_offset", limits.GrpcTimeoutHeaderOffset),
    };

    private static ImmutableArray<WeightedClusterConfig> Weighted(Scope scope, WeightedCluster split)
    {
        if (split.Clusters.Count == 0) scope.Error("clusters", "NARU-C101", "\"clusters\" is required");
        var targets = ImmutableArray.CreateBuilder<WeightedClusterConfig>(split.Clusters.Count);
        ulong sum = 0;
        for (int i = 0; i < split.Clusters.Count; i++)
        {
            WeightedCluster.Types.ClusterWeight target = split.Clusters[i];
            Scope at = scope.In("clusters", i, target);
            string header = target.ClusterHeader.ToLowerInvariant();
            if (header.Length == 0) Values.Required(at, "name", target.Name);
            else if (target.Name.Length > 0) at.Error("cluster_header", "NARU-C113", "\"name\" and \"cluster_header\" exclude each other", "keep one of them");
            else Values.HeaderName(at, "cluster_header", header);
            Values.Authority(at, "host_rewrite_literal", target.HostRewriteLiteral);
            if (target.Weight is null) at.Error("weight", "NARU-C101", "\"weight\" is required");
            sum += target.Weight ?? 0;
            targets.Add(new WeightedClusterConfig(target.Name, target.Weight ?? 0)
            {
                Headers = Values.Headers(at, target.RequestHeadersToAdd, target.RequestHeadersToRemove, target.ResponseHeadersToAdd, target.ResponseHeadersToRemove),
                ClusterHeader = header.Length > 0 ? header : null,
                MetadataMatch = SubsetReader.Match(at, "metadata_match", target.MetadataMatch),
                HostRewriteLiteral = target.HostRewriteLiteral.Length > 0 ? target.HostRewriteLiteral : null,
                Filters = HttpFilters.PerRoute(at, target.TypedPerFilterConfig),
            });
        }
        if (split.HeaderName.Length > 0) Values.HeaderName(scope, "header_name", split.HeaderName.ToLowerInvariant());
        if (split.Clusters.Count > 0 && sum is 0 or > uint.MaxValue)
        {
            scope.Error("clusters", "NARU-C102", $"the weights add up to {sum}", "they must add up to 1 to 4294967295");
        }
        else if (split.TotalWeight is { } total && total != sum)
        {
            scope.Error("total_weight", "NARU-C102", $"the weights add up to {sum}, not {total}", "remove total_weight");
        }
        return targets.ToImmutable();
    }

    // It would end a word of the request line, or the line (RFC 9112 3.2).
    private static bool NotOnALine(string text) => text.AsSpan().ContainsAnyInRange('\0', ' ') || text.Contains('\x7f', StringComparison.Ordinal);

    /// <summary>Redirects.</summary>
    public static RedirectActionConfig Redirect(Scope scope, RedirectAction action)
    {
        if (action.PortRedirect > 65535) scope.Error("port_redirect", "NARU-C102", $"{action.PortRedirect} is not a port");
        foreach ((string field, string text) in new[] { ("path_redirect", action.PathRedirect), ("prefix_rewrite", action.PrefixRewrite), ("scheme_redirect", action.SchemeRedirect) })
        {
            if (NotOnALine(text)) scope.Error(field, "NARU-C102", $"\"{field}\" holds a blank or a control character, which no URL has", "escape it, as in %20");
        }
        Values.Authority(scope, "host_redirect", action.HostRedirect);
        if (action.PathRewriteSpecifierCase == RedirectAction.PathRewriteSpecifierOneofCase.PathRewrite) PathFormat(scope, "path_rewrite", action.PathRewrite);
        int code = action.ResponseCode switch
        {
            RedirectAction.Types.RedirectResponseCode.Found => 302,
            RedirectAction.Types.RedirectResponseCode.SeeOther => 303,
            RedirectAction.Types.RedirectResponseCode.TemporaryRedirect => 307,
            RedirectAction.Types.RedirectResponseCode.PermanentRedirect => 308,
            _ => 301,
        };
        return new RedirectActionConfig
        {
            Host = action.HostRedirect.Length > 0 ? action.HostRedirect : null,
            Port = action.PortRedirect > 0 ? (int)action.PortRedirect : null,
            Scheme = action.HttpsRedirect ? "https" : action.SchemeRedirect.Length > 0 ? action.SchemeRedirect.ToLowerInvariant() : null,
            Path = action.PathRedirect.Length > 0 ? action.PathRedirect : null,
            PrefixRewrite = action.PathRewriteSpecifierCase == RedirectAction.PathRewriteSpecifierOneofCase.PrefixRewrite ? action.PrefixRewrite : null,
            RegexRewrite = action.RegexRewrite is { } rewrite ? Values.Rewrite(scope.In("regex_rewrite", rewrite), rewrite) : null,
            PathFormat = action.PathRewriteSpecifierCase == RedirectAction.PathRewriteSpecifierOneofCase.PathRewrite ? action.PathRewrite : null,
            StripQuery = action.StripQuery,
            ResponseCode = code,
        };
    }

    /// <summary>Answers without an upstream; null after an error.</summary>
    public static DirectResponseActionConfig? Direct(Scope scope, DirectResponseAction action, int maxBody)
    {
        if (action.Status is < 200 or > 599)
        {
            scope.Error("status", "NARU-C102", $"{action.Status} is not a status that can be answered", "it may be 200 to 599");
            return null;
        }
        ByteString? body = action.Body is { } source ? Values.Data(scope.In("body", source), source) : ByteString.Empty;
        if (body is null) return null;
        FormatSource? format = null;
        if (action.BodyFormat is { } given && (format = Formats.Read(scope.In("body_format", given), given, FormatUse.Body)) is null) return null;
        if (body.Length <= maxBody) return new DirectResponseActionConfig((int)action.Status, [.. body.Span]) { BodyFormat = format };
        scope.Error("body", "NARU-C102", $"the body has {body.Length} bytes; the most is {maxBody}", "raise max_direct_response_body_size_bytes in the route configuration");
        return null;
    }
}

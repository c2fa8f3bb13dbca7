// envoy.config.rbac.v3: policies of permissions, principals and conditions in CEL, or matchers whose ends are actions. Of connections what only
// requests have is refused. A rule that is not understood never becomes one that fits.
using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Envoy.Type.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Expression = Naru.Telemetry.Expression;
using XdsMatcher = Xds.Type.Matcher.V3.Matcher;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads rules of access.</summary>
internal static class AccessReader
{
    private const int MostDepth = 16;

    /// <summary>What a connection has none of is refused.</summary>
    private readonly record struct Kind(bool OfRequests);

    /// <summary>The rules of one field, or the matcher beside it; null where neither is there, and after an error.</summary>
    public static AccessRulesConfig? Read(Scope scope, string field, RBAC? rules, string matcherField, XdsMatcher? matcher, bool ofRequests)
    {
        if (matcher is not null)
        {
            Scope at = scope.In(matcherField, matcher);
            if (rules is not null)
                at.Error("", "NARU-C113", $"\"{field}\" and \"{matcherField}\" exclude each other: no rule is left out in silence",
                    "keep one of them");
            if (MatcherReader.Read(at, matcher, End) is not { } tree) return null;
            if (!ofRequests && tree.ReadsHeaders)
            {
                at.Error("", "NARU-C113", "a connection has no headers to match", "give inputs of envoy.extensions.matching.common_inputs");
                return null;
            }
            return new AccessRulesConfig { Matcher = tree };
        }
        return rules is null ? null : Rules(scope.In(field, rules), rules, new Kind(ofRequests));
    }

    private static AccessEndConfig? End(Scope scope, Any any)
    {
        string type = EnvoyTypes.NameOf(any);
        if (type != Envoy.Config.Rbac.V3.Action.Descriptor.FullName)
        {
            scope.Error("typed_config", "NARU-C112", $"a matcher of access ends in an action, not in {type}",
                "give an envoy.config.rbac.v3.Action");
            return null;
        }
        if (scope.Pass.Unpack<Envoy.Config.Rbac.V3.Action>(any, scope) is not { } action) return null;
        Scope at = scope.In("typed_config", action);
        FieldWalk.Check(at);
        bool named = Values.Required(at, "name", action.Name);
        return Act(at, action.Action_) is { } act && named ? new AccessEndConfig(action.Name, act) : null;
    }

    private static AccessAction? Act(Scope scope, RBAC.Types.Action action)
    {
        switch (action)
        {
            case RBAC.Types.Action.Allow: return AccessAction.Allow;
            case RBAC.Types.Action.Deny: return AccessAction.Deny;
            case RBAC.Types.Action.Log: return AccessAction.Log;
            default:
                scope.Error("action", "NARU-C102", $"{(int)action} is not an action", "known are ALLOW, DENY and LOG");
                return null;
        }
    }

    private static AccessRulesConfig? Rules(Scope scope, RBAC rules, Kind kind)
    {
        AccessAction? action = Act(scope, rules.Action);
        var policies = ImmutableArray.CreateBuilder<AccessPolicyConfig>(rules.Policies.Count);
        // Bytes of UTF-8 have the order of code points; of plain names that is the ordinal one.
        foreach ((string name, Policy policy) in rules.Policies.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            Scope at = scope.In($"policies[{name}]", policy);
            FieldWalk.Check(at);
            ImmutableArray<AccessTermConfig>? permissions = All(at, "permissions", policy.Permissions, kind, 0);
            ImmutableArray<AccessTermConfig>? principals = All(at, "principals", policy.Principals, kind, 0);
            bool good = Condition(at, policy, kind, out Expression? condition);
            if (permissions is { } may && principals is { } who && good) policies.Add(new AccessPolicyConfig(name, may, who, condition));
        }
        return action is { } act && policies.Count == rules.Policies.Count
            ? new AccessRulesConfig { Action = act, Policies = policies.ToImmutable() } : null;
    }

    // False after an error.
    private static bool Condition(Scope scope, Policy policy, Kind kind, out Expression? condition)
    {
        condition = null;
        if (policy.Condition is null && policy.CheckedCondition is null) return true;
        string field = policy.Condition is null ? "checked_condition" : "condition";
        if (!kind.OfRequests)
            scope.Error(field, "NARU-C113", "a condition asks attributes of requests, and a connection has none", "compare addresses, ports and certificates");
        else if (policy.Condition is not null && policy.CheckedCondition is not null)
            scope.Error("checked_condition", "NARU-C113", "\"condition\" and \"checked_condition\" exclude each other", "keep one of them");
        else condition = policy.Condition is { } tree ? Expressions.Tree(scope, field, tree) : Expressions.Tree(scope, field, policy.CheckedCondition!);
        return condition is not null;
    }

    private static ImmutableArray<AccessTermConfig>? All(
        Scope scope, string field, RepeatedField<Permission> given, Kind kind, int depth) =>
        All(scope, field, given, (at, permission) => One(at, permission, kind, depth));

    private static ImmutableArray<AccessTermConfig>? All(
        Scope scope, string field, RepeatedField<Principal> given, Kind kind, int depth) =>
        All(scope, field, given, (at, principal) => One(at, principal, kind, depth));

    private static ImmutableArray<AccessTermConfig>? All<T>(
        Scope scope, string field, RepeatedField<T> given, Func<Scope, T, AccessTermConfig?> read) where T : Google.Protobuf.IMessage
    {
        if (given.Count == 0)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required", "write any: true for all");
            return null;
        }
        AccessTermConfig?[] terms = [.. given.Select((g, i) => read(scope.In(field, i, g), g))];
        return terms.Any(t => t is null) ? null : [.. terms.Select(t => t!)];
    }

    private static AccessTermConfig? One(Scope scope, Permission permission, Kind kind, int depth)
    {
        if (TooDeep(scope, depth)) return null;
        switch (permission.RuleCase)
        {
            case Permission.RuleOneofCase.AndRules:
            case Permission.RuleOneofCase.OrRules:
                bool all = permission.RuleCase == Permission.RuleOneofCase.AndRules;
                Permission.Types.Set set = all ? permission.AndRules : permission.OrRules;
                return All(scope.In(all ? "and_rules" : "or_rules", set), "rules", set.Rules, kind, depth + 1) is { } terms
                    ? new CombinedTermConfig(all, terms) : null;
            case Permission.RuleOneofCase.NotRule:
                return One(scope.In("not_rule", permission.NotRule), permission.NotRule, kind, depth + 1) is { } of
                    ? new NotTermConfig(of) : null;
            case Permission.RuleOneofCase.Any: return Any(scope, permission.Any);
            case Permission.RuleOneofCase.Header: return Header(scope, permission.Header, kind);
            case Permission.RuleOneofCase.UrlPath: return Path(scope, permission.UrlPath, kind);
            case Permission.RuleOneofCase.UriTemplate: return Template(scope, permission.UriTemplate, kind);
            case Permission.RuleOneofCase.DestinationIp:
                return Address(scope, "destination_ip", AccessAddress.Destination, permission.DestinationIp);
            case Permission.RuleOneofCase.DestinationPort:
                if (permission.DestinationPort <= 65535)
                    return new PortTermConfig((int)permission.DestinationPort, (int)permission.DestinationPort + 1);
                scope.Error("destination_port", "NARU-C102", $"{permission.DestinationPort} is not a port", "it may be 0 to 65535");
                return null;
            case Permission.RuleOneofCase.DestinationPortRange: return Ports(scope, permission.DestinationPortRange);
            case Permission.RuleOneofCase.Metadata: return Metadata(scope, "metadata", permission.Metadata, false, kind);
            case Permission.RuleOneofCase.SourcedMetadata: return Sourced(scope, permission.SourcedMetadata, kind);
            case Permission.RuleOneofCase.RequestedServerName:
                return Values.Match(scope.In("requested_server_name", permission.RequestedServerName), permission.RequestedServerName)
                    is { } name ? new ServerNameTermConfig(name) : null;
            default:
                if (permission.RuleCase == Permission.RuleOneofCase.None)
                    scope.Error("", "NARU-C101", "a permission says what is done", "write any: true for all");
                return null;
        }
    }

    private static AccessTermConfig? One(Scope scope, Principal principal, Kind kind, int depth)
    {
        if (TooDeep(scope, depth)) return null;
        switch (principal.IdentifierCase)
        {
            case Principal.IdentifierOneofCase.AndIds:
            case Principal.IdentifierOneofCase.OrIds:
                bool all = principal.IdentifierCase == Principal.IdentifierOneofCase.AndIds;
                Principal.Types.Set set = all ? principal.AndIds : principal.OrIds;
                return All(scope.In(all ? "and_ids" : "or_ids", set), "ids", set.Ids, kind, depth + 1) is { } terms
                    ? new CombinedTermConfig(all, terms) : null;
            case Principal.IdentifierOneofCase.NotId:
                return One(scope.In("not_id", principal.NotId), principal.NotId, kind, depth + 1) is { } of ? new NotTermConfig(of) : null;
            case Principal.IdentifierOneofCase.Any: return Any(scope, principal.Any);
            case Principal.IdentifierOneofCase.Authenticated:
                if (principal.Authenticated.PrincipalName is not { } wanted) return new AuthenticatedTermConfig(null);
                Scope at = scope.In("authenticated", principal.Authenticated).In("principal_name", wanted);
                return Values.Match(at, wanted) is { } name ? new AuthenticatedTermConfig(name) : null;
            case Principal.IdentifierOneofCase.SourceIp:
                return Address(scope, "source_ip", AccessAddress.Connection, principal.SourceIp);
            case Principal.IdentifierOneofCase.DirectRemoteIp:
                return Address(scope, "direct_remote_ip", AccessAddress.Direct, principal.DirectRemoteIp);
            case Principal.IdentifierOneofCase.RemoteIp: return Address(scope, "remote_ip", AccessAddress.Client, principal.RemoteIp);
            case Principal.IdentifierOneofCase.Header: return Header(scope, principal.Header, kind);
            case Principal.IdentifierOneofCase.UrlPath: return Path(scope, principal.UrlPath, kind);
            case Principal.IdentifierOneofCase.Metadata: return Metadata(scope, "metadata", principal.Metadata, false, kind);
            case Principal.IdentifierOneofCase.SourcedMetadata: return Sourced(scope, principal.SourcedMetadata, kind);
            case Principal.IdentifierOneofCase.FilterState:
                return MetadataReader.State(scope.In("filter_state", principal.FilterState), principal.FilterState) is { } state
                    ? new StateTermConfig(state) : null;
            default:
                if (principal.IdentifierCase == Principal.IdentifierOneofCase.None)
                    scope.Error("", "NARU-C101", "a principal says who it is", "write any: true for all");
                return null;
        }
    }

    private static bool TooDeep(Scope scope, int depth)
    {
        if (depth <= MostDepth) return false;
        scope.Error("", "NARU-C102", $"rules stand in each other more than {MostDepth} deep", "write several policies");
        return true;
    }

    private static AnyTermConfig? Any(Scope scope, bool any)
    {
        if (any) return new AnyTermConfig();
        scope.Error("any", "NARU-C102", "\"any\" can only be true", "write not_rule or not_id for none");
        return null;
    }

    private static bool OfRequests(Scope scope, string field, Kind kind, string what)
    {
        if (kind.OfRequests) return true;
        scope.Error(field, "NARU-C113", $"a connection has no {what}", "write it in envoy.filters.http.rbac");
        return false;
    }

    private static HeaderTermConfig? Header(Scope scope, HeaderMatcher header, Kind kind) =>
        OfRequests(scope, "header", kind, "headers") && RouteReader.Header(scope.In("header", header), header) is { } read
            ? new HeaderTermConfig(read) : null;

    private static PathTermConfig? Path(Scope scope, PathMatcher path, Kind kind)
    {
        if (!OfRequests(scope, "url_path", kind, "path")) return null;
        Scope at = scope.In("url_path", path);
        if (path.Path is { } given) return Values.Match(at.In("path", given), given) is { } read ? new PathTermConfig(read) : null;
        at.Error("path", "NARU-C101", "\"path\" is required");
        return null;
    }

    private static TemplateTermConfig? Template(Scope scope, TypedExtensionConfig template, Kind kind) =>
        OfRequests(scope, "uri_template", kind, "path") && UriTemplates.Match(scope.In("uri_template", template), template) is { } read
            ? new TemplateTermConfig(read) : null;

    private static MetadataTermConfig? Metadata(Scope scope, string field, MetadataMatcher matcher, bool ofRoute, Kind kind) =>
        OfRequests(scope, field, kind, "metadata") && MetadataReader.Matcher(scope.In(field, matcher), matcher) is { } read
            ? new MetadataTermConfig(read, ofRoute) : null;

    private static MetadataTermConfig? Sourced(Scope scope, SourcedMetadata sourced, Kind kind)
    {
        Scope at = scope.In("sourced_metadata", sourced);
        if (sourced.MetadataMatcher is null) at.Error("metadata_matcher", "NARU-C101", "\"metadata_matcher\" is required");
        else if (sourced.MetadataSource is MetadataSource.Dynamic or MetadataSource.Route)
            return Metadata(at, "metadata_matcher", sourced.MetadataMatcher, sourced.MetadataSource == MetadataSource.Route, kind);
        else at.Error("metadata_source", "NARU-C102", $"{(int)sourced.MetadataSource} is not a source", "known are DYNAMIC and ROUTE");
        return null;
    }

    private static PortTermConfig? Ports(Scope scope, Int32Range range)
    {
        if (range.Start >= 0 && range.Start < range.End && range.End <= 65536) return new PortTermConfig(range.Start, range.End);
        scope.Error("destination_port_range", "NARU-C102", $"there are no ports from {range.Start} on and before {range.End}",
            "start is 0 at least, end more than start and 65536 at most");
        return null;
    }

    private static AddressTermConfig? Address(Scope scope, string field, AccessAddress whose, CidrRange range) =>
        Range(scope, field, range) is { } network ? new AddressTermConfig(whose, network) : null;

    /// <summary>A range of addresses; one of IPv4 that is written as IPv6 is one of IPv4, as all addresses are seen.</summary>
    public static IPNetwork? Range(Scope scope, string field, CidrRange range)
    {
        if (FilterChains.Ranges(scope, field, [range]) is not [var network]) return null;
        if (!network.BaseAddress.IsIPv4MappedToIPv6 || network.PrefixLength < 96) return network;
        return new IPNetwork(network.BaseAddress.MapToIPv4(), network.PrefixLength - 96);
    }
}

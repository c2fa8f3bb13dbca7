// envoy.filters.http.rbac: how its rules are read, in the chain and at routes. What a rule may say is read in one place with those of
// connections (AccessReader).
using Envoy.Extensions.Filters.Http.Rbac.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Rbac;

/// <summary>Who may send which requests (Envoy docs: role based access control).</summary>
public sealed class RbacExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.rbac";

    /// <inheritdoc/>
    public override MessageDescriptor Message => RBAC.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => RBACPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.rbac.v2.RBAC";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.rbac.v3.RBAC
          + rules shadow_rules shadow_rules_stat_prefix matcher shadow_matcher rules_stat_prefix track_per_rule_stats
        envoy.extensions.filters.http.rbac.v3.RBACPerRoute
          + rbac

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var rbac = (RBAC)message;
        return new AccessConfig(
            AccessReader.Read(scope, "rules", rbac.Rules, "matcher", rbac.Matcher, ofRequests: true),
            AccessReader.Read(scope, "shadow_rules", rbac.ShadowRules, "shadow_matcher", rbac.ShadowMatcher, ofRequests: true),
            rbac.RulesStatPrefix, rbac.ShadowRulesStatPrefix)
        { CountsPolicies = rbac.TrackPerRuleStats };
    }

    // Nothing in it asks nobody.
    internal override object ReadRoute(Scope scope, IMessage message) =>
        ((RBACPerRoute)message).Rbac is { } rbac ? Read(scope.In("rbac", rbac), rbac) : new AccessConfig(null, null, "", "");

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new RbacFilter((AccessConfig)settings, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new RbacLevel((AccessConfig)settings);
}

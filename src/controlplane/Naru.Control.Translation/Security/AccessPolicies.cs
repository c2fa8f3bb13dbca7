// AuthorizationPolicies → RBAC filters: which policies are for a workload, and the filters that enforce them, in the order in which they
// are asked: CUSTOM, AUDIT, DENY, ALLOW (Istio: authorization policy). On connections without requests an ALLOW rule that asks about a
// request falls away, any other rule loses that question and takes more: what cannot be seen is never let in for it.
using System.Collections.Immutable;
using Envoy.Config.Listener.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;
using HttpRbac = Envoy.Extensions.Filters.Http.Rbac.V3.RBAC;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;

namespace Naru.Control.Translation;

internal static class AccessPolicies
{
    public const string RootNamespace = "istio-system";
    private const string HttpName = "envoy.filters.http.rbac", NetworkName = "envoy.filters.network.rbac";
    private const string TriedAllow = "istio_dry_run_allow_", TriedDeny = "istio_dry_run_deny_", Asked = "istio_ext_authz_";

    private sealed record Applied(ConfigObject Object, AuthorizationSpec Spec)
    {
        public string Name(int rule) => $"ns[{Object.Key.Namespace}]-policy[{Object.Key.Name}]-rule[{rule}]";
    }

    /// <summary>Objects of a kind that are for a workload: those of the root namespace, then its own; without a selector or with one that
    /// fits.</summary>
    public static IEnumerable<(ConfigObject Object, T Spec)> For<T>(MeshLayout layout, NodeInfo node, Func<T,
        ImmutableSortedDictionary<string, string>> selector)
        where T : Spec
    {
        string[] namespaces = node.Namespace == RootNamespace ? [RootNamespace] : [RootNamespace, node.Namespace];
        foreach (string ns in namespaces)
        {
            foreach (ConfigObject item in layout.Security)
            {
                if (item.Key.Namespace == ns && item.Spec is T spec && HostNames.Matches(selector(spec), node.Labels))
                    yield return (item, spec);
            }
        }
    }

    /// <summary>The filters of requests.</summary>
    public static IEnumerable<HttpFilter> Http(MeshLayout layout, NodeInfo node)
    {
        List<Applied> policies = Of(layout, node);
        List<Applied> custom = [.. policies.Where(p => p.Spec.Action == PolicyAction.Custom)];
        if (custom.Count > 0)
        {
            AuthorizerSpec? asked = Authorizer(layout, custom);
            HttpRbac gate = asked is null
                ? new HttpRbac
                {
                    Rules = Rules(custom, RBAC.Types.Action.Deny, layout, false, p => p + "-deny-due-to-bad-CUSTOM-action"),
                    ShadowRulesStatPrefix = TriedAllow
                }
                : new HttpRbac
                {
                    ShadowRules = Rules(custom, RBAC.Types.Action.Deny, layout, false, p =>
                    $"istio-ext-authz-{asked.Name}-{p}"),
                    ShadowRulesStatPrefix = Asked
                };
            yield return new HttpFilter { Name = HttpName, TypedConfig = Any.Pack(gate) };
            if (asked is not null) yield return Authorizers.Http(asked);
        }
        foreach ((RBAC? rules, RBAC? shadow, string prefix) in Plain(policies, layout, tcp: false))
        {
            var made = new HttpRbac { Rules = rules, ShadowRules = shadow, ShadowRulesStatPrefix = prefix };
            yield return new HttpFilter { Name = HttpName, TypedConfig = Any.Pack(made) };
        }
    }

    /// <summary>The filters of connections.</summary>
    public static IEnumerable<Filter> Network(MeshLayout layout, NodeInfo node)
    {
        List<Applied> policies = Of(layout, node);
        List<Applied> custom = [.. policies.Where(p => p.Spec.Action == PolicyAction.Custom)];
        if (custom.Count > 0)
        {
            AuthorizerSpec? asked = Authorizer(layout, custom);
            bool asks = asked is { Grpc: true } && !node.IsOurs;
            // Of a service that is asked by HTTP nothing can be asked about a connection, and proxies of ours do not say of a connection
            // which
            // rule took it: what was to be asked about is not let in.
            RBAC refused = asks
                ? Rules(custom, RBAC.Types.Action.Deny, layout, true, p => $"istio-ext-authz-{asked!.Name}-{p}")
                : Rules(custom, RBAC.Types.Action.Deny, layout, true, p => p + "-deny-due-to-bad-CUSTOM-action",
                    ofConnections: asked is not null && !node.IsOurs);
            NetworkRbac gate = asks
                ? new NetworkRbac { ShadowRules = refused, ShadowRulesStatPrefix = Asked, StatPrefix = "tcp." }
                : new NetworkRbac { Rules = refused, ShadowRulesStatPrefix = TriedAllow, StatPrefix = "tcp." };
            if (refused.Policies.Count > 0) yield return new Filter { Name = NetworkName, TypedConfig = Any.Pack(gate) };
            if (asks) yield return Authorizers.Network(asked!);
        }
        foreach ((RBAC? rules, RBAC? shadow, string prefix) in Plain(policies, layout, tcp: true))
        {
            var made = new NetworkRbac { Rules = rules, ShadowRules = shadow, ShadowRulesStatPrefix = prefix, StatPrefix = "tcp." };
            yield return new Filter { Name = NetworkName, TypedConfig = Any.Pack(made) };
        }
    }

    private static List<Applied> Of(MeshLayout layout, NodeInfo node) =>
        [.. For<AuthorizationSpec>(layout, node, p => p.Selector).Select(p => new Applied(p.Object, p.Spec))];

    // Two providers on one workload, or one that nobody configured: nobody can be asked.
    private static AuthorizerSpec? Authorizer(MeshLayout layout, List<Applied> custom)
    {
        string[] names = [.. custom.Select(p => p.Spec.Provider).Distinct()];
        return names is [var only] ? layout.Mesh.Authorizers.FirstOrDefault(a => a.Name == only) : null;
    }

    private static IEnumerable<(RBAC? Rules, RBAC? Shadow, string Prefix)> Plain(List<Applied> policies, MeshLayout layout, bool tcp)
    {
        foreach ((PolicyAction action, RBAC.Types.Action wire) in ((PolicyAction, RBAC.Types.Action)[])
            [(PolicyAction.Audit, RBAC.Types.Action.Log), (PolicyAction.Deny, RBAC.Types.Action.Deny),
                (PolicyAction.Allow, RBAC.Types.Action.Allow)])
        {
            List<Applied> inForce = [.. policies.Where(p => p.Spec.Action == action && !p.Spec.DryRun)];
            List<Applied> tried = [.. policies.Where(p => p.Spec.Action == action && p.Spec.DryRun)];
            if (inForce.Count == 0 && tried.Count == 0) continue;
            yield return (inForce.Count == 0 ? null : Rules(inForce, wire, layout, tcp, p => p),
                tried.Count == 0 ? null : Rules(tried, wire, layout, tcp, p => p), tried.Count > 0 && action == PolicyAction.Deny
                    ? TriedDeny : TriedAllow);
        }
    }

    /// <param name="ofConnections">Only rules that ask nothing of requests.</param>
    private static RBAC Rules(List<Applied> policies, RBAC.Types.Action action, MeshLayout layout, bool tcp, Func<string, string> name,
        bool ofConnections = false)
    {
        var made = new RBAC { Action = action };
        foreach (Applied policy in policies)
        {
            if (policy.Spec.Rules.IsEmpty)
            {
                made.Policies[name(policy.Name(0))] = Nobody();
                continue;
            }
            for (int i = 0; i < policy.Spec.Rules.Length; i++)
            {
                if (AccessRules.Policy(policy.Spec.Rules[i], policy.Object.Key.Namespace, layout.Mesh, tcp,
                    loses: action != RBAC.Types.Action.Allow && !ofConnections) is { } rule)
                    made.Policies[name(policy.Name(i))] = rule;
            }
        }
        return made;
    }

    private static Policy Nobody() => new()
    {
        Permissions = { new Permission { NotRule = new Permission { Any = true } } },
        Principals = { new Principal { NotId = new Principal { Any = true } } },
    };
}

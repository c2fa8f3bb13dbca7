// RequestAuthentications → jwt_authn: a bad token is refused, a missing one is a question for the policies behind it.
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.JwtAuthn.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class Tokens
{
    /// <summary>The filter of a workload; none where nobody asks for tokens there.</summary>
    public static IEnumerable<HttpFilter> Http(MeshLayout layout, NodeInfo node)
    {
        List<TokenRule> rules = [.. AccessPolicies.For<RequestAuthenticationSpec>(layout, node, r => r.Selector)
            .SelectMany(r => r.Spec.Rules).Where(r => r.IsChecked || !node.IsOurs)];
        if (rules.Count == 0) yield break;
        var made = new JwtAuthentication { BypassCorsPreflight = true };
        for (int i = 0; i < rules.Count; i++) made.Providers[$"origins-{i}"] = Provider(rules[i], node.Type == NodeType.Router);
        made.Rules.Add(new RequirementRule
        {
            Match = new RouteMatch { Prefix = "/" },
            Requires = new JwtRequirement { RequiresAny = AnyOf([.. Enumerable.Range(0, rules.Count).Select(By), Missing(rules.Count)]) },
        });
        yield return new HttpFilter { Name = "envoy.filters.http.jwt_authn", TypedConfig = Any.Pack(made) };
    }

    private static JwtRequirement By(int provider) => new() { ProviderName = $"origins-{provider}" };

    private static JwtRequirementOrList AnyOf(IEnumerable<JwtRequirement> all) => new() { Requirements = { all } };

    // Of several, each may be missing, and none may be bad.
    private static JwtRequirement Missing(int count)
    {
        if (count == 1) return new JwtRequirement { AllowMissing = new Empty() };
        var all = new JwtRequirementAndList();
        for (int i = 0; i < count; i++)
            all.Requirements.Add(new JwtRequirement { RequiresAny = AnyOf([By(i), new JwtRequirement { AllowMissing = new Empty() }]) });
        return new JwtRequirement { RequiresAll = all };
    }

    private static JwtProvider Provider(TokenRule rule, bool gateway)
    {
        var made = new JwtProvider
        {
            Issuer = rule.Issuer,
            Forward = rule.Forward,
            ForwardPayloadHeader = rule.PayloadHeader,
            PayloadInMetadata = "payload",
            NormalizePayloadInMetadata = new JwtProvider.Types.NormalizePayload { SpaceDelimitedClaims = { "permission", "scope" } },
            LocalJwks = new DataSource { InlineString = rule.Keys },
            // Routes may ask for claims there.
            ClearRouteCache = gateway,
        };
        made.Audiences.AddRange(rule.Audiences);
        made.FromHeaders.AddRange(rule.Headers.Select(h => new JwtHeader { Name = h.Name, ValuePrefix = h.Prefix }));
        made.FromParams.AddRange(rule.Parameters);
        made.FromCookies.AddRange(rule.Cookies);
        made.ClaimToHeaders.AddRange(rule.ClaimHeaders.Select(c => new JwtClaimToHeader { HeaderName = c.Header, ClaimName = c.Claim }));
        return made;
    }
}

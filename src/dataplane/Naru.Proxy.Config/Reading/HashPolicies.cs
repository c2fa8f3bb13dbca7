// envoy.config.route.v3.RouteAction.HashPolicy: what of a request a hash is made of.
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Google.Protobuf.Collections;
using HashPolicy = Envoy.Config.Route.V3.RouteAction.Types.HashPolicy;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads hash policies.</summary>
internal static class HashPolicies
{
    /// <summary>Those that can be used; others were reported.</summary>
    public static ImmutableArray<HashPolicyConfig> Read(Scope scope, RepeatedField<HashPolicy> policies)
    {
        var all = ImmutableArray.CreateBuilder<HashPolicyConfig>(policies.Count);
        for (int i = 0; i < policies.Count; i++)
        {
            if (One(scope.In("hash_policy", i, policies[i]), policies[i]) is { } policy) all.Add(policy);
        }
        return all.ToImmutable();
    }

    private static HashPolicyConfig? One(Scope scope, HashPolicy policy)
    {
        switch (policy.PolicySpecifierCase)
        {
            case HashPolicy.PolicySpecifierOneofCase.Header:
                Scope headerAt = scope.In("header", policy.Header);
                string name = policy.Header.HeaderName.ToLowerInvariant();
                if (!Values.HeaderName(headerAt, "header_name", name)) return null;
                (Regex Pattern, string Substitution)? rewrite = null;
                if (policy.Header.RegexRewrite is { } given && (rewrite = Values.Rewrite(headerAt.In("regex_rewrite", given), given)) is null) return null;
                return new HeaderHashConfig(policy.Terminal, name == "host" ? ":authority" : name, rewrite);
            case HashPolicy.PolicySpecifierOneofCase.Cookie: return Cookie(scope.In("cookie", policy.Cookie), policy.Cookie, policy.Terminal);
            // Without source_ip it is a policy that gives no hash.
            case HashPolicy.PolicySpecifierOneofCase.ConnectionProperties: return policy.ConnectionProperties.SourceIp ? new SourceHashConfig(policy.Terminal) : null;
            case HashPolicy.PolicySpecifierOneofCase.QueryParameter:
                return Values.Required(scope.In("query_parameter", policy.QueryParameter), "name", policy.QueryParameter.Name)
                    ? new QueryHashConfig(policy.Terminal, policy.QueryParameter.Name) : null;
            case HashPolicy.PolicySpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "a hash policy says what it hashes", "add header, cookie, connection_properties or query_parameter");
                return null;
            default: return null; // told by the walk over the fields
        }
    }

    private static CookieHashConfig? Cookie(Scope scope, HashPolicy.Types.Cookie cookie, bool terminal)
    {
        if (!Values.Required(scope, "name", cookie.Name)) return null;
        bool good = true;
        Good(scope, "name", cookie.Name, isName: true);
        Good(scope, "path", cookie.Path, isName: false);
        var suffix = new StringBuilder();
        if (cookie.Path.Length > 0) suffix.Append("; Path=").Append(cookie.Path);
        for (int i = 0; i < cookie.Attributes.Count; i++)
        {
            HashPolicy.Types.CookieAttribute attribute = cookie.Attributes[i];
            Scope at = scope.In("attributes", i, attribute);
            good &= Values.Required(at, "name", attribute.Name);
            Good(at, "name", attribute.Name, isName: true);
            Good(at, "value", attribute.Value, isName: false);
            suffix.Append("; ").Append(attribute.Name);
            if (attribute.Value.Length > 0) suffix.Append('=').Append(attribute.Value);
        }
        TimeSpan? ttl = Values.Time(scope, "ttl", cookie.Ttl);
        suffix.Append("; HttpOnly");
        string age = ttl is { TotalSeconds: >= 1 and var seconds } ? string.Create(CultureInfo.InvariantCulture, $"; Max-Age={Math.Floor(seconds)}") : "";
        return good ? new CookieHashConfig(terminal, cookie.Name, ttl, age + suffix) : null;

        // It would end the cookie, or the line (RFC 6265 4.1.1).
        void Good(Scope of, string field, string text, bool isName)
        {
            if (!text.Any(c => c is <= ' ' and not ' ' or >= (char)127 or ';' || (isName && c is ' ' or '=' or '"' or ','))) return;
            of.Error(field, "NARU-C102", $"\"{field}\" holds a character that no cookie has there");
            good = false;
        }
    }
}

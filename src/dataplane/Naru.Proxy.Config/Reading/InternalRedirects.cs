// envoy.config.route.v3.InternalRedirectPolicy, and the fields that said the same before there was one.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.InternalRedirect.AllowListedRoutes.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads which redirects are followed.</summary>
internal static class InternalRedirects
{
    private const string Package = "envoy.extensions.internal_redirect.";
    private const string Known = "envoy.internal_redirect_predicates.previous_routes, .allow_listed_routes and .safe_cross_scheme";

    /// <summary>Null where none are.</summary>
    public static InternalRedirectConfig? Read(Scope parent, RouteAction action)
    {
        if (action.InternalRedirectPolicy is not { } policy)
        {
            return action.InternalRedirectAction == RouteAction.Types.InternalRedirectAction.HandleInternalRedirect
                ? new InternalRedirectConfig { Most = Values.Count(parent, "max_internal_redirects", action.MaxInternalRedirects, 1) }
                : null;
        }
        Scope scope = parent.In("internal_redirect_policy", policy);
        var codes = ImmutableArray.CreateBuilder<int>();
        for (int i = 0; i < policy.RedirectResponseCodes.Count; i++)
        {
            uint code = policy.RedirectResponseCodes[i];
            if (code is 301 or 302 or 303 or 307 or 308) codes.Add((int)code);
            else scope.Warning($"redirect_response_codes[{i}]", "NARU-C102", $"{code} is not a code of a redirect that could be followed; it is left out", "301, 302, 303, 307 and 308 are");
        }
        if (policy.RedirectResponseCodes.Count > 5) scope.Error("redirect_response_codes", "NARU-C102", $"{policy.RedirectResponseCodes.Count} are too many: there are five codes");
        var copied = ImmutableArray.CreateBuilder<string>();
        for (int i = 0; i < policy.ResponseHeadersToCopy.Count; i++)
        {
            string name = policy.ResponseHeadersToCopy[i].ToLowerInvariant();
            if (!Values.HeaderName(scope, $"response_headers_to_copy[{i}]", name)) continue;
            if (name is "content-length" or "transfer-encoding" or "connection" or "keep-alive" or "te" or "trailer" or "upgrade" or "expect")
                scope.Error($"response_headers_to_copy[{i}]", "NARU-C108", $"\"{name}\" cannot be copied", "it is about one message, not about the next");
            else if (name[0] == ':' || name == "host") scope.Error($"response_headers_to_copy[{i}]", "NARU-C108", $"\"{name}\" cannot be copied", "the location says it");
            else if (copied.Contains(name)) scope.Error($"response_headers_to_copy[{i}]", "NARU-C103", $"\"{name}\" is there already", "name it once");
            else copied.Add(name);
        }
        var config = new InternalRedirectConfig
        {
            Most = Values.Count(scope, "max_internal_redirects", policy.MaxInternalRedirects, 1),
            Codes = policy.RedirectResponseCodes.Count == 0 ? [302] : codes.ToImmutable(),
            CrossesScheme = policy.AllowCrossSchemeRedirect,
            CopiedHeaders = copied.ToImmutable(),
        };
        for (int i = 0; i < policy.Predicates.Count; i++) config = Predicate(scope.In("predicates", i, policy.Predicates[i]), policy.Predicates[i], config);
        return config;
    }

    private static InternalRedirectConfig Predicate(Scope scope, TypedExtensionConfig predicate, InternalRedirectConfig config)
    {
        string type = predicate.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : predicate.Name;
        switch (type)
        {
            case Package + "previous_routes.v3.PreviousRoutesConfig": return config with { NoRouteTwice = true };
            case Package + "safe_cross_scheme.v3.SafeCrossSchemeConfig": return config with { SafeCrossing = true };
            case Package + "allow_listed_routes.v3.AllowListedRoutesConfig":
                if (scope.Pass.Unpack<AllowListedRoutesConfig>(predicate.TypedConfig!, scope) is not { } allowed) return config;
                FieldWalk.Check(scope.In("typed_config", allowed));
                return config with { AllowedRoutes = config.AllowedRoutes is { } before ? [.. before.Intersect(allowed.AllowedRouteNames)] : [.. allowed.AllowedRouteNames] };
        }
        scope.Error("typed_config", "NARU-C112", $"Naru does not support the predicate {type} yet", $"known here: {Known}");
        return config;
    }
}

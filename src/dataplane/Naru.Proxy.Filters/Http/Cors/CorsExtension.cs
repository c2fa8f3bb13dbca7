// envoy.filters.http.cors: how its configuration is read. The filter itself says nothing, routes and hosts give the policies.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Http.Cors.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Cors;

/// <summary>Cross-origin requests of browsers (Fetch standard; Envoy docs: CORS).</summary>
public sealed class CorsExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.cors";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Cors.V3.Cors.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => CorsPolicy.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.cors.v2.Cors";

    /// <inheritdoc/>
    public override bool NeedsNothing => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.cors.v3.Cors
        envoy.extensions.filters.http.cors.v3.CorsPolicy
          + allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled shadow_enabled
          + allow_private_network_access forward_not_matching_preflights

        """;

    internal override object Read(Scope scope, IMessage message) => this;

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var policy = (CorsPolicy)message;
        var origins = ImmutableArray.CreateBuilder<StringMatcherConfig>();
        for (int i = 0; i < policy.AllowOriginStringMatch.Count; i++)
        {
            if (Values.Match(scope.In("allow_origin_string_match", i, policy.AllowOriginStringMatch[i]), policy.AllowOriginStringMatch[i]) is { } origin) origins.Add(origin);
        }
        foreach ((string field, string value) in new[]
        {
            ("allow_methods", policy.AllowMethods), ("allow_headers", policy.AllowHeaders), ("expose_headers", policy.ExposeHeaders), ("max_age", policy.MaxAge),
        })
        {
            if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) scope.Error(field, "NARU-C108", $"\"{field}\" holds a line end or NUL");
        }
        return new CorsPolicyConfig
        {
            Origins = origins.ToImmutable(),
            Methods = policy.AllowMethods,
            Headers = policy.AllowHeaders,
            Exposed = policy.ExposeHeaders,
            MaxAge = policy.MaxAge,
            Credentials = policy.AllowCredentials,
            PrivateNetwork = policy.AllowPrivateNetworkAccess,
            ForwardsForeignPreflights = policy.ForwardNotMatchingPreflights,
            EnabledPerMillion = policy.FilterEnabled is { } on ? RouteReader.Fraction(scope.In("filter_enabled", on), on) : 1_000_000,
            EnabledKey = policy.FilterEnabled?.RuntimeKey ?? "",
            ShadowKey = policy.ShadowEnabled?.RuntimeKey ?? "",
            ShadowPerMillion = policy.ShadowEnabled is { } shadow ? RouteReader.Fraction(scope.In("shadow_enabled", shadow), shadow) : 0,
        };
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new CorsFilter(context.Block("cors", CorsStats.Schema));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new CorsLevel((CorsPolicyConfig)settings, context.Node.Runtime);
}

/// <summary>What one level says.</summary>
internal sealed record CorsPolicyConfig
{
    /// <summary>Which origins are let in.</summary>
    public ImmutableArray<StringMatcherConfig> Origins { get; init; } = [];
    /// <summary><c>access-control-allow-methods</c>; <c>*</c> allows the one that is asked for.</summary>
    public string Methods { get; init; } = "";
    /// <summary><c>access-control-allow-headers</c>; <c>*</c> allows those that are asked for.</summary>
    public string Headers { get; init; } = "";
    /// <summary><c>access-control-expose-headers</c>.</summary>
    public string Exposed { get; init; } = "";
    /// <summary><c>access-control-max-age</c>, seconds.</summary>
    public string MaxAge { get; init; } = "";
    /// <summary><c>access-control-allow-credentials</c>; null asks the next level.</summary>
    public bool? Credentials { get; init; }
    /// <summary><c>access-control-allow-private-network</c>; null asks the next level.</summary>
    public bool? PrivateNetwork { get; init; }
    /// <summary>Whether preflights of others go on (default true) or are answered without permission.</summary>
    public bool? ForwardsForeignPreflights { get; init; }
    /// <summary>Share of requests that it holds for.</summary>
    public int EnabledPerMillion { get; init; }
    /// <summary>The key of the runtime whose value that is instead, where it has one; empty for none.</summary>
    public string EnabledKey { get; init; } = "";
    /// <summary>The same for <see cref="ShadowPerMillion"/>.</summary>
    public string ShadowKey { get; init; } = "";
    /// <summary>Share of requests that are only counted.</summary>
    public int ShadowPerMillion { get; init; }
}

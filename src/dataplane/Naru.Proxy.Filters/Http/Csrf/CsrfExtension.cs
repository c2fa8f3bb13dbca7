// envoy.filters.http.csrf: how its policy is read, in the chain and at routes alike.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Http.Csrf.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Csrf;

/// <summary>Cross-site request forgery (Envoy docs: CSRF).</summary>
public sealed class CsrfExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.csrf";

    /// <inheritdoc/>
    public override MessageDescriptor Message => CsrfPolicy.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => CsrfPolicy.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.csrf.v2.CsrfPolicy";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.csrf.v3.CsrfPolicy
          + filter_enabled shadow_enabled additional_origins

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var policy = (CsrfPolicy)message;
        if (policy.FilterEnabled is null)
            scope.Error("filter_enabled", "NARU-C101", "\"filter_enabled\" is required",
                "write filter_enabled: {default_value: {numerator: 100}}");
        var origins = ImmutableArray.CreateBuilder<StringMatcherConfig>();
        for (int i = 0; i < policy.AdditionalOrigins.Count; i++)
        {
            Envoy.Type.Matcher.V3.StringMatcher given = policy.AdditionalOrigins[i];
            if (Values.Match(scope.In("additional_origins", i, given), given) is { } origin) origins.Add(origin);
        }
        return new CsrfConfig(
            policy.FilterEnabled is { } on ? RouteReader.Fraction(scope.In("filter_enabled", on), on) : 0,
            policy.FilterEnabled?.RuntimeKey ?? "",
            policy.ShadowEnabled is { } shadow ? RouteReader.Fraction(scope.In("shadow_enabled", shadow), shadow) : 0,
            policy.ShadowEnabled?.RuntimeKey ?? "", origins.ToImmutable());
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new CsrfFilter(new CsrfLevel((CsrfConfig)settings, context.Node.Runtime), context.Block("csrf", CsrfStats.Schema));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) =>
        new CsrfLevel((CsrfConfig)settings, context.Node.Runtime);
}

/// <summary>What the chain or a route says.</summary>
/// <param name="EnabledPerMillion">Share of requests that it holds for.</param>
/// <param name="EnabledKey">The key of the runtime whose value that is instead; empty for none.</param>
/// <param name="ShadowPerMillion">Share of requests that are only counted.</param>
/// <param name="ShadowKey">The same of that.</param>
/// <param name="Origins">Hosts whose pages may ask, too.</param>
internal sealed record CsrfConfig(
    int EnabledPerMillion, string EnabledKey, int ShadowPerMillion, string ShadowKey, ImmutableArray<StringMatcherConfig> Origins);

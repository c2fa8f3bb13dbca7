// envoy.filters.http.composite: runs the filter that its matcher chose. It stands within an ExtensionWithMatcher alone, which has the
// matcher (MatchDelegate/); by itself it would do nothing, and is refused.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.Composite.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Composite;

/// <summary>One filter of several (Envoy docs: composite filter).</summary>
public sealed class CompositeExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.composite";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Composite.V3.Composite.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.composite.v3.Composite
        envoy.extensions.filters.http.composite.v3.ExecuteFilterAction
          + typed_config sample_percent
          - dynamic_config: the filters of a composite are not discovered; write typed_config

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        scope.Error("", "NARU-C113", "a composite filter has no matcher here, so that it would run nothing",
            "put it into an envoy.extensions.common.matching.v3.ExtensionWithMatcher");
        return new object();
    }

    // By this name stands what has one in it (MatchDelegateExtension).
    internal override bool Hears(HttpFilterExtension kind, object? settings) => settings is null;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        throw new InvalidOperationException("it was refused when it was read");

    /// <summary>An action of its matcher; null after an error.</summary>
    internal static ExecutedFilter? Action(Scope scope, Any any)
    {
        if (EnvoyTypes.NameOf(any) != ExecuteFilterAction.Descriptor.FullName)
        {
            scope.Error("typed_config", "NARU-C112", $"{EnvoyTypes.NameOf(any)} is no action of a composite filter",
                $"give an {ExecuteFilterAction.Descriptor.FullName}");
            return null;
        }
        if (scope.Pass.Unpack<ExecuteFilterAction>(any, scope) is not { } action) return null;
        Scope at = scope.In("typed_config", action);
        FieldWalk.Check(at);
        if (action.TypedConfig is not { } filter)
        {
            if (action.DynamicConfig is null) at.Error("typed_config", "NARU-C101", "\"typed_config\" is required",
                "name the filter that is run");
            return null;
        }
        int share = action.SamplePercent is { } percent ? RouteReader.Fraction(at.In("sample_percent", percent), percent) : 1_000_000;
        return Inner(at.In("typed_config", filter), filter) is { } read
            ? new ExecutedFilter(read.Extension, read.Settings, share, action.SamplePercent?.RuntimeKey ?? "") : null;
    }

    /// <summary>A filter that another one runs; null after an error.</summary>
    internal static (HttpFilterExtension Extension, object Settings)? Inner(Scope scope, TypedExtensionConfig filter)
    {
        if (filter.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        string type = EnvoyTypes.NameOf(any);
        // One that chooses has one place to remember its choice; what is looked after by the whole proxy stands in the chain itself.
        bool chooses = type == Envoy.Extensions.Filters.Http.Composite.V3.Composite.Descriptor.FullName
            || type == Envoy.Extensions.Common.Matching.V3.ExtensionWithMatcher.Descriptor.FullName;
        (HttpFilterExtension Extension, object Settings)? read = chooses ? null : HttpFilters.Settings(scope, "typed_config", any);
        if (!chooses && read is not { Settings: IHasDnsCache or IHasSecrets }) return read;
        scope.Error("typed_config", "NARU-C113", $"{type} is run by the chain alone, not by another filter", "write it into http_filters");
        return null;
    }
}

/// <summary>A filter that may be run.</summary>
/// <param name="Extension">Its kind.</param>
/// <param name="Settings">What it says.</param>
/// <param name="PerMillion">For which share of the requests that lead to it.</param>
/// <param name="Key">The key of the runtime whose value is the share instead; empty for none.</param>
internal sealed record ExecutedFilter(HttpFilterExtension Extension, object Settings, int PerMillion, string Key);

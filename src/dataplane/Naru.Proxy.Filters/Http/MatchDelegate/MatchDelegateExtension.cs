// envoy.filters.http.match_delegate: a filter within an ExtensionWithMatcher, whose matcher says for which requests it is skipped; and the
// composite filter within one, whose matcher says which filter is run (Composite/).
using Envoy.Extensions.Common.Matching.V3;
using Envoy.Extensions.Filters.Common.Matcher.Action.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters.Http.Composite;

namespace Naru.Proxy.Filters.Http.MatchDelegate;

/// <summary>A filter for some requests (Envoy docs: matching API, filter integration).</summary>
public sealed class MatchDelegateExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.match_delegate";

    /// <inheritdoc/>
    public override MessageDescriptor Message => ExtensionWithMatcher.Descriptor;
    public override string Package => "envoy.extensions.common.matching.v3";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.common.matching.v3.ExtensionWithMatcher
          + extension_config xds_matcher
        envoy.extensions.filters.common.matcher.action.v3.SkipFilter

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var given = (ExtensionWithMatcher)message;
        if (given.ExtensionConfig is not { } extension)
        {
            scope.Error("extension_config", "NARU-C101", "\"extension_config\" is required", "name the filter that is matched");
            return new object();
        }
        if (given.XdsMatcher is not { } matcher)
        {
            scope.Error("xds_matcher", "NARU-C101", "\"xds_matcher\" is required", "say for which requests the filter is");
            return new object();
        }
        Scope at = scope.In("extension_config", extension), tree = scope.In("xds_matcher", matcher);
        if (extension.TypedConfig is { } any
            && EnvoyTypes.NameOf(any) == Envoy.Extensions.Filters.Http.Composite.V3.Composite.Descriptor.FullName)
            return (object?)MatcherReader.Read(tree, matcher, CompositeExtension.Action) ?? new object();
        (HttpFilterExtension Extension, object Settings)? inner = CompositeExtension.Inner(at, extension);
        MatcherConfig<SkipConfig>? read = MatcherReader.Read(tree, matcher, Skip);
        return inner is { } filter && read is not null ? new DelegateConfig(filter.Extension, filter.Settings, read) : new object();
    }

    // Of several kinds nobody could tell whose it is.
    internal override bool Hears(HttpFilterExtension kind, object? settings) => settings switch
    {
        DelegateConfig delegated => ReferenceEquals(kind, delegated.Extension),
        MatcherConfig<ExecutedFilter> composite => composite.Actions.All(a => ReferenceEquals(kind, a.Extension)),
        _ => true,
    };

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => settings switch
    {
        MatcherConfig<ExecutedFilter> composite => CompositeFilter.Of(composite, context),
        DelegateConfig delegated => new MatchDelegateFilter(delegated, ((IHttpFilterKind)delegated.Extension).Compile(delegated.Settings,
            context)),
        _ => throw new ArgumentException($"{settings.GetType().Name} is no such filter"),
    };

    private static SkipConfig? Skip(Scope scope, Any any)
    {
        if (EnvoyTypes.NameOf(any) == SkipFilter.Descriptor.FullName) return SkipConfig.Instance;
        scope.Error("typed_config", "NARU-C112", $"{EnvoyTypes.NameOf(any)} is no action here", $"give a {SkipFilter.Descriptor.FullName}");
        return null;
    }
}

/// <summary>The one action: the filter does nothing.</summary>
internal sealed class SkipConfig
{
    public static readonly SkipConfig Instance = new();
}

/// <summary>A filter, and what it is skipped for.</summary>
internal sealed record DelegateConfig(HttpFilterExtension Extension, object Settings, MatcherConfig<SkipConfig> Matcher);

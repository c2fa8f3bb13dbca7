// Comparisons with metadata and filter state. Words and defaults are Envoy's v3 API.
using System.Collections.Immutable;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.type.matcher.v3.MetadataMatcher</c>.</summary>
/// <param name="Path">Namespace and keys, UTF-8; one key at least.</param>
/// <param name="Value">What the value must be; one that is not there fits nothing.</param>
/// <param name="Invert">The other way round.</param>
public sealed record MetadataMatcherConfig(ImmutableArray<byte[]> Path, ValueMatcherConfig Value, bool Invert);

/// <summary><c>envoy.type.matcher.v3.ValueMatcher</c>.</summary>
public abstract record ValueMatcherConfig;

/// <summary><c>null_match</c>.</summary>
public sealed record NullMatcherConfig : ValueMatcherConfig;

/// <summary><c>double_match</c>: from <paramref name="Start"/> on, before <paramref name="End"/>; equal where they are the same.</summary>
public sealed record NumberMatcherConfig(double Start, double End) : ValueMatcherConfig;

/// <summary><c>string_match</c>.</summary>
public sealed record TextMatcherConfig(StringMatcherConfig Text) : ValueMatcherConfig;

/// <summary><c>bool_match</c>.</summary>
public sealed record BoolMatcherConfig(bool Value) : ValueMatcherConfig;

/// <summary><c>present_match</c>: any value; false fits nothing.</summary>
public sealed record PresentMatcherConfig(bool Value) : ValueMatcherConfig;

/// <summary><c>list_match</c>: one of its values.</summary>
public sealed record ListMatcherConfig(ValueMatcherConfig OneOf) : ValueMatcherConfig;

/// <summary><c>or_match</c>.</summary>
public sealed record AnyMatcherConfig(ImmutableArray<ValueMatcherConfig> Of) : ValueMatcherConfig;

/// <summary><c>envoy.type.matcher.v3.FilterStateMatcher</c>: a text of a key. Without one nothing fits.</summary>
public sealed record StateMatcherConfig(string Key, StringMatcherConfig Text);

/// <summary>A text that is kept with a request or a connection (<c>FilterStateValue</c>).</summary>
/// <param name="Key">Its key.</param>
/// <param name="Format">How it is made.</param>
/// <param name="ReadOnly">No other takes its place.</param>
/// <param name="SkipIfEmpty">An empty one is not kept.</param>
public sealed record StateValueConfig(string Key, FormatSource Format, bool ReadOnly, bool SkipIfEmpty);

/// <summary><c>envoy.extensions.filters.network.set_filter_state.v3.Config</c>.</summary>
public sealed record NetworkStateConfig(ImmutableArray<StateValueConfig> Values) : NetworkFilterConfig
{
    /// <summary>The key of the cluster of a connection, whatever <c>tcp_proxy</c> names.</summary>
    public const string TcpCluster = "envoy.tcp_proxy.cluster";
}

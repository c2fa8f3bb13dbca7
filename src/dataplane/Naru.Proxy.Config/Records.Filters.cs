// HTTP filters and what routes say about them, as the engine takes them.
using System.Collections.Immutable;
using Naru.Proxy.Config.Extensions;

namespace Naru.Proxy.Config;

/// <summary>One filter of a chain.</summary>
/// <param name="Name">What it is called here; routes speak of it by this name.</param>
/// <param name="Extension">Its kind; null where that is still to come.</param>
/// <param name="Settings">What its configuration says, as its kind reads it.</param>
/// <param name="Disabled">Off, unless a route switches it on.</param>
public sealed record HttpFilterConfig(string Name, HttpFilterExtension? Extension, object Settings, bool Disabled)
{
    /// <summary>Where its configuration comes from; then kind and settings are those of the default that holds until it comes. Null where
    /// it stands in the chain.</summary>
    public FilterDiscoveryConfig? Discovery { get; init; }

    /// <summary>Digest of the message that <see cref="Settings"/> were read from: where it stays the same, a filter goes on with what it
    /// remembers. Empty: settings are compared by identity.</summary>
    public string Digest { get; init; } = "";
}

/// <summary>Settings of a filter that has a cache of names, which it may share.</summary>
public interface IHasDnsCache
{
    /// <summary>How names are looked up and kept: the cache's settings, as a cluster of type dynamic_forward_proxy has them.</summary>
    ClusterConfig DnsCache { get; }
}

/// <summary>Settings of a filter, in its chain or at a route, that names secrets.</summary>
public interface IHasSecrets
{
    /// <summary>The secrets.</summary>
    IEnumerable<SecretReferenceConfig> Secrets { get; }

    /// <summary>Every secret that settings of filters name.</summary>
    static IEnumerable<SecretReferenceConfig> Of(IEnumerable<object?> settings) => settings.OfType<IHasSecrets>().SelectMany(s => s.Secrets);
}

/// <summary>A filter whose configuration is discovered (<c>HttpFilter.config_discovery</c>).</summary>
/// <param name="Source">Where from.</param>
/// <param name="Types">Full names of the messages that it may be.</param>
/// <param name="WithoutWarming">Its listener does not wait for it: the default holds at once.</param>
public sealed record FilterDiscoveryConfig(ConfigSourceConfig Source, ImmutableArray<string> Types, bool WithoutWarming);

/// <summary>What discovery brought for the filters of this name (ECDS: <c>envoy.config.core.v3.TypedExtensionConfig</c>).</summary>
/// <param name="Name">Of the filters.</param>
/// <param name="Type">Full name of its message.</param>
/// <param name="Extension">Its kind.</param>
/// <param name="Settings">What it says.</param>
public sealed record DiscoveredFilterConfig(string Name, string Type, HttpFilterExtension Extension, object Settings)
{
    /// <summary>As in <see cref="HttpFilterConfig"/>.</summary>
    public string Digest { get; init; } = "";
}

/// <summary>How a request makes one descriptor for rate limits (<c>envoy.config.route.v3.RateLimit</c>): all actions in turn, or none where one finds nothing.</summary>
/// <param name="Stage">For which filters it is: those of the same stage.</param>
/// <param name="Actions">One entry each.</param>
public sealed record RateLimitConfig(int Stage, ImmutableArray<RateLimitActionConfig> Actions)
{
    /// <summary>Key of the runtime that takes a share of requests off it; empty for none.</summary>
    public string DisableKey { get; init; } = "";

    /// <summary>Where dynamic metadata may name another limit: namespace and keys, UTF-8; empty for nowhere.</summary>
    public ImmutableArray<byte[]> LimitPath { get; init; } = [];

    /// <summary>How often a request counts; null where nothing is said, or <see cref="HitsFormat"/> says it.</summary>
    public uint? Hits { get; init; }

    /// <summary>The same with command operators; empty for none.</summary>
    public string HitsFormat { get; init; } = "";
}

/// <summary>What an action looks at.</summary>
public enum RateLimitSource
{
    /// <summary>The cluster that the route leads to.</summary>
    DestinationCluster,
    /// <summary>This node's cluster.</summary>
    SourceCluster,
    /// <summary>A request header.</summary>
    RequestHeader,
    /// <summary>The client's address.</summary>
    RemoteAddress,
    /// <summary>The client's network.</summary>
    MaskedRemoteAddress,
    /// <summary>Nothing: the value is given.</summary>
    GenericKey,
    /// <summary>Whether headers match.</summary>
    HeaderValueMatch,
    /// <summary>Whether query parameters match.</summary>
    QueryParameterValueMatch,
    /// <summary>A query parameter.</summary>
    QueryParameter,
    /// <summary>What filters said of the request.</summary>
    Metadata,
    /// <summary>What the route says of itself.</summary>
    RouteMetadata,
}

/// <summary>One action.</summary>
public sealed record RateLimitActionConfig
{
    /// <summary>What it looks at.</summary>
    public required RateLimitSource Source { get; init; }
    /// <summary>Key of the entry.</summary>
    public required string Key { get; init; }
    /// <summary>Value of the entry, where it is given.</summary>
    public string Value { get; init; } = "";
    /// <summary>Lower-case name of the header; name of the query parameter.</summary>
    public string Header { get; init; } = "";
    /// <summary>A missing header makes no entry, and the others stand; else it makes no descriptor.</summary>
    public bool SkipIfAbsent { get; init; }
    /// <summary>Whether the matchers must all match (true), or must not.</summary>
    public bool ExpectMatch { get; init; } = true;
    /// <summary>Compared for <see cref="RateLimitSource.HeaderValueMatch"/>.</summary>
    public ImmutableArray<HeaderMatcherConfig> Headers { get; init; } = [];
    /// <summary>Compared for <see cref="RateLimitSource.QueryParameterValueMatch"/>.</summary>
    public ImmutableArray<QueryParameterMatcherConfig> Parameters { get; init; } = [];
    /// <summary>Namespace and keys of metadata, UTF-8.</summary>
    public ImmutableArray<byte[]> MetadataPath { get; init; } = [];
    /// <summary>Bits of the network, IPv4.</summary>
    public int MaskV4 { get; init; } = 32;
    /// <summary>Bits of the network, IPv6.</summary>
    public int MaskV6 { get; init; } = 128;
}

/// <summary>What a route, a virtual host, a route configuration or a target of a split says about one filter (<c>typed_per_filter_config</c>).</summary>
/// <param name="Name">The filter's name in the chain.</param>
/// <param name="Disabled">Switches it off; any other entry switches it on.</param>
/// <param name="Extension">Whose configuration it is; null where the entry only switches.</param>
/// <param name="Settings">What it says, as its kind reads it.</param>
public sealed record RouteFilterConfig(string Name, bool Disabled, HttpFilterExtension? Extension = null, object? Settings = null)
{
    /// <summary>No entries.</summary>
    public static ImmutableArray<RouteFilterConfig> None { get; } = [];
}

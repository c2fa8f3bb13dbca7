// Where resources come from, and how a server of them is called.
namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.core.v3.ConfigSource</c>: where a resource comes from.</summary>
/// <param name="Kind">ADS (or self), a watched file, or a gRPC service of its own.</param>
/// <param name="Path">File path for <see cref="ConfigSourceKind.Path"/>.</param>
/// <param name="WatchedDirectory">Directory watched instead of the file, for atomic symlink swaps; may be empty.</param>
/// <param name="ClusterName">xDS cluster for <see cref="ConfigSourceKind.Grpc"/>.</param>
/// <param name="Delta">Whether the incremental variant is spoken.</param>
public sealed record ConfigSourceConfig(ConfigSourceKind Kind, string Path = "", string WatchedDirectory = "", string ClusterName = "", bool Delta = false)
{
    /// <summary>How long warming waits for the first answer (default 15 s); zero waits for ever.</summary>
    public TimeSpan InitialFetchTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How the stream of <see cref="ConfigSourceKind.Grpc"/> is called and kept; null where nothing is said of it.</summary>
    public StreamSettings? Stream { get; init; }
}

/// <summary>What <c>ApiConfigSource</c> and <c>GrpcService</c> say of a stream beside its cluster.</summary>
public sealed record StreamSettings
{
    /// <summary>All defaults.</summary>
    public static StreamSettings Default { get; } = new();

    /// <summary><c>envoy_grpc.authority</c>; empty is the address that is connected to.</summary>
    public string Authority { get; init; } = "";

    /// <summary><c>initial_metadata</c>, as text: names and values joined, so that equal ones are equal. See <see cref="Headers"/>.</summary>
    public string Metadata { get; init; } = "";

    /// <summary>The same, taken apart: lower-case names and their values.</summary>
    public IEnumerable<(string Name, string Value)> Headers =>
        Metadata.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(':', 2)).Select(p => (p[0], p[1]));

    /// <summary>Whether the node is told in the first request only (<c>set_node_on_first_message_only</c>), else in each.</summary>
    public bool NodeOnce { get; init; }

    /// <summary>Whether <c>x-envoy-</c> headers are left out (<c>skip_envoy_headers</c>).</summary>
    public bool SkipsEnvoyHeaders { get; init; }

    /// <summary>The first wait before a stream is opened again is at most this long, later ones grow.</summary>
    public TimeSpan RetryBase { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>No wait is longer.</summary>
    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Requests at once (<c>rate_limit_settings.max_tokens</c>); null does not count them.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Requests a second after that (<c>fill_rate</c>).</summary>
    public double FillRate { get; init; } = 10;
}

/// <summary>Kinds of <see cref="ConfigSourceConfig"/>.</summary>
public enum ConfigSourceKind
{
    /// <summary>The aggregated stream of the bootstrap.</summary>
    Ads,
    /// <summary>A watched file.</summary>
    Path,
    /// <summary>A gRPC stream of its own.</summary>
    Grpc,
}

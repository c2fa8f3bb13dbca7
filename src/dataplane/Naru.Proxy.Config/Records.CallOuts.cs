// Services that filters ask, as the engine takes them.
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary>A service that is asked over HTTP (<c>envoy.config.core.v3.HttpUri</c>).</summary>
/// <param name="Cluster">Who serves it.</param>
/// <param name="Authority">Host and perhaps port of its URI.</param>
/// <param name="Path">Path and query of its URI, with a slash at the front.</param>
/// <param name="Timeout">Time for all of a call.</param>
public sealed record HttpServiceConfig(string Cluster, string Authority, string Path, TimeSpan Timeout);

/// <summary>A service that is asked over gRPC (<c>envoy.config.core.v3.GrpcService</c>).</summary>
/// <param name="Cluster">Who serves it.</param>
public sealed record GrpcServiceConfig(string Cluster)
{
    /// <summary>What it is called; the cluster's name where nothing else is said.</summary>
    public string Authority { get; init; } = Cluster;

    /// <summary>Time for all of a call; null is no bound of its own.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Sent with each call; values may hold command operators.</summary>
    public ImmutableArray<HeaderValueConfig> Metadata { get; init; } = [];

    /// <summary>Longest message that is taken, bytes.</summary>
    public int MostMessage { get; init; } = DefaultMostMessage;

    /// <summary>No <c>x-envoy-*</c> headers and no address are sent.</summary>
    public bool SkipEnvoyHeaders { get; init; }

    /// <summary>Of <see cref="MostMessage"/> where nothing is said.</summary>
    public const int DefaultMostMessage = 1024 * 1024;
}

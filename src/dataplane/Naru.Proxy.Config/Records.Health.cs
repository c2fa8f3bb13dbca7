// Active health checks as records.
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.core.v3.HealthCheck</c>: what is asked, how often, and how many answers make a verdict. One of
/// <see cref="Http"/>, <see cref="Tcp"/> and <see cref="Grpc"/> is set.</summary>
public sealed record HealthCheckConfig
{
    /// <summary>Longest wait for an answer, connecting included.</summary>
    public required TimeSpan Timeout { get; init; }
    /// <summary>Between checks.</summary>
    public required TimeSpan Interval { get; init; }
    /// <summary>Failures in a row that make a healthy endpoint unhealthy.</summary>
    public required int UnhealthyThreshold { get; init; }
    /// <summary>Successes in a row that make an unhealthy endpoint healthy; the first check of all needs one.</summary>
    public required int HealthyThreshold { get; init; }
    /// <summary>The first check comes after at most this, at random.</summary>
    public TimeSpan InitialJitter { get; init; }
    /// <summary>Added to every wait, at random up to this.</summary>
    public TimeSpan IntervalJitter { get; init; }
    /// <summary>Added to every wait, at random up to this part of it, in percent.</summary>
    public int IntervalJitterPercent { get; init; }
    /// <summary>Port that is checked instead of the endpoint's; 0 is its own.</summary>
    public int AltPort { get; init; }
    /// <summary>Whether an HTTP/1.1 connection serves several checks.</summary>
    public bool ReuseConnection { get; init; } = true;
    /// <summary>Between checks while the cluster has had no traffic (default 60 s).</summary>
    public TimeSpan NoTrafficInterval { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>The same of healthy endpoints; null is <see cref="NoTrafficInterval"/>.</summary>
    public TimeSpan? NoTrafficHealthyInterval { get; init; }
    /// <summary>Between checks of an unhealthy endpoint; null is <see cref="Interval"/>.</summary>
    public TimeSpan? UnhealthyInterval { get; init; }
    /// <summary>Once after it became unhealthy; null is <see cref="UnhealthyInterval"/>.</summary>
    public TimeSpan? UnhealthyEdgeInterval { get; init; }
    /// <summary>Once after it became healthy; null is <see cref="Interval"/>.</summary>
    public TimeSpan? HealthyEdgeInterval { get; init; }
    /// <summary>Files that changes are written to, a line each (<c>event_logger</c>).</summary>
    public ImmutableArray<string> EventLogs { get; init; } = [];
    /// <summary>Every check that fails is written down.</summary>
    public bool LogsFailures { get; init; }
    /// <summary>Every check that succeeds is written down.</summary>
    public bool LogsSuccesses { get; init; }
    /// <summary>Asks with a request.</summary>
    public HttpCheckConfig? Http { get; init; }
    /// <summary>Connects, and may say and hear something.</summary>
    public TcpCheckConfig? Tcp { get; init; }
    /// <summary>Calls <c>grpc.health.v1.Health/Check</c>.</summary>
    public GrpcCheckConfig? Grpc { get; init; }
}

/// <summary><c>HttpHealthCheck</c>.</summary>
/// <param name="Path">Path and query.</param>
public sealed record HttpCheckConfig(string Path)
{
    /// <summary>Host that is named; empty is the cluster's name.</summary>
    public string Host { get; init; } = "";
    /// <summary>Method.</summary>
    public string Method { get; init; } = "GET";
    /// <summary>HTTP/2 with prior knowledge, or by ALPN; else HTTP/1.1.</summary>
    public bool Http2 { get; init; }
    /// <summary>Statuses of health, ends exclusive; empty is 200.</summary>
    public ImmutableArray<(long Start, long End)> Expected { get; init; } = [];
    /// <summary>Statuses of which <see cref="HealthCheckConfig.UnhealthyThreshold"/> in a row are a failure; others fail at once.</summary>
    public ImmutableArray<(long Start, long End)> Retriable { get; init; } = [];
    /// <summary>What the body must hold, in this order, with anything between; empty is anything. HTTP/1.1 only.</summary>
    public ImmutableArray<ImmutableArray<byte>> Receive { get; init; } = [];
    /// <summary>Bytes of the body that are looked at, at most (<c>response_buffer_size</c>, default 1024).</summary>
    public int MostBody { get; init; } = 1024;
    /// <summary>Fields of the request; a later one of a name stands beside an earlier one unless it overwrites.</summary>
    public ImmutableArray<HeaderValueConfig> Add { get; init; } = [];
    /// <summary>Fields that are left out.</summary>
    public ImmutableArray<string> Remove { get; init; } = [];
    /// <summary>What <c>x-envoy-upstream-healthchecked-cluster</c> must say; null is anything.</summary>
    public StringMatcherConfig? ServiceName { get; init; }
}

/// <summary><c>TcpHealthCheck</c>.</summary>
/// <param name="Send">What is sent; empty is nothing.</param>
/// <param name="Receive">What must come, in this order, with anything between; empty is nothing.</param>
public sealed record TcpCheckConfig(ImmutableArray<byte> Send, ImmutableArray<ImmutableArray<byte>> Receive);

/// <summary><c>GrpcHealthCheck</c>.</summary>
/// <param name="ServiceName">Service that is asked for; empty is the server as a whole.</param>
/// <param name="Authority">Host that is named; empty is the cluster's name.</param>
/// <param name="Metadata">Further metadata.</param>
public sealed record GrpcCheckConfig(string ServiceName, string Authority, ImmutableArray<HeaderValueConfig> Metadata);

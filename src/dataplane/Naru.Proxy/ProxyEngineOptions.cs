// What a proxy's engine is made from, and how it is looked at.
using System.Collections.Immutable;
using System.Net;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Listeners;
using Naru.Proxy.Overload;
using Naru.Telemetry;

namespace Naru.Proxy;

/// <summary>What an engine is made from.</summary>
public sealed record ProxyEngineOptions
{
    /// <summary>Worker threads.</summary>
    public int Concurrency { get; init; } = Environment.ProcessorCount;

    /// <summary>The cluster that this node is of (<c>node.cluster</c>); empty for none.</summary>
    public string NodeCluster { get; init; } = "";

    /// <summary>The name of this node (<c>node.id</c>); empty for none.</summary>
    public string NodeId { get; init; } = "";

    /// <summary>Who it is, as services are told (<c>envoy.config.core.v3.Node</c>).</summary>
    public byte[] Node { get; init; } = [];

    /// <summary>Values that change while it runs.</summary>
    public Runtime Runtime { get; init; } = new([]);

    /// <summary>Counters; made for the same number of workers.</summary>
    public required StatRegistry Stats { get; init; }

    /// <summary>Where access-log lines go; null drops them.</summary>
    public AccessLogWriter? AccessLog { get; init; }

    /// <summary>Told about what happens outside of a change of configuration, such as certificates that cannot be used. From any thread.</summary>
    public Action<Diagnostic> OnDiagnostic { get; init; } = static _ => { };

    /// <summary>How long connections of layer 4 live on when their listener or filter chain has gone (Envoy: --drain-time-s).</summary>
    public TimeSpan DrainTime { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>Whether clients on this machine are told why the proxy answers itself (default no).</summary>
    public bool Explain { get; init; }

    /// <summary>It only explains: no name is looked up, and nobody brings endpoints that are not in the configuration.</summary>
    public bool IsStill { get; init; }

    /// <summary>Listening sockets of a process whose place this one takes; null has none.</summary>
    public InheritedSockets? Inherited { get; init; }

    /// <summary>The overload manager; null has none.</summary>
    public OverloadConfig? Overload { get; init; }

    /// <summary>What its monitors read; null reads this process and machine.</summary>
    public OverloadSources? OverloadSources { get; init; }

    /// <summary>Gives memory back that is kept for later (<c>shrink_heap</c>).</summary>
    public Action ShrinkHeap { get; init; } = static () => { };

    /// <summary>How names of a dynamic forward proxy are looked up. Never called on a worker's thread.</summary>
    public NameLookup Lookup { get; init; } = static async (name, cluster) => new NameAnswer(
        await Dns.GetHostAddressesAsync(name, cluster.DnsLookupFamily switch
        {
            DnsLookupFamily.V4Only => System.Net.Sockets.AddressFamily.InterNetwork,
            DnsLookupFamily.V6Only => System.Net.Sockets.AddressFamily.InterNetworkV6,
            _ => System.Net.Sockets.AddressFamily.Unspecified,
        }).ConfigureAwait(false), null);

    /// <summary>The clock of what happens beside the workers.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Where ejections are written to, through <see cref="AccessLog"/>; empty is nowhere.</summary>
    public string OutlierLogPath { get; init; } = "";

    /// <summary>Where this proxy is: <c>region/zone/subzone</c> as far as known.</summary>
    public string Locality { get; init; } = "";

    /// <summary>The cluster that it is of; empty for none.</summary>
    public string LocalCluster { get; init; } = "";

    /// <summary>Told when an endpoint became healthy (true), failed its checks or was ejected, in a sentence.</summary>
    public Action<bool, string> OnHealth { get; init; } = static (_, _) => { };

    /// <summary>Told why connections ended, where it listens.</summary>
    public ConnectionLog ConnectionLog { get; init; } = ConnectionLog.None;

    /// <summary>Told what filters' scripts say.</summary>
    public Action<Core.LogLevel, string> FilterLog { get; init; } = static (_, _) => { };

    /// <summary>Told about bugs: exceptions that reached a worker's loop.</summary>
    public Action<string, Exception> OnFault { get; init; } = static (_, _) => { };
}

/// <summary>A listener as it runs.</summary>
public sealed record ListenerStatus(string Name, ImmutableArray<EndPoint> LocalAddresses, ListenerConfig Config, bool Draining);

/// <summary>A cluster as it runs.</summary>
public sealed record ClusterStatus(string Name, ClusterConfig Config, ImmutableArray<EndpointStatus> Endpoints);

/// <summary>What was done with an endpoint.</summary>
/// <param name="Connections">Made, or tried to.</param>
/// <param name="FailedConnections">Of those that failed.</param>
/// <param name="Requests">Sent.</param>
/// <param name="Good">Answers below 500.</param>
/// <param name="Bad">Answers of 500 and above.</param>
/// <param name="TimedOut">Without an answer in time.</param>
public sealed record EndpointCounts(long Connections, long FailedConnections, long Requests, long Good, long Bad, long TimedOut);

/// <summary>An endpoint as it runs: numbers are sums over workers and slightly stale.</summary>
public sealed record EndpointStatus(EndpointConfig Config, int ActiveRequests, int Connections, int IdleConnections)
{
    /// <summary>What is held against it.</summary>
    public HostFlags Flags { get; init; }

    /// <summary>Requests that wait for a connection.</summary>
    public int Pending { get; init; }

    /// <summary>What was done with it since it is there.</summary>
    public EndpointCounts Counts { get; init; } = new(0, 0, 0, 0, 0, 0);

    /// <summary>Good answers of the last interval, in percent; -1 where they were too few or nobody counts (Envoy: success_rate).</summary>
    public double SuccessRate { get; init; } = -1;

    /// <summary>The same of connections.</summary>
    public double LocalOriginSuccessRate { get; init; } = -1;
}

// What the admin interface shows and may change: the one door between its pages and the running proxy.
// Stands between Admin/ and Composition.cs, which implements it; tests give a fake.
using Google.Protobuf;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

/// <summary>Envoy's <c>ServerInfo.State</c>.</summary>
internal enum ServerState
{
    /// <summary>Serves.</summary>
    Live,

    /// <summary>Health check failed or draining.</summary>
    Draining,

    /// <summary>Has not read its configuration yet.</summary>
    PreInitializing,

    /// <summary>Waits for its first resources.</summary>
    Initializing,
}

/// <summary>An address as pages print it; the path of a Unix socket has no port.</summary>
internal readonly record struct AddressView(string Host, int Port)
{
    public override string ToString() => Host is ['/', ..] or ['@', ..] ? Host : Host.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}

/// <summary>A listener and the addresses it is bound to.</summary>
internal sealed record ListenerView(string Name, IReadOnlyList<AddressView> Addresses);

/// <summary>An endpoint of a cluster.</summary>
internal sealed record HostView(AddressView Address, string Hostname)
{
    /// <summary>Envoy's <c>HealthStatus</c> by EDS: HEALTHY, UNHEALTHY, DRAINING, DEGRADED.</summary>
    public string EdsHealth { get; init; } = "HEALTHY";
    /// <summary>What is held against it, EDS included.</summary>
    public HostFlags Flags { get; init; }
    public double SuccessRate { get; init; } = -1;
    public double LocalOriginSuccessRate { get; init; } = -1;
    public bool Canary { get; init; }
    public uint Weight { get; init; } = 1;
    public int Priority { get; init; }
    public string Region { get; init; } = "";
    public string Zone { get; init; } = "";
    public string SubZone { get; init; } = "";
    public IReadOnlyList<(string Name, long Value, bool IsGauge)> Stats { get; init; } = [];
}

/// <summary>A cluster as <c>/clusters</c> shows it.</summary>
internal sealed record ClusterView(string Name)
{
    public string ObservabilityName { get; init; } = "";
    public bool AddedViaApi { get; init; }
    public string EdsServiceName { get; init; } = "";
    public ThresholdsConfig Thresholds { get; init; } = ThresholdsConfig.Standard;
    public ThresholdsConfig HighThresholds { get; init; } = ThresholdsConfig.Standard;
    public IReadOnlyList<HostView> Hosts { get; init; } = [];
}

/// <summary>The four kinds of resources.</summary>
internal enum DumpKind { Cluster, Endpoint, Listener, Route, Secret, Filter }

/// <summary>Where a dumped resource stands.</summary>
internal enum DumpState { Active, Warming, Draining, Failed }

/// <summary>One resource of <c>/config_dump</c>.</summary>
internal sealed record DumpedResource(DumpKind Kind, string Name, bool IsStatic, DumpState State, string Version, DateTimeOffset LastUpdated, IMessage? Resource)
{
    /// <summary>Why the last update was refused, if it was.</summary>
    public (string Details, string Version, DateTimeOffset At)? Failure { get; init; }
}

/// <summary>All of <c>/config_dump</c>.</summary>
internal sealed record ConfigDumpView(IMessage? Bootstrap, DateTimeOffset Started, string CdsVersion, string LdsVersion, IReadOnlyList<DumpedResource> Resources);

/// <summary>What does not change while the process runs.</summary>
internal sealed record ServerDescription
{
    public required string Version { get; init; }
    public string NodeId { get; init; } = "";
    public string NodeCluster { get; init; } = "";

    /// <summary>The bootstrap's <c>node</c>, with its secrets; null where it has none.</summary>
    public Envoy.Config.Core.V3.Node? Node { get; init; }
    public int RestartEpoch { get; init; }
    public IReadOnlyList<(string Name, string Value)> CommandLine { get; init; } = [];
    public int Concurrency { get; init; }
}

/// <summary>The running proxy.</summary>
internal interface IAdminTarget
{
    StatRegistry Stats { get; }
    Runtime Runtime { get; }
    ProxyLog Log { get; }
    ServerDescription Server { get; }
    ServerState State { get; }
    TimeSpan Uptime { get; }

    /// <summary>Brings gauges up to date that nobody keeps current (<c>server.*</c>).</summary>
    void RefreshStats();

    IReadOnlyList<CertificateStatus> Certificates { get; }
    Task<IReadOnlyList<ListenerView>> ListenersAsync();
    Task<IReadOnlyList<ClusterView>> ClustersAsync();
    Task<ConfigDumpView> ConfigDumpAsync();

    /// <summary>Explains a request that nobody sends; null with a fault where no listener is meant.</summary>
    Task<(byte[]? Text, string Fault)> ExplainAsync(ExplainRequest request, bool asJson);

    /// <summary>What each worker has handed out and not got back: number of the worker, name, how many.</summary>
    Task<IReadOnlyList<(int Worker, string Name, long Count)>> LedgersAsync();

    /// <summary>Stops accepting; with <paramref name="graceful"/> connections get time to end, and unless <paramref name="skipExit"/> listeners close after it.</summary>
    void DrainListeners(bool inboundOnly, bool graceful, bool skipExit);

    bool HealthCheckFailed { get; set; }
    void ReopenLogs();
    void ResetCounters();

    /// <summary>Begins to end the process; returns at once.</summary>
    void Quit();
}

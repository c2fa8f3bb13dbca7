// All that a proxy is given at its start, what changes later, and who takes it.
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.bootstrap.v3.Bootstrap</c>.</summary>
public sealed record BootstrapConfig
{
    /// <summary>Who is told of statistics.</summary>
    public ImmutableArray<StatsSinkConfig> Sinks { get; init; } = [];
    /// <summary>How often.</summary>
    public TimeSpan StatsFlush { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Not by time, but when somebody looks at the admin endpoint.</summary>
    public bool StatsFlushOnAdmin { get; init; }
    /// <summary>Who this proxy is; the protobuf <c>envoy.config.core.v3.Node</c>, serialized, so that the wire keeps what we do not read.</summary>
    public byte[] Node { get; init; } = [];
    /// <summary><c>node.id</c>.</summary>
    public string NodeId { get; init; } = "";
    /// <summary><c>node.cluster</c>.</summary>
    public string NodeCluster { get; init; } = "";
    /// <summary>Admin address; null has none.</summary>
    public AddressConfig? Admin { get; init; }
    /// <summary>Paths that the admin endpoint answers (<c>admin.allow_paths</c>); empty is all.</summary>
    public ImmutableArray<StringMatcherConfig> AdminPaths { get; init; } = [];
    /// <summary>How lines of the proxy's own log look (<c>application_log_config</c>); null is as ever.</summary>
    public LogPattern? ApplicationLog { get; init; }
    /// <summary><c>layered_runtime</c>, the first layer below.</summary>
    public ImmutableArray<RuntimeLayerConfig> Runtime { get; init; } = [];
    /// <summary><c>overload_manager</c>; null has none.</summary>
    public OverloadConfig? Overload { get; init; }
    /// <summary>What of the statistics is shown (<c>stats_config</c>); null is all, by default.</summary>
    public StatsSettingsConfig? Stats { get; init; }
    /// <summary>Where ejections are written to (<c>cluster_manager.outlier_detection.event_log_path</c>); empty is nowhere.</summary>
    public string OutlierLogPath { get; init; } = "";
    /// <summary><c>node.locality</c>: <c>region/zone/subzone</c> as far as known.</summary>
    public string Locality { get; init; } = "";
    /// <summary>The cluster that this proxy is of, for zone-aware balancing (<c>cluster_manager.local_cluster_name</c>); empty is
    /// none.</summary>
    public string LocalCluster { get; init; } = "";
    /// <summary>Whom load is reported to (<c>cluster_manager.load_stats_config</c>): kind Grpc; null is nobody.</summary>
    public ConfigSourceConfig? LoadReports { get; init; }
    /// <summary><c>static_resources.listeners</c>.</summary>
    public ImmutableArray<ListenerConfig> Listeners { get; init; } = [];
    /// <summary><c>static_resources.clusters</c>.</summary>
    public ImmutableArray<ClusterConfig> Clusters { get; init; } = [];
    /// <summary><c>static_resources.secrets</c>.</summary>
    public ImmutableArray<SecretConfig> Secrets { get; init; } = [];
    /// <summary><c>dynamic_resources.lds_config</c>.</summary>
    public ConfigSourceConfig? Lds { get; init; }
    /// <summary><c>dynamic_resources.cds_config</c>.</summary>
    public ConfigSourceConfig? Cds { get; init; }
    /// <summary><c>dynamic_resources.ads_config</c>: kind Grpc.</summary>
    public ConfigSourceConfig? Ads { get; init; }
}

/// <summary>A change to the running configuration: applied whole between two requests, or not at all.</summary>
public sealed record ConfigChange
{
    /// <summary>New or changed clusters.</summary>
    public ImmutableArray<ClusterConfig> Clusters { get; init; } = [];
    /// <summary>Clusters to forget.</summary>
    public ImmutableArray<string> RemovedClusters { get; init; } = [];
    /// <summary>Endpoints of EDS clusters, by <see cref="ClusterConfig.EdsServiceName"/>.</summary>
    public ImmutableArray<EndpointsConfig> Endpoints { get; init; } = [];
    /// <summary>New or changed route configurations.</summary>
    public ImmutableArray<RouteConfigurationConfig> RouteConfigurations { get; init; } = [];
    /// <summary>Route configurations to forget.</summary>
    public ImmutableArray<string> RemovedRouteConfigurations { get; init; } = [];
    /// <summary>New or changed listeners.</summary>
    public ImmutableArray<ListenerConfig> Listeners { get; init; } = [];
    /// <summary>Listeners to drain and close.</summary>
    public ImmutableArray<string> RemovedListeners { get; init; } = [];
    /// <summary>Configurations of HTTP filters that ECDS brought: new or changed.</summary>
    public ImmutableArray<DiscoveredFilterConfig> Filters { get; init; } = [];
    /// <summary>Those that nobody refers to any more.</summary>
    public ImmutableArray<string> RemovedFilters { get; init; } = [];
    /// <summary>Certificates, validation contexts and ticket keys that SDS brought: new or rotated.</summary>
    public ImmutableArray<SecretConfig> Secrets { get; init; } = [];
    /// <summary>Those that nobody refers to any more.</summary>
    public ImmutableArray<string> RemovedSecrets { get; init; } = [];
    /// <summary>All scopes that SRDS brought, where any of them changed; null where none did.</summary>
    public ImmutableArray<RouteScopeConfig>? Scopes { get; init; }
    /// <summary>Virtual hosts that requests wait for, of which more is known now, be it that there is none: table and host.</summary>
    public ImmutableArray<(string Table, string Host)> AnsweredHosts { get; init; } = [];
}

/// <summary>Kinds of object that a change brings and a data plane may refuse.</summary>
public enum ConfigKind
{
    /// <summary>Of <see cref="ConfigChange.Secrets"/>.</summary>
    Secret,
    /// <summary>Of <see cref="ConfigChange.Filters"/>.</summary>
    Filter,
    /// <summary>Of <see cref="ConfigChange.Clusters"/>.</summary>
    Cluster,
    /// <summary>Of <see cref="ConfigChange.RouteConfigurations"/>.</summary>
    RouteConfiguration,
    /// <summary>Of <see cref="ConfigChange.Listeners"/>.</summary>
    Listener,
}

/// <summary>One object of a change that cannot be used, and a complaint about it; there may be several about the same one.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Name">Its name, with nothing before or behind.</param>
/// <param name="Why">The complaint.</param>
public sealed record Refusal(ConfigKind Kind, string Name, Core.Diagnostic Why) : Core.Diagnostic(Why);

/// <summary>A running proxy, as sources of configuration see it. Calls come one at a time, from the main thread.</summary>
public interface IDataPlane
{
    /// <summary>Applies a change. Objects that cannot be used (an address that cannot be bound) are reported by kind and name and leave
    /// their predecessors serving; everything else takes effect before this returns.</summary>
    IReadOnlyList<Refusal> Apply(ConfigChange change);
}

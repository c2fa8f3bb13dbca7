// The overload manager's configuration, as the engine takes it. Words and defaults are Envoy's v3 API (config.overload.v3).
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.overload.v3.OverloadManager</c>.</summary>
public sealed record OverloadConfig
{
    /// <summary>How often pressure is measured (default 1 s).</summary>
    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>What is measured; names are unique.</summary>
    public ImmutableArray<ResourceMonitorConfig> Monitors { get; init; } = [];
    /// <summary>What is done.</summary>
    public ImmutableArray<OverloadActionConfig> Actions { get; init; } = [];
}

/// <summary>Kinds of resource monitor.</summary>
public enum ResourceMonitorKind
{
    /// <summary><c>envoy.resource_monitors.fixed_heap</c>: resident memory of this process as a share of a limit in bytes.</summary>
    FixedHeap,
    /// <summary><c>envoy.resource_monitors.cgroup_memory</c>: the control group's memory as a share of its limit.</summary>
    CgroupMemory,
    /// <summary><c>envoy.resource_monitors.cpu_utilization</c>: this machine's CPUs, or those that the control group may use.</summary>
    CpuUtilization,
    /// <summary><c>envoy.resource_monitors.global_downstream_max_connections</c>: connections of clients; one more than the limit is refused.</summary>
    DownstreamConnections,
    /// <summary><c>envoy.resource_monitors.injected_resource</c>: a number in a file.</summary>
    Injected,
}

/// <summary>One monitor. Its pressure is 0 to 1.</summary>
/// <param name="Name">As triggers name it.</param>
/// <param name="Kind">What is measured.</param>
/// <param name="Limit">Bytes or connections at pressure 1; 0 takes the control group's own limit.</param>
public sealed record ResourceMonitorConfig(string Name, ResourceMonitorKind Kind, long Limit)
{
    /// <summary>Of <see cref="ResourceMonitorKind.Injected"/>: the file.</summary>
    public string Path { get; init; } = "";

    /// <summary>Of <see cref="ResourceMonitorKind.CpuUtilization"/>: what the control group uses of what it may (<c>mode: CONTAINER</c>).</summary>
    public bool OfGroup { get; init; }
}

/// <summary>What an overloaded proxy does.</summary>
public enum OverloadActionKind
{
    /// <summary><c>stop_accepting_requests</c>: 503 to new ones.</summary>
    StopAcceptingRequests,
    /// <summary><c>disable_http_keepalive</c>: connections end with the answer.</summary>
    DisableHttpKeepalive,
    /// <summary><c>stop_accepting_connections</c>: those who come wait in the kernel.</summary>
    StopAcceptingConnections,
    /// <summary><c>reject_incoming_connections</c>: those who come are closed.</summary>
    RejectIncomingConnections,
    /// <summary><c>shrink_heap</c>: memory that is kept for later goes back.</summary>
    ShrinkHeap,
    /// <summary><c>reset_high_memory_stream</c>: the streams with the most bytes waiting are reset.</summary>
    ResetHighMemoryStream,
    /// <summary><c>reduce_timeouts</c>: those of clients who do nothing grow shorter.</summary>
    ReduceTimeouts,
}

/// <summary>Timers that can grow shorter (<c>ScaleTimersOverloadActionConfig.TimerType</c>).</summary>
public enum ScaledTimer
{
    /// <summary>A connection without a stream (<c>common_http_protocol_options.idle_timeout</c>).</summary>
    ConnectionIdle,
    /// <summary>A stream on which nothing moves (<c>stream_idle_timeout</c>, a route's <c>idle_timeout</c>).</summary>
    StreamIdle,
    /// <summary>TLS with a client (<c>transport_socket_connect_timeout</c>).</summary>
    TransportConnect,
}

/// <summary>What is left of a timer at full pressure; in between it is in between.</summary>
/// <param name="Timer">Which.</param>
/// <param name="Least">A time; null for a share.</param>
/// <param name="LeastPercent">A share of what is configured, 0 to 100.</param>
public sealed record ScaleTimerConfig(ScaledTimer Timer, TimeSpan? Least, double LeastPercent);

/// <summary>One action; its state is the highest of its triggers'.</summary>
/// <param name="Kind">What is done.</param>
/// <param name="Triggers">When.</param>
public sealed record OverloadActionConfig(OverloadActionKind Kind, ImmutableArray<OverloadTriggerConfig> Triggers)
{
    /// <summary>With <see cref="OverloadActionKind.ReduceTimeouts"/>: which, each once.</summary>
    public ImmutableArray<ScaleTimerConfig> Timers { get; init; } = [];

    /// <summary>With <see cref="OverloadActionKind.ShrinkHeap"/>: how often and from when on; null is each time that pressure is measured.</summary>
    public ShrinkHeapSettings? Shrinking { get; init; }
}

/// <summary><c>envoy.config.overload.v3.ShrinkHeapConfig</c>.</summary>
/// <param name="Interval">Memory goes back so often at most.</param>
/// <param name="MostUnfreed">Bytes that may be kept for later.</param>
public sealed record ShrinkHeapSettings(TimeSpan Interval, long MostUnfreed);

/// <summary>One trigger: saturated from <paramref name="Saturation"/> on, scaled between the two values.</summary>
/// <param name="Monitor">Name of the monitor.</param>
/// <param name="Scaling">Pressure at which the action begins; equal to <paramref name="Saturation"/> for a plain threshold.</param>
/// <param name="Saturation">Pressure at which it is in full force.</param>
public sealed record OverloadTriggerConfig(string Monitor, double Scaling, double Saturation);

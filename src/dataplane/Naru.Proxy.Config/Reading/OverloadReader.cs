// envoy.config.overload.v3.OverloadManager as a record. Refuses monitors and actions that are not known, and triggers of nothing.
using System.Collections.Immutable;
using Envoy.Config.Overload.V3;
using Envoy.Extensions.ResourceMonitors.CpuUtilization.V3;
using Envoy.Extensions.ResourceMonitors.DownstreamConnections.V3;
using Envoy.Extensions.ResourceMonitors.FixedHeap.V3;
using Envoy.Extensions.ResourceMonitors.InjectedResource.V3;
using Google.Protobuf;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads the overload manager.</summary>
internal static class OverloadReader
{
    private const string Monitors =
        "known here: envoy.resource_monitors.fixed_heap, .cpu_utilization, .global_downstream_max_connections and .injected_resource";

    private const string ScaleTimers = "envoy.config.overload.v3.ScaleTimersOverloadActionConfig";
    private const string ShrinkHeap = "envoy.config.overload.v3.ShrinkHeapConfig";

    private static readonly Dictionary<string, OverloadActionKind> s_actions = new(StringComparer.Ordinal)
    {
        ["envoy.overload_actions.stop_accepting_requests"] = OverloadActionKind.StopAcceptingRequests,
        ["envoy.overload_actions.disable_http_keepalive"] = OverloadActionKind.DisableHttpKeepalive,
        ["envoy.overload_actions.stop_accepting_connections"] = OverloadActionKind.StopAcceptingConnections,
        ["envoy.overload_actions.reject_incoming_connections"] = OverloadActionKind.RejectIncomingConnections,
        ["envoy.overload_actions.shrink_heap"] = OverloadActionKind.ShrinkHeap,
        ["envoy.overload_actions.reset_high_memory_stream"] = OverloadActionKind.ResetHighMemoryStream,
        ["envoy.overload_actions.reduce_timeouts"] = OverloadActionKind.ReduceTimeouts,
    };

    /// <summary>The record; meaningless where the reading has errors. The fields were walked already.</summary>
    public static OverloadConfig Read(Scope scope, OverloadManager manager)
    {
        var monitors = ImmutableArray.CreateBuilder<ResourceMonitorConfig>(manager.ResourceMonitors.Count);
        if (manager.ResourceMonitors.Count == 0) scope.Error("resource_monitors", "NARU-C101", "\"resource_monitors\" is required", Monitors);
        for (int i = 0; i < manager.ResourceMonitors.Count; i++)
        {
            Scope at = scope.In("resource_monitors", i, manager.ResourceMonitors[i]);
            if (Monitor(at, manager.ResourceMonitors[i]) is not { } monitor) continue;
            if (monitors.Any(m => m.Name == monitor.Name)) at.Error("name", "NARU-C103", $"there are two monitors \"{monitor.Name}\"", "keep one of them");
            else monitors.Add(monitor);
        }
        var actions = ImmutableArray.CreateBuilder<OverloadActionConfig>(manager.Actions.Count);
        List<string> names = [.. manager.ResourceMonitors.Select(m => m.Name)];
        for (int i = 0; i < manager.Actions.Count; i++)
        {
            OverloadAction action = manager.Actions[i];
            Scope at = scope.In("actions", i, action);
            if (!s_actions.TryGetValue(action.Name, out OverloadActionKind kind))
            {
                string help = Nearest.Suggestion(action.Name, s_actions.Keys) ?? $"known here: {string.Join(", ", s_actions.Keys)}";
                at.Error("name", action.Name.Length == 0 ? "NARU-C101" : "NARU-C112", action.Name.Length == 0 ? "\"name\" is required" : $"Naru does not support the overload action {action.Name}", help);
                continue;
            }
            if (actions.Any(a => a.Kind == kind)) at.Error("name", "NARU-C103", $"there are two actions \"{action.Name}\"", "give one of them all triggers");
            actions.Add(new OverloadActionConfig(kind, Triggers(at, action, names))
            {
                Timers = Timers(at, action, kind),
                Shrinking = kind == OverloadActionKind.ShrinkHeap ? Shrinking(at, action) : null,
            });
        }
        TimeSpan interval = Values.Time(scope, "refresh_interval", manager.RefreshInterval, mustBePositive: true) ?? TimeSpan.FromSeconds(1);
        return new OverloadConfig { RefreshInterval = interval, Monitors = monitors.ToImmutable(), Actions = actions.ToImmutable() };
    }

    private static ResourceMonitorConfig? Monitor(Scope scope, ResourceMonitor monitor)
    {
        if (!Values.Required(scope, "name", monitor.Name)) return null;
        string type = monitor.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
        switch (type)
        {
            case "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig":
                if (Unpack<FixedHeapConfig>(scope, monitor) is not var (heapAt, heap)) return null;
                if (heap.MaxHeapSizeBytes is 0 or > long.MaxValue) heapAt.Error("max_heap_size_bytes", "NARU-C102", $"\"max_heap_size_bytes\" cannot be {heap.MaxHeapSizeBytes}");
                return new ResourceMonitorConfig(monitor.Name, ResourceMonitorKind.FixedHeap, (long)Math.Min(heap.MaxHeapSizeBytes, long.MaxValue));
            case "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig":
                if (Unpack<DownstreamConnectionsConfig>(scope, monitor) is not var (at, connections)) return null;
                if (connections.MaxActiveDownstreamConnections <= 0) at.Error("max_active_downstream_connections", "NARU-C102", "\"max_active_downstream_connections\" must be more than zero");
                return new ResourceMonitorConfig(monitor.Name, ResourceMonitorKind.DownstreamConnections, connections.MaxActiveDownstreamConnections);
            case "envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig":
                if (Unpack<InjectedResourceConfig>(scope, monitor) is not var (fileAt, injected)) return null;
                Values.Required(fileAt, "filename", injected.Filename);
                return new ResourceMonitorConfig(monitor.Name, ResourceMonitorKind.Injected, 1) { Path = injected.Filename };
            case "envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig":
                if (Unpack<CpuUtilizationConfig>(scope, monitor) is not var (cpuAt, cpu)) return null;
                if (!Enum.IsDefined(cpu.Mode))
                    cpuAt.Error("mode", "NARU-C102", $"\"mode\" cannot be {(int)cpu.Mode}", "use HOST or CONTAINER");
                return new ResourceMonitorConfig(monitor.Name, ResourceMonitorKind.CpuUtilization, 1)
                {
                    OfGroup = cpu.Mode == CpuUtilizationConfig.Types.UtilizationComputeStrategy.Container,
                };
            case "" when monitor.Name is "envoy.resource_monitors.injected_resource" or "envoy.resource_monitors.cpu_utilization"
                or "envoy.resource_monitors.fixed_heap" or "envoy.resource_monitors.global_downstream_max_connections":
                scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                return null;
        }
        scope.Error(type.Length > 0 ? "typed_config" : "name", "NARU-C112", $"Naru does not support the resource monitor {(type.Length > 0 ? type : monitor.Name)}", Monitors);
        return null;
    }

    private static (Scope Scope, T Message)? Unpack<T>(Scope scope, ResourceMonitor monitor) where T : class, IMessage, new()
    {
        if (scope.Pass.Unpack<T>(monitor.TypedConfig, scope) is not { } message) return null;
        Scope inside = scope.In("typed_config", message);
        FieldWalk.Check(inside);
        return (inside, message);
    }

    private static ImmutableArray<OverloadTriggerConfig> Triggers(Scope scope, OverloadAction action, List<string> monitors)
    {
        if (action.Triggers.Count == 0) scope.Error("triggers", "NARU-C101", "\"triggers\" is required");
        var triggers = ImmutableArray.CreateBuilder<OverloadTriggerConfig>(action.Triggers.Count);
        for (int i = 0; i < action.Triggers.Count; i++)
        {
            Trigger trigger = action.Triggers[i];
            Scope at = scope.In("triggers", i, trigger);
            if (!Values.Required(at, "name", trigger.Name)) continue;
            if (!monitors.Contains(trigger.Name)) at.Error("name", "NARU-C104", $"there is no resource monitor \"{trigger.Name}\"", Nearest.Suggestion(trigger.Name, monitors) ?? "add it to resource_monitors");
            if (triggers.Any(t => t.Monitor == trigger.Name)) at.Error("name", "NARU-C103", $"there are two triggers for \"{trigger.Name}\"", "keep one of them");
            switch (trigger.TriggerOneofCase)
            {
                case Trigger.TriggerOneofOneofCase.Threshold:
                    if (Share(at.In("threshold", trigger.Threshold), "value", trigger.Threshold.Value)) triggers.Add(new(trigger.Name, trigger.Threshold.Value, trigger.Threshold.Value));
                    break;
                case Trigger.TriggerOneofOneofCase.Scaled:
                    Scope scaled = at.In("scaled", trigger.Scaled);
                    bool valid = Share(scaled, "scaling_threshold", trigger.Scaled.ScalingThreshold) & Share(scaled, "saturation_threshold", trigger.Scaled.SaturationThreshold);
                    if (valid && trigger.Scaled.ScalingThreshold >= trigger.Scaled.SaturationThreshold) scaled.Error("scaling_threshold", "NARU-C102", "\"scaling_threshold\" must be less than \"saturation_threshold\"");
                    if (valid) triggers.Add(new(trigger.Name, trigger.Scaled.ScalingThreshold, trigger.Scaled.SaturationThreshold));
                    break;
                default:
                    at.Error("", "NARU-C101", "a trigger says when", "add threshold: {value: 0.95}, or scaled");
                    break;
            }
        }
        return triggers.ToImmutable();
    }

    // Envoy docs: configuration, overload manager, shrink heap.
    private static ShrinkHeapSettings? Shrinking(Scope scope, OverloadAction action)
    {
        if (action.TypedConfig is not { } any) return null;
        if (EnvoyTypes.NameOf(any) != ShrinkHeap)
        {
            scope.Error("typed_config", "NARU-C112", $"{action.Name} cannot be configured with {EnvoyTypes.NameOf(any)}",
                $"use {ShrinkHeap}, or remove it");
            return null;
        }
        if (scope.Pass.Unpack<ShrinkHeapConfig>(any, scope) is not { } config) return null;
        Scope inside = scope.In("typed_config", config);
        FieldWalk.Check(inside);
        TimeSpan interval = Values.Time(inside, "timer_interval", config.TimerInterval) ?? TimeSpan.FromSeconds(10);
        if (interval < TimeSpan.FromSeconds(1)) inside.Error("timer_interval", "NARU-C102", "\"timer_interval\" must be at least 1 s");
        return new ShrinkHeapSettings(interval, (long)Math.Min(config.MaxUnfreedMemoryBytes ?? 100 * 1024 * 1024, long.MaxValue));
    }

    // Envoy docs: configuration, overload manager, reducing timeouts.
    private static ImmutableArray<ScaleTimerConfig> Timers(Scope scope, OverloadAction action, OverloadActionKind kind)
    {
        if (kind != OverloadActionKind.ReduceTimeouts)
        {
            if (action.TypedConfig is not null && kind != OverloadActionKind.ShrinkHeap)
                scope.Error("typed_config", "NARU-C113", $"{action.Name} has no configuration", "remove it");
            return [];
        }
        string type = action.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
        if (type != ScaleTimers)
        {
            scope.Error("typed_config", type.Length == 0 ? "NARU-C101" : "NARU-C112", type.Length == 0 ? "\"typed_config\" is required" : $"{action.Name} cannot be configured with {type}", $"say which timers, with {ScaleTimers}");
            return [];
        }
        if (scope.Pass.Unpack<ScaleTimersOverloadActionConfig>(action.TypedConfig!, scope) is not { } config) return [];
        Scope inside = scope.In("typed_config", config);
        FieldWalk.Check(inside);
        if (config.TimerScaleFactors.Count == 0) inside.Error("timer_scale_factors", "NARU-C101", "\"timer_scale_factors\" is required");
        var timers = ImmutableArray.CreateBuilder<ScaleTimerConfig>(config.TimerScaleFactors.Count);
        for (int i = 0; i < config.TimerScaleFactors.Count; i++)
        {
            ScaleTimersOverloadActionConfig.Types.ScaleTimer factor = config.TimerScaleFactors[i];
            Scope at = inside.In("timer_scale_factors", i, factor);
            var timer = (ScaledTimer)((int)factor.Timer - 1);
            if (!Enum.IsDefined(timer)) at.Error("timer", "NARU-C102", $"\"timer\" cannot be {(int)factor.Timer}", "use HTTP_DOWNSTREAM_CONNECTION_IDLE, HTTP_DOWNSTREAM_STREAM_IDLE or TRANSPORT_SOCKET_CONNECT");
            else if (timers.Any(t => t.Timer == timer)) at.Error("timer", "NARU-C103", "this timer is scaled twice", "keep one of them");
            if (factor.MinTimeout is null && factor.MinScale is null) at.Error("", "NARU-C101", "a timer needs min_timeout or min_scale");
            double percent = factor.MinScale?.Value ?? 0;
            if (percent is not (>= 0 and <= 100)) at.In("min_scale", factor.MinScale!).Error("value", "NARU-C102", $"\"value\" cannot be {percent.ToString(System.Globalization.CultureInfo.InvariantCulture)}", "it may be 0 to 100");
            timers.Add(new ScaleTimerConfig(timer, Values.Time(at, "min_timeout", factor.MinTimeout), percent));
        }
        return timers.ToImmutable();
    }

    private static bool Share(Scope scope, string field, double value)
    {
        if (value is >= 0 and <= 1) return true;
        scope.Error(field, "NARU-C102", $"\"{field}\" cannot be {value.ToString(System.Globalization.CultureInfo.InvariantCulture)}", "it may be 0 to 1");
        return false;
    }
}

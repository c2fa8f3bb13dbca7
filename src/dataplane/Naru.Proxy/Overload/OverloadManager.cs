// Watches what this process runs short of and has the workers do less (Envoy: overload manager). Runs beside the workers, looks
// once an interval, and only writes OverloadState and a few orders to workers. Refuses nothing itself.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Overload;

/// <summary>What a measurement reads; passed in so that tests can be short of things.</summary>
public sealed record OverloadSources
{
    /// <summary>Resident bytes of this process.</summary>
    public Func<long> ResidentBytes { get; init; } = PressureReader.ResidentBytes;

    /// <summary>Bytes in use by, and the limit of, the control group; a limit of 0 is none.</summary>
    public Func<(long Used, long Limit)> Cgroup { get; init; } = PressureReader.Cgroup;

    /// <summary>Busy and total jiffies of this machine since it started.</summary>
    public Func<(long Busy, long Total)> Cpu { get; init; } = PressureReader.Cpu;

    /// <summary>Microseconds that the control group has used of CPUs, and how many CPUs it may use.</summary>
    public Func<(long Used, double Cpus)> GroupCpu { get; init; } = PressureReader.GroupCpu;

    /// <summary>Milliseconds that passed.</summary>
    public Func<long> Clock { get; init; } = static () => Environment.TickCount64;

    /// <summary>Bytes that are kept for later.</summary>
    public Func<long> Unfreed { get; init; } = static () =>
        Math.Max(0, GC.GetGCMemoryInfo(GCKind.Any).TotalCommittedBytes - GC.GetTotalMemory(false));

    /// <summary>A file's content.</summary>
    public Func<string, string> Text { get; init; } = File.ReadAllText;

    /// <summary>Open downstream connections.</summary>
    public required Func<long> Connections { get; init; }
}

/// <summary>Stats of one monitor: <c>overload.&lt;name&gt;.</c></summary>
internal static class OverloadMonitorStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Pressure = Schema.Gauge("pressure");
    public static readonly int FailedUpdates = Schema.Counter("failed_updates");

    // A measurement ends before the next one begins.
    public static readonly int SkippedUpdates = Schema.Counter("skipped_updates");
}

/// <summary>Stats of the manager: <c>overload.</c></summary>
internal static class OverloadStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Delay = Schema.Histogram("refresh_interval_delay");
}

/// <summary>Stats of one action: <c>overload.&lt;name&gt;.</c></summary>
internal static class OverloadActionStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Active = Schema.Gauge("active");
    public static readonly int ScalePercent = Schema.Gauge("scale_percent");
}

internal sealed class OverloadManager
{
    private readonly OverloadConfig _config;
    private readonly OverloadSources _sources;
    private readonly OverloadState _state;
    private readonly Action _shrinkHeap;
    private readonly Action<double> _resetStreams;
    private readonly Action? _timersChanged;
    private readonly StatBlock[] _monitorStats;
    private readonly StatBlock[] _actionStats;
    private readonly double[] _pressures;
    private readonly CpuUse _cpu = new(), _groupCpu = new();
    private long _shrunkAt = long.MinValue;
    private readonly StatBlock _stats;
    private long _lookedAt;
    private Timer? _timer;

    public OverloadManager(OverloadConfig config, OverloadSources sources, OverloadState state, StatRegistry stats, Action shrinkHeap, Action<double> resetStreams, Action? timersChanged = null)
    {
        _timersChanged = timersChanged;
        foreach (OverloadActionConfig action in config.Actions) state.Scale(action.Timers);
        _config = config;
        _sources = sources;
        _state = state;
        _shrinkHeap = shrinkHeap;
        _resetStreams = resetStreams;
        _stats = stats.Block("overload", OverloadStats.Schema);
        _pressures = new double[config.Monitors.Length];
        _monitorStats = [.. config.Monitors.Select(m => stats.Block($"overload.{m.Name}", OverloadMonitorStats.Schema))];
        _actionStats = [.. config.Actions.Select(a => stats.Block($"overload.{NameOf(a.Kind)}", OverloadActionStats.Schema))];
        foreach (ResourceMonitorConfig monitor in config.Monitors)
            if (monitor.Kind == ResourceMonitorKind.DownstreamConnections) state.MaxConnections = monitor.Limit;
    }

    /// <summary>Begins to look.</summary>
    public void Start() => _timer = new Timer(static o => ((OverloadManager)o!).Look(), this,
        _config.RefreshInterval.ForTimer(), _config.RefreshInterval.ForTimer());

    /// <summary>Looks no more.</summary>
    public void Stop() => _timer?.Dispose();

    /// <summary>Measures once and acts on it.</summary>
    public void Look()
    {
        long now = Environment.TickCount64;
        long interval = (long)_config.RefreshInterval.TotalMilliseconds;
        if (_lookedAt > 0) _stats.HistogramOf(0, OverloadStats.Delay).Record(now - _lookedAt - interval);
        _lookedAt = now;
        for (int i = 0; i < _pressures.Length; i++)
        {
            try
            {
                _pressures[i] = Measure(_config.Monitors[i]);
                _monitorStats[i].Set(OverloadMonitorStats.Pressure, (long)(_pressures[i] * 100));
            }
            catch (Exception e) when (e is IOException or FormatException or UnauthorizedAccessException)
            {
                // The last known pressure stays.
                _monitorStats[i].Add(OverloadMonitorStats.FailedUpdates);
            }
        }
        for (int i = 0; i < _config.Actions.Length; i++)
        {
            double state = 0;
            foreach (OverloadTriggerConfig trigger in _config.Actions[i].Triggers) state = Math.Max(state, StateOf(trigger));
            _actionStats[i].Set(OverloadActionStats.Active, state >= 1 ? 1 : 0);
            _actionStats[i].Set(OverloadActionStats.ScalePercent, (long)(state * 100));
            Act(_config.Actions[i], state);
        }
    }

    private double StateOf(OverloadTriggerConfig trigger)
    {
        double pressure = 0;
        for (int i = 0; i < _pressures.Length; i++) if (_config.Monitors[i].Name == trigger.Monitor) pressure = _pressures[i];
        if (pressure >= trigger.Saturation) return 1;
        return pressure <= trigger.Scaling || trigger.Saturation <= trigger.Scaling ? 0 : (pressure - trigger.Scaling) / (trigger.Saturation - trigger.Scaling);
    }

    private double Measure(ResourceMonitorConfig monitor)
    {
        switch (monitor.Kind)
        {
            case ResourceMonitorKind.FixedHeap:
                return _sources.ResidentBytes() / (double)monitor.Limit;
            case ResourceMonitorKind.CgroupMemory:
                (long used, long limit) = _sources.Cgroup();
                if (monitor.Limit > 0) limit = limit > 0 ? Math.Min(limit, monitor.Limit) : monitor.Limit;
                return limit > 0 ? used / (double)limit : 0;
            case ResourceMonitorKind.Injected:
                return PressureReader.Share(_sources.Text(monitor.Path));
            case ResourceMonitorKind.DownstreamConnections:
                return _sources.Connections() / (double)monitor.Limit;
            default:
                if (!monitor.OfGroup)
                {
                    (long busy, long total) = _sources.Cpu();
                    return _cpu.Take(busy, total);
                }
                (long group, double cpus) = _sources.GroupCpu();
                return _groupCpu.Take(group, (long)(_sources.Clock() * 1000 * cpus));
        }
    }

    private void Act(OverloadActionConfig action, double state)
    {
        switch (action.Kind)
        {
            case OverloadActionKind.StopAcceptingRequests:
                _state.SetRequests(state);
                break;
            case OverloadActionKind.DisableHttpKeepalive:
                _state.DisableKeepalive = state >= 1;
                break;
            case OverloadActionKind.StopAcceptingConnections:
                _state.StopConnections = state >= 1;
                break;
            case OverloadActionKind.RejectIncomingConnections:
                _state.SetConnections(state);
                break;
            case OverloadActionKind.ShrinkHeap when state >= 1 && MayShrink(action.Shrinking):
                _shrinkHeap();
                break;
            case OverloadActionKind.ResetHighMemoryStream when state > 0:
                _resetStreams(state);
                break;
            case OverloadActionKind.ReduceTimeouts when _state.SetTimers(state):
                _timersChanged?.Invoke();
                break;
        }
    }

    private bool MayShrink(ShrinkHeapSettings? settings)
    {
        if (settings is null) return true;
        long now = _sources.Clock();
        if ((_shrunkAt != long.MinValue && now - _shrunkAt < settings.Interval.TotalMilliseconds) || _sources.Unfreed() <= settings.MostUnfreed)
            return false;
        _shrunkAt = now;
        return true;
    }

    // Of what there was to use since the last time. Envoy moves by a twentieth of the difference each time, so that a moment is no overload.
    private sealed class CpuUse
    {
        private const double Share = 0.05;
        private (long Used, long Total) _last;
        private double _use;

        public double Take(long used, long total)
        {
            (long usedBefore, long totalBefore) = _last;
            _last = (used, total);
            if (total > totalBefore && totalBefore > 0)
                _use += Share * (Math.Clamp((used - usedBefore) / (double)(total - totalBefore), 0, 1) - _use);
            return _use;
        }
    }

    /// <summary>Envoy's name of an action.</summary>
    public static string NameOf(OverloadActionKind kind) => kind switch
    {
        OverloadActionKind.StopAcceptingRequests => "envoy.overload_actions.stop_accepting_requests",
        OverloadActionKind.DisableHttpKeepalive => "envoy.overload_actions.disable_http_keepalive",
        OverloadActionKind.StopAcceptingConnections => "envoy.overload_actions.stop_accepting_connections",
        OverloadActionKind.RejectIncomingConnections => "envoy.overload_actions.reject_incoming_connections",
        OverloadActionKind.ShrinkHeap => "envoy.overload_actions.shrink_heap",
        OverloadActionKind.ReduceTimeouts => "envoy.overload_actions.reduce_timeouts",
        _ => "envoy.overload_actions.reset_high_memory_stream",
    };
}

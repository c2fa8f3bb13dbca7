// What the overload manager decides from what it measures; the measurements are given.
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Overload;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy.Overload;

public sealed class OverloadManagerTests
{
    private readonly OverloadState _state = new();
    private readonly FastRandom _random = new(7);
    private readonly StatRegistry _stats = new(1);
    private long _resident;
    private int _shrunk, _rescaled;
    private double _reset;

    private OverloadManager Manager(ResourceMonitorKind kind, params OverloadActionConfig[] actions) => new(
        new OverloadConfig { Monitors = [new ResourceMonitorConfig("m", kind, 1000)], Actions = [.. actions] },
        new OverloadSources { ResidentBytes = () => _resident, Connections = () => _resident, Cgroup = () => (_resident, 500), Cpu = () => (_resident, _resident * 2) },
        _state, _stats, () => _shrunk++, state => _reset = state, () => _rescaled++);

    private static OverloadActionConfig On(OverloadActionKind kind, double scaling, double saturation) =>
        new(kind, [new OverloadTriggerConfig("m", scaling, saturation)]);

    private int Refused() => Enumerable.Range(0, 1000).Count(_ => _state.RefusesRequest(_random));

    [Fact]
    public void A_threshold_is_off_below_and_on_from_its_value_on()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.FixedHeap, On(OverloadActionKind.StopAcceptingRequests, 0.9, 0.9));
        _resident = 899;
        manager.Look();
        Assert.Equal(0, Refused());
        _resident = 900;
        manager.Look();
        Assert.Equal(1000, Refused());
        _resident = 10;
        manager.Look();
        Assert.Equal(0, Refused());
    }

    [Fact]
    public void A_scaled_trigger_refuses_a_share()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.FixedHeap, On(OverloadActionKind.StopAcceptingRequests, 0.8, 1.0));
        _resident = 900;
        manager.Look();
        Assert.InRange(Refused(), 420, 580);
    }

    [Fact]
    public void The_control_groups_own_limit_counts_where_it_is_the_smaller_one()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.CgroupMemory, On(OverloadActionKind.DisableHttpKeepalive, 0.9, 0.9));
        _resident = 480;
        manager.Look();
        Assert.True(_state.DisableKeepalive);
    }

    [Fact]
    public void The_most_connections_hold_without_any_action()
    {
        Manager(ResourceMonitorKind.DownstreamConnections);
        Assert.Equal(1000, _state.MaxConnections);
    }

    [Fact]
    public void The_cpu_is_looked_at_between_two_looks()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.CpuUtilization, On(OverloadActionKind.StopAcceptingConnections, 0.5, 0.5));
        _resident = 100;
        manager.Look();
        Assert.False(_state.StopConnections);
        _resident = 200;
        manager.Look();
        Assert.True(_state.StopConnections);
    }

    [Fact]
    public void Orders_are_given_at_each_look_while_the_pressure_lasts()
    {
        OverloadManager manager = Manager(
            ResourceMonitorKind.FixedHeap, On(OverloadActionKind.ShrinkHeap, 0.5, 0.5), On(OverloadActionKind.ResetHighMemoryStream, 0.8, 1), On(OverloadActionKind.RejectIncomingConnections, 0.95, 0.95));
        _resident = 960;
        manager.Look();
        manager.Look();
        Assert.Equal(2, _shrunk);
        Assert.Equal(0.8, _reset, 3);
        Assert.True(_state.RejectsConnection(_random));
    }

    [Fact]
    public void Timers_grow_shorter_with_the_pressure_and_longer_again()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.FixedHeap, On(OverloadActionKind.ReduceTimeouts, 0.5, 1) with
        {
            Timers = [new ScaleTimerConfig(ScaledTimer.ConnectionIdle, TimeSpan.FromSeconds(2), 0), new ScaleTimerConfig(ScaledTimer.StreamIdle, null, 10)],
        });
        Assert.Equal("10000 10000 10000 0", Now());
        _resident = 750;
        manager.Look();
        manager.Look();
        Assert.Equal(("6000 5500 10000 0", 1), (Now(), _rescaled));
        Assert.Equal(1000, _state.Shortened(ScaledTimer.ConnectionIdle, 1000));
        _resident = 2000;
        manager.Look();
        Assert.Equal(("2000 1000 10000 0", 2), (Now(), _rescaled));
        _resident = 0;
        manager.Look();
        Assert.Equal(("10000 10000 10000 0", 3), (Now(), _rescaled));

        string Now() => string.Join(' ', Enum.GetValues<ScaledTimer>().Select(t => _state.Shortened(t, 10000))) + $" {_state.Shortened(ScaledTimer.ConnectionIdle, 0)}";
    }
}

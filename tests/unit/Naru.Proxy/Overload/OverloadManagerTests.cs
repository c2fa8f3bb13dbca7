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
    private long _resident, _now = 1000, _unfreed;
    private int _shrunk, _rescaled;
    private double _reset;

    private OverloadManager Manager(ResourceMonitorKind kind, params OverloadActionConfig[] actions) => new(
        new OverloadConfig { Monitors = [new ResourceMonitorConfig("m", kind, 1000)], Actions = [.. actions] },
        new OverloadSources { ResidentBytes = () => _resident, Connections = () => _resident, Cgroup = () => (_resident, 500), Cpu = () => (_resident, _resident * 2), GroupCpu = () => (_resident * 1000, 0.5), Clock = () => _now, Unfreed = () => _unfreed },
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
        OverloadManager manager = Manager(ResourceMonitorKind.CpuUtilization, On(OverloadActionKind.StopAcceptingConnections, 0.4, 0.4));
        _resident = 100;
        manager.Look();
        Assert.False(_state.StopConnections);
        _resident = 200;
        manager.Look();
        // One moment is no overload: of half a CPU's use a twentieth is known now.
        Assert.False(_state.StopConnections);
        for (int i = 0; i < 40; i++)
        {
            _resident += 100;
            manager.Look();
        }
        Assert.True(_state.StopConnections);
    }

    [Fact]
    public void A_container_uses_a_share_of_what_it_may_use()
    {
        OverloadActionConfig stop = On(OverloadActionKind.StopAcceptingConnections, 0.9, 0.9);
        var manager = new OverloadManager(
            new OverloadConfig { Monitors = [new ResourceMonitorConfig("m", ResourceMonitorKind.CpuUtilization, 1) { OfGroup = true }], Actions = [stop] },
            new OverloadSources { Connections = () => 0, GroupCpu = () => (_resident * 1000, 0.5), Clock = () => _now }, _state, _stats, () => { }, _ => { });
        // Half a CPU is all of what it may use.
        for (int i = 0; i < 80; i++)
        {
            manager.Look();
            _resident += 50;
            _now += 100;
        }
        Assert.True(_state.StopConnections);
        // Less than half of it is not.
        for (int i = 0; i < 80; i++)
        {
            manager.Look();
            _resident += 20;
            _now += 100;
        }
        Assert.False(_state.StopConnections);
    }

    [Fact]
    public void Memory_goes_back_once_an_interval_and_only_where_there_is_some()
    {
        OverloadManager manager = Manager(ResourceMonitorKind.FixedHeap, On(OverloadActionKind.ShrinkHeap, 0.5, 0.5) with { Shrinking = new ShrinkHeapSettings(TimeSpan.FromSeconds(5), 100) });
        _resident = 900;
        _unfreed = 100;
        manager.Look();
        Assert.Equal(0, _shrunk);
        _unfreed = 101;
        manager.Look();
        manager.Look();
        Assert.Equal(1, _shrunk);
        _now += 5000;
        manager.Look();
        Assert.Equal(2, _shrunk);
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

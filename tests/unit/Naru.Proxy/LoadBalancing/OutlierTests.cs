// Who is ejected, for how long, and who may come back, on a clock of its own (Envoy docs: outlier detection).
using System.Net;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Outliers;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class OutlierTests
{
    private sealed class Clock : TimeProvider
    {
        private readonly List<(TimerCallback Callback, object? State, TimeSpan Period)> _timers = [];
        private TimeSpan _now;

        public override long TimestampFrequency => 1000;
        public override long GetTimestamp() => (long)_now.TotalMilliseconds;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _timers.Add((callback, state, period));
            return new Stopped();
        }

        // One interval goes by.
        public void Tick()
        {
            foreach ((TimerCallback callback, object? state, TimeSpan period) in _timers)
            {
                _now += period;
                callback(state);
            }
        }

        private sealed class Stopped : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;
            public void Dispose() { }
            public ValueTask DisposeAsync() => default;
        }
    }

    private static readonly OutlierConfig s_config = new()
    {
        MaxEjectionPercent = 100,
        Interval = TimeSpan.FromSeconds(10),
        BaseEjectionTime = TimeSpan.FromSeconds(30)
    };
    private readonly Clock _clock = new();
    private readonly ClusterSlot _slot = new("c", workers: 2);
    private readonly StatBlock _stats = new StatRegistry(2).Block("cluster.c.outlier_detection", OutlierStats.Schema);
    private readonly List<string> _told = [];
    private int _refreshed;

    private HostState[] Watch(OutlierConfig config, int hosts, out OutlierDetector detector)
    {
        HostState[] states = [.. Enumerable.Range(0, hosts).Select(i =>
            new HostState(_slot, SockAddr.From(IPAddress.Loopback, 1000 + i), $"h{i}", 2))];
        detector = new OutlierDetector(_slot, config, _stats, 2, _clock, new Random(1), _ => _refreshed++,
            (_, sentence) => _told.Add(sentence), static action => action());
        detector.SetHosts(states);
        return states;
    }

    private HostState[] Watch(OutlierConfig config, int hosts) => Watch(config, hosts, out _);

    private static void Answer(HostState host, int status, int times = 1)
    {
        // Whichever worker: what counts is the row.
        for (int i = 0; i < times; i++) host.Report(1 + i % 2, new TryOutcome(TryEnd.Answered, status));
    }

    private static void End(HostState host, TryEnd end, int times)
    {
        for (int i = 0; i < times; i++) host.Report(1, new TryOutcome(end));
    }

    private static bool IsOut(HostState host) => (host.Flags & HostFlags.FailedOutlierCheck) != 0;

    [Fact]
    public void Five_5xx_in_a_row_eject_and_a_good_answer_between_begins_the_row_anew()
    {
        HostState[] hosts = Watch(s_config, 2);
        Answer(hosts[0], 500, 4);
        Answer(hosts[0], 200);
        Answer(hosts[0], 500, 4);
        Assert.False(IsOut(hosts[0]));
        Answer(hosts[0], 500);
        Assert.True(IsOut(hosts[0]));
        Assert.False(IsOut(hosts[1]));
        Assert.Equal(1, _refreshed);
        Assert.Contains("h0", Assert.Single(_told));
        Assert.Equal((1, 1), (_stats.Read(OutlierStats.Active), _stats.Read(OutlierStats.Enforced[(int)OutlierKind.Consecutive5xx])));
    }

    [Theory]
    [InlineData(TryEnd.Failed)]
    [InlineData(TryEnd.TimedOut)]
    internal void A_connection_that_fails_and_an_answer_that_does_not_come_count_as_5xx(TryEnd end)
    {
        HostState[] hosts = Watch(s_config, 2);
        End(hosts[0], end, 5);
        Assert.True(IsOut(hosts[0]));
    }

    [Fact]
    public void Where_origins_are_told_apart_a_failed_connection_is_no_5xx()
    {
        HostState[] hosts = Watch(s_config with { SplitLocalOrigin = true, ConsecutiveLocalOriginFailure = 3, Consecutive5xx = 2 }, 3);
        End(hosts[0], TryEnd.Failed, 2);
        End(hosts[0], TryEnd.Connected, 1);
        End(hosts[0], TryEnd.Failed, 2);
        Assert.False(IsOut(hosts[0]));
        End(hosts[0], TryEnd.Failed, 1);
        Assert.True(IsOut(hosts[0]));
        Answer(hosts[1], 503, 2);
        Assert.True(IsOut(hosts[1]));
        Assert.Equal(1, _stats.Read(OutlierStats.Enforced[(int)OutlierKind.ConsecutiveLocalOriginFailure]));
        Assert.Equal(1, _stats.Read(OutlierStats.Enforced[(int)OutlierKind.Consecutive5xx]));
    }

    [Fact]
    public void Gateway_failures_are_counted_and_enforced_only_where_that_is_asked_for()
    {
        HostState[] hosts = Watch(s_config with { ConsecutiveGatewayFailure = 2, Consecutive5xx = 0 }, 2);
        Answer(hosts[0], 502, 2);
        Assert.False(IsOut(hosts[0]));
        Assert.Equal(1, _stats.Read(OutlierStats.Detected[(int)OutlierKind.ConsecutiveGatewayFailure]));
        hosts = Watch(s_config with { ConsecutiveGatewayFailure = 2, Consecutive5xx = 0, EnforcingConsecutiveGatewayFailure = 100 }, 2);
        Answer(hosts[0], 502);
        Answer(hosts[0], 500);
        Answer(hosts[0], 502);
        Assert.False(IsOut(hosts[0]));
        Answer(hosts[0], 504);
        Assert.True(IsOut(hosts[0]));
    }

    [Fact]
    public void No_more_are_ejected_than_the_percentage_says_but_one_where_that_is_asked_for()
    {
        HostState[] hosts = Watch(s_config with { MaxEjectionPercent = 10 }, 2);
        Answer(hosts[0], 500, 5);
        Assert.False(IsOut(hosts[0]));
        Assert.Equal(1, _stats.Read(OutlierStats.Overflow));
        hosts = Watch(s_config with { MaxEjectionPercent = 10, AlwaysEjectOneHost = true }, 2);
        Answer(hosts[0], 500, 5);
        Answer(hosts[1], 500, 5);
        Assert.Equal([true, false], hosts.Select(IsOut));
        hosts = Watch(s_config with { MaxEjectionPercent = 50 }, 4);
        foreach (HostState host in hosts) Answer(host, 500, 5);
        Assert.Equal([true, true, false, false], hosts.Select(IsOut));
    }

    [Fact]
    public void Each_further_ejection_lasts_longer_and_quiet_intervals_make_it_shorter_again()
    {
        HostState host = Watch(s_config, 2)[0];
        Answer(host, 500, 5);
        Assert.Equal(3, Intervals());
        Answer(host, 500, 5);
        Assert.Equal(6, Intervals());
        // Two quiet intervals: as if it had been ejected never.
        _clock.Tick();
        _clock.Tick();
        Answer(host, 500, 5);
        Assert.Equal(3, Intervals());

        int Intervals()
        {
            Assert.True(IsOut(host));
            for (int i = 1; ; i++)
            {
                _clock.Tick();
                if (!IsOut(host)) return i;
            }
        }
    }

    [Fact]
    public void A_good_check_ends_an_ejection_unless_it_may_not()
    {
        HostState host = Watch(s_config, 2)[0];
        Answer(host, 500, 5);
        host.Listener!.FoundWell();
        Assert.False(IsOut(host));
        host = Watch(s_config with { HealthCheckUnejects = false }, 2)[0];
        Answer(host, 500, 5);
        host.Listener!.FoundWell();
        Assert.True(IsOut(host));
    }

    [Fact]
    public void One_whose_rate_lies_far_below_the_others_is_ejected()
    {
        HostState[] hosts = Watch(s_config with { Consecutive5xx = 1000 }, 5);
        foreach (HostState host in hosts) Answer(host, 200, 100);
        _clock.Tick();
        Assert.DoesNotContain(hosts, IsOut);
        foreach (HostState host in hosts) Answer(host, 200, host == hosts[3] ? 60 : 100);
        Answer(hosts[3], 500, 40);
        _clock.Tick();
        Assert.Equal([false, false, false, true, false], hosts.Select(IsOut));
        Assert.Equal(1, _stats.Read(OutlierStats.Enforced[(int)OutlierKind.SuccessRate]));
    }

    [Fact]
    public void One_that_mostly_fails_is_ejected_where_that_is_asked_for()
    {
        OutlierConfig config = s_config with { Consecutive5xx = 1000, EnforcingSuccessRate = 0, EnforcingFailurePercentage = 100 };
        HostState[] hosts = Watch(config with { FailurePercentageMinimumHosts = 2 }, 2);
        Answer(hosts[0], 200, 50);
        Answer(hosts[1], 500, 50);
        _clock.Tick();
        Assert.Equal([false, true], hosts.Select(IsOut));
    }

    [Fact]
    public void Who_leaves_and_whose_detection_ends_is_not_ejected_any_more()
    {
        HostState[] hosts = Watch(s_config, 3, out OutlierDetector detector);
        Answer(hosts[0], 500, 5);
        Answer(hosts[1], 500, 5);
        detector.SetHosts([hosts[1], hosts[2]]);
        Assert.Equal([false, true, false], hosts.Select(IsOut));
        Assert.Equal(1, _stats.Read(OutlierStats.Active));
        detector.Dispose();
        Assert.DoesNotContain(hosts, IsOut);
        Assert.Equal(0, _stats.Read(OutlierStats.Active));
    }
}

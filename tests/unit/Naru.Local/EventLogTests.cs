// What happened is remembered, repetitions are counted, and memory has a bound.
using Naru.Inspect;
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class EventLogTests
{
    [Fact]
    public void Repetitions_are_counted_and_come_last()
    {
        var log = new EventLog(TimeProvider.System);
        log.Warning("Pod", "default", "a", "Restarted", "again");
        log.Normal("Pod", "default", "b", "Ready", "x");
        log.Warning("Pod", "default", "a", "Restarted", "again");
        Assert.Equal([("b", 1), ("a", 2)], log.All().Select(e => (e.Name, e.Count)));
    }

    [Fact]
    public void The_oldest_are_forgotten()
    {
        var log = new EventLog(TimeProvider.System);
        for (int i = 0; i < EventLog.Most + 10; i++) log.Normal("Pod", "default", $"p{i}", "Ready", "x");
        Assert.Equal(EventLog.Most, log.All().Count);
        Assert.Equal("p10", log.All()[0].Name);
    }

    [Fact]
    public void A_process_that_was_started_again_is_noticed_once()
    {
        var log = new EventLog(TimeProvider.System);
        var watch = new RestartWatch(log);
        PodStatus pod = new() { Namespace = "default", Name = "a", Phase = "NotReady", Reason = "ended with 1" };
        watch.Look([pod], 0);
        watch.Look([pod with { Restarts = 1 }], 0);
        watch.Look([pod with { Restarts = 1, ProxyRestarts = 1 }], 1);
        watch.Look([pod with { Restarts = 1, ProxyRestarts = 1 }], 1);
        Assert.Equal([("Restarted", "a"), ("ProxyRestarted", "a"), ("Restarted", "control")], log.All().Select(e => (e.Reason, e.Name)));
    }
}

// Which calls count as failed, by what a proxy's own page says.
using Naru.Inspect;
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class CallWatchTests
{
    [Fact]
    public void A_try_without_a_good_status_was_in_vain()
    {
        const string Page = """
            cluster.outbound|9080||ratings.default.svc.cluster.local.membership_total: 1
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_2xx: 3
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_4xx: 1
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_completed: 7
            cluster.outbound|80|v2|cart.shop.svc.cluster.local.upstream_rq_total: 2
            cluster.outbound|80|v2|cart.shop.svc.cluster.local.upstream_rq_completed: 2
            cluster.outbound|80|v2|cart.shop.svc.cluster.local.upstream_rq_3xx: 2
            cluster.outbound|80||cart.shop.svc.cluster.local.upstream_rq_time: P0(nan,1) P25(nan,1.75)
            cluster.outbound|9080||ratings.default.svc.cluster.local.external.upstream_rq_completed: 7
            cluster.outbound|9080||ratings.default.svc.cluster.local.retry.upstream_rq_completed: 1
            cluster.outbound|443||api.upstream_cx_none_healthy: 1
            cluster.outbound|443||api.upstream_rq_completed: 1
            cluster.outbound|443||api.external.upstream_cx_total: 1
            cluster.outbound|443||api.external.upstream_rq_completed: 1
            cluster.inbound|9080||.upstream_rq_completed: 9
            http.outbound_127.1.2.3_80.downstream_rq_completed: 9

            """;
        Dictionary<string, CallCount> read = CallWatch.Read(Page);
        Assert.Equal(new CallCount(7, 3), read["ratings"]);
        Assert.Equal(new CallCount(2, 0), read["cart.shop v2"]);
        // What is counted once more by origin is no service; a host of that name is, also beside one without.
        Assert.Equal(["api", "api.external", "cart.shop v2", "ratings"], read.Keys.Order(StringComparer.Ordinal));
    }

    private sealed class Clock : TimeProvider
    {
        private long _now = 1;

        public override long GetTimestamp() => _now;

        public override long TimestampFrequency => 1;

        public void Pass(int seconds) => _now += seconds;
    }

    // Seven failures long ago; none since. Of each row the proxy answered some looks and missed others.
    [Theory]
    [InlineData(true, false, true)]
    [InlineData(false, true, true)]
    [InlineData(false, false, true)]
    [InlineData(true, true, false)]
    public async Task A_look_that_was_missed_is_no_failure_of_a_call(bool first, bool second, bool third)
    {
        const string Page = "cluster.outbound|80||cart.shop.svc.cluster.local.membership_total: 1\ncluster.outbound|80||cart.shop.svc.cluster.local.upstream_rq_completed: 7\n";
        var clock = new Clock();
        bool answers = true;
        PodStatus[] pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }, new PodStatus { Namespace = "default", Name = "b", Workload = "b", ProxyPid = 1 }];
        using var watch = new CallWatch(() => pods, clock, (pod, _) => Task.FromResult(pod.Name == "a" && answers ? Page : pod.Name == "b" ? "" : null));
        foreach (bool there in (bool[])[first, second, third])
        {
            answers = there;
            clock.Pass(20);
            await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        }
        Assert.Empty(watch.Failing());
    }

    [Fact]
    public async Task A_pod_that_was_not_there_before_counts_from_its_start()
    {
        var clock = new Clock();
        PodStatus[] pods = [];
        using var watch = new CallWatch(() => pods, clock, (_, _) => Task.FromResult<string?>(
            "cluster.outbound|80||cart.shop.svc.cluster.local.membership_total: 1\ncluster.outbound|80||cart.shop.svc.cluster.local.upstream_rq_completed: 7\n"));
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }];
        clock.Pass(20);
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        Assert.Equal(7, Assert.Single(watch.Failing()).Failed);
    }
}

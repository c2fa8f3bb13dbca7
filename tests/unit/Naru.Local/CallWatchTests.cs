// Which calls count as failed, by what a proxy's own page says.
using Naru.Inspect;
using Naru.Local;
using Naru.Local.Front;
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
        using var watch = new CallWatch(() => pods, clock, null,
            (pod, _) => Task.FromResult(pod.Name == "a" && answers ? Page : pod.Name == "b" ? "" : null));
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
        using var watch = new CallWatch(() => pods, clock, null, (_, _) => Task.FromResult<string?>(
            "cluster.outbound|80||cart.shop.svc.cluster.local.membership_total: 1\ncluster.outbound|80||cart.shop.svc.cluster.local.upstream_rq_completed: 7\n"));
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }];
        clock.Pass(20);
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        Assert.Equal(7, Assert.Single(watch.Failing()).Failed);
    }

    private static string Counted(string cluster, int good, int failed) => $"""
        cluster.{cluster}.membership_total: 1
        cluster.{cluster}.upstream_rq_2xx: {good}
        cluster.{cluster}.upstream_rq_completed: {good + failed}

        """;

    // A service, its subset v1, or one of a namespace; what its callers counted goes up by five failures with each look.
    [Theory]
    [InlineData("outbound|80||cart.default.svc.cluster.local", "cart", "default")]
    [InlineData("outbound|80|v1|cart.default.svc.cluster.local", "cart v1", "default")]
    [InlineData("outbound|80||cart.shop.svc.cluster.local", "cart.shop", "shop")]
    public async Task What_failed_while_a_service_started_is_no_alarm_and_what_fails_later_is(string cluster, string name, string ns)
    {
        var clock = new Clock();
        int good = 0, failed = 0;
        FrontVersion[] versions = [new FrontVersion("v1", 0, 1)];
        PodStatus[] pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }];
        using var watch = new CallWatch(() => pods, clock, () => [new FrontService("cart", ns, null, [80], versions)],
            (_, _) => Task.FromResult<string?>(Counted(cluster, good, failed)));
        async Task<IReadOnlyList<CallStatus>> LookAsync(int seconds, int more)
        {
            failed += more;
            clock.Pass(seconds);
            await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
            return watch.Failing();
        }
        Assert.Empty(await LookAsync(1, 5));
        Assert.Empty(await LookAsync(30, 5));
        versions = [new FrontVersion("v1", 1, 1)];
        // Its callers hear of it a little later, and what they failed at until then is forgiven once more.
        Assert.Empty(await LookAsync(1, 5));
        Assert.Empty(await LookAsync(2, 5));
        Assert.Empty(await LookAsync(1, 5));
        good = 100;
        Assert.Empty(await LookAsync(1, 0));
        // Neither is it forgotten as soon as the first looks leave the window.
        Assert.Empty(await LookAsync(50, 0));
        CallStatus told = Assert.Single(await LookAsync(1, 2));
        Assert.Equal((name, 2), (told.Service, told.Failed));
        // That it is not ready any more is no start.
        versions = [new FrontVersion("v1", 0, 1)];
        Assert.Equal(5, Assert.Single(await LookAsync(1, 3)).Failed);
    }

    [Fact]
    public async Task A_version_that_is_added_hides_no_failure_of_those_that_are_there()
    {
        var clock = new Clock();
        int failed = 0;
        FrontVersion[] versions = [new FrontVersion("v1", 1, 1)];
        PodStatus[] pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }];
        string Page() => string.Concat(
            new[] { "", "v1", "v2" }.Select(s => Counted($"outbound|80|{s}|cart.default.svc.cluster.local", 1, failed)));
        using var watch = new CallWatch(() => pods, clock, () => [new FrontService("cart", "default", null, [80], versions)],
            (_, _) => Task.FromResult<string?>(Page()));
        for (int i = 0; i < 6; i++)
        {
            clock.Pass(1);
            await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        }
        versions = [new FrontVersion("v1", 1, 1), new FrontVersion("v2", 0, 1)];
        failed = 4;
        clock.Pass(1);
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        Assert.Equal(["cart", "cart v1"], watch.Failing().Select(c => c.Service));
    }

    [Fact]
    public async Task A_service_without_a_pod_does_not_start()
    {
        var clock = new Clock();
        PodStatus[] pods = [new PodStatus { Namespace = "default", Name = "a", Workload = "a", ProxyPid = 1 }];
        using var watch = new CallWatch(() => pods, clock, () => [new FrontService("cart", "default", null, [80], [])],
            (_, _) => Task.FromResult<string?>(Counted("outbound|80||cart.default.svc.cluster.local", 0, 3)));
        await watch.LookAsync(asked: true, TestContext.Current.CancellationToken);
        Assert.Equal(3, Assert.Single(watch.Failing()).Failed);
    }
}

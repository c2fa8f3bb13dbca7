// Which calls count as failed, by what a proxy's own page says.
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class CallWatchTests
{
    [Fact]
    public void A_try_without_a_good_status_was_in_vain()
    {
        const string Page = """
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_2xx: 3
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_4xx: 1
            cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_completed: 7
            cluster.outbound|80|v2|cart.shop.svc.cluster.local.upstream_rq_completed: 2
            cluster.outbound|80|v2|cart.shop.svc.cluster.local.upstream_rq_3xx: 2
            cluster.outbound|80||cart.shop.svc.cluster.local.upstream_rq_time: P0(nan,1) P25(nan,1.75)
            cluster.outbound|9080||ratings.default.svc.cluster.local.external.upstream_rq_completed: 7
            cluster.outbound|9080||ratings.default.svc.cluster.local.retry.upstream_rq_completed: 1
            cluster.outbound|443||api.external.upstream_rq_completed: 1
            cluster.inbound|9080||.upstream_rq_completed: 9
            http.outbound_127.1.2.3_80.downstream_rq_completed: 9

            """;
        Dictionary<string, CallCount> read = CallWatch.Read(Page);
        Assert.Equal(new CallCount(7, 3), read["ratings"]);
        Assert.Equal(new CallCount(2, 0), read["cart.shop v2"]);
        // What is counted once more by origin is no service; a host of that name is.
        Assert.Equal(["api.external", "cart.shop v2", "ratings"], read.Keys.Order(StringComparer.Ordinal));
    }
}

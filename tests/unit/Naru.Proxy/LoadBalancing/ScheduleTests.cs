// Weighted round robin: who is due when, over one whole turn.
using Naru.Proxy.LoadBalancing;
using Xunit;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class ScheduleTests
{
    [Theory]
    [InlineData(5, 1, 1)]
    [InlineData(100, 50, 50)]
    [InlineData(1, 2, 3, 4)]
    [InlineData(7, 13, 29, 1, 1)]
    public void Each_host_is_due_as_often_as_its_weight_says_and_evenly(params int[] weights)
    {
        int[] schedule = Schedule.Of([.. weights.Select(w => (ulong)w)]);
        int turn = schedule.Length, sum = weights.Sum();
        for (int host = 0; host < weights.Length; host++)
        {
            int due = schedule.Count(h => h == host);
            Assert.Equal(weights[host] * turn, due * sum);
            // Never more than one and a half shares away from where it ought to be.
            int seen = 0;
            for (int at = 0; at < turn; at++)
            {
                if (schedule[at] == host) seen++;
                Assert.True(Math.Abs(seen - (at + 1.0) * due / turn) <= 1.5, $"host {host} was due {seen} times in {at + 1}");
            }
        }
    }

    [Fact]
    public void Weights_hold_among_thousands_of_hosts()
    {
        int[] schedule = Schedule.Of([.. Enumerable.Range(0, 4000).Select(i => 1UL + (ulong)i % 2)]);
        Assert.Equal((2000, 4000), (schedule.Count(h => h % 2 == 0), schedule.Count(h => h % 2 == 1)));
    }

    [Fact]
    public void A_list_of_very_many_hosts_has_a_turn_in_which_each_is_due()
    {
        ulong[] weights = [.. Enumerable.Range(0, 70_000).Select(i => i % 2 == 0 ? 1UL : 1000UL)];
        int[] schedule = Schedule.Of(weights);
        Assert.Equal(Enumerable.Range(0, weights.Length), schedule.Distinct().Order());
        Assert.True(schedule.Length < 2 * weights.Length);
    }
}

// Weighted round robin: who is due when, over one whole turn and over very long ones; and chance that decides nothing alike twice.
using Naru.Proxy.Clusters;
using Naru.Proxy.Io;
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
        var schedule = new Schedule([.. weights.Select(w => (ulong)w)]);
        int turn = schedule.Length, sum = weights.Sum();
        int[] order = [.. Enumerable.Range(0, turn).Select(t => schedule.At((uint)t))];
        for (int host = 0; host < weights.Length; host++)
        {
            int due = order.Count(h => h == host);
            Assert.Equal(weights[host] * turn, due * sum);
            // Never more than one and a half shares away from where it ought to be.
            int seen = 0;
            for (int at = 0; at < turn; at++)
            {
                if (order[at] == host) seen++;
                Assert.True(Math.Abs(seen - (at + 1.0) * due / turn) <= 1.5, $"host {host} was due {seen} times in {at + 1}");
            }
        }
    }

    [Fact]
    public void Weights_hold_among_thousands_of_hosts()
    {
        var schedule = new Schedule([.. Enumerable.Range(0, 4000).Select(i => 1UL + (ulong)i % 2)]);
        int[] order = [.. Enumerable.Range(0, schedule.Length).Select(t => schedule.At((uint)t))];
        Assert.Equal((2000, 4000), (order.Count(h => h % 2 == 0), order.Count(h => h % 2 == 1)));
    }

    [Theory]
    [InlineData(4097L, 4095L, 1L)]
    [InlineData(1_000_003L, 500_000L, 7L)]
    [InlineData(10_000L, 9_999L, 9_998L, 9_997L)]
    [InlineData(1_000_000_007L, 2_000_000_011L, 3L)]
    public void No_weight_is_rounded_in_a_long_turn(params long[] weights)
    {
        const int Picks = 2_000_000;
        var schedule = new Schedule([.. weights.Select(w => (ulong)w)]);
        var seen = new int[weights.Length];
        // Begun anywhere: the count wraps on the way.
        for (uint i = 0; i < Picks; i++) seen[schedule.At(uint.MaxValue - 1000 + i)]++;
        for (int host = 0; host < weights.Length; host++)
            Assert.InRange(seen[host], (double)Picks * weights[host] / weights.Sum() - 40, (double)Picks * weights[host] / weights.Sum() + 40);
    }

    [Fact]
    public void In_a_long_turn_nobody_waits_much_longer_than_its_share()
    {
        var schedule = new Schedule([.. Enumerable.Range(0, 10).Select(i => 10_000UL + (ulong)i)]);
        var last = new int[10];
        for (int at = 0; at < 100_000; at++)
        {
            int host = schedule.At((uint)at);
            Assert.InRange(at - last[host], 0, 40);
            last[host] = at;
        }
    }

    [Fact]
    public void Very_many_hosts_of_very_different_weights_get_their_parts()
    {
        ulong[] weights = [.. Enumerable.Range(0, 70_000).Select(i => i % 2 == 0 ? 1UL : 1000UL)];
        var schedule = new Schedule(weights);
        int light = 0;
        for (uint i = 0; i < 1_001_000; i++) if (schedule.At(i) % 2 == 0) light++;
        Assert.InRange(light, 900, 1100);
    }

    [Fact]
    public void A_hash_leads_each_host_to_its_share()
    {
        var chance = new FastRandom(7);
        foreach (ulong[] weights in new ulong[][] { [1, 2, 3], [100_000, 200_000, 300_001] })
        {
            var schedule = new Schedule(weights);
            var seen = new long[3];
            for (int i = 0; i < 60_000; i++) seen[schedule.Of(chance.Next())]++;
            AssertShares(seen, 1, 2, 3);
        }
    }

    [Fact]
    public void Each_worker_begins_its_turn_elsewhere()
    {
        var seen = new long[5];
        for (int worker = 0; worker < 5000; worker++)
            seen[new ClusterWorker().Turn(0, new FastRandom((ulong)worker)) % 5]++;
        AssertShares(seen, 1, 1, 1, 1, 1);
    }

    [Fact]
    public void Neighbours_among_seeds_draw_nothing_alike()
    {
        // Which of ten the first draw of a seed is, and whether that of the next seed is the same.
        var first = new long[10];
        long alike = 0, other = 0;
        for (ulong seed = 0; seed < 20_000; seed++)
        {
            uint own = new FastRandom(seed).Below(10);
            first[own]++;
            if (own == new FastRandom(seed + 1).Below(10)) alike++;
            else other++;
        }
        AssertShares(first, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
        AssertShares([alike, other], 1, 9);
    }

    // Pearson's chi-square; the bound is passed by chance once in a million, and here by nobody's: seeds are fixed.
    private static void AssertShares(long[] seen, params double[] shares)
    {
        double all = seen.Sum(), parts = shares.Sum(), sum = 0;
        for (int i = 0; i < seen.Length; i++)
        {
            double due = all * shares[i] / parts;
            sum += (seen[i] - due) * (seen[i] - due) / due;
        }
        // Wilson and Hilferty's approximation at 4.75 standard deviations.
        double freedom = seen.Length - 1, root = 1 - 2 / (9 * freedom) + 4.75 * Math.Sqrt(2 / (9 * freedom));
        Assert.True(sum < freedom * root * root * root, $"{string.Join(", ", seen)}: chi-square {sum:F1}");
    }
}

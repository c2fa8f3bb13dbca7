// Shares of priorities, beside the worked examples of Envoy's documents (priority levels, degraded endpoints, panic threshold).
using Naru.Proxy.Clusters;
using Xunit;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class PriorityLoadTests
{
    private static PriorityLoad[] Loads(PriorityCount[] counts, double panic = 50, uint factor = 140, int left = 0)
    {
        var loads = new PriorityLoad[counts.Length];
        PriorityLoads.ShareOut(counts, factor, panic, (UInt128)left, loads);
        return loads;
    }

    private static PriorityCount Of(int healthy, int degraded = 0, int all = 100, int excluded = 0) =>
        new(all, excluded, healthy, degraded);

    [Theory]
    [InlineData(100, 100, 100, 0)]
    [InlineData(72, 72, 100, 0)]
    [InlineData(71, 71, 99, 1)]
    [InlineData(50, 50, 70, 30)]
    [InlineData(25, 100, 35, 65)]
    [InlineData(25, 25, 50, 50)]
    public void What_a_priority_cannot_bear_goes_to_the_next(int healthy0, int healthy1, int load0, int load1) =>
        Assert.Equal([load0, load1], Loads([Of(healthy0), Of(healthy1)], panic: 1).Select(l => l.Healthy));

    [Theory]
    [InlineData(100, 100, 100, 100, 0, 0)]
    [InlineData(72, 72, 100, 100, 0, 0)]
    [InlineData(71, 71, 100, 99, 1, 0)]
    [InlineData(50, 50, 50, 70, 30, 0)]
    [InlineData(25, 100, 100, 35, 65, 0)]
    [InlineData(25, 25, 100, 35, 35, 30)]
    public void Three_priorities_fill_up_in_turn(int healthy0, int healthy1, int healthy2, int load0, int load1, int load2) =>
        Assert.Equal([load0, load1, load2], Loads([Of(healthy0), Of(healthy1), Of(healthy2)], panic: 1).Select(l => l.Healthy));

    [Theory]
    [InlineData(100, 0, 100, 0)]
    [InlineData(71, 0, 100, 0)]
    [InlineData(50, 50, 70, 30)]
    [InlineData(25, 75, 35, 65)]
    [InlineData(0, 100, 0, 100)]
    [InlineData(5, 95, 7, 93)]
    public void Degraded_endpoints_take_what_healthy_ones_cannot_bear(int healthy, int degraded, int load, int degradedLoad)
    {
        PriorityLoad only = Assert.Single(Loads([Of(healthy, degraded)]));
        Assert.Equal((load, degradedLoad, false), (only.Healthy, only.Degraded, only.Panics));
    }

    [Fact]
    public void Healthy_endpoints_of_a_lower_priority_go_before_degraded_ones_of_a_higher()
    {
        PriorityLoad[] loads = Loads([Of(25, 50), Of(50)]);
        Assert.Equal([35, 65], loads.Select(l => l.Healthy));
        Assert.All(loads, l => Assert.Equal(0, l.Degraded));
    }

    [Theory]
    // 72 % or more in any priority bear all of it: nobody panics, however few another has.
    [InlineData(72, 25, false, false)]
    [InlineData(0, 72, false, false)]
    [InlineData(25, 25, true, true)]
    [InlineData(50, 10, false, true)]
    [InlineData(5, 65, true, false)]
    public void A_priority_panics_below_the_threshold_while_all_together_cannot_bear_the_load(int healthy0, int healthy1, bool panics0,
        bool panics1) =>
        Assert.Equal([panics0, panics1], Loads([Of(healthy0), Of(healthy1)]).Select(l => l.Panics));

    [Fact]
    public void Where_every_priority_panics_each_gets_what_its_number_says()
    {
        PriorityLoad[] loads = Loads([Of(0, all: 1), Of(0, all: 2), Of(0, all: 0)]);
        Assert.Equal([34, 66, 0], loads.Select(l => l.Healthy));
        Assert.All(loads, l => Assert.True(l.Panics));
    }

    [Fact]
    public void Without_a_threshold_nobody_panics()
    {
        PriorityLoad[] loads = Loads([Of(0), Of(0)], panic: 0);
        Assert.All(loads, l => Assert.False(l.Panics));
    }

    [Fact]
    public void A_priority_without_endpoints_is_stepped_over() =>
        Assert.Equal([100, 0, 0], Loads([Of(100), Of(0, all: 0), Of(100)]).Select(l => l.Healthy));

    [Fact]
    public void Excluded_endpoints_do_not_count() =>
        Assert.Equal([100, 0], Loads([Of(50, all: 100, excluded: 40), Of(100)]).Select(l => l.Healthy));

    [Fact]
    public void Weights_count_in_the_place_of_numbers_where_they_are_asked_for()
    {
        PriorityCount half = Of(1, all: 2) with { Weights = (10, 9, 0) };
        Assert.Equal([100, 0], Loads([half, Of(100)]).Select(l => l.Healthy));
    }

    [Theory]
    [InlineData(0b001, 0, 70, 30)]
    [InlineData(0b011, 0, 0, 100)]
    [InlineData(0b010, 70, 0, 30)]
    public void A_retry_leaves_the_priorities_it_has_tried(int left, int load0, int load1, int load2) =>
        Assert.Equal([load0, load1, load2], Loads([Of(50), Of(50), Of(50)], left: left).Select(l => l.Healthy));

    [Fact]
    public void Shares_add_up_to_a_hundred_whatever_the_endpoints()
    {
        var random = new Random(7);
        for (int round = 0; round < 20_000; round++)
        {
            var counts = new PriorityCount[random.Next(1, 6)];
            for (int i = 0; i < counts.Length; i++)
            {
                int all = random.Next(0, 12), healthy = random.Next(0, all + 1), degraded = random.Next(0, all - healthy + 1);
                counts[i] = new PriorityCount(all, random.Next(0, all - healthy - degraded + 1), healthy, degraded);
            }
            PriorityLoad[] loads = Loads(counts, random.Next(0, 101), (uint)random.Next(1, 300));
            Assert.Equal(100, loads.Sum(l => l.Healthy + l.Degraded));
        }
    }
}

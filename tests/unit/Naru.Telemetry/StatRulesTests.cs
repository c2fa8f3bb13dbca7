// What of the statistics is shown, under which tags and in which buckets, and that histograms come out as Envoy's do (recorded:
// transport/stats).
using System.Text;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class StatRulesTests
{
    private static readonly StatSchema s_schema = new();
    private static readonly int s_total = s_schema.Counter("upstream_rq_total");
    private static readonly int s_active = s_schema.Gauge("upstream_rq_active", with: s_total);
    private static readonly int s_other = s_schema.Gauge("membership_total");
    private static readonly int s_size = s_schema.Histogram("upstream_rq_body_size");

    private static StatRegistry Registry(StatRules? rules = null)
    {
        var registry = new StatRegistry(1, rules);
        StatBlock block = registry.Block("cluster.b-eu", s_schema);
        block.Shard(1)[s_total] = 1;
        block.HistogramOf(1, s_size).Record(5);
        return registry;
    }

    private static string Printed(Func<LineBuffer, IEnumerable<bool>> print)
    {
        var into = new LineBuffer();
        foreach (bool _ in print(into)) { }
        return Encoding.UTF8.GetString(into.Written);
    }

    private static string Prometheus(StatRules rules) => Printed(into => StatsFormats.Prometheus(Registry(rules), StatsQuery.All, into));

    [Theory]
    [InlineData(new long[] { 5, 300, 3000 }, new[] { 5.05, 5.05, 305, 3050, 3050 })]
    [InlineData(new long[] { 47, 47, 47 }, new[] { 47.25, 47.25, 47.5, 47.75, 47.75 })]
    [InlineData(new long[] { 8, 8, 8 }, new[] { 8.025, 8.025, 8.05, 8.075, 8.075 })]
    [InlineData(new long[] { 0 }, new[] { 0d, 0, 0, 0, 0 })]
    [InlineData(new long[0], new[] { 0d, 0, 0, 0, 0 })]
    public void Quantiles_are_Envoys(long[] values, double[] quantiles)
    {
        var histogram = new Histogram();
        foreach (long value in values) histogram.Record(value);
        Assert.Equal(quantiles, new[] { 0, 0.25, 0.5, 0.75, 1 }.Select(q => Math.Round(histogram.Quantile(q), 6)));
    }

    [Fact]
    public void No_value_is_lost_or_wrong_by_more_than_a_tenth()
    {
        for (long value = 1; value < 1L << 39; value = value * 3 / 2 + 1)
        {
            var histogram = new Histogram();
            histogram.Record(value);
            Assert.InRange(histogram.Quantile(0.5), value * 0.9, value * 1.1);
            Assert.Equal((1, 0), (histogram.CountAtMost(value), histogram.CountAtMost(value * 0.9 - 1)));
        }
        var ends = new Histogram();
        foreach (long value in (long[])[-1, 0, long.MaxValue]) ends.Record(value);
        Assert.Equal((3, 2), (ends.Count, ends.CountAtMost(0)));
    }

    [Theory]
    [InlineData(StatBucketForm.Cumulative, "B5(nan,1) B10(nan,1)", "B1.8e+06(nan,1)")]
    [InlineData(StatBucketForm.Disjoint, "B5(nan,1) B10(nan,0)", "B600000(nan,0) B1.8e+06(nan,0) B3.6e+06(nan,0)")]
    public void Buckets_are_shown_in_place_of_quantiles(StatBucketForm form, string first, string last)
    {
        string text = Printed(into => StatsFormats.Text(Registry(), new StatsQuery { Buckets = form, Types = StatTypes.Histograms }, into));
        Assert.Contains(first, text, StringComparison.Ordinal);
        Assert.Contains(last, text, StringComparison.Ordinal);
        string json = Printed(into => StatsFormats.Json(Registry(), new StatsQuery { Buckets = form, Types = StatTypes.Histograms }, into));
        Assert.Contains("{\"upper_bound\":3e+05,", json, StringComparison.Ordinal);
        Assert.Contains("{\"upper_bound\":0.5,\"interval\":null,\"cumulative\":0}", json, StringComparison.Ordinal);
        System.Text.Json.JsonDocument.Parse(json).Dispose();
    }

    [Fact]
    public void A_gauge_at_nothing_is_used_where_its_counter_has_moved() => Assert.Equal(
        "cluster.b-eu.upstream_rq_active: 0\ncluster.b-eu.upstream_rq_total: 1\n",
        Printed(into => StatsFormats.Text(Registry(), new StatsQuery { UsedOnly = true, Types = StatTypes.Counters | StatTypes.Gauges }, into)));

    [Fact]
    public void Tags_of_a_fixed_value_stand_first_and_those_of_patterns_last()
    {
        var rules = new StatRules
        {
            Tags = [new StatTag("region", null, StatsQuery.CompileFilter("^cluster\\.[a-z]+(-([a-z]{2}))\\.")), new StatTag("si.te", "l\"ab", null)],
            Buckets = [new StatBuckets(n => n.EndsWith("body_size", StringComparison.Ordinal), [4, 6, 100.5])],
        };
        string page = Prometheus(rules);
        Assert.Contains("envoy_cluster_upstream_rq_total{si_te=\"l\\\"ab\",envoy_cluster_name=\"b-eu\",region=\"eu\"} 1\n", page, StringComparison.Ordinal);
        Assert.Contains("le=\"4\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains("le=\"100.5\"} 1\n", page, StringComparison.Ordinal);
        Assert.DoesNotContain("le=\"0.5\"", page, StringComparison.Ordinal);
    }

    // As Istio's bootstraps have it.
    [Fact]
    public void Without_default_tags_patterns_say_all_of_them()
    {
        var rules = new StatRules { HasDefaultTags = false, Tags = [new StatTag("cluster_name", null, StatsQuery.CompileFilter("^cluster\\.((.+?)\\.)"))] };
        string page = Prometheus(rules);
        Assert.Contains("envoy_cluster_upstream_rq_total{cluster_name=\"b-eu\"} 1\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_cluster_upstream_rq_body_size_count{cluster_name=\"b-eu\"} 1\n", page, StringComparison.Ordinal);
        Assert.DoesNotContain("envoy_cluster_name", page, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_shown_is_in_none_of_the_formats()
    {
        var rules = new StatRules { Shows = n => n.StartsWith("cluster.b-eu.membership", StringComparison.Ordinal) };
        Assert.Equal("cluster.b-eu.membership_total: 0\n", Printed(into => StatsFormats.Text(Registry(rules), StatsQuery.All, into)));
        Assert.DoesNotContain("upstream", Printed(into => StatsFormats.Json(Registry(rules), StatsQuery.All, into)), StringComparison.Ordinal);
        Assert.DoesNotContain("upstream", Prometheus(rules), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cluster.other:name", "cluster.other_name")]
    [InlineData("cluster.http://a:1", "cluster.http_a_1")]
    [InlineData("listener.[::1]_80", "listener.[__1]_80")]
    public void Colons_are_no_part_of_names(string given, string shown)
    {
        var registry = new StatRegistry(1);
        StatBlock block = registry.Block(given, s_schema);
        Assert.Equal((shown, block), (block.Prefix, registry.Block(shown, s_schema)));
        registry.Remove(given);
        Assert.Empty(registry.Blocks);
    }
}

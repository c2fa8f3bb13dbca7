// What the three formats print, and that a real Prometheus accepts ours.
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class StatsFormatsTests
{
    private static readonly StatSchema s_cluster = new();
    private static readonly int s_total = s_cluster.Counter("upstream_rq_total");
    private static readonly int s_active = s_cluster.Gauge("upstream_rq_active");
    private static readonly int s_200 = s_cluster.Counter("upstream_rq_200");
    private static readonly int s_503 = s_cluster.Counter("upstream_rq_503");
    private static readonly int s_2xx = s_cluster.Counter("upstream_rq_2xx");
    private static readonly int s_time = s_cluster.Histogram("upstream_rq_time");
    private static readonly StatSchema s_server = new();
    private static readonly int s_live = s_server.Gauge("live");

    private static StatRegistry Registry()
    {
        var registry = new StatRegistry(2);
        StatBlock reviews = registry.Block("cluster.outbound|9080|v1|reviews.default.svc.cluster.local", s_cluster);
        reviews.Shard(1)[s_total] = 3;
        reviews.Shard(2)[s_total] = 4;
        reviews.Shard(1)[s_200] = 5;
        reviews.Shard(1)[s_2xx] = 5;
        reviews.Shard(2)[s_503] = 2;
        foreach (long value in new long[] { 0, 3, 3, 40, 5000 }) reviews.HistogramOf(1, s_time).Record(value);
        reviews.HistogramOf(2, s_time).Record(10_000_000);
        registry.Block("cluster.details", s_cluster);
        registry.Block("server", s_server).Set(s_live, 1);
        registry.Block("http.ingress.rds.local_route", s_server);
        registry.Block("listener.127.0.0.1_8080.http.ingress", s_server);
        registry.Block("vhost.a", "vcluster.b", s_server);
        registry.Block("vhost.a.b", "route.c.d", s_server);
        registry.Block("cluster.api.external", s_cluster).Shard(1)[s_total] = 9;
        return registry;
    }

    private static string Print(IEnumerable<bool> pieces, LineBuffer into)
    {
        var all = new StringBuilder();
        foreach (bool _ in pieces)
        {
            all.Append(Encoding.UTF8.GetString(into.Written));
            into.Clear();
        }
        return all.ToString();
    }

    private static string Text(StatRegistry registry, StatsQuery? query = null) { var b = new LineBuffer(); return Print(StatsFormats.Text(registry, query ?? StatsQuery.All, b), b); }

    private static string Json(StatRegistry registry, StatsQuery? query = null) { var b = new LineBuffer(); return Print(StatsFormats.Json(registry, query ?? StatsQuery.All, b), b); }

    private static string Prometheus(StatRegistry registry, StatsQuery? query = null) { var b = new LineBuffer(); return Print(StatsFormats.Prometheus(registry, query ?? StatsQuery.All, b), b); }

    [Fact]
    public void Text_is_sorted_scalars_and_then_histograms()
    {
        string[] lines = Text(Registry()).TrimEnd('\n').Split('\n');
        Assert.Contains("cluster.outbound|9080|v1|reviews.default.svc.cluster.local.upstream_rq_total: 7", lines);
        Assert.Contains("server.live: 1", lines);
        Assert.Contains("cluster.details.upstream_rq_time: No recorded values", lines);
        string histogram = lines.Single(l => l.Contains("reviews", StringComparison.Ordinal) && l.Contains("rq_time", StringComparison.Ordinal));
        Assert.Contains(" P0(nan,", histogram, StringComparison.Ordinal);
        Assert.Contains(" P99.9(nan,", histogram, StringComparison.Ordinal);
        int histograms = Array.FindIndex(lines, l => l.Contains("rq_time", StringComparison.Ordinal));
        string[] scalars = lines[..histograms];
        Assert.Equal(scalars.Order(StringComparer.Ordinal), scalars);
    }

    [Fact]
    public void A_query_chooses()
    {
        Assert.Equal("server.live: 1\n", Text(Registry(), new StatsQuery { Types = StatTypes.Gauges, UsedOnly = true }));
        Assert.Equal("cluster.details.upstream_rq_503: 0\n", Text(Registry(), new StatsQuery { Filter = StatsQuery.CompileFilter("^cluster\\.details\\..*503$") }));
        Assert.DoesNotContain("details", Text(Registry(), new StatsQuery { UsedOnly = true }), StringComparison.Ordinal);
        Assert.All(Text(Registry(), new StatsQuery { Types = StatTypes.Histograms }).TrimEnd('\n').Split('\n'), l => Assert.Contains("rq_time", l, StringComparison.Ordinal));
        Assert.ThrowsAny<ArgumentException>(() => StatsQuery.CompileFilter("("));
        Assert.ThrowsAny<ArgumentException>(() => StatsQuery.CompileFilter("(a)\\1"));
    }

    [Fact]
    public void Json_has_Envoys_shape()
    {
        using JsonDocument document = JsonDocument.Parse(Json(Registry()));
        JsonElement[] stats = [.. document.RootElement.GetProperty("stats").EnumerateArray()];
        Assert.Contains(stats, s => s.TryGetProperty("name", out JsonElement name) && name.GetString() == "server.live" && s.GetProperty("value").GetInt64() == 1);
        JsonElement histograms = stats[^1].GetProperty("histograms");
        Assert.Equal(10, histograms.GetProperty("supported_quantiles").GetArrayLength());
        JsonElement[] computed = [.. histograms.GetProperty("computed_quantiles").EnumerateArray()];
        Assert.All(computed, c => Assert.Equal(10, c.GetProperty("values").GetArrayLength()));
        using JsonDocument empty = JsonDocument.Parse(Json(new StatRegistry(1)));
        Assert.Equal(1, empty.RootElement.GetProperty("stats").GetArrayLength());
        using JsonDocument none = JsonDocument.Parse(Json(Registry(), new StatsQuery { Types = 0 }));
        Assert.Equal(0, none.RootElement.GetProperty("stats").GetArrayLength());
    }

    [Fact]
    public void Prometheus_takes_values_out_of_names()
    {
        StatRegistry registry = Registry();
        registry.Block("cluster.api.external", "outlier_detection", s_server);
        string page = Prometheus(registry);
        const string Reviews = "envoy_cluster_name=\"outbound|9080|v1|reviews.default.svc.cluster.local\"";
        Assert.Contains($"# TYPE envoy_cluster_upstream_rq_total counter\nenvoy_cluster_upstream_rq_total{{envoy_cluster_name=\"api.external\"}} 9\n" +
            $"envoy_cluster_upstream_rq_total{{envoy_cluster_name=\"details\"}} 0\nenvoy_cluster_upstream_rq_total{{{Reviews}}} 7\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_cluster_outlier_detection_live{envoy_cluster_name=\"api.external\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_vhost_route_live{envoy_virtual_host=\"a.b\",envoy_route=\"c.d\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq{{envoy_response_code=\"503\",{Reviews}}} 2\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_xx{{envoy_response_code_class=\"2\",{Reviews}}} 5\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_server_live{} 1\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_http_rds_live{envoy_http_conn_manager_prefix=\"ingress\",envoy_rds_route_config=\"local_route\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_listener_http_live{envoy_http_conn_manager_prefix=\"ingress\",envoy_listener_address=\"127.0.0.1_8080\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains("envoy_vhost_vcluster_live{envoy_virtual_host=\"a\",envoy_virtual_cluster=\"b\"} 0\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_bucket{{{Reviews},le=\"0.5\"}} 1\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_bucket{{{Reviews},le=\"5\"}} 3\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_bucket{{{Reviews},le=\"3600000\"}} 5\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_bucket{{{Reviews},le=\"+Inf\"}} 6\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_sum{{{Reviews}}} 10005046\n", page, StringComparison.Ordinal);
        Assert.Contains($"envoy_cluster_upstream_rq_time_count{{{Reviews}}} 6\n", page, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cluster.a.b", "circuit_breakers.default", "cluster.circuit_breakers.default", "envoy_cluster_name=\"a.b\"")]
    [InlineData("cluster.x", "outlier_detection", "cluster.outlier_detection", "envoy_cluster_name=\"x\"")]
    [InlineData("cluster.a.ssl", "", "cluster", "envoy_cluster_name=\"a.ssl\"")]
    [InlineData("cluster.api.external", "", "cluster", "envoy_cluster_name=\"api.external\"")]
    [InlineData("cluster.api.external", "http1", "cluster.http1", "envoy_cluster_name=\"api.external\"")]
    [InlineData("cluster.a.b", "zone.here.there", "cluster.zone.here.there", "envoy_cluster_name=\"a.b\"")]
    [InlineData("http.ingress_http", "", "http", "envoy_http_conn_manager_prefix=\"ingress_http\"")]
    [InlineData("http.my.fault", "", "http", "envoy_http_conn_manager_prefix=\"my.fault\"")]
    [InlineData("http.my.fault", "fault", "http.fault", "envoy_http_conn_manager_prefix=\"my.fault\"")]
    [InlineData("listener.[__1]_80", "", "listener", "envoy_listener_address=\"[__1]_80\"")]
    [InlineData("listener_manager.worker_3", "", "listener_manager", "envoy_worker_id=\"3\"")]
    [InlineData("cluster_manager", "", "cluster_manager", "")]
    [InlineData("vhost.a.b", "route.c.d", "vhost.route", "envoy_virtual_host=\"a.b\",envoy_route=\"c.d\"")]
    [InlineData("vhost.a.b", "vcluster.other", "vhost.vcluster", "envoy_virtual_host=\"a.b\",envoy_virtual_cluster=\"other\"")]
    [InlineData("dns_cache.my.cache", "", "dns_cache.my.cache", "")]
    [InlineData("udp.a.b", "", "udp", "envoy_udp_prefix=\"a.b\"")]
    [InlineData("local_rate_limit.a.b", "", "local_rate_limit", "envoy_local_network_ratelimit_prefix=\"a.b\"")]
    [InlineData("listener_local_ratelimit.a", "", "listener_local_ratelimit", "envoy_local_listener_ratelimit_prefix=\"a\"")]
    [InlineData("a.b", "http_local_rate_limit", "http_local_rate_limit", "envoy_local_http_ratelimit_prefix=\"a.b\"")]
    [InlineData("cluster.evil\"\\\n\u001bx", "", "cluster", "envoy_cluster_name=\"evil\\\"\\\\\\n_x\"")]
    public void A_prefix_is_a_base_and_labels(string owner, string scope, string expected, string labels) =>
        Assert.Equal(new TaggedPrefix(expected, labels), StatTags.Extract(scope.Length > 0 ? $"{owner}.{scope}" : owner, scope));

    // What a scrape takes (Prometheus docs: exposition formats), whatever the names are.
    [Fact]
    public void Every_familys_samples_stand_together_under_one_type_line_and_no_series_comes_twice()
    {
        StatRegistry registry = Registry();
        var clash = new StatSchema();
        clash.Gauge("upstream_rq_total");
        clash.Histogram("upstream_rq_active");
        foreach (string name in (string[])["api", "api.external", "api-external", "a.ssl", "zone"])
        {
            registry.Block($"cluster.{name}", s_cluster);
            registry.Block($"cluster.{name}", "external", s_cluster);
            registry.Block($"cluster.{name}", "zone.a.b", s_cluster);
            registry.Block($"cluster.{name}", "zone.a-b", s_cluster);
            registry.Block($"cluster.{name}", clash);
            registry.Block($"sds.{name}", s_server);
            registry.Block($"sds.{name.Replace('.', '_')}", s_server);
            registry.Block($"dns_cache.{name}", "circuit_breakers", s_server);
        }
        string[] lines = Prometheus(registry).TrimEnd('\n').Split('\n');
        string family = "", type = "";
        var families = new HashSet<string>();
        var series = new HashSet<string>();
        foreach (string line in lines)
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                (family, type) = (line.Split(' ')[2], line.Split(' ')[3]);
                Assert.True(families.Add(family), line);
                continue;
            }
            string name = line[..line.IndexOf('{', StringComparison.Ordinal)];
            string[] allowed = type == "histogram" ? [$"{family}_bucket", $"{family}_sum", $"{family}_count"] : [family];
            Assert.Contains(name, allowed);
            Assert.True(series.Add(line[..(line.LastIndexOf('}') + 1)]), line);
        }
        Assert.Contains("envoy_cluster_upstream_rq_time", families);
    }

    [Theory]
    [InlineData("upstream_rq_2xx", "upstream_rq_xx", "envoy_response_code_class=\"2\"")]
    [InlineData("upstream_rq_404", "upstream_rq", "envoy_response_code=\"404\"")]
    [InlineData("upstream_rq_max", "upstream_rq_max", "")]
    [InlineData("x404", "x404", "")]
    public void A_code_in_a_name_is_a_label(string name, string expected, string labels) => Assert.Equal((expected, labels), StatTags.ExtractCode(name));

    [Fact]
    public void A_large_page_comes_in_pieces()
    {
        var registry = new StatRegistry(1);
        for (int i = 0; i < 2000; i++) registry.Block($"cluster.c{i}", s_cluster);
        var into = new LineBuffer();
        int most = 0, pieces = 0;
        foreach (bool _ in StatsFormats.Prometheus(registry, StatsQuery.All, into))
        {
            most = Math.Max(most, into.Length);
            pieces++;
            into.Clear();
        }
        Assert.True(pieces > 50);
        Assert.InRange(most, 1, StatsFormats.ChunkBytes * 2);
    }

    [Fact]
    public async Task A_real_Prometheus_accepts_the_page()
    {
        StatRegistry registry = Registry();
        registry.Block("cluster.evil\"\\\n\u001b<img onerror=1>", s_cluster);
        string page = Prometheus(registry);
        using var promtool = Process.Start(new ProcessStartInfo(Tools.Path("promtool", "prometheus"), ["check", "metrics"])
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        await promtool.StandardInput.WriteAsync(page);
        promtool.StandardInput.Close();
        Task<string> output = promtool.StandardOutput.ReadToEndAsync();
        string errors = await promtool.StandardError.ReadToEndAsync().Within("promtool's end");
        await promtool.WaitForExitAsync().Within("promtool's end");
        // Exit code 3 is lint only: it wants help texts and _total endings, which Envoy's names do not have either.
        Assert.True(promtool.ExitCode is 0 or 3, errors + await output);
        Assert.DoesNotContain("error while linting", errors + await output, StringComparison.Ordinal);
    }

    [Fact]
    public void Resetting_counters_leaves_gauges()
    {
        StatRegistry registry = Registry();
        foreach (StatBlock block in registry.Blocks) block.ResetCounters();
        Assert.Equal("server.live: 1\n", Text(registry, new StatsQuery { UsedOnly = true, Types = StatTypes.Counters | StatTypes.Gauges }));
    }

    [Fact]
    public void Cumulative_counts_agree_with_counting_one_by_one()
    {
        var histogram = new Histogram();
        var random = new Random(1);
        for (int i = 0; i < 1000; i++) histogram.Record(random.Next(0, 100_000));
        double[] bounds = [0.5, 1, 10, 100, 2500, 60000];
        var counts = new long[bounds.Length + 1];
        histogram.Cumulative(bounds, counts);
        for (int i = 0; i < bounds.Length; i++) Assert.Equal(histogram.CountAtMost(bounds[i]), counts[i]);
        Assert.Equal(1000, counts[^1]);
    }
}

// What is counted of requests besides their cluster: by route (Route.stat_prefix) and by virtual cluster, in one family; and what a cluster
// records of them where it is asked to (Cluster.track_cluster_stats).
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RouteStatsTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static Witness Answering(Func<HttpMessage, string> answer) => new(async c =>
    {
        while (await c.RequestAsync() is { } request) await c.SendAsync(answer(request));
    });

    private static string Status(int status, string headers = "") => $"HTTP/1.1 {status} It\r\n{headers}Content-Length: 2\r\n\r\nok";

    private static string Shop(string routes, Witness witness, string more = "", string cluster = "") => Bootstraps.Hosts($"""
        - name: shop
          domains: ["*"]
        {Bootstraps.Indent(more, 2)}
          routes:
        {Bootstraps.Indent(routes, 2)}
        """, [new TestCluster("backend", [witness.Port], cluster)]);

    private static async Task<string> StatsAsync(ProxyProcess proxy, string filter = "vhost") =>
        "\n" + await proxy.Admin.GetStringAsync($"stats?usedonly&filter={Uri.EscapeDataString(filter)}");

    // Names and values of counters, in their order.
    private static string[] Counters(string stats, string prefix) =>
        [.. stats.Split('\n').Where(l => l.StartsWith(prefix, StringComparison.Ordinal) && !l.Contains("P50", StringComparison.Ordinal))
            .Select(l => l[prefix.Length..])];

    [Fact]
    public async Task Routes_and_virtual_clusters_count_with_the_same_names()
    {
        await using Witness witness = Answering(r => Status(r.Target.EndsWith("/500", StringComparison.Ordinal) ? 503 : 200));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Shop("""
            - { match: { prefix: /orders }, stat_prefix: ord, route: { cluster: backend } }
            - { match: { prefix: /also }, stat_prefix: ord, route: { cluster: backend } }
            - { match: { prefix: / }, route: { cluster: backend } }
            """, witness, "virtual_clusters: [ { name: orders, headers: [ { name: \":path\", string_match: { prefix: /orders } } ] } ]"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        foreach (string path in new[] { "/orders", "/orders/500", "/also", "/other" }) await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        string stats = await StatsAsync(proxy);
        Assert.Equal(
            ["upstream_rq_200: 2", "upstream_rq_2xx: 2", "upstream_rq_503: 1", "upstream_rq_5xx: 1", "upstream_rq_completed: 3", "upstream_rq_total: 3"],
            Counters(stats, "vhost.shop.route.ord."));
        Assert.Equal(
            ["upstream_rq_200: 1", "upstream_rq_2xx: 1", "upstream_rq_503: 1", "upstream_rq_5xx: 1", "upstream_rq_completed: 2", "upstream_rq_total: 2"],
            Counters(stats, "vhost.shop.vcluster.orders."));
        Assert.Contains("\nvhost.shop.route.ord.upstream_rq_time: P0", stats, StringComparison.Ordinal);
        Assert.Single(Counters(stats, "vhost.shop.route.").Select(l => l.Split('.')[0]).Distinct(), "ord");
    }

    [Fact]
    public async Task A_route_counts_tries_beyond_the_first_and_those_that_were_not_made()
    {
        int asked = 0;
        await using Witness witness = Answering(r => Status(r.Target == "/once" && asked++ > 0 ? 200 : 503));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Shop("""
            - match: { prefix: / }
              stat_prefix: all
              route: { cluster: backend, retry_policy: { retry_on: 5xx, num_retries: 1, retry_back_off: { base_interval: 0.001s } } }
            """, witness), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET /once HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(503, (await client.ExchangeAsync("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(
            [
                "upstream_rq_200: 1", "upstream_rq_2xx: 1", "upstream_rq_503: 1", "upstream_rq_5xx: 1", "upstream_rq_completed: 2",
                "upstream_rq_retry: 2", "upstream_rq_retry_limit_exceeded: 1", "upstream_rq_retry_success: 1", "upstream_rq_total: 4",
            ],
            Counters(await StatsAsync(proxy), "vhost.shop.route.all."));
    }

    [Fact]
    public async Task A_route_counts_requests_whose_time_is_up()
    {
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) { }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Shop("""
            - { match: { prefix: / }, stat_prefix: all, route: { cluster: backend, timeout: 0.02s } }
            """, witness), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(504, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(
            ["upstream_rq_504: 1", "upstream_rq_5xx: 1", "upstream_rq_completed: 1", "upstream_rq_timeout: 1", "upstream_rq_total: 1"],
            Counters(await StatsAsync(proxy), "vhost.shop.route.all."));
    }

    [Fact]
    public async Task A_redirect_that_is_followed_counts_on_either_route()
    {
        await using Witness witness = Answering(r => r.Target == "/from" ? Status(302, "Location: http://x/to\r\n") : Status(200));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Shop("""
            - { match: { prefix: /from }, stat_prefix: from, route: { cluster: backend, internal_redirect_policy: {} } }
            - { match: { prefix: /to }, stat_prefix: to, route: { cluster: backend } }
            """, witness), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET /from HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        string stats = await StatsAsync(proxy);
        Assert.Equal(["upstream_rq_302: 1", "upstream_rq_3xx: 1", "upstream_rq_completed: 1", "upstream_rq_total: 1"], Counters(stats, "vhost.shop.route.from."));
        Assert.Equal(["upstream_rq_200: 1", "upstream_rq_2xx: 1", "upstream_rq_completed: 1", "upstream_rq_total: 1"], Counters(stats, "vhost.shop.route.to."));
    }

    [Fact]
    public async Task What_no_route_is_called_any_more_is_forgotten_and_the_rest_counts_on()
    {
        using var folder = new TempFolder();
        await using Witness witness = Answering(_ => Status(200));
        folder.Write("rds.yaml", Table("stay", "go"));
        string bootstrap = Bootstraps.One(witness.Port);
        int from = bootstrap.IndexOf("route_config:", StringComparison.Ordinal), to = bootstrap.IndexOf("http_filters:", StringComparison.Ordinal);
        bootstrap = $"{bootstrap[..from]}rds: {{ route_config_name: test, config_source: {{ path_config_source: {{ path: \"{folder.At("rds.yaml")}\" }} }} }}\n"
            + $"{new string(' ', 10)}{bootstrap[to..]}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        foreach (string path in new[] { "/stay", "/go" }) Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        string before = await proxy.Admin.GetStringAsync("stats?filter=vhost");
        Assert.Contains("vhost.shop.route.go.upstream_rq_total: 1\n", before, StringComparison.Ordinal);
        Assert.Contains("vhost.shop.vcluster.go.upstream_rq_total: 1\n", before, StringComparison.Ordinal);
        folder.Replace("rds.yaml", Table("stay", "come"));
        await Waiting.UntilAsync(async () => (await proxy.Admin.GetStringAsync("stats?filter=vhost")).Contains(".come.", StringComparison.Ordinal), "the new table");
        string after = await proxy.Admin.GetStringAsync("stats?filter=vhost");
        Assert.DoesNotContain(".go.", after, StringComparison.Ordinal);
        Assert.Contains("vhost.shop.route.stay.upstream_rq_total: 1\n", after, StringComparison.Ordinal);
        Assert.Contains("vhost.shop.vcluster.stay.upstream_rq_total: 1\n", after, StringComparison.Ordinal);
        Assert.Contains("vhost.shop.route.come.upstream_rq_total: 0\n", after, StringComparison.Ordinal);
    }

    private static string Table(params string[] names) => $$"""
        resources:
        - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
          name: test
          virtual_hosts:
          - name: shop
            domains: ["*"]
            virtual_clusters:
            {{string.Join("\n    ", names.Select(n => $"- {{ name: {n}, headers: [ {{ name: \":path\", string_match: {{ prefix: /{n} }} }} ] }}"))}}
            routes:
            {{string.Join("\n    ", names.Select(n => $"- {{ match: {{ prefix: /{n} }}, stat_prefix: {n}, route: {{ cluster: backend }} }}"))}}
        """;

    [Theory]
    [InlineData("")]
    [InlineData("track_cluster_stats: {}")]
    [InlineData("track_cluster_stats: { request_response_sizes: true }")]
    [InlineData("track_cluster_stats: { timeout_budgets: true }")]
    [InlineData("track_timeout_budgets: true")]
    public async Task Sizes_and_budgets_are_recorded_where_they_are_asked_for(string cluster)
    {
        await using Witness witness = Answering(_ => Status(200, "x-y: 12\r\n"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Shop("- { match: { prefix: / }, route: { cluster: backend, timeout: 3600s } }", witness, cluster: cluster), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")).Status);
        string stats = await proxy.Admin.GetStringAsync("stats/prometheus");
        string[] sizes = ["upstream_rq_body_size", "upstream_rq_headers_count", "upstream_rq_headers_size", "upstream_rs_body_size", "upstream_rs_headers_count", "upstream_rs_headers_size"];
        string[] budgets = ["upstream_rq_timeout_budget_per_try_percent_used", "upstream_rq_timeout_budget_percent_used"];
        foreach (string name in sizes) Assert.Equal(cluster.Contains("sizes", StringComparison.Ordinal) ? 1 : null, Value(stats, name, "count"));
        foreach (string name in budgets) Assert.Equal(cluster.Contains("budgets: true", StringComparison.Ordinal) ? 1 : null, Value(stats, name, "count"));
        if (!cluster.Contains("sizes", StringComparison.Ordinal)) return;
        Assert.Equal(5, Value(stats, "upstream_rq_body_size", "sum"));
        Assert.Equal(2, Value(stats, "upstream_rs_body_size", "sum"));
        // :status, x-y and content-length.
        Assert.Equal(3, Value(stats, "upstream_rs_headers_count", "sum"));
        Assert.Equal(":status200x-y12content-length2".Length, Value(stats, "upstream_rs_headers_size", "sum"));
    }

    private static long? Value(string stats, string name, string what)
    {
        string start = $"envoy_cluster_{name}_{what}{{envoy_cluster_name=\"backend\"}} ";
        return stats.Split('\n').FirstOrDefault(l => l.StartsWith(start, StringComparison.Ordinal)) is { } line
            ? long.Parse(line[start.Length..], System.Globalization.CultureInfo.InvariantCulture) : null;
    }

    [Fact]
    public async Task Budgets_say_how_much_of_their_time_requests_took()
    {
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) { }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Shop("- { match: { prefix: / }, route: { cluster: backend, timeout: 0.02s } }", witness, cluster: "track_cluster_stats: { timeout_budgets: true }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(504, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        string stats = await proxy.Admin.GetStringAsync("stats/prometheus");
        Assert.Equal(1, Value(stats, "upstream_rq_timeout_budget_percent_used", "count"));
        // All of it, and what the machine took to notice.
        Assert.True(Value(stats, "upstream_rq_timeout_budget_percent_used", "sum") >= 100);
        // A try without a time of its own uses nothing of that.
        Assert.Equal(0, Value(stats, "upstream_rq_timeout_budget_per_try_percent_used", "sum"));
    }
}

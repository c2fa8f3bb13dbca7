// A cluster of clusters: whose turn it is, for requests and for bytes, and that its members' own rules hold.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class AggregateTests
{
    private const string NoPanic = "common_lb_config: { healthy_panic_threshold: { value: 0 } }";
    private const string Check = "health_checks: [{ timeout: 5s, interval: 0.02s, no_traffic_interval: 0.02s, "
        + "unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /health } }]";

    private static string Both(string members) =>
        $"- {{ name: both, lb_policy: CLUSTER_PROVIDED, {NoPanic}, cluster_type: {{ name: envoy.clusters.aggregate, typed_config: "
        + $"{{ \"@type\": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [{members}] }} }} }}";

    private static string With(string bootstrap, string members) =>
        bootstrap.Replace("\n  clusters:\n", $"\n  clusters:\n  {Both(members)}\n", StringComparison.Ordinal);

    private static string Http(string members, string route, params TestCluster[] clusters) =>
        With(Bootstraps.Many($"- {{ match: {{ prefix: / }}, route: {{ cluster: both{route} }} }}", clusters), members);

    private static Witness Named(string name, Func<bool> well) => new(async c =>
    {
        while (await c.RequestAsync() is { } request)
        {
            bool asks = request.Target == "/health";
            if (asks && !well()) await c.SendAsync("HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n");
            else if (asks || name.Length > 0) await c.OkAsync(name);
            else await c.SendAsync("HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n");
        }
    });

    private static async Task<string> AskAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        return answer.Status == 200 ? answer.Text : $"{answer.Status}";
    }

    [Fact]
    public async Task The_next_cluster_serves_while_the_first_has_nobody_and_each_counts_for_itself()
    {
        bool well = true;
        await using Witness a = Named("a", () => well);
        await using Witness b = Named("b", () => true);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Http("near, gone, far", "",
            new TestCluster("near", [a.Port], $"{Check}\n{NoPanic}"), new TestCluster("far", [b.Port])));
        Assert.Equal("a", await AskAsync(proxy));
        well = false;
        await Waiting.UntilAsync(async () => await AskAsync(proxy) == "b", "the next one to serve");
        Assert.Equal(0, await proxy.StatAsync("cluster.both.upstream_rq_total"));
        Assert.True(await proxy.StatAsync("cluster.far.upstream_rq_total") > 0);
        well = true;
        await Waiting.UntilAsync(async () => await AskAsync(proxy) == "a", "the first one to serve again");
    }

    [Fact]
    public async Task Where_no_cluster_has_anybody_the_answer_says_so()
    {
        await using Witness a = Named("a", () => false);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Http("gone, near", "",
            new TestCluster("near", [a.Port], $"{Check}\n{NoPanic}")));
        Assert.Equal("503", await AskAsync(proxy));
        await using ProxyProcess none = await ProxyProcess.StartAsync(Http("gone, away", "", new TestCluster("near", [a.Port])));
        Assert.Equal("503", await AskAsync(none));
        Assert.Equal(1, await none.StatAsync("cluster.both.upstream_cx_none_healthy"));
    }

    [Fact]
    public async Task A_retry_chooses_anew_and_the_members_breakers_hold()
    {
        await using Witness bad = Named("", () => true);
        await using Witness good = Named("good", () => true);
        int dead = Loopback.FreePort();
        TestCluster[] clusters = [new TestCluster("near", [dead, good.Port]), new TestCluster("far", [bad.Port])];
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Http("near, far",
            ", retry_policy: { retry_on: \"connect-failure\", num_retries: 3, retry_host_predicate: "
            + "[{ name: p, typed_config: "
            + "{ \"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate } }]"
            + ", host_selection_retry_max_attempts: 5 }", clusters));
        for (int i = 0; i < 6; i++) Assert.Equal("good", await AskAsync(proxy));
        await using ProxyProcess full = await ProxyProcess.StartAsync(Http(
            "near, far", "", new TestCluster("near", [good.Port], "circuit_breakers: { thresholds: [{ max_pending_requests: 0 }] }"),
                new TestCluster("far", [good.Port])));
        Assert.Equal("503", await AskAsync(full));
        Assert.Equal(1, await full.StatAsync("cluster.near.upstream_rq_pending_overflow"));
    }

    [Fact]
    public async Task Connections_go_to_the_cluster_whose_turn_it_is()
    {
        await using var echo = new Witness(async c => await c.SendAsync(Encoding.ASCII.GetString(await c.Reader.ExactlyAsync(4))));
        string bootstrap = $$"""
            node: { id: test, cluster: tests }
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
              - name: main
                address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
                filter_chains:
                - filters:
                  - name: t
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                      stat_prefix: t
                      cluster: both
              clusters:
            {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("near", []), new TestCluster("far", [echo.Port])]), 2)}}
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(With(bootstrap, "near, far"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("ping");
            Assert.Equal("ping", Encoding.ASCII.GetString(await client.Reader.ExactlyAsync(4)));
        }
        Assert.Equal((1, 0), (await proxy.StatAsync("cluster.far.upstream_cx_total"),
            await proxy.StatAsync("cluster.both.upstream_cx_total")));
    }

    private static string File(params string[] clusters) => "resources:\n" + string.Join("\n", clusters);

    private static string OfFile(string name, int port) => $"- {{ \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: {name}, "
        + $"load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: "
        + $"{{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}] }} }}";

    private static string BothOfFile(string members) =>
        Both(members).Replace("{ name: both", "{ \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: both", StringComparison.Ordinal);

    // It has no endpoints of its own to wait for, when it comes and when it changes.
    [Fact]
    public async Task Other_members_are_asked_as_soon_as_discovery_says_so()
    {
        await using Witness a = Named("a", () => true);
        await using Witness b = Named("b", () => true);
        using var folder = new TempFolder("naru-aggregate-");
        folder.Write("cds.yaml", File(OfFile("near", a.Port), OfFile("far", b.Port), BothOfFile("near, far")));
        string bootstrap = Bootstraps.Many("- { match: { prefix: / }, route: { cluster: both } }", [new TestCluster("unused", [])]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            $"{bootstrap}\ndynamic_resources: {{ cds_config: {{ path_config_source: {{ path: \"{folder.At("cds.yaml")}\" }} }} }}\n");
        Assert.Equal("a", await AskAsync(proxy));
        folder.Replace("cds.yaml", File(OfFile("near", a.Port), OfFile("far", b.Port), BothOfFile("far")));
        await Waiting.UntilAsync(async () => await AskAsync(proxy) == "b", "the other member to serve");
        Assert.Equal(0, await proxy.StatAsync("cluster_manager.warming_clusters"));
        // A file that is being written is empty at first.
        folder.Write("cds.yaml", "");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster_manager.cds.update_failure") > 0, "the empty file to be told");
        Assert.Equal("b", await AskAsync(proxy));
    }

    [Fact]
    public async Task A_retry_leaves_the_priorities_that_were_tried()
    {
        await using Witness bad = Named("", () => true);
        await using Witness good = Named("good", () => true);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Http("near, far",
            ", retry_policy: { retry_on: 5xx, num_retries: 1, retry_priority: { name: p, typed_config: { \"@type\": "
            + "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 1 } } }",
            new TestCluster("near", [bad.Port]), new TestCluster("far", [good.Port])));
        for (int i = 0; i < 4; i++) Assert.Equal("good", await AskAsync(proxy));
        Assert.Equal((4, 0), (await proxy.StatAsync("cluster.both.upstream_rq_retry"), await proxy.StatAsync("cluster.near.upstream_rq_retry")));
    }
}

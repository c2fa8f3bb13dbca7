// Requests whose virtual host is loaded on demand, in a whole engine: who is held, who goes on when, and how many may be held.
using System.Collections.Concurrent;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Filters.Http.OnDemand;
using Naru.Proxy.Routing;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class OnDemandTests
{
    private static RouteConfigurationConfig Table(params string[] hosts) => new()
    {
        Name = "table",
        HostsOnDemand = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "cp", Delta: true),
        VirtualHosts =
        [
            .. hosts.Select(h => new VirtualHostConfig
            {
                Name = h,
                Domains = [h],
                Routes = [new RouteConfig { Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" }, Action = new DirectResponseActionConfig(200, [.. Encoding.ASCII.GetBytes(h)]) }],
            }),
        ],
    };

    private static (EngineBench Bench, ConcurrentQueue<string> Wanted) Start(params string[] hosts)
    {
        var extension = new OnDemandExtension();
        HttpConnectionManagerConfig http = EngineBench.Http() with
        {
            RouteConfig = null,
            RouteConfigName = "table",
            RouteConfigSource = new ConfigSourceConfig(ConfigSourceKind.Ads),
            HttpFilters = [new HttpFilterConfig("on_demand", extension, extension, Disabled: false)],
        };
        var bench = new EngineBench(1);
        var wanted = new ConcurrentQueue<string>();
        bench.Engine.HostWanted = (table, host) => wanted.Enqueue($"{table}/{host}");
        bench.Apply(new ConfigChange { RouteConfigurations = [Table(hosts)], Listeners = [EngineBench.Listener(EngineBench.Chain(http))] });
        return (bench, wanted);
    }

    private static void Bring(EngineBench bench, string[] hosts, params string[] answered) =>
        bench.Apply(new ConfigChange { RouteConfigurations = [Table(hosts)], AnsweredHosts = [.. answered.Select(h => ("table", h))] });

    private static string Get(string host) => $"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n";

    private static Task UntilAsync(ConcurrentQueue<string> wanted, int count) => Waiting.UntilAsync(() => wanted.Count == count, $"{count} hosts to be wanted");

    [Fact]
    public async Task A_request_for_an_unknown_host_waits_for_it_and_the_next_does_not()
    {
        (EngineBench bench, ConcurrentQueue<string> wanted) = Start("fixed.example");
        await using EngineBench own = bench;
        using RawClient one = await bench.ConnectAsync(), two = await bench.ConnectAsync(), three = await bench.ConnectAsync();
        Assert.Equal("fixed.example", (await one.ExchangeAsync(Get("fixed.example"))).Text);
        Assert.Empty(wanted);
        Task<HttpMessage> first = one.ExchangeAsync(Get("Shop.Example:8080"));
        await UntilAsync(wanted, 1);
        // Whoever wants the same waits for the same answer.
        Task<HttpMessage> second = two.ExchangeAsync(Get("shop.example:8080"));
        await three.ExchangeAsync(Get("fixed.example"));
        Assert.Equal(["table/shop.example:8080"], wanted);
        Assert.False(first.IsCompleted);
        Bring(bench, ["fixed.example", "shop.example:8080"], "shop.example:8080");
        Assert.Equal("shop.example:8080", (await first).Text);
        Assert.Equal("shop.example:8080", (await second).Text);
        Assert.Equal("shop.example:8080", (await two.ExchangeAsync(Get("shop.example:8080"))).Text);
        Assert.Single(wanted);
    }

    [Fact]
    public async Task A_host_that_is_nowhere_is_404_each_time_anew()
    {
        (EngineBench bench, ConcurrentQueue<string> wanted) = Start();
        await using EngineBench own = bench;
        using RawClient client = await bench.ConnectAsync();
        for (int turn = 1; turn <= 2; turn++)
        {
            Task<HttpMessage> answer = client.ExchangeAsync(Get("no.example"));
            await UntilAsync(wanted, turn);
            Bring(bench, [], "no.example");
            Assert.Equal(404, (await answer).Status);
        }
    }

    [Theory]
    [InlineData("*.example")]
    [InlineData("a/b")]
    [InlineData("table/x")]
    public async Task A_name_that_no_host_can_have_is_not_asked_for(string host)
    {
        (EngineBench bench, ConcurrentQueue<string> wanted) = Start();
        await using EngineBench own = bench;
        using RawClient client = await bench.ConnectAsync();
        Assert.True((await client.ExchangeAsync(Get(host))).Status is 404 or 400);
        Assert.Empty(wanted);
    }

    [Fact]
    public async Task A_client_that_leaves_takes_its_wait_along()
    {
        (EngineBench bench, ConcurrentQueue<string> wanted) = Start();
        await using EngineBench own = bench;
        using (RawClient gone = await bench.ConnectAsync())
        {
            await gone.SendAsync(Get("slow.example"));
            await UntilAsync(wanted, 1);
        }
        await Waiting.UntilAsync(() => bench.Engine.ActiveConnections == 0, "the connection to end");
        using RawClient client = await bench.ConnectAsync();
        Task<HttpMessage> answer = client.ExchangeAsync(Get("slow.example"));
        Bring(bench, ["slow.example"], "slow.example");
        Assert.Equal("slow.example", (await answer).Text);
    }

    [Fact]
    public async Task A_flood_of_unknown_hosts_holds_so_many_and_refuses_the_rest()
    {
        (EngineBench bench, ConcurrentQueue<string> wanted) = Start("fixed.example");
        await using EngineBench own = bench;
        var held = new List<RawClient>();
        for (int i = 0; i < HostsOnDemand.MostHosts; i++)
        {
            RawClient client = await bench.ConnectAsync();
            await client.SendAsync(Get($"h{i}.example"));
            held.Add(client);
        }
        await UntilAsync(wanted, HostsOnDemand.MostHosts);
        using RawClient late = await bench.ConnectAsync();
        for (int i = 0; i < 200; i++) Assert.Equal(503, (await late.ExchangeAsync(Get($"late{i}.example"))).Status);
        Assert.Equal("fixed.example", (await late.ExchangeAsync(Get("fixed.example"))).Text);
        Assert.Equal(HostsOnDemand.MostHosts, wanted.Count);
        foreach (RawClient client in held) client.Dispose();
        await Waiting.UntilAsync(() => bench.Engine.ActiveConnections == 1, "those that are held to end");
        Bring(bench, ["fixed.example"], [.. Enumerable.Range(0, HostsOnDemand.MostHosts).Select(i => $"h{i}.example")]);
        Task<HttpMessage> next = late.ExchangeAsync(Get("next.example"));
        await UntilAsync(wanted, HostsOnDemand.MostHosts + 1);
        Bring(bench, ["next.example"], "next.example");
        Assert.Equal("next.example", (await next).Text);
    }

    [Fact]
    public async Task Scopes_lead_to_tables_that_come_and_go_while_requests_do()
    {
        HttpConnectionManagerConfig http = EngineBench.Http() with
        {
            RouteConfig = null,
            ScopedRoutes = new ScopedRoutesConfig([new ScopeFragmentConfig("x-tenant", "", 0, "", "")], []) { Name = "s", Source = new ConfigSourceConfig(ConfigSourceKind.Ads) },
        };
        await using var bench = new EngineBench(1);
        bench.Apply(new ConfigChange { Listeners = [EngineBench.Listener(EngineBench.Chain(http))] });
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(404, await StatusAsync("red"));
        bench.Apply(new ConfigChange
        {
            RouteConfigurations = [Table("x") with { Name = "t", HostsOnDemand = null }],
            Scopes = [new RouteScopeConfig("red", ["red"], "t", null), new RouteScopeConfig("own", ["own"], "", Table("x") with { Name = "", HostsOnDemand = null })],
        });
        Assert.Equal(200, await StatusAsync("red"));
        Assert.Equal(200, await StatusAsync("own"));
        Assert.Equal(404, await StatusAsync("blue"));
        bench.Apply(new ConfigChange { Scopes = [new RouteScopeConfig("red", ["blue"], "t", null)] });
        Assert.Equal(404, await StatusAsync("red"));
        Assert.Equal(404, await StatusAsync("own"));
        Assert.Equal(200, await StatusAsync("blue"));

        async Task<int> StatusAsync(string tenant) => (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\nx-tenant: {tenant}\r\n\r\n")).Status;
    }
}

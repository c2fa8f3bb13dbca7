// An endpoint leaves while requests wait for a connection to it: each of them goes on, at once, and elsewhere.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class DepartureTests
{
    private const string OneConnection = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    private const string Routes = """
        - match: { prefix: "/" }
          route: { cluster: moving, timeout: 0s }
        """;

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(40_000)]
    public async Task Whoever_waits_for_an_endpoint_that_leaves_goes_to_one_that_is_there(int body)
    {
        var never = new SemaphoreSlim(0);
        await using var left = new Witness(async c =>
        {
            if (await c.RequestAsync() is null) return;
            await never.WaitAsync();
            await c.OkAsync("left");
        });
        await using var there = new Witness(async c => { while (await c.RequestAsync() is not null) await c.OkAsync("there"); });
        using var folder = new TempFolder();
        folder.Replace("eds.yaml", Assignment(left.Port));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder, OneConnection), new ProxyOptions { Concurrency = 1 });
        using RawClient first = await proxy.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => left.Requests.Count == 1, "the only connection");
        using var others = new RawClients();
        for (int i = 0; i < 4; i++)
        {
            RawClient client = others.Add(await proxy.ConnectAsync());
            await client.SendAsync($"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n{new string('a', body)}");
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.moving.upstream_rq_pending_active") == 4, "four that wait");
        folder.Replace("eds.yaml", Assignment(there.Port));
        foreach (RawClient client in others.All) Assert.Equal("there", (await client.ResponseAsync("POST")).Text);
        never.Release();
        Assert.Equal("left", (await first.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Whoever_waits_goes_on_when_limits_are_raised()
    {
        var never = new SemaphoreSlim(0);
        int connections = 0;
        await using var endpoint = new Witness(async c =>
        {
            bool isFirst = Interlocked.Increment(ref connections) == 1;
            while (await c.RequestAsync() is not null)
            {
                if (isFirst) await never.WaitAsync();
                await c.OkAsync("ok");
            }
        });
        using var folder = new TempFolder();
        folder.Replace("cds.yaml", Cluster(endpoint.Port, 1));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Dynamic(folder), new ProxyOptions { Concurrency = 1 });
        using RawClient first = await proxy.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => endpoint.Requests.Count == 1, "the only connection");
        using RawClient second = await proxy.ConnectAsync();
        await second.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.moving.upstream_rq_pending_active") == 1, "one that waits");
        folder.Replace("cds.yaml", Cluster(endpoint.Port, 2));
        Assert.Equal("ok", (await second.ResponseAsync()).Text);
        never.Release();
        Assert.Equal("ok", (await first.ResponseAsync()).Text);
    }

    private static string Bootstrap(TempFolder folder, string cluster)
    {
        string text = Bootstraps.Many(Routes, [new TestCluster("moving", [1], $"{cluster}\neds_cluster_config: {{ eds_config: {{ path_config_source: {{ path: \"{folder.At("eds.yaml")}\" }} }} }}")])
            .Replace("type: STATIC", "type: EDS", StringComparison.Ordinal);
        return text[..text.IndexOf("    load_assignment:", StringComparison.Ordinal)];
    }

    private static string Dynamic(TempFolder folder)
    {
        string text = Bootstraps.Many(Routes, []);
        return $"{text}\ndynamic_resources: {{ cds_config: {{ path_config_source: {{ path: \"{folder.At("cds.yaml")}\" }} }} }}\n";
    }

    private static string Cluster(int port, int connections) => $$"""
        resources:
        - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
          name: moving
          type: STATIC
          connect_timeout: 5s
          circuit_breakers: { thresholds: [{ max_connections: {{connections}} }] }
          load_assignment: { cluster_name: moving, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{port}} } } } }] }] }
        """;

    private static string Assignment(int port) => $$"""
        resources:
        - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
          cluster_name: moving
          endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{port}} } } } }] }]
        """;
}

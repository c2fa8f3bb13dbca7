// Configuration from watched files: a change is taken over under load without losing a request; a bad one is refused and the last good one serves.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class FileConfigurationTests
{
    private const string Type = "type.googleapis.com/envoy.config.";

    private static string Bootstrap(TempFolder folder) => $$"""
        node: { id: files, cluster: tests }
        admin:
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
        dynamic_resources:
          lds_config: { path_config_source: { path: "{{folder.At("lds.yaml")}}" }, resource_api_version: V3 }
          cds_config: { path_config_source: { path: "{{folder.At("cds.yaml")}}" }, resource_api_version: V3 }
        """;

    private static string Listeners(TempFolder folder, string extra = "") => $$"""
        resources:
        - "@type": {{Type}}listener.v3.Listener
          name: main
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
          filter_chains:
          - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: test
                {{extra}}
                rds:
                  route_config_name: routes
                  config_source: { path_config_source: { path: "{{folder.At("rds.yaml")}}" }, resource_api_version: V3 }
                http_filters:
                - name: envoy.filters.http.router
                  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
        """;

    private static string Routes(string cluster, string extra = "") => $$"""
        resources:
        - "@type": {{Type}}route.v3.RouteConfiguration
          name: routes
          virtual_hosts:
          - name: all
            domains: ["*"]
            routes:
            - match: { prefix: "/" }
              route: { cluster: {{cluster}} }
              {{extra}}
        """;

    private static string Clusters(params (string Name, int Port)[] clusters) =>
        "resources:\n" + string.Concat(clusters.Select(c => $$"""
        - "@type": {{Type}}cluster.v3.Cluster
          name: {{c.Name}}
          type: STATIC
          connect_timeout: 2s
          load_assignment:
            cluster_name: {{c.Name}}
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{c.Port}} } } } }] }]

        """));

    private static WitnessScript Named(string name) => async c =>
    {
        while (await c.RequestAsync() is not null) await c.OkAsync(name);
    };

    [Fact]
    public async Task A_hundred_changes_under_load_lose_no_request()
    {
        await using var one = new Witness(Named("one"));
        await using var two = new Witness(Named("two"));
        using var folder = new TempFolder();
        folder.Write("cds.yaml", Clusters(("one", one.Port), ("two", two.Port)));
        folder.Write("rds.yaml", Routes("one"));
        folder.Write("lds.yaml", Listeners(folder));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder), new ProxyOptions { Folder = folder });
        await using var load = Load.Start(proxy.Address, connections: 4);

        for (int i = 0; i < 100; i++)
        {
            string want = i % 2 == 0 ? "two" : "one";
            folder.Replace("rds.yaml", Routes(want));
            if (i % 10 == 5) folder.Replace("cds.yaml", Clusters(("one", one.Port), ("two", two.Port), ($"extra{i}", 1)));
            await Waiting.UntilAsync(() => load.Last == want, $"the answer to come from {want}");
        }

        LoadResult result = await load.StopAsync();
        Assert.Empty(result.Failures);
        Assert.True(result.Count > 100);
    }

    [Fact]
    public async Task A_bad_file_is_refused_by_name_and_the_last_good_one_serves()
    {
        await using var one = new Witness(Named("one"));
        await using var two = new Witness(Named("two"));
        using var folder = new TempFolder();
        folder.Write("cds.yaml", Clusters(("one", one.Port), ("two", two.Port)));
        folder.Write("rds.yaml", Routes("one"));
        folder.Write("lds.yaml", Listeners(folder));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder), new ProxyOptions { Folder = folder });
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("one", (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text);

        foreach (string bad in new[] { Routes("two", "tpyo: 1"), "resources: [", "resources: [{}]", "" })
        {
            folder.Replace("rds.yaml", bad);
            // A good change of another file, made after it, tells when the bad one was seen.
            Assert.Equal("one", (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        }
        folder.Replace("rds.yaml", Routes("two", "tpyo: 1"));
        await proxy.Child.LineAsync("tpyo");
        Assert.Equal("one", (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        folder.Replace("rds.yaml", Routes("two"));
        await Waiting.UntilAsync(async () => (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text == "two", "the repaired file");
    }

    [Fact]
    public async Task A_file_that_is_written_in_place_is_seen_too()
    {
        await using var one = new Witness(Named("one"));
        await using var two = new Witness(Named("two"));
        using var folder = new TempFolder();
        folder.Write("cds.yaml", Clusters(("one", one.Port), ("two", two.Port)));
        folder.Write("rds.yaml", Routes("one"));
        folder.Write("lds.yaml", Listeners(folder));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder), new ProxyOptions { Folder = folder });
        using RawClient client = await proxy.ConnectAsync();
        folder.Write("rds.yaml", Routes("two"));
        await Waiting.UntilAsync(async () => (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text == "two", "the change");
    }

    [Fact]
    public async Task A_listener_that_goes_ends_after_its_requests()
    {
        var release = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        await using var one = new Witness(async c =>
        {
            if (await c.RequestAsync() is null) return;
            begun.TrySetResult();
            await release.Task;
            await c.OkAsync("done");
        });
        using var folder = new TempFolder();
        folder.Write("cds.yaml", Clusters(("one", one.Port)));
        folder.Write("rds.yaml", Routes("one"));
        folder.Write("lds.yaml", Listeners(folder));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder), new ProxyOptions { Folder = folder });
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await begun.Task.Within("the request");
        System.Net.IPEndPoint address = proxy.Address;
        folder.Replace("lds.yaml", "resources: []\n");
        await Waiting.UntilAsync(async () =>
        {
            try
            {
                using RawClient probe = await RawClient.ConnectAsync(address);
                return false;
            }
            catch (System.Net.Sockets.SocketException)
            {
                return await Task.FromResult(true);
            }
        }, "the listener to close");
        release.SetResult();
        Assert.Equal("done", (await client.ResponseAsync()).Text);
    }
}

// Ends of connections in the debug log of the real proxy, which is switched on while it runs.
using System.Net.Sockets;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ConnectionEndTests
{
    [Fact]
    public async Task Overload_is_told_by_the_debug_log_once_somebody_wants_to_know()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(1) + """

            overload_manager:
              refresh_interval: 0.05s
              resource_monitors:
              - name: envoy.resource_monitors.fixed_heap
                typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1 }
              actions:
              - name: envoy.overload_actions.reject_incoming_connections
                triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.5 } }]
            """, new ProxyOptions { Poisoned = false }); // it takes no connection that could give its worker a past
        await Waiting.UntilAsync(async () => await proxy.StatAsync("overload.envoy.overload_actions.reject_incoming_connections.active") == 1, "the action to be active");
        await ConnectAsync(proxy);
        Assert.DoesNotContain("NARU-N529", proxy.Child.Error, StringComparison.Ordinal);
        using HttpResponseMessage answer = await proxy.Admin.PostAsync("logging?listener=debug", null);
        answer.EnsureSuccessStatusCode();
        await ConnectAsync(proxy);
        await Waiting.UntilAsync(() => proxy.Child.Error.Contains("[debug][listener] NARU-N529 ", StringComparison.Ordinal), "the line of the debug log");
    }

    private static async Task ConnectAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        try
        {
            Assert.Equal("", await client.RestAsync());
        }
        catch (IOException e) when (e.InnerException is SocketException)
        {
            // A reset is an end as well.
        }
    }
}

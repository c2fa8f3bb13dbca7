// Both planes, the real wire between them (gRPC over loopback), the real clock; only what is served and who obeys is the test's.
using Google.Protobuf;
using Naru.Control.Xds;
using Naru.Kit;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class LoopbackTests
{
    private const int Services = 100;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_hundred_services_arrive_whole_and_follow_every_change(bool delta)
    {
        await using ControlServer server = await ControlServer.StartAsync(0);
        server.Publish(Mesh("10.0.0.1:80"));
        await using var proxy = new LoopbackClient(server.Port, delta);
        await proxy.Manager.StartAsync(CancellationToken.None);
        await proxy.Manager.InitialFetch.WaitAsync(Waiting.Bound);
        Assert.Equal(Services + 1, proxy.Plane.Clusters.Count);
        Assert.Equal(Services, proxy.Plane.Listeners.Count);
        Assert.Equal(Services, proxy.Plane.Routes.Count);
        Assert.Empty(proxy.Plane.Broken);
        Assert.Equal("10.0.0.1:80", proxy.Plane.Addresses("s7"));

        server.Publish(Mesh("10.0.0.2:80"));
        await Waiting.UntilAsync(() => proxy.Sees(p => Enumerable.Range(0, Services).All(i => p.Addresses($"s{i}") == "10.0.0.2:80")), "the new endpoints");
        await Waiting.UntilAsync(() => server.Xds.Proxies() is [{ Types: var types }] && types.Count == 4 && types.All(t => t.State == SyncState.Synced), "all types in step");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_bad_resource_is_named_to_the_control_plane_and_its_neighbours_serve(bool delta)
    {
        await using ControlServer server = await ControlServer.StartAsync(0);
        server.Publish(Resources.Static("good"), Resources.Static("bad", timeout: -1));
        await using var proxy = new LoopbackClient(server.Port, delta);
        await proxy.Manager.StartAsync(CancellationToken.None);
        await Waiting.UntilAsync(() => server.Xds.Proxies().SelectMany(p => p.Types).Any(t => t.Error?.Contains("bad: error[NARU-T001]", StringComparison.Ordinal) == true), "the NACK");
        Assert.True(proxy.Sees(p => p.Clusters.ContainsKey("good") && !p.Clusters.ContainsKey("bad")));
        server.Publish(Resources.Static("good"), Resources.Static("bad", timeout: 2));
        await Waiting.UntilAsync(() => proxy.Sees(p => p.Clusters.ContainsKey("bad")), "the repair");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_control_plane_that_dies_is_found_again_and_nothing_was_taken_away(bool delta)
    {
        ControlServer first = await ControlServer.StartAsync(0);
        first.Publish(Mesh("10.0.0.1:80"));
        await using var proxy = new LoopbackClient(first.Port, delta);
        await proxy.Manager.StartAsync(CancellationToken.None);
        await proxy.Manager.InitialFetch.WaitAsync(Waiting.Bound);
        await first.DisposeAsync();
        await Waiting.UntilAsync(() => !proxy.IsConnected, "the loss");
        Assert.Equal(Services + 1, proxy.Plane.Clusters.Count);

        int changes = proxy.Plane.Changes.Count;
        await using ControlServer second = await ControlServer.StartAsync(first.Port);
        second.Publish(Mesh("10.0.0.1:80"));
        await Waiting.UntilAsync(() => proxy.IsConnected, "the return");
        await Waiting.UntilAsync(() => second.Xds.Proxies() is [{ Types.Count: 4 }], "all types");
        second.Publish(Mesh("10.0.0.3:80"));
        await Waiting.UntilAsync(() => proxy.Sees(p => Enumerable.Range(0, Services).All(i => p.Addresses($"s{i}") == "10.0.0.3:80")), "the new endpoints");
        // What was already known is not handed over again.
        Assert.All(proxy.Plane.Changes.Skip(changes), c => Assert.Empty(c.Clusters.Select(k => k.Name).Concat(c.Listeners.Select(l => l.Name)).Concat(c.RemovedClusters)));
        Assert.Empty(proxy.Plane.Broken);
    }

    private static IMessage[] Mesh(string address) =>
    [
        .. Enumerable.Range(0, Services).Select(i => Resources.Eds($"s{i}")),
        .. Enumerable.Range(0, Services).Select(i => Resources.Endpoints($"s{i}", address)),
        .. Enumerable.Range(0, Services).Select(i => Resources.Rds($"l{i}", $"r{i}", (uint)(9000 + i))),
        .. Enumerable.Range(0, Services).Select(i => Resources.Routes($"r{i}", $"s{i}")),
    ];
}

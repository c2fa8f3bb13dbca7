// Both planes, the real wire between them (gRPC over loopback), the real clock; only what is served and who obeys is the test's.
using Envoy.Config.Core.V3;
using Google.Protobuf;
using Naru.Control.Xds;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Naru.Telemetry;
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
        await using var proxy = new Client(server.Port, delta);
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
        await using var proxy = new Client(server.Port, delta);
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
        await using var proxy = new Client(first.Port, delta);
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

    /// <summary>The proxy's side.</summary>
    private sealed class Client : IAsyncDisposable
    {
        private readonly StatRegistry _stats = new(1);

        public Client(int port, bool delta)
        {
            Manager = new XdsManager(new XdsManagerOptions
            {
                Bootstrap = new BootstrapConfig
                {
                    Node = new Node { Id = "sidecar~127.0.0.1~a.b~b.svc.cluster.local" }.ToByteArray(),
                    Clusters = [World.XdsCluster(new AddressConfig("127.0.0.1", port))],
                    Ads = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc", Delta: delta),
                    Cds = new ConfigSourceConfig(ConfigSourceKind.Ads) { InitialFetchTimeout = TimeSpan.Zero },
                    Lds = new ConfigSourceConfig(ConfigSourceKind.Ads) { InitialFetchTimeout = TimeSpan.Zero },
                },
                DataPlane = Plane,
                Stats = _stats,
                Decoder = Resources.Decode,
                FileReader = (_, _, path) => throw new FileNotFoundException(path),
            });
        }

        public RecordingPlane Plane { get; } = new();
        public XdsManager Manager { get; }
        public bool IsConnected => _stats.Blocks.Single(b => b.Prefix == "control_plane").Read(0) == 1;

        /// <summary>Looks from the context that writes.</summary>
        public bool Sees(Func<RecordingPlane, bool> look) => Manager.Main.Ask(() => look(Plane)).GetAwaiter().GetResult();

        public ValueTask DisposeAsync() => Manager.DisposeAsync();
    }
}

// A proxy's side of the wire: everything but the engine, over real gRPC.
using System.Collections.Concurrent;
using Envoy.Config.Core.V3;
using Google.Protobuf;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Naru.Telemetry;

namespace Naru.SimulationTests.ProxyXds;

/// <summary>The proxy's side.</summary>
internal sealed class LoopbackClient : IAsyncDisposable
{
    private readonly StatRegistry _stats = new(1);

    public LoopbackClient(int port, bool delta, Func<ClusterConfig, ClusterConfig>? change = null)
    {
        Manager = new XdsManager(new XdsManagerOptions
        {
            Bootstrap = new BootstrapConfig
            {
                Node = new Node { Id = "sidecar~127.0.0.1~a.b~b.svc.cluster.local" }.ToByteArray(),
                Clusters = [(change ?? (c => c))(World.XdsCluster(new AddressConfig("127.0.0.1", port)))],
                Ads = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc", Delta: delta),
                Cds = new ConfigSourceConfig(ConfigSourceKind.Ads) { InitialFetchTimeout = TimeSpan.Zero },
                Lds = new ConfigSourceConfig(ConfigSourceKind.Ads) { InitialFetchTimeout = TimeSpan.Zero },
            },
            DataPlane = Plane,
            Stats = _stats,
            Decoder = Resources.Decode,
            Log = (_, line) => Said.Enqueue(line),
            FileReader = (_, _, path) => throw new FileNotFoundException(path),
        });
    }

    /// <summary>Every line of the log.</summary>
    public ConcurrentQueue<string> Said { get; } = new();
    public RecordingPlane Plane { get; } = new();
    public XdsManager Manager { get; }
    public bool IsConnected => _stats.Blocks.Single(b => b.Prefix == "control_plane").Read(0) == 1;

    /// <summary>Looks from the context that writes.</summary>
    public bool Sees(Func<RecordingPlane, bool> look) => Manager.Main.Ask(() => look(Plane)).GetAwaiter().GetResult();

    public ValueTask DisposeAsync() => Manager.DisposeAsync();
}

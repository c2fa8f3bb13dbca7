// One proxy's discovery in a test's hand: clock, chance, wire, names and data plane are the test's, everything else is the real thing.
using System.Net;
using System.Net.Sockets;
using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Naru.Telemetry;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

internal sealed class World : INameLookup
{
    public World(bool delta = false, Func<BootstrapConfig, BootstrapConfig>? change = null, ResourceFileReader? files = null, ResourceDecoder? decoder = null,
        TimeSpan drain = default, Func<IReadOnlyList<ClusterLoad>>? loads = null)
    {
        Main = new MainContext(Log, manual: true);
        var bootstrap = new BootstrapConfig
        {
            Node = new Node { Id = "sidecar~127.0.0.1~a.b~b.svc.cluster.local", Cluster = "a.b" }.ToByteArray(),
            Clusters = [XdsCluster(new AddressConfig("127.0.0.1", 15010))],
            Ads = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc", Delta: delta) { Stream = NodeOnce },
            Cds = new ConfigSourceConfig(ConfigSourceKind.Ads),
            Lds = new ConfigSourceConfig(ConfigSourceKind.Ads),
        };
        Manager = new XdsManager(new XdsManagerOptions
        {
            Bootstrap = change?.Invoke(bootstrap) ?? bootstrap,
            DataPlane = Plane,
            Stats = Stats,
            Decoder = decoder ?? Resources.Decode,
            FileReader = files ?? ((_, _, path) => throw new FileNotFoundException(path)),
            Transport = Wire,
            Names = this,
            Time = Time,
            Random = new Random(1),
            Log = Log,
            Main = Main,
            DrainTime = drain,
            Loads = loads,
            Runtime = Runtime = new Runtime((change?.Invoke(bootstrap) ?? bootstrap).Runtime, Stats),
        });
    }

    /// <summary>Layers as the bootstrap has them.</summary>
    public Runtime Runtime { get; }

    public static StreamSettings NodeOnce { get; } = new() { NodeOnce = true };

    public FakeTime Time { get; } = new();
    public RecordingPlane Plane { get; } = new();
    public StatRegistry Stats { get; } = new(1);
    public MemoryTransport Wire { get; } = new();
    public MainContext Main { get; }
    public XdsManager Manager { get; }
    public List<string> Lines { get; } = [];

    /// <summary>Names and addresses; a name that is not here cannot be looked up.</summary>
    public Dictionary<string, string[]> Names { get; } = [];

    /// <summary>Names of which servers say that there are none such.</summary>
    public HashSet<string> Unknown { get; } = [];

    /// <summary>A family of which no server can say anything.</summary>
    public AddressFamily Mute { get; set; }
    public int Lookups { get; private set; }

    /// <summary>What look-ups say of how long they hold.</summary>
    public TimeSpan? TimeToLive { get; set; }

    /// <summary>The newest stream.</summary>
    public MemoryStream Stream => Wire.Streams[^1];
    public bool IsLive => Manager.InitialFetch.IsCompleted;

    public static ClusterConfig XdsCluster(params AddressConfig[] addresses) => new()
    {
        Name = "xds-grpc",
        Type = DiscoveryType.Static,
        Protocol = UpstreamProtocol.Http2,
        LoadAssignment = new EndpointsConfig("xds-grpc", [.. addresses.Select(a => new EndpointConfig(a))]),
    };

    /// <summary>A proxy that is live with no clusters and no listeners.</summary>
    public static World Live(bool delta = false, ResourceDecoder? decoder = null)
    {
        World world = new World(delta, decoder: decoder).Start();
        world.Say(s => { if (delta) s.Delta(ResourceType.Cluster, "c0", []); else s.State(ResourceType.Cluster, "c0"); });
        world.Say(s => { if (delta) s.Delta(ResourceType.Listener, "l0", []); else s.State(ResourceType.Listener, "l0"); });
        Assert.True(world.IsLive);
        world.Stream.Heard();
        return world;
    }

    public World Start()
    {
        Task start = Manager.StartAsync(CancellationToken.None);
        Main.Drain();
        Assert.True(start.IsCompletedSuccessfully);
        return this;
    }

    /// <summary>The control plane does something on the newest stream, and the proxy digests it.</summary>
    public World Say(Action<MemoryStream> say)
    {
        say(Stream);
        Main.Drain();
        return this;
    }

    public World Wait(double seconds)
    {
        Time.Advance(TimeSpan.FromSeconds(seconds), Main.Drain);
        Main.Drain();
        return this;
    }

    /// <summary>Waits, with a bound, for something that another thread does.</summary>
    public Task UntilAsync(Func<bool> probe, string what) => Naru.Kit.Waiting.UntilAsync(
        () =>
        {
            Main.Drain();
            return probe();
        },
        what);

    public long Stat(string prefix, string name)
    {
        foreach (StatBlock block in Stats.Blocks)
        {
            if (block.Prefix != prefix) continue;
            for (int i = 0; i < block.Schema.Stats.Count; i++) if (block.Schema.Stats[i].Name == name) return block.Read(i);
        }
        return -1;
    }

    public ConfigDump Dump()
    {
        Task<ConfigDump> dump = Manager.DumpAsync();
        Main.Drain();
        return dump.Result;
    }

    /// <summary>What was said since the last time, one line a request: type, then +names, then ACK or NACK.</summary>
    public string Heard() => string.Join("; ", Stream.Heard().Select(Tell));

    public async Task<NameAnswer> LookupAsync(string name, AddressFamily family, DnsResolverConfig? resolver, CancellationToken token)
    {
        await Task.Yield();
        Lookups++;
        if (Unknown.Contains(name)) throw new SocketException((int)SocketError.HostNotFound);
        if (family == Mute) throw new SocketException((int)SocketError.TryAgain);
        return Names.TryGetValue(name, out string[]? addresses) ? new NameAnswer([.. addresses.Select(IPAddress.Parse)], TimeToLive) : throw new SocketException((int)SocketError.TryAgain);
    }

    public static string Tell(IMessage message)
    {
        var words = new List<string>();
        if (message is DiscoveryRequest state)
        {
            ResourceTypes.TryParse(state.TypeUrl, out ResourceType type);
            words.Add(type.Abbreviation());
            if (state.Node is not null) words.Add("node");
            words.AddRange(state.ResourceNames);
            if (state.VersionInfo.Length > 0) words.Add("version=" + state.VersionInfo);
            if (state.ResponseNonce.Length > 0) words.Add((state.ErrorDetail is null ? "ACK=" : "NACK=") + state.ResponseNonce);
            return string.Join(" ", words);
        }
        var delta = (DeltaDiscoveryRequest)message;
        ResourceTypes.TryParse(delta.TypeUrl, out ResourceType kind);
        words.Add(kind.Abbreviation());
        if (delta.Node is not null) words.Add("node");
        words.AddRange(delta.ResourceNamesSubscribe.Select(n => "+" + n));
        words.AddRange(delta.ResourceNamesUnsubscribe.Select(n => "-" + n));
        words.AddRange(delta.InitialResourceVersions.OrderBy(v => v.Key, StringComparer.Ordinal).Select(v => $"has {v.Key}@{v.Value}"));
        if (delta.ResponseNonce.Length > 0) words.Add((delta.ErrorDetail is null ? "ACK=" : "NACK=") + delta.ResponseNonce);
        return string.Join(" ", words);
    }

    private void Log(LogLevel level, string text)
    {
        lock (Lines) Lines.Add($"{level}: {text}");
    }
}

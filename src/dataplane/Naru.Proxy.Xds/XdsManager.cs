// All of discovery behind one door: static resources, xDS streams, watched files and DNS names end as changes of one data plane.
// Composes the parts and routes interests to whoever can satisfy them; the parts know nothing of each other.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>What <see cref="XdsManager"/> is made of. All that is not required has a default for production.</summary>
public sealed record XdsManagerOptions
{
    /// <summary>The bootstrap, validated.</summary>
    public required BootstrapConfig Bootstrap { get; init; }
    /// <summary>Who gets the changes, one at a time.</summary>
    public required IDataPlane DataPlane { get; init; }
    /// <summary>Where to count.</summary>
    public required StatRegistry Stats { get; init; }
    /// <summary>Judges resources that came over the wire.</summary>
    public ResourceDecoder Decoder { get; init; } = EnvoyResources.Decode;
    /// <summary>Reads files of resources.</summary>
    public ResourceFileReader FileReader { get; init; } = EnvoyResources.ReadFile;
    /// <summary>Opens streams.</summary>
    public IXdsTransport Transport { get; init; } = new GrpcTransport();
    /// <summary>Resolves names.</summary>
    public INameLookup Names { get; init; } = new SystemNameLookup();
    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
    /// <summary>Chance, for jitter.</summary>
    public Random Random { get; init; } = Random.Shared;
    /// <summary>Called from the main context, one line at a time.</summary>
    public Action<LogLevel, string> Log { get; init; } = static (_, _) => { };
    /// <summary>The runtime, whose layers files and discovery fill; null has none.</summary>
    public Runtime? Runtime { get; init; }
    /// <summary>How long listeners that are gone drain: their tables stay current as long.</summary>
    public TimeSpan DrainTime { get; init; }
    /// <summary>What was asked of the clusters, for load reports; null reports nothing.</summary>
    public Func<IReadOnlyList<ClusterLoad>>? Loads { get; init; }
    /// <summary>The context to run on; null makes one.</summary>
    public MainContext? Main { get; init; }
}

/// <summary>Brings configuration to a data plane and keeps it up to date.</summary>
public sealed class XdsManager : IInterests, IAsyncDisposable
{
    /// <summary>Virtual hosts that are asked for at a time, of all tables.</summary>
    public const int MostHostsAsked = 1024;

    private readonly XdsManagerOptions _options;
    private readonly ConfigStore _store;
    private readonly UpdateHandler _updates;
    private readonly DnsDiscovery _dns;
    private readonly Node _node;
    private readonly StatBlock _controlPlane;
    // Sources that call the same server otherwise have a stream each.
    private readonly Dictionary<(string Cluster, XdsMethod Method, StreamSettings? Settings), XdsClient> _clients = [];
    private readonly Dictionary<(ResourceType Type, string Path, string Directory), FileSubscription> _files = [];
    private readonly HashSet<(ResourceType Type, XdsClient Client)> _asked = [];
    private readonly Runtime _runtime;
    private readonly List<RuntimeFolderWatch> _folders = [];
    private readonly System.Collections.Concurrent.ConcurrentQueue<(string Table, string Host)> _wanted = new();
    private int _wantedPosted;
    private LoadReporter? _loads;

    /// <summary>Prepares; nothing happens before <see cref="StartAsync"/>.</summary>
    public XdsManager(XdsManagerOptions options)
    {
        _options = options;
        Main = options.Main ?? new MainContext(options.Log);
        _node = options.Bootstrap.Node.Length > 0 ? Node.Parser.ParseFrom(options.Bootstrap.Node) : new Node();
        if (_node.UserAgentName.Length == 0) _node.UserAgentName = "naru-proxy";
        _controlPlane = options.Stats.Block("control_plane", ControlPlaneStats.Schema);
        _runtime = options.Runtime ?? new Runtime(options.Bootstrap.Runtime);
        _store = new ConfigStore(options.DataPlane, this, Main, options.Time, options.Stats, options.Log, _runtime, options.DrainTime);
        _updates = new UpdateHandler(_store, options.Decoder, options.Stats, Main, options.Time, options.Log);
        _dns = new DnsDiscovery(options.Names, Main, options.Time, options.Random, options.Stats, options.Log, _store.Resolved);
    }

    /// <summary>The one context on which the data plane is changed. Whoever else calls the data plane posts here.</summary>
    public MainContext Main { get; }

    /// <summary>Completed when the first clusters and listeners are in use, or the time they are given (<c>initial_fetch_timeout</c>) is up:
    /// then <c>/ready</c> says LIVE.</summary>
    public Task InitialFetch => _store.InitialFetch;

    /// <summary>Hands over the static resources and begins to ask for the others. Completes when the static resources that wait for nothing
    /// are in use; <see cref="InitialFetch"/> tells of the rest.</summary>
    public Task StartAsync(CancellationToken token)
    {
        token.ThrowIfCancellationRequested();
        return Main.Ask(() =>
        {
            // What follows looks at them.
            foreach (RuntimeLayerConfig layer in _options.Bootstrap.Runtime)
                if (layer.Folder is { } folder)
                    _folders.Add(new RuntimeFolderWatch(layer.Name, folder, _runtime, Main, _options.Time, _options.Log));
            _store.Start(_options.Bootstrap);
            if (_options is { Bootstrap.LoadReports: { } reports, Loads: { } loads })
                _loads = new LoadReporter(reports, _node, loads, PeersOf(reports), _options.Transport, Main, _options.Time, _options.Random, _options.Stats, _options.Log);
            return true;
        });
    }

    /// <summary>Whether the first clusters are there (Envoy: no longer PRE_INITIALIZING). Any thread may ask.</summary>
    public bool HasClusters => _store.HasClusters;

    /// <summary>A request waits for a virtual host of a table. Any thread may say so; the data plane is told when more is known
    /// (<see cref="ConfigChange.AnsweredHosts"/>).</summary>
    public void WantHost(string table, string host)
    {
        _wanted.Enqueue((table, host));
        // Many at once are one change of what is asked for.
        if (Interlocked.Exchange(ref _wantedPosted, 1) == 0) Main.Post(TakeWanted);
    }

    private void TakeWanted()
    {
        Volatile.Write(ref _wantedPosted, 0);
        var wanted = new HashSet<(string, string)>();
        while (_wanted.TryDequeue(out (string, string) one)) wanted.Add(one);
        if (wanted.Count > 0) _store.WantHosts(wanted);
    }

    /// <summary>What is known, where it came from and what was refused, for <c>/config_dump</c>.</summary>
    public Task<ConfigDump> DumpAsync() => Main.Ask(_store.Dump);

    /// <summary>Ends streams, watches and lookups. What the data plane has goes on.</summary>
    public Task StopAsync() => Main.Ask(() =>
    {
        _store.Stop();
        _updates.Dispose();
        _loads?.Dispose();
        _dns.Stop();
        foreach (XdsClient client in _clients.Values) client.Stop();
        foreach (FileSubscription file in _files.Values) file.Dispose();
        foreach (RuntimeFolderWatch folder in _folders) folder.Dispose();
        _clients.Clear();
        _files.Clear();
        return true;
    });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await StopAsync().ConfigureAwait(false);

    void IInterests.SubscribeAll(ResourceType type, ConfigSourceConfig source)
    {
        if (source.Kind == ConfigSourceKind.Path) FileOf(type, source);
        else if (ClientOf(type, source) is { } client)
        {
            _updates.Subscribed(type);
            client.SubscribeAll(type);
        }
    }

    void IInterests.UnsubscribeAll(ResourceType type)
    {
        foreach (XdsClient client in _clients.Values.ToList())
            if (client.UnsubscribeAll(type) && !IsAggregated(client)) End(client);
        foreach (((ResourceType Type, string Path, string Directory) key, FileSubscription file) in _files.Where(f => f.Key.Type == type).ToList())
        {
            file.Dispose();
            _files.Remove(key);
        }
    }

    void IInterests.AskAgain(ResourceType type, ConfigSourceConfig source)
    {
        if (source.Kind != ConfigSourceKind.Path) ClientOf(type, source)?.AskAgain(type);
    }

    void IInterests.Release(string? complaint)
    {
        foreach (XdsClient client in _clients.Values.ToList()) client.Release(ResourceType.Cluster, complaint);
    }

    // A stream of one type that nobody wants anything of is of no use to either side; the aggregated one serves others.
    private void End(XdsClient client)
    {
        client.Stop();
        _clients.Remove(_clients.First(c => c.Value == client).Key);
    }

    private bool IsAggregated(XdsClient client) => _clients.First(c => c.Value == client).Key.Method.IsAggregated;

    void IInterests.SubscribeNames(ResourceType type, IReadOnlyDictionary<ConfigSourceConfig, HashSet<string>> names)
    {
        var asked = new HashSet<XdsClient>();
        var read = new HashSet<FileSubscription>();
        foreach ((ConfigSourceConfig source, HashSet<string> wanted) in names)
        {
            if (source.Kind == ConfigSourceKind.Path)
            {
                FileSubscription file = FileOf(type, source);
                file.SetNames(wanted);
                read.Add(file);
            }
            else if (ClientOf(type, source) is { } client)
            {
                asked.Add(client);
                _asked.Add((type, client));
                client.SubscribeNames(type, wanted);
            }
        }
        foreach ((ResourceType _, XdsClient idle) in _asked.Where(a => a.Type == type && !asked.Contains(a.Client)).ToList())
        {
            _asked.Remove((type, idle));
            // On a stream of its own there is nobody to whom that need be said.
            if (IsAggregated(idle)) idle.Unwant(type);
            else End(idle);
        }
        foreach (((ResourceType Type, string Path, string Directory) key, FileSubscription file) in _files.Where(f => f.Key.Type == type && !read.Contains(f.Value)).ToList())
        {
            file.Dispose();
            _files.Remove(key);
        }
    }

    void IInterests.ResolveNames(IReadOnlyCollection<ClusterConfig> clusters) => _dns.SetClusters(clusters);

    private FileSubscription FileOf(ResourceType type, ConfigSourceConfig source)
    {
        var key = (type, source.Path, source.WatchedDirectory);
        if (!_files.TryGetValue(key, out FileSubscription? file))
        {
            _files[key] = file = new FileSubscription(
                type, source.Path, source.WatchedDirectory, _store, _updates, _options.FileReader, Main, _options.Time, _options.Log);
        }
        return file;
    }

    private XdsClient? ClientOf(ResourceType type, ConfigSourceConfig source)
    {
        bool aggregated = source.Kind == ConfigSourceKind.Ads;
        if (aggregated)
        {
            if (_options.Bootstrap.Ads is null)
            {
                _options.Log(LogLevel.Error, $"error[NARU-X111]: {type.Abbreviation()} is to come over ADS, but the bootstrap has no dynamic_resources.ads_config; help: add one");
                return null;
            }
            source = _options.Bootstrap.Ads;
        }
        XdsMethod method = aggregated ? XdsMethod.Aggregated(source.Delta) : XdsMethod.Of(type, source.Delta);
        (string, XdsMethod, StreamSettings?) key = (source.ClusterName, method, source.Stream);
        if (_clients.TryGetValue(key, out XdsClient? client)) return client;
        client = new XdsClient(
            new XdsClientOptions
            {
                Cluster = source.ClusterName,
                Method = method,
                Node = _node,
                NextPeer = PeersOf(source),
                Updates = _updates,
                Known = _store.Versions,
                Holds = t => t == ResourceType.Cluster && _store.HoldsClusters(),
                Settings = source.Stream ?? StreamSettings.Default,
                Stats = StatsOf(type, aggregated),
                ConnectedChanged = _ => CountConnected(),
            },
            _options.Transport, Main, _options.Time, _options.Random, _options.Log);
        _clients[key] = client;
        return client;
    }

    // The servers of a source, one after the other from anywhere on.
    private Func<XdsPeer?> PeersOf(ConfigSourceConfig source)
    {
        ClusterConfig? cluster = _options.Bootstrap.Clusters.FirstOrDefault(c => c.Name == source.ClusterName);
        int next = _options.Random.Next(1 << 16);
        return () =>
        {
            ImmutableArray<EndpointConfig> addresses = _store.AddressesOf(source.ClusterName);
            if (addresses.IsEmpty) return null;
            EndpointConfig endpoint = addresses[next++ % addresses.Length];
            return new XdsPeer(endpoint.Address, endpoint.Hostname, cluster?.ConnectTimeout ?? TimeSpan.FromSeconds(5), cluster?.Tls) { Settings = source.Stream ?? StreamSettings.Default };
        };
    }

    // Of the aggregated stream, of CDS and of LDS; other streams have none, as there may be very many of them.
    private StatBlock? StatsOf(ResourceType type, bool aggregated) => aggregated ? _controlPlane : type switch
    {
        ResourceType.Cluster => _options.Stats.Block("cluster_manager.cds.control_plane", ControlPlaneStats.Schema),
        ResourceType.Listener => _options.Stats.Block("listener_manager.lds.control_plane", ControlPlaneStats.Schema),
        _ => null,
    };

    private void CountConnected()
    {
        foreach (((string _, XdsMethod method, StreamSettings? _), XdsClient client) in _clients)
        {
            ResourceType type = ResourceTypes.All.FirstOrDefault(t => t.Service() == method.Service, (ResourceType)(-1));
            StatsOf(type, method.IsAggregated)?.Set(ControlPlaneStats.Connected, client.IsConnected ? 1 : 0);
        }
    }
}

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
    /// <summary>The context to run on; null makes one.</summary>
    public MainContext? Main { get; init; }
}

/// <summary>Brings configuration to a data plane and keeps it up to date.</summary>
public sealed class XdsManager : IInterests, IAsyncDisposable
{
    private readonly XdsManagerOptions _options;
    private readonly ConfigStore _store;
    private readonly UpdateHandler _updates;
    private readonly DnsDiscovery _dns;
    private readonly Node _node;
    private readonly StatBlock _controlPlane;
    private readonly Dictionary<(string Cluster, XdsMethod Method), XdsClient> _clients = [];
    private readonly Dictionary<(ResourceType Type, string Path, string Directory), FileSubscription> _files = [];
    private readonly HashSet<(ResourceType Type, XdsClient Client)> _asked = [];

    /// <summary>Prepares; nothing happens before <see cref="StartAsync"/>.</summary>
    public XdsManager(XdsManagerOptions options)
    {
        _options = options;
        Main = options.Main ?? new MainContext(options.Log);
        _node = options.Bootstrap.Node.Length > 0 ? Node.Parser.ParseFrom(options.Bootstrap.Node) : new Node();
        if (_node.UserAgentName.Length == 0) _node.UserAgentName = "naru-proxy";
        _controlPlane = options.Stats.Block("control_plane", ControlPlaneStats.Schema);
        _store = new ConfigStore(options.DataPlane, this, Main, options.Time, options.Stats, options.Log);
        _updates = new UpdateHandler(_store, options.Decoder, options.Stats, options.Time, options.Log);
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
            _store.Start(_options.Bootstrap);
            return true;
        });
    }

    /// <summary>What is known, where it came from and what was refused, for <c>/config_dump</c>.</summary>
    public Task<ConfigDump> DumpAsync() => Main.Ask(_store.Dump);

    /// <summary>Ends streams, watches and lookups. What the data plane has goes on.</summary>
    public Task StopAsync() => Main.Ask(() =>
    {
        _store.Stop();
        _dns.Stop();
        foreach (XdsClient client in _clients.Values) client.Stop();
        foreach (FileSubscription file in _files.Values) file.Dispose();
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
            idle.SubscribeNames(type, []);
            _asked.Remove((type, idle));
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
        var key = (source.ClusterName, method);
        if (_clients.TryGetValue(key, out XdsClient? client)) return client;
        ClusterConfig? cluster = _options.Bootstrap.Clusters.FirstOrDefault(c => c.Name == source.ClusterName);
        client = new XdsClient(
            new XdsClientOptions
            {
                Cluster = source.ClusterName,
                Method = method,
                Node = _node,
                Addresses = () => _store.AddressesOf(source.ClusterName),
                ConnectTimeout = cluster?.ConnectTimeout ?? TimeSpan.FromSeconds(5),
                Tls = cluster?.Tls,
                Updates = _updates,
                Known = _store.Versions,
                ConnectedChanged = _ => CountConnected(),
            },
            _options.Transport, Main, _options.Time, _options.Random, _options.Log);
        _clients[key] = client;
        return client;
    }

    private void CountConnected() =>
        _controlPlane.Set(ControlPlaneStats.Connected, _clients.Count > 0 && _clients.Values.All(c => c.IsConnected) ? 1 : 0);
}

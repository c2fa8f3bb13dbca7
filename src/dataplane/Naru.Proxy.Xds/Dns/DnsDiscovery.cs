// Resolves the names of STRICT_DNS and LOGICAL_DNS clusters, again and again, and says what addresses they have now.
// Runs on the main context; lookups themselves run elsewhere. A failed lookup takes nothing away: the last good answer stays.
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>DNS service discovery (Envoy docs: service discovery, strict DNS and logical DNS). After a failure the next lookup comes after
/// the refresh rate, doubled with each further failure up to 30 s.</summary>
internal sealed class DnsDiscovery(
    INameLookup lookup, MainContext main, TimeProvider time, StatRegistry stats, Action<LogLevel, string> log, Action<ClusterConfig, EndpointsConfig?> resolved)
{
    private static readonly TimeSpan MostBackOff = TimeSpan.FromSeconds(30);
    private readonly Dictionary<string, Resolver> _resolvers = new(StringComparer.Ordinal);

    /// <summary>Resolves these clusters and no others.</summary>
    public void SetClusters(IReadOnlyCollection<ClusterConfig> clusters)
    {
        if (clusters.Count == 0 && _resolvers.Count == 0) return;
        var wanted = clusters.ToDictionary(c => c.Name, StringComparer.Ordinal);
        foreach (Resolver resolver in _resolvers.Values.ToList())
        {
            if (wanted.TryGetValue(resolver.Cluster.Name, out ClusterConfig? same) && ReferenceEquals(same, resolver.Cluster)) continue;
            resolver.Stop();
            _resolvers.Remove(resolver.Cluster.Name);
        }
        foreach (ClusterConfig cluster in clusters)
        {
            if (_resolvers.ContainsKey(cluster.Name)) continue;
            var resolver = new Resolver(this, cluster);
            _resolvers[cluster.Name] = resolver;
            resolver.Begin();
        }
    }

    /// <summary>Stops all lookups.</summary>
    public void Stop() => SetClusters([]);

    private async Task<IPAddress[]> LookupAsync(string name, DnsLookupFamily family, CancellationToken token)
    {
        switch (family)
        {
            case DnsLookupFamily.V4Only: return await lookup.LookupAsync(name, AddressFamily.InterNetwork, token).ConfigureAwait(false);
            case DnsLookupFamily.V6Only: return await lookup.LookupAsync(name, AddressFamily.InterNetworkV6, token).ConfigureAwait(false);
            case DnsLookupFamily.All:
                Task<IPAddress[]> six = lookup.LookupAsync(name, AddressFamily.InterNetworkV6, token);
                Task<IPAddress[]> four = lookup.LookupAsync(name, AddressFamily.InterNetwork, token);
                return [.. await OrNone(six).ConfigureAwait(false), .. await OrNone(four).ConfigureAwait(false)];
            default:
                bool fourFirst = family == DnsLookupFamily.V4Preferred;
                AddressFamily first = fourFirst ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
                AddressFamily second = fourFirst ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
                IPAddress[] preferred = await OrNone(lookup.LookupAsync(name, first, token)).ConfigureAwait(false);
                return preferred.Length > 0 ? preferred : await lookup.LookupAsync(name, second, token).ConfigureAwait(false);
        }
    }

    private static async Task<IPAddress[]> OrNone(Task<IPAddress[]> lookup)
    {
        try { return await lookup.ConfigureAwait(false); }
        catch (SocketException) { return []; }
    }

    /// <summary>One cluster.</summary>
    private sealed class Resolver
    {
        private readonly DnsDiscovery _owner;
        private readonly ITimer _timer;
        private readonly StatBlock _stats;
        private readonly CancellationTokenSource _end = new();
        private readonly Dictionary<string, IPAddress[]> _good = new(StringComparer.Ordinal);
        private ImmutableArray<EndpointConfig>? _published;
        private int _failures;

        public Resolver(DnsDiscovery owner, ClusterConfig cluster)
        {
            _owner = owner;
            Cluster = cluster;
            _stats = owner.StatsOf(cluster);
            _timer = owner.CreateTimer(Begin);
        }

        public ClusterConfig Cluster { get; }

        public void Stop()
        {
            _timer.Dispose();
            _end.Cancel();
        }

        public void Begin()
        {
            if (_end.IsCancellationRequested) return;
            _stats.Add(ClusterUpdateStats.Attempt);
            string[] names = Endpoints.Where(e => e.Address is { Kind: AddressKind.Socket, Ip: null }).Select(e => e.Address.Host).Distinct(StringComparer.Ordinal).ToArray();
            _ = LookupAllAsync(names);
        }

        private ImmutableArray<EndpointConfig> Endpoints => Cluster.LoadAssignment?.Endpoints ?? [];

        private async Task LookupAllAsync(string[] names)
        {
            var answers = new (string Name, IPAddress[] Addresses, string? Error)[names.Length];
            await Task.WhenAll(names.Select((name, i) => Task.Run(async () =>
            {
                try
                {
                    IPAddress[] addresses = await _owner.LookupAsync(name, Cluster.DnsLookupFamily, _end.Token).ConfigureAwait(false);
                    answers[i] = (name, addresses, addresses.Length > 0 ? null : "no address");
                }
                catch (Exception e) when (e is SocketException or OperationCanceledException or ArgumentException)
                {
                    answers[i] = (name, [], e.Message);
                }
            }))).ConfigureAwait(false);
            _owner.Post(() => Take(answers));
        }

        private void Take((string Name, IPAddress[] Addresses, string? Error)[] answers)
        {
            if (_end.IsCancellationRequested) return;
            bool failed = false;
            foreach ((string name, IPAddress[] addresses, string? error) in answers)
            {
                if (error is null) _good[name] = Settle(name, addresses);
                else
                {
                    failed = true;
                    string kept = _good.ContainsKey(name) ? "the last good addresses stay" : "it has no endpoints from this name";
                    _owner.Log(_failures == 0 ? LogLevel.Warning : LogLevel.Debug, $"dns: cluster {Cluster.Name}: cannot resolve {name}: {error}; {kept}");
                }
            }
            _failures = failed ? _failures + 1 : 0;
            _stats.Add(failed ? ClusterUpdateStats.Failure : ClusterUpdateStats.Success);
            Publish();
            TimeSpan wait = Cluster.DnsRefreshRate;
            if (_failures > 1) wait = TimeSpan.FromTicks(Math.Max(wait.Ticks, Math.Min(MostBackOff.Ticks, wait.Ticks << Math.Min(_failures - 1, 20))));
            _timer.Change(wait, Timeout.InfiniteTimeSpan);
        }

        /// <summary>A logical name keeps its address while the answer still holds it: rotation is not a change.</summary>
        private IPAddress[] Settle(string name, IPAddress[] addresses)
        {
            if (Cluster.Type != DiscoveryType.LogicalDns) return addresses;
            return _good.TryGetValue(name, out IPAddress[]? last) && addresses.Contains(last[0]) ? last : [addresses[0]];
        }

        private void Publish()
        {
            var endpoints = new List<EndpointConfig>();
            var seen = new HashSet<AddressConfig>();
            foreach (EndpointConfig endpoint in Endpoints)
            {
                if (endpoint.Address is not { Kind: AddressKind.Socket, Ip: null })
                {
                    if (seen.Add(endpoint.Address)) endpoints.Add(endpoint);
                    continue;
                }
                foreach (IPAddress ip in _good.GetValueOrDefault(endpoint.Address.Host, []).OrderBy(a => a.ToString(), StringComparer.Ordinal))
                {
                    var address = new AddressConfig(ip.ToString(), endpoint.Address.Port);
                    if (!seen.Add(address)) continue;
                    endpoints.Add(endpoint with { Address = address, Hostname = endpoint.Hostname.Length > 0 ? endpoint.Hostname : endpoint.Address.Host });
                }
            }
            if (_published is null && endpoints.Count == 0)
            {
                _stats.Add(ClusterUpdateStats.Empty);
                _owner.Resolved(Cluster, null);
                return;
            }
            if (_published is { } last && last.SequenceEqual(endpoints))
            {
                _stats.Add(ClusterUpdateStats.NoRebuild);
                return;
            }
            _published = [.. endpoints];
            _owner.Resolved(Cluster, new EndpointsConfig(Cluster.Name, [.. endpoints]));
        }
    }

    private void Resolved(ClusterConfig cluster, EndpointsConfig? endpoints) => resolved(cluster, endpoints);

    private void Post(Action action) => main.Post(action);

    private void Log(LogLevel level, string text) => log(level, text);

    private ITimer CreateTimer(Action action) => time.CreateTimer(_ => main.Post(action), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    private StatBlock StatsOf(ClusterConfig cluster) =>
        stats.Block("cluster." + (cluster.AltStatName.Length > 0 ? cluster.AltStatName : cluster.Name), ClusterUpdateStats.Schema);
}

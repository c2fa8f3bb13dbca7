// Resolves the names of STRICT_DNS and LOGICAL_DNS clusters, again and again, and says what addresses they have now.
// Runs on the main context; lookups themselves run elsewhere. A lookup that failed takes nothing away, the last good answer
// stays; one that says that there are no addresses does.
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>DNS service discovery (Envoy docs: service discovery, strict DNS and logical DNS). After a failure the next lookup comes after
/// the refresh rate, doubled with each further failure up to 30 s, or after <c>dns_failure_refresh_rate</c>. With <c>respect_dns_ttl</c> the
/// rate is the shortest TTL of the answer; <c>dns_jitter</c> adds to each wait.</summary>
internal sealed class DnsDiscovery(
    INameLookup lookup, MainContext main, TimeProvider time, Random random, StatRegistry stats, Action<LogLevel, string> log, Action<ClusterConfig, EndpointsConfig?> resolved)
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

    private Random Random => random;

    private Task<NameAnswer> LookupAsync(string name, ClusterConfig cluster, CancellationToken token) => lookup.ByFamilyAsync(name, cluster.DnsLookupFamily, cluster.DnsResolver, token);

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
            _stats.Add(ClusterUpdateStats.Attempt, Math.Max(1, Endpoints.Count(IsName)));
            string[] names = Endpoints.Where(IsName).Select(e => e.Address.Host).Distinct(StringComparer.Ordinal).ToArray();
            _ = LookupAllAsync(names);
        }

        private static bool IsName(EndpointConfig endpoint) => endpoint.Address is { Kind: AddressKind.Socket, Ip: null };

        private ImmutableArray<EndpointConfig> Endpoints => Cluster.LoadAssignment?.Endpoints ?? [];

        private async Task LookupAllAsync(string[] names)
        {
            var answers = new (string Name, NameAnswer Answer, string? Error)[names.Length];
            await Task.WhenAll(names.Select((name, i) => Task.Run(async () =>
            {
                try
                {
                    NameAnswer answer = await _owner.LookupAsync(name, Cluster, _end.Token).ConfigureAwait(false);
                    answers[i] = (name, answer, null);
                }
                catch (SocketException e) when (NameLookups.SaysNone(e))
                {
                    answers[i] = (name, new NameAnswer([], null), null);
                }
                catch (Exception e)
                {
                    // Whatever it is: a look-up that ends without a word would be the last one of this cluster.
                    answers[i] = (name, new NameAnswer([], null), e.Message);
                }
            }))).ConfigureAwait(false);
            _owner.Post(() => Take(answers));
        }

        private void Take((string Name, NameAnswer Answer, string? Error)[] answers)
        {
            if (_end.IsCancellationRequested) return;
            bool failed = false;
            TimeSpan? ttl = null;
            foreach ((string name, NameAnswer answer, string? error) in answers)
            {
                if (error is null && answer.Addresses.Length == 0 && !TakesNone(name)) continue;
                if (error is null)
                {
                    _good[name] = Settle(name, answer.Addresses);
                    if (answer.TimeToLive is { } told && !(ttl < told)) ttl = told;
                }
                else
                {
                    failed = true;
                    string kept = _good.ContainsKey(name) ? "the last good addresses stay" : "it has no endpoints from this name";
                    _owner.Log(_failures == 0 ? LogLevel.Warning : LogLevel.Debug, $"dns: cluster {Cluster.Name}: cannot resolve {name}: {error}; {kept}");
                }
            }
            _failures = failed ? _failures + 1 : 0;
            // Counted for each endpoint that has a name, as if each asked by itself.
            var wrong = answers.Where(a => a.Error is not null).Select(a => a.Name).ToHashSet(StringComparer.Ordinal);
            int bad = Endpoints.Count(e => IsName(e) && wrong.Contains(e.Address.Host));
            _stats.Add(ClusterUpdateStats.Failure, bad);
            _stats.Add(ClusterUpdateStats.Success, Math.Max(failed ? 0 : 1, Endpoints.Count(IsName) - bad));
            Publish(failed);
            // A TTL of nothing is no rate (Envoy: Cluster.respect_dns_ttl).
            TimeSpan wait = Cluster.RespectDnsTtl && ttl > TimeSpan.Zero ? ttl.Value : Cluster.DnsRefreshRate;
            if (_failures > 0 && Cluster.DnsFailureWait(_failures) is { } rate) wait = rate;
            else if (_failures > 1) wait = TimeSpan.FromTicks(Math.Max(wait.Ticks, Math.Min(MostBackOff.Ticks, wait.Ticks << Math.Min(_failures - 1, 20))));
            if (Cluster.DnsJitter > TimeSpan.Zero) wait += TimeSpan.FromTicks(_owner.Random.NextInt64(Cluster.DnsJitter.Ticks));
            _timer.Change(wait.ForTimer(), Timeout.InfiniteTimeSpan);
        }

        // An answer without addresses: a strict name has none any more, a logical one keeps the one it had (Envoy: service discovery, strict DNS
        // and logical DNS).
        private bool TakesNone(string name)
        {
            _stats.Add(ClusterUpdateStats.Empty);
            bool takes = Cluster.Type != DiscoveryType.LogicalDns;
            bool had = _good.TryGetValue(name, out IPAddress[]? last) && last.Length > 0;
            if (had || _published is null) _owner.Log(LogLevel.Warning, $"dns: cluster {Cluster.Name}: {name} has no addresses; {(had && !takes ? "the last one stays" : "it has no endpoints from this name")}");
            return takes;
        }

        /// <summary>A logical name keeps its address while the answer still holds it: rotation is not a change.</summary>
        private IPAddress[] Settle(string name, IPAddress[] addresses)
        {
            if (Cluster.Type != DiscoveryType.LogicalDns || addresses.Length == 0) return addresses;
            return _good.TryGetValue(name, out IPAddress[]? last) && addresses.Contains(last[0]) ? last : [addresses[0]];
        }

        private void Publish(bool failed)
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
                if (failed) _stats.Add(ClusterUpdateStats.Empty);
                _owner.Resolved(Cluster, null);
                return;
            }
            if (_published is { } last && last.SequenceEqual(endpoints))
            {
                _stats.Add(ClusterUpdateStats.NoRebuild);
                return;
            }
            _published = [.. endpoints];
            _owner.Resolved(Cluster, new EndpointsConfig(Cluster.Name, [.. endpoints]) { Policy = Cluster.LoadAssignment!.Policy });
        }
    }

    private void Resolved(ClusterConfig cluster, EndpointsConfig? endpoints) => resolved(cluster, endpoints);

    private void Post(Action action) => main.Post(action);

    private void Log(LogLevel level, string text) => log(level, text);

    private ITimer CreateTimer(Action action) => time.CreateTimer(_ => main.Post(action), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    private StatBlock StatsOf(ClusterConfig cluster) =>
        stats.Block("cluster." + (cluster.AltStatName.Length > 0 ? cluster.AltStatName : cluster.Name), ClusterUpdateStats.Schema);
}

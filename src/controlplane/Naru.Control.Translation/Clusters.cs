// Services and their rules → clusters and endpoints (CDS, EDS). One cluster a port, and one more a subset. Endpoints carry a
// locality always and weights above zero: gRPC's clients skip what has none.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Extensions.Upstreams.Http.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;
using Options = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;

namespace Naru.Control.Translation;

internal static class Clusters
{
    public const string BlackHole = "BlackHoleCluster";
    public const string Passthrough = "PassthroughCluster";
    private const string HttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    public static string OutboundName(int port, string subset, string host) => $"outbound|{port}|{subset}|{host}";

    public static string InboundName(int port) => $"inbound|{port}||";

    /// <summary>A target that a proxy may be sent to.</summary>
    private readonly record struct Target(MeshService Service, MeshPort Port, string Subset, ImmutableSortedDictionary<string, string> Labels, TrafficPolicy Policy)
    {
        public string Name => OutboundName(Port.Number, Subset, Service.Hostname);
    }

    /// <summary>Everything that somebody of <paramref name="ns"/> may call.</summary>
    private static IEnumerable<Target> Targets(MeshLayout layout, string ns)
    {
        foreach (MeshService service in layout.Services.Values)
        {
            if (!HostNames.Visible(service.ExportTo, service.Namespace, ns)) continue;
            BoundDestinationRule? rule = layout.RuleFor(service, ns);
            foreach (MeshPort port in service.Ports)
            {
                if (port.Protocol == PortProtocol.Tcp) continue;
                TrafficPolicy wide = Effective(TrafficPolicy.None, rule?.Spec.Policy ?? TrafficPolicy.None, port.Number);
                yield return new Target(service, port, "", ImmutableSortedDictionary<string, string>.Empty, wide);
                foreach (Subset subset in rule?.Spec.Subsets ?? [])
                    yield return new Target(service, port, subset.Name, subset.Labels, Effective(wide, subset.Policy, port.Number));
            }
        }
    }

    // Istio's rule: a narrower level replaces load balancing and connection pool each as a whole; a port's settings replace its level's.
    private static TrafficPolicy Effective(TrafficPolicy wide, TrafficPolicy narrow, int port)
    {
        if (narrow.Ports.TryGetValue(port, out TrafficPolicy? own)) return own;
        bool pool = (narrow.MaxConnections ?? narrow.MaxPendingRequests ?? narrow.MaxRequests ?? narrow.MaxRequestsPerConnection ?? narrow.MaxRetries) is not null
            || narrow.ConnectTimeout is not null || narrow.IdleTimeout is not null;
        return (pool ? narrow : wide) with { LoadBalancer = narrow.LoadBalancer ?? wide.LoadBalancer, Ports = ImmutableSortedDictionary<int, TrafficPolicy>.Empty };
    }

    public static IEnumerable<Resource> Outbound(Snapshot snapshot, string ns, bool grpc)
    {
        foreach (Target target in Targets(snapshot.Layout, ns))
        {
            if (Outbound(snapshot, target, grpc) is { } cluster) yield return new Resource(cluster.Name, cluster);
        }
    }

    private static Cluster? Outbound(Snapshot snapshot, Target target, bool grpc)
    {
        var cluster = new Cluster
        {
            Name = target.Name,
            ConnectTimeout = Duration.FromTimeSpan(target.Policy.ConnectTimeout ?? TimeSpan.FromSeconds(10)),
            LbPolicy = grpc ? Cluster.Types.LbPolicy.RoundRobin : target.Policy.LoadBalancer switch
            {
                SimpleLb.RoundRobin => Cluster.Types.LbPolicy.RoundRobin,
                SimpleLb.Random => Cluster.Types.LbPolicy.Random,
                _ => Cluster.Types.LbPolicy.LeastRequest,
            },
        };
        if (target.Service.Resolution == ServiceResolution.Known)
        {
            cluster.Type = Cluster.Types.DiscoveryType.Eds;
            cluster.EdsClusterConfig = new Cluster.Types.EdsClusterConfig { EdsConfig = Sources.Ads(), ServiceName = target.Name };
        }
        else
        {
            ImmutableArray<MeshEndpoint> endpoints = [.. snapshot.Endpoints.GetValueOrDefault((target.Service.Hostname, target.Port.Number), [])
                .Where(e => HostNames.Matches(target.Labels, e.Labels))];
            bool one = grpc || target.Service.Resolution == ServiceResolution.LogicalDns;
            if (one && endpoints.Length != 1) endpoints = endpoints.Length == 0 ? [] : [endpoints[0]];
            if (one && endpoints.IsEmpty) return null; // LOGICAL_DNS without a name is refused by everybody
            cluster.Type = one ? Cluster.Types.DiscoveryType.LogicalDns : Cluster.Types.DiscoveryType.StrictDns;
            cluster.DnsLookupFamily = Cluster.Types.DnsLookupFamily.V4Preferred;
            cluster.LoadAssignment = Assignment(target.Name, endpoints);
        }
        Limits(cluster, target.Policy);
        // gRPC's clients speak HTTP/2 anyway.
        if (!grpc) Protocol(cluster, target.Port.Protocol, target.Policy);
        return cluster;
    }

    private static void Limits(Cluster cluster, TrafficPolicy policy)
    {
        // Istio lifts Envoy's small defaults; what the rule says is kept.
        cluster.CircuitBreakers = new CircuitBreakers();
        cluster.CircuitBreakers.Thresholds.Add(new CircuitBreakers.Types.Thresholds
        {
            MaxConnections = (uint?)policy.MaxConnections ?? uint.MaxValue,
            MaxPendingRequests = (uint?)policy.MaxPendingRequests ?? uint.MaxValue,
            MaxRequests = (uint?)policy.MaxRequests ?? uint.MaxValue,
            MaxRetries = (uint?)policy.MaxRetries ?? uint.MaxValue,
        });
    }

    private static void Protocol(Cluster cluster, PortProtocol protocol, TrafficPolicy policy)
    {
        if (protocol != PortProtocol.Http2 && policy.IdleTimeout is null && policy.MaxRequestsPerConnection is null) return;
        var options = new Options { ExplicitHttpConfig = new Options.Types.ExplicitHttpConfig() };
        if (protocol == PortProtocol.Http2) options.ExplicitHttpConfig.Http2ProtocolOptions = new Http2ProtocolOptions();
        else options.ExplicitHttpConfig.HttpProtocolOptions = new Http1ProtocolOptions();
        if (policy.IdleTimeout is not null || policy.MaxRequestsPerConnection is not null)
        {
            options.CommonHttpProtocolOptions = new Envoy.Config.Core.V3.HttpProtocolOptions { MaxRequestsPerConnection = (uint?)policy.MaxRequestsPerConnection };
            if (policy.IdleTimeout is { } idle) options.CommonHttpProtocolOptions.IdleTimeout = Duration.FromTimeSpan(idle);
        }
        cluster.TypedExtensionProtocolOptions.Add(HttpOptionsKey, Any.Pack(options));
    }

    /// <summary>The process behind a sidecar.</summary>
    public static Resource Inbound(int port, int processPort, bool http2, string address)
    {
        var cluster = new Cluster
        {
            Name = InboundName(port),
            Type = Cluster.Types.DiscoveryType.Static,
            ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(10)),
            LoadAssignment = Assignment(InboundName(port),
                [new MeshEndpoint(address, processPort, ImmutableSortedDictionary<string, string>.Empty, "", "", 1)]),
        };
        Limits(cluster, TrafficPolicy.None);
        if (http2) Protocol(cluster, PortProtocol.Http2, TrafficPolicy.None);
        return new Resource(cluster.Name, cluster);
    }

    /// <summary>Where requests go that may go nowhere.</summary>
    public static Resource Hole() => new(BlackHole, new Cluster
    {
        Name = BlackHole,
        Type = Cluster.Types.DiscoveryType.Static,
        ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(10)),
        LoadAssignment = new ClusterLoadAssignment { ClusterName = BlackHole },
    });

    /// <summary>To where the workload itself connected (transparent interception only).</summary>
    public static Resource OriginalDestination() => new(Passthrough, new Cluster
    {
        Name = Passthrough,
        Type = Cluster.Types.DiscoveryType.OriginalDst,
        LbPolicy = Cluster.Types.LbPolicy.ClusterProvided,
        ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(10)),
    });

    // ---- endpoints ----

    // Assignments live as long as the endpoints they were made of: an endpoint that changes elsewhere costs nothing here.
    private static readonly ConditionalWeakTable<MeshEndpoint[], ConcurrentDictionary<string, Resource>> Made = [];
    private static readonly ConcurrentDictionary<string, Resource> Empty = new();

    public static IEnumerable<Resource> Endpoints(Snapshot snapshot, string ns, bool grpc)
    {
        foreach (Target target in Targets(snapshot.Layout, ns))
        {
            if (target.Service.Resolution != ServiceResolution.Known) continue;
            string name = target.Name;
            if (!snapshot.Endpoints.TryGetValue((target.Service.Hostname, target.Port.Number), out ImmutableArray<MeshEndpoint> all))
            {
                if (Empty.Count > 10_000) Empty.Clear();
                yield return Empty.GetOrAdd(name, static n => new Resource(n, Assignment(n, [])));
                continue;
            }
            string key = target.Labels.Count == 0 ? name : name + "\0" + string.Join('\0', target.Labels.Select(l => l.Key + "=" + l.Value));
            yield return Made.GetOrCreateValue(ImmutableCollectionsMarshal.AsArray(all)!).GetOrAdd(grpc ? key + "\0grpc" : key,
                _ => new Resource(name, Assignment(name, all.Where(e => HostNames.Matches(target.Labels, e.Labels)), grpc)));
        }
    }

    private static ClusterLoadAssignment Assignment(string name, IEnumerable<MeshEndpoint> endpoints, bool grpc = false)
    {
        var made = new ClusterLoadAssignment { ClusterName = name };
        foreach (IGrouping<string, MeshEndpoint> group in endpoints.GroupBy(e => e.Locality).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            string[] place = group.Key.Split('/');
            var locality = new LocalityLbEndpoints
            {
                Locality = new Locality { Region = place[0], Zone = place.ElementAtOrDefault(1) ?? "", SubZone = place.ElementAtOrDefault(2) ?? "" },
                // Envoy would only look at it with locality-weighted balancing; gRPC leaves out localities that have none.
                LoadBalancingWeight = grpc ? (uint)group.Sum(e => (long)e.Weight) : null,
            };
            foreach (MeshEndpoint endpoint in group)
            {
                locality.LbEndpoints.Add(new LbEndpoint
                {
                    Endpoint = new Endpoint { Address = Sources.Address(endpoint.Address, endpoint.Port) },
                    LoadBalancingWeight = (uint)endpoint.Weight,
                });
            }
            made.Endpoints.Add(locality);
        }
        return made;
    }
}

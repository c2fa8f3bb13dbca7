// Services and their rules → clusters and endpoints (CDS, EDS). One cluster a port, and one more a subset. Endpoints carry a
// locality always and weights above zero: gRPC's clients skip what has none.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Extensions.Common.DynamicForwardProxy.V3;
using Envoy.Extensions.TransportSockets.ProxyProtocol.V3;
using Envoy.Extensions.TransportSockets.RawBuffer.V3;
using Envoy.Extensions.Upstreams.Http.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;
using DynamicCluster = Envoy.Extensions.Clusters.DynamicForwardProxy.V3.ClusterConfig;
using Options = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;
using TcpKeepalive = Envoy.Config.Core.V3.TcpKeepalive;

namespace Naru.Control.Translation;

internal static class Clusters
{
    public const string BlackHole = "BlackHoleCluster";
    public const string Passthrough = "PassthroughCluster";
    public const string HttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    public static string OutboundName(int port, string subset, string host) => $"outbound|{port}|{subset}|{host}";

    public static string InboundName(int port) => $"inbound|{port}||";

    /// <summary>A target that a proxy may be sent to.</summary>
    internal readonly record struct Target(MeshService Service, MeshPort Port, string Subset,
        ImmutableSortedDictionary<string, string> Labels, TrafficPolicy Policy)
    {
        public string Name => OutboundName(Port.Number, Subset, Service.Hostname);

        /// <summary>Whether a redirected sidecar sends it to where the workload wanted to go.</summary>
        public bool GoesOn(NodeInfo node) => node.Type == NodeType.Sidecar && !node.NoInterception
            && (Policy.LoadBalancer is { Simple: SimpleLb.Passthrough, Hash: null } || (Service.Headless
                && Service.Resolution == ServiceResolution.Known));
    }

    /// <summary>Everything that somebody of <paramref name="ns"/> may call.</summary>
    /// <param name="layout">Services and rules.</param>
    /// <param name="ns">Namespace of the caller.</param>
    /// <param name="tcp">Whether ports without HTTP count.</param>
    public static IEnumerable<Target> Targets(MeshLayout layout, string ns, bool tcp = false)
    {
        foreach (MeshService service in layout.Services.Values)
        {
            if (!HostNames.Visible(service.ExportTo, service.Namespace, ns)) continue;
            BoundDestinationRule? rule = layout.RuleFor(service, ns);
            foreach (MeshPort port in service.Ports)
            {
                if (port.Protocol == PortProtocol.Tcp && !tcp) continue;
                TrafficPolicy wide = Effective(TrafficPolicy.None, rule?.Spec.Policy ?? TrafficPolicy.None, port.Number);
                yield return new Target(service, port, "", ImmutableSortedDictionary<string, string>.Empty, wide);
                foreach (Subset subset in rule?.Spec.Subsets ?? [])
                    yield return new Target(service, port, subset.Name, subset.Labels, Effective(wide, subset.Policy, port.Number));
            }
        }
    }

    // Istio's rule: a narrower level takes each part whole from itself or whole from above; a port's settings replace all of their level.
    private static TrafficPolicy Effective(TrafficPolicy wide, TrafficPolicy narrow, int port)
    {
        if (narrow.Ports.TryGetValue(port, out TrafficPolicy? own)) return own;
        return new TrafficPolicy
        {
            LoadBalancer = narrow.LoadBalancer ?? wide.LoadBalancer,
            Pool = narrow.Pool ?? wide.Pool,
            Outliers = narrow.Outliers ?? wide.Outliers,
            Tls = narrow.Tls ?? wide.Tls,
            Budget = narrow.Budget ?? wide.Budget,
            ProxyProtocol = narrow.ProxyProtocol > 0 ? narrow.ProxyProtocol : wide.ProxyProtocol,
            Tunnel = narrow.Tunnel ?? wide.Tunnel,
        };
    }

    public static Duration ConnectTimeout(ConnectionPool? pool, MeshConfigSpec mesh) =>
        Duration.FromTimeSpan(pool?.ConnectTimeout ?? mesh.ConnectTimeout ?? TimeSpan.FromSeconds(10));

    public static IEnumerable<Resource> Outbound(Snapshot snapshot, string ns, bool grpc)
    {
        foreach (Target target in Targets(snapshot.Layout, ns))
        {
            if (Outbound(snapshot, target, grpc) is { } cluster) yield return new Resource(cluster.Name, cluster);
        }
    }

    private static Cluster? Outbound(Snapshot snapshot, Target target, bool grpc)
    {
        MeshConfigSpec mesh = snapshot.Layout.Mesh;
        var cluster = new Cluster
        {
            Name = target.Name,
            ConnectTimeout = ConnectTimeout(target.Policy.Pool, mesh),
        };
        Balancing.Apply(cluster, grpc ? s_grpcBalancing : target.Policy.LoadBalancer);
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
            if (mesh.DnsRefresh != MeshConfigSpec.None.DnsRefresh) cluster.DnsRefreshRate = Duration.FromTimeSpan(mesh.DnsRefresh);
            cluster.LoadAssignment = Assignment(target.Name, endpoints);
        }
        ConnectionPool pool = target.Policy.Pool ?? NoPool;
        Limits(cluster, pool, grpc ? null : target.Policy.Budget);
        if (grpc) return cluster; // its clients speak HTTP/2 anyway, and know neither outliers by answers nor panic
        Protocol(cluster, target.Port, pool, mesh);
        Outliers(cluster, target.Policy.Outliers);
        Keepalive(cluster, pool, mesh);
        TellClient(cluster, target.Policy.ProxyProtocol);
        return cluster;
    }

    /// <summary>Has connections begin with a PROXY header.</summary>
    public static void TellClient(Cluster cluster, int version)
    {
        if (version == 0) return;
        TransportSocket Wrapped(TransportSocket? inner) => new()
        {
            Name = "envoy.transport_sockets.upstream_proxy_protocol",
            TypedConfig = Any.Pack(new ProxyProtocolUpstreamTransport
            {
                Config = new ProxyProtocolConfig { Version = (ProxyProtocolConfig.Types.Version)(version - 1) },
                TransportSocket = inner ?? new TransportSocket { Name = "raw_buffer", TypedConfig = Any.Pack(new RawBuffer()) },
            }),
        };
        foreach (Cluster.Types.TransportSocketMatch match in cluster.TransportSocketMatches) match.TransportSocket = Wrapped(match.TransportSocket);
        if (cluster.TransportSocketMatches.Count == 0) cluster.TransportSocket = Wrapped(cluster.TransportSocket);
    }

    /// <summary>What a rule says of it, value by value, else the mesh.</summary>
    public static void Keepalive(Cluster cluster, ConnectionPool pool, MeshConfigSpec mesh)
    {
        if (pool.Keepalive is null && mesh.Keepalive is null) return;
        var made = new TcpKeepalive
        {
            KeepaliveProbes = (uint?)(pool.Keepalive?.Probes ?? mesh.Keepalive?.Probes),
            KeepaliveTime = (uint?)(pool.Keepalive?.Time ?? mesh.Keepalive?.Time),
            KeepaliveInterval = (uint?)(pool.Keepalive?.Interval ?? mesh.Keepalive?.Interval),
        };
        cluster.UpstreamConnectionOptions = new UpstreamConnectionOptions { TcpKeepalive = made };
    }

    /// <summary>The pool that the rule for a service says, as somebody of <paramref name="ns"/> has it; null where it says none.</summary>
    public static ConnectionPool? PoolOf(MeshLayout layout, MeshService service, MeshPort port, string ns) =>
        layout.RuleFor(service, ns) is { } rule ? Effective(TrafficPolicy.None, rule.Spec.Policy, port.Number).Pool : null;

    /// <summary>The whole policy of a service's port, as somebody of <paramref name="ns"/> has it; null without a rule.</summary>
    public static TrafficPolicy? PolicyOf(MeshLayout layout, MeshService service, int port, string ns) =>
        layout.RuleFor(service, ns) is { } rule ? Effective(TrafficPolicy.None, rule.Spec.Policy, port) : null;

    private static readonly ConnectionPool NoPool = new();

    // Its clients know no other that everybody has.
    private static readonly BalancingRule s_grpcBalancing = new(SimpleLb.RoundRobin);

    /// <summary>How requests to one of a service's ports are told apart, as somebody of <paramref name="ns"/> has it; null for not at all.</summary>
    public static HashRule? HashOf(MeshLayout layout, MeshService service, int port, string subset, string ns)
    {
        if (layout.RuleFor(service, ns) is not { } rule) return null;
        TrafficPolicy policy = Effective(TrafficPolicy.None, rule.Spec.Policy, port);
        if (subset.Length > 0 && rule.Spec.Subsets.FirstOrDefault(s => s.Name == subset) is { } own) policy = Effective(policy, own.Policy, port);
        return policy.LoadBalancer?.Hash;
    }

    public static void Limits(Cluster cluster, ConnectionPool policy, RetryBudget? budget = null)
    {
        // Istio lifts Envoy's small defaults; what the rule says is kept.
        cluster.CircuitBreakers = new CircuitBreakers();
        cluster.CircuitBreakers.Thresholds.Add(new CircuitBreakers.Types.Thresholds
        {
            MaxConnections = (uint?)policy.MaxConnections ?? uint.MaxValue,
            MaxPendingRequests = (uint?)policy.MaxPendingRequests ?? uint.MaxValue,
            MaxRequests = (uint?)policy.MaxRequests ?? uint.MaxValue,
            MaxRetries = (uint?)policy.MaxRetries ?? uint.MaxValue,
            RetryBudget = budget is null ? null : new CircuitBreakers.Types.Thresholds.Types.RetryBudget
            {
                BudgetPercent = new Envoy.Type.V3.Percent { Value = budget.Percent },
                MinRetryConcurrency = (uint)budget.Least,
            },
        });
    }

    /// <summary>Whether a port is spoken to in HTTP/2: only what says that it speaks HTTP/1 is made to.</summary>
    public static bool IsHttp2(MeshPort port, ConnectionPool pool, MeshConfigSpec mesh) => port.Protocol == PortProtocol.Http2
        || ((pool.Http2Upgrade ?? (mesh.Http2Upgrade && !pool.UseClientProtocol)) && port.SaysHttp);

    private static void Protocol(Cluster cluster, MeshPort port, ConnectionPool pool, MeshConfigSpec mesh)
    {
        bool http2 = IsHttp2(port, pool, mesh);
        TimeSpan? idle = pool.IdleTimeout ?? pool.TcpIdleTimeout;
        bool common = idle is not null || pool.MaxRequestsPerConnection is not null || pool.MaxConnectionDuration is not null;
        if (!http2 && !common && !pool.UseClientProtocol) return;
        var options = new Options();
        if (pool.UseClientProtocol)
        {
            options.UseDownstreamProtocolConfig = new Options.Types.UseDownstreamHttpConfig
            {
                HttpProtocolOptions = new Http1ProtocolOptions(),
                Http2ProtocolOptions = Http2(pool with { MaxConcurrentStreams = null }),
            };
        }
        else
        {
            options.ExplicitHttpConfig = new Options.Types.ExplicitHttpConfig();
            if (http2) options.ExplicitHttpConfig.Http2ProtocolOptions = Http2(pool);
            else options.ExplicitHttpConfig.HttpProtocolOptions = new Http1ProtocolOptions();
        }
        if (common)
        {
            uint? requests = (uint?)pool.MaxRequestsPerConnection;
            options.CommonHttpProtocolOptions = new Envoy.Config.Core.V3.HttpProtocolOptions { MaxRequestsPerConnection = requests };
            if (idle is { } time) options.CommonHttpProtocolOptions.IdleTimeout = Duration.FromTimeSpan(time);
            if (pool.MaxConnectionDuration is { } life) options.CommonHttpProtocolOptions.MaxConnectionDuration = Duration.FromTimeSpan(life);
        }
        cluster.TypedExtensionProtocolOptions.Add(HttpOptionsKey, Any.Pack(options));
    }

    public static Http2ProtocolOptions Http2(ConnectionPool pool)
    {
        var made = new Http2ProtocolOptions { MaxConcurrentStreams = (uint?)pool.MaxConcurrentStreams };
        if (pool.Http2Keepalive is { } pings)
        {
            made.ConnectionKeepalive = new KeepaliveSettings
            {
                Interval = Duration.FromTimeSpan(pings.Interval),
                Timeout = Duration.FromTimeSpan(pings.Timeout),
            };
        }
        return made;
    }

    // As istiod: success rates never eject, a number given is enforced, and a pool is never in panic unless the rule says when.
    public static void Outliers(Cluster cluster, OutlierRule? rule)
    {
        var panic = new Envoy.Type.V3.Percent { Value = rule?.MinHealthPercent ?? 0 };
        cluster.CommonLbConfig = new Cluster.Types.CommonLbConfig { HealthyPanicThreshold = panic };
        if (rule is null) return;
        var made = new OutlierDetection
        {
            EnforcingSuccessRate = 0,
            Consecutive5Xx = (uint?)rule.Consecutive5xx,
            EnforcingConsecutive5Xx = rule.GatewayOnly ? 0 : Enforced(rule.Consecutive5xx),
            ConsecutiveGatewayFailure = (uint?)rule.ConsecutiveGateway,
            EnforcingConsecutiveGatewayFailure = Enforced(rule.ConsecutiveGateway),
            MaxEjectionPercent = (uint?)rule.MaxEjectionPercent,
            SplitExternalLocalOriginErrors = rule.SplitLocalOrigin,
        };
        if (rule.SplitLocalOrigin)
        {
            made.ConsecutiveLocalOriginFailure = (uint?)rule.ConsecutiveLocalOrigin;
            made.EnforcingConsecutiveLocalOriginFailure = Enforced(rule.ConsecutiveLocalOrigin);
            made.EnforcingLocalOriginSuccessRate = 0;
        }
        if (rule.Interval is { } interval) made.Interval = Duration.FromTimeSpan(interval);
        if (rule.BaseEjectionTime is { } time) made.BaseEjectionTime = Duration.FromTimeSpan(time);
        cluster.OutlierDetection = made;

        static uint? Enforced(int? errors) => errors is null ? null : errors > 0 ? 100u : 0u;
    }

    /// <summary>The process behind a sidecar.</summary>
    /// <param name="pool">What the rule for its service says about connections; null for nothing.</param>
    /// <param name="mesh">What the mesh says where the rule does not.</param>
    public static Resource Inbound(int port, int processPort, bool http2, string address, ConnectionPool? pool, MeshConfigSpec mesh)
    {
        pool ??= NoPool;
        var cluster = new Cluster
        {
            Name = InboundName(port),
            Type = Cluster.Types.DiscoveryType.Static,
            ConnectTimeout = ConnectTimeout(pool, mesh),
            LoadAssignment = Assignment(InboundName(port),
                [new MeshEndpoint(address, processPort, ImmutableSortedDictionary<string, string>.Empty, "", "", 1)]),
        };
        Limits(cluster, pool);
        Keepalive(cluster, pool, mesh);
        // How the process is spoken to is its port's word alone.
        Protocol(cluster, new MeshPort(port, "", http2 ? PortProtocol.Http2 : PortProtocol.Http, port, ""),
            pool with { UseClientProtocol = false }, MeshConfigSpec.None);
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

    /// <summary>Whatever host a proxied request names, asked of DNS as it comes (Istio's ALLOW_ANY for a proxy that nobody intercepts for).</summary>
    public static Resource AnyHost()
    {
        var cache = new DnsCacheConfig { Name = "outside", DnsLookupFamily = Cluster.Types.DnsLookupFamily.V4Preferred };
        return new Resource(Passthrough, new Cluster
        {
            Name = Passthrough,
            ClusterType = new Cluster.Types.CustomClusterType
            {
                Name = "envoy.clusters.dynamic_forward_proxy",
                TypedConfig = Any.Pack(new DynamicCluster { DnsCacheConfig = cache }),
            },
            LbPolicy = Cluster.Types.LbPolicy.ClusterProvided,
            ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(10)),
        });
    }

    // ---- endpoints ----

    // Assignments live as long as the endpoints they were made of: an endpoint that changes elsewhere costs nothing here.
    public static readonly ConditionalWeakTable<MeshEndpoint[], ConcurrentDictionary<string, Resource>> Made = [];
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

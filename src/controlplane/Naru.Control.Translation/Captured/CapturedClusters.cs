// Clusters of proxies whose traffic is redirected to them (iptables), and of gateways in a cluster, as istiod sends them: ports of any
// protocol, mutual TLS, the original destination inbound.
using System.Collections.Immutable;
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

internal static class CapturedClusters
{
    public const string InboundPassthrough = "InboundPassthroughCluster";

    // From where the proxy calls its own workload, so that this is not redirected once more.
    private const string InboundSource = "127.0.0.6";

    public static IEnumerable<Resource> Outbound(Snapshot snapshot, NodeInfo node)
    {
        var names = new Dictionary<string, string[]>(StringComparer.Ordinal);
        foreach (Clusters.Target target in Clusters.Targets(snapshot.Layout, node.Namespace, tcp: true).Where(t =>
            t.Service.ExternalName.Length == 0))
        {
            string[] Names() => names.TryGetValue(target.Service.Hostname, out string[]? known) ? known
                : names[target.Service.Hostname] = MutualTls.Names(snapshot, target.Service);
            if (Outbound(snapshot, node, target, Names) is { } cluster) yield return new Resource(cluster.Name, cluster);
        }
        var hole = (Cluster)Clusters.Hole().Message;
        hole.LoadAssignment = null;
        hole.ConnectTimeout = Clusters.ConnectTimeout(null, snapshot.Layout.Mesh);
        yield return new Resource(hole.Name, hole);
        if (node.Type == NodeType.Router) yield break;
        yield return Passing(Clusters.Passthrough, null, snapshot.Layout.Mesh);
        yield return Passing(InboundPassthrough, InboundSource, snapshot.Layout.Mesh);
    }

    private static Cluster? Outbound(Snapshot snapshot, NodeInfo node, Clusters.Target target, Func<string[]> names)
    {
        MeshConfigSpec mesh = snapshot.Layout.Mesh;
        TrafficPolicy policy = target.Policy;
        ConnectionPool pool = policy.Pool ?? new ConnectionPool();
        var cluster = new Cluster
        {
            Name = target.Name,
            ConnectTimeout = Clusters.ConnectTimeout(pool, mesh),
        };
        Balancing.Apply(cluster, policy.LoadBalancer);
        if (target.GoesOn(node))
        {
            cluster.Type = Cluster.Types.DiscoveryType.OriginalDst;
            cluster.LbPolicy = Cluster.Types.LbPolicy.ClusterProvided;
            cluster.LeastRequestLbConfig = null;
            cluster.RoundRobinLbConfig = null;
        }
        else if (target.Service.Resolution == ServiceResolution.Known)
        {
            cluster.Type = Cluster.Types.DiscoveryType.Eds;
            cluster.EdsClusterConfig = new Cluster.Types.EdsClusterConfig { EdsConfig = Sources.Ads(), ServiceName = target.Name };
        }
        else if (!ByName(snapshot, cluster, target)) return null;
        Clusters.Limits(cluster, pool, policy.Budget);
        Clusters.Outliers(cluster, policy.Outliers);
        Localities.Weigh(cluster, mesh, policy);
        Clusters.Keepalive(cluster, pool, mesh);
        bool http2 = Clusters.IsHttp2(target.Port, pool, mesh) || target.Port.IsGrpcWeb;
        MutualTls.Client(cluster, snapshot, node, target.Service, target.Port.Number, target.Subset, policy.Tls, names, http2);
        Protocol(cluster, node, target.Port, pool, http2, MutualTls.FromRequest(policy.Tls, node));
        Clusters.TellClient(cluster, policy.ProxyProtocol);
        return cluster;
    }

    private static bool ByName(Snapshot snapshot, Cluster cluster, Clusters.Target target)
    {
        bool one = target.Service.Resolution == ServiceResolution.LogicalDns;
        ImmutableArray<MeshEndpoint> endpoints = [.. snapshot.Endpoints.GetValueOrDefault((target.Service.Hostname, target.Port.Number), [])
            .Where(e => HostNames.Matches(target.Labels, e.Labels))];
        if (one && endpoints.IsEmpty) return false;
        cluster.Type = one ? Cluster.Types.DiscoveryType.LogicalDns : Cluster.Types.DiscoveryType.StrictDns;
        cluster.DnsLookupFamily = Cluster.Types.DnsLookupFamily.V4Only;
        cluster.DnsRefreshRate = Duration.FromTimeSpan(snapshot.Layout.Mesh.DnsRefresh);
        cluster.RespectDnsTtl = true;
        cluster.DnsJitter = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(100));
        cluster.LoadAssignment = Assignment(snapshot, target.Name, one ? endpoints[..1] : endpoints);
        return true;
    }

    private static void Protocol(Cluster cluster, NodeInfo node, MeshPort port, ConnectionPool pool, bool http2,
        (bool Sni, bool Names) fromRequest)
    {
        TimeSpan? idle = pool.IdleTimeout ?? pool.TcpIdleTimeout;
        bool common = idle is not null || pool.MaxRequestsPerConnection is not null || pool.MaxConnectionDuration is not null;
        // Of a port of unknown protocol a sidecar asks the client's; a gateway ends connections and knows what it speaks.
        bool asClient = pool.UseClientProtocol || (port.Sniffed && node.Type == NodeType.Sidecar && !http2);
        if (!http2 && !common && !asClient && !fromRequest.Sni) return;
        var options = new Options();
        if (asClient)
        {
            options.UseDownstreamProtocolConfig = new Options.Types.UseDownstreamHttpConfig
            {
                HttpProtocolOptions = new Http1ProtocolOptions(),
                Http2ProtocolOptions = Clusters.Http2(pool with { MaxConcurrentStreams = null }),
            };
        }
        else
        {
            options.ExplicitHttpConfig = new Options.Types.ExplicitHttpConfig();
            if (http2) options.ExplicitHttpConfig.Http2ProtocolOptions = Clusters.Http2(pool);
            else options.ExplicitHttpConfig.HttpProtocolOptions = new Http1ProtocolOptions();
        }
        if (common)
        {
            options.CommonHttpProtocolOptions = new Envoy.Config.Core.V3.HttpProtocolOptions
            {
                MaxRequestsPerConnection =
                (uint?)pool.MaxRequestsPerConnection
            };
            if (idle is { } time) options.CommonHttpProtocolOptions.IdleTimeout = Duration.FromTimeSpan(time);
            if (pool.MaxConnectionDuration is { } life) options.CommonHttpProtocolOptions.MaxConnectionDuration = Duration.FromTimeSpan(life);
        }
        if (fromRequest.Sni)
            options.UpstreamHttpProtocolOptions = new UpstreamHttpProtocolOptions { AutoSni = true, AutoSanValidation = fromRequest.Names };
        cluster.TypedExtensionProtocolOptions.Add(Clusters.HttpOptionsKey, Any.Pack(options));
    }

    /// <summary>To where somebody connected, unchanged.</summary>
    private static Resource Passing(string name, string? source, MeshConfigSpec mesh)
    {
        var cluster = new Cluster
        {
            Name = name,
            Type = Cluster.Types.DiscoveryType.OriginalDst,
            LbPolicy = Cluster.Types.LbPolicy.ClusterProvided,
            ConnectTimeout = Clusters.ConnectTimeout(null, mesh),
        };
        Clusters.Limits(cluster, new ConnectionPool());
        Clusters.Keepalive(cluster, new ConnectionPool(), mesh);
        var options = new Options
        {
            UseDownstreamProtocolConfig = new Options.Types.UseDownstreamHttpConfig
            {
                HttpProtocolOptions = new Http1ProtocolOptions(),
                Http2ProtocolOptions = new Http2ProtocolOptions(),
            },
            CommonHttpProtocolOptions = new Envoy.Config.Core.V3.HttpProtocolOptions
            {
                IdleTimeout =
                Duration.FromTimeSpan(TimeSpan.FromMinutes(5))
            },
        };
        cluster.TypedExtensionProtocolOptions.Add(Clusters.HttpOptionsKey, Any.Pack(options));
        if (source is not null) cluster.UpstreamBindConfig = From(source);
        return new Resource(name, cluster);
    }

    private static BindConfig From(string source) => new() { SourceAddress = new SocketAddress { Address = source, PortValue = 0 } };

    /// <summary>The workload beside the proxy, at a port of its own.</summary>
    public static Resource Inbound(Snapshot snapshot, NodeInfo node, int port, MeshService service, MeshPort served)
    {
        MeshConfigSpec mesh = snapshot.Layout.Mesh;
        ConnectionPool pool = Clusters.PoolOf(snapshot.Layout, service, served, node.Namespace) ?? new ConnectionPool();
        var cluster = new Cluster
        {
            Name = Clusters.InboundName(port),
            ConnectTimeout = Clusters.ConnectTimeout(pool, mesh),
        };
        if (mesh.InboundToLocalhost)
        {
            cluster.Type = Cluster.Types.DiscoveryType.Static;
            cluster.LoadAssignment = new ClusterLoadAssignment { ClusterName = cluster.Name };
            var beside = new LbEndpoint { Endpoint = new Endpoint { Address = Sources.Address("127.0.0.1", port) } };
            cluster.LoadAssignment.Endpoints.Add(new LocalityLbEndpoints { LbEndpoints = { beside } });
        }
        else
        {
            cluster.Type = Cluster.Types.DiscoveryType.OriginalDst;
            cluster.LbPolicy = Cluster.Types.LbPolicy.ClusterProvided;
            cluster.UpstreamBindConfig = From(InboundSource);
            // Never: the address is always the same.
            cluster.CleanupInterval = new Duration { Seconds = 9_223_372_035 };
        }
        Clusters.Limits(cluster, pool);
        Clusters.Keepalive(cluster, pool, mesh);
        bool http2 = served.Protocol == PortProtocol.Http2 || served.IsGrpcWeb;
        Protocol(cluster, node, served, pool with { UseClientProtocol = false }, http2, (false, false));
        return new Resource(cluster.Name, cluster);
    }

    // ---- endpoints ----

    public static IEnumerable<Resource> Endpoints(Snapshot snapshot, NodeInfo node)
    {
        string place = Localities.PlaceOf(snapshot, node);
        foreach (Clusters.Target target in Clusters.Targets(snapshot.Layout, node.Namespace, tcp: true))
        {
            if (target.Service.Resolution != ServiceResolution.Known || target.GoesOn(node)) continue;
            if (!snapshot.Endpoints.TryGetValue((target.Service.Hostname, target.Port.Number), out ImmutableArray<MeshEndpoint> all))
                all = s_none;
            // A rule that says otherwise leaves no endpoint to be called by mutual TLS.
            bool mutual = target.Policy.Tls is null or { Mode: ClientTlsMode.IstioMutual };
            bool places = Localities.Matter(snapshot.Layout.Mesh, target.Policy, place);
            Resource Make()
            {
                ClusterLoadAssignment made = Assignment(snapshot, target.Name, all.Where(e => HostNames.Matches(target.Labels,
                    e.Labels)), mutual);
                if (places) Localities.Arrange(made, snapshot.Layout.Mesh, target.Policy, place);
                return new Resource(target.Name, made);
            }
            // As long as no policy says who may not be called by TLS, they are made of the endpoints alone and live as long as those.
            string key = $"{target.Name}\0captured\0{mutual}\0{string.Join('\0', target.Labels.Select(l => l.Key + "=" + l.Value))}";
            yield return places || snapshot.Layout.Security.Any(s => s.Spec is PeerAuthenticationSpec) ? Make()
                : Clusters.Made.GetOrCreateValue(ImmutableCollectionsMarshal.AsArray(all)!).GetOrAdd(key, _ => Make());
        }
    }

    private static readonly ImmutableArray<MeshEndpoint> s_none = [.. new MeshEndpoint[0]];

    private static ClusterLoadAssignment Assignment(Snapshot snapshot, string name, IEnumerable<MeshEndpoint> endpoints, bool mutual = true)
    {
        var made = new ClusterLoadAssignment { ClusterName = name };
        foreach (IGrouping<string, MeshEndpoint> group in endpoints.GroupBy(e => e.Locality).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            string[] place = group.Key.Split('/');
            var locality = new LocalityLbEndpoints
            {
                Locality = new Locality
                {
                    Region = place[0],
                    Zone = place.ElementAtOrDefault(1) ?? "",
                    SubZone = place.ElementAtOrDefault(2) ?? ""
                },
                LoadBalancingWeight = (uint)Math.Min(group.Sum(e => (long)e.Weight), uint.MaxValue),
            };
            foreach (MeshEndpoint endpoint in group)
            {
                var one = new LbEndpoint
                {
                    Endpoint = new Endpoint { Address = Sources.Address(endpoint.Address, endpoint.Port) },
                    LoadBalancingWeight = (uint)endpoint.Weight,
                };
                if (mutual && MutualTls.Can(snapshot.Layout, endpoint))
                {
                    one.Metadata = new Metadata
                    {
                        FilterMetadata = { ["envoy.transport_socket_match"] =
                            new Struct { Fields = { ["tlsMode"] = Value.ForString("istio") } } },
                    };
                }
                locality.LbEndpoints.Add(one);
            }
            made.Endpoints.Add(locality);
        }
        return made;
    }
}

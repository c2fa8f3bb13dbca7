// The listener that everything for a workload is redirected to: chains for each port that it serves, as PeerAuthentication has them, and
// chains for any other port, which is passed on as it is. Policies stand in all of them.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Listener.OriginalDst.V3;
using Envoy.Extensions.Filters.Listener.OriginalSrc.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class CapturedInbound
{
    private static readonly string[] s_meshHttp = ["istio-http/1.0", "istio-http/1.1", "istio-h2"],
        s_meshTcp = ["istio-peer-exchange", "istio"];
    private static readonly string[] s_plainHttp = ["http/1.1", "h2c"];

    /// <summary>A port of the workload, and for which service.</summary>
    public readonly record struct Served(int Target, MeshService Service, MeshPort Port);

    /// <summary>The ports that services send to at the proxy's addresses; of several services of one port the first.</summary>
    public static List<Served> Ports(Snapshot snapshot, NodeInfo node)
    {
        var made = new List<Served>();
        foreach (MeshService service in CapturedRoutes.ByAge(snapshot.Layout))
        {
            if (service.Namespace != node.Namespace) continue;
            foreach (MeshPort port in service.Ports)
            {
                foreach (MeshEndpoint endpoint in snapshot.Endpoints.GetValueOrDefault((service.Hostname, port.Number), []))
                {
                    if (node.Addresses.Contains(endpoint.Address) && !made.Exists(s => s.Target == endpoint.Port))
                        made.Add(new Served(endpoint.Port, service, port));
                }
            }
        }
        made.Sort((a, b) => a.Target.CompareTo(b.Target));
        return made;
    }

    public static Resource Listener(Snapshot snapshot, NodeInfo node)
    {
        MeshLayout layout = snapshot.Layout;
        List<Served> ports = Ports(snapshot, node);
        int own = layout.Mesh.InboundPort;
        var proxy = new CapturedProxy(layout.Mesh, node);
        var listener = new Listener
        {
            Name = "virtualInbound",
            Address = Sources.Address(CapturedListeners.AnyAddress, own),
            TrafficDirection = TrafficDirection.Inbound,
            ContinueOnListenerFiltersTimeout = true,
            ListenerFiltersTimeout = Duration.FromTimeSpan(layout.Mesh.DetectionTimeout),
            MaxConnectionsToAcceptPerSocketEvent = 1,
        };
        listener.FilterChains.Add(new FilterChain
        {
            Name = "virtualInbound-blackhole",
            FilterChainMatch = new FilterChainMatch { DestinationPort = (uint)own },
            Filters = { CapturedProxy.Hole() },
        });
        var chains = new Chains(layout, proxy, [.. Tokens.Http(layout, node), .. AccessPolicies.Http(layout, node)],
            [.. AccessPolicies.Network(layout, node)]);
        PeerMode Mode(int port) => node.IsOurs ? PeerMode.Disable : MutualTls.ModeOf(layout, node.Namespace, node.Labels, port);
        listener.FilterChains.AddRange(chains.Of(0, null, Mode(0)));
        // A port that only PeerAuthentication names is one of no service: its protocol is not known.
        IEnumerable<int> named = layout.Security.Where(s => s.Key.Namespace == node.Namespace
            && s.Spec is PeerAuthenticationSpec { Selector.Count: > 0 } p
            && HostNames.Matches(p.Selector, node.Labels)).Take(1).SelectMany(s => ((PeerAuthenticationSpec)s.Spec).Ports.Keys);
        SortedDictionary<int, Served?> all = new(ports.ToDictionary(p => p.Target, p => (Served?)p));
        foreach (int port in named) all.TryAdd(port, null);
        foreach ((int port, Served? served) in all) listener.FilterChains.AddRange(chains.Of(port, served, Mode(port)));
        Inspect(listener, all, Mode, node, own);
        listener.Transparent = node.IsTransparent ? true : null;
        proxy.TellUnmatched(listener);
        return new Resource(listener.Name, listener);
    }

    /// <summary>Makes chains.</summary>
    private sealed record Chains(MeshLayout Layout, CapturedProxy Proxy, HttpFilter[] Requests, Filter[] Connections)
    {
        /// <summary>Those of a port; port 0 is any other.</summary>
        public IEnumerable<FilterChain> Of(int port, Served? served, PeerMode mode)
        {
            bool plain = mode != PeerMode.Strict, secure = mode != PeerMode.Disable;
            bool tcp = served is { Port.Protocol: PortProtocol.Tcp }, known = served is { Port.Sniffed: false };
            if (known && !tcp)
            {
                if (secure) yield return Http(port, served, mode == PeerMode.Strict ? [] : [.. s_meshTcp.Reverse(), .. s_meshHttp], true);
                if (plain) yield return Http(port, served, [], false);
                yield break;
            }
            if (known)
            {
                if (secure) yield return Tcp(port, mode == PeerMode.Strict ? [] : [.. s_meshTcp.Reverse(), .. s_meshHttp], "tls", true);
                if (plain && secure) yield return Tcp(port, [], "tls", false);
                if (plain) yield return Tcp(port, [], "raw_buffer", false);
                yield break;
            }
            if (secure) yield return Http(port, served, s_meshHttp, true);
            if (plain) yield return Http(port, served, s_plainHttp, false);
            if (secure) yield return Tcp(port, mode == PeerMode.Strict ? [] : s_meshTcp, "tls", true);
            if (plain) yield return Tcp(port, [], "raw_buffer", false);
            // TLS of others is passed on as it is.
            if (plain && secure) yield return Tcp(port, [], "tls", false);
        }

        private FilterChain Http(int port, Served? served, string[] protocols, bool secure)
        {
            string cluster = Cluster(port);
            bool http2 = served is { Port.Protocol: PortProtocol.Http2 } or { Port.IsGrpcWeb: true };
            var host = new VirtualHost { Name = $"inbound|http|{served?.Port.Number ?? port}" };
            host.Domains.Add("*");
            host.Routes.Add(Route(cluster, served is { } s ? $"{s.Service.Hostname}:{s.Port.Number}/*" : $":{port}/*", http2));
            var routes = new RouteConfiguration { Name = cluster };
            routes.VirtualHosts.Add(host);
            string stat = port == 0 ? CapturedClusters.InboundPassthrough : $"inbound_{CapturedListeners.AnyAddress}_{port}";
            FilterChain chain = Managers.Chain(Proxy.Inbound(stat, routes, http2, Requests, served is { Port.IsGrpcWeb: true }));
            return Matched(chain, port == 0 ? "virtualInbound-catchall-http" : $"{CapturedListeners.AnyAddress}_{port}", port, protocols,
                secure ? "tls" : "raw_buffer", secure, tcp: false);
        }

        private FilterChain Tcp(int port, string[] protocols, string transport, bool secure)
        {
            var chain = new FilterChain { Filters = { Connections } };
            chain.Filters.Add(Proxy.Tcp(Cluster(port)));
            return Matched(chain, port == 0 ? "virtualInbound" : $"{CapturedListeners.AnyAddress}_{port}", port, protocols, transport,
                secure, tcp: true);
        }

        private static string Cluster(int port) => port == 0 ? CapturedClusters.InboundPassthrough : Clusters.InboundName(port);

        private FilterChain Matched(FilterChain chain, string name, int port, string[] protocols, string transport, bool secure, bool tcp)
        {
            chain.Name = name;
            chain.FilterChainMatch = new FilterChainMatch
            {
                TransportProtocol = transport,
                DestinationPort = port == 0 ? null
                : (uint)port
            };
            chain.FilterChainMatch.ApplicationProtocols.AddRange(protocols);
            if (secure) chain.TransportSocket = MutualTls.Server(Layout.Mesh, tcp);
            return chain;
        }
    }

    private static Route Route(string cluster, string operation, bool http2)
    {
        var action = new RouteAction
        {
            Cluster = cluster,
            Timeout = new Duration(),
            MaxStreamDuration = new RouteAction.Types.MaxStreamDuration
            {
                MaxStreamDuration_ = new Duration(),
                GrpcTimeoutHeaderMax = new Duration()
            },
        };
        // A connection to the workload that died unused; streams of HTTP/2 cannot tell.
        if (!http2) action.RetryPolicy = new Envoy.Config.Route.V3.RetryPolicy { RetryOn = "reset-before-request", NumRetries = 2 };
        return new Route
        {
            Name = "default",
            Match = new RouteMatch { Prefix = "/" },
            Route_ = action,
            Decorator = new Decorator { Operation = operation }
        };
    }

    // ---- who looks at the first bytes ----

    private static void Inspect(Listener listener, SortedDictionary<int, Served?> ports, Func<int, PeerMode> mode, NodeInfo node, int own)
    {
        listener.ListenerFilters.Add(new ListenerFilter
        {
            Name = "envoy.filters.listener.original_dst",
            TypedConfig = Any.Pack(new OriginalDst())
        });
        // The mark tells the kernel's rules which packets are the proxy's own.
        if (node.IsTransparent)
            listener.ListenerFilters.Add(new ListenerFilter
            {
                Name = "envoy.filters.listener.original_src",
                TypedConfig = Any.Pack(new OriginalSrc { Mark = 1337 })
            });
        var all = new SortedDictionary<int, Served?>(ports) { [0] = null };
        bool Secure(int port) => mode(port) != PeerMode.Disable;
        bool Sniffs(int port, Served? served) => served is not { Port.Sniffed: false } && mode(port) != PeerMode.Strict;
        if (all.Keys.Any(Secure))
        {
            listener.ListenerFilters.Add(new ListenerFilter
            {
                Name = "envoy.filters.listener.tls_inspector",
                TypedConfig = Any.Pack(new TlsInspector { InitialReadBufferSize = 512 }),
                FilterDisabled = Except(all.Keys.Where(p => !Secure(p)), own),
            });
        }
        if (all.Any(p => Sniffs(p.Key, p.Value)))
        {
            listener.ListenerFilters.Add(new ListenerFilter
            {
                Name = "envoy.filters.listener.http_inspector",
                TypedConfig = Any.Pack(new HttpInspector()),
                FilterDisabled = Except(all.Where(p => !Sniffs(p.Key, p.Value)).Select(p => p.Key), own),
            });
        }
    }

    private static ListenerFilterChainMatchPredicate Except(IEnumerable<int> ports, int own)
    {
        List<ListenerFilterChainMatchPredicate> all = [.. ports.Append(own).Distinct().Order()
            .Select(p => new ListenerFilterChainMatchPredicate { DestinationPortRange = new Int32Range { Start = p, End = p + 1 } })];
        if (all is [var only]) return only;
        return new ListenerFilterChainMatchPredicate { OrMatch = new ListenerFilterChainMatchPredicate.Types.MatchSet { Rules = { all } } };
    }
}

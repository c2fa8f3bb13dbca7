// Listeners of a redirected sidecar for what its workload calls: one for each port of HTTP, one for each address and port of anything
// else, and the one that everything is redirected to. None but that one binds; it hands connections on by their original destination.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class CapturedListeners
{
    public const string AnyAddress = "0.0.0.0";
    private const int Outbound = 15001;

    public static IEnumerable<Resource> Of(Snapshot snapshot, NodeInfo node)
    {
        MeshLayout layout = snapshot.Layout;
        string rest = Rest(layout);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        // Of two that want one listener the older has it; HTTP ports share theirs.
        foreach ((MeshService service, MeshPort port) in CapturedRoutes.Visible(layout, node))
        {
            if (port.Protocol == PortProtocol.Tcp || port.Sniffed) continue;
            string name = $"{AnyAddress}_{port.Number}";
            if (taken.Add(name)) yield return new Resource(name,
                Http(name, AnyAddress, port.Number, port.Number.ToString(), Catching(rest)));
        }
        foreach ((MeshService service, MeshPort port) in CapturedRoutes.Visible(layout, node))
        {
            if (port.Protocol != PortProtocol.Tcp && !port.Sniffed) continue;
            foreach (string address in Addresses(snapshot, service, port))
            {
                string name = $"{address}_{port.Number}", cluster = Clusters.OutboundName(port.Number, "", service.Hostname);
                if (!taken.Add(name)) continue;
                FilterChain plain = Timed(new FilterChain { Filters = { Tcp(cluster, cluster) } });
                if (port.Sniffed)
                {
                    yield return new Resource(name, Http(name, address, port.Number, $"{service.Hostname}:{port.Number}", plain));
                    continue;
                }
                Listener listener = Bare(name, address, port.Number);
                listener.FilterChains.Add(plain);
                yield return new Resource(name, listener);
            }
        }
        yield return VirtualOutbound(rest);
    }

    // A service without an address of its own is called at its workloads'.
    private static IEnumerable<string> Addresses(Snapshot snapshot, MeshService service, MeshPort port) =>
        !service.Addresses.IsEmpty ? service.Addresses
        : service.Headless ? snapshot.Endpoints.GetValueOrDefault((service.Hostname, port.Number), []).Select(e => e.Address).Distinct()
        : [AnyAddress];

    private static string Rest(MeshLayout layout) => layout.Mesh.RegistryOnly ? Clusters.BlackHole : Clusters.Passthrough;

    public static Filter Tcp(string cluster, string statPrefix) => new()
    {
        Name = "envoy.filters.network.tcp_proxy",
        TypedConfig = Any.Pack(new TcpProxy { StatPrefix = statPrefix, Cluster = cluster }),
    };

    // What is no HTTP after all goes where it was sent to.
    private static FilterChain Catching(string cluster) =>
        new() { Name = "PassthroughFilterChain", FilterChainMatch = new FilterChainMatch(), Filters = { Tcp(cluster, cluster) } };

    private static FilterChain Timed(FilterChain chain)
    {
        chain.TransportSocketConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(15));
        return chain;
    }

    private static Listener Bare(string name, string address, int port) => new()
    {
        Name = name,
        Address = Sources.Address(address, port),
        BindToPort = false,
        TrafficDirection = TrafficDirection.Outbound,
        ContinueOnListenerFiltersTimeout = true,
        ListenerFiltersTimeout = new Duration(),
    };

    private static Listener Http(string name, string address, int port, string routes, FilterChain otherwise)
    {
        Listener listener = Bare(name, address, port);
        listener.ListenerFilters.Add(new ListenerFilter { Name = "envoy.filters.listener.http_inspector",
            TypedConfig = Any.Pack(new HttpInspector()) });
        FilterChain chain = Timed(Managers.Chain(CapturedManagers.Outbound($"outbound_{address}_{port}", routes)));
        chain.FilterChainMatch = new FilterChainMatch { TransportProtocol = "raw_buffer", ApplicationProtocols = { "http/1.1", "h2c" } };
        listener.FilterChains.Add(chain);
        listener.DefaultFilterChain = otherwise;
        return listener;
    }

    private static Resource VirtualOutbound(string rest)
    {
        var listener = new Listener
        {
            Name = "virtualOutbound",
            Address = Sources.Address(AnyAddress, Outbound),
            UseOriginalDst = true,
            TrafficDirection = TrafficDirection.Outbound,
            MaxConnectionsToAcceptPerSocketEvent = 1,
        };
        listener.FilterChains.Add(new FilterChain
        {
            Name = "virtualOutbound-blackhole",
            // Who connects to the redirection itself would go round in a circle.
            FilterChainMatch = new FilterChainMatch { DestinationPort = Outbound },
            Filters = { Tcp(Clusters.BlackHole, Clusters.BlackHole) },
        });
        listener.FilterChains.Add(new FilterChain { Name = "virtualOutbound-catchall-tcp", Filters = { Tcp(rest, rest) } });
        return new Resource(listener.Name, listener);
    }
}

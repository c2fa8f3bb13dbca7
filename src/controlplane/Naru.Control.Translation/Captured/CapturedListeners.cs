// Listeners of a redirected sidecar for what its workload calls: one for each port of HTTP, one for each address and port of anything
// else, and the one that everything is redirected to. None but that one binds; it hands connections on by their original destination.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class CapturedListeners
{
    public const string AnyAddress = "0.0.0.0";

    public static IEnumerable<Resource> Of(Snapshot snapshot, NodeInfo node)
    {
        MeshLayout layout = snapshot.Layout;
        string rest = Rest(layout);
        var proxy = new CapturedProxy(layout.Mesh, node);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        var shared = new SortedDictionary<int, Shared>();
        foreach ((MeshService service, MeshPort port) in CapturedRoutes.Visible(layout, node))
        {
            bool bytes = port.Protocol == PortProtocol.Tcp;
            if (!bytes && !port.Sniffed)
            {
                Of(shared, port.Number).Http ??= port;
                continue;
            }
            foreach (string address in Addresses(snapshot, service, port, node))
            {
                string name = $"{address}_{port.Number}", cluster = Clusters.OutboundName(port.Number, "", service.Hostname);
                FilterChain plain = Timed(new FilterChain
                {
                    Filters = { proxy.Tcp(cluster, Clusters.PolicyOf(layout, service,
                    port.Number, node.Namespace)) }
                });
                if (bytes && address == AnyAddress)
                {
                    Shared all = Of(shared, port.Number);
                    // Nobody asks for an address by name.
                    if (!port.IsTls || service.Hostname.Contains(':')) all.Bytes ??= plain;
                    else if (all.Named.Add(service.Hostname))
                    {
                        plain.FilterChainMatch = new FilterChainMatch { ServerNames = { service.Hostname } };
                        all.Tls.Add(plain);
                    }
                    continue;
                }
                // Of two that want one listener the older has it.
                if (!taken.Add(name)) continue;
                if (port.Sniffed)
                {
                    yield return new Resource(name, Http(layout, proxy, name, address, port.Number, $"{service.Hostname}:{port.Number}",
                        plain));
                    continue;
                }
                Listener listener = Bare(name, address, port.Number);
                listener.FilterChains.Add(plain);
                yield return new Resource(name, listener);
            }
        }
        foreach ((int port, Shared all) in shared)
        {
            string name = $"{AnyAddress}_{port}";
            if (taken.Add(name)) yield return new Resource(name, Listen(layout, proxy, name, port, all, rest));
        }
        if (HttpProxyPort(layout, node) is > 0 and var asked) yield return ByName(layout, proxy, asked);
        yield return VirtualOutbound(layout, node, proxy, rest);
    }

    /// <summary>Who is called at one port whatever the address: all of HTTP, told apart by the host; TLS, by the name asked for; one of
    /// anything else.</summary>
    private sealed class Shared
    {
        public MeshPort? Http { get; set; }
        public HashSet<string> Named { get; } = new(StringComparer.Ordinal);
        public List<FilterChain> Tls { get; } = [];
        public FilterChain? Bytes { get; set; }
    }

    private static Shared Of(SortedDictionary<int, Shared> all, int port) =>
        all.TryGetValue(port, out Shared? found) ? found : all[port] = new Shared();

    private static Listener Listen(MeshLayout layout, CapturedProxy proxy, string name, int port, Shared all, string rest)
    {
        Listener listener;
        if (all.Http is { } http) listener = Http(layout, proxy, name, AnyAddress, port, port.ToString(), all.Bytes ?? Catching(proxy,
            rest), http.IsGrpcWeb);
        else
        {
            listener = Bare(name, AnyAddress, port);
            if (all.Tls.Count == 0)
            {
                listener.FilterChains.Add(all.Bytes);
                return listener;
            }
            listener.DefaultFilterChain = all.Bytes ?? Catching(proxy, rest);
            listener.ListenerFiltersTimeout = Duration.FromTimeSpan(layout.Mesh.DetectionTimeout);
        }
        if (all.Tls.Count == 0) return listener;
        listener.FilterChains.AddRange(all.Tls);
        listener.ListenerFilters.Insert(0, new ListenerFilter
        {
            Name = "envoy.filters.listener.tls_inspector",
            TypedConfig = Any.Pack(new TlsInspector { InitialReadBufferSize = 512 }),
        });
        return listener;
    }

    // A service without an address of its own is called at its workloads'.
    private static IEnumerable<string> Addresses(Snapshot snapshot, MeshService service, MeshPort port, NodeInfo node) =>
        !service.Addresses.IsEmpty ? service.Addresses
        : service.Headless ? snapshot.Endpoints.GetValueOrDefault((service.Hostname, port.Number), []).Select(e => e.Address).Distinct()
            .Where(a => !node.Addresses.Contains(a))
        : [AnyAddress];

    private static string Rest(MeshLayout layout) => layout.Mesh.RegistryOnly ? Clusters.BlackHole : Clusters.Passthrough;

    // What is no HTTP after all goes where it was sent to.
    private static FilterChain Catching(CapturedProxy proxy, string cluster) =>
        new() { Name = "PassthroughFilterChain", FilterChainMatch = new FilterChainMatch(), Filters = { proxy.Tcp(cluster) } };

    /// <summary>Where the workload may ask its proxy by name; 0 for nowhere.</summary>
    public static int HttpProxyPort(MeshLayout layout, NodeInfo node) => node.HttpProxyPort ?? layout.Mesh.HttpProxyPort;

    private static Resource ByName(MeshLayout layout, CapturedProxy proxy, int port)
    {
        const string Loopback = "127.0.0.1";
        HttpConnectionManager manager = proxy.Outbound($"outbound_{Loopback}_{port}", CapturedRoutes.HttpProxy);
        (manager.HttpProtocolOptions ??= new Http1ProtocolOptions()).AllowAbsoluteUrl = true;
        var listener = new Listener
        {
            Name = $"{Loopback}_{port}",
            Address = Sources.Address(Loopback, port),
            TrafficDirection = TrafficDirection.Outbound,
            ContinueOnListenerFiltersTimeout = true,
            ListenerFiltersTimeout = Duration.FromTimeSpan(layout.Mesh.DetectionTimeout),
            MaxConnectionsToAcceptPerSocketEvent = 1,
        };
        listener.FilterChains.Add(Timed(Managers.Chain(manager)));
        return new Resource(listener.Name, listener);
    }

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

    private static Listener Http(MeshLayout layout, CapturedProxy proxy, string name, string address, int port, string routes,
        FilterChain otherwise, bool grpcWeb = false)
    {
        Listener listener = Bare(name, address, port);
        listener.ListenerFiltersTimeout = Duration.FromTimeSpan(layout.Mesh.DetectionTimeout);
        listener.ListenerFilters.Add(new ListenerFilter
        {
            Name = "envoy.filters.listener.http_inspector",
            TypedConfig = Any.Pack(new HttpInspector())
        });
        FilterChain chain = Timed(Managers.Chain(proxy.Outbound($"outbound_{address}_{port}", routes, grpcWeb)));
        chain.FilterChainMatch = new FilterChainMatch { TransportProtocol = "raw_buffer", ApplicationProtocols = { "http/1.1", "h2c" } };
        listener.FilterChains.Add(chain);
        listener.DefaultFilterChain = otherwise;
        return listener;
    }

    private static Resource VirtualOutbound(MeshLayout layout, NodeInfo node, CapturedProxy proxy, string rest)
    {
        int own = layout.Mesh.OutboundPort;
        var listener = new Listener
        {
            Name = "virtualOutbound",
            Address = Sources.Address(AnyAddress, own),
            UseOriginalDst = true,
            Transparent = node.IsTransparent ? true : null,
            TrafficDirection = TrafficDirection.Outbound,
            MaxConnectionsToAcceptPerSocketEvent = 1,
        };
        listener.FilterChains.Add(new FilterChain
        {
            Name = "virtualOutbound-blackhole",
            // Who connects to the redirection itself would go round in a circle.
            FilterChainMatch = new FilterChainMatch { DestinationPort = (uint)own },
            Filters = { CapturedProxy.Hole() },
        });
        listener.FilterChains.Add(new FilterChain { Name = "virtualOutbound-catchall-tcp", Filters = { proxy.Tcp(rest) } });
        proxy.TellUnmatched(listener);
        return new Resource(listener.Name, listener);
    }
}

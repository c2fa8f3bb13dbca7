// (snapshot, node) → resources. Pure: the same snapshot and node give the same bytes, and nothing is read or written elsewhere.
// What many proxies share is made once; what did not change since the last snapshot is not made again.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.Filters.Http.Cors.V3;
using Envoy.Extensions.Filters.Http.ExtAuthz.V3;
using Envoy.Extensions.Filters.Http.Fault.V3;
using Envoy.Extensions.Filters.Http.JwtAuthn.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Listener.OriginalDst.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Extensions.Path.Match.UriTemplate.V3;
using Envoy.Extensions.Retry.Host.PreviousHosts.V3;
using Envoy.Extensions.TransportSockets.RawBuffer.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Extensions.Upstreams.Http.V3;
using Google.Protobuf.Reflection;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

/// <summary>Translates snapshots for proxies. Safe for concurrent use.</summary>
public static class Translator
{
    /// <summary>What was made of one layout; goes with it.</summary>
    private sealed class Made
    {
        // More proxies than anybody has; only who invents names gets there.
        private const int MostProxies = 50_000;

        public readonly RecentlyUsed<ResourceGroup> Groups = new(MostProxies);

        private Snapshot? _snapshot;

        /// <summary>What no proxy asked for during a whole snapshot belongs to proxies that are gone.</summary>
        public void Turn(Snapshot snapshot)
        {
            Snapshot? before = Volatile.Read(ref _snapshot);
            if (ReferenceEquals(before, snapshot) || !ReferenceEquals(Interlocked.CompareExchange(ref _snapshot, snapshot, before), before)) return;
            if (before is not null) Groups.Turn();
        }

        private bool? _asksForSource;

        /// <summary>Whether some rule looks at the caller's labels, so that routes differ from workload to workload.</summary>
        public bool AsksForSource(MeshLayout layout) => _asksForSource ??=
            layout.VirtualServices.Any(v => v.Spec.Http.Any(r => r.Matches.Any(m => m.SourceLabels.Count > 0)));
    }

    /// <summary>What resources hold packed (<c>Any</c>), so that they can be printed.</summary>
    public static TypeRegistry Types { get; } = TypeRegistry.FromMessages(
        HttpConnectionManager.Descriptor, FileAccessLog.Descriptor, HTTPFault.Descriptor, Cors.Descriptor, Router.Descriptor,
        PreviousHostsPredicate.Descriptor, Envoy.Extensions.Retry.Priority.PreviousPriorities.V3.PreviousPrioritiesConfig.Descriptor,
            OriginalDst.Descriptor, HttpProtocolOptions.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalSrc.V3.OriginalSrc.Descriptor, TlsInspector.Descriptor, HttpInspector.Descriptor,
            TcpProxy.Descriptor, DownstreamTlsContext.Descriptor,
            UpstreamTlsContext.Descriptor,
        Envoy.Extensions.TransportSockets.ProxyProtocol.V3.ProxyProtocolUpstreamTransport.Descriptor, RawBuffer.Descriptor,
            Envoy.Extensions.Filters.Http.Rbac.V3.RBAC.Descriptor,
            Envoy.Extensions.Filters.Network.Rbac.V3.RBAC.Descriptor,
        Envoy.Extensions.Filters.Http.GrpcWeb.V3.GrpcWeb.Descriptor, JwtAuthentication.Descriptor, ExtAuthz.Descriptor,
            Envoy.Extensions.Filters.Network.ExtAuthz.V3.ExtAuthz.Descriptor, UriTemplateMatchConfig.Descriptor,
        Envoy.Extensions.Clusters.DynamicForwardProxy.V3.ClusterReflection.Descriptor.MessageTypes[0]);

    private static readonly ConditionalWeakTable<MeshLayout, Made> ByLayout = [];
    private static readonly ConditionalWeakTable<object, ConcurrentDictionary<string, (MeshLayout Layout, ResourceGroup Group)>> ByEndpoints = [];

    /// <summary>All resources of a proxy.</summary>
    public static ResourceSet Translate(Snapshot snapshot, NodeInfo node)
    {
        MeshLayout layout = snapshot.Layout;
        Made made = ByLayout.GetOrCreateValue(layout);
        made.Turn(snapshot);
        return new ResourceSet(new Dictionary<string, ResourceGroup>
        {
            [TypeUrls.Cluster] = ClustersOf(snapshot, node, made),
            [TypeUrls.ClusterLoadAssignment] = EndpointsOf(snapshot, node),
            [TypeUrls.Listener] = ListenersOf(snapshot, node, made),
            [TypeUrls.RouteConfiguration] = RoutesOf(layout, node, made),
        });
    }

    private static ResourceGroup ClustersOf(Snapshot snapshot, NodeInfo node, Made made)
    {
        if (node.IsCaptured) return CapturedClustersOf(snapshot, node, made);
        // Names in DNS clusters come from the layout's own objects, so clusters change only with the layout.
        bool proxies = Sidecars.IsHttpProxy(node);
        ResourceGroup shared = made.Groups.GetOrAdd($"cds|{node.Namespace}|{node.IsGrpc}|{node.NoInterception}|{proxies}", () =>
        {
            IEnumerable<Resource> all = Clusters.Outbound(snapshot, node.Namespace, node.IsGrpc);
            if (!node.IsGrpc) all = all.Append(Clusters.Hole());
            if (proxies) all = all.Append(Clusters.AnyHost());
            return new ResourceGroup(all);
        });
        if (LocalGateway.Is(node))
            return made.Groups.GetOrAdd($"cds|{node.Fingerprint}", () => new ResourceGroup([LocalGateway.FrontPage(node)], shared));
        return node.IsGrpc || node.Type == NodeType.Router ? shared
            : made.Groups.GetOrAdd($"cds|{Own(snapshot, node)}", () => new ResourceGroup(Sidecars.InboundClusters(snapshot, node), shared));
    }

    // Names of identities come from endpoints: what the accounts of services are is part of the key.
    private static ResourceGroup CapturedClustersOf(Snapshot snapshot, NodeInfo node, Made made)
    {
        string accounts = snapshot.Layout.Mesh.AutoMtls || snapshot.Layout.Security.Length > 0
            || snapshot.Layout.DestinationRules.Any(r => r.Spec.SaysTls)
            ? AccountsOf(snapshot) : "";
        ResourceGroup shared = made.Groups.GetOrAdd($"cds|captured|{node.Namespace}|{node.Type}|{node.IsOurs}|{accounts}",
            () => new ResourceGroup(CapturedClusters.Outbound(snapshot, node)));
        if (node.Type == NodeType.Router) return shared;
        List<CapturedInbound.Served> ports = CapturedInbound.Ports(snapshot, node);
        return made.Groups.GetOrAdd($"cds|captured|{CapturedOwn(snapshot, node)}|{accounts}",
            () => new ResourceGroup(ports.Select(p => CapturedClusters.Inbound(snapshot, node, p.Target, p.Service, p.Port)), shared));
    }

    private static readonly ConditionalWeakTable<object, string> Accounts = [];

    private static string AccountsOf(Snapshot snapshot) =>
        Accounts.GetValue(snapshot.Endpoints, _ => Resource.Hash(System.Text.Encoding.UTF8.GetBytes(string.Join('\n',
        snapshot.Endpoints.OrderBy(e => e.Key.Host, StringComparer.Ordinal).ThenBy(e => e.Key.Port)
            .Select(e => $"{e.Key.Host}|{string.Join(',', e.Value.Select(v => v.Account).Distinct().Order(StringComparer.Ordinal))}")
                .Distinct()))));

    private static string CapturedOwn(Snapshot snapshot, NodeInfo node) =>
        $"{node.Fingerprint}|{string.Join(',', CapturedInbound.Ports(snapshot, node).Select(p => $"{p.Target}={p.Service.Hostname}:{p.Port.Number}"))}";

    private const int MostEndpointGroups = 10_000;

    private static ResourceGroup EndpointsOf(Snapshot snapshot, NodeInfo node)
    {
        (string ns, bool grpc) = (node.Namespace, node.IsGrpc);
        string key = grpc ? ns + "|grpc" : node.IsCaptured ? $"{ns}|captured|{node.Type}|{Localities.PlaceOf(snapshot, node)}" : ns;
        ConcurrentDictionary<string, (MeshLayout Layout, ResourceGroup Group)> groups = ByEndpoints.GetOrCreateValue(snapshot.Endpoints);
        if (groups.TryGetValue(key, out (MeshLayout Layout, ResourceGroup Group) found) && ReferenceEquals(found.Layout, snapshot.Layout)) return found.Group;
        var group = new ResourceGroup(node.IsCaptured ? CapturedClusters.Endpoints(snapshot, node) : Clusters.Endpoints(snapshot, ns,
            grpc));
        // Places are what proxies say they are.
        if (groups.Count > MostEndpointGroups) groups.Clear();
        groups[key] = (snapshot.Layout, group);
        return group;
    }

    private static ResourceGroup ListenersOf(Snapshot snapshot, NodeInfo node, Made made)
    {
        MeshLayout layout = snapshot.Layout;
        if (node.IsGrpc) return made.Groups.GetOrAdd($"lds|grpc|{node.Namespace}", () => new ResourceGroup(GrpcClients.Listeners(layout, node)));
        if (node.Type == NodeType.Router) return made.Groups.GetOrAdd($"lds|{node.Fingerprint}", () => new ResourceGroup(GatewayProxies.Listeners(layout, node)));
        if (node.IsCaptured)
        {
            // Services without an address are called at those of their workloads.
            string bare = layout.Services.Values.Any(s => s.Headless) ? $"{snapshot.Version}|{string.Join(',', node.Addresses)}" : "";
            ResourceGroup outbound = made.Groups.GetOrAdd($"lds|captured|{node.Namespace}|{node.Habits}|{bare}", () =>
                new ResourceGroup(CapturedListeners.Of(snapshot, node)));
            return made.Groups.GetOrAdd($"lds|captured|{CapturedOwn(snapshot, node)}|{bare}", () =>
                new ResourceGroup([CapturedInbound.Listener(snapshot, node)], outbound));
        }
        string proxy = node is { NoInterception: true, HttpProxyPort: { } port } ? $"{node.Addresses.FirstOrDefault()}:{port}" : "";
        ResourceGroup shared = made.Groups.GetOrAdd($"lds|{node.Namespace}|{node.NoInterception}|{node.VipOctet}|{node.Unprivileged}|{proxy}", () => new ResourceGroup(Sidecars.OutboundListeners(layout, node)));
        return made.Groups.GetOrAdd($"lds|{Own(snapshot, node)}", () => new ResourceGroup(Sidecars.InboundListeners(snapshot, node), shared));
    }

    // What is a sidecar's own depends on it and on the ports it serves, which endpoints may name.
    private static string Own(Snapshot snapshot, NodeInfo node) =>
        $"{node.Fingerprint}|{string.Join(',', Sidecars.ServedPorts(snapshot, node).Select(p => $"{p.Key}={p.Value}"))}";

    private static ResourceGroup RoutesOf(MeshLayout layout, NodeInfo node, Made made)
    {
        if (node.Type == NodeType.Router && !node.IsGrpc) return made.Groups.GetOrAdd($"rds|{node.Fingerprint}", () => new ResourceGroup(GatewayProxies.RouteConfigurations(layout, node)));
        string labels = made.AsksForSource(layout) ? string.Join(',', node.Labels.Select(l => l.Key + "=" + l.Value)) : "";
        if (node.IsGrpc) return made.Groups.GetOrAdd($"rds|grpc|{node.Namespace}|{labels}", () => new ResourceGroup(GrpcClients.RouteConfigurations(layout, node)));
        if (node.IsCaptured) return made.Groups.GetOrAdd($"rds|captured|{node.Namespace}|{node.Habits}|{labels}", () =>
            new ResourceGroup(CapturedRoutes.Of(layout, node)));
        return made.Groups.GetOrAdd($"rds|{node.Namespace}|{node.NoInterception}|{node.VipOctet}|{node.HttpProxyPort}|{labels}", () => new ResourceGroup(Sidecars.OutboundRoutes(layout, node)));
    }
}

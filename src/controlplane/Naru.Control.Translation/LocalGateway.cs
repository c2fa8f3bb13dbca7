// What the gateway of a mesh on one machine has beside the user's rules: a listener where no Gateway opens one, NAME.localhost for each
// HTTP service, a way to the runner's page for what no rule takes, and a page of the proxy's own for what fails. Only a proxy whose runner
// gave it a page gets any of it, and only on loopback; a host that a rule serves is the rule's (docs/decisions/0026-front-page.md).
using System.Net;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class LocalGateway
{
    /// <summary>Port of the gateway's pod that people find; NARU_PORT_MAP says which port that is on the machine.</summary>
    public const int Port = 8080;

    /// <summary>Routes of that port on loopback. Its other addresses, should a Gateway bind them, have the user's rules only.</summary>
    public const string RouteName = "http.8080.local";

    /// <summary>Begins the names of virtual hosts that no user wrote; the page leaves them out by it.</summary>
    public const string HostMark = "naru:";

    private const string Cluster = "naru_front_page";
    private const string ClientHeader = "x-naru-client";
    private const string Top = "localhost";

    // Whoever was lured to this machine by a name of somebody else's keeps getting the proxy's own 404.
    private const string LocalAuthority = @"(?i)(([a-z0-9_-]+\.)*localhost\.?|127\.[0-9.]+|\[::1\])(:[0-9]+)?";

    /// <summary>Whether the node is the gateway of a mesh on one machine.</summary>
    public static bool Is(NodeInfo node) => node is { Type: NodeType.Router, IsGrpc: false, NoInterception: true, FrontPage.Length: > 0 };

    /// <summary>Whether a listener of the node has more than the user's rules.</summary>
    public static bool Answers(NodeInfo node, int port, string address) =>
        Is(node) && port == Port && IPAddress.TryParse(address, out IPAddress? ip) && IPAddress.IsLoopback(ip);

    /// <summary>The runner's page as a cluster.</summary>
    public static Resource FrontPage(NodeInfo node)
    {
        var assignment = new ClusterLoadAssignment { ClusterName = Cluster };
        var locality = new LocalityLbEndpoints();
        var address = new Address { Pipe = new Pipe { Path = node.FrontPage } };
        locality.LbEndpoints.Add(new LbEndpoint { Endpoint = new Endpoint { Address = address } });
        assignment.Endpoints.Add(locality);
        return new Resource(Cluster, new Cluster
        {
            Name = Cluster,
            Type = Envoy.Config.Cluster.V3.Cluster.Types.DiscoveryType.Static,
            ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(2)),
            LoadAssignment = assignment,
        });
    }

    /// <summary>Metadata of a listener whose failures people read: the proxy then says which service it was and what to type
    /// (docs/decisions/0041-pages-of-failure.md).</summary>
    public static Metadata FailurePage(NodeInfo node)
    {
        var page = new Struct();
        page.Fields["option"] = Value.ForString(node.Mesh is "" or "default" ? "" : $" --mesh {node.Mesh}");
        var metadata = new Metadata();
        metadata.FilterMetadata["naru.page"] = page;
        return metadata;
    }

    /// <summary>Adds to the hosts of the user's rules what they leave open.</summary>
    /// <param name="hosts">By domain; each with the routes of its rules.</param>
    public static void Complete(SortedDictionary<string, VirtualHost> hosts, MeshLayout layout, NodeInfo node)
    {
        List<string> written = [.. hosts.Keys.Where(d => d != "*")];
        Dictionary<string, BoundVirtualService> rules = VirtualHosts.MeshRules(layout, node);
        foreach (IGrouping<string, (MeshService Service, MeshPort Port)> ports in VirtualHosts.Visible(layout, node)
            .GroupBy(v => v.Service.Hostname))
        {
            MeshService service = ports.First().Service;
            if (service.Name.Length == 0 || IsOwn(service, node)) continue;
            // The port that browsers would take, else the first.
            MeshPort port = ports.Select(p => p.Port).OrderBy(p => p.Number == 80 ? 0 : 1).First();
            IEnumerable<string> names = [$"{service.Name}.{service.Namespace}.{Top}"];
            if (service.Namespace == "default") names = names.Prepend($"{service.Name}.{Top}");
            // `*` names no host, so the narrower name has the request, as everywhere; whoever wrote the name or `*.localhost` keeps it.
            List<string> free = [.. names.Where(n => !hosts.ContainsKey(n) && !written.Exists(d => HostNames.Covers(d, n)))];
            if (free.Count == 0) continue;
            VirtualHost host = VirtualHosts.Of(service, port, free, layout, rules, node);
            host.Name = $"{HostMark}{service.Name}.{service.Namespace}:{port.Number}";
            hosts[free[0]] = host;
        }
        foreach ((string domain, VirtualHost host) in hosts)
        {
            // A name of ours mostly leads to its service whatever the path; rules of the mesh for that service may leave something open.
            bool open = !host.Name.StartsWith(HostMark, StringComparison.Ordinal) || !host.Routes.Any(TakesAll);
            if (IsLocal(domain) && open) host.Routes.Add(ToPage());
        }
        if (hosts.ContainsKey("*")) return;
        var rest = new VirtualHost { Name = $"{HostMark}front" };
        rest.Domains.Add("*");
        rest.Routes.Add(ToPage());
        hosts["*"] = rest;
    }

    private static bool IsOwn(MeshService service, NodeInfo node) =>
        service.Namespace == node.Namespace && service.Selector.Count > 0 && HostNames.Matches(service.Selector, node.Labels);

    private static bool IsLocal(string domain) => domain is "*" or Top || domain.EndsWith("." + Top, StringComparison.Ordinal)
        || (IPAddress.TryParse(domain.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));

    private static bool TakesAll(Route route) => route.Match is
    {
        PathSpecifierCase: RouteMatch.PathSpecifierOneofCase.Prefix, Prefix: "/", Headers.Count: 0, QueryParameters.Count: 0, RuntimeFraction: null,
    };

    private static Route ToPage()
    {
        var match = new RouteMatch { Prefix = "/" };
        match.Headers.Add(Matching(":method", "GET|HEAD"));
        match.Headers.Add(Matching(":authority", LocalAuthority));
        var route = new Route
        {
            Name = Cluster,
            Match = match,
            Route_ = new RouteAction { Cluster = Cluster, Timeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(15)) },
        };
        // X-Forwarded-For names the machine's own address for clients on loopback (Envoy: use_remote_address), so who asks is said apart.
        route.RequestHeadersToAdd.Add(new HeaderValueOption
        {
            Header = new HeaderValue { Key = ClientHeader, Value = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" },
            AppendAction = HeaderValueOption.Types.HeaderAppendAction.OverwriteIfExistsOrAdd,
        });
        return route;
    }

    private static HeaderMatcher Matching(string header, string regex) =>
        new() { Name = header, StringMatch = new StringMatcher { SafeRegex = new RegexMatcher { Regex = regex } } };
}

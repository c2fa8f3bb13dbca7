// What the gateway of a local mesh has beside the user's rules: all of it there, none of it anywhere else, and a host of the user's is
// theirs.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Naru.Control.Registries;
using Naru.Control.Translation;
using Xunit;

namespace Naru.GoldenTests;

public sealed class LocalGatewayTests
{
    private static IEnumerable<T> All<T>(string @case, string node, string type, Func<NodeInfo, NodeInfo>? change = null)
    {
        NodeInfo who = TranslationTests.Node(node);
        return Translator.Translate(TranslationTests.Read(@case), change?.Invoke(who) ?? who).Of(type).InOrder.Select(r => (T)r.Message);
    }

    private static VirtualHost Host(RouteConfiguration routes, string domain) =>
        routes.VirtualHosts.Single(h => h.Domains.Contains(domain));

    [Theory]
    [InlineData("gateway", "all-v1")]
    [InlineData("sidecar", "local-gateway")]
    [InlineData("intercepted", "local-gateway")]
    [InlineData("gateway", "local-gateway")]
    public void Nothing_of_it_is_in_another_proxy(string node, string @case)
    {
        ResourceSet made = Translator.Translate(TranslationTests.Read(@case), TranslationTests.Node(node));
        string all = string.Concat(TypeUrls.PushOrder.SelectMany(t => made.Of(t).InOrder).Select(r => r.Message.ToString()));
        Assert.DoesNotContain("naru_front_page", all);
        Assert.DoesNotContain("naru:", all);
        Assert.DoesNotContain("page.sock", all);
        Assert.DoesNotContain("naru.page", all);
        Assert.DoesNotContain("accessLog", all);
        if (@case == "all-v1") Assert.DoesNotContain("localhost", all);
    }

    [Fact]
    public void A_gateway_that_redirects_traffic_is_no_local_one_whatever_it_says() =>
        Assert.DoesNotContain(All<Cluster>("local-gateway", "local", TypeUrls.Cluster, n => n with { NoInterception = false }),
            c => c.Name == "naru_front_page");

    [Theory]
    [InlineData("", "")]
    [InlineData("default", "")]
    [InlineData("shop-2", " --mesh shop-2")]
    public void Its_listener_on_loopback_says_how_commands_mean_the_mesh(string mesh, string option)
    {
        foreach (Listener listener in All<Listener>("local-gateway", "local", TypeUrls.Listener, n => n with { Mesh = mesh }))
        {
            bool answers = listener.Address.SocketAddress is { Address: "127.0.0.1", PortValue: 18080 };
            Assert.Equal(answers ? option : null, listener.Metadata?.FilterMetadata["naru.page"].Fields["option"].StringValue);
        }
    }

    [Fact]
    public void Without_a_Gateway_it_listens_on_loopback_and_every_service_has_its_name()
    {
        Listener listener = Assert.Single(All<Listener>("all-v1", "local", TypeUrls.Listener));
        Assert.Equal(("127.0.0.1", 18080u), (listener.Address.SocketAddress.Address, listener.Address.SocketAddress.PortValue));
        RouteConfiguration routes = Assert.Single(All<RouteConfiguration>("all-v1", "local", TypeUrls.RouteConfiguration));
        foreach (string name in new[] { "productpage", "reviews" })
        {
            Assert.Contains($"{name}.localhost", Host(routes, $"{name}.default.localhost").Domains);
            Assert.StartsWith("naru:", Host(routes, $"{name}.localhost").Name);
        }
        Assert.Equal("naru_front_page", Assert.Single(Host(routes, "*").Routes).Route_.Cluster);
    }

    [Fact]
    public void A_host_that_a_rule_names_is_the_rules_and_what_it_leaves_open_meets_the_page()
    {
        RouteConfiguration routes = All<RouteConfiguration>("local-gateway", "local", TypeUrls.RouteConfiguration)
            .Single(r => r.Name == "http.8080.local");
        VirtualHost mine = Host(routes, "productpage.localhost");
        Assert.Equal("productpage.localhost:80", mine.Name);
        Assert.Equal("naru:productpage.default:9080", Host(routes, "productpage.default.localhost").Name);
        VirtualHost any = Host(routes, "*");
        Assert.Equal(["/productpage", "/"], any.Routes.Select(r => r.Match.HasPath ? r.Match.Path : r.Match.Prefix));
        Assert.Equal("naru_front_page", any.Routes[^1].Route_.Cluster);
        // Nobody of this machine is called that.
        Assert.DoesNotContain(Host(routes, "shop.example.com").Routes, r => r.Name == "naru_front_page");
    }

    [Fact]
    public void A_service_is_met_as_the_rules_of_the_mesh_say()
    {
        RouteConfiguration routes = All<RouteConfiguration>("local-gateway", "local", TypeUrls.RouteConfiguration)
            .Single(r => r.Name == "http.8080.local");
        Assert.Equal([90u, 10u], Host(routes, "reviews.localhost").Routes.Single().Route_.WeightedClusters.Clusters.Select(
            c => c.Weight!.Value));
    }

    [Theory]
    [InlineData("/foo", "/foo,/")]
    [InlineData("/", "/")]
    public void What_a_services_own_rule_leaves_open_meets_the_page(string prefix, string prefixes)
    {
        using var folder = new Naru.Kit.TempFolder();
        folder.Write("rules.yaml", """
            apiVersion: v1
            kind: Service
            metadata: {name: mine}
            spec: {clusterIP: 10.0.0.9, selector: {app: mine}, ports: [{name: http, port: 80}]}
            ---
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {name: v}
            spec: {hosts: [mine], http: [{match: [{uri: {prefix: PREFIX}}], route: [{destination: {host: mine}}]}]}
            """.Replace("PREFIX", prefix, StringComparison.Ordinal));
        ResourceSet made = Translator.Translate(TranslationTests.ReadFolder(folder.Root), TranslationTests.Node("local"));
        var routes = (RouteConfiguration)made.Of(TypeUrls.RouteConfiguration)["http.8080.local"].Message;
        VirtualHost mine = Host(routes, "mine.localhost");
        Assert.Equal(prefixes, string.Join(',', mine.Routes.Select(r => r.Match.Prefix)));
        if (prefix != "/") Assert.Equal("naru_front_page", mine.Routes[^1].Route_.Cluster);
    }

    [Fact]
    public void Where_others_can_reach_the_gateway_there_are_the_users_rules_only()
    {
        var routes = All<RouteConfiguration>("local-gateway", "local", TypeUrls.RouteConfiguration).ToDictionary(r => r.Name);
        Assert.Equal(["http.8080", "http.8080.local"], routes.Keys.Order());
        Assert.DoesNotContain(routes["http.8080"].VirtualHosts, h => h.Name.StartsWith("naru:", StringComparison.Ordinal));
        Assert.DoesNotContain("naru_front_page", routes["http.8080"].ToString());
        Dictionary<string, string> taken = All<Listener>("local-gateway", "local", TypeUrls.Listener)
            .ToDictionary(l => l.Address.SocketAddress.Address,
            l => l.FilterChains[0].Filters[0].TypedConfig.Unpack<HttpConnectionManager>().Rds.RouteConfigName);
        Assert.Equal(("http.8080.local", "http.8080"), (taken["127.0.0.1"], taken["0.0.0.0"]));
    }

    [Theory]
    [InlineData("""["*.localhost"]""", "reviews.localhost")]
    [InlineData("""["*.default.localhost"]""", "reviews.default.localhost")]
    public void A_wildcard_of_a_rule_keeps_the_names_that_it_covers(string hosts, string name)
    {
        using var folder = new Naru.Kit.TempFolder();
        folder.Write("rules.yaml", """
            apiVersion: networking.istio.io/v1
            kind: Gateway
            metadata: {name: g}
            spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
            ---
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {name: v}
            spec: {hosts: HOSTS, gateways: [g], http: [{route: [{destination: {host: productpage}}]}]}
            """.Replace("HOSTS", hosts, StringComparison.Ordinal));
        ResourceSet made = Translator.Translate(TranslationTests.ReadFolder(folder.Root), TranslationTests.Node("local"));
        var routes = (RouteConfiguration)made.Of(TypeUrls.RouteConfiguration)["http.8080.local"].Message;
        Assert.DoesNotContain(routes.VirtualHosts, h => h.Domains.Contains(name));
    }
}

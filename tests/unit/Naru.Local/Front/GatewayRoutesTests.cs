// What the front page reads from the gateway's config dump.
using Naru.Local.Front;
using Xunit;

namespace Naru.UnitTests.Local.Front;

public sealed class GatewayRoutesTests
{
    private const string Dump = """
        {"configs":[
          {"route_config":{"name":"http.8080","virtual_hosts":[{"name":"other","domains":["*"],"routes":[{"match":{"prefix":"/other"}}]}]}},
          {"route_config":{"name":"http.8080.local","virtual_hosts":[HOSTS]}}]}
        """;

    private static GatewayRoutes Read(string hosts) => GatewayRoutes.Read(Dump.Replace("HOSTS", hosts, StringComparison.Ordinal), 8080);

    [Fact]
    public void Exact_and_prefix_routes_are_links_and_the_rest_is_words()
    {
        GatewayRoutes read = Read("""
            {"name":"*:80","domains":["*"],"routes":[
              {"match":{"path":"/productpage"},"route":{"cluster":"outbound|9080|v1|productpage.default.svc.cluster.local"}},
              {"match":{"prefix":"/a b/\"<"},"route":{"weighted_clusters":{"clusters":[{"name":"outbound|80||a.shop.svc.cluster.local","weight":90},{"name":"outbound|80||b.default.svc.cluster.local","weight":10}]}}},
              {"match":{"safe_regex":{"regex":"/x.*"}},"redirect":{"path_redirect":"/y"}},
              {"match":{"prefix":"/me","headers":[{"name":"end-user","string_match":{"exact":"jason"}}]},"direct_response":{"status":204}},
              {"match":{"path":"/get","headers":[{"name":":method","string_match":{"exact":"GET"}}]},"route":{"cluster":"x"}},
              {"name":"naru_front_page","match":{"prefix":"/"},"route":{"cluster":"naru_front_page"}}]},
            {"name":"shop.example.com:80","domains":["shop.example.com"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"x"}}]},
            {"name":"shop.localhost:80","domains":["shop.localhost"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"x"}}]}
            """);
        Assert.Equal(
            [
                ("/productpage", "productpage v1", "http://localhost:8080/productpage"),
                ("/a b/\"<", "90 a.shop, 10 b", "http://localhost:8080/a%20b/%22%3C"),
                ("/x.*", "redirect to /y", null),
                ("/me", "answer 204", null),
                ("/get", "x", "http://localhost:8080/get"),
                ("/", "x", null),
                ("/", "x", "http://shop.localhost:8080/"),
            ],
            read.Routes.Select(r => (r.Path, r.Target, r.Url)));
        Assert.Equal("header end-user", read.Routes[3].Condition);
    }

    [Fact]
    public void Names_of_services_come_from_the_gateway_and_are_names_of_this_machine()
    {
        GatewayRoutes read = Read("""
            {"name":"naru:reviews.default:9080","domains":["reviews.localhost","reviews.default.localhost"],"routes":[]},
            {"name":"naru:evil.default:80","domains":["evil.example.com"],"routes":[]},
            {"name":"naru:front","domains":["*"],"routes":[{"name":"naru_front_page","match":{"prefix":"/"}}]}
            """);
        Assert.Equal([KeyValuePair.Create("reviews.default", "reviews.localhost")], read.Hosts);
        Assert.Empty(read.Routes);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("{\"configs\":[{\"route_config\":")]
    [InlineData("{\"configs\":[{\"route_config\":{\"name\":1}},7,null]}")]
    [InlineData("[]")]
    [InlineData("{\"configs\":[{\"route_config\":{\"name\":\"http.8080.local\",\"virtual_hosts\":[{\"domains\":[1],\"routes\":[null,{\"match\":7}]}]}}]}")]
    public void A_dump_that_is_none_gives_nothing_and_does_not_throw(string? dump) => Assert.Empty(GatewayRoutes.Read(dump, 8080).Hosts);
}

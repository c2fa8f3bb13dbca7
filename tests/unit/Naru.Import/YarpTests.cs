// appsettings.json of YARP: what is matched, rewritten, told to backends; what is dropped, with its line.
using System.Text.Json.Nodes;
using Naru.Import;
using Xunit;

namespace Naru.UnitTests.Imports;

public sealed class YarpTests
{
    private static string File(string route, string cluster = """ "Destinations": { "a": { "Address": "http://127.0.0.1:5001/" } } """, string more = "") =>
        $$"""{ "ReverseProxy": { "Routes": { "r": { "ClusterId": "c"{{(route.Length > 0 ? ", " + route : "")}} } }, "Clusters": { "c": { {{cluster}} } } }{{more}} }""";

    private static JsonNode Route(string route, string? cluster = null)
    {
        string text = cluster is null ? File(route) : File(route, cluster);
        _ = Imported.Proxy(ImportKind.Yarp, text);
        return Imported.Istio(ImportKind.Yarp, text).Route("r");
    }

    [Theory]
    [InlineData("/api/{**rest}", """[{"uri":{"exact":"/api"},"ignoreUriCase":true},{"uri":{"prefix":"/api/"},"ignoreUriCase":true}]""")]
    [InlineData("{**catch-all}", """[{"uri":{"prefix":"/"}}]""")]
    [InlineData("/", """[{"uri":{"exact":"/"}}]""")]
    [InlineData("/a/b", """[{"uri":{"exact":"/a/b"},"ignoreUriCase":true},{"uri":{"exact":"/a/b/"},"ignoreUriCase":true}]""")]
    [InlineData("/a/{id}", """[{"uri":{"regex":"(?i)/a/([^/]+)/?"}}]""")]
    [InlineData("/a/{id:int}/x", """[{"uri":{"regex":"(?i)/a/(-?[0-9]+)/x/?"}}]""")]
    [InlineData("/a/{id?}", """[{"uri":{"regex":"(?i)/a(?:/([^/]+))?/?"}}]""")]
    [InlineData("/a/{id:regex(^\\\\d{{3}}$)}", """[{"uri":{"regex":"(?i)/a/(\\d{3})/?"}}]""")]
    [InlineData("/f/{name}.{ext}/{*rest}", """[{"uri":{"regex":"(?i)/f/([^/]+)\\.([^/]+)(?:/(.*))?"}}]""")]
    public void A_path_template_becomes_a_match(string path, string match) => Imported.Is(match, Route($$""" "Match": { "Path": "{{path}}" } """)["match"]);

    [Theory]
    [InlineData("""{ "PathRemovePrefix": "/api" }""", """{"uri":"/","authority":"127.0.0.1:5001"}""")]
    [InlineData("""{ "PathPrefix": "/v1" }""", """{"authority":"127.0.0.1:5001","uriRegexRewrite":{"match":"^(/.*)$","rewrite":"/v1\\1"}}""")]
    [InlineData("""{ "PathRemovePrefix": "/api" }, { "PathPrefix": "/v1" }""", """{"authority":"127.0.0.1:5001","uriRegexRewrite":{"match":"(?i)^/api(.*)$","rewrite":"/v1\\1"}}""")]
    [InlineData("""{ "PathSet": "/fixed" }""", """{"authority":"127.0.0.1:5001","uriRegexRewrite":{"match":"^/.*$","rewrite":"/fixed"}}""")]
    [InlineData("""{ "PathPattern": "/x/{**rest}" }""", """{"authority":"127.0.0.1:5001","uriRegexRewrite":{"match":"(?i)^/api(.*)$","rewrite":"/x\\1"}}""")]
    [InlineData("""{ "PathPattern": "/{**rest}" }, { "RequestHeaderOriginalHost": "true" }""", """{"uri":"/"}""")]
    [InlineData("""{ "RequestHeader": "Host", "Set": "inner" }""", """{"authority":"inner"}""")]
    public void Transforms_of_paths_become_rewrites(string transforms, string rewrite)
    {
        JsonNode route = Route($$""" "Match": { "Path": "/api/{**rest}" }, "Transforms": [ {{transforms}} ] """);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(rewrite), route["rewrite"]), route["rewrite"]!.ToJsonString());
    }

    [Fact]
    public void Parts_of_a_path_go_where_the_pattern_has_them() => Imported.Is("""{"match":"(?i)^/a/([^/]+)/b/(-?[0-9]+)/?$","rewrite":"/base/\\2/of/\\1"}""",
        Route(""" "Match": { "Path": "/a/{x}/b/{y:int}" }, "Transforms": [ { "PathPattern": "/{y}/of/{x}" } ] """, """ "Destinations": { "a": { "Address": "http://h:1/base/" } } """)["rewrite"]!["uriRegexRewrite"]);

    [Fact]
    public void Methods_headers_and_parameters_are_conditions()
    {
        JsonNode match = Route("""
             "Match": { "Methods": [ "get", "POST" ], "Path": "/x/{**r}",
               "Headers": [ { "Name": "a", "Values": [ "1", "2" ] }, { "Name": "b", "Values": [ "x." ], "Mode": "HeaderPrefix", "IsCaseSensitive": true }, { "Name": "c", "Mode": "NotExists" } ],
               "QueryParameters": [ { "Name": "q", "Mode": "Exists" }, { "Name": "p", "Values": [ "v" ], "IsCaseSensitive": true } ] }
            """)["match"]![0]!;
        Imported.Is("""{"regex":"GET|POST"}""", match["method"]);
        Imported.Is("""{"a":{"regex":"(?i)(?:1|2)"},"b":{"regex":"(?:x\\.).*"}}""", match["headers"]);
        Imported.Is("""{"c":{"regex":".*"}}""", match["withoutHeaders"]);
        Imported.Is("""{"q":{"regex":".+"},"p":{"exact":"v"}}""", match["queryParams"]);
    }

    [Fact]
    public void The_more_specific_route_comes_first_unless_an_order_says_otherwise()
    {
        const string Text = """
            { "ReverseProxy": { "Routes": {
                "all": { "ClusterId": "c", "Match": { "Path": "{**x}" } },
                "id": { "ClusterId": "c", "Match": { "Path": "/a/{id}" } },
                "int": { "ClusterId": "c", "Match": { "Path": "/a/{id:int}" } },
                "exact": { "ClusterId": "c", "Match": { "Path": "/a/b" } },
                "late": { "ClusterId": "c", "Order": 1, "Match": { "Path": "/a/b/c" } },
                "host": { "ClusterId": "c", "Match": { "Path": "/a/{id}", "Hosts": [ "shop.test" ] } } },
              "Clusters": { "c": { "Destinations": { "a": { "Address": "http://h" } } } } } }
            """;
        var result = Imported.Istio(ImportKind.Yarp, Text);
        Assert.Equal(["exact", "int", "host", "id", "all", "late"], result.RouteNames("shop-test"));
        Assert.Equal(["exact", "int", "id", "all", "late"], result.RouteNames("every-host"));
    }

    [Fact]
    public void Destinations_see_their_own_host_and_what_the_client_asked_for_beside_it() => Imported.Is(
        """{"request":{"set":{"X-Forwarded-For":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%","X-Forwarded-Host":"%REQ(:AUTHORITY)%","X-Env":"100%%"}}}""".Replace(""","X-Env":"100%%"}""", "}"),
        Route("")["headers"]);

    [Fact]
    public void A_guard_that_stands_in_code_closes_its_route_unless_it_is_to_stand_open()
    {
        string text = File(""" "AuthorizationPolicy": "admins" """);
        ImportResult closed = Imported.Istio(ImportKind.Yarp, text);
        Imported.Is("""{"status":403}""", closed.Route("r")["directResponse"]);
        Assert.Contains("I105@1", closed.Said());
        Assert.NotNull(Imported.Istio(ImportKind.Yarp, text, unguarded: true).Route("r")["route"]);
        Assert.NotNull(Imported.Istio(ImportKind.Yarp, File(""" "AuthorizationPolicy": "anonymous" """)).Route("r")["route"]);
    }

    [Fact]
    public void Every_key_that_nothing_reads_is_named_with_its_line()
    {
        const string Text = """
            {
              // a comment, and commas at ends
              "ReverseProxy": {
                "Routes": { "r": {
                  "ClusterId": "c",
                  "Ordr": 3,
                  "Match": { "Path": "/a", "Pth": 1 },
                  "RateLimiterPolicy": "fast",
                  "Transforms": [ { "PathPrefix": "/x", "Oops": "1" }, { "Nope": "1" }, { "QueryValueParameter": "a", "Set": "b" } ],
                } },
                "Clusters": { "c": {
                  "Destinations": { "a": { "Address": "http://h", "Wight": 1 } },
                  "SessionAffinity": { "Enabled": true, "Kind": 1 },
                  "HttpRequest": { "ActivityTimeout": "00:00:05", "Version": "3" },
                  "HttpClient": { "WebProxy": { "Address": "http://p" }, "SslProtocols": [ "Tls13" ] },
                } },
                "Odd": {},
              },
              "MyApp": { "Key": 1 },
            }
            """;
        string[] said = Imported.Istio(ImportKind.Yarp, Text).Said();
        foreach (string one in (string[])["I102@6", "I102@7", "I101@8", "I102@9", "I101@9", "I102@12", "I101@13", "I102@13", "I101@14", "I101@15", "I106@14", "I102@17", "I102@19"]) Assert.Contains(one, said);
        Assert.Equal(3, said.Count(s => s.EndsWith("@9", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_condition_that_cannot_be_said_leaves_the_route_out_and_refuses_its_requests()
    {
        ImportResult result = Imported.Istio(ImportKind.Yarp, """
            { "ReverseProxy": { "Routes": {
                "a": { "ClusterId": "c", "Match": { "Path": "/a/{x:myConstraint}" } },
                "b": { "ClusterId": "c", "Match": { "Path": "/b", "QueryParameters": [ { "Name": "q", "Values": [ "1" ], "Mode": "NotContains" } ] } },
                "c": { "ClusterId": "c", "Match": { "Path": "/c" } } },
              "Clusters": { "c": { "Destinations": { "a": { "Address": "http://h" } } } } } }
            """);
        Assert.Equal(["b", "c", "a"], result.RouteNames("every-host"));
        Imported.Is("""{"status":403}""", result.Route("a")["directResponse"]);
        Imported.Is("""{"status":403}""", result.Route("b")["directResponse"]);
        Assert.Equal(["I104@2", "I104@3"], result.Said().Where(s => s.StartsWith("I104", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_backend_that_wants_TLS_is_never_asked_in_plain_text()
    {
        string text = File("", """ "Destinations": { "a": { "Address": "https://h/" } } """);
        ImportResult result = Imported.Istio(ImportKind.Yarp, text);
        Assert.Equal(503, (int?)result.Route("r")["directResponse"]!["status"]);
        Assert.DoesNotContain(result.Documents, d => (string?)d["kind"] == "ServiceEntry");
        JsonNode cluster = Imported.Proxy(ImportKind.Yarp, text).Documents[0]["static_resources"]!["clusters"]![0]!;
        Assert.Equal("h", (string?)cluster["transport_socket"]!["typed_config"]!["sni"]);
        Assert.NotNull(cluster["transport_socket"]!["typed_config"]!["common_tls_context"]!["validation_context"]!["trusted_ca"]);
    }

    [Fact]
    public void Clusters_have_their_balancing_checks_and_times()
    {
        string text = File(""" "Timeout": "00:00:20" """, """
             "LoadBalancingPolicy": "RoundRobin", "Destinations": { "a": { "Address": "http://127.0.0.1:1" }, "b": { "Address": "http://127.0.0.1:2" } },
             "HealthCheck": { "Active": { "Enabled": "true", "Interval": "00:00:05", "Path": "/up" }, "Passive": { "Enabled": "true" } },
             "HttpRequest": { "ActivityTimeout": "00:00:30", "Version": "2", "VersionPolicy": "RequestVersionExact" }
            """);
        JsonNode bootstrap = Imported.Proxy(ImportKind.Yarp, text).Documents[0]["static_resources"]!;
        JsonNode cluster = bootstrap["clusters"]![0]!;
        Assert.Equal("ROUND_ROBIN", (string?)cluster["lb_policy"]);
        Assert.Equal("/up", (string?)cluster["health_checks"]![0]!["http_health_check"]!["path"]);
        Assert.Equal("5s", (string?)cluster["health_checks"]![0]!["interval"]);
        Assert.NotNull(cluster["outlier_detection"]);
        Assert.NotNull(cluster["typed_extension_protocol_options"]);
        string all = bootstrap.ToJsonString();
        Assert.Contains("\"timeout\":\"20s\",\"idle_timeout\":\"30s\"", all);
        Assert.Contains("\"auto_host_rewrite\":true", all);
        Assert.Equal("20s", (string?)Imported.Istio(ImportKind.Yarp, text).Route("r")["timeout"]);
    }

    [Fact]
    public void Kestrel_says_where_to_listen()
    {
        string text = File("", more: """, "Kestrel": { "Endpoints": { "A": { "Url": "http://*:8081" }, "B": { "Url": "https://localhost:8443", "Certificate": { "Path": "/c.pem", "KeyPath": "/k.pem" } }, "C": { "Url": "https://*:9443" } } }""");
        ImportResult istio = Imported.Istio(ImportKind.Yarp, text);
        Assert.Equal([8081, 8443], istio.Documents.Where(d => (string?)d["kind"] == "Gateway").Select(d => (int)d["spec"]!["servers"]![0]!["port"]!["number"]!));
        Assert.Contains("I106@1", istio.Said());
        Assert.Contains("DownstreamTlsContext", Imported.Proxy(ImportKind.Yarp, text).Documents[0].ToJsonString());
    }
}

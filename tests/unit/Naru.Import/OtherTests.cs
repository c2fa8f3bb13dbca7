// Ocelot's and Envoy's files, files that are none, and the page that explains the codes.
using System.Text.Json.Nodes;
using Naru.Core;
using Naru.Import;
using Naru.Kit;
using Xunit;

namespace Naru.UnitTests.Imports;

public sealed class OtherTests
{
    private const string Ocelot = """
        {
          "Routes": [
            { "UpstreamPathTemplate": "/{all}", "DownstreamPathTemplate": "/{all}", "DownstreamHostAndPorts": [ { "Host": "h", "Port": 1 } ],
              "AuthenticationOptions": { "AuthenticationProviderKey": "Bearer" } },
            { "UpstreamPathTemplate": "/shop/{everything}", "DownstreamPathTemplate": "/api/{everything}", "DownstreamScheme": "http",
              "DownstreamHostAndPorts": [ { "Host": "127.0.0.1", "Port": 1 }, { "Host": "127.0.0.1", "Port": 2 } ], "UpstreamHttpMethod": [ "Get" ],
              "LoadBalancerOptions": { "Type": "LeastConnection" }, "QoSOptions": { "TimeoutValue": 5000 }, "RateLimitOptions": { "EnableRateLimiting": true },
              "FileCacheOptions": { "TtlSeconds": 1 }, "Odd": 1 },
            { "UpstreamPathTemplate": "/items/{id}/x", "DownstreamPathTemplate": "/v/{id}", "DownstreamHostAndPorts": [ { "Host": "h", "Port": 2 } ], "RouteIsCaseSensitive": true, "Priority": 5,
              "UpstreamHeaderTransform": { "X-Ip": "{RemoteIpAddress}", "X-A": "a, b" } },
          ],
          "Aggregates": [ { "RouteKeys": [] } ],
          "GlobalConfiguration": { "BaseUrl": "http://x", "ServiceDiscoveryProvider": { "Type": "Consul" } }
        }
        """;

    [Fact]
    public void Ocelots_routes_are_imported()
    {
        _ = Imported.Proxy(ImportKind.Ocelot, Ocelot);
        ImportResult result = Imported.Istio(ImportKind.Ocelot, Ocelot);
        Assert.Equal(["/items/{id}/x", "/shop/{everything}", "/{all}"], result.RouteNames("every-host"));
        JsonNode shop = result.Route("/shop/{everything}");
        Imported.Is("""[{"uri":{"exact":"/shop"},"ignoreUriCase":true,"method":{"exact":"GET"}},{"uri":{"prefix":"/shop/"},"ignoreUriCase":true,"method":{"exact":"GET"}}]""", shop["match"]);
        Imported.Is("""{"match":"(?i)^/shop(?:/(.*))?$","rewrite":"/api/\\1"}""", shop["rewrite"]!["uriRegexRewrite"]);
        Assert.Equal("5s", (string?)shop["timeout"]);
        Imported.Is("""[{"uri":{"regex":"/items/([^/]+)/x"}}]""", result.Route("/items/{id}/x")["match"]);
        Imported.Is("""{"status":403}""", result.Route("/{all}")["directResponse"]);
        string[] said = result.Said();
        foreach (string one in (string[])["I105@3", "I101@7", "I101@8", "I102@8", "I101@10", "I101@12", "I202@13", "I101@13"]) Assert.Contains(one, said);
    }

    private const string Envoy = """
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 0.0.0.0, port_value: 10000 } }
            filter_chains:
            - filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: x
                  route_config:
                    virtual_hosts:
                    - name: app
                      domains: ["a.test", "*"]
                      routes:
                      - name: left-out
                        match: { prefix: "/m", dynamic_metadata: [{ filter: x, path: [{ key: a }], value: { string_match: { safe_regex: { regex: "a(?!b)" } } } }] }
                        route: { cluster: a }
                      - name: split
                        match: { prefix: "/s", headers: [{ name: x-v, string_match: { prefix: "1" } }] }
                        route: { weighted_clusters: { clusters: [{ name: a, weight: 90 }, { name: b, weight: 10 }] }, prefix_rewrite: "/", timeout: 3s }
                      - name: last
                        match: { path: "/x" }
                        route: { cluster: b, retry_policy: { retry_on: 5xx, num_retries: 3, retry_options_predicates: [{ name: x }] } }
                  http_filters:
        FILTERS
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          clusters:
          - { name: a, type: STRICT_DNS, connect_timeout: 1s, load_assignment: { cluster_name: a, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: a.test, port_value: 80 } } } }] }] } }
          - { name: b, lb_policy: RING_HASH, hosts: [{ socket_address: { address: 127.0.0.1, port_value: 81 } }] }
        """;

    private static string Bootstrap(string filters = "") => Envoy.Replace("FILTERS\n", filters.Length == 0 ? "" : $"          - {filters}\n");

    [Fact]
    public void Envoys_routes_become_Istios()
    {
        ImportResult result = Imported.Istio(ImportKind.Envoy, Bootstrap());
        Assert.Equal(["left-out", "split", "last"], result.RouteNames("app"));
        Imported.Is("""{"status":403}""", result.Route("left-out")["directResponse"]);
        JsonNode split = result.Route("split");
        Imported.Is("""[90,10]""", new JsonArray([.. split["route"]!.AsArray().Select(r => (JsonNode?)(int)r!["weight"]!)]));
        Imported.Is("""{"uri":"/"}""", split["rewrite"]);
        Imported.Is("""{"attempts":3,"retryOn":"5xx"}""", result.Route("last")["retries"]);
        Assert.Equal("15s", (string?)result.Route("last")["timeout"]);
        string[] codes = [.. result.Diagnostics.Select(d => d.Code)];
        foreach (string code in (string[])[Codes.LeftOut, Codes.OnlyProxy, Codes.Dropped]) Assert.Contains(code, codes);
    }

    [Fact]
    public void A_bootstrap_loses_what_the_proxy_refuses_and_only_that()
    {
        ImportResult result = Imported.Proxy(ImportKind.Envoy, Bootstrap());
        string left = result.Documents[0].ToJsonString();
        Assert.DoesNotContain("(?!b)", left);
        Assert.Contains("""{"name":"left-out","match":{"prefix":"/m","dynamic_metadata":[]},"direct_response":{"status":403}}""", left);
        Assert.DoesNotContain("retry_options_predicates", left);
        Assert.Contains("\"prefix_rewrite\":\"/\"", left);
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.LeftOut && d.Place.Line == 17);
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.Dropped && d.Place.Line == 24 && d.Subject!.EndsWith("retry_options_predicates", StringComparison.Ordinal));
        // What was clean stays as it was.
        ImportResult again = Imported.Proxy(ImportKind.Envoy, left);
        Assert.True(JsonNode.DeepEquals(result.Documents[0], again.Documents[0]));
        Assert.False(again.Lossy);
    }

    [Fact]
    public void A_filter_that_guards_is_replaced_by_one_that_refuses()
    {
        string text = Bootstrap("""{ name: envoy.filters.http.oauth2, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2, config: {} } }""");
        ImportResult closed = Imported.Proxy(ImportKind.Envoy, text);
        JsonNode first = closed.Documents[0]["static_resources"]!["listeners"]![0]!["filter_chains"]![0]!["filters"]![0]!["typed_config"]!["http_filters"]![0]!;
        Assert.Equal(403, (int?)first["typed_config"]!["abort"]!["http_status"]);
        Assert.Contains(Codes.Closed, closed.Diagnostics.Select(d => d.Code));
        Imported.Is("""{"status":403}""", Imported.Istio(ImportKind.Envoy, text).Route("last")["directResponse"]);
        Assert.DoesNotContain("abort", Imported.Run(ImportKind.Envoy, text, new ImportOptions { Proxy = true, Unguarded = true }).Documents[0].ToJsonString());
    }

    public static TheoryData<ImportKind, string, string> Hostile => new()
    {
        { ImportKind.Yarp, "", Codes.Nothing }, { ImportKind.Yarp, "{", Codes.Syntax }, { ImportKind.Yarp, "[]", Codes.Syntax }, { ImportKind.Yarp, "{}", Codes.Nothing },
        { ImportKind.Yarp, "{\"ReverseProxy\":{\"Routes\":{},\"routes\":{}}}", Codes.Syntax }, { ImportKind.Yarp, "{\"a\":\"\\ud800\"}", Codes.Syntax },
        { ImportKind.Yarp, new string('[', 5000), Codes.Syntax }, { ImportKind.Yarp, "{\"ReverseProxy\":{\"Routes\":[1,null,\"x\"],\"Clusters\":3}}", Codes.Nothing },
        { ImportKind.Yarp, "{\"ReverseProxy\": {\"Routes\": {\"a\": {\"Match\": {\"Path\": \"/{\"}, \"ClusterId\": \"c\"}}}}", Codes.Nothing },
        { ImportKind.Ocelot, "{\"Routes\":7}", Codes.Nothing }, { ImportKind.Ocelot, "nothing", Codes.Syntax },
        { ImportKind.Nginx, "a", Codes.Syntax }, { ImportKind.Nginx, "}", Codes.Syntax }, { ImportKind.Nginx, "http {", Codes.Syntax }, { ImportKind.Nginx, "a \"b;", Codes.Syntax },
        { ImportKind.Nginx, "# only a comment\n", Codes.Nothing }, { ImportKind.Nginx, string.Concat(Enumerable.Repeat("a {", 100_000)), Codes.Syntax }, { ImportKind.Nginx, "server { listen x; }", Codes.Nothing },
        { ImportKind.Nginx, "http { ; }", Codes.Syntax }, { ImportKind.Nginx, "a\0b;", Codes.Syntax },
        { ImportKind.Envoy, "a: [", "NARU-C001" }, { ImportKind.Envoy, "a: 1\n---\nb: 2\n", Codes.Nothing }, { ImportKind.Envoy, "- 1\n", Codes.Syntax }, { ImportKind.Envoy, "static_resources: {}\n", Codes.Nothing },
        { ImportKind.Envoy, string.Concat(Enumerable.Repeat("[", 5000)), "NARU-C003" },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public void What_is_no_file_of_its_kind_is_told_with_its_place(ImportKind kind, string text, string code)
    {
        ImportResult result = Imported.Istio(kind, text);
        Assert.False(result.Readable);
        Assert.Contains(result.Diagnostics, d => d.Code == code && d.Severity == Severity.Error && d.Place.File == "file");
    }

    // Any beginning of a file, and any file with a hole in it, is read or told; nothing is thrown.
    [Fact]
    public void No_cut_and_no_hole_makes_a_reader_fail()
    {
        (ImportKind, string)[] files = [(ImportKind.Ocelot, Ocelot), (ImportKind.Envoy, Bootstrap()), (ImportKind.Nginx, "http { upstream a { server h:1 weight=2; } server { listen 80; location ~ ^/(a|b)$ { rewrite ^/x/(.*)$ /$1 break; proxy_pass http://a/$1; } if ($host = \"x\") { return 301 https://y$request_uri; } } }"),
            (ImportKind.Yarp, """{ "ReverseProxy": { "Routes": { "r": { "ClusterId": "c", "Match": { "Path": "/a/{id:int}/{**r}" }, "Transforms": [ { "PathPattern": "/{id}/{**r}" } ] } }, "Clusters": { "c": { "Destinations": { "a": { "Address": "http://h/" } } } } } }""")];
        foreach ((ImportKind kind, string text) in files)
        {
            for (int i = 0; i < text.Length; i += 3)
            {
                foreach (bool proxy in (bool[])[false, kind != ImportKind.Envoy])
                {
                    _ = Importer.Run(kind, text[..i], "file", new ImportOptions { Proxy = proxy });
                    _ = Importer.Run(kind, text.Remove(i, Math.Min(4, text.Length - i)), "file", new ImportOptions { Proxy = proxy });
                }
            }
        }
    }

    [Fact]
    public void Ten_megabytes_are_read_and_what_is_said_of_them_has_a_bound()
    {
        string nginx = "http { server { listen 80; location / { proxy_pass http://a; }\n" + string.Concat(Enumerable.Repeat("nonsense of some length that nobody knows here;\n", 200_000)) + "} }";
        ImportResult result = Imported.Istio(ImportKind.Nginx, nginx);
        Assert.True(result.Readable);
        Assert.InRange(result.Diagnostics.Count, 500, 1010);
    }

    [Fact]
    public void The_page_of_the_import_explains_every_code()
    {
        string page = File.ReadAllText(Repository.At("docs", "reference", "import.md"));
        Assert.All(typeof(Codes).GetFields().Select(f => (string)f.GetRawConstantValue()!), code => Assert.Contains($"| `{code}` |", page));
    }

    // What guards a listener is never just dropped: each of these lets in clients with a certificate, or by a filter, only.
    [Theory]
    [InlineData(ImportKind.Yarp, """
        { "Kestrel": { "Endpoints": { "a": { "Url": "https://*:443", "ClientCertificateMode": "RequireCertificate", "Certificate": { "Path": "c.pem", "KeyPath": "k.pem" } } } },
          "ReverseProxy": { "Routes": { "r": { "ClusterId": "c", "Match": { "Path": "{**all}" } } }, "Clusters": { "c": { "Destinations": { "a": { "Address": "http://127.0.0.1:1" } } } } } }
        """)]
    [InlineData(ImportKind.Nginx, "server { listen 80; location / { modsecurity on; proxy_pass http://127.0.0.1:1; } }")]
    [InlineData(ImportKind.Envoy, """
        static_resources:
          clusters: [{ name: c, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }] } }]
          listeners:
          - name: l
            address: { socket_address: { address: 0.0.0.0, port_value: 80 } }
            filter_chains:
            - filters:
              - { name: envoy.filters.network.rbac, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r } }
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: h
                  route_config: { virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: c } }] }] }
        """)]
    public void What_guards_a_whole_listener_closes_its_routes(ImportKind kind, string text)
    {
        ImportResult result = Imported.Istio(kind, text);
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.Closed);
        string made = string.Concat(result.Documents.Select(d => d.ToJsonString()));
        Assert.Contains("\"directResponse\":{\"status\":403", made);
        Assert.DoesNotContain("destination", made);
    }

    [Fact]
    public void A_site_of_clients_with_certificates_is_not_reached_by_the_name_of_another()
    {
        const string Two = """
            server { listen 443 ssl; server_name www; ssl_certificate w.pem; ssl_certificate_key w.key; location / { proxy_pass http://127.0.0.1:1; } }
            server { listen 443 ssl; server_name admin; ssl_certificate a.pem; ssl_certificate_key a.key; ssl_verify_client on; ssl_client_certificate ca.pem;
              location / { proxy_pass http://127.0.0.1:2; } }
            """;
        string made = Imported.Proxy(ImportKind.Nginx, Two).Documents[0].ToJsonString();
        // In the chain of www, admin's host is misdirected; in its own it is served. www asks for nothing, and is served in both.
        Assert.Single(System.Text.RegularExpressions.Regex.Matches(made, "\"direct_response\":{\"status\":421}"));
        Assert.Contains("\"path_with_escaped_slashes_action\":\"UNESCAPE_AND_FORWARD\"", made);
    }
}

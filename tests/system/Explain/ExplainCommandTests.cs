// naru explain and naru test as they are typed: the same answer from a running proxy, its bootstrap and its config_dump; files of cases, ours and Envoy's;
// what is wrong is told by place and field.
using System.Text.Json;
using System.Xml.Linq;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Explain;

public sealed class ExplainCommandTests
{
    private const string Hosts = """
        - name: shop
          domains: [shop.example]
          routes:
          - name: second
            match: { prefix: "/cart", headers: [ { name: x-user, string_match: { prefix: ann } } ] }
            route: { cluster: two, prefix_rewrite: /v2/cart, host_rewrite_literal: cart.internal }
            request_headers_to_add: [ { header: { key: x-to, value: two } } ]
            request_headers_to_remove: [ x-debug ]
            response_headers_to_add: [ { header: { key: x-version, value: "2" } } ]
          - name: split
            match: { prefix: "/cart" }
            route: { weighted_clusters: { clusters: [ { name: one, weight: 90 }, { name: two, weight: 10 } ] } }
          - name: old
            match: { path: "/old" }
            redirect: { path_redirect: /new }
        """;

    private static string Bootstrap => Bootstraps.Hosts(Hosts, [new TestCluster("one", [9001]), new TestCluster("two", [9002])]);

    private const string Cases = """
        cases:
        - name: ann sees version 2
          request: { url: "http://shop.example/cart/1?a=b", headers: { x-user: anna, x-debug: "1", x-kept: "1" } }
          expect:
            cluster: two
            virtual_host: shop
            route: second
            host: cart.internal
            path: /v2/cart/1?a=b
            request_headers: { x-to: two, x-kept: "1", x-debug: null }
            response_headers: { x-version: "2" }
        - name: nine of ten
          request: { url: "http://shop.example/cart", random: 89 }
          expect: { cluster: one, endpoint: "127.0.0.1:9001" }
        - name: one of ten
          request: { url: "http://shop.example/cart", random: 90 }
          expect: { cluster: two }
        - name: the old address moves
          request: { url: "http://shop.example/old" }
          expect: { status: 301, redirect: "http://shop.example/new", cluster: "" }
        - name: nobody has that
          request: { url: "http://shop.example/none", method: POST }
          expect: { status: 404, route: "" }

        """;

    private const string Envoys = """
        tests:
        - test_name: ann sees version 2
          input: { authority: shop.example, path: /cart, method: GET, additional_request_headers: [ { key: x-user, value: ann }, { key: x-debug, value: "1" } ] }
          validate:
            cluster_name: two
            virtual_host_name: shop
            host_rewrite: cart.internal
            path_rewrite: /v2/cart
            request_header_matches: [ { name: x-to, string_match: { exact: two } }, { name: x-debug, present_match: true, invert_match: true } ]
            response_header_matches: [ { name: x-version, string_match: { safe_regex: { regex: "[0-9]" } } } ]
        - test_name: one of ten
          input: { authority: shop.example, path: /cart, random_value: 1090 }
          validate: { cluster_name: two }
        - test_name: the old address moves
          input: { authority: shop.example, path: /old, ssl: true }
          validate: { path_redirect: "https://shop.example/new" }

        """;

    private static async Task<ProcessResult> RunAsync(params string[] arguments)
    {
        using var home = new TempFolder("naru-");
        return await LocalMesh.RunAsync(home, arguments);
    }

    [Fact]
    public async Task A_running_proxy_its_bootstrap_and_its_dump_say_the_same()
    {
        using var folder = new TempFolder();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap, new ProxyOptions { Poisoned = false });
        string dump = folder.Write("dump.json", await proxy.Admin.GetStringAsync("config_dump?include_eds")), file = folder.Write("b.yaml", Bootstrap);
        var told = new List<string>();
        foreach (string[] where in (string[][])[["--admin", proxy.AdminAddress.ToString()], ["-c", file], ["--dump", dump]])
        {
            ProcessResult result = await RunAsync(["explain", "POST", "http://shop.example/cart/1", "-H", "X-User: anna", "--random", "3", "-o", "json", .. where]);
            Assert.True(result.ExitCode == 0, result.All);
            JsonElement root = JsonDocument.Parse(result.Output).RootElement;
            // The listener's real port is the process's own; x-request-id is another one each time.
            string[] added = [.. root.GetProperty("upstream_request").GetProperty("headers_added").EnumerateArray().Select(h => h.GetString()!).Where(h => !h.StartsWith("x-request-id", StringComparison.Ordinal))];
            told.Add(string.Join('\n', [.. new[] { "route", "routes", "virtual_host", "cluster", "endpoints", "timeouts", "limits", "outcome" }.Select(p => root.GetProperty(p).GetRawText()), .. added]));
        }
        Assert.Equal(told[0], told[1]);
        Assert.Equal(told[0], told[2]);
        ProcessResult text = await RunAsync("explain", "http://shop.example/cart", "-c", file, "--random", "95");
        Assert.StartsWith("GET http://shop.example/cart\ngoes to two at 127.0.0.1:9002\n", text.Output);
        Assert.Contains("lost        #0 \"second\" wants header x-user begins with ann; got none\n", text.Output);
    }

    // Envoy's own spelling, with what a dump has and a bootstrap has not: states, versions, secrets without keys, kinds that are not ours.
    [Fact]
    public async Task A_dump_of_Envoy_is_read_as_far_as_it_fits()
    {
        using var folder = new TempFolder();
        string dump = folder.Write("envoy.json", """
            {"configs": [
              {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar", "user_agent_name": "envoy"}}, "last_updated": "2026-01-01T00:00:00Z"},
              {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "version_info": "7", "dynamic_active_clusters": [
                {"version_info": "7", "cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "cart", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}}, "last_updated": "2026-01-01T00:00:00Z"},
                {"version_info": "7", "cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "odd", "no_such_field": 1}}]},
              {"@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump", "dynamic_endpoint_configs": [
                {"endpoint_config": {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "cart", "endpoints": [
                  {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.7", "port_value": 8080}}}, "health_status": "HEALTHY"}]}]}}]},
              {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [
                {"name": "edge", "active_state": {"version_info": "7", "listener": {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "edge",
                  "address": {"socket_address": {"address": "0.0.0.0", "port_value": 8443}}, "listener_filters": [{"name": "tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}],
                  "filter_chains": [{"name": "shop", "filter_chain_match": {"server_names": ["shop.example"]},
                    "transport_socket": {"name": "tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "shop", "sds_config": {"ads": {}}}]}}},
                    "filters": [{"name": "http", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "edge",
                      "rds": {"route_config_name": "edge", "config_source": {"ads": {}}},
                      "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}}}]},
              {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [
                {"version_info": "7", "route_config": {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "edge", "virtual_hosts": [
                  {"name": "shop", "domains": ["shop.example:8443"], "routes": [{"match": {"prefix": "/cart"}, "route": {"cluster": "cart", "timeout": "3s"}}]}]}}]},
              {"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [{"name": "shop", "secret": {"name": "shop", "tls_certificate": {"private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}}}]}
            ]}
            """);
        ProcessResult result = await RunAsync("explain", "https://shop.example:8443/cart", "--dump", dump);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.StartsWith("GET https://shop.example:8443/cart\ngoes to cart at 10.0.0.7:8080\n", result.Output);
        Assert.Contains("filter chain  shop, for server name shop.example, TLS: http_connection_manager edge\n", result.Output);
        ProcessResult other = await RunAsync("explain", "https://other.example:8443/cart", "--dump", dump);
        Assert.Contains("no filter chain of the listener is for this connection", other.Output);
    }

    [Fact]
    public async Task Cases_that_hold_pass_in_either_spelling()
    {
        using var folder = new TempFolder();
        string file = folder.Write("b.yaml", Bootstrap);
        ProcessResult result = await RunAsync("test", folder.Write("own.yaml", Cases), folder.Write("envoy.yaml", Envoys), "-c", file);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Equal(
            ["ok ann sees version 2", "ok nine of ten", "ok one of ten", "ok the old address moves", "ok nobody has that", "ok ann sees version 2", "ok one of ten", "ok the old address moves", "8 cases: 8 passed, 0 failed"],
            result.Output.TrimEnd().Split('\n').Select(l => string.Join(' ', l.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
    }

    [Fact]
    public async Task A_case_that_fails_says_what_came_and_who_lost()
    {
        using var folder = new TempFolder();
        string cases = folder.Write("t.yaml", """
            cases:
            - name: bob too
              request: { url: "http://shop.example/cart", random: 0, headers: { x-user: bob } }
              expect: { cluster: two, request_headers: { x-to: two } }
            - name: holds
              request: { url: "http://shop.example/old" }
              expect: { status: 301 }
            """), file = folder.Write("b.yaml", Bootstrap);
        ProcessResult result = await RunAsync("test", cases, "-c", file);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"FAIL  bob too ({cases}:2:3)\n      cluster: expected two, got one\n      request_headers: expected x-to to be two, got none\n", result.Output);
        Assert.Contains("lost: #0 wants header x-user begins with ann; got bob\n", result.Output);
        Assert.EndsWith("2 cases: 1 passed, 1 failed\n", result.Output);
        XElement junit = XDocument.Parse((await RunAsync("test", cases, "-c", file, "-o", "junit")).Output).Root!;
        XElement suite = junit.Element("testsuite")!;
        Assert.Equal(("2", "1"), ((string?)suite.Attribute("tests"), (string?)suite.Attribute("failures")));
        Assert.Equal("cluster: expected two, got one", (string?)suite.Elements("testcase").First().Element("failure")!.Attribute("message"));
        JsonElement json = JsonDocument.Parse((await RunAsync("test", cases, "-c", file, "-o", "json")).Output).RootElement;
        Assert.Equal((1, 1), (json.GetProperty("passed").GetInt32(), json.GetProperty("failed").GetInt32()));
    }

    [Theory]
    [InlineData("cases:\n- name: a\n  request: { ulr: x }\n  expect: { cluster: b }\n", "there is no field \"ulr\" here", ":3:14", "did you mean \"url\"?")]
    [InlineData("cases:\n- name: a\n  request: { url: x }\n  expect: { clutser: b }\n", "there is no field \"clutser\" here", ":4:13", "did you mean \"cluster\"?")]
    [InlineData("cases:\n- name: a\n  request: { url: x, random: many }\n  expect: { cluster: b }\n", "random is a number from 0 on", ":3:", "")]
    [InlineData("cases:\n- name: a\n  request: { url: x }\n", "case a needs request and expect", ":2:3", "request has url")]
    [InlineData("cases:\n- name: a\n  request: { url: x }\n  expect: {}\n", "case a expects nothing", ":4:", "cluster: NAME")]
    [InlineData("tests:\n- test_name: a\n  input: { authority: x, path: / , internal: true }\n  validate: { virtual_cluster_name: b, cluster_name: c }\n", "internal is not supported", ":3:", "")]
    [InlineData("cases: 7\n", "a file of tests is a list", ":1:", "cases:")]
    [InlineData("# nothing\n", "the file has no case", ":1", "cases:")]
    [InlineData("cases:\n\t- a\n", "tab", ":2", "")]
    public async Task A_file_of_cases_is_refused_by_place_and_field(string text, string what, string place, string remedy)
    {
        using var folder = new TempFolder();
        ProcessResult result = await RunAsync("test", folder.Write("bad.yaml", text), "-c", folder.Write("b.yaml", Bootstrap));
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(what, result.Error);
        Assert.Contains($"bad.yaml{place}", result.Error);
        Assert.Contains(remedy, result.Error);
    }

    [Theory]
    // Of a kind nothing has changed.
    [InlineData("explain vs.spec.http.retries", 0, "KIND:     VirtualService")]
    [InlineData("explain vs.spec.htp", 1, "did you mean \"http\"?")]
    [InlineData("explain vs http", 2, "unexpected \"http\" after explain vs")]
    [InlineData("explain vs -c b.yaml", 2, "--config is for requests")]
    // Requests.
    [InlineData("explain GET", 2, "explain GET what?")]
    [InlineData("explain http://x/ --recursive", 2, "--recursive is for kinds")]
    [InlineData("explain http://x/", 3, "no mesh runs here")]
    [InlineData("explain http://x/ --admin nowhere", 2, "is no IP:PORT")]
    [InlineData("explain http://x/ --admin 127.0.0.1:1", 3, "nobody listens there")]
    [InlineData("explain http://x/ --admin 127.0.0.1:1 --from a", 2, "exclude each other")]
    [InlineData("explain http://x/ -c nothing.yaml", 1, "there is no such file")]
    [InlineData("explain http://x/ --dump /dev/null", 1, "the dump cannot be read")]
    [InlineData("test nothing.yaml", 2, "nothing.yaml")]
    public async Task What_is_typed_wrong_is_a_sentence(string line, int code, string said)
    {
        ProcessResult result = await RunAsync(line.Split(' '));
        Assert.Equal(code, result.ExitCode);
        Assert.Contains(said, result.All);
    }

    [Fact]
    public async Task What_the_proxy_cannot_read_is_told_with_its_place()
    {
        using var folder = new TempFolder();
        string broken = folder.Write("b.yaml", Bootstrap.Replace("prefix_rewrite", "prefix_rewrit", StringComparison.Ordinal));
        ProcessResult result = await RunAsync("explain", "http://x/", "-c", broken);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("prefix_rewrit", result.Error);
        Assert.Contains("b.yaml:", result.Error);
        ProcessResult dump = await RunAsync("explain", "http://x/", "--dump", folder.Write("no.json", "{\"a\": 1}"));
        Assert.Equal(1, dump.ExitCode);
        Assert.Contains("NARU-X113", dump.Error);
    }
}

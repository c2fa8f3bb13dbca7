// What guarded a request in the original guards it after an import, or refuses it: no route that is left out, no guard that cannot be said
// and no order of routes opens anything.
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Import;
using Xunit;

namespace Naru.UnitTests.Imports;

public sealed class ClosedTests
{
    // What the first route of a host does with a path, as Istio's objects say it.
    private static string Sent(ImportResult result, string path, string host = "a.test", string method = "GET")
    {
        JsonNode? service = result.Documents.Where(d => (string?)d["kind"] == "VirtualService").Select(d => d["spec"]!)
            .OrderBy(s => s["hosts"]!.AsArray().Any(h => (string?)h == "*")).FirstOrDefault(s => s["hosts"]!.AsArray().Any(h => (string?)h == host || (string?)h == "*"));
        foreach (JsonNode? route in service?["http"]!.AsArray() ?? [])
        {
            if (route!["match"] is JsonArray matches && !matches.Any(m => Takes(m!))) continue;
            if (route["directResponse"] is { } direct) return $"{direct["status"]}{(direct["body"] is { } body ? " " + body["string"] : "")}";
            return (string?)route["redirect"]?["uri"] ?? (string?)route["route"]?[0]?["destination"]?["host"] ?? "nothing";
        }
        return "404";

        bool Takes(JsonNode match)
        {
            JsonNode? uri = match["uri"];
            StringComparison compare = (bool?)match["ignoreUriCase"] == true ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
            return (uri?["exact"] is not { } exact || path.Equals((string)exact!, compare)) && (uri?["prefix"] is not { } prefix || path.StartsWith((string)prefix!, compare))
                && (uri?["regex"] is not { } regex || Re2.Compile((string)regex!, whole: true).IsMatch(path))
                && (match["authority"] is not { } authority || Re2.Compile((string)authority["regex"]!, whole: true).IsMatch(host))
                && (match["method"] is not { } asked || (string?)asked["exact"] == method) && match["headers"] is null;
        }
    }

    private static string Server(string text) => $"server {{ listen 80; server_name a.test;\n{text}\n}}\nserver {{ listen 80 default_server; location / {{ return 200 other; }} }}";

    private static ImportResult Nginx(string text, bool unguarded = false)
    {
        _ = Imported.Proxy(ImportKind.Nginx, Server(text));
        return Imported.Istio(ImportKind.Nginx, Server(text), unguarded);
    }

    [Theory]
    [InlineData("/static/a", "200 static")]
    [InlineData("/static/admin/a", "403")]
    [InlineData("/static/admin/a.php", "200 php")]
    [InlineData("/static/a.php", "200 static")]
    [InlineData("/static/admin/.ht", "204")]
    [InlineData("/static/.ht", "200 static")]
    [InlineData("/x.php", "200 php")]
    [InlineData("/x", "200 all")]
    [InlineData("/static/admin/deep/a.php", "200 deep")]
    public void The_longest_prefix_is_chosen_before_anything_is_final(string path, string answer) => Assert.Equal(answer, Sent(Nginx("""
        location / { return 200 all; }
        location ^~ /static/ { return 200 static; }
        location /static/admin/ { deny all; proxy_pass http://127.0.0.1:1; }
        location ^~ /static/admin/deep/ { return 200 deep; }
        location ~ /\.ht { return 204; }
        location ~ \.php$ { return 200 php; }
        """), path));

    [Theory]
    [InlineData("/a/x.php", "200 inner")]
    [InlineData("/b/x.php", "200 outer")]
    [InlineData("/a/b/x.php", "200 outer")]
    [InlineData("/a/x", "200 a")]
    [InlineData("/a/c/x", "200 a-c")]
    [InlineData("/a/c/x.php", "200 inner")]
    [InlineData("/a/b/x", "200 a-b")]
    public void Patterns_within_a_location_are_asked_for_what_it_takes(string path, string answer) => Assert.Equal(answer, Sent(Nginx("""
        location /a/ { return 200 a; location ~ \.php$ { return 200 inner; } location /a/c/ { return 200 a-c; } }
        location /a/b/ { return 200 a-b; }
        location ~ \.php$ { return 200 outer; }
        """), path));

    // Nobody can tell by patterns of RE2 which of the prefix's requests the pattern takes.
    [Fact]
    public void A_prefix_of_which_a_pattern_takes_nobody_knows_what_is_closed()
    {
        const string Text = "location ^~ /s/ { return 200 s; } location /s/p/ { proxy_pass http://127.0.0.1:1; } location ~ (a|b)+$ { return 200 pattern; }";
        Assert.Equal("403", Sent(Nginx(Text), "/s/p/x"));
        Assert.Equal("200 s", Sent(Nginx(Text), "/s/x"));
        Assert.NotEqual("403", Sent(Nginx(Text, unguarded: true), "/s/p/x"));
    }

    [Theory]
    [InlineData("auth_basic x; try_files $uri @app;", "proxy_pass http://127.0.0.1:1;", "403")]
    [InlineData("auth_basic x; try_files $uri @app;", "auth_basic off; proxy_pass http://127.0.0.1:1;", "403")]
    [InlineData("allow 10.0.0.0/8; deny all; try_files $uri @app;", "proxy_pass http://127.0.0.1:1;", "403")]
    [InlineData("auth_request /auth; try_files $uri @app;", "return 200 open;", "403")]
    [InlineData("try_files $uri @app;", "auth_basic x; proxy_pass http://127.0.0.1:1;", "403")]
    [InlineData("try_files $uri @app;", "return 405;", "405")]
    [InlineData("internal; try_files $uri @app;", "return 200 open;", "404")]
    [InlineData("try_files $uri @app;", "try_files $uri @app;", "500")]
    [InlineData("auth_basic x; try_files $uri @app; proxy_pass http://127.0.0.1:2;", "auth_basic off; return 200 open;", "403")]
    public void Who_is_led_to_a_named_location_has_passed_the_guards_of_the_first_one(string first, string named, string answer) =>
        Assert.Equal(answer, Sent(Nginx($"location /x {{ {first} }}\nlocation @app {{ {named} }}"), "/x"));

    [Theory]
    [InlineData("location / { return 200 all; } location ~ ^/admin(?!/open) { return 403; }", "/admin/x", "/x")]
    [InlineData("location / { return 200 all; } location ~ ^/(a|b)/\\1$ { deny all; }", "/a/a", "/x")]
    [InlineData("location / { return 200 all; } location ~* ^/a++(?<=x)b { deny all; }", "/AAB", "/x")]
    [InlineData("rewrite ^/old(?=/x) /new permanent; location / { return 200 all; }", "/old/x", "/x")]
    [InlineData("location / { return 200 all; } location /in { return 301 https://$cookie_x/y; }", "/in", "/x")]
    public void What_took_the_requests_of_a_route_that_is_left_out_refuses_them(string text, string shut, string open)
    {
        ImportResult result = Nginx(text);
        Assert.Equal("403", Sent(result, shut));
        Assert.Equal("200 all", Sent(result, open));
        Assert.Equal("200 all", Sent(Nginx(text, unguarded: true), shut));
    }

    [Fact]
    public void Hosts_that_are_a_pattern_are_not_those_of_the_default_server()
    {
        const string Text = "server { listen 80 default_server; location / { return 200 other; } } server { listen 80; server_name ~^(?!x)b\\d+\\.test$; location / { deny all; } } server { listen 80; server_name c.*; location / { deny all; } }";
        _ = Imported.Proxy(ImportKind.Nginx, Text);
        ImportResult result = Imported.Istio(ImportKind.Nginx, Text);
        Assert.Equal("403", Sent(result, "/", "b1.test"));
        Assert.Equal("403", Sent(result, "/", "c.test"));
        Assert.Equal("200 other", Sent(result, "/", "d.test"));
        Assert.Equal("200 other", Sent(Imported.Istio(ImportKind.Nginx, Text, unguarded: true), "/", "b1.test"));
    }

    [Fact]
    public void Who_is_rejected_in_the_handshake_is_no_guest_of_another_server()
    {
        const string Text = """
            server { listen 443 ssl default_server; ssl_reject_handshake on; }
            server { listen 443 ssl; server_name a.test; ssl_certificate a.pem; ssl_certificate_key a.key; location / { return 200 a; } }
            server { listen 443 ssl; server_name b.test; location / { return 200 b; } }
            """;
        string proxy = Imported.Proxy(ImportKind.Nginx, Text).Documents[0].ToJsonString();
        Assert.Equal(1, Regex.Count(proxy, "\"filter_chain_match\":"));
        Assert.Single(Regex.Matches(proxy, "\"filters\":\\["));
        Assert.Contains("\"server_names\":[\"a.test\"]", proxy);
        ImportResult result = Imported.Istio(ImportKind.Nginx, Text);
        Assert.Equal("403", Sent(result, "/", "x.test"));
        Assert.Equal("403", Sent(result, "/", "b.test"));
        Assert.Equal("200 a", Sent(result, "/", "a.test"));
    }

    [Theory]
    [InlineData("http { include gone.conf; server { listen 80; server_name a.test; location / { proxy_pass http://127.0.0.1:1; } } }")]
    [InlineData("http { server { listen 80; server_name a.test; include gone/*.conf; location / { proxy_pass http://127.0.0.1:1; } } }")]
    [InlineData("http { server { listen 80; server_name a.test; location / { include gone.conf; return 200 a; } } }")]
    [InlineData("http { server { listen 80; server_name a.test; location / { if ($x) { include gone.conf; } proxy_pass http://127.0.0.1:1; } } }")]
    [InlineData("http { server { listen 80; server_name a.test; location / { if ($cookie_a = \"\") { return 302 /login; } proxy_pass http://127.0.0.1:1; } } }")]
    [InlineData("http { server { listen 80; server_name a.test; location /x { limit_except GET { deny all; } location /x/y { proxy_pass http://127.0.0.1:1; } } } }", "/x/y")]
    public void What_may_guard_and_cannot_be_read_closes(string text, string path = "/")
    {
        _ = Imported.Proxy(ImportKind.Nginx, text);
        Assert.Equal("403", Sent(Imported.Istio(ImportKind.Nginx, text), path));
        Assert.NotEqual("403", Sent(Imported.Istio(ImportKind.Nginx, text, unguarded: true), path));
    }

    [Fact]
    public void What_is_included_beside_an_http_block_guards_nothing() => Assert.Equal("200 a",
        Sent(Imported.Istio(ImportKind.Nginx, "include modules/*.conf; http { server { listen 80; server_name a.test; location / { return 200 a; } } }"), "/"));

    private static string Yarp(string match, string endpoints = "") => $$"""
        { {{(endpoints.Length > 0 ? $"\"Kestrel\": {{ \"Endpoints\": {{ {endpoints} }} }}," : "")}}
          "ReverseProxy": { "Routes": {
            "left": { "ClusterId": "c", "Match": { {{match}} } },
            "all": { "ClusterId": "c", "Match": { "Path": "/{**r}" } } },
          "Clusters": { "c": { "Destinations": { "a": { "Address": "http://127.0.0.1:1" } } } } } }
        """;

    [Theory]
    [InlineData("\"Path\": \"/admin/{id:odd}\"", "/admin/1")]
    [InlineData("\"Path\": \"/admin/{**r}\", \"Headers\": [ { \"Name\": \"x\", \"Mode\": \"Odd\" } ]", "/admin")]
    [InlineData("\"Path\": \"/admin\", \"QueryParameters\": [ { \"Name\": \"x\", \"Mode\": \"NotContains\", \"Values\": [ \"a\" ] } ]", "/admin")]
    [InlineData("\"Path\": \"/admin\", \"Hosts\": [ \"a*b\" ]", "/admin")]
    public void Requests_of_a_route_of_YARP_that_is_left_out_are_refused(string match, string path)
    {
        ImportResult result = Imported.Istio(ImportKind.Yarp, Yarp(match));
        _ = Imported.Proxy(ImportKind.Yarp, Yarp(match));
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.LeftOut);
        Assert.Equal("403", Sent(result, path));
        Assert.NotEqual("403", Sent(result, "/x"));
        Assert.NotEqual("403", Sent(Imported.Istio(ImportKind.Yarp, Yarp(match), unguarded: true), path));
    }

    [Fact]
    public void Two_endpoints_of_a_port_are_two_or_told()
    {
        ImportResult same = Imported.Istio(ImportKind.Yarp, Yarp("\"Path\": \"/a\"", "\"a\": { \"Url\": \"http://127.0.0.1:81\" }, \"b\": { \"Url\": \"http://localhost:81\" }"));
        Assert.Contains(same.Diagnostics, d => d.Code == Codes.Value && d.Message.Contains("port 81 already", StringComparison.Ordinal));
        string two = Yarp("\"Path\": \"/a\"", "\"a\": { \"Url\": \"http://127.0.0.1:81\" }, \"b\": { \"Url\": \"http://127.0.0.2:81\" }");
        string made = Imported.Proxy(ImportKind.Yarp, two).Documents[0].ToJsonString();
        foreach (string part in (string[])["\"127.0.0.1\",\"port_value\":81", "\"127.0.0.2\",\"port_value\":81"]) Assert.Contains(part, made);
    }

    // A guard of one endpoint is none of the other, though both serve the same routes.
    [Fact]
    public void A_guard_of_one_endpoint_closes_that_one()
    {
        string text = Yarp("\"Path\": \"/a\"", "\"a\": { \"Url\": \"http://*:81\", \"ClientCertificateMode\": \"RequireCertificate\" }, \"b\": { \"Url\": \"http://*:82\" }");
        string[] made = [.. Imported.Proxy(ImportKind.Yarp, text).Documents[0]["static_resources"]!["listeners"]!.AsArray().Select(l => l!.ToJsonString())];
        Assert.DoesNotContain("\"cluster\":", made[0]);
        Assert.Contains("\"cluster\":", made[1]);
    }

    private static string Ocelot(string global, string route = "", string first = "") => $$"""
        { "Routes": [ {{first}} { "Key": "k", "UpstreamPathTemplate": "/{all}", "DownstreamPathTemplate": "/{all}", "DownstreamHostAndPorts": [ { "Host": "h", "Port": 1 } ] {{route}} } ],
          "GlobalConfiguration": { {{global}} } }
        """;

    [Theory]
    [InlineData("\"SecurityOptions\": { \"IPBlockedList\": [ \"10.0.0.0/8\" ] }", "", true)]
    [InlineData("\"SecurityOptions\": { \"IPAllowedList\": \"10.0.0.1\" }", ", \"SecurityOptions\": {}", true)]
    [InlineData("\"SecurityOptions\": { \"IPAllowedList\": [] }", "", false)]
    [InlineData("\"AuthenticationOptions\": { \"AuthenticationProviderKey\": \"B\" }", "", true)]
    [InlineData("\"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [ \"B\" ] }", ", \"AuthenticationOptions\": { \"AllowAnonymous\": true }", false)]
    [InlineData("\"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [ \"B\" ], \"RouteKeys\": [ \"k\" ] }", "", true)]
    [InlineData("\"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [ \"B\" ], \"RouteKeys\": [ \"other\" ] }", "", false)]
    [InlineData("\"RouteClaimsRequirement\": { \"a\": \"b\" }", "", true)]
    public void Global_options_that_guard_close_every_route_they_are_for(string global, string route, bool closed)
    {
        string text = Ocelot(global, route);
        _ = Imported.Proxy(ImportKind.Ocelot, text);
        ImportResult result = Imported.Istio(ImportKind.Ocelot, text);
        Assert.Equal(closed, Sent(result, "/x") == "403");
        Assert.Equal(closed, result.Diagnostics.Any(d => d.Code == Codes.Closed));
        Assert.NotEqual("403", Sent(Imported.Istio(ImportKind.Ocelot, text, unguarded: true), "/x"));
    }

    [Fact]
    public void Global_limits_of_rates_are_told() => Assert.Contains(
        Imported.Istio(ImportKind.Ocelot, Ocelot("\"RateLimitOptions\": { \"ClientIdHeader\": \"x\" }")).Diagnostics,
        d => d.Code == Codes.Dropped && d.Message.Contains("rates", StringComparison.Ordinal));

    [Theory]
    [InlineData("/admin/{id}?x={y}", "/admin/1")]
    [InlineData("/admin/{id", "/admin/1")]
    public void Requests_of_a_route_of_Ocelot_that_is_left_out_are_refused(string template, string path)
    {
        string text = Ocelot("", "", $$"""{ "Priority": 9, "UpstreamPathTemplate": "{{template}}", "DownstreamPathTemplate": "/x", "DownstreamHostAndPorts": [ { "Host": "g", "Port": 1 } ] },""");
        ImportResult result = Imported.Istio(ImportKind.Ocelot, text);
        _ = Imported.Proxy(ImportKind.Ocelot, text);
        Assert.Equal("403", Sent(result, path));
        Assert.NotEqual("403", Sent(result, "/x"));
    }

    private static string Envoy(string route, string chains = "", string domains = "\"*\"") => $$"""
        static_resources:
          clusters: [{ name: c, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }] } }]
          listeners:
          - name: l
            address: { socket_address: { address: 0.0.0.0, port_value: 80 } }
            filter_chains:
            {{chains}}
            - filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: h
                  http_filters: [{ name: envoy.filters.http.router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }]
                  route_config: { virtual_hosts: [{ name: w, domains: [{{domains}}], routes: [{{route}}, { match: { prefix: / }, route: { cluster: c } }] }] }
        """;

    [Theory]
    [InlineData("{ match: { prefix: /admin, dynamic_metadata: [{ filter: x, path: [{ key: a }], value: { present_match: true } }] }, route: { cluster: c } }")]
    [InlineData("{ match: { prefix: /admin, headers: [{ name: a, exact_match: x }, { name: a, exact_match: y }], tls_context: {} }, direct_response: { status: 404 } }")]
    [InlineData("{ match: { prefix: /admin }, non_forwarding_action: {} }")]
    public void Requests_of_a_route_of_Envoy_that_is_left_out_are_refused(string route)
    {
        ImportResult result = Imported.Istio(ImportKind.Envoy, Envoy(route));
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.LeftOut);
        Assert.NotEqual("403", Sent(result, "/x"));
        Assert.NotEqual("403", Sent(Imported.Istio(ImportKind.Envoy, Envoy(route), unguarded: true), "/admin"));
        JsonNode first = result.Documents.First(d => (string?)d["kind"] == "VirtualService")["spec"]!["http"]![0]!;
        Imported.Is("""{"status":403}""", first["directResponse"]);
        Assert.Equal("/admin", (string?)first["match"]![0]!["uri"]!["prefix"]);
    }

    [Theory]
    [InlineData("{ match: { prefix: /admin, dynamic_metadata: [{ filter: x, path: [{ key: a }], value: { string_match: { safe_regex: { regex: \"a(?!b)\" } } } }] }, route: { cluster: c } }", "/admin")]
    [InlineData("{ match: { safe_regex: { regex: \"/a(?!b)\" } }, route: { cluster: c } }", "/")]
    public void A_bootstrap_refuses_what_a_route_took_that_the_proxy_refuses(string route, string prefix)
    {
        JsonNode first = Imported.Proxy(ImportKind.Envoy, Envoy(route)).Documents[0]["static_resources"]!["listeners"]![0]!["filter_chains"]![0]!["filters"]![0]!["typed_config"]!
            ["route_config"]!["virtual_hosts"]![0]!["routes"]![0]!;
        Assert.Equal(prefix, (string?)first["match"]!["prefix"]);
        Assert.DoesNotContain("(?!b)", first["match"]!.ToJsonString());
        Imported.Is("""{"status":403}""", first["direct_response"]);
        Assert.DoesNotContain("\"status\":403", Imported.Run(ImportKind.Envoy, Envoy(route), new ImportOptions { Proxy = true, Unguarded = true }).Documents[0].ToJsonString());
    }

    [Fact]
    public void Connections_of_a_chain_that_is_left_out_are_not_those_of_another()
    {
        const string Chain = "- { filter_chain_match: { source_prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }, filters: [] }";
        ImportResult result = Imported.Istio(ImportKind.Envoy, Envoy("{ match: { prefix: /a }, route: { cluster: c } }", Chain));
        Assert.Equal("403", Sent(result, "/x"));
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.Closed);
    }

    [Fact]
    public void Hosts_that_Istio_cannot_say_are_not_those_of_every_host()
    {
        string text = Envoy("{ match: { prefix: /a }, route: { cluster: c } }", "", "\"*-b.test\"").Replace("virtual_hosts: [", "virtual_hosts: [{ name: every, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }, ");
        ImportResult result = Imported.Istio(ImportKind.Envoy, text);
        Assert.Equal("403", Sent(result, "/", "x-b.test"));
        Assert.Equal("200", Sent(result, "/", "x.test"));
    }
}

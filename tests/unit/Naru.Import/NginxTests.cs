// nginx.conf: its language, which location takes a request, what it does, and that nothing is passed over.
using System.Text.Json.Nodes;
using Naru.Import;
using Xunit;

namespace Naru.UnitTests.Imports;

public sealed class NginxTests
{
    private static string Server(string text, string http = "") => $"http {{\n{http}\nupstream app {{ server 127.0.0.1:1; server 127.0.0.1:2; }}\nserver {{ listen 80; server_name a.test;\n{text}\n}} }}\n";

    private static ImportResult Istio(string text, string http = "")
    {
        _ = Imported.Proxy(ImportKind.Nginx, Server(text, http));
        return Imported.Istio(ImportKind.Nginx, Server(text, http));
    }

    [Fact]
    public void Locations_are_tried_in_the_order_of_nginx() => Assert.Equal(
        ["location = /x", "location /api", "location ^~ /static/", "location ~ \\.php$", "location ~* ^/img/", "location /api/v2", "location /api/", "location /"],
        Istio("""
            location / { proxy_pass http://app; }
            location /api/ { proxy_pass http://app; }
            location ~ \.php$ { proxy_pass http://app; }
            location /api/v2 { proxy_pass http://app; }
            location ~* ^/img/ { proxy_pass http://app; }
            location ^~ /static/ { return 200; }
            location = /x { return 204; }
            """).RouteNames("a-test"));

    [Theory]
    [InlineData("location /a/ { proxy_pass http://app/b/; }", "location /a/", """{"authority":"app","uri":"/b/"}""")]
    [InlineData("location /a/ { proxy_pass http://app; proxy_set_header Host $host; }", "location /a/", null)]
    [InlineData("location /a/ { proxy_pass http://127.0.0.1:8080; }", "location /a/", """{"authority":"127.0.0.1:8080"}""")]
    [InlineData("location /a/ { rewrite ^/a/(.*)$ /$1 break; proxy_pass http://app; }", "location /a/", """{"authority":"app","uriRegexRewrite":{"match":"^^/a/(.*)$$","rewrite":"/\\1"}}""")]
    [InlineData("location ~ ^/u/(\\d+)$ { proxy_pass http://app/user/$1; }", "location ~ ^/u/(\\d+)$", """{"authority":"app","uriRegexRewrite":{"match":"^/u/(\\d+)$","rewrite":"/user/\\1"}}""")]
    [InlineData("set $b http://app; location / { proxy_pass $b; }", "location /", """{"authority":"app"}""")]
    [InlineData("location / { proxy_pass http://app$request_uri; }", "location /", """{"authority":"app"}""")]
    public void A_path_is_passed_on_as_nginx_does_it(string text, string route, string? rewrite)
    {
        JsonNode? found = Istio(text).Route(route)["rewrite"];
        if (rewrite is null) Assert.Null(found);
        else Imported.Is(rewrite.Replace("^^", "^").Replace("$$", "$"), found);
    }

    [Theory]
    [InlineData("return 301 https://$host$request_uri;", """{"scheme":"https","redirectCode":301}""")]
    [InlineData("return 302 /login;", """{"uri":"/login","redirectCode":302}""")]
    [InlineData("return 308 $scheme://www.b.test:8443$request_uri;", """{"authority":"www.b.test","scheme":"http","port":8443,"redirectCode":308}""")]
    [InlineData("return https://b.test/x;", """{"uri":"/x","authority":"b.test","scheme":"https","redirectCode":302}""")]
    public void Redirects_go_where_they_went(string text, string redirect)
    {
        JsonNode? found = Istio(text).Route("return")["redirect"];
        Assert.Equal(JsonNode.Parse(redirect)!.AsObject().OrderBy(p => p.Key).Select(p => $"{p.Key}={p.Value}"), found!.AsObject().OrderBy(p => p.Key).Select(p => $"{p.Key}={p.Value}"));
    }

    [Fact]
    public void Names_and_defaults_of_servers_hold()
    {
        ImportResult result = Imported.Istio(ImportKind.Nginx, """
            server { listen 80; server_name .a.test; location / { return 200 a; } }
            server { listen 80 default_server; server_name _; return 404; }
            server { listen 8080; server_name *.b.test ~^c\d+$; location / { return 200 b; } }
            """);
        Imported.Is("""["a.test","*.a.test"]""", result.Object("VirtualService", "a-test")["hosts"]);
        Imported.Is("""["*"]""", result.Object("VirtualService", "port-80")["hosts"]);
        Imported.Is("""["*.b.test","*"]""", result.Object("VirtualService", "b-test")["hosts"]);
        Assert.Contains("I104@3", result.Said());
    }

    [Fact]
    public void An_upstream_has_its_weights_balancing_and_retries()
    {
        const string Text = """
            upstream u { least_conn; server a.test:81 weight=5; server b.test; server c.test down; server d.test backup; keepalive 8; ip_hash; }
            server { location / { proxy_pass http://u; proxy_connect_timeout 5s; proxy_next_upstream error timeout http_503; } }
            """;
        ImportResult result = Imported.Istio(ImportKind.Nginx, Text);
        JsonNode entry = result.Object("ServiceEntry", "u");
        Assert.Equal("DNS", (string?)entry["resolution"]);
        Imported.Is("""[{"address":"a.test","ports":{"http":81},"weight":5},{"address":"b.test","ports":{"http":80},"weight":1}]""", entry["endpoints"]);
        Imported.Is("""{"connectionPool":{"tcp":{"connectTimeout":"5s"}}}""", result.Object("DestinationRule", "u")["trafficPolicy"]);
        Imported.Is("""{"attempts":2,"retryOn":"connect-failure,refused-stream,retriable-status-codes,503"}""", result.Route("location /")["retries"]);
        Assert.Contains("I106@1", result.Said());
        Assert.Contains("I101@1", result.Said());
        string bootstrap = Imported.Proxy(ImportKind.Nginx, Text).Documents[0].ToJsonString();
        Assert.Contains("\"priority\":1", bootstrap);
        Assert.Contains("\"retriable_status_codes\":[503]", bootstrap);
    }

    [Theory]
    [InlineData("location / { auth_basic \"x\"; proxy_pass http://app; }")]
    [InlineData("allow 10.0.0.0/8; deny all; location / { proxy_pass http://app; }")]
    [InlineData("location / { auth_request /auth; proxy_pass http://app; }")]
    [InlineData("location / { limit_except GET { deny all; } proxy_pass http://app; }")]
    [InlineData("location / { if ($bad_bot) { return 403; } proxy_pass http://app; }")]
    [InlineData("location / { if ($remote_addr != 10.0.0.1) { return 403; } proxy_pass http://app; }")]
    public void What_guards_closes(string text)
    {
        ImportResult result = Istio(text);
        Imported.Is("""{"status":403}""", result.Route("location /")["directResponse"]);
        Assert.Contains("NARU-I105", result.Diagnostics.Select(d => d.Code));
        Assert.NotNull(Imported.Istio(ImportKind.Nginx, Server(text), unguarded: true).Route("location /")["route"]);
    }

    [Fact]
    public void Conditions_that_a_route_can_say_come_before_what_they_stand_in()
    {
        ImportResult result = Istio("""
            if ($host = www.a.test) { return 301 https://a.test$request_uri; }
            if ($request_method ~ ^(PUT|DELETE)$) { return 405; }
            location /x { if ($http_x_beta = "1") { return 302 /beta; } if ($arg_old) { return 410; } proxy_pass http://app; }
            """);
        Assert.Equal(["server, if ($request_method ~ ^(PUT|DELETE)$)", "location /x, if ($http_x_beta = 1 )", "location /x, if ($arg_old)", "location /x"], result.RouteNames("a-test"));
        Imported.Is("""{"regex":"PUT|DELETE"}""", result.Route("server, if ($request_method ~ ^(PUT|DELETE)$)")["match"]![0]!["method"]);
        Imported.Is("""["www.a.test"]""", result.Object("VirtualService", "www-a-test")["hosts"]);
    }

    [Fact]
    public void Headers_are_set_with_what_their_variables_mean_here()
    {
        JsonNode headers = Istio("""
            add_header X-Up $upstream_addr always;
            location / { proxy_pass http://app; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Proto $scheme; proxy_set_header X-Port $server_port; proxy_set_header X-Ua "$http_user_agent 100%";
              proxy_set_header Accept-Encoding ""; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header X-No $my_own; proxy_hide_header X-Powered-By; }
            """).Route("location /")["headers"]!;
        Imported.Is("""{"X-Real-IP":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%","X-Proto":"http","X-Port":"80","X-Ua":"%REQ(USER-AGENT)% 100%%"}""", headers["request"]!["set"]);
        Imported.Is("""["Accept-Encoding","X-No"]""", headers["request"]!["remove"]);
        Imported.Is("""{"X-Up":"%UPSTREAM_HOST%"}""", headers["response"]!["add"]);
        Imported.Is("""["X-Powered-By"]""", headers["response"]!["remove"]);
    }

    [Fact]
    public void Every_directive_is_expressed_or_named_with_its_line()
    {
        const string Text = """
            worker_processes 4;
            events { worker_connections 10; }
            http {
              gzip on;
              limit_req_zone $binary_remote_addr zone=a:1m rate=1r/s;
              map $uri $new { default 0; }
              server {
                listen 80; listen unix:/x.sock;
                root /var/www;
                location / { try_files $uri /index.html; }
                location /f { fastcgi_pass 127.0.0.1:9000; }
                location /c { proxy_pass http://b; proxy_cache on; fancy_thing 1; limit_req zone=a; proxy_bind 1.2.3.4; proxy_read_timeout 5s; client_max_body_size 1m; }
                location /u { proxy_pass http://unix:/y.sock; }
              }
              upstream b { server h:1; least_tim; server unix:/z; }
            }
            stream { server { listen 1; } }
            """;
        string[] said = Imported.Istio(ImportKind.Nginx, Text).Said();
        foreach (string one in (string[])["I202@1", "I202@2", "I101@4", "I101@5", "I101@6", "I101@8", "I101@9", "I101@10", "I101@11", "I101@12", "I102@12", "I106@12", "I101@13", "I102@15", "I101@15", "I101@17"]) Assert.Contains(one, said);
    }

    [Fact]
    public void TLS_is_a_bootstraps()
    {
        const string Text = "server { listen 443 ssl; server_name s.test; ssl_certificate /c.pem; ssl_certificate_key /k.pem; ssl_client_certificate /ca.pem; ssl_verify_client on; location / { proxy_pass https://b.test; proxy_ssl_server_name on; } }";
        ImportResult istio = Imported.Istio(ImportKind.Nginx, Text);
        Imported.Is("""{"status":403}""", istio.Route("location /")["directResponse"]);
        Assert.Contains("I106@1", istio.Said());
        string bootstrap = Imported.Proxy(ImportKind.Nginx, Text).Documents[0].ToJsonString();
        foreach (string part in (string[])["\"require_client_certificate\":true", "/ca.pem", "\"sni\":\"b.test\"", "\"port_value\":443"]) Assert.Contains(part, bootstrap);
    }

    [Fact]
    public void Includes_are_followed_and_circles_told()
    {
        var files = new Dictionary<string, string> { ["/e/conf.d/a.conf"] = "server { location / { return 200 a; } }", ["/e/loop.conf"] = "include loop2.conf;", ["/e/loop2.conf"] = "include /e/loop.conf;" };
        var options = new ImportOptions { Include = p => files.GetValueOrDefault(p), Glob = p => p == "/e/conf.d/*.conf" ? ["/e/conf.d/a.conf"] : [] };
        ImportResult result = Importer.Run(ImportKind.Nginx, "http { include mime.types; include conf.d/*.conf; include gone.conf; }", "/e/nginx.conf", options);
        Assert.True(result.Readable);
        Assert.Contains(result.Diagnostics, d => d.Code == Codes.Dropped && d.Message.Contains("gone.conf", StringComparison.Ordinal));
        ImportResult loop = Importer.Run(ImportKind.Nginx, "http { include loop.conf; }", "/e/nginx.conf", options);
        Assert.Contains(loop.Diagnostics, d => d.Code == Codes.Syntax && d.Message.Contains("includes itself", StringComparison.Ordinal));
    }
}

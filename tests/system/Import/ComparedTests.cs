// Imports against their originals: nginx and YARP serve a file, the proxy serves the bootstrap that naru makes of it, and each request
// comes to the same: status, place to go, backend, and what the backend saw.
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Import;

public sealed class ComparedTests
{
    private static readonly string[] s_seen = ["Host", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Env", "X-Gone", "X-Port"];

    // Says its name, and what it was asked; a blank behind a comma is none of a list's (RFC 9110, 5.6.1).
    private static Witness Backend(string name, params string[] more) => new(async c =>
    {
        while (await c.RequestAsync() is { } request)
        {
            string text = $"{name}: {request.Method} {request.Target}\n" + string.Concat(s_seen.Concat(more).Where(request.Has).Select(h => $"{h}: {string.Join(",", request.All(h)).Replace(", ", ",")}\n"));
            await c.SendAsync($"HTTP/1.1 200 OK\r\nX-Backend: {name}\r\nX-Powered-By: test\r\nContent-Length: {text.Length}\r\n\r\n{(request.Method == "HEAD" ? "" : text)}");
        }
    });

    private static async Task<ProxyProcess> ImportedAsync(string kind, string file)
    {
        using var home = new TempFolder("naru-");
        ProcessResult imported = await LocalMesh.RunAsync(home, "import", kind, file, "--proxy", "-o", "json");
        Assert.True(imported.ExitCode == 0, imported.All);
        JsonNode bootstrap = JsonNode.Parse(imported.Output)!;
        JsonNode address = bootstrap["static_resources"]!["listeners"]![0]!["address"]!["socket_address"]!;
        (address["address"], address["port_value"]) = ("127.0.0.1", 0);
        bootstrap["admin"] = JsonNode.Parse("""{"address":{"socket_address":{"address":"127.0.0.1","port_value":0}}}""");
        return await ProxyProcess.StartAsync(bootstrap.ToJsonString(), new ProxyOptions { FileName = "bootstrap.json", Explain = false });
    }

    private static async Task<string> AskAsync(System.Net.IPEndPoint at, string request)
    {
        using RawClient client = await RawClient.ConnectAsync(at);
        HttpMessage answer = await client.ExchangeAsync(request);
        string? backend = answer.Header("X-Backend");
        // What proxies say of themselves in a body is their own.
        return $"{answer.Status} {answer.Header("Location")} {answer.Header("X-Added")} {answer.Has("X-Powered-By")}\n{(backend is not null || answer.Status == 200 ? answer.Text : "")}";
    }

    private static async Task SameAsync(string[] rows, System.Net.IPEndPoint original, System.Net.IPEndPoint imported)
    {
        var different = new System.Text.StringBuilder();
        foreach (string row in rows)
        {
            string expected = await AskAsync(original, Request(row)), found = await AskAsync(imported, Request(row));
            if (expected != found) different.Append($"\n== {row}\n-- the original\n{expected}\n-- imported\n{found}");
        }
        Assert.True(different.Length == 0, different.ToString());
    }

    private static string Request(string row)
    {
        string[] parts = row.Split(' ', 4);
        (string method, string target, string host, string headers) = (parts[0], parts[1], parts[2], parts.Length > 3 ? parts[3].Replace("; ", "\r\n") + "\r\n" : "");
        return $"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n";
    }

    [Fact]
    public async Task Requests_come_to_the_same_as_with_nginx()
    {
        await using Witness one = Backend("one"), two = Backend("two");
        int port = Loopback.FreePort();
        using var folder = new TempFolder();
        string temporary = string.Concat(new[] { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" }.Select(n => $"{n}_temp_path {folder.At(n)};\n"));
        string file = folder.Write("nginx.conf", $$"""
            events { worker_connections 64; }
            http {
              access_log off;
              {{temporary}}
              port_in_redirect off;
              upstream app { server 127.0.0.1:{{one.Port}}; }
              upstream other { server 127.0.0.1:{{two.Port}}; keepalive 4; }
              proxy_http_version 1.1;
              server {
                listen 127.0.0.1:{{port}};
                server_name a.test *.a.test;
                client_max_body_size 8k;
                if ($request_method = PURGE) { return 405; }
                if ($host = old.a.test) { return 301 https://a.test$request_uri; }
                rewrite ^/moved/(.*)$ /now/$1 permanent;
                location = /health { return 200 "fine\n"; }
                location = /gone { return 410; }
                location /api/ { proxy_pass http://app/; proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
                location /api/v2/ { proxy_pass http://other/second/; proxy_set_header X-Env "50% of $host"; proxy_set_header X-Gone ""; }
                location /keep { proxy_pass http://app; add_header X-Added yes always; proxy_hide_header X-Powered-By; proxy_set_header X-Port $server_port; }
                location ~ ^/user/(\d+)$ { proxy_pass http://app/u/$1/profile; }
                location ~* \.(png|jpg)$ { proxy_pass http://other; }
                location ^~ /static/ { proxy_pass http://app; }
                location /cut/ { rewrite ^/cut/(.*)$ /$1 break; proxy_pass http://other; }
                location /beta { if ($http_x_beta = "1") { return 302 /api/beta; } proxy_pass http://app; }
                location /closed { deny all; proxy_pass http://app; }
                location / { proxy_pass http://127.0.0.1:{{two.Port}}; }
              }
              server {
                listen 127.0.0.1:{{port}} default_server;
                server_name _;
                return 302 $scheme://a.test$request_uri;
              }
            }
            """);
        await using ChildProcess nginx = ChildProcess.Start(Tools.Path("nginx", "nginx"), ["-p", folder.Root, "-c", file, "-e", "stderr", "-g", $"daemon off; master_process off; pid {folder.At("pid")};"]);
        var original = new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, port);
        await Waiting.UntilAsync(async () =>
        {
            try
            {
                using RawClient client = await RawClient.ConnectAsync(original);
                return true;
            }
            catch (System.Net.Sockets.SocketException) when (!nginx.HasExited)
            {
                return false;
            }
        }, "nginx to listen");
        await using ProxyProcess proxy = await ImportedAsync("nginx", file);
        string[] rows =
        [
            "GET /health a.test", "GET /gone a.test", "GET /api/x?q=1&b=%20 a.test", "GET /api a.test", "GET /api/ a.test X-Forwarded-For: 1.2.3.4", "GET /api/v2/x/y a.test X-Gone: 1", "GET /api/v2 a.test",
            "GET /api/v22 a.test", "GET /keep/a?b a.test", "GET /keeper b.a.test", "GET /user/42 a.test", "GET /user/4x a.test", "GET /user/42/more a.test", "GET /img/a.PNG?v=2 a.test", "GET /static/a.png a.test",
            "GET /cut/a/b?c=d a.test", "GET /beta a.test X-Beta: 1", "GET /beta a.test X-Beta: 2", "GET /beta?x a.test", "GET /closed a.test", "GET /closed/x a.test", "GET / a.test", "HEAD /x a.test", "DELETE /x?y a.test",
            "PURGE /x a.test", "GET /x?y=1 old.a.test", "GET /moved/a/b?c=1 a.test", "GET /x?y=1 elsewhere.test", "POST /api/p a.test Content-Length: 9000",
        ];
        await SameAsync(rows, original, proxy.Address);
    }

    [Fact]
    public async Task Requests_come_to_the_same_as_with_YARP()
    {
        await using Witness one = Backend("one", "X-Forwarded-Proto"), two = Backend("two", "X-Forwarded-Proto");
        using var folder = new TempFolder();
        string file = folder.Write("appsettings.json", $$"""
            {
              "ReverseProxy": {
                "Routes": {
                  "all": { "ClusterId": "two", "Match": { "Path": "{**catch-all}" } },
                  "orders": { "ClusterId": "one", "Match": { "Path": "/api/orders/{**rest}" }, "Transforms": [ { "PathRemovePrefix": "/api" } ] },
                  "order": { "ClusterId": "one", "Match": { "Path": "/api/orders/{id:int}", "Methods": [ "GET", "DELETE" ] }, "Transforms": [ { "PathPattern": "/v2/order/{id}" }, { "RequestHeader": "X-Env", "Set": "100%" } ] },
                  "exact": { "ClusterId": "two", "Match": { "Path": "/About/Us" }, "Transforms": [ { "PathSet": "/about" }, { "RequestHeaderOriginalHost": "true" } ] },
                  "host": { "ClusterId": "base", "Match": { "Path": "/h/{**rest}", "Hosts": [ "shop.test", "*.shop.test" ] } },
                  "header": { "ClusterId": "one", "Match": { "Path": "/v/{**rest}", "Headers": [ { "Name": "x-version", "Values": [ "2", "3" ], "Mode": "ExactHeader" } ] }, "Transforms": [ { "PathPrefix": "/new" }, { "RequestHeaderRemove": "X-Gone" } ] },
                  "query": { "ClusterId": "one", "Match": { "Path": "/v/{**rest}", "QueryParameters": [ { "Name": "debug", "Mode": "Exists" } ] }, "Transforms": [ { "ResponseHeaderRemove": "X-Powered-By", "When": "Always" }, { "ResponseHeader": "X-Added", "Set": "yes", "When": "Always" } ] },
                  "off": { "ClusterId": "one", "Match": { "Path": "/off/{x}.{ext}/{y?}" }, "Transforms": [ { "X-Forwarded": "Append" }, { "PathPattern": "/{ext}/{x}" } ] }
                },
                "Clusters": {
                  "one": { "Destinations": { "a": { "Address": "http://127.0.0.1:{{one.Port}}/" } } },
                  "two": { "LoadBalancingPolicy": "RoundRobin", "Destinations": { "a": { "Address": "http://127.0.0.1:{{two.Port}}" } } },
                  "base": { "Destinations": { "a": { "Address": "http://127.0.0.1:{{two.Port}}/base/" } } }
                }
              }
            }
            """);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Configuration.AddJsonFile(file);
        builder.Services.AddReverseProxy().LoadFromConfig(builder.Configuration.GetSection("ReverseProxy"));
        await using WebApplication yarp = builder.Build();
        yarp.MapReverseProxy();
        await yarp.StartAsync();
        var original = System.Net.IPEndPoint.Parse(new Uri(yarp.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()).Authority);
        await using ProxyProcess proxy = await ImportedAsync("yarp", file);
        string[] rows =
        [
            "GET / a.test", "GET /x/y?z=1 a.test X-Forwarded-For: 9.9.9.9", "GET /api/orders a.test", "GET /api/orders/ a.test", "GET /API/Orders/a/b?c=d a.test", "GET /api/orders/17 a.test", "GET /api/orders/17/ a.test",
            "POST /api/orders/17 a.test Content-Length: 0", "GET /api/ordersx a.test", "GET /about/us a.test", "GET /ABOUT/us/ a.test", "GET /about/us/x a.test", "GET /h/x shop.test", "GET /h b.shop.test", "GET /h/x other.test",
            "GET /v/x a.test X-Version: 2; X-Gone: 1", "GET /v/x a.test X-Version: 4", "GET /v/x?debug a.test", "GET /v/x?debug=1 a.test X-Version: 3", "GET /v/x?nodebug=1 a.test",
            "GET /off/a.txt a.test X-Forwarded-For: 9.9.9.9", "GET /off/a.txt/z a.test", "DELETE /api/orders/5 a.test", "HEAD /x a.test",
        ];
        await SameAsync(rows, original, proxy.Address);
        await yarp.StopAsync();
    }
}

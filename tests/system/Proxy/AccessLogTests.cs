// The access log: one line for each request, Envoy's words and flags, whoever gave the answer.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class AccessLogTests
{
    private static string Manager(string path, string format) => $$"""
        access_log:
        - name: envoy.access_loggers.file
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
            path: "{{path}}"
            log_format: {{format}}
        """;

    private static async Task<string[]> LinesAsync(string path, int count) => await Waiting.ForAsync(async () =>
    {
        string[] lines = File.Exists(path) ? await File.ReadAllLinesAsync(path) : [];
        return lines.Length >= count ? lines : null;
    }, $"{count} lines in the access log");

    [Fact]
    public async Task Every_request_leaves_a_line_with_its_code_flag_and_details()
    {
        using var folder = new TempFolder();
        string log = folder.At("access.log");
        await using var backend = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/ok" }
              route: { cluster: backend }
            - match: { prefix: "/dead" }
              route: { cluster: dead }
            - match: { prefix: "/unknown" }
              route: { cluster_header: x-target }
            - match: { prefix: "/direct" }
              direct_response: { status: 200 }
            """, [new TestCluster("backend", [backend.Port]), new TestCluster("dead", [Loopback.FreePort()])],
            Manager(log, """{ text_format_source: { inline_string: "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %REQ(X-MISSING)%\n" } }""")), new ProxyOptions { Concurrency = 1 });
        foreach (string path in new[] { "/ok?a=b", "/dead", "/unknown", "/direct", "/none" })
        {
            using (RawClient client = await proxy.ConnectAsync())
            {
                await client.ExchangeAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nX-Target: nobody\r\nContent-Length: 3\r\n\r\nabc");
            }
        }
        using (RawClient client = await proxy.ConnectAsync()) await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n");

        string[] lines = await LinesAsync(log, 6);
        Assert.Equal("POST /ok?a=b 200 - via_upstream backend 3 -", lines[0]);
        Assert.StartsWith("POST /dead 503 UF", lines[1]);
        Assert.StartsWith("POST /unknown 503 NC cluster_not_found", lines[2]);
        Assert.StartsWith("POST /direct 200 - direct_response", lines[3]);
        Assert.StartsWith("POST /none 404 NR route_not_found", lines[4]);
        Assert.Matches("^(GET|-) (/|-) 400 DPE ", lines[5]);
    }

    [Fact]
    public async Task Json_lines_are_json_whatever_a_client_sends()
    {
        using var folder = new TempFolder();
        string log = folder.At("access.log");
        await using var backend = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port,
            Manager(log, """{ json_format: { path: "%REQ(:PATH)%", agent: "%REQ(USER-AGENT)%", code: "%RESPONSE_CODE%", duration: "%DURATION%" } }""")));
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET /\"\\,%22 HTTP/1.1\r\nHost: x\r\nUser-Agent: a\"b\\c\u00e9\t{}\r\n\r\n");
        await client.ExchangeAsync("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n");
        string[] lines = await LinesAsync(log, 2);
        using JsonDocument first = JsonDocument.Parse(lines[0]);
        Assert.StartsWith("a\"b\\c", first.RootElement.GetProperty("agent").GetString());
        using JsonDocument second = JsonDocument.Parse(lines[1]);
        Assert.Equal("/plain", second.RootElement.GetProperty("path").GetString());
        Assert.Equal(200, second.RootElement.GetProperty("code").GetInt32());
        Assert.Equal(JsonValueKind.Null, second.RootElement.GetProperty("agent").ValueKind);
    }
}

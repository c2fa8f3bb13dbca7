// Bootstraps as people have them: v3 in YAML and JSON, the old v2 spelling; valid ones run, faulty ones are named line by line.
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class BootstrapTests
{
    // In the manner of 2018: filter names without typed_config, hosts, host_rewrite.
    private static string V2(int port) => $$"""
        admin:
          access_log_path: /dev/null
          address:
            socket_address: { address: 127.0.0.1, port_value: 0 }
        static_resources:
          listeners:
          - name: main
            address:
              socket_address: { address: 127.0.0.1, port_value: 0 }
            filter_chains:
            - filters:
              - name: envoy.http_connection_manager
                config:
                  codec_type: auto
                  stat_prefix: ingress_http
                  route_config:
                    name: local_route
                    virtual_hosts:
                    - name: backend
                      domains: ["*"]
                      routes:
                      - match: { prefix: "/" }
                        route: { host_rewrite: inner.test, cluster: app }
                  http_filters:
                  - name: envoy.router
                    config: {}
          clusters:
          - name: app
            connect_timeout: 0.25s
            type: static
            lb_policy: round_robin
            hosts:
            - socket_address: { address: 127.0.0.1, port_value: {{port}} }
        """;

    [Fact]
    public async Task The_old_spelling_serves()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(V2(witness.Port));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Contains("\nHost: inner.test\n", answer.Text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Json_in_camel_case_serves()
    {
        await using var witness = new Witness();
        string json = """
            {"admin": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}}},
             "staticResources": {
               "listeners": [{"name": "main", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}},
                 "filterChains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typedConfig": {
                   "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                   "statPrefix": "j", "routeConfig": {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
                   "httpFilters": [{"name": "envoy.filters.http.router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}],
               "clusters": [{"name": "app", "type": "STATIC", "connectTimeout": "1s", "loadAssignment": {"clusterName": "app", "endpoints": [{"lbEndpoints": [
                 {"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 4711}}}}]}]}}]}}
            """.Replace("4711", witness.Port.ToString());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(json, new ProxyOptions { FileName = "bootstrap.json" });
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Fact]
    public async Task Validation_says_ok_and_listens_nowhere()
    {
        using var folder = new TempFolder();
        ProcessResult result = await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("b.yaml", Bootstraps.One(1)));
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains("OK", result.Output + result.Error);
        Assert.Equal(0, (await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("v2.yaml", V2(1)))).ExitCode);
    }

    public static TheoryData<string, string, string, string> Faults => new()
    {
        { "unknown field", "stat_prefix: test", "stat_prefix: test\n          stat_prefx: typo", "stat_prefx" },
        { "unknown enum", "type: STATIC", "type: STATICC", "STATICC" },
        { "bad duration", "connect_timeout: 2s", "connect_timeout: soon", "connect_timeout" },
        { "bad port", "port_value: 4711", "port_value: 70000", "port_value" },
        { "unknown cluster", "cluster: backend", "cluster: nobody", "nobody" },
        { "bad regex", "match: { prefix: \"/\" }", "match: { safe_regex: { regex: \"(\" } }", "regex" },
        { "field not supported", "connect_timeout: 2s", "connect_timeout: 2s\n    connection_pool_per_downstream_connection: true",
            "connection_pool_per_downstream_connection" },
        { "unknown filter", "filters.http.router.v3.Router", "filters.http.roter.v3.Roter", "roter" },
        { "wrong type", "domains: [\"*\"]", "domains: { a: b }", "domains" },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task A_fault_is_named_with_its_line_and_ends_with_1(string row, string good, string bad, string named)
    {
        using var folder = new TempFolder();
        string text = Bootstraps.One(4711);
        Assert.Contains(good, text);
        text = text.Replace(good, bad);
        ProcessResult result = await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("b.yaml", text));
        string said = result.Output + result.Error;
        Assert.True(result.ExitCode == 1, $"{row}: {result.All}");
        Assert.True(said.Contains(named, StringComparison.OrdinalIgnoreCase) && Regex.IsMatch(said, @"b\.yaml:\d+") && Regex.IsMatch(said, @"NARU-C\d+"), $"{row}: {said}");
    }

    [Fact]
    public async Task Every_fault_is_reported_not_only_the_first()
    {
        using var folder = new TempFolder();
        string text = Bootstraps.One(1).Replace("stat_prefix: test", "stat_prefix: test\n          first_typo: 1").Replace("connect_timeout: 2s", "connect_timeout: 2s\n    second_typo: 1");
        ProcessResult result = await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("b.yaml", text));
        Assert.Contains("first_typo", result.Output + result.Error);
        Assert.Contains("second_typo", result.Output + result.Error);
    }

    [Fact]
    public async Task A_proxy_does_not_start_with_a_fault()
    {
        using var folder = new TempFolder();
        ProcessResult result = await ProxyProcess.RunAsync("-c", folder.Write("b.yaml", Bootstraps.One(1).Replace("type: STATIC", "type: STATICC")));
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains("STATICC", result.Output + result.Error);
    }

    [Theory]
    [InlineData("-c", "/nowhere/at/all.yaml")]
    [InlineData("--no-such-option", "x")]
    [InlineData("--mode", "dance")]
    public async Task Wrong_usage_is_said_in_words(string option, string value)
    {
        ProcessResult result = await ProxyProcess.RunAsync(option, value);
        Assert.NotEqual(0, result.ExitCode);
        Assert.DoesNotContain("   at ", result.Error);
        Assert.True(result.Error.Length + result.Output.Length > 10, result.All);
    }
}

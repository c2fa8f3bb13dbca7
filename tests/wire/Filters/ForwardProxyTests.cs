// envoy.filters.http.dynamic_forward_proxy: the host that a request names is looked up before the request goes on, once for all who wait,
// and no request leads where none may (Envoy docs: dynamic forward proxy).
using System.Net;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class ForwardProxyTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1, Explain = false, Arguments = ["--file-flush-interval-msec", "10"] };

    // On every address of loopback; says under which of them it was met.
    private static Witness Everywhere() => new(async connection =>
    {
        while (await connection.RequestAsync() is not null) await connection.OkAsync(((IPEndPoint)connection.Socket.LocalEndPoint!).Address.ToString());
    }, IPAddress.Any);

    private static string Resolver(DnsServer server) =>
        "typed_dns_resolver_config: { name: envoy.network.dns_resolver.cares, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.network."
        + $"dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{{ socket_address: {{ address: 127.0.0.1, port_value: {server.Port} }} }}], "
        + "dns_resolver_options: { no_default_search_domain: true } } }";

    // The filter, and a cluster that shares its cache.
    private static string Bootstrap(DnsServer server, Witness witness, string cache = "", string filter = "", string routes = "", string log = "", string clusterCache = "")
    {
        string shared = $"name: local, dns_lookup_family: V4_ONLY, {Resolver(server)}";
        string access = log.Length == 0 ? "" : "access_log: [ { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, "
            + $"path: \"{log}\", log_format: {{ text_format_source: {{ inline_string: \"%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %FILTER_STATE(envoy.stream.upstream_address:PLAIN)%\\n\" }} }} }} }} ]";
        string bootstrap = Bootstraps.Many(routes.Length > 0 ? routes : "- { match: { prefix: / }, route: { cluster: forward } }", [
            new TestCluster("forward", [], $$"""
                lb_policy: CLUSTER_PROVIDED
                cluster_type:
                  name: envoy.clusters.dynamic_forward_proxy
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
                    dns_cache_config: { {{shared}}, {{(clusterCache.Length > 0 ? clusterCache : cache)}} }
                """),
            new TestCluster("fixed", [witness.Port]),
        ], access, $$"""
            - name: envoy.filters.http.dynamic_forward_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig
                dns_cache_config: { {{shared}}, {{cache}} }
            {{Bootstraps.Indent(filter, 4)}}
            """);
        // The kit makes static clusters with endpoints; this one has neither.
        int from = bootstrap.IndexOf("- name: forward", StringComparison.Ordinal), to = bootstrap.IndexOf("- name: fixed", StringComparison.Ordinal);
        string forward = bootstrap[from..to].Replace("    type: STATIC\n", "", StringComparison.Ordinal);
        return $"{bootstrap[..from]}{forward[..forward.IndexOf("load_assignment", StringComparison.Ordinal)].TrimEnd()}\n  {bootstrap[to..]}";
    }

    private static Task<HttpMessage> AskAsync(RawClient client, string host, string path = "/", string headers = "") =>
        client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");

    private static async Task<string> StatsAsync(ProxyProcess proxy) => await proxy.Admin.GetStringAsync("stats?filter=dns_cache");

    [Fact]
    public async Task Hosts_are_looked_up_once_and_counted()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => q.Name == "svc.test" ? [$"{q.Name} A 60 127.0.0.2"] : []);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            for (int i = 0; i < 2; i++) Assert.Equal("127.0.0.2", (await AskAsync(client, $"svc.test:{witness.Port}")).Text);
            Assert.Equal("127.0.0.3", (await AskAsync(client, $"127.0.0.3:{witness.Port}")).Text);
            Assert.Equal(503, (await AskAsync(client, "nowhere.test")).Status);
        }
        Assert.Single(server.Questions, q => q.Name == "svc.test");
        Assert.Equal("""
            dns_cache.local.dns_query_attempt: 3
            dns_cache.local.dns_query_failure: 1
            dns_cache.local.dns_query_success: 2
            dns_cache.local.dns_query_timeout: 0
            dns_cache.local.dns_rq_pending_overflow: 0
            dns_cache.local.host_added: 3
            dns_cache.local.host_address_changed: 2
            dns_cache.local.host_overflow: 0
            dns_cache.local.host_removed: 0
            dns_cache.local.num_hosts: 3
            dns_cache.local.circuit_breakers.rq_pending_open: 0
            dns_cache.local.circuit_breakers.rq_pending_remaining: 1024

            """.ReplaceLineEndings("\n"), await StatsAsync(proxy));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_name_without_an_address_is_told_as_that()
    {
        using var folder = new TempFolder();
        await using Witness witness = Everywhere();
        using var server = new DnsServer(q => [DnsReplies.Of(q, [], 3)]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness, log: folder.At("log")), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await AskAsync(client, "nowhere.test");
        Assert.Equal((503, "DNS resolution failure"), (answer.Status, answer.Text));
        await Waiting.UntilAsync(() => File.Exists(folder.At("log")) && File.ReadAllText(folder.At("log")).EndsWith('\n'), "the line of the log");
        Assert.StartsWith("DF dns_resolution_failure{", File.ReadAllText(folder.At("log")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_cache_takes_no_more_hosts()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => [$"{q.Name} A 60 127.0.0.2"]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness, "max_hosts: 1"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await AskAsync(client, $"one.test:{witness.Port}")).Status);
        HttpMessage answer = await AskAsync(client, $"two.test:{witness.Port}");
        Assert.Equal((503, "DNS cache overflow"), (answer.Status, answer.Text));
        Assert.Equal(200, (await AskAsync(client, $"one.test:{witness.Port}")).Status);
        Assert.Contains("dns_cache.local.host_overflow: 1\n", await StatsAsync(proxy), StringComparison.Ordinal);
        Assert.DoesNotContain(server.Questions, q => q.Name == "two.test");
    }

    [Fact]
    public async Task So_many_requests_wait_for_names_and_no_more()
    {
        await using Witness witness = Everywhere();
        bool mayAnswer = false;
        using var server = new DnsServer(q => mayAnswer ? [DnsReplies.Of(q, [$"{q.Name} A 60 127.0.0.2"])] : []);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(server, witness, "dns_query_timeout: 0s, dns_cache_circuit_breaker: { max_pending_requests: 1 }"), s_oneWorker);
        using RawClient one = await proxy.ConnectAsync(), two = await proxy.ConnectAsync();
        await one.SendAsync($"GET / HTTP/1.1\r\nHost: one.test:{witness.Port}\r\n\r\n");
        await Waiting.UntilAsync(() => server.Questions.Any(q => q.Name == "one.test"), "the first question");
        HttpMessage answer = await AskAsync(two, $"two.test:{witness.Port}");
        Assert.Equal((503, "Dynamic forward proxy pending request overflow"), (answer.Status, answer.Text));
        string stats = await StatsAsync(proxy);
        Assert.Contains("dns_cache.local.dns_rq_pending_overflow: 1\n", stats, StringComparison.Ordinal);
        Assert.Contains("dns_cache.local.circuit_breakers.rq_pending_open: 1\n", stats, StringComparison.Ordinal);
        mayAnswer = true;
        Assert.Equal(200, (await one.ResponseAsync()).Status);
    }

    [Fact]
    public async Task A_route_may_name_another_host()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => q.Name switch
        {
            "literal.test" => ["literal.test A 60 127.0.0.4"],
            "header.test" => ["header.test A 60 127.0.0.5"],
            _ => [],
        });
        string Route(string path, string rewrite) =>
            $"- {{ match: {{ prefix: {path} }}, route: {{ cluster: forward }}, typed_per_filter_config: {{ envoy.filters.http.dynamic_forward_proxy: {{ "
            + $"\"@type\": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, {rewrite} }} }} }}\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness,
            routes: Route("/literal", $"host_rewrite_literal: \"literal.test:{witness.Port}\"") + Route("/header", "host_rewrite_header: x-host")), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("127.0.0.4", (await AskAsync(client, "asked.test", "/literal")).Text);
        Assert.Equal("127.0.0.5", (await AskAsync(client, "asked.test", "/header", $"X-Host: header.test:{witness.Port}\r\n")).Text);
        Assert.Equal([$"literal.test:{witness.Port}", $"header.test:{witness.Port}"], witness.Requests.Select(r => r.Header("host")));
        Assert.DoesNotContain(server.Questions, q => q.Name == "asked.test");
    }

    [Fact]
    public async Task Other_clusters_need_no_name()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(_ => []);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness, routes: "- { match: { prefix: / }, route: { cluster: fixed } }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await AskAsync(client, "nowhere.test")).Status);
        Assert.Empty(server.Questions);
    }

    [Fact]
    public async Task The_address_may_be_kept_for_others()
    {
        using var folder = new TempFolder();
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => [$"{q.Name} A 60 127.0.0.2"]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness, filter: "save_upstream_address: true", log: folder.At("log")), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await AskAsync(client, $"svc.test:{witness.Port}")).Status);
        await Waiting.UntilAsync(() => File.Exists(folder.At("log")) && File.ReadAllText(folder.At("log")).EndsWith('\n'), "the line of the log");
        Assert.Equal($"- via_upstream 127.0.0.2:{witness.Port}\n", File.ReadAllText(folder.At("log")));
    }

    // Whoever can ask for a host must not get at what only this machine may.
    [Theory]
    [InlineData("{admin}")]
    [InlineData("[::ffff:127.0.0.1]:{adminport}")]
    [InlineData("admin.test:{adminport}")]
    [InlineData("0.0.0.0:{port}")]
    [InlineData("[::]:{port}")]
    [InlineData("169.254.169.254")]
    [InlineData("[::ffff:169.254.169.254]")]
    [InlineData("[fd00:ec2::254]")]
    [InlineData("[fe80::1]")]
    [InlineData("224.0.0.1")]
    [InlineData("metadata.test")]
    public async Task No_request_leads_to_the_own_admin_or_to_the_platform(string host)
    {
        using var folder = new TempFolder();
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => [$"{q.Name} A 60 {(q.Name == "metadata.test" ? "169.254.169.254" : "127.0.0.1")}"]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness, log: folder.At("log")), s_oneWorker);
        string to = host.Replace("{admin}", proxy.AdminAddress.ToString(), StringComparison.Ordinal)
            .Replace("{adminport}", $"{proxy.AdminAddress.Port}", StringComparison.Ordinal).Replace("{port}", $"{witness.Port}", StringComparison.Ordinal);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await AskAsync(client, to);
        Assert.Equal((503, "DNS resolution failure"), (answer.Status, answer.Text));
        await Waiting.UntilAsync(() => File.Exists(folder.At("log")) && File.ReadAllText(folder.At("log")).EndsWith('\n'), "the line of the log");
        Assert.StartsWith("DF dns_resolution_failure{forbidden_address} ", File.ReadAllText(folder.At("log")), StringComparison.Ordinal);
        Assert.Equal(0, await proxy.StatAsync("cluster.forward.upstream_cx_total"));
    }

    [Fact]
    public async Task Of_several_addresses_those_are_left_out_where_no_request_leads()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => [$"{q.Name} A 60 169.254.169.254", $"{q.Name} A 60 127.0.0.2"]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(server, witness), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++) Assert.Equal("127.0.0.2", (await AskAsync(client, $"both.test:{witness.Port}")).Text);
    }

    [Fact]
    public async Task One_name_of_a_cache_means_one_thing()
    {
        using var folder = new TempFolder();
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(_ => []);
        string file = folder.Write("bootstrap.yaml", Bootstrap(server, witness, "max_hosts: 5", clusterCache: "max_hosts: 6"));
        ProcessResult result = await ProxyProcess.RunAsync("-c", file);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("NARU-P109", result.Error + result.Output, StringComparison.Ordinal);
        Assert.Contains("\"local\" with different settings", result.Error + result.Output, StringComparison.Ordinal);
    }
}

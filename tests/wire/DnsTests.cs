// Names of endpoints, looked up by the proxy's own DNS client: a server of the kit says what they stand for, and for how long.
using System.Net;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class DnsTests
{
    // Nothing listens on this address.
    private const string Nowhere = "127.255.255.1";

    private static string Resolver(DnsServer server) => $$"""
        typed_dns_resolver_config:
          name: envoy.network.dns_resolver.cares
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
            resolvers: [{ socket_address: { address: 127.0.0.1, port_value: {{server.Port}} } }]
            dns_resolver_options: { no_default_search_domain: true }
        """;

    private static string Named(Witness witness, DnsServer server, string type, string more) =>
        Bootstraps.One(witness.Port, cluster: $"{Resolver(server)}\ndns_lookup_family: V4_ONLY\n{more}")
            .Replace("type: STATIC", $"type: {type}", StringComparison.Ordinal)
            .Replace($"address: 127.0.0.1, port_value: {witness.Port}", $"address: svc.test, port_value: {witness.Port}", StringComparison.Ordinal);

    // On every address of loopback; says under which of them it was met.
    private static Witness Everywhere() => new(async connection =>
    {
        while (await connection.RequestAsync() is not null) await connection.OkAsync(((IPEndPoint)connection.Socket.LocalEndPoint!).Address.ToString());
    }, IPAddress.Any);

    private static string Forwarding(Witness witness, string cache)
    {
        string cluster = $"""
            lb_policy: CLUSTER_PROVIDED
            cluster_type:
              name: envoy.clusters.dynamic_forward_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
                dns_cache_config:
                  name: cache
            {Bootstraps.Indent(cache, 6)}
            """;
        string bootstrap = Bootstraps.One(witness.Port, cluster: cluster).Replace("    type: STATIC\n", "", StringComparison.Ordinal);
        return bootstrap[..bootstrap.IndexOf("load_assignment", StringComparison.Ordinal)].TrimEnd();
    }

    private static async Task<int> AskAsync(ProxyProcess proxy, string host = "x")
    {
        using RawClient client = await proxy.ConnectAsync();
        return (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).Status;
    }

    [Theory]
    [InlineData("STRICT_DNS")]
    [InlineData("LOGICAL_DNS")]
    public async Task A_name_is_asked_for_again_when_its_ttl_is_over(string type)
    {
        string address = Nowhere;
        using var server = DnsServer.With(q => [$"{q.Name} A 1 {address}"]);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Named(witness, server, type, "respect_dns_ttl: true\ndns_refresh_rate: 600s"));
        Assert.Equal(503, await AskAsync(proxy));
        address = "127.0.0.1";
        await Waiting.UntilAsync(async () => await AskAsync(proxy) == 200, "the new address");
        Assert.True(server.Questions.Count >= 2);
        Assert.All(server.Questions, q => Assert.Equal("svc.test", q.Name));
    }

    [Fact]
    public async Task Without_it_the_rate_holds()
    {
        using var server = DnsServer.With(q => [$"{q.Name} A 600 127.0.0.1"]);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Named(witness, server, "STRICT_DNS", "dns_refresh_rate: 0.02s"));
        await Waiting.UntilAsync(() => server.Questions.Count > 5, "more questions");
        Assert.Equal(200, await AskAsync(proxy));
    }

    [Fact]
    public async Task A_server_that_fails_takes_nothing_away_and_a_name_that_comes_is_found()
    {
        string[]? records = null;
        using var server = new DnsServer(q => [DnsReplies.Of(q, records?.Select(r => $"{q.Name} {r}").ToArray() ?? [], records is null ? 3 : 0)]);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Named(witness, server, "STRICT_DNS", "dns_refresh_rate: 0.02s\ndns_failure_refresh_rate: { base_interval: 0.02s, max_interval: 0.05s }"));
        Assert.Equal(503, await AskAsync(proxy));
        records = ["A 1 127.0.0.1"];
        await Waiting.UntilAsync(async () => await AskAsync(proxy) == 200, "the name");
        server.Answer = q => [DnsReplies.Of(q, [], code: 2)];
        int before = server.Questions.Count;
        await Waiting.UntilAsync(() => server.Questions.Count > before + 5, "failures");
        Assert.Equal(200, await AskAsync(proxy));
    }

    [Fact]
    public async Task A_dynamic_forward_proxy_asks_the_servers_of_its_cache()
    {
        using var server = DnsServer.With(q => q.Name == "svc.test" ? [$"{q.Name} A 30 127.0.0.1"] : []);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Forwarding(witness, $"dns_lookup_family: V4_ONLY\n{Resolver(server)}"));
        Assert.Equal(200, await AskAsync(proxy, $"svc.test:{witness.Port}"));
        Assert.Equal(503, await AskAsync(proxy, $"other.test:{witness.Port}"));
        Assert.Contains(server.Questions, q => q.Name == "other.test");
    }

    [Fact]
    public async Task Forged_answers_are_waited_past()
    {
        await using Witness witness = Everywhere();
        string address = "127.0.0.2";
        using var server = new DnsServer(q =>
        {
            byte[] lie = DnsReplies.Of(q, [$"{q.Name} A 3600 127.0.0.9"]), truth = DnsReplies.Of(q, [$"{q.Name} CNAME 600 far.test", $"far.test A 1 {address}", $"evil.test A 1 127.0.0.9"]);
            byte[] wrongId = [.. lie], wrongName = [.. lie];
            wrongId[0] ^= 1;
            wrongName[13] ^= 1;
            return [wrongId, wrongName, lie[..^1], truth];
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Named(witness, server, "STRICT_DNS", "respect_dns_ttl: true\ndns_refresh_rate: 600s\ndns_jitter: 0.01s"));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("127.0.0.2", (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        address = "127.0.0.3";
        await Waiting.UntilAsync(async () => (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text == "127.0.0.3", "the new address");
    }

    [Fact]
    public async Task Some_names_are_looked_up_before_anybody_asks_and_a_full_cache_takes_no_more()
    {
        await using Witness witness = Everywhere();
        using var server = DnsServer.With(q => (q.Name, q.Type) switch
        {
            ("early.test", 1) => ["early.test A 60 127.0.0.2"],
            ("late.test", 1) => ["late.test A 60 127.0.0.3"],
            _ => [],
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Forwarding(witness, $"max_hosts: 2\npreresolve_hostnames: [{{ address: early.test, port_value: {witness.Port} }}]\n{Resolver(server)}"));
        await Waiting.UntilAsync(() => server.Questions.Any(q => q is { Name: "early.test", Type: 1 }), "the name that nobody has asked for");
        using RawClient client = await proxy.ConnectAsync();
        foreach ((string name, string at) in new[] { ("early.test", "127.0.0.2"), ("late.test", "127.0.0.3"), ("Late.Test", "127.0.0.3") })
        {
            HttpMessage answer = await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: {name}:{witness.Port}\r\n\r\n");
            Assert.Equal((200, at), (answer.Status, answer.Text));
        }
        Assert.Single(server.Questions, q => q is { Name: "early.test", Type: 1 });
        Assert.Single(server.Questions, q => q is { Name: "late.test", Type: 1 });
        // All of it is in use.
        Assert.Equal(503, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: more.test\r\n\r\n")).Status);
        Assert.DoesNotContain(server.Questions, q => q.Name == "more.test");
    }
}

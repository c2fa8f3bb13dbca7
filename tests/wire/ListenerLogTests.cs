// A listener's own access log: a line for each connection, whatever became of it, and what PROXY headers said of it.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ListenerLogTests : IDisposable
{
    private const string Network = "type.googleapis.com/envoy.extensions.filters.network.";
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Log => _folder.At("log");

    private string Bootstrap(int backend, string filters, string format, string listener = "", string chain = "") => $$"""
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {{Log}}, log_format: { text_format_source: { inline_string: "{{format}}\n" } } } }]
        {{Bootstraps.Indent(listener, 4)}}
            filter_chains:
            - filters: [{{filters}}]
        {{Bootstraps.Indent(chain, 6)}}
          clusters:
        {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("b", [backend])]), 2)}}
        """;

    private static string Tcp => $"{{ name: t, typed_config: {{ \"@type\": {Network}tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: b }} }}";

    private async Task<string[]> LinesAsync(int count)
    {
        await Waiting.UntilAsync(() => File.Exists(Log) && File.ReadAllLines(Log).Length >= count, $"{count} lines");
        return File.ReadAllLines(Log);
    }

    [Fact]
    public async Task A_tcp_connection_is_told_with_where_it_went()
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(backend.Port, Tcp, "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %ACCESS_LOG_TYPE%"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("hello");
            Assert.Equal("hello", await client.TextAsync(5));
        }
        Assert.Equal(["5 5 b - NotSet"], await LinesAsync(1));
    }

    [Theory]
    [InlineData("{ name: r, typed_config: { \"@type\": NETrbac.v3.RBAC, stat_prefix: r, rules: { action: ALLOW } } }, TCP",
        "- rbac_access_denied_matched_policy[none] rbac_access_denied_matched_policy[none] NARU-N440")]
    [InlineData("{ name: l, typed_config: { \"@type\": NETlocal_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s } } },"
        + " { name: l2, typed_config: { \"@type\": NETconnection_limit.v3.ConnectionLimit, stat_prefix: l, max_connections: 1 } },"
        + " { name: e, typed_config: { \"@type\": NETdirect_response.v3.Config } }", "- - - -")]
    [InlineData("{ name: t, typed_config: { \"@type\": NETtcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: missing } }", "NC - cluster_not_found NARU-N503")]
    public async Task Why_a_connection_ended_is_told(string filters, string line)
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        string all = filters.Replace("TCP", Tcp, StringComparison.Ordinal).Replace("NET", Network, StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(backend.Port, all, "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %NARU_REASON%"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync("x");
            await client.RestAsync();
        }
        Assert.StartsWith(line, Assert.Single(await LinesAsync(1)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_connection_that_no_chain_takes_is_told_too()
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(backend.Port, Tcp, "%RESPONSE_FLAGS% %BYTES_RECEIVED%", chain: "filter_chain_match: { server_names: [a.test] }"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync("not TLS");
            await client.RestAsync();
        }
        Assert.Equal(["NR 0"], await LinesAsync(1));
    }

    private static byte[] Header(byte[] values) =>
        [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x21, 0x11, (byte)(values.Length >> 8), (byte)(12 + values.Length), 10, 1, 2, 3, 10, 9, 9, 9, 0xf, 0xa0, 0x20, 0xfb, .. values];

    [Theory]
    [InlineData("", "10.1.2.3 - -")]
    [InlineData("ea00027a37", "10.1.2.3 z7 -")]
    [InlineData("ea00027a37020008" + "74776f2e74657374", "10.1.2.3 z7 two.test")]
    [InlineData("ea00027a37ea00027a38", "10.1.2.3 z8 -")]
    [InlineData("ea0000", "10.1.2.3  -")]
    public async Task Values_of_a_header_are_metadata_of_the_connection(string values, string line)
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        const string Rules = """
            listener_filters:
            - name: p
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
                rules: [{ tlv_type: 234, on_tlv_present: { key: zone } }, { tlv_type: 2, on_tlv_present: { key: name, metadata_namespace: lab } }]
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend.Port, Tcp,
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:zone)% %DYNAMIC_METADATA(lab:name)%", Rules));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(Header(Convert.FromHexString(values)));
            await client.SendAsync("x");
            Assert.Equal("x", await client.TextAsync(1));
        }
        Assert.Equal([line], await LinesAsync(1));
    }

    // A value that does not fit, and a header of a version that is none.
    [Theory]
    [InlineData("ea0003")]
    [InlineData("ea00")]
    [InlineData("0300040000000a")]
    public async Task A_header_whose_values_lie_lets_nobody_in(string values)
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(backend.Port, Tcp, "%RESPONSE_FLAGS%",
            "listener_filters: [{ name: p, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, rules: [{ tlv_type: 234, on_tlv_present: { key: zone } }] } }]"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync(Encoding.Latin1.GetString(Header(Convert.FromHexString(values))) + "x");
            Assert.Equal("", await client.RestAsync());
        }
        Assert.Empty(backend.Connections);
        Assert.Equal(["DPE"], await LinesAsync(1));
    }
}

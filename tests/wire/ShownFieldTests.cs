// Fields that bootstraps of Envoy's documentation show, as clients and endpoints see them: values of PROXY headers, paths of the admin, the log.
using System.Buffers.Binary;
using System.Net;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ShownFieldTests
{
    private const string Types = "type.googleapis.com/envoy.extensions.";

    // What is sent first to each of two endpoints, the second of which has values of its own.
    private static async Task<Dictionary<byte, string>> ValuesAsync(string ofEndpoint)
    {
        var got = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var far = new Witness(async c =>
        {
            var bytes = new byte[4096];
            int length = 0, n;
            while (length < 5 && (n = await c.Reader.SomeAsync(bytes.AsMemory(length))) > 0) length += n;
            got.TrySetResult(bytes[..length]);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync($$"""
            admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
            static_resources:
              listeners:
              - name: main
                address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
                filter_chains:
                - filters:
                  - name: t
                    typed_config: { "@type": {{Types}}filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: far }
              clusters:
              - name: far
                type: STATIC
                load_assignment:
                  cluster_name: far
                  endpoints:
                  - lb_endpoints:
                    - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{far.Port}} } } }
                      metadata:
                        typed_filter_metadata:
                          envoy.transport_sockets.proxy_protocol:
                            "@type": type.googleapis.com/envoy.config.core.v3.PerHostConfig
                            added_tlvs: [{{ofEndpoint}}]
                transport_socket:
                  name: envoy.transport_sockets.upstream_proxy_protocol
                  typed_config:
                    "@type": {{Types}}transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
                    config: { version: V2, added_tlvs: [{ type: 0xEE, value: ZGVmYXVsdA== }] }
                    transport_socket: { name: envoy.transport_sockets.raw_buffer, typed_config: { "@type": {{Types}}transport_sockets.raw_buffer.v3.RawBuffer } }
            """);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("hello");
        byte[] head = await got.Task.WaitAsync(Waiting.Bound);
        Assert.Equal("\r\n\r\n\0\r\nQUIT\n", System.Text.Encoding.ASCII.GetString(head[..12]));
        int end = 16 + BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(14));
        var values = new Dictionary<byte, string>();
        for (int at = 28; at < end;)
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(at + 1));
            values.Add(head[at], System.Text.Encoding.ASCII.GetString(head, at + 3, length));
            at += 3 + length;
        }
        return values;
    }

    [Fact]
    public async Task A_PROXY_header_has_the_values_of_the_socket_and_those_of_the_endpoint_go_before_them()
    {
        Assert.Equal(new Dictionary<byte, string> { [0xEE] = "default" }, await ValuesAsync(""));
        Assert.Equal(new Dictionary<byte, string> { [0xEE] = "override", [0xEF] = "newvalue" }, await ValuesAsync("{ type: 0xEE, value: b3ZlcnJpZGU= }, { type: 0xEF, value: bmV3dmFsdWU= }"));
    }

    [Fact]
    public async Task The_admin_answers_only_paths_that_are_allowed()
    {
        string text = Bootstraps.One(1).Replace("admin:\n", "admin:\n  allow_paths: [{ exact: /ready }, { prefix: /listeners }, { prefix: /stats }]\n", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text, new ProxyOptions { Poisoned = false });
        foreach ((string path, HttpStatusCode status) in new[] { ("/ready", HttpStatusCode.OK), ("/stats?filter=x", HttpStatusCode.OK), ("/config_dump", HttpStatusCode.Forbidden), ("/help", HttpStatusCode.Forbidden) })
        {
            using HttpResponseMessage answer = await proxy.Admin.GetAsync(path);
            Assert.Equal(status, answer.StatusCode);
        }
        using HttpResponseMessage quit = await proxy.Admin.PostAsync("/quitquitquit", null);
        Assert.Equal(HttpStatusCode.Forbidden, quit.StatusCode);
        Assert.False(proxy.Child.HasExited);
    }

    [Fact]
    public async Task Lines_of_the_log_are_JSON_where_that_is_asked_for()
    {
        string text = "application_log_config: { log_format: { json_format: { level: '%l', who: '%n', said: '%j' } } }\n" + Bootstraps.One(1);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text);
        string[] lines = await Waiting.ForAsync(() => Task.FromResult(proxy.Child.Error.Split('\n') is { Length: > 2 } some ? some : null), "lines of the log");
        foreach (string line in lines.Where(l => l.StartsWith('{')).Take(2))
        {
            using JsonDocument json = JsonDocument.Parse(line);
            Assert.Equal("info", json.RootElement.GetProperty("level").GetString());
        }
        Assert.Contains(lines, l => l.Contains("\"who\":\"main\",\"said\":\"naru-proxy ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_retry_leaves_endpoints_out_whose_metadata_says_so()
    {
        int failed = 0;
        await using var bad = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                Interlocked.Increment(ref failed);
                await c.SendAsync("HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n");
            }
        });
        await using var good = new Witness(async c => { while (await c.RequestAsync() is not null) await c.OkAsync("good"); });
        string old = $"endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {bad.Port} }} }} }}";
        string text = Bootstraps.Many($$"""
            - match: { prefix: "/" }
              route:
                cluster: pair
                retry_policy:
                  retry_on: 5xx
                  num_retries: 1
                  host_selection_retry_max_attempts: 1000
                  retry_host_predicate:
                  - name: envoy.retry_host_predicates.omit_host_metadata
                    typed_config:
                      "@type": {{Types}}retry.host.omit_host_metadata.v3.OmitHostMetadataConfig
                      metadata_match: { filter_metadata: { envoy.lb: { stage: old } } }
            """, [new TestCluster("pair", [bad.Port, good.Port])])
            .Replace(old, $"{{ {old}, metadata: {{ filter_metadata: {{ envoy.lb: {{ stage: old }} }} }} }}", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 20; i++) Assert.Equal("good", (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        Assert.True(failed > 0);
    }
}

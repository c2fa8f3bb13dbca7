// What a connection manager does at its edge only where it is asked to: early changes of headers, whence the client's address comes, schemes,
// strict checks, Proxy-Status, decorators, odd targets and lengths. Each must hold against a client that knows of it.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class EdgeOptionTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Inside = "internal_address_config: { cidr_ranges: [ { address_prefix: 127.0.0.0, prefix_len: 8 } ] }\n";

    private Task<ProxyProcess> ProxyAsync(string manager, string route = "", string cluster = "", bool explain = true) =>
        ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager, route, cluster), new ProxyOptions { Explain = explain });

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string headers = "", string line = "GET / HTTP/1.1", string body = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{line}\r\nHost: x\r\n{headers}\r\n{body}");
        return await client.ResponseAsync(line[..line.IndexOf(' ', StringComparison.Ordinal)]);
    }

    private static string Early(params string[] mutations) =>
        "early_header_mutation_extensions:\n- name: e\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation\n    mutations:\n"
        + string.Concat(mutations.Select(m => $"    - {m}\n"));

    private static string Set(string name, string value) => $"append: {{ header: {{ key: {name}, value: \"{value}\" }}, append_action: OVERWRITE_IF_EXISTS_OR_ADD }}";

    // Envoy: x-envoy-force-trace also returns x-request-id; strangers cannot ask for it.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Who_forces_a_trace_is_told_the_request_s_id(bool isInside)
    {
        await using ProxyProcess proxy = await ProxyAsync("use_remote_address: true\n" + (isInside ? Inside : "internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }\n"));
        Assert.Equal(isInside, (await AskAsync(proxy, "x-envoy-force-trace: 1\r\n")).Has("x-request-id"));
        Assert.False((await AskAsync(proxy)).Has("x-request-id"));
    }

    [Fact]
    public async Task What_is_added_early_is_cleaned_as_if_the_client_had_sent_it()
    {
        await using ProxyProcess proxy = await ProxyAsync("use_remote_address: true\n" + Early(
            Set("x-envoy-internal", "true"), Set("x-envoy-retry-on", "%REQ(x-hint)%"), Set("x-forwarded-proto", "https"), Set("x-kept", "1"), "remove: x-gone"));
        string seen = (await AskAsync(proxy, "X-Hint: 5xx\r\nX-Gone: 1\r\n")).Text;
        Assert.DoesNotContain("x-envoy-internal", seen);
        Assert.DoesNotContain("x-envoy-retry-on", seen);
        Assert.DoesNotContain("X-Gone", seen);
        Assert.Contains("x-kept: 1\n", seen);
        // Nobody in front is trusted: the connection's own scheme, and once.
        Assert.Equal(["x-forwarded-proto: http"], seen.Split('\n').Where(l => l.StartsWith("x-forwarded-proto", StringComparison.OrdinalIgnoreCase)));
    }

    [Fact]
    public async Task A_scheme_that_was_set_early_is_believed_where_proxies_in_front_are()
    {
        await using ProxyProcess proxy = await ProxyAsync("use_remote_address: true\nxff_num_trusted_hops: 1\n" + Early(Set("x-forwarded-proto", "https")));
        string seen = (await AskAsync(proxy, "X-Forwarded-Proto: http\r\n")).Text;
        Assert.Equal(["x-forwarded-proto: https"], seen.Split('\n').Where(l => l.StartsWith("x-forwarded-proto", StringComparison.OrdinalIgnoreCase)));
    }

    [Fact]
    public async Task An_address_that_was_set_early_is_the_clients_and_ours_behind_it_is_not()
    {
        await using ProxyProcess proxy = await ProxyAsync("use_remote_address: true\nxff_num_trusted_hops: 1\n" + Early(Set("x-forwarded-for", "203.0.113.9")));
        Assert.Contains("x-envoy-external-address: 203.0.113.9\n", (await AskAsync(proxy, "X-Forwarded-For: 6.6.6.6\r\n")).Text);
    }

    [Theory]
    [InlineData("X-Real: 203.0.113.9\r\n", 200)]
    [InlineData("X-Real: 2001:db8::1\r\n", 200)]
    [InlineData("X-Real: \r\n", 401)]
    [InlineData("X-Real: 203.0.113.9, 1.1.1.1\r\n", 401)]
    [InlineData("X-Real: 203.0.113.9:80\r\n", 401)]
    [InlineData("X-Real: 0x7f.1\r\n", 401)]
    [InlineData("X-Real: nobody\r\nX-Real: 203.0.113.9\r\n", 401)]
    [InlineData("X-Forwarded-For: 203.0.113.9\r\n", 401)]
    public async Task A_client_without_an_address_in_its_own_header_is_refused(string headers, int status)
    {
        await using ProxyProcess proxy = await ProxyAsync("""
            original_ip_detection_extensions:
            - name: own
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig
                header_name: X-Real
                reject_with_status: { code: Unauthorized }
            """);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET /1 HTTP/1.1\r\nHost: x\r\n{headers}\r\nGET /2 HTTP/1.1\r\nHost: x\r\nX-Real: 203.0.113.9\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync()).Status);
        Assert.StartsWith("GET /2 HTTP/1.1\n", (await client.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Detected_addresses_make_nobody_internal_who_is_not_trusted()
    {
        static string Detection(string trusted) => Inside + $$"""
            original_ip_detection_extensions:
            - name: own
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig
                header_name: x-real
                allow_extension_to_set_address_as_trusted: {{trusted}}
            """;
        await using (ProxyProcess proxy = await ProxyAsync(Detection("false")))
            Assert.DoesNotContain("x-envoy-internal", (await AskAsync(proxy, "X-Real: 127.0.0.9\r\nX-Envoy-Internal: true\r\n")).Text);
        await using (ProxyProcess proxy = await ProxyAsync(Detection("true")))
        {
            Assert.Contains("x-envoy-internal: true\n", (await AskAsync(proxy, "X-Real: 127.0.0.9\r\n")).Text);
            Assert.DoesNotContain("x-envoy-internal", (await AskAsync(proxy, "X-Real: 203.0.113.9\r\n")).Text);
            Assert.DoesNotContain("x-envoy-internal", (await AskAsync(proxy)).Text);
        }
    }

    [Fact]
    public async Task A_target_in_absolute_form_finds_no_route_where_it_is_not_allowed_and_the_connection_goes_on()
    {
        await using ProxyProcess proxy = await ProxyAsync("http_protocol_options: { allow_absolute_url: false }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(404, (await client.ResponseAsync()).Status);
            Assert.StartsWith("GET /b HTTP/1.1\n", (await client.ResponseAsync()).Text);
            // A body that was not read ends the connection: it is never a request.
            await client.SendAsync("POST http://x/a HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(404, (await client.ResponseAsync("POST")).Status);
            Assert.Equal("", await client.RestAsync());
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Of_a_length_beside_chunks_only_the_chunks_go_on_where_that_is_allowed()
    {
        await using ProxyProcess proxy = await ProxyAsync("http_protocol_options: { allow_chunked_length: true, accept_http_10: true }");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("POST /a HTTP/1.1\r\nContent-Length: 3\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        string seen = (await client.ResponseAsync("POST")).Text;
        Assert.DoesNotContain("Content-Length", seen, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Host: x\n", seen);
        Assert.EndsWith("\nabcd", seen);
        Assert.StartsWith("GET /b HTTP/1.1\n", (await client.ResponseAsync()).Text);
    }

    [Theory]
    [InlineData("POST / HTTP/1.1", "Content-Length: 3\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400)]
    [InlineData("POST / HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n", 501)]
    [InlineData("POST / HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501)]
    [InlineData("POST / HTTP/1.0", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400)]
    public async Task Nothing_else_becomes_allowed_with_that(string line, string headers, int status)
    {
        await using ProxyProcess proxy = await ProxyAsync("http_protocol_options: { allow_chunked_length: true, accept_http_10: true }");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{line}\r\nHost: x\r\n{headers}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync("POST")).Status);
        Assert.Equal("", await client.RestAsync());
    }

    [Fact]
    public async Task An_upgrade_that_is_ignored_leaves_an_ordinary_request()
    {
        await using ProxyProcess proxy = await ProxyAsync("upgrade_configs: [ { upgrade_type: websocket } ]\nhttp_protocol_options: { ignore_http_11_upgrade: [ { prefix: TLS/ } ] }");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: TLS/1.3\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.DoesNotContain("pgrade", (await client.ResponseAsync()).Text);
        Assert.StartsWith("GET /b HTTP/1.1\n", (await client.ResponseAsync()).Text);
        // One that is not is what it was.
        Assert.Equal(403, (await AskAsync(proxy, "Connection: Upgrade\r\nUpgrade: other\r\n")).Status);
    }

    [Fact]
    public async Task Names_get_capitals_on_both_sides_and_values_stay()
    {
        await using ProxyProcess proxy = await ProxyAsync("http_protocol_options: { header_key_format: { proper_case_words: {} } }", cluster: """
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: { http_protocol_options: { header_key_format: { proper_case_words: {} } } }
            """);
        HttpMessage answer = await AskAsync(proxy, "x-a_b-1c: x-y:z\r\nETAG: q\r\n");
        Assert.Contains("X-A_B-1c: x-y:z\n", answer.Text);
        Assert.Contains("Etag: q\n", answer.Text);
        Assert.Contains("\nContent-Length: ", answer.ToString());
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        Assert.Contains("X-C-D: 1\n", (await peer.ExchangeAsync("GET", "/", [("x-c-d", "1")])).Text);
    }

    [Fact]
    public async Task A_request_with_an_unreadable_header_of_the_router_is_refused_and_a_strangers_is_not_looked_at()
    {
        string manager = Inside + "use_remote_address: true";
        string Strict(string text) => text.Replace(".v3.Router\n", ".v3.Router\n              strict_check_headers: [ x-envoy-max-retries, x-envoy-retry-on ]\n", StringComparison.Ordinal);
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(Strict(Bootstraps.One(fixture.Backend.Port, manager)), new ProxyOptions { Explain = false }))
        {
            Assert.Equal("invalid header 'x-envoy-max-retries' with value '-1'", (await AskAsync(proxy, "X-Envoy-Max-Retries: 1\r\nX-Envoy-Max-Retries: -1\r\n")).Text);
            Assert.Equal(200, (await AskAsync(proxy, "X-Envoy-Retry-On: 5xx, reset\r\n")).Status);
            Assert.Equal(400, (await AskAsync(proxy, "X-Envoy-Retry-On: 5xx, Reset\r\n")).Status);
        }
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(Strict(Bootstraps.One(fixture.Backend.Port, "use_remote_address: true"))))
            Assert.Equal(200, (await AskAsync(proxy, "X-Envoy-Max-Retries: -1\r\n")).Status);
    }

    [Fact]
    public async Task Proxy_status_names_the_error_of_our_own_answers_only()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many("- { match: { prefix: /gone }, route: { cluster: gone } }\n- { match: { prefix: /ok }, route: { cluster: backend } }", [new TestCluster("backend", [fixture.Backend.Port]), new TestCluster("gone", [])],
            "proxy_status_config: { use_node_id: true, remove_response_flags: true }"), new ProxyOptions { Explain = false });
        HttpMessage gone = await AskAsync(proxy, line: "GET /gone HTTP/1.1");
        Assert.Equal("test; error=destination_unavailable; details=\"no_healthy_upstream\"", gone.Header("proxy-status"));
        Assert.Equal(503, gone.Status);
        Assert.Equal("test; error=destination_not_found; details=\"route_not_found\"", (await AskAsync(proxy, line: "GET /none HTTP/1.1")).Header("proxy-status"));
        Assert.Null((await AskAsync(proxy, line: "GET /ok HTTP/1.1")).Header("proxy-status"));
    }

    [Fact]
    public async Task On_the_way_out_a_decorator_is_told_to_the_service_and_not_to_the_client()
    {
        string bootstrap = Bootstraps.Many("- { match: { prefix: / }, decorator: { operation: pay }, route: { cluster: backend } }", [new TestCluster("backend", [fixture.Backend.Port])], "tracing: {}");
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap.Replace("- name: main\n", "- name: main\n    traffic_direction: OUTBOUND\n", StringComparison.Ordinal)))
        {
            HttpMessage answer = await AskAsync(proxy, "X-Envoy-Decorator-Operation: forged\r\n");
            Assert.Contains("x-envoy-decorator-operation: pay\n", answer.Text);
            Assert.Null(answer.Header("x-envoy-decorator-operation"));
        }
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap))
        {
            HttpMessage answer = await AskAsync(proxy);
            Assert.DoesNotContain("decorator", answer.Text);
            Assert.Equal("pay", answer.Header("x-envoy-decorator-operation"));
        }
    }

    [Fact]
    public async Task A_request_is_logged_when_it_begins_while_it_lasts_and_at_its_end_where_that_is_asked_for()
    {
        using var folder = new TempFolder();
        string log = folder.At("log");
        await using var backend = new Witness(async connection =>
        {
            await connection.RequestAsync();
            await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).Contains("DownstreamPeriodic", StringComparison.Ordinal), "an entry while the request lasts");
            await connection.OkAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, $$"""
            access_log_options: { access_log_flush_interval: 0.001s, flush_access_log_on_new_request: true }
            access_log: [ { name: a, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{{log}}", log_format: { text_format_source: { inline_string: "%ACCESS_LOG_TYPE% %RESPONSE_CODE% %ROUTE_NAME%\n" } } } } ]
            """), new ProxyOptions { Arguments = ["--file-flush-interval-msec", "10"] });
        Assert.Equal(200, (await AskAsync(proxy)).Status);
        await Waiting.UntilAsync(() => File.ReadAllText(log).Contains("DownstreamEnd", StringComparison.Ordinal), "the last entry");
        string[] lines = File.ReadAllText(log).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("DownstreamStart 0 -", lines[0]);
        Assert.All(lines[1..^1], l => Assert.Equal("DownstreamPeriodic 0 -", l));
        Assert.Equal("DownstreamEnd 200 -", lines[^1]);
    }

    [Fact]
    public async Task Virtual_clusters_count_what_they_have_and_the_rest_apart()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts("""
            - name: shop
              domains: [ "*" ]
              virtual_clusters: [ { name: carts, headers: [ { name: ":path", string_match: { prefix: /cart } } ] } ]
              routes: [ { match: { prefix: / }, route: { cluster: backend } } ]
            """, [new TestCluster("backend", [fixture.Backend.Port])]));
        foreach (string path in new[] { "/cart/1", "/cart/2", "/other" }) Assert.Equal(200, (await AskAsync(proxy, line: $"GET {path} HTTP/1.1")).Status);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("vhost.shop.vcluster.other.upstream_rq_2xx") == 1, "the last answer to be counted");
        Assert.Equal(2, await proxy.StatAsync("vhost.shop.vcluster.carts.upstream_rq_total"));
        Assert.Equal(2, await proxy.StatAsync("vhost.shop.vcluster.carts.upstream_rq_2xx"));
    }
}

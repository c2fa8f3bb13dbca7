// What a connection manager does about paths, hosts and header names before anything else looks at them.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class HygieneTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private Task<ProxyProcess> ProxyAsync(string manager) => ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager));

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string target, string headers = "", string host = "x", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    [Fact]
    public async Task Escaped_slashes_are_kept_refused_unescaped_or_redirected_as_configured()
    {
        await using (ProxyProcess proxy = await ProxyAsync("normalize_path: true\nmerge_slashes: true\npath_with_escaped_slashes_action: KEEP_UNCHANGED"))
            Assert.StartsWith("GET /a%2Fb%5cc?x=%2F HTTP/1.1\n", (await AskAsync(proxy, "/a%2Fb%5cc?x=%2F")).Text);

        await using (ProxyProcess proxy = await ProxyAsync("path_with_escaped_slashes_action: REJECT_REQUEST"))
        {
            HttpMessage refused = await AskAsync(proxy, "/a%2fb");
            Assert.Equal(400, refused.Status);
            Assert.StartsWith("NARU-D403", refused.Header("x-naru-reason"));
            Assert.Equal(400, (await AskAsync(proxy, "/a%5Cb")).Status);
            Assert.StartsWith("GET /ab?x=%2F HTTP/1.1\n", (await AskAsync(proxy, "/ab?x=%2F")).Text);
        }

        await using (ProxyProcess proxy = await ProxyAsync("normalize_path: true\nmerge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"))
        {
            Assert.StartsWith("GET /a/b/c?x=%2F HTTP/1.1\n", (await AskAsync(proxy, "/a%2fb%5Cc?x=%2F")).Text);
            Assert.StartsWith("GET /admin/x HTTP/1.1\n", (await AskAsync(proxy, "/y%2F..%2Fadmin%2F%2Fx")).Text);
        }

        await using (ProxyProcess proxy = await ProxyAsync("path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"))
        {
            HttpMessage redirect = await AskAsync(proxy, "/a%2fb?x=%2F");
            Assert.Equal(307, redirect.Status);
            Assert.Equal("/a/b?x=%2F", redirect.Header("location"));
            Assert.Equal("/.//evil.example/", (await AskAsync(proxy, "/%2Fevil.example/")).Header("location"));
            Assert.Equal("/./\\evil.example/", (await AskAsync(proxy, "/%5Cevil.example/")).Header("location"));
            HttpMessage grpc = await AskAsync(proxy, "/a%2fb", "Content-Type: application/grpc\r\n", method: "POST");
            Assert.Equal("13", grpc.Header("grpc-status"));
        }
    }

    [Fact]
    public async Task Underscores_in_names_are_allowed_refused_or_dropped_as_configured()
    {
        const string Headers = "A: 1\r\nX_B: 2\r\nC: 3\r\nX_Forwarded_For: 6.6.6.6\r\n";
        await using (ProxyProcess proxy = await ProxyAsync("common_http_protocol_options: { headers_with_underscores_action: ALLOW }"))
            Assert.Contains("X_B: 2\n", (await AskAsync(proxy, "/", Headers)).Text);

        await using (ProxyProcess proxy = await ProxyAsync("common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }"))
        {
            HttpMessage refused = await AskAsync(proxy, "/", Headers);
            Assert.Equal(400, refused.Status);
            Assert.StartsWith("NARU-D408", refused.Header("x-naru-reason"));
            Assert.Equal(200, (await AskAsync(proxy, "/", "A-B: x_y\r\n")).Status);
        }

        await using (ProxyProcess proxy = await ProxyAsync("common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER, max_headers_count: 8 }"))
        {
            string seen = (await AskAsync(proxy, "/", Headers)).Text;
            Assert.DoesNotContain("_", seen);
            Assert.Contains("A: 1\nC: 3\n", seen);
            // Pipelined and with a body: what stands behind the head is where it was.
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync("POST /p HTTP/1.1\r\nHost: x\r\nX_A: 1\r\nContent-Length: 4\r\nX_C: 2\r\n\r\nX_B:GET /q HTTP/1.1\r\nHost: x\r\nX_D: 1\r\n\r\n");
            Assert.EndsWith("\nX_B:", (await client.ResponseAsync("POST")).Text);
            Assert.StartsWith("GET /q HTTP/1.1\n", (await client.ResponseAsync()).Text);
            Assert.Equal(431, (await AskAsync(proxy, "/", string.Concat(Enumerable.Range(0, 9).Select(i => $"x_{i}: 1\r\n")))).Status);
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            Http2Message answer = await peer.ExchangeAsync("GET", "/", [("x_b", "2"), ("c", "3")]);
            Assert.Contains("c: 3\n", answer.Text);
            Assert.DoesNotContain("x_b", answer.Text);
        }
    }

    [Fact]
    public async Task Ports_are_stripped_from_hosts_as_configured()
    {
        await using (ProxyProcess proxy = await ProxyAsync("strip_any_host_port: true"))
        {
            Assert.Contains("Host: shop\n", (await AskAsync(proxy, "/", host: "shop:1234")).Text);
            Assert.Contains("Host: [::1]\n", (await AskAsync(proxy, "/", host: "[::1]:80")).Text);
            Assert.Contains("Host: [::1]\n", (await AskAsync(proxy, "/", host: "[::1]")).Text);
            Assert.Contains("Host: shop\n", (await AskAsync(proxy, "http://shop:99/a", host: "other")).Text);
        }
        await using (ProxyProcess proxy = await ProxyAsync("strip_matching_host_port: true"))
        {
            Assert.Contains("Host: shop\n", (await AskAsync(proxy, "/", host: $"shop:{proxy.Address.Port}")).Text);
            Assert.Contains("Host: shop:1\n", (await AskAsync(proxy, "/", host: "shop:1")).Text);
        }
    }

    [Fact]
    public async Task A_dot_at_the_end_of_a_host_goes_where_that_is_wanted_and_the_port_stays()
    {
        await using (ProxyProcess proxy = await ProxyAsync("strip_trailing_host_dot: true"))
        {
            foreach ((string given, string seen) in new[] { ("shop.", "shop"), ("shop.a.:99", "shop.a:99"), ("shop", "shop"), ("shop:9", "shop:9"), ("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]"), ("[::1]:9", "[::1]:9"), (".", ".") })
            {
                Assert.Contains($"Host: {seen}\n", (await AskAsync(proxy, "/", host: given)).Text);
                Assert.Contains($"Host: {seen}\n", (await AskAsync(proxy, $"http://{given}/a", host: "other")).Text);
            }
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            await peer.HeadersAsync(1, [(":method", "GET"), (":scheme", "http"), (":authority", "shop.:7"), (":path", "/")], end: true);
            Assert.Contains("host: shop:7\n", (await peer.EndAsync(1)).Text, StringComparison.OrdinalIgnoreCase);
        }
        await using (ProxyProcess proxy = await ProxyAsync("strip_trailing_host_dot: true\nstrip_any_host_port: true")) Assert.Contains("Host: shop\n", (await AskAsync(proxy, "/", host: "shop.:99")).Text);
        await using (ProxyProcess proxy = await ProxyAsync("server_name: x")) Assert.Contains("Host: shop.:99\n", (await AskAsync(proxy, "/", host: "shop.:99")).Text);
    }

    [Fact]
    public async Task Requests_of_http_1_0_without_a_host_have_the_one_that_is_given()
    {
        await using ProxyProcess proxy = await ProxyAsync("http_protocol_options: { accept_http_10: true, default_host_for_http_10: \"old.example:80\" }");
        Assert.Contains("\nhost: old.example:80\n", await SeenAsync("GET / HTTP/1.0\r\n\r\n"));
        Assert.Contains("\nHost: own\n", await SeenAsync("GET / HTTP/1.0\r\nHost: own\r\n\r\n"));
        Assert.Contains("\nhost: target\n", await SeenAsync("GET http://target/ HTTP/1.0\r\n\r\n"));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(400, (await client.ExchangeAsync("GET / HTTP/1.1\r\n\r\n")).Status);

        async Task<string> SeenAsync(string request)
        {
            using RawClient client = await proxy.ConnectAsync();
            return (await client.ExchangeAsync(request)).Text;
        }
    }

    [Theory]
    [InlineData("http://x", "/")]
    [InlineData("http://x?q=1", "/?q=1")]
    [InlineData("http://x/a/../b//c", "/b/c")]
    [InlineData("HTTP://X/%61", "/a")]
    public async Task A_target_in_absolute_form_is_normalized_like_any_other(string target, string path)
    {
        await using ProxyProcess proxy = await ProxyAsync("normalize_path: true\nmerge_slashes: true");
        Assert.StartsWith($"GET {path} HTTP/1.1\n", (await AskAsync(proxy, target)).Text);
    }

    [Theory]
    [InlineData("x y")]
    [InlineData("x/y")]
    [InlineData("user@x")]
    [InlineData("x,y")]
    [InlineData("x:port")]
    [InlineData("x:80:80")]
    [InlineData("[::1")]
    [InlineData("::1")]
    [InlineData("[zz]")]
    [InlineData("x?")]
    [InlineData("x#")]
    [InlineData("x\\y")]
    [InlineData("x\ty")]
    public async Task What_is_no_host_is_refused(string host)
    {
        HttpMessage answer = await AskAsync(fixture.Proxy, "/", host: host);
        Assert.Equal(400, answer.Status);
        Assert.True(answer.Has("x-naru-reason"));
        await fixture.StillServesAsync();
    }

    [Theory]
    [InlineData("GET * HTTP/1.1")]
    [InlineData("GET x:80 HTTP/1.1")]
    [InlineData("GET a/b HTTP/1.1")]
    [InlineData("GET http://user@x/ HTTP/1.1")]
    [InlineData("GET ftp://x/ HTTP/1.1")]
    [InlineData("GET http:///a HTTP/1.1")]
    [InlineData("GET http://x#f HTTP/1.1")]
    [InlineData("GET /a#f HTTP/1.1")]
    [InlineData("GET ?q HTTP/1.1")]
    public async Task What_is_no_target_is_refused(string line)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"{line}\r\nHost: x\r\n\r\n");
        Assert.Equal(400, answer.Status);
        Assert.StartsWith(line.Contains('#') ? "NARU-D404" : "NARU-D413", answer.Header("x-naru-reason"));
    }
}

/// <summary>Who is believed: strangers, internal clients, clients behind trusted proxies.</summary>
public sealed class TrustTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Internal = "internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }, { address_prefix: 127.0.0.0, prefix_len: 8 }] }\n";

    private const string Claims = "X-Envoy-Internal: true\r\nx-envoy-retry-on: 5xx\r\nX-Envoy-Max-Retries: 9\r\nx-envoy-upstream-rq-timeout-ms: 60000\r\nx-envoy-expected-rq-timeout-ms: 7\r\n"
        + "x-envoy-original-path: /secret\r\nx-envoy-external-address: 9.9.9.9\r\nx-envoy-downstream-service-cluster: evil\r\nX-Forwarded-Client-Cert: By=evil\r\n"
        + "x_forwarded_for: 9.9.9.9\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\nx-naru-identity: evil\r\n";

    private async Task<HttpMessage> SeenAsync(string manager, string headers)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager));
        string path = fixture.Backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).Status);
        return Assert.Single(fixture.Backend.Seen(path));
    }

    [Fact]
    public async Task Nothing_that_a_stranger_claims_is_passed_on()
    {
        HttpMessage seen = await SeenAsync("use_remote_address: true", Claims);
        Assert.All(["x-envoy-internal", "x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms", "x-envoy-original-path", "x-forwarded-client-cert",
            "x-envoy-downstream-service-cluster", "x_forwarded_for", "x-forwarded-host", "x-forwarded-port", "x-naru-identity"], n => Assert.False(seen.Has(n), n));
        Assert.Equal(["http"], seen.All("x-forwarded-proto"));
        Assert.Equal(["127.0.0.1"], seen.All("x-envoy-external-address"));
        Assert.True(Guid.TryParse(Assert.Single(seen.All("x-request-id")), out _));
    }

    [Fact]
    public async Task An_internal_client_is_believed_and_marked()
    {
        HttpMessage seen = await SeenAsync(Internal + "use_remote_address: true", Claims);
        Assert.Equal(["true"], seen.All("x-envoy-internal"));
        Assert.Equal(["mine"], seen.All("x-request-id"));
        Assert.True(seen.Has("x-envoy-downstream-service-cluster"));
        // What it asks of the proxy ends here: the answer to it is what the next one is told.
        Assert.False(seen.Has("x-envoy-retry-on"));
        Assert.Equal(["60000"], seen.All("x-envoy-expected-rq-timeout-ms"));
        Assert.Equal(["http"], seen.All("x-forwarded-proto"));
        Assert.False(seen.Has("x-forwarded-client-cert"));
    }

    [Fact]
    public async Task One_who_came_through_others_is_not_internal()
    {
        HttpMessage seen = await SeenAsync(Internal + "use_remote_address: true", Claims + "X-Forwarded-For: 10.1.1.1\r\n");
        Assert.False(seen.Has("x-envoy-internal"));
        Assert.False(seen.Has("x-envoy-retry-on"));
    }

    [Theory]
    [InlineData("X-Forwarded-For: 10.1.1.1\r\n", true)]
    [InlineData("X-Forwarded-For: 8.8.8.8\r\n", false)]
    [InlineData("X-Forwarded-For: 8.8.8.8, 10.1.1.1\r\n", false)]
    [InlineData("X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 10.1.1.1\r\n", false)]
    [InlineData("X-Forwarded-For: nonsense\r\n", false)]
    [InlineData("", false)]
    public async Task Behind_a_proxy_of_ours_the_header_says_who_is_internal(string forwarded, bool isInternal)
    {
        HttpMessage seen = await SeenAsync(Internal + "use_remote_address: false", "x-envoy-internal: true\r\nx-envoy-upstream-rq-timeout-ms: 60000\r\n" + forwarded);
        Assert.Equal(isInternal, seen.Has("x-envoy-internal"));
        Assert.Equal(isInternal ? "60000" : "15000", seen.Header("x-envoy-expected-rq-timeout-ms"));
        Assert.False(seen.Has("x-envoy-upstream-rq-timeout-ms"));
    }

    [Theory]
    [InlineData("use_remote_address: true", "", "127.0.0.1")]
    [InlineData("use_remote_address: true", "6.6.6.6", "127.0.0.1")]
    [InlineData("use_remote_address: true\nxff_num_trusted_hops: 1", "6.6.6.6, 7.7.7.7", "7.7.7.7")]
    [InlineData("use_remote_address: true\nxff_num_trusted_hops: 2", "6.6.6.6, 7.7.7.7", "6.6.6.6")]
    [InlineData("use_remote_address: true\nxff_num_trusted_hops: 3", "6.6.6.6, 7.7.7.7", "127.0.0.1")]
    [InlineData("use_remote_address: false", "6.6.6.6, 7.7.7.7", "7.7.7.7")]
    [InlineData("use_remote_address: false\nxff_num_trusted_hops: 1", "6.6.6.6, 7.7.7.7", "6.6.6.6")]
    [InlineData("use_remote_address: false", "6.6.6.6, junk", "127.0.0.1")]
    [InlineData("use_remote_address: false", "2001:db8::7", "2001:db8::7")]
    public async Task The_trusted_address_of_the_client_is_the_one_so_many_hops_away(string manager, string forwarded, string client)
    {
        const string Route = """
            - match: { prefix: "/" }
              route: { cluster: backend }
              request_headers_to_add:
              - header: { key: x-seen, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Route, [new TestCluster("backend", [fixture.Backend.Port])], manager));
        using RawClient raw = await proxy.ConnectAsync();
        HttpMessage answer = await raw.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\n{(forwarded.Length > 0 ? $"X-Forwarded-For: {forwarded}\r\n" : "")}\r\n");
        Assert.Contains($"x-seen: {client} 127.0.0.1\n", answer.Text);
    }

    [Fact]
    public async Task Trusted_proxies_in_front_say_the_scheme()
    {
        HttpMessage seen = await SeenAsync("use_remote_address: true\nxff_num_trusted_hops: 1", "X-Forwarded-Proto: https\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Port: 443\r\n");
        Assert.Equal(["https"], seen.All("x-forwarded-proto"));
        Assert.Equal(["443"], seen.All("x-forwarded-port"));
        Assert.Equal(["8.8.8.8"], seen.All("x-envoy-external-address"));
    }

    [Fact]
    public async Task A_client_certificate_is_not_claimed_by_a_header_unless_that_is_configured()
    {
        Assert.False((await SeenAsync("", "X-Forwarded-Client-Cert: By=a\r\nX-FORWARDED-client-cert: By=b\r\n")).Has("x-forwarded-client-cert"));
        Assert.False((await SeenAsync("forward_client_cert_details: FORWARD_ONLY", "X-Forwarded-Client-Cert: By=a\r\n")).Has("x-forwarded-client-cert"));
        Assert.False((await SeenAsync("forward_client_cert_details: APPEND_FORWARD", "X-Forwarded-Client-Cert: By=a\r\n")).Has("x-forwarded-client-cert"));
        Assert.False((await SeenAsync("forward_client_cert_details: SANITIZE_SET", "X-Forwarded-Client-Cert: By=a\r\n")).Has("x-forwarded-client-cert"));
        Assert.Equal(["By=a"], (await SeenAsync("forward_client_cert_details: ALWAYS_FORWARD_ONLY", "X-Forwarded-Client-Cert: By=a\r\n")).All("x-forwarded-client-cert"));
    }
}

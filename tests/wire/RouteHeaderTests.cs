// What routes do to heads: additions and removals of four levels in their order, own headers among them, the path and the host; and that routes
// see a head only after the edge has cleaned it.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>Four levels that all change the same names, to a backend that tells what it saw.</summary>
public sealed class RouteHeaderFixture : IAsyncLifetime
{
    public Cases Backend { get; } = new();

    public ProxyProcess Proxy { get; private set; } = null!;

    public static string Add(string level, string action) => $$"""
        request_headers_to_add: [{ header: { key: x-a, value: {{level}} }, append_action: {{action}} }]
        response_headers_to_add: [{ header: { key: x-b, value: {{level}} }, append_action: {{action}} }]
        """;

    public async ValueTask InitializeAsync()
    {
        static string Host(string action) => $$"""
            - name: {{action}}
              domains: ["{{action.ToLowerInvariant().Replace('_', '-')}}"]
            {{Bootstraps.Indent(Add("host", action), 2)}}
              routes:
              - match: { prefix: "/" }
            {{Bootstraps.Indent(Add("route", action), 4)}}
                route:
                  weighted_clusters:
                    clusters:
                    - name: backend
                      weight: 1
            {{Bootstraps.Indent(Add("cluster", action), 10)}}

            """;
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts($$"""
            {{string.Concat(((string[])["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"]).Select(Host))}}
            - name: own
              domains: ["own"]
              request_headers_to_remove: [x-forwarded-proto, x-request-id, x-envoy-expected-rq-timeout-ms, x-a]
              response_headers_to_remove: [x-envoy-upstream-service-time, x-b, server]
              routes:
              - match: { prefix: "/" }
                request_headers_to_add: [{ header: { key: x-a, value: route } }]
                response_headers_to_add: [{ header: { key: x-b, value: route } }]
                route: { cluster: backend }
            - name: over
              domains: ["over"]
              routes:
              - match: { prefix: "/" }
                request_headers_to_add:
                - { header: { key: x-forwarded-proto, value: gopher }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                - { header: { key: x-request-id, value: mine }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                - { header: { key: x-seen, value: "%REQ(x-forwarded-proto)% %REQ(:PATH)%" } }
                - { header: { key: x-empty, value: "%REQ(x-none)%" } }
                - { header: { key: x-kept-empty, value: "%REQ(x-none)%" }, keep_empty_value: true }
                response_headers_to_add:
                - { header: { key: x-envoy-upstream-service-time, value: none }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                - { header: { key: server, value: mine }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                - { header: { key: x-answered, value: "%RESP(x-from)%" } }
                route: { cluster: backend }
            - name: byheader
              domains: ["byheader"]
              routes:
              - match: { prefix: "/" }
                route: { cluster_header: x-to, host_rewrite_literal: inside.test, append_x_forwarded_host: true }
            """, [new TestCluster("backend", [Backend.Port])]));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
    }
}

public sealed class RouteHeaderTests(RouteHeaderFixture fixture) : IClassFixture<RouteHeaderFixture>
{
    private async Task<(HttpMessage Seen, HttpMessage Answer)> AskAsync(string host, string headers = "", string answer = "")
    {
        string path = fixture.Backend.Add(async (connection, head) =>
        {
            connection.Witness.Remember(head);
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nX-From: backend\r\n{answer}Content-Length: 0\r\n\r\n");
        });
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage got = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        Assert.Equal(200, got.Status);
        return (Assert.Single(fixture.Backend.Seen(path)), got);
    }

    [Theory]
    [InlineData("append-if-exists-or-add", "", "cluster,route,host")]
    [InlineData("append-if-exists-or-add", "1,2", "1,2,cluster,route,host")]
    [InlineData("add-if-absent", "", "cluster")]
    [InlineData("add-if-absent", "1,2", "1,2")]
    [InlineData("overwrite-if-exists-or-add", "", "host")]
    [InlineData("overwrite-if-exists-or-add", "1,2", "host")]
    [InlineData("overwrite-if-exists", "", "")]
    [InlineData("overwrite-if-exists", "1,2", "host")]
    public async Task Each_level_sees_what_the_one_before_it_left(string action, string there, string left)
    {
        string[] before = there.Split(',', StringSplitOptions.RemoveEmptyEntries);
        (HttpMessage seen, HttpMessage answer) = await AskAsync(action, string.Concat(before.Select(v => $"X-A: {v}\r\n")), string.Concat(before.Select(v => $"X-B: {v}\r\n")));
        Assert.Equal(left, string.Join(',', seen.All("x-a")));
        Assert.Equal(left, string.Join(',', answer.All("x-b")));
    }

    [Fact]
    public async Task A_host_removes_what_its_route_added_and_what_the_proxy_says_itself()
    {
        (HttpMessage seen, HttpMessage answer) = await AskAsync("own", "X-Request-Id: theirs\r\nX-Forwarded-Proto: https\r\n");
        Assert.All(["x-a", "x-forwarded-proto", "x-request-id", "x-envoy-expected-rq-timeout-ms"], n => Assert.False(seen.Has(n), n));
        Assert.All(["x-b", "x-envoy-upstream-service-time"], n => Assert.False(answer.Has(n), n));
        // Comes after all mutations.
        Assert.Single(answer.All("server"));
    }

    [Fact]
    public async Task An_overwritten_header_of_ours_is_sent_once_and_values_see_the_head_before_their_list()
    {
        (HttpMessage seen, HttpMessage answer) = await AskAsync("over");
        Assert.Equal("gopher", Assert.Single(seen.All("x-forwarded-proto")));
        Assert.Equal("mine", Assert.Single(seen.All("x-request-id")));
        Assert.Equal($"http {seen.Target}", Assert.Single(seen.All("x-seen")));
        Assert.False(seen.Has("x-empty"));
        Assert.Equal("", Assert.Single(seen.All("x-kept-empty")));
        Assert.Equal("none", Assert.Single(answer.All("x-envoy-upstream-service-time")));
        Assert.Equal("naru", Assert.Single(answer.All("server")));
        Assert.Equal("backend", Assert.Single(answer.All("x-answered")));
    }

    [Fact]
    public async Task A_host_is_rewritten_too_where_a_header_names_the_cluster()
    {
        (HttpMessage seen, _) = await AskAsync("byheader", "x-to: backend\r\nx-forwarded-host: first\r\n");
        Assert.Equal("inside.test", Assert.Single(seen.All("host")));
        Assert.Equal("first,byheader", Assert.Single(seen.All("x-forwarded-host")));
        Assert.Equal("byheader", Assert.Single(seen.All("x-envoy-original-host")));
    }

    // Each field, asked by a route that says what it saw, with clients of two kinds.
    [Theory]
    [InlineData("x-envoy-internal", "true")]
    [InlineData("x-forwarded-proto", "https")]
    [InlineData("x-forwarded-client-cert", "By=spiffe://evil")]
    [InlineData("x-envoy-retry-on", "5xx")]
    [InlineData("x-request-id", "forged")]
    [InlineData("x-envoy-external-address", "10.0.0.1")]
    [InlineData("x-envoy-original-path", "/secret")]
    public async Task A_forged_header_chooses_no_route_and_is_read_by_no_format(string name, string value)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many($$"""
            - match: { prefix: "/", headers: [{ name: {{name}}, string_match: { exact: "{{value}}" } }] }
              direct_response: { status: 403 }
            - match: { prefix: "/" }
              direct_response: { status: 200 }
              response_headers_to_add: [{ header: { key: x-saw, value: "[%REQ({{name}})%]" } }]
            """, [], "use_remote_address: true"));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.DoesNotContain(value, answer.Header("x-saw"));
    }

    [Fact]
    public async Task An_internal_client_gets_the_route_for_internal_ones_without_saying_so()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/", headers: [{ name: x-envoy-internal, string_match: { exact: "true" } }] }
              direct_response: { status: 200, body: { inline_string: inside } }
            - match: { prefix: "/" }
              direct_response: { status: 403 }
            """, [], "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }"));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(403, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 8.8.8.8\r\nx-envoy-internal: true\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData("content-length")]
    [InlineData("Transfer-Encoding")]
    [InlineData("connection")]
    public async Task Configuration_that_would_add_framing_is_refused(string name)
    {
        InvalidOperationException refused = await Assert.ThrowsAsync<InvalidOperationException>(() => ProxyProcess.StartAsync(Bootstraps.Many($$"""
            - match: { prefix: "/" }
              response_headers_to_add: [{ header: { key: {{name}}, value: "5" } }]
              direct_response: { status: 200 }
            """, [])));
        Assert.Contains("naru-proxy ended with 1", refused.Message);
    }
}

// Redirects of endpoints that the proxy follows: what the next hop gets, what is passed on instead, and that a hostile endpoint leads no further than it may.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class InternalRedirectFixture : IAsyncLifetime
{
    public Cases Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts("""
        - name: all
          domains: ["*"]
          routes:
          - match: { prefix: "/denied" }
            direct_response: { status: 403 }
          - match: { prefix: "/" }
            route: { cluster: backend, retry_policy: { retry_on: 5xx }, internal_redirect_policy: { max_internal_redirects: 3, redirect_response_codes: [302, 303, 307], response_headers_to_copy: [x-pass] } }
        """, [new TestCluster("backend", [Backend.Port])]));

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
    }
}

public sealed class InternalRedirectTests(InternalRedirectFixture fixture) : IClassFixture<InternalRedirectFixture>
{
    private string To(string location, int status = 302, string more = "") =>
        fixture.Backend.Add(async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            await connection.SendAsync($"HTTP/1.1 {status} There\r\nLocation: {location}\r\n{more}Content-Length: 4\r\n\r\ngone");
        });

    private string End() => fixture.Backend.Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head);
        connection.Witness.Remember(head);
        await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Text.Length + 3}\r\n\r\nend{head.Text}");
    });

    private async Task<HttpMessage> AskAsync(string request)
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        HttpMessage answer;
        using (RawClient client = await fixture.Proxy.ConnectAsync()) answer = await client.ExchangeAsync(request);
        await fixture.Proxy.SettleAsync(before);
        return answer;
    }

    [Fact]
    public async Task The_next_hop_gets_the_request_with_its_body_and_the_client_only_the_end()
    {
        string end = End(), start = To($"http://next.test{end}?z=1", 307);
        HttpMessage answer = await AskAsync($"POST {start} HTTP/1.1\r\nHost: first.test\r\nX-Mine: 1\r\nContent-Length: 5\r\n\r\nhello");
        Assert.Equal(200, answer.Status);
        Assert.Equal("endhello", answer.Text);
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(end));
        Assert.Equal("POST", seen.Method);
        Assert.Equal("next.test", seen.Header("host"));
        Assert.Equal($"http://first.test{start}", seen.Header("x-envoy-original-url"));
        Assert.Equal("1", Assert.Single(seen.All("x-mine")));
    }

    [Fact]
    public async Task A_body_in_pieces_is_sent_again()
    {
        string end = End(), start = To($"http://x{end}");
        HttpMessage answer = await AskAsync($"PUT {start} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        Assert.Equal("endabcde", answer.Text);
    }

    // Fields that a sidecar beside the endpoint adds.
    [Theory]
    [InlineData("x-envoy-upstream-service-time: 3\r\n")]
    [InlineData("x-envoy-upstream-canary: true\r\n")]
    public async Task A_redirect_with_fields_of_a_proxy_is_followed(string fields)
    {
        string end = End(), start = To($"http://x{end}", more: fields);
        Assert.Equal("end", (await AskAsync($"GET {start} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
    }

    [Fact]
    public async Task A_redirect_that_a_retry_brought_is_followed()
    {
        string end = End();
        int asked = 0;
        string start = fixture.Backend.Add(async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            await connection.SendAsync(Interlocked.Increment(ref asked) == 1
                ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" : $"HTTP/1.1 302 There\r\nLocation: http://x{end}\r\nContent-Length: 0\r\n\r\n");
        });
        HttpMessage answer = await AskAsync($"PUT {start} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        Assert.Equal((200, "endhello"), (answer.Status, answer.Text));
    }

    [Theory]
    [InlineData("Content-Length: 5\r\n\r\nhello")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
    public async Task After_303_what_is_there_is_got_without_the_body(string body)
    {
        string end = End(), start = To($"http://x{end}", 303);
        using RawClient client = await fixture.Proxy.ConnectAsync();
        Assert.Equal("end", (await client.ExchangeAsync($"PUT {start} HTTP/1.1\r\nHost: x\r\n{body}")).Text);
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(end));
        Assert.Equal("GET", seen.Method);
        Assert.False(seen.Has("content-length"));
        Assert.False(seen.Has("transfer-encoding"));
        // The connection goes on with its next request.
        Assert.Equal("end", (await client.ExchangeAsync($"GET {end} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
    }

    [Theory]
    [InlineData("/relative")]
    [InlineData("//x/y")]
    [InlineData("ftp://x/y")]
    [InlineData("http://")]
    [InlineData("http://user@x/y")]
    [InlineData("http://a b/y")]
    [InlineData("http://x/a b")]
    [InlineData("http://x:99999999/y")]
    [InlineData("http://[::1/y")]
    [InlineData("http://x\\y/z")]
    [InlineData("javascript:alert(1)")]
    [InlineData("https://x/secure")]
    public async Task What_is_no_plain_URL_of_the_same_scheme_is_passed_on_as_it_came(string location)
    {
        HttpMessage answer = await AskAsync($"GET {To(location)} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(302, answer.Status);
        Assert.Equal(location, answer.Header("location"));
        Assert.Equal("gone", answer.Text);
    }

    [Fact]
    public async Task A_circle_ends_after_as_many_hops_as_are_allowed()
    {
        string path = "/circle-" + Guid.NewGuid().ToString("N");
        fixture.Backend.At(path, async (connection, head) =>
        {
            connection.Witness.Remember(head);
            await connection.SendAsync($"HTTP/1.1 302 Found\r\nLocation: http://x{path}\r\nContent-Length: 0\r\n\r\n");
        });
        Assert.Equal(302, (await AskAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(4, fixture.Backend.Seen(path).Count);
    }

    [Fact]
    public async Task A_hop_goes_through_the_routes_anew_and_may_end_there() =>
        Assert.Equal(403, (await AskAsync($"GET {To("http://x/denied/y")} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);

    [Fact]
    public async Task Headers_are_copied_from_the_redirect_or_taken_away()
    {
        string end = End(), first = To($"http://x{end}", 302, "X-Pass: token\r\nX-Other: 1\r\n"), second = To($"http://x{end}");
        await AskAsync($"GET {first} HTTP/1.1\r\nHost: x\r\nX-Pass: mine\r\n\r\n");
        await AskAsync($"GET {second} HTTP/1.1\r\nHost: x\r\nX-Pass: mine\r\n\r\n");
        IReadOnlyList<HttpMessage> seen = fixture.Backend.Seen(end);
        Assert.Equal("token", Assert.Single(seen[0].All("x-pass")));
        Assert.False(seen[0].Has("x-other"));
        Assert.False(seen[1].Has("x-pass"));
    }

    // What is taken off a client's host is taken off a redirect's: the route is found, and the next hop asked, by what is left.
    [Theory]
    [InlineData("strip_any_host_port: true", "second.test:8080", 200, "second.test")]
    [InlineData("strip_matching_host_port: true", "second.test:{0}", 200, "second.test")]
    [InlineData("strip_matching_host_port: true", "second.test:1", 302, null)]
    [InlineData("strip_any_host_port: true\nstrip_trailing_host_dot: true", "second.test.:8080", 200, "second.test")]
    [InlineData("", "second.test", 200, "second.test")]
    [InlineData("", "second.test:8080", 302, null)]
    [InlineData("strip_any_host_port: true", "[::1]:8080", 302, null)]
    [InlineData("", "second.test,evil.test", 302, null)]
    public async Task A_redirects_host_counts_as_if_the_client_had_asked_for_it(string manager, string authority, int status, string? seen)
    {
        string end = End();
        string routes = $$"""
            - name: first
              domains: ["f", "f:81"]
              routes: [ { match: { prefix: "/" }, route: { cluster: backend, internal_redirect_policy: { redirect_response_codes: [302] } } } ]
            - name: second
              domains: [ "second.test" ]
              routes: [ { match: { prefix: "/" }, route: { cluster: backend } } ]
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Hosts(routes, [new TestCluster("backend", [fixture.Backend.Port])], manager));
        string at = string.Format(System.Globalization.CultureInfo.InvariantCulture, authority, proxy.Address.Port);
        string start = To($"http://{at}{end}");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {start} HTTP/1.1\r\nHost: f\r\n\r\n");
            Assert.Equal(status, answer.Status);
            Assert.Equal(seen is null ? [] : new[] { seen }, fixture.Backend.Seen(end).Select(s => s.Header("host")));
            if (seen is not null) Assert.Equal($"http://f{start}", fixture.Backend.Seen(end)[0].Header("x-envoy-original-url"));
        }
        await proxy.SettleAsync(before);
    }
}

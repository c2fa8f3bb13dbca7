// Where redirects lead: scheme, host, port, path and query, each as the request has it unless the route says otherwise; hosts that want TLS; and
// what counts as the scheme of a request.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RedirectFixture : IAsyncLifetime
{
    private const string Routes = """
        - match: { path: /https }
          redirect: { https_redirect: true }
        - match: { path: /http }
          redirect: { scheme_redirect: http }
        - match: { path: /host }
          redirect: { host_redirect: new.test }
        - match: { path: /port }
          redirect: { port_redirect: 8443 }
        - match: { path: /path }
          redirect: { path_redirect: /moved }
        - match: { path: /own }
          redirect: { path_redirect: "/moved?own=1", strip_query: true }
        - match: { path: /strip }
          redirect: { strip_query: true }
        - match: { path: /direct }
          direct_response: { status: 303 }
        - match: { path: /secure, headers: [{ name: ":scheme", string_match: { exact: https } }] }
          direct_response: { status: 200, body: { inline_string: https } }
        - match: { path: /secure }
          direct_response: { status: 200, body: { inline_string: http } }
        """;

    public ProxyProcess Proxy { get; private set; } = null!;
    public ProxyProcess Edge { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        string hosts = $$"""
            - name: tls
              domains: ["tls.test", "tls.test:8080"]
              require_tls: ALL
              response_headers_to_add: [{ header: { key: x-host, value: "yes" } }]
              routes:
              - match: { prefix: "/there" }
                direct_response: { status: 200 }
            - name: outside
              domains: ["outside.test"]
              require_tls: EXTERNAL_ONLY
              routes:
              - match: { prefix: "/" }
                direct_response: { status: 200 }
            - name: all
              domains: ["*"]
              routes:
            {{Bootstraps.Indent(Routes, 2)}}
            """;
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [], "internal_address_config: {}"));
        Edge = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [], "use_remote_address: true"));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Edge.DisposeAsync();
    }
}

public sealed class RedirectTests(RedirectFixture fixture) : IClassFixture<RedirectFixture>
{
    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string target, string host, string headers = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    }

    private const string Secure = "X-Forwarded-Proto: https\r\n";

    [Theory]
    [InlineData("/https?a=1", "a.test", "", "https://a.test/https?a=1")]
    [InlineData("/https", "a.test:8080", "", "https://a.test:8080/https")]
    [InlineData("/https", "a.test:80", "", "https://a.test/https")]
    [InlineData("/https", "a.test:443", "", "https://a.test:443/https")]
    [InlineData("/http", "a.test:443", Secure, "http://a.test/http")]
    [InlineData("/http", "a.test:444", Secure, "http://a.test:444/http")]
    [InlineData("/http", "[::1]:443", Secure, "http://[::1]/http")]
    [InlineData("/http", "[::1]", Secure, "http://[::1]/http")]
    [InlineData("/host?a=1", "a.test:8080", "", "http://new.test/host?a=1")]
    [InlineData("/port", "a.test:81", "", "http://a.test:8443/port")]
    [InlineData("/path?a=1", "a.test", "", "http://a.test/moved?a=1")]
    [InlineData("/path", "a.test", Secure, "https://a.test/moved")]
    [InlineData("/own?a=1", "a.test", "", "http://a.test/moved?own=1")]
    [InlineData("/strip?a=1", "a.test", "", "http://a.test/strip")]
    [InlineData("/direct?a=1", "a.test", "", "http://a.test/direct?a=1")]
    public async Task A_redirect_changes_what_it_names_and_leaves_the_rest(string target, string host, string headers, string location) =>
        Assert.Equal(location, (await AskAsync(fixture.Proxy, target, host, headers)).Header("location"));

    [Theory]
    [InlineData("/there?a=1", "tls.test", "https://tls.test/there?a=1")]
    [InlineData("/nowhere", "tls.test:8080", "https://tls.test:8080/nowhere")]
    public async Task A_host_that_wants_TLS_redirects_before_any_route_and_without_its_own_headers(string target, string host, string location)
    {
        HttpMessage answer = await AskAsync(fixture.Proxy, target, host);
        Assert.Equal((301, location), (answer.Status, answer.Header("location")));
        Assert.False(answer.Has("x-host"));
    }

    [Theory]
    [InlineData("tls.test", Secure, 200)]
    [InlineData("outside.test", "", 301)]
    [InlineData("outside.test", "X-Forwarded-For: 8.8.8.8\r\n", 301)]
    [InlineData("outside.test", "X-Forwarded-For: 10.1.2.3\r\n", 200)]
    [InlineData("outside.test", "X-Forwarded-For: 8.8.8.8\r\nx-envoy-internal: true\r\n", 301)]
    [InlineData("outside.test", "X-Forwarded-For: 8.8.8.8\r\n" + Secure, 200)]
    public async Task Who_speaks_TLS_in_front_or_is_internal_is_served(string host, string headers, int status) =>
        Assert.Equal(status, (await AskAsync(fixture.Proxy, "/there", host, headers)).Status);

    [Theory]
    [InlineData("/secure", "", "http")]
    [InlineData("/secure", Secure, "https")]
    [InlineData("/secure", "X-Forwarded-Proto: gopher\r\n", "http")]
    [InlineData("https://a.test/secure", "", "https")]
    [InlineData("http://a.test/secure", Secure, "http")]
    public async Task The_scheme_is_what_a_target_or_a_trusted_proxy_says(string target, string headers, string scheme) =>
        Assert.Equal(scheme, (await AskAsync(fixture.Proxy, target, "a.test", headers)).Text);

    [Fact]
    public async Task At_the_edge_only_the_connection_says_what_is_secure()
    {
        Assert.Equal("http", (await AskAsync(fixture.Edge, "/secure", "a.test", Secure)).Text);
        Assert.Equal(403, (await AskAsync(fixture.Edge, "https://a.test/secure", "a.test")).Status);
        Assert.Equal("http", (await AskAsync(fixture.Edge, "http://a.test/secure", "a.test")).Text);
        Assert.Equal(301, (await AskAsync(fixture.Edge, "/there", "tls.test", Secure)).Status);
    }
}

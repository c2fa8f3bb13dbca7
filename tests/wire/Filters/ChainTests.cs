// A chain of HTTP filters: who is asked, in which order, and what routes, hosts, tables and targets of a split have to say about it.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class ChainFixture : IAsyncLifetime
{
    public Cases Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts($$"""
        - name: plain
          domains: [plain]
          routes:
          - { match: { path: /direct }, direct_response: { status: 201 } }
          - { match: { prefix: /on }, route: { cluster: backend }, typed_per_filter_config: { asleep: {{Yaml.On}} } }
          - { match: { prefix: /own }, route: { cluster: backend }, typed_per_filter_config: { asleep: {{Yaml.MarkAt("route")}} } }
          - { match: { prefix: /stranger }, route: { cluster: backend }, typed_per_filter_config: { nobody: {{Yaml.MarkAt("route")}} } }
          - match: { prefix: /split }
            route: { weighted_clusters: { clusters: [{ name: backend, weight: 1, typed_per_filter_config: { first: {{Yaml.MarkAt("target")}}, last: {{Yaml.Off}} } }] } }
            typed_per_filter_config: { first: {{Yaml.MarkAt("route")}}, last: {{Yaml.On}} }
          - { match: { prefix: /case }, route: { cluster: backend } }
        - name: levels
          domains: [levels]
          typed_per_filter_config: { first: {{Yaml.MarkAt("host")}}, last: {{Yaml.Off}} }
          routes:
          - { match: { prefix: /case }, route: { cluster: backend }, typed_per_filter_config: { first: {{Yaml.MarkAt("route")}} } }
          - { match: { prefix: /back }, route: { cluster: backend }, typed_per_filter_config: { last: {{Yaml.On}} } }
        """, [new TestCluster("backend", [Backend.Port])],
        routeConfig: $"typed_per_filter_config: {{ first: {Yaml.MarkAt("table")} }}",
        filters: Yaml.Mark("first") + Yaml.Mark("asleep", "disabled: true, ")
            + Yaml.Filter("break", "fault.v3.HTTPFault", "headers: [{ name: x-break, present_match: true }], abort: { http_status: 500, percentage: { numerator: 100 } }")
            + Yaml.Mark("last")));

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class ChainTests(ChainFixture fixture) : IClassFixture<ChainFixture>
{
    private async Task<(int Status, string Answer, string Request)> AskAsync(bool http2, string path, string host, params (string, string)[] headers)
    {
        string echo = path.StartsWith("/case", StringComparison.Ordinal) ? fixture.Backend.Echo() : path;
        string[] seen;
        int status;
        if (http2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
            Http2Message answer = await peer.ExchangeAsync("GET", echo, headers, null);
            (status, seen) = (answer.Status, [.. answer.Head.Where(f => f.Name == "x-seen").Select(f => f.Value)]);
        }
        else
        {
            using RawClient client = await fixture.Proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"GET {echo} HTTP/1.1\r\nHost: {host}\r\n{string.Concat(headers.Select(h => $"{h.Item1}: {h.Item2}\r\n"))}\r\n");
            (status, seen) = (answer.Status, answer.All("x-seen"));
        }
        HttpMessage? request = fixture.Backend.Witness.Requests.LastOrDefault(r => r.Target == echo);
        return (status, string.Join(',', seen), string.Join(',', request?.All("x-seen") ?? []));
    }

    [Theory]
    [InlineData("/case", "plain", "first,table,last", "last,first,table")]
    [InlineData("/on", "plain", "first,table,asleep,last", "last,asleep,first,table")]
    [InlineData("/own", "plain", "first,table,asleep,route,last", "last,asleep,route,first,table")]
    [InlineData("/stranger", "plain", "first,table,last", "last,first,table")]
    [InlineData("/split", "plain", "first,target,route,table", "first,target,route,table")]
    [InlineData("/case", "levels", "first,route,host,table", "first,route,host,table")]
    [InlineData("/back", "levels", "first,host,table,last", "last,first,host,table")]
    public async Task Requests_pass_in_order_answers_in_reverse_and_the_narrowest_entry_switches(string path, string host, string request, string answer) =>
        Assert.Equal((200, answer, request), await AskAsync(false, path, host));

    // The client of HTTP/2 asks a host that no route is for.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_from_the_middle_passes_all_filters_and_no_backend_hears_of_it(bool http2)
    {
        (int status, string answer, string request) = await AskAsync(http2, "/case", http2 ? "x" : "plain", ("x-break", "1"));
        Assert.Equal((500, http2 ? "last,first" : "last,first,table", ""), (status, answer, request));
    }

    [Theory]
    [InlineData("/direct", "plain", 201, "last,first,table")]
    [InlineData("/nothing", "plain", 404, "last,first")]
    [InlineData("/nothing", "nobody", 404, "last,first")]
    public async Task Answers_of_the_proxys_own_pass_them_too(string path, string host, int status, string answer) =>
        Assert.Equal((status, answer, ""), await AskAsync(false, path, host));

    [Fact]
    public async Task A_request_without_a_route_is_filtered_all_the_same() =>
        Assert.Equal((500, "last,first", ""), await AskAsync(false, "/nothing", "nobody", ("x-break", "1")));

    [Theory]
    [InlineData("Content-Length: 5\r\n\r\nhello")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
    public async Task What_follows_a_request_that_a_filter_answered_is_never_taken_for_its_body(string rest)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: plain\r\nX-Break: 1\r\n{rest}GET {path} HTTP/1.1\r\nHost: plain\r\n\r\n");
        HttpMessage refused = await client.ResponseAsync("POST");
        Assert.Equal(500, refused.Status);
        if (refused.Header("connection") == "close") return;
        Assert.Equal("", (await client.ResponseAsync()).Text.Split("\n\n")[1]);
    }
}

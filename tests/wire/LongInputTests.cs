// Requests that are longer than most: whatever refuses a short one refuses a long one, and text of the configuration beyond ASCII is what it
// says.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class LongInputFixture : IAsyncLifetime
{
    public Witness Backend { get; } = new(async connection =>
    {
        while (await connection.RequestAsync() is not null) await connection.OkAsync("through");
    });

    public ProxyProcess Proxy { get; private set; } = null!;

    private static string Template(string template) =>
        $"path_match_policy: {{ name: t, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: \"{template}\" }} }}";

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts($$"""
        - name: corp
          domains: ["*.corp.test", "far.*"]
          routes: [{ match: { prefix: / }, direct_response: { status: 403 } }]
        - name: all
          domains: ["*"]
          routes:
          - match: { safe_regex: { regex: "/admin(/.*)?" } }
            direct_response: { status: 403 }
          - match: { {{Template("/template/**")}} }
            direct_response: { status: 403 }
          - match: { prefix: /, headers: [{ name: x-a, string_match: { safe_regex: { regex: "bad.*" } } }] }
            direct_response: { status: 403 }
          - match: { prefix: /, query_parameters: [{ name: q, string_match: { safe_regex: { regex: "bad.*" } } }] }
            direct_response: { status: 403 }
          - match: { prefix: /, cookies: [{ name: c, string_match: { safe_regex: { regex: "bad.*" } } }] }
            direct_response: { status: 403 }
          - match: { prefix: /, headers: [{ name: x-word, string_match: { exact: "Süß", ignore_case: true } }] }
            direct_response: { status: 403 }
          - match: { prefix: /, headers: [{ name: x-part, string_match: { contains: "üß", ignore_case: true } }] }
            direct_response: { status: 403 }
          - match: { path: /to }
            redirect: { path_redirect: "/가?é" }
          - match: { prefix: /go/ }
            redirect: { prefix_rewrite: "/é/" }
          - match: { prefix: /here/ }
            route: { cluster: backend, prefix_rewrite: "/é/" }
          - match: { prefix: /by/ }
            route: { cluster: backend, regex_rewrite: { pattern: { regex: "^/by/(.*)$" }, substitution: "/가/\\1" } }
          - match: { prefix: / }
            route: { cluster: backend, request_mirror_policies: [{ cluster: copies }] }
        """, [new TestCluster("backend", [Backend.Port]), new TestCluster("copies", [Copies.Port])], "http_protocol_options: { accept_http_10: true }\nmax_request_headers_kb: 96"));

    public Witness Copies { get; } = new(async connection =>
    {
        while (await connection.RequestAsync() is not null) await connection.OkAsync();
    });

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        await Copies.DisposeAsync();
    }
}

public sealed class LongInputTests(LongInputFixture fixture) : IClassFixture<LongInputFixture>
{
    private async Task<HttpMessage> AskAsync(string request)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        return await client.ExchangeAsync(request);
    }

    public static TheoryData<int> Lengths => [10, 1000, 1100, 16_383, 16_384, 16_400, 40_000];

    [Theory]
    [MemberData(nameof(Lengths))]
    public async Task A_pattern_fits_however_long_the_value_is(int length)
    {
        string a = new('a', length);
        string[] requests = [$"GET /admin/{a} HTTP/1.1\r\nHost: x\r\n\r\n", $"GET /template/{a} HTTP/1.1\r\nHost: x\r\n\r\n",
            $"GET / HTTP/1.1\r\nHost: x\r\nx-a: bad{a}\r\n\r\n", $"GET /?q=bad{a} HTTP/1.1\r\nHost: x\r\n\r\n",
            $"GET / HTTP/1.1\r\nHost: x\r\ncookie: c=bad{a}\r\n\r\n"];
        foreach (string request in requests) Assert.Equal(403, (await AskAsync(request)).Status);
    }

    [Theory]
    [InlineData(10)]
    [InlineData(511)]
    [InlineData(513)]
    [InlineData(20_000)]
    public async Task A_host_has_its_virtual_host_however_long_it_is(int length)
    {
        Assert.Equal(403, (await AskAsync($"GET / HTTP/1.1\r\nHost: {new string('a', length)}.corp.test\r\n\r\n")).Status);
        Assert.Equal(403, (await AskAsync($"GET / HTTP/1.1\r\nHost: far.{new string('a', length)}\r\n\r\n")).Status);
        Assert.Equal(200, (await AskAsync($"GET / HTTP/1.1\r\nHost: {new string('a', length)}.corp.tes\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData("x-word: Süß", 403)]
    [InlineData("x-word: sÜß", 200)]
    [InlineData("x-word: SüßE", 200)]
    [InlineData("x-part: aüßb", 403)]
    public async Task Case_is_that_of_ASCII_letters_and_other_bytes_are_themselves(string header, int status) =>
        Assert.Equal(status, (await AskAsync($"GET / HTTP/1.1\r\nHost: x\r\n{Bytes(header)}\r\n\r\n")).Status);

    // The kit sends one byte a character.
    private static string Bytes(string text) => System.Text.Encoding.Latin1.GetString(System.Text.Encoding.UTF8.GetBytes(text));

    [Theory]
    [InlineData("/to", "http://x/%EA%B0%80?%C3%A9")]
    [InlineData("/go/a", "http://x/%C3%A9/a")]
    public async Task A_location_is_what_the_configuration_says_escaped(string path, string location) =>
        Assert.Equal(location, (await AskAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Header("location"));

    [Theory]
    [InlineData("/here/a", "/%C3%A9/a")]
    [InlineData("/by/a", "/%EA%B0%80/a")]
    public async Task A_rewritten_path_is_what_the_configuration_says_escaped(string path, string target)
    {
        await AskAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Contains(fixture.Backend.Requests, r => r.Target == target);
    }

    [Fact]
    public async Task Where_no_host_was_named_a_location_names_none() =>
        Assert.Equal("/%C3%A9/a", (await AskAsync("GET /go/a HTTP/1.0\r\n\r\n")).Header("location"));

    [Theory]
    [InlineData("[::1]", "[::1]")]
    [InlineData("[::1]:80", "[::1]:80")]
    [InlineData("name:80", "name-shadow:80")]
    public async Task A_request_to_an_address_is_copied_as_well(string host, string copy)
    {
        string path = "/copy/" + Guid.NewGuid().ToString("N");
        await AskAsync($"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        await Waiting.UntilAsync(() => fixture.Copies.Requests.Any(r => r.Target == path), "a copy");
        Assert.Equal(copy, fixture.Copies.Requests.Single(r => r.Target == path).Header("host"));
    }
}

// What a listener makes of the proxy's own answers (local_reply_config), bodies made by formats, and access logs with filters and formats.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>A listener with mappers, formats and several logs.</summary>
public sealed class MappedFixture : IAsyncLifetime
{
    private readonly TempFolder _folder = new();

    public ProxyProcess Proxy { get; private set; } = null!;
    public ProxyProcess Json { get; private set; } = null!;
    public Witness Backend { get; } = new(Witness.Always("HTTP/1.1 503 X\r\nContent-Length: 6\r\n\r\ntheirs"));

    public string Log(string name) => _folder.At(name);

    public async ValueTask InitializeAsync()
    {
        string[] filters =
        [
            "ge: { status_code_filter: { comparison: { op: GE, value: { default_value: 400, runtime_key: a } } } }",
            "ne: { status_code_filter: { comparison: { op: NE, value: { default_value: 404, runtime_key: a } } } }",
            "flag: { response_flag_filter: { flags: [ UH, NR ] } }",
            "any: { response_flag_filter: {} }",
            "header: { header_filter: { header: { name: x-log, string_match: { prefix: ye } } } }",
            "inverted: { header_filter: { header: { name: x-log, string_match: { exact: no }, invert_match: true } } }",
            "and: { and_filter: { filters: [ { response_flag_filter: { flags: [ NR ] } }, { header_filter: { header: { name: x-log, present_match: true } } } ] } }",
            "or: { or_filter: { filters: [ { response_flag_filter: { flags: [ UH ] } }, { header_filter: { header: { name: x-log, present_match: true } } } ] } }",
            "none: { runtime_filter: { runtime_key: a, percent_sampled: { numerator: 0 } } }",
            "each: { runtime_filter: { runtime_key: a, percent_sampled: { numerator: 100 } } }",
            "fast: { duration_filter: { comparison: { op: LE, value: { default_value: 4294967295, runtime_key: a } } } }",
            "slow: { duration_filter: { comparison: { op: GE, value: { default_value: 4294967295, runtime_key: a } } } }",
            "grpc: { grpc_status_filter: { statuses: [ PERMISSION_DENIED ] } }",
            "notgrpc: { grpc_status_filter: { statuses: [ PERMISSION_DENIED ], exclude: true } }",
            "end: { log_type_filter: { types: [ DownstreamEnd ] } }",
            "notend: { log_type_filter: { types: [ DownstreamEnd ], exclude: true } }",
            "traced: { traceable_filter: {} }",
            "checks: { not_health_check_filter: {} }",
            "nokey: { metadata_filter: { matcher: { filter: a, path: [ { key: b } ], value: { string_match: { exact: c } } } } }",
            "key: { metadata_filter: { matcher: { filter: a, path: [ { key: b } ], value: { string_match: { exact: c } } }, match_if_key_not_found: false } }",
            // Written last, so that with it the others are whole.
            "all: {}",
        ];
        string logs = string.Concat(filters.Select(f =>
        {
            string name = f[..f.IndexOf(':', StringComparison.Ordinal)];
            string filter = name == "all" ? "" : $" filter: {f[(name.Length + 2)..]},";
            return $$"""
                - { name: {{name}},{{filter}} typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{{Log(name)}}", log_format: { text_format_source: { inline_string: "%REQ(:PATH)% %RESPONSE_CODE%\n" } } } }

                """;
        }));
        const string Routes = """
            - match: { prefix: "/forbidden" }
              response_headers_to_add: [ { header: { key: x-route, value: "%RESPONSE_CODE%" } } ]
              direct_response: { status: 403, body: { inline_string: "keep \"out\"" } }
            - match: { prefix: "/typed" }
              response_headers_to_add: [ { header: { key: content-type, value: text/x-own }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } ]
              direct_response: { status: 200, body: { inline_string: fine } }
            - match: { prefix: "/made" }
              response_headers_to_add: [ { header: { key: content-type, value: text/x-own }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } ]
              direct_response: { status: 201, body: { inline_string: inner }, body_format: { text_format_source: { inline_string: "[%LOCAL_REPLY_BODY%] %REQ(:PATH)% %RESPONSE_CODE% %REQ(x-none)%" }, content_type: text/html } }
            - match: { prefix: "/empty" }
              route: { cluster: empty }
            - match: { prefix: "/moved" }
              redirect: { path_redirect: /new }
            - match: { prefix: "/theirs" }
              route: { cluster: backend }
            """;
        TestCluster[] clusters = [new TestCluster("backend", [Backend.Port]), new TestCluster("empty", [])];
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes, clusters, $$"""
            local_reply_config:
              mappers:
              - filter: { header_filter: { header: { name: x-want, string_match: { exact: type } } } }
                body: { inline_string: "{}" }
                headers_to_add: [ { header: { key: content-type, value: application/x-mapped }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } ]
              - filter: { header_filter: { header: { name: x-want, string_match: { exact: plain } } } }
                body: { inline_string: "as it is: %LOCAL_REPLY_BODY%" }
              - filter: { header_filter: { header: { name: x-want, string_match: { exact: json } } } }
                body_format_override: { json_format: { why: "%LOCAL_REPLY_BODY%", code: "%RESPONSE_CODE%", gone: "%REQ(x-none)%", route: "%RESP(x-route)%" } }
              - filter: { status_code_filter: { comparison: { op: EQ, value: { default_value: 404, runtime_key: a } } } }
                status_code: 598
                body: { inline_string: "gone for good" }
                headers_to_add: [ { header: { key: x-code, value: "%RESPONSE_CODE%" } } ]
              - filter: { response_flag_filter: { flags: [ UH ] } }
                headers_to_add: [ { header: { key: retry-after, value: "3" } } ]
            access_log:
            {{logs}}
            """), new ProxyOptions { Explain = false, Concurrency = 1, Arguments = ["--file-flush-interval-msec", "10"] });
        Json = await ProxyProcess.StartAsync(Bootstraps.Many(Routes, clusters, """
            local_reply_config:
              body_format: { json_format: { status: "%RESPONSE_CODE%", message: "%LOCAL_REPLY_BODY%", flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%", at: { path: "%REQ(:PATH)%" } } }
            """), new ProxyOptions { Explain = false });
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Json.DisposeAsync();
        await Backend.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class LocalReplyConfigTests(MappedFixture fixture) : IClassFixture<MappedFixture>
{
    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string headers = "", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    [Theory]
    [InlineData("/none", "", 598, "text/plain", "gone for good")]
    [InlineData("/empty", "", 503, "text/plain", "no healthy upstream")]
    [InlineData("/theirs", "", 503, null, "theirs")]
    [InlineData("/forbidden", "", 403, "text/plain", "keep \"out\"")]
    [InlineData("/forbidden", "plain", 403, "text/plain", "as it is: %LOCAL_REPLY_BODY%")]
    [InlineData("/forbidden", "json", 403, "application/json", "{\"code\":403,\"gone\":null,\"route\":\"0\",\"why\":\"keep \\\"out\\\"\"}\n")]
    [InlineData("/moved", "json", 301, "application/json", "{\"code\":301,\"gone\":null,\"route\":null,\"why\":\"\"}\n")]
    [InlineData("/typed", "", 200, "text/x-own", "fine")]
    [InlineData("/typed", "json", 200, "application/json", "{\"code\":200,\"gone\":null,\"route\":null,\"why\":\"fine\"}\n")]
    [InlineData("/typed", "type", 200, "application/x-mapped", "{}")]
    [InlineData("/made?x", "", 201, "text/html", "[inner] /made?x 0 -")]
    public async Task The_first_mapper_that_passes_makes_the_answer(string path, string want, int status, string? type, string body)
    {
        HttpMessage answer = await AskAsync(fixture.Proxy, path, want.Length > 0 ? $"X-Want: {want}\r\n" : "");
        Assert.Equal((status, type, body), (answer.Status, answer.Header("content-type"), answer.Text));
        Assert.Equal(status == 598 ? "404" : null, answer.Header("x-code"));
        Assert.Equal(path == "/empty" ? "3" : null, answer.Header("retry-after"));
        Assert.Equal(path == "/forbidden" ? "0" : null, answer.Header("x-route"));
        Assert.Equal(path switch { "/moved" => "http://x/new", "/made?x" => "http://x/made?x", _ => null }, answer.Header("location"));
        HttpMessage head = await AskAsync(fixture.Proxy, path, want.Length > 0 ? $"X-Want: {want}\r\n" : "", "HEAD");
        Assert.Equal(status, head.Status);
    }

    [Theory]
    [InlineData("/forbidden", 403, "direct_response", "-", "keep \\\"out\\\"")]
    [InlineData("/typed", 200, "direct_response", "-", "fine")]
    [InlineData("/empty", 503, "no_healthy_upstream", "UH", "no healthy upstream")]
    [InlineData("/none", 404, "route_not_found", "NR", "")]
    public async Task A_format_makes_every_body(string path, int status, string details, string flags, string message)
    {
        string expected = $$"""{"at":{"path":"{{path}}"},"details":"{{details}}","flags":"{{flags}}","message":"{{message}}","status":{{status}}}""";
        HttpMessage answer = await AskAsync(fixture.Json, path);
        Assert.Equal((status, "application/json", expected + "\n"), (answer.Status, answer.Header("content-type"), answer.Text));
        HttpMessage grpc = await AskAsync(fixture.Json, path, "Content-Type: application/grpc\r\n", "POST");
        Assert.Equal((200, expected), (grpc.Status, grpc.Header("grpc-message")));
        Assert.Equal("theirs", (await AskAsync(fixture.Json, "/theirs")).Text);
    }

    [Fact]
    public async Task What_cannot_be_read_is_formatted_too()
    {
        using RawClient client = await fixture.Json.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("BAD\r\n\r\n");
        Assert.Equal("{\"at\":{\"path\":null},\"details\":\"http1.codec_error\",\"flags\":\"-\",\"message\":\"Bad Request\",\"status\":400}\n", answer.Text);
    }

    [Theory]
    [InlineData("all", "nr uh yes no ok grpc")]
    [InlineData("ge", "nr uh yes no")]
    [InlineData("ne", "nr uh yes no ok grpc")]
    [InlineData("flag", "nr uh grpc")]
    [InlineData("any", "nr uh grpc")]
    [InlineData("header", "yes")]
    [InlineData("inverted", "yes")]
    [InlineData("and", "")]
    [InlineData("or", "uh yes no")]
    [InlineData("none", "")]
    [InlineData("each", "nr uh yes no ok grpc")]
    [InlineData("fast", "nr uh yes no ok grpc")]
    [InlineData("slow", "")]
    [InlineData("grpc", "yes no")]
    [InlineData("notgrpc", "nr uh ok grpc")]
    [InlineData("end", "nr uh yes no ok grpc")]
    [InlineData("notend", "")]
    [InlineData("traced", "")]
    [InlineData("checks", "nr uh yes no ok grpc")]
    [InlineData("nokey", "nr uh yes no ok grpc")]
    [InlineData("key", "")]
    public async Task A_log_has_the_entries_that_its_filter_lets_pass(string log, string entries)
    {
        string mark = Guid.NewGuid().ToString("n");
        await AskAsync(fixture.Proxy, $"/nr?{mark}");
        await AskAsync(fixture.Proxy, $"/empty?{mark}");
        await AskAsync(fixture.Proxy, $"/forbidden/yes?{mark}", "X-Log: yes\r\n");
        await AskAsync(fixture.Proxy, $"/forbidden/no?{mark}", "X-Log: no\r\n");
        await AskAsync(fixture.Proxy, $"/typed?{mark}");
        await AskAsync(fixture.Proxy, $"/grpc?{mark}", "Content-Type: application/grpc\r\n", "POST");
        await AskAsync(fixture.Proxy, $"/last?{mark}");
        var names = new Dictionary<string, string> { ["/nr"] = "nr", ["/empty"] = "uh", ["/forbidden/yes"] = "yes", ["/forbidden/no"] = "no", ["/typed"] = "ok", ["/grpc"] = "grpc" };
        await Waiting.UntilAsync(() => File.ReadAllText(fixture.Log("all")).Contains($"/last?{mark}", StringComparison.Ordinal), "the last entry");
        string[] lines = [.. File.ReadAllLines(fixture.Log(log)).Where(l => l.Contains(mark, StringComparison.Ordinal) && !l.StartsWith("/last", StringComparison.Ordinal))];
        Assert.Equal(entries.Split(' ', StringSplitOptions.RemoveEmptyEntries), lines.Select(l => names[l[..l.IndexOf('?', StringComparison.Ordinal)]]));
    }
}

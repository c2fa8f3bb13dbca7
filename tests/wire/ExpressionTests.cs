// Expressions where clients see them: in headers and logs, as matchers of routes and of filters; and the filters that have others do their
// work.
using Naru.Kit;
using Naru.WireTests.Filters;
using Xunit;

namespace Naru.WireTests;

public sealed class ExpressionTests
{
    private const string Types = "type.googleapis.com/";
    private const string Input =
        "input: { name: i, typed_config: { \"@type\": type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput } }";
    private const string HeaderInput = "input: { name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x-mode } }";

    private static string Predicate(string expression) =>
        $"single_predicate: {{ {Input}, custom_match: {{ name: c, typed_config: {{ \"@type\": {Types}xds.type.matcher.v3.CelMatcher, expr_match: {{ {expression} }} }} }} }}";

    private static string Text(string expression) => $"cel_expr_string: \"{expression}\"";

    private static string Log(string path, string line, string filter = "") => $$"""
        access_log:
        - name: envoy.access_loggers.file
          {{(filter.Length > 0 ? $"filter: {{ {filter} }}" : "")}}
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
            path: {{path}}
            log_format: { text_format_source: { inline_string: "{{line}}\n" } }
        """;

    private static async Task<HttpMessage> AskAsync(RawClient client, string path, string headers = "", string method = "GET",
        string body = "") =>
        await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{(body.Length > 0 ? $"Content-Length: {body.Length}\r\n" : "")}\r\n{body}");

    [Fact]
    public async Task A_route_is_chosen_by_an_expression()
    {
        // As a text, and as the tree that a parser makes of one: request.headers['x-a'] == 'tree'.
        const string Tree = "parsed_expr: { expr: { id: 1, call_expr: { function: _==_, args: [{ call_expr: { function: \"_[_]\", args: ["
            + "{ select_expr: { operand: { ident_expr: { name: request } }, field: headers } }, { const_expr: { string_value: x-a } }] } }, { const_expr: { string_value: tree } }] } } }";
        const string Routes = "envoy.config.route.v3.Route";
        string Rule(string when, string body) => $"- predicate: {{ {Predicate(when)} }}\n  on_match: {{ action: {{ name: a, typed_config: "
            + $"{{ \"@type\": {Types}{Routes}, match: {{ prefix: / }}, direct_response: {{ status: 200, body: {{ inline_string: {body} }} }} }} }} }}\n";
        string hosts = $$"""
            - name: all
              domains: ["*"]
              matcher:
                matcher_list:
                  matchers:
            {{Bootstraps.Indent(Rule(Text("request.url_path.matches('^/[0-9]+$') && int(request.url_path.matches('^/1') ? '1' : '0') == 1"), "number")
                + Rule(Text("request.headers['x-none'] == 'a' || request.headers['x-a'].startsWith('b')"), "b") + Rule(Tree, "tree"), 6)}}
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, []));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("number", (await AskAsync(client, "/12")).Text);
        Assert.Equal("b", (await AskAsync(client, "/22", "X-A: b1\r\n")).Text);
        // Several values are one, with a comma between them.
        Assert.Equal(404, (await AskAsync(client, "/x", "X-A: c\r\nX-A: b1\r\n")).Status);
        Assert.Equal("tree", (await AskAsync(client, "/x", "x-a: tree\r\n")).Text);
        Assert.Equal(404, (await AskAsync(client, "/x")).Status);
    }

    [Fact]
    public async Task A_log_takes_the_entries_of_which_its_expression_is_true()
    {
        using var folder = new TempFolder();
        string log = folder.At("log");
        await using var backend = new Cases();
        string path = backend.Echo();
        string filter = "extension_filter: { name: c, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, "
            + "expression: \"request.headers['x-log'] == 'yes' || response.code == 404\" } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            $"- match: {{ path: {path} }}\n  route: {{ cluster: backend }}", [new TestCluster("backend", [backend.Port])],
            Log(log, "%REQ(:PATH)% %CEL(response.code + 1)% %CEL(response.headers['x-none'])%", filter)));
        using RawClient client = await proxy.ConnectAsync();
        await AskAsync(client, path);
        await AskAsync(client, path, "X-Log: yes\r\n");
        await AskAsync(client, "/none");
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).EndsWith("/none 405 -\n", StringComparison.Ordinal),
            "the last line");
        Assert.Equal($"{path} 201 -\n/none 405 -\n", File.ReadAllText(log));
    }

    private static string Matched(string extension, string matcher) =>
        $"- {{ name: m, typed_config: {{ \"@type\": {Types}envoy.extensions.common.matching.v3.ExtensionWithMatcher, "
        + $"extension_config: {{ name: e, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.http.{extension} }} }}, xds_matcher: {{ {matcher} }} }} }}\n";

    private static string Execute(string filter, string more = "") =>
        $"action: {{ name: a, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.http.composite.v3.ExecuteFilterAction, "
        + $"typed_config: {{ name: x, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.http.{filter} }} }}{more} }} }}";

    private const string Leave = "action: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter } }";

    private static string Marks(string name) =>
        $"header_mutation.v3.HeaderMutation, mutations: {{ request_mutations: [{{ append: {{ header: {{ key: x-seen, value: {name} }} }} }}], "
        + $"response_mutations: [{{ append: {{ header: {{ key: x-seen, value: {name} }} }} }}] }}";

    [Fact]
    public async Task A_filter_is_skipped_for_requests_that_its_matcher_names_and_for_no_other()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port,
            filters: Matched("fault.v3.HTTPFault, abort: { http_status: 403, percentage: { numerator: 100 } }",
                $"matcher_list: {{ matchers: [{{ predicate: {{ {Predicate(Text("request.headers['x-mode'] == 'free'"))} }}, on_match: {{ {Leave} }} }}] }}")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            Assert.Equal(200, (await AskAsync(client, path, "X-Mode: free\r\n")).Status);
            // An error of the expression skips nothing; nor do two values that are one.
            Assert.Equal(403, (await AskAsync(client, path)).Status);
            Assert.Equal(403, (await AskAsync(client, path, "X-Mode: free\r\nX-Mode: free\r\n")).Status);
            Assert.Equal(200, (await AskAsync(client, path, "X-Mode: free\r\n")).Status);
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task The_filter_that_was_chosen_sees_bodies_and_answers_as_if_it_stood_in_the_chain()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        string map = "matcher_tree: { " + HeaderInput + ", exact_match_map: { map: { "
            + $"mark: {{ {Execute(Marks("marked"))} }}, "
            + $"buffer: {{ {Execute("buffer.v3.Buffer, max_request_bytes: 4")} }}, "
            + $"never: {{ {Execute(Marks("never"), ", sample_percent: { default_value: { numerator: 0 } }")} }} }} }} }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(
            backend.Port, filters: Yaml.Mark("first") + Matched("composite.v3.Composite", map) + Yaml.Mark("last")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            foreach ((string mode, string request, string answer) in new[]
                { ("mark", "first,marked,last", "last,marked,first"), ("other", "first,last", "last,first"),
                    ("never", "first,last", "last,first"), ("mark", "first,marked,last", "last,marked,first") })
            {
                HttpMessage got = await AskAsync(client, path, $"X-Mode: {mode}\r\n");
                Assert.Equal((request, answer), (string.Join(',', backend.Seen(path)[^1].All("x-seen")),
                    string.Join(',', got.All("x-seen"))));
            }
            Assert.Equal(200, (await AskAsync(client, path, "X-Mode: buffer\r\n", "POST", "four")).Status);
            Assert.Equal(200, (await AskAsync(client, path, "", "POST", "longer than that")).Status);
            Assert.Equal(413, (await AskAsync(client, path, "X-Mode: buffer\r\n", "POST", "longer than that")).Status);
        }
        Assert.Equal(4, await proxy.StatAsync("http.test.composite.filter_delegation_success"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_route_speaks_to_the_filter_within()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        string never = $"matcher_list: {{ matchers: [{{ predicate: {{ {Predicate(Text("false"))} }}, on_match: {{ {Leave} }} }}] }}";
        string at = Yaml.At("fault.v3.HTTPFault", "abort: { http_status: 418, percentage: { numerator: 100 } }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            $"- match: {{ path: /own }}\n  route: {{ cluster: backend }}\n  typed_per_filter_config: {{ m: {at} }}\n- match: {{ prefix: / }}\n  route: {{ cluster: backend }}",
            [new TestCluster("backend", [backend.Port])], filters: Matched("fault.v3.HTTPFault", never)));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(418, (await AskAsync(client, "/own")).Status);
        Assert.Equal(200, (await AskAsync(client, path)).Status);
    }

    [Fact]
    public async Task Each_try_has_a_line_of_its_own()
    {
        using var folder = new TempFolder();
        string log = folder.At("up");
        int asked = 0;
        await using var witness = new Witness(async connection =>
        {
            while (await connection.RequestAsync() is not null)
            {
                if (Interlocked.Increment(ref asked) == 1)
                    await connection.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 3\r\nX-Kind: bad\r\n\r\nbad");
                else await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: good\r\n\r\nok");
            }
        });
        string text =
            Bootstraps.One(witness.Port,
            route: "retry_policy: { retry_on: 5xx, num_retries: 1, retry_back_off: { base_interval: 0.001s } }");
        string logs = Log(log, "%ACCESS_LOG_TYPE% %REQ(:PATH)% %RESPONSE_CODE% %RESP(X-KIND)% %RESPONSE_FLAGS% %BYTES_SENT% %BYTES_RECEIVED%").Replace("access_log:", "upstream_log:", StringComparison.Ordinal);
        const string Router = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
        int at = text.IndexOf(Router, StringComparison.Ordinal) + Router.Length;
        text = text.Insert(at, "\n" + Bootstraps.Indent(logs, text[..text.IndexOf(Router,
            StringComparison.Ordinal)].Split('\n')[^1].Length));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync()) Assert.Equal("ok", (await AskAsync(client, "/a", "", "PUT", "five5")).Text);
        await proxy.SettleAsync(before);
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllLines(log).Length == 2, "two lines");
        Assert.Equal(["UpstreamEnd /a 503 bad - 5 0", "UpstreamEnd /a 200 good - 5 2"], File.ReadAllLines(log));
    }
}

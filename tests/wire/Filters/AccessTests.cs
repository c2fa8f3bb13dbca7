// Who may send which requests: rules of access as clients meet them, and what has been tried to get past rules of others.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class AccessFixture : IAsyncLifetime
{
    private const string Any = "[{ any: true }]";

    public Cases Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    private static string Deny(string permissions, string principals = Any) =>
        Yaml.At("rbac.v3.RBACPerRoute", $"rbac: {{ rules: {{ action: DENY, policies: {{ p: {{ permissions: [{permissions}], principals: {principals} }} }} }} }}");

    private static string Allow(string permissions, string principals = Any) =>
        Yaml.At("rbac.v3.RBACPerRoute", $"rbac: {{ rules: {{ policies: {{ p: {{ permissions: [{permissions}], principals: {principals} }} }} }} }}");

    // request.headers["x-role"] == "admin", as a parser writes it.
    private static string Asked(string action) => Yaml.At("rbac.v3.RBACPerRoute",
        $"rbac: {{ rules: {{ action: {action}, policies: {{ p: {{ permissions: {Any}, principals: {Any}, condition: {{ call_expr: {{ function: _==_, args: ["
        + "{ call_expr: { function: \"_[_]\", args: [{ select_expr: { operand: { ident_expr: { name: request } }, field: headers } }, "
        + "{ const_expr: { string_value: x-role } }] } }, { const_expr: { string_value: admin } }] } } } } } }");

    private static string Host(string name, string rule) => $$"""
        - name: {{name}}
          domains: [{{name}}]
          typed_per_filter_config: { guard: {{rule}} }
          routes: [{ match: { prefix: / }, route: { cluster: backend } }]

        """;

    private const string Input = "{ name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x-role } }";

    private static string End(string name, string action) =>
        $"{{ action: {{ name: a, typed_config: {{ \"@type\": type.googleapis.com/envoy.config.rbac.v3.Action, name: {name}, action: {action} }} }} }}";

    private static readonly string s_ips = "{ name: i, typed_config: { \"@type\": "
        + "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput } }";

    public async ValueTask InitializeAsync()
    {
        string hosts = Host("path", Deny("{ url_path: { path: { prefix: /admin } } }"))
            + Host("guest", Deny("{ header: { name: x-role, string_match: { exact: guest } } }"))
            + Host("admin", Allow("{ header: { name: x-role, string_match: { exact: admin } } }"))
            + Host("not", Allow("{ not_rule: { header: { name: x-role, string_match: { exact: guest } } } }"))
            + Host("inverted", Deny("{ header: { name: x-role, string_match: { exact: admin }, invert_match: true } }"))
            + Host("regex", Deny("{ header: { name: x-role, string_match: { safe_regex: { regex: \".*admin.*\" } } } }"))
            + Host("template", Allow("{ uri_template: { name: t, typed_config: { \"@type\": "
                + "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: \"/users/{id}\" } } }"))
            + Host("empty-allow", Yaml.At("rbac.v3.RBACPerRoute", "rbac: { rules: {} }"))
            + Host("empty-deny", Yaml.At("rbac.v3.RBACPerRoute", "rbac: { rules: { action: DENY } }"))
            + Host("asked-allow", Asked("ALLOW"))
            + Host("asked-deny", Asked("DENY"))
            + Host("off", Yaml.At("rbac.v3.RBACPerRoute", "rbac: {}"))
            + Host("tree", Yaml.At("rbac.v3.RBACPerRoute",
                $"rbac: {{ matcher: {{ matcher_tree: {{ input: {Input}, exact_match_map: {{ map: {{ a b: {End("a b", "DENY")}, ok: {End("ok", "ALLOW")} }} }} }} }} }}"))
            + Host("range", Yaml.At("rbac.v3.RBACPerRoute", $"rbac: {{ matcher: {{ matcher_tree: {{ input: {s_ips}, custom_match: {{ name: ip, typed_config: {{ \"@type\": "
                + "type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: "
                + $"[{{ ranges: [{{ address_prefix: 0.0.0.0, prefix_len: 0 }}], on_match: {End("all", "ALLOW")} }}, "
                + $"{{ ranges: [{{ address_prefix: 127.0.0.0, prefix_len: 8 }}], on_match: {End("here", "DENY")} }}] }} }} }} }} }}"));
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [new TestCluster("backend", [Backend.Port])],
            manager: "normalize_path: true\nmerge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\n",
            filters: Yaml.Filter("guard", "rbac.v3.RBAC")));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class AccessTests(AccessFixture fixture) : IClassFixture<AccessFixture>
{
    private async Task<HttpMessage> AskAsync(string host, string target, string headers = "", string method = "GET")
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        return await client.ExchangeAsync($"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    }

    // Where the header is not there the condition cannot be told, and nobody is let in for it.
    [Theory]
    [InlineData("asked-allow", "x-role: admin\r\n", 200)]
    [InlineData("asked-allow", "x-role: guest\r\n", 403)]
    [InlineData("asked-allow", "", 403)]
    [InlineData("asked-deny", "x-role: admin\r\n", 403)]
    [InlineData("asked-deny", "x-role: guest\r\n", 200)]
    [InlineData("asked-deny", "", 403)]
    public async Task A_condition_that_cannot_be_told_lets_nobody_in(string host, string headers, int status) =>
        Assert.Equal(status, (await AskAsync(host, "/", headers)).Status);

    public static TheoryData<string> Spellings =>
    [
        "/admin", "/admin/x", "/admin?x=1", "//admin", "///admin/x", "/./admin", "/x/../admin", "/x/..//admin", "/x//../admin", "/./x/./.././admin/y",
        "/%61dmin", "/%61%64min/x", "/ad%6Din", "/%2e/admin", "/x/%2e%2e/admin", "/x/%2E%2E/admin", "/x/.%2e/admin", "/x/%2e./admin",
        "/%2fadmin", "/x%2f..%2fadmin", "/x/..%2Fadmin", "/x%2f%2e%2e%2fadmin", "/admin%2fx", "/admin;x=y", "/admin;/../x", "/x/..;/admin",
        "http://path/admin", "http://path//admin", "http://path/x/../admin", "/admin%00", "/admin%20", "/..//admin", "/../admin",
    ];

    // Whatever the path looks like: it is refused, or what a service that takes it apart makes of it is another one.
    [Theory]
    [MemberData(nameof(Spellings))]
    public async Task No_spelling_of_a_path_gets_past_a_rule(string target)
    {
        int before = fixture.Backend.Witness.Requests.Count;
        HttpMessage answer = await AskAsync("path", target);
        HttpMessage[] seen = [.. fixture.Backend.Witness.Requests.Skip(before)];
        Assert.DoesNotContain(seen, r => Meant(r.Target).StartsWith("/admin", StringComparison.Ordinal));
        if (answer.Status is 400 or 403) Assert.Empty(seen);
        Assert.False(Meant(target) == "/admin" && answer.Status == 200, target);
    }

    // As a service reads it: once unescaped, without dot segments and empty ones.
    private static string Meant(string target)
    {
        int scheme = target.IndexOf("://", StringComparison.Ordinal);
        string path = scheme < 0 ? target : target[target.IndexOf('/', scheme + 3)..];
        path = Uri.UnescapeDataString(path.Split('?')[0]);
        var parts = new List<string>();
        foreach (string part in path.Split('/'))
        {
            if (part == ".." && parts.Count > 0) parts.RemoveAt(parts.Count - 1);
            else if (part is not ("" or "." or "..")) parts.Add(part);
        }
        return "/" + string.Join('/', parts);
    }

    [Theory]
    [InlineData("guest", "X-Role: guest\r\n", 403)]
    [InlineData("guest", "x-ROLE: guest\r\n", 403)]
    [InlineData("guest", "X-Role:   guest  \r\n", 403)]
    [InlineData("guest", "X-Role: admin\r\nX-Role: guest\r\n", 403)]
    [InlineData("guest", "X-Role: guest\r\nX-Role: admin\r\n", 403)]
    [InlineData("guest", "X-Role: Guest\r\n", 404)]
    [InlineData("guest", "", 404)]
    [InlineData("admin", "X-Role: admin\r\n", 404)]
    [InlineData("admin", "X-Role: admin, guest\r\n", 403)]
    [InlineData("admin", "X-Role: \r\n", 403)]
    [InlineData("admin", "", 403)]
    [InlineData("not", "X-Role: guest\r\n", 403)]
    [InlineData("not", "X-Role: admin\r\nX-Role: guest\r\n", 403)]
    [InlineData("not", "", 404)]
    [InlineData("inverted", "X-Role: admin\r\nX-Role: guest\r\n", 404)]
    [InlineData("inverted", "X-Role: guest\r\n", 403)]
    [InlineData("regex", "X-Role: admin\r\n", 403)]
    [InlineData("regex", "X-Role: \u00ffadmin\u00fe\r\n", 403)]
    [InlineData("regex", "X-Role: \u00c3\u0028admin\r\n", 403)]
    [InlineData("empty-allow", "", 403)]
    [InlineData("empty-deny", "", 404)]
    [InlineData("off", "", 404)]
    [InlineData("tree", "X-Role: a b\r\n", 403)]
    [InlineData("tree", "X-Role: ok\r\n", 404)]
    [InlineData("tree", "X-Role: other\r\n", 403)]
    [InlineData("tree", "", 403)]
    [InlineData("range", "", 403)]
    public async Task A_rule_looks_at_each_value_and_at_no_other(string host, string headers, int status)
    {
        // Behind the rules nobody has an answer for the path.
        fixture.Backend.At("/r", (c, _) => c.SendAsync("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
        HttpMessage answer = await AskAsync(host, "/r", headers);
        Assert.Equal(status, answer.Status);
        if (status == 403) Assert.Equal("RBAC: access denied", answer.Text);
    }

    [Theory]
    [InlineData("/users/1", true)]
    [InlineData("/users/1?x=/y", true)]
    [InlineData("/users/1/2", false)]
    [InlineData("/users/", false)]
    public async Task A_template_is_of_whole_paths(string target, bool may)
    {
        fixture.Backend.At("/users/1", (c, _) => c.OkAsync());
        Assert.Equal(may ? 200 : 403, (await AskAsync("template", target)).Status);
    }

    [Fact]
    public async Task A_body_that_nobody_wanted_is_never_the_next_request()
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync("POST /admin HTTP/1.1\r\nHost: path\r\nContent-Length: 37\r\n\r\nGET /admin/in HTTP/1.1\r\nHost: off\r\n\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(403, answer.Status);
        Assert.DoesNotContain(fixture.Backend.Witness.Requests, r => r.Target == "/admin/in");
    }

    [Fact]
    public async Task An_access_rule_that_would_not_be_enforced_ends_the_validation_with_1()
    {
        using var folder = new TempFolder();
        foreach (string type in new[] { "wasm.v3.Wasm", "rbac.v3.RBAC" })
        {
            string filter = $"- {{ name: g, is_optional: true, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.{type}"
                + (type[0] == 'r' ? ", rules: { audit_logging_options: { audit_condition: ON_DENY }, policies: { p: { permissions: [{ any: true }], principals: [{ any: true }] } } }" : "")
                + " } }\n";
            ProcessResult result = await ProxyProcess.RunAsync("--mode", "validate", "-c", folder.Write("b.yaml", Bootstraps.One(1, filters: filter)));
            Assert.Equal(1, result.ExitCode);
            Assert.Contains(type[0] == 'r' ? "audit_logging_options" : type, result.Output + result.Error, StringComparison.Ordinal);
        }
    }
}

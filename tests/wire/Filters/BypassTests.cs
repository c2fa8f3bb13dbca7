// What clients have tried to get past filters with: expressions that they make fail, tunnels, keys and cookies that come twice, fields that
// they forge for a service to leave as they are.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class ExpressionBypassFixture : IAsyncLifetime
{
    private const string Types = "type.googleapis.com/";

    // Two patterns over one header: what a client writes there decides whether the last part is ever looked at.
    private const string Admin = "request.headers['x-a'].matches('evil1') || request.headers['x-a'].matches('evil2') || request.path.startsWith('/admin')";
    private static readonly string s_denyAll = $"{{ \"@type\": {Types}envoy.extensions.filters.http.rbac.v3.RBAC, rules: {{ action: DENY, policies: {{ p: {{ permissions: [{{ any: true }}], principals: [{{ any: true }}] }} }} }} }}";
    private static readonly string s_allowAll = $"{{ \"@type\": {Types}envoy.extensions.filters.http.rbac.v3.RBAC, rules: {{ action: ALLOW, policies: {{ p: {{ permissions: [{{ any: true }}], principals: [{{ any: true }}] }} }} }} }}";
    private static readonly string s_mark = $"{{ \"@type\": {Types}envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {{ response_mutations: [{{ append: {{ header: {{ key: x-run, value: a }} }} }}] }} }}";

    // A limit that is used up.
    private static readonly string s_limit = $"{{ \"@type\": {Types}envoy.extensions.filters.http.fault.v3.HTTPFault, "
        + "abort: { http_status: 429, percentage: { numerator: 100 } } }";

    public Cases Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    private static string Cel(string text) => $"single_predicate: {{ input: {{ name: i, typed_config: {{ \"@type\": {Types}xds.type.matcher.v3.HttpAttributesCelMatchInput }} }}, "
        + $"custom_match: {{ name: c, typed_config: {{ \"@type\": {Types}xds.type.matcher.v3.CelMatcher, expr_match: {{ cel_expr_string: \"{text}\" }} }} }} }}";

    private static string Header(string name, string value) => $"single_predicate: {{ input: {{ name: i, typed_config: {{ \"@type\": "
        + $"{Types}envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: {name} }} }}, value_match: {{ exact: {value} }} }}";

    private static string End(string action) => $"{{ action: {{ name: {action}, typed_config: {{ \"@type\": {Types}envoy.config.rbac.v3.Action, name: {action}, action: {action} }} }} }}";

    private static string Run(string filter) => $"{{ action: {{ name: r, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.http.composite.v3.ExecuteFilterAction, typed_config: {{ name: f, typed_config: {filter} }} }} }} }}";

    private static string Tree(string predicate, string then, string? rest = null) =>
        $"{{ matcher_list: {{ matchers: [{{ predicate: {{ {predicate} }}, on_match: {then} }}] }}{(rest is null ? "" : $", on_no_match: {rest}")} }}";

    private static string Rules(string predicate, string then, string? rest = null) => Yaml.At("rbac.v3.RBACPerRoute", $"rbac: {{ matcher: {Tree(predicate, then, rest)} }}");

    private static string Host(string name, string more) => $$"""
        - name: {{name}}
          domains: [{{name}}]
          {{more}}

        """;

    private static string Judged(string name, string rule) =>
        Host(name, $"typed_per_filter_config: {{ guard: {rule} }}\n  routes: [{{ match: {{ prefix: / }}, route: {{ cluster: backend }} }}]");

    private static string On(string filter) => $"typed_per_filter_config: {{ {filter}: {Yaml.On} }}\n  routes: [{{ match: {{ prefix: / }}, route: {{ cluster: backend }} }}]";

    private static string Within(string name, string inner, string tree) =>
        $"- {{ name: {name}, disabled: true, typed_config: {{ \"@type\": {Types}envoy.extensions.common.matching.v3.ExtensionWithMatcher, extension_config: {{ name: i, typed_config: {inner} }}, xds_matcher: {tree} }} }}\n";

    public async ValueTask InitializeAsync()
    {
        string composite = $"{{ \"@type\": {Types}envoy.extensions.filters.http.composite.v3.Composite }}";
        string skip = $"{{ action: {{ name: s, typed_config: {{ \"@type\": {Types}envoy.extensions.filters.common.matcher.action.v3.SkipFilter }} }} }}";
        string route = $"{{ action: {{ name: r, typed_config: {{ \"@type\": {Types}envoy.config.route.v3.Route, match: {{ prefix: / }}, ";
        string hosts = Judged("deny", Rules(Cel(Admin), End("DENY"), End("ALLOW")))
            + Judged("level", Rules(Cel("int(request.headers['x-a']) < 5"), End("DENY"), End("ALLOW")))
            + Judged("not", Rules($"not_matcher: {{ {Cel("int(request.headers['x-a']) > 5")} }}", End("ALLOW")))
            + Judged("and", Rules($"and_matcher: {{ predicate: [{{ {Cel("int(request.headers['x-a']) > 5")} }}, {{ {Header("x-b", "b")} }}] }}", End("DENY"), End("ALLOW")))
            + Judged("or", Rules($"or_matcher: {{ predicate: [{{ {Cel("int(request.headers['x-a']) > 5")} }}, {{ {Header("x-b", "b")} }}] }}", End("ALLOW")))
            + Judged("either", Rules(Cel("int(request.headers['x-a']) > 5"), End("ALLOW"), End("ALLOW")))
            + Judged("nested", Rules(Header("x-b", "b"), $"{{ matcher: {Tree(Cel("int(request.headers['x-a']) > 5"), End("DENY"))} }}", End("ALLOW")))
            + Host("mixed", On("mixed")) + Host("limited", On("limited")) + Host("later", On("later"))
            + Host("skipped", On("skipped")) + Host("run", On("run")) + Host("several", On("several")) + Host("marked", On("marked"))
            + Host("routed", $"matcher: {Tree(Cel(Admin), $"{route}direct_response: {{ status: 403 }} }} }} }}", $"{route}route: {{ cluster: backend }} }} }} }}")}");
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [new TestCluster("backend", [Backend.Port])], filters: Yaml.Filter("guard", "rbac.v3.RBAC")
            + Within("skipped", s_denyAll, Tree($"not_matcher: {{ {Cel(Admin)} }}", skip))
            + Within("run", composite, Tree(Cel(Admin), Run(s_denyAll)))
            + Within("several", composite, Tree(Cel(Admin), Run(s_allowAll), Run(s_denyAll)))
            + Within("mixed", composite, Tree(Cel(Admin), Run(s_mark), Run(s_denyAll)))
            + Within("limited", composite, Tree(Cel(Admin), Run(s_limit)))
            + Within("later", composite, Tree(Header("x-b", "b"), $"{{ matcher: {Tree(Cel("int(request.headers['x-a']) > 5"), Run(s_limit))} }}"))
            + Within("marked", composite, Tree(Cel(Admin), Run(s_mark)))));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class ExpressionBypassTests(ExpressionBypassFixture fixture) : IClassFixture<ExpressionBypassFixture>
{
    // x-a has a text, or so many letters; an underscore leaves it out.
    [Theory]
    [InlineData("deny", "/ok", "10", 200)]
    [InlineData("deny", "/admin", "10", 403)]
    [InlineData("deny", "/admin", "45000", 403)]
    [InlineData("deny", "/admin", "50000", 403)]
    [InlineData("deny", "/admin", "55000", 403)]
    [InlineData("deny", "/ok", "_", 403)]
    [InlineData("level", "/", "=9", 200)]
    [InlineData("level", "/", "=4", 403)]
    [InlineData("level", "/", "=x", 403)]
    [InlineData("level", "/", "=", 403)]
    [InlineData("level", "/", "_", 403)]
    [InlineData("level", "/", "=-99999999999999999999", 403)]
    [InlineData("not", "/", "=1", 200)]
    [InlineData("not", "/", "=9", 403)]
    [InlineData("not", "/", "=x", 403)]
    [InlineData("not", "/", "_", 403)]
    [InlineData("and", "/", "=x", 200)]
    [InlineData("and", "/b", "=x", 403)]
    [InlineData("and", "/b", "=1", 200)]
    [InlineData("or", "/", "=x", 403)]
    [InlineData("or", "/b", "=x", 200)]
    [InlineData("either", "/", "=x", 200)]
    [InlineData("nested", "/b", "=x", 403)]
    [InlineData("nested", "/", "=x", 200)]
    [InlineData("nested", "/b", "=1", 200)]
    [InlineData("skipped", "/ok", "10", 200)]
    [InlineData("skipped", "/admin", "10", 403)]
    [InlineData("skipped", "/admin", "48000", 403)]
    [InlineData("skipped", "/ok", "_", 403)]
    [InlineData("run", "/ok", "10", 200)]
    [InlineData("run", "/admin", "10", 403)]
    [InlineData("run", "/admin", "48000", 403)]
    [InlineData("run", "/ok", "_", 403)]
    [InlineData("several", "/admin", "10", 200)]
    [InlineData("several", "/ok", "10", 403)]
    [InlineData("several", "/ok", "48000", 403)]
    [InlineData("marked", "/ok", "10", 200)]
    [InlineData("marked", "/ok", "_", 403)]
    [InlineData("marked", "/ok", "48000", 403)]
    [InlineData("mixed", "/ok", "10", 403)]
    [InlineData("mixed", "/ok", "_", 403)]
    [InlineData("limited", "/ok", "10", 200)]
    [InlineData("limited", "/admin", "10", 429)]
    [InlineData("limited", "/ok", "_", 403)]
    [InlineData("later", "/b", "=x", 403)]
    [InlineData("later", "/", "=x", 200)]
    [InlineData("routed", "/ok", "10", 200)]
    [InlineData("routed", "/admin", "10", 403)]
    [InlineData("routed", "/ok", "_", 200)]
    public async Task An_expression_that_a_client_makes_fail_lets_it_past_no_rule(string host, string target, string given, int status)
    {
        string x = given[0] switch
        {
            '_' => "",
            '=' => $"x-a: {given[1..]}\r\n",
            _ => $"x-a: {new string('x', int.Parse(given))}\r\n",
        };
        int before = fixture.Backend.Witness.Requests.Count;
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: {host}\r\n{x}{(target == "/b" ? "x-b: b\r\n" : "")}\r\n");
        Assert.Equal((status, status == 200 ? before + 1 : before), (answer.Status, fixture.Backend.Witness.Requests.Count));
        Assert.False(answer.Has("x-run"));
    }

    // A place is found without the rules of access; what costs too much finds none, wherever the rest would lead.
    [Fact]
    public async Task An_expression_that_costs_too_much_leads_to_no_route()
    {
        int before = fixture.Backend.Witness.Requests.Count;
        using RawClient client = await fixture.Proxy.ConnectAsync();
        Assert.Equal(404, (await client.ExchangeAsync($"GET /admin HTTP/1.1\r\nHost: routed\r\nx-a: {new string('x', 50_000)}\r\n\r\n")).Status);
        Assert.Equal(before, fixture.Backend.Witness.Requests.Count);
    }
}

public sealed class BypassTests
{
    private const string Jwt = "jwt_authn.v3.JwtAuthentication";
    private const string Key = "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    private const string Authz = "ext_authz.v3.ExtAuthz";
    private const string Gate = "grpc_service: { envoy_grpc: { cluster_name: service }, timeout: 20s }";
    private const string Limits = "domain: d, timeout: 20s, rate_limit_service: { transport_api_version: V3, grpc_service: { envoy_grpc: { cluster_name: service } } }";
    private const string Plain = """
        - match: { prefix: / }
          route: { cluster: backend, rate_limits: [{ actions: [{ generic_key: { descriptor_value: a } }] }] }
        """;

    private static string Providers(string more = "") => $"providers: {{ one: {{ issuer: me, local_jwks: {{ inline_string: '{Key}' }}{more} }} }}";

    private static Task<ProxyProcess> StartAsync(int backend, string filters, string routes = Plain, string manager = "", int service = 0, bool http2 = true)
    {
        List<TestCluster> clusters = [new("backend", [backend])];
        if (service > 0) clusters.Add(new TestCluster("service", [service], http2 ? Bootstraps.Http2Cluster : ""));
        return ProxyProcess.StartAsync(Bootstraps.Many(routes, clusters, manager, filters));
    }

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string target, string headers = "", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"{method} {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    }

    [Theory]
    [InlineData("{ match: { prefix: / }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { safe_regex: { regex: '/.*' } }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { path: / } }, { match: { prefix: / }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { safe_regex: { regex: '/|/health' } } }, { match: { prefix: / }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { prefix: /, headers: [{ name: x-a, present_match: true }] } }, { match: { prefix: / }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { connect_matcher: {} }, requires: { provider_name: one } }", 401)]
    [InlineData("{ match: { prefix: /a }, requires: { provider_name: one } }", 200)]
    [InlineData("{ match: { connect_matcher: {} } }, { match: { prefix: / }, requires: { provider_name: one } }", 200)]
    public async Task A_rule_for_all_paths_holds_for_tunnels_too(string rules, int status)
    {
        await using var witness = new Witness(async c => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await StartAsync(witness.Port, Yaml.Filter("j", Jwt, $"{Providers()}, rules: [{rules}]"),
            """
            - match: { connect_matcher: {} }
              route: { cluster: backend, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] }
            """, "upgrade_configs: [{ upgrade_type: CONNECT }]");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync(status == 200 ? "CONNECT" : "GET")).Status);
    }

    [Theory]
    [InlineData("", "OPTIONS", "origin: http://a\r\naccess-control-request-method: GET\r\n")]
    [InlineData("disabled: true", "GET", "")]
    [InlineData("requirement_name: none", "GET", "")]
    public async Task A_claim_that_a_client_says_itself_goes_whatever_the_filter_does_not_check(string said, string method, string headers)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        string routes = said.Length == 0 ? Plain
            : $"- {{ match: {{ prefix: / }}, route: {{ cluster: backend }}, typed_per_filter_config: {{ j: {Yaml.At("jwt_authn.v3.PerRouteConfig", said)} }} }}\n";
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("j", Jwt,
            $"{Providers(", forward_payload_header: x-claims, claim_to_headers: [{ header_name: x-user, claim_name: sub }]")}, requirement_map: {{ none: {{}} }}, "
            + "bypass_cors_preflight: true, rules: [{ match: { prefix: / }, requires: { provider_name: one } }]"), routes);
        Assert.Equal(200, (await AskAsync(proxy, path, $"{headers}x-user: admin\r\nX-Claims: e30\r\n", method)).Status);
        Assert.False(backend.Seen(path).Single().Has("x-user"));
        Assert.False(backend.Seen(path).Single().Has("x-claims"));
    }

    [Fact]
    public async Task Two_keys_in_one_place_let_nobody_in()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("k", "api_key_auth.v3.ApiKeyAuth",
            "credentials: [{ key: k1, client: one }], key_sources: [{ cookie: kc }, { query: key }]"));
        foreach ((string query, string headers, int status) in new[]
        {
            ("", "cookie: kc=k1\r\n", 200), ("", "cookie: a=1; kc=k1; kd=zz\r\n", 200), ("", "cookie: kc=k1; kc=zz\r\n", 401), ("", "cookie: kc=zz; kc=k1\r\n", 401),
            ("", "cookie: kc=k1; kc=k1\r\n", 401), ("", "cookie: kc=k1\r\ncookie: kc=zz\r\n", 401), ("", "cookie: kc=; kc=k1\r\n", 401), ("?key=k1", "cookie: kc=zz; kc=k1\r\n", 401),
            ("?key=k1", "", 200), ("?key=&key=k1", "", 401), ("?key=k1&key=", "", 401), ("?key=k1&%6bey=zz", "", 401), ("?key&key=k1", "", 401),
        })
            Assert.Equal((query, headers, status), (query, headers, (await AskAsync(proxy, path + query, headers)).Status));
    }

    // As services read them (RFC 9113 8.2.3): a rule, an expression and a gate see what the backend makes of it.
    [Theory]
    [InlineData("cookie: a=1\r\ncookie: b=2\r\n")]
    [InlineData("cookie: a=1\r\nx-a: b\r\nCookie: b=2\r\n")]
    [InlineData("cookie: a=1; b=2\r\n")]
    public async Task Lines_of_cookies_are_one(string headers)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using var gate = new Http2Backend();
        gate.At("/envoy.service.auth.v3.Authorization", async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            bool told = Encoding.Latin1.GetString(request.Body).Contains("a=1; b=2", StringComparison.Ordinal);
            await ReplyAsync(peer, request, told ? Ok() : Field(1, [8, 7]));
        });
        string rules = "rules: { policies: { p: { permissions: [{ header: { name: cookie, string_match: { exact: \"a=1; b=2\" } } }], principals: [{ any: true }], condition: "
            + "{ call_expr: { function: _==_, args: [{ call_expr: { function: \"_[_]\", args: [{ select_expr: { operand: { ident_expr: { name: request } }, field: headers } }, "
            + "{ const_expr: { string_value: cookie } }] } }, { const_expr: { string_value: \"a=1; b=2\" } }] } } } } }";
        string matcher = "matcher: { matcher_tree: { input: { name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: cookie } }, "
            + "exact_match_map: { map: { \"a=1; b=2\": { action: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.rbac.v3.Action, name: a, action: ALLOW } } } } } } }";
        await using ProxyProcess proxy = await StartAsync(backend.Port,
            Yaml.Filter("r", "rbac.v3.RBAC", rules) + Yaml.Filter("m", "rbac.v3.RBAC", matcher) + Yaml.Filter("a", Authz, Gate), service: gate.Port);
        Assert.Equal(200, (await AskAsync(proxy, path, headers)).Status);
    }

    private static byte[] Field(int number, params byte[] value)
    {
        int length = value.Length;
        return length < 128 ? [(byte)(number << 3 | 2), (byte)length, .. value] : [(byte)(number << 3 | 2), (byte)(length & 127 | 128), (byte)(length >> 7), .. value];
    }

    private static byte[] Header(string name, string value) => [.. Field(1, Encoding.Latin1.GetBytes(name)), .. Field(2, Encoding.Latin1.GetBytes(value))];

    // A CheckResponse that lets in: status 0, an OkHttpResponse of these fields.
    private static byte[] Ok(params byte[][] headers) => [10, 0, .. Field(3, [.. headers.SelectMany(h => Field(2, Field(1, h)))])];

    private static Task ReplyAsync(Http2Peer peer, Http2Message request, byte[] message) => Http2Backend.AnswerAsync(
        peer, request, [(":status", "200"), ("content-type", "application/grpc")], [0, 0, 0, (byte)(message.Length >> 8), (byte)message.Length, .. message], [("grpc-status", "0")]);

    private static Http2Backend Answering(string path, byte[] message)
    {
        var service = new Http2Backend();
        service.At(path, async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            await ReplyAsync(peer, request, message);
        });
        return service;
    }

    [Theory]
    [InlineData("x-user", "bob\n")]
    [InlineData("x-user", "bob\0")]
    [InlineData("x-user", "bo\rb")]
    [InlineData(":path", "/a#frag")]
    [InlineData(":path", "/a b")]
    [InlineData(":path", "a")]
    [InlineData(":authority", "a\n")]
    [InlineData("host", "")]
    public async Task What_a_gate_says_that_cannot_be_passed_on_counts_as_no_answer(string name, string value)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using Http2Backend gate = Answering("/envoy.service.auth.v3.Authorization", Ok(Header("x-other", "a"), Header(name, value)));
        foreach (bool allows in (bool[])[false, true])
        {
            int before = backend.Witness.Requests.Count;
            await using ProxyProcess proxy = await StartAsync(
                backend.Port, Yaml.Filter("a", Authz, $"{Gate}, failure_mode_allow: {(allows ? "true" : "false")}"), service: gate.Port);
            Assert.Equal(allows ? 200 : 403, (await AskAsync(proxy, path, "x-user: admin\r\nX-Other: admin\r\n")).Status);
            Assert.Equal(1, await proxy.StatAsync("http.test.ext_authz.error"));
            HttpMessage[] seen = [.. backend.Witness.Requests.Skip(before)];
            Assert.Equal(allows ? 1 : 0, seen.Length);
            // Nobody's word for what it was to say.
            if (allows) Assert.Equal((path, name != "x-user", false), (seen[0].Target, seen[0].Has("x-user"), seen[0].Has("x-other")));
        }
    }

    [Fact]
    public async Task A_field_that_a_gate_by_HTTP_takes_back_is_no_answer()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using var gate = new Cases();
        gate.At(path, (connection, _) => connection.SendAsync("HTTP/1.1 200 OK\r\nx-user: bob\r\nconnection: x-user\r\ncontent-length: 0\r\n\r\n"));
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("a", Authz,
            "http_service: { server_uri: { uri: 'http://s/', cluster: service, timeout: 20s }, authorization_response: { allowed_upstream_headers: { patterns: [{ exact: x-user }] } } }"),
            service: gate.Port, http2: false);
        Assert.Equal(403, (await AskAsync(proxy, path, "x-user: admin\r\n")).Status);
        Assert.Empty(backend.Witness.Requests);
    }

    [Fact]
    public async Task What_a_limiter_says_that_cannot_be_passed_on_leaves_nothing_of_that_name()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        // OK, request_headers_to_add.
        await using Http2Backend limiter = Answering("/envoy.service.ratelimit.v3.RateLimitService",
            [8, 1, .. Field(4, Header("x-user", "bob\n")), .. Field(4, Header("x-good", "b"))]);
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("r", "ratelimit.v3.RateLimit", Limits), service: limiter.Port);
        Assert.Equal(200, (await AskAsync(proxy, path, "x-user: admin\r\nx-good: a\r\n")).Status);
        Assert.False(backend.Seen(path).Single().Has("x-user"));
        Assert.Equal(["a", "b"], backend.Seen(path).Single().All("x-good"));
    }

    [Fact]
    public async Task What_a_limiter_says_of_limits_cannot_break_out_of_the_headers_that_tell_it()
    {
        await using var backend = new Cases();
        // Two statuses: of 5 a second, named a"b, 2 left, for 2^64-1 seconds; and of 9 a second, named ok.
        byte[] Status(string name, byte most, byte left, byte[] until) =>
            [8, 1, .. Field(2, [8, most, 16, 1, .. Field(3, Encoding.Latin1.GetBytes(name))]), 24, left, .. Field(4, until)];
        await using Http2Backend limiter = Answering("/envoy.service.ratelimit.v3.RateLimitService",
            [8, 1, .. Field(2, Status("a\";b=\"", 5, 2, [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])), .. Field(2, Status("ok", 9, 7, [8, 1]))]);
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, Yaml.Filter("r", "ratelimit.v3.RateLimit", $"{Limits}, enable_x_ratelimit_headers: DRAFT_VERSION_03"), service: limiter.Port);
        HttpMessage answer = await AskAsync(proxy, backend.Echo());
        Assert.Equal(("5, 5;w=1, 9;w=1;name=\"ok\"", "2", "0"),
            (answer.Header("x-ratelimit-limit"), answer.Header("x-ratelimit-remaining"), answer.Header("x-ratelimit-reset")));
    }

    [Fact]
    public async Task A_denial_sets_all_cookies_that_the_gate_says()
    {
        await using var backend = new Cases();
        byte[] denied = Field(2, [.. Field(1, [8, 145, 3]), .. new[] { Header("set-cookie", "a=1"), Header("set-cookie", "b=2"), Header("www-authenticate", "A"), Header("www-authenticate", "B") }
            .SelectMany(h => Field(2, Field(1, h)))]);
        await using Http2Backend gate = Answering("/envoy.service.auth.v3.Authorization", [10, 2, 8, 16, .. denied]);
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("a", Authz, Gate), service: gate.Port);
        HttpMessage answer = await AskAsync(proxy, "/x");
        Assert.Equal(401, answer.Status);
        Assert.Equal(["a=1", "b=2"], answer.All("set-cookie"));
        Assert.Equal(["A", "B"], answer.All("www-authenticate"));
    }
}

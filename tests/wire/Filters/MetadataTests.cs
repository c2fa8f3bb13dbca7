// What filters say of a request: who may read it, for how long, and that strangers cannot say more than they are asked.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class MetadataTests
{
    private const string Header = "header_to_metadata.v3.Config";
    private const string Shown = """
        - match: { prefix: / }
          route: { cluster: backend }
          request_headers_to_add:
          - { header: { key: x-shown, value: "%DYNAMIC_METADATA(who)%" } }
          - { header: { key: x-kept, value: "%FILTER_STATE(k:PLAIN)%" } }
        """;

    private static Task<ProxyProcess> StartAsync(Cases backend, string filters, string routes = Shown) =>
        ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("backend", [backend.Port])], filters: filters));

    private static string Rule(string rule) => Yaml.Filter("h", Header, $"request_rules: [{rule}]");

    private static string State(string more, string value = "%REQ(x-a)%", string key = "k") =>
        $"{{ object_key: {key}, factory_key: envoy.string, {more}"
        + $"format_string: {{ omit_empty_values: true, text_format_source: {{ inline_string: \"{value}\" }} }} }}";

    private static async Task<HttpMessage> SeenAsync(RawClient client, Cases backend, string path, string headers)
    {
        Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).Status);
        return backend.Seen(path)[^1];
    }

    [Fact]
    public async Task What_was_said_of_one_request_is_not_said_of_the_next()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend,
            Rule("{ header: x-a, on_header_present: { metadata_namespace: who, key: a } }")
            + Yaml.Filter("s", "set_filter_state.v3.Config", $"on_request_headers: [{State("skip_if_empty: true, ")}]"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            HttpMessage first = await SeenAsync(client, backend, path, "X-A: one\r\n");
            Assert.Equal(("{\"a\":\"one\"}", "one"), (first.Header("x-shown"), first.Header("x-kept")));
            HttpMessage second = await SeenAsync(client, backend, path, "");
            Assert.Equal((false, false), (second.Has("x-shown"), second.Has("x-kept")));
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("X-A: \r\n", null)]
    [InlineData("X-A: 1\r\nX-A: 2\r\n", "{\"a\":\"1,2\"}")]
    [InlineData("X-A: \"},\"b\":\"x\r\n", "{\"a\":\"\\\"},\\\"b\\\":\\\"x\"}")]
    [InlineData("X-A: caf\u00e9\r\n", "{\"a\":\"caf\\u00c3\\u00a9\"}")]
    public async Task A_header_says_one_value_and_no_other(string headers, string? shown)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend,
            Rule("{ header: x-a, on_header_present: { metadata_namespace: who, key: a }, remove: true }"));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage seen = await SeenAsync(client, backend, path, headers);
        Assert.False(seen.Has("x-a"));
        if (shown is null) Assert.False(seen.Has("x-shown"));
        else if (shown.Contains("caf", StringComparison.Ordinal)) Assert.StartsWith("{\"a\":\"caf", seen.Header("x-shown"));
        else Assert.Equal(shown, seen.Header("x-shown"));
    }

    [Theory]
    [InlineData("type: NUMBER", "12e1", "120")]
    [InlineData("type: NUMBER", "0x10", null)]
    [InlineData("type: NUMBER", "1 2", null)]
    [InlineData("type: NUMBER", "NaN", null)]
    [InlineData("encode: BASE64", "aGk", "\"hi\"")]
    [InlineData("encode: BASE64", "aGk=", "\"hi\"")]
    [InlineData("encode: BASE64", "a", null)]
    [InlineData("encode: BASE64", "!!!!", null)]
    [InlineData("encode: BASE64, type: NUMBER", "Nw==", "7")]
    public async Task What_is_not_of_the_wanted_kind_is_left_out(string rule, string value, string? shown)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend,
            Rule($"{{ header: x-a, on_header_present: {{ metadata_namespace: who, key: a, {rule} }} }}"));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage seen = await SeenAsync(client, backend, path, $"X-A: {value}\r\n");
        if (shown is null) Assert.False(seen.Has("x-shown"));
        else Assert.Equal($"{{\"a\":{shown}}}", seen.Header("x-shown"));
    }

    [Fact]
    public async Task A_value_that_is_too_long_is_left_out_and_the_request_goes_on()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend,
            Rule("{ header: x-a, on_header_present: { metadata_namespace: who, key: a } }"));
        using RawClient client = await proxy.ConnectAsync();
        Assert.False((await SeenAsync(client, backend, path, $"X-A: {new string('a', 8192)}\r\n")).Has("x-shown"));
        Assert.Equal(8191 + "{\"a\":\"\"}".Length,
            (await SeenAsync(client, backend, path, $"X-A: {new string('a', 8191)}\r\n")).Header("x-shown")!.Length);
    }

    [Fact]
    public async Task What_is_kept_for_good_is_not_replaced_and_the_newest_of_the_others_counts()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        string values = string.Join(", ", State("", "first"), State("read_only: true, ", "second"), State("", "third"));
        string once = Yaml.Filter("s", "set_filter_state.v3.Config", $"on_request_headers: [{values}]");
        await using ProxyProcess proxy = await StartAsync(backend, once);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("second", (await SeenAsync(client, backend, path, "")).Header("x-kept"));
    }

    [Fact]
    public async Task A_route_is_chosen_by_what_filters_said_where_one_has_it_chosen_again()
    {
        await using var backend = new Cases();
        string gold = backend.Echo();
        const string Routes = """
            - match: { prefix: /, dynamic_metadata: [ { filter: who, path: [ { key: plan } ], value: { string_match: { exact: gold } } } ] }
              route: { cluster: backend }
            - match: { prefix: /, filter_state: [ { key: k, string_match: { prefix: sil } } ] }
              direct_response: { status: 203 }
            - match: { prefix: / }
              direct_response: { status: 404 }
            """;
        string said = Rule("{ header: x-plan, on_header_present: { metadata_namespace: who, key: plan } }");
        await using ProxyProcess proxy = await StartAsync(backend, said
            + Yaml.Filter("s", "set_filter_state.v3.Config", $"on_request_headers: [{State("", "%REQ(x-a)%")}], clear_route_cache: true"),
            Routes);
        using RawClient client = await proxy.ConnectAsync();
        foreach ((string headers, int status) in new[] { ("X-Plan: gold\r\n", 200), ("X-Plan: golden\r\n", 404), ("X-A: silver\r\n", 203),
            ("X-Plan: x\r\nX-A: s\r\n", 404), ("", 404) })
            Assert.Equal(status, (await client.ExchangeAsync($"GET {gold} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).Status);
        await using ProxyProcess late = await StartAsync(backend, said, Routes);
        using RawClient other = await late.ConnectAsync();
        Assert.Equal(404, (await other.ExchangeAsync($"GET {gold} HTTP/1.1\r\nHost: x\r\nX-Plan: gold\r\n\r\n")).Status);
    }
}

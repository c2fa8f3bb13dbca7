// Requests that get a credential of this workload: from secrets that change, and from a server that gives out tokens.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class CredentialTests : IAsyncDisposable
{
    private const string Generic = "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic";
    private const string Grant = "type.googleapis.com/envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2";
    private readonly Cases _app = new();
    private readonly AuthorizationServer _server = new();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _server.DisposeAsync();
    }

    private static string Filter(string credential, string more = "") =>
        Yaml.Filter("c", "credential_injector.v3.CredentialInjector", $"credential: {{ name: x, typed_config: {{ {credential} }} }}{more}");

    private static string Token(string more = "", string auth = "") =>
        $"\"@type\": {Grant}, token_endpoint: {{ cluster: idp, uri: \"http://idp.test/token\", timeout: 20s }}, "
        + $"client_credentials: {{ client_id: shop, client_secret: {{ name: token }}{auth} }}{more}";

    private Task<ProxyProcess> StartAsync(string filter, string secrets = OAuthTests.Secrets) => ProxyProcess.StartAsync(
        Bootstraps.Many(
            "- { match: { prefix: / }, route: { cluster: backend } }",
            [new TestCluster("backend", [_app.Port]), new TestCluster("idp", [_server.Port])], filters: filter)
            .Replace("static_resources:\n", $"static_resources:\n{secrets}", StringComparison.Ordinal));

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string target, string headers = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    }

    [Theory]
    [InlineData("", "own", "own")]
    [InlineData(", overwrite: true", "own", "s3cret")]
    [InlineData("", null, "s3cret")]
    public async Task A_secret_stands_in_its_header_and_a_clients_own_only_where_it_may(string more, string? own, string seen)
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync(Filter($"\"@type\": {Generic}, header: X-Key, credential: {{ name: token }}", more));
        Assert.Equal(200, (await AskAsync(proxy, path, own is null ? "" : $"x-key: {own}\r\nX-KEY: {own}\r\n")).Status);
        Assert.Equal(seen, _app.Seen(path).Single().All("x-key").Distinct().Single());
        Assert.Equal(own is null || more.Length > 0 ? 1 : 0, await proxy.StatAsync("http.test.credential_injector.injected"));
    }

    [Fact]
    public async Task A_secret_from_a_watched_file_is_replaced_and_never_shown()
    {
        using var folder = new TempFolder();
        string path = _app.Echo(), file = folder.At("s.json");
        SdsFile.Write(file, ("key", "Basic first-secret"));
        await using ProxyProcess proxy = await StartAsync(
            Filter($"\"@type\": {Generic}, credential: {{ name: key, sds_config: {{ path_config_source: {{ path: {file} }} }} }}"), "");
        Assert.Equal(200, (await AskAsync(proxy, path)).Status);
        Assert.Equal("Basic first-secret", _app.Seen(path).Last().Header("authorization"));
        SdsFile.Write(file, ("key", "Basic second-secret"));
        await Waiting.UntilAsync(
            async () => (await AskAsync(proxy, path)).Status == 200 && _app.Seen(path).Last().Header("authorization") == "Basic second-secret", "the new secret");
        // What may not stand in a header is none, and the client's own does not take its place.
        SdsFile.Write(file, ("key", "Basic a\r\nx-evil: 1"));
        await Waiting.UntilAsync(async () => (await AskAsync(proxy, path)).Status == 401, "a secret that is no value of a header");
        Assert.DoesNotContain(_app.Seen(path), r => r.Has("x-evil"));
        string shown = await proxy.Admin.GetStringAsync("/config_dump", TestContext.Current.CancellationToken) + proxy.Child.Output + proxy.Child.Error;
        Assert.DoesNotContain("-secret", shown.Replace("generic_secret", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_in_a_file_of_its_own_is_read_again_when_it_changes()
    {
        using var folder = new TempFolder();
        string path = _app.Echo(), file = folder.At("key");
        await File.WriteAllTextAsync(file, "Bearer one\n", TestContext.Current.CancellationToken);
        await using ProxyProcess proxy = await StartAsync(
            Filter($"\"@type\": {Generic}, credential: {{ name: key }}"), $"  secrets: [{{ name: key, generic_secret: {{ secret: {{ filename: {file} }} }} }}]\n");
        Assert.Equal(200, (await AskAsync(proxy, path)).Status);
        Assert.Equal("Bearer one", _app.Seen(path).Last().Header("authorization"));
        await File.WriteAllTextAsync(folder.At("new"), "Bearer two", TestContext.Current.CancellationToken);
        File.Move(folder.At("new"), file, overwrite: true);
        await Waiting.UntilAsync(async () => (await AskAsync(proxy, path)).Status == 200 && _app.Seen(path).Last().Header("authorization") == "Bearer two", "the new text");
    }

    [Theory]
    [InlineData("", 401)]
    [InlineData(", allow_request_without_credential: true", 200)]
    public async Task Without_a_credential_a_request_is_refused_or_goes_on_without(string more, int status)
    {
        using var folder = new TempFolder();
        string path = _app.Echo(), file = folder.At("s.json");
        SdsFile.Write(file, ("else", "x"));
        await using ProxyProcess proxy = await StartAsync(
            Filter($"\"@type\": {Generic}, credential: {{ name: key, sds_config: {{ initial_fetch_timeout: 0.2s, path_config_source: {{ path: {file} }} }} }}", more), "");
        HttpMessage answer = await AskAsync(proxy, path);
        Assert.Equal(status, answer.Status);
        if (status == 401) Assert.Equal("Failed to inject credential.", answer.Text);
        Assert.Equal(1, await proxy.StatAsync("http.test.credential_injector.failed"));
    }

    [Fact]
    public async Task One_token_is_asked_for_and_serves_all_requests_of_all_workers()
    {
        string path = _app.Echo();
        await using ProxyProcess proxy = await StartAsync(Filter(Token(", scopes: [a, b]")));
        HttpMessage[] answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => AskAsync(proxy, path)));
        Assert.All(answers, a => Assert.Equal(200, a.Status));
        string token = Assert.Single(_server.Given);
        Assert.All(_app.Seen(path), r => Assert.Equal($"Bearer {token}", r.Header("authorization")));
        HttpMessage asked = Assert.Single(_server.Asked);
        Assert.Equal("grant_type=client_credentials&scope=a%20b", asked.Text);
        Assert.Equal("Basic " + Convert.ToBase64String("shop:s3cret"u8), asked.Header("authorization"));
        Assert.Equal(1, await proxy.StatAsync("http.test.credential_injector.oauth2.token_fetched"));
    }

    [Fact]
    public async Task A_token_is_renewed_before_it_ends_and_no_request_waits_for_that()
    {
        string path = _app.Echo();
        _server.ExpiresIn = 2;
        await using ProxyProcess proxy = await StartAsync(Filter(Token("", ", auth_type: URL_ENCODED_BODY")));
        await Waiting.UntilAsync(
            async () =>
            {
                Assert.Equal(200, (await AskAsync(proxy, path)).Status);
                return _app.Seen(path).Select(r => r.Header("authorization")).Distinct().Count() >= 2;
            },
            "a second token");
        Assert.Equal("grant_type=client_credentials&client_id=shop&client_secret=s3cret", _server.Asked[0].Text);
    }

    [Theory]
    [InlineData("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", "token_fetch_failed_on_bad_response_code")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "token_fetch_failed_on_bad_token")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"access_token\":\"a b\"} ", "token_fetch_failed_on_bad_token")]
    [InlineData("", "token_fetch_failed_on_stream_reset")]
    public async Task A_server_that_gives_no_token_is_not_asked_by_every_request(string said, string counter)
    {
        string path = _app.Echo();
        _server.Lie = async (connection, _) =>
        {
            if (said.Length == 0) connection.Reset();
            else await connection.SendAsync(said);
            return true;
        };
        await using ProxyProcess proxy = await StartAsync(Filter(Token(", token_fetch_retry_interval: 60s")));
        for (int i = 0; i < 5; i++) Assert.Equal(401, (await AskAsync(proxy, path, "X-Own: 1\r\n")).Status);
        // Before the first request, and by it.
        Assert.InRange(_server.Asked.Count, 1, 2);
        Assert.Equal(_server.Asked.Count, await proxy.StatAsync($"http.test.credential_injector.oauth2.{counter}"));
        Assert.Empty(_app.Seen(path));
    }

    [Fact]
    public async Task A_clusters_own_filter_puts_it_into_each_try()
    {
        string path = _app.Echo();
        string filters = Bootstraps.Indent(Filter($"\"@type\": {Generic}, credential: {{ name: token }}"), 4);
        string options = "typed_extension_protocol_options:\n  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
            + "    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n    explicit_http_config: { http_protocol_options: {} }\n    http_filters:\n"
            + $"{filters}\n    - name: envoy.filters.http.upstream_codec\n      typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec }}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(_app.Port, cluster: options).Replace("static_resources:\n", $"static_resources:\n{OAuthTests.Secrets}", StringComparison.Ordinal));
        Assert.Equal(200, (await AskAsync(proxy, path)).Status);
        Assert.Equal("s3cret", _app.Seen(path).Single().Header("authorization"));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.credential_injector.injected"));
    }
}

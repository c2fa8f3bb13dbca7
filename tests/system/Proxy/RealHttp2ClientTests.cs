// HTTP/2 clients that others wrote, in every mix of versions: curl, nghttp, h2load.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class RealHttp2ClientFixture : IAsyncLifetime
{
    public Cases Http1 { get; } = new();

    public Http2Backend Http2 { get; } = new();

    public TempFolder Folder { get; } = new();

    private ProxyProcess _toHttp1 = null!;
    private ProxyProcess _toHttp2 = null!;

    public async ValueTask InitializeAsync()
    {
        Http1.Witness.KeepsBytes = false;
        Http2.OnConnection = peer => peer.KeepsFrames = false;
        _toHttp1 = await ProxyProcess.StartAsync(Bootstraps.One(Http1.Port, route: "timeout: 0s"));
        _toHttp2 = await ProxyProcess.StartAsync(Bootstraps.One(Http2.Port, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster));
    }

    public ProxyProcess To(int version) => version == 1 ? _toHttp1 : _toHttp2;

    public string Large(int version)
    {
        const int size = 3_000_000;
        return version == 1
            ? Http1.Answer($"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{new string('l', size)}")
            : Http2.Answer([(":status", "200")], System.Text.Encoding.ASCII.GetBytes(new string('l', size)));
    }

    public async ValueTask DisposeAsync()
    {
        await _toHttp1.DisposeAsync();
        await _toHttp2.DisposeAsync();
        await Http1.DisposeAsync();
        await Http2.DisposeAsync();
        Folder.Dispose();
    }
}

public sealed class RealHttp2ClientTests(RealHttp2ClientFixture fixture) : IClassFixture<RealHttp2ClientFixture>
{
    private Task<ProcessResult> RunAsync(string program, string package, params string[] arguments) =>
        ChildProcess.RunAsync(Tools.Path(program, package), arguments, fixture.Folder.Root);

    private Task<ProcessResult> CurlAsync(params string[] arguments) => RunAsync("curl", "curl", ["-sS", "--noproxy", "*", "--max-time", "30", .. arguments]);

    [Theory]
    [InlineData("--http2-prior-knowledge", 1)]
    [InlineData("--http2-prior-knowledge", 2)]
    [InlineData("--http1.1", 2)]
    public async Task Curl_gets_posts_and_sees_heads(string version, int up)
    {
        string url = fixture.To(up).Url;
        ProcessResult get = await CurlAsync(version, "-i", "-H", "Cookie: a=1", $"{url}/echo?q=1");
        Assert.Contains(version == "--http1.1" ? "HTTP/1.1 200" : "HTTP/2 200", get.Output);
        Assert.Contains(up == 1 ? "GET /echo?q=1 HTTP/1.1" : ":path: /echo?q=1", get.Output);
        string file = fixture.Folder.Write("upload", new string('u', 400_000));
        Assert.Contains(new string('u', 400_000), (await CurlAsync(version, "-T", file, $"{url}/echo")).Output);
        Assert.Contains(new string('u', 400_000), (await CurlAsync(version, "--data-binary", "@" + file, "-H", "Expect: 100-continue", $"{url}/echo")).Output);
        ProcessResult head = await CurlAsync(version, "-I", $"{url}/echo");
        Assert.Contains(" 200", head.Output);
        Assert.Equal(3_000_000, (await CurlAsync(version, url + fixture.Large(up))).Output.TrimEnd('\n').Length);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Nghttp_has_many_streams_on_one_connection(int up)
    {
        string url = fixture.To(up).Url;
        ProcessResult result = await RunAsync("nghttp", "nghttp2-client", [.. Enumerable.Range(0, 50).Select(i => $"{url}/many/{i}")]);
        Assert.True(result.ExitCode == 0, result.All);
        for (int i = 0; i < 50; i++) Assert.Contains($"/many/{i}", result.Output);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Nghttp_is_served_with_padding_trailers_and_priorities(int up)
    {
        string file = fixture.Folder.Write("data", new string('d', 100_000));
        string[] arguments = ["--padding=64", "--trailer", "x-sum: 1", "--data", file, "--weight=200", $"{fixture.To(up).Url}/echo"];
        ProcessResult result = await RunAsync("nghttp", "nghttp2-client", arguments);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains(new string('d', 100_000), result.Output);
        result = await RunAsync("nghttp", "nghttp2-client", ["-nv", .. arguments]);
        Assert.Contains(":status: 200", result.Output);
    }

    [Theory]
    [InlineData("h2", 1, 4)]
    [InlineData("h2", 2, 4)]
    [InlineData("h2", 1, 100)]
    [InlineData("h2", 2, 100)]
    [InlineData("h1", 2, 1)]
    public async Task H2load_meets_no_error(string version, int up, int streams)
    {
        string path = up == 1 ? fixture.Http1.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") : fixture.Http2.Answer([(":status", "200")], "ok"u8.ToArray());
        string[] arguments = ["-n4000", "-c8", $"-m{streams}", fixture.To(up).Url + path];
        ProcessResult result = await RunAsync("h2load", "nghttp2-client", version == "h1" ? ["--h1", .. arguments] : arguments);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains("4000 succeeded, 0 failed, 0 errored, 0 timeout", result.Output);
        Assert.Contains("4000 2xx", result.Output);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task H2load_with_content_meets_no_error(int up)
    {
        string file = fixture.Folder.Write("body", new string('b', 50_000));
        ProcessResult result = await RunAsync("h2load", "nghttp2-client", "-n300", "-c4", "-m8", "-d", file, $"{fixture.To(up).Url}/echo");
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains("300 succeeded, 0 failed, 0 errored, 0 timeout", result.Output);
    }

    [Fact]
    public async Task Nothing_is_left_over()
    {
        foreach (int up in new[] { 1, 2 })
        {
            await Waiting.UntilAsync(async () => await fixture.To(up).StatAsync("http.test.downstream_rq_active") == 0, "requests to be over");
            await Waiting.UntilAsync(async () => await fixture.To(up).StatAsync("cluster.backend.upstream_rq_active") == 0, "requests upstream to be over");
        }
    }
}

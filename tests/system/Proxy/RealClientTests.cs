// Clients that others wrote: curl, wrk, h2load. What they expect of a server is part of what we promise.
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class RealClientFixture : IAsyncLifetime
{
    public Cases Backend { get; } = new();

    public ProxyProcess Proxy { get; private set; } = null!;

    public TempFolder Folder { get; } = new();

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.One(Backend.Port, route: "timeout: 0s"));

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        Folder.Dispose();
    }
}

public sealed class RealClientTests(RealClientFixture fixture) : IClassFixture<RealClientFixture>
{
    private async Task<ProcessResult> CurlAsync(params string[] arguments) =>
        await ChildProcess.RunAsync(Tools.Path("curl", "curl"), ["-sS", "--noproxy", "*", "--max-time", "30", .. arguments], fixture.Folder.Root);

    private string Url(string path) => fixture.Proxy.Url + path;

    [Fact]
    public async Task Curl_gets_posts_and_puts()
    {
        string path = fixture.Backend.Echo();
        Assert.StartsWith($"GET {path}", (await CurlAsync(Url(path))).Output);
        Assert.EndsWith("\n\na=b\n", (await CurlAsync("-d", "a=b", Url(path))).Output);
        string file = fixture.Folder.Write("upload", new string('u', 200_000));
        Assert.Contains(new string('u', 200_000), (await CurlAsync("-T", file, Url(path + "/"))).Output);
        Assert.Contains(new string('u', 200_000), (await CurlAsync("-T", file, "-H", "Transfer-Encoding: chunked", Url(path + "/"))).Output);
    }

    [Fact]
    public async Task Curl_waits_for_100_continue()
    {
        string file = fixture.Folder.Write("expect", new string('e', 100_000));
        ProcessResult result = await CurlAsync("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "25", "-d", "@" + file, Url(fixture.Backend.Echo()));
        Assert.Contains("100 Continue", result.Error);
        Assert.Contains(new string('e', 100_000), result.Output);
    }

    [Fact]
    public async Task Curl_reuses_its_connection()
    {
        string url = Url(fixture.Backend.Echo());
        ProcessResult result = await CurlAsync("-v", url, url, url);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(2, Regex.Count(result.Error, "Re-using existing connection"));
    }

    [Fact]
    public async Task Curl_speaks_head_and_ranges_and_is_told_where_http_1_0_is_not_spoken()
    {
        string path = fixture.Backend.Echo();
        Assert.StartsWith("NARU-D426 ", (await CurlAsync("--http1.0", Url(path))).Output);
        Assert.Contains("HTTP/1.1 200 OK", (await CurlAsync("-I", Url(path))).Output);
        Assert.Contains("\nRange: bytes=0-3\n", (await CurlAsync("-r", "0-3", Url(path))).Output);
    }

    [Fact]
    public async Task Curl_follows_what_the_backend_redirects()
    {
        string target = fixture.Backend.Echo();
        string path = fixture.Backend.Answer($"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        Assert.StartsWith($"GET {target}", (await CurlAsync("-L", Url(path))).Output);
    }

    [Fact]
    public async Task Curl_decodes_what_the_backend_compressed()
    {
        using var packed = new MemoryStream();
        using (var gzip = new System.IO.Compression.GZipStream(packed, System.IO.Compression.CompressionMode.Compress, leaveOpen: true)) gzip.Write("plain words"u8);
        byte[] bytes = packed.ToArray();
        string path = fixture.Backend.Add(async (c, head) =>
        {
            await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {bytes.Length}\r\n\r\n");
            await c.SendAsync(bytes);
        });
        Assert.Equal("plain words\n", (await CurlAsync("--compressed", Url(path))).Output);
    }

    [Fact]
    public async Task Wrk_meets_no_error()
    {
        string path = fixture.Backend.Echo();
        ProcessResult result = await ChildProcess.RunAsync(Tools.Path("wrk", "wrk"), ["-t1", "-c32", "-d2s", Url(path)]);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.DoesNotContain("Socket errors", result.Output);
        Assert.DoesNotContain("Non-2xx", result.Output);
        Assert.Matches(@"[1-9]\d* requests in", result.Output);
    }

    [Fact]
    public async Task H2load_over_http_1_1_meets_no_error()
    {
        ProcessResult result = await ChildProcess.RunAsync(Tools.Path("h2load", "nghttp2-client"), ["--h1", "-n5000", "-c20", "-m4", Url(fixture.Backend.Echo())]);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains("5000 succeeded, 0 failed, 0 errored, 0 timeout", result.Output);
        Assert.Contains("5000 2xx", result.Output);
    }
}

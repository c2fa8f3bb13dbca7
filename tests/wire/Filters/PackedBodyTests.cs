// Bodies that are packed and unpacked on their way, as clients and backends meet them: who asked for what, what is left alone, streams of
// events, bodies that are no good, and the ledger behind all of it.
using System.IO.Compression;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class PackedBodyTests
{
    private const string Route = "- { match: { prefix: / }, route: { cluster: backend } }";
    private const string Gzip = "{ name: z, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip } }";
    private const string Brotli = "{ name: b, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.compression.brotli.compressor.v3.Brotli } }";
    private const string Gunzip = "{ name: g, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip } }";
    private const string Unbrotli = "{ name: b, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.compression.brotli.decompressor.v3.Brotli } }";

    private static string Pack(string library = Gzip, string more = "", string name = "pack") =>
        Yaml.Filter(name, "compressor.v3.Compressor", $"compressor_library: {library}{more}");

    private static string Unpack(string library = Gunzip, string more = "") =>
        Yaml.Filter("unpack", "decompressor.v3.Decompressor", $"decompressor_library: {library}{more}");

    private static Task<ProxyProcess> StartAsync(Cases backend, string filters, string routes = Route) =>
        ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("backend", [backend.Port])], filters: filters), new ProxyOptions { Concurrency = 1 });

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string headers = "Accept-Encoding: gzip\r\n", string method = "GET", byte[]? body = null)
    {
        using RawClient client = await proxy.ConnectAsync();
        string length = body is null ? "" : $"Content-Length: {body.Length}\r\n";
        await client.SendAsync((byte[])[.. Encoding.Latin1.GetBytes($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n"), .. body ?? []]);
        return await client.ResponseAsync(method);
    }

    private static byte[] Text(int length) => Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, length / 8 + 1).Select(i => $"{i * 7919 % 9973:D7} "))[..length]);

    private static byte[] Zipped(byte[] plain)
    {
        using var into = new MemoryStream();
        using (var zip = new GZipStream(into, CompressionLevel.Optimal)) zip.Write(plain);
        return into.ToArray();
    }

    private static byte[] Brotlied(byte[] plain)
    {
        using var into = new MemoryStream();
        using (var zip = new BrotliStream(into, CompressionLevel.Optimal)) zip.Write(plain);
        return into.ToArray();
    }

    private static byte[] Plain(byte[] packed, string coding)
    {
        using Stream from = coding == "gzip" ? new GZipStream(new MemoryStream(packed), CompressionMode.Decompress) : new BrotliStream(new MemoryStream(packed), CompressionMode.Decompress);
        using var into = new MemoryStream();
        from.CopyTo(into);
        return into.ToArray();
    }

    private static string Ok(byte[] body, string headers = "Content-Type: text/plain\r\n") =>
        $"HTTP/1.1 200 OK\r\n{headers}Content-Length: {body.Length}\r\n\r\n{Encoding.Latin1.GetString(body)}";

    private static string Chunked(byte[] body, string headers = "Content-Type: text/plain\r\n") =>
        $"HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        + string.Concat(body.Chunk(777).Select(c => $"{c.Length:x}\r\n{Encoding.Latin1.GetString(c)}\r\n")) + "0\r\n\r\n";

    [Theory]
    [InlineData(false, false, false, 30)]
    [InlineData(false, false, true, 100)]
    [InlineData(false, true, false, 16384)]
    [InlineData(false, true, true, 1_000_000)]
    [InlineData(true, false, false, 300_000)]
    [InlineData(true, false, true, 17)]
    [InlineData(true, true, false, 1_000_000)]
    [InlineData(true, true, true, 65536)]
    public async Task An_answer_is_packed_and_reads_as_it_was(bool brotli, bool http2, bool chunked, int length)
    {
        await using var backend = new Cases();
        byte[] plain = Text(length);
        string path = backend.Answer(chunked ? Chunked(plain) : Ok(plain));
        await using ProxyProcess proxy = await StartAsync(backend, Pack(brotli ? Brotli : Gzip, chunked ? "" : ", response_direction_config: { common_config: { min_content_length: 17 } }"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        string coding = brotli ? "br" : "gzip";
        if (http2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            Http2Message answer = await peer.ExchangeAsync("GET", path, [("accept-encoding", coding)]);
            Assert.Equal((coding, "Accept-Encoding", null), (answer.Header("content-encoding"), answer.Header("vary"), answer.Header("content-length")));
            Assert.Equal(plain, Plain(answer.Body, coding));
        }
        else
        {
            HttpMessage answer = await AskAsync(proxy, path, $"Accept-Encoding: {coding}\r\n");
            Assert.Equal((coding, "Accept-Encoding", null), (answer.Header("content-encoding"), answer.Header("vary"), answer.Header("content-length")));
            Assert.Equal(plain, Plain(answer.Body, coding));
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 600\r\n\r\n", "600")]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n", null)]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n\r\n", null)]
    [InlineData("GET", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n", "0")]
    public async Task What_has_no_content_is_not_packed(string method, string said, string? length)
    {
        await using var backend = new Cases();
        string path = backend.Answer(said);
        await using ProxyProcess proxy = await StartAsync(backend, Pack());
        HttpMessage answer = await AskAsync(proxy, path, method: method);
        Assert.False(answer.Has("content-encoding"));
        Assert.Equal(length, answer.Header("content-length"));
        Assert.Equal(said.Contains("ETag", StringComparison.Ordinal), answer.Has("etag"));
        Assert.Equal(0, await proxy.StatAsync("http.test.compressor.z.gzip.compressed"));
    }

    [Fact]
    public async Task An_event_is_with_the_client_before_the_next_one_is_sent()
    {
        await using var backend = new Cases();
        var first = new TaskCompletionSource();
        string path = backend.Add(async (connection, head) =>
        {
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n");
            await first.Task;
            await connection.SendAsync("b\r\ndata: two\n\n\r\n0\r\n\r\n");
        });
        await using ProxyProcess proxy = await StartAsync(backend, Pack(more: ", response_direction_config: { common_config: { content_type: [ text/event-stream ] } }"));
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"{proxy.Url}{path}"));
        request.Headers.Add("Accept-Encoding", "gzip");
        using HttpResponseMessage answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        Assert.Equal(["gzip"], answer.Content.Headers.ContentEncoding);
        await using var events = new GZipStream(await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken), CompressionMode.Decompress);
        using var reader = new StreamReader(events);
        Assert.Equal("data: one", await reader.ReadLineAsync(TestContext.Current.CancellationToken));
        first.SetResult();
        Assert.Equal("\ndata: two\n\n", await reader.ReadToEndAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("--http2-prior-knowledge", "")]
    [InlineData("", "br")]
    public async Task Curl_reads_what_was_packed_for_it(string option, string coding)
    {
        await using var backend = new Cases();
        byte[] plain = Text(100_000);
        string path = backend.Answer(Ok(plain));
        await using ProxyProcess proxy = await StartAsync(backend, Pack(coding == "br" ? Brotli : Gzip));
        string[] asked = coding.Length > 0 ? ["-H", "Accept-Encoding: br"] : ["--compressed"];
        ProcessResult curl = await ChildProcess.RunAsync(Tools.Path("curl", "curl"), ["-sS", "--noproxy", "*", "--max-time", "20", "-w", "%header{content-encoding} %{size_download}", "-o", coding.Length > 0 ? "/dev/null" : "-",
            .. option.Length > 0 ? new[] { option } : [], .. asked, $"{proxy.Url}{path}"]);
        Assert.Equal(0, curl.ExitCode);
        if (coding.Length > 0) Assert.StartsWith("br ", curl.Output);
        else Assert.StartsWith(Encoding.ASCII.GetString(plain) + "gzip ", curl.Output);
    }

    [Fact]
    public async Task Of_two_ways_to_pack_the_one_is_taken_that_the_client_prefers_or_the_chain_does()
    {
        await using var backend = new Cases();
        string path = backend.Answer(Ok(Text(600)));
        await using ProxyProcess proxy = await StartAsync(backend, Pack(Gzip) + Pack(Brotli, ", choose_first: true", "br"));
        Assert.Equal("gzip", (await AskAsync(proxy, path, "Accept-Encoding: gzip, br;q=0.9\r\n")).Header("content-encoding"));
        Assert.Equal("br", (await AskAsync(proxy, path, "Accept-Encoding: gzip;q=0.8, br;q=0.9\r\n")).Header("content-encoding"));
        Assert.Equal("br", (await AskAsync(proxy, path, "Accept-Encoding: gzip, br\r\n")).Header("content-encoding"));
        Assert.Equal("gzip", (await AskAsync(proxy, path, "Accept-Encoding: gzip, br;q=0\r\n")).Header("content-encoding"));
        Assert.Null((await AskAsync(proxy, path, "Accept-Encoding: zstd\r\n")).Header("content-encoding"));
        Assert.Equal(2, await proxy.StatAsync("http.test.compressor.z.gzip.header_compressor_used"));
        Assert.Equal(2, await proxy.StatAsync("http.test.compressor.z.gzip.header_compressor_overshadowed"));
    }

    [Fact]
    public async Task Answers_say_what_became_of_them_where_that_is_asked_for_and_a_route_packs_in_another_way()
    {
        await using var backend = new Cases();
        string path = backend.Answer(Ok(Text(600))), image = backend.Answer(Ok(Text(600), "Content-Type: image/png\r\n")), small = backend.Answer(Ok(Text(10)));
        await using ProxyProcess proxy = await StartAsync(backend, Pack(Gzip, ", response_direction_config: { status_header_enabled: true }"), $$"""
            - match: { prefix: /br }
              route: { cluster: backend, prefix_rewrite: {{path}} }
              typed_per_filter_config: { pack: {{Yaml.At("compressor.v3.CompressorPerRoute", $"overrides: {{ compressor_library: {Brotli} }}")}} }
            {{Route}}
            """);
        Assert.Equal("gzip;Compressed;OriginalLength=600", (await AskAsync(proxy, path)).Header("x-envoy-compression-status"));
        Assert.Equal("gzip;ContentTypeNotAllowed", (await AskAsync(proxy, image)).Header("x-envoy-compression-status"));
        Assert.Equal("gzip;ContentLengthTooSmall", (await AskAsync(proxy, small)).Header("x-envoy-compression-status"));
        HttpMessage other = await AskAsync(proxy, "/br", "Accept-Encoding: gzip, br\r\n");
        Assert.Equal(("br", Encoding.ASCII.GetString(Text(600))), (other.Header("content-encoding"), Encoding.ASCII.GetString(Plain(other.Body, "br"))));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_request_is_packed_for_one_backend_and_unpacked_for_another(bool brotli)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        byte[] plain = Text(200_000);
        await using ProxyProcess packing = await StartAsync(backend, Pack(brotli ? Brotli : Gzip, ", request_direction_config: { common_config: { enabled: { default_value: true } } }"));
        Assert.Equal(200, (await AskAsync(packing, path, "Content-Type: text/plain\r\n", "POST", plain)).Status);
        HttpMessage seen = Assert.Single(backend.Seen(path));
        Assert.Equal((brotli ? "br" : "gzip", null), (seen.Header("content-encoding"), seen.Header("content-length")));
        Assert.Equal(plain, Plain(seen.Body, brotli ? "br" : "gzip"));

        string other = backend.Echo();
        await using ProxyProcess unpacking = await StartAsync(backend, Unpack(brotli ? Unbrotli : Gunzip));
        IReadOnlyDictionary<string, long> before = await unpacking.LedgerAsync();
        Assert.Equal(200, (await AskAsync(unpacking, other, $"Content-Encoding: {(brotli ? "br" : "gzip")}\r\n", "POST", seen.Body)).Status);
        HttpMessage unpacked = Assert.Single(backend.Seen(other));
        Assert.Equal((null, null, brotli ? "br" : "gzip"), (unpacked.Header("content-encoding"), unpacked.Header("content-length"), unpacked.Header("accept-encoding")));
        Assert.Equal(plain, unpacked.Body);
        await unpacking.SettleAsync(before);
    }

    public static TheoryData<string, int, string> Hostile => new()
    {
        { "bomb", 413, "zlib_data_error" }, { "cut", 400, "zlib_buf_error" }, { "trailing", 400, "zlib_data_error" },
        { "checksum", 400, "zlib_data_error" }, { "length", 400, "zlib_data_error" }, { "none", 400, "zlib_data_error" },
    };

    private static byte[] Bad(string kind)
    {
        byte[] good = Zipped(Text(50_000));
        switch (kind)
        {
            case "bomb": return Zipped(new byte[30_000_000]);
            case "cut": return good[..^9];
            case "trailing": return [.. good, .. "trailing"u8];
            case "checksum": good[^5] ^= 1; return good;
            case "length": good[^1] ^= 1; return good;
            default: return Text(1000);
        }
    }

    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task A_packed_request_that_is_no_good_is_refused_and_holds_nothing(string kind, int status, string counter)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Unpack());
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await AskAsync(proxy, path, "Content-Encoding: gzip\r\n", "POST", Bad(kind));
        Assert.Equal(status, answer.Status);
        Assert.Empty(backend.Seen(path));
        Assert.Equal(1, await proxy.StatAsync($"http.test.decompressor.g.gzip.decompressor_library.{counter}"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task A_packed_answer_that_is_no_good_is_cut_and_holds_nothing(string kind, int status, string counter)
    {
        _ = status;
        await using var backend = new Cases();
        string path = backend.Answer(Ok(Bad(kind), "Content-Encoding: gzip\r\n"));
        await using ProxyProcess proxy = await StartAsync(backend, Unpack());
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        string all = await client.RestAsync();
        Assert.DoesNotContain("\r\n0\r\n\r\n", all, StringComparison.Ordinal);
        Assert.Equal(1, await proxy.StatAsync($"http.test.decompressor.g.gzip.decompressor_library.{counter}"));
        Assert.InRange(all.Length, 0, 4_000_000);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Several_members_are_one_body_and_of_two_codings_the_first_is_taken_off()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Unpack());
        byte[] two = [.. Zipped("one "u8.ToArray()), .. Zipped("two"u8.ToArray())];
        Assert.Equal(200, (await AskAsync(proxy, path, "Content-Encoding: gzip, br\r\n", "POST", two)).Status);
        HttpMessage seen = Assert.Single(backend.Seen(path));
        Assert.Equal(("br", "one two"), (seen.Header("content-encoding"), seen.Text));
    }

    [Fact]
    public async Task Whoever_leaves_in_the_middle_leaves_nothing_behind()
    {
        await using var backend = new Cases();
        var gone = new TaskCompletionSource();
        string slow = backend.Add(async (connection, head) =>
        {
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            await gone.Task;
            connection.Reset();
        });
        string upload = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Pack() + Unpack());
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {slow} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.compressor.z.gzip.compressed") == 1, "the answer to be packed");
            client.Reset();
        }
        using (RawClient client = await proxy.ConnectAsync())
        {
            byte[] packed = Zipped(Text(50_000));
            await client.SendAsync((byte[])[.. Encoding.Latin1.GetBytes($"POST {upload} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {packed.Length}\r\n\r\n"), .. packed[..1000]]);
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.decompressor.g.gzip.request.decompressed") == 1, "the request to be unpacked");
            client.Reset();
        }
        gone.SetResult();
        await proxy.SettleAsync(before);
    }
}

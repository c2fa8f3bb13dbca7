// gRPC-Web on both HTTP versions, in bytes and in base64, and retries by gRPC status: the backend speaks gRPC.
using System.Buffers.Binary;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class GrpcWebFixture : IAsyncLifetime
{
    public Http2Backend Backend { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        string bootstrap = Bootstraps.One(Backend.Port, cluster: Bootstraps.Http2Cluster, route: """
            retry_policy: { retry_on: "unavailable,resource-exhausted", num_retries: 2, retry_back_off: { base_interval: 0.001s, max_interval: 0.002s } }
            """);
        Proxy = await ProxyProcess.StartAsync(bootstrap.Replace("          - name: envoy.filters.http.router", """
                      - name: envoy.filters.http.grpc_web
                        typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb }
                      - name: envoy.filters.http.router
            """));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class GrpcWebTests(GrpcWebFixture fixture) : IClassFixture<GrpcWebFixture>
{
    private static readonly (string, string)[] s_head = [(":status", "200"), ("content-type", "application/grpc+proto"), ("x-a", "b")];
    private static readonly (string, string)[] s_trailers = [("grpc-status", "0"), ("grpc-message", "fine"), ("x-t", "1")];
    private const string TrailerLines = "grpc-status:0\r\ngrpc-message:fine\r\nx-t:1\r\n";

    private static byte[] Message(byte flag, byte[] content)
    {
        var frame = new byte[5 + content.Length];
        frame[0] = flag;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), content.Length);
        content.CopyTo(frame, 5);
        return frame;
    }

    private static byte[] Random(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 31 + i / 256))];

    // Base64 of pieces that were encoded one by one.
    private static byte[] Decode(string text)
    {
        var bytes = new List<byte>();
        for (int i = 0; i < text.Length; i += 4) bytes.AddRange(Convert.FromBase64String(text.Substring(i, 4)));
        return [.. bytes];
    }

    private async Task<(string Type, byte[] Body)> CallAsync(bool http2, string path, string type, string? accept, byte[] body)
    {
        if (http2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
            (string, string)[] fields = accept is null ? [("content-type", type)] : [("content-type", type), ("accept", accept)];
            Http2Message answer = await peer.ExchangeAsync("POST", path, fields, body);
            Assert.Equal(200, answer.Status);
            Assert.Null(answer.Trailers);
            return (answer.Header("content-type")!, answer.Body);
        }
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync(Encoding.Latin1.GetBytes($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {type}\r\n{(accept is null ? "" : $"Accept: {accept}\r\n")}Content-Length: {body.Length}\r\n\r\n").Concat(body).ToArray());
        HttpMessage said = await client.ResponseAsync("POST");
        Assert.Equal(200, said.Status);
        return (said.Header("content-type")!, said.Body);
    }

    [Theory]
    [InlineData(false, false, 0)]
    [InlineData(false, false, 100)]
    [InlineData(false, false, 300_000)]
    [InlineData(true, false, 100)]
    [InlineData(true, false, 300_000)]
    [InlineData(false, true, 100)]
    [InlineData(false, true, 101)]
    [InlineData(false, true, 300_000)]
    [InlineData(true, true, 102)]
    [InlineData(true, true, 300_000)]
    public async Task A_call_becomes_grpc_and_its_answer_carries_the_trailers_in_the_body(bool http2, bool text, int length)
    {
        byte[] content = Random(length);
        byte[] answer = Message(0, content);
        string path = fixture.Backend.Answer(s_head, answer, s_trailers);
        string suffix = text ? "-text+proto" : "+proto";
        byte[] request = Message(0, Random(length + 7));
        (string type, byte[] body) = await CallAsync(http2, path, $"application/grpc-web{suffix}", null, text ? Encoding.ASCII.GetBytes(Convert.ToBase64String(request)) : request);
        Assert.Equal($"application/grpc-web{suffix}", type);
        byte[] plain = text ? Decode(Encoding.ASCII.GetString(body)) : body;
        Assert.Equal([.. answer, .. Message(0x80, Encoding.ASCII.GetBytes(TrailerLines))], plain);

        Http2Message seen = Assert.Single(fixture.Backend.Seen(path));
        Assert.Equal("application/grpc+proto", seen.Header("content-type"));
        Assert.Equal("trailers", seen.Header("te"));
        Assert.Equal(request, seen.Body);
    }

    [Fact]
    public async Task Accept_decides_the_form_of_the_answer()
    {
        string path = fixture.Backend.Answer(s_head, Message(0, Random(10)), s_trailers);
        (string type, byte[] body) = await CallAsync(false, path, "application/grpc-web", "application/grpc-web-text", Message(0, []));
        Assert.Equal("application/grpc-web-text+proto", type);
        Assert.Equal(0x80, Decode(Encoding.ASCII.GetString(body))[15]);
    }

    [Fact]
    public async Task A_trailers_only_answer_says_its_status_in_the_head()
    {
        string path = fixture.Backend.Answer([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")]);
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal("5", answer.Header("grpc-status"));
        Assert.Equal("application/grpc-web+proto", answer.Header("content-type"));
        Assert.Empty(answer.Body);
    }

    [Theory]
    [InlineData("!!!!")]
    [InlineData("AAAAA")]
    public async Task What_is_no_base64_is_a_grpc_error(string body)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal("13", answer.Header("grpc-status"));
        Assert.Equal("application/grpc-web-text+proto", answer.Header("content-type"));
        Assert.StartsWith("NARU-D409", answer.Header("grpc-message"));
    }

    [Fact]
    public async Task A_call_in_chunks_is_decoded_as_it_comes()
    {
        byte[] request = Message(0, Random(1000));
        string path = fixture.Backend.Answer(s_head, Message(0, []), s_trailers);
        using RawClient client = await fixture.Proxy.ConnectAsync();
        string text = Convert.ToBase64String(request);
        var chunks = new StringBuilder();
        foreach (char[] piece in text.Chunk(7)) chunks.Append($"{piece.Length:x}\r\n{new string(piece)}\r\n");
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        Assert.Equal(request, Assert.Single(fixture.Backend.Seen(path)).Body);
    }

    [Fact]
    public async Task An_answer_that_is_no_grpc_passes_as_it_is()
    {
        string path = fixture.Backend.Answer([(":status", "502"), ("content-type", "text/html")], "oops"u8.ToArray());
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal((502, "oops", "text/html"), (answer.Status, answer.Text, answer.Header("content-type")));
    }

    [Theory]
    [InlineData("14", 3)]
    [InlineData("8", 3)]
    [InlineData("5", 1)]
    [InlineData("0", 1)]
    public async Task A_grpc_status_that_the_policy_names_is_tried_again(string status, int tries)
    {
        string path = fixture.Backend.Answer([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", status)]);
        using Http2Peer peer = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
        Http2Message answer = await peer.ExchangeAsync("POST", path, [("content-type", "application/grpc"), ("te", "trailers")], Message(0, Random(20)));
        Assert.Equal(status, answer.Header("grpc-status"));
        Assert.Equal(tries, fixture.Backend.Seen(path).Count);
        Assert.All(fixture.Backend.Seen(path), r => Assert.Equal(25, r.Length));
    }

    [Theory]
    [InlineData("application/grpc", "7 PermissionDenied no")]
    [InlineData("application/grpc-web", "7 PermissionDenied no")]
    public async Task The_status_in_the_trailers_is_in_the_access_log(string type, string line)
    {
        using var folder = new TempFolder();
        string log = folder.At("access.log");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, $$"""
            access_log:
            - name: envoy.access_loggers.file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: {{log}}
                log_format: { text_format_source: { inline_string: "%GRPC_STATUS_NUMBER% %GRPC_STATUS% %TRAILER(GRPC-MESSAGE)%\n" } }
            """, cluster: Bootstraps.Http2Cluster));
        string path = fixture.Backend.Answer(s_head, Message(0, Random(10)), [("grpc-status", "7"), ("grpc-message", "no")]);
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        Assert.Equal(200, (await peer.ExchangeAsync("POST", path, [("content-type", type), ("te", "trailers")], Message(0, []))).Status);
        Assert.Equal($"{line}\n", await Waiting.ForAsync<string>(() => Task.FromResult(File.Exists(log) && File.ReadAllText(log) is { Length: > 0 } text ? text : null), "a line in the access log"));
    }
}

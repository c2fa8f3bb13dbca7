// The framing that a head tells is the framing of what follows it, whatever looked at the request or changed it on the way: else an endpoint
// reads one client's content, or its next request, as something else.
using Naru.Http.Http2;
using Naru.Kit;
using Naru.WireTests.Filters;
using Naru.WireTests.Http2;
using Xunit;

namespace Naru.WireTests;

public sealed class SentFramingTests
{
    private static Task<ProxyProcess> InternalAsync(Cases backend) => ProxyProcess.StartAsync(
        Bootstraps.Hosts("""
            - name: all
              domains: ["*"]
              routes: [{ match: { prefix: / }, route: { cluster: backend } }]
            """, [new TestCluster("backend", [backend.Port])], routeConfig: "internal_only_headers: [x-secret]"),
        new ProxyOptions { Concurrency = 1 });

    [Theory]
    [InlineData("with its head", null)]
    [InlineData("with its head", "35")]
    [InlineData("behind its head", null)]
    [InlineData("behind its head", "35")]
    public async Task A_stream_whose_head_lost_fields_before_routing_keeps_its_body(string when, string? length)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await InternalAsync(backend);
        const string Body = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        List<(string, string)> fields = [("x-secret", "1")];
        if (length is not null) fields.Add(("content-length", length));
        byte[] head = Http2Bytes.Headers(1, Http2Bytes.Request("POST", path, fields));
        byte[] data = Http2Bytes.Data(1, System.Text.Encoding.ASCII.GetBytes(Body), end: true);
        if (when == "with its head")
        {
            await client.SendAsync((byte[])[.. head, .. data]);
        }
        else
        {
            await client.SendAsync(head);
            await client.PingAsync();
            await client.SendAsync(data);
        }
        (await client.EndAsync(1)).Is(200);
        HttpMessage seen = Assert.Single(backend.Witness.Requests, r => r.Target != "/canary");
        Assert.Equal((Body, false), (seen.Text, seen.Has("x-secret")));
        await proxy.StillServesAsync();
    }

    public static TheoryData<string, string, bool> Bodiless() => new()
    {
        { "POST", "Content-Length: 0\r\n", false }, { "POST", "", false }, { "GET", "", false }, { "DELETE", "Content-Length: 0\r\n", false },
        { "POST", "Content-Length: 0\r\n", true }, { "POST", "", true }, { "GET", "", true },
    };

    [Theory]
    [MemberData(nameof(Bodiless))]
    public async Task A_request_without_a_body_is_told_to_have_none_though_a_filter_changes_lengths(string method, string length, bool http2)
    {
        await using var backend = new Cases();
        // Answers without reading: what follows on the connection is the next request.
        string early = backend.Add((c, head) =>
        {
            c.Witness.Remember(head);
            return c.SendAsync("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many("- { match: { prefix: / }, route: { cluster: backend } }", [new TestCluster("backend", [backend.Port])],
                filters: Yaml.Filter("w", "grpc_web.v3.GrpcWeb")),
            new ProxyOptions { Concurrency = 1 });
        if (http2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
            List<(string, string)> fields = [("content-type", "application/grpc-web-text")];
            if (length.Length > 0) fields.Add(("content-length", "0"));
            int id = await client.OpenAsync(method, early, fields, end: true);
            await client.EndAsync(id);
        }
        else
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.ExchangeAsync($"{method} {early} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\n{length}\r\n");
        }
        HttpMessage seen = Assert.Single(backend.Seen(early));
        Assert.False(seen.Has("transfer-encoding"), seen.ToString());
        await proxy.StillServesAsync();
    }

    [Theory]
    [InlineData("application/grpc-web-text")]
    [InlineData("application/grpc-web+proto")]
    public async Task An_answer_without_a_body_keeps_its_end_though_a_filter_changes_lengths(string type)
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 12\r\nContent-Length: 0\r\n\r\n");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            "- { match: { prefix: / }, route: { cluster: backend } }", [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter("w", "grpc_web.v3.GrpcWeb")));
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {type}\r\nContent-Length: 0\r\n\r\n");
            Assert.Equal((200, "12", "0"), (answer.Status, answer.Header("grpc-status"), answer.Header("content-length")));
        }
    }

    // By the endpoint's head and by the one that is sent: what has no content there, or none here.
    public static TheoryData<string, int, bool> Statuses()
    {
        var rows = new TheoryData<string, int, bool>();
        foreach (string answer in (string[])["200 OK\r\nContent-Length: 4\r\n\r\nbody", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "304 Not Modified\r\nContent-Length: 100\r\n\r\n", "204 No Content\r\n\r\n"])
            foreach (int status in (int[])[200, 204, 304]) foreach (bool http2 in (bool[])[false, true]) rows.Add(answer, status, http2);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Statuses))]
    public async Task A_status_that_a_filter_changed_decides_whether_there_is_content(string answer, int status, bool http2)
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 " + answer);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many("- { match: { prefix: / }, route: { cluster: backend } }", [new TestCluster("backend", [backend.Port])],
                filters: Yaml.Filter("m", "header_mutation.v3.HeaderMutation",
                    $"mutations: {{ response_mutations: [{{ append: {{ header: {{ key: \":status\", value: \"{status}\" }}, append_action: OVERWRITE_IF_EXISTS_OR_ADD }} }}] }}")),
            new ProxyOptions { Concurrency = 1 });
        string content = status == 200 && answer.Contains("body", StringComparison.Ordinal) ? "body" : "";
        for (int i = 0; i < 2; i++)
        {
            if (http2)
            {
                using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
                Http2Message got = await peer.ExchangeAsync("GET", path);
                Assert.Equal((status, content, null, (string?)null), (got.Status, got.Text, (object?)got.Reset, peer.Fault));
                if (status == 200 && got.Header("content-length") is { } told) Assert.Equal(content.Length.ToString(), told);
                continue;
            }
            using RawClient client = await proxy.ConnectAsync();
            for (int request = 0; request < 2; request++)
            {
                HttpMessage got = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
                Assert.Equal((status, content), (got.Status, got.Text));
                Assert.False(status == 204 && (got.Has("content-length") || got.Has("transfer-encoding")), got.ToString());
            }
        }
    }
}

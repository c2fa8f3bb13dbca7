// Bodies whose length nobody tells any more: whoever looked at them, changed their head, or only said so. What came with its head is
// framed anew like what came later; an endpoint sees one request with these bytes, and the next one on its connection is the next one.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class FramedAnewTests
{
    // Chunks, where somebody reads it so: the end, and another request.
    private const string Body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: internal\r\n\r\n";
    private const string Service = "grpc_service: { envoy_grpc: { cluster_name: service } }, message_timeout: 20s";
    private const string Routes = """
        - match: { prefix: /again }
          route: { cluster: backend, retry_policy: { retry_on: 5xx, num_retries: 1, retry_back_off: { base_interval: 0.001s } } }
        - match: { prefix: /copied }
          route: { cluster: backend, request_mirror_policies: [{ cluster: mirror }] }
        - match: { prefix: / }
          route: { cluster: backend }
        """;

    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);

    // An answer of the processor that takes the length away (service/ext_proc/v3).
    private static string Without(byte kind)
    {
        byte[] removed = [0x12, 14, .. "content-length"u8];
        byte[] changes = [0x12, (byte)removed.Length, .. removed];
        byte[] common = [0x0a, (byte)changes.Length, .. changes];
        return Hex([kind, (byte)common.Length, .. common]);
    }

    private static string Looks(string name, string mode) =>
        Yaml.Filter(name, "ext_proc.v3.ExternalProcessor", $"{Service}, processing_mode: {{ request_body_mode: {mode} }}");

    private static async Task SendAsync(ProxyProcess proxy, string path, string how)
    {
        if (how == "http2")
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            int id = await peer.OpenAsync("POST", path, end: false);
            await peer.DataAsync(id, Body, end: true);
            Assert.Equal(200, (await peer.EndAsync(id)).Status);
            return;
        }
        using RawClient client = await proxy.ConnectAsync();
        string head = $"POST {path} HTTP/1.1\r\nHost: h\r\n";
        if (how == "with") await client.SendAsync($"{head}Content-Length: {Body.Length}\r\n\r\n{Body}");
        else if (how == "chunked")
        {
            await client.SendAsync($"{head}Transfer-Encoding: chunked\r\n\r\n{Body.Length:x}\r\n{Body}\r\n0\r\n\r\n");
        }
        else
        {
            await client.SendAsync($"{head}Content-Length: {Body.Length}\r\n\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 1, "the head to be there");
            await client.SendAsync(Body);
        }
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        // Nothing else comes on the client's own connection either.
        Assert.Equal(200, (await client.ExchangeAsync("GET /next HTTP/1.1\r\nHost: h\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData("NONE")]
    [InlineData("BUFFERED")]
    [InlineData("BUFFERED_PARTIAL")]
    [InlineData("STREAMED")]
    public async Task A_body_goes_on_as_one_request_whatever_a_processor_says_of_its_length(string mode)
    {
        await using ChildProcess processor = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "processor.py"),
            Hex("/at-head"u8.ToArray()) + "=" + Without(0x0a), Hex("smuggled"u8.ToArray()) + "=" + Without(0x1a)]);
        await using ChildProcess plain = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "processor.py"),
            Hex("/at-head"u8.ToArray()) + "=" + Without(0x0a)]);
        foreach (ChildProcess one in (ChildProcess[])[plain, processor])
        {
            int service = int.Parse((await one.LineAsync("port ")).Split(' ')[1]);
            await CheckAsync(Looks("p", mode), service);
        }
    }

    [Fact]
    public async Task A_body_goes_on_as_one_request_through_two_that_look_at_it()
    {
        await using ChildProcess processor = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "processor.py"),
            Hex("/at-head"u8.ToArray()) + "=" + Without(0x0a), Hex("smuggled"u8.ToArray()) + "=" + Without(0x1a)]);
        int service = int.Parse((await processor.LineAsync("port ")).Split(' ')[1]);
        string buffer = Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 10000");
        await CheckAsync(Looks("a", "BUFFERED_PARTIAL") + buffer + Looks("c", "BUFFERED"), service);
    }

    private static async Task CheckAsync(string filters, int service)
    {
        await using var backend = new Cases();
        await using var mirror = new Cases();
        backend.At("/again", async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            bool isFirst = connection.Witness.Requests.Count(r => r.Target == head.Target) == 1;
            await connection.SendAsync(isFirst ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        TestCluster[] clusters =
            [new("backend", [backend.Port]), new("mirror", [mirror.Port]), new("service", [service], Bootstraps.Http2Cluster)];
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes, clusters, filters: filters), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        foreach (string how in (string[])["with", "late", "chunked", "http2"])
        {
            foreach ((string route, int times) in ((string, int)[])[("/plain", 1), ("/again", 2), ("/copied", 1)])
            {
                foreach (string at in (string[])["", "/at-head"])
                {
                    string path = $"{route}/{how}{at}";
                    await SendAsync(proxy, path, how);
                    HttpMessage[] seen = [.. backend.Witness.Requests.Where(r => r.Target == path)];
                    Assert.True(seen.Length == times && seen.All(r => r.Text == Body), $"{path}: {string.Join("\n---\n", (object[])seen)}");
                    if (route == "/copied")
                    {
                        await Waiting.UntilAsync(() => mirror.Witness.Requests.Any(r => r.Target == path), "the copy");
                        Assert.Equal(Body, Assert.Single(mirror.Witness.Requests, r => r.Target == path).Text);
                    }
                    // Whoever comes next on the endpoint's connection gets its own answer.
                    using RawClient canary = await proxy.ConnectAsync();
                    HttpMessage answer = await canary.ExchangeAsync($"GET /canary{path} HTTP/1.1\r\nHost: h\r\n\r\n");
                    Assert.Contains($"/canary{path} ", answer.Text, StringComparison.Ordinal);
                }
            }
        }
        Assert.DoesNotContain(backend.Witness.Requests, r => r.Target.Contains("smuggled", StringComparison.Ordinal));
        Assert.DoesNotContain(mirror.Witness.Requests, r => r.Target.Contains("smuggled", StringComparison.Ordinal));
        Assert.Empty(backend.Witness.Faults);
        Assert.Empty(mirror.Witness.Faults);
        await proxy.SettleAsync(before);
    }
}

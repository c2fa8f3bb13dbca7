// The admin over real sockets: what it answers, what it refuses, and that nobody can hold it up.
using System.Net;
using Naru.Kit;
using Naru.Proxy.Host.Admin;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy.Host;

public sealed class AdminServerTests
{
    private static AdminServer Start(FakeTarget target, AdminLimits? limits = null) =>
        new(new IPEndPoint(IPAddress.Loopback, 0), "127.0.0.1", new AdminPages(target).AnswerAsync, target.Log, limits);

    private static async Task<HttpMessage> AskAsync(AdminServer admin, string head, string method = "GET")
    {
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        await client.SendAsync(head);
        return await client.ResponseAsync(method);
    }

    [Fact]
    public async Task A_connection_carries_request_after_request()
    {
        await using AdminServer admin = Start(new FakeTarget());
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        for (int i = 0; i < 3; i++)
        {
            HttpMessage answer = await client.ExchangeAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
            Assert.Equal(200, answer.Status);
            Assert.Equal("LIVE\n", answer.Text);
            Assert.Equal("nosniff", answer.Header("x-content-type-options"));
            Assert.Null(answer.Header("access-control-allow-origin"));
        }
        await client.SendAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync()).Status);
        Assert.Equal(404, (await client.ResponseAsync()).Status);
        Assert.Equal("", await client.RestAsync());
    }

    [Fact]
    public async Task A_head_may_come_byte_by_byte()
    {
        await using AdminServer admin = Start(new FakeTarget());
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        await client.SendBytewiseAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync()).Status);
    }

    [Theory]
    [InlineData("localhost", 200)]
    [InlineData("LOCALHOST:15000", 200)]
    [InlineData("127.0.0.1:15000", 200)]
    [InlineData("127.44.1.9", 200)]
    [InlineData("[::1]:15000", 200)]
    [InlineData("evil.example", 403)]
    [InlineData("localhost.evil.example", 403)]
    [InlineData("127.0.0.1.evil.example", 403)]
    [InlineData("127.0.0.1:15000.evil.example", 403)]
    [InlineData("10.0.0.1", 403)]
    [InlineData("0.0.0.0", 403)]
    [InlineData("2130706433", 403)]
    [InlineData("0x7f.1", 403)]
    [InlineData("[::1", 403)]
    [InlineData("", 403)]
    [InlineData("user@localhost", 403)]
    public async Task Only_our_own_names_are_answered(string host, int status)
    {
        await using AdminServer admin = Start(new FakeTarget());
        Assert.Equal(status, (await AskAsync(admin, $"GET /ready HTTP/1.1\r\nHost: {host}\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData("", 200)]
    [InlineData("Origin: http://localhost:1\r\n", 200)]
    [InlineData("Sec-Fetch-Site: same-origin\r\n", 200)]
    [InlineData("Origin: http://evil.example\r\n", 403)]
    [InlineData("Origin: null\r\n", 403)]
    [InlineData("Sec-Fetch-Site: cross-site\r\n", 403)]
    [InlineData("Sec-Fetch-Site: same-site\r\n", 403)]
    public async Task Another_sites_page_changes_nothing(string header, int status)
    {
        var target = new FakeTarget();
        await using AdminServer admin = Start(target);
        HttpMessage answer = await AskAsync(admin, $"POST /reset_counters HTTP/1.1\r\nHost: localhost:1\r\n{header}Content-Length: 0\r\n\r\n", "POST");
        Assert.Equal(status, answer.Status);
        Assert.Equal(status == 200 ? ["reset"] : [], target.Done);
    }

    [Theory]
    [InlineData("GET /ready HTTP/1.1\r\n\r\n", 400)]
    [InlineData("GET /ready HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", 400)]
    [InlineData("GET  /ready HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)]
    [InlineData("get /ready HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)]
    [InlineData("GET ready HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)]
    [InlineData("GET /ready HTTP/2.0\r\nHost: localhost\r\n\r\n", 505)]
    [InlineData("GET /ready HTTP/1.1\r\nHost : localhost\r\n\r\n", 400)]
    [InlineData("GET /ready HTTP/1.1\nHost: localhost\r\n\r\n", 400)]
    [InlineData("GET /ready HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400)]
    [InlineData("GET /ready HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400)]
    [InlineData("POST /reset_counters HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411)]
    [InlineData("POST /reset_counters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400)]
    [InlineData("POST /reset_counters HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400)]
    [InlineData("POST /reset_counters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413)]
    public async Task What_is_not_plain_http_is_refused_and_cut(string request, int status)
    {
        var target = new FakeTarget();
        await using AdminServer admin = Start(target);
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        await client.SendAsync(request);
        Assert.Equal(status, (await client.ResponseAsync()).Status);
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(target.Done);
    }

    [Fact]
    public async Task A_head_of_more_than_16_KiB_is_431()
    {
        await using AdminServer admin = Start(new FakeTarget());
        Assert.Equal(431, (await AskAsync(admin, $"GET /ready HTTP/1.1\r\nHost: localhost\r\nX: {new string('a', 20_000)}\r\n\r\n")).Status);
    }

    [Fact]
    public async Task An_absolute_target_and_a_body_are_taken()
    {
        var target = new FakeTarget();
        await using AdminServer admin = Start(target);
        Assert.Equal(200, (await AskAsync(admin, "GET http://127.0.0.1:1/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);
        Assert.Equal(403, (await AskAsync(admin, "GET http://evil.example/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        await client.SendAsync("POST /reset_counters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab=cd");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        Assert.Equal(200, (await client.ExchangeAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);
    }

    [Fact]
    public async Task Somebody_who_stalls_is_cut_and_others_are_served_meanwhile()
    {
        // Long enough for the one who does not stall, on a busy machine, too.
        await using AdminServer admin = Start(new FakeTarget(), new AdminLimits { Timeout = TimeSpan.FromSeconds(2) });
        using RawClient slow = await RawClient.ConnectAsync(admin.Address);
        await slow.SendAsync("GET /ready HT");
        Assert.Equal(200, (await AskAsync(admin, "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);
        Assert.Equal("", await slow.RestAsync());
    }

    [Fact]
    public async Task Those_who_drip_keep_nobody_out()
    {
        const int Limit = 4;
        await using AdminServer admin = Start(new FakeTarget(), new AdminLimits { MaxConnections = Limit });
        var dripping = new List<RawClient>();
        for (int i = 0; i < 3 * Limit; i++)
        {
            dripping.Add(await RawClient.ConnectAsync(admin.Address));
            await dripping[^1].SendAsync("GET /ready HT");
            Assert.Equal(200, (await AskAsync(admin, "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);
        }
        foreach (RawClient client in dripping) client.Dispose();
    }

    [Fact]
    public async Task More_than_the_limit_at_work_are_told_503()
    {
        var target = new FakeTarget();
        var go = new TaskCompletionSource<AdminResponse>(TaskCreationOptions.RunContinuationsAsynchronously);
        int asked = 0;
        await using var admin = new AdminServer(new IPEndPoint(IPAddress.Loopback, 0), "127.0.0.1", _ =>
        {
            Interlocked.Increment(ref asked);
            return go.Task;
        }, target.Log, new AdminLimits { MaxConnections = 2 });
        using RawClient one = await RawClient.ConnectAsync(admin.Address);
        using RawClient two = await RawClient.ConnectAsync(admin.Address);
        foreach (RawClient client in new[] { one, two }) await client.SendAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await Waiting.UntilAsync(() => Volatile.Read(ref asked) == 2, "both to be at work");
        using RawClient three = await RawClient.ConnectAsync(admin.Address);
        Assert.Equal(503, (await three.ResponseAsync()).Status);
        go.SetResult(AdminResponse.Text("done"));
        Assert.Equal(200, (await one.ResponseAsync()).Status);
        Assert.Equal(200, (await two.ResponseAsync()).Status);
        await Waiting.UntilAsync(async () => (await AskAsync(admin, "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status == 200, "a place to become free");
    }

    [Fact]
    public async Task A_large_answer_comes_in_chunks_and_whole_to_old_clients()
    {
        var target = new FakeTarget();
        var schema = new StatSchema();
        for (int i = 0; i < 50; i++) schema.Counter($"counter_with_a_long_name_{i}");
        for (int i = 0; i < 100; i++) target.Stats.Block($"cluster.number_{i}", schema);
        await using AdminServer admin = Start(target);
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        HttpMessage answer = await client.ExchangeAsync("GET /stats?filter=^cluster HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Equal("chunked", answer.Header("transfer-encoding"));
        Assert.Equal(5000, answer.Text.Count(c => c == '\n'));
        Assert.Equal(200, (await client.ExchangeAsync("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")).Status);

        using RawClient old = await RawClient.ConnectAsync(admin.Address);
        await old.SendAsync("GET /stats?filter=^cluster HTTP/1.0\r\n\r\n");
        string all = await old.RestAsync();
        Assert.DoesNotContain("chunked", all, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(answer.Text, all[(all.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
    }

    [Fact]
    public async Task Head_has_no_body()
    {
        await using AdminServer admin = Start(new FakeTarget());
        using RawClient client = await RawClient.ConnectAsync(admin.Address);
        await client.SendAsync("HEAD /ready HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Equal("5", (await client.ResponseAsync("HEAD")).Header("content-length"));
        Assert.Equal("LIVE\n", (await client.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Quitting_is_answered_before_it_happens()
    {
        var target = new FakeTarget();
        await using AdminServer admin = Start(target);
        Assert.Equal("OK\n", (await AskAsync(admin, "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "POST")).Text);
        await Waiting.UntilAsync(() => target.Done.Contains("quit"), "the end to be asked for");
    }
}

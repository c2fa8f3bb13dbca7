// Size: what the proxy holds does not grow with what flows through, nor much with what waits. Bounds are bytes, never times.
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class CapacityTests
{
    // 256 MiB flow faster than a build machine forgets; what is buffered shows at a tenth of it.
    private const long Streamed = 256L << 20;

    private static readonly byte[] s_piece = Encoding.Latin1.GetBytes(new string('s', 256 * 1024));

    [Fact]
    public async Task A_large_download_flows_in_constant_memory()
    {
        await using var backend = new Cases();
        backend.Witness.KeepsBytes = false;
        string path = backend.Add(async (c, head) =>
        {
            await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Streamed}\r\n\r\n");
            for (long sent = 0; sent < Streamed; sent += s_piece.Length) await c.SendAsync(s_piece);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, route: "timeout: 0s"));
        using RawClient client = await proxy.ConnectAsync();
        long before = await WarmAsync(proxy, client);
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(Streamed.ToString(), (await client.Reader.HeadAsync())!.Header("content-length"));
        long peak = await DrainAsync(client, Streamed, proxy);
        Assert.True(peak - before < 32 << 20, $"grew by {peak - before} bytes");
    }

    [Fact]
    public async Task A_large_upload_flows_in_constant_memory()
    {
        long received = 0;
        await using var backend = new Cases();
        backend.Witness.KeepsBytes = false;
        string path = backend.Add(async (c, head) =>
        {
            var buffer = new byte[256 * 1024];
            while (await c.Reader.LineAsync() is { } line)
            {
                long size = Convert.ToInt64(line.Split(';')[0], 16);
                if (size == 0) break;
                for (long left = size; left > 0;)
                {
                    int n = await c.Reader.SomeAsync(buffer.AsMemory(0, (int)Math.Min(left, buffer.Length)));
                    left -= n;
                    received += n;
                }
                await c.Reader.LineAsync();
            }
            await c.Reader.LineAsync();
            await c.OkAsync(received.ToString());
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, route: "timeout: 0s"));
        using RawClient client = await proxy.ConnectAsync();
        long before = await WarmAsync(proxy, client);
        long peak = before;
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (long sent = 0; sent < Streamed; sent += s_piece.Length)
        {
            await client.SendAsync($"{s_piece.Length:x}\r\n");
            await client.SendAsync(s_piece);
            await client.SendAsync("\r\n");
            if (sent % (16 << 20) == 0) peak = Math.Max(peak, proxy.Child.ResidentBytes);
        }
        await client.SendAsync("0\r\n\r\n");
        Assert.Equal(Streamed.ToString(), (await client.ResponseAsync("POST")).Text);
        Assert.True(peak - before < 32 << 20, $"grew by {peak - before} bytes");
    }

    [Fact]
    public async Task Ten_thousand_idle_connections_cost_little_and_nobody_else_anything()
    {
        // Both ends and the test itself need a descriptor each; a machine with a lower hard limit opens what it may.
        int many = (int)Math.Min(10_000, (long)Descriptors.Raise(65_536) - 1_000);
        Assert.True(many >= 2_000, $"only {many} descriptors");
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port));
        using RawClient canary = await proxy.ConnectAsync();
        long before = await WarmAsync(proxy, canary);
        var idle = new List<Socket>(many);
        try
        {
            for (int i = 0; i < many; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                idle.Add(socket);
                // Port numbers of one source address run out; sources are spread over the loopback network.
                socket.Bind(new IPEndPoint(new IPAddress([127, 199, 0, (byte)(1 + i % 4)]), 0));
                await socket.ConnectAsync(proxy.Address);
            }
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_active") >= many, $"{many} connections to be accepted");
            Assert.Equal(200, (await canary.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            using RawClient fresh = await proxy.ConnectAsync();
            Assert.Equal(200, (await fresh.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            long each = (proxy.Child.ResidentBytes - before) / many;
            Assert.True(each <= 4 * 1024, $"{each} bytes a connection");
        }
        finally
        {
            foreach (Socket socket in idle) socket.Dispose();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_active") < 10, "the connections to be gone");
        Assert.Equal(200, (await canary.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Fact]
    public async Task Many_connections_that_come_and_go_leave_nothing_behind()
    {
        await using var witness = new Witness();
        witness.KeepsBytes = false;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        async Task RoundAsync()
        {
            for (int i = 0; i < 500; i++)
            {
                using RawClient client = await proxy.ConnectAsync();
                if (i % 3 == 0) continue;
                await client.SendAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
                if (i % 3 == 1) client.Reset();
                else await client.ResponseAsync();
            }
        }

        await RoundAsync();
        long before = Descriptors.Open(proxy.Child.Id);
        for (int i = 0; i < 3; i++) await RoundAsync();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_active") == 0, "all connections to be gone");
        await Waiting.UntilAsync(() => Descriptors.Open(proxy.Child.Id) <= before + 10, "descriptors to be given back");
    }

    private static async Task<long> WarmAsync(ProxyProcess proxy, RawClient client)
    {
        for (int i = 0; i < 200; i++) Assert.Equal(200, (await client.ExchangeAsync("GET /warm HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        return proxy.Child.ResidentBytes;
    }

    private static async Task<long> DrainAsync(RawClient client, long count, ProxyProcess proxy)
    {
        var buffer = new byte[256 * 1024];
        long peak = 0;
        long next = 0;
        for (long read = 0; read < count;)
        {
            int n = await client.Reader.SomeAsync(buffer).AsTask().Within("more bytes");
            Assert.True(n > 0, $"ended after {read} bytes");
            read += n;
            if (read < next) continue;
            peak = Math.Max(peak, proxy.Child.ResidentBytes);
            next = read + (16 << 20);
        }
        return peak;
    }
}

/// <summary>Limits on open files, of this process and those it starts.</summary>
internal static class Descriptors
{
    private const int NoFile = 7;

    /// <summary>Raises the soft limit as far as wanted and allowed, and gives what it is then.</summary>
    public static ulong Raise(ulong wanted)
    {
        if (GetLimit(NoFile, out Limit limit) != 0) return 1_024;
        if (limit.Soft >= wanted) return limit.Soft;
        var more = new Limit { Soft = Math.Min(wanted, limit.Hard), Hard = limit.Hard };
        return SetLimit(NoFile, in more) == 0 ? more.Soft : limit.Soft;
    }

    /// <summary>How many files a process has open.</summary>
    public static int Open(int pid) => Directory.GetFileSystemEntries($"/proc/{pid}/fd").Length;

    [StructLayout(LayoutKind.Sequential)]
    private struct Limit
    {
        public ulong Soft;
        public ulong Hard;
    }

    [DllImport("libc", EntryPoint = "getrlimit")]
    private static extern int GetLimit(int resource, out Limit limit);

    [DllImport("libc", EntryPoint = "setrlimit")]
    private static extern int SetLimit(int resource, in Limit limit);
}

// CONNECT (RFC 9110 9.3.6): ended here or passed on, over either version; refused where nobody asked for it.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class ConnectTests : IAsyncLifetime
{
    private readonly TcpListener _echo = new(IPAddress.Loopback, 0);

    public ValueTask InitializeAsync()
    {
        _echo.Start();
        _ = AcceptAsync();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        _echo.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                using Socket socket = await _echo.AcceptSocketAsync();
                var piece = new byte[4096];
                int n;
                while ((n = await socket.ReceiveAsync(piece)) > 0) await socket.SendAsync(piece.AsMemory(0, n));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private static HttpConnectionManagerConfig Manager(string cluster, bool ends)
    {
        HttpConnectionManagerConfig plain = EngineBench.Http(cluster);
        var route = new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Connect, Path = "" },
            Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig(cluster, 1)], Upgrades = [("connect", true)], TerminatesConnect = ends },
        };
        VirtualHostConfig host = plain.RouteConfig!.VirtualHosts[0];
        return plain with { Upgrades = ["connect"], RouteConfig = plain.RouteConfig with { VirtualHosts = [host with { Routes = [route, .. host.Routes] }] } };
    }

    private static ListenerConfig Listener(string name, string cluster, bool ends) => EngineBench.Listener(EngineBench.Chain(Manager(cluster, ends))) with { Name = name };

    private async Task<EngineBench> BenchAsync()
    {
        var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(((IPEndPoint)_echo.LocalEndpoint).Port), Listener("end", "backend", ends: true));
        bench.Apply(
            EngineBench.Cluster("next", bench.Port("end")), EngineBench.Cluster("next2", bench.Port("end")) with { Protocol = UpstreamProtocol.Http2 },
            Listener("way", "next", ends: false), Listener("way2", "next2", ends: false),
            EngineBench.Listener(EngineBench.Chain(EngineBench.Http())) with { Name = "plain" });
        return await Task.FromResult(bench);
    }

    [Theory]
    [InlineData("end")]
    [InlineData("way")]
    [InlineData("way2")]
    public async Task A_tunnel_carries_bytes_both_ways_and_ends_with_its_ends(string listener)
    {
        await using EngineBench bench = await BenchAsync();
        using RawClient client = await bench.ConnectAsync(listener);
        await client.SendAsync("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\nearly");
        HttpMessage answer = await client.ResponseAsync("HEAD");
        Assert.Equal(200, answer.Status);
        Assert.Null(answer.Header("content-length"));
        Assert.Null(answer.Header("transfer-encoding"));
        Assert.Equal("early", await client.TextAsync(5));
        await client.SendAsync("GET / HTTP/1.1\r\n\r\n");
        Assert.Equal("GET / HTTP/1.1\r\n\r\n", await client.TextAsync(18));
        client.HalfClose();
        Assert.Equal("", await client.RestAsync());
        await bench.StatAsync("cluster.backend.upstream_cx_active", 0);
    }

    [Theory]
    [InlineData("plain", "far.example:443", 404)]
    [InlineData("end", "/path", 400)]
    [InlineData("end", "far.example", 400)]
    [InlineData("end", "user@far.example:443", 400)]
    [InlineData("end", "http://far.example:443", 400)]
    public async Task What_is_not_asked_for_or_malformed_gets_no_tunnel(string listener, string target, int status)
    {
        await using EngineBench bench = await BenchAsync();
        using RawClient client = await bench.ConnectAsync(listener);
        await client.SendAsync($"CONNECT {target} HTTP/1.1\r\nHost: far.example:443\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync()).Status);
        Assert.Equal(0, bench.Stat("cluster.backend.upstream_cx_total"));
    }

    [Fact]
    public async Task An_endpoint_that_cannot_be_reached_is_told_as_such()
    {
        await using EngineBench bench = await BenchAsync();
        _echo.Stop();
        using RawClient client = await bench.ConnectAsync("end");
        await client.SendAsync("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal(503, answer.Status);
        Assert.StartsWith("NARU-U504", answer.Header("x-naru-reason"));
    }
}

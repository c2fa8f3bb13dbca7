// Addresses of every kind on both sides, and endpoints that nobody configured.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;
using Match = Naru.Proxy.Config.FilterChainMatchConfig;

namespace Naru.UnitTests.Proxy;

public sealed class AddressTests
{
    private static readonly byte[] s_proxyVersion2 = [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1];

    private static ListenerConfig Proxied(ListenerConfig listener) => listener with { ListenerFilters = [new ProxyProtocolFilterConfig(true)] };

    private static ClusterConfig At(AddressConfig address) => EngineBench.Cluster() with { LoadAssignment = new EndpointsConfig("backend", [new EndpointConfig(address)]) };

    private static async Task<string> ReadAllAsync(Socket socket)
    {
        var got = new byte[1024];
        int length = 0, n;
        while ((n = await socket.ReceiveAsync(got.AsMemory(length)).AsTask().Within("the end")) > 0) length += n;
        return System.Text.Encoding.Latin1.GetString(got, 0, length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Unix_sockets_serve_and_are_served(bool isAbstract)
    {
        string name = $"{(isAbstract ? "@" : Path.GetTempPath())}naru-l4-{Guid.NewGuid():N}";
        var end = new UnixDomainSocketEndPoint(isAbstract ? '\0' + name[1..] : name);
        await using var bench = new EngineBench();
        ListenerConfig inner = EngineBench.Listener(EngineBench.Saying("inner")) with { Name = "inner", Address = new AddressConfig(name, 0) { Kind = AddressKind.Pipe, PipeMode = isAbstract ? 0 : 0x180 } };
        bench.Apply(At(inner.Address), inner, EngineBench.Tcp());
        for (int i = 0; i < 4; i++)
        {
            using var direct = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await direct.ConnectAsync(end).Within("the Unix socket");
            Assert.Equal("inner", await ReadAllAsync(direct));
            Assert.Equal("inner", await bench.AskAsync());
        }
        Assert.Equal(name, bench.Engine.Listeners.Single(l => l.Name == "inner").LocalAddresses[0].ToString());
        if (!isAbstract && !OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(name));
        Assert.Equal(8, bench.Stat($"listener.{name}.downstream_cx_total"));
        File.Delete(name);
    }

    [Fact]
    public async Task A_socket_file_left_by_a_dead_process_is_no_obstacle_and_one_in_use_is()
    {
        string path = Path.Combine(Path.GetTempPath(), $"naru-l4-{Guid.NewGuid():N}");
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) dead.Bind(new UnixDomainSocketEndPoint(path));
        await File.WriteAllTextAsync(path + ".file", "not a socket");
        ListenerConfig listener = EngineBench.Listener(EngineBench.Saying("here")) with { Address = new AddressConfig(path, 0) { Kind = AddressKind.Pipe } };
        await using var bench = new EngineBench();
        bench.Apply(listener);
        Assert.Contains(bench.TryApply(new ConfigChange { Listeners = [listener with { Name = "second" }] }), d => d.Code == "NARU-P102");
        Assert.Contains(bench.TryApply(new ConfigChange { Listeners = [listener with { Name = "third", Address = listener.Address with { Host = path + ".file" } }] }), d => d.Code == "NARU-P102");
        Assert.Equal("not a socket", await File.ReadAllTextAsync(path + ".file"));
        File.Delete(path);
        File.Delete(path + ".file");
    }

    [Fact]
    public async Task Internal_listeners_are_reached_inside_of_the_process()
    {
        await using var backend = new Witness();
        await using var bench = new EngineBench();
        var inside = new AddressConfig("loop", 0) { Kind = AddressKind.Internal };
        bench.Apply(
            EngineBench.Cluster("far", backend.Port), At(inside),
            EngineBench.Listener(EngineBench.Chain(EngineBench.Http("far"))) with { Name = "loop", Address = inside },
            EngineBench.Tcp());
        for (int i = 0; i < 3; i++)
        {
            using RawClient client = await bench.ConnectAsync();
            Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            Assert.Equal(200, (await client.ExchangeAsync("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
        Assert.Equal(3, bench.Stat("listener.loop.downstream_cx_total"));
        bench.Apply(new ConfigChange { RemovedListeners = ["loop"] });
        Assert.Equal("", await bench.AskAsync());
    }

    [Fact]
    public async Task Additional_addresses_and_both_families_are_served()
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(EngineBench.Saying("six")) with { Address = new AddressConfig("::1", 0), AdditionalAddresses = [new AddressConfig("127.0.0.1", 0), new AddressConfig("::", 0) { Ipv4Compat = true }] });
        foreach (IPEndPoint to in new[] { bench.Address(), bench.Address(index: 1), new IPEndPoint(IPAddress.Loopback, bench.Address(index: 2).Port), new IPEndPoint(IPAddress.IPv6Loopback, bench.Address(index: 2).Port) })
        {
            using RawClient client = await RawClient.ConnectAsync(to);
            Assert.Equal("six", await client.RestAsync());
        }
    }

    [Fact]
    public async Task Connections_go_on_to_the_listener_of_their_original_destination()
    {
        await using var bench = new EngineBench();
        ListenerConfig Virtual(string name, string address, int port) => EngineBench.Listener(EngineBench.Saying(name)) with { Name = name, Address = new AddressConfig(address, port), BindToPort = false };
        // The PROXY header stands for the kernel's redirection.
        bench.Apply(
            Proxied(EngineBench.Listener(EngineBench.Saying("main"))) with { UseOriginalDst = true },
            Virtual("exact", "10.0.0.1", 80), Virtual("any", "0.0.0.0", 80));
        Assert.Equal("exact", await bench.AskAsync(send: "PROXY TCP4 10.9.9.9 10.0.0.1 5 80\r\n"));
        Assert.Equal("any", await bench.AskAsync(send: "PROXY TCP4 10.9.9.9 10.0.0.2 5 80\r\n"));
        Assert.Equal("main", await bench.AskAsync(send: "PROXY TCP4 10.9.9.9 10.0.0.2 5 81\r\n"));
        Assert.Equal("main", await bench.AskAsync(send: "x\n"));
        Assert.Empty(bench.Engine.Listeners.Single(l => l.Name == "any").LocalAddresses);
        await bench.StatAsync("listener.10.0.0.1_80.downstream_cx_total", 1);
        await bench.StatAsync("listener.127.0.0.1_0.downstream_pre_cx_active", 0);
    }

    [Fact]
    public async Task An_original_destination_cluster_goes_where_the_connection_was_going()
    {
        await using var a = new Witness(async c => await c.SendAsync("a"));
        await using var b = new Witness(async c => await c.SendAsync("b"));
        await using var bench = new EngineBench();
        ClusterConfig cluster = EngineBench.Cluster() with { Type = DiscoveryType.OriginalDst, CleanupInterval = TimeSpan.FromMilliseconds(50) };
        bench.Apply(cluster, Proxied(EngineBench.Tcp()));
        Assert.Equal("a", await bench.AskAsync(send: $"PROXY TCP4 10.9.9.9 127.0.0.1 5 {a.Port}\r\n"));
        Assert.Equal("b", await bench.AskAsync(send: $"PROXY TCP4 10.9.9.9 127.0.0.1 5 {b.Port}\r\n"));
        await bench.StatAsync("cluster.backend.membership_total", 0);
        Assert.Equal("", await bench.AskAsync(send: "x\n"));
        Assert.Equal(1, bench.Stat("cluster.backend.original_dst_host_invalid"));
        bench.Apply(cluster with { OriginalDstPortOverride = b.Port });
        Assert.Equal("b", await bench.AskAsync(send: $"PROXY TCP4 10.9.9.9 127.0.0.1 5 {a.Port}\r\n"));
    }

    [Theory]
    [InlineData("127.0.0.1:{0}", 200)]
    [InlineData("localhost:{0}", 503)]
    [InlineData("127.0.0.1", 503)]
    [InlineData("127.0.0.1:0", 503)]
    [InlineData("nonsense", 503)]
    [InlineData("0.0.0.0:{0}", 503)]
    [InlineData("[::ffff:0.0.0.0]:{0}", 503)]
    [InlineData("[::ffff:127.0.0.1]:{0}", 200)]
    [InlineData("169.254.169.254:80", 503)]
    public async Task A_header_names_the_original_destination_of_a_request(string value, int status)
    {
        await using var backend = new Witness();
        await using var bench = new EngineBench();
        bench.Apply(
            EngineBench.Cluster() with { Type = DiscoveryType.OriginalDst, OriginalDstHeader = "x-envoy-original-dst-host" }, EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient client = await bench.ConnectAsync();
        string to = string.Format(System.Globalization.CultureInfo.InvariantCulture, value, backend.Port);
        Assert.Equal(status, (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\nx-envoy-original-dst-host: {to}\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task The_endpoint_hears_of_the_client_by_a_proxy_header(int version)
    {
        string before = "";
        await using var backend = new Witness(async c =>
        {
            byte[] first = await c.Reader.ExactlyAsync(version == 1 ? 6 : 28);
            before = System.Text.Encoding.Latin1.GetString(first);
            while (version == 1 && !before.EndsWith("\r\n", StringComparison.Ordinal)) before += (char)(await c.Reader.ExactlyAsync(1))[0];
            await Witness.Echo(c);
        });
        await using var bench = new EngineBench(workers: 1);
        bench.Apply(EngineBench.Cluster(backend.Port) with { ProxyProtocolVersion = version }, EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        // One client's connection is never another's.
        using RawClient other = await bench.ConnectAsync();
        Assert.Equal(200, (await other.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(2, backend.Connections.Count);
        int from = other.LocalEndPoint.Port, to = bench.Port();
        if (version == 1) Assert.Equal($"PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n", before);
        else Assert.Equal([.. s_proxyVersion2, (byte)(from >> 8), (byte)from, (byte)(to >> 8), (byte)to], System.Text.Encoding.Latin1.GetBytes(before));
    }

    [Fact]
    public async Task Upstream_connections_come_from_the_address_they_are_told_to()
    {
        IPEndPoint? seen = null;
        await using var backend = new Witness(async c =>
        {
            seen = (IPEndPoint)c.Socket.RemoteEndPoint!;
            await c.SendAsync("ok");
        });
        await using var bench = new EngineBench();
        bench.Apply(
            EngineBench.Cluster(backend.Port) with { BindSource = new AddressConfig("127.0.0.7", 0), TcpKeepalive = new TcpKeepaliveConfig(3, 60, 10), SocketOptions = [new SocketOptionConfig(1, 9, 1, [], SocketOptionState.PreBind)] },
            EngineBench.Tcp());
        Assert.Equal("ok", await bench.AskAsync());
        Assert.Equal(IPAddress.Parse("127.0.0.7"), seen!.Address);
    }

    [Fact]
    public async Task A_dynamic_forward_proxy_looks_names_up_once_for_all_who_wait()
    {
        await using var backend = new Witness();
        int lookups = 0;
        var mayAnswer = new TaskCompletionSource();
        await using var bench = new EngineBench(lookup: async (name, _) =>
        {
            Interlocked.Increment(ref lookups);
            await mayAnswer.Task;
            return name == "far.example" ? new NameAnswer([IPAddress.Loopback], null) : throw new SocketException((int)SocketError.HostNotFound);
        });
        bench.Apply(
            EngineBench.Cluster() with { Type = DiscoveryType.DynamicForwardProxy, DnsRefreshRate = TimeSpan.FromHours(1) },
            EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient one = await bench.ConnectAsync();
        using RawClient two = await bench.ConnectAsync();
        await one.SendAsync($"GET /1 HTTP/1.1\r\nHost: far.example:{backend.Port}\r\n\r\n");
        await two.SendAsync($"GET /2 HTTP/1.1\r\nHost: Far.Example:{backend.Port}\r\n\r\n");
        await bench.StatAsync("http.test.downstream_rq_active", 2);
        mayAnswer.SetResult();
        Assert.Equal(200, (await one.ResponseAsync()).Status);
        Assert.Equal(200, (await two.ResponseAsync()).Status);
        Assert.Equal(200, (await one.ExchangeAsync($"GET /3 HTTP/1.1\r\nHost: far.example:{backend.Port}\r\n\r\n")).Status);
        Assert.Equal(1, lookups);
        Assert.Equal(503, (await one.ExchangeAsync("GET /4 HTTP/1.1\r\nHost: nowhere.example\r\n\r\n")).Status);
        Assert.Equal(200, (await one.ExchangeAsync($"GET /5 HTTP/1.1\r\nHost: 127.0.0.1:{backend.Port}\r\n\r\n")).Status);
        Assert.Equal(2, lookups);
    }

    [Fact]
    public async Task A_cache_of_names_is_as_full_as_it_may_be_and_forgets_those_that_nobody_asks_for()
    {
        await using var backend = new Witness();
        await using var bench = new EngineBench(lookup: (_, _) => Task.FromResult(new NameAnswer([IPAddress.Loopback], null)));
        bench.Apply(
            EngineBench.Cluster() with { Type = DiscoveryType.DynamicForwardProxy, MaxHosts = 1, CleanupInterval = TimeSpan.FromMilliseconds(50) },
            EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: one.example:{backend.Port}\r\n\r\n")).Status);
        await Waiting.UntilAsync(async () => (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: two.example:{backend.Port}\r\n\r\n")).Status == 200, "the first name to be forgotten");
    }

    [Fact]
    public async Task Filter_chains_see_the_restored_destination()
    {
        await using var bench = new EngineBench();
        bench.Apply(Proxied(EngineBench.Listener(EngineBench.Saying("ten", new Match { PrefixRanges = [IPNetwork.Parse("10.0.0.0/8")] }), EngineBench.Saying("else"))));
        Assert.Equal("ten", await bench.AskAsync(send: "PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n"));
        Assert.Equal("else", await bench.AskAsync(send: "PROXY TCP4 192.0.2.1 11.0.0.1 5 80\r\n"));
    }
}

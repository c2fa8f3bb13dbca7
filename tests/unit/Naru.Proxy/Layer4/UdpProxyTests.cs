// udp_proxy from outside: sessions, their ends, limits and counters.
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class UdpProxyTests
{
    /// <summary>Answers every datagram with its own name and the datagram.</summary>
    private sealed class Answerer : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

        public Answerer(string name)
        {
            _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _ = ServeAsync(name);
        }

        public int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

        public HashSet<EndPoint> Seen { get; } = [];

        private async Task ServeAsync(string name)
        {
            var buffer = new byte[65536];
            try
            {
                while (true)
                {
                    SocketReceiveFromResult got = await _socket.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0));
                    lock (Seen) Seen.Add(got.RemoteEndPoint);
                    byte[] prefix = Encoding.ASCII.GetBytes(name);
                    await _socket.SendToAsync(prefix.Concat(buffer[..got.ReceivedBytes]).ToArray(), got.RemoteEndPoint);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }

        public void Dispose() => _socket.Dispose();
    }

    private sealed class Client : IDisposable
    {
        private readonly Socket _socket;
        private readonly byte[] _buffer = new byte[65536];

        public Client(IPEndPoint to)
        {
            _socket = new Socket(to.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            _socket.Connect(to);
        }

        public Task SendAsync(byte[] datagram) => _socket.SendAsync(datagram);

        public async Task<string> NextAsync() => Encoding.ASCII.GetString(_buffer, 0, await _socket.ReceiveAsync(_buffer).Within("a datagram"));

        public async Task<string> AskAsync(string text)
        {
            await SendAsync(Encoding.ASCII.GetBytes(text));
            return await NextAsync();
        }

        public void Dispose() => _socket.Dispose();
    }

    private static UdpProxyConfig Config => new() { StatPrefix = "test", Cluster = "backend" };

    private static ListenerConfig Listener(UdpProxyConfig config, string address = "127.0.0.1") => new() { Name = "main", Address = new AddressConfig(address, 0), Udp = config };

    [Fact]
    public async Task Each_client_has_a_session_of_its_own_and_gets_its_own_answers()
    {
        using var backend = new Answerer(">");
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), Listener(Config));
        Client[] clients = [.. Enumerable.Range(0, 8).Select(_ => new Client(bench.Address()))];
        for (int round = 0; round < 3; round++)
            for (int i = 0; i < clients.Length; i++) Assert.Equal($">{i} {round}", await clients[i].AskAsync($"{i} {round}"));
        Assert.Equal(8, backend.Seen.Count);
        Assert.Equal(8, bench.Stat("udp.test.downstream_sess_total"));
        Assert.Equal(8, bench.Stat("udp.test.downstream_sess_active"));
        Assert.Equal(24, bench.Stat("udp.test.downstream_sess_rx_datagrams"));
        Assert.Equal(24, bench.Stat("udp.test.downstream_sess_tx_datagrams"));
        Assert.Equal(24 * 3, bench.Stat("udp.test.downstream_sess_rx_bytes"));
        Assert.Equal(24 * 4, bench.Stat("udp.test.downstream_sess_tx_bytes"));
        Assert.Equal(24, bench.Stat("cluster.backend.udp.sess_tx_datagrams"));
        foreach (Client client in clients) client.Dispose();
        bench.Apply(new ConfigChange { RemovedListeners = ["main"] });
        await bench.StatAsync("udp.test.downstream_sess_active", 0);
    }

    [Fact]
    public async Task An_empty_datagram_is_a_datagram_and_a_too_long_one_is_dropped_whole()
    {
        using var backend = new Answerer(">");
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), Listener(Config));
        using var client = new Client(bench.Address());
        Assert.Equal(">", await client.AskAsync(""));
        await client.SendAsync(new byte[1501]);
        Assert.Equal(">" + new string('x', 1500), await client.AskAsync(new string('x', 1500)));
        Assert.Equal(1, bench.Stat("udp.test.downstream_rx_datagram_dropped"));
        bench.Apply(Listener(Config with { MaxDatagramSize = 9000 }));
        Assert.Equal(9001, (await client.AskAsync(new string('x', 9000))).Length);
    }

    [Fact]
    public async Task A_silent_session_ends_and_the_next_datagram_begins_a_new_one()
    {
        using var backend = new Answerer(">");
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), Listener(Config with { IdleTimeout = TimeSpan.FromMilliseconds(50) }));
        using var client = new Client(bench.Address());
        Assert.Equal(">a", await client.AskAsync("a"));
        await bench.StatAsync("udp.test.downstream_sess_active", 0);
        Assert.True(bench.Stat("udp.test.idle_timeout") >= 1);
        Assert.Equal(">b", await client.AskAsync("b"));
        Assert.True(bench.Stat("udp.test.downstream_sess_total") >= 2);
    }

    [Fact]
    public async Task Answers_come_from_the_address_that_was_asked()
    {
        using var backend = new Answerer(">");
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), Listener(Config, "0.0.0.0"));
        // A connected socket takes answers from that address only.
        using var client = new Client(new IPEndPoint(IPAddress.Parse("127.0.0.9"), bench.Port()));
        Assert.Equal(">a", await client.AskAsync("a"));
        Assert.Equal(">b", await client.AskAsync("b"));
        bench.Apply(Listener(Config, "::") with { Name = "six" });
        using var six = new Client(new IPEndPoint(IPAddress.IPv6Loopback, bench.Port("six")));
        Assert.Equal(">c", await six.AskAsync("c"));
    }

    [Fact]
    public async Task Each_datagram_may_pick_its_own_endpoint()
    {
        using var a = new Answerer("a");
        using var b = new Answerer("b");
        await using var bench = new EngineBench(workers: 1);
        bench.Apply(EngineBench.Cluster(a.Port, b.Port), Listener(Config with { PerPacket = true }));
        using var client = new Client(bench.Address());
        string[] got = [await client.AskAsync("1"), await client.AskAsync("1"), await client.AskAsync("1"), await client.AskAsync("1")];
        Assert.Equal(["a1", "a1", "b1", "b1"], got.Order(StringComparer.Ordinal));
        Assert.Equal(2, bench.Stat("udp.test.downstream_sess_total"));
    }

    [Fact]
    public async Task A_hash_policy_keeps_a_source_at_one_endpoint()
    {
        Answerer[] backends = [.. "abcdefgh".Select(c => new Answerer(c.ToString()))];
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster([.. backends.Select(b => b.Port)]), Listener(Config with { HashSourceIp = true }));
        var seen = new HashSet<string>();
        for (int i = 0; i < 8; i++)
        {
            using var client = new Client(bench.Address());
            seen.Add(await client.AskAsync(""));
        }
        Assert.Single(seen);
        foreach (Answerer backend in backends) backend.Dispose();
    }

    [Fact]
    public async Task Sessions_are_limited_and_need_an_endpoint()
    {
        using var backend = new Answerer(">");
        await using var bench = new EngineBench();
        bench.Apply(Listener(Config));
        using var first = new Client(bench.Address());
        await first.SendAsync([1]);
        await bench.StatAsync("udp.test.downstream_sess_no_route", 1);
        bench.Apply(EngineBench.Cluster());
        await first.SendAsync([1]);
        await bench.StatAsync("cluster.backend.upstream_cx_none_healthy", 1);
        bench.Apply(EngineBench.Cluster(backend.Port) with { Thresholds = new ThresholdsConfig { MaxConnections = 1 } });
        Assert.Equal(">a", await first.AskAsync("a"));
        using var second = new Client(bench.Address());
        await second.SendAsync([1]);
        await bench.StatAsync("cluster.backend.upstream_cx_overflow", 1);
        Assert.Equal(">a", await first.AskAsync("a"));
    }

    [Fact]
    public async Task An_endpoint_that_is_gone_is_left_by_its_sessions()
    {
        using var a = new Answerer("a");
        using var b = new Answerer("b");
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(a.Port), Listener(Config));
        using var client = new Client(bench.Address());
        Assert.Equal("a1", await client.AskAsync("1"));
        bench.Apply(EngineBench.Cluster(b.Port));
        await Waiting.UntilAsync(async () => await client.AskAsync("2") == "b2", "the session to move");
    }
}

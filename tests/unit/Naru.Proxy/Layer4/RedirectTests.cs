// Connections that the kernel redirects, in a namespace of their own: where they were going is known, and who they come from.
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Proxy.Config;
using Xunit;
using static Naru.UnitTests.Proxy.NetworkNamespace;
using Match = Naru.Proxy.Config.FilterChainMatchConfig;

namespace Naru.UnitTests.Proxy;

public sealed class RedirectTests
{
    private const int Bound = 20_000;

    // Blocking on purpose: what waits elsewhere would be in another namespace.
    private static string Ask(string address, int port, string? send = null)
    {
        using var socket = new Socket(IPAddress.Parse(address).AddressFamily, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = Bound, SendTimeout = Bound };
        socket.Connect(IPAddress.Parse(address), port);
        if (send is not null) socket.Send(Encoding.ASCII.GetBytes(send));
        var text = new StringBuilder();
        var piece = new byte[1024];
        int n;
        while ((n = socket.Receive(piece)) > 0) text.Append(Encoding.ASCII.GetString(piece, 0, n));
        return text.ToString();
    }

    /// <summary>Says to every connection who it comes from.</summary>
    private static Socket Server(string address, int port)
    {
        var listener = new Socket(IPAddress.Parse(address).AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        listener.Listen();
        new Thread(() =>
        {
            try
            {
                while (true)
                {
                    using Socket socket = listener.Accept();
                    socket.Send(Encoding.ASCII.GetBytes($"{socket.LocalEndPoint} hears {((IPEndPoint)socket.RemoteEndPoint!).Address}"));
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        })
        { IsBackground = true }.Start();
        return listener;
    }

    private static void WithEngine(Action<EngineBench> body)
    {
        var bench = new EngineBench(workers: 1);
        try
        {
            body(bench);
        }
        finally
        {
            bench.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private static FilterChainConfig To(string net, int port, string text) => EngineBench.Saying(text, new Match { PrefixRanges = [IPNetwork.Parse(net)], DestinationPort = port });

    [Fact]
    public Task A_redirected_connection_is_known_by_where_it_was_going() => RunAsync(() => WithEngine(bench =>
    {
        Ip("addr add 10.1.2.3/24 dev lo");
        Ip("addr add 2001:db8::3/64 dev lo nodad");
        ListenerConfig listener = EngineBench.Listener(To("10.1.2.3/32", 80, "four"), To("2001:db8::3/128", 80, "six"), EngineBench.Saying("direct")) with
        {
            Address = new AddressConfig("::", 0) { Ipv4Compat = true },
            ListenerFilters = [new OriginalDstFilterConfig()],
        };
        bench.Apply(listener);
        int port = bench.Port();
        Iptables($"-t nat -A OUTPUT -p tcp -d 10.1.2.3 --dport 80 -j REDIRECT --to-ports {port}");
        Ip6tables($"-t nat -A OUTPUT -p tcp -d 2001:db8::3 --dport 80 -j REDIRECT --to-ports {port}");
        Assert.Equal("four", Ask("10.1.2.3", 80));
        Assert.Equal("six", Ask("2001:db8::3", 80));
        Assert.Equal("direct", Ask("127.0.0.1", port));
    }));

    [Fact]
    public Task A_redirected_connection_goes_on_to_where_it_was_going() => RunAsync(() => WithEngine(bench =>
    {
        const int SolSocket = 1, SoMark = 36;
        Ip("addr add 10.1.2.3/24 dev lo");
        using Socket server = Server("10.1.2.3", 80);
        bench.Apply(
            EngineBench.Cluster() with { Type = DiscoveryType.OriginalDst, SocketOptions = [new SocketOptionConfig(SolSocket, SoMark, 7, [], SocketOptionState.PreBind)] },
            EngineBench.Tcp() with { ListenerFilters = [new OriginalDstFilterConfig()] });
        // What the proxy itself sends carries its mark and is let through.
        Iptables($"-t nat -A OUTPUT -p tcp -d 10.1.2.3 --dport 80 -m mark ! --mark 7 -j REDIRECT --to-ports {bench.Port()}");
        Assert.StartsWith("10.1.2.3:80 hears ", Ask("10.1.2.3", 80));
        Assert.Equal(1, bench.Stat("tcp.test.downstream_cx_total"));
        Assert.Equal(1, bench.Stat("cluster.backend.upstream_cx_total"));
    }));

    [Fact]
    public Task A_transparent_listener_takes_connections_to_addresses_that_are_not_ours() => RunAsync(() => WithEngine(bench =>
    {
        Ip("addr add 10.9.9.9/32 dev lo");
        Ip("route add 10.1.2.0/24 dev lo src 10.9.9.9");
        Ip("rule add fwmark 1 lookup 100");
        Ip("route add local 0.0.0.0/0 dev lo table 100");
        bench.Apply(EngineBench.Listener(To("10.1.2.3/32", 80, "transparent")) with { Transparent = true, ListenerFilters = [new OriginalDstFilterConfig()] });
        Iptables("-t mangle -A OUTPUT -p tcp -d 10.1.2.3 --dport 80 -j MARK --set-mark 1");
        Iptables($"-t mangle -A PREROUTING -p tcp -d 10.1.2.3 --dport 80 -j TPROXY --on-ip 127.0.0.1 --on-port {bench.Port()} --tproxy-mark 1");
        Assert.Equal("transparent", Ask("10.1.2.3", 80));
    }));

    [Fact]
    public Task The_endpoint_sees_the_clients_own_address() => RunAsync(() => WithEngine(bench =>
    {
        Ip("addr add 10.9.9.9/32 dev lo");
        Ip("route add local 10.200.0.0/16 dev lo");
        using Socket server = Server("10.9.9.9", 80);
        bench.Apply(
            EngineBench.Cluster() with { LoadAssignment = new EndpointsConfig("backend", [new EndpointConfig(new AddressConfig("10.9.9.9", 80))]) },
            EngineBench.Tcp() with { ListenerFilters = [new ProxyProtocolFilterConfig(false), new OriginalSrcConfig(false, 5)] });
        Assert.Equal("10.9.9.9:80 hears 10.200.7.8", Ask("127.0.0.1", bench.Port(), "PROXY TCP4 10.200.7.8 10.9.9.9 1234 80\r\n"));
    }));
}

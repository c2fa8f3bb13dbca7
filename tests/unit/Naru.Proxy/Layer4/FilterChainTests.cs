// Which filter chain a connection gets: Envoy's order, most specific at each step; what listener filters find out; who waits for whom.
using System.Net;
using System.Net.Security;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Xunit;
using Match = Naru.Proxy.Config.FilterChainMatchConfig;

namespace Naru.UnitTests.Proxy;

public sealed class FilterChainTests
{
    private readonly TestAuthority _root = new("root");

    private static string Pick(ChainKey key, params (string Name, Match Match)[] chains)
    {
        FilterChain Made((string Name, Match Match) c) => new(EngineBench.Chain(new EchoConfig(), c.Match, c.Name), null, _ => null!, [], null);
        return new ChainSet([.. chains.Select(Made)], Made(("default", new Match())), []).Pick(key)!.Config.Name;
    }

    private static IPAddress Ip(string text) => IPAddress.Parse(text);

    private static IPNetwork Net(string text) => IPNetwork.Parse(text);

    [Fact]
    public void The_destination_port_is_looked_at_first()
    {
        (string, Match)[] chains =
        [
            ("net", new Match { PrefixRanges = [Net("10.0.0.0/8")] }),
            ("port", new Match { DestinationPort = 443 }),
        ];
        Assert.Equal("port", Pick(new ChainKey { Local = Ip("10.1.1.1"), LocalPort = 443 }, chains));
        Assert.Equal("net", Pick(new ChainKey { Local = Ip("10.1.1.1"), LocalPort = 80 }, chains));
        Assert.Equal("default", Pick(new ChainKey { Local = Ip("11.1.1.1"), LocalPort = 80 }, chains));
    }

    [Fact]
    public void What_an_earlier_criterion_chose_is_not_taken_back_by_a_later_one()
    {
        // The longer prefix wins although its name does not match in the end (Envoy does not backtrack).
        (string, Match)[] chains =
        [
            ("wide", new Match { PrefixRanges = [Net("10.0.0.0/8")], ServerNames = ["a.example"] }),
            ("narrow", new Match { PrefixRanges = [Net("10.1.0.0/16")], ServerNames = ["b.example"] }),
        ];
        Assert.Equal("default", Pick(new ChainKey { Local = Ip("10.1.1.1"), ServerName = "a.example" }, chains));
        Assert.Equal("wide", Pick(new ChainKey { Local = Ip("10.2.1.1"), ServerName = "a.example" }, chains));
    }

    [Theory]
    [InlineData("a.example.com", "exact")]
    [InlineData("b.example.com", "suffix")]
    [InlineData("x.b.example.com", "suffix")]
    [InlineData("x.deep.example.com", "longer")]
    [InlineData("example.com", "none")]
    [InlineData("other.org", "none")]
    [InlineData("", "none")]
    public void Exact_names_come_before_suffixes_and_longer_suffixes_before_shorter(string name, string expected) => Assert.Equal(expected, Pick(
        new ChainKey { ServerName = name },
        ("suffix", new Match { ServerNames = ["*.example.com"] }), ("longer", new Match { ServerNames = ["*.deep.example.com"] }),
        ("exact", new Match { ServerNames = ["a.example.com", "z.example.com"] }), ("none", new Match())));

    [Fact]
    public void Transport_and_application_protocols_tell_chains_apart()
    {
        (string, Match)[] chains =
        [
            ("mtls", new Match { TransportProtocol = "tls", ApplicationProtocols = ["istio", "istio-peer-exchange"] }),
            ("tls", new Match { TransportProtocol = "tls" }),
            ("http", new Match { TransportProtocol = "raw_buffer", ApplicationProtocols = ["http/1.1", "h2c"] }),
            ("plain", new Match { TransportProtocol = "raw_buffer" }),
        ];
        Assert.Equal("mtls", Pick(new ChainKey { TransportProtocol = "tls", ApplicationProtocols = ["h2", "istio"] }, chains));
        Assert.Equal("tls", Pick(new ChainKey { TransportProtocol = "tls", ApplicationProtocols = ["h2"] }, chains));
        Assert.Equal("http", Pick(new ChainKey { ApplicationProtocols = ["h2c"] }, chains));
        Assert.Equal("plain", Pick(new ChainKey(), chains));
    }

    [Fact]
    public void Sources_are_told_apart_by_type_address_and_port()
    {
        (string, Match)[] chains =
        [
            ("direct", new Match { DirectSourcePrefixRanges = [Net("192.0.2.0/24")] }),
            ("here", new Match { SourceType = SourceType.SameIpOrLoopback }),
            ("away", new Match { SourceType = SourceType.External, SourcePrefixRanges = [Net("2001:db8::/32")] }),
            ("port", new Match { SourceType = SourceType.External, SourcePrefixRanges = [Net("2001:db8::/32")], SourcePorts = [5] }),
        ];
        Assert.Equal("direct", Pick(new ChainKey { Direct = Ip("192.0.2.9"), PeerIsHere = true }, chains));
        Assert.Equal("here", Pick(new ChainKey { PeerIsHere = true }, chains));
        Assert.Equal("away", Pick(new ChainKey { Peer = Ip("2001:db8::1"), PeerPort = 4 }, chains));
        Assert.Equal("port", Pick(new ChainKey { Peer = Ip("2001:db8::1"), PeerPort = 5 }, chains));
        Assert.Equal("default", Pick(new ChainKey { Peer = Ip("2001:db9::1"), PeerPort = 5 }, chains));
    }

    [Fact]
    public async Task A_connection_that_no_chain_is_for_is_closed_and_counted()
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(EngineBench.Saying("never", new Match { DestinationPort = 1 })));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("listener.127.0.0.1_0.no_filter_chain_match"));
        Assert.Equal(0, bench.Stat("listener.127.0.0.1_0.downstream_cx_total"));
        Assert.Equal(0, bench.Stat("listener.127.0.0.1_0.downstream_pre_cx_active"));
    }

    [Fact]
    public async Task The_server_name_picks_the_chain_and_its_certificate()
    {
        FilterChainConfig Tls(string name, string[] names) => EngineBench.Chain(new NetworkDirectResponseConfig([.. Encoding.ASCII.GetBytes(name)]), new Match { ServerNames = [.. names] }, name) with
        {
            Tls = new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue([name])) },
        };
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(Tls("a.example", ["a.example"]), Tls("wild.example", ["*.example"]), EngineBench.Saying("plain")));
        foreach ((string asked, string got) in new[] { ("a.example", "a.example"), ("B.Example", "wild.example") })
        {
            (SslStream stream, string? failure) = await TlsHandshakeTests.DialAsync(bench.Port(), new SslClientAuthenticationOptions { TargetHost = asked });
            Assert.Null(failure);
            Assert.Contains($"CN={got},", stream.RemoteCertificate!.Subject);
            Assert.Equal(got, await new StreamReader(stream).ReadToEndAsync().Within("the answer"));
            await stream.DisposeAsync();
        }
        Assert.Equal("plain", await bench.AskAsync(send: "hello"));
        Assert.Equal(2, bench.Stat("tls_inspector.tls_found"));
        Assert.Equal(2, bench.Stat("tls_inspector.sni_found"));
        Assert.Equal(1, bench.Stat("tls_inspector.tls_not_found"));
    }

    [Fact]
    public async Task A_tls_stream_is_passed_on_by_its_name_without_being_opened()
    {
        await using SecureBackend backend = new(new SslServerAuthenticationOptions
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(_root.Issue(["far.example"]).Certificate, null, offline: true),
        });
        await using var bench = new EngineBench();
        bench.Apply(
            EngineBench.Cluster("far.example", backend.Port),
            EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy("none")) with { Filters = [new SniClusterConfig()] }) with { ListenerFilters = [new TlsInspectorConfig()] });
        (SslStream stream, string? failure) = await TlsHandshakeTests.DialAsync(bench.Port(), new SslClientAuthenticationOptions { TargetHost = "far.example" });
        Assert.Null(failure);
        Assert.Contains("CN=far.example,", stream.RemoteCertificate!.Subject);
        await Waiting.UntilAsync(() => backend.Names.Count == 1, "the backend's end of the handshake");
        Assert.Equal(["far.example"], backend.Names);
        await stream.DisposeAsync();
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n", "http")]
    [InlineData("GET / HTTP/1.0\r\n", "http")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http")]
    [InlineData("*1\r\n", "other")]
    [InlineData("SSH-2.0-x\r\n", "other")]
    public async Task Plain_http_is_told_from_other_protocols(string first, string expected)
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(
            EngineBench.Saying("http", new Match { TransportProtocol = "raw_buffer", ApplicationProtocols = ["http/1.0", "http/1.1", "h2c"] }),
            EngineBench.Saying("other", new Match { TransportProtocol = "raw_buffer" })) with
        { ListenerFilters = [new HttpInspectorConfig()] });
        Assert.Equal(expected, await bench.AskAsync(send: first));
        using RawClient slow = await bench.ConnectAsync();
        await slow.SendBytewiseAsync(first);
        Assert.Equal(expected, await slow.RestAsync());
    }

    [Fact]
    public async Task A_client_that_waits_for_the_servers_first_word_is_served_when_the_time_for_looking_is_over()
    {
        await using var bench = new EngineBench();
        ListenerConfig listener = EngineBench.Listener(EngineBench.Saying("http", new Match { ApplicationProtocols = ["http/1.1"] }), EngineBench.Saying("220 hello")) with
        {
            ListenerFilters = [new TlsInspectorConfig(), new HttpInspectorConfig()],
            ListenerFiltersTimeout = TimeSpan.FromMilliseconds(50),
        };
        bench.Apply(listener with { ContinueOnListenerFiltersTimeout = true });
        Assert.Equal("220 hello", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("listener.127.0.0.1_0.downstream_pre_cx_timeout"));
        bench.Apply(listener);
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(2, bench.Stat("listener.127.0.0.1_0.downstream_pre_cx_timeout"));
        using (RawClient gone = await bench.ConnectAsync()) gone.HalfClose();
        await bench.StatAsync("listener.127.0.0.1_0.downstream_listener_filter_remote_close", 1);
        await bench.StatAsync("listener.127.0.0.1_0.downstream_pre_cx_active", 0);
    }

    [Fact]
    public async Task A_client_that_never_finishes_its_handshake_is_closed_in_time()
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(EngineBench.Saying("never") with
        {
            Tls = new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"])) },
            TransportSocketConnectTimeout = TimeSpan.FromMilliseconds(50),
        }));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout"));
    }

    [Theory]
    [InlineData("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n", "v1", "far 443")]
    [InlineData("PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n", "v1", "far6")]
    [InlineData("PROXY UNKNOWN\r\n", "v1", "near")]
    [InlineData("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb", "v2", "far 443")]
    [InlineData("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "v2", "near")]
    public async Task A_proxy_header_says_who_the_client_is_and_where_it_went(string header, string version, string expected)
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(
            EngineBench.Saying("far 443", new Match { DestinationPort = 443, SourcePrefixRanges = [Net("203.0.113.7/32")], DirectSourcePrefixRanges = [Net("127.0.0.0/8")] }),
            EngineBench.Saying("far6", new Match { DirectSourcePrefixRanges = [Net("127.0.0.0/8")], SourcePrefixRanges = [Net("2001:db8::/32")], DestinationPort = 443 }),
            EngineBench.Saying("near")) with
        { ListenerFilters = [new ProxyProtocolFilterConfig(false)] });
        Assert.Equal(expected, await bench.AskAsync(send: header + "behind it"));
        using RawClient slow = await bench.ConnectAsync();
        await slow.SendBytewiseAsync(header);
        Assert.Equal(expected, await slow.RestAsync());
        Assert.Equal(2, bench.Stat($"proxy_proto.versions.{version}.found"));
    }

    [Fact]
    public async Task The_bytes_behind_a_proxy_header_are_untouched_and_a_connection_without_one_is_refused_or_allowed()
    {
        await using var bench = new EngineBench();
        ListenerConfig listener = EngineBench.Listener(EngineBench.Chain(new EchoConfig()));
        bench.Apply(listener with { ListenerFilters = [new ProxyProtocolFilterConfig(false), new HttpInspectorConfig()] });
        using (RawClient client = await bench.ConnectAsync())
        {
            await client.SendAsync("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n");
            Assert.Equal("GET / HTTP/1.1\r\n", await client.TextAsync(16));
        }
        Assert.Equal("", await bench.AskAsync(send: "hello"));
        Assert.Equal("", await bench.AskAsync(send: "PROXY TCP4 1.2.3.4 nonsense\r\n"));
        Assert.Equal(1, bench.Stat("proxy_proto.not_found_disallowed"));
        Assert.Equal(1, bench.Stat("proxy_proto.versions.v1.error"));
        bench.Apply(listener with { ListenerFilters = [new ProxyProtocolFilterConfig(true, Version1: false)] });
        using RawClient plain = await bench.ConnectAsync();
        await plain.SendAsync("hello");
        Assert.Equal("hello", await plain.TextAsync(5));
        Assert.Equal(1, bench.Stat("proxy_proto.not_found_allowed"));
    }
}

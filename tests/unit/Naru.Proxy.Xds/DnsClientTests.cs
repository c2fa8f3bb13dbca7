// Our own DNS client against a server that tells the truth, and against servers that do not.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.UnitTests.ProxyXds;

public sealed class DnsClientTests
{
    private const string Impatient = "options timeout:1 attempts:1\n";

    private static Task<NameAnswer> AskAsync(DnsServer server, string name = "web.test", int family = 4, string conf = "", string hosts = "", Func<DnsResolverConfig, DnsResolverConfig>? change = null)
    {
        var config = new DnsResolverConfig { Servers = [new AddressConfig("127.0.0.1", server.Port)] };
        return new DnsClient(() => conf, () => hosts)
            .LookupAsync(name, family == 4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6, change?.Invoke(config) ?? config, CancellationToken.None).Within("the answer");
    }

    private static string Told(NameAnswer answer) => $"{string.Join(",", answer.Addresses.Select(a => a.ToString()))} {answer.TimeToLive?.TotalSeconds}";

    [Fact]
    public async Task Addresses_and_their_shortest_ttl_are_told_for_each_family()
    {
        using var server = DnsServer.With(q => q.Type == 1 ? ["web.test A 30 10.0.0.1", "WEB.Test A 7 10.0.0.2"] : ["web.test AAAA 60 fd00::1"]);
        Assert.Equal("10.0.0.1,10.0.0.2 7", Told(await AskAsync(server)));
        Assert.Equal("fd00::1 60", Told(await AskAsync(server, family: 6)));
        Assert.Equal(["web.test", "web.test"], server.Questions.Select(q => q.Name));
        Assert.True(server.Questions.Select(q => q.Id).Distinct().Count() == 2 || server.Questions.Count == 2);
    }

    [Fact]
    public async Task Aliases_are_followed_in_the_message_and_beyond_and_their_ttl_counts()
    {
        using var server = DnsServer.With(q => q.Name switch
        {
            "web.test" => ["web.test CNAME 20 a.test", "a.test CNAME 5 b.test", "b.test A 30 10.0.0.1", "evil.test A 1 6.6.6.6"],
            "far.test" => ["far.test CNAME 9 next.test"],
            "next.test" => ["next.test A 60 10.0.0.9"],
            _ => [],
        });
        Assert.Equal("10.0.0.1 5", Told(await AskAsync(server)));
        Assert.Equal("10.0.0.9 9", Told(await AskAsync(server, "far.test")));
    }

    [Theory]
    [InlineData("web.test CNAME 1 web.test")]
    [InlineData("web.test CNAME 1 a.test|a.test CNAME 1 web.test")]
    public async Task Aliases_in_a_circle_are_a_failure(string records)
    {
        using var server = DnsServer.With(_ => records.Split('|'));
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, conf: Impatient));
    }

    [Fact]
    public async Task A_chain_of_aliases_over_messages_has_an_end()
    {
        using var server = DnsServer.With(q => [$"{q.Name} CNAME 1 n{q.Name}"]);
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server));
        Assert.InRange(server.Questions.Count, 2, 16);
    }

    [Fact]
    public async Task No_such_address_is_not_no_such_name_and_neither_is_a_failure()
    {
        using var nothing = DnsServer.With(_ => []);
        Assert.Empty((await AskAsync(nothing)).Addresses);
        using var missing = new DnsServer(q => [DnsReplies.Of(q, [], code: 3)]);
        Assert.Equal(SocketError.HostNotFound, (await Assert.ThrowsAsync<SocketException>(() => AskAsync(missing))).SocketErrorCode);
        using var broken = new DnsServer(q => [DnsReplies.Of(q, ["web.test A 1 6.6.6.6"], code: 2)]);
        Assert.Equal(SocketError.TryAgain, (await Assert.ThrowsAsync<SocketException>(() => AskAsync(broken))).SocketErrorCode);
        Assert.Equal(2, broken.Questions.Count);
    }

    [Fact]
    public async Task The_next_server_is_asked_where_one_fails_or_is_not_there()
    {
        using var broken = new DnsServer(q => [DnsReplies.Of(q, [], code: 5)]);
        using var good = DnsServer.With(_ => ["web.test A 3 10.0.0.1"]);
        using var gone = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        gone.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        int closed = ((IPEndPoint)gone.LocalEndPoint!).Port;
        gone.Dispose();
        Assert.Equal("10.0.0.1 3", Told(await AskAsync(good, change: c => c with { Servers = [new AddressConfig("127.0.0.1", closed), new AddressConfig("127.0.0.1", broken.Port), .. c.Servers] })));
        Assert.Single(broken.Questions);
    }

    [Fact]
    public async Task Lies_are_waited_past()
    {
        using var server = new DnsServer(q =>
        {
            byte[] lie = DnsReplies.Of(q, ["web.test A 1 6.6.6.6"]);
            byte[] wrongId = [.. lie], wrongName = [.. lie], question = [.. lie], two = [.. lie], wrongType = [.. lie], opcode = [.. lie];
            wrongId[1] ^= 1;
            wrongName[13] ^= 1;
            question[2] &= 0x7f;
            two[5] = 2;
            wrongType[12 + 10 + 1] = 28;
            opcode[2] |= 0x28;
            byte[] loop = [.. q.Bytes];
            loop[2] = 0x81;
            loop[7] = 1;
            // A name that points at itself, one that points ahead, and records that are cut.
            byte[] self = [.. loop, 0xc0, (byte)loop.Length, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 6, 6, 6, 6];
            byte[] ahead = [.. loop, 0xc0, (byte)(loop.Length + 2), 0xc0, (byte)loop.Length, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 6, 6, 6, 6];
            byte[] cut = lie[..^2];
            byte[] odd = [.. loop, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 3, 6, 6, 6];
            byte[] dotted = [.. q.Bytes];
            return [wrongId, wrongName, question, two, wrongType, opcode, self, ahead, cut, odd, [], [1], dotted, DnsReplies.Of(q, ["web.test A 4 10.0.0.1"])];
        });
        Assert.Equal("10.0.0.1 4", Told(await AskAsync(server)));
    }

    [Fact]
    public async Task Compressed_names_are_read_and_a_ttl_below_zero_is_none()
    {
        using var server = new DnsServer(q =>
        {
            byte[] start = [.. q.Bytes];
            start[2] = 0x81;
            start[7] = 2;
            // x.<the question's last label>, by pointer, then its address.
            int alias = start.Length + 12;
            return [[.. start, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 50, 0, 4, 1, (byte)'x', 0xc0, 16, 0xc0, (byte)alias, 0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 4, 10, 0, 0, 3]];
        });
        Assert.Equal("10.0.0.3 0", Told(await AskAsync(server)));
    }

    [Fact]
    public async Task What_is_truncated_is_asked_for_over_tcp_and_tcp_alone_may_be_wanted()
    {
        using var server = new DnsServer(q => [DnsReplies.Of(q, q.OverTcp ? [.. Enumerable.Range(1, 200).Select(i => $"web.test A 9 10.0.0.{i}")] : [], truncated: !q.OverTcp)]);
        Assert.Equal(200, (await AskAsync(server)).Addresses.Length);
        Assert.Equal([false, true], server.Questions.Select(q => q.OverTcp));
        server.Questions.Clear();
        Assert.Equal(200, (await AskAsync(server, change: c => c with { UseTcp = true })).Addresses.Length);
        Assert.Equal(200, (await AskAsync(server, conf: "options use-vc\n")).Addresses.Length);
        Assert.All(server.Questions, q => Assert.True(q.OverTcp));
        using var always = new DnsServer(q => [DnsReplies.Of(q, [], truncated: true)]);
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(always, conf: Impatient));
    }

    [Fact]
    public async Task The_hosts_file_comes_first_and_nobody_is_asked_for_localhost()
    {
        using var server = DnsServer.With(_ => ["web.test A 3 10.0.0.1"]);
        const string Hosts = "# comment\n10.9.9.9\tother  Web.Test # web\n10.9.9.8 web.test\nfd00::7 web.test\nnonsense web.test\n";
        Assert.Equal("10.9.9.9,10.9.9.8 ", Told(await AskAsync(server, hosts: Hosts)));
        Assert.Equal("fd00::7 ", Told(await AskAsync(server, family: 6, hosts: Hosts)));
        // Who names one family there has said all there is to say.
        Assert.Empty((await AskAsync(server, "other", family: 6, hosts: Hosts)).Addresses);
        Assert.Equal("127.0.0.1 ", Told(await AskAsync(server, "localhost")));
        Assert.Equal("::1 ", Told(await AskAsync(server, "my.localhost", family: 6)));
        Assert.Empty(server.Questions);
        Assert.Equal("10.0.0.1 3", Told(await AskAsync(server, hosts: "10.9.9.9 web\n")));
    }

    [Theory]
    [InlineData("web", "search a.test b.test\n", false, "web.a.test web.b.test web")]
    [InlineData("web.x", "search a.test b.test\n", false, "web.x web.x.a.test web.x.b.test")]
    [InlineData("web.x", "search a.test\noptions ndots:5 other\n", false, "web.x.a.test web.x")]
    [InlineData("web", "domain a.test\nsearch b.test\n", false, "web.b.test web")]
    [InlineData("web.", "search a.test\n", false, "web")]
    [InlineData("web", "search a.test\n", true, "web")]
    public async Task Search_domains_are_as_resolv_conf_has_them(string name, string conf, bool noSearch, string asked)
    {
        using var server = new DnsServer(q => [DnsReplies.Of(q, [], code: 3)]);
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, name, conf: conf, change: c => c with { NoSearch = noSearch }));
        Assert.Equal(asked, string.Join(' ', server.Questions.Select(q => q.Name)));
    }

    [Fact]
    public async Task A_search_that_fails_half_way_is_a_failure_unless_another_name_is_good()
    {
        using var server = new DnsServer(q => [q.Name == "web.a.test" ? DnsReplies.Of(q, [], code: 2) : DnsReplies.Of(q, [], code: 3)]);
        Assert.Equal(SocketError.TryAgain, (await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, "web", conf: "search a.test\n"))).SocketErrorCode);
        server.Answer = q => [q.Name == "web.a.test" ? DnsReplies.Of(q, [], code: 2) : DnsReplies.Of(q, ["web A 1 10.0.0.4"])];
        Assert.Equal("10.0.0.4 1", Told(await AskAsync(server, "web", conf: "search a.test\n")));
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("a..b")]
    [InlineData("w\u00e9b.test")]
    [InlineData("a b")]
    public async Task What_is_no_name_is_never_asked_for(string name)
    {
        using var server = DnsServer.With(_ => ["web.test A 3 10.0.0.1"]);
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, name));
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, new string('a', 64)));
        await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, string.Join('.', Enumerable.Repeat("abcdefg", 40))));
        Assert.Empty(server.Questions);
    }

    [Fact]
    public async Task Servers_may_be_the_last_resort()
    {
        using var server = DnsServer.With(_ => ["web.test A 3 10.0.0.1"]);
        Assert.Equal("10.0.0.1 3", Told(await AskAsync(server, conf: "search a\n", change: c => c with { ServersAreFallback = true })));
    }

    [Fact]
    public async Task Silence_ends_with_patience_or_with_the_token()
    {
        using var server = new DnsServer(_ => []);
        Assert.Equal(SocketError.TimedOut, (await Assert.ThrowsAsync<SocketException>(() => AskAsync(server, conf: Impatient))).SocketErrorCode);
        using var end = new CancellationTokenSource();
        var config = new DnsResolverConfig { Servers = [new AddressConfig("127.0.0.1", server.Port)] };
        Task<NameAnswer> lookup = new DnsClient(() => "", () => "").LookupAsync("web.test", AddressFamily.InterNetwork, config, end.Token);
        await Waiting.UntilAsync(() => server.Questions.Count == 2, "the question");
        await end.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => lookup.Within("the end"));
    }
}

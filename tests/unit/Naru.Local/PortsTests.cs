// Who listens where, read from the kernel's tables as text; what may be bound; which of several sockets gets a connection.
using System.Net;
using System.Net.Sockets;
using Naru.Local;
using Naru.Local.Processes;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class PortsTests
{
    private const string Tcp4 = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41001 1 0000000000000000 100 0 0 10 0
           1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41002 1 0000000000000000 100 0 0 10 0
           2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 41003 1 0000000000000000 20 4 30 10 -1
           3: 0100007F:1F91 00000000:0000 0A 000000
        """;

    private const string Tcp6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 42001 1 0000000000000000 100 0 0 10 0
           1: 00000000000000000000000001000000:1389 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 42002 1 0000000000000000 100 0 0 10 0
           2: 0000000000000000FFFF00000100007F:138A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 42003 1 0000000000000000 100 0 0 10 0
        """;

    [Fact]
    public void Listening_sockets_are_read_from_both_tables_and_others_are_left_out()
    {
        Assert.Equal(
            ["127.0.0.1:8080 41001 1000", "0.0.0.0:80 41002 0", ":::5000 42001 1000", "::1:5001 42002 1000", "127.0.0.1:5002 42003 1000"],
            PortHolder.Parse(Tcp4).Concat(PortHolder.Parse(Tcp6)).Select(s => $"{s.Address}:{s.Port} {s.Inode} {s.User}"));
        Assert.Empty(PortHolder.Parse(""));
    }

    [Theory]
    [InlineData("31 (node) S 7 31 31 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 11 0 98765 1 2", "31 node 7 98765")]
    [InlineData("32 (a) b (c)) R 31 31 31 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 11 0 5 1 2", "32 a) b (c) 31 5")]
    [InlineData("33 (gone) Z 31 31 31 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 11 0 5 1 2", null)]
    [InlineData("34 (cut) S 31", null)]
    [InlineData("", null)]
    public void A_process_is_read_whatever_it_calls_itself(string line, string? read) =>
        Assert.Equal(read, ProcessTable.Parse(line) is { } p ? $"{p.Pid} {p.Name} {p.Parent} {p.Started}" : null);

    [Fact]
    public void An_application_is_its_descendants_and_what_left_its_parent_but_carries_its_name()
    {
        ProcessEntry[] all = [new(1, "init", 0, 1), new(10, "sh", 5, 2), new(11, "npm", 10, 3), new(12, "node", 11, 4), new(20, "daemon", 1, 5), new(21, "worker", 20, 6), new(30, "other", 1, 7)];
        Assert.Equal([10, 11, 12, 20, 21], ProcessTree.Within(all, 10, p => p.Pid == 20).Select(p => p.Pid));
        Assert.Empty(ProcessTree.Within(all, 99, _ => false));
    }

    [Fact]
    public void A_claim_without_a_file_is_found_in_the_table_of_unix_sockets()
    {
        const string Table = """
            Num       RefCount Protocol Flags    Type St Inode Path
            0000000000000000: 00000002 00000000 00000000 0001 01 51001 @naru/port/80800
            0000000000000000: 00000002 00000000 00000000 0001 01 51002 @naru/port/8080
            0000000000000000: 00000003 00000000 00000000 0001 03 51003
            """;
        Assert.Equal(51002, PortClaim.Inode(Table, "naru/port/8080"));
        Assert.Null(PortClaim.Inode(Table, "naru/port/80"));
    }

    // Sockets as "inode address port"; those with an inode below 100 are the application's.
    [Theory]
    [InlineData("127.0.0.1:9", "", "1 127.0.0.1 9")]
    [InlineData("[::1]:9", "", "1 ::1 9")]
    [InlineData("127.0.0.1:9*", "", "1 0.0.0.0 9")]
    [InlineData("127.0.0.1:9*?, [::1]:9*", "", "1 :: 9")]
    [InlineData("127.1.2.1:9", "", "1 127.1.2.1 9")]
    [InlineData("127.0.0.1:9, [::1]:9", "", "1 127.0.0.1 9", "2 ::1 9")]
    [InlineData("127.0.0.1:8, 127.0.0.1:9", "", "1 127.0.0.1 9", "2 127.0.0.1 8")]
    // Somebody else has the port on the more exact address, or shares it.
    [InlineData("", "101", "1 0.0.0.0 9", "101 127.0.0.1 9")]
    [InlineData("[::1]:9*", "101", "1 :: 9", "101 127.0.0.1 9")]
    [InlineData("", "101", "1 127.0.0.1 9", "101 127.0.0.1 9")]
    // Somebody else has it on addresses that matter less.
    [InlineData("127.0.0.1:9", "", "1 127.0.0.1 9", "101 0.0.0.0 9")]
    [InlineData("127.0.0.1:9*", "", "1 0.0.0.0 9", "101 127.5.0.9 9")]
    // It was told 7, and somebody else has that.
    [InlineData("", "101", "101 127.0.0.1 7")]
    [InlineData("127.0.0.1:9", "101", "1 127.0.0.1 9", "101 :: 7")]
    [InlineData("", "", "101 127.5.0.9 7", "102 127.0.0.1 6")]
    public void A_way_is_one_on_which_only_the_application_takes_connections(string ways, string held, params string[] sockets)
    {
        ListeningSocket[] all = [.. sockets.Select(s => s.Split(' ')).Select(s => new ListeningSocket(IPAddress.Parse(s[1]), int.Parse(s[2]), long.Parse(s[0])))];
        var sight = Sight.Of(all, all.Select(s => s.Inode).Where(i => i < 100).ToHashSet(), [7]);
        Assert.Equal(ways, string.Join(", ", sight.Ways.Select(w => $"{w.Address}{(w.IsWildcard ? "*" : "")}{(w.IsSure ? "" : "?")}")));
        Assert.Equal(held, string.Join(", ", sight.Held.Select(s => s.Inode).Distinct()));
    }

    [Fact]
    public void A_port_whose_holder_would_share_it_is_taken_all_the_same()
    {
        using var holder = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        // On Linux this is SO_REUSEADDR and SO_REUSEPORT, as the proxy's listeners have them.
        holder.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        holder.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        holder.Listen();
        int port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.False(PortHolder.IsFree(IPAddress.Loopback, port));
        Assert.False(PortHolder.IsFree(IPAddress.Any, port));
        Assert.False(PortHolder.IsFreeEverywhere(port));
        Assert.EndsWith($"(pid {Environment.ProcessId})", PortHolder.Name(new IPEndPoint(IPAddress.Loopback, port)));
    }

    [Fact]
    public void A_port_of_IPv6_alone_is_not_free_everywhere()
    {
        using var holder = new TcpListener(IPAddress.IPv6Loopback, 0);
        holder.Start();
        Assert.False(PortHolder.IsFreeEverywhere(((IPEndPoint)holder.LocalEndpoint).Port));
    }

    [Fact]
    public async Task A_port_whose_last_connection_lingers_is_free()
    {
        int port;
        using (var listener = new TcpListener(IPAddress.Loopback, 0))
        {
            listener.Start();
            port = ((IPEndPoint)listener.LocalEndpoint).Port;
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, port);
            // The side that closes first keeps the port in TIME_WAIT.
            (await listener.AcceptTcpClientAsync()).Close();
            Assert.Equal(0, await client.GetStream().ReadAsync(new byte[1]));
        }
        Assert.True(PortHolder.IsFree(IPAddress.Loopback, port));
    }

    [Fact]
    public void A_claimed_port_is_nobody_elses_before_anybody_listens_on_it()
    {
        using var one = new AppPorts();
        using var other = new AppPorts();
        int port = one.Take();
        Assert.False(other.TryTake(port));
        Assert.EndsWith($"(pid {Environment.ProcessId})", PortClaim.Holder(port));
        one.Release(port);
        Assert.True(other.TryTake(port));
    }

    [Fact]
    public void A_program_is_told_its_port_by_what_its_framework_reads_and_by_the_loopback_address_where_one_is_said()
    {
        Dictionary<string, string> all = new(AppVariables.For(21_000, _ => false));
        Assert.All(AppVariables.Numbers, n => Assert.Equal("21000", all[n]));
        Assert.Equal("http://127.0.0.1:21000", all["ASPNETCORE_URLS"]);
        Assert.Equal(AppVariables.Numbers.Count + 1, all.Count);
    }

    [Theory]
    [InlineData("SERVER_PORT", "SERVER_PORT")]
    [InlineData("ASPNETCORE_URLS", "ASPNETCORE_URLS")]
    [InlineData("ASPNETCORE_HTTP_PORTS", "ASPNETCORE_URLS")]
    [InlineData("URLS", "ASPNETCORE_URLS")]
    [InlineData("PORT", "NITRO_PORT,NUXT_PORT,PORT")]
    [InlineData("NITRO_PORT", "NITRO_PORT,NUXT_PORT")]
    public void What_the_user_has_set_is_neither_overridden_nor_outranked(string set, string missing)
    {
        HashSet<string> all = [.. AppVariables.For(1, n => n == set).Select(v => v.Key)];
        Assert.Equal(missing, string.Join(',', AppVariables.Numbers.Append("ASPNETCORE_URLS").Where(n => !all.Contains(n)).Order()));
        Assert.True(AppVariables.Concerns(set));
    }

    [Theory]
    [InlineData("SERVER_PORT", "8080", "21000")]
    [InlineData("SERVER_PORT", "9999", "9999")]
    [InlineData("ASPNETCORE_HTTP_PORTS", "8080;8081", "21000;21001")]
    [InlineData("ASPNETCORE_URLS", "http://+:8080;https://*:8443/", "http://+:21000;https://*:8443/")]
    [InlineData("MAX_ROWS", "8080", "8080")]
    public void A_port_inside_of_a_container_becomes_the_one_that_stands_for_it(string name, string written, string read) =>
        Assert.Equal(read, AppVariables.Translate(name, written, new Dictionary<int, int> { [8080] = 21_000, [8081] = 21_001 }));
}

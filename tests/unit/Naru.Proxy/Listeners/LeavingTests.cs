// Listeners that were replaced or removed: what is open is counted once, and a listener is known until its last connection has ended.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.Proxy.Listeners;

public sealed class LeavingTests
{
    [Fact]
    public async Task A_connection_is_counted_once_however_often_its_listener_was_replaced()
    {
        await using var engine = new TlsEngine(null, 1, null);
        for (uint i = 1; i <= 3; i++)
        {
            engine.Apply(new ConfigChange { Listeners = [TlsEngine.Listener("main", null) with { Backlog = (int)i }] });
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, engine.Port);
            await Waiting.UntilAsync(() => engine.Engine.ActiveConnections == 1, "one open connection");
            client.Client.Close(0);
            await Waiting.UntilAsync(() => engine.Engine.ActiveConnections == 0, "none");
        }
    }

    private static async Task Echo(WitnessConnection c)
    {
        var piece = new byte[16];
        int n;
        while ((n = await c.Reader.SomeAsync(piece)) > 0) await c.SendAsync(piece.AsMemory(0, n));
        c.HalfClose();
    }

    [Fact]
    public async Task A_listener_is_forgotten_with_its_last_connection()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync("a");
        Assert.Equal("a", await client.TextAsync(1));
        bench.Apply(new ConfigChange { RemovedListeners = ["main"] });
        Assert.Equal(1, bench.Engine.LeavingListeners);
        await client.SendAsync("b");
        Assert.Equal("b", await client.TextAsync(1));
        client.HalfClose();
        Assert.Equal("", await client.RestAsync());
        await Waiting.UntilAsync(() => bench.Engine.LeavingListeners == 0, "the listener to be forgotten");
    }

    [Fact]
    public async Task Listeners_that_come_and_go_leave_nothing_behind()
    {
        await using var bench = new EngineBench();
        for (int i = 0; i < 100; i++)
        {
            bench.Apply(EngineBench.Listener(EngineBench.Saying("hello")));
            Assert.Equal("hello", await bench.AskAsync());
            bench.Apply(new ConfigChange { RemovedListeners = ["main"] });
        }
        await Waiting.UntilAsync(() => bench.Engine.LeavingListeners == 0, "the listeners to be forgotten");
        Assert.Equal(0, bench.Engine.ActiveConnections);
    }
}

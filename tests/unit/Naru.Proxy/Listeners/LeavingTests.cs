// Listeners that were replaced: what is open is counted once.
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
}

// One proxy in front of one witness, for the tests of one class.
// Its configuration is as plain as can be: one listener, every path to one backend, Envoy's defaults as we have them.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public class WireFixture : IAsyncLifetime
{
    /// <summary>The backend.</summary>
    public Cases Backend { get; } = new();

    /// <summary>The proxy.</summary>
    public ProxyProcess Proxy { get; private set; } = null!;

    /// <summary>Further lines of the connection manager.</summary>
    protected virtual string Manager => "upgrade_configs: [{ upgrade_type: websocket }]\nhttp_protocol_options: { accept_http_10: true }";

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.One(Backend.Port, Manager));

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>A plain request still works: whatever happened before hurt nobody else.</summary>
    public async Task StillServesAsync()
    {
        using RawClient client = await Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.StartsWith("GET /canary HTTP/1.1\n", answer.Text);
        Assert.False(Proxy.Child.HasExited);
    }
}

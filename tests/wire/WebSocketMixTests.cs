// WebSocket through every mix of versions, with a client and a server that we did not write (System.Net.WebSockets).
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class WebSocketMixTests : IAsyncLifetime
{
    private readonly TcpListener _server = new(IPAddress.Loopback, 0);
    private ProxyProcess _near = null!;
    private ProxyProcess _far = null!;

    private const string Manager = "upgrade_configs: [{ upgrade_type: websocket }]";

    public async ValueTask InitializeAsync()
    {
        _server.Start();
        _ = AcceptAsync();
        _near = await ProxyProcess.StartAsync(Bootstraps.One(((IPEndPoint)_server.LocalEndpoint).Port, Manager));
        _far = await ProxyProcess.StartAsync(Bootstraps.One(_near.Address.Port, Manager, cluster: Bootstraps.Http2Cluster));
    }

    public async ValueTask DisposeAsync()
    {
        await _far.DisposeAsync();
        await _near.DisposeAsync();
        _server.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            try
            {
                Socket socket = await _server.AcceptSocketAsync();
                _ = EchoAsync(socket);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private static async Task EchoAsync(Socket socket)
    {
        try
        {
            await using var stream = new NetworkStream(socket, ownsSocket: true);
            var head = new StringBuilder();
            var one = new byte[1];
            while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(one) == 1) head.Append((char)one[0]);
            string key = head.ToString().Split("\r\n").Single(l => l.StartsWith("sec-websocket-key:", StringComparison.OrdinalIgnoreCase)).Split(':', 2)[1].Trim();
            string accept = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"));
            using WebSocket web = WebSocket.CreateFromStream(stream, new WebSocketCreationOptions { IsServer = true });
            var piece = new byte[64 * 1024];
            while (true)
            {
                ValueWebSocketReceiveResult got = await web.ReceiveAsync(piece.AsMemory(), default);
                if (got.MessageType == WebSocketMessageType.Close) break;
                await web.SendAsync(piece.AsMemory(0, got.Count), got.MessageType, got.EndOfMessage, default);
            }
            await web.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "bye", default);
        }
        catch (Exception e) when (e is IOException or WebSocketException or InvalidOperationException)
        {
            // The client is gone: its own test says what that means.
        }
    }

    [Theory]
    [InlineData("1.1", false)]
    [InlineData("2.0", false)]
    [InlineData("1.1", true)]
    [InlineData("2.0", true)]
    public async Task A_message_of_1_MiB_comes_back_whole(string version, bool overHttp2)
    {
        CancellationToken token = TestContext.Current.CancellationToken;
        using var handler = new SocketsHttpHandler();
        using var invoker = new HttpMessageInvoker(handler);
        using var web = new ClientWebSocket();
        web.Options.HttpVersion = Version.Parse(version);
        web.Options.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        await web.ConnectAsync(new Uri($"ws://127.0.0.1:{(overHttp2 ? _far : _near).Address.Port}/socket"), invoker, token);
        byte[] message = RandomNumberGenerator.GetBytes(1 << 20);
        Task sending = web.SendAsync(message, WebSocketMessageType.Binary, true, token);
        using var back = new MemoryStream();
        var piece = new byte[64 * 1024];
        WebSocketReceiveResult got;
        do
        {
            got = await web.ReceiveAsync(piece, token);
            back.Write(piece, 0, got.Count);
        }
        while (!got.EndOfMessage);
        await sending;
        Assert.True(message.AsSpan().SequenceEqual(back.ToArray()));
        await web.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", token);
        Assert.Equal("bye", web.CloseStatusDescription);
    }
}

// The backend of fault scenarios, in either version: it answers by path, strictly, and remembers how far it came.
using System.Text;
using Naru.FuzzTests.Simulation;
using Naru.Kit;

namespace Naru.FuzzTests.Faults;

internal sealed class Backend
{
    private readonly SimWorld _world;
    private int _asked;

    public Backend(SimWorld world, bool http2)
    {
        _world = world;
        world.Kernel.Serve(SimWorld.BackendPort, http2 ? ServeHttp2Async : ServeHttp1Async);
    }

    /// <summary>Requests that came whole.</summary>
    public int Requests { get; private set; }

    private async Task ServeHttp1Async(SimSocket socket)
    {
        while (await socket.Reader.RequestAsync().ConfigureAwait(false) is { } request)
        {
            Requests++;
            switch (request.Target)
            {
                case "/down":
                    socket.Send($"HTTP/1.1 200 OK\r\nContent-Length: {Scenario.BodyOf("/down").Length}\r\n\r\n");
                    for (int i = 0; i < 4; i++)
                    {
                        await _world.PauseAsync().ConfigureAwait(false);
                        socket.Send(Scenario.BodyOf("/down").Substring(i * 25_000, 25_000));
                    }
                    break;
                case "/chunked":
                    socket.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n6\r\nfirst \r\n");
                    await _world.PauseAsync().ConfigureAwait(false);
                    socket.Send("6\r\nsecond\r\n0\r\nx-end: 1\r\n\r\n");
                    break;
                case "/retry" when _asked++ == 0:
                    socket.Send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
                    break;
                case "/upgrade":
                    socket.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
                    socket.Send(await socket.Reader.ExactlyAsync(4).ConfigureAwait(false));
                    await socket.Reader.RestAsync().ConfigureAwait(false);
                    return;
                default:
                    string body = request.Target == "/echo" ? request.Text : "ok";
                    socket.Send($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
                    break;
            }
        }
    }

    private async Task ServeHttp2Async(SimSocket socket)
    {
        var peer = new SimHttp2(socket, server: true);
        peer.Start();
        while (true)
        {
            if (!await peer.UntilAsync(() => peer.Requests.Count > 0).ConfigureAwait(false)) return;
            SimStream request = peer.Requests.Dequeue();
            if (!await peer.UntilAsync(() => request.IsOver).ConfigureAwait(false)) return;
            if (request.Reset is not null) continue;
            Requests++;
            switch (request[":path"])
            {
                case "/down":
                    socket.Send(Http2Bytes.Headers(request.Id, [(":status", "200"), ("content-length", "100000")]));
                    byte[] all = Encoding.Latin1.GetBytes(Scenario.BodyOf("/down"));
                    for (int i = 0; i < 4; i++)
                    {
                        await _world.PauseAsync().ConfigureAwait(false);
                        if (!await peer.BodyAsync(request, all.AsMemory(i * 25_000, 25_000), end: i == 3).ConfigureAwait(false)) break;
                    }
                    break;
                case "/chunked":
                    socket.Send(Http2Bytes.Headers(request.Id, [(":status", "200")]));
                    socket.Send(Http2Bytes.Data(request.Id, "first "u8));
                    await _world.PauseAsync().ConfigureAwait(false);
                    socket.Send(Http2Bytes.Data(request.Id, "second"u8));
                    socket.Send(Http2Bytes.Headers(request.Id, [("x-end", "1")], end: true));
                    break;
                case "/retry" when _asked++ == 0:
                    socket.Send(Http2Bytes.Headers(request.Id, [(":status", "503")], end: true));
                    break;
                default:
                    byte[] body = request[":path"] == "/echo" ? request.Body.ToArray() : "ok"u8.ToArray();
                    socket.Send(Http2Bytes.Headers(request.Id, [(":status", "200")], end: body.Length == 0));
                    if (body.Length > 0) await peer.BodyAsync(request, body).ConfigureAwait(false);
                    break;
            }
        }
    }
}

// The HTTP/2 backend of tests: takes connections with prior knowledge and gives each request to what its path asks for. It
// remembers connections and requests; handlers may be as wrong as they like.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Http.Http2;

namespace Naru.Kit;

/// <summary>What becomes of a request whose head is here.</summary>
public delegate Task Http2Handler(Http2Peer peer, Http2Message request);

/// <summary>The server.</summary>
public sealed class Http2Backend : IAsyncDisposable
{
    private readonly Socket _listener;
    private readonly ConcurrentQueue<Http2Peer> _connections = new();
    private readonly ConcurrentQueue<Http2Message> _requests = new();
    private readonly ConcurrentDictionary<string, Http2Handler> _handlers = new();
    private readonly Task _accepting;
    private int _next;

    /// <summary>Starts on a free port of <c>127.0.0.1</c>.</summary>
    public Http2Backend(params (Http2SettingId Id, uint Value)[] settings)
    {
        Settings = settings;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(1024);
        _accepting = AcceptAsync();
    }

    /// <summary>Sent on connections that come from now on.</summary>
    public (Http2SettingId Id, uint Value)[] Settings { get; set; }

    /// <summary>Made ready before it reads: for switches of the peer.</summary>
    public Action<Http2Peer>? OnConnection { get; set; }

    /// <summary>Where it listens.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>All connections, in order.</summary>
    public IReadOnlyList<Http2Peer> Connections => [.. _connections];

    /// <summary>All requests whose heads came, in order.</summary>
    public IReadOnlyList<Http2Message> Requests => [.. _requests];

    /// <summary>Requests below a path.</summary>
    public IReadOnlyList<Http2Message> Seen(string path) => [.. _requests.Where(r => First(r.Path) == path)];

    /// <summary>A fresh path whose requests go to the handler.</summary>
    public string Add(Http2Handler handler)
    {
        string path = "/case" + Interlocked.Increment(ref _next);
        _handlers[path] = handler;
        return path;
    }

    /// <summary>Requests of a path that the test names itself.</summary>
    public void At(string path, Http2Handler handler) => _handlers[path] = handler;

    /// <summary>A fresh path that reads the whole request and answers it with these fields, content and trailers.</summary>
    public string Answer((string Name, string Value)[] head, byte[]? body = null, (string Name, string Value)[]? trailers = null) => Add(async (peer, request) =>
    {
        await peer.EndAsync(request.Id).ConfigureAwait(false);
        await AnswerAsync(peer, request, head, body, trailers).ConfigureAwait(false);
    });

    /// <summary>Sends an answer.</summary>
    public static async Task AnswerAsync(Http2Peer peer, Http2Message request, (string Name, string Value)[] head, byte[]? body = null, (string Name, string Value)[]? trailers = null)
    {
        await peer.HeadersAsync(request.Id, head, end: body is null && trailers is null).ConfigureAwait(false);
        if (body is not null) await peer.BodyAsync(request.Id, body, end: trailers is null).ConfigureAwait(false);
        if (trailers is not null) await peer.HeadersAsync(request.Id, trailers, end: true).ConfigureAwait(false);
    }

    /// <summary>Answers 200 with the request itself: its fields a line each, an empty line, its content, its trailers a line each.</summary>
    public static async Task EchoAsync(Http2Peer peer, Http2Message request)
    {
        await peer.EndAsync(request.Id).ConfigureAwait(false);
        if (request.Reset is not null) return;
        string text = string.Join('\n', request.Head.Select(h => $"{h.Name}: {h.Value}")) + "\n\n" + request.Text
            + string.Concat((request.Trailers ?? []).Select(h => $"\n{h.Name}: {h.Value}"));
        await AnswerAsync(peer, request, [(":status", "200"), ("content-type", "text/plain")], request.Method == "HEAD" ? null : Encoding.Latin1.GetBytes(text)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        foreach (Http2Peer peer in _connections) peer.Dispose();
    }

    private static string First(string target)
    {
        int end = target.IndexOfAny(['/', '?'], Math.Min(1, target.Length));
        return end < 0 ? target : target[..end];
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptAsync().ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
            socket.NoDelay = true;
            var peer = new Http2Peer(socket, server: true);
            peer.OnRequest = request => _ = ServeAsync(peer, request);
            OnConnection?.Invoke(peer);
            _connections.Enqueue(peer);
            await peer.TrySendAsync(Http2Bytes.Settings(Settings)).ConfigureAwait(false);
            peer.StartReading();
        }
    }

    private async Task ServeAsync(Http2Peer peer, Http2Message request)
    {
        _requests.Enqueue(request);
        await Task.Yield();
        try
        {
            await _handlers.GetValueOrDefault(First(request.Path), EchoAsync)(peer, request).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            // The peer, or the test's end, was first.
        }
    }
}

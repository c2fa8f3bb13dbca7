// The backend that remembers: a raw TCP server that keeps every byte of every connection and answers as its script says.
// It has no opinion about HTTP of its own; scripts may be as wrong as they like.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Naru.Kit;

/// <summary>What a witness does with one connection; it is closed when the script ends.</summary>
public delegate Task WitnessScript(WitnessConnection connection);

/// <summary>One connection to a witness.</summary>
public sealed class WitnessConnection
{
    private readonly Socket _socket;
    private readonly MemoryStream _received = new();
    private readonly Lock _lock = new();

    internal WitnessConnection(Witness witness, Socket socket, int index)
    {
        Witness = witness;
        _socket = socket;
        Index = index;
        Reader = new HttpReader(ReadAsync);
    }

    /// <summary>Whose connection it is.</summary>
    public Witness Witness { get; }

    /// <summary>0 for the first connection of the witness.</summary>
    public int Index { get; }

    /// <summary>Whether the script is over.</summary>
    public bool IsOver { get; internal set; }

    /// <summary>Strict reader of what comes in.</summary>
    public HttpReader Reader { get; }

    /// <summary>The socket, for options.</summary>
    public Socket Socket => _socket;

    /// <summary>Every byte received so far.</summary>
    public byte[] Received
    {
        get
        {
            lock (_lock) return _received.ToArray();
        }
    }

    /// <summary>Next request, remembered by the witness; null when the peer closed between requests.</summary>
    public async Task<HttpMessage?> RequestAsync()
    {
        HttpMessage? request = await Reader.RequestAsync().ConfigureAwait(false);
        if (request is not null) Witness.Remember(request);
        return request;
    }

    /// <summary>Sends text, one byte a char.</summary>
    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    /// <summary>Sends bytes.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0) bytes = bytes[await _socket.SendAsync(bytes).ConfigureAwait(false)..];
    }

    /// <summary>Answers 200 with a body and keeps the connection.</summary>
    public Task OkAsync(string body = "ok", string headers = "") =>
        SendAsync($"HTTP/1.1 200 OK\r\n{headers}Content-Length: {body.Length}\r\n\r\n{body}");

    /// <summary>Ends our direction only.</summary>
    public void HalfClose() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Closes at once, in order.</summary>
    public void Close() => _socket.Close();

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    private async ValueTask<int> ReadAsync(Memory<byte> memory)
    {
        int n = await _socket.ReceiveAsync(memory).ConfigureAwait(false);
        if (Witness.KeepsBytes)
        {
            lock (_lock) _received.Write(memory.Span[..n]);
        }
        return n;
    }
}

/// <summary>The server.</summary>
public sealed class Witness : IAsyncDisposable
{
    private readonly Socket _listener;
    private readonly ConcurrentQueue<WitnessConnection> _connections = new();
    private readonly ConcurrentQueue<HttpMessage> _requests = new();
    private readonly ConcurrentQueue<string> _faults = new();
    private readonly Task _accepting;
    private int _count;

    /// <summary>Starts on a free port of <c>127.0.0.1</c> with <see cref="Echo"/> or the script given.</summary>
    public Witness(WitnessScript? script = null, IPAddress? address = null)
    {
        Script = script ?? Echo;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(address ?? IPAddress.Loopback, 0));
        _listener.Listen(1024);
        EndPoint = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Used by connections that come from now on.</summary>
    public WitnessScript Script { get; set; }

    /// <summary>Whether bytes are kept; switch off for very large bodies.</summary>
    public bool KeepsBytes { get; set; } = true;

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>Its port.</summary>
    public int Port => EndPoint.Port;

    /// <summary>All connections, in order.</summary>
    public IReadOnlyList<WitnessConnection> Connections => [.. _connections];

    /// <summary>Requests that scripts read, in order.</summary>
    public IReadOnlyList<HttpMessage> Requests => [.. _requests];

    /// <summary>What scripts found unreadable: a proxy must never forward such bytes.</summary>
    public IReadOnlyList<string> Faults => [.. _faults];

    /// <summary>Answers every request with 200 and itself as the body: start line, header lines, empty line, content.</summary>
    public static async Task Echo(WitnessConnection connection)
    {
        while (await connection.RequestAsync().ConfigureAwait(false) is { } request)
        {
            string text = request.ToString();
            string body = request.Method == "HEAD" ? "" : text;
            await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {text.Length}\r\n\r\n{body}").ConfigureAwait(false);
        }
    }

    /// <summary>A script that answers every request with the same bytes and keeps the connection.</summary>
    public static WitnessScript Always(string answer) => async connection =>
    {
        while (await connection.RequestAsync().ConfigureAwait(false) is not null) await connection.SendAsync(answer).ConfigureAwait(false);
    };

    /// <summary>A script that answers one request with these bytes and closes.</summary>
    public static WitnessScript Once(string answer) => async connection =>
    {
        if (await connection.RequestAsync().ConfigureAwait(false) is not null) await connection.SendAsync(answer).ConfigureAwait(false);
    };

    /// <summary>Requests counted from the recorded bytes by the strict and by the sloppy reader, with the strict one's first fault.</summary>
    public async Task<(int Strict, int Sloppy, string? Fault)> CountAsync()
    {
        int strict = 0;
        int sloppy = 0;
        string? fault = null;
        foreach (WitnessConnection connection in _connections)
        {
            byte[] bytes = connection.Received;
            (int count, string? f) = await RequestCount.StrictAsync(bytes).ConfigureAwait(false);
            strict += count;
            fault ??= f;
            sloppy += RequestCount.Sloppy(bytes);
        }
        return (strict, sloppy, fault);
    }

    /// <summary>Forgets what it saw; open connections stay.</summary>
    public void Forget()
    {
        _requests.Clear();
        _faults.Clear();
        _connections.Clear();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        foreach (WitnessConnection connection in _connections) connection.Socket.Dispose();
    }

    /// <summary>Adds to <see cref="Requests"/>; scripts that read piecewise call it themselves.</summary>
    public void Remember(HttpMessage request) => _requests.Enqueue(request);

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
            var connection = new WitnessConnection(this, socket, Interlocked.Increment(ref _count) - 1);
            _connections.Enqueue(connection);
            _ = ServeAsync(connection, Script);
        }
    }

    private async Task ServeAsync(WitnessConnection connection, WitnessScript script)
    {
        await Task.Yield();
        try
        {
            await script(connection).ConfigureAwait(false);
        }
        catch (HttpFormatException e)
        {
            _faults.Enqueue(e.Message);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The peer, or the test's end, closed first.
        }
        connection.IsOver = true;
        connection.Socket.Dispose();
    }
}

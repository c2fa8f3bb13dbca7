// A small HTTP/1.1 server for the admin: asynchronous sockets on the thread pool, bounded in every direction.
// Stands beside the data path and shares nothing with it, so that a flood of traffic cannot take the admin away, nor the reverse.
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

/// <summary>Answers one request.</summary>
internal delegate Task<AdminResponse> AdminHandler(AdminRequest request);

/// <summary>Limits of an <see cref="AdminServer"/>.</summary>
internal sealed record AdminLimits
{
    /// <summary>Connections at once. For one more, that one is cut that has waited longest for its request; where all have theirs, the new one
    /// is answered 503 and closed.</summary>
    public int MaxConnections { get; init; } = 32;

    /// <summary>Bytes of a head.</summary>
    public int MaxHeadBytes { get; init; } = 16 * 1024;

    /// <summary>For a head or body to arrive, for a piece of an answer to leave, and between two requests.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>Listens, reads, guards, answers.</summary>
internal sealed class AdminServer : IAsyncDisposable
{
    private static readonly byte[] s_headers =
        "cache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"u8.ToArray();

    private readonly Socket _listener;
    private readonly AdminHandler _handler;
    private readonly AdminLimits _limits;
    private readonly ProxyLog _log;
    private readonly string _configuredHost;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;
    private readonly Lock _gate = new();

    // Those that wait for a request or are in the middle of one, the longest waiting first; and how many are open in all.
    private readonly LinkedList<Socket> _waiting = [];
    private readonly HashSet<Socket> _cut = [];
    private int _connections;

    /// <summary>Binds and begins to accept.</summary>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public AdminServer(IPEndPoint address, string configuredHost, AdminHandler handler, ProxyLog log, AdminLimits? limits = null)
    {
        _configuredHost = configuredHost;
        _handler = handler;
        _log = log;
        _limits = limits ?? new AdminLimits();
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // On Linux .NET sets SO_REUSEADDR for a bound listener, so a restart does not wait for TIME_WAIT.
            _listener.Bind(address);
            _listener.Listen(64);
        }
        catch (SocketException)
        {
            _listener.Dispose();
            throw;
        }
        Address = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens, with the real port.</summary>
    public IPEndPoint Address { get; }

    /// <summary>Stops accepting and cuts what is open.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket peer;
            try
            {
                peer = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                // Out of descriptors, or the peer left while it waited: the next one may do better, a little later.
                _log.Warning("admin", $"accept failed: {e.SocketErrorCode}");
                await Task.Delay(50, CancellationToken.None).ConfigureAwait(false);
                continue;
            }
            _ = ServeAsync(peer);
        }
    }

    private async Task ServeAsync(Socket peer)
    {
        using Socket socket = peer;
        bool admitted = Admit();
        try
        {
            socket.NoDelay = true;
            using var wire = new Wire(socket, _limits.Timeout, _stop.Token);
            if (!admitted)
            {
                await SendAsync(wire, AdminResponse.Text("Too many admin connections.\n", 503), null, keepAlive: false).ConfigureAwait(false);
                return;
            }
            while (await ServeOneAsync(wire, socket).ConfigureAwait(false)) { }
            // Whoever has its answer waits for nothing that another one should be kept out for.
            Wait(socket);
            await wire.LingerAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or IOException or ObjectDisposedException)
        {
            // the peer left or was too slow; there is nobody to tell
        }
        catch (Exception e)
        {
            _log.Error("admin", $"an internal fault was contained: {e}");
        }
        finally
        {
            lock (_gate)
            {
                _waiting.Remove(socket);
                if (!_cut.Remove(socket)) _connections--;
            }
        }
    }

    // Connections that send nothing, or a byte now and then, must not be able to keep others out.
    private bool Admit()
    {
        lock (_gate)
        {
            if (++_connections <= _limits.MaxConnections) return true;
            if (_waiting.First is not { } longest) return false;
            _waiting.Remove(longest);
            // From now on it does not count, however late its task hears of it.
            _cut.Add(longest.Value);
            _connections--;
            longest.Value.Dispose();
            return true;
        }
    }

    // Null: it was cut meanwhile.
    private AdminRequest? Received(LinkedListNode<Socket> place, AdminRequest request)
    {
        lock (_gate)
        {
            if (place.List is null) return null;
            _waiting.Remove(place);
            return request;
        }
    }

    private LinkedListNode<Socket> Wait(Socket socket)
    {
        lock (_gate) return _waiting.AddLast(socket);
    }

    private async Task<bool> ServeOneAsync(Wire wire, Socket socket)
    {
        LinkedListNode<Socket> place = Wait(socket);
        try
        {
            (AdminRequest? request, AdminResponse? refusal) = await ReadAsync(wire).ConfigureAwait(false);
            if (request is not null && Received(place, request) is null) return false;
            if (refusal is not null) await SendAsync(wire, refusal, null, keepAlive: false).ConfigureAwait(false);
            return request is not null && await AnswerAsync(wire, socket, request).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate) if (place.List is not null) _waiting.Remove(place);
        }
    }

    // Neither: the peer has closed.
    private async Task<(AdminRequest? Request, AdminResponse? Refusal)> ReadAsync(Wire wire)
    {
        int head = await wire.ReadHeadAsync(_limits.MaxHeadBytes).ConfigureAwait(false);
        if (head == Wire.Closed) return default;
        if (head == Wire.TooLong) return (null, AdminResponse.Text($"The head is longer than {_limits.MaxHeadBytes} bytes.\n", 431));
        int status = AdminRequest.Parse(wire.Head(head), out AdminRequest? request, out string fault);
        wire.Consume(head + 4);
        if (request is null) return (null, AdminResponse.Text($"{fault}\n", status));
        if (request.ContentLength > 0) request = request with { Body = await wire.ReadAsync(request.ContentLength).ConfigureAwait(false) };
        return (request, null);
    }

    private async Task<bool> AnswerAsync(Wire wire, Socket socket, AdminRequest request)
    {
        AdminResponse response;
        if (HostGuard.Refuse(request, ((IPEndPoint)socket.LocalEndPoint!).Address, _configuredHost) is { } reason)
        {
            _log.Warning("admin", $"refused {request.Method} {request.Path}: {reason}");
            response = AdminResponse.Text(reason + "\n", 403);
        }
        else
        {
            response = await AnswerAsync(request).ConfigureAwait(false);
        }
        bool keepAlive = request.KeepAlive && !_stop.IsCancellationRequested;
        await SendAsync(wire, response, request, keepAlive).ConfigureAwait(false);
        response.Afterwards?.Invoke();
        return keepAlive;
    }

    private async Task<AdminResponse> AnswerAsync(AdminRequest request)
    {
        try
        {
            return await _handler(request).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _log.Error("admin", $"{request.Method} {request.Path}: an internal fault was contained: {e}");
            return AdminResponse.Text("An internal fault; the log says more.\n", 500);
        }
    }

    private static async Task SendAsync(Wire wire, AdminResponse response, AdminRequest? request, bool keepAlive)
    {
        IEnumerator<bool>? pieces = response.Pieces?.GetEnumerator();
        bool more = pieces?.MoveNext() ?? false;
        // What fits in one piece needs no chunks: look whether a second one comes while the first can still grow.
        while (more && response.Body.Length < StatsFormats.ChunkBytes) more = pieces!.MoveNext();
        bool chunked = more && (request?.IsHttp11 ?? true);
        if (more && !chunked) keepAlive = false; // HTTP/1.0: the end of the connection is the end of the body

        var head = new LineBuffer(512);
        head.Append(Encoding.ASCII.GetBytes($"HTTP/1.1 {response.Status} {AdminResponse.Reason(response.Status)}\r\ncontent-type: {response.ContentType}\r\n"));
        head.Append(s_headers);
        head.Append(Encoding.ASCII.GetBytes($"date: {DateTime.UtcNow:R}\r\nserver: naru\r\n"));
        if (response.Allow is not null) head.Append(Encoding.ASCII.GetBytes($"allow: {response.Allow}\r\n"));
        if (chunked) head.Append("transfer-encoding: chunked\r\n"u8);
        else if (!more) head.Append(Encoding.ASCII.GetBytes($"content-length: {response.Body.Length}\r\n"));
        head.Append(keepAlive ? "\r\n"u8 : "connection: close\r\n\r\n"u8);
        bool withBody = request?.Method != "HEAD";
        if (!withBody) { await wire.SendAsync(head).ConfigureAwait(false); return; }
        while (true)
        {
            if (chunked && response.Body.Length > 0) head.Append(Encoding.ASCII.GetBytes($"{response.Body.Length:x}\r\n"));
            if (response.Body.Length > 0) head.Append(response.Body.Written);
            if (chunked && response.Body.Length > 0) head.Append("\r\n"u8);
            if (chunked && !more) head.Append("0\r\n\r\n"u8);
            await wire.SendAsync(head).ConfigureAwait(false);
            if (!more) return;
            head.Clear();
            response.Body.Clear();
            Footprint.Settle(); // a large dump makes its size in garbage many times over
            while (more && response.Body.Length < StatsFormats.ChunkBytes) more = pieces!.MoveNext();
        }
    }

    /// <summary>One connection's bytes, with a clock on every wait.</summary>
    private sealed class Wire(Socket socket, TimeSpan timeout, CancellationToken stop) : IDisposable
    {
        public const int Closed = -1;
        public const int TooLong = -2;
        private byte[] _bytes = new byte[2048];
        private int _length;
        private CancellationTokenSource? _clock;

        public ReadOnlySpan<byte> Head(int length) => _bytes.AsSpan(0, length);

        /// <summary>Reads until an empty line; gives the length of the head without it.</summary>
        public async Task<int> ReadHeadAsync(int most)
        {
            CancellationToken token = StartClock();
            while (true)
            {
                int end = _bytes.AsSpan(0, _length).IndexOf("\r\n\r\n"u8);
                if (end > most || (end < 0 && _length > most)) return TooLong;
                if (end >= 0) return end;
                if (_length == _bytes.Length) Array.Resize(ref _bytes, Math.Min(_bytes.Length * 2, most + 4096));
                int got = await socket.ReceiveAsync(_bytes.AsMemory(_length), token).ConfigureAwait(false);
                if (got == 0) return Closed;
                _length += got;
            }
        }

        public void Consume(int count)
        {
            _bytes.AsSpan(count, _length - count).CopyTo(_bytes);
            _length -= count;
        }

        /// <summary>So many bytes.</summary>
        public async Task<byte[]> ReadAsync(int count)
        {
            CancellationToken token = StartClock();
            byte[] read = new byte[count];
            int length = Math.Min(count, _length);
            _bytes.AsSpan(0, length).CopyTo(read);
            Consume(length);
            while (length < count)
            {
                int got = await socket.ReceiveAsync(read.AsMemory(length), token).ConfigureAwait(false);
                if (got == 0) throw new IOException("the body ended early");
                length += got;
            }
            return read;
        }

        public async Task SendAsync(LineBuffer what)
        {
            CancellationToken token = StartClock();
            ReadOnlyMemory<byte> rest = what.WrittenMemory;
            while (!rest.IsEmpty) rest = rest[await socket.SendAsync(rest, token).ConfigureAwait(false)..];
        }

        /// <summary>Lets the peer read what was sent: closing with unread bytes would reset the connection under the answer.</summary>
        public async Task LingerAsync()
        {
            socket.Shutdown(SocketShutdown.Send);
            using var soon = CancellationTokenSource.CreateLinkedTokenSource(stop);
            soon.CancelAfter(TimeSpan.FromSeconds(1));
            for (int i = 0; i < 64 && await socket.ReceiveAsync(_bytes.AsMemory(), soon.Token).ConfigureAwait(false) > 0; i++) { }
        }

        public void Dispose() => _clock?.Dispose();

        private CancellationToken StartClock()
        {
            if (_clock is null || !_clock.TryReset())
            {
                _clock?.Dispose();
                _clock = CancellationTokenSource.CreateLinkedTokenSource(stop);
            }
            _clock.CancelAfter(timeout);
            return _clock.Token;
        }
    }
}

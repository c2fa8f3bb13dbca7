// A TCP client that sends any bytes in any portions and reads answers strictly. Stands in for every client there is.
// It repairs nothing: what the test writes is what goes out.
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Naru.Kit;

/// <summary>One connection. Every read has the kit's bound.</summary>
public sealed class RawClient : IDisposable
{
    private readonly Socket _socket;
    private readonly HttpReader _reader;

    private RawClient(Socket socket)
    {
        _socket = socket;
        _reader = new HttpReader(ReadAsync);
    }

    /// <summary>The client's own address.</summary>
    public IPEndPoint LocalEndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>The socket, for options.</summary>
    public Socket Socket => _socket;

    /// <summary>Strict reader of what comes back.</summary>
    public HttpReader Reader => _reader;

    /// <summary>Connects.</summary>
    public static async Task<RawClient> ConnectAsync(IPEndPoint address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address).Within($"a connection to {address}").ConfigureAwait(false);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        return new RawClient(socket);
    }

    /// <summary>Sends text, one byte a char.</summary>
    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    /// <summary>Sends bytes.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int n = await _socket.SendAsync(bytes).AsTask().Within("the peer to take bytes").ConfigureAwait(false);
            bytes = bytes[n..];
        }
    }

    /// <summary>Sends one byte a segment, each handed to the network before the next.</summary>
    public async Task SendBytewiseAsync(string text)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        for (int i = 0; i < bytes.Length; i++) await SendAsync(bytes.AsMemory(i, 1)).ConfigureAwait(false);
    }

    /// <summary>Sends, though the peer may have closed already: a refusal may come before our last byte.</summary>
    public async Task<bool> TrySendAsync(string text)
    {
        try
        {
            await SendAsync(text).ConfigureAwait(false);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>The next answer; fails if the peer closes instead.</summary>
    public async Task<HttpMessage> ResponseAsync(string method = "GET", TimeSpan? bound = null) =>
        await _reader.ResponseAsync(method).AsTask().Within("an answer", bound).ConfigureAwait(false)
        ?? throw new HttpFormatException("the peer closed instead of answering");

    /// <summary>The next answer, or null when the peer closes (also by reset) instead.</summary>
    public async Task<HttpMessage?> ResponseOrCloseAsync(string method = "GET", TimeSpan? bound = null)
    {
        try
        {
            return await _reader.ResponseAsync(method).AsTask().Within("an answer or the end", bound).ConfigureAwait(false);
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>Sends a request and reads its answer.</summary>
    public async Task<HttpMessage> ExchangeAsync(string request)
    {
        await SendAsync(request).ConfigureAwait(false);
        return await ResponseAsync(request.Split(' ', 2)[0]).ConfigureAwait(false);
    }

    /// <summary>Everything until the peer ends; a reset counts as the end.</summary>
    public async Task<string> RestAsync(TimeSpan? bound = null)
    {
        var text = new StringBuilder();
        var piece = new byte[16 * 1024];
        try
        {
            int n;
            while ((n = await _reader.SomeAsync(piece).AsTask().Within("the end of the connection", bound).ConfigureAwait(false)) > 0)
            {
                text.Append(Encoding.Latin1.GetString(piece, 0, n));
            }
        }
        catch (SocketException)
        {
            // What was read before the reset is what the client got.
        }
        return text.ToString();
    }

    /// <summary>Exactly so many bytes, as text.</summary>
    public async Task<string> TextAsync(int count) =>
        Encoding.Latin1.GetString(await _reader.ExactlyAsync(count).AsTask().Within($"{count} bytes").ConfigureAwait(false));

    /// <summary>Ends our direction only.</summary>
    public void HalfClose() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private ValueTask<int> ReadAsync(Memory<byte> memory) => _socket.ReceiveAsync(memory, SocketFlags.None, CancellationToken.None);
}

/// <summary>Several of them, closed together.</summary>
public sealed class RawClients : IDisposable
{
    /// <summary>In the order in which they came.</summary>
    public List<RawClient> All { get; } = [];

    /// <summary>One more.</summary>
    public RawClient Add(RawClient client)
    {
        All.Add(client);
        return client;
    }

    /// <inheritdoc/>
    public void Dispose() => All.ForEach(c => c.Dispose());
}

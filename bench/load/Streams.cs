// Load that needs TLS or no HTTP at all, as a process on the load's CPU: `Naru.Bench load ROW FOLDER`. Speaks the pump's lines.
// Its own TLS costs the load's CPU, not the proxy's, so the proxy is idle between requests; all contenders pay for that alike.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Naru.Bench;

internal sealed class Streams(string row, string folder)
{
    private const int Message = 1024;
    private const int Block = 256 * 1024;
    private static readonly byte[] s_request = "GET /bench HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: naru-bench\r\n\r\n"u8.ToArray();
    // Key and answer are the pair of RFC 6455, section 1.3.
    private static readonly byte[] s_upgrade = ("GET /bench HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").Select(c => (byte)c).ToArray();
    private static readonly byte[] s_upgraded = ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").Select(c => (byte)c).ToArray();

    private readonly X509Certificate2 ours = X509Certificate2.CreateFromPemFile(Path.Combine(folder, "cert.pem"), Path.Combine(folder, "key.pem"));
    private long work;
    private long failed;

    /// <summary>Prints the backend's port (0 where it has none), then answers every line <c>port connections seconds rate</c>.</summary>
    public static int Run(string row, string folder)
    {
        var streams = new Streams(row, folder);
        Console.WriteLine(row is "websocket" or "tcp" ? streams.Listen() : 0);
        while (Console.ReadLine() is { } line)
        {
            double[] n = [.. line.Split(' ').Select(w => double.Parse(w, CultureInfo.InvariantCulture))];
            Console.WriteLine(streams.Load((int)n[0], (int)n[1], n[2]));
        }
        return 0;
    }

    private string Load(int port, int connections, double seconds)
    {
        (work, failed) = (0, 0);
        using var over = new CancellationTokenSource();
        long start = Stopwatch.GetTimestamp();
        Task[] clients = [.. Enumerable.Range(0, connections).Select(_ => Task.Run(() => ClientAsync(port, over.Token)))];
        over.Token.WaitHandle.WaitOne(TimeSpan.FromSeconds(seconds));
        double took = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long done = Interlocked.Read(ref work);
        over.Cancel();
        Task.WaitAll(clients);
        double units = row == "tcp" ? done / 1048576.0 : done;
        return string.Create(CultureInfo.InvariantCulture, $"{units:0} {took:0.000000} {failed} 0 0");
    }

    private async Task ClientAsync(int port, CancellationToken over)
    {
        try
        {
            do
            {
                using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(IPAddress.Loopback, port, over);
                await using Stream stream = await OpenAsync(new NetworkStream(socket), over);
                await UseAsync(stream, over);
            }
            while (row == "handshakes");
        }
        catch (Exception e) when (e is IOException or SocketException or AuthenticationException or OperationCanceledException)
        {
            if (!over.IsCancellationRequested && Interlocked.Increment(ref failed) == 1)
                Console.Error.WriteLine($"{row}: {e.Message}");
        }
    }

    private async Task<Stream> OpenAsync(Stream plain, CancellationToken over)
    {
        if (row is "websocket" or "tcp")
            return plain;
        var tls = new SslStream(plain);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = Keys.Name,
            EnabledSslProtocols = SslProtocols.Tls13,
            AllowTlsResume = false,
            ClientCertificateContext = row == "mtls" ? SslStreamCertificateContext.Create(ours, null, offline: true) : null,
            // That the proxy verifies is what is measured; the load only needs to talk.
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        }, over);
        return tls;
    }

    private async Task UseAsync(Stream stream, CancellationToken over)
    {
        byte[] buffer = new byte[Block];
        switch (row)
        {
            case "tcp":
                while (await stream.ReadAsync(buffer, over) is > 0 and int n)
                    Interlocked.Add(ref work, n);
                throw new IOException("the stream ended");
            case "websocket":
                await stream.WriteAsync(s_upgrade, over);
                await AnswerAsync(stream, buffer, "HTTP/1.1 101", over);
                // One masked binary frame with a 16-bit length; the echo is the same bytes, which no proxy looks at.
                byte[] frame = new byte[8 + Message];
                (frame[0], frame[1], frame[2], frame[3]) = (0x82, 0x80 | 126, Message >> 8, Message & 0xff);
                while (true)
                {
                    await stream.WriteAsync(frame, over);
                    await stream.ReadExactlyAsync(buffer.AsMemory(0, frame.Length), over);
                    Interlocked.Increment(ref work);
                }
            default:
                do
                {
                    await stream.WriteAsync(s_request, over);
                    await AnswerAsync(stream, buffer, "HTTP/1.1 200", over);
                    Interlocked.Increment(ref work);
                }
                while (row == "mtls");
                break;
        }
    }

    // Reads one answer whole; the backend's bodies are 100 bytes, and an answer with 101 has none.
    private static async Task AnswerAsync(Stream stream, byte[] buffer, string expected, CancellationToken over)
    {
        int length = 0;
        int head = -1;
        int body = expected.EndsWith("101", StringComparison.Ordinal) ? 0 : 100;
        while (head < 0 || length < head + body)
        {
            int n = await stream.ReadAsync(buffer.AsMemory(length, 8192 - length), over);
            if (n == 0)
                throw new IOException("the connection ended");
            length += n;
            head = buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) is >= 0 and int end ? end + 4 : -1;
        }
        string status = System.Text.Encoding.ASCII.GetString(buffer, 0, expected.Length);
        if (status != expected)
            throw new IOException($"answered \"{status}\"");
    }

    private int Listen()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(4096);
        _ = Task.Run(async () =>
        {
            while (true)
            {
                Socket socket = await listener.AcceptAsync();
                socket.NoDelay = true;
                _ = Task.Run(() => ServeAsync(socket));
            }
        });
        return ((IPEndPoint)listener.LocalEndPoint!).Port;
    }

    private async Task ServeAsync(Socket socket)
    {
        byte[] buffer = new byte[Block];
        try
        {
            using (socket)
            {
                while (row == "tcp")
                    await socket.SendAsync(buffer);
                int length = 0;
                while (buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
                {
                    int n = await socket.ReceiveAsync(buffer.AsMemory(length));
                    if (n == 0)
                        return;
                    length += n;
                }
                await socket.SendAsync(s_upgraded);
                while (await socket.ReceiveAsync(buffer) is > 0 and int read)
                    await socket.SendAsync(buffer.AsMemory(0, read));
            }
        }
        catch (SocketException)
        {
            // Whoever was there has gone.
        }
    }
}

/// <summary>A load process in front of a backend of its own, or of an nginx.</summary>
public sealed class BackedGenerator(IGenerator load, Running? backend) : IGenerator
{
    /// <inheritdoc/>
    public int BackendPort => backend?.Port ?? load.BackendPort;

    /// <inheritdoc/>
    public bool CanPace => false;

    /// <inheritdoc/>
    public Task HoldAsync(int port, int connections, CancellationToken stop) => throw new NotSupportedException("this load holds no connections");

    /// <inheritdoc/>
    public Task<Load> RunAsync(int port, int connections, double seconds, double rate, CancellationToken stop) =>
        load.RunAsync(port, connections, seconds, rate, stop);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => load.DisposeAsync();
}

// Load generator and backend in one loop on one CPU: `Naru.Bench pump`. It never sleeps while there is load, so no proxy pays
// for waking it; with generators that sleep the same proxy costs once 6 and once 13 µs, as chance has it.
// Speaks what the benchmark needs: GET without body, answers with Content-Length. Refuses (counts as failed) all else.
using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Naru.Bench;

internal sealed class Pump
{
    private static readonly byte[] Request = "GET /bench HTTP/1.1\r\nHost: bench\r\nUser-Agent: naru-bench\r\nAccept: */*\r\n\r\n"u8.ToArray();
    private static readonly byte[] Answer = [.. "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"u8, .. Enumerable.Repeat((byte)'x', 100)];

    private readonly int epoll = Epoll.Create();
    private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Dictionary<int, Connection> connections = [];
    private readonly int[] ready = new int[512];

    private readonly List<Connection> held = [];

    // The load that is on, if any.
    private readonly Stack<Connection> idle = new();
    private Latencies latencies = new();
    private long answered;
    private long failed;
    private bool paced;
    private bool ending;

    private sealed class Connection(Socket socket, bool client)
    {
        public readonly Socket Socket = socket;
        public readonly int Fd = (int)socket.Handle;
        public readonly bool Client = client;
        public readonly byte[] Buffer = new byte[4096];
        public int Length;
        public long Since;
        public bool Busy;
    }

    /// <summary>Prints the backend's port, then runs a load for every line <c>port connections seconds rate</c> (rate 0: as fast as it
    /// goes) and prints <c>requests seconds failed p50 p99</c>. <c>hold port connections</c> leaves connections open that had one answer
    /// each, and prints how many; <c>release</c> closes them. Ends with its input.</summary>
    public static int Run()
    {
        var pump = new Pump();
        pump.listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        pump.listener.Listen(4096);
        pump.listener.Blocking = false;
        Epoll.Watch(pump.epoll, (int)pump.listener.Handle);
        Console.WriteLine(((IPEndPoint)pump.listener.LocalEndPoint!).Port);

        string? command = null;
        bool over = false;
        new Thread(() =>
        {
            while (Console.ReadLine() is { } line)
                Volatile.Write(ref command, line);
            Volatile.Write(ref over, true);
        })
        { IsBackground = true }.Start();
        while (!Volatile.Read(ref over))
        {
            // Between loads it may sleep; the 5 ms only delay the next command.
            pump.Turn(5);
            if (Interlocked.Exchange(ref command, null) is { } line)
                Console.WriteLine(pump.Obey(line));
        }
        return 0;
    }

    private string Obey(string line)
    {
        string[] words = line.Split(' ');
        switch (words[0])
        {
            case "hold":
                return Hold(int.Parse(words[1], CultureInfo.InvariantCulture), int.Parse(words[2], CultureInfo.InvariantCulture));
            case "release":
                held.ForEach(Close);
                held.Clear();
                return "released";
            default:
                return Load([.. words.Select(w => double.Parse(w, CultureInfo.InvariantCulture))]);
        }
    }

    // One after the other, so that no proxy needs more than one set of buffers on the way.
    private string Hold(int port, int count)
    {
        (latencies, failed, ending) = (new Latencies(), 0, true);
        long bound = Stopwatch.GetTimestamp() + 30 * Stopwatch.Frequency;
        while (held.Count < count && failed == 0 && Stopwatch.GetTimestamp() < bound)
        {
            Connection c = Connect(port);
            held.Add(c);
            Send(c, Stopwatch.GetTimestamp());
            while (c.Busy && Stopwatch.GetTimestamp() < bound)
                Turn(1);
        }
        return $"{held.Count - failed}";
    }

    private string Load(double[] n)
    {
        (int port, int count, double seconds, double rate) = ((int)n[0], (int)n[1], n[2], n[3]);
        latencies = new Latencies();
        (answered, failed, paced, ending) = (0, 0, rate > 0, false);
        idle.Clear();
        var clients = new List<Connection>();
        for (int i = 0; i < count; i++)
        {
            Connection c = Connect(port);
            clients.Add(c);
            idle.Push(c);
            Turn(0);
        }

        long start = Stopwatch.GetTimestamp();
        long end = start + (long)(seconds * Stopwatch.Frequency);
        double interval = paced ? Stopwatch.Frequency / rate : 0;
        double next = start;
        long now = start;
        while (now < end && failed <= count)
        {
            // In a paced load a request counts from when it should have gone out, so that a stall is seen in full.
            while (idle.Count > 0 && (!paced || next <= now))
            {
                Send(idle.Pop(), paced ? (long)next : now);
                next += interval;
            }
            Turn(0);
            now = Stopwatch.GetTimestamp();
        }
        double took = Stopwatch.GetElapsedTime(start, now).TotalSeconds;

        // What is under way is let come in, and counts.
        ending = true;
        long bound = now + 2 * Stopwatch.Frequency;
        while (clients.Any(c => c.Busy) && Stopwatch.GetTimestamp() < bound)
            Turn(0);
        failed += clients.Count(c => c.Busy);
        foreach (Connection c in clients)
            Close(c);
        return string.Create(CultureInfo.InvariantCulture,
            $"{answered} {took:0.000000} {failed} {latencies.Microseconds(0.5):0.0} {latencies.Microseconds(0.99):0.0}");
    }

    private void Turn(int milliseconds)
    {
        int n = Epoll.Wait(epoll, ready, milliseconds);
        for (int i = 0; i < n; i++)
        {
            if (!connections.TryGetValue(ready[i], out Connection? c))
                Accept();
            else if (Epoll.Read(c.Fd, c.Buffer.AsSpan(c.Length)) is > 0 and int read)
                Take(c, read);
            else
                Lost(c);
        }
    }

    private void Accept()
    {
        try
        {
            Socket socket = listener.Accept();
            socket.NoDelay = true;
            Watch(socket, client: false);
        }
        catch (SocketException)
        {
            // It went away while it waited.
        }
    }

    private Connection Connect(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Loopback, port);
        return Watch(socket, client: true);
    }

    private Connection Watch(Socket socket, bool client)
    {
        socket.Blocking = false;
        var c = new Connection(socket, client);
        connections[c.Fd] = c;
        Epoll.Watch(epoll, c.Fd);
        return c;
    }

    private void Take(Connection c, int read)
    {
        c.Length += read;
        while (c.Length > 0)
        {
            int size = c.Client ? AnswerSize(c.Buffer.AsSpan(0, c.Length)) : RequestSize(c.Buffer.AsSpan(0, c.Length));
            if (size == 0 || size > c.Length)
            {
                if (c.Length == c.Buffer.Length)
                    Lost(c);
                return;
            }
            if (size < 0 || (c.Client && !c.Busy) || (!c.Client && !Epoll.Write(c.Fd, Answer)))
            {
                Lost(c);
                return;
            }
            c.Length -= size;
            c.Buffer.AsSpan(size, c.Length).CopyTo(c.Buffer);
            if (c.Client)
                Answered(c);
        }
    }

    private void Answered(Connection c)
    {
        long now = Stopwatch.GetTimestamp();
        latencies.Add(now - c.Since);
        answered++;
        c.Busy = false;
        if (ending)
            return;
        if (paced)
            idle.Push(c);
        else
            Send(c, now);
    }

    private void Send(Connection c, long since)
    {
        c.Since = since;
        c.Busy = true;
        if (!Epoll.Write(c.Fd, Request))
            Lost(c);
    }

    private void Lost(Connection c)
    {
        if (c.Client)
            failed++;
        c.Busy = false;
        Close(c);
    }

    private void Close(Connection c)
    {
        if (connections.Remove(c.Fd))
            c.Socket.Dispose();
    }

    private static int RequestSize(ReadOnlySpan<byte> data)
    {
        int end = data.IndexOf("\r\n\r\n"u8);
        return end < 0 ? 0 : data.StartsWith("GET "u8) ? end + 4 : -1;
    }

    // 0: not whole yet; negative: not an answer that counts.
    private static int AnswerSize(ReadOnlySpan<byte> data)
    {
        int end = data.IndexOf("\r\n\r\n"u8);
        if (end < 0)
            return 0;
        if (!data.StartsWith("HTTP/1.1 2"u8))
            return -1;
        ReadOnlySpan<byte> head = data[..(end + 2)];
        while (head.IndexOf("\r\n"u8) is >= 0 and int line)
        {
            head = head[(line + 2)..];
            if (head.Length > 15 && (head[0] | 0x20) == 'c' && System.Text.Ascii.EqualsIgnoreCase(head[..15], "content-length:"u8))
            {
                ReadOnlySpan<byte> value = head[15..].TrimStart((byte)' ');
                return Utf8Parser.TryParse(value, out int length, out _) ? end + 4 + length : -1;
            }
        }
        return -1;
    }
}

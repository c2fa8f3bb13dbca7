// A small DNS server for tests, over UDP and TCP on one port of loopback. It answers what a test says, the lies included, and remembers
// who asked what. Its writer of messages is its own, apart from what it tests.
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Naru.Kit;

/// <summary>A question.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Name">The name as it came.</param>
/// <param name="Type">1 is A, 28 AAAA.</param>
/// <param name="OverTcp">How it came.</param>
/// <param name="Bytes">The whole message.</param>
public sealed record DnsQuestion(ushort Id, string Name, int Type, bool OverTcp, byte[] Bytes);

/// <summary>Messages of a DNS server.</summary>
public static class DnsReplies
{
    /// <summary>An answer with these records: <c>name type seconds data</c>, type A, AAAA or CNAME.</summary>
    public static byte[] Of(DnsQuestion question, string[] records, int code = 0, bool truncated = false)
    {
        var bytes = new List<byte>(question.Bytes);
        bytes[2] = (byte)(0x81 | (truncated ? 2 : 0));
        bytes[3] = (byte)(0x80 | code);
        bytes[6] = (byte)(records.Length >> 8);
        bytes[7] = (byte)records.Length;
        foreach (string record in records)
        {
            string[] words = record.Split(' ');
            bytes.AddRange(Name(words[0]));
            byte[] data = words[1] == "CNAME" ? Name(words[3]) : IPAddress.Parse(words[3]).GetAddressBytes();
            int type = words[1] switch { "A" => 1, "AAAA" => 28, _ => 5 };
            uint seconds = uint.Parse(words[2]);
            bytes.AddRange([0, (byte)type, 0, 1, (byte)(seconds >> 24), (byte)(seconds >> 16), (byte)(seconds >> 8), (byte)seconds, (byte)(data.Length >> 8), (byte)data.Length]);
            bytes.AddRange(data);
        }
        return [.. bytes];
    }

    /// <summary>A name on the wire, not compressed; empty is the root.</summary>
    public static byte[] Name(string name) => [.. name.Split('.', StringSplitOptions.RemoveEmptyEntries).SelectMany(l => Encoding.ASCII.GetBytes(l).Prepend((byte)l.Length)), 0];
}

/// <summary>The server.</summary>
public sealed class DnsServer : IDisposable
{
    private readonly Socket _udp;
    private readonly TcpListener _tcp;
    private readonly CancellationTokenSource _end = new();

    /// <summary>Starts it.</summary>
    /// <param name="answer">The messages to send, one after the other; none is silence.</param>
    public DnsServer(Func<DnsQuestion, IEnumerable<byte[]>> answer)
    {
        Answer = answer;
        while (true)
        {
            _tcp = new TcpListener(IPAddress.Loopback, 0);
            _tcp.Start();
            _udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                _udp.Bind(_tcp.LocalEndpoint);
                break;
            }
            catch (SocketException)
            {
                // Somebody has that port for datagrams: the next one.
                _tcp.Dispose();
                _udp.Dispose();
            }
        }
        _ = ServeUdpAsync();
        _ = ServeTcpAsync();
    }

    /// <summary>Of which type this server is: one message for each question, as given by records.</summary>
    public static DnsServer With(Func<DnsQuestion, string[]> records) => new(q => [DnsReplies.Of(q, records(q))]);

    /// <summary>May be changed while it runs.</summary>
    public Func<DnsQuestion, IEnumerable<byte[]>> Answer { get; set; }

    /// <summary>Its port.</summary>
    public int Port => ((IPEndPoint)_tcp.LocalEndpoint).Port;

    /// <summary>What was asked.</summary>
    public ConcurrentQueue<DnsQuestion> Questions { get; } = new();

    private DnsQuestion Read(byte[] message, bool tcp)
    {
        var name = new StringBuilder();
        int at = 12;
        for (; message[at] != 0; at += message[at] + 1) name.Append(name.Length > 0 ? "." : "").Append(Encoding.ASCII.GetString(message, at + 1, message[at]));
        var question = new DnsQuestion(BinaryPrimitives.ReadUInt16BigEndian(message), name.ToString(), message[at + 2], tcp, message);
        Questions.Enqueue(question);
        return question;
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[65536];
        while (!_end.IsCancellationRequested)
        {
            try
            {
                SocketReceiveFromResult got = await _udp.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _end.Token).ConfigureAwait(false);
                foreach (byte[] message in Answer(Read(buffer[..got.ReceivedBytes], tcp: false))) await _udp.SendToAsync(message, got.RemoteEndPoint, _end.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // A client that is gone, or the end.
            }
        }
    }

    private async Task ServeTcpAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                using TcpClient client = await _tcp.AcceptTcpClientAsync(_end.Token).ConfigureAwait(false);
                NetworkStream stream = client.GetStream();
                var length = new byte[2];
                await stream.ReadExactlyAsync(length, _end.Token).ConfigureAwait(false);
                var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
                await stream.ReadExactlyAsync(message, _end.Token).ConfigureAwait(false);
                foreach (byte[] reply in Answer(Read(message, tcp: true)))
                {
                    await stream.WriteAsync(new[] { (byte)(reply.Length >> 8), (byte)reply.Length }, _end.Token).ConfigureAwait(false);
                    await stream.WriteAsync(reply, _end.Token).ConfigureAwait(false);
                }
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or ObjectDisposedException)
            {
                // A client that is gone, or the end.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _end.Cancel();
        _udp.Dispose();
        _tcp.Dispose();
        _end.Dispose();
    }
}

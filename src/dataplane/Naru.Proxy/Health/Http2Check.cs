// A health check over HTTP/2: the answer to a request, or what a gRPC server says of a service (grpc.health.v1). The protocol is the one
// that requests go by (Http2ClientSession), on a connection that only checks. Whatever answers is hostile: heads, messages and time have
// bounds.
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Health;

internal static class Http2Check
{
    private const int MaxMessage = 64 * 1024;

    // Checks are no traffic: what a session counts for its cluster goes nowhere.
    private static readonly WorkerLocal<long[]> s_stats = new(static _ => new long[ClusterStats.Schema.Stats.Count]);

    /// <summary>The request's head as HTTP/1 has it, which is how a session takes heads.</summary>
    public static byte[] Head(CheckHead head)
    {
        var text = new StringBuilder($"{head.Method} {head.Path} HTTP/1.1\r\nhost: {head.Host}\r\n");
        foreach ((string name, string value) in head.Fields) text.Append(name).Append(": ").Append(value).Append("\r\n");
        return Encoding.Latin1.GetBytes(text.Append("\r\n").ToString());
    }

    /// <summary>HealthCheckRequest { string service = 1 } behind the prefix of a message that is not compressed.</summary>
    public static byte[] Message(string service)
    {
        byte[] name = Encoding.UTF8.GetBytes(service);
        var content = new List<byte>();
        if (name.Length > 0)
        {
            content.Add(0x0a);
            for (int left = name.Length; ; left >>= 7)
            {
                content.Add((byte)(left < 0x80 ? left : left | 0x80));
                if (left < 0x80) break;
            }
            content.AddRange(name);
        }
        var framed = new byte[5 + content.Count];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), content.Count);
        content.CopyTo(framed, 5);
        return framed;
    }

    /// <summary>Asks; the connection is closed.</summary>
    /// <param name="connection">One on which nothing was said yet.</param>
    /// <param name="worker">Its worker.</param>
    /// <param name="cluster">Name of the cluster, for the log.</param>
    /// <param name="head">What was asked.</param>
    /// <param name="request">The same in bytes.</param>
    /// <param name="message">The gRPC message; null of a check by HTTP.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<CheckAnswer> RunAsync(
        CheckConnection connection, Worker worker, string cluster, CheckHead head, byte[] request, byte[]? message)
    {
        var traits = new Http2ClientTraits(cluster, new Http2OptionsConfig(), long.MaxValue / 4, 0);
        var session = new Http2ClientSession(worker, connection, connection, traits, s_stats.Of(worker));
        session.Start();
        var answer = new Http1Head();
        Http2Stream stream = session.Open(null, answer, head.Method == "HEAD");
        try
        {
            return await SendAsync(session, stream, request, message, connection.Tls is not null) && await HeadAsync(worker, stream)
                ? message is null ? Judge(stream, answer, head) : await GrpcAsync(stream, answer)
                : Ended(connection, stream);
        }
        finally
        {
            session.Finish(stream);
            session.Destroy();
            connection.Close();
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> SendAsync(
        Http2ClientSession session, Http2Stream stream, byte[] request, byte[]? message, bool tls)
    {
        while (!session.SendHead(stream, new HeadReader(SectionKind.Request, request) { IsHttps = tls }, message is null))
        {
            if (stream.IsReset) return false;
            await stream.Writable();
        }
        for (int sent = 0; message is not null && sent < message.Length;)
        {
            sent += SendPart(session, stream, message, sent);
            if (stream.IsReset) return false;
            if (sent < message.Length) await stream.Writable();
        }
        return true;
    }

    private static unsafe int SendPart(Http2ClientSession session, Http2Stream stream, byte[] message, int from)
    {
        fixed (byte* bytes = message) return session.SendData(stream, bytes + from, message.Length - from, end: true);
    }

    // Until the final head is here.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> HeadAsync(Worker worker, Http2Stream stream)
    {
        stream.WaitForHead(true);
        while (!stream.HeadReady && !stream.IsReset)
        {
            if (stream.InterimReady) worker.Buffers.Return(stream.TakeInterim());
            else await stream.Readable();
        }
        stream.WaitForHead(false);
        return stream.HeadReady;
    }

    // Of a stream without an answer: what the endpoint did, or its connection.
    private static CheckAnswer Ended(CheckConnection connection, Http2Stream stream) =>
        stream.Fault is not null || stream.Session.HasFaulted ? CheckAnswer.Unreadable
        : stream.Refused ? new CheckAnswer(CheckOutcome.Network, "GOAWAY")
        : stream is { ResetByPeer: true, Lost: false } ? new CheckAnswer(CheckOutcome.Network, "the stream was reset")
        : CheckAnswer.Broken(connection);

    private static CheckAnswer Judge(Http2Stream stream, Http1Head answer, CheckHead head) =>
        head.Judge(answer.Status, Value(answer, stream.HeadBuffer!.Filled, "x-envoy-upstream-healthchecked-cluster"u8),
            answer.IndexOf(stream.HeadBuffer.Filled[..answer.Length], CheckHead.Degraded) >= 0);

    private static ReadOnlySpan<byte> Value(Http1Head head, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> name)
    {
        int at = head.IndexOf(bytes[..head.Length], name);
        return at < 0 ? default : Http1Head.Value(bytes, head.Fields[at]);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<CheckAnswer> GrpcAsync(Http2Stream stream, Http1Head answer)
    {
        if (answer.Status != 200) return new CheckAnswer(CheckOutcome.Failing, $"status {answer.Status}");
        var message = new List<byte>();
        while (true)
        {
            while (stream.Take() is { } piece)
            {
                if (message.Count + piece.Count > MaxMessage) return CheckAnswer.Unreadable;
                message.AddRange(piece.Filled);
            }
            if (stream.EndReceived) break;
            if (stream.IsReset)
                return stream.Fault is not null ? CheckAnswer.Unreadable : new CheckAnswer(CheckOutcome.Network, "the answer was cut");
            await stream.Readable();
        }
        int status = Status(stream, answer);
        if (status != 0) return new CheckAnswer(CheckOutcome.Failing, status < 0 ? "no grpc-status" : $"grpc-status {status}");
        return Serving(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(message)) switch
        {
            1 => CheckAnswer.Good,
            -1 => CheckAnswer.Unreadable,
            2 => new CheckAnswer(CheckOutcome.Failing, "NOT_SERVING"),
            3 => new CheckAnswer(CheckOutcome.Failing, "SERVICE_UNKNOWN"),
            _ => new CheckAnswer(CheckOutcome.Failing, "UNKNOWN"),
        };
    }

    // Behind the message, or in the head of an answer that has none; -1 where nobody says it.
    private static int Status(Http2Stream stream, Http1Head answer)
    {
        ReadOnlySpan<byte> value = stream.HasTrailers
            ? Value(stream.Trailers, stream.TrailerBuffer!.Filled, "grpc-status"u8)
            : Value(answer, stream.HeadBuffer!.Filled, "grpc-status"u8);
        return Utf8Parser.TryParse(value, out int number, out int used) && used == value.Length && number >= 0 ? number : -1;
    }

    // HealthCheckResponse { ServingStatus status = 1 }; -1 where it is not one.
    private static long Serving(ReadOnlySpan<byte> bytes)
    {
        if (!ProtoBody.IsOne(bytes)) return -1;
        bytes = bytes[ProtoBody.Prefix..];
        long status = 0;
        while (!bytes.IsEmpty)
        {
            if (!Varint(ref bytes, out ulong tag)) return -1;
            switch (tag & 7)
            {
                case 0:
                    if (!Varint(ref bytes, out ulong value)) return -1;
                    if (tag >> 3 == 1) status = (long)Math.Min(value, 100);
                    break;
                case 1 when bytes.Length >= 8: bytes = bytes[8..]; break;
                case 5 when bytes.Length >= 4: bytes = bytes[4..]; break;
                case 2:
                    if (!Varint(ref bytes, out ulong length) || length > (ulong)bytes.Length) return -1;
                    bytes = bytes[(int)length..];
                    break;
                default: return -1;
            }
        }
        return status;
    }

    private static bool Varint(ref ReadOnlySpan<byte> bytes, out ulong value)
    {
        value = 0;
        for (int i = 0; i < bytes.Length && i < 10; i++)
        {
            value |= (ulong)(bytes[i] & 0x7f) << (7 * i);
            if (bytes[i] >= 0x80) continue;
            bytes = bytes[(i + 1)..];
            return true;
        }
        return false;
    }
}

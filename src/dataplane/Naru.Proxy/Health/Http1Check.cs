// A health check by an HTTP/1.1 request. Whatever answers is hostile: heads, bodies and interim answers have their bounds.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Health;

internal static class Http1Check
{
    private const int MaxHeadBytes = 60 * 1024, MaxFields = 100, MaxInterim = 8;

    // More than this is not read for the sake of a connection.
    private const int MaxBody = 64 * 1024;

    /// <summary>The request's bytes.</summary>
    public static byte[] Request(CheckHead head)
    {
        var text = new StringBuilder($"{head.Method} {head.Path} HTTP/1.1\r\n");
        foreach ((string name, string value) in head.Fields) text.Append(name).Append(": ").Append(value).Append("\r\n");
        // Who may have a body says that it has none (RFC 9110 8.6).
        if (head.Method is "POST" or "PUT" or "PATCH") text.Append("content-length: 0\r\n");
        return Encoding.Latin1.GetBytes(text.Append("\r\n").ToString());
    }

    /// <summary>Asks. The connection may be used again when it is still open afterwards.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<CheckAnswer> RunAsync(CheckConnection connection, Worker worker, byte[] request, CheckHead head)
    {
        IoBuffer buffer = worker.Buffers.RentLarge();
        CheckAnswer answer;
        bool reusable = false;
        try
        {
            bool sent = await connection.SendAsync(request, buffer);
            (answer, Http1Framing framing, Http1Head? read) = sent ? await HeadAsync(connection, buffer, head) : (CheckAnswer.Lost(connection), default, null);
            if (read is not null && head.ReadsBody && answer.Outcome == CheckOutcome.Healthy)
            {
                buffer.Start += read.Length;
                var body = new BodyReader();
                body.Start(worker, connection, buffer, framing.Body, framing.ContentLength, pinned: false);
                bool? holds = await ReadAsync(body, head);
                reusable = holds == true && head.ReuseConnection && !framing.Close && read.Minor == 1 && body.Done && body.Buffer.IsEmpty;
                buffer = body.Buffer;
                body.End();
                if (holds is null) answer = CheckAnswer.Broken(connection) with { Status = answer.Status };
                else if (holds == false) answer = answer with { Outcome = CheckOutcome.Unhealthy, Why = "the body lacks what it must hold" };
            }
            else if (read is not null && head.ReuseConnection && !framing.Close && read.Minor == 1 && framing.Body != BodyKind.UntilClose
                && answer.Outcome != CheckOutcome.Network)
            {
                buffer.Start += read.Length;
                var body = new BodyReader();
                body.Start(worker, connection, buffer, framing.Body, framing.ContentLength, pinned: false);
                reusable = await DrainAsync(body) && body.Buffer.IsEmpty;
                buffer = body.Buffer;
                body.End();
            }
        }
        finally
        {
            worker.Buffers.Return(buffer);
        }
        if (!reusable) connection.Close();
        return answer;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<(CheckAnswer, Http1Framing, Http1Head?)> HeadAsync(CheckConnection connection, IoBuffer buffer, CheckHead head)
    {
        var answer = new Http1Head();
        answer.StartResponse();
        int interim = 0;
        bool anyByte = false;
        while (true)
        {
            HeadStatus status = buffer.IsEmpty ? HeadStatus.Incomplete : answer.Parse(buffer.Filled, MaxHeadBytes, MaxFields);
            if (status == HeadStatus.Refused) return (CheckAnswer.Unreadable, default, null);
            if (status == HeadStatus.Complete)
            {
                if (answer.Status < 200 && answer.Status != 101 && ++interim <= MaxInterim)
                {
                    buffer.Start += answer.Length;
                    answer.StartResponse();
                    continue;
                }
                if (answer.Status < 200) return (CheckAnswer.Unreadable, default, null);
                if (Http1Framing.OfResponse(buffer.Filled[..answer.Length], answer, head.Method == "HEAD", out Http1Framing framing) != Http1Error.None)
                    return (CheckAnswer.Unreadable, default, null);
                int at = answer.IndexOf(buffer.Filled[..answer.Length], "x-envoy-upstream-healthchecked-cluster"u8);
                bool degraded = answer.IndexOf(buffer.Filled[..answer.Length], CheckHead.Degraded) >= 0;
                return (head.Judge(answer.Status, at < 0 ? default : Http1Head.Value(buffer.Filled, answer.Fields[at]), degraded),
                    framing, answer);
            }
            buffer.Compact();
            if (buffer.Room == 0) return (CheckAnswer.Unreadable, default, null);
            if (!await connection.FillAsync(buffer)) return (anyByte ? CheckAnswer.Broken(connection) : CheckAnswer.Lost(connection), default, null);
            anyByte = true;
        }
    }

    // Whether the first bytes of a body hold what they must, the rest passed over; null where it was cut before.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool?> ReadAsync(BodyReader body, CheckHead head)
    {
        var seen = new List<byte>();
        while (true)
        {
            switch (body.Next())
            {
                case BodyEvent.End: return Holds();
                case BodyEvent.Refused: return null;
                case BodyEvent.Data:
                    Take(body, seen, head.MostBody);
                    if (body.Done || seen.Count >= head.MostBody) return Holds();
                    break;
                case BodyEvent.NeedMore:
                    if (await body.FillAsync() is FillResult.Filled) break;
                    return Holds() ? true : null;
            }
        }

        bool Holds() => head.Holds(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(seen));
    }

    private static unsafe void Take(BodyReader body, List<byte> into, int most) =>
        into.AddRange(new ReadOnlySpan<byte>(body.PieceBytes, Math.Min(body.PieceLength, most - into.Count)));

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> DrainAsync(BodyReader body)
    {
        while (true)
        {
            switch (body.Next())
            {
                case BodyEvent.End: return true;
                case BodyEvent.Refused: return false;
                case BodyEvent.Data:
                    if (body.Done) return true;
                    if (body.Bytes > MaxBody) return false;
                    break;
                case BodyEvent.NeedMore:
                    if (await body.FillAsync() is not FillResult.Filled) return false;
                    break;
            }
        }
    }
}

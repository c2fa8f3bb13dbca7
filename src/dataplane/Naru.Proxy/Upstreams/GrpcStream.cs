// A stream of messages between a filter and a service, for the time of one exchange (gRPC over HTTP/2, "Requests", "Responses"): a side call
// whose body and whose answer's body go on beside each other. Knows frames and statuses, not messages. Whoever holds it hears of what came
// at the end of the worker's turn, never from within what he does himself.
using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

internal sealed class GrpcStream : IDisposable, ITurnEnd
{

    // Of messages that nobody has taken yet: whoever answers what was not asked sends no more of it.
    private const int MostWaiting = 16;
    private const int MostText = 256;
    private readonly Worker _worker;
    private readonly SideCall _call;
    private readonly WeightedTarget _target;
    private readonly int _most;
    private readonly Action _changed;
    private readonly BodyFeed _feed = new();
    private readonly Queue<byte[]> _messages = [];
    private readonly byte[] _prefix = new byte[ProtoBody.Prefix];
    private LineBuffer _partial = new();
    private int _prefixBytes;
    private bool _isStarted, _hasEnded, _isDisposed, _isTold;

    public GrpcStream(Worker worker, SideCall call, WeightedTarget target, int most, Action changed) =>
        (_worker, _call, _target, _most, _changed) = (worker, call, target, most, changed);

    /// <summary>Its span, where its request is traced.</summary>
    public Reports.CallSpan? Span { get; set; }

    /// <summary>Bytes that were said and are not on their way.</summary>
    public long Unsent => _feed.Bytes;

    /// <summary>Nothing comes any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>How it ended; once it is over. A stream that breaks ends with a status of ours.</summary>
    public int Status { get; private set; }

    /// <summary>What the service, or the proxy, says of that, without what could be taken for something else; at most 256 characters.</summary>
    public string Text { get; private set; } = "";

    /// <summary>What the log would say of it.</summary>
    public string Details { get; private set; } = "via_upstream";

    /// <summary>Says a message; the first one opens the stream. What is said on a stream that is over goes nowhere.</summary>
    public void Send(ReadOnlySpan<byte> message)
    {
        if (IsOver || _isDisposed) return;
        IoBuffer piece = _worker.Buffers.Rent();
        if (piece.Room < message.Length + ProtoBody.Prefix) piece = _worker.Buffers.Grow(piece, message.Length + ProtoBody.Prefix);
        Span<byte> prefix = stackalloc byte[ProtoBody.Prefix];
        ProtoBody.WritePrefix(prefix, message.Length);
        piece.Append(prefix);
        piece.Append(message);
        _feed.Add(piece);
        if (_isStarted) return;
        _isStarted = true;
        _call.Stream(_feed, Take);
        Unawaited.Run(GoAsync());
    }

    /// <summary>The next message that came, in order.</summary>
    public bool TryTake(out byte[] message) => _messages.TryDequeue(out message!);

    // Of an answer that is none its body is read past.
    private void Take(ReadOnlySpan<byte> bytes)
    {
        if (IsOver || _call.Status != 200) return;
        while (bytes.Length > 0)
        {
            if (_prefixBytes < ProtoBody.Prefix)
            {
                int part = Math.Min(ProtoBody.Prefix - _prefixBytes, bytes.Length);
                bytes[..part].CopyTo(_prefix.AsSpan(_prefixBytes));
                _prefixBytes += part;
                bytes = bytes[part..];
                if (_prefixBytes < ProtoBody.Prefix) return;
                if (_prefix[0] != 0)
                {
                    Break(GrpcStatus.Internal, "a compressed message came");
                    return;
                }
            }
            uint length = BinaryPrimitives.ReadUInt32BigEndian(_prefix.AsSpan(1));
            if (length > _most)
            {
                Break(GrpcStatus.ResourceExhausted, "a message is longer than max_receive_message_length");
                return;
            }
            int take = Math.Min((int)length - _partial.Length, bytes.Length);
            _partial.Append(bytes[..take]);
            bytes = bytes[take..];
            if (_partial.Length < length) return;
            if (_messages.Count == MostWaiting)
            {
                Break(GrpcStatus.ResourceExhausted, "more messages came than were asked for");
                return;
            }
            _messages.Enqueue(_partial.Written.ToArray());
            _prefixBytes = 0;
            // What one long message took is not kept for the rest of the stream.
            if (_partial.Capacity > BufferPool.Small) _partial = new LineBuffer();
            else _partial.Clear();
            Tell();
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> GoAsync()
    {
        SideAnswer answer;
        try
        {
            // How long it goes on is its exchange's affair.
            answer = await _call.RunAsync(_target, 0, 0, int.MaxValue, keeps: true);
        }
        catch (Exception e)
        {
            _worker.Report($"stream to cluster {_target.Slot.Name}", e);
            answer = new SideAnswer(SideEnd.NoAnswer, 500, null);
        }
        _hasEnded = true;
        if (!IsOver) Conclude(answer);
        Span?.Concluded(Status);
        IsOver = true;
        _call.Return();
        Tell();
        return true;
    }

    private void Conclude(in SideAnswer answer)
    {
        if (answer.End != SideEnd.Answered)
        {
            Status = GrpcStatus.Unavailable;
            Text = Clean(answer.Why?.Sentence ?? "the answer was cut short");
            Details = answer.Why?.Details ?? Details;
            return;
        }
        if (answer.Status != 200)
        {
            Status = ReplyForms.GrpcStatus(answer.Status);
            Text = string.Create(CultureInfo.InvariantCulture, $"status {answer.Status}");
            return;
        }
        if (!_call.TryGet("grpc-status"u8, out ReadOnlySpan<byte> text)
            || !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int status))
        {
            Status = GrpcStatus.Unknown;
            Text = "no status came";
            return;
        }
        Status = status;
        if (_call.TryGet("grpc-message"u8, out ReadOnlySpan<byte> message))
            Text = Clean(Uri.UnescapeDataString(Encoding.Latin1.GetString(message)));
        if (status != 0 || _prefixBytes == 0) return;
        Status = GrpcStatus.Internal;
        Text = "the last message is not whole";
    }

    private void Break(int status, string why)
    {
        Status = status;
        Text = why;
        IsOver = true;
        _call.Cancel();
        Tell();
    }

    // It goes into logs.
    private static string Clean(string text)
    {
        if (text.Length > MostText) text = text[..MostText];
        return string.Create(text.Length, text, static (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = from[i] is > ' ' and < (char)127 ? from[i] : from[i] == ' ' ? ' ' : '?';
        });
    }

    private void Tell()
    {
        if (_isTold || _isDisposed) return;
        _isTold = true;
        _worker.AtTurnEnd(this);
    }

    void ITurnEnd.OnTurnEnd()
    {
        _isTold = false;
        if (!_isDisposed) _changed();
    }

    /// <summary>Says that nothing follows, and gives up what is under way.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        Span?.End(isOver: _hasEnded);
        _messages.Clear();
        if (!_isStarted)
        {
            _call.Return();
        }
        else if (!_hasEnded)
        {
            _feed.End();
            _call.Cancel();
        }
    }
}

/// <summary>Statuses of gRPC that calls of the proxy's own end with (gRPC: status codes).</summary>
internal static class GrpcStatus
{
    public const int Unknown = 2, ResourceExhausted = 8, Internal = 13, Unavailable = 14;
}

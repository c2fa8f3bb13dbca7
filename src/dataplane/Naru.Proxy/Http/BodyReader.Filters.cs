// The body reader's other half: where filters want to see the body, what is given out is what has passed them, and that is also what is
// kept for another try. Where nobody wants to, none of this is touched.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed partial class BodyReader
{
    private static readonly Http1Head s_noTrailers = new();
    private readonly Http1Head _changedTrailers = new();
    private BodyPipe? _pipe, _keptPipe;

    // What was taken in whole before the first of them asked: it has not passed any.
    private readonly Queue<IoBuffer> _unfiltered = [];
    private TrailerEdits? _edits;
    private IoBuffer? _changedLines, _owned;

    // The piece that came and was not passed on yet; what is given out lies elsewhere.
    private IoBuffer _rawFrom = null!;
    private Exchange? _x;
    private bool _broken, _trailersWent, _endTaken;
    private int _rawStart, _rawLeft;
    private long _given, _passed, _declared = -1;

    /// <summary>Whether filters look at the body: what is given out is not what lies in its connection.</summary>
    public bool IsFiltered => _pipe is not null;

    /// <summary>The current piece's first byte.</summary>
    public unsafe byte* PieceBytes => _from.Memory + PieceStart;

    /// <summary>Body bytes given out.</summary>
    public long BytesGiven => IsFiltered ? _given : Bytes;

    /// <summary>Bytes of a body that was taken in whole (<see cref="BufferAsync"/>).</summary>
    public long BytesBuffered => _pipe is { } pipe ? pipe.BytesRead : Bytes;

    /// <summary>The trailers as filters see and change them; from their stage on.</summary>
    public TrailerEdits TrailerEdits => _edits ??= new TrailerEdits(this);

    /// <summary>The fields to be sent behind the body, once it ended; none where there are none, or where they went with the
    /// body.</summary>
    public Http1Head TrailerFields => _trailersWent ? s_noTrailers : LoggedTrailers;

    /// <summary>The bytes that <see cref="TrailerFields"/> speak of.</summary>
    public ReadOnlySpan<byte> TrailerBytes => _trailersWent ? default : LoggedTrailerBytes;

    /// <summary>The trailers, whether they are sent as such or went with the body.</summary>
    public Http1Head LoggedTrailers => _changedLines is null ? ReceivedTrailers : _changedTrailers;

    /// <summary>The bytes that <see cref="LoggedTrailers"/> speak of.</summary>
    public ReadOnlySpan<byte> LoggedTrailerBytes => _changedLines is { } lines ? lines.Filled : ReceivedTrailerBytes;

    private bool HasPassed => _pipe!.Ended;

    /// <summary>The pipe that the body goes through from here on; before anything was given out.</summary>
    public BodyPipe Filter(Exchange x, bool isRequest, bool isOwn = false)
    {
        if (_pipe is { } there) return there;
        _x = x;
        _pipe = _keptPipe ??= new BodyPipe();
        _pipe.Begin(x, this, isRequest, isOwn);
        foreach (IoBuffer held in _kept) Await(held);
        _room += KeptBytes;
        _kept.Clear();
        _at = _offset = 0;
        _edits?.Clear();
        _given = 0;
        _declared = -1;
        return _pipe;
    }

    /// <summary>A length was told: a body that does not keep to it is refused, wherever that is found.</summary>
    public void Declare(long length) => _declared = length;

    /// <summary>The trailers went as bytes of the body.</summary>
    public void SendNoTrailers() => _trailersWent = true;

    /// <summary>Nobody wants any more of it: filters that have a piece are not waited for.</summary>
    public void Stop() => _pipe?.Stop();

    /// <summary>Starts on a body that comes from nowhere but <see cref="Give"/>.</summary>
    public void StartOwn(Worker worker) => Begin(worker, BodyKind.None);

    /// <summary>A body of nothing goes through filters all the same.</summary>
    public void Reopen() => Done = false;

    /// <summary>All that has passed the filters.</summary>
    public byte[] TakePassed()
    {
        byte[] all = new byte[_kept.Sum(b => b.Count)];
        int at = 0;
        foreach (IoBuffer buffer in _kept)
        {
            buffer.Filled.CopyTo(all.AsSpan(at));
            at += buffer.Count;
        }
        return all;
    }

    /// <summary>Takes what has passed the filters; the reader's from then on.</summary>
    public void Give(IoBuffer buffer, bool end)
    {
        if (buffer.IsEmpty)
        {
            _worker.Buffers.Return(buffer);
        }
        else
        {
            if (_keeps && buffer.Count > _room) GiveUpKeeping();
            _room -= buffer.Count;
            if (_kept.Count == 0 || !_worker.Buffers.TryMerge(_kept[^1], buffer)) _kept.Add(buffer);
            _passed++;
        }
        if (!end || _edits is not { IsChanged: true } edits || _trailersWent) return;
        int most = edits.MostBytes;
        IoBuffer lines = _worker.Buffers.Rent();
        if (most > lines.Room) lines = _worker.Buffers.Grow(lines, most);
        edits.Write(lines);
        _changedTrailers.StartTrailers();
        _changedTrailers.Parse(lines.Filled, int.MaxValue, int.MaxValue);
        _changedLines = lines;
    }

    private BodyEvent NextFiltered()
    {
        if (Done) return BodyEvent.End;
        if (_broken) return BodyEvent.Refused;
        if (_kept.Count > 0 && GiveKept())
        {
            _touched = true;
            _given += PieceLength;
            return Keeps(Done) ? BodyEvent.Data : BodyEvent.Refused;
        }
        PieceLength = 0;
        if (!HasPassed) return BodyEvent.NeedMore;
        _touched = Done = true;
        return Keeps(true) ? BodyEvent.End : BodyEvent.Refused;
    }

    // Whoever told a length must keep to it: what is left over would be read as the next message.
    private bool Keeps(bool ended) => _declared < 0 || (ended ? _given == _declared : _given <= _declared);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FillResult> FillFilteredAsync()
    {
        BodyPipe pipe = _pipe!;
        long before = _passed;
        while (true)
        {
            if (!pipe.TryPass(out ValueTask<bool> passing))
            {
                FillResult result = await RawAsync();
                if (result != FillResult.Filled || _broken) return result;
                passing = pipe.PassAsync(TakeRaw(out bool end), end);
            }
            if (!await passing) return pipe.IsAnswered ? FillResult.Answered : FillResult.Cancelled;
            if (pipe.Ended || _passed > before) return FillResult.Filled;
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<BufferResult> BufferFilteredAsync(long limit)
    {
        BodyPipe pipe = _pipe!;
        pipe.BeginReading();
        bool goesOn = true;
        while (goesOn && !pipe.IsRead && pipe.BytesRead <= limit)
        {
            if (!pipe.TryPass(out ValueTask<bool> passing))
            {
                FillResult result = await RawAsync();
                if (_broken) return BufferResult.Refused;
                if (result != FillResult.Filled) return BufferResult.Gone;
                passing = pipe.PassAsync(TakeRaw(out bool end), end);
            }
            goesOn = await passing;
        }
        pipe.EndReading();
        if (!goesOn) return pipe.IsAnswered ? BufferResult.Answered : BufferResult.Gone;
        if (pipe.BytesRead > limit) return BufferResult.TooLarge;
        Keep(limit);
        return BufferResult.Whole;
    }

    // Waits for a piece, or for the end.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FillResult> RawAsync()
    {
        if (_endTaken) throw new InvalidOperationException("a body's end was lost among its filters");
        if (_rawLeft == 0 && _unfiltered.TryDequeue(out IoBuffer? held))
        {
            _owned = held;
            _rawLeft = held.Count;
        }
        while (_rawLeft == 0 && !IsWhole)
        {
            BodyEvent found = NextOfSource();
            Done = false;
            switch (found)
            {
                case BodyEvent.Data:
                    _rawFrom = _from;
                    _rawStart = PieceStart;
                    _rawLeft = PieceLength;
                    break;
                case BodyEvent.End:
                    IsWhole = true;
                    break;
                case BodyEvent.Refused:
                    _broken = true;
                    return FillResult.Filled;
                default:
                    FillResult result = await FillRawAsync();
                    if (result != FillResult.Filled) return result;
                    _x!.Touch();
                    break;
            }
        }
        return FillResult.Filled;
    }

    // In a buffer of its own; behind it may lie the next message.
    private unsafe IoBuffer TakeRaw(out bool end)
    {
        IoBuffer piece;
        if (_owned is { } owned)
        {
            piece = owned;
            _owned = null;
            _rawLeft = 0;
        }
        else
        {
            piece = _worker.Buffers.Rent();
            int take = Math.Min(_rawLeft, piece.Room);
            if (take > 0) piece.Append(new ReadOnlySpan<byte>(_rawFrom.Memory + _rawStart, take));
            _rawStart += take;
            _rawLeft -= take;
        }
        end = _endTaken = _rawLeft == 0 && IsWhole && _unfiltered.Count == 0;
        return piece;
    }

    private void EndFilters()
    {
        if (_pipe is not { } pipe) return;
        pipe.End();
        _pipe = null;
        if (_owned is { } owned) _worker.Buffers.Return(owned);
        while (_unfiltered.TryDequeue(out IoBuffer? held)) _worker.Buffers.Return(held);
        if (_changedLines is { } lines) _worker.Buffers.Return(lines);
        _owned = _changedLines = _lastUnfiltered = null;
        _x = null;
        _rawFrom = null!;
        _broken = _trailersWent = _endTaken = false;
        _rawLeft = 0;
    }
}

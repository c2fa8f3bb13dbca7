// A body on its way through the filters that want to see it: each piece passes them one after the other, and so does the end, behind which
// each is told of the trailers before the next one sees the end. A body nobody wants to see has no pipe.
using System.Runtime.CompilerServices;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters;

/// <summary>The filters of one body, in order, and what is between them. Belongs to the reader of the body, which keeps it for its next
/// one.</summary>
internal sealed class BodyPipe
{
    /// <summary>Bytes that the filters of a body hold back at most (Envoy: the default of per_connection_buffer_limit_bytes).</summary>
    public const int MostHeld = 1024 * 1024;

    private readonly BodyPiece _piece = new();
    private Step[] _steps = new Step[4];
    private int _count;
    private Exchange _x = null!;
    private BodyReader _body = null!;
    private bool _isRequest, _isOwn;
    private long _held;

    // What waits, in the order of the body, each before the filter at its From: the rest of a piece of which a filter let a part go on,
    // what was held back and is let go, and, at the front, since it has come furthest, what was read before the body went anywhere: its
    // first _read ones. While more is read so, nothing goes on behind _to. Whoever reads next finds there what others have read.
    private readonly List<Waiting> _waiting = [];
    private int _to, _read;

    // IsRest: the filter that let go of a part is asked again, whatever is left.
    private readonly record struct Waiting(IoBuffer Buffer, int From, bool End, bool IsRest = false);

    private struct Step
    {
        public FilterRun Run;
        public FilterStep Filter;
        public bool Body, Trailers;
        public List<IoBuffer>? Held;
    }

    /// <summary>The end has passed all filters.</summary>
    public bool Ended { get; private set; }

    /// <summary>A filter answered, or they held back too much; the exchange's <see cref="Exchange.FilterAnswer"/> says why.</summary>
    public bool IsAnswered { get; private set; }

    /// <summary>Nobody wants any more of it: what a filter still has goes nowhere.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>See <see cref="IsStopped"/>.</summary>
    public void Stop() => IsStopped = true;

    /// <summary>Bytes that were read before the body went anywhere.</summary>
    public long BytesRead { get; private set; }

    /// <summary>All of the body was.</summary>
    public bool IsRead { get; private set; }

    /// <summary>Begins with a body.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="body">The reader that gives out what has passed.</param>
    /// <param name="isRequest">Whether it is a request's.</param>
    /// <param name="isOwn">Whether it is of an answer of the proxy's own, which has no trailers.</param>
    public void Begin(Exchange x, BodyReader body, bool isRequest, bool isOwn)
    {
        (_x, _body, _isRequest, _isOwn) = (x, body, isRequest, isOwn);
        _count = 0;
        _to = int.MaxValue;
        _read = 0;
        _held = BytesRead = 0;
        IsRead = Ended = IsAnswered = IsStopped = false;
    }

    /// <summary>One more filter, behind the others.</summary>
    public void Add(FilterRun run, in FilterStep filter, bool body, bool trailers)
    {
        if (_count == _steps.Length) Array.Resize(ref _steps, _count * 2);
        ref Step step = ref _steps[_count++];
        (step.Run, step.Filter, step.Body, step.Trailers) = (run, filter, body, trailers);
    }

    /// <summary>Until <see cref="EndReading"/> what has passed the filters that there are now waits for those that come later. What
    /// others have read and no filter between them and now has to see counts as read.</summary>
    public void BeginReading()
    {
        (_to, _read, BytesRead, IsRead) = (_count, 0, 0, false);
        while (_read < _waiting.Count && _waiting[_read].From == _to) CountRead(_waiting[_read++]);
    }

    private void CountRead(in Waiting waiting)
    {
        BytesRead += waiting.Buffer.Count;
        IsRead |= waiting.End;
    }

    /// <summary>From here on everything goes on.</summary>
    public void EndReading() => _to = int.MaxValue;

    private bool IsReading => _to != int.MaxValue;

    /// <summary>The one buffer in which all lies that was read; null where there is none, or several.</summary>
    public IoBuffer? OnlyRead
    {
        get
        {
            IoBuffer? only = null;
            for (int i = 0; i < _read; i++)
            {
                if (_waiting[i].Buffer.IsEmpty) continue;
                if (only is not null) return null;
                only = _waiting[i].Buffer;
            }
            return only;
        }
    }

    /// <summary>Copies what was read, as far as there is room.</summary>
    public void CopyRead(Span<byte> into, ref int at)
    {
        for (int i = 0; i < _read; i++) Copy(_waiting[i].Buffer, into, ref at);
    }

    /// <summary>Copies a buffer, as far as there is room.</summary>
    public static void Copy(IoBuffer from, Span<byte> into, ref int at)
    {
        int take = Math.Min(from.Count, into.Length - at);
        from.Filled[..take].CopyTo(into[at..]);
        at += take;
    }

    /// <summary>What waits first, of what may, goes on; false where nothing may.</summary>
    public bool TryPass(out ValueTask<bool> passing)
    {
        passing = default;
        if (!IsReading) _read = 0;
        if (_read == _waiting.Count) return false;
        Waiting first = _waiting[_read];
        _waiting.RemoveAt(_read);
        passing = PassAsync(first.From, first.Buffer, first.End, first.IsRest);
        return true;
    }

    /// <summary>Passes a piece on, which is the pipe's from then on; only where nothing waits. False where nothing goes on any
    /// more.</summary>
    public ValueTask<bool> PassAsync(IoBuffer piece, bool end) => PassAsync(0, piece, end, isRest: false);

    // A piece that waits while a filter looks at the trailers behind it.
    private IoBuffer? _aside;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> PassAsync(int at, IoBuffer buffer, bool end, bool isRest)
    {
        for (; at < Math.Min(_to, _count); at++)
        {
            if (_steps[at].Body && (end || isRest || !buffer.IsEmpty))
            {
                isRest = false;
                _piece.Begin(_x.Worker.Buffers, buffer, end);
                BodyVerdict verdict = await BodyAsync(at);
                buffer = _piece.Take(out IoBuffer? rest)!;
                if (rest is not null)
                {
                    _waiting.Insert(_read, new Waiting(rest, at, end, IsRest: true));
                    end = false;
                }
                if (IsStopped || (_x.Abort != AbortReason.None && !_isOwn)) return Drop(buffer);
                if (verdict == BodyVerdict.Answer) return Answered(buffer);
                if (verdict == BodyVerdict.Hold && !end) return Hold(at, buffer);
            }
            // The end of the body is followed by what becomes of its trailers.
            if (end && _steps[at].Trailers && !_isOwn)
            {
                _piece.Begin(_x.Worker.Buffers, null, true);
                _aside = buffer;
                _x.TrailersOpen = !_isRequest;
                bool goesOn = await TrailersAsync(at);
                _x.TrailersOpen = false;
                _aside = null;
                IoBuffer? last = _piece.Take(out _);
                if (last is not null)
                {
                    _waiting.Insert(_read, new Waiting(last, at + 1, true));
                    end = false;
                }
                if (IsStopped || _x.Abort != AbortReason.None) return Drop(buffer);
                if (!goesOn) return Answered(buffer);
            }
            if (_steps[at].Held is { Count: > 0 } held)
            {
                _waiting.Insert(_read, new Waiting(buffer, at + 1, end));
                for (int i = held.Count - 1; i >= 0; i--)
                {
                    _held -= held[i].Count;
                    _waiting.Insert(_read, new Waiting(held[i], at + 1, false));
                }
                held.Clear();
                return true;
            }
        }
        return Give(at, buffer, end);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<BodyVerdict> BodyAsync(int at)
    {
        try
        {
            return await (_isRequest ? Filter(at).OnRequestBodyAsync(Call(at), _piece) : Filter(at).OnResponseBodyAsync(Call(at), _piece));
        }
        catch (Exception e)
        {
            FilterRun.Failed(_x, Filter(at), e);
            return BodyVerdict.Answer;
        }
    }

    // False where the filter failed.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> TrailersAsync(int at)
    {
        try
        {
            await (_isRequest ? Filter(at).OnRequestTrailersAsync(Call(at), _piece) : Filter(at).OnResponseTrailersAsync(Call(at), _piece));
            return true;
        }
        catch (Exception e)
        {
            FilterRun.Failed(_x, Filter(at), e);
            return false;
        }
    }

    private HttpFilter Filter(int at) => _steps[at].Filter.Filter;

    private FilterCall Call(int at) => new(_x, _steps[at].Run, _steps[at].Filter);

    private bool Give(int at, IoBuffer buffer, bool end)
    {
        if (IsReading)
        {
            var read = new Waiting(buffer, at, end);
            CountRead(read);
            // An empty one carries the end.
            if (buffer.IsEmpty && !end) _x.Worker.Buffers.Return(buffer);
            else if (_read > 0 && _waiting[_read - 1] is var last && last.From == at && _x.Worker.Buffers.TryMerge(last.Buffer, buffer))
                _waiting[_read - 1] = last with { End = end };
            else _waiting.Insert(_read++, read);
            return true;
        }
        Ended |= end;
        _body.Give(buffer, end);
        return true;
    }

    private bool Hold(int at, IoBuffer buffer)
    {
        if (_held + buffer.Count > MostHeld)
        {
            _x.FilterAnswer = new FilterAnswer(_isRequest ? FilterReasons.RequestTooLarge : FilterReasons.ResponseTooLarge);
            return Answered(buffer);
        }
        _held += buffer.Count;
        List<IoBuffer> held = _steps[at].Held ??= [];
        if (held.Count == 0 || !_x.Worker.Buffers.TryMerge(held[^1], buffer)) held.Add(buffer);
        return true;
    }

    private bool Answered(IoBuffer? buffer)
    {
        IsAnswered = true;
        return Drop(buffer);
    }

    private bool Drop(IoBuffer? buffer)
    {
        // Of a filter that failed with it in its hands.
        if (buffer is not null) _x.Worker.Buffers.Return(buffer);
        return false;
    }

    /// <summary>The body is of no interest any more: what waits goes back.</summary>
    public void End()
    {
        BufferPool buffers = _x.Worker.Buffers;
        for (int i = 0; i < _count; i++)
        {
            ref Step step = ref _steps[i];
            if (step.Held is { } held) ReturnAll(buffers, held);
            step.Run = null!;
            step.Filter = default;
        }
        foreach (Waiting waiting in _waiting) buffers.Return(waiting.Buffer);
        _waiting.Clear();
        // Of a filter that threw.
        if (_piece.Take(out IoBuffer? rest) is { } piece) buffers.Return(piece);
        if (rest is not null) buffers.Return(rest);
        if (_aside is { } aside) buffers.Return(aside);
        _aside = null;
        _count = 0;
        _x = null!;
        _body = null!;
    }

    private static void ReturnAll(BufferPool buffers, List<IoBuffer> list)
    {
        foreach (IoBuffer buffer in list) buffers.Return(buffer);
        list.Clear();
    }
}

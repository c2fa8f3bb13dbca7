// The body reader's look ahead: the beginning of a body is taken in, looked at, and given out afterwards from its first byte, as if nobody
// had looked. What is behind it stays where it comes from.
using System.Runtime.CompilerServices;
using Naru.Http.Bodies;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

/// <summary>How much of a body somebody wants to look at.</summary>
internal enum PeekUntil : byte
{
    /// <summary>All of it.</summary>
    End,

    /// <summary>The first message of a gRPC stream, or less where that is compressed or no message.</summary>
    GrpcMessage,

    /// <summary>As many bytes as there may be at most, or all of it.</summary>
    Bytes,
}

/// <summary>What came of looking.</summary>
internal enum PeekResult : byte
{
    /// <summary>What was wanted is here, or the body ended.</summary>
    Here,

    /// <summary>It is longer than the limit. Nothing is lost: the body goes on as it would have.</summary>
    TooLarge,

    /// <summary>The client left, or the exchange was given up.</summary>
    Gone,

    /// <summary>Its framing is broken.</summary>
    Refused,

    /// <summary>A filter that saw it first answered.</summary>
    Answered,
}

internal sealed partial class BodyReader
{
    /// <summary>Takes the beginning of the body in; who reads it later gets it from the first byte on.</summary>
    /// <param name="x">Told about progress.</param>
    /// <param name="most">Bytes at most; of a gRPC message its prefix counts.</param>
    /// <param name="until">What is wanted.</param>
    public ValueTask<PeekResult> PeekAsync(Exchange x, int most, PeekUntil until) =>
        IsFiltered ? PeekFilteredAsync(most, until) : PeekRawAsync(x, most, until);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<PeekResult> PeekRawAsync(Exchange x, int most, PeekUntil until)
    {
        if (_touched && !_keeps) throw new InvalidOperationException("a body that went on is not looked at");
        (bool kept, long room, long before) = (_keeps, _room, Bytes);
        long had = KeptBytes;
        (_keeps, _room) = (true, long.MaxValue);
        // In small pieces: more than is wanted is copied for nothing.
        if (_stream is null && _inner is null && !IsWhole) ReadLittle();
        PeekResult? result = null;
        while (!IsWhole && result is null)
        {
            result = Judge(had + Bytes - before, most, until);
            if (result is not null) break;
            switch (NextRaw())
            {
                case BodyEvent.Data or BodyEvent.End:
                    break;
                case BodyEvent.Refused:
                    return PeekResult.Refused;
                default:
                    if (await FillRawAsync() != FillResult.Filled) return PeekResult.Gone;
                    x.Touch();
                    break;
            }
        }
        long taken = Bytes - before;
        // As before anything of it was given out.
        _at = _offset = PieceLength = 0;
        _given = 0;
        Done = _touched = false;
        _room = room - taken;
        _keeps = kept && _room >= 0;
        IsOverKept |= kept && !_keeps;
        return result ?? (had + taken > most && until == PeekUntil.End ? PeekResult.TooLarge : PeekResult.Here);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<PeekResult> PeekFilteredAsync(int most, PeekUntil until)
    {
        BodyPipe pipe = _pipe!;
        pipe.BeginReading();
        bool goesOn = true;
        PeekResult? result = null;
        while (goesOn && !pipe.IsRead && (result = Judge(pipe.BytesRead, most, until)) is null)
        {
            if (!pipe.TryPass(out ValueTask<bool> passing))
            {
                FillResult fill = await RawAsync();
                if (_broken) return PeekResult.Refused;
                if (fill != FillResult.Filled) return PeekResult.Gone;
                passing = pipe.PassAsync(TakeRaw(out bool end), end);
            }
            goesOn = await passing;
        }
        pipe.EndReading();
        if (!goesOn) return pipe.IsAnswered ? PeekResult.Answered : PeekResult.Gone;
        return result ?? (pipe.BytesRead > most && until == PeekUntil.End ? PeekResult.TooLarge : PeekResult.Here);
    }

    // Whether so many bytes, which are not all, are enough; null where they are not.
    private PeekResult? Judge(long have, int most, PeekUntil until)
    {
        if (until == PeekUntil.End) return have > most ? PeekResult.TooLarge : null;
        if (until == PeekUntil.Bytes) return have >= most ? PeekResult.Here : null;
        Span<byte> prefix = stackalloc byte[ProtoBody.Prefix];
        CopyPeeked(ref prefix);
        switch (ProtoBody.First(prefix, out uint length))
        {
            case GrpcFrame.Broken or GrpcFrame.Compressed: return PeekResult.Here;
            case GrpcFrame.Partial when prefix.Length < ProtoBody.Prefix: return null;
        }
        return length > most - ProtoBody.Prefix ? PeekResult.TooLarge : have >= length + ProtoBody.Prefix ? PeekResult.Here : null;
    }

    /// <summary>Bytes that are here to be looked at.</summary>
    public long PeekedBytes => IsFiltered ? _pipe!.BytesRead : KeptBytes;

    /// <summary>Copies the first of them, as many as there is room for, which it is cut to.</summary>
    public void CopyPeeked(ref Span<byte> into)
    {
        int at = 0;
        if (IsFiltered) _pipe!.CopyRead(into, ref at);
        else foreach (IoBuffer kept in _kept) BodyPipe.Copy(kept, into, ref at);
        into = into[..at];
    }

    /// <summary>All of them, where they lie in one place.</summary>
    public bool TryPeeked(out ReadOnlySpan<byte> bytes)
    {
        IoBuffer? one = IsFiltered ? _pipe!.OnlyRead : _kept.Count == 1 ? _kept[0] : null;
        bytes = one is null ? default : one.Filled;
        return one is not null;
    }
}

/// <summary>What was looked at, in one piece; in a buffer of its own where it lies in several.</summary>
internal readonly ref struct PeekedBody : IDisposable
{
    private readonly BufferPool? _pool;
    private readonly IoBuffer? _own;

    public PeekedBody(ReadOnlySpan<byte> bytes) => Bytes = bytes;

    public PeekedBody(BodyReader from, BufferPool pool)
    {
        if (from.TryPeeked(out ReadOnlySpan<byte> one))
        {
            Bytes = one;
            return;
        }
        int length = (int)from.PeekedBytes;
        IoBuffer own = pool.RentLarge();
        if (length > own.Room) own = pool.Grow(own, length);
        Span<byte> all = own.Free[..length];
        from.CopyPeeked(ref all);
        own.End += all.Length;
        _pool = pool;
        _own = own;
        Bytes = own.Filled;
    }

    public ReadOnlySpan<byte> Bytes { get; }

    public void Dispose()
    {
        if (_own is { } own) _pool!.Return(own);
    }
}

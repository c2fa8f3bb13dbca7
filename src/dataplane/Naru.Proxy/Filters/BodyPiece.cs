// What a filter sees of a body: one piece at a time, in a buffer that it may change, shorten or exchange. Nothing behind the piece is read
// while a filter has it, so whoever waits slows the sender down.
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters;

/// <summary>What becomes of a piece after a filter.</summary>
internal enum BodyVerdict : byte
{
    /// <summary>It goes on, behind what was held back before it.</summary>
    Go,

    /// <summary>It is held back until a later piece goes on; the last one always does. What is held back is limited
    /// (<see cref="BodyPipe.MostHeld"/>).</summary>
    Hold,

    /// <summary>Of a request's body: it is answered, as <see cref="FilterCall.Answer"/> said, and its try given up. Where an answer is on
    /// its way, and of an answer's body: that one is cut short.</summary>
    Answer,
}

/// <summary>A piece of a body in the hands of a filter.</summary>
internal sealed class BodyPiece
{
    private BufferPool _buffers = null!;
    private IoBuffer? _buffer, _rest;

    /// <summary>Nothing of the body follows; trailers may. Every body has one such piece, which may be empty.</summary>
    public bool End { get; private set; }

    /// <summary>Its bytes; may be written to.</summary>
    public Span<byte> Bytes => _buffer is { } buffer ? buffer.Filled : default;

    /// <summary>Leaves so many of its first bytes.</summary>
    public void Trim(int length) => _buffer!.End = _buffer.Start + length;

    /// <summary>Takes so many of its first bytes out.</summary>
    public void Skip(int length) => _buffer!.Start += length;

    /// <summary>Only so many of its first bytes go on now; the filter is asked about the others next, before anything else.</summary>
    public void Split(int length)
    {
        if (length >= Bytes.Length) return;
        IoBuffer first = Rent(length);
        first.Append(Bytes[..length]);
        Emit(first, length);
    }

    /// <summary>Other bytes go on now in the place of its first ones; the filter is asked about what is left of it next, before anything else,
    /// also where that is nothing: it may have more to say.</summary>
    /// <param name="first">What goes on.</param>
    /// <param name="taken">So many bytes are done with.</param>
    public void Emit(IoBuffer first, int taken)
    {
        IoBuffer rest = _buffer ?? _buffers.Rent();
        rest.Start += taken;
        (_buffer, _rest) = (first, rest);
    }

    /// <summary>A buffer with room for so many bytes, to be filled and given to <see cref="Become"/>.</summary>
    public IoBuffer Rent(int room)
    {
        if (room <= BufferPool.Small) return _buffers.Rent();
        IoBuffer large = _buffers.RentLarge();
        return room <= BufferPool.Large ? large : _buffers.Grow(large, room);
    }

    /// <summary>Other bytes stand in its place.</summary>
    public void Become(IoBuffer buffer)
    {
        if (_buffer is { } old) _buffers.Return(old);
        _buffer = buffer;
    }

    internal void Begin(BufferPool buffers, IoBuffer? buffer, bool end) => (_buffers, _buffer, _rest, End) = (buffers, buffer, null, end);

    internal IoBuffer? Take(out IoBuffer? rest)
    {
        IoBuffer? buffer = _buffer;
        rest = _rest;
        _buffer = _rest = null;
        return buffer;
    }
}

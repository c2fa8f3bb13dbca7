// gzip (RFC 1952) by pieces. A body may be several members one after the other; what else follows the last one makes it broken, and so does
// a wrong checksum or length.
using System.Runtime.InteropServices;
using static Naru.Http.Codings.Zlib;

namespace Naru.Http.Codings;

/// <summary>How gzip packs; words and ranges are zlib's.</summary>
/// <param name="Level">1 to 9; -1 is its own choice.</param>
/// <param name="WindowBits">9 to 15.</param>
/// <param name="MemoryLevel">1 to 9.</param>
/// <param name="Strategy">0 to 4: default, filtered, Huffman only, run lengths, fixed codes.</param>
public readonly record struct GzipOptions(int Level, int WindowBits, int MemoryLevel, int Strategy);

/// <summary>Packs.</summary>
public sealed unsafe class GzipPacker : BodyPacker
{
    private ZStream* _stream;

    /// <exception cref="OutOfMemoryException">There is no memory for its state.</exception>
    public GzipPacker(GzipOptions options)
    {
        _stream = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
        int made = DeflateInit(_stream, options.Level, Deflated, options.WindowBits + GzipFraming, options.MemoryLevel, options.Strategy);
        if (made == Ok) return;
        NativeMemory.Free(_stream);
        _stream = null;
        throw new OutOfMemoryException($"deflate cannot begin ({made})");
    }

    /// <inheritdoc/>
    public override CodingStep Pack(ReadOnlySpan<byte> from, Span<byte> into, PackUntil until, out int taken, out int written)
    {
        ObjectDisposedException.ThrowIf(_stream is null, this);
        fixed (byte* input = from, output = into)
        {
            _stream->NextIn = input;
            _stream->AvailableIn = (uint)from.Length;
            _stream->NextOut = output;
            _stream->AvailableOut = (uint)into.Length;
            int result = Deflate(_stream, until == PackUntil.Ended ? Finish : SyncFlush);
            taken = from.Length - (int)_stream->AvailableIn;
            written = into.Length - (int)_stream->AvailableOut;
            if (result is not (Ok or StreamEnd or BufferError)) throw new InvalidOperationException($"deflate failed ({result})");
            // With room left nothing is pending (zlib manual: deflate).
            return result == StreamEnd || (until == PackUntil.Flushed && written < into.Length) ? CodingStep.Empty : CodingStep.Full;
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_stream is null) return;
        _ = DeflateEnd(_stream);
        NativeMemory.Free(_stream);
        _stream = null;
    }

    // Of a body that was dropped.
    ~GzipPacker() => Free();
}

/// <summary>Unpacks.</summary>
public sealed unsafe class GzipUnpacker : BodyUnpacker
{
    private readonly int _windowBits;
    private ZStream* _stream;
    private bool _between = true, _begun;

    /// <param name="windowBits">The largest window that it takes, 9 to 15.</param>
    /// <exception cref="OutOfMemoryException">There is no memory for its state.</exception>
    public GzipUnpacker(int windowBits)
    {
        _windowBits = windowBits + GzipFraming;
        _stream = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
        int made = InflateInit(_stream, _windowBits);
        if (made == Ok) return;
        NativeMemory.Free(_stream);
        _stream = null;
        throw new OutOfMemoryException($"inflate cannot begin ({made})");
    }

    /// <inheritdoc/>
    public override bool IsWhole => _between;

    /// <inheritdoc/>
    public override CodingStep Unpack(ReadOnlySpan<byte> from, Span<byte> into, out int taken, out int written)
    {
        ObjectDisposedException.ThrowIf(_stream is null, this);
        taken = written = 0;
        fixed (byte* input = from, output = into)
        {
            while (true)
            {
                if (_between)
                {
                    if (taken == from.Length) return CodingStep.Empty;
                    if (_begun && InflateReset(_stream, _windowBits) != Ok) return CodingStep.Broken;
                    (_between, _begun) = (false, true);
                }
                (uint left, uint room) = ((uint)(from.Length - taken), (uint)(into.Length - written));
                _stream->NextIn = input + taken;
                _stream->AvailableIn = left;
                _stream->NextOut = output + written;
                _stream->AvailableOut = room;
                int result = Inflate(_stream, NoFlush);
                taken = from.Length - (int)_stream->AvailableIn;
                written = into.Length - (int)_stream->AvailableOut;
                switch (result)
                {
                    case StreamEnd:
                        _between = true;
                        break;
                    case Ok or BufferError:
                        if (written == into.Length) return CodingStep.Full;
                        if (taken == from.Length) return CodingStep.Empty;
                        if (_stream->AvailableIn == left && _stream->AvailableOut == room) return CodingStep.Broken;
                        break;
                    default:
                        return CodingStep.Broken;
                }
            }
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_stream is null) return;
        _ = InflateEnd(_stream);
        NativeMemory.Free(_stream);
        _stream = null;
    }

    // Of a body that was dropped.
    ~GzipUnpacker() => Free();
}

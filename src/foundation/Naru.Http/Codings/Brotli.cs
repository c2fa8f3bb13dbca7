// Brotli (RFC 7932) by pieces, on .NET's own coder. What follows the end of the stream makes a body broken.
using System.Buffers;
using System.IO.Compression;

namespace Naru.Http.Codings;

/// <summary>Packs.</summary>
/// <param name="quality">0 to 11.</param>
/// <param name="windowBits">10 to 24.</param>
public sealed class BrotliPacker(int quality, int windowBits) : BodyPacker
{
    private BrotliEncoder _encoder = new(quality, windowBits);

    // All of the input is in; what is flushed still comes out.
    private bool _flushing;

    /// <inheritdoc/>
    public override CodingStep Pack(ReadOnlySpan<byte> from, Span<byte> into, PackUntil until, out int taken, out int written)
    {
        taken = written = 0;
        if (!_flushing)
        {
            OperationStatus status = _encoder.Compress(from, into, out taken, out written, until == PackUntil.Ended);
            if (status == OperationStatus.DestinationTooSmall) return CodingStep.Full;
            if (status != OperationStatus.Done) throw new InvalidOperationException($"brotli failed ({status})");
            if (until == PackUntil.Ended) return CodingStep.Empty;
            _flushing = true;
        }
        OperationStatus flushed = _encoder.Flush(into[written..], out int more);
        written += more;
        if (flushed == OperationStatus.DestinationTooSmall) return CodingStep.Full;
        if (flushed != OperationStatus.Done) throw new InvalidOperationException($"brotli failed ({flushed})");
        _flushing = false;
        return CodingStep.Empty;
    }

    /// <inheritdoc/>
    public override void Dispose() => _encoder.Dispose();
}

/// <summary>Unpacks. A window is 16 MiB at most, and grows with what comes.</summary>
public sealed class BrotliUnpacker : BodyUnpacker
{
    private BrotliDecoder _decoder;
    private bool _begun, _ended;

    /// <inheritdoc/>
    public override bool IsWhole => _ended || !_begun;

    /// <inheritdoc/>
    public override CodingStep Unpack(ReadOnlySpan<byte> from, Span<byte> into, out int taken, out int written)
    {
        taken = written = 0;
        if (_ended) return from.IsEmpty ? CodingStep.Empty : CodingStep.Broken;
        if (from.IsEmpty && !_begun) return CodingStep.Empty;
        _begun = true;
        switch (_decoder.Decompress(from, into, out taken, out written))
        {
            case OperationStatus.Done:
                _ended = true;
                return taken == from.Length ? CodingStep.Empty : CodingStep.Broken;
            case OperationStatus.DestinationTooSmall:
                return CodingStep.Full;
            case OperationStatus.NeedMoreData:
                return CodingStep.Empty;
            default:
                return CodingStep.Broken;
        }
    }

    /// <inheritdoc/>
    public override void Dispose() => _decoder.Dispose();
}

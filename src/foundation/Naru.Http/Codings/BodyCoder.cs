// Content codings (RFC 9110 8.4.1) of a body that comes in pieces: what goes in and what comes out are windows of the caller's, so that
// whoever codes decides how much memory that takes. Each belongs to one body.
namespace Naru.Http.Codings;

/// <summary>Where a coder stands after a call.</summary>
public enum CodingStep : byte
{
    /// <summary>All input was taken, and all that came of it is out.</summary>
    Empty,

    /// <summary>There was no room for more: to be called again with what is left, which may be nothing.</summary>
    Full,

    /// <summary>The input is not what the coding says; of an unpacker only.</summary>
    Broken,
}

/// <summary>What a packer lets out.</summary>
public enum PackUntil : byte
{
    /// <summary>All of the input, so that the other side can read it at once.</summary>
    Flushed,

    /// <summary>The same, and the end of the body.</summary>
    Ended,
}

/// <summary>Packs one body.</summary>
public abstract class BodyPacker : IDisposable
{
    /// <summary>Takes input and gives out; never more than there is room for.</summary>
    /// <param name="from">Input; what was not taken is to be given again.</param>
    /// <param name="into">Room; for more than six bytes, or a flush of gzip finds no end (zlib manual, deflate).</param>
    /// <param name="until">The same again until the step is <see cref="CodingStep.Empty"/>.</param>
    /// <param name="taken">Bytes of the input.</param>
    /// <param name="written">Bytes of the room.</param>
    public abstract CodingStep Pack(ReadOnlySpan<byte> from, Span<byte> into, PackUntil until, out int taken, out int written);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>Unpacks one body.</summary>
public abstract class BodyUnpacker : IDisposable
{
    /// <summary>Takes input and gives out; never more than there is room for.</summary>
    public abstract CodingStep Unpack(ReadOnlySpan<byte> from, Span<byte> into, out int taken, out int written);

    /// <summary>Nothing is missing of what was taken, its checksum included. True before the first byte.</summary>
    public abstract bool IsWhole { get; }

    /// <inheritdoc/>
    public abstract void Dispose();
}

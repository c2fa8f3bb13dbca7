// A growing run of bytes that one thread fills again and again: a log line, a header value.
// Stands under the formats; it keeps its array, so that a warm writer allocates nothing.
using System.Buffers;
using System.Buffers.Text;

namespace Naru.Telemetry;

/// <summary>A reusable byte buffer. Not safe for concurrent use; give each worker its own.</summary>
public sealed class LineBuffer : IBufferWriter<byte>
{
    private byte[] _bytes;

    /// <summary>An empty buffer.</summary>
    /// <param name="capacity">Bytes to begin with.</param>
    public LineBuffer(int capacity = 512) => _bytes = new byte[Math.Max(capacity, 64)];

    /// <summary>How many bytes are in it.</summary>
    public int Length { get; private set; }

    /// <summary>How many bytes fit before it grows.</summary>
    public int Capacity => _bytes.Length;

    /// <summary>What is in it; valid until the next change.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    /// <summary>The same, for asynchronous senders.</summary>
    public ReadOnlyMemory<byte> WrittenMemory => _bytes.AsMemory(0, Length);

    /// <summary>Empties it and keeps the array.</summary>
    public void Clear() => Length = 0;

    /// <summary>Forgets what was added after <paramref name="length"/>.</summary>
    public void Truncate(int length) => Length = Math.Min(length, Length);

    /// <summary>Adds bytes as they are.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(GetSpan(bytes.Length));
        Length += bytes.Length;
    }

    /// <summary>Adds one byte.</summary>
    public void Append(byte value)
    {
        if (Length == _bytes.Length) Grow(1);
        _bytes[Length++] = value;
    }

    /// <summary>Adds a number in decimal.</summary>
    public void Append(long value)
    {
        Utf8Formatter.TryFormat(value, GetSpan(20), out int written);
        Length += written;
    }

    /// <summary>Adds a number without a sign in decimal.</summary>
    public void Append(ulong value)
    {
        Utf8Formatter.TryFormat(value, GetSpan(20), out int written);
        Length += written;
    }

    /// <summary>Adds a number in decimal with leading zeros, cut to its last <paramref name="digits"/> digits.</summary>
    public void AppendPadded(long value, int digits)
    {
        Span<byte> span = GetSpan(digits)[..digits];
        for (int i = digits - 1; i >= 0; i--)
        {
            span[i] = (byte)('0' + value % 10);
            value /= 10;
        }
        Length += digits;
    }

    /// <inheritdoc/>
    public void Advance(int count) => Length += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        GetSpan(sizeHint);
        return _bytes.AsMemory(Length);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        if (_bytes.Length - Length < Math.Max(sizeHint, 1)) Grow(Math.Max(sizeHint, 1));
        return _bytes.AsSpan(Length);
    }

    private void Grow(int more) => Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, Length + more));
}

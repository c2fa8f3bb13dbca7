// Bytes that are written one behind the other, and messages whose lengths are known only behind them: lengths are noted where they belong
// and put in when all is copied out, once, so that nothing is moved however deep messages lie in each other.
using System.Buffers.Binary;

namespace Naru.Http.Transcoding;

/// <summary>Grows as it is written to; kept by whoever uses it, for the next time.</summary>
public sealed class ByteSink
{
    // What a large message needed is not kept.
    private const int MostKept = 256 * 1024;

    private byte[] _bytes = new byte[1024];
    private Mark[] _marks = new Mark[16];
    private int _count;
    private int _extra;

    private struct Mark
    {
        public int At, Length, Before;
    }

    /// <summary>What was written, without the lengths of messages.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    /// <summary>Bytes written, without the lengths of messages.</summary>
    public int Length { get; private set; }

    /// <summary>Bytes in all.</summary>
    public int Total => Length + _extra;

    /// <summary>Empties it.</summary>
    public void Clear()
    {
        Length = _count = _extra = 0;
        if (_bytes.Length > MostKept) _bytes = new byte[1024];
        if (_marks.Length > MostKept / 12) _marks = new Mark[16];
    }

    /// <summary>Room for so many bytes more, of which <see cref="Advance"/> says how many were used.</summary>
    public Span<byte> Room(int bytes)
    {
        if (_bytes.Length - Length < bytes)
            Array.Resize(ref _bytes, Math.Max(checked(Length + bytes), (int)Math.Min(Array.MaxLength, _bytes.Length * 2L)));
        return _bytes.AsSpan(Length);
    }

    /// <summary>So many were written.</summary>
    public void Advance(int bytes) => Length += bytes;

    /// <summary>A byte.</summary>
    public void Add(byte value)
    {
        Room(1)[0] = value;
        Length++;
    }

    /// <summary>Bytes.</summary>
    public void Add(scoped ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        Length += bytes.Length;
    }

    /// <summary>The last bytes are taken back; only where no message began or ended among them.</summary>
    public void Cut(int length) => Length = length;

    /// <summary>A number as Protobuf writes it.</summary>
    public void Varint(ulong value)
    {
        Span<byte> at = Room(10);
        int n = 0;
        while (value >= 0x80)
        {
            at[n++] = (byte)(value | 0x80);
            value >>= 7;
        }
        at[n++] = (byte)value;
        Length += n;
    }

    /// <summary>A field's number and how it is written.</summary>
    public void Tag(int number, int wireType) => Varint((ulong)(uint)number << 3 | (uint)wireType);

    /// <summary>Four bytes.</summary>
    public void Fixed32(uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(Room(4), value);
        Length += 4;
    }

    /// <summary>Eight bytes.</summary>
    public void Fixed64(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(Room(8), value);
        Length += 8;
    }

    /// <summary>Bytes behind their length.</summary>
    public void Counted(scoped ReadOnlySpan<byte> bytes)
    {
        Varint((uint)bytes.Length);
        Add(bytes);
    }

    /// <summary>Something whose length goes before it begins here. To be given to <see cref="Close"/>.</summary>
    public int Open()
    {
        if (_count == _marks.Length) Array.Resize(ref _marks, _count * 2);
        _marks[_count] = new Mark { At = Length, Before = _extra };
        return _count++;
    }

    /// <summary>It ends here.</summary>
    public void Close(int open)
    {
        ref Mark mark = ref _marks[open];
        mark.Length = Length - mark.At + _extra - mark.Before;
        _extra += VarintBytes((uint)mark.Length);
    }

    /// <summary>It was the last one that began, and never was: its tag, too, is taken back.</summary>
    public void Abandon(int open, int length)
    {
        _count = open;
        Length = length;
    }

    /// <summary>Nothing was written since it began.</summary>
    public bool IsEmpty(int open) => _count == open + 1 && _marks[open].At == Length;

    /// <summary>Copies all with its lengths to <paramref name="into"/>, which has room for <see cref="Total"/> bytes.</summary>
    public void CopyTo(Span<byte> into)
    {
        int from = 0, to = 0;
        for (int i = 0; i < _count; i++)
        {
            Mark mark = _marks[i];
            _bytes.AsSpan(from, mark.At - from).CopyTo(into[to..]);
            to += mark.At - from;
            from = mark.At;
            uint length = (uint)mark.Length;
            while (length >= 0x80)
            {
                into[to++] = (byte)(length | 0x80);
                length >>= 7;
            }
            into[to++] = (byte)length;
        }
        _bytes.AsSpan(from, Length - from).CopyTo(into[to..]);
    }

    private static int VarintBytes(uint value) => (System.Numerics.BitOperations.Log2(value | 1) / 7) + 1;
}

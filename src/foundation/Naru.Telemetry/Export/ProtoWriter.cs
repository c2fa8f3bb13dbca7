// Writes messages of protobuf without objects (protobuf.dev: encoding): what is told to services once a request is told in bytes. Knows no
// message; whoever writes one knows its numbers, and tests read it with declarations.
using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using System.Text.Unicode;

namespace Naru.Telemetry;

/// <summary>A growing message. Values that are what a reader takes for granted (nought, empty) are left out.</summary>
public sealed class ProtoWriter
{
    private byte[] _bytes = new byte[512];

    /// <summary>Bytes so far.</summary>
    public int Length { get; private set; }

    /// <summary>What is in it; valid until the next change.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    /// <summary>How much room it keeps.</summary>
    public int Capacity => _bytes.Length;

    /// <summary>Empties it and keeps the array.</summary>
    public void Clear() => Length = 0;

    /// <summary>Forgets what was added after <paramref name="length"/>.</summary>
    public void Truncate(int length) => Length = Math.Min(length, Length);

    /// <summary>A whole number or a truth value.</summary>
    public void Number(int field, long value)
    {
        if (value == 0) return;
        Tag(field, 0);
        Varint((ulong)value);
    }

    /// <summary>Eight bytes; also nought, where told.</summary>
    public void Fixed64(int field, ulong value, bool always = false)
    {
        if (value == 0 && !always) return;
        Tag(field, 1);
        BinaryPrimitives.WriteUInt64LittleEndian(Room(8), value);
        Length += 8;
    }

    /// <summary>Four bytes.</summary>
    public void Fixed32(int field, uint value)
    {
        if (value == 0) return;
        Tag(field, 5);
        BinaryPrimitives.WriteUInt32LittleEndian(Room(4), value);
        Length += 4;
    }

    /// <summary>A double; also nought, where told.</summary>
    public void Double(int field, double value, bool always = false) => Fixed64(field, BitConverter.DoubleToUInt64Bits(value), always);

    /// <summary>Bytes, or a message that was written elsewhere.</summary>
    public void Bytes(int field, ReadOnlySpan<byte> value, bool always = false)
    {
        if (value.IsEmpty && !always) return;
        Tag(field, 2);
        Varint((ulong)value.Length);
        value.CopyTo(Room(value.Length));
        Length += value.Length;
    }

    /// <summary>A text. What is no UTF-8 is made some: a reader would refuse the whole message for a header of one client.</summary>
    public void Text(int field, ReadOnlySpan<byte> value, bool always = false)
    {
        if (Utf8.IsValid(value)) Bytes(field, value, always);
        else Bytes(field, Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(value)), always);
    }

    /// <summary>A text.</summary>
    public void Text(int field, string value, bool always = false)
    {
        if (value.Length > 0 || always) Bytes(field, Encoding.UTF8.GetBytes(value), always);
    }

    /// <summary>A span of time (<c>google.protobuf.Duration</c>); negative is none.</summary>
    public void Duration(int field, long nanoseconds)
    {
        if (nanoseconds < 0) return;
        int mark = Begin(field);
        Number(1, nanoseconds / 1_000_000_000);
        Number(2, nanoseconds % 1_000_000_000);
        End(mark);
    }

    /// <summary>A moment (<c>google.protobuf.Timestamp</c>).</summary>
    public void Time(int field, DateTime utc)
    {
        long ticks = utc.Ticks - DateTime.UnixEpoch.Ticks;
        int mark = Begin(field);
        Number(1, ticks / TimeSpan.TicksPerSecond);
        Number(2, ticks % TimeSpan.TicksPerSecond * 100);
        End(mark);
    }

    /// <summary>A number in a message of its own (<c>google.protobuf.UInt32Value</c>).</summary>
    public void Wrapped(int field, long value)
    {
        int mark = Begin(field);
        Number(1, value);
        End(mark);
    }

    /// <summary>A message begins. What is written until <see cref="End"/> is in it.</summary>
    /// <returns>For its end.</returns>
    public int Begin(int field)
    {
        Tag(field, 2);
        Room(1)[0] = 0;
        return ++Length;
    }

    /// <summary>A message ends: now its length is known, and takes the room that it needs.</summary>
    public void End(int mark)
    {
        int length = Length - mark;
        int size = SizeOf((uint)length);
        if (size > 1)
        {
            Room(size - 1);
            _bytes.AsSpan(mark, length).CopyTo(_bytes.AsSpan(mark + size - 1));
        }
        int end = Length + size - 1;
        Length = mark - 1;
        Varint((ulong)length);
        Length = end;
    }

    /// <summary>The same where nothing is in it: then it is not there.</summary>
    /// <param name="mark">Of its beginning.</param>
    /// <param name="field">Its number.</param>
    public void EndUnlessEmpty(int mark, int field)
    {
        if (Length > mark) End(mark);
        else Length = mark - 1 - SizeOf((uint)field << 3);
    }

    /// <summary>Adds bytes as they are: fields that are written.</summary>
    public void Raw(ReadOnlySpan<byte> fields)
    {
        fields.CopyTo(Room(fields.Length));
        Length += fields.Length;
    }

    private void Tag(int field, int kind) => Varint(((uint)field << 3) | (uint)kind);

    private void Varint(ulong value)
    {
        Span<byte> into = Room(10);
        int at = 0;
        for (; value >= 0x80; value >>= 7) into[at++] = (byte)(value | 0x80);
        into[at++] = (byte)value;
        Length += at;
    }

    private static int SizeOf(uint value) => (BitOperations.Log2(value | 1) / 7) + 1;

    private Span<byte> Room(int bytes)
    {
        if (_bytes.Length - Length < bytes) Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, Length + bytes));
        return _bytes.AsSpan(Length);
    }
}

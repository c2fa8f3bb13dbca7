// A window on unmanaged memory, rented from the worker that uses it and owned by exactly one at a time. A connection that waits
// gives its buffer back.
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Io;

/// <summary>A window [Start, End) on unmanaged memory: bytes are appended at End and taken at Start. Made by <see cref="BufferPool"/>.</summary>
internal sealed unsafe class IoBuffer
{
    // Of a buffer that was given back, where pools are strict (Pools.Strict): nobody's memory, and no length that a span would accept.
    private const int Gone = -1;

    public readonly int Capacity;
    public int Start;
    public int End;

    internal readonly BufferSlab Slab;

    // Where it was rented, or given back; known where pools are strict.
    internal Place Place;

    internal IoBuffer(byte* memory, BufferSlab slab)
    {
        Memory = memory;
        Capacity = slab.Size;
        Slab = slab;
    }

    /// <summary>Its first byte. Null once it was given back, where pools are strict.</summary>
    public byte* Memory { get; private set; }

    /// <summary>Somebody owns it.</summary>
    public bool IsRented { get; internal set; }

    public int Count => End - Start;
    public int Room => Capacity - End;
    public bool IsEmpty => Start == End;
    public Span<byte> Filled => new(Memory + Start, End - Start);
    public Span<byte> Free => new(Memory + End, Capacity - End);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Append(scoped ReadOnlySpan<byte> bytes)
    {
        int end = End;
        bytes.CopyTo(new Span<byte>(Memory + end, Capacity - end));
        End = end + bytes.Length;
    }

    /// <summary>Moves the content to the front.</summary>
    public void Compact()
    {
        if (Start == 0) return;
        int count = Count;
        if (count > 0) Buffer.MemoryCopy(Memory + Start, Memory, Capacity, count);
        Start = 0;
        End = count;
    }

    public void Clear() => Start = End = 0;

    // Whoever still holds this object finds neither memory nor a length in it: a use after the return cannot go on unnoticed.
    internal byte* Bury()
    {
        byte* memory = Memory;
        Memory = null;
        Start = 0;
        End = Gone;
        return memory;
    }

    // Runs for a buffer that was rented and dropped: idle ones are held by their pool.
    ~IoBuffer()
    {
        if (IsRented) Slab.Pool.Lost(this);
    }
}

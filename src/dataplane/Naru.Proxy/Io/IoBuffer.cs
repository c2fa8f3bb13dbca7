// Unmanaged byte buffers, rented from the worker that uses them. A connection that waits gives its buffer back.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Io;

/// <summary>A window [Start, End) on unmanaged memory: bytes are appended at End and taken at Start.</summary>
internal sealed unsafe class IoBuffer(int capacity)
{
    public readonly byte* Memory = (byte*)NativeMemory.Alloc((nuint)capacity);
    public readonly int Capacity = capacity;
    public int Start;
    public int End;

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

    ~IoBuffer() => NativeMemory.Free(Memory);
}

/// <summary>A worker's buffers: two sizes, kept in stacks; what is larger is made when it is wanted, and not kept. Not for other threads.</summary>
internal sealed class BufferPool
{
    /// <summary>Fits nearly every head and is a good unit for streaming.</summary>
    public const int Small = 16 * 1024;

    /// <summary>Fits the largest head that may be configured (96 KiB, Envoy's own ceiling), and bulk bodies.</summary>
    public const int Large = 128 * 1024;

    private const int KeepSmall = 256;
    private const int KeepLarge = 16;
    private readonly Stack<IoBuffer> _small = new();
    private readonly Stack<IoBuffer> _large = new();

    public IoBuffer Rent() => _small.TryPop(out IoBuffer? buffer) ? buffer : new IoBuffer(Small);

    public IoBuffer RentLarge() => _large.TryPop(out IoBuffer? buffer) ? buffer : new IoBuffer(Large);

    public void Return(IoBuffer buffer)
    {
        buffer.Clear();
        if (buffer.Capacity > Large) return;
        (Stack<IoBuffer> stack, int keep) = buffer.Capacity == Small ? (_small, KeepSmall) : (_large, KeepLarge);
        if (stack.Count < keep) stack.Push(buffer);
    }

    /// <summary>A larger buffer with the same content and at least so much room; the smaller one goes back.</summary>
    public IoBuffer Grow(IoBuffer buffer, int room = 0)
    {
        int wanted = buffer.Count + room;
        IoBuffer larger = wanted <= Large ? RentLarge() : new IoBuffer((wanted + Large) / Large * Large);
        larger.Append(buffer.Filled);
        Return(buffer);
        return larger;
    }
}

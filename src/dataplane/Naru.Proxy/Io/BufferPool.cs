// A worker's buffers. They lie in slabs that are mapped from the kernel, not in the heap of malloc: what a peak needed is given back
// when the peak is over, piece by piece, whoever may still hold a neighbour. Not for other threads.
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Io;

/// <summary>Three sizes of buffers, kept while they are in use; what is larger is mapped when it is wanted, and unmapped when it is
/// given back.</summary>
internal sealed unsafe class BufferPool : ITimerOwner
{
    /// <summary>Fits nearly every head and is a good unit for streaming.</summary>
    public const int Small = 16 * 1024;

    /// <summary>Fits the largest head that may be configured (96 KiB, Envoy's own ceiling).</summary>
    public const int Large = 128 * 1024;

    /// <summary>One read and one write of a flow that has more to come: what a receive buffer holds is taken at once, and the memory of a
    /// buffer that all flows of a worker use in turn stays in the processor's cache (docs/decisions/0023-large-bodies.md).</summary>
    public const int Bulk = 256 * 1024;

    /// <summary>How often idle buffers are looked at, ms. Those that nobody wanted since the last look lose their memory.</summary>
    public const int TrimMs = 500;

    // So much stays with an idle worker: 256 KiB each.
    private const int KeepSmall = 16;
    private const int KeepLarge = 2;

    // Bytes that one look gives back: the kernel needs some 2 ms for them, and other connections wait that long.
    private const int TrimBytes = 32 << 20;

    private readonly Worker? _worker;
    private readonly TimerNode _timer;
    private readonly BufferShelf _small;
    private readonly BufferShelf _large;
    private readonly BufferShelf _bulk;
    private readonly ConcurrentQueue<(nint Memory, BufferSlab Slab)> _lost = new();
    private long _lostTotal;
    private bool _timerSet;

    /// <param name="worker">Whose it is; without one (in tests) nothing is given back by itself.</param>
    public BufferPool(Worker? worker = null)
    {
        _worker = worker;
        _timer = new TimerNode(this);
        _small = new BufferShelf(this, Small, 64);
        _large = new BufferShelf(this, Large, 8);
        _bulk = new BufferShelf(this, Bulk, 4);
    }

    /// <summary>Rented and not given back.</summary>
    public long Active { get; private set; }

    /// <summary>Of those, how many are kept by somebody for the next call, not for what is under way.</summary>
    public long Kept { get; set; }

    /// <summary>Second returns, which were refused.</summary>
    public long Refused { get; private set; }

    /// <summary>Rented and dropped: the collector found them. Read from any thread.</summary>
    public long LostTotal => Interlocked.Read(ref _lostTotal);

    /// <summary>Bytes that may be resident: rented, or idle and not yet given back.</summary>
    public long Bytes => _small.Bytes + _large.Bytes + _bulk.Bytes + LargerBytes;

    internal long LargerBytes { get; private set; }

    public IoBuffer Rent([CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => Given(_small.Take(), file, line);

    public IoBuffer RentLarge([CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => Given(_large.Take(), file, line);

    public IoBuffer RentBulk([CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => Given(_bulk.Take(), file, line);

    /// <summary>Puts a small piece behind another one, where it fits, and takes its buffer back: what is kept in buffers is bounded in bytes, and
    /// pieces of a byte each would hold a whole buffer each.</summary>
    /// <param name="last">Stays where it is; grows.</param>
    /// <param name="piece">The pool's where the answer is true.</param>
    public bool TryMerge(IoBuffer last, IoBuffer piece)
    {
        if (piece.Count > last.Room || piece.Count > piece.Capacity / 2) return false;
        last.Append(piece.Filled);
        Return(piece);
        return true;
    }

    private IoBuffer RentLarger(int size, string file, int line)
    {
        var slab = new BufferSlab(this, null, size, 1);
        LargerBytes += size;
        return Given(slab.Make(slab.Memory), file, line);
    }

    private IoBuffer Given(IoBuffer buffer, string file, int line)
    {
        buffer.IsRented = true;
        Active++;
        if (Pools.Strict) buffer.Place = new Place(file, line);
        return buffer;
    }

    /// <summary>Takes a buffer back; whoever gave it has no more to do with it. A second return is refused, and throws where pools are strict.</summary>
    public void Return(IoBuffer buffer, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (!buffer.IsRented)
        {
            Refused++;
            if (Pools.Strict) Pools.ThrowReturnedTwice("a buffer", buffer.Place, new Place(file, line));
            return;
        }
        buffer.IsRented = false;
        Active--;
        buffer.Clear();
        if (Pools.Strict) buffer = Replace(buffer, new Place(file, line));
        Put(buffer);
        if (!_timerSet && HasSurplus) SetTimer();
    }

    private void Put(IoBuffer buffer)
    {
        if (buffer.Slab.Shelf is { } shelf) shelf.Put(buffer);
        else Unmap(buffer);
    }

    private bool HasSurplus => _small.Idle > KeepSmall || _large.Idle > KeepLarge || _bulk.Idle > 0;

    // The memory goes on in a new object; the old one is of no use to whoever kept it.
    private static IoBuffer Replace(IoBuffer buffer, Place place)
    {
        buffer.Place = place;
        byte* memory = buffer.Bury();
        NativeMemory.Fill(memory, (nuint)buffer.Capacity, Pools.Poison);
        GC.SuppressFinalize(buffer);
        return buffer.Slab.Make(memory);
    }

    private void Unmap(IoBuffer buffer)
    {
        LargerBytes -= buffer.Capacity;
        buffer.Slab.Unmap();
        GC.SuppressFinalize(buffer);
    }

    /// <summary>A larger buffer with the same content and at least so much room; the smaller one goes back.</summary>
    public IoBuffer Grow(IoBuffer buffer, int room = 0, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        int wanted = buffer.Count + room;
        bool fits = wanted < Large || (wanted == Large && room > 0);
        IoBuffer larger = fits ? RentLarge(file, line) : RentLarger((wanted + Large) / Large * Large, file, line);
        larger.Append(buffer.Filled);
        Return(buffer, file, line);
        return larger;
    }

    private void SetTimer()
    {
        if (_worker is null) return;
        _timerSet = true;
        _worker.Timers.Set(_timer, _worker.Now + TrimMs, _worker.Now);
    }

    public void OnTimer(TimerNode timer)
    {
        _timerSet = false;
        Trim();
        if (HasSurplus) SetTimer();
    }

    /// <summary>Gives back what was idle since the last call, but for what an idle worker keeps.</summary>
    public void Trim()
    {
        TakeLost();
        int left = _bulk.Trim(0, TrimBytes);
        left = _large.Trim(KeepLarge, left);
        _ = _small.Trim(KeepSmall, left);
    }

    // From the finalizer's thread.
    internal void Lost(IoBuffer buffer)
    {
        Interlocked.Increment(ref _lostTotal);
        _lost.Enqueue(((nint)buffer.Memory, buffer.Slab));
        _worker?.Report("buffers", new InvalidOperationException($"a buffer of {buffer.Capacity} bytes, rented at {buffer.Place}, was never given back"));
    }

    internal void TakeLost()
    {
        while (_lost.TryDequeue(out (nint Memory, BufferSlab Slab) lost))
        {
            Active--;
            Put(lost.Slab.Make((byte*)lost.Memory));
        }
    }
}

/// <summary>Buffers of one size: warm ones with their memory, and in the slabs cold ones that have none.</summary>
internal sealed unsafe class BufferShelf(BufferPool pool, int size, int perSlab)
{
    // Every slab, so that none is collected while its memory is in use; and those that have cold buffers.
    private readonly List<BufferSlab> _slabs = [];
    private readonly List<BufferSlab> _withCold = [];
    private IoBuffer[] _warm = new IoBuffer[64];
    private int _count;
    private long _out;

    // The fewest that were idle since the last trim.
    private int _least;

    /// <summary>Idle buffers that have memory.</summary>
    public int Idle => _count;

    /// <summary>Of rented and idle buffers.</summary>
    public long Bytes => (_out + _count) * size;

    public IoBuffer Take()
    {
        _out++;
        int count = _count;
        if (count == 0) return TakeCold();
        _count = --count;
        if (count < _least) _least = count;
        return _warm[count];
    }

    public void Put(IoBuffer buffer)
    {
        _out--;
        if (_count == _warm.Length) Array.Resize(ref _warm, _count * 2);
        _warm[_count++] = buffer;
    }

    private IoBuffer TakeCold()
    {
        BufferSlab slab;
        if (_withCold.Count > 0) slab = _withCold[^1];
        else
        {
            slab = new BufferSlab(pool, this, size, perSlab);
            _slabs.Add(slab);
            _withCold.Add(slab);
        }
        IoBuffer buffer = slab.TakeCold();
        if (slab.Cold == 0) _withCold.RemoveAt(_withCold.Count - 1);
        return buffer;
    }

    /// <summary>Takes the memory of buffers that were idle all the time since the last trim, but for <paramref name="keep"/>; at most so many
    /// bytes. Tells how many are left of those.</summary>
    public int Trim(int keep, int bytes)
    {
        int surplus = Math.Min(_least - keep, bytes / size);
        if (surplus > 0)
        {
            for (int i = 0; i < surplus; i++) Cool(_warm[i]);
            Array.Copy(_warm, surplus, _warm, 0, _count - surplus);
            Array.Clear(_warm, _count - surplus, surplus);
            _count -= surplus;
            bytes -= surplus * size;
        }
        _least = _count;
        return bytes;
    }

    private void Cool(IoBuffer buffer)
    {
        BufferSlab slab = buffer.Slab;
        if (slab.Cold == 0) _withCold.Add(slab);
        slab.PutCold(buffer);
        if (slab.Cold < perSlab) return;
        _withCold.Remove(slab);
        _slabs.Remove(slab);
        slab.Unmap();
    }
}

/// <summary>A piece of mapped memory, divided into buffers of one size.</summary>
internal sealed unsafe class BufferSlab
{
    public readonly BufferPool Pool;
    public readonly BufferShelf? Shelf;
    public readonly int Size;
    public readonly byte* Memory;
    private readonly int _total;
    private readonly Stack<IoBuffer> _cold = new();
    private int _made;

    /// <exception cref="OutOfMemoryException">The kernel has no more for us.</exception>
    /// <param name="pool">Whose it is.</param>
    /// <param name="shelf">Where its buffers go when they come back; without one they are unmapped.</param>
    /// <param name="size">Bytes of a buffer.</param>
    /// <param name="total">Buffers.</param>
    public BufferSlab(BufferPool pool, BufferShelf? shelf, int size, int total)
    {
        Pool = pool;
        Shelf = shelf;
        Size = size;
        _total = total;
        Memory = Sys.Map((nuint)size * (nuint)total);
        // A huge page would be resident whole where a few pages are used.
        _ = Sys.madvise(Memory, (nuint)size * (nuint)total, Sys.MADV_NOHUGEPAGE);
    }

    /// <summary>Buffers without memory of their own, or never made.</summary>
    public int Cold => _cold.Count + _total - _made;

    public IoBuffer TakeCold() => _cold.TryPop(out IoBuffer? buffer) ? buffer : Make(Memory + (nint)_made++ * Size);

    public void PutCold(IoBuffer buffer)
    {
        _ = Sys.madvise(buffer.Memory, (nuint)Size, Sys.MADV_DONTNEED);
        _cold.Push(buffer);
    }

    /// <summary>A new object for a buffer's memory.</summary>
    public IoBuffer Make(byte* memory) => new(memory, this);

    /// <summary>Gives all of it back.</summary>
    public void Unmap()
    {
        foreach (IoBuffer buffer in _cold) GC.SuppressFinalize(buffer);
        _cold.Clear();
        _ = Sys.munmap(Memory, (nuint)Size * (nuint)_total);
    }
}

// How much a flow of bytes reads at a time: more while what it reads fills the buffer and is taken at once, less while the other side
// is slow. So a flow that runs needs few calls, and one that is held up holds little.
namespace Naru.Proxy.Io;

internal struct FlowSize
{
    private int _bytes;

    /// <summary>Of the next read, in bytes: one of the pool's three sizes.</summary>
    public readonly int Bytes => _bytes == 0 ? BufferPool.Small : _bytes;

    /// <summary>Starts over.</summary>
    /// <param name="ahead">Bytes that are known to come.</param>
    public void Start(long ahead) =>
        _bytes = ahead >= BufferPool.Bulk ? BufferPool.Bulk : ahead >= BufferPool.Large / 2 ? BufferPool.Large : BufferPool.Small;

    /// <summary>A read filled its buffer, and all of that was taken at once.</summary>
    public void Widen() => _bytes = Bytes == BufferPool.Small ? BufferPool.Large : BufferPool.Bulk;

    /// <summary>The other side was not ready to take what was read.</summary>
    public void Narrow() => _bytes = Bytes == BufferPool.Bulk ? BufferPool.Large : BufferPool.Small;

    /// <summary>The source has little to say.</summary>
    public void Reset() => _bytes = BufferPool.Small;

    /// <summary>A buffer for it.</summary>
    public readonly IoBuffer Rent(BufferPool pool) => Bytes switch
    {
        BufferPool.Bulk => pool.RentBulk(),
        BufferPool.Large => pool.RentLarge(),
        _ => pool.Rent(),
    };
}

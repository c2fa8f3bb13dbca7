// A flow reads more while it runs, and less while it is held up.
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Io;

public sealed class FlowSizeTests
{
    [Theory]
    [InlineData(-1, BufferPool.Small)]
    [InlineData(0, BufferPool.Small)]
    [InlineData(BufferPool.Large / 2, BufferPool.Large)]
    [InlineData(BufferPool.Bulk - 1, BufferPool.Large)]
    [InlineData(long.MaxValue, BufferPool.Bulk)]
    public void A_flow_begins_as_large_as_what_is_known_to_come(long ahead, int bytes)
    {
        FlowSize size = default;
        size.Start(ahead);
        Assert.Equal(bytes, size.Bytes);
    }

    [Fact]
    public void It_widens_step_by_step_and_narrows_as_it_widened()
    {
        FlowSize size = default;
        var seen = new List<int> { size.Bytes };
        for (int i = 0; i < 3; i++)
        {
            size.Widen();
            seen.Add(size.Bytes);
        }
        for (int i = 0; i < 3; i++)
        {
            size.Narrow();
            seen.Add(size.Bytes);
        }
        Assert.Equal([BufferPool.Small, BufferPool.Large, BufferPool.Bulk, BufferPool.Bulk, BufferPool.Large, BufferPool.Small, BufferPool.Small], seen);
    }

    [Fact]
    public void Its_buffer_is_as_large_as_it_says()
    {
        var pool = new BufferPool();
        FlowSize size = default;
        for (int i = 0; i < 3; i++)
        {
            IoBuffer buffer = size.Rent(pool);
            Assert.Equal(size.Bytes, buffer.Capacity);
            pool.Return(buffer);
            size.Widen();
        }
        Assert.Equal(0, pool.Active);
    }
}

// One owner a buffer, and memory that a peak needed comes back.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Io;

public sealed class BufferPoolTests
{
    private const int Many = 500;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_buffer_that_comes_back_twice_is_never_given_to_two(bool large)
    {
        var pool = new BufferPool();
        IoBuffer buffer = large ? pool.RentLarge() : pool.Rent();
        pool.Return(buffer);
        // Throws where pools are strict; refused and counted either way.
        Exception? thrown = Record.Exception(() => pool.Return(buffer));
        Assert.Equal(Pools.Strict, thrown is InvalidOperationException);
        Assert.Equal(1, pool.Refused);
        IoBuffer first = large ? pool.RentLarge() : pool.Rent();
        IoBuffer second = large ? pool.RentLarge() : pool.Rent();
        Assert.NotSame(first, second);
        Assert.False(Overlap(first, second));
        Assert.Equal(2, pool.Active);
    }

    [Fact]
    public void What_is_out_is_counted_whatever_its_size()
    {
        var pool = new BufferPool();
        IoBuffer[] out_ = [pool.Rent(), pool.RentLarge(), pool.Grow(Full(pool.RentLarge())), pool.Grow(pool.Rent(), 3 * BufferPool.Large)];
        Assert.Equal(out_.Length, pool.Active);
        Assert.Equal([BufferPool.Small, BufferPool.Large, 2 * BufferPool.Large, 4 * BufferPool.Large], out_.Select(b => b.Capacity));
        foreach (IoBuffer buffer in out_) pool.Return(buffer);
        Assert.Equal(0, pool.Active);
    }

    [Fact]
    public void Growing_keeps_the_content_and_makes_room()
    {
        var pool = new BufferPool();
        IoBuffer buffer = pool.Rent();
        byte[] content = [.. Enumerable.Range(0, buffer.Capacity).Select(i => (byte)i)];
        buffer.Append(content);
        for (int i = 0; i < 4; i++)
        {
            buffer = pool.Grow(buffer);
            Assert.True(buffer.Room > 0);
            Assert.True(buffer.Filled[..content.Length].SequenceEqual(content));
            Full(buffer);
        }
        Assert.Equal(1, pool.Active);
    }

    [Theory]
    [InlineData(BufferPool.Small)]
    [InlineData(BufferPool.Large)]
    [InlineData(BufferPool.Bulk)]
    public void Memory_of_a_peak_comes_back_when_it_is_over(int size)
    {
        var pool = new BufferPool();
        IoBuffer[] peak = [.. Enumerable.Range(0, Many).Select(_ => Rent(pool, size))];
        Assert.Equal((long)Many * size, pool.Bytes);
        foreach (IoBuffer buffer in peak) pool.Return(buffer);
        for (int i = 0; i < 10; i++) pool.Trim();
        Assert.InRange(pool.Bytes, 0, 512 * 1024);
        // And what is rented again is zero or poison, never somebody's bytes; it can be written everywhere.
        foreach (IoBuffer buffer in peak.Select(_ => Rent(pool, size))) Full(buffer);
    }

    private static IoBuffer Rent(BufferPool pool, int size) => size switch
    {
        BufferPool.Small => pool.Rent(),
        BufferPool.Large => pool.RentLarge(),
        _ => pool.RentBulk(),
    };

    [Fact]
    public void What_is_in_use_between_two_looks_keeps_its_memory()
    {
        var pool = new BufferPool();
        for (int round = 0; round < 5; round++)
        {
            IoBuffer[] used = [.. Enumerable.Range(0, Many).Select(_ => pool.Rent())];
            foreach (IoBuffer buffer in used) pool.Return(buffer);
            pool.Trim();
        }
        Assert.Equal((long)Many * BufferPool.Small, pool.Bytes);
    }

    [Fact]
    public void Buffers_beside_those_that_lost_their_memory_keep_their_bytes()
    {
        var pool = new BufferPool();
        IoBuffer[] all = [.. Enumerable.Range(0, Many).Select(_ => pool.Rent())];
        for (int i = 0; i < Many; i++) all[i].Append([(byte)i, (byte)(i >> 8)]);
        for (int i = 0; i < Many; i++) if (i % 3 != 0) pool.Return(all[i]);
        for (int i = 0; i < 10; i++) pool.Trim();
        for (int i = 0; i < Many; i += 3) Assert.Equal([(byte)i, (byte)(i >> 8)], all[i].Filled.ToArray());
        Assert.InRange(pool.Bytes, 0, Many * BufferPool.Small / 2);
    }

    [Fact]
    public void A_buffer_that_nobody_gives_back_is_counted_and_its_memory_used_again()
    {
        var pool = new BufferPool();
        Drop(pool);
        for (int i = 0; i < 20 && pool.LostTotal == 0; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.Equal(1, pool.LostTotal);
        pool.Trim();
        Assert.Equal(0, pool.Active);
    }

    [Fact]
    public void An_object_that_comes_back_twice_is_never_given_to_two()
    {
        var pool = new Pool<Thing>(() => new Thing());
        Thing thing = pool.Rent();
        Assert.Equal(1, pool.Active);
        pool.Return(thing);
        Assert.Equal(Pools.Strict, Record.Exception(() => pool.Return(thing)) is InvalidOperationException);
        Assert.Equal((0, 1), (pool.Active, pool.Refused));
        Assert.NotSame(pool.Rent(), pool.Rent());
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Drop(BufferPool pool) => pool.Rent();

    private static IoBuffer Full(IoBuffer buffer)
    {
        buffer.Free.Fill(7);
        buffer.End = buffer.Capacity;
        return buffer;
    }

    private static unsafe bool Overlap(IoBuffer a, IoBuffer b) => a.Memory < b.Memory + b.Capacity && b.Memory < a.Memory + a.Capacity;

    private sealed class Thing : IPooled
    {
        public bool IsRented { get; set; }
    }
}

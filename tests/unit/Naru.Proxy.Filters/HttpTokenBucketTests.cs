// The token bucket of HTTP rate limits: steady filling, never more than it holds, whole tokens, many takers.
using Naru.Proxy.Config;
using Naru.Proxy.Filters.Http.LocalRateLimit;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class HttpTokenBucketTests
{
    private static HttpTokenBucket Bucket(int max, int perFill, double seconds) => new(new TokenBucketConfig(max, perFill, TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void It_begins_full_and_is_empty_after_that_many()
    {
        HttpTokenBucket bucket = Bucket(3, 1, 600);
        Assert.Equal([true, true, true, false, false], Enumerable.Range(0, 5).Select(_ => bucket.Take(1_000)));
    }

    [Fact]
    public void It_fills_steadily_and_never_beyond_what_it_holds()
    {
        HttpTokenBucket bucket = Bucket(2, 2, 1);
        Assert.True(bucket.Take(0) && bucket.Take(0));
        Assert.False(bucket.Take(499));
        Assert.True(bucket.Take(500));
        Assert.False(bucket.Take(500));
        Assert.Equal([true, true, false], Enumerable.Range(0, 3).Select(_ => bucket.Take(1_000_000)));
    }

    [Theory]
    [InlineData(0, 3, 600)]
    [InlineData(1, 2, 600)]
    [InlineData(3, 0, 600)]
    public void It_tells_what_is_left_and_when_there_is_more(int taken, long left, long wait)
    {
        HttpTokenBucket bucket = Bucket(3, 1, 600);
        for (int i = 0; i < taken; i++) Assert.True(bucket.Take(0));
        bucket.Look(0, out long seen, out long until);
        Assert.Equal((left, wait), (seen, until));
    }

    [Fact]
    public void However_many_take_at_once_no_token_is_taken_twice()
    {
        HttpTokenBucket bucket = Bucket(10_000, 1, 3600);
        int taken = 0;
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 5_000; i++) if (bucket.Take(5)) Interlocked.Increment(ref taken);
        });
        Assert.Equal(10_000, taken);
    }
}

// What was made for proxies that are gone goes too.
using Naru.Control.Translation;
using Xunit;

namespace Naru.UnitTests.Control.Translation;

public sealed class RecentlyUsedTests
{
    [Fact]
    public void What_is_asked_for_in_every_generation_is_made_once()
    {
        var kept = new RecentlyUsed<object>(100);
        object first = kept.GetOrAdd("a", () => new object());
        for (int i = 0; i < 5; i++)
        {
            kept.Turn();
            Assert.Same(first, kept.GetOrAdd("a", () => new object()));
        }
    }

    [Fact]
    public void What_two_generations_did_not_ask_for_is_forgotten()
    {
        var kept = new RecentlyUsed<object>(100);
        object first = kept.GetOrAdd("a", () => new object());
        kept.Turn();
        kept.Turn();
        Assert.Equal(0, kept.Count);
        Assert.NotSame(first, kept.GetOrAdd("a", () => new object()));
    }

    [Fact]
    public void Names_that_are_asked_for_once_do_not_gather()
    {
        var kept = new RecentlyUsed<int>(100);
        for (int i = 0; i < 10_000; i++) Assert.Equal(i, kept.GetOrAdd($"node {i}", () => i));
        Assert.InRange(kept.Count, 1, 202);
    }
}

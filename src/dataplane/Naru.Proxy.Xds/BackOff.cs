// Jittered exponential back-off: how long to wait before the next try, so that a fleet does not knock all at once.
// Chance is passed in; who waits is the caller's business.
namespace Naru.Proxy.Xds;

/// <summary>Full jitter as Envoy's xDS streams do it: the n-th wait is uniform in [0, min(max, base × 2ⁿ)).</summary>
internal sealed class BackOff(Random random, TimeSpan first, TimeSpan max)
{
    private int _failures;

    /// <summary>The next wait.</summary>
    public TimeSpan Next()
    {
        double ceiling = Math.Min(max.TotalMilliseconds, first.TotalMilliseconds * Math.Pow(2, Math.Min(_failures, 30)));
        _failures++;
        return TimeSpan.FromMilliseconds(Math.Max(1, random.NextDouble() * ceiling));
    }

    /// <summary>Forgets the failures.</summary>
    public void Reset() => _failures = 0;
}

// How many requests a stream may send: a bucket of tokens (Envoy docs: ApiConfigSource.rate_limit_settings). Time is passed in.
namespace Naru.Proxy.Xds;

/// <summary>A bucket that is full at first.</summary>
/// <param name="time">The clock.</param>
/// <param name="most">Tokens that it holds.</param>
/// <param name="perSecond">Tokens that come each second.</param>
internal sealed class RequestBudget(TimeProvider time, int most, double perSecond)
{
    private double _tokens = most;
    private long _since = time.GetTimestamp();

    /// <summary>How long until there is one; nothing where there is.</summary>
    public TimeSpan UntilNext => _tokens >= 1 ? TimeSpan.Zero : TimeSpan.FromSeconds((1 - _tokens) / perSecond);

    /// <summary>Takes a token, if there is one.</summary>
    public bool TryTake()
    {
        long now = time.GetTimestamp();
        _tokens = Math.Min(most, _tokens + time.GetElapsedTime(_since, now).TotalSeconds * perSecond);
        _since = now;
        // A timer may be a hair early.
        if (_tokens < 1 - 1e-6) return false;
        _tokens = Math.Max(0, _tokens - 1);
        return true;
    }
}

// A token bucket that all workers share: refilled by the clock when somebody asks, without a timer.
using Naru.Proxy.Config;

namespace Naru.Proxy.Listeners;

internal sealed class TokenBucket
{
    private readonly Lock _gate = new();
    private readonly TokenBucketConfig _config;
    private readonly long _fillMs;
    private long _tokens;
    private long _filledAt;

    public TokenBucket(TokenBucketConfig config, long now)
    {
        _config = config;
        _fillMs = Math.Max(1, (long)config.FillInterval.TotalMilliseconds);
        _tokens = config.MaxTokens;
        _filledAt = now;
    }

    /// <summary>Takes a token, if there is one. Once per connection, so a lock will do.</summary>
    public bool Take(long now)
    {
        lock (_gate)
        {
            long fills = (now - _filledAt) / _fillMs;
            if (fills > 0)
            {
                _filledAt += fills * _fillMs;
                _tokens = Math.Min(_config.MaxTokens, _tokens + Math.Min(fills, int.MaxValue) * Math.Max(1, _config.TokensPerFill));
            }
            if (_tokens == 0) return false;
            _tokens--;
            return true;
        }
    }
}

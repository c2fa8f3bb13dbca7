// Lets requests on as long as their buckets have tokens. All workers take from the same buckets. A route's own configuration takes the place
// of the chain's, with buckets of its own.
using System.Runtime.CompilerServices;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.LocalRateLimit;

internal sealed class LocalRateLimitFilter(LimitLevel own, NodeState node) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Request(call, call.Route<LimitLevel>() ?? own));

    private FilterVerdict Request(FilterCall call, LimitLevel level)
    {
        LocalRateLimitConfig config = level.Config;
        if (!NodeState.Chance(call.Worker, level.Enabled.PerMillion(config.EnabledPerMillion))) return FilterVerdict.Go;
        long[] stats = level.Stats.Shard(call.Worker.Index);
        stats[LimitStats.Enabled]++;
        bool allowed = level.Of(call.Exchange.Connection).Take(call, level, node, out HttpTokenBucket? bucket);
        if (config.TellsClients) call.State.Object = bucket;
        if (allowed)
        {
            stats[LimitStats.Ok]++;
            return FilterVerdict.Go;
        }
        stats[LimitStats.RateLimited]++;
        if (!NodeState.Chance(call.Worker, level.Enforced.PerMillion(config.EnforcedPerMillion)))
        {
            level.RequestHeaders.Apply(call.Request, call.Exchange, call.Exchange.Scratch);
            return FilterVerdict.Go;
        }
        stats[LimitStats.Enforced]++;
        call.State.Number = 1;
        return call.Answer(level.Refusal, "local_rate_limited");
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Number == 1) (call.Route<LimitLevel>() ?? own).ResponseHeaders.Apply(call.Response, call.Exchange, call.Exchange.Scratch);
        if (call.State.Object is HttpTokenBucket bucket)
        {
            bucket.Look(call.Worker.Now, out long left, out long wait);
            call.Response.Set("x-ratelimit-limit"u8, bucket.Max);
            call.Response.Set("x-ratelimit-remaining"u8, left);
            call.Response.Set("x-ratelimit-reset"u8, left > 0 ? 0 : wait);
        }
        return new ValueTask<bool>(true);
    }
}

/// <summary>What the chain or a route says, compiled.</summary>
internal sealed class LimitLevel(LocalRateLimitConfig config, FilterContext context)
{
    private readonly Buckets? _shared = config.PerConnection ? null : new Buckets(config);
    private readonly ConditionalWeakTable<ListenerConnection, Buckets>? _own = config.PerConnection ? [] : null;

    public LocalRateLimitConfig Config { get; } = config;

    /// <summary>What the runtime says of its shares.</summary>
    public RuntimeSlot Enabled { get; } = context.Node.Runtime.Slot(config.EnabledKey);
    public RuntimeSlot Enforced { get; } = context.Node.Runtime.Slot(config.EnforcedKey);

    public StatBlock Stats { get; } = context.Stats.Block(config.StatPrefix, "http_local_rate_limit", LimitStats.Schema);

    public HeaderChanges RequestHeaders { get; } = HeaderChanges.Of([], config.RequestHeaders);

    public HeaderChanges ResponseHeaders { get; } = HeaderChanges.Of([], config.ResponseHeaders);

    public Reason Refusal { get; } = FilterReasons.LocalRateLimited with { Status = config.Status, Grpc = config.ResourceExhausted ? 8 : 14 };

    public Buckets Of(ListenerConnection connection) => _shared ?? _own!.GetValue(connection, _ => new Buckets(Config));
}

/// <summary>The buckets of a level, or of one of its connections.</summary>
internal sealed class Buckets(LocalRateLimitConfig config)
{
    private readonly HttpTokenBucket? _default = config.Bucket is { } bucket ? new HttpTokenBucket(bucket) : null;

    // The slowest first: it is the one that refuses.
    private readonly (byte[] Entries, HttpTokenBucket Bucket)[] _descriptors =
    [
        .. config.Descriptors.OrderBy(d => d.Bucket.TokensPerFill / d.Bucket.FillInterval.TotalSeconds)
            .Select(d => (d.Entries.SelectMany(e => RateLimitPolicy.Entry(e.Key, e.Value)).ToArray(), new HttpTokenBucket(d.Bucket))),
    ];

    /// <summary>Takes a token from every bucket that a request is for; false where one has none. The bucket is the one to speak of.</summary>
    public bool Take(FilterCall call, LimitLevel level, NodeState node, out HttpTokenBucket? spokenOf)
    {
        long now = call.Worker.Now;
        spokenOf = _default;
        ulong matched = _descriptors.Length == 0 || call.Exchange.Route?.Forward is not { } forward ? 0 : Matching(call.Exchange, level.Config, forward, node);
        bool any = false;
        for (int i = 0; i < _descriptors.Length; i++)
        {
            if ((matched & (1UL << i)) == 0) continue;
            HttpTokenBucket bucket = _descriptors[i].Bucket;
            if (!any) spokenOf = bucket;
            any = true;
            if (bucket.Take(now)) continue;
            spokenOf = bucket;
            return false;
        }
        if (_default is null || (any && !level.Config.AlwaysTakesDefault) || _default.Take(now)) return true;
        spokenOf = _default;
        return false;
    }

    private ulong Matching(Exchange x, LocalRateLimitConfig config, ForwardAction forward, NodeState node)
    {
        ulong matched = Matching(x, forward.RateLimits, config.Stage, node);
        bool ofHost = forward.Config.IncludeVirtualHostRateLimits || config.VirtualHost == VirtualHostLimits.Include
            || (config.VirtualHost == VirtualHostLimits.Override && forward.RateLimits.Length == 0);
        return ofHost ? matched | Matching(x, forward.VirtualHostRateLimits, config.Stage, node) : matched;
    }

    private ulong Matching(Exchange x, RateLimitPolicy[] policies, int stage, NodeState node)
    {
        ulong matched = 0;
        foreach (RateLimitPolicy policy in policies)
        {
            if (policy.Stage != stage || !policy.Write(x, node, x.Scratch)) continue;
            for (int i = 0; i < _descriptors.Length; i++) if (x.Scratch.Written.SequenceEqual(_descriptors[i].Entries)) matched |= 1UL << i;
        }
        return matched;
    }
}

/// <summary>A token bucket that fills steadily and that all workers share without a lock: what is kept is the moment at which it was, or would have
/// been, empty.</summary>
internal sealed class HttpTokenBucket(TokenBucketConfig config)
{
    // Tokens are taken as whole ones, whatever rounding did.
    private const double Slack = 1e-6;
    private readonly double _perMs = Math.Max(1, config.TokensPerFill) / config.FillInterval.TotalMilliseconds;
    private double _emptyAt = double.NegativeInfinity;

    /// <summary>Most tokens.</summary>
    public long Max => config.MaxTokens;

    /// <summary>Takes one, if there is one.</summary>
    public bool Take(long now)
    {
        while (true)
        {
            double seen = Volatile.Read(ref _emptyAt);
            double tokens = Tokens(seen, now);
            if (tokens < 1 - Slack) return false;
            if (Interlocked.CompareExchange(ref _emptyAt, now - (tokens - 1) / _perMs, seen) == seen) return true;
        }
    }

    /// <summary>How many whole tokens there are, and in how many seconds there is one more.</summary>
    public void Look(long now, out long left, out long wait)
    {
        double tokens = Tokens(Volatile.Read(ref _emptyAt), now);
        left = (long)(tokens + Slack);
        wait = (long)Math.Ceiling((left + 1 - tokens) / _perMs / 1000 - Slack);
    }

    private double Tokens(double emptyAt, long now) => Math.Min(config.MaxTokens, (now - emptyAt) * _perMs);
}

internal static class LimitStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Enabled = Schema.Counter("enabled");
    public static readonly int Enforced = Schema.Counter("enforced");
    public static readonly int Ok = Schema.Counter("ok");
    public static readonly int RateLimited = Schema.Counter("rate_limited");
    public static readonly int Shadow = Schema.Counter("shadow_mode");
}

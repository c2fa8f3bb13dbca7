// Requests that change something must come from a page of the host that they ask, or of one that is let in. Browsers say whose page it is
// in Origin (Fetch standard), else in Referer; who says neither is refused, and so is whoever says it twice.
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Csrf;

internal sealed class CsrfFilter(CsrfLevel own, StatBlock stats) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override bool IsPure(object? said) => ((said as CsrfLevel) ?? own).IsCertain;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Ask(call, call.Route<CsrfLevel>() ?? own));

    private FilterVerdict Ask(FilterCall call, CsrfLevel policy)
    {
        bool on = NodeState.Chance(call.Worker, policy.Enabled.PerMillion(policy.Config.EnabledPerMillion));
        if (!on && !NodeState.Chance(call.Worker, policy.Shadow.PerMillion(policy.Config.ShadowPerMillion))) return FilterVerdict.Go;
        if (!Changes(call.Exchange.Method)) return FilterVerdict.Go;
        ReadOnlySpan<byte> origin = Origin(call.Request);
        bool valid = !origin.IsEmpty && (origin.SequenceEqual(call.Exchange.Authority) || policy.LetsIn(origin));
        if (call.Exchange.Explanation is null)
            stats.Shard(call.Worker.Index)[origin.IsEmpty ? CsrfStats.Missing : valid ? CsrfStats.Valid : CsrfStats.Invalid]++;
        return valid || !on ? FilterVerdict.Go : call.Answer(FilterReasons.ForeignOrigin, "Invalid origin");
    }

    // In any letter case: there are services that do not mind.
    private static bool Changes(ReadOnlySpan<byte> method) =>
        ByteMatcher.SameLetters(method, "POST"u8) || ByteMatcher.SameLetters(method, "PUT"u8)
        || ByteMatcher.SameLetters(method, "DELETE"u8) || ByteMatcher.SameLetters(method, "PATCH"u8);

    private static ReadOnlySpan<byte> Origin(RequestHeaders head)
    {
        int origin = head.Next("origin"u8);
        if (origin >= 0 && !head.Value(origin).IsEmpty) return head.Next("origin"u8, origin + 1) < 0 ? Host(head.Value(origin)) : default;
        int referer = head.Next("referer"u8);
        return referer < 0 || head.Next("referer"u8, referer + 1) >= 0 ? default : Host(head.Value(referer));
    }

    /// <summary>Host and port of an address, as they are written; empty where it is none (an origin of "null" is).</summary>
    internal static ReadOnlySpan<byte> Host(ReadOnlySpan<byte> url)
    {
        int scheme = url.IndexOf("://"u8);
        if (scheme <= 0 || url[..scheme].IndexOfAnyExcept(s_schemeLetters) >= 0) return default;
        ReadOnlySpan<byte> rest = url[(scheme + 3)..];
        int end = rest.IndexOfAny((byte)'/', (byte)'?', (byte)'#');
        if (end >= 0) rest = rest[..end];
        // A name before an at sign is not the host, and browsers send none.
        return rest.IndexOfAny("@\\ ,"u8) >= 0 ? default : rest;
    }

    private static readonly System.Buffers.SearchValues<byte> s_schemeLetters =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."u8);
}

/// <summary>What a level says, compiled.</summary>
internal sealed class CsrfLevel(CsrfConfig config, Runtime runtime)
{
    private readonly ByteMatcher[] _origins = [.. config.Origins.Select(o => new ByteMatcher(o))];

    public CsrfConfig Config { get; } = config;

    /// <summary>What the runtime says of its shares.</summary>
    public RuntimeSlot Enabled { get; } = runtime.Slot(config.EnabledKey);
    public RuntimeSlot Shadow { get; } = runtime.Slot(config.ShadowKey);

    /// <summary>No chance decides.</summary>
    public bool IsCertain => Enabled.PerMillion(Config.EnabledPerMillion) is <= 0 or >= 1_000_000
        && Shadow.PerMillion(Config.ShadowPerMillion) is <= 0 or >= 1_000_000;

    /// <summary>Whether pages of this host and port may ask.</summary>
    public bool LetsIn(ReadOnlySpan<byte> origin)
    {
        foreach (ByteMatcher one in _origins) if (one.Matches(origin)) return true;
        return false;
    }
}

internal static class CsrfStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Missing = Schema.Counter("missing_source_origin");
    public static readonly int Invalid = Schema.Counter("request_invalid");
    public static readonly int Valid = Schema.Counter("request_valid");
}

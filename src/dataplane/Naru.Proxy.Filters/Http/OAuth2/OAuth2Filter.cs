// Lets requests on of who has signed in at an authorization server, and sends the others there (Envoy docs: OAuth2). Which configuration
// holds is the route's or the chain's; what becomes of a request is told in OAuthTurn.
using System.Collections.Concurrent;
using System.Text;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.OAuth2;

internal sealed class OAuth2Filter(OAuth2Level? own, FilterContext context) : HttpFilter
{
    private readonly ConcurrentDictionary<string, StatBlock> _stats = new(StringComparer.Ordinal);

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override bool Guards => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        if ((call.Route<OAuth2Level>() ?? own) is not { } level) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        long[] stats = Stats(level.Config.StatPrefix).Shard(call.Worker.Index);
        // These are this filter's own words to whoever stands behind it.
        call.Request.Remove(OAuthTurn.StatusHeader);
        call.Request.Remove(OAuthTurn.ReasonHeader);
        if (level.PassesBy(call.Request))
        {
            stats[OAuthStats.PassThrough]++;
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        }
        if (level.IdTokenHeader.Length > 0) call.Request.Remove(level.IdTokenHeader);
        return level.Seals is { } seals ? new OAuthTurn(level, call, seals, stats).RunAsync()
            : new ValueTask<FilterVerdict>(call.Refuse(FilterReasons.SecretMissing));
    }

    private StatBlock Stats(string prefix)
    {
        if (_stats.TryGetValue(prefix, out StatBlock? known)) return known;
        return _stats.GetOrAdd(prefix, prefix.Length > 0 ? context.Block(prefix, OAuthStats.Schema)
            : context.Stats.Block(context.StatPrefix, OAuthStats.Schema));
    }

    // What a renewal gave the browser.
    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Object is List<string> cookies)
            foreach (string cookie in cookies) call.Response.Add("set-cookie"u8, Encoding.Latin1.GetBytes(cookie));
        return new ValueTask<bool>(true);
    }
}

internal static class OAuthStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Failure = Schema.Counter("oauth_failure");
    public static readonly int LegacyCbc = Schema.Counter("oauth_legacy_cbc_decrypt");
    public static readonly int PassThrough = Schema.Counter("oauth_passthrough");
    public static readonly int RefreshFailure = Schema.Counter("oauth_refreshtoken_failure");
    public static readonly int RefreshSuccess = Schema.Counter("oauth_refreshtoken_success");
    public static readonly int Success = Schema.Counter("oauth_success");
    public static readonly int Unauthorized = Schema.Counter("oauth_unauthorized_rq");
}

// Lets requests on whose tokens are good, as rules, filter state or the route require (Envoy docs: JWT authentication). Others are answered: 403
// where the token is for somebody else, 401 otherwise. What clients say in headers that hold claims is taken from all of them.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

internal sealed class JwtAuthnFilter : HttpFilter
{
    // Of a realm; Envoy cuts it so.
    private const int LongestRealm = 256;
    private readonly JwtAuthnConfig _config;
    private readonly StatBlock _stats;
    private readonly JwtVerifier[] _providers;
    private readonly (Route Match, bool FitsAny, JwtRequirement? Requires)[] _rules;
    private readonly Dictionary<string, JwtRequirement?> _named, _byState;
    private readonly byte[] _stateName;

    public JwtAuthnFilter(JwtAuthnConfig config, FilterContext context)
    {
        _config = config;
        _stats = context.Block("jwt_authn", JwtStats.Schema);
        _providers = [.. config.Providers.Select(p => new JwtVerifier(p, context, _stats))];
        Dictionary<string, JwtVerifier> byName = _providers.ToDictionary(p => p.Config.Name, StringComparer.Ordinal);
        _rules = [.. config.Rules.Select(r => (Match: Match(r.Match, context), r.Requires))
            .Select(r => (r.Match, r.Match.FitsAnyPath, Compile(r.Requires)))];
        _named = config.Named.ToDictionary(n => n.Key, n => Compile(n.Value), StringComparer.Ordinal);
        _byState = config.ByState.ToDictionary(n => n.Key, n => Compile(n.Value), StringComparer.Ordinal);
        _stateName = Encoding.UTF8.GetBytes(config.StateName);

        JwtRequirement? Compile(JwtRequirementConfig? one) => one is null ? null : JwtRequirement.Of(one, byName, _providers);
    }

    // A rule's match is a route's; what it does is not asked.
    private static Route Match(RouteMatchConfig match, FilterContext context)
    {
        var route = new RouteConfig { Match = match, Action = new DirectResponseActionConfig(200, []) };
        var host = new VirtualHostConfig { Name = "rules", Domains = ["*"] };
        return new Route(route, host, new RouteConfigurationConfig { Name = "rules" }, context.Clusters, context, []);
    }

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        long[] stats = _stats.Shard(call.Worker.Index);
        JwtRouteConfig? said = call.Route<JwtRouteConfig>();
        foreach (JwtVerifier provider in _providers) provider.Clean(call.Request);
        if (said is { Disabled: true }) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (_config.BypassPreflight && IsPreflight(x))
        {
            stats[JwtStats.PreflightBypassed]++;
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        }
        JwtRequirement? requires;
        if (said is not null)
        {
            if (!_named.TryGetValue(said.RequirementName, out requires)) return new ValueTask<FilterVerdict>(Unknown(call, stats, said.RequirementName));
        }
        else
        {
            requires = Required(x);
        }
        if (requires is not null) return CheckAsync(call, requires);
        stats[JwtStats.Allowed]++;
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    private static bool IsPreflight(Exchange x) => x.Method.SequenceEqual("OPTIONS"u8)
        && x.RequestHeaders.TryGet("origin"u8, out ReadOnlySpan<byte> origin) && !origin.IsEmpty
        && x.RequestHeaders.TryGet("access-control-request-method"u8, out ReadOnlySpan<byte> method) && !method.IsEmpty;

    // Rules first: of two that match the first counts.
    private JwtRequirement? Required(Exchange x)
    {
        uint chance = (uint)x.Worker.Random.Next();
        foreach ((Route match, bool fitsAny, JwtRequirement? requires) in _rules)
            if (match.Test(x.View, chance).Kind == MismatchKind.None
                || (x.IsConnect && fitsAny && match.Test(Anywhere(x), chance).Kind == MismatchKind.None))
                return requires;
        return _stateName.Length > 0 && ((IRequestInfo)x).TryGetState(_stateName, out ReadOnlySpan<byte> value)
            && _byState.TryGetValue(Encoding.UTF8.GetString(value), out JwtRequirement? chosen) ? chosen : null;
    }

    // CONNECT has no path; a rule for all paths is for it, too.
    private static RequestView Anywhere(Exchange x) =>
        new() { Headers = x.RequestHeaders, Path = "/"u8, Query = default, IsConnect = false, Tls = x.Connection?.Tls, Request = x };

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> CheckAsync(FilterCall call, JwtRequirement requires)
    {
        var run = new JwtRun(call.Exchange);
        JwtStatus status = await requires.CheckAsync(run);
        // Nobody is there any more, and nothing is known of the token.
        if (call.Exchange.Abort != AbortReason.None) return FilterVerdict.Go;
        if (status != JwtStatus.Ok) return Denied(call, status);
        _stats.Shard(call.Worker.Index)[JwtStats.Allowed]++;
        bool again = false;
        foreach ((JwtVerifier whose, FoundToken found, GoodToken good) in run.Passed) again |= whose.Pass(call.Exchange, found, good);
        return again ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private FilterVerdict Denied(FilterCall call, JwtStatus status)
    {
        _stats.Shard(call.Worker.Index)[JwtStats.Denied]++;
        Reason reason = FilterReasons.TokenRefused with
        {
            Status = status == JwtStatus.WrongAudience ? 403 : 401,
            Details = Details(status.Message),
        };
        if (_config.StripsFailure) return call.Answer(reason);
        string error = status == JwtStatus.Missing ? "" : ", error=\"invalid_token\"";
        return call.Answer(reason, status.Message, $"www-authenticate: Bearer realm=\"{Realm(call.Exchange)}\"{error}\r\n");
    }

    private FilterVerdict Unknown(FilterCall call, long[] stats, string name)
    {
        stats[JwtStats.Denied]++;
        string told = $"Wrong requirement_name: {name}. It should be one of [{string.Join(',', _named.Keys.Order(StringComparer.Ordinal))}]";
        return call.Answer(FilterReasons.TokenRefused with { Status = 403, Details = Details(told) }, _config.StripsFailure ? "" : told);
    }

    private static string Details(string message) => $"{FilterReasons.TokenRefused.Details}{{{message.Replace(' ', '_')}}}";

    // Without the query, in which a token may stand.
    private static string Realm(Exchange x)
    {
        string uri = $"{(x.IsHttps ? "https" : "http")}://{Encoding.Latin1.GetString(x.Authority)}{Encoding.Latin1.GetString(x.Path)}";
        if (uri.Length > LongestRealm) uri = uri[..LongestRealm];
        return string.Create(uri.Length, uri, static (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = from[i] is > ' ' and < (char)127 and not '"' and not '\\' ? from[i] : '_';
        });
    }
}

internal static class JwtStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Allowed = Schema.Counter("allowed");
    public static readonly int PreflightBypassed = Schema.Counter("cors_preflight_bypassed");
    public static readonly int Denied = Schema.Counter("denied");
    public static readonly int FetchFailed = Schema.Counter("jwks_fetch_failed");
    public static readonly int FetchSuccess = Schema.Counter("jwks_fetch_success");
    public static readonly int CacheHit = Schema.Counter("jwt_cache_hit");
    public static readonly int CacheMiss = Schema.Counter("jwt_cache_miss");
}

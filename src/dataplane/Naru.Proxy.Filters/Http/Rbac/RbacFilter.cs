// Lets requests on whose rules say so, and answers 403 to others. What rules say is told to formats, logs and filters behind it in
// metadata. A route's rules stand in the place of the chain's; they are counted where the chain's are.
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Rbac;

internal sealed class RbacFilter : HttpFilter
{
    private readonly AccessConfig _config;
    private readonly FilterContext _context;
    private readonly RbacAsked _own;

    public RbacFilter(AccessConfig config, FilterContext context)
    {
        (_config, _context) = (config, context);
        _own = new RbacAsked(new RbacLevel(config), config, context);
    }

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override bool IsPure(object? said) => true;

    public override object Merge(ReadOnlySpan<object> narrowToWide) => new RbacAsked((RbacLevel)narrowToWide[0], _config, _context);

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Ask(call, call.Route<RbacAsked>() ?? _own));

    private static FilterVerdict Ask(FilterCall call, RbacAsked asked)
    {
        RbacLevel level = asked.Level;
        if (level.Enforced is null && level.Shadow is null) return FilterVerdict.Go;
        Exchange x = call.Exchange;
        var subject = new MatchSubject(x);
        // Explanations count nothing.
        bool counts = x.Explanation is null;
        if (level.Shadow is { } shadow)
        {
            AccessVerdict verdict = shadow.Judge(subject);
            if (counts) asked.ShadowCounters.Count(call.Worker.Index, verdict);
            level.ShadowSayings.Say(x, verdict);
        }
        if (level.Enforced is not { } rules) return FilterVerdict.Go;
        AccessVerdict decided = rules.Judge(subject);
        if (counts) asked.Counters.Count(call.Worker.Index, decided);
        level.Sayings.Say(x, decided);
        return decided.Allowed ? FilterVerdict.Go : call.Answer(level.Refusals[decided.Policy + 1], "RBAC: access denied");
    }
}

/// <summary>What the chain or a route says, compiled.</summary>
internal sealed class RbacLevel
{
    public RbacLevel(AccessConfig config)
    {
        Enforced = AccessRules.Of(config.Enforced);
        Shadow = AccessRules.Of(config.Shadow);
        Sayings = new RbacSayings(Enforced, config.Prefix, "enforced");
        ShadowSayings = new RbacSayings(Shadow, config.ShadowPrefix, "shadow");
        Refusals = Enforced is null ? []
            : [.. Enumerable.Range(-1, Enforced.Names.Length + 1)
                .Select(i => FilterReasons.AccessDenied with { Details = Enforced.Details(i) })];
    }

    public AccessRules? Enforced { get; }

    public AccessRules? Shadow { get; }

    public RbacSayings Sayings { get; }

    public RbacSayings ShadowSayings { get; }

    /// <summary>By the index of the policy that decided, behind that of none.</summary>
    public Reason[] Refusals { get; }
}

/// <summary>A level, and where it is counted: below the chain's prefixes.</summary>
internal sealed class RbacAsked(RbacLevel level, AccessConfig chain, FilterContext context)
{
    public RbacLevel Level { get; } = level;

    public AccessCounters Counters { get; } = Of(level.Enforced, chain.Prefix, AccessStats.Enforced, AccessStats.Policy, chain, context);

    public AccessCounters ShadowCounters { get; } =
        Of(level.Shadow, chain.ShadowPrefix, AccessStats.Shadow, AccessStats.ShadowPolicy, chain, context);

    private static AccessCounters Of(
        AccessRules? rules, string prefix, StatSchema all, StatSchema policy, AccessConfig chain, FilterContext context)
    {
        string scope = AccessStats.Scope("rbac", prefix);
        return new AccessCounters(context.Block(scope, all),
            chain.CountsPolicies && rules is not null ? [.. rules.Names.Select(n => context.Block($"{scope}.policy.{n}", policy))] : null);
    }
}

/// <summary>What rules say in metadata: made once for each end they may come to, and shared by all requests that come there.</summary>
internal sealed class RbacSayings
{
    private static readonly byte[] s_name = "envoy.filters.http.rbac"u8.ToArray();
    private static readonly byte[] s_common = "envoy.common"u8.ToArray();
    private static readonly byte[] s_hint = "access_log_hint"u8.ToArray();
    private static readonly MetaValue[] s_hints =
        [MetaValue.Empty.With(s_hint, MetaValue.Of(false)), MetaValue.Empty.With(s_hint, MetaValue.Of(true))];

    private readonly MetaValue[] _allowed, _denied, _allowedAlone, _deniedAlone;
    private readonly bool _isShadow;

    /// <param name="rules">The rules; null for none.</param>
    /// <param name="prefix">Of the names.</param>
    /// <param name="word">Whose they are: enforced or shadow.</param>
    public RbacSayings(AccessRules? rules, string prefix, string word)
    {
        _isShadow = word == "shadow";
        string[] names = rules is null ? [] : ["", .. rules.Names];
        _allowed = [.. names.Select(n => Map("allowed", n))];
        _denied = [.. names.Select(n => Map("denied", n))];
        _allowedAlone = [.. _allowed.Select(m => MetaValue.Empty.With(s_name, m))];
        _deniedAlone = [.. _denied.Select(m => MetaValue.Empty.With(s_name, m))];

        MetaValue Map(string result, string policy)
        {
            var said = new Dictionary<string, MetaValue>(StringComparer.Ordinal)
            {
                [$"{prefix}{word}_engine_result"] = MetaValue.Of(result),
            };
            if (policy.Length > 0) said[$"{prefix}{word}_effective_policy_id"] = MetaValue.Of(policy);
            return MetaValue.Map(said);
        }
    }

    /// <summary>Says it of a request.</summary>
    public void Say(Exchange x, in AccessVerdict verdict)
    {
        int at = verdict.Policy + 1;
        if (x.DynamicMetadata is null) x.DynamicMetadata = (verdict.Allowed ? _allowedAlone : _deniedAlone)[at];
        else x.SetMetadata(s_name, (verdict.Allowed ? _allowed : _denied)[at]);
        if (verdict.Logs is { } logs && !_isShadow) x.SetMetadata(s_common, s_hints[logs ? 1 : 0]);
    }
}

// Answers preflights of origins that a route's policy lets in, and gives their other answers the headers that browsers look for. What an
// endpoint says about it itself is replaced. Requests of other origins go on as they are: it is the browser that keeps the answer back.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Cors;

internal sealed class CorsFilter(StatBlock stats) : HttpFilter
{
    private static readonly Reason s_preflight = new(200, "", "", ResponseFlags.None, "cors_response");

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    // Without a policy it does nothing.
    public override bool IsPure(object? said) => said is not CorsLevel;

    // Each field is the narrowest that says something; whether it is on, the narrowest level says alone.
    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        var levels = new CorsLevel[narrowToWide.Length];
        for (int i = 0; i < levels.Length; i++) levels[i] = (CorsLevel)narrowToWide[i];
        return CorsLevel.Merge(levels);
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Request(call));

    private FilterVerdict Request(FilterCall call)
    {
        // A route that does not forward has no policy, whatever is above it.
        if (call.Route<CorsLevel>() is not { } policy || call.Exchange.Route is not { Forward: not null }) return FilterVerdict.Go;
        bool on = NodeState.Chance(call.Worker, policy.Enabled.PerMillion(policy.Config.EnabledPerMillion));
        if (!on && !NodeState.Chance(call.Worker, policy.Shadow.PerMillion(policy.Config.ShadowPerMillion))) return FilterVerdict.Go;
        if (!call.Request.TryGet("origin"u8, out ReadOnlySpan<byte> origin) || origin.IsEmpty) return FilterVerdict.Go;
        bool preflight = call.Exchange.Method.SequenceEqual("OPTIONS"u8)
            && call.Request.TryGet("access-control-request-method"u8, out ReadOnlySpan<byte> method) && !method.IsEmpty;
        bool allowed = policy.Allows(origin);
        stats.Shard(call.Worker.Index)[allowed ? CorsStats.Valid : CorsStats.Invalid]++;
        if (!on) return FilterVerdict.Go;
        if (!allowed) return preflight && policy.Config.ForwardsForeignPreflights == false ? call.Answer(s_preflight) : FilterVerdict.Go;
        call.State.Number = preflight ? 2 : 1;
        return preflight ? call.Answer(s_preflight) : FilterVerdict.Go;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Number > 0 && call.Route<CorsLevel>() is { } policy) Allow(call, policy, preflight: call.State.Number == 2);
        return new ValueTask<bool>(true);
    }

    private static void Allow(FilterCall call, CorsLevel policy, bool preflight)
    {
        call.Request.TryGet("origin"u8, out ReadOnlySpan<byte> origin);
        ResponseHeaders answer = call.Response;
        answer.Set("access-control-allow-origin"u8, origin);
        if (policy.Config.Credentials == true) answer.Set("access-control-allow-credentials"u8, "true"u8);
        if (preflight)
        {
            Ask(call, "access-control-allow-methods"u8, policy.Methods, "access-control-request-method"u8);
            Ask(call, "access-control-allow-headers"u8, policy.Headers, "access-control-request-headers"u8);
            if (policy.MaxAge.Length > 0) answer.Set("access-control-max-age"u8, policy.MaxAge);
            if (policy.Config.PrivateNetwork == true && call.Request.TryGet("access-control-request-private-network"u8, out ReadOnlySpan<byte> asked) && asked.SequenceEqual("true"u8))
                answer.Set("access-control-allow-private-network"u8, "true"u8);
        }
        if (policy.Exposed.Length > 0) answer.Set("access-control-expose-headers"u8, policy.Exposed);
    }

    // A star is what was asked for: with credentials browsers do not take it for anything.
    private static void Ask(FilterCall call, ReadOnlySpan<byte> header, byte[] allowed, ReadOnlySpan<byte> asked)
    {
        if (allowed.Length == 0) return;
        if (!allowed.AsSpan().SequenceEqual("*"u8)) call.Response.Set(header, allowed);
        else if (call.Request.TryGet(asked, out ReadOnlySpan<byte> wanted)) call.Response.Set(header, wanted);
    }
}

/// <summary>A policy, compiled.</summary>
internal sealed class CorsLevel(CorsPolicyConfig config, Runtime runtime)
{
    private readonly Runtime _runtime = runtime;
    private readonly ByteMatcher[] _origins = [.. config.Origins.Select(o => new ByteMatcher(o))];

    public CorsPolicyConfig Config { get; } = config;

    /// <summary>What the runtime says of its shares.</summary>
    public RuntimeSlot Enabled { get; } = runtime.Slot(config.EnabledKey);
    public RuntimeSlot Shadow { get; } = runtime.Slot(config.ShadowKey);
    public byte[] Methods { get; } = Encoding.ASCII.GetBytes(config.Methods);
    public byte[] Headers { get; } = Encoding.ASCII.GetBytes(config.Headers);
    public byte[] Exposed { get; } = Encoding.ASCII.GetBytes(config.Exposed);
    public byte[] MaxAge { get; } = Encoding.ASCII.GetBytes(config.MaxAge);

    public static CorsLevel Merge(CorsLevel[] narrowToWide) => narrowToWide.Length == 1 ? narrowToWide[0] : new CorsLevel(narrowToWide[0].Config with
    {
        Origins = narrowToWide.Select(l => l.Config.Origins).FirstOrDefault(o => !o.IsEmpty, []),
        Methods = First(narrowToWide, c => c.Methods),
        Headers = First(narrowToWide, c => c.Headers),
        Exposed = First(narrowToWide, c => c.Exposed),
        MaxAge = First(narrowToWide, c => c.MaxAge),
        Credentials = narrowToWide.Select(l => l.Config.Credentials).FirstOrDefault(c => c is not null),
        PrivateNetwork = narrowToWide.Select(l => l.Config.PrivateNetwork).FirstOrDefault(c => c is not null),
        ForwardsForeignPreflights = narrowToWide.Select(l => l.Config.ForwardsForeignPreflights).FirstOrDefault(c => c is not null),
    }, narrowToWide[0]._runtime);

    private static string First(CorsLevel[] levels, Func<CorsPolicyConfig, string> field) => levels.Select(l => field(l.Config)).FirstOrDefault(v => v.Length > 0, "");

    /// <summary>Whether an origin is let in; a pattern that takes a star takes all.</summary>
    public bool Allows(ReadOnlySpan<byte> origin)
    {
        foreach (ByteMatcher matcher in _origins) if (matcher.Matches("*"u8) || matcher.Matches(origin)) return true;
        return false;
    }
}

internal static class CorsStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Valid = Schema.Counter("origin_valid");
    public static readonly int Invalid = Schema.Counter("origin_invalid");
}

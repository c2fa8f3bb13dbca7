// What a request must show, compiled (Envoy: JwtRequirement). Each is asked in turn; what good tokens say is kept until all is decided.
using System.Runtime.CompilerServices;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>One request on its way through requirements.</summary>
internal sealed class JwtRun(Exchange x)
{
    private readonly Dictionary<JwtVerifier, List<FoundToken>> _found = [];

    public Exchange Exchange => x;

    /// <summary>Good tokens, and whose they are.</summary>
    public List<(JwtVerifier Whose, FoundToken Found, GoodToken Good)> Passed { get; } = [];

    /// <summary>The tokens of a provider; null where there are too many.</summary>
    public List<FoundToken>? Of(JwtVerifier provider)
    {
        if (_found.TryGetValue(provider, out List<FoundToken>? known)) return known;
        var found = new List<FoundToken>();
        if (!provider.Find(x, found)) return null;
        return _found[provider] = found;
    }
}

/// <summary>One requirement.</summary>
internal abstract class JwtRequirement
{
    /// <summary>Whether a request meets it.</summary>
    public abstract ValueTask<JwtStatus> CheckAsync(JwtRun run);

    /// <summary>Compiles one.</summary>
    /// <param name="config">What was written.</param>
    /// <param name="providers">All, by name.</param>
    /// <param name="beside">Those that stand in the same list; whose tokens may be lacking.</param>
    public static JwtRequirement Of(JwtRequirementConfig config, IReadOnlyDictionary<string, JwtVerifier> providers, JwtVerifier[] beside)
    {
        switch (config)
        {
            case JwtProviderRequirement one:
                return new OneRequirement(providers[one.Provider], one.Audiences is { } audiences ? JwtVerifier.Plain(audiences) : null);
            case JwtAnyRequirement any:
                JwtVerifier[] named = [.. Named(any).Distinct().Select(n => providers[n])];
                return new AnyRequirement([.. any.Of.Select(r => Of(r, providers, named.Length > 0 ? named : beside))]);
            case JwtAllRequirement all:
                return new AllRequirement([.. all.Of.Select(r => Of(r, providers, beside))]);
            default:
                return new MayLackRequirement(beside, ((JwtMayLackRequirement)config).OrFailed);
        }
    }

    private static IEnumerable<string> Named(JwtRequirementConfig config) => config switch
    {
        JwtProviderRequirement one => [one.Provider],
        JwtAnyRequirement any => any.Of.SelectMany(Named),
        JwtAllRequirement all => all.Of.SelectMany(Named),
        _ => [],
    };

    // A token of a provider, and every token that stands where its do.
    private sealed class OneRequirement(JwtVerifier provider, string[]? audiences) : JwtRequirement
    {
        [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
        public override async ValueTask<JwtStatus> CheckAsync(JwtRun run)
        {
            if (run.Of(provider) is not { } found) return JwtStatus.TooMany;
            if (found.Count == 0) return JwtStatus.Missing;
            int before = run.Passed.Count;
            foreach (FoundToken token in found)
            {
                (JwtStatus status, GoodToken? good) = await provider.CheckAsync(run.Exchange, token.Text, audiences);
                if (good is null)
                {
                    run.Passed.RemoveRange(before, run.Passed.Count - before);
                    return status;
                }
                run.Passed.Add((provider, token, good));
            }
            return JwtStatus.Ok;
        }
    }

    // What is told of several that failed is what says most.
    private sealed class AnyRequirement(JwtRequirement[] of) : JwtRequirement
    {
        [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
        public override async ValueTask<JwtStatus> CheckAsync(JwtRun run)
        {
            JwtStatus told = JwtStatus.Missing;
            foreach (JwtRequirement one in of)
            {
                JwtStatus status = await one.CheckAsync(run);
                if (status == JwtStatus.Ok) return status;
                if (status != JwtStatus.Missing && (told == JwtStatus.Missing || told == JwtStatus.UnknownIssuer)) told = status;
            }
            return told;
        }
    }

    private sealed class AllRequirement(JwtRequirement[] of) : JwtRequirement
    {
        [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
        public override async ValueTask<JwtStatus> CheckAsync(JwtRun run)
        {
            foreach (JwtRequirement one in of)
            {
                JwtStatus status = await one.CheckAsync(run);
                if (status != JwtStatus.Ok) return status;
            }
            return JwtStatus.Ok;
        }
    }

    // No token, or tokens of issuers that are known here, each good.
    private sealed class MayLackRequirement(JwtVerifier[] providers, bool orFailed) : JwtRequirement
    {
        [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
        public override async ValueTask<JwtStatus> CheckAsync(JwtRun run)
        {
            var seen = new List<byte[]>();
            foreach (JwtVerifier place in providers)
            {
                if (run.Of(place) is not { } found)
                {
                    if (orFailed) continue;
                    return JwtStatus.TooMany;
                }
                foreach (FoundToken token in found)
                {
                    if (seen.Any(s => s.AsSpan().SequenceEqual(token.Text))) continue;
                    seen.Add(token.Text);
                    JwtStatus status = await OneAsync(run, token);
                    if (status != JwtStatus.Ok && !orFailed) return status;
                }
            }
            return JwtStatus.Ok;
        }

        [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
        private async ValueTask<JwtStatus> OneAsync(JwtRun run, FoundToken token)
        {
            // One that was good before need not be read again to know whose it is.
            JwtToken? parsed = null;
            foreach (JwtVerifier provider in providers) parsed ??= provider.Known(token.Text);
            if (parsed is null && JwtToken.Read(token.Text, out parsed) is var read && parsed is null) return read;
            JwtStatus told = JwtStatus.UnknownIssuer;
            foreach (JwtVerifier provider in providers)
            {
                // Whoever names no issuer takes any.
                bool meant = provider.Config.Issuer == parsed.Issuer || provider.Config.Issuer.Length == 0;
                if (!meant || run.Of(provider)?.Any(f => f.Text.AsSpan().SequenceEqual(token.Text)) != true) continue;
                (JwtStatus status, GoodToken? good) = await provider.CheckAsync(run.Exchange, token.Text, null);
                told = status;
                if (good is null) continue;
                run.Passed.Add((provider, token, good));
                return JwtStatus.Ok;
            }
            return told;
        }
    }
}

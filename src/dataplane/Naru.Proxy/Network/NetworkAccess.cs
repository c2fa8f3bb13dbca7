// Whose connections are served (Envoy: network RBAC; AccessGate.cs asks it). Asked at the first byte that comes, as in Envoy, whenever bytes come, or when TLS is
// there and nothing has been connected to. What is refused is never passed on: the bytes that were judged stay here.
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class NetworkAccess : NetworkFilter
{
    private readonly NetworkAccessConfig _config;
    private readonly AccessRules? _rules, _shadow;
    private readonly AccessCounters _counters, _shadowCounters;
    private readonly Reason[] _refusals;

    public NetworkAccess(NetworkAccessConfig config, StatRegistry stats)
    {
        _config = config;
        _rules = AccessRules.Of(config.Rules.Enforced);
        _shadow = AccessRules.Of(config.Rules.Shadow);
        string name = $"{config.StatPrefix.TrimEnd('.')}.rbac";
        _counters = new AccessCounters(stats.Block(name, AccessStats.Enforced), null);
        _shadowCounters = new AccessCounters(stats.Block(AccessStats.Scope(name, config.Rules.ShadowPrefix), AccessStats.Shadow), null);
        _refusals = _rules is null ? []
            : [.. Enumerable.Range(-1, _rules.Names.Length + 1)
                .Select(i => ConnectionReasons.AccessDenied with { Details = _rules.Details(i), Termination = _rules.Details(i) })];
    }

    /// <summary>Asked whenever bytes come.</summary>
    public bool Continuous => _config.Continuous;

    /// <summary>Asked before anything is connected to, where there is TLS.</summary>
    public bool OnReady => _config.OnReady;

    /// <summary>How long a refused connection is held, ms.</summary>
    public long DelayMs => (long)_config.Delay.TotalMilliseconds;

    // It speaks when bytes come.
    public override long? Refuses(ListenerConnection connection, Worker worker) => null;

    public override bool JudgesBytes => true;

    /// <summary>Why the connection is refused; null lets it on.</summary>
    public Reason? Judge(ListenerConnection connection, Worker worker)
    {
        var subject = new MatchSubject(connection);
        if (_shadow is not null) _shadowCounters.Count(worker.Index, _shadow.Judge(subject));
        if (_rules is null) return null;
        AccessVerdict verdict = _rules.Judge(subject);
        _counters.Count(worker.Index, verdict);
        return verdict.Allowed ? null : _refusals[verdict.Policy + 1];
    }
}

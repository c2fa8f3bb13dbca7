// Whose connections are served (Envoy: network RBAC). Asked at the first byte that comes, as in Envoy, whenever bytes come, or when TLS is
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
                .Select(i => ConnectionReasons.AccessDenied with { Details = _rules.Details(i) })];
    }

    /// <summary>Asked whenever bytes come.</summary>
    public bool Continuous => _config.Continuous;

    /// <summary>Asked before anything is connected to, where there is TLS.</summary>
    public bool OnReady => _config.OnReady;

    /// <summary>How long a refused connection is held, ms.</summary>
    public long DelayMs => (long)_config.Delay.TotalMilliseconds;

    // It speaks when bytes come.
    public override long? Refuses(ListenerConnection connection, Worker worker) => null;

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

/// <summary>The rules of one connection, between its socket and whoever reads it.</summary>
internal sealed class AccessGate(NetworkAccess[] rules) : IReadGate, ITimerOwner
{
    private TimerNode? _closes;
    private ListenerConnection? _held;

    /// <summary>What is asked when TLS is there: the reason and the ms to wait before the close, or null.</summary>
    public (Reason Reason, long DelayMs)? Ready(ListenerConnection connection, Worker worker)
    {
        foreach (NetworkAccess one in rules)
            if (one.OnReady && one.Judge(connection, worker) is { } reason) return (reason, one.DelayMs);
        IsReady = true;
        return null;
    }

    /// <summary>Those that are asked when TLS is there were.</summary>
    private bool IsReady { get; set; }

    private bool HasCome { get; set; }

    /// <summary>Somebody has to be asked before bytes are passed on.</summary>
    public bool IsOpen => HasCome && !Array.Exists(rules, r => r.Continuous);

    public GateVerdict Judge(TcpSocket socket, Worker worker)
    {
        if (_held is not null) return GateVerdict.Hold;
        var connection = (ListenerConnection)socket;
        bool first = !HasCome;
        HasCome = true;
        foreach (NetworkAccess one in rules)
        {
            if (one.OnReady && IsReady ? !one.Continuous : !first && !one.Continuous) continue;
            if (one.Judge(connection, worker) is not { } reason) continue;
            connection.Refused(reason);
            if (one.DelayMs <= 0) return GateVerdict.Refuse;
            _held = connection;
            _closes = new TimerNode(this);
            worker.Timers.Set(_closes, worker.Now + one.DelayMs, worker.Now);
            return GateVerdict.Hold;
        }
        return IsOpen ? GateVerdict.OpenForGood : GateVerdict.Pass;
    }

    public void OnTimer(TimerNode timer) => _held?.Close();

    public void Closed(Worker worker)
    {
        if (_closes is { } timer) worker.Timers.Remove(timer);
        _closes = null;
    }
}

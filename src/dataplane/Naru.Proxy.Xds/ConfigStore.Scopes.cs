// The store's part for scopes of routes by SRDS, and for tables of listeners that were replaced. A scope that changes waits for its new table
// while the old one serves; a listener waits for the first scopes and their tables.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    private readonly Dictionary<string, ScopeEntry> _scopes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (ConfigSourceConfig? Source, long Since)> _formerTables = new(StringComparer.Ordinal);
    private readonly TimeSpan _drainTime;
    private Waiting _srds = new();
    private bool _scopesChanged;

    /// <summary>Connections of a listener that is gone go on with its tables as long as it drains: they stay current as long.</summary>
    private void LetGo(ListenerConfig? former)
    {
        if (former is null || _drainTime <= TimeSpan.Zero) return;
        long now = _time.GetTimestamp();
        foreach (HttpConnectionManagerConfig http in former.HttpManagers)
            if (http.RouteConfigName is { } name) _formerTables[name] = (http.RouteConfigSource, now);
    }

    private void DropFormerTables()
    {
        if (_formerTables.Count == 0) return;
        long now = _time.GetTimestamp();
        foreach (string name in _formerTables.Where(t => HasPassed(t.Value.Since, _drainTime, now)).Select(t => t.Key).ToList())
        {
            _formerTables.Remove(name);
            _referrersChanged = true;
        }
    }

    private IEnumerable<(HttpConnectionManagerConfig Http, ScopedRoutesConfig Scoped)> ScopedManagers()
    {
        foreach (ListenerEntry entry in _listeners.Values)
            foreach (HttpConnectionManagerConfig http in ManagersOf(entry))
                if (http.ScopedRoutes is { Source: not null } scoped) yield return (http, scoped);
    }

    private IEnumerable<StatBlock> ScopeBlocks() => ScopedManagers().Select(m => ScopeBlock(m.Http, m.Scoped)).Distinct();

    private StatBlock ScopeBlock(HttpConnectionManagerConfig http, ScopedRoutesConfig scoped) =>
        _stats.Block($"http.{http.StatPrefix}.scoped_rds.{scoped.Name}", ScopeDiscoveryStats.Schema);

    // All managers see the same scopes: from two servers nobody could tell whose they are.
    private string? StrangeScopes(ListenerConfig? listener, string name)
    {
        foreach (HttpConnectionManagerConfig http in listener?.HttpManagers ?? [])
        {
            if (http.ScopedRoutes is not { Source: { } source } scoped) continue;
            foreach (ListenerEntry other in _listeners.Values)
            {
                if (other.Name == name) continue;
                foreach (HttpConnectionManagerConfig theirs in ManagersOf(other))
                {
                    if (theirs.ScopedRoutes is not { Source: { } first } scopes) continue;
                    if (KeyOf(first) != KeyOf(source))
                        return $"error[NARU-X115]: its scopes come from another source than those of listener \"{other.Name}\"; help: give all scoped_rds the same source";
                    if (scopes.Fragments.Length != scoped.Fragments.Length)
                        return $"error[NARU-X115]: its keys have {scoped.Fragments.Length} fragments, those of listener \"{other.Name}\" {scopes.Fragments.Length}; help: make keys of the same scopes alike";
                }
            }
        }
        return null;
    }

    private void DeclareScopes()
    {
        ConfigSourceConfig? source = _phase < Phase.Listeners ? null : ScopedManagers().Select(m => m.Scoped.Source).FirstOrDefault();
        if (source is null)
        {
            if (!_srds.Subscribed) return;
            _srds = new Waiting();
            _scopes.Clear();
            _scopesChanged = true;
            _interests.UnsubscribeAll(ResourceType.Scope);
            return;
        }
        if (_srds.Subscribed) return;
        _srds.Source = source;
        _srds.Subscribed = true;
        _srds.Since = _time.GetTimestamp();
        foreach (StatBlock block in ScopeBlocks()) block.Add(ScopeDiscoveryStats.Attempt);
        _interests.SubscribeAll(ResourceType.Scope, KeyOf(source));
    }

    private void AcceptScopes(ResourceBatch batch, List<RejectedResource> refused)
    {
        if (!_srds.Subscribed) return;
        int fragments = ScopedManagers().Select(m => m.Scoped.Fragments.Length).FirstOrDefault();
        HashSet<string> gone = [.. Gone(batch, _scopes).Select(s => s.Name)];
        HashSet<string> sent = [.. batch.Accepted.Select(r => r.Name)];
        var keys = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (ScopeEntry entry in _scopes.Values)
            if (!gone.Contains(entry.Name) && !sent.Contains(entry.Name) && entry.Latest is { } latest)
                keys.TryAdd(latest.JoinedKey, entry.Name);
        foreach (AcceptedResource resource in batch.Accepted)
        {
            ScopeEntry? entry = _scopes.GetValueOrDefault(resource.Name);
            RouteScopeConfig? record = resource.Record as RouteScopeConfig ?? entry?.Latest;
            if (record is null) continue;
            string? wrong = keys.TryGetValue(record.JoinedKey, out string? owner)
                    ? $"error[NARU-X116]: the scope \"{owner}\" has the same key; help: give each its own key"
                : fragments > 0 && record.Key.Length != fragments
                    ? $"error[NARU-X116]: its key has {record.Key.Length} fragments, scope_key_builder makes {fragments}; help: give as many"
                : null;
            if (wrong is not null)
            {
                refused.Add(new RejectedResource(resource.Name, wrong));
                continue;
            }
            keys[record.JoinedKey] = resource.Name;
            if (resource.Record is null)
            {
                entry!.Confirmed(resource.Version);
                continue;
            }
            entry ??= _scopes[resource.Name] = new ScopeEntry(resource.Name);
            entry.Accepted(resource, _time.GetUtcNow());
            if (entry.Pending is null) entry.PendingSince = _time.GetTimestamp();
            entry.Pending = record;
        }
        foreach (string name in gone)
        {
            _scopes.Remove(name);
            _scopesChanged = true;
        }
    }

    private IEnumerable<string> TablesOfScopes()
    {
        foreach (ScopeEntry entry in _scopes.Values)
        {
            if (entry.Active is { Table.Length: > 0 } active) yield return active.Table;
            if (entry.Pending is { Table.Length: > 0 } pending && pending.Table != entry.Active?.Table) yield return pending.Table;
        }
    }

    private ImmutableArray<RouteScopeConfig>? NewerScopes(long now)
    {
        foreach (ScopeEntry entry in _scopes.Values)
        {
            if (entry.Pending is not { } pending || !IsFit(entry, pending, now)) continue;
            entry.HandOver(pending);
            entry.Taken();
            entry.Pending = null;
            _scopesChanged = _referrersChanged = true;
        }
        if (!_scopesChanged) return null;
        _scopesChanged = false;
        foreach (StatBlock block in ScopeBlocks())
        {
            block.Set(ScopeDiscoveryStats.All, _scopes.Count);
            block.Set(ScopeDiscoveryStats.Active, _scopes.Values.Count(s => s.Active is not null));
        }
        return [.. _scopes.Values.Select(s => s.Active).OfType<RouteScopeConfig>()];
    }

    // Who replaces another one waits for its table; a new one has nothing to lose.
    private bool IsFit(ScopeEntry entry, RouteScopeConfig pending, long now)
    {
        if (pending.Routes is { } own) return !IsHeld(own, entry.PendingSince, now);
        if (entry.Active is null || HasPassed(entry.PendingSince, HoldLimit, now)) return true;
        return _routes.GetValueOrDefault(pending.Table) is { InUse: not null } or { Answered: true, Pending: null };
    }

    private bool AreWarm(ListenerEntry listener, ScopedRoutesConfig scoped, long now)
    {
        bool isLate = HasPassed(listener.WarmingSince, LimitOf(scoped.Source), now);
        if (!_srds.Answered)
        {
            if (!isLate) return false;
            if (_srds.Subscribed) _srds.GiveUp();
            foreach (StatBlock block in ScopeBlocks()) block.Add(ScopeDiscoveryStats.InitFetchTimeout);
            _log(LogLevel.Warning, $"xds: no scopes for listener {listener.Name} in time; it opens and answers 404 until they come");
        }
        if (listener.Active is not null || isLate) return true;
        return _scopes.Values.All(s => s.Latest is not { Table.Length: > 0 } latest
            || _routes.GetValueOrDefault(latest.Table) is { Active: not null } or { Answered: true, Pending: null });
    }

    private void CountScopes(ResourceBatch batch, bool isRefused)
    {
        bool isBad = isRefused || batch.Rejected.Count > 0;
        foreach (StatBlock block in ScopeBlocks())
        {
            block.Add(ScopeDiscoveryStats.Attempt);
            block.Add(isBad ? ScopeDiscoveryStats.Rejected : ScopeDiscoveryStats.Success);
            if (isBad) continue;
            block.Add(ScopeDiscoveryStats.Reload);
            block.Set(ScopeDiscoveryStats.Version, SubscriptionStats.Number(batch.Version));
            block.Say(ScopeDiscoveryStats.VersionText, batch.Version);
        }
    }
}

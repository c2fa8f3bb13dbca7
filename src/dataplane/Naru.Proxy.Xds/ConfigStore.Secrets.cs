// The store's third part: certificates, validation contexts, ticket keys and what filters read, by SDS. Whoever names a secret waits for it before
// he serves; a newer one goes to the data plane alone, at once. Tables and filters that discovery brings do not wait: requests that need the
// secret are refused until it is there. What nobody names any more is forgotten.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    private readonly HashSet<string> _unusedSecrets = new(StringComparer.Ordinal);

    private ImmutableArray<string> DropUnusedSecrets()
    {
        if (_unusedSecrets.Count == 0) return [];
        ImmutableArray<string> gone = [.. _unusedSecrets.Where(n => _secrets.GetValueOrDefault(n) is not { Active: not null })];
        _unusedSecrets.Clear();
        return gone;
    }

    private void AcceptSecrets(ResourceBatch batch, List<RejectedResource> refused)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            if (!_secrets.TryGetValue(resource.Name, out SecretEntry? entry)) continue;
            if (entry.IsStatic)
            {
                refused.Add(new RejectedResource(resource.Name, StaticNameTaken("secret", resource.Name)));
                continue;
            }
            entry.Answered = true;
            if (resource.Record is not SecretConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Latest = record;
            entry.Dirty = true;
        }
        foreach (string name in batch.Rejected.Select(r => r.Name).Concat(batch.Removed))
            if (_secrets.TryGetValue(name, out SecretEntry? entry)) entry.Answered = true;
        KeepRemoved(batch, n => _secrets.TryGetValue(n, out SecretEntry? e) && e.Latest is not null);
    }

    /// <summary>Why a dynamic resource may not be used: it names a secret of the bootstrap that is not there.</summary>
    private string? UnknownSecret(IEnumerable<SecretReferenceConfig>? references)
    {
        foreach (SecretReferenceConfig reference in references ?? [])
        {
            if (reference.Source is not null || _secrets.GetValueOrDefault(reference.Name) is { IsStatic: true }) continue;
            return $"error[NARU-X107]: the bootstrap has no secret \"{reference.Name}\"; help: add it to static_resources.secrets, or give the reference an sds_config";
        }
        return null;
    }

    /// <summary>Whether every secret is there that a cluster or listener names. One that is new goes on without, when the time is up or
    /// its source says that there is none (its connections then fail, as in Envoy); one that replaces another waits on.</summary>
    private bool HasSecrets(IEnumerable<SecretReferenceConfig> references, string owner, long since, bool first, long now)
    {
        foreach (SecretReferenceConfig reference in references)
        {
            SecretEntry? entry = _secrets.GetValueOrDefault(reference.Name);
            if ((first ? entry?.Latest : entry?.InUse) is not null) continue;
            if (!first) return false;
            if (entry is { Answered: true }) continue;
            if (!HasPassed(since, LimitOf(reference.Source), now)) return false;
            if (entry is null) continue;
            // Said once: from now on nobody waits for it.
            entry.Answered = true;
            SecretStats(reference.Name).Add(SubscriptionStats.InitFetchTimeout);
            _log(LogLevel.Warning, $"xds: no secret \"{reference.Name}\" for {owner} within {LimitOf(reference.Source).TotalSeconds:0.###} s; it is used without, and what needs it fails until it comes");
        }
        return true;
    }

    private Dictionary<ConfigSourceConfig, HashSet<string>> WantedSecrets()
    {
        var wanted = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (ClusterEntry entry in _clusters.Values)
            if (entry.RemovedAt is null) Want((entry.Active?.SecretReferences ?? []).Concat(entry.Warming?.SecretReferences ?? []));
        foreach (ListenerEntry entry in _listeners.Values) Want((entry.Active?.SecretReferences ?? []).Concat(entry.Warming?.SecretReferences ?? []));
        foreach (RouteEntry entry in _routes.Values)
            foreach (RouteConfigurationConfig? table in new[] { entry.Active, entry.Pending })
                if (table is not null) Want(WithHosts(table).SecretReferences);
        foreach (ScopeEntry entry in _scopes.Values)
            Want((entry.Active?.Routes?.SecretReferences ?? []).Concat(entry.Pending?.Routes?.SecretReferences ?? []));
        foreach (FilterEntry entry in _filters.Values) Want(IHasSecrets.Of([entry.Active?.Settings, entry.Latest?.Settings]));
        foreach (SecretEntry unused in _secrets.Values.Where(s => !s.IsStatic && !names.Contains(s.Name)).ToList())
        {
            _secrets.Remove(unused.Name);
            if (unused.Active is not null) _unusedSecrets.Add(unused.Name);
        }
        return wanted;

        void Want(IEnumerable<SecretReferenceConfig> references)
        {
            foreach (SecretReferenceConfig reference in references)
            {
                if (reference.Source is not { } source || !names.Add(reference.Name)) continue;
                if (!_secrets.ContainsKey(reference.Name)) _secrets[reference.Name] = new SecretEntry(reference.Name);
                if (!_secrets[reference.Name].IsStatic) NamesOf(wanted, source).Add(reference.Name);
            }
        }
    }

    private StatBlock SecretStats(string name) => _stats.Block("sds." + name, SubscriptionStats.Schema);
}

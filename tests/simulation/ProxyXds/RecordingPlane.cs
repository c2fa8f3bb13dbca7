// A data plane that keeps what it was given, as an engine would have it, and can refuse any of it.
using Naru.Core;
using Naru.Proxy.Config;

namespace Naru.SimulationTests.ProxyXds;

internal sealed class RecordingPlane : IDataPlane
{
    public List<ConfigChange> Changes { get; } = [];
    public SortedDictionary<string, ClusterConfig> Clusters { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, EndpointsConfig> Endpoints { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, RouteConfigurationConfig> Routes { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, DiscoveredFilterConfig> Filters { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, ListenerConfig> Listeners { get; } = new(StringComparer.Ordinal);

    /// <summary>Listeners whose address cannot be bound.</summary>
    public HashSet<string> Unbindable { get; } = [];

    /// <summary>Secrets that cannot be used.</summary>
    public HashSet<string> Unusable { get; } = [];

    /// <summary>Routes that named a cluster which was not there, at any time.</summary>
    public List<string> Broken { get; } = [];

    /// <summary>Clusters, route configurations and discovered filters that cannot be used, or are taken (null).</summary>
    public Func<ConfigKind, string, string?> Refuses { get; set; } = (_, _) => null;

    public IReadOnlyList<Refusal> Apply(ConfigChange change)
    {
        Changes.Add(change);
        var complaints = new List<Refusal>();
        foreach (SecretConfig secret in change.Secrets)
            Takes(ConfigKind.Secret, secret.Name, Unusable.Contains(secret.Name) ? "NARU-P104" : null);
        foreach (DiscoveredFilterConfig filter in change.Filters) if (Takes(ConfigKind.Filter, filter.Name)) Filters[filter.Name] = filter;
        foreach (ClusterConfig cluster in change.Clusters) if (Takes(ConfigKind.Cluster, cluster.Name)) Clusters[cluster.Name] = cluster;
        foreach (EndpointsConfig endpoints in change.Endpoints) Endpoints[endpoints.ClusterName] = endpoints;
        foreach (RouteConfigurationConfig routes in change.RouteConfigurations)
            if (Takes(ConfigKind.RouteConfiguration, routes.Name)) Routes[routes.Name] = routes;
        foreach (ListenerConfig listener in change.Listeners)
        {
            string? code = Unbindable.Contains(listener.Name) ? "NARU-P102" : null;
            if (Takes(ConfigKind.Listener, listener.Name, code)) Listeners[listener.Name] = listener;
        }
        foreach (string name in change.RemovedListeners) Listeners.Remove(name);
        foreach (string name in change.RemovedRouteConfigurations) Routes.Remove(name);
        foreach (string name in change.RemovedClusters) Clusters.Remove(name);
        foreach (RouteConfigurationConfig routes in Routes.Values.Concat(Listeners.Values.SelectMany(l => l.HttpManagers).Select(h => h.RouteConfig).OfType<RouteConfigurationConfig>()))
            foreach (string target in Resources.TargetsOf(routes))
                if (!Clusters.ContainsKey(target)) Broken.Add($"{routes.Name} -> {target}");
        return complaints;

        bool Takes(ConfigKind kind, string name, string? code = null)
        {
            if ((code ?? Refuses(kind, name)) is not { } why) return true;
            complaints.Add(new Refusal(kind, name, new Diagnostic(why, Severity.Error, $"{kind} {name}: no", Subject: name)));
            return false;
        }
    }

    public string Addresses(string service) =>
        Endpoints.TryGetValue(service, out EndpointsConfig? known) ? string.Join(" ", known.Endpoints.Select(e => e.Address)) : "(unknown)";
}

// A data plane that keeps what it was given, as an engine would have it, and can refuse a listener.
using Naru.Core;
using Naru.Proxy.Config;

namespace Naru.SimulationTests.ProxyXds;

internal sealed class RecordingPlane : IDataPlane
{
    public List<ConfigChange> Changes { get; } = [];
    public SortedDictionary<string, ClusterConfig> Clusters { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, EndpointsConfig> Endpoints { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, RouteConfigurationConfig> Routes { get; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, ListenerConfig> Listeners { get; } = new(StringComparer.Ordinal);

    /// <summary>Listeners whose address cannot be bound.</summary>
    public HashSet<string> Unbindable { get; } = [];

    /// <summary>Secrets that cannot be used.</summary>
    public HashSet<string> Unusable { get; } = [];

    /// <summary>Routes that named a cluster which was not there, at any time.</summary>
    public List<string> Broken { get; } = [];

    public IReadOnlyList<Diagnostic> Apply(ConfigChange change)
    {
        Changes.Add(change);
        var complaints = new Diagnostics();
        foreach (SecretConfig secret in change.Secrets)
            if (Unusable.Contains(secret.Name)) complaints.Error("NARU-P104", $"secret {secret.Name}: no", subject: secret.Name);
        foreach (ClusterConfig cluster in change.Clusters) Clusters[cluster.Name] = cluster;
        foreach (EndpointsConfig endpoints in change.Endpoints) Endpoints[endpoints.ClusterName] = endpoints;
        foreach (RouteConfigurationConfig routes in change.RouteConfigurations) Routes[routes.Name] = routes;
        foreach (ListenerConfig listener in change.Listeners)
        {
            if (Unbindable.Contains(listener.Name)) complaints.Error("NARU-P102", $"listener {listener.Name} cannot bind", subject: listener.Name);
            else Listeners[listener.Name] = listener;
        }
        foreach (string name in change.RemovedListeners) Listeners.Remove(name);
        foreach (string name in change.RemovedRouteConfigurations) Routes.Remove(name);
        foreach (string name in change.RemovedClusters) Clusters.Remove(name);
        foreach (RouteConfigurationConfig routes in Routes.Values.Concat(Listeners.Values.SelectMany(l => l.HttpManagers).Select(h => h.RouteConfig).OfType<RouteConfigurationConfig>()))
            foreach (string target in Resources.TargetsOf(routes))
                if (!Clusters.ContainsKey(target)) Broken.Add($"{routes.Name} -> {target}");
        return complaints.Items;
    }

    public string Addresses(string service) =>
        Endpoints.TryGetValue(service, out EndpointsConfig? known) ? string.Join(" ", known.Endpoints.Select(e => e.Address)) : "(unknown)";
}

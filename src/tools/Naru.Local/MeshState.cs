// What the mesh consists of, in one place and behind one lock: addresses, services, pods as others see them. Writes through to the
// state folder, which is how the control plane learns of it.
using System.Collections.Immutable;
using Naru.Inspect;
using Naru.Local.Front;
using Naru.Local.Manifests;

namespace Naru.Local;

internal sealed class MeshState(AddressPlan plan, StateWriter writer, EventLog events)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, ServiceManifest> _services = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PodState> _pods = new(StringComparer.Ordinal);
    private readonly HashSet<string> _wereReady = new(StringComparer.Ordinal);
    private readonly HashSet<string> _fromManifests = new(StringComparer.Ordinal);

    public AppPorts AppPorts { get; } = new();

    /// <summary>Base address of the gateway, <c>http://localhost:8080</c>.</summary>
    public string GatewayUrl { get; set; } = "";

    /// <summary>Where browsers and curl reach a service through the gateway: <c>http://NAME.localhost:8080</c>, <c>NAME.NS.localhost</c> where
    /// it is not in <c>default</c>. True of services with an HTTP port whose host no rule of the user's takes.</summary>
    public string GatewayUrlOf(string ns, string name) =>
        GatewayUrl.Replace("://", ns == "default" ? $"://{name}." : $"://{name}.{ns}.", StringComparison.Ordinal);

    /// <summary>Services that manifests name; others that were there from manifests go. Returns those that found no address.</summary>
    public IReadOnlyList<ServiceManifest> SetServices(IEnumerable<ServiceManifest> manifests)
    {
        var refused = new List<ServiceManifest>();
        lock (_lock)
        {
            List<ServiceManifest> wanted = [.. manifests];
            foreach (string gone in _fromManifests.Except(wanted.Select(s => s.Key)).ToList()) Remove(gone);
            foreach (ServiceManifest service in wanted)
            {
                if (!Put(service)) refused.Add(service);
                else _fromManifests.Add(service.Key);
            }
        }
        return refused;
    }

    /// <summary>The service of this name as it is, or <paramref name="service"/> where there is none; null where no address is left. Of
    /// several that come at once one makes it and the others join.</summary>
    public ServiceManifest? JoinService(ServiceManifest service)
    {
        lock (_lock) return _services.TryGetValue(service.Key, out ServiceManifest? known) ? known : Put(service) ? service : null;
    }

    /// <summary>Removes a service that no manifest names and no pod, ready or not, belongs to any more.</summary>
    public void LeaveService(string key)
    {
        lock (_lock)
        {
            if (_fromManifests.Contains(key) || !_services.TryGetValue(key, out ServiceManifest? service)) return;
            if (!_pods.Values.Any(p => service.Selects(p.Namespace, p.Labels))) Remove(key);
        }
    }

    /// <summary>Whether a manifest names the service.</summary>
    public bool IsFromManifests(string key)
    {
        lock (_lock) return _fromManifests.Contains(key);
    }

    /// <summary>How many ready pods share a service's requests with a pod.</summary>
    public int OthersOf(ServiceManifest service, string pod)
    {
        lock (_lock) return _pods.Values.Count(p => p.Name != pod && p.Ready && service.Selects(p.Namespace, p.Labels));
    }

    public ServiceManifest? Service(string key)
    {
        lock (_lock) return _services.GetValueOrDefault(key);
    }

    public ImmutableArray<ServiceManifest> Services()
    {
        lock (_lock) return [.. _services.Values.OrderBy(s => s.Key, StringComparer.Ordinal)];
    }

    public int? TakePod()
    {
        lock (_lock) return plan.TakePod();
    }

    /// <summary>Writes down what could not be written before; why that still does not work, or null.</summary>
    public string? Retry() => writer.Retry();

    /// <summary>Gives back the number of a pod that never came to be.</summary>
    public void GiveBack(int number)
    {
        lock (_lock) plan.ReleasePod(number);
    }

    public string PodAddress(int number) => plan.PodAddress(number);

    public void Put(PodState pod)
    {
        lock (_lock)
        {
            Tell(_pods.GetValueOrDefault($"{pod.Namespace}/{pod.Name}"), pod);
            _pods[$"{pod.Namespace}/{pod.Name}"] = pod;
            if (pod.Ready) _wereReady.Add($"{pod.Namespace}/{pod.Name}");
            writer.Put(pod);
        }
    }

    public void RemovePod(PodIdentity pod)
    {
        lock (_lock)
        {
            _wereReady.Remove($"{pod.Namespace}/{pod.Name}");
            if (!_pods.Remove($"{pod.Namespace}/{pod.Name}")) return;
            events.Normal("Pod", pod.Namespace, pod.Name, "Removed", "its processes have ended");
            writer.RemovePod(pod.Namespace, pod.Name);
            plan.ReleasePod(pod.Number);
        }
    }

    /// <summary>Whether a pod was ready at any time.</summary>
    public bool WasReady(string ns, string name)
    {
        lock (_lock) return _wereReady.Contains($"{ns}/{name}");
    }

    /// <summary>Whether any service sends requests to pods with these labels.</summary>
    public bool IsSelected(string ns, IReadOnlyDictionary<string, string> labels)
    {
        lock (_lock) return _services.Values.Any(s => s.Selects(ns, labels));
    }

    public Dictionary<string, string> EnvironmentOf(IReadOnlyDictionary<string, string> inherited, PodIdentity pod,
        IReadOnlyList<KeyValuePair<ContainerPort, int>> ports, IReadOnlyList<EnvironmentVariable> template,
        Func<string, bool>? isSet = null, bool names = true)
    {
        lock (_lock) return PodEnvironment.Build(inherited, pod, ports, template, _services.Values, plan, isSet, names);
    }

    public IReadOnlyList<ServiceStatus> ServiceStatuses()
    {
        lock (_lock)
        {
            return [.. _services.Values.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => new ServiceStatus
            {
                Namespace = s.Namespace,
                Name = s.Name,
                Address = plan.ClusterAddress(plan.Services[s.Key]),
                Ports = [.. s.Ports.Select(p => p.Number)],
                Ready = _pods.Values.Count(p => p.Ready && s.Selects(p.Namespace, p.Labels)),
            })];
        }
    }

    /// <summary>Services with the versions of their pods, by name. Links are for who knows the gateway's routes.</summary>
    public IReadOnlyList<FrontService> Overview()
    {
        lock (_lock)
        {
            return [.. _services.Values
                .OrderBy(s => s.Namespace == "default" ? "" : s.Namespace, StringComparer.Ordinal).ThenBy(s => s.Name, StringComparer.Ordinal)
                .Select(s => new FrontService(s.Name, s.Namespace, null, [.. s.Ports.Select(p => p.Number)], [.. _pods.Values
                    .Where(p => s.Selects(p.Namespace, p.Labels) && p.Terminating is null)
                    .GroupBy(p => FrontRequest.Clean(p.Labels.GetValueOrDefault("version", "")))
                    .OrderBy(g => g.Key, StringComparer.Ordinal)
                    .Select(g => new FrontVersion(g.Key, g.Count(p => p.Ready), g.Count()))]))];
        }
    }

    private void Tell(PodState? before, PodState now)
    {
        if (before is null) events.Normal("Pod", now.Namespace, now.Name, "Created", $"it has the address {now.Address}");
        if (now.Ready && before?.Ready != true) events.Normal("Pod", now.Namespace, now.Name, "Ready", "it gets requests");
        else if (now.Terminating is not null && before?.Terminating is null) events.Normal("Pod", now.Namespace, now.Name, "Killing", "it gets no new requests, and ends after those under way");
        else if (before?.Ready == true && !now.Ready && now.Terminating is null) events.Warning("Pod", now.Namespace, now.Name, "Unhealthy", "it gets no requests until it is ready again");
    }

    private bool Put(ServiceManifest service)
    {
        if (plan.TakeService(service.Key) is not { } number) return false;
        _services[service.Key] = service;
        writer.Put(service, plan.ClusterAddress(number));
        return true;
    }

    private void Remove(string key)
    {
        if (!_services.Remove(key, out ServiceManifest? service)) return;
        _fromManifests.Remove(key);
        plan.ReleaseService(key);
        writer.RemoveService(service.Namespace, service.Name);
    }
}

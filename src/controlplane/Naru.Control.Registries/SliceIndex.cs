// Endpoints as the cluster says them: EndpointSlices by service, with the pods and nodes behind them. A service without a slice has the
// pods that it selects (PodIndex), as on one machine.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;

namespace Naru.Control.Registries;

internal sealed class SliceIndex
{
    private const string Region = "topology.kubernetes.io/region", Zone = "topology.kubernetes.io/zone",
        SubZone = "topology.istio.io/subzone";

    private readonly ILookup<(string Namespace, string Service), EndpointSliceSpec> _slices;
    private readonly ConfigState _config;

    public SliceIndex(ConfigState config)
    {
        _config = config;
        _slices = config.Objects.Values.Where(o => o.Spec is EndpointSliceSpec { Service.Length: > 0 })
            .ToLookup(o => (o.Key.Namespace, ((EndpointSliceSpec)o.Spec).Service), o => (EndpointSliceSpec)o.Spec);
    }

    /// <summary>The slices of a service; null where it has none.</summary>
    public Slices? Of(MeshService service)
    {
        IEnumerable<EndpointSliceSpec> own = _slices[(service.Namespace, service.Name)];
        return own.Any() ? new Slices(this, service.Namespace, own) : null;
    }

    /// <summary>An endpoint that is a pod.</summary>
    public static MeshEndpoint OfPod(ConfigObject pod, string address, int port, string locality) =>
        new(address, port, pod.Labels, $"{pod.Key.Name}.{pod.Key.Namespace}", locality, 1)
        {
            Account = $"{pod.Key.Namespace}/{((PodSpec)pod.Spec).ServiceAccount}",
        };

    /// <summary>The slices of one service.</summary>
    internal sealed class Slices(SliceIndex index, string ns, IEnumerable<EndpointSliceSpec> slices)
    {
        /// <summary>The endpoints of a port.</summary>
        public ImmutableArray<MeshEndpoint> Select(MeshPort port)
        {
            var made = ImmutableArray.CreateBuilder<MeshEndpoint>();
            foreach (EndpointSliceSpec slice in slices)
            {
                // A slice's port has the name of its service's.
                int number = slice.Ports.FirstOrDefault(p => p.Name == port.Name).Port;
                if (number == 0) continue;
                foreach (SliceEndpoint endpoint in slice.Endpoints.Where(e => e.Ready && e.Addresses.Length > 0))
                {
                    string locality = index.PlaceOf(endpoint.Node);
                    made.Add(index._config.Objects.TryGetValue(new ObjectKey(Kinds.Pod, ns, endpoint.Pod), out ConfigObject? pod)
                        ? OfPod(pod, endpoint.Addresses[0], number, locality)
                        : new MeshEndpoint(endpoint.Addresses[0], number, PodIndex.NoLabels, "", locality, 1));
                }
            }
            return made.ToImmutable();
        }
    }

    /// <summary>Where a node is; empty where that is not known.</summary>
    public string PlaceOf(string node)
    {
        if (node.Length == 0 || !_config.Objects.TryGetValue(new ObjectKey(Kinds.Node, "", node), out ConfigObject? item)) return "";
        string[] parts = [item.Labels.GetValueOrDefault(Region, ""), item.Labels.GetValueOrDefault(Zone, ""),
            item.Labels.GetValueOrDefault(SubZone, "")];
        return string.Join('/', parts).TrimEnd('/');
    }
}

// The store's part for RTDS: layers of the runtime that discovery brings. They come before all else, since what follows looks at them.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    private readonly Runtime _runtime;
    private readonly Dictionary<string, RuntimeEntry> _runtimeLayers = new(StringComparer.Ordinal);
    private long _runtimeSince;

    private void BeginRuntime(BootstrapConfig bootstrap)
    {
        _runtimeSince = _time.GetTimestamp();
        foreach (RuntimeLayerConfig layer in bootstrap.Runtime)
        {
            if (layer.Source is not { } source) continue;
            _runtimeLayers[layer.Resource] = new RuntimeEntry(layer.Resource, layer.Name, source);
            RuntimeBlock.Add(SubscriptionStats.Attempt);
        }
    }

    private StatBlock RuntimeBlock => _stats.Block("runtime", SubscriptionStats.Schema);

    private void DeclareRuntime()
    {
        if (_runtimeLayers.Count == 0) return;
        var wanted = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        foreach (RuntimeEntry entry in _runtimeLayers.Values) NamesOf(wanted, entry.Source).Add(entry.Name);
        _interests.SubscribeNames(ResourceType.Runtime, wanted);
    }

    private void AcceptRuntime(ResourceBatch batch)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            if (!_runtimeLayers.TryGetValue(resource.Name, out RuntimeEntry? entry)) continue;
            entry.Answered = true;
            if (resource.Record is not RuntimeResourceConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Taken();
            _runtime.Replace(entry.Layer, record.Values);
        }
        foreach (RejectedResource bad in batch.Rejected)
            if (_runtimeLayers.TryGetValue(bad.Name, out RuntimeEntry? entry)) entry.Answered = true;
        foreach (string name in batch.Removed)
        {
            if (!_runtimeLayers.TryGetValue(name, out RuntimeEntry? entry)) continue;
            // Then what lies below counts.
            entry.Answered = true;
            entry.Accepted(new AcceptedResource(name, "", Google.Protobuf.ByteString.Empty, null), _time.GetUtcNow());
            entry.Taken();
            _runtime.Replace(entry.Layer, RuntimeLayerConfig.None);
        }
    }

    private bool HasRuntime()
    {
        long now = _time.GetTimestamp();
        bool all = true;
        foreach (RuntimeEntry entry in _runtimeLayers.Values)
        {
            if (entry.Answered) continue;
            if (!HasPassed(_runtimeSince, entry.Source.InitialFetchTimeout, now))
            {
                all = false;
                continue;
            }
            entry.Answered = true;
            RuntimeBlock.Add(SubscriptionStats.InitFetchTimeout);
            _log(LogLevel.Warning, $"xds: no layer \"{entry.Name}\" of the runtime within {entry.Source.InitialFetchTimeout.TotalSeconds:0.###} s; starting without, it is taken whenever it comes");
        }
        return all;
    }
}

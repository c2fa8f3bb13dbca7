// envoy.extensions.filters.common.set_filter_state.v3: texts that are kept with a request or a connection, made by formats. Other kinds of
// objects than texts are refused by name, but for the one that a tcp_proxy obeys.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Common.SetFilterState.V3;
using Google.Protobuf.Collections;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads filter state.</summary>
internal static class FilterStates
{
    /// <summary>The values of a field.</summary>
    public static ImmutableArray<StateValueConfig> Read(
        Scope scope, string field, RepeatedField<FilterStateValue> values, bool ofConnections)
    {
        var all = ImmutableArray.CreateBuilder<StateValueConfig>(values.Count);
        for (int i = 0; i < values.Count; i++)
        {
            FilterStateValue given = values[i];
            Scope at = scope.In(field, i, given);
            if (!Values.Required(at, "object_key", given.ObjectKey)) continue;
            string kind = given.FactoryKey.Length > 0 ? given.FactoryKey : given.ObjectKey;
            // Whatever kind it is said to be, under this key it is obeyed.
            bool isCluster = ofConnections && kind == NetworkStateConfig.TcpCluster && given.ObjectKey == NetworkStateConfig.TcpCluster;
            if (!isCluster && (kind is not ("envoy.string" or "envoy.hashable_string") || given.ObjectKey == NetworkStateConfig.TcpCluster))
            {
                at.Error(given.FactoryKey.Length > 0 ? "factory_key" : "object_key", "NARU-C112",
                    $"Naru does not support state of the kind {kind} yet",
                    "write factory_key: envoy.string for a text that formats and routes read");
                continue;
            }
            if (given.FormatString is not { } format)
            {
                at.Error("format_string", "NARU-C101", "\"format_string\" is required");
                continue;
            }
            if (Formats.Read(at.In("format_string", format), format, FormatUse.Body) is { } source)
                all.Add(new StateValueConfig(given.ObjectKey, source, given.ReadOnly, given.SkipIfEmpty));
        }
        return all.ToImmutable();
    }
}

// Metadata as labels: keys in order with their values in one spelling of JSON, so that two values are equal where their texts are.
// Of an endpoint's metadata only what chooses its transport socket is kept.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads metadata.</summary>
internal static class MetadataValues
{
    private const string TransportKey = "envoy.transport_socket_match";

    /// <summary>What chooses a transport socket (Envoy: Cluster.transport_socket_matches).</summary>
    /// <param name="metadata">Of an endpoint or a locality.</param>
    /// <param name="last">Given back where it says the same, so that many endpoints share it.</param>
    public static ImmutableArray<KeyValuePair<string, string>> ForTransport(Metadata? metadata, ImmutableArray<KeyValuePair<string, string>> last)
    {
        if (metadata is null || !metadata.FilterMetadata.TryGetValue(TransportKey, out Struct? labels)) return [];
        ImmutableArray<KeyValuePair<string, string>> made = Canonical(labels);
        return !last.IsDefault && made.AsSpan().SequenceEqual(last.AsSpan()) ? last : made;
    }

    /// <summary>The fields of a struct by key.</summary>
    public static ImmutableArray<KeyValuePair<string, string>> Canonical(Struct? labels)
    {
        if (labels is null || labels.Fields.Count == 0) return [];
        IEnumerable<KeyValuePair<string, Value>> ordered = labels.Fields.OrderBy(f => f.Key, StringComparer.Ordinal);
        return [.. ordered.Select(f => new KeyValuePair<string, string>(f.Key, Text(f.Value)))];
    }

    /// <summary>A value in its one spelling of JSON.</summary>
    public static string Text(Value value) => MetadataReader.Read(value).ToString();
}

// Metadata as labels: keys in order with their values in one spelling of JSON, so that two values are equal where their texts are.
// Of an endpoint's metadata only what chooses its transport socket is kept.
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
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
    public static string Text(Value value)
    {
        var text = new StringBuilder();
        Append(text, value);
        return text.ToString();
    }

    private static void Append(StringBuilder text, Value value)
    {
        switch (value.KindCase)
        {
            case Value.KindOneofCase.StringValue:
                Quote(text, value.StringValue);
                break;
            case Value.KindOneofCase.NumberValue:
                text.Append(value.NumberValue.ToString("R", CultureInfo.InvariantCulture));
                break;
            case Value.KindOneofCase.BoolValue:
                text.Append(value.BoolValue ? "true" : "false");
                break;
            case Value.KindOneofCase.ListValue:
                text.Append('[');
                for (int i = 0; i < value.ListValue.Values.Count; i++)
                {
                    if (i > 0) text.Append(',');
                    Append(text, value.ListValue.Values[i]);
                }
                text.Append(']');
                break;
            case Value.KindOneofCase.StructValue:
                text.Append('{');
                bool first = true;
                foreach ((string key, Value inner) in value.StructValue.Fields.OrderBy(f => f.Key, StringComparer.Ordinal))
                {
                    if (!first) text.Append(',');
                    first = false;
                    Quote(text, key);
                    text.Append(':');
                    Append(text, inner);
                }
                text.Append('}');
                break;
            default:
                text.Append("null");
                break;
        }
    }

    private static void Quote(StringBuilder text, string value) => text.Append('"').Append(JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(value)).Append('"');
}

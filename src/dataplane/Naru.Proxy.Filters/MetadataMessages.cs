// A request's metadata as services get it: messages of the namespaces that may be told.
using System.Text;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

internal static class MetadataMessages
{
    // Envoy's for bytes that are no UTF-8.
    private static readonly Encoding s_utf8 = Encoding.GetEncoding("utf-8", EncoderFallback.ReplacementFallback, new DecoderReplacementFallback("!"));

    /// <summary>Text as messages have it.</summary>
    public static string Text(ReadOnlySpan<byte> bytes) => s_utf8.GetString(bytes);

    /// <summary>Those of <paramref name="namespaces"/> that there are.</summary>
    public static Metadata Of(MetaValue? from, IEnumerable<byte[]> namespaces)
    {
        var metadata = new Metadata();
        foreach (byte[] name in namespaces)
            if (from?.Find(name) is { Kind: MetaKind.Map } said) metadata.FilterMetadata[Text(name)] = Struct(said);
        return metadata;
    }

    private static Struct Struct(MetaValue map)
    {
        var made = new Struct();
        for (int i = 0; i < map.Items.Length; i++) made.Fields[Text(map.NameOf(i))] = ValueOf(map.Items[i]);
        return made;
    }

    private static Value ValueOf(MetaValue value) => value.Kind switch
    {
        MetaKind.Number => Value.ForNumber(value.Number),
        MetaKind.Text => Value.ForString(Text(value.Text)),
        MetaKind.Bool => Value.ForBool(value.IsTrue),
        MetaKind.Map => Value.ForStruct(Struct(value)),
        MetaKind.List => Value.ForList([.. value.Items.ToArray().Select(ValueOf)]),
        _ => Value.ForNull(),
    };
}

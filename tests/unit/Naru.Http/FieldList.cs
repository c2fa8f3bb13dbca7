// A sink that keeps what it is given as text, and can refuse at a chosen field.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;

namespace Naru.UnitTests.HttpCodecs;

internal struct FieldList() : IHpackSink
{
    public List<(string Name, string Value)> Fields { get; } = [];
    public List<(KnownHeader Id, bool WellFormed)> Facts { get; } = [];
    public int RefuseAt { get; init; } = int.MaxValue;

    public readonly bool OnField(scoped ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
    {
        Fields.Add((Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)));
        Facts.Add((id, wellFormed));
        return Fields.Count < RefuseAt;
    }

    public static (string Name, string Value)[] Decode(HpackDecoder decoder, ReadOnlySpan<byte> block)
    {
        var list = new FieldList();
        HpackStatus status = decoder.Decode(block, ref list);
        return status == HpackStatus.Ok ? [.. list.Fields] : throw new InvalidDataException(status.ToString());
    }

    public static HpackStatus StatusOf(HpackDecoder decoder, ReadOnlySpan<byte> block)
    {
        var list = new FieldList();
        return decoder.Decode(block, ref list);
    }

    public static byte[] Hex(string hex) => Convert.FromHexString(hex.Replace(" ", ""));
}

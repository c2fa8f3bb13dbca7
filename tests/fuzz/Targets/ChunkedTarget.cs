// Chunked bodies: any cut leads to the same data, and what is chunked comes back as it was.
using System.Text;
using Naru.FuzzTests.Engine;
using Naru.Http.Http1;

namespace Naru.FuzzTests.Targets;

internal sealed class ChunkedTarget : FuzzTarget
{
    public override string Name => "chunked";

    public override int Replayed => 3000;

    public override IEnumerable<byte[]> Seeds =>
    [
        Bytes("5\r\nhello\r\n0\r\n\r\n"), Bytes("a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\n"), Bytes("0\r\nX: y\r\n\r\n"), Bytes("000000000000002;\t\"\r\nab\r\nF\r\n"),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "\r\n", "\n", "\r", ";", ";a=b", "0\r\n", "1\r\nx\r\n", "ffffffffffffffff", "7fffffffffffffff\r\n", " ", "\t", "0x1", "-1", "\u00ff" }.Select(Bytes)];

    public override int Run(byte[] input)
    {
        string whole = Decode(input, [input.Length]);
        foreach (int cut in Cuts(input.Length)) Same(whole, Decode(input, [cut, input.Length]), "a body is the same in two pieces");
        Same(whole, Decode(input, Enumerable.Range(0, input.Length + 1)), "a body is the same byte by byte");
        RoundTrip(input);
        return whole.AsSpan().Count('|') * 8 + (int)whole[0];
    }

    // What happened, how far it came and the data: "Trailers 12|hello".
    private static string Decode(byte[] input, IEnumerable<int> arrivals)
    {
        var decoder = new ChunkedDecoder();
        var data = new StringBuilder();
        int at = 0;
        foreach (int arrived in arrivals)
        {
            while (at < arrived)
            {
                ReadOnlySpan<byte> rest = input.AsSpan(at, arrived - at).ToArray();
                ChunkEvent found = decoder.Next(rest, out int consumed, out int count);
                Law(consumed >= 0 && consumed <= rest.Length && count >= 0 && count <= consumed, "no more is used up than there is");
                Law(found is ChunkEvent.NeedMore or ChunkEvent.Refused || consumed > 0, "every step goes forward");
                at += consumed;
                if (found == ChunkEvent.Data) data.Append(Text(rest.Slice(consumed - count, count)));
                else if (found != ChunkEvent.NeedMore) return $"{found} {at}|{data}";
                else Law(at == arrived, "more is wanted only when nothing is left");
            }
        }
        return $"NeedMore {at} {decoder.Remaining}|{data}";
    }

    private static void RoundTrip(byte[] body)
    {
        var wire = new StringBuilder();
        for (int at = 0; at < body.Length;)
        {
            int length = Math.Min(1 + body[at] % 37, body.Length - at);
            wire.Append(length.ToString(body[at] % 2 == 0 ? "x" : "X4")).Append(body[at] % 5 == 0 ? ";e=1" : "").Append("\r\n").Append(Text(body.AsSpan(at, length))).Append("\r\n");
            at += length;
        }
        wire.Append("0\r\n");
        byte[] bytes = Bytes(wire.ToString());
        Same($"Trailers {bytes.Length}|{Text(body)}", Decode(bytes, [bytes.Length]), "what is chunked comes back");
    }
}

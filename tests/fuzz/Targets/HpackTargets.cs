// HPACK: the decoder against the reference, what the encoder writes against what was meant, Huffman strings against both.
using Naru.FuzzTests.Engine;
using Naru.Http.Headers;
using Naru.Http.Hpack;

namespace Naru.FuzzTests.Targets;

/// <summary>Strings in Huffman code.</summary>
internal sealed class HuffmanTarget : FuzzTarget
{
    public override string Name => "huffman";

    public override int MaxLength => 200;

    public override IEnumerable<byte[]> Seeds =>
        [.. new[] { "", "f1e3c2e5f23a6ba0ab90f4ff", "a8eb10649cbf", "6402", "640eff", "ff", "fffffffc", "fffc7f", "9bd9ab", "1f" }.Select(Convert.FromHexString)];

    public override int Run(byte[] input)
    {
        var room = new byte[HpackHuffman.MaxDecodedLength(input.Length)];
        int length = HpackHuffman.Decode(input, room);
        Same(ReferenceHpack.Huffman(input) ?? "broken", length < 0 ? "broken" : Text(room.AsSpan(0, length)), "a Huffman string reads as the reference reads it");
        if (length >= 0) Same(Text(input), Text(Encode(room.AsSpan(0, length).ToArray())), "what decodes has one code only");
        byte[] coded = Encode(input);
        var back = new byte[HpackHuffman.MaxDecodedLength(coded.Length)];
        length = HpackHuffman.Decode(coded, back);
        Law(length >= 0, "what is encoded decodes");
        Same(Text(input), Text(back.AsSpan(0, length)), "what is encoded comes back");
        return Math.Min(length, 20);
    }

    private static byte[] Encode(byte[] plain)
    {
        var coded = new byte[HpackHuffman.EncodedLength(plain)];
        HpackHuffman.Encode(plain, coded);
        return coded;
    }
}

/// <summary>Header blocks of a hostile peer: two bytes of length, then the block, again and again on one connection.</summary>
internal sealed class HpackDecodeTarget : FuzzTarget
{
    public override string Name => "hpack-decode";

    public override IEnumerable<byte[]> Seeds =>
    [
        Blocks("828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865", "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
        Blocks("3fe101", "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3", "4883640effc1c0bf"),
        Blocks("400161016240016301644001650166", "bebfc0", "7e0178", "20", "3f45", "82"),
        Blocks([.. Enumerable.Range(0, 24).Select(i => $"4001{0x61 + i:x2}{i % 3:x2}{string.Concat(Enumerable.Repeat("78", i % 3))}")]),
        Blocks("0f2f0161", "1f2f0161", "3f21400161016240016301640f2f0161bebf"),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[] { "20", "3f21", "3fe11f", "3fe21f", "be", "bf", "c0", "ff00", "ffffffff7f", "40", "7e", "7f00", "0f", "1f", "80", "8000", "4001610162", "410181", "84fffffffc", "00", "ff808080807f" }
            .Select(Convert.FromHexString),
        [0x40, 0x7f, 0x00, .. Enumerable.Repeat((byte)'n', 127)],
    ];

    public override int Run(byte[] input)
    {
        var decoder = new HpackDecoder();
        var picky = new HpackDecoder();
        var reference = new ReferenceHpack();
        var outcome = new HashCode();
        for (int at = 0; at + 2 <= input.Length;)
        {
            int length = Math.Min(input[at] << 8 | input[at + 1], input.Length - at - 2);
            byte[] block = input.AsSpan(at + 2, length).ToArray();
            at += 2 + length;

            List<(string Name, string Value)>? expected = reference.Decode(block);
            var got = new FieldCollector(int.MaxValue);
            HpackStatus status = decoder.Decode(block, ref got);
            outcome.Add(status);
            var some = new FieldCollector(2);
            HpackStatus refused = picky.Decode(block, ref some);
            Law((expected is null) == (status != HpackStatus.Ok), $"a block is broken for both or for none ({status})");
            if (expected is null)
            {
                Law(refused == status, "a refusal hides no error");
                break;
            }
            Same(string.Join('|', expected), string.Join('|', got.Fields), "a block has the fields that the reference finds");
            Law(refused == (expected.Count >= 2 ? HpackStatus.RefusedBySink : HpackStatus.Ok) && some.Fields.Count <= 2, "a refusal is reported and kept");
            Law((decoder.TableSize, decoder.TableCount) == (reference.Size, reference.Count), "the table is that of the reference");
            Law((picky.TableSize, picky.TableCount) == (reference.Size, reference.Count), "the table is kept right through a refusal");
            byte[] all = AllEntries(decoder.TableCount);
            var kept = new FieldCollector(int.MaxValue);
            Law(decoder.Decode(all, ref kept) == HpackStatus.Ok, "every entry can be named");
            Same(string.Join('|', reference.Decode(all)!), string.Join('|', kept.Fields), "every entry is that of the reference");
            for (int i = 0; i < got.Fields.Count; i++)
            {
                (string name, string value) = got.Fields[i];
                Law(got.WellFormed[i] == (FieldRules.IsName(Bytes(name)) && FieldRules.IsValue(Bytes(value))), "what the table says of a field is true");
            }
            outcome.Add(Math.Min(expected.Count, 5));
            outcome.Add(Math.Min(decoder.TableCount, 4));
        }
        return outcome.ToHashCode();
    }

    // A block that names the whole dynamic table and changes nothing.
    private static byte[] AllEntries(int count)
    {
        var block = new List<byte>();
        for (int index = 62; index < 62 + count; index++)
        {
            if (index < 127) block.Add((byte)(0x80 | index));
            else block.AddRange([0xff, (byte)(index - 127)]);
        }
        return [.. block];
    }

    private static byte[] Blocks(params string[] blocks) =>
        [.. blocks.Select(Convert.FromHexString).SelectMany(b => new[] { (byte)(b.Length >> 8), (byte)b.Length }.Concat(b))];
}

/// <summary>A script for the encoder: what to send, how much room there is, which table the peer allows.</summary>
internal sealed class HpackEncodeTarget : FuzzTarget
{
    private static readonly string[] s_names =
        [":path", ":authority", "Cookie", "date", "content-type", "x-a", "X-B", "authorization", ":status", "set-cookie", "grpc-timeout", "", "x-" + new string('q', 140), "te"];

    public override string Name => "hpack-encode";

    public override IEnumerable<byte[]> Seeds =>
        [[0, 1, 2, 3, 4, 5, 6, 7, 8], [.. Enumerable.Range(0, 120).Select(i => (byte)(i * 7))], [250, 10, 4, 3, 65, 66, 67, 4, 3, 65, 66, 67, 255, 4, 3, 65, 66, 67, 251, 0, 0, 4, 3, 65, 66, 67]];

    public override int Run(byte[] input)
    {
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        var block = new byte[256];
        var sent = new List<(string, string)>();
        int at = 0;
        int written = encoder.BeginBlock(block);
        int outcome = 0;
        byte Next() => at < input.Length ? input[at++] : (byte)0;
        while (at < input.Length)
        {
            byte step = Next();
            if (step >= 252)
            {
                Finish();
                written = encoder.BeginBlock(block);
            }
            else if (step >= 248)
            {
                // A change of table size is only told at the start of a block.
                encoder.SetPeerTableSize((uint)(Next() << 8 | Next()));
            }
            else
            {
                string name = s_names[step % s_names.Length];
                byte[] value = new byte[Math.Min(Next(), input.Length - at)];
                input.AsSpan(at, value.Length).CopyTo(value);
                at += value.Length / 2;
                int length = encoder.Encode(Bytes(name), value, block.AsSpan(written));
                Law(length is -1 or > 0 && length <= block.Length - written, "no more is written than there is room");
                if (length < 0)
                {
                    Finish();
                    written = encoder.BeginBlock(block);
                    continue;
                }
                written += length;
                sent.Add((name.ToLowerInvariant(), Text(value)));
            }
        }
        Finish();
        return outcome;

        void Finish()
        {
            Law(written >= 0, "there is always room for the start of a block");
            var got = new FieldCollector(int.MaxValue);
            HpackStatus status = decoder.Decode(block.AsSpan(0, written), ref got);
            Law(status == HpackStatus.Ok, $"what is encoded decodes ({status})");
            Same(string.Join('|', sent), string.Join('|', got.Fields), "what is encoded comes back");
            Law(decoder.TableSize == encoder.TableSize, "both tables are alike");
            outcome = HashCode.Combine(outcome, Math.Min(sent.Count, 4), decoder.TableCount);
            sent.Clear();
        }
    }
}

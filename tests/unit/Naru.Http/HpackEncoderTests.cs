// What the encoder writes, our decoder (judged by the RFC's examples) reads back; and it is as short as it should be.
using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Xunit;

namespace Naru.UnitTests.HttpCodecs;

public sealed class HpackEncoderTests
{
    private static readonly (string, string)[] s_unary =
    [
        (":method", "POST"), (":scheme", "http"), (":path", "/helloworld.Greeter/SayHello"), (":authority", "greeter:50051"), ("content-type", "application/grpc"),
        ("te", "trailers"), ("user-agent", "grpc-dotnet/2.70.0"), ("grpc-accept-encoding", "identity,gzip,deflate"), ("x-forwarded-proto", "http"),
        ("x-envoy-expected-rq-timeout-ms", "15000"),
    ];

    private static byte[] Encode(HpackEncoder encoder, params ReadOnlySpan<(string Name, string Value)> fields)
    {
        var block = new byte[1 << 20];
        int at = encoder.BeginBlock(block);
        foreach ((string name, string value) in fields)
        {
            int written = encoder.Encode(Encoding.Latin1.GetBytes(name), Encoding.Latin1.GetBytes(value), block.AsSpan(at));
            Assert.True(written > 0);
            at += written;
        }
        return block[..at];
    }

    // As heads are encoded: by the line, where the encoder knows it.
    private static byte[] EncodeLines(HpackEncoder encoder, params ReadOnlySpan<(string Name, string Value)> fields)
    {
        var block = new byte[1 << 20];
        int at = encoder.BeginBlock(block);
        foreach ((string name, string value) in fields)
        {
            byte[] line = Encoding.Latin1.GetBytes($"{name}: {value}");
            int written = encoder.EncodeKnown(line, block.AsSpan(at));
            if (written == 0) written = encoder.EncodeLine(line, line.AsSpan(0, name.Length), line.AsSpan(name.Length + 2), block.AsSpan(at));
            Assert.True(written > 0);
            at += written;
        }
        return block[..at];
    }

    [Fact]
    public void A_line_that_was_sent_before_is_known_until_its_field_leaves_the_table()
    {
        var encoder = new HpackEncoder();
        byte[] line = "user-agent: curl/8"u8.ToArray();
        Assert.Equal(0, encoder.EncodeKnown(line, new byte[64]));
        for (int i = 0; i < 3; i++) _ = EncodeLines(encoder, ("user-agent", "curl/8"));
        Assert.Equal(1, encoder.EncodeKnown(line, new byte[64]));
        Assert.Equal(0, encoder.EncodeKnown("user-agent: curl/9"u8, new byte[64]));
        Assert.Equal(0, encoder.EncodeKnown("user-agent:  curl/8"u8, new byte[64]));
        Assert.Equal(-1, encoder.EncodeKnown(line, []));
        encoder.SetPeerTableSize(0);
        _ = encoder.BeginBlock(new byte[64]);
        Assert.Equal(0, encoder.EncodeKnown(line, new byte[64]));
    }

    [Fact]
    public void A_grpc_call_that_was_made_before_takes_one_byte_a_field()
    {
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        for (int call = 1; call <= 4; call++)
        {
            byte[] block = Encode(encoder, s_unary);
            Assert.Equal(s_unary, FieldList.Decode(decoder, block));
            if (call >= 3) Assert.Equal(s_unary.Length, block.Length);
        }
    }

    [Fact]
    public void Names_are_written_in_lower_case()
    {
        string longName = "X-" + new string('Q', 300);
        byte[] block = Encode(new HpackEncoder(), ("Content-Type", "Text/HTML"), ("X-Thing", "A"), (longName, "B"));
        Assert.Equal([("content-type", "Text/HTML"), ("x-thing", "A"), (longName.ToLowerInvariant(), "B")], FieldList.Decode(new HpackDecoder(), block));
    }

    [Theory]
    [InlineData("authorization", "Bearer abc")]
    [InlineData("proxy-authorization", "Basic abc")]
    [InlineData("set-cookie", "a=b; path=/; a long one that no one could guess")]
    [InlineData("cookie", "short")]
    public void Secrets_are_never_indexed_by_anybody(string name, string value)
    {
        var encoder = new HpackEncoder();
        for (int i = 0; i < 3; i++)
        {
            byte[] block = Encode(encoder, (name, value));
            Assert.Equal(0x10, block[0] & 0xf0);
        }
        Assert.Equal(0, encoder.TableSize);
    }

    [Theory]
    [InlineData("content-length")]
    [InlineData("date")]
    [InlineData("etag")]
    [InlineData(":path")]
    public void What_changes_with_each_message_stays_out_of_the_table(string name)
    {
        var encoder = new HpackEncoder();
        for (int i = 0; i < 50; i++)
        {
            byte[] block = Encode(encoder, (name, $"value-{i}"));
            Assert.Equal(0, block[0] & 0xf0);
        }
        Assert.Equal(0, encoder.TableSize);
    }

    [Fact]
    public void A_name_that_nobody_knows_is_sent_once_and_its_changing_values_stay_out_of_the_table()
    {
        var encoder = new HpackEncoder();
        Assert.Equal(0x40, Encode(encoder, ("x-request-id", "0000"))[0]);
        int size = encoder.TableSize;
        // Two bytes name the entry, one is a length, four are the value.
        for (int i = 1; i < 50; i++) Assert.Equal(2 + 1 + 4, Encode(encoder, ("x-request-id", $"{i:d4}")).Length);
        Assert.Equal(size, encoder.TableSize);
    }

    [Fact]
    public void A_long_cookie_that_repeats_is_indexed()
    {
        var encoder = new HpackEncoder();
        byte[][] blocks = [.. Enumerable.Range(0, 3).Select(_ => Encode(encoder, ("cookie", "session=0123456789abcdef0123456789abcdef")))];
        Assert.Equal((0x00, 0x40, 1), (blocks[0][0] & 0xf0, blocks[1][0] & 0xc0, blocks[2].Length));
    }

    [Fact]
    public void A_field_without_room_writes_nothing_and_changes_nothing()
    {
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        byte[] name = "content-type"u8.ToArray(), value = "application/grpc+proto"u8.ToArray();
        byte[] whole = Encode(new HpackEncoder(), ("content-type", "application/grpc+proto"));
        for (int room = 0; room < whole.Length; room++)
        {
            var small = new byte[room];
            Assert.Equal(-1, encoder.Encode(name, value, small));
            Assert.All(small, b => Assert.Equal(0, b));
        }
        var exact = new byte[whole.Length];
        Assert.Equal(whole.Length, encoder.Encode(name, value, exact));
        Assert.Equal(whole, exact);
        Assert.Equal([("content-type", "application/grpc+proto")], FieldList.Decode(decoder, exact));
        var one = new byte[1];
        Assert.Equal(-1, encoder.Encode(name, value, []));
        Assert.Equal(1, encoder.Encode(name, value, one));
        Assert.Equal([("content-type", "application/grpc+proto")], FieldList.Decode(decoder, one));
    }

    [Fact]
    public void A_change_of_the_peers_table_size_is_told_at_the_next_block_with_its_lowest_point()
    {
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        FieldList.Decode(decoder, Encode(encoder, ("content-type", "a")));
        Assert.True(encoder.TableSize > 0);
        encoder.SetPeerTableSize(0);
        encoder.SetPeerTableSize(100);
        byte[] block = Encode(encoder, (":method", "GET"));
        Assert.Equal(FieldList.Hex("20 3f45 82"), block);
        Assert.Equal([(":method", "GET")], FieldList.Decode(decoder, block));
        Assert.Equal((0, 0), (encoder.TableSize, decoder.TableSize));
        Assert.Equal(FieldList.Hex("82"), Encode(encoder, (":method", "GET")));
        // More than we ever use is not told.
        encoder.SetPeerTableSize(1 << 20);
        Assert.Equal(FieldList.Hex("3fe11f 82"), Encode(encoder, (":method", "GET")));
        encoder.SetPeerTableSize(1 << 21);
        Assert.Equal(FieldList.Hex("82"), Encode(encoder, (":method", "GET")));
        Assert.Equal(-1, Pending().BeginBlock(new byte[3]));

        static HpackEncoder Pending()
        {
            var e = new HpackEncoder();
            e.SetPeerTableSize(10);
            return e;
        }
    }

    [Fact]
    public void An_encoder_without_a_table_says_so_first()
    {
        var encoder = new HpackEncoder(0);
        Assert.Equal(FieldList.Hex("20 82"), Encode(encoder, (":method", "GET")));
        Encode(encoder, ("content-type", "a"), ("content-type", "a"));
        Assert.Equal(0, encoder.TableSize);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Whatever_is_encoded_decodes_to_itself_whatever_becomes_of_the_tables(int seed)
    {
        var random = new Random(seed);
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        string[] names = [":path", ":authority", "cookie", "date", "content-type", "x-a", "x-b", "grpc-timeout", "authorization", "x-" + new string('z', 60), ":status", ""];
        for (int block = 0; block < 3000; block++)
        {
            if (random.Next(20) == 0) encoder.SetPeerTableSize((uint)random.Next(random.Next(2) == 0 ? 300 : 5000));
            var fields = new (string, string)[random.Next(12)];
            for (int i = 0; i < fields.Length; i++)
            {
                var value = new byte[random.Next(4) switch { 0 => 0, 1 => random.Next(300), _ => random.Next(12) }];
                for (int j = 0; j < value.Length; j++) value[j] = (byte)(random.Next(30) == 0 ? random.Next(256) : 'a' + random.Next(3));
                fields[i] = (names[random.Next(names.Length)], Encoding.Latin1.GetString(value));
            }
            Assert.Equal(fields, FieldList.Decode(decoder, random.Next(3) == 0 ? Encode(encoder, fields) : EncodeLines(encoder, fields)));
            Assert.Equal(encoder.TableSize, decoder.TableSize);
        }
    }

    private struct Counter : IHpackSink
    {
        public int Fields;

        public bool OnField(scoped ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
        {
            Fields++;
            return true;
        }
    }

    [Fact]
    public void Warm_coding_allocates_nothing()
    {
        var encoder = new HpackEncoder();
        var decoder = new HpackDecoder();
        (byte[] Name, byte[] Value)[] fields = [.. s_unary.Select(f => (Encoding.ASCII.GetBytes(f.Item1), Encoding.ASCII.GetBytes(f.Item2))),
            ("X-Request-Id"u8.ToArray(), "00000000-0000-0000-0000-000000000000"u8.ToArray())];
        var block = new byte[4096];
        var counter = new Counter();
        bool good = true;
        void Round(int number)
        {
            Utf8Formatter.TryFormat(number, fields[^1].Value.AsSpan(26), out _, new StandardFormat('D', 10));
            int at = encoder.BeginBlock(block);
            foreach ((byte[] name, byte[] value) in fields) at += encoder.Encode(name, value, block.AsSpan(at));
            good &= decoder.Decode(block.AsSpan(0, at), ref counter) == HpackStatus.Ok;
        }
        for (int i = 0; i < 2000; i++) Round(i);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 2000; i < 4000; i++) Round(i);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(0, allocated);
        Assert.True(good);
        Assert.Equal(4000 * fields.Length, counter.Fields);
    }
}

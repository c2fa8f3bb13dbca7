// The decoder against the examples of RFC 7541 appendix C and against what a hostile peer may send.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Xunit;
using static Naru.UnitTests.HttpCodecs.FieldList;

namespace Naru.UnitTests.HttpCodecs;

public sealed class HpackDecoderTests
{
    [Theory]
    [InlineData("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header", 55)]
    [InlineData("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", 0)]
    [InlineData("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", 0)]
    [InlineData("82", ":method", "GET", 0)]
    public void The_representations_of_appendix_C2_are_read(string block, string name, string value, int tableSize)
    {
        var decoder = new HpackDecoder();
        Assert.Equal([(name, value)], Decode(decoder, Hex(block)));
        Assert.Equal(tableSize, decoder.TableSize);
    }

    [Theory]
    [InlineData(
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")]
    [InlineData(
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")]
    public void The_requests_of_appendices_C3_and_C4_are_read(string first, string second, string third)
    {
        var decoder = new HpackDecoder();
        Assert.Equal([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")], Decode(decoder, Hex(first)));
        Assert.Equal(57, decoder.TableSize);
        Assert.Equal([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"), ("cache-control", "no-cache")],
            Decode(decoder, Hex(second)));
        Assert.Equal(110, decoder.TableSize);
        Assert.Equal([(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"), ("custom-key", "custom-value")],
            Decode(decoder, Hex(third)));
        Assert.Equal((164, 3), (decoder.TableSize, decoder.TableCount));
    }

    [Theory]
    [InlineData(
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31")]
    [InlineData(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07")]
    public void The_responses_of_appendices_C5_and_C6_are_read_with_evictions(string first, string second, string third)
    {
        // The examples have a table of 256 bytes, which the encoder says first.
        var decoder = new HpackDecoder();
        Assert.Empty(Decode(decoder, Hex("3fe101")));
        (string, string) date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        (string, string) location = ("location", "https://www.example.com");
        Assert.Equal([(":status", "302"), ("cache-control", "private"), date, location], Decode(decoder, Hex(first)));
        Assert.Equal(222, decoder.TableSize);
        Assert.Equal([(":status", "307"), ("cache-control", "private"), date, location], Decode(decoder, Hex(second)));
        Assert.Equal(222, decoder.TableSize);
        Assert.Equal([(":status", "200"), ("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:22 GMT"), location, ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")], Decode(decoder, Hex(third)));
        Assert.Equal((215, 3), (decoder.TableSize, decoder.TableCount));
    }

    [Theory]
    [InlineData("80", HpackStatus.InvalidIndex)]                     // index 0
    [InlineData("be", HpackStatus.InvalidIndex)]                     // 62 of an empty table
    [InlineData("ffff ffff 7f", HpackStatus.InvalidIndex)]           // the largest index an integer may say
    [InlineData("7e 01 61", HpackStatus.InvalidIndex)]               // literal with the name of entry 62
    [InlineData("ff", HpackStatus.Truncated)]                        // integer without an end
    [InlineData("ff80 8080 8080", HpackStatus.IntegerOverflow)]
    [InlineData("ffff ffff ff0f", HpackStatus.IntegerOverflow)]
    [InlineData("ff80 8080 8000", HpackStatus.IntegerOverflow)]      // zeros without end count too
    [InlineData("40", HpackStatus.Truncated)]                        // name missing
    [InlineData("4001 61", HpackStatus.Truncated)]                   // value missing
    [InlineData("4005 6162", HpackStatus.Truncated)]                 // name longer than the block
    [InlineData("4001 617f ffff ff7f", HpackStatus.Truncated)]       // value of 268 million bytes
    [InlineData("4183 ffff ff", HpackStatus.InvalidHuffman)]         // 24 bits of padding
    [InlineData("4184 ffff ffff", HpackStatus.InvalidHuffman)]       // EOS
    [InlineData("4184 ffff fffc", HpackStatus.InvalidHuffman)]       // EOS and padding
    [InlineData("4181 00", HpackStatus.InvalidHuffman)]              // '0' and padding of zeros
    [InlineData("4182 1fff", HpackStatus.InvalidHuffman)]            // 'a' and eleven bits of ones
    [InlineData("4181 ff", HpackStatus.InvalidHuffman)]              // eight bits of padding
    [InlineData("3fe2 1f", HpackStatus.InvalidTableSize)]            // 4097
    [InlineData("8220", HpackStatus.InvalidTableSize)]               // update behind a field
    [InlineData("2082 20", HpackStatus.InvalidTableSize)]
    public void A_broken_block_is_refused_with_its_reason(string block, HpackStatus status)
    {
        Assert.Equal(status, StatusOf(new HpackDecoder(), Hex(block)));
    }

    [Theory]
    [InlineData("4181 1f", "a")]      // three bits of padding
    [InlineData("4180", "")]
    [InlineData("4181 f8", "&")]      // a code of eight bits, no padding
    public void Padding_of_up_to_seven_ones_is_right(string block, string value)
    {
        Assert.Equal([(":authority", value)], Decode(new HpackDecoder(), Hex(block)));
    }

    [Fact]
    public void A_block_that_the_sink_refuses_still_fills_the_table()
    {
        var decoder = new HpackDecoder();
        var sink = new FieldList { RefuseAt = 1 };
        Assert.Equal(HpackStatus.RefusedBySink, decoder.Decode(Hex("82 4001 6101 62 4001 6301 64"), ref sink));
        Assert.Single(sink.Fields);
        Assert.Equal([("c", "d"), ("a", "b")], Decode(decoder, Hex("be bf")));
    }

    [Fact]
    public void An_error_behind_a_refusal_is_still_an_error()
    {
        var sink = new FieldList { RefuseAt = 1 };
        Assert.Equal(HpackStatus.InvalidIndex, new HpackDecoder().Decode(Hex("82 80"), ref sink));
    }

    [Fact]
    public void Until_our_smaller_table_is_acknowledged_the_peer_may_use_the_old_one_and_must_then_say_that_it_shrank()
    {
        var decoder = new HpackDecoder(100);
        Assert.Single(Decode(decoder, Hex("4001 6101 62")));
        Assert.Equal([("a", "b")], Decode(decoder, Hex("be")));
        decoder.SettingsAcknowledged();
        Assert.Equal(HpackStatus.InvalidTableSize, StatusOf(decoder, Hex("82")));
        Assert.Equal(HpackStatus.InvalidTableSize, StatusOf(decoder, Hex("3f46")));      // 101
        Assert.Equal([("a", "b")], Decode(decoder, Hex("3f45 be")));                     // 100
    }

    [Fact]
    public void A_larger_table_holds_once_the_peer_says_so()
    {
        var decoder = new HpackDecoder(8192);
        decoder.SettingsAcknowledged();
        Assert.Equal([(":method", "GET")], Decode(decoder, Hex("3fe1 3f 82")));          // 8192
        Assert.Equal(HpackStatus.InvalidTableSize, StatusOf(decoder, Hex("3fe2 3f")));
    }

    [Fact]
    public void An_entry_larger_than_the_table_empties_it()
    {
        var decoder = new HpackDecoder();
        Decode(decoder, Hex("3f21 4001 6101 62"));                                       // 64 bytes of table
        Assert.Equal(1, decoder.TableCount);
        Decode(decoder, [0x40, 1, (byte)'c', 40, .. Enumerable.Repeat((byte)'x', 40)]);
        Assert.Equal((0, 0), (decoder.TableCount, decoder.TableSize));
    }

    [Fact]
    public void A_name_from_an_entry_that_the_new_one_pushes_out_is_kept()
    {
        var decoder = new HpackDecoder();
        Decode(decoder, Hex("3f39"));                                                    // 88 bytes: room for one
        string name = new('n', 30);
        Decode(decoder, [0x40, 30, .. Encoding.ASCII.GetBytes(name), 1, (byte)'1']);
        for (int i = 0; i < 300; i++)
        {
            byte[] value = Encoding.ASCII.GetBytes(new string((char)('a' + i % 26), i % 26));
            Assert.Equal([(name, Encoding.ASCII.GetString(value))], Decode(decoder, [0x7e, (byte)value.Length, .. value]));
            Assert.Equal([(name, Encoding.ASCII.GetString(value))], Decode(decoder, [0xbe]));
            Assert.Equal(1, decoder.TableCount);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void The_table_is_what_a_plain_list_would_be_whatever_comes_and_goes(int seed)
    {
        var random = new Random(seed);
        var decoder = new HpackDecoder();
        var model = new List<(string Name, string Value)>();
        int capacity = 4096;
        void Evict(int wanted)
        {
            while (model.Count > 0 && model.Sum(f => f.Name.Length + f.Value.Length + 32) + wanted > capacity) model.RemoveAt(model.Count - 1);
        }
        for (int round = 0; round < 4000; round++)
        {
            if (random.Next(40) == 0)
            {
                capacity = random.Next(random.Next(3) switch { 0 => 100, 1 => 500, _ => 4097 });
                var update = new List<byte> { (byte)(0x20 | Math.Min(capacity, 31)) };
                int rest = capacity - 31;
                if (rest >= 0)
                {
                    for (; rest >= 128; rest >>= 7) update.Add((byte)(rest | 0x80));
                    update.Add((byte)rest);
                }
                Decode(decoder, [.. update]);
                Evict(0);
            }
            // Mostly nothing, little or as much as fits in one byte of length.
            string name = new((char)('a' + round % 26), random.Next(4) switch { 0 => 0, 1 => random.Next(126), _ => random.Next(10) });
            string value = new((char)('A' + round % 26), random.Next(4) switch { 0 => 0, 1 => random.Next(126), _ => random.Next(10) });
            bool borrow = model.Count is > 0 and < 2 && random.Next(2) == 0;
            if (borrow) name = model[0].Name;
            Decode(decoder, [.. borrow ? [0x7e] : (byte[])[0x40, (byte)name.Length, .. Encoding.ASCII.GetBytes(name)], (byte)value.Length, .. Encoding.ASCII.GetBytes(value)]);
            int size = name.Length + value.Length + 32;
            Evict(size);
            if (size <= capacity) model.Insert(0, (name, value));
            byte[] all = [.. Enumerable.Range(62, model.Count).SelectMany(i => i < 127 ? [(byte)(0x80 | i)] : (byte[])[0xff, (byte)(i - 127)])];
            Assert.True(model.SequenceEqual(Decode(decoder, all)), $"round {round}");
        }
    }

    [Theory]
    [InlineData("host", "x", KnownHeader.Host, true)]
    [InlineData(":path", "/", KnownHeader.PseudoPath, true)]
    [InlineData(":protocol", "websocket", KnownHeader.PseudoProtocol, true)]
    [InlineData(":unheard", "/", KnownHeader.PseudoUnknown, true)]
    [InlineData("x-request-id", "", KnownHeader.XRequestId, true)]
    [InlineData("Host", "x", KnownHeader.Host, false)]
    [InlineData("", "x", KnownHeader.Other, false)]
    [InlineData(":", "x", KnownHeader.PseudoUnknown, false)]
    [InlineData("a b", "x", KnownHeader.Other, false)]
    [InlineData("a:b", "x", KnownHeader.Other, false)]
    [InlineData("a\u00e9", "x", KnownHeader.Other, false)]
    [InlineData("a", "x\0", KnownHeader.Other, false)]
    [InlineData("a", "x\r\ny: z", KnownHeader.Other, false)]
    [InlineData("a", " x", KnownHeader.Other, false)]
    [InlineData("a", "x\t", KnownHeader.Other, false)]
    [InlineData("a", "x\u007f", KnownHeader.Other, false)]
    [InlineData("a", "x\ty \u00e9", KnownHeader.Other, true)]
    public void Every_field_comes_with_its_meaning_and_whether_it_is_well_formed_also_out_of_the_table(string name, string value, KnownHeader id, bool wellFormed)
    {
        var decoder = new HpackDecoder();
        var sink = new FieldList();
        byte[] literal = [0x40, (byte)name.Length, .. Encoding.Latin1.GetBytes(name), (byte)value.Length, .. Encoding.Latin1.GetBytes(value)];
        Assert.Equal(HpackStatus.Ok, decoder.Decode(literal, ref sink));
        Assert.Equal(HpackStatus.Ok, decoder.Decode([0xbe], ref sink));
        Assert.Equal(HpackStatus.Ok, decoder.Decode([0x0f, 62 - 15, 1, (byte)'v'], ref sink));
        Assert.Equal((id, wellFormed), sink.Facts[0]);
        Assert.Equal((id, wellFormed), sink.Facts[1]);
        Assert.Equal((id, FieldRules.IsName(Encoding.Latin1.GetBytes(name))), sink.Facts[2]);
        Assert.Equal((name, value), sink.Fields[1]);
    }

    [Fact]
    public void Every_static_entry_has_the_index_of_appendix_A()
    {
        var decoder = new HpackDecoder();
        (string Name, string Value)[] all = Decode(decoder, [.. Enumerable.Range(1, 61).Select(i => (byte)(0x80 | i))]);
        Assert.Equal(61, all.Length);
        Assert.Equal((":authority", ""), all[0]);
        Assert.Equal((":status", "500"), all[13]);
        Assert.Equal(("accept-encoding", "gzip, deflate"), all[15]);
        Assert.Equal(("cookie", ""), all[31]);
        Assert.Equal(("location", ""), all[45]);
        Assert.Equal(("set-cookie", ""), all[54]);
        Assert.Equal(("www-authenticate", ""), all[60]);
        // By the alphabet but for accept, which stands behind those that begin with it.
        string[] names = [.. all.Skip(14).Select(f => f.Name)];
        Assert.Equal(names.Order(StringComparer.Ordinal).Where(n => n != "accept"), names.Where(n => n != "accept"));
        Assert.Equal("accept", all[18].Name);
    }
}

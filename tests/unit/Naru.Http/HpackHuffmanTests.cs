// The code that follows from the lengths is the one of RFC 7541 appendix B.
using System.Text;
using Naru.Http.Hpack;
using Xunit;

namespace Naru.UnitTests.HttpCodecs;

public sealed class HpackHuffmanTests
{
    [Theory]
    [InlineData("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff")]
    [InlineData("no-cache", "a8eb10649cbf")]
    [InlineData("custom-key", "25a849e95ba97d7f")]
    [InlineData("custom-value", "25a849e95bb8e8b4bf")]
    [InlineData("302", "6402")]
    [InlineData("307", "640eff")]
    [InlineData("private", "aec3771a4b")]
    [InlineData("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff")]
    [InlineData("gzip", "9bd9ab")]
    [InlineData("", "")]
    public void The_strings_of_appendix_C_have_their_codes(string text, string hex)
    {
        byte[] plain = Encoding.ASCII.GetBytes(text);
        var coded = new byte[HpackHuffman.EncodedLength(plain)];
        HpackHuffman.Encode(plain, coded);
        Assert.Equal(hex, Convert.ToHexStringLower(coded));
    }

    // Symbols of each length class, as the appendix has them.
    [Theory]
    [InlineData(0, 0x1ff8u, 13)]
    [InlineData(1, 0x7fffd8u, 23)]
    [InlineData(2, 0xfffffe2u, 28)]
    [InlineData(9, 0xffffeau, 24)]
    [InlineData(10, 0x3ffffffcu, 30)]
    [InlineData(13, 0x3ffffffdu, 30)]
    [InlineData(22, 0x3ffffffeu, 30)]
    [InlineData(' ', 0x14u, 6)]
    [InlineData('#', 0xffau, 12)]
    [InlineData('\'', 0x7fau, 11)]
    [InlineData('0', 0x0u, 5)]
    [InlineData(':', 0x5cu, 7)]
    [InlineData('<', 0x7ffcu, 15)]
    [InlineData('\\', 0x7fff0u, 19)]
    [InlineData('^', 0x3ffcu, 14)]
    [InlineData('t', 0x9u, 5)]
    [InlineData(127, 0xffffffcu, 28)]
    [InlineData(128, 0xfffe6u, 20)]
    [InlineData(142, 0xffffebu, 24)]
    [InlineData(192, 0x3ffffe0u, 26)]
    [InlineData(199, 0x1ffffecu, 25)]
    [InlineData(203, 0x7ffffdeu, 27)]
    [InlineData(249, 0xffffffeu, 28)]
    [InlineData(255, 0x3ffffeeu, 26)]
    public void A_symbol_has_the_code_of_appendix_B(int symbol, uint code, int bits)
    {
        var coded = new byte[HpackHuffman.EncodedLength([(byte)symbol])];
        HpackHuffman.Encode([(byte)symbol], coded);
        Assert.Equal((bits + 7) / 8, coded.Length);
        ulong expected = ((ulong)code << (64 - bits)) | (ulong.MaxValue >> bits);
        ulong got = coded.Aggregate(0UL, (n, b) => n << 8 | b) << (64 - 8 * coded.Length) | (ulong.MaxValue >> (8 * coded.Length));
        Assert.Equal(expected, got);
    }

    [Fact]
    public void Every_byte_at_every_place_decodes_to_itself()
    {
        var random = new Random(7541);
        for (int round = 0; round < 4000; round++)
        {
            var plain = new byte[round % 70];
            random.NextBytes(plain);
            if (round % 2 == 0) for (int i = 0; i < plain.Length; i++) plain[i] = (byte)(32 + plain[i] % 95);
            if (plain.Length > 0) plain[round % plain.Length] = (byte)round;
            var coded = new byte[HpackHuffman.EncodedLength(plain)];
            HpackHuffman.Encode(plain, coded);
            var back = new byte[HpackHuffman.MaxDecodedLength(coded.Length)];
            int length = HpackHuffman.Decode(coded, back);
            Assert.Equal(plain, back[..Math.Max(0, length)]);
        }
    }

    [Fact]
    public void Any_bytes_decode_within_the_promised_room_and_what_decodes_encodes_to_the_same_bytes()
    {
        var random = new Random(1);
        for (int round = 0; round < 20000; round++)
        {
            var coded = new byte[random.Next(0, 24)];
            random.NextBytes(coded);
            if (coded.Length > 0 && round % 3 == 0) coded[^1] = 0xff;
            var plain = new byte[HpackHuffman.MaxDecodedLength(coded.Length)];
            int length = HpackHuffman.Decode(coded, plain);
            if (length < 0) continue;
            var again = new byte[HpackHuffman.EncodedLength(plain.AsSpan(0, length))];
            HpackHuffman.Encode(plain.AsSpan(0, length), again);
            Assert.Equal(coded, again);
        }
    }
}

// Content codings by pieces: any cut of the bytes and any room leads to the same body, and what is no good is found.
using System.IO.Compression;
using System.Text;
using Naru.Http.Codings;
using Xunit;

namespace Naru.UnitTests.Http.Codings;

public sealed class CodingTests
{
    private static readonly byte[] s_text = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 5000).Select(i => $"{i * 7919 % 9973} ")));

    private static byte[] Packed(BodyPacker packer, byte[] plain, int cut, int room)
    {
        using (packer)
        {
            var all = new List<byte>();
            var into = new byte[room];
            for (int at = 0, end = Math.Min(plain.Length, cut); ;)
            {
                PackUntil until = end == plain.Length ? PackUntil.Ended : PackUntil.Flushed;
                CodingStep step = packer.Pack(plain.AsSpan(at..end), into, until, out int taken, out int written);
                all.AddRange(into[..written]);
                at += taken;
                if (step == CodingStep.Full) continue;
                Assert.Equal(end, at);
                if (until == PackUntil.Ended) return [.. all];
                end = Math.Min(plain.Length, at + cut);
            }
        }
    }

    private static (byte[] Plain, CodingStep Last, bool IsWhole) Unpacked(BodyUnpacker unpacker, byte[] packed, int cut, int room)
    {
        using (unpacker)
        {
            var all = new List<byte>();
            var into = new byte[room];
            for (int at = 0; ;)
            {
                int end = Math.Min(packed.Length, at + cut);
                CodingStep step = unpacker.Unpack(packed.AsSpan(at..end), into, out int taken, out int written);
                all.AddRange(into[..written]);
                at += taken;
                if (step == CodingStep.Full) continue;
                if (step == CodingStep.Broken || end == packed.Length) return ([.. all], step, unpacker.IsWhole);
            }
        }
    }

    private static BodyPacker Packer(bool brotli) => brotli ? new BrotliPacker(3, 18) : new GzipPacker(new GzipOptions(-1, 12, 5, 0));

    private static BodyUnpacker Unpacker(bool brotli) => brotli ? new BrotliUnpacker() : new GzipUnpacker(15);

    [Theory]
    [InlineData(false, 1, 7)]
    [InlineData(false, 1000, 8)]
    [InlineData(false, 16384, 16384)]
    [InlineData(false, 100_000, 64)]
    [InlineData(true, 1, 7)]
    [InlineData(true, 1000, 1)]
    [InlineData(true, 16384, 16384)]
    [InlineData(true, 100_000, 64)]
    public void What_was_packed_reads_as_it_was_however_it_is_cut(bool brotli, int cut, int room)
    {
        byte[] packed = Packed(Packer(brotli), s_text, cut, room);
        using Stream from = brotli ? new BrotliStream(new MemoryStream(packed), CompressionMode.Decompress) : new GZipStream(new MemoryStream(packed), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        from.CopyTo(plain);
        Assert.Equal(s_text, plain.ToArray());
        (byte[] own, CodingStep last, bool isWhole) = Unpacked(Unpacker(brotli), packed, cut, room);
        Assert.Equal((CodingStep.Empty, true), (last, isWhole));
        Assert.Equal(s_text, own);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_flushed_piece_can_be_read_at_once(bool brotli)
    {
        using BodyPacker packer = Packer(brotli);
        using BodyUnpacker unpacker = Unpacker(brotli);
        byte[] packed = new byte[1000], plain = new byte[1000];
        foreach (string piece in new[] { "one", "two", "three" })
        {
            Assert.Equal(CodingStep.Empty, packer.Pack(Encoding.ASCII.GetBytes(piece), packed, PackUntil.Flushed, out _, out int written));
            Assert.Equal(CodingStep.Empty, unpacker.Unpack(packed.AsSpan(0, written), plain, out _, out int read));
            Assert.Equal(piece, Encoding.ASCII.GetString(plain, 0, read));
            Assert.False(unpacker.IsWhole);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_ends_too_early_is_not_whole_and_what_goes_on_is_broken(bool brotli)
    {
        byte[] packed = Packed(Packer(brotli), s_text, 4096, 4096);
        for (int missing = 1; missing < 20; missing++) Assert.False(Unpacked(Unpacker(brotli), packed[..^missing], 4096, 4096).IsWhole);
        Assert.Equal(CodingStep.Broken, Unpacked(Unpacker(brotli), [.. packed, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 4096, 4096).Last);
        Assert.True(Unpacked(Unpacker(brotli), [], 1, 1).IsWhole);
    }

    [Fact]
    public void Members_of_gzip_follow_each_other_and_a_window_that_is_too_large_is_broken()
    {
        byte[] one = Packed(new GzipPacker(new GzipOptions(9, 15, 9, 0)), s_text, 4096, 4096);
        (byte[] plain, CodingStep last, bool isWhole) = Unpacked(Unpacker(false), [.. one, .. one], 1000, 777);
        Assert.Equal((CodingStep.Empty, true, s_text.Length * 2), (last, isWhole, plain.Length));
        byte[] wrong = [.. one];
        wrong[^6] ^= 1;
        Assert.Equal(CodingStep.Broken, Unpacked(Unpacker(false), wrong, 4096, 4096).Last);
    }
}

// The hash against values that its specification's reference implementation gives.
using System.Text;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Core;

public sealed class XxHash64Tests
{
    [Theory]
    [InlineData("", 0UL, 0xEF46DB3751D8E999UL)]
    [InlineData("a", 0UL, 0xD24EC4F1A98C6E5BUL)]
    [InlineData("abc", 0UL, 0x44BC2CF5AD770999UL)]
    [InlineData("Nobody inspects the spammish repetition", 0UL, 0xFBCEA83C8A378BF1UL)]
    public void Known_texts_have_their_hash(string text, ulong seed, ulong hash) => Assert.Equal(hash, XxHash64.Of(Encoding.ASCII.GetBytes(text), seed));

    [Fact]
    public void The_seed_and_every_byte_count()
    {
        byte[] bytes = [.. Enumerable.Range(0, 70).Select(i => (byte)i)];
        var seen = new HashSet<ulong> { XxHash64.Of(bytes), XxHash64.Of(bytes, 1) };
        for (int i = 0; i < bytes.Length; i++)
        {
            Assert.True(seen.Add(XxHash64.Of(bytes.AsSpan(0, i))));
            bytes[i] ^= 1;
            Assert.True(seen.Add(XxHash64.Of(bytes)));
            bytes[i] ^= 1;
        }
    }
}

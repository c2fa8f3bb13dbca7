// The pure parts of gRPC-Web: content types, base64 in pieces.
using System.Text;
using Naru.Proxy.Http;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class GrpcWebTests
{
    [Theory]
    [InlineData("application/grpc-web", 1)]
    [InlineData("application/grpc-web+proto", 1)]
    [InlineData("Application/gRPC-Web+json", 1)]
    [InlineData("application/grpc-web-text", 2)]
    [InlineData("application/grpc-web-text+proto", 2)]
    [InlineData("application/grpc-web-text;x=y", 2)]
    [InlineData("application/grpc-web-textual", 0)]
    [InlineData("application/grpc-website", 0)]
    [InlineData("application/grpc", 0)]
    [InlineData("", 0)]
    public void A_call_is_known_by_its_content_type(string type, int form) => Assert.Equal((GrpcWebForm)form, GrpcWeb.Form(Encoding.ASCII.GetBytes(type)));

    [Fact]
    public void Base64_is_decoded_however_it_is_cut_and_wherever_it_is_padded()
    {
        byte[] bytes = [.. Enumerable.Range(0, 100).Select(i => (byte)(i * 37))];
        string text = Convert.ToBase64String(bytes[..31]) + Convert.ToBase64String(bytes[31..33]) + Convert.ToBase64String(bytes[33..]);
        for (int size = 1; size < text.Length; size++)
        {
            Base64Stream stream = default;
            var decoded = new List<byte>();
            foreach (char[] chunk in text.Chunk(size))
            {
                byte[] piece = Encoding.ASCII.GetBytes(chunk);
                Assert.True(stream.Decode(piece, out int length));
                decoded.AddRange(piece[..length]);
            }
            Assert.True(stream.IsWhole);
            Assert.Equal(bytes, decoded);
        }
    }

    [Theory]
    [InlineData("AA A")]
    [InlineData("AA-_")]
    [InlineData("=AAA")]
    [InlineData("A===")]
    [InlineData("AA=A")]
    [InlineData("AAA\n")]
    public void What_is_no_base64_is_refused(string text)
    {
        Base64Stream stream = default;
        Assert.False(stream.Decode(Encoding.ASCII.GetBytes(text), out _));
    }

    [Fact]
    public void Half_a_group_is_not_whole()
    {
        Base64Stream stream = default;
        Assert.True(stream.Decode(Encoding.ASCII.GetBytes("AAAAA"), out int length));
        Assert.Equal(3, length);
        Assert.False(stream.IsWhole);
    }
}

// Protobuf messages of strangers: fields by number, and that nothing is read past an end, as another type, or out of a broken message.
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Http.Bodies;
using Xunit;

namespace Naru.UnitTests.HttpCodecs.Bodies;

public sealed class ProtoBodyTests
{
    private static string Find(byte[] message, ProtoType type, params uint[] path)
    {
        var found = new BodyFindings();
        found.Begin(1);
        return ProtoBody.Read(message, [new ProtoPath(path, type)], found) ? JsonBodyTests.Show(found[0]) : "no";
    }

    private static string Find(string hex, ProtoType type, params uint[] path) => Find(Convert.FromHexString(hex), type, path);

    [Theory]
    [InlineData("0a0161", ProtoType.Text, new uint[] { 1 }, "Text a")]
    [InlineData("0a00", ProtoType.Text, new uint[] { 1 }, "Text ")]
    [InlineData("", ProtoType.Text, new uint[] { 1 }, "Missing")]
    [InlineData("0896ff", ProtoType.Int, new uint[] { 1 }, "no")]
    [InlineData("089601", ProtoType.Int, new uint[] { 1 }, "Number 150")]
    [InlineData("08ffffffffffffffffff01", ProtoType.Int, new uint[] { 1 }, "Number -1")]
    [InlineData("08ffffffffffffffffff01", ProtoType.UInt, new uint[] { 1 }, "Number 18446744073709551615")]
    [InlineData("0803", ProtoType.SInt, new uint[] { 1 }, "Number -2")]
    [InlineData("0801", ProtoType.Bool, new uint[] { 1 }, "True")]
    [InlineData("0800", ProtoType.Bool, new uint[] { 1 }, "False")]
    [InlineData("08010802", ProtoType.Int, new uint[] { 1 }, "Number 2")]
    [InlineData("0a031a0178", ProtoType.Text, new uint[] { 1, 3 }, "Text x")]
    [InlineData("0a031a01780a031a0179", ProtoType.Text, new uint[] { 1, 3 }, "Text y")]
    [InlineData("0a031a01780a00", ProtoType.Text, new uint[] { 1, 3 }, "Text x")]
    [InlineData("0a020a001201780a031a0179", ProtoType.Text, new uint[] { 1, 3 }, "Text y")]
    [InlineData("0d000000000901020304050607080a0161", ProtoType.Text, new uint[] { 2 }, "Missing")]
    public void A_field_is_found_by_number_and_the_last_one_counts(string hex, ProtoType type, uint[] path, string found) =>
        Assert.Equal(found, Find(hex, type, path));

    [Theory]
    [InlineData("0801", ProtoType.Text, new uint[] { 1 })]
    [InlineData("0a0101", ProtoType.Int, new uint[] { 1 })]
    [InlineData("0d01000000", ProtoType.Int, new uint[] { 1 })]
    [InlineData("090100000000000000", ProtoType.UInt, new uint[] { 1 })]
    [InlineData("0801", ProtoType.Int, new uint[] { 1, 1 })]
    [InlineData("0a01c3", ProtoType.Text, new uint[] { 1 })]
    [InlineData("08010a0161", ProtoType.Text, new uint[] { 1 })]
    public void A_field_of_another_type_is_unclear(string hex, ProtoType type, uint[] path) =>
        Assert.Equal("Unclear", Find(hex, type, path));

    [Theory]
    [InlineData("08")]
    [InlineData("08ffffffffffffffffff02")]
    [InlineData("08ffffffffffffffffffff01")]
    [InlineData("8080808080808080808001")]
    [InlineData("ffffffffff7f00")]
    [InlineData("00")]
    [InlineData("0000")]
    [InlineData("0a05")]
    [InlineData("0affffffffffffffffff01")]
    [InlineData("0affffffff0f")]
    [InlineData("0d000000")]
    [InlineData("0900000000000000")]
    [InlineData("0b0c")]
    [InlineData("0c")]
    [InlineData("0e")]
    [InlineData("0f")]
    [InlineData("0a020a05")]
    [InlineData("0a010a")]
    public void What_is_no_message_says_nothing(string hex) => Assert.Equal("no", Find(hex, ProtoType.Text, 1, 1));

    [Fact]
    public void What_others_write_is_read()
    {
        var message = new Struct { Fields = { ["k"] = Value.ForString("v") } };
        Assert.Equal("Text v", Find(message.ToByteArray(), ProtoType.Text, 1, 2, 3));
        Assert.Equal("Number -5", Find(new Timestamp { Seconds = -5, Nanos = 3 }.ToByteArray(), ProtoType.Int, 1));
        Assert.Equal("True", Find(new BoolValue { Value = true }.ToByteArray(), ProtoType.Bool, 1));
    }

    [Fact]
    public void Depth_is_the_paths_and_not_the_messages()
    {
        byte[] deep = [];
        for (int i = 0; i < 1000; i++) deep = [.. new byte[] { 0x0a }, .. Varint(deep.Length), .. deep];
        Assert.Equal("Unclear", Find([.. deep, 0x08, 0x01], ProtoType.Text, [.. Enumerable.Repeat(1u, ProtoPath.MostSteps)]));
    }

    private static byte[] Varint(int value) => value < 128 ? [(byte)value] : [(byte)(value | 0x80), .. Varint(value >> 7)];

    [Theory]
    [InlineData("", GrpcFrame.Partial)]
    [InlineData("00000000", GrpcFrame.Partial)]
    [InlineData("0000000000", GrpcFrame.Whole)]
    [InlineData("000000000261", GrpcFrame.Partial)]
    [InlineData("0000000001610000", GrpcFrame.Whole)]
    [InlineData("00ffffffff61", GrpcFrame.Partial)]
    [InlineData("0100000001", GrpcFrame.Compressed)]
    [InlineData("02", GrpcFrame.Broken)]
    [InlineData("7b2261223a317d", GrpcFrame.Broken)]
    public void The_first_message_of_a_stream_is_told_from_what_is_none(string hex, GrpcFrame frame) =>
        Assert.Equal(frame, ProtoBody.First(Convert.FromHexString(hex), out _));
}

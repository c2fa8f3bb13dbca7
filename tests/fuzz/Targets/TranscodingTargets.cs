// JSON becomes Protobuf and Protobuf JSON: what was understood is written back and understood again, as the same; nothing is read or written
// beyond its bounds, and streams have the same values however they are cut.
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Naru.FuzzTests.Engine;
using Naru.Http.Transcoding;

namespace Naru.FuzzTests.Targets;

/// <summary>A message with fields of every kind.</summary>
internal static class FuzzShapes
{
    public static readonly ProtoShapes All = new();
    public static readonly MessageShape Root = Make();

    private static MessageShape Known(string name, params FieldShape[] fields)
    {
        var shape = new MessageShape("google.protobuf." + name);
        shape.Link(fields);
        All.Add(shape);
        return shape;
    }

    private static MessageShape Make()
    {
        var root = new MessageShape("t.All") { Oneofs = 1 };
        var e = new EnumShape("t.E");
        e.Add("ZERO"u8.ToArray(), 0);
        e.Add("ONE"u8.ToArray(), 1);
        var fields = new List<FieldShape>();
        foreach (ProtoKind kind in Enum.GetValues<ProtoKind>())
        {
            int n = (int)kind;
            fields.Add(new FieldShape($"f{n}", $"f{n}", n, kind) { Message = kind == ProtoKind.Message ? root : null, Enum = kind == ProtoKind.Enum ? e : null, HasPresence = kind == ProtoKind.Message });
            fields.Add(new FieldShape($"r{n}", $"r{n}", n + 20, kind)
            {
                IsRepeated = true,
                IsPacked = kind is not (ProtoKind.Message or ProtoKind.String or ProtoKind.Bytes),
                Message = kind == ProtoKind.Message ? root : null,
                Enum = kind == ProtoKind.Enum ? e : null,
            });
        }
        var entry = new MessageShape("t.All.MapEntry") { IsMapEntry = true };
        entry.Link([new FieldShape("key", "key", 1, ProtoKind.Int32), new FieldShape("value", "value", 2, ProtoKind.Message) { Message = root, HasPresence = true }]);
        fields.Add(new FieldShape("map", "map", 50, ProtoKind.Message) { IsRepeated = true, Message = entry });
        fields.Add(new FieldShape("one", "one", 51, ProtoKind.String) { Oneof = 0, HasPresence = true });
        fields.Add(new FieldShape("two", "two", 52, ProtoKind.Bool) { Oneof = 0, HasPresence = true });
        FieldShape Held(string name, int number, MessageShape of) => new(name, name, number, ProtoKind.Message) { Message = of, HasPresence = true };
        fields.Add(Held("time", 53, Known("Timestamp")));
        fields.Add(Held("span", 54, Known("Duration")));
        fields.Add(Held("mask", 55, Known("FieldMask")));
        fields.Add(Held("object", 56, Known("Struct")));
        fields.Add(Held("value", 57, Known("Value")));
        fields.Add(Held("list", 58, Known("ListValue")));
        fields.Add(Held("any", 59, Known("Any")));
        fields.Add(Held("wrap", 60, Known("Int64Value", new FieldShape("value", "value", 1, ProtoKind.Int64))));
        root.Link(fields);
        All.Add(root);
        return root;
    }
}

/// <summary>JSON to Protobuf; System.Text.Json judges what JSON is.</summary>
internal sealed class JsonToProtoTarget : FuzzTarget
{
    public override string Name => "json-to-proto";

    public override int Replayed => 4000;

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "{}", "{\"f1\":1.5,\"f3\":\"-1\",\"f5\":7,\"f8\":true,\"f9\":\"\\u00e9\\ud83d\\ude00\",\"f12\":\"AQI=\",\"f14\":\"ONE\"}", "{\"f11\":{\"f11\":{}},\"r11\":[{},{}]}",
            "{\"r5\":[1,2e1,\"3\"],\"r9\":[\"\",\"x\"],\"map\":{\"1\":{\"f8\":false}}}", "{\"one\":\"x\",\"x\":[null,{\"y\":1}]}", "{\"time\":\"2020-01-02T03:04:05.6Z\",\"span\":\"-1.5s\",\"mask\":\"aB,c\"}",
            "{\"object\":{\"a\":[1,null]},\"value\":{\"b\":\"c\"},\"list\":[[],true],\"wrap\":\"5\"}", "{\"any\":{\"@type\":\"x/t.All\",\"f8\":true}}", "{\"any\":{\"value\":\"1s\",\"@type\":\"x/google.protobuf.Duration\"}}",
            "{\"f2\":\"NaN\",\"f1\":\"-Infinity\"}", "[{\"f5\":1},{\"f5\":2}]", "{\"f5\":1}\n{\"f5\":2}\n",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "null", "true", "1e5", "-", "\"f11\":", "\"r5\":", "\"any\":", "\"@type\":\"x/t.All\"", "\"value\":", "\"object\":", "\"map\":" }
            .Select(Encoding.UTF8.GetBytes), [0xc3], [0xff]];

    public override int Run(byte[] input)
    {
        bool read = Write(input, out byte[] bytes, out string fault);
        Law(read == (fault.Length == 0), "a fault is said, and nothing else is one");
        if (read)
        {
            Law(IsJson(input), "what is understood is JSON");
            Law(ProtoToJson.Write(bytes, FuzzShapes.Root, null, new JsonPrint(FuzzShapes.All), Sink(out ByteSink json), 1 << 26, out string why), $"what was written is read: {why}");
            Law(IsJson(json.Written.ToArray()), "what is written is JSON");
            Law(Write(json.Written.ToArray(), out byte[] again, out _), "what was written as JSON is understood");
            Law(ProtoToJson.Write(again, FuzzShapes.Root, null, new JsonPrint(FuzzShapes.All), Sink(out ByteSink second), 1 << 26, out _), "and again");
            Same(Encoding.UTF8.GetString(json.Written), Encoding.UTF8.GetString(second.Written), "it says the same");
        }
        Same(Split(input, input.Length + 1), Split(input, 1), "cuts change nothing");
        return HashCode.Combine(read, bytes.Length, fault);
    }

    private static ByteSink Sink(out ByteSink sink) => sink = new ByteSink();

    private static bool Write(byte[] input, out byte[] bytes, out string fault)
    {
        var sink = new ByteSink();
        bool read = JsonToProto.Write(input, FuzzShapes.Root, null, [], new JsonRules(FuzzShapes.All), sink, new ByteSink(), out fault);
        bytes = new byte[read ? sink.Total : 0];
        if (read) sink.CopyTo(bytes);
        return read;
    }

    private static bool IsJson(byte[] text)
    {
        if (!Utf8.IsValid(text)) return false;
        if (text.AsSpan().IndexOfAnyExcept(" \t\r\n"u8) < 0) return true;
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 256 });
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Split(byte[] input, int cut)
    {
        var split = new JsonSplitter();
        var found = new StringBuilder();
        int start = 0;
        for (int end = Math.Min(cut, input.Length); ; end = Math.Min(end + cut, input.Length))
        {
            while (true)
            {
                SplitResult result = split.Next(input.AsSpan(start..end), end == input.Length, out int at, out int length, out int taken);
                Law(taken <= end - start && at + length <= end - start, "nothing is taken that is not here");
                if (result == SplitResult.Value) found.Append(Convert.ToHexString(input, start + at, length)).Append(' ');
                start += taken;
                if (result == SplitResult.Broken) return found.Append('!').ToString();
                if (result == SplitResult.More) break;
            }
            if (end == input.Length) return found.Append(split.MayEnd && start == end ? "." : "?").ToString();
        }
    }
}

/// <summary>Protobuf to JSON.</summary>
internal sealed class ProtoToJsonTarget : FuzzTarget
{
    public override string Name => "proto-to-json";

    public override int Replayed => 4000;

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "", "28075a0201024a0178", "5a025a00", "fa010308ac02", "92030408011200", "aa030608011002", "c2030a0a080a01611203220120", "ca0304320208 00",
            "da030d0a07782f742e416c6c12024001", "e2030208 05", "0900000000000 0f07f", "ca0109010203", "9a0301789a030179a00301",
        }.Select(h => Convert.FromHexString(h.Replace(" ", "", StringComparison.Ordinal))),
    ];

    public override IReadOnlyList<byte[]> Words { get; } = [[0x28, 1], [0x5a, 2], [0xff, 0xff, 0xff, 0xff, 0x0f], [0xda, 3], [0x92, 3, 0], [0xc2, 3, 0], [0xca, 3, 0], [0x80]];

    public override int Run(byte[] input)
    {
        var print = new JsonPrint(FuzzShapes.All);
        var sink = new ByteSink();
        bool read = ProtoToJson.Write(input, FuzzShapes.Root, null, print, sink, 1 << 20, out string fault);
        Law(read == (fault.Length == 0), "a fault is said, and nothing else is one");
        if (!read) return fault.GetHashCode(StringComparison.Ordinal);
        string json = Encoding.UTF8.GetString(sink.Written);
        using (JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 256 })) { }
        // A Value or a mask may hold what has a form in JSON and none back; all else comes back.
        var back = new ByteSink();
        if (!JsonToProto.Write(sink.Written, FuzzShapes.Root, null, [], new JsonRules(FuzzShapes.All), back, new ByteSink(), out fault))
        {
            Law(fault.Contains("too deep", StringComparison.Ordinal) || fault.Contains("FieldMask", StringComparison.Ordinal) || fault.Contains("Any", StringComparison.Ordinal), fault);
            return 1;
        }
        byte[] bytes = new byte[back.Total];
        back.CopyTo(bytes);
        var second = new ByteSink();
        Law(ProtoToJson.Write(bytes, FuzzShapes.Root, null, print, second, 1 << 24, out fault), fault);
        Same(json, Encoding.UTF8.GetString(second.Written), "it says the same");
        return json.GetHashCode(StringComparison.Ordinal);
    }
}

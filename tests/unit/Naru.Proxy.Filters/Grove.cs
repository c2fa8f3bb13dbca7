// Descriptors for tests of the transcoder: of messages that were generated, and of one that has a field of every kind.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Http.Transcoding;
using Naru.Proxy.Filters.Http.GrpcJsonTranscoder;
using Label = Google.Protobuf.Reflection.FieldDescriptorProto.Types.Label;
using Type = Google.Protobuf.Reflection.FieldDescriptorProto.Types.Type;

namespace Naru.UnitTests.Proxy.Filters;

internal static class Grove
{
    /// <summary>The files of these messages, and all that they import.</summary>
    public static FileDescriptorSet Set(params MessageDescriptor[] messages)
    {
        var set = new FileDescriptorSet();
        var seen = new HashSet<string>();
        foreach (MessageDescriptor message in messages) Add(set, message.File, seen);
        return set;
    }

    private static void Add(FileDescriptorSet set, FileDescriptor file, HashSet<string> seen)
    {
        if (!seen.Add(file.Name)) return;
        foreach (FileDescriptor import in file.Dependencies) Add(set, import, seen);
        set.File.Add(file.ToProto());
    }

    public static FieldDescriptorProto Field(string name, int number, Type type, string of = "", bool repeated = false, int? oneof = null, bool optional = false)
    {
        var field = new FieldDescriptorProto { Name = name, Number = number, Type = type, Label = repeated ? Label.Repeated : Label.Optional, TypeName = of };
        if (oneof is { } index) field.OneofIndex = index;
        if (optional) field.Proto3Optional = true;
        return field;
    }

    /// <summary>t.All, with a field of every kind; and t.Old, of proto2.</summary>
    public static readonly FileDescriptorSet All = MakeAll();

    public static readonly DescriptorReader Read = DescriptorReader.Read(All.ToByteString());

    private static FileDescriptorSet MakeAll()
    {
        var all = new DescriptorProto { Name = "All" };
        Type[] kinds =
        [
            Type.Double, Type.Float, Type.Int64, Type.Uint64, Type.Int32, Type.Fixed64, Type.Fixed32, Type.Bool, Type.String, Type.Message, Type.Bytes,
            Type.Uint32, Type.Enum, Type.Sfixed32, Type.Sfixed64, Type.Sint32, Type.Sint64,
        ];
        for (int i = 0; i < kinds.Length; i++)
            all.Field.Add(Field($"a_{kinds[i].ToString().ToLowerInvariant()}", i + 1, kinds[i], kinds[i] == Type.Message ? ".t.All" : kinds[i] == Type.Enum ? ".t.E" : ""));
        all.Field.Add(
        [
            Field("list", 18, Type.Int32, repeated: true), Field("words", 19, Type.String, repeated: true), Field("parts", 20, Type.Message, ".t.All", repeated: true),
            Field("map", 21, Type.Message, ".t.All.MapEntry", repeated: true), Field("maybe", 22, Type.Int32, oneof: 1, optional: true),
            Field("left", 23, Type.String, oneof: 0), Field("right", 24, Type.Int32, oneof: 0), Field("nothing", 25, Type.Enum, ".google.protobuf.NullValue"),
            Field("value", 26, Type.Message, ".google.protobuf.Value"), Field("any", 27, Type.Message, ".google.protobuf.Any"),
            Field("time", 28, Type.Message, ".google.protobuf.Timestamp"), Field("span", 29, Type.Message, ".google.protobuf.Duration"),
            Field("mask", 30, Type.Message, ".google.protobuf.FieldMask"), Field("wrapped", 31, Type.Message, ".google.protobuf.Int64Value"),
            Field("object", 32, Type.Message, ".google.protobuf.Struct"), Field("empty", 33, Type.Message, ".google.protobuf.Empty"),
            Field("enums", 34, Type.Enum, ".t.E", repeated: true),
        ]);
        all.OneofDecl.Add(new OneofDescriptorProto { Name = "side" });
        all.OneofDecl.Add(new OneofDescriptorProto { Name = "_maybe" });
        var entry = new DescriptorProto { Name = "MapEntry", Options = new MessageOptions { MapEntry = true } };
        entry.Field.Add([Field("key", 1, Type.Int64), Field("value", 2, Type.Bool)]);
        all.NestedType.Add(entry);
        var e = new EnumDescriptorProto { Name = "E" };
        foreach ((string name, int number) in new[] { ("ZERO", 0), ("ONE_MORE", 1), ("UNDER", -1) }) e.Value.Add(new EnumValueDescriptorProto { Name = name, Number = number });
        var file = new FileDescriptorProto { Name = "t.proto", Package = "t", Syntax = "proto3" };
        file.MessageType.Add(all);
        file.EnumType.Add(e);
        var old = new DescriptorProto { Name = "Old" };
        old.Field.Add([Field("must", 1, Type.Int32), Field("may", 2, Type.Int32), Field("list", 3, Type.Int32, repeated: true)]);
        old.Field[0].Label = Label.Required;
        var group = new DescriptorProto { Name = "Grouped" };
        group.Field.Add(Field("g", 1, Type.Group, ".t.Old"));
        var second = new FileDescriptorProto { Name = "old.proto", Package = "t", Syntax = "proto2" };
        second.MessageType.Add([old, group]);
        FileDescriptorSet set = Set(
            Value.Descriptor, Any.Descriptor, Timestamp.Descriptor, Duration.Descriptor, FieldMask.Descriptor, Int64Value.Descriptor, Empty.Descriptor);
        set.File.Add([file, second]);
        return set;
    }

    public static string? ToHex(string json, string message, out string fault, JsonRules? rules = null, FieldShape? body = null, params FieldBinding[] bindings)
    {
        var sink = new ByteSink();
        bool good = JsonToProto.Write(
            System.Text.Encoding.UTF8.GetBytes(json), Read.Shapes.Find(message)!, body, bindings, rules ?? new JsonRules(Read.Shapes), sink, new ByteSink(), out fault);
        if (!good) return null;
        byte[] bytes = new byte[sink.Total];
        sink.CopyTo(bytes);
        return Convert.ToHexStringLower(bytes);
    }

    public static string? ToJson(string hex, string message, out string fault, JsonPrint? print = null, FieldShape? field = null, long most = 100_000)
    {
        var sink = new ByteSink();
        bool good = ProtoToJson.Write(Convert.FromHexString(hex), Read.Shapes.Find(message)!, field, print ?? new JsonPrint(Read.Shapes), sink, most, out fault);
        return good ? System.Text.Encoding.UTF8.GetString(sink.Written) : null;
    }
}

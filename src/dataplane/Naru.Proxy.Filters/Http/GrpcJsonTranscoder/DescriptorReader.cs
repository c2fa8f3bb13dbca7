// Descriptors, as protoc writes them, become tables (Naru.Http/Transcoding): messages and their fields, enumerations, and the methods of
// services with the HTTP rules in their options. What they name has to be in them.
using Google.Api;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Http.Transcoding;
using Edition = Google.Protobuf.Reflection.Edition;
using Type = Google.Protobuf.Reflection.FieldDescriptorProto.Types.Type;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

/// <summary>A method as it was declared.</summary>
internal sealed record DeclaredMethod(
    string Service, string Name, MessageShape Input, MessageShape Output, bool ClientStreams, bool ServerStreams, HttpRule? Rule);

internal sealed class DescriptorReader
{
    // google.api.http, an option of methods.
    private const int HttpOption = 72295728;

    private readonly Dictionary<string, MessageShape> _messages = new(StringComparer.Ordinal);
    private readonly Dictionary<string, EnumShape> _enums = new(StringComparer.Ordinal);
    private readonly List<(DescriptorProto Of, string Name, FileDescriptorProto File)> _declared = [];
    private readonly Dictionary<string, List<DeclaredMethod>> _services = new(StringComparer.Ordinal);

    /// <summary>What cannot be understood; null while nothing is.</summary>
    public string? Fault { get; private set; }

    /// <summary>All messages.</summary>
    public ProtoShapes Shapes { get; } = new();

    /// <summary>Names of all services.</summary>
    public IEnumerable<string> Services => _services.Keys;

    /// <summary>The methods of a service; null where there is none of this name.</summary>
    public List<DeclaredMethod>? Methods(string service) => _services.GetValueOrDefault(service);

    public static DescriptorReader Read(ByteString bytes)
    {
        var reader = new DescriptorReader();
        try
        {
            reader.Read(FileDescriptorSet.Parser.ParseFrom(bytes));
        }
        catch (InvalidProtocolBufferException fault)
        {
            reader.Fault = $"the bytes are no FileDescriptorSet: {fault.Message}";
        }
        return reader;
    }

    private void Read(FileDescriptorSet set)
    {
        foreach (FileDescriptorProto file in set.File)
        {
            string package = file.Package.Length > 0 ? file.Package + "." : "";
            foreach (EnumDescriptorProto declared in file.EnumType) Declare(declared, package);
            foreach (DescriptorProto declared in file.MessageType) Declare(declared, package, file);
        }
        AddOwn();
        foreach ((DescriptorProto of, string name, FileDescriptorProto file) in _declared) Link(_messages[name], of, file);
        foreach (FileDescriptorProto file in set.File)
        {
            string package = file.Package.Length > 0 ? file.Package + "." : "";
            foreach (ServiceDescriptorProto service in file.Service) Read(service, package + service.Name);
        }
    }

    private void Declare(EnumDescriptorProto declared, string prefix)
    {
        var shape = new EnumShape(prefix + declared.Name);
        foreach (EnumValueDescriptorProto value in declared.Value) shape.Add(System.Text.Encoding.UTF8.GetBytes(value.Name), value.Number);
        if (!_enums.TryAdd(shape.FullName, shape)) Fault ??= $"{shape.FullName} is declared twice";
    }

    private void Declare(DescriptorProto declared, string prefix, FileDescriptorProto file)
    {
        string name = prefix + declared.Name;
        var shape = new MessageShape(name) { IsMapEntry = declared.Options?.MapEntry == true, Oneofs = declared.OneofDecl.Count };
        if (declared.Options?.MessageSetWireFormat == true) shape.Foreign = $"{name} is a message set, which has no JSON";
        if (!_messages.TryAdd(name, shape)) Fault ??= $"{name} is declared twice";
        Shapes.Add(shape);
        _declared.Add((declared, name, file));
        foreach (EnumDescriptorProto inner in declared.EnumType) Declare(inner, name + ".");
        foreach (DescriptorProto inner in declared.NestedType) Declare(inner, name + ".", file);
    }

    private void Link(MessageShape shape, DescriptorProto declared, FileDescriptorProto file)
    {
        var fields = new List<FieldShape>(declared.Field.Count);
        foreach (FieldDescriptorProto field in declared.Field)
        {
            if (field.Type == Type.Group)
            {
                shape.Foreign ??= $"{shape.FullName}.{field.Name} is a group, which has no JSON";
                continue;
            }
            bool repeated = field.Label == FieldDescriptorProto.Types.Label.Repeated;
            bool oneof = field.HasOneofIndex && !field.Proto3Optional;
            string json = field.JsonName.Length > 0 ? field.JsonName : CamelCase(field.Name);
            var made = new FieldShape(field.Name, json, field.Number, (ProtoKind)field.Type)
            {
                IsRepeated = repeated,
                IsRequired = field.Label == FieldDescriptorProto.Types.Label.Required,
                IsPacked = repeated && IsPacked(field, file),
                HasPresence = !repeated && (field.Type == Type.Message || field.HasOneofIndex || TellsPresence(field, file)),
                Oneof = oneof ? field.OneofIndex : -1,
            };
            if (field.Type == Type.Message && (made.Message = Find(_messages, field.TypeName)) is null) Missing(shape, field);
            if (field.Type == Type.Enum && (made.Enum = Find(_enums, field.TypeName)) is null) Missing(shape, field);
            fields.Add(made);
        }
        shape.Link(fields);
    }

    private void Missing(MessageShape shape, FieldDescriptorProto field) =>
        Fault ??= $"{shape.FullName}.{field.Name} is a {field.TypeName.TrimStart('.')}, which the descriptors lack";

    private static T? Find<T>(Dictionary<string, T> all, string name) where T : class => all.GetValueOrDefault(name.TrimStart('.'));

    private static bool IsPacked(FieldDescriptorProto field, FileDescriptorProto file)
    {
        if (field.Type is Type.String or Type.Bytes or Type.Message) return false;
        if (field.Options is { HasPacked: true } options) return options.Packed;
        return file.Syntax is "proto3" or "editions";
    }

    // Whether there is a difference between a field that is not there and one with its default.
    private static bool TellsPresence(FieldDescriptorProto field, FileDescriptorProto file)
    {
        if (file.Syntax == "proto3") return false;
        if (file.Syntax != "editions") return true;
        FeatureSet? said = field.Options?.Features is { HasFieldPresence: true } own ? own : file.Options?.Features;
        return said?.FieldPresence != FeatureSet.Types.FieldPresence.Implicit;
    }

    private static string CamelCase(string name)
    {
        var text = new System.Text.StringBuilder(name.Length);
        bool up = false;
        foreach (char c in name)
        {
            if (c != '_') text.Append(up ? char.ToUpperInvariant(c) : c);
            up = c == '_';
        }
        return text.ToString();
    }

    // What statuses are made of, where nobody declares it.
    private void AddOwn()
    {
        if (!_messages.TryGetValue("google.protobuf.Any", out MessageShape? any))
        {
            any = new MessageShape("google.protobuf.Any");
            any.Link([new FieldShape("type_url", "typeUrl", 1, ProtoKind.String), new FieldShape("value", "value", 2, ProtoKind.Bytes)]);
            _messages.Add(any.FullName, any);
            Shapes.Add(any);
        }
        if (_messages.ContainsKey("google.rpc.Status")) return;
        var status = new MessageShape("google.rpc.Status");
        status.Link(
        [
            new FieldShape("code", "code", 1, ProtoKind.Int32), new FieldShape("message", "message", 2, ProtoKind.String),
            new FieldShape("details", "details", 3, ProtoKind.Message) { IsRepeated = true, Message = any },
        ]);
        _messages.Add(status.FullName, status);
        Shapes.Add(status);
    }

    private void Read(ServiceDescriptorProto service, string name)
    {
        var methods = new List<DeclaredMethod>(service.Method.Count);
        foreach (MethodDescriptorProto method in service.Method)
        {
            if (Find(_messages, method.InputType) is not { } input || Find(_messages, method.OutputType) is not { } output)
            {
                Fault ??= $"{name}.{method.Name} takes or gives a message that the descriptors lack";
                continue;
            }
            methods.Add(new DeclaredMethod(
                name, method.Name, input, output, method.ClientStreaming, method.ServerStreaming,
                method.Options is { } options ? Rule(options) : null));
        }
        if (!_services.TryAdd(name, methods)) Fault ??= $"{name} is declared twice";
    }

    private static HttpRule? Rule(MethodOptions options)
    {
        byte[] bytes = options.ToByteArray();
        HttpRule? rule = null;
        int at = 0;
        while (at < bytes.Length && ProtoWire.Next(bytes, ref at, out int number, out int wireType, out ReadOnlySpan<byte> value))
        {
            if (number != HttpOption || wireType != 2) continue;
            rule ??= new HttpRule();
            rule.MergeFrom(value);
        }
        return rule;
    }
}

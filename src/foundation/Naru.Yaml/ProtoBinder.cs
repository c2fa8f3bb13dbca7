// Binds a node tree to a protobuf message by its descriptor: the one way in which written configuration becomes a message.
// Stands after the reader, before validation. Takes snake_case and lowerCamelCase, wrappers, maps, Struct, Any by "@type";
// refuses unknown fields, wrong types, values out of range and two members of one oneof, each by name and place.
using System.Collections;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;

namespace Naru.Yaml;

/// <summary>Binds trees to messages.</summary>
public static class ProtoBinder
{
    /// <summary>Binds a tree. What is faulty is reported and left out, so the result is always a message; use it only where
    /// <paramref name="diagnostics"/> has no errors.</summary>
    /// <param name="node">A mapping.</param>
    /// <param name="diagnostics">Takes <c>NARU-C010</c> (unknown field), <c>C011</c> (wrong kind of value), <c>C012</c> (bad value),
    /// <c>C013</c> (two of a oneof), <c>C014</c> (unknown type), <c>C015</c> (no type).</param>
    /// <param name="subject">What is being read, for example <c>VirtualService default/reviews</c>; empty to name each field by its path.</param>
    /// <param name="places">Remembers where everything stood.</param>
    /// <param name="options">Null for the defaults.</param>
    public static T Bind<T>(YamlNode node, Diagnostics diagnostics, string subject, ProtoPlaces? places = null, BindOptions? options = null)
        where T : IMessage, new()
    {
        var message = new T();
        Bind(message, node, diagnostics, subject, places, options);
        return message;
    }

    /// <summary>Binds a tree into a message that exists.</summary>
    public static void Bind(IMessage message, YamlNode node, Diagnostics diagnostics, string subject, ProtoPlaces? places = null, BindOptions? options = null) =>
        new BindPass(diagnostics, subject, places, options ?? BindOptions.Default).Message(message, node, "");
}

/// <summary>One binding.</summary>
internal sealed class BindPass(Diagnostics diagnostics, string subject, ProtoPlaces? places, BindOptions options)
{
    private const string AnyName = "google.protobuf.Any";
    private readonly Dictionary<MessageDescriptor, Dictionary<string, FieldDescriptor>> _names = [];

    /// <summary>Reports an error of a field.</summary>
    public void Error(string code, string message, Place place, string path, string? remedy = null)
    {
        string where = subject.Length > 0 && path.Length > 0 ? $"{message} at {path}" : message;
        diagnostics.Error(code, where, place, subject.Length > 0 ? subject : path, remedy);
    }

    /// <summary>Binds the fields of a message.</summary>
    public void Message(IMessage message, YamlNode node, string path)
    {
        places?.Set(message, "", node.Place);
        MessageDescriptor type = message.Descriptor;
        if (WellKnown.Binds(type))
        {
            WellKnown.Bind(this, message, node, path);
            return;
        }
        if (type.FullName == AnyName)
        {
            BindAny((Any)message, node, path);
            return;
        }
        if (options.Opaque(type)) return;
        if (node is not YamlMapping mapping)
        {
            if (node.IsNullScalar) return;
            Error("NARU-C011", $"{type.Name} is a mapping, not {node.Describe()}", node.Place, path, $"its fields are {Fields(type)}");
            return;
        }
        BindFields(message, mapping, path, skip: null);
    }

    private void BindFields(IMessage message, YamlMapping mapping, string path, string? skip)
    {
        MessageDescriptor type = message.Descriptor;
        Dictionary<string, FieldDescriptor> names = Names(type);
        HashSet<FieldDescriptor>? given = null;
        Dictionary<OneofDescriptor, FieldDescriptor>? chosen = null;
        foreach (YamlEntry entry in mapping.Entries)
        {
            if (entry.Key == skip) continue;
            string fieldPath = path.Length == 0 ? entry.Key : $"{path}.{entry.Key}";
            if (!names.TryGetValue(entry.Key, out FieldDescriptor? field))
            {
                ReportUnknown(type, entry, path);
                continue;
            }
            if (!(given ??= []).Add(field))
            {
                Error("NARU-C002", $"\"{field.Name}\" is given twice, under two spellings", entry.KeyPlace, fieldPath, "keep one of them");
                continue;
            }
            // null means absent, but for google.protobuf.Value, where it is a value.
            if (entry.Value.IsNullScalar && !(field.FieldType == FieldType.Message && field.MessageType.FullName == "google.protobuf.Value")) continue;
            if (field.RealContainingOneof is { } oneof && !(chosen ??= []).TryAdd(oneof, field))
            {
                Error("NARU-C013", $"\"{field.Name}\" and \"{chosen[oneof].Name}\" exclude each other", entry.KeyPlace, fieldPath, "keep one of them");
                continue;
            }
            places?.Set(message, field.Name, entry.KeyPlace);
            BindField(message, field, entry.Value, fieldPath);
        }
    }

    private void ReportUnknown(MessageDescriptor type, YamlEntry entry, string path)
    {
        string fieldPath = path.Length == 0 ? entry.Key : $"{path}.{entry.Key}";
        if (options.Unknown?.Invoke(type, entry.Key) is { } known)
        {
            Error(known.Code, known.Message, entry.KeyPlace, fieldPath, known.Remedy);
            return;
        }
        string? remedy = Nearest.Suggestion(entry.Key, Names(type).Keys);
        if (remedy is null && type.Fields.InDeclarationOrder().Count is > 0 and <= 12) remedy = $"its fields are {Fields(type)}";
        Error("NARU-C010", $"{type.Name} has no field \"{entry.Key}\"", entry.KeyPlace, fieldPath, remedy);
    }

    private void BindField(IMessage message, FieldDescriptor field, YamlNode value, string path)
    {
        if (field.IsMap) BindMap(message, field, value, path);
        else if (field.IsRepeated) BindList(message, field, value, path);
        else if (IsPlainMessage(field) && field.Accessor.GetValue(message) is IMessage existing)
        {
            // Binding over a message merges into it, as protobuf does.
            Message(existing, value, path);
        }
        else if (Single(field, value, path) is { } bound) field.Accessor.SetValue(message, bound);
    }

    private static bool IsPlainMessage(FieldDescriptor field) => field.FieldType == FieldType.Message && !WellKnown.Binds(field.MessageType) && field.MessageType.FullName != AnyName;

    private void BindList(IMessage message, FieldDescriptor field, YamlNode value, string path)
    {
        var list = (IList)field.Accessor.GetValue(message);
        if (value is not YamlSequence sequence)
        {
            if (!options.SingleForRepeated || (value is YamlMapping && field.FieldType != FieldType.Message))
            {
                Error("NARU-C011", $"\"{field.Name}\" is a list, not {value.Describe()}", value.Place, path, "begin each element with \"- \"");
                return;
            }
            sequence = new YamlSequence(value.Place, [value]);
        }
        foreach (YamlNode item in sequence.Items)
        {
            string itemPath = $"{path}[{list.Count}]";
            if (item.IsNullScalar && !(field.FieldType == FieldType.Message && WellKnown.Binds(field.MessageType)))
            {
                Error("NARU-C011", $"an element of \"{field.Name}\" is null", item.Place, itemPath, "remove it or give it a value");
                continue;
            }
            places?.Set(message, $"{field.Name}[{list.Count}]", item.Place);
            if (Single(field, item, itemPath) is { } bound) list.Add(bound);
        }
    }

    private void BindMap(IMessage message, FieldDescriptor field, YamlNode value, string path)
    {
        if (value is not YamlMapping mapping)
        {
            Error("NARU-C011", $"\"{field.Name}\" is a mapping, not {value.Describe()}", value.Place, path);
            return;
        }
        var map = (IDictionary)field.Accessor.GetValue(message);
        FieldDescriptor keyField = field.MessageType.FindFieldByNumber(1);
        FieldDescriptor valueField = field.MessageType.FindFieldByNumber(2);
        foreach (YamlEntry entry in mapping.Entries)
        {
            string entryPath = $"{path}[{entry.Key}]";
            object? key = Scalars.Convert(this, keyField, new YamlScalar(entry.KeyPlace, entry.Key, isQuoted: false), entryPath);
            if (key is null) continue;
            places?.Set(message, $"{field.Name}[{entry.Key}]", entry.KeyPlace);
            if (Single(valueField, entry.Value, entryPath) is { } bound) map[key] = bound;
        }
    }

    private object? Single(FieldDescriptor field, YamlNode value, string path)
    {
        if (field.FieldType is not (FieldType.Message or FieldType.Group))
        {
            if (value is YamlScalar scalar) return Scalars.Convert(this, field, scalar, path);
            Error("NARU-C011", $"\"{field.Name}\" is {Scalars.Expects(field)}, not {value.Describe()}", value.Place, path);
            return null;
        }
        MessageDescriptor type = field.MessageType;
        if (WellKnown.IsWrapper(type))
        {
            // Wrappers are their plain value in C#, and in YAML; {value: x} is taken too.
            if (value is YamlMapping { Entries: [{ Key: "value" } only] }) value = only.Value;
            if (value is YamlScalar scalar) return Scalars.Convert(this, type.FindFieldByNumber(1), scalar, path);
            Error("NARU-C011", $"\"{field.Name}\" is {Scalars.Expects(type.FindFieldByNumber(1))}, not {value.Describe()}", value.Place, path);
            return null;
        }
        IMessage child = type.Parser.ParseFrom(ByteString.Empty);
        Message(child, value, path);
        return child;
    }

    private void BindAny(Any any, YamlNode node, string path)
    {
        if (node is not YamlMapping mapping)
        {
            Error("NARU-C011", $"a typed configuration is a mapping, not {node.Describe()}", node.Place, path, "begin it with \"@type\": type.googleapis.com/...");
            return;
        }
        string? url = mapping.GetText("@type");
        if (url is null)
        {
            if (mapping.Entries.Count > 0) Error("NARU-C015", "a typed configuration says its type", node.Place, path, "add \"@type\": type.googleapis.com/...");
            return;
        }
        string name = url[(url.LastIndexOf('/') + 1)..];
        any.TypeUrl = url.Contains('/', StringComparison.Ordinal) ? url : "type.googleapis.com/" + url;
        MessageDescriptor? type = options.Types(name);
        if (type is null)
        {
            if (!options.KeepUnknownTypes) Error("NARU-C014", $"the type {name} is not known here", mapping.Get("@type")!.Place, path);
            return;
        }
        IMessage inner = type.Parser.ParseFrom(ByteString.Empty);
        places?.SetUnpacked(any, inner);
        places?.Set(inner, "", node.Place);
        if (WellKnown.Binds(type))
        {
            if (mapping.Get("value") is { } value) Message(inner, value, path + ".value");
        }
        else if (!options.Opaque(type))
        {
            BindFields(inner, mapping, path, skip: "@type");
        }
        any.Value = inner.ToByteString();
    }

    private Dictionary<string, FieldDescriptor> Names(MessageDescriptor type)
    {
        if (_names.TryGetValue(type, out Dictionary<string, FieldDescriptor>? names)) return names;
        names = new Dictionary<string, FieldDescriptor>(StringComparer.Ordinal);
        foreach (FieldDescriptor field in type.Fields.InDeclarationOrder())
        {
            names[field.Name] = field;
            names[field.JsonName] = field;
        }
        return _names[type] = names;
    }

    private static string Fields(MessageDescriptor type) => string.Join(", ", type.Fields.InDeclarationOrder().Take(12).Select(f => f.Name));
}

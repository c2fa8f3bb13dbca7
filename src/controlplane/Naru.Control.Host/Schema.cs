// The fields of Istio's kinds as our declarations have them, and those that Istio has and Naru refuses so far: for `naru explain`.
using System.Collections.Immutable;
using Google.Protobuf.Reflection;
using Istio.Networking.V1Alpha3;
using Naru.Control.Model;

namespace Naru.Control.Host;

/// <summary>A field.</summary>
/// <param name="Name">As manifests write it.</param>
/// <param name="Type">string, integer, boolean, Duration, a message's name, …; <c>[]</c> before it for lists.</param>
/// <param name="Values">With an enumeration: its words.</param>
/// <param name="Supported">Whether it is honoured; otherwise it is refused by name.</param>
/// <param name="Fields">Fields of the message it is, empty for plain values.</param>
public sealed record SchemaField(string Name, string Type, ImmutableArray<string> Values, bool Supported, Func<ImmutableArray<SchemaField>> Fields);

/// <summary>Schemas of kinds.</summary>
public static class Schema
{
    private static readonly Dictionary<string, MessageDescriptor> s_kinds = new(StringComparer.Ordinal)
    {
        [Kinds.Gateway] = Gateway.Descriptor,
        [Kinds.VirtualService] = VirtualService.Descriptor,
        [Kinds.DestinationRule] = DestinationRule.Descriptor,
        [Kinds.ServiceEntry] = ServiceEntry.Descriptor,
    };

    /// <summary>Kinds that have one.</summary>
    public static IEnumerable<string> KindNames => s_kinds.Keys.Order(StringComparer.Ordinal);

    /// <summary>Fields of a kind's <c>spec</c>; null where no schema is known here.</summary>
    public static ImmutableArray<SchemaField>? Spec(string kind) => s_kinds.TryGetValue(kind, out MessageDescriptor? message) ? Fields(message) : null;

    private static ImmutableArray<SchemaField> Fields(MessageDescriptor message)
    {
        IEnumerable<SchemaField> known = message.Fields.InDeclarationOrder().Select(Field);
        IEnumerable<SchemaField> later = NotYet.Fields.TryGetValue(message.Name, out string[]? names)
            ? names.Select(n => new SchemaField(NotYet.Camel(n), "", [], false, () => [])) : [];
        return [.. known, .. later.Where(l => !message.Fields.InDeclarationOrder().Any(f => f.JsonName == l.Name))];
    }

    private static SchemaField Field(FieldDescriptor field)
    {
        if (field.IsMap)
        {
            FieldDescriptor value = field.MessageType.FindFieldByNumber(2);
            return new SchemaField(field.JsonName, $"map of string to {TypeOf(value)}", [], true, () => Inner(value));
        }
        return new SchemaField(field.JsonName, (field.IsRepeated ? "[]" : "") + TypeOf(field), Words(field), true, () => Inner(field));
    }

    private static ImmutableArray<SchemaField> Inner(FieldDescriptor field) => IsMessage(field) ? Fields(field.MessageType) : [];

    private static ImmutableArray<string> Words(FieldDescriptor field) => field.FieldType == FieldType.Enum ? [.. field.EnumType.Values.Select(v => v.Name)] : [];

    private static bool IsMessage(FieldDescriptor field) => field.FieldType == FieldType.Message && !field.MessageType.FullName.StartsWith("google.protobuf.", StringComparison.Ordinal);

    private static string TypeOf(FieldDescriptor field) => field.FieldType switch
    {
        FieldType.Message when field.MessageType.FullName == "google.protobuf.Duration" => "Duration (such as 1.5s)",
        FieldType.Message when field.MessageType.Name.EndsWith("Value", StringComparison.Ordinal) && !IsMessage(field) => TypeOf(field.MessageType.FindFieldByNumber(1)),
        FieldType.Message => field.MessageType.Name,
        FieldType.Enum => field.EnumType.Name,
        FieldType.Bool => "boolean",
        FieldType.String or FieldType.Bytes => "string",
        FieldType.Double or FieldType.Float => "number",
        _ => "integer",
    };
}

// Walks every field that is set and compares it with the table of honoured fields, so that nothing is ignored in silence.
// Runs before a resource is read; the readers then look at values only.
using System.Collections;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Finds fields that are set but not honoured.</summary>
internal static class FieldWalk
{
    /// <summary>Reports <c>NARU-C110</c> for each field that is refused and <c>NARU-C111</c> (information) for each that has no effect.</summary>
    /// <param name="scope">The message.</param>
    /// <param name="leaveOut">Fields whose messages are walked by somebody else.</param>
    public static void Check(Scope scope, Func<FieldDescriptor, bool>? leaveOut = null)
    {
        foreach (FieldDescriptor field in scope.Message.Descriptor.Fields.InFieldNumberOrder())
        {
            object? value = Given(scope.Message, field);
            if (value is null) continue;
            FieldRule rule = HonouredFields.Of(field);
            switch (rule.Treatment)
            {
                case FieldTreatment.Honoured:
                    if (leaveOut?.Invoke(field) != true) Descend(scope, field, value, leaveOut);
                    break;
                case FieldTreatment.WithoutEffect:
                    scope.Info(field.Name, "NARU-C111", $"\"{field.Name}\" has no effect: {rule.Reason}");
                    break;
                case FieldTreatment.Refused when value is not false:
                    scope.Error(field.Name, "NARU-C110", rule.Reason.Length == 0
                        ? $"Naru does not support \"{field.Name}\" yet"
                        : $"\"{field.Name}\" is not supported: {rule.Reason}", "remove it");
                    break;
            }
        }
    }

    private static void Descend(Scope scope, FieldDescriptor field, object value, Func<FieldDescriptor, bool>? leaveOut)
    {
        // Typed configuration is walked by the reader that knows what it should be; maps of messages hold nothing else.
        if (field.FieldType != FieldType.Message || field.IsMap || !HonouredFields.Knows(field.MessageType)) return;
        if (!field.IsRepeated)
        {
            Check(scope.In(field.Name, (IMessage)value), leaveOut);
            return;
        }
        int index = 0;
        foreach (object? item in (IList)value) Check(scope.In(field.Name, index++, (IMessage)item!), leaveOut);
    }

    // Null where the field is not set, or cannot be told from not set.
    private static object? Given(IMessage message, FieldDescriptor field)
    {
        object? value = field.Accessor.GetValue(message);
        switch (value)
        {
            case null: return null;
            case ICollection collection: return collection.Count > 0 ? value : null;
        }
        if (field.HasPresence) return field.Accessor.HasValue(message) ? value : null;
        return value switch
        {
            string text => text.Length > 0 ? value : null,
            ByteString bytes => bytes.Length > 0 ? value : null,
            bool flag => flag ? value : null,
            System.Enum => System.Convert.ToInt32(value, System.Globalization.CultureInfo.InvariantCulture) != 0 ? value : null,
            IConvertible number => number.ToDouble(null) != 0 ? value : null,
            _ => value,
        };
    }
}

// Scalars of YAML as values of protobuf's scalar types. A number must fit its type; a string is taken as it is written.
using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;

namespace Naru.Yaml;

/// <summary>Conversions of scalars.</summary>
internal static class Scalars
{
    /// <summary>The boxed value, or null after reporting why there is none.</summary>
    public static object? Convert(BindPass pass, FieldDescriptor field, YamlScalar scalar, string path)
    {
        if (scalar.IsNull && field.FieldType is not FieldType.String)
        {
            pass.Error("NARU-C011", $"null is not {Expects(field)}", scalar.Place, path);
            return null;
        }
        switch (field.FieldType)
        {
            case FieldType.String: return scalar.Value;
            case FieldType.Bool: return Bool(pass, scalar, path);
            case FieldType.Bytes: return Bytes(pass, scalar, path);
            case FieldType.Enum: return Enumeration(pass, field.EnumType, scalar, path);
            case FieldType.Double: return Number(pass, scalar, path);
            case FieldType.Float: return Number(pass, scalar, path) is { } number ? (float)number : null;
            case FieldType.Int32 or FieldType.SInt32 or FieldType.SFixed32:
                return Integer(pass, scalar, int.MinValue, int.MaxValue, path) is { } i32 ? (int)i32 : null;
            case FieldType.UInt32 or FieldType.Fixed32:
                return Integer(pass, scalar, 0, uint.MaxValue, path) is { } u32 ? (uint)u32 : null;
            case FieldType.Int64 or FieldType.SInt64 or FieldType.SFixed64:
                return Integer(pass, scalar, long.MinValue, long.MaxValue, path) is { } i64 ? (long)i64 : null;
            case FieldType.UInt64 or FieldType.Fixed64:
                return Integer(pass, scalar, 0, ulong.MaxValue, path) is { } u64 ? (ulong)u64 : null;
            default: throw new InvalidOperationException($"{field.FullName} is not a scalar");
        }
    }

    /// <summary>What a field takes, for sentences.</summary>
    public static string Expects(FieldDescriptor field) => field.FieldType switch
    {
        FieldType.String => "a text",
        FieldType.Bool => "true or false",
        FieldType.Bytes => "bytes in base64",
        FieldType.Enum => $"one of {Names(field.EnumType)}",
        FieldType.Double or FieldType.Float => "a number",
        _ => "a whole number",
    };

    private static string Names(EnumDescriptor type)
    {
        IEnumerable<string> names = type.Values.Take(12).Select(v => v.Name);
        return string.Join(", ", names) + (type.Values.Count > 12 ? ", ..." : "");
    }

    // The words of YAML 1.1 are taken too: Envoy's own reader and Kubernetes' take them.
    private static object? Bool(BindPass pass, YamlScalar scalar, string path)
    {
        if (!scalar.IsQuoted)
        {
            switch (scalar.Value)
            {
                case "true" or "True" or "TRUE" or "yes" or "Yes" or "YES" or "on" or "On" or "ON": return true;
                case "false" or "False" or "FALSE" or "no" or "No" or "NO" or "off" or "Off" or "OFF": return false;
            }
        }
        bool onlyQuoted = scalar.IsQuoted && scalar.Value is "true" or "false";
        pass.Error("NARU-C011", $"{scalar.Describe()} is not true or false", scalar.Place, path, onlyQuoted ? "remove the quotes" : null);
        return null;
    }

    private static ByteString? Bytes(BindPass pass, YamlScalar scalar, string path)
    {
        try
        {
            string text = string.Concat(scalar.Value.Where(c => !char.IsWhiteSpace(c))).Replace('-', '+').Replace('_', '/').TrimEnd('=');
            return ByteString.FromBase64(text.PadRight((text.Length + 3) / 4 * 4, '='));
        }
        catch (FormatException)
        {
            pass.Error("NARU-C012", "this is not base64", scalar.Place, path);
            return null;
        }
    }

    private static object? Enumeration(BindPass pass, EnumDescriptor type, YamlScalar scalar, string path)
    {
        if (type.FullName == "google.protobuf.NullValue") return 0;
        foreach (EnumValueDescriptor value in type.Values)
        {
            if (value.Name == scalar.Value) return value.Number;
        }
        foreach (EnumValueDescriptor value in type.Values)
        {
            if (string.Equals(value.Name, scalar.Value, StringComparison.OrdinalIgnoreCase)) return value.Number;
        }
        if (int.TryParse(scalar.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && type.FindValueByNumber(number) is not null)
        {
            return number;
        }
        string? near = Nearest.Suggestion(scalar.Value.ToUpperInvariant(), type.Values.Select(v => v.Name));
        pass.Error("NARU-C012", $"{scalar.Describe()} is not a value of {type.Name}", scalar.Place, path, near ?? $"it is one of {Names(type)}");
        return null;
    }

    private static object? Number(BindPass pass, YamlScalar scalar, string path)
    {
        switch (scalar.Value)
        {
            case "NaN" or ".nan" or ".NaN" or ".NAN": return double.NaN;
            case "Infinity" or ".inf" or ".Inf" or ".INF": return double.PositiveInfinity;
            case "-Infinity" or "-.inf" or "-.Inf" or "-.INF": return double.NegativeInfinity;
        }
        if (double.TryParse(scalar.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)) return number;
        pass.Error("NARU-C011", $"{scalar.Describe()} is not a number", scalar.Place, path);
        return null;
    }

    private static decimal? Integer(BindPass pass, YamlScalar scalar, decimal least, decimal most, string path)
    {
        if (!TryInteger(scalar.Value, out decimal number))
        {
            pass.Error("NARU-C011", $"{scalar.Describe()} is not a whole number", scalar.Place, path);
            return null;
        }
        if (number >= least && number <= most) return number;
        pass.Error("NARU-C012", $"{scalar.Value} is out of range", scalar.Place, path, $"it may be {least} to {most}");
        return null;
    }

    private static bool TryInteger(string text, out decimal number)
    {
        number = 0;
        if (text.Length is 0 or > 40) return false;
        if (text.StartsWith("0x", StringComparison.Ordinal))
        {
            bool hex = ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong bits);
            number = bits;
            return hex;
        }
        const NumberStyles style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        return decimal.TryParse(text, style, CultureInfo.InvariantCulture, out number) && decimal.Truncate(number) == number;
    }
}

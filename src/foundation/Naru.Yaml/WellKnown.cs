// google.protobuf's own types in the way in which people write them: "5s", RFC 3339 times, free data. Durations are also
// taken as Go writes them ("1m30s", "10ms") and as Istio 1.0 and old bootstraps did ({seconds: 5}).
using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Yaml;

/// <summary>Binds google.protobuf's own types.</summary>
internal static class WellKnown
{
    // 10,000 years, protobuf's own limit.
    private const decimal MaxSeconds = 315_576_000_000m;

    /// <summary>Whether a type is one of those that are bound here.</summary>
    public static bool Binds(MessageDescriptor type) => type.FullName is "google.protobuf.Duration" or "google.protobuf.Timestamp"
        or "google.protobuf.Struct" or "google.protobuf.Value" or "google.protobuf.ListValue" or "google.protobuf.FieldMask"
        || IsWrapper(type);

    /// <summary>Whether a type wraps a scalar.</summary>
    public static bool IsWrapper(MessageDescriptor type) => type.File.Name == "google/protobuf/wrappers.proto";

    /// <summary>Binds a node into a message of such a type.</summary>
    public static void Bind(BindPass pass, IMessage message, YamlNode node, string path)
    {
        switch (message)
        {
            case Duration duration: BindDuration(pass, duration, node, path); break;
            case Timestamp time: BindTime(pass, time, node, path); break;
            case Value value: value.MergeFrom(node.ToValue()); break;
            case Struct data when node is YamlMapping mapping: data.MergeFrom(mapping.ToStruct()); break;
            case ListValue list when node is YamlSequence sequence: list.MergeFrom(sequence.ToValue().ListValue); break;
            case FieldMask mask when node is YamlScalar text:
                mask.Paths.AddRange(text.Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
                break;
            default:
                if (IsWrapper(message.Descriptor) && node is YamlScalar scalar)
                {
                    FieldDescriptor field = message.Descriptor.FindFieldByNumber(1);
                    if (Scalars.Convert(pass, field, scalar, path) is { } bound) field.Accessor.SetValue(message, bound);
                    break;
                }
                pass.Error("NARU-C011", $"{message.Descriptor.Name} cannot be {node.Describe()}", node.Place, path);
                break;
        }
    }

    private static void BindDuration(BindPass pass, Duration duration, YamlNode node, string path)
    {
        if (node is YamlMapping mapping && mapping.Entries.All(e => e.Key is "seconds" or "nanos"))
        {
            long seconds = 0, nanos = 0;
            if ((mapping.GetText("seconds") is not { } s || long.TryParse(s, CultureInfo.InvariantCulture, out seconds))
                && (mapping.GetText("nanos") is not { } n || long.TryParse(n, CultureInfo.InvariantCulture, out nanos))
                && Math.Abs(nanos) < 1_000_000_000 && Math.Abs((decimal)seconds) <= MaxSeconds)
            {
                duration.Seconds = seconds;
                duration.Nanos = (int)nanos;
                return;
            }
        }
        else if (node is YamlScalar scalar)
        {
            if (TryDuration(scalar.Value, out decimal total))
            {
                duration.Seconds = (long)decimal.Truncate(total);
                duration.Nanos = (int)decimal.Truncate((total - duration.Seconds) * 1_000_000_000m);
                return;
            }
            if (decimal.TryParse(scalar.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out _))
            {
                pass.Error("NARU-C011", $"the duration {scalar.Describe()} has no unit", node.Place, path, $"write \"{scalar.Value}s\" for seconds");
                return;
            }
        }
        pass.Error("NARU-C011", $"{node.Describe()} is not a duration", node.Place, path, "write a number and a unit, such as 0.25s, 250ms or 1h");
    }

    // Number and unit, one or several times: h, m, s, ms, us, ns.
    private static bool TryDuration(string text, out decimal seconds)
    {
        seconds = 0;
        if (text.Length is 0 or > 64) return false;
        bool negative = text[0] == '-';
        int i = text[0] is '-' or '+' ? 1 : 0;
        if (i == text.Length) return false;
        while (i < text.Length)
        {
            int start = i;
            while (i < text.Length && (char.IsAsciiDigit(text[i]) || text[i] == '.')) i++;
            if (!decimal.TryParse(text.AsSpan(start, i - start), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number)) return false;
            int unitStart = i;
            while (i < text.Length && !char.IsAsciiDigit(text[i]) && text[i] != '.') i++;
            decimal unit = text[unitStart..i] switch
            {
                "h" => 3600m,
                "m" => 60m,
                "s" => 1m,
                "ms" => 0.001m,
                "us" or "µs" => 0.000_001m,
                "ns" => 0.000_000_001m,
                _ => 0m,
            };
            if (unit == 0m || number > MaxSeconds) return false;
            seconds += number * unit;
        }
        if (seconds > MaxSeconds) return false;
        if (negative) seconds = -seconds;
        return true;
    }

    private static void BindTime(BindPass pass, Timestamp time, YamlNode node, string path)
    {
        if (node is YamlScalar scalar
            && DateTimeOffset.TryParse(scalar.Value, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTimeOffset parsed))
        {
            time.MergeFrom(Timestamp.FromDateTimeOffset(parsed));
            return;
        }
        pass.Error("NARU-C011", $"{node.Describe()} is not a time", node.Place, path, "write it as RFC 3339 does: 2026-01-31T12:00:00Z");
    }
}

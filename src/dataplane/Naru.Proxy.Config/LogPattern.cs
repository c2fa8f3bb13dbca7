// How a line of the proxy's own log looks (Bootstrap.application_log_config): flags of spdlog, as text or as JSON. A flag that could
// only be empty here, and one that is not known, is refused.
using System.Collections.Immutable;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>A pattern, compiled.</summary>
public sealed class LogPattern
{
    private const int MostLength = 4096, MostDepth = 16;

    // spdlog's flag for a piece of the time, and TimeFormat's.
    private static readonly ImmutableDictionary<char, string> s_times = new Dictionary<char, string>
    {
        ['Y'] = "%Y",
        ['m'] = "%m",
        ['d'] = "%d",
        ['H'] = "%H",
        ['M'] = "%M",
        ['S'] = "%S",
        ['e'] = "%3f",
        ['f'] = "%6f",
        ['F'] = "%9f",
        ['T'] = "%H:%M:%S",
        ['E'] = "%s",
        ['z'] = "%Ez",
    }.ToImmutableDictionary();

    private readonly ImmutableArray<Piece> _pieces;

    private LogPattern(ImmutableArray<Piece> pieces, bool isJson) => (_pieces, IsJson) = (pieces, isJson);

    /// <summary>The flags that are known, for messages.</summary>
    public static string Known => "%v %_ %j %n %l %L %t %P %Y %m %d %H %M %S %e %f %F %T %E %z %^ %$ %%";

    /// <summary>A line is a JSON object.</summary>
    public bool IsJson { get; }

    private enum What { Text, Time, Message, OneLine, JsonMessage, Name, Level, ShortLevel, Thread, Process }

    private sealed record Piece(What What, byte[] Text, TimeFormat? Time);

    /// <summary>From <c>text_format</c>; null after a fault. Times are local, as spdlog's are, or of UTC.</summary>
    public static LogPattern? OfText(string text, out string fault, bool local = true) => Of(text, false, local, out fault);

    /// <summary>From <c>json_format</c>; null after a fault. Messages are <c>%j</c>: others would break the object they stand in
    /// (Envoy).</summary>
    public static LogPattern? OfJson(Struct json, out string fault)
    {
        fault = "";
        if (json.Fields.Count == 0) fault = "a line would be empty";
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            if (fault.Length == 0 && !Write(writer, Value.ForStruct(json), 0))
                fault = $"objects stand in each other more than {MostDepth} deep";
        }
        return fault.Length > 0 ? null : Of(Encoding.UTF8.GetString(bytes.ToArray()), true, true, out fault);
    }

    /// <summary>Writes a line, with its end.</summary>
    public void Write(LineBuffer into, DateTime utc, LogLevel level, string name, string message)
    {
        foreach (Piece piece in _pieces)
        {
            switch (piece.What)
            {
                case What.Text: into.Append(piece.Text); break;
                case What.Time: piece.Time!.Write(utc, into); break;
                case What.Name: Escapes.AppendTerminal(Encoding.UTF8.GetBytes(name), into); break;
                case What.Level: into.Append(Encoding.ASCII.GetBytes(level.ToString().ToLowerInvariant())); break;
                case What.ShortLevel: into.Append((byte)level.ToString()[0]); break;
                case What.Thread: into.Append((long)Environment.CurrentManagedThreadId); break;
                case What.Process: into.Append((long)Environment.ProcessId); break;
                case What.JsonMessage: Escapes.AppendJson(Encoding.UTF8.GetBytes(message), into); break;
                default: Lines(into, message, piece.What == What.OneLine); break;
            }
        }
        into.Append((byte)'\n');
    }

    // What others wrote may have lines of its own, but no other control.
    private static void Lines(LineBuffer into, string message, bool one)
    {
        string[] lines = message.TrimEnd('\n').Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if (i > 0) into.Append(one ? "\\n"u8 : "\n    "u8);
            Escapes.AppendTerminal(Encoding.UTF8.GetBytes(lines[i].TrimEnd('\r')), into);
        }
    }

    private static bool Write(Utf8JsonWriter writer, Value value, int depth)
    {
        if (depth > MostDepth) return false;
        bool good = true;
        switch (value.KindCase)
        {
            case Value.KindOneofCase.StructValue:
                writer.WriteStartObject();
                foreach ((string key, Value inner) in value.StructValue.Fields)
                {
                    writer.WritePropertyName(key.Replace("%", "%%", StringComparison.Ordinal));
                    good &= Write(writer, inner, depth + 1);
                }
                writer.WriteEndObject();
                return good;
            case Value.KindOneofCase.ListValue:
                writer.WriteStartArray();
                foreach (Value inner in value.ListValue.Values) good &= Write(writer, inner, depth + 1);
                writer.WriteEndArray();
                return good;
            case Value.KindOneofCase.StringValue: writer.WriteStringValue(value.StringValue); return true;
            case Value.KindOneofCase.NumberValue when double.IsFinite(value.NumberValue):
                writer.WriteNumberValue(value.NumberValue);
                return true;
            case Value.KindOneofCase.BoolValue: writer.WriteBooleanValue(value.BoolValue); return true;
            default: writer.WriteNullValue(); return true;
        }
    }

    private static LogPattern? Of(string text, bool isJson, bool local, out string fault)
    {
        fault = text.Length is 0 or > MostLength ? $"a pattern has 1 to {MostLength} characters" : "";
        var pieces = ImmutableArray.CreateBuilder<Piece>();
        var plain = new StringBuilder();
        for (int i = 0; i < text.Length && fault.Length == 0; i++)
        {
            if (text[i] != '%')
            {
                // A line is a line: nobody forges a second one.
                if (char.IsControl(text[i])) fault = "a pattern has no control characters";
                plain.Append(text[i]);
                continue;
            }
            if (++i == text.Length)
            {
                fault = "a pattern does not end with %";
                break;
            }
            char flag = text[i];
            if (flag == '%') plain.Append('%');
            else if (flag is not ('^' or '$')) Flag(flag, ref fault);
        }
        Flush();
        return fault.Length == 0 ? new LogPattern(pieces.ToImmutable(), isJson) : null;

        void Flag(char flag, ref string wrong)
        {
            Flush();
            if (s_times.TryGetValue(flag, out string? time))
            {
                pieces.Add(new Piece(What.Time, [], TimeFormat.Compile(time, local, out _)));
                return;
            }
            What? what = flag switch
            {
                'v' => What.Message,
                '_' => What.OneLine,
                'j' => What.JsonMessage,
                'n' => What.Name,
                'l' => What.Level,
                'L' => What.ShortLevel,
                't' => What.Thread,
                'P' => What.Process,
                _ => null,
            };
            if (what is null) wrong = $"\"%{flag}\" is not known here";
            else if (isJson && what is (What.Message or What.OneLine))
                wrong = $"\"%{flag}\" could break the JSON that it stands in: write %j";
            else pieces.Add(new Piece(what.Value, [], null));
        }

        void Flush()
        {
            if (plain.Length > 0) pieces.Add(new Piece(What.Text, Encoding.UTF8.GetBytes(plain.ToString()), null));
            plain.Clear();
        }
    }
}

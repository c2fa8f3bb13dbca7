// A JSON format, compiled: literal text is escaped once, operators are parsed once.
// Stands under AccessLogFormat, which walks it for each request.
using System.Text;

namespace Naru.Telemetry;

internal enum JsonKind
{
    /// <summary>Bytes that never change.</summary>
    Constant,
    /// <summary>One operator, which keeps its type.</summary>
    Single,
    /// <summary>A text of several parts.</summary>
    Text,
    Map,
    List,
}

internal sealed class JsonNode
{
    public JsonKind Kind { get; private init; }

    /// <summary>Of a member, its name with quotes and colon.</summary>
    public byte[] Name { get; private set; } = [];
    public byte[] Bytes { get; private init; } = [];
    public Operator[] Parts { get; private init; } = [];
    public JsonNode[] Children { get; private init; } = [];

    /// <summary>Compiles a value; null where one of its texts does not compile.</summary>
    /// <param name="node">The value.</param>
    /// <param name="omit">Absent values are left out.</param>
    /// <param name="parse">Parses a text, given where it stands; null after an error.</param>
    /// <param name="path">Where the value stands.</param>
    public static JsonNode? Make(FormatNode node, bool omit, Func<string, string, Operator[]?> parse, string path)
    {
        switch (node)
        {
            case FormatLiteral literal:
                return new JsonNode { Kind = JsonKind.Constant, Bytes = Encoding.UTF8.GetBytes(literal.Json) };
            case FormatText text:
                if (parse(text.Format, path) is not { } parts) return null;
                if (parts.All(p => p.Kind == OperatorKind.Literal)) return new JsonNode { Kind = JsonKind.Constant, Bytes = Quoted(string.Concat(parts.Select(p => Encoding.UTF8.GetString(p.Bytes)))) };
                return new JsonNode { Kind = parts.Length == 1 ? JsonKind.Single : JsonKind.Text, Parts = parts };
            case FormatMap map:
                bool whole = true;
                var members = new List<JsonNode>();
                foreach ((string name, FormatNode value) in map.Members.OrderBy(m => m.Key, StringComparer.Ordinal))
                {
                    if (Make(value, omit, parse, $"{path}.{name}") is not { } made) { whole = false; continue; }
                    made.Name = [.. Quoted(name), (byte)':'];
                    members.Add(made);
                }
                return whole ? new JsonNode { Kind = JsonKind.Map, Children = [.. members] } : null;
            case FormatList list:
                JsonNode?[] items = [.. list.Items.Select((item, i) => Make(item, omit, parse, $"{path}[{i}]"))];
                return items.All(i => i is not null) ? new JsonNode { Kind = JsonKind.List, Children = [.. items.Select(i => i!)] } : null;
            default:
                throw new ArgumentException($"{node.GetType().Name} is no value of a format");
        }
    }

    // Configuration's own text, escaped as JSON libraries do; what requests bring is escaped more strictly (Escapes).
    private static byte[] Quoted(string text)
    {
        var into = new LineBuffer();
        into.Append((byte)'"');
        foreach (char c in text)
        {
            if (c is '"' or '\\')
            {
                into.Append((byte)'\\');
                into.Append((byte)c);
            }
            else if (c == '\n') into.Append("\\n"u8);
            else if (c == '\r') into.Append("\\r"u8);
            else if (c == '\t') into.Append("\\t"u8);
            else if (c is >= ' ' and < (char)127) into.Append((byte)c);
            else Escapes.AppendUnicode(c, into);
        }
        into.Append((byte)'"');
        return into.Written.ToArray();
    }
}

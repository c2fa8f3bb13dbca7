// JSON as .NET's configuration reads it: comments and trailing commas are welcome, a key that is there twice (whatever its case) is
// not (learn.microsoft.com/dotnet/core/extensions/configuration-providers). Becomes nodes with places.
using System.Text;
using System.Text.Json;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Import.Text;

internal static class JsonText
{
    /// <summary>Deepest nesting.</summary>
    public const int MaxDepth = 64;

    /// <summary>The document's root, or null where a fault was reported.</summary>
    public static YamlNode? Read(string text, string file, Notes notes)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        var pass = new Pass(bytes, file);
        try
        {
            return pass.Root();
        }
        catch (JsonException fault)
        {
            int line = fault is Twice twice ? twice.Line : (int)(fault.LineNumber ?? 0) + 1;
            string message = fault.Message;
            int cut = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
            if (cut > 0) message = message[..cut];
            bool deep = message.Contains("depth", StringComparison.OrdinalIgnoreCase);
            notes.Syntax(new Place(file, line), fault is Twice ? message : deep ? $"nested deeper than {MaxDepth} levels"
                : $"this is not JSON: {message.TrimEnd('.')}",
                fault is Twice ? "keep one of them" : null);
            return null;
        }
    }

    private sealed class Twice(string message, int line) : JsonException(message)
    {
        public int Line { get; } = line;
    }

    private ref struct Pass(ReadOnlySpan<byte> bytes, string file)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;
        private Utf8JsonReader _reader = new(bytes, new JsonReaderOptions
        {
            AllowTrailingCommas = true,
            CommentHandling = JsonCommentHandling.Skip,
            MaxDepth = MaxDepth
        });
        private long _counted;
        private long _lineStart;
        private int _line = 1;

        public YamlNode Root()
        {
            _reader.Read();
            YamlNode root = Value();
            // What follows the value must be nothing.
            while (_reader.Read()) { }
            return root;
        }

        private Place Here()
        {
            long at = _reader.TokenStartIndex;
            while (_bytes[(int)_counted..(int)at].IndexOf((byte)'\n') is >= 0 and int found)
            {
                _line++;
                _counted += found + 1;
                _lineStart = _counted;
            }
            _counted = at;
            return new Place(file, _line, (int)(at - _lineStart) + 1);
        }

        // A lone half of a surrogate pair can be escaped and is no text.
        private readonly string Text(Place place)
        {
            try
            {
                return _reader.GetString()!;
            }
            catch (InvalidOperationException)
            {
                throw new JsonException("a text has half a character in it", null, place.Line - 1, null);
            }
        }

        private YamlNode Value()
        {
            Place place = Here();
            switch (_reader.TokenType)
            {
                case JsonTokenType.StartObject:
                    var entries = new List<YamlEntry>();
                    var keys = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
                    while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
                    {
                        Place at = Here();
                        string key = Text(at);
                        if (!keys.Add(key)) throw new Twice($"the key \"{Notes.Short(key)}\" is there twice, whatever its case", at.Line);
                        _reader.Read();
                        entries.Add(new YamlEntry(key, at, Value()));
                    }
                    return new YamlMapping(place, entries);
                case JsonTokenType.StartArray:
                    var items = new List<YamlNode>();
                    while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray) items.Add(Value());
                    return new YamlSequence(place, items);
                case JsonTokenType.Null: return new YamlScalar(place, "null", isQuoted: false);
                case JsonTokenType.String: return new YamlScalar(place, Text(place), isQuoted: true);
                default: return new YamlScalar(place, Encoding.UTF8.GetString(_reader.ValueSpan), isQuoted: false);
            }
        }
    }
}

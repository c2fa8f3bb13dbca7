// Bodies that choose routes: JSON, XML, forms and Protobuf. Readers written by others are the oracles, where there are some.
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using System.Xml;
using Naru.FuzzTests.Engine;
using Naru.Http.Bodies;

namespace Naru.FuzzTests.Targets;

/// <summary>What all of them keep.</summary>
internal abstract class BodyTarget : FuzzTarget
{
    public override int Replayed => 5000;

    // What is said to be found is text, has its bound, and is found again.
    protected static string Show(BodyFindings found)
    {
        var all = new StringBuilder();
        for (int i = 0; i < found.Count; i++)
        {
            BodyFinding one = found[i];
            Law(one.Kind is FindingKind.Text or FindingKind.Number || one.Text.IsEmpty, "only texts and numbers have letters");
            Law(one.Text.Length <= BodyFinding.Longest && Utf8.IsValid(one.Text), "a text is UTF-8 and no longer than it may be");
            all.Append(one.Kind).Append(' ').Append(Encoding.UTF8.GetString(one.Text)).Append('|');
        }
        return all.ToString();
    }
}

/// <summary>JSON and pointers; System.Text.Json judges.</summary>
internal sealed class JsonBodyTarget : BodyTarget
{
    private static readonly JsonPointer?[] s_paths = [.. new[] { "", "/a", "/a/b", "/b/0/a", "/1" }
        .Select(p => JsonPointer.Parse(p, out _))];

    public override string Name => "json-body";

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "{\"a\":{\"b\":1},\"b\":[{\"a\":\"x\"}]}", "[1,{\"a\":true}]", "\"\\u00e9\\ud83d\\ude00\"", "{\"a\":1,\"a\":2}", " null ",
            "-0.5e+10",
            "{\"\\u0061\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "[[[[[[]]]]]]", "{}",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\\udc00", "\"a\":", "\"b\":", "true", "false", "null",
            "0", "1e5", "-", "é" }
            .Select(Encoding.UTF8.GetBytes), [0xc3], [0xed, 0xa0, 0x80]];

    public override int Run(byte[] input)
    {
        var found = new BodyFindings();
        found.Begin(s_paths.Length);
        bool read = JsonBody.Read(input, s_paths, found, lastCounts: true);
        string shown = read ? Show(found) : "no";
        bool theirs = true;
        try
        {
            using JsonDocument document = JsonDocument.Parse(input, new JsonDocumentOptions { MaxDepth = JsonBody.MostDepth });
            if (read) Same(string.Concat(s_paths.Select((_, i) => Value(document.RootElement, i) + "|")), shown,
                "a pointer leads where it leads others");
        }
        catch (JsonException)
        {
            theirs = false;
        }
        // They leave halves of surrogates, and bytes that are no UTF-8, to whoever asks for the text.
        if (read || (Utf8.IsValid(input) && !Text(input).Contains("\\ud", StringComparison.OrdinalIgnoreCase)))
            Law(read == theirs, "what is JSON is JSON to others");
        found.Begin(s_paths.Length);
        Law(JsonBody.Read([.. input, (byte)'\n'], s_paths, found) == read, "a blank behind it changes nothing");
        return shown.GetHashCode(StringComparison.Ordinal);
    }

    private static string Value(JsonElement at, int path)
    {
        string[] steps = path switch { 0 => [], 1 => ["a"], 2 => ["a", "b"], 3 => ["b", "0", "a"], _ => ["1"] };
        foreach (string step in steps)
        {
            if (at.ValueKind == JsonValueKind.Object && at.TryGetProperty(step, out JsonElement member)) at = member;
            else if (at.ValueKind == JsonValueKind.Array && int.TryParse(step, out int index) && index < at.GetArrayLength())
                at = at[index];
            else return "Missing ";
        }
        return at.ValueKind switch
        {
            JsonValueKind.String => $"Text {at.GetString()}",
            JsonValueKind.Number => $"Number {at.GetRawText()}",
            JsonValueKind.Object or JsonValueKind.Array => "Compound ",
            JsonValueKind kind => $"{kind} ",
        };
    }
}

/// <summary>XML and paths; System.Xml judges.</summary>
internal sealed class XmlBodyTarget : BodyTarget
{
    private static readonly XmlPath?[] s_paths = [.. new[] { "/a", "/a/b/text()", "/a/b[2]/@x", "/a/b[@x='1']" }
        .Select(p => XmlPath.Parse(p, out _))];

    private static readonly XmlReaderSettings s_settings = new() { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null };

    public override string Name => "xml-body";

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "<a><b x='1'>one</b><b x=\"2\">two</b></a>", "<?xml version=\"1.0\"?><!-- c --><a>x<![CDATA[<y>]]>&lt;&#65;&#x42;</a>",
            "<p:a xmlns:p='u'><p:b/></p:a>",
            "<a b='&quot;&apos;'/>", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "<a><a><a/></a></a>",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "<", ">", "</", "/>", "<a>", "</a>", "<b>", "</b>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<!DOCTYPE", "&",
            "&amp;", "&#", ";", " x='1'", "='", "'", "\"", "\r\n", "é" }
            .Select(Encoding.UTF8.GetBytes), [0xc3], [0]];

    public override int Run(byte[] input)
    {
        var found = new BodyFindings();
        found.Begin(s_paths.Length);
        bool read = XmlBody.Read(input, s_paths, found);
        string shown = read ? Show(found) : "no";
        // What others take without a DTD we take, but for limits, and encodings that they were told of otherwise.
        string text = Encoding.UTF8.GetString(input);
        if (!read && Utf8.IsValid(input) && !text.Contains("encoding", StringComparison.Ordinal) && Others(text) is { } why)
            Law(false, $"what is XML to others is refused: {why}");
        if (read)
        {
            found.Begin(s_paths.Length);
            Law(XmlBody.Read([.. input, (byte)'\n'], s_paths, found), "a blank behind it changes nothing");
            Same(shown, Show(found), "and it says the same");
            found.Begin(s_paths.Length);
            Law(!XmlBody.Read([.. input, .. "<a/>"u8], s_paths, found), "there is one element around all");
        }
        return shown.GetHashCode(StringComparison.Ordinal);
    }

    private static string? Others(string text)
    {
        try
        {
            using var reader = XmlReader.Create(new StringReader(text), s_settings);
            while (reader.Read())
            {
                if (reader.Depth >= XmlBody.MostDepth || reader.AttributeCount > XmlBody.MostAttributes) return null;
            }
            return "read to its end";
        }
        catch (XmlException)
        {
            return null;
        }
    }
}

/// <summary>Forms; a slow decoder judges.</summary>
internal sealed class FormBodyTarget : BodyTarget
{
    private static readonly byte[]?[] s_names = [[(byte)'a'], [(byte)'a', (byte)' ']];

    public override string Name => "form-body";

    public override IEnumerable<byte[]> Seeds { get; } = [.. new[] { "a=1&b=2", "a=%41+%zz%4", "a+=x&a%20=y", "&&=&a",
        "%61=%C3%A9" }.Select(Encoding.UTF8.GetBytes)];

    public override IReadOnlyList<byte[]> Words { get; } = [.. new[] { "&", "=", "%", "+", "%61", "%2", "a=", "a+=", "%C3",
        "%26" }.Select(Encoding.UTF8.GetBytes)];

    public override int Run(byte[] input)
    {
        var found = new BodyFindings();
        found.Begin(s_names.Length);
        FormBody.Read(input, s_names, found);
        string shown = Show(found);
        var slow = new StringBuilder();
        foreach (byte[]? name in s_names)
        {
            string[] values = [.. Text(input).Split('&').Where(p => p.Length > 0).Select(p => p.Split('=', 2))
                .Where(p => Decode(p[0]) == Text(name))
                .Select(p => p.Length > 1 ? Decode(p[1]) : "")];
            slow.Append(values.Length == 0 ? "Missing " : values.Length > 1 || !Utf8.IsValid(Bytes(values[0])) ? "Unclear "
                : $"Text {Encoding.UTF8.GetString(Bytes(values[0]))}").Append('|');
        }
        Same(slow.ToString(), shown, "a field is what it is, slowly and fast");
        return shown.GetHashCode(StringComparison.Ordinal);
    }

    private static string Decode(string text)
    {
        var made = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '%' && i + 2 < text.Length && char.IsAsciiHexDigit(text[i + 1]) && char.IsAsciiHexDigit(text[i + 2]))
            {
                made.Append((char)Convert.ToInt32(text.Substring(i + 1, 2), 16));
                i += 2;
            }
            else made.Append(text[i] == '+' ? ' ' : text[i]);
        }
        return made.ToString();
    }
}

/// <summary>Protobuf and the prefix of gRPC.</summary>
internal sealed class ProtoBodyTarget : BodyTarget
{
    private static readonly ProtoPath?[] s_paths =
        [new([1], ProtoType.Text), new([1, 2], ProtoType.Int), new([2], ProtoType.UInt), new([3, 1, 1], ProtoType.Text),
            new([2], ProtoType.Bool)];

    public override string Name => "proto-body";

    public override IEnumerable<byte[]> Seeds { get; } =
        [.. new[] { "0a0161", "10ffffffffffffffffff01", "0a021003", "1a040a020a00", "0d00000000110000000000000000", "12",
            "0b0c" }.Select(Convert.FromHexString)];

    public override IReadOnlyList<byte[]> Words { get; } = [.. new[] { "0a", "10", "12", "1a", "00", "01", "ffffffffffffffffff01", "80",
        "0d", "09", "7f" }.Select(Convert.FromHexString)];

    public override int Run(byte[] input)
    {
        _ = ProtoBody.First(input, out uint length);
        Law(ProtoBody.First(input, out _) != GrpcFrame.Whole || length + ProtoBody.Prefix <= input.Length, "a whole message is here");
        var found = new BodyFindings();
        found.Begin(s_paths.Length);
        bool read = ProtoBody.Read(input, s_paths, found);
        string shown = read ? Show(found) : "no";
        if (read)
        {
            found.Begin(s_paths.Length);
            Law(ProtoBody.Read([.. input, 0x7a, 0], s_paths, found), "a field that nobody knows changes nothing");
            Same(shown, Show(found), "and it says the same");
            found.Begin(s_paths.Length);
            Law(!ProtoBody.Read([.. input, 0], s_paths, found), "there is no field 0");
        }
        return shown.GetHashCode(StringComparison.Ordinal);
    }
}

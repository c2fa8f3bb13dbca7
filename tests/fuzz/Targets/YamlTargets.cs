// Text that people write: the YAML reader, and the bootstrap reader on top of it, complain but never fail.
using System.Text;
using System.Text.Json;
using Naru.Core;
using Naru.FuzzTests.Engine;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Yaml;

namespace Naru.FuzzTests.Targets;

/// <summary>YAML and JSON.</summary>
internal sealed class YamlTarget : FuzzTarget
{
    public override string Name => "yaml";

    public override int MaxLength => 1000;

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "a: 1\nb:\n  - c: two\n  - 'x'\n", "{\"a\": [1, 2,], \"b\": {\"c\": \"x\\/y \\uD83D\\uDE00\",},\t\"d\":null}", "---\na: &x {b: c}\nd: *x\n---\n- |\n  text\n  more\n- >-\n  folded\n...\n",
            "? key\n: value\n? [a, b]\n: c\n", "a: !!str 5\nb: !tag {x: y}\n<<: *none\n", "# only\n", "\"a\\x41\\n\": 'it''s'\nb: .inf\nc: 0o17\nd: 1e3\n", "a: [[[[[[]]]]]]\nb: {c: {d: {}}}\n",
            "%YAML 1.2\n---\na: b\n", "a: 1\na: 2\n",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } = YamlWords;

    internal static IReadOnlyList<byte[]> YamlWords { get; } =
    [
        .. new[] { "\n", "\n  ", ": ", "- ", "? ", "[", "]", "{", "}", ",", "&a ", "*a", "!!", "!", "|\n ", ">", "|2-\n", "'", "\"", "\\", "\\u", "#", " #", "%", "---\n", "...\n", "<<: ", "@", "`", "\t", "\r", "~",
            "null", "\u0085", "\u2028", "\uFEFF", "\uD7FF", "😀" }.Select(Encoding.UTF8.GetBytes),
    ];

    public override int Run(byte[] input)
    {
        string text = Encoding.UTF8.GetString(input);
        var found = new Diagnostics();
        IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(text, "f", found);
        int lines = 1 + text.Count(c => c is '\n' or '\r' or '\u0085' or '\u2028' or '\u2029');
        foreach (Diagnostic item in found.Items)
        {
            Law(item.Code.StartsWith("NARU-C00", StringComparison.Ordinal) && item.Message.Length > 0, "a complaint has a code and a sentence");
            Law(item.Place.Line >= 0 && item.Place.Line <= lines + 1, $"a complaint points into the text ({item})");
        }
        foreach (YamlNode document in documents)
        {
            string json = Json(document);
            var again = new Diagnostics();
            IReadOnlyList<YamlNode> back = YamlReader.ReadAll(json, "g", again);
            Law(!again.HasErrors && back.Count == 1, $"what was read can be written as JSON and read again: {json} {string.Join("; ", again.Items)}");
            Same(json, Json(back[0]), "a document comes back");
            _ = document.ToValue();
        }
        return HashCode.Combine(documents.Count, string.Join(' ', found.Items.Select(i => i.Code)).GetHashCode(StringComparison.Ordinal), Shape(documents));
    }

    // Kinds of nodes near the top.
    private static int Shape(IReadOnlyList<YamlNode> documents)
    {
        var shape = new HashCode();
        foreach (YamlNode node in documents)
        {
            shape.Add(node.GetType());
            IEnumerable<YamlNode> inner = node is YamlMapping mapping ? mapping.Entries.Select(e => e.Value) : node is YamlSequence sequence ? sequence.Items : [];
            foreach (YamlNode child in inner.Take(4)) shape.Add(child is YamlScalar { IsQuoted: true } ? 1 : child.GetType().Name.Length);
        }
        return shape.ToHashCode();
    }

    private static string Json(YamlNode node) => node switch
    {
        YamlMapping mapping => "{" + string.Join(", ", mapping.Entries.Select(e => JsonSerializer.Serialize(e.Key) + ": " + Json(e.Value))) + "}",
        YamlSequence sequence => "[" + string.Join(", ", sequence.Items.Select(Json)) + "]",
        YamlScalar scalar => JsonSerializer.Serialize(scalar.Value),
        _ => throw new LawBroken("a node of no kind"),
    };
}

/// <summary>Bootstraps of naru-proxy, v3 and v2.</summary>
internal sealed class BootstrapTarget : FuzzTarget
{
    public override string Name => "bootstrap";

    public override int MaxLength => 16384;

    public override int Replayed => 500;

    public override IEnumerable<byte[]> Seeds { get; } =
        [.. Directory.EnumerateFiles(Repository.At("tests", "golden", "Bootstraps", "cases"), "*.yaml").Order(StringComparer.Ordinal).Select(File.ReadAllBytes).Where(b => b.Length < 16384)];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. YamlTarget.YamlWords,
        .. new[]
        {
            "static_resources", "listeners", "clusters", "name: ", "address: ", "typed_config: ", "\"@type\": ", "filter_chains", "filters", "route_config", "virtual_hosts", "domains: [\"*\"]", "routes", "match", "prefix: /",
            "cluster: ", "tls_context", "sni: ", "timeout: ", "1s", "-1s", "0.000000001s", "99999999999999s", "true", "4294967296", "-1", "1.5", "1e400", "[]", "{}", "null", "\"\"", "type.googleapis.com/",
            "google.protobuf.Struct", "value: ", "port_value: 65536", "0.0.0.0", "::", "safe_regex: {regex: \"(\"}",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override int Run(byte[] input)
    {
        string text = Encoding.UTF8.GetString(input);
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.Read(text, "f", found);
        Law((config is null) == found.HasErrors, "a bootstrap is refused with a reason, or taken");
        foreach (Diagnostic item in found.Items) Law(item.Code.Length > 0 && item.Message.Length > 0, "a complaint has a code and a sentence");
        return string.Join(' ', found.Items.Select(i => i.Code).Distinct().Order()).GetHashCode(StringComparison.Ordinal);
    }
}

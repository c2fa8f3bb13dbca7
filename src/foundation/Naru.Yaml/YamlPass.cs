// One pass over a text's parser events, building nodes. Internal to the reader: knows anchors, merge keys, tags and the limits.
using Naru.Core;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Naru.Yaml;

/// <summary>Ends a pass whose reason is already reported.</summary>
internal sealed class Refused : Exception;

/// <summary>Builds nodes from events.</summary>
internal sealed class YamlPass(string? file, Diagnostics diagnostics)
{
    private readonly Dictionary<string, YamlNode?> _anchors = new(StringComparer.Ordinal);
    private long _written;
    private bool _faulty;

    /// <summary>Where the pass is.</summary>
    public Place Last { get; private set; } = new(file);

    /// <summary>A mark as a place.</summary>
    public Place At(Mark mark) => new(file, (int)mark.Line, (int)mark.Column);

    /// <summary>Adds every document that is neither empty nor faulty.</summary>
    public void Read(IParser parser, List<YamlNode> documents)
    {
        Next(parser);
        while (Next(parser) is DocumentStart)
        {
            _anchors.Clear();
            _written = 0;
            _faulty = false;
            ParsingEvent first = Next(parser);
            YamlNode? root = first is DocumentEnd ? null : Node(parser, first, 0);
            if (first is not DocumentEnd) Next(parser);
            if (root is not null && !root.IsNullScalar && !_faulty) documents.Add(root);
        }
    }

    private ParsingEvent Next(IParser parser)
    {
        if (!parser.MoveNext() || parser.Current is null)
        {
            diagnostics.Error("NARU-C001", "this is not YAML: the text ends too early", Last);
            throw new Refused();
        }
        Last = At(parser.Current.Start);
        return parser.Current;
    }

    // Null means: tagged !ignore, so that it only serves as an anchor.
    private YamlNode? Node(IParser parser, ParsingEvent start, int depth)
    {
        Place place = At(start.Start);
        if (depth > YamlReader.MaxDepth)
        {
            diagnostics.Error("NARU-C003", $"nested deeper than {YamlReader.MaxDepth} levels", place);
            throw new Refused();
        }
        _written++;
        if (start is AnchorAlias alias) return Resolve(alias, place);
        if (start is not NodeEvent node)
        {
            diagnostics.Error("NARU-C001", "this is not YAML: a value is missing", place);
            throw new Refused();
        }
        string? anchor = node.Anchor.IsEmpty ? null : node.Anchor.Value;
        if (anchor is not null) _anchors[anchor] = null;
        YamlNode result = start switch
        {
            Scalar scalar => new YamlScalar(place, scalar.Value, IsString(scalar)),
            SequenceStart => Sequence(parser, place, depth),
            MappingStart => Mapping(parser, place, depth),
            _ => throw new InvalidOperationException($"unexpected {start.GetType().Name}"),
        };
        if (anchor is not null) _anchors[anchor] = result;
        return !node.Tag.IsEmpty && node.Tag.Value == "!ignore" ? null : result;
    }

    private static bool IsString(Scalar scalar)
    {
        if (scalar.Style is not (ScalarStyle.Plain or ScalarStyle.Any)) return true;
        return !scalar.Tag.IsEmpty && scalar.Tag.Value is ("tag:yaml.org,2002:str" or "!");
    }

    private YamlNode Resolve(AnchorAlias alias, Place place)
    {
        string name = alias.Value.Value;
        if (!_anchors.TryGetValue(name, out YamlNode? target))
        {
            diagnostics.Error("NARU-C005", $"alias *{name} has no anchor before it", place, null, Nearest.Suggestion(name, _anchors.Keys));
            throw new Refused();
        }
        if (target is null)
        {
            diagnostics.Error("NARU-C005", $"alias *{name} stands inside its own anchor", place);
            throw new Refused();
        }
        return target;
    }

    private YamlSequence Sequence(IParser parser, Place place, int depth)
    {
        var items = new List<YamlNode>();
        long weight = 1;
        for (ParsingEvent next = Next(parser); next is not SequenceEnd; next = Next(parser))
        {
            if (Node(parser, next, depth + 1) is not { } item) continue;
            items.Add(item);
            weight = Weigh(weight, item, place);
        }
        return new YamlSequence(place, items) { Weight = weight };
    }

    private YamlMapping Mapping(IParser parser, Place place, int depth)
    {
        var entries = new List<YamlEntry>();
        var seen = new Dictionary<string, Place>(StringComparer.Ordinal);
        List<YamlNode>? merges = null;
        long weight = 1;
        for (ParsingEvent next = Next(parser); next is not MappingEnd; next = Next(parser))
        {
            Place keyPlace = At(next.Start);
            bool mayMerge = next is Scalar { Style: ScalarStyle.Plain, Value: "<<" };
            YamlNode? key = Node(parser, next, depth + 1);
            YamlNode? value = Node(parser, Next(parser), depth + 1);
            if (key is not YamlScalar scalar)
            {
                diagnostics.Error("NARU-C006", "a key must be a plain text, not a list or mapping", keyPlace, null, "is a quote or a brace missing?");
                _faulty = true;
                continue;
            }
            if (value is null) continue;
            weight = Weigh(weight, value, place);
            if (mayMerge && value is (YamlMapping or YamlSequence))
            {
                (merges ??= []).Add(value);
                continue;
            }
            if (!seen.TryAdd(scalar.Value, keyPlace))
            {
                Place first = seen[scalar.Value];
                diagnostics.Error("NARU-C002", $"the key \"{scalar.Value}\" is given twice, first on line {first.Line}", keyPlace, null, "keep one of them");
                _faulty = true;
                continue;
            }
            entries.Add(new YamlEntry(scalar.Value, keyPlace, value));
        }
        if (merges is not null) Merge(merges, entries, seen);
        return new YamlMapping(place, entries) { Weight = weight };
    }

    // What the mapping says itself wins over what is merged in, earlier merges win over later ones.
    private void Merge(List<YamlNode> merges, List<YamlEntry> entries, Dictionary<string, Place> seen)
    {
        foreach (YamlNode merge in merges.SelectMany(m => m is YamlSequence list ? list.Items : [m]))
        {
            if (merge is not YamlMapping mapping)
            {
                diagnostics.Error("NARU-C005", "<< merges mappings only", merge.Place);
                _faulty = true;
                continue;
            }
            foreach (YamlEntry entry in mapping.Entries)
            {
                if (seen.TryAdd(entry.Key, entry.KeyPlace)) entries.Add(entry);
            }
        }
    }

    private long Weigh(long weight, YamlNode child, Place place)
    {
        weight += child.Weight;
        if (weight <= YamlReader.MaxExpandedNodes + 10 * _written) return weight;
        diagnostics.Error("NARU-C004", $"aliases expand to more than {YamlReader.MaxExpandedNodes} nodes", place, null, "write out what is needed, without nesting aliases");
        throw new Refused();
    }
}

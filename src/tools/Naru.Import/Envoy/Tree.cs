// A document that can be cut: nodes with their places in the file, and in the text that is shown to the proxy, where every node begins
// a line of its own.
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Import.Envoy;

internal sealed partial class Tree
{
    private readonly List<Tree> _children = [];
    private readonly string? _scalar;
    private readonly bool _isList;

    private Tree(Tree? parent, string key, YamlNode node, Place place)
    {
        (Parent, Key, Place) = (parent, key, place);
        switch (node)
        {
            case YamlMapping mapping:
                foreach (YamlEntry entry in mapping.Entries) _children.Add(new Tree(this, entry.Key, entry.Value, entry.KeyPlace));
                break;
            case YamlSequence list:
                _isList = true;
                for (int i = 0; i < list.Items.Count; i++) _children.Add(new Tree(this, $"[{i}]", list.Items[i], list.Items[i].Place));
                break;
            case YamlScalar scalar: _scalar = Scalar(scalar); break;
        }
    }

    public static Tree Of(YamlNode root) => new(null, "", root, root.Place);

    public Tree? Parent { get; }

    public string Key { get; }

    public Place Place { get; }

    public IReadOnlyList<Tree> Children => _children;

    /// <summary>The path from the root: <c>static_resources.listeners[0].name</c>.</summary>
    public string Path => Parent is null ? "" : Parent.Path is { Length: > 0 } above ? Key[0] == '[' ? above + Key : $"{above}.{Key}" : Key;

    public Tree? Child(params string[] names) => _children.Find(c => names.Contains(c.Key));

    /// <summary>The text of a scalar, or null.</summary>
    public string? Text => _scalar is null ? null : JsonNode.Parse(_scalar) is JsonValue value && value.TryGetValue(out string? text) ? text
        : _scalar;

    public void Remove() => Parent?._children.Remove(this);

    /// <summary>Gives a mapping a value under a name, in place of those that it has under others.</summary>
    public void Put(string key, YamlNode value, params string[] instead)
    {
        _children.RemoveAll(c => c.Key == key || instead.Contains(c.Key));
        _children.Add(new Tree(this, key, value, Place));
    }

    /// <summary>Puts another mapping in the place of this one.</summary>
    public void Replace(YamlNode with)
    {
        if (Parent is null) return;
        int at = Parent._children.IndexOf(this);
        if (at >= 0) Parent._children[at] = new Tree(Parent, Key, with, Place);
    }

    /// <summary>Whether this is below another one, or it.</summary>
    public bool Within(Tree other)
    {
        for (Tree? at = this; at is not null; at = at.Parent)
        {
            if (ReferenceEquals(at, other)) return true;
        }
        return false;
    }

    /// <summary>The document as JSON; <paramref name="lines"/> gets the node that begins on each line, from 1 on.</summary>
    public string Write(List<Tree?> lines)
    {
        var text = new StringBuilder();
        lines.Add(null);
        Write(text, lines, "");
        return text.ToString();
    }

    private void Write(StringBuilder text, List<Tree?> lines, string before)
    {
        lines.Add(this);
        text.Append(before);
        if (_scalar is not null)
        {
            text.Append(_scalar);
            return;
        }
        text.Append(_isList ? '[' : '{').Append('\n');
        for (int i = 0; i < _children.Count; i++)
        {
            _children[i].Write(text, lines, _isList ? "" : JsonSerializer.Serialize(_children[i].Key) + ": ");
            text.Append(i + 1 < _children.Count ? ",\n" : "\n");
        }
        lines.Add(this);
        text.Append(_isList ? ']' : '}');
    }

    private static string Scalar(YamlScalar scalar)
    {
        if (scalar.IsNull) return "null";
        if (!scalar.IsQuoted && scalar.Value is "true" or "True" or "TRUE") return "true";
        if (!scalar.IsQuoted && scalar.Value is "false" or "False" or "FALSE") return "false";
        return !scalar.IsQuoted && Number().IsMatch(scalar.Value) ? scalar.Value : JsonSerializer.Serialize(scalar.Value);
    }

    [GeneratedRegex(@"^-?(0|[1-9]\d{0,15})(\.\d+)?$")]
    private static partial Regex Number();
}

// Reads YAML 1.2 text, and JSON as part of it (trailing commas included), into nodes with places. Built on YamlDotNet's parser
// events only, so that it works ahead of time. Refuses duplicate keys, deep nesting, alias bombs and files beyond reason.
using Naru.Core;
using YamlDotNet.Core;

namespace Naru.Yaml;

/// <summary>Reads documents.</summary>
public static class YamlReader
{
    /// <summary>Deepest nesting of mappings and lists.</summary>
    public const int MaxDepth = 64;

    /// <summary>Longest text, in UTF-16 units (64 Mi).</summary>
    public const int MaxLength = 64 << 20;

    /// <summary>Most nodes that a document may have once aliases are expanded, beyond ten times what is written.</summary>
    public const long MaxExpandedNodes = 200_000;

    /// <summary>Reads every document of a text. Empty documents are left out; a document with a fault is reported and left out,
    /// and after a fault of syntax the rest of the text is, too.</summary>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="file">Name for places; null where there is none.</param>
    /// <param name="diagnostics">Takes <c>NARU-C001</c> (syntax), <c>C002</c> (duplicate key), <c>C003</c> (too deep), <c>C004</c> (aliases
    /// expand too far), <c>C005</c> (bad alias), <c>C006</c> (key is not a scalar), <c>C007</c> (too long).</param>
    public static IReadOnlyList<YamlNode> ReadAll(string text, string? file, Diagnostics diagnostics)
    {
        if (text.Length > MaxLength)
        {
            diagnostics.Error("NARU-C007", $"the text has {text.Length} characters; the most that is read is {MaxLength}", new Place(file));
            return [];
        }
        if (text.StartsWith('\uFEFF')) text = text[1..];
        if (text.IndexOf('\0', StringComparison.Ordinal) is >= 0 and int nul)
        {
            diagnostics.Error("NARU-C001", "this is not YAML: there is a NUL character", new Place(file, text.AsSpan(0, nul).Count('\n') + 1));
            return [];
        }
        var documents = new List<YamlNode>();
        var pass = new YamlPass(file, diagnostics);
        try
        {
            pass.Read(new Parser(new StringReader(text)), documents);
        }
        catch (Refused)
        {
            // Reported where it was found.
        }
        catch (YamlException fault)
        {
            int tab = fault.Message.Contains(" tab ", StringComparison.Ordinal) ? LineIndentedByTab(text, (int)fault.Start.Line) : 0;
            diagnostics.Error("NARU-C001", Sentence(fault), tab > 0 ? new Place(file, tab, 1) : pass.At(fault.Start), null, tab > 0 ? "indent with spaces" : null);
        }
        catch (Exception fault) when (fault is InvalidOperationException or ArgumentException or FormatException or IndexOutOfRangeException)
        {
            // The parser's own slips on text that is not YAML.
            bool ended = fault is InvalidOperationException or IndexOutOfRangeException;
            diagnostics.Error("NARU-C001", ended ? "this is not YAML: it ends in the middle of something" : "this is not YAML from here on",
                pass.Last, null,
                "is a bracket, a brace or a quote missing, or was the file cut off?");
        }
        return documents;
    }

    private static string Sentence(YamlException fault)
    {
        string message = fault.InnerException is YamlException inner ? inner.Message : fault.Message;
        int colon = message.StartsWith('(') ? message.IndexOf("): ", StringComparison.Ordinal) : -1;
        if (colon > 0) message = message[(colon + 3)..];
        return "this is not YAML: " + message.TrimEnd('.').ReplaceLineEndings(" ");
    }

    // The parser points at the mapping in which it met the tab.
    private static int LineIndentedByTab(string text, int from)
    {
        int number = 0;
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            number++;
            ReadOnlySpan<char> indent = line[..(line.Length - line.TrimStart(" \t").Length)];
            if (number >= from && indent.Contains('\t')) return number;
        }
        return 0;
    }
}

// A guide as its reader takes it: blocks of commands and files, in the order in which they stand on the page.
using System.Text;
using System.Text.RegularExpressions;
using Naru.Kit;

namespace Naru.SystemTests.Guides;

/// <summary>A command and what the page shows below it; or, where <see cref="File"/> is set, a file and its text.</summary>
/// <param name="Line">Where it stands, from 1.</param>
/// <param name="Command">The text after <c>$</c>.</param>
/// <param name="Shown">Lines that must come, in this order. <c>…</c> stands for anything within a line, a line of <c>…</c> for any lines.</param>
/// <param name="Stays">It goes on while the rest of the page is read.</param>
/// <param name="File">The name in the first comment of a block that is a file.</param>
internal sealed record Step(int Line, string Command, IReadOnlyList<string> Shown, bool Stays, string? File = null);

internal static partial class Guide
{
    /// <summary>
    /// The steps of a page. <c>```console</c>: a line that starts with <c>$</c> is a command, the lines below are what it shows;
    /// <c>```console stays</c>: the command goes on. Any other block whose first line is <c># NAME.EXT</c> or <c>// NAME.EXT</c> is a file.
    /// </summary>
    public static IReadOnlyList<Step> Read(string text)
    {
        var steps = new List<Step>();
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("```", StringComparison.Ordinal)) continue;
            int end = Array.FindIndex(lines, i + 1, l => l == "```");
            if (end < 0) throw new FormatException($"line {i + 1}: the block does not end");
            string[] block = lines[(i + 1)..end];
            string kind = lines[i][3..].Trim();
            if (kind is "console" or "console stays") steps.AddRange(Commands(block, i + 2, kind.EndsWith("stays", StringComparison.Ordinal)));
            else if (block.Length > 0 && FileName().Match(block[0]) is { Success: true } name) steps.Add(new Step(i + 1, string.Join('\n', block) + "\n", [], false, name.Groups[1].Value));
            i = end;
        }
        return steps;
    }

    private static IEnumerable<Step> Commands(string[] block, int first, bool stays)
    {
        for (int i = 0; i < block.Length;)
        {
            if (!block[i].StartsWith("$ ", StringComparison.Ordinal)) throw new FormatException($"line {first + i}: a command starts with \"$ \"");
            int next = Array.FindIndex(block, i + 1, l => l.StartsWith("$ ", StringComparison.Ordinal));
            if (next < 0) next = block.Length;
            yield return new Step(first + i, block[i][2..], block[(i + 1)..next], stays);
            i = next;
        }
    }

    /// <summary>Whether what was shown holds the expected lines, in order and complete but for what <c>…</c> leaves out.</summary>
    public static bool Matches(IReadOnlyList<string> shown, string output)
    {
        var pattern = new StringBuilder("^");
        foreach (string line in shown)
        {
            if (line.Trim() == "…") pattern.Append("(?:[^\n]*\n)*?");
            else pattern.Append(string.Join("[^\n]*?", WhiteSpace().Replace(line.TrimEnd(), " ").Split('…').Select(Regex.Escape))).Append(" ?\n");
        }
        string seen = string.Concat(output.TrimEnd('\n').Split('\n').Select(l => WhiteSpace().Replace(l, " ").TrimEnd() + "\n"));
        return Regex.IsMatch(seen, pattern.Append('$').ToString(), RegexOptions.None, Waiting.Bound);
    }

    [GeneratedRegex(@"^(?:#|//) ((?:[\w\-]+/)*[\w\-]+\.\w+)$")]
    private static partial Regex FileName();

    [GeneratedRegex(@"[ \t]+")]
    private static partial Regex WhiteSpace();
}

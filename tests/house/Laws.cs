// Reads what the house says about itself: projects, their references, tables in documents. The tests beside it compare.
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Naru.Kit;

namespace Naru.HouseTests;

/// <summary>A project file.</summary>
internal sealed record Project(string Name, string Path, IReadOnlyList<string> References, IReadOnlyList<string> Packages);

/// <summary>The repository as its files describe it.</summary>
internal static partial class House
{
    private static readonly string[] s_skipped = ["bin", "obj", "node_modules", "artifacts", ".git", ".vs", ".idea", "results"];

    /// <summary>All files that belong to the repository, relative paths with slashes.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. Walk(Repository.Root).Select(f => Path.GetRelativePath(Repository.Root, f)).Order(StringComparer.Ordinal)];

    /// <summary>All projects.</summary>
    public static IReadOnlyList<Project> Projects { get; } = [.. Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)).Select(Load)];

    /// <summary>Text of a file.</summary>
    public static string Read(string path) => File.ReadAllText(Repository.At(path));

    /// <summary>Rows of the first table below a heading, cells trimmed, header row left out.</summary>
    public static IReadOnlyList<string[]> Table(string file, string heading)
    {
        string[] lines = Read(file).Split('\n');
        int at = Array.FindIndex(lines, l => l.StartsWith('#') && l.TrimStart('#').Trim() == heading);
        if (at < 0) throw new InvalidDataException($"{file} has no heading \"{heading}\"");
        return [.. lines.Skip(at + 1).SkipWhile(l => !l.StartsWith('|')).TakeWhile(l => l.StartsWith('|')).Skip(2)
            .Select(l => l.Trim().Trim('|').Split('|').Select(c => c.Trim()).ToArray())];
    }

    /// <summary>Text between backticks.</summary>
    public static IEnumerable<string> Code(string text) => CodeSpan().Matches(text).Select(m => m.Groups[1].Value);

    private static IEnumerable<string> Walk(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder)) yield return file;
        foreach (string inner in Directory.EnumerateDirectories(folder))
        {
            if (s_skipped.Contains(Path.GetFileName(inner)) || new DirectoryInfo(inner).LinkTarget is not null) continue;
            foreach (string file in Walk(inner)) yield return file;
        }
    }

    private static Project Load(string path)
    {
        XDocument xml = XDocument.Load(Repository.At(path));
        string[] Includes(string element) => [.. xml.Descendants(element).Select(e => e.Attribute("Include")?.Value ?? "").Where(v => v.Length > 0)];
        return new Project(Path.GetFileNameWithoutExtension(path), path,
            [.. Includes("ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Replace('\\', '/')))], Includes("PackageReference"));
    }

    [GeneratedRegex("`([^`\n]+)`")]
    private static partial Regex CodeSpan();
}

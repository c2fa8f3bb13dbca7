// Documents tell the truth: every path they name exists, the stops of ARCHITECTURE.md are folders, both languages list the same verbs.
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.HouseTests;

public sealed partial class DocumentTests
{
    public static TheoryData<string> Documents => [.. House.Files.Where(f => f.EndsWith(".md", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Documents))]
    public void Every_path_that_a_document_names_exists(string document)
    {
        string text = House.Read(document);
        string folder = Path.GetDirectoryName(document) ?? "";
        var missing = new List<string>();
        foreach (Match link in Link().Matches(text))
        {
            string target = link.Groups[1].Value.Split('#')[0];
            if (target.Length == 0 || target.Contains("://")) continue;
            if (!Exists(Path.Combine(folder, target))) missing.Add(target);
        }
        foreach (Match word in RepositoryPath().Matches(text))
        {
            string path = word.Value.TrimEnd('.', ',', ':', ';', ')').TrimEnd('/');
            // Placeholders: stars, angle brackets, a last part in capitals.
            if (path.Contains('*') || path.Contains('<') || (Path.GetFileName(path) is { Length: > 1 } last && last.All(char.IsAsciiLetterUpper))) continue;
            if (!Exists(path) && !Exists(Path.Combine(folder, path))) missing.Add(path);
        }
        Assert.Empty(missing.Distinct());
    }

    [Fact]
    public void The_stops_of_a_request_are_folders_of_the_engine()
    {
        string[] folders = [.. House.Table("ARCHITECTURE.md", "A request, stop by stop").Select(row => House.Code(row[1]).Single())];
        Assert.NotEmpty(folders);
        Assert.All(folders, f => Assert.True(Directory.Exists(Repository.At("src", "dataplane", "Naru.Proxy", f)), f));
    }

    [Fact]
    public void The_stops_of_a_change_are_projects()
    {
        string[] projects = [.. House.Table("ARCHITECTURE.md", "A change of configuration, stop by stop").Select(row => Path.GetFileName(House.Code(row[1]).Single()))];
        Assert.NotEmpty(projects);
        Assert.Empty(projects.Except(House.Projects.Select(p => p.Name)));
    }

    [Fact]
    public void Decisions_are_numbered_without_gaps_and_listed()
    {
        string[] pages = [.. House.Files.Where(f => Decision().IsMatch(f)).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];
        Assert.Equal(Enumerable.Range(1, pages.Length).Select(n => n.ToString("0000")), pages.Select(p => p[..4]));
        string index = House.Read("docs/decisions/README.md");
        Assert.All(pages, p => Assert.Contains($"({p})", index));
    }

    [Fact]
    public void Both_readmes_start_with_the_same_two_commands_and_list_the_same_verbs()
    {
        string english = House.Read("README.md");
        string korean = House.Read("README.ko.md");
        Assert.Equal(["./naru demo", "./test"], Commands(english).Take(2));
        Assert.Equal(Commands(english), Commands(korean));
        Assert.Equal(Verbs(english), Verbs(korean));
        Assert.NotEmpty(Verbs(english));
        Assert.Equal(Features(english), Features(korean));
        Assert.NotEmpty(Features(english));
    }

    private static bool Exists(string path) => Path.Exists(Repository.At(path));

    private static string[] Commands(string text) => [.. text.Split('\n').Where(l => l.StartsWith("./", StringComparison.Ordinal) || l.StartsWith("$ ", StringComparison.Ordinal))
        .Select(l => Regex.Replace(l, @"\s\s+.*$", "").Trim())];

    private static string[] Verbs(string text) => [.. text.Split('\n').Where(l => l.StartsWith("| `naru ", StringComparison.Ordinal)).Select(l => l.Split('`')[1])];

    /// <summary>The marks of each row of "today, and not yet"; words, which are translated, count as one kind.</summary>
    private static string[] Features(string text) => [.. text.Split('\n').SkipWhile(l => !l.StartsWith("| | Naru |", StringComparison.Ordinal)).Skip(2)
        .TakeWhile(l => l.StartsWith('|')).Select(l => string.Join(' ', l.Split('|')[2..^1].Select(c => c.Trim() is "✓" or "–" ? c.Trim() : "words")))];

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    // Words that start like a path of ours: a top-level folder and something below it, or one of the two launchers.
    [GeneratedRegex(@"(?<![\w/.\-])(?:(?:src|tests|docs|proto|samples|bench|deploy|\.ci)/[\w./*<>\-…]+|\./(?:naru|test)\b)")]
    private static partial Regex RepositoryPath();

    [GeneratedRegex(@"^docs/decisions/\d{4}-[a-z0-9-]+\.md$")]
    private static partial Regex Decision();
}

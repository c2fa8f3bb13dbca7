// What README.md says the command line can do is what the command line says it can do.
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests;

public sealed partial class ReadmeTests
{
    [Fact]
    public async Task The_table_of_verbs_is_what_help_lists()
    {
        ProcessResult help = await ChildProcess.RunAsync(Programs.Naru(), ["--help"]);
        Assert.True(help.ExitCode == 0, help.All);
        Assert.All(help.Output.Split('\n'), l => Assert.InRange(l.Length, 0, 120));
        string[] lines = help.Output.Split('\n');
        string[] listed = [.. lines.SkipWhile(l => !l.StartsWith("Commands:", StringComparison.Ordinal)).Skip(1).TakeWhile(l => l.StartsWith("  ", StringComparison.Ordinal))
            .Select(l => l.Trim().Split(' ', ',', '<')[0] is "ps" ? "status" : l.Trim().Split(' ', ',', '<')[0])];
        string[] told = [.. Verb().Matches(await File.ReadAllTextAsync(Repository.At("README.md"))).Select(m => m.Groups[1].Value)];
        Assert.Equal(listed.Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
    }

    [GeneratedRegex(@"^\| `naru ([a-z-]+)", RegexOptions.Multiline)]
    private static partial Regex Verb();
}

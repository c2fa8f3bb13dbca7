// What no file of ours may contain: unfinished work, sleeping tests, traces of the machine it was written on.
using Naru.Kit;
using Xunit;

namespace Naru.HouseTests;

public sealed class TextTests
{
    // Longer than the law allows, with the reason. A line here is a debt.
    private static readonly Dictionary<string, string> s_long = new()
    {
    };

    private static readonly string[] s_sourceSuffixes = [".cs", ".proto", ".csproj", ".props", ".yaml", ".yml", ".json", ".md", ".slnx", ".sh", ".js", ".py", ".html"];

    private static IEnumerable<string> Texts => House.Files.Where(f => s_sourceSuffixes.Contains(Path.GetExtension(f)) || f is "test" or "naru" or ".ci/run" or "bench/run")
        .Where(f => !f.EndsWith("package-lock.json", StringComparison.Ordinal));

    private static IEnumerable<string> Code => House.Files.Where(f => f.EndsWith(".cs", StringComparison.Ordinal));

    [Fact]
    public void No_source_file_is_longer_than_600_lines()
    {
        string[] tooLong = [.. Code.Where(f => f.StartsWith("src/", StringComparison.Ordinal) || f.StartsWith("tests/", StringComparison.Ordinal))
            .Where(f => !s_long.ContainsKey(f)).Select(f => (f, Lines: House.Read(f).Count(c => c == '\n'))).Where(f => f.Lines > 600).Select(f => $"{f.f}: {f.Lines}")];
        Assert.Empty(tooLong);
        string[] paid = [.. s_long.Keys.Where(f => !House.Files.Contains(f) || House.Read(f).Count(c => c == '\n') <= 600)];
        Assert.Empty(paid);
    }

    [Fact]
    public void Nothing_is_left_for_later_and_no_test_sleeps_or_is_skipped()
    {
        // Written in two halves, so that this file does not find itself.
        string[] everywhere = ["TO" + "DO", "FIX" + "ME", "NotImplemented" + "Exception", "HA" + "CK:"];
        string[] inTests = ["Thread" + ".Sleep", "Task" + ".Delay", "Skip" + " =", "Skip" + "When", "Skip" + "Unless", "Assert" + ".Skip"];
        var found = new List<string>();
        foreach (string file in Code)
        {
            string text = House.Read(file);
            IEnumerable<string> words = file.StartsWith("tests/", StringComparison.Ordinal) ? everywhere.Concat(inTests) : everywhere.Append("Thread" + ".Sleep");
            found.AddRange(words.Where(w => text.Contains(w, StringComparison.Ordinal)).Select(w => $"{file}: {w}"));
        }
        Assert.Empty(found);
    }

    [Fact]
    public void No_file_betrays_the_machine_it_was_written_on()
    {
        // Homes, work folders and assistants have no place here; written in two halves, as above.
        string[] words = ["/wo" + "rk/", "/tmp" + "/wt", "/ro" + "ot/", "/ho" + "me/", "Cla" + "ude", "Anth" + "ropic", "Chat" + "GPT", "Co" + "pilot", "registry" + ".npmjs", "api.nuget" + ".org"];
        var found = new List<string>();
        foreach (string file in Texts)
        {
            string text = House.Read(file);
            found.AddRange(words.Where(w => text.Contains(w, StringComparison.OrdinalIgnoreCase)).Select(w => $"{file}: {w}"));
        }
        Assert.Empty(found);
    }

    [Fact]
    public void Lines_end_with_lf_and_files_with_a_newline()
    {
        string[] wrong = [.. Texts.Where(f => House.Read(f) is { Length: > 0 } t && (t.Contains('\r') || t[^1] != '\n'))];
        Assert.Empty(wrong);
    }

    [Fact]
    public void Every_hand_written_source_file_introduces_itself()
    {
        string[] silent = [.. Code.Where(f => f.StartsWith("src/", StringComparison.Ordinal) && !House.Read(f).TrimStart('\uFEFF').StartsWith("//", StringComparison.Ordinal))];
        Assert.Empty(silent);
    }

    [Fact]
    public void Test_packages_of_npm_are_pinned_exactly_and_name_no_registry()
    {
        Assert.Matches("\"@grpc/grpc-js-xds\": \"\\d", House.Read("tests/kit/peers/package.json"));
        Assert.DoesNotContain("\"resolved\"", House.Read("tests/kit/peers/package-lock.json"));
    }
}

// What the command line does without a mesh: it judges files, says what cannot be read, and never shows a stack trace.
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed partial class OfflineTests
{
    private const string Good = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: a\nspec:\n  host: a\n";

    private static async Task<ProcessResult> RunAsync(params string[] arguments)
    {
        using var home = new TempFolder("naru-");
        return await LocalMesh.RunAsync(home, arguments);
    }

    public static TheoryData<string, byte[]> Readable => new()
    {
        { "CRLF", Encoding.UTF8.GetBytes(Good.Replace("\n", "\r\n")) },
        { "a mark of UTF-8", [0xef, 0xbb, 0xbf, .. Encoding.UTF8.GetBytes(Good)] },
        { "UTF-16", [0xff, 0xfe, .. Encoding.Unicode.GetBytes(Good)] },
    };

    [Theory]
    [MemberData(nameof(Readable))]
    public async Task A_file_is_read_however_an_editor_saved_it(string how, byte[] bytes)
    {
        using var folder = new TempFolder();
        string file = folder.Write("a.yaml", "");
        File.WriteAllBytes(file, bytes);
        ProcessResult result = await RunAsync("validate", file);
        Assert.True(result.ExitCode == 0, $"{how}: {result.All}");
        Assert.Contains("1 file, 1 object: 0 errors", result.Output);
    }

    [Theory]
    [InlineData("kind: DestinationRule\n\tname: x\n", "tab")]
    [InlineData("kind: {a: [b\n", "not YAML")]
    [InlineData("# nothing\n", "no object")]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: DestinationRul\nmetadata: {name: a}\n", "did you mean \"DestinationRule\"?")]
    public async Task A_broken_file_is_told_with_its_place(string text, string why)
    {
        using var folder = new TempFolder();
        ProcessResult result = await RunAsync("validate", folder.Write("broken.yaml", text));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(why, result.Error);
        Assert.Contains("broken.yaml", result.Error);
    }

    [Fact]
    public async Task What_cannot_be_read_is_a_sentence()
    {
        using var folder = new TempFolder();
        string latin = folder.Write("latin.yaml", "");
        File.WriteAllBytes(latin, [.. Encoding.UTF8.GetBytes(Good), (byte)'#', 0xe9]);
        Directory.CreateDirectory(folder.At("empty"));
        (string Path, string Why)[] rows =
        [
            (latin, "UTF-8"), (folder.At("latn.yaml"), "did you mean"), (folder.At("empty"), "holds no .yaml"), ("", "empty path"), ("http://127.0.0.1:1/x.yaml", "nobody listens there"),
        ];
        foreach ((string path, string why) in rows)
        {
            ProcessResult result = await RunAsync("validate", "-f", path);
            Assert.Equal(1, result.ExitCode);
            Assert.Contains(why, result.Error);
            Assert.DoesNotContain("   at ", result.Error);
        }
    }

    [Fact]
    public async Task A_folder_whose_files_lie_deeper_says_so_and_R_reads_them()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder.At("deep"));
        folder.Write("deep/a.yaml", Good);
        Assert.Contains("add -R", (await RunAsync("apply", "-f", folder.Root, "--dry-run=client")).Error);
        ProcessResult result = await RunAsync("apply", "-R", "-f", folder.Root, "--dry-run=client");
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Equal("destinationrule/a configured (dry run)", result.Output.Trim());
    }

    [Fact]
    public async Task Judgements_come_as_json_and_as_annotations()
    {
        using var folder = new TempFolder();
        string file = folder.Write("a.yaml", Good.Replace("host: a", "hots: a"));
        JsonElement json = JsonDocument.Parse((await RunAsync("validate", "-o", "json", file)).Output).RootElement;
        Assert.False(json.GetProperty("ok").GetBoolean());
        Assert.Equal(6, json.GetProperty("diagnostics")[0].GetProperty("line").GetInt32());
        ProcessResult annotated = await RunAsync("validate", "-o", "github", file);
        Assert.Equal(1, annotated.ExitCode);
        Assert.StartsWith($"::error file={file},line=6,col=3,title=NARU-C", annotated.Output);
        // A service that is not there is a warning: only --strict fails.
        Assert.Equal(0, (await RunAsync("validate", folder.Write("b.yaml", Good))).ExitCode);
        Assert.Equal(1, (await RunAsync("validate", "--strict", folder.At("b.yaml"))).ExitCode);
    }

    [Fact]
    public async Task Hints_name_the_program_as_it_was_started()
    {
        using var home = new TempFolder("naru-");
        await using ChildProcess child = LocalMesh.Start(home, ["status"], new Dictionary<string, string?> { ["NARU_COMMAND"] = "./naru" });
        ProcessResult result = await child.ExitAsync(LocalMesh.Bound);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains("`./naru up PATH`", result.Error);
    }

    [Fact]
    public async Task The_launcher_says_how_it_was_called() => Assert.Contains("export NARU_COMMAND", await File.ReadAllTextAsync(Repository.At("naru")));

    // Before anything is made: a name is a folder's, and a port is one.
    [Theory]
    [InlineData("--mesh ../../evil", "\"../../evil\" is no name for a mesh")]
    [InlineData("--mesh .", "\".\" is no name for a mesh")]
    [InlineData("--gateway-port 99999", "--gateway-port 99999 is no port")]
    public async Task What_is_no_name_or_port_is_said_and_nothing_starts(string options, string said)
    {
        ProcessResult result = await RunAsync(["up", Repository.At("samples", "bookinfo"), .. options.Split(' ')]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(said, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bash_reads_the_completion_and_completes_verbs()
    {
        using var folder = new TempFolder();
        string script = folder.Write("c.bash", (await RunAsync("completion", "bash")).Output);
        string naru = folder.Write("naru", $"#!/bin/bash\nexec {Programs.Naru()} \"$@\"\n");
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException();
        File.SetUnixFileMode(naru, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        ProcessResult result = await ChildProcess.RunAsync("bash", ["-c", $"source {script}; COMP_LINE='{naru} desc'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({naru} desc); COMP_CWORD=1; _naru_complete; echo \"${{COMPREPLY[@]}}\""]);
        Assert.Equal("describe", result.Output.Trim());
    }

    [Fact]
    public async Task The_reference_page_lists_exactly_the_verbs_and_options_there_are()
    {
        string page = await File.ReadAllTextAsync(Repository.At("docs", "reference", "command-line.md"));
        var told = Section().Matches(page).ToDictionary(m => m.Groups[1].Value, m => Option().Matches(OptionLine().Match(m.Groups[2].Value).Value).Select(o => o.Value).Order(StringComparer.Ordinal).ToArray());
        var there = new Dictionary<string, string[]>();
        foreach (string verb in await VerbsAsync(""))
        {
            string[] inner = await VerbsAsync(verb);
            foreach (string path in inner.Length > 0 ? inner.Select(i => $"{verb} {i}") : [verb]) there[path] = await OptionsAsync(path);
        }
        Assert.Equal(there.Keys.Order(StringComparer.Ordinal), told.Keys.Order(StringComparer.Ordinal));
        Assert.All(there, v => Assert.Equal(v.Value, told[v.Key]));
        // Each is explained somewhere else on the page.
        string rest = string.Join('\n', page.Split('\n').Where(l => !l.StartsWith("Options:", StringComparison.Ordinal)));
        Assert.All(there.Values.SelectMany(o => o).Distinct(), o => Assert.Contains($"`{o}", rest));
    }

    private static async Task<string> HelpAsync(string path, string part)
    {
        string help = (await RunAsync([.. path.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"])).Output;
        int start = help.IndexOf($"\n{part}:\n", StringComparison.Ordinal);
        return start < 0 ? "" : string.Join('\n', help[(start + part.Length + 3)..].Split('\n').TakeWhile(l => l.StartsWith("  ", StringComparison.Ordinal)));
    }

    private static async Task<string[]> VerbsAsync(string path) =>
        [.. (await HelpAsync(path, "Commands")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Trim().Split("  ")[0].Split('<')[0].Trim().Split(", ")[^1])
            .Select(v => path == "top" ? v switch { "po" or "pod" or "pods" => "pods", _ => "nodes" } : v)];

    private static async Task<string[]> OptionsAsync(string path) =>
        [.. (await HelpAsync(path, "Options")).Split('\n', StringSplitOptions.RemoveEmptyEntries).SelectMany(l => Option().Matches(l.Trim().Split("  ")[0]).Select(m => m.Value)).Where(o => o != "--help").Distinct().Order(StringComparer.Ordinal)];

    [GeneratedRegex(@"^### `naru ([a-z -]+)`\n([\s\S]*?)(?=^#|\z)", RegexOptions.Multiline)]
    private static partial Regex Section();

    [GeneratedRegex("^Options: .*$", RegexOptions.Multiline)]
    private static partial Regex OptionLine();

    [GeneratedRegex("--[a-z][a-z-]*")]
    private static partial Regex Option();
}

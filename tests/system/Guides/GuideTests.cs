// Every command of every guide, run as the page says, must show what the page shows.
using System.Text.RegularExpressions;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Guides;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed partial class GuideTests
{
    /// <summary>Ports that pages name. Each becomes a free one of this run, wherever a page writes it.</summary>
    private static readonly string[] s_ports = ["8080", "10000", "15000", "8000", "8001", "8002"];

    public static TheoryData<string> Pages =>
        [.. Directory.EnumerateFiles(Repository.At("docs", "guides"), "*.md").Select(f => Path.GetFileName(f)).Where(f => !f.EndsWith(".ko.md", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Pages))]
    public async Task What_a_guide_shows_is_what_its_reader_sees(string page)
    {
        IReadOnlyList<Step> steps = Guide.Read(await File.ReadAllTextAsync(Repository.At("docs", "guides", page), TestContext.Current.CancellationToken));
        Assert.NotEmpty(steps);
        using var folder = new TempFolder("naru-guide-");
        using var home = new TempFolder("naru-");
        Dictionary<string, string> ports = s_ports.ToDictionary(p => p, _ => $"{Loopback.FreePort()}");
        Furnish(folder, ports["8080"]);
        var environment = new Dictionary<string, string?>(LocalMesh.Environment(home)) { ["PATH"] = $"{folder.Root}:{System.Environment.GetEnvironmentVariable("PATH")}" };
        var staying = new List<ChildProcess>();
        try
        {
            foreach (Step step in steps)
            {
                string text = Port().Replace(step.Command, m => ports[m.Value]);
                if (step.File is { } name)
                {
                    folder.Write(name, text);
                    continue;
                }
                string[] shown = [.. step.Shown.Select(l => Port().Replace(l, m => ports[m.Value]))];
                string place = $"{page}:{step.Line}: {text}";
                if (step.Stays) staying.Add(await StartAsync(place, text, shown, folder.Root, environment));
                else await RunAsync(place, text, shown, folder.Root, environment);
            }
            // The last one started stands on those before it.
            foreach (ChildProcess process in staying.AsEnumerable().Reverse())
            {
                process.Terminate();
                await process.ExitAsync(LocalMesh.Bound);
            }
        }
        finally
        {
            foreach (ChildProcess process in staying) await process.DisposeAsync();
        }
    }

    [Fact]
    public async Task The_Korean_guides_give_the_same_commands_and_files()
    {
        foreach (string page in Pages.Select(p => p.Data))
        {
            IReadOnlyList<Step> english = Guide.Read(await File.ReadAllTextAsync(Repository.At("docs", "guides", page), TestContext.Current.CancellationToken));
            string korean = Repository.At("docs", "guides", Path.ChangeExtension(page, ".ko.md"));
            Assert.True(File.Exists(korean), $"{page} has no Korean page");
            IReadOnlyList<Step> theirs = Guide.Read(await File.ReadAllTextAsync(korean, TestContext.Current.CancellationToken));
            Assert.Equal(english.Select(Bare), theirs.Select(Bare));
        }

        static string Bare(Step step) => $"{step.File}{(step.Stays ? "& " : "$ ")}{step.Command}\n{string.Join('\n', step.Shown)}";
    }

    private static async Task<ChildProcess> StartAsync(string place, string command, string[] shown, string folder, IReadOnlyDictionary<string, string?> environment)
    {
        ChildProcess process = ChildProcess.Start("bash", ["-c", command], folder, environment);
        try
        {
            await Waiting.UntilAsync(() => Guide.Matches([.. shown, "…"], process.Output + process.Error) || process.HasExited, place, LocalMesh.Bound);
            Assert.False(process.HasExited, $"{place}\nended:\n{process.Output}{process.Error}");
            return process;
        }
        catch (Exception e) when (e is TimeoutException)
        {
            string all = process.Output + process.Error;
            await process.DisposeAsync();
            throw new TimeoutException($"{e.Message}\nshown by the page:\n{string.Join('\n', shown)}\nseen:\n{all}", e);
        }
    }

    /// <summary>What only asks may have to ask again: proxies follow a change within moments, not at once.</summary>
    private static async Task RunAsync(string place, string command, string[] shown, string folder, IReadOnlyDictionary<string, string?> environment)
    {
        string seen = "";
        try
        {
            await Waiting.UntilAsync(async () =>
            {
                ProcessResult result = await ChildProcess.RunAsync("bash", ["-c", $"set -o pipefail; {command}"], folder, environment, LocalMesh.Bound);
                seen = result.Output + result.Error;
                return shown.Length > 0 ? Guide.Matches(shown, seen) : result.ExitCode == 0;
            }, place, Asks().IsMatch(command) ? null : TimeSpan.Zero);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}\nshown by the page:\n{string.Join('\n', shown)}\nseen:\n{seen}", e);
        }
    }

    /// <summary>The reader's folder: the launcher, the samples and the proxy, as a clone or an installation has them.</summary>
    private static void Furnish(TempFolder folder, string gateway)
    {
        Script(folder, "naru", $$"""
            case "$1" in demo|up) set -- "$@" --gateway-port {{gateway}} ;; esac
            exec dotnet '{{LocalMesh.Executable()}}' "$@"
            """);
        Script(folder, "naru-proxy", $"exec '{ProxyProcess.Executable()}' \"$@\"");
        Directory.CreateSymbolicLink(folder.At("samples"), Repository.At("samples"));
    }

    private static void Script(TempFolder folder, string name, string text)
    {
        string path = folder.Write(name, "#!/usr/bin/env bash\n" + text + "\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    [GeneratedRegex(@"(?<![\d.])(?:8080|10000|15000|8000|8001|8002)(?![\d.])")]
    private static partial Regex Port();

    [GeneratedRegex(@"^(?:curl|(?:\./)?naru (?:get|status|logs|top|events|describe|proxy-status)\b)")]
    private static partial Regex Asks();
}

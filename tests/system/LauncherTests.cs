// The launcher at the root, with a stand-in for dotnet: what it builds, says and leaves, not what comes of the build.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests;

public sealed class LauncherTests : IDisposable
{
    // Builds what the launcher copies, leaves a process as a compiler server would, tells where it is, runs what was built.
    private const string Dotnet = """
        #!/usr/bin/env bash
        cd "$STANDIN"
        after() { local was=""; for x; do [ "$was" != "$wanted" ] || echo "$x"; was=$x; done; }
        case "$1" in
          build)
            echo $$ >build.pid
            [ ! -e build.waits ] || sleep 300
            [ ! -e build.says ] || { cat build.says; exit 1; }
            sleep 300 &
            echo $! >server.pid
            wanted=--artifacts-path; to=$(after "$@")/bin
            for file in Naru.Cli/release/naru.dll Naru.Proxy.Host/release/naru-proxy.dll Bookinfo/release/bookinfo.dll; do
              mkdir -p "$to/${file%/*}"
              echo "$file" >"$to/$file"
            done ;;
          publish)
            echo one >>publishes
            [ ! -e publish.fails ] || exit 1
            [ ! -e publish.waits ] || { echo $$ >publish.pid; while [ -e publish.waits ]; do sleep 0.02; done; }
            wanted=-o; to=$(after "$@"); mkdir -p "$to"; echo native >"$to/naru-proxy" ;;
          *)
            [ ! -e run.waits ] || { echo running; exec sleep 300; }
            echo "arguments ${*:2}"; echo "proxy $NARU_PROXY" ;;
        esac
        """;

    private static readonly string[] s_ours = ["naru", "samples/bookinfo/bookinfo", "Directory.Build.props",
        "Directory.Packages.props", "global.json", "Naru.slnx"];
    private static readonly string[] s_sources = ["src/one/one.csproj", "samples/bookinfo/src/Bookinfo.csproj",
        "samples/bookinfo/src/Program.cs", "proto/one.proto"];

    private readonly TempFolder _folder = new("naru-launcher-");

    public LauncherTests()
    {
        foreach (string file in s_ours)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(At("root", file))!);
            File.Copy(Repository.At(file), At("root", file));
        }
        foreach (string file in s_sources)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(At("root", file))!);
            File.WriteAllText(At("root", file), "");
        }
        Program("dotnet", Dotnet);
        Program("gcc", "#!/bin/sh");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_start_says_on_stderr_how_its_build_goes_and_leaves_stdout_to_the_verb()
    {
        ProcessResult first = await RunAsync("demo", "--rate", "0");
        Assert.True(first.ExitCode == 0, first.All);
        Assert.Equal(["arguments demo --rate 0", $"proxy {Jit()}"], Lines(first.Output));
        Assert.Contains("naru: building, about a minute the first time", first.Error);
        Assert.Contains("naru: building: done in ", first.Error);
        Assert.Single(Directory.GetFiles(At("root/artifacts/bookinfo"), "bookinfo.dll", SearchOption.AllDirectories));

        ProcessResult second = await RunAsync("get", "pods");
        Assert.Equal("", second.Error);
    }

    [Fact]
    public async Task What_a_build_started_ends_with_it()
    {
        await RunAsync("version");
        await GoneAsync("server.pid");
    }

    [Fact]
    public async Task An_interrupted_build_ends_with_130_leaves_no_process_and_is_begun_anew()
    {
        File.WriteAllText(At("build.waits"), "");
        await using ChildProcess naru = Start([], "demo");
        await Waiting.UntilAsync(() => File.Exists(At("build.pid")), "the build has begun");
        naru.Interrupt();
        ProcessResult result = await naru.ExitAsync();
        Assert.Equal(130, result.ExitCode);
        Assert.DoesNotContain("failed", result.Error);
        await GoneAsync("build.pid");

        File.Delete(At("build.waits"));
        Directory.CreateDirectory(At("root/artifacts/launcher/build"));
        File.WriteAllText(At("root/artifacts/launcher/build/half"), "");
        Assert.Equal(0, (await RunAsync("version")).ExitCode);
        Assert.False(File.Exists(At("root/artifacts/launcher/build/half")), "what the cut off build left was built upon");
    }

    [Fact]
    public async Task Packages_that_cannot_be_fetched_are_said_in_one_line()
    {
        File.WriteAllText(At("build.says"), """
            /x/One.csproj : error NU1301: Unable to load the service index for source https://packages.example/v3/index.json.
            /x/One.csproj : error NU1301:   Name or service not known (packages.example:443)
            /x/Two.csproj : error NU1301: Unable to load the service index for source https://packages.example/v3/index.json.
            """);
        ProcessResult result = await RunAsync("demo");
        Assert.Equal(1, result.ExitCode);
        string[] lines = Lines(result.Error);
        Assert.Equal(2, lines.Length);
        Assert.Contains(
            "cannot be fetched from https://packages.example/v3/index.json (Name or service not known (packages.example:443))", lines[1]);
    }

    [Fact]
    public async Task Errors_of_a_build_are_shown()
    {
        File.WriteAllText(At("build.says"), "/x/One.cs(1,2): error CS1002: ; expected\n");
        ProcessResult result = await RunAsync("demo");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("error CS1002", result.Error);
    }

    [Fact]
    public async Task The_native_proxy_is_compiled_beside_the_first_mesh_and_taken_from_the_next_start_on()
    {
        ProcessResult first = await RunAsync("demo");
        Assert.Contains("compiled ahead of time in the background", first.Error);
        await CompiledAsync();
        ProcessResult second = await RunAsync("demo");
        Assert.Equal("", second.Error);
        Assert.EndsWith("/naru-proxy", Lines(second.Output)[1]);

        // Of older sources it is not taken, and that is said.
        File.WriteAllText(At("publish.waits"), "");
        File.WriteAllText(At("root/src/one/one.csproj"), "changed");
        ProcessResult third = await RunAsync("demo");
        Assert.Contains("of older sources and is not taken", third.Error);
        Assert.Equal($"proxy {Jit()}", Lines(third.Output)[1]);

        // Nobody waits for the one that is under way, and no second one is begun.
        ProcessResult fourth = await RunAsync("demo");
        Assert.Contains("being compiled ahead of time in the background", fourth.Error);
        File.Delete(At("publish.waits"));
        await CompiledAsync();
        Assert.Equal(2, File.ReadAllLines(At("publishes")).Length);
    }

    [Fact]
    public async Task The_end_of_the_mesh_does_not_end_the_compilation()
    {
        File.WriteAllText(At("publish.waits"), "");
        File.WriteAllText(At("run.waits"), "");
        await using ChildProcess naru = Start([], "demo");
        await naru.LineAsync("running");
        await Waiting.UntilAsync(() => File.Exists(At("publish.pid")), "the compilation has begun");
        naru.Interrupt();
        await naru.ExitAsync();
        File.Delete(At("publish.waits"));
        await CompiledAsync();
    }

    [Theory]
    [InlineData("NARU_NATIVE", "0", "demo")]
    [InlineData("NARU_PROXY", "/somewhere/naru-proxy", "demo")]
    [InlineData("NARU_NATIVE", "", "status")]
    public async Task Nothing_is_compiled_where_nobody_would_run_it(string name, string value, string verb)
    {
        ProcessResult result = await RunWithAsync(new() { [name] = value }, verb);
        Assert.DoesNotContain("background", result.Error);
        Assert.False(File.Exists(At("root/artifacts/launcher/.native.lock")), result.All);
    }

    [Fact]
    public async Task A_compilation_that_fails_is_told_and_not_tried_again_for_the_same_sources()
    {
        File.WriteAllText(At("publish.fails"), "");
        await RunAsync("demo");
        await Waiting.UntilAsync(() => File.Exists(At("root/artifacts/launcher/native.failed")), "the failure is noted");
        ProcessResult second = await RunAsync("demo");
        Assert.Contains("could not be compiled", second.Error);
        Assert.Single(File.ReadAllLines(At("publishes")));
    }

    private string At(params string[] parts) => Path.Combine([_folder.Root, .. parts]);

    private string Jit() => Path.Combine(
        new DirectoryInfo(At("root/artifacts/launcher/current")).ResolveLinkTarget(true)!.FullName, "proxy", "naru-proxy.dll");

    private static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private void Program(string name, string text)
    {
        Directory.CreateDirectory(At("bin"));
        File.WriteAllText(At("bin", name), text);
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException();
        File.SetUnixFileMode(At("bin", name), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private Task<ProcessResult> RunAsync(params string[] arguments) => RunWithAsync([], arguments);

    private async Task<ProcessResult> RunWithAsync(Dictionary<string, string?> more, params string[] arguments)
    {
        await using ChildProcess naru = Start(more, arguments);
        return await naru.ExitAsync();
    }

    private ChildProcess Start(Dictionary<string, string?> more, params string[] arguments)
    {
        var environment = new Dictionary<string, string?>
        {
            ["PATH"] = $"{At("bin")}:/usr/bin:/bin",
            ["STANDIN"] = _folder.Root,
            ["NARU_NATIVE_DELAY"] = "0",
            ["NARU_PROXY"] = null,
            ["NARU_NATIVE"] = null,
            ["NARU_TIMING"] = null,
        };
        foreach ((string name, string? value) in more) environment[name] = value;
        return ChildProcess.Start(At("root/naru"), arguments, At("root"), environment);
    }

    private Task CompiledAsync() => Waiting.UntilAsync(
        () => File.Exists(At("root/artifacts/launcher/native.stamp")) && !File.Exists(At("root/artifacts/launcher/native.stamp.new"))
            && !Directory.Exists(At("root/artifacts/launcher/native-new")),
        "naru-proxy is compiled");

    private async Task GoneAsync(string file)
    {
        string id = (await File.ReadAllTextAsync(At(file))).Trim();
        await Waiting.UntilAsync(() => !Directory.Exists($"/proc/{id}"), $"process {id} is gone");
    }
}

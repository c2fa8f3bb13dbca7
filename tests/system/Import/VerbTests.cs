// naru import as it is typed: what goes to which stream, exit codes, standard input, and every command of the guide.
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Import;

public sealed partial class VerbTests
{
    private const string Yarp = """{ "ReverseProxy": { "Routes": { "r": { "ClusterId": "c" } }, "Clusters": { "c": { "Destinations": { "a": { "Address": "http://127.0.0.1:1" } } } } } }""";

    private static async Task<ProcessResult> RunAsync(params string[] arguments)
    {
        using var home = new TempFolder("naru-");
        return await LocalMesh.RunAsync(home, arguments);
    }

    [Fact]
    public async Task What_is_understood_goes_to_one_stream_and_what_is_not_to_the_other()
    {
        using var folder = new TempFolder();
        string file = folder.Write("nginx.conf", "server {\n  listen 80;\n  fancy_thing on;\n  location / { proxy_pass http://127.0.0.1:1; }\n}\n");
        ProcessResult result = await RunAsync("import", "nginx", file);
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("apiVersion: networking.istio.io/v1\nkind: Gateway\n", result.Output);
        Assert.Contains($"{file}:3:3: warning[NARU-I102]: dropped: nothing here knows \"fancy_thing\"", result.Error);
        Assert.Equal(1, (await RunAsync("import", "nginx", file, "--strict")).ExitCode);
        JsonElement list = JsonDocument.Parse((await RunAsync("import", "nginx", file, "-ojson")).Output).RootElement;
        Assert.Equal("List", list.GetProperty("kind").GetString());
        ProcessResult validated = await RunAsync("validate", folder.Write("all.json", list.GetRawText()));
        Assert.True(validated.ExitCode == 0, validated.All);
    }

    [Theory]
    [InlineData(2, "did you mean", "import", "yrp", "x")]
    [InlineData(2, "there are yaml, json", "import", "yarp", "x", "-o", "xml")]
    [InlineData(2, "FILE is missing", "import", "yarp")]
    [InlineData(2, "has no option \"--prox\"", "import", "yarp", "x", "--prox")]
    [InlineData(1, "there is no such file", "import", "yarp", "/nowhere/x.json")]
    [InlineData(1, "this is a folder", "import", "yarp", "/")]
    public async Task What_is_wrong_is_a_sentence(int code, string why, params string[] arguments)
    {
        ProcessResult result = await RunAsync(arguments);
        Assert.Equal(code, result.ExitCode);
        Assert.Contains(why, result.Error);
        Assert.Equal("", result.Output);
        Assert.DoesNotContain("   at ", result.Error);
    }

    [Fact]
    public async Task Standard_input_and_bytes_that_are_no_text()
    {
        using var home = new TempFolder("naru-");
        string file = home.Write("appsettings.json", Yarp);
        ProcessResult result = await ChildProcess.RunAsync("bash", ["-c", $"{Programs.Naru()} import yarp - < {file}"], bound: LocalMesh.Bound);
        Assert.True(result.ExitCode == 0, result.All);
        Assert.Contains("kind: VirtualService", result.Output);
        string latin = home.At("latin.json");
        await File.WriteAllBytesAsync(latin, [(byte)'{', 0xe9, (byte)'}']);
        ProcessResult refused = await RunAsync("import", "yarp", latin);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("UTF-8", refused.Error);
    }

    // Word for word, in a folder with a file of each kind.
    [Fact]
    public async Task Every_command_of_the_guide_works()
    {
        string page = await File.ReadAllTextAsync(Repository.At("docs", "guides", "from-others.md"));
        string[] commands = [.. Block().Matches(page).SelectMany(m => m.Groups[1].Value.Split('\n', StringSplitOptions.RemoveEmptyEntries))];
        Assert.Contains("naru import nginx nginx.conf", commands);
        using var folder = new TempFolder("naru-");
        int port = Loopback.FreePort();
        string route = "{ \"UpstreamPathTemplate\": \"/a\", \"DownstreamPathTemplate\": \"/a\", \"DownstreamHostAndPorts\": [ { \"Host\": \"127.0.0.1\", \"Port\": 1 } ] }";
        folder.Write("nginx.conf", $"events {{}}\nhttp {{ server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }} }}\n");
        folder.Write("appsettings.json", Yarp);
        folder.Write("ocelot.json", $"{{ \"Routes\": [ {route} ] }}");
        folder.Write("envoy.yaml", Bootstraps.One(1));
        string script = folder.Write("naru", $"#!/bin/bash\nexec {Programs.Naru()} \"$@\"\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var environment = new Dictionary<string, string?> { ["PATH"] = $"{folder.Root}:{Environment.GetEnvironmentVariable("PATH")}", ["NARU_PROXY"] = ProxyProcess.Executable(), ["NARU_HOME"] = folder.Root, ["NO_COLOR"] = "1" };
        foreach (string command in commands)
        {
            if (command == "naru proxy -c bootstrap.yaml")
            {
                await using ChildProcess proxy = ChildProcess.Start("bash", ["-c", $"exec {command}"], folder.Root, environment);
                await Waiting.UntilAsync(async () => (await ChildProcess.RunAsync("curl", ["-s", "--noproxy", "*", $"http://127.0.0.1:{port}/"])).Output.Trim() == "hello" || proxy.HasExited, "the imported proxy to answer");
                Assert.False(proxy.HasExited, proxy.Output + proxy.Error);
                continue;
            }
            ProcessResult result = await ChildProcess.RunAsync("bash", ["-c", command], folder.Root, environment, LocalMesh.Bound);
            Assert.True(result.ExitCode == 0, $"{command}\n{result.All}");
        }
    }

    [GeneratedRegex("^```\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();
}

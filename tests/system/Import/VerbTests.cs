// naru import as it is typed: what goes to which stream, exit codes, standard input.
using System.Text.Json;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Import;

public sealed class VerbTests
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

    [Theory]
    [InlineData("exit 134", "naru-proxy ended with 134 and named no fault")]
    [InlineData("echo 'x.json:1:2: error[NARU-C110]: \"a\" is not supported (a); help: remove it'; exit 1", "\"a\" is not supported")]
    public async Task A_proxy_that_does_not_judge_lets_nothing_pass(string does, string said)
    {
        using var home = new TempFolder("naru-");
        string proxy = home.Write("naru-proxy", $"#!/bin/sh\n{does}\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(proxy, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        string file = home.Write("envoy.yaml", "static_resources: {}\n");
        await using ChildProcess naru = LocalMesh.Start(home, ["import", "envoy", file, "--proxy"], new Dictionary<string, string?> { ["NARU_PROXY"] = proxy });
        ProcessResult result = await naru.ExitAsync(LocalMesh.Bound);
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains(said, result.Error);
    }
}

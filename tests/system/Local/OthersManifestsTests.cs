// Manifests of others, as they are: images and no commands. Known ones run as programs of ours, others by a file beside them, or as
// stand-ins
// that say so; where there is nothing, nothing starts and the way out is said.
using System.Net;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class OthersManifestsTests
{
    // In the shape of Istio's own file: no commands, no probes, volumes for a JVM, an apiVersion of before 2019 among them.
    private static string Bookinfo { get; } = string.Join("---\n", new[] { ("details", "v1"), ("ratings", "v1"), ("reviews", "v1"), ("reviews", "v3"), ("productpage", "v1") }.Select(x => $$"""
        apiVersion: v1
        kind: Service
        metadata: { name: {{x.Item1}}, labels: { app: {{x.Item1}}, service: {{x.Item1}} } }
        spec:
          ports: [{ port: 9080, name: http }]
          selector: { app: {{x.Item1}} }
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: { name: bookinfo-{{x.Item1}} }
        ---
        apiVersion: {{(x.Item1 == "ratings" ? "extensions/v1beta1" : "apps/v1")}}
        kind: Deployment
        metadata: { name: {{x.Item1}}-{{x.Item2}} }
        spec:
          replicas: 1
          selector: { matchLabels: { app: {{x.Item1}}, version: {{x.Item2}} } }
          template:
            metadata: { labels: { app: {{x.Item1}}, version: {{x.Item2}} } }
            spec:
              serviceAccountName: bookinfo-{{x.Item1}}
              containers:
              - name: {{x.Item1}}
                image: docker.io/istio/examples-bookinfo-{{x.Item1}}-{{x.Item2}}:1.20.3
                imagePullPolicy: IfNotPresent
                env: [{ name: LOG_DIR, value: /tmp/logs }]
                ports: [{ containerPort: 9080 }]
                volumeMounts: [{ name: tmp, mountPath: /tmp }]
              volumes: [{ name: tmp, emptyDir: {} }]

        """));

    private static string App(string name, string container, string data = "") => $$"""
        apiVersion: v1
        kind: Service
        metadata: { name: {{name}} }
        spec: { selector: { app: {{name}} }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
        ---
        apiVersion: apps/v1beta1
        kind: Deployment
        metadata: { name: {{name}} }
        spec:
          template:
            metadata: { labels: { app: {{name}}, version: v4 } }
            spec: { containers: [{{container}}] }
        {{data}}
        """;

    private static async Task<string> AskAsync(LocalMesh mesh, string host, string path, string accept = "*/*")
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Host = $"{host}.localhost";
        request.Headers.TryAddWithoutValidation("Accept", accept);
        using HttpResponseMessage answer = await mesh.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.Content.ReadAsStringAsync();
    }

    [Fact]
    public async Task Istios_own_Bookinfo_runs_as_it_is()
    {
        using var folder = new TempFolder();
        await using LocalMesh mesh = await LocalMesh.UpAsync(folder.Write("bookinfo.yaml", Bookinfo));
        // Bookinfo gives up on slow answers, and on a busy machine the first ones are.
        string page = "";
        await Waiting.UntilAsync(async () =>
            !(page = await AskAsync(mesh, "productpage", "/productpage")).Contains("unavailable", StringComparison.Ordinal), "a whole page",
            LocalMesh.Bound);
        Assert.Contains("served by", page);
        Assert.Contains("Book Details", page);
        Assert.All((await mesh.StatusAsync()).GetProperty("pods").EnumerateArray(), p => Assert.True(p.GetProperty("ready").GetBoolean()));
        mesh.Runner.Terminate();
        ProcessResult end = await mesh.Runner.ExitAsync(LocalMesh.Bound);
        Assert.Equal(0, end.ExitCode);
        Assert.Matches(@"(?m)^DEPLOYMENT +IMAGE +RUNS AS$", end.Error);
        Assert.Matches(@"(?m)^reviews-v3 +docker\.io/istio/examples-bookinfo-reviews-v3:1\.20\.3 +built-in: bookinfo reviews v3$",
            end.Error);
        // What the images bring along is not ours to complain about.
        Assert.DoesNotContain("warning[NARU-L004]", end.Error);
    }

    [Fact]
    public async Task Stand_ins_say_who_they_are_and_what_they_were_asked_and_a_run_file_is_followed()
    {
        using var folder = new TempFolder();
        folder.Write("told.py", OwnServiceTests.Told);
        folder.Write("stub.yaml", App("httpbin", "{ name: httpbin, image: \"kennethreitz/httpbin:1\" }"));
        folder.Write("echo.yaml", App("echo", "{ name: echo, image: hashicorp/http-echo, args: [-text=from the args] }"));
        const string Settings = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { WORD: from-the-map }\n";
        folder.Write("own.yaml", App("own", "{ name: own, image: example/own, envFrom: [{ configMapRef: { name: settings } }] }",
            Settings));
        folder.Write("naru.run.yaml", $"own: {OwnServiceTests.Python} told.py PORT $WORD\n");
        await using LocalMesh mesh = await LocalMesh.UpAsync(folder.Root, "--stub");
        string pod = LocalMesh.Pods(await mesh.StatusAsync(), "httpbin").Single().GetProperty("name").GetString()!;
        Assert.StartsWith($"httpbin v4 ({pod}), a stand-in for kennethreitz/httpbin:1\nGET /status/418?a=b HTTP/1.1\n",
            await AskAsync(mesh, "httpbin", "/status/418?a=b"));
        JsonElement json = JsonDocument.Parse(await AskAsync(mesh, "httpbin", "/health", "application/json")).RootElement;
        Assert.Equal(("httpbin", "v4", "/health"),
            (json.GetProperty("name").GetString(), json.GetProperty("version").GetString(), json.GetProperty("target").GetString()));
        Assert.Equal("from the args\n", await AskAsync(mesh, "echo", "/anything"));
        Assert.Equal("from-the-map", await AskAsync(mesh, "own", "/"));

        folder.Replace("naru.run.yaml", $"own: {OwnServiceTests.Python} told.py PORT changed\n");
        await Waiting.UntilAsync(async () => await AskAsync(mesh, "own", "/") == "changed", "the pod of the new command", LocalMesh.Bound);
    }

    [Fact]
    public async Task Where_nothing_says_how_nothing_starts_and_the_ways_out_are_said()
    {
        using var folder = new TempFolder();
        using var home = new TempFolder("naru-");
        string file = folder.Write("own.yaml", App("own", "{ name: own, image: example/own }"));
        ProcessResult result = await LocalMesh.RunAsync(home, "up", file, "--gateway-port", "0");
        Assert.Equal(1, result.ExitCode);
        Assert.Matches("(?m)^own +example/own +nothing$", result.Error);
        Assert.Contains($"naru up {file} --stub\n", result.Error);
        Assert.Contains("naru.run.yaml\n", result.Error);
        Assert.Contains("naru.dev/run: ./start-own\n", result.Error);
        Assert.False(File.Exists(Path.Combine(home.Root, "run", "default", "lock")));
    }

    [Theory]
    [InlineData("own: x\nother: y\n", ":2:1", 1)]
    [InlineData("own: {comand: x}\n", ":1:7", 1)]
    public async Task A_run_file_that_is_wrong_is_refused_with_its_line(string run, string place, int exit)
    {
        using TempFolder folder = new(), home = new("naru-");
        folder.Write("own.yaml", App("own", "{ name: own, image: example/own }"));
        string file = folder.Write("elsewhere/mine.yaml", run);
        ProcessResult result = await LocalMesh.RunAsync(home, "up", folder.Root, "--run-file", file, "--gateway-port", "0");
        Assert.Equal(exit, result.ExitCode);
        Assert.Contains($"--> {file}{place}\n", result.Error);
        ProcessResult none = await LocalMesh.RunAsync(home, "up", folder.Root, "--run-file", folder.At("none.yaml"));
        Assert.Equal(2, none.ExitCode);
        Assert.Contains("there is no file", none.Error);
    }

    [Fact]
    public async Task Samples_are_listed_unpacked_and_never_written_over_unasked()
    {
        using TempFolder folder = new(), home = new("naru-");
        ProcessResult list = await LocalMesh.RunAsync(home, "samples");
        Assert.Equal(0, list.ExitCode);
        Assert.Matches(@"(?m)^bookinfo +The sample that users of Istio know", list.Output);
        Assert.Equal(list.Output, (await LocalMesh.RunAsync(home, "samples", "list")).Output);

        string target = folder.At("mine");
        ProcessResult first = await LocalMesh.RunAsync(home, "samples", "bookinfo", target);
        Assert.True(first.ExitCode == 0, first.All);
        Assert.Contains($"naru up {target}", first.Output);
        Assert.True(File.Exists(Path.Combine(target, "src", "Reviews.cs")));
        Assert.True(File.GetUnixFileMode(Path.Combine(target, "bookinfo")).HasFlag(UnixFileMode.UserExecute));
        Assert.Contains(": 0 files written", (await LocalMesh.RunAsync(home, "samples", "bookinfo", target)).Output);

        string changed = Path.Combine(target, "kustomization.yaml");
        await File.AppendAllTextAsync(changed, "# mine\n");
        File.Delete(Path.Combine(target, "README.md"));
        ProcessResult refused = await LocalMesh.RunAsync(home, "samples", "bookinfo", target);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains(changed, refused.Error);
        Assert.False(File.Exists(Path.Combine(target, "README.md")));
        Assert.Equal(0, (await LocalMesh.RunAsync(home, "samples", "bookinfo", target, "--force")).ExitCode);
        Assert.DoesNotContain("# mine", await File.ReadAllTextAsync(changed));

        ProcessResult unknown = await LocalMesh.RunAsync(home, "samples", "bokinfo");
        Assert.Equal(1, unknown.ExitCode);
        Assert.Contains("did you mean \"bookinfo\"?", unknown.Error);
    }
}

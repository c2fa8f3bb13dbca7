// Bookinfo through a whole mesh of real processes: the story of `naru demo`, rules that change, planes and pods that die under load.
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

/// <summary>One mesh for all tests here; each leaves it as it found it.</summary>
public sealed class BookinfoMesh : IAsyncLifetime
{
    internal LocalMesh Mesh { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Mesh = await LocalMesh.UpAsync(Repository.At("samples", "bookinfo"));

    public ValueTask DisposeAsync() => Mesh is null ? ValueTask.CompletedTask : Mesh.DisposeAsync();
}

public sealed partial class BookinfoMeshTests(BookinfoMesh fixture) : IClassFixture<BookinfoMesh>
{
    private static readonly string[] s_all = ["reviews-v1", "reviews-v2", "reviews-v3"];

    private LocalMesh Mesh => fixture.Mesh;

    private static string Rule(string file) => Repository.At("samples", "bookinfo", "networking", file);

    private static bool IsWhole(string page) => !page.Contains("Sorry", StringComparison.Ordinal);

    private async Task<string> VersionAsync(string? user = null, string? agent = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "productpage");
        if (user is not null) request.Headers.Add("end-user", user);
        if (agent is not null) request.Headers.TryAddWithoutValidation("User-Agent", agent);
        using HttpResponseMessage answer = await Mesh.Http.SendAsync(request);
        string page = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, page);
        return ServedBy().Match(page).Value;
    }

    private async Task ApplyAsync(string file)
    {
        ProcessResult result = await Mesh.NaruAsync("apply", "-f", file);
        Assert.True(result.ExitCode == 0, result.All);
    }

    private async Task ForgetRuleAsync() => await Mesh.NaruAsync("delete", "virtualservice", "reviews");

    [Fact]
    public async Task The_first_screen_fits_and_all_versions_take_turns()
    {
        Assert.InRange(Mesh.Runner.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length, 5, 12);
        var seen = new HashSet<string>();
        await Waiting.UntilAsync(async () =>
        {
            seen.Add(await VersionAsync());
            return s_all.All(seen.Contains);
        }, "v1, v2 and v3", LocalMesh.Bound);
    }

    [Fact]
    public async Task A_rule_splits_traffic_by_weight_user_and_agent()
    {
        await ApplyAsync(Rule("reviews-95-5.yaml"));
        try
        {
            int red = 0;
            const int Total = 2000;
            await Parallel.ForEachAsync(Enumerable.Range(0, Total), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (_, _) =>
            {
                string version = await VersionAsync();
                Assert.NotEqual("reviews-v2", version);
                if (version == "reviews-v3") Interlocked.Increment(ref red);
            });
            Assert.InRange(red, Total * 3 / 100, Total * 7 / 100);
            Assert.Equal("reviews-v2", await VersionAsync(user: "jason"));
            Assert.Equal("reviews-v3", await VersionAsync(agent: "Mozilla/5.0 (Linux; Android 15)"));
        }
        finally
        {
            await ForgetRuleAsync();
        }
    }

    [Fact]
    public async Task Rules_that_change_lose_no_request()
    {
        await using var load = new Load(Mesh.Http, "productpage", rate: 100, IsWhole);
        try
        {
            for (int i = 0; i < 10; i++)
            {
                ProcessResult result = await Mesh.NaruAsync("apply", "--no-wait", "-f", Rule("virtual-service-all-v1.yaml"), "-f", Rule("virtual-service-reviews-90-10.yaml"), "-f", Rule("virtual-service-reviews-v3.yaml"),
                    "-f", Rule("reviews-95-5.yaml"));
                Assert.True(result.ExitCode == 0, result.All);
            }
            await load.MoreAsync(50);
            Assert.Empty(load.Failures);
        }
        finally
        {
            await ForgetRuleAsync();
        }
    }

    [Fact]
    public async Task A_control_plane_that_is_killed_comes_back_and_costs_no_request()
    {
        await using var load = new Load(Mesh.Http, "productpage", rate: 100, IsWhole);
        await load.MoreAsync(50);
        JsonElement before = (await Mesh.StatusAsync()).GetProperty("controlPlane");
        int pid = before.GetProperty("pid").GetInt32();
        Kill(pid);
        await load.MoreAsync(100);
        await Waiting.UntilAsync(async () => (await Mesh.NaruAsync("get", "virtualservices")).ExitCode == 0, "the control plane to answer again", LocalMesh.Bound);
        JsonElement after = (await Mesh.StatusAsync()).GetProperty("controlPlane");
        Assert.True(after.GetProperty("restarts").GetInt32() > before.GetProperty("restarts").GetInt32());
        await ApplyAsync(Rule("virtual-service-all-v1.yaml"));
        await Waiting.UntilAsync(async () => await VersionAsync() == "reviews-v1" && await VersionAsync() == "reviews-v1" && await VersionAsync() == "reviews-v1", "new rules to reach the proxies", LocalMesh.Bound);
        await ForgetRuleAsync();
        Assert.Empty(load.Failures);
    }

    [Fact]
    public async Task Scaling_restarting_and_killing_one_of_two_replicas_loses_no_request()
    {
        await ApplyAsync(Rule("virtual-service-all-v1.yaml"));
        try
        {
            ProcessResult scaled = await Mesh.NaruAsync("scale", "deployment/reviews-v1", "--replicas", "2");
            Assert.True(scaled.ExitCode == 0, scaled.All);
            await using var load = new Load(Mesh.Http, "productpage", rate: 100, IsWhole);
            await load.MoreAsync(50);
            JsonElement pod = LocalMesh.Pods(await Mesh.StatusAsync(), "reviews-v1").First();
            Kill(pod.GetProperty("pid").GetInt32());
            await load.MoreAsync(100);
            await Waiting.UntilAsync(async () => LocalMesh.Pods(await Mesh.StatusAsync(), "reviews-v1").Count(p => p.GetProperty("ready").GetBoolean()) == 2, "the killed replica to come back", LocalMesh.Bound);

            string[] old = [.. LocalMesh.Pods(await Mesh.StatusAsync(), "reviews-v1").Select(p => p.GetProperty("name").GetString()!)];
            ProcessResult restarted = await Mesh.NaruAsync("rollout", "restart", "deployment/reviews-v1");
            Assert.True(restarted.ExitCode == 0, restarted.All);
            Assert.Empty(LocalMesh.Pods(await Mesh.StatusAsync(), "reviews-v1").Select(p => p.GetProperty("name").GetString()!).Intersect(old));
            await load.MoreAsync(50);
            Assert.Empty(load.Failures);
        }
        finally
        {
            await Mesh.NaruAsync("scale", "deployment/reviews-v1", "--replicas", "1");
            await ForgetRuleAsync();
        }
    }

    [Fact]
    public async Task A_killed_sidecar_comes_back_and_its_pod_with_it()
    {
        JsonElement pod = LocalMesh.Pods(await Mesh.StatusAsync(), "details-v1").Single();
        Kill(pod.GetProperty("proxyPid").GetInt32());
        await Waiting.UntilAsync(async () => LocalMesh.Pods(await Mesh.StatusAsync(), "details-v1").Single() is var p && p.GetProperty("ready").GetBoolean() && p.GetProperty("proxyRestarts").GetInt32() > 0, "the sidecar to come back", LocalMesh.Bound);
        await Waiting.UntilAsync(async () => (await Mesh.Http.GetStringAsync("productpage")).Contains("Book Details", StringComparison.Ordinal), "a whole page", LocalMesh.Bound);
    }

    [Fact]
    public async Task A_broken_rule_is_refused_with_its_line_and_the_others_work()
    {
        using var folder = new TempFolder();
        string file = folder.Write("broken.yaml", """
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: { name: broken }
            spec:
              hosts: [ratings]
              http:
              - route:
                - destination: { host: ratings }
                  weigth: 100
            """);
        ProcessResult result = await Mesh.NaruAsync("apply", "-f", file);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("broken.yaml:9", result.Error);
        Assert.Contains("weight", result.Error);
        Assert.True(IsWhole(await Mesh.Http.GetStringAsync("productpage")));
        Assert.Equal(1, (await Mesh.NaruAsync("get", "vs", "broken")).ExitCode);
    }

    [Fact]
    public async Task Get_prints_tables_and_manifests()
    {
        ProcessResult table = await Mesh.NaruAsync("get", "vs,dr,svc,pods");
        Assert.Contains("virtualservice/bookinfo", table.Output);
        Assert.Matches(@"service/reviews +ClusterIP +127\.\d+\.0\.\d+ +9080/TCP", table.Output);
        ProcessResult yaml = await Mesh.NaruAsync("get", "dr", "reviews", "-o", "yaml");
        Assert.Contains("kind: DestinationRule", yaml.Output);
        ProcessResult json = await Mesh.NaruAsync("get", "gw", "-o", "json");
        Assert.Equal("List", JsonDocument.Parse(json.Output).RootElement.GetProperty("kind").GetString());
        Assert.Contains("did you mean", (await Mesh.NaruAsync("get", "virtualservces")).Error);
    }

    [Fact]
    public async Task A_process_of_the_user_joins_is_reached_and_leaves_with_its_exit_code()
    {
        string bookinfo = Path.Combine(AppContext.BaseDirectory, "bookinfo.dll");
        int port = Loopback.FreePort();
        await using ChildProcess run = Mesh.StartNaru("run", "--name", "extra", "--port", $"{port}", "--", "dotnet", bookinfo, "details");
        await run.LineAsync("in the mesh as", LocalMesh.Bound);
        Assert.Contains("bookinfo details", run.Output);
        string caller = LocalMesh.Pods(await Mesh.StatusAsync(), "productpage-v1").Single().GetProperty("address").GetString()!;
        using var http = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://{caller}:15080"), UseProxy = true });
        Assert.Contains("\"id\"", await http.GetStringAsync($"http://extra:{port}/details/0"));
        Assert.Contains("extra", (await Mesh.NaruAsync("get", "svc")).Output);

        run.Terminate();
        ProcessResult end = await run.ExitAsync(LocalMesh.Bound);
        Assert.Equal(0, end.ExitCode);
        Assert.Contains("has stopped", end.Output);
        await Waiting.UntilAsync(async () => !(await Mesh.NaruAsync("get", "svc,pods")).Output.Contains("extra", StringComparison.Ordinal), "its service to go", LocalMesh.Bound);
    }

    [Fact]
    public async Task The_exit_code_of_a_wrapped_command_passes_through_and_its_output_is_not_touched()
    {
        ProcessResult result = await Mesh.NaruAsync("run", "-q", "--name", "short", "--port", "9", "--", "/bin/sh", "-c", "printf 'one two'; test -n \"$POD_IP\" && exit 7");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal("one two\n", result.Output);
    }

    [Fact]
    public async Task Logs_are_found_by_the_name_of_the_workload()
    {
        ProcessResult result = await Mesh.NaruAsync("logs", "ratings-v1");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("listens on", result.Output);
        Assert.Equal(1, (await Mesh.NaruAsync("logs", "nobody")).ExitCode);
    }

    private static void Kill(int pid)
    {
        Assert.True(pid > 1);
        using var process = System.Diagnostics.Process.GetProcessById(pid);
        process.Kill();
    }

    [GeneratedRegex("reviews-v[123]")]
    private static partial Regex ServedBy();
}

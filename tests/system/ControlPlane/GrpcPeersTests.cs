// gRPC's own xDS clients, which nobody here wrote, driven by the control plane: names, routing, weights, changes while they run.
using System.Net;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.ControlPlane;

public sealed class GrpcPeersTests
{
    private const string Target = "xds:///reviews.default.svc.cluster.local:9080";

    public static TheoryData<string> Clients => ["grpc-js", "grpcio"];

    [Theory, MemberData(nameof(Clients))]
    public async Task A_grpc_client_finds_names_follows_rules_and_hears_of_changes(string client)
    {
        using var folder = new TempFolder();
        IPAddress one = Loopback.FreeAddress(), two = Loopback.FreeAddress();
        int port = Loopback.FreePort();
        await using ChildProcess backends = ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-backends.js"), $"{one}:{port}=v1", $"{two}:{port}=v2"]);
        await backends.LineAsync("listening v1");
        await backends.LineAsync("listening v2");
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, new()
        {
            ["mesh.yaml"] = Manifests.Service("reviews", 9080, port) + Manifests.Pod("reviews", "v1", one, port) + Manifests.Pod("reviews", "v2", two, port) + Manifests.Subsets("reviews"),
            ["rules.yaml"] = Manifests.Split("reviews", 100, 0),
        });

        // Everything to v1, but jason to v2.
        Assert.Equal(["answer v1"], await CallAsync(client, control, 30));
        Assert.Equal(["answer v2"], await CallAsync(client, control, 30, "end-user=jason"));

        // Weights: 400 calls at 80/20 stay within five standard deviations (8 each).
        control.Write("rules.yaml", Manifests.Split("reviews", 80, 20));
        await UntilRouteAsync(control, "\"weight\": 20");
        string[] answers = await LinesAsync(client, control, 400);
        Assert.Equal(400, answers.Count(a => a.StartsWith("answer ", StringComparison.Ordinal)));
        Assert.InRange(answers.Count(a => a == "answer v2"), 40, 120);

        // A change reaches a client that is running, and costs no call.
        await using ChildProcess running = Start(client, control, 0);
        await running.LineAsync("answer v2");
        control.Write("rules.yaml", Manifests.Split("reviews", 100, 0));
        await UntilSteadyAsync(running, "answer v1");
        control.Write("rules.yaml", Manifests.Split("reviews", 0, 100));
        await UntilSteadyAsync(running, "answer v2");
        Assert.DoesNotContain("error", running.Output, StringComparison.Ordinal);

        // It refused nothing, and is in step.
        System.Text.Json.JsonElement proxy = await control.ProxyAsync(p => p.GetProperty("inStep").GetBoolean(), "the client to confirm everything");
        Assert.All(proxy.GetProperty("types").EnumerateObject(), t => Assert.Equal(0, t.Value.GetProperty("nacks").GetInt64()));
    }

    [Theory, MemberData(nameof(Clients))]
    public async Task A_control_plane_that_goes_away_costs_no_call_and_is_found_again(string client)
    {
        using var folder = new TempFolder();
        IPAddress one = Loopback.FreeAddress(), two = Loopback.FreeAddress();
        int port = Loopback.FreePort();
        await using ChildProcess backends = ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-backends.js"), $"{one}:{port}=v1", $"{two}:{port}=v2"]);
        await backends.LineAsync("listening v2");
        var xds = new IPEndPoint(Loopback.FreeAddress(), Loopback.FreePort());
        RunningControlPlane control = await RunningControlPlane.StartAsync(folder, new()
        {
            ["mesh.yaml"] = Manifests.Service("reviews", 9080, port) + Manifests.Pod("reviews", "v1", one, port) + Manifests.Pod("reviews", "v2", two, port) + Manifests.Subsets("reviews"),
            ["rules.yaml"] = Manifests.Split("reviews", 100, 0),
        }, xds);
        await using ChildProcess running = Start(client, control, 0);
        await running.LineAsync("answer v1");
        await control.DisposeAsync();
        int before = Count(running, "answer v1");
        await Waiting.UntilAsync(() => Count(running, "answer v1") > before + 20, "twenty answers without a control plane");

        control = await RunningControlPlane.StartAsync(folder, xds: xds);
        control.Write("rules.yaml", Manifests.Split("reviews", 0, 100));
        await running.LineAsync("answer v2", TimeSpan.FromSeconds(60));
        await control.DisposeAsync();
        Assert.DoesNotContain("error", running.Output, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Clients))]
    public async Task A_name_that_does_not_exist_fails_and_works_once_it_does(string client)
    {
        using var folder = new TempFolder();
        IPAddress one = Loopback.FreeAddress();
        int port = Loopback.FreePort();
        await using ChildProcess backends = ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-backends.js"), $"{one}:{port}=v1"]);
        await backends.LineAsync("listening v1");
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, new() { ["other.yaml"] = Manifests.Service("other", 80, 80) });
        await using ChildProcess running = Start(client, control, 0, "seconds=3");
        // One says at once that there is no such name, the other waits for it until the call gives up.
        await running.LineAsync("error ", TimeSpan.FromSeconds(60));
        control.Write("mesh.yaml", Manifests.Service("reviews", 9080, port) + Manifests.Pod("reviews", "v1", one, port));
        await running.LineAsync("answer v1", TimeSpan.FromSeconds(60));
    }

    private static ChildProcess Start(string client, RunningControlPlane control, int calls, params string[] metadata) =>
        GrpcXdsClient.Start(client, control.Xds.ToString(), Target, calls, metadata);

    private static async Task<string[]> LinesAsync(string client, RunningControlPlane control, int calls, params string[] metadata)
    {
        await using ChildProcess process = Start(client, control, calls, metadata);
        ProcessResult result = await process.ExitAsync(TimeSpan.FromSeconds(90));
        Assert.True(result.ExitCode == 0, result.All);
        return result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static async Task<string[]> CallAsync(string client, RunningControlPlane control, int calls, params string[] metadata) =>
        [.. (await LinesAsync(client, control, calls, metadata)).Distinct()];

    private static int Count(ChildProcess process, string line) => process.Output.Split('\n').Count(l => l == line);

    // The last twenty answers are what was wanted.
    private static Task UntilSteadyAsync(ChildProcess process, string line) => Waiting.UntilAsync(
        () => process.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(20).ToList() is { Count: 20 } last && last.All(l => l == line), $"twenty times \"{line}\" in a row");

    private static Task UntilRouteAsync(RunningControlPlane control, string text) => Waiting.UntilAsync(
        async () => (await control.GetAsync("api/v1/objects?kind=VirtualService")).GetRawText().Contains(text.Replace(" ", "", StringComparison.Ordinal), StringComparison.Ordinal)
            || (await control.GetAsync("api/v1/objects?kind=VirtualService")).GetRawText().Contains(text, StringComparison.Ordinal), $"a VirtualService with {text}");
}

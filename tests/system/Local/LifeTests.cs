// How a mesh begins and ends: what it says when it cannot, and that it leaves nothing, whatever ends it.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class LifeTests
{
    private static string Manifest(TempFolder folder) => folder.Write("one.yaml", Details);

    /// <summary>A Service and a Deployment of one pod.</summary>
    internal static string Details => $"""
        apiVersion: v1
        kind: Service
        metadata: {"{"} name: details {"}"}
        spec: {"{"} selector: {"{"} app: details {"}"}, ports: [{"{"} name: http, port: 9080 {"}"}] {"}"}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {"{"} name: details {"}"}
        spec:
          selector: {"{"} matchLabels: {"{"} app: details {"}"} {"}"}
          template:
            metadata:
              labels: {"{"} app: details {"}"}
              annotations:
                naru.dev/run: dotnet {Path.Combine(AppContext.BaseDirectory, "bookinfo.dll")} details & wait $!
            spec:
              containers:
              - name: details
                ports: [{"{"} containerPort: 9080 {"}"}]
        """;

    [Theory]
    [InlineData("down")]
    [InlineData("interrupt")]
    [InlineData("kill")]
    public async Task A_mesh_that_ends_leaves_no_process_port_or_lock(string how)
    {
        using var folder = new TempFolder();
        await using LocalMesh mesh = await LocalMesh.UpAsync(Manifest(folder));
        int pod = LocalMesh.Pods(await mesh.StatusAsync(), "details").Single().GetProperty("pid").GetInt32();
        string mark = LocalMesh.MarkOf(pod);
        // Control plane, gateway, sidecar, shell and its child.
        Assert.True(mesh.Processes(mark).Count >= 5);

        if (how == "down") Assert.Equal(0, (await mesh.NaruAsync("down")).ExitCode);
        else if (how == "interrupt") mesh.Runner.Interrupt();
        else mesh.Runner.Kill();
        ProcessResult end = await mesh.Runner.ExitAsync(LocalMesh.Bound);
        if (how != "kill") Assert.True(end.ExitCode == 0, end.All);

        await Waiting.UntilAsync(() => mesh.Processes(mark).Count == 0, "every process to be gone", LocalMesh.Bound);
        await Waiting.UntilAsync(() => !File.Exists(Path.Combine(mesh.Folder, "mesh.json")), "the run folder to be tidied", LocalMesh.Bound);
        Assert.False(File.Exists(Path.Combine(mesh.Folder, "naru.sock")));
        Assert.False(File.Exists(Path.Combine(mesh.Folder, "token")));
        Assert.False(File.Exists(Path.Combine(mesh.Folder, "page.sock")));
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, mesh.Gateway.Port));
        Assert.Equal(3, (await mesh.NaruAsync("status")).ExitCode);
        Assert.False(File.Exists(Path.Combine(mesh.Folder, "lock")));
    }

    [Fact]
    public async Task Following_logs_ends_with_the_mesh()
    {
        using var folder = new TempFolder();
        await using LocalMesh mesh = await LocalMesh.UpAsync(Manifest(folder));
        await using ChildProcess logs = mesh.StartNaru("logs", "-f");
        await logs.LineAsync("listens on", LocalMesh.Bound);
        mesh.Runner.Terminate();
        ProcessResult end = await logs.ExitAsync(LocalMesh.Bound);
        Assert.True(end.ExitCode == 0, end.All);
        Assert.Contains("the mesh has ended", end.Error);
    }

    [Fact]
    public async Task A_changed_manifest_is_followed()
    {
        using var folder = new TempFolder();
        string file = Manifest(folder);
        await using LocalMesh mesh = await LocalMesh.UpAsync(folder.Root);
        folder.Replace("one.yaml", File.ReadAllText(file).Replace("spec:\n  selector: { matchLabels", "spec:\n  replicas: 2\n  selector: { matchLabels"));
        await Waiting.UntilAsync(async () => LocalMesh.Pods(await mesh.StatusAsync(), "details").Count(p => p.GetProperty("ready").GetBoolean()) == 2, "a second pod", LocalMesh.Bound);
        folder.Replace("one.yaml", File.ReadAllText(file).Replace("replicas: 2", "replicas: 0"));
        await Waiting.UntilAsync(async () => !LocalMesh.Pods(await mesh.StatusAsync(), "details").Any(), "all pods to go", LocalMesh.Bound);
    }

    [Fact]
    public async Task A_deployment_without_a_command_is_named_and_nothing_starts()
    {
        using var folder = new TempFolder();
        string file = Manifest(folder);
        File.WriteAllText(file, File.ReadAllText(file).Replace("naru.dev/run", "other"));
        using var home = new TempFolder("naru-");
        ProcessResult result = await LocalMesh.RunAsync(home, "up", file, "--gateway-port", "0");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("NARU-L002", result.Error);
        Assert.Contains("one.yaml:12", result.Error);
        Assert.Contains("naru.dev/run", result.Error);
        Assert.False(File.Exists(Path.Combine(home.Root, "run", "default", "lock")));
    }

    [Fact]
    public async Task A_taken_gateway_port_is_said_with_its_holder()
    {
        using var folder = new TempFolder();
        using var home = new TempFolder("naru-");
        using var holder = new TcpListener(IPAddress.Loopback, 0);
        holder.Start();
        int port = ((IPEndPoint)holder.LocalEndpoint).Port;
        ProcessResult result = await LocalMesh.RunAsync(home, "up", Manifest(folder), "--gateway-port", $"{port}");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"(pid {Environment.ProcessId})", result.Error);
        Assert.Contains("--gateway-port", result.Error);
    }

    [Fact]
    public async Task Two_meshes_that_start_at_once_never_share_a_port_and_say_who_has_the_one_they_wanted()
    {
        using var folder = new TempFolder();
        string file = Manifest(folder);
        using TempFolder oneHome = new("naru-"), otherHome = new("naru-");
        await using ChildProcess one = LocalMesh.Start(oneHome, ["up", file]), other = LocalMesh.Start(otherHome, ["up", file]);
        await one.LineAsync("Ctrl-C", LocalMesh.Bound);
        await other.LineAsync("Ctrl-C", LocalMesh.Bound);
        string[] lines = [await one.LineAsync("  Gateway    "), await other.LineAsync("  Gateway    ")];
        Assert.NotEqual(lines[0], lines[1]);
        Assert.Contains(lines, l => System.Text.RegularExpressions.Regex.IsMatch(l, @"http://localhost:\d+   \(8080 is taken by \S+ \(pid \d+\)\)"));
        one.Terminate();
        other.Terminate();
        Assert.Equal(0, (await one.ExitAsync(LocalMesh.Bound)).ExitCode);
        Assert.Equal(0, (await other.ExitAsync(LocalMesh.Bound)).ExitCode);
    }

    [Theory]
    [InlineData("sleep 600", @"runs \(sleep \d+\) and listens on no port yet")]
    [InlineData("/usr/bin/python3 -m http.server 0 --bind 127.0.0.1", @"listens on \d+, not on \d+ \(by PORT")]
    public async Task A_pod_that_does_not_listen_where_it_was_told_is_not_ready_and_said_so(string command, string seen)
    {
        using var folder = new TempFolder();
        using var home = new TempFolder("naru-");
        await using ChildProcess up = LocalMesh.Start(home, ["up", folder.Write("silent.yaml", OwnServiceTests.Manifest("silent", command)), "--gateway-port", "0"]);
        await up.LineAsync(l => System.Text.RegularExpressions.Regex.IsMatch(l, seen), seen, LocalMesh.Bound);
        Assert.DoesNotContain("ready in", up.Output);
        ProcessResult status = await LocalMesh.RunAsync(home, "status", "-o", "json");
        System.Text.Json.JsonElement pod = LocalMesh.Pods(System.Text.Json.JsonDocument.Parse(status.Output).RootElement, "silent").Single();
        Assert.False(pod.GetProperty("ready").GetBoolean());
        Assert.Matches(seen, pod.GetProperty("reason").GetString());
        up.Terminate();
        Assert.Equal(130, (await up.ExitAsync(LocalMesh.Bound)).ExitCode);
    }

    [Fact]
    public async Task A_start_says_for_what_it_waits_and_ends_when_it_is_asked_to()
    {
        using TempFolder folder = new(), home = new("naru-");
        string broken = folder.Write("broken.yaml", OwnServiceTests.Manifest("broken", "./no-such-command --x"));
        await using ChildProcess up = LocalMesh.Start(home, ["up", broken, "--gateway-port", "0"]);
        await up.LineAsync(l => l.Contains("warning[NARU-L036]") && l.Contains("ended with 127: command not found"), "what was not found",
            LocalMesh.Bound);
        await up.LineAsync($"  help: it ran in {folder.Root}: ./no-such-command --x", LocalMesh.Bound);
        await up.LineAsync("naru: waiting for broken (it ends again and again: ended with 127: command not found)", LocalMesh.Bound);
        ProcessResult status = await LocalMesh.RunAsync(home, "status");
        Assert.Contains("2 pods, 1 not ready: broken\n", status.Output);
        Assert.Equal(0, (await LocalMesh.RunAsync(home, "down")).ExitCode);
        await up.ExitAsync(LocalMesh.Bound);
        Assert.False(File.Exists(Path.Combine(home.Root, "run", "default", "lock")));
    }

    [Fact]
    public async Task A_run_folder_that_cannot_be_made_is_said_with_its_place()
    {
        using TempFolder folder = new(), home = new("naru-");
        string file = folder.Write("file", "");
        await using ChildProcess up =
            LocalMesh.Start(home, ["up", Manifest(folder)], new Dictionary<string, string?> { ["NARU_HOME"] = file });
        ProcessResult result = await up.ExitAsync(LocalMesh.Bound);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"error[NARU-L015]: the run folder cannot be made: there is something else of that name\n  --> {file}\n",
            result.Error);
        Assert.Contains("NARU_HOME", result.Error);
    }

    [Theory]
    [InlineData(3, "status")]
    [InlineData(3, "get", "vs")]
    [InlineData(0, "down")]
    [InlineData(2, "up")]
    [InlineData(2, "nonsense")]
    [InlineData(2, "up", "no/such/folder")]
    [InlineData(2, "up", ".", "--gateway-port", "x")]
    [InlineData(2, "demo", "--rate", "51")]
    [InlineData(2, "run", "--name", "Bad_Name", "--", "true")]
    [InlineData(2, "run", "--name", "a", "--port", "70000", "--", "true")]
    [InlineData(2, "scale", "deployment/a", "--replicas", "-1")]
    [InlineData(2, "rollout", "undo", "deployment/a", "--to-revision", "-1")]
    [InlineData(2, "get", "svc", "--server", "ftp://x")]
    [InlineData(2, "get", "svc", "--server", "127.0.0.1:1", "--token-file", "/no/such/file")]
    [InlineData(2, "control", "--config", "/no/such/file")]
    [InlineData(2, "stub", "--status", "99")]
    [InlineData(0, "version")]
    [InlineData(0, "completion", "bash")]
    [InlineData(0, "--help")]
    [InlineData(0, "help")]
    [InlineData(0, "help", "get")]
    public async Task Exit_codes_say_what_happened(int code, params string[] arguments)
    {
        using var home = new TempFolder("naru-");
        ProcessResult result = await LocalMesh.RunAsync(home, arguments);
        Assert.True(code == result.ExitCode, result.All);
    }
}

// Processes that die at the worst moment, folders that vanish, files that cannot be written: a pod is never ready with somebody else's
// process, and whatever failed once is started again.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class HardLifeTests : IDisposable
{
    // Opens its containerPort and not PORT, waits where that is taken, and dies a moment after it had it for the first time.
    private const string Dies = """
        import os, socket, sys, threading, time
        port, mark, name = int(sys.argv[1]), sys.argv[2], os.environ["POD_NAME"]
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError: time.sleep(0.02)
        listener.listen(64)
        once = f"{mark}.{name}"
        if not os.path.exists(once):
            open(once, "w").close()
            threading.Timer(float(sys.argv[3]), lambda: os._exit(7)).start()
        while True:
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(4096): continue
                body = name.encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        """;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("0.05")]
    [InlineData("0.27")]
    public async Task A_pod_whose_process_died_while_its_sidecar_was_replaced_is_not_ready_with_anothers(string life)
    {
        int port = Loopback.FreePort();
        _folder.Write("dies.py", Dies);
        string command = $"{OwnServiceTests.Python} dies.py {port} {_folder.At("mark")} {life}";
        string manifest = OwnServiceTests.Manifest("a", command)
            .Replace("containerPort: 9080", $"containerPort: {port}").Replace("port: 9080", $"port: 9080, targetPort: {port}")
            .Replace("spec:\n  selector: { matchLabels", "spec:\n  replicas: 2\n  selector: { matchLabels");
        using var home = new TempFolder("naru-");
        await using ChildProcess up = LocalMesh.Start(home, ["up", _folder.Write("a.yaml", manifest), "--gateway-port", "0"]);
        // Who has the port has it for good after its second start; the other is said to listen nowhere.
        await up.LineAsync("listens on no port yet", LocalMesh.Bound);
        await Waiting.UntilAsync(async () => (await PodsAsync(home)).Count(p => p.GetProperty("ready").GetBoolean()) >= 1, "one to be ready", LocalMesh.Bound);
        foreach (JsonElement pod in (await PodsAsync(home)).Where(p => p.GetProperty("ready").GetBoolean()))
            Assert.True(Owns(pod.GetProperty("pid").GetInt32(), port), $"{pod} is ready, and the port is not its own");
        up.Terminate();
        await up.ExitAsync(LocalMesh.Bound);
    }

    [Fact]
    public async Task A_sidecar_whose_folder_is_gone_is_started_again_and_the_mesh_ends_in_order()
    {
        _folder.Write("told.py", OwnServiceTests.Told);
        string file = _folder.Write("a.yaml", OwnServiceTests.Manifest("a", $"{OwnServiceTests.Python} told.py PORT a"));
        await using LocalMesh mesh = await LocalMesh.UpAsync(file);
        JsonElement pod = LocalMesh.Pods(await mesh.StatusAsync(), "a").Single();
        Directory.Delete(Path.Combine(mesh.Folder, "pods"), recursive: true);
        using (var proxy = System.Diagnostics.Process.GetProcessById(pod.GetProperty("proxyPid").GetInt32())) proxy.Kill();
        await Waiting.UntilAsync(async () => LocalMesh.Pods(await mesh.StatusAsync(), "a").Single() is var p
            && p.GetProperty("proxyRestarts").GetInt32() > 0 && p.GetProperty("ready").GetBoolean(), "the sidecar to come back", LocalMesh.Bound);

        Directory.Delete(Path.Combine(mesh.Folder, "pods"), recursive: true);
        Assert.Equal(0, (await mesh.NaruAsync("down")).ExitCode);
        ProcessResult end = await mesh.Runner.ExitAsync(LocalMesh.Bound);
        Assert.True(end.ExitCode == 0, end.All);
        Assert.Equal(["logs"], Directory.EnumerateFileSystemEntries(mesh.Folder).Select(f => Path.GetFileName(f)));
    }

    private static async Task<List<JsonElement>> PodsAsync(TempFolder home)
    {
        ProcessResult status = await LocalMesh.RunAsync(home, "status", "-o", "json");
        return [.. LocalMesh.Pods(JsonDocument.Parse(status.Output).RootElement, "a")];
    }

    // By the kernel's word: the socket that listens there is one that the process has open.
    private static bool Owns(int pid, int port)
    {
        string wanted = $"0100007F:{port:X4}";
        string? inode = File.ReadLines("/proc/net/tcp").Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .FirstOrDefault(c => c.Length > 9 && c[1] == wanted && c[3] == "0A")?[9];
        return inode is not null && Directory.EnumerateFiles($"/proc/{pid}/fd").Any(f => new FileInfo(f).LinkTarget == $"socket:[{inode}]");
    }
}

// A pod that never becomes ready is one pod's trouble: the mesh goes on following manifests and taking orders, of this Deployment and others.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class NeverReadyTests : IDisposable
{
    private readonly TempFolder _folder = new(), _home = new("naru-");

    public void Dispose()
    {
        _folder.Dispose();
        _home.Dispose();
    }

    private static string Replicas(string manifest, int count) => manifest.Replace("spec:\n  selector: { matchLabels", $"spec:\n  replicas: {count}\n  selector: {{ matchLabels");

    private Task<ProcessResult> NaruAsync(params string[] words) => LocalMesh.RunAsync(_home, words);

    private async Task<List<JsonElement>> PodsAsync(string workload)
    {
        ProcessResult status = await NaruAsync("status", "-o", "json");
        return [.. LocalMesh.Pods(JsonDocument.Parse(status.Output).RootElement, workload)];
    }

    private Task UntilAsync(string workload, int ready, int all) => Waiting.UntilAsync(async () =>
    {
        List<JsonElement> pods = await PodsAsync(workload);
        return pods.Count == all && pods.Count(p => p.GetProperty("ready").GetBoolean()) == ready;
    }, $"{workload} to have {ready} of {all} pods ready", LocalMesh.Bound);

    [Fact]
    public async Task A_pod_that_never_listens_keeps_no_file_and_no_order_from_being_followed()
    {
        _folder.Write("told.py", OwnServiceTests.Told);
        string fine = OwnServiceTests.Manifest("fine", $"{OwnServiceTests.Python} told.py PORT fine");
        string mute = OwnServiceTests.Manifest("mute", "sleep 100000");
        _folder.Write("fine.yaml", fine);
        _folder.Write("mute.yaml", Replicas(mute, 3));
        await using ChildProcess up = LocalMesh.Start(_home, ["up", _folder.Root, "--gateway-port", "0"]);
        await up.LineAsync("listens on no port yet", LocalMesh.Bound);
        await UntilAsync("fine", 1, 1);

        // Another file, while the mute ones are waited for.
        _folder.Replace("fine.yaml", Replicas(fine, 2));
        await UntilAsync("fine", 2, 2);

        // An order for the mute ones themselves: fewer, none, more; each is answered.
        foreach (int count in new[] { 1, 0, 2 })
        {
            ProcessResult scaled = await NaruAsync("scale", "deployment/mute", "--replicas", $"{count}");
            Assert.True(scaled.ExitCode == 0, scaled.All);
            await UntilAsync("mute", 0, count);
        }

        // Its own file, mended: what never served gives its place at once.
        _folder.Replace("mute.yaml", Replicas(mute.Replace("sleep 100000", $"{OwnServiceTests.Python} told.py PORT mute"), 2));
        await UntilAsync("mute", 2, 2);

        // And broken again: the old ones go on beside the new one, until the file has gone.
        _folder.Replace("mute.yaml", Replicas(mute, 2));
        await UntilAsync("mute", 2, 3);
        File.Delete(_folder.At("mute.yaml"));
        await UntilAsync("mute", 0, 0);

        up.Terminate();
        await up.ExitAsync(LocalMesh.Bound);
    }
}

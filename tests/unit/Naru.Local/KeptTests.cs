// Loops of ours go on whatever they throw, say so once, and end only when they are told to.
using Naru.Core;
using Naru.Kit;
using Naru.Local;
using Naru.Local.Manifests;
using Naru.Local.Processes;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class KeptTests : IDisposable
{
    private static readonly TimeSpan s_bound = TimeSpan.FromMinutes(1);

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_loop_that_throws_is_begun_again_and_said_once()
    {
        using var stop = new CancellationTokenSource();
        var told = new List<Diagnostic>();
        int rounds = 0;
        var last = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task loop = Kept.RunAsync("it is not done", async cancel =>
        {
            if (++rounds == 4)
            {
                last.SetResult();
                await new TaskCompletionSource().Task.WaitAsync(cancel);
            }
            throw rounds < 3 ? new InvalidOperationException("a fault of ours") : new OperationCanceledException("of another");
        }, TimeProvider.System, d =>
        {
            told.Add(d);
            throw new IOException("nobody hears it");
        }, stop.Token);
        await last.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        await stop.CancelAsync();
        await loop.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.Equal(["NARU-L043", "NARU-L043"], told.Select(d => d.Code));
    }

    [Fact]
    public async Task The_logs_are_looked_after_when_their_folder_was_away()
    {
        string folder = _folder.At("logs");
        var told = new TaskCompletionSource<Diagnostic>(TaskCreationOptions.RunContinuationsAsynchronously);
        var keeper = new LogKeeper(folder, () => [], TimeProvider.System, tell: d => told.TrySetResult(d));
        keeper.Start();
        Assert.Equal("NARU-L043", (await told.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken)).Code);
        Directory.CreateDirectory(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "a.log"), "a line\n", TestContext.Current.CancellationToken);
        await Waiting.UntilAsync(() => File.Exists(Path.Combine(folder, "a.log.times")), "the log is dated");
        await keeper.StopAsync();
    }

    // Cannot be read once, after the first time.
    private sealed class Fickle(string path) : IReadOnlyList<string>
    {
        private int _reads;

        public int Count => 1;

        public string this[int index] => path;

        public IEnumerator<string> GetEnumerator()
        {
            if (++_reads == 2) throw new InvalidOperationException("a fault of ours");
            yield return path;
        }

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }

    [Fact]
    public async Task A_change_that_could_not_be_read_is_read_again()
    {
        using var manifests = new TempFolder();
        manifests.Write("a.yaml", Service("a"));
        var told = new List<Diagnostic>();
        using var watcher = new ManifestWatcher(new Fickle(manifests.Root), new RunOptions(), TimeProvider.System, told.Add);
        Assert.Single(watcher.Read().Set.Services);
        using var stop = new CancellationTokenSource();
        var two = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task loop = Kept.RunAsync("manifests are not followed", async cancel =>
        {
            await foreach (RunPlan plan in watcher.FollowAsync(cancel))
            {
                if (plan.Set.Services.Length == 2) two.TrySetResult();
            }
        }, TimeProvider.System, told.Add, stop.Token);
        manifests.Write("b.yaml", Service("b"));
        await two.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        await stop.CancelAsync();
        await loop.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.Equal("NARU-L043", Assert.Single(told).Code);

        static string Service(string name) => $"apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ ports: [{{ port: 80 }}] }}\n";
    }

    [Fact]
    public async Task Whoever_asks_after_a_fault_that_was_said_is_answered_too()
    {
        var told = new List<Diagnostic>();
        var mesh = new MeshContext
        {
            Run = null!,
            Slot = 9,
            Mark = "x",
            ProxyCommand = [],
            Time = TimeProvider.System,
            Machine = new Machine(TimeProvider.System),
            Events = new EventLog(TimeProvider.System),
            Inherited = new Dictionary<string, string>(),
            OwnProcessEnvironment = new Dictionary<string, string>(),
            Tell = told.Add,
        };
        var state = new MeshState(new AddressPlan(9), new StateWriter(_folder.Root), mesh.Events);
        while (state.TakePod() is not null)
        {
        }
        using var proxies = new Proxies(TimeProvider.System);
        var manifest = new DeploymentManifest { Name = "a", Namespace = "default", Template = new PodTemplate { Command = "sleep 1" } };
        var rollout = new Rollout(mesh, state, proxies, manifest, _ => false);
        rollout.Take(manifest);
        rollout.Start();
        for (int i = 0; i < 3; i++)
        {
            MeshException why = await Assert.ThrowsAsync<MeshException>(() => rollout.SettledAsync(new Progress<string>(), default)
                .WaitAsync(s_bound, TestContext.Current.CancellationToken));
            Assert.Equal("NARU-L012", why.Diagnostic.Code);
            rollout.Restart();
        }
        await rollout.StopAsync(s_bound);
        Assert.InRange(told.Count, 0, 1);
    }
}

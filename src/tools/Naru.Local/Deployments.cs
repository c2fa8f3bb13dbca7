// All Deployments of the mesh, side by side: takes what the manifests say and what somebody asked for. How one of them becomes what is
// wished is in Rollout.cs; nothing here waits for a pod unless somebody asked for that.
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;

namespace Naru.Local;

internal sealed class Deployments(MeshContext mesh, MeshState state, Proxies proxies)
{
    private sealed class Silent : IProgress<string>
    {
        public void Report(string value)
        {
        }
    }

    // kubectl's scale does not wait at all; what is ready soon is waited for, since the next command often counts on it.
    private static readonly TimeSpan s_scaleBound = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, Rollout> _all = new(StringComparer.Ordinal);

    /// <summary>Takes a new set of Deployments and returns at once.</summary>
    public void Follow(IEnumerable<DeploymentManifest> manifests, bool mayRemove = true)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        lock (_lock)
        {
            foreach (DeploymentManifest manifest in manifests)
            {
                seen.Add(manifest.Key);
                bool known = _all.TryGetValue(manifest.Key, out Rollout? rollout);
                if (!known) _all[manifest.Key] = rollout = new Rollout(mesh, state, proxies, manifest, Ended);
                rollout!.Take(manifest);
                if (!known) rollout.Start();
            }
            if (!mayRemove) return;
            foreach ((string key, Rollout rollout) in _all)
            {
                if (!seen.Contains(key)) rollout.Remove();
            }
        }
    }

    /// <summary>Completes when all wanted pods are ready.</summary>
    /// <exception cref="MeshException">Some cannot be.</exception>
    public Task SettledAsync(CancellationToken cancel) => Task.WhenAll(All().Select(r => r.SettledAsync(new Silent(), cancel)));

    public Task RestartAsync(string ns, string name, IProgress<string> progress, CancellationToken cancel)
    {
        Rollout rollout = Find(ns, name);
        mesh.Events.Normal("Deployment", ns, name, "Restarting", $"{rollout.Pods().Length} pods are replaced one by one");
        rollout.Restart();
        return rollout.SettledAsync(progress, cancel);
    }

    /// <summary>Completes when there are as many, all ready, or after a moment: those that are not ready by then are waited for by
    /// <c>naru rollout status</c>.</summary>
    public async Task ScaleAsync(string ns, string name, int replicas, IProgress<string> progress, CancellationToken cancel)
    {
        Rollout rollout = Find(ns, name);
        int before = rollout.Wanted;
        progress.Report($"{name}: {before} to {replicas}");
        mesh.Events.Normal("Deployment", ns, name, "ScalingReplicaSet", $"scaled from {before} to {replicas}");
        rollout.Scale(replicas);
        try
        {
            await rollout.SettledAsync(progress, cancel).WaitAsync(s_scaleBound, mesh.Time, cancel).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            DeploymentStatus now = rollout.Status();
            progress.Report($"{name}: {now.Ready} of {now.Wanted} are ready; naru rollout status deployment/{name}");
        }
    }

    /// <summary>Gives pods an earlier template again, until the manifest changes.</summary>
    /// <param name="ns">Namespace.</param>
    /// <param name="name">Name.</param>
    /// <param name="number">From the history; 0 for the one before.</param>
    /// <param name="progress">Hears each step.</param>
    /// <param name="cancel">Whoever asked hung up.</param>
    public async Task UndoAsync(string ns, string name, int number, IProgress<string> progress, CancellationToken cancel)
    {
        Rollout rollout = Find(ns, name);
        Rollout.Revision[] history = rollout.History();
        Rollout.Revision? wanted = number == 0 ? history.Length > 1 ? history[^2] : null : history.FirstOrDefault(r => r.Number == number);
        if (wanted is null)
        {
            string message = number == 0 ? "there is no earlier template: its manifest has not changed since the mesh began"
                : $"there is no revision {number}";
            string remedy = number == 0 ? "change the manifest; it is followed"
                : $"there are {string.Join(", ", history.Select(r => r.Number))}: naru rollout history deployment/{name}";
            DeploymentManifest manifest = rollout.Manifest;
            throw new MeshException(new Diagnostic("NARU-L022", Severity.Error, message, manifest.Place, $"Deployment {manifest.Key}", remedy));
        }
        if (wanted == history[^1]) return;
        progress.Report($"{name}: back to revision {wanted.Number}");
        mesh.Events.Normal("Deployment", ns, name, "RolledBack", $"back to revision {wanted.Number}");
        rollout.Undo(wanted);
        await rollout.SettledAsync(progress, cancel).ConfigureAwait(false);
    }

    public IEnumerable<DeploymentStatus> Overview() => All().Select(r => r.Status()).ToList();

    public IEnumerable<PodStatus> Statuses() => All().SelectMany(r => r.Pods()).Select(p => p.Status()).ToList();

    /// <summary>Ends all pods at once; nobody sends requests any more.</summary>
    public Task StopAsync(TimeSpan grace) => Task.WhenAll(All().Select(r => r.StopAsync(grace)));

    private Rollout[] All()
    {
        lock (_lock) return [.. _all.Values];
    }

    // Under the lock that Follow holds, so that a manifest that comes back finds it living or not at all.
    private bool Ended(Rollout rollout)
    {
        lock (_lock) return rollout.IsGone() && _all.Remove(rollout.Manifest.Key);
    }

    private Rollout Find(string ns, string name)
    {
        lock (_lock)
        {
            if (_all.TryGetValue($"{ns}/{name}", out Rollout? rollout)) return rollout;
            string remedy = Nearest.Suggestion($"{ns}/{name}", _all.Keys) ?? $"there {(_all.Count == 1 ? "is" : "are")} {string.Join(", ", _all.Keys)}";
            throw new MeshException(new Diagnostic("NARU-L020", Severity.Error, $"no Deployment \"{name}\" runs in namespace {ns}", Remedy: remedy));
        }
    }
}

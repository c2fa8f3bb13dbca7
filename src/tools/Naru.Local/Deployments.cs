// Makes what runs match what the manifests say: as many pods as wanted, of the template as it is now. A new pod is ready before an old
// one goes. One change at a time for each Deployment, all of them side by side.
using System.Collections.Concurrent;
using System.Security.Cryptography;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Pods;

namespace Naru.Local;

internal sealed class Deployments(MeshContext mesh, MeshState state, Proxies proxies) : IDisposable
{
    private static readonly TimeSpan s_progressBound = TimeSpan.FromSeconds(120);

    private const int MostRevisions = 10;

    private sealed record Revision(int Number, DateTimeOffset Since, string Cause, PodTemplate Template);

    private sealed class Running(DeploymentManifest manifest)
    {
        public readonly SemaphoreSlim Gate = new(1, 1);
        public readonly List<Pod> Pods = [];
        public readonly List<Revision> Revisions = [];
        /// <summary>As the file says.</summary>
        public DeploymentManifest Written = manifest;
        /// <summary>As it is to run: what is written, unless that was undone.</summary>
        public DeploymentManifest Manifest = manifest;
        public int? Scaled;
        public int Wanted => Scaled ?? Manifest.Replicas;
        public Pod[] All()
        {
            lock (Pods) return [.. Pods];
        }

        public Revision[] History()
        {
            lock (Revisions) return [.. Revisions];
        }

        /// <summary>Follows the file; an undo stays until the file has another template.</summary>
        public bool Take(DeploymentManifest next, DateTimeOffset now)
        {
            if (Written.Replicas != next.Replicas) Scaled = null;
            bool fresh = Revisions.Count == 0 || Written.Template.Fingerprint != next.Template.Fingerprint;
            Written = next;
            Manifest = fresh ? next : next with { Template = Manifest.Template };
            if (fresh) Note(now, Path.GetFileName(next.Place.File) is { Length: > 0 } file ? $"{file}:{next.Place.Line}" : "its manifest", next.Template);
            return fresh && Revisions.Count > 1;
        }

        /// <summary>As Kubernetes counts: an old template that comes again is the newest one.</summary>
        public void Note(DateTimeOffset now, string cause, PodTemplate template)
        {
            lock (Revisions)
            {
                int number = Revisions.Count == 0 ? 1 : Revisions[^1].Number + 1;
                Revisions.RemoveAll(r => r.Template.Fingerprint == template.Fingerprint);
                Revisions.Add(new Revision(number, now, cause, template));
                if (Revisions.Count > MostRevisions) Revisions.RemoveAt(0);
            }
        }
    }

    private readonly ConcurrentDictionary<string, Running> _all = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Takes a new set of Deployments. Completes when all wanted pods are ready.</summary>
    public async Task FollowAsync(IEnumerable<DeploymentManifest> manifests, CancellationToken cancel, bool mayRemove = true)
    {
        var work = new List<Task>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (DeploymentManifest manifest in manifests)
        {
            seen.Add(manifest.Key);
            Running running = _all.GetOrAdd(manifest.Key, _ => new Running(manifest));
            if (running.Take(manifest, mesh.Time.GetUtcNow())) mesh.Events.Normal("Deployment", manifest.Namespace, manifest.Name, "NewTemplate", "its manifest changed: pods are replaced one by one");
            work.Add(ConvergeAsync(running, cancel));
        }
        if (mayRemove)
        {
            foreach ((string key, Running running) in _all)
            {
                if (!seen.Contains(key)) work.Add(RemoveAsync(key, running, cancel));
            }
        }
        await Task.WhenAll(work).ConfigureAwait(false);
    }

    public async Task RestartAsync(string ns, string name, IProgress<string> progress, CancellationToken cancel)
    {
        Running running = Find(ns, name);
        await running.Gate.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            Pod[] old = running.All();
            mesh.Events.Normal("Deployment", ns, name, "Restarting", $"{old.Length} pods are replaced one by one");
            for (int i = 0; i < old.Length; i++)
            {
                progress.Report($"replacing {old[i].Identity.Name} ({i + 1} of {old.Length})");
                await ReplaceAsync(running, old[i], cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            running.Gate.Release();
        }
    }

    public async Task ScaleAsync(string ns, string name, int replicas, IProgress<string> progress, CancellationToken cancel)
    {
        Running running = Find(ns, name);
        progress.Report($"{name}: {running.All().Length} to {replicas}");
        mesh.Events.Normal("Deployment", ns, name, "ScalingReplicaSet", $"scaled from {running.All().Length} to {replicas}");
        running.Scaled = replicas;
        await ConvergeAsync(running, cancel).ConfigureAwait(false);
    }

    /// <summary>Gives pods an earlier template again, until the manifest changes.</summary>
    /// <param name="ns">Namespace.</param>
    /// <param name="name">Name.</param>
    /// <param name="number">From the history; 0 for the one before.</param>
    /// <param name="progress">Hears each step.</param>
    /// <param name="cancel">Whoever asked hung up.</param>
    public async Task UndoAsync(string ns, string name, int number, IProgress<string> progress, CancellationToken cancel)
    {
        Running running = Find(ns, name);
        Revision[] history = running.History();
        Revision? wanted = number == 0 ? history.Length > 1 ? history[^2] : null : history.FirstOrDefault(r => r.Number == number);
        if (wanted is null)
        {
            throw new MeshException(new Diagnostic("NARU-L022", Severity.Error, number == 0 ? "there is no earlier template: its manifest has not changed since the mesh began" : $"there is no revision {number}",
                running.Manifest.Place, $"Deployment {running.Manifest.Key}", number == 0 ? "change the manifest; it is followed" : $"there are {string.Join(", ", history.Select(r => r.Number))}: naru rollout history deployment/{name}"));
        }
        if (wanted == history[^1]) return;
        progress.Report($"{name}: back to revision {wanted.Number}");
        mesh.Events.Normal("Deployment", ns, name, "RolledBack", $"back to revision {wanted.Number}");
        running.Manifest = running.Manifest with { Template = wanted.Template };
        running.Note(mesh.Time.GetUtcNow(), $"undo to {wanted.Number}", wanted.Template);
        await ConvergeAsync(running, cancel).ConfigureAwait(false);
    }

    public IEnumerable<DeploymentStatus> Overview() => _all.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r =>
    {
        Running running = r.Value;
        List<(bool New, bool Ready)> pods = [.. running.All().Where(p => p.Status().Phase != "Terminating").Select(p => (p.Template.Fingerprint == running.Manifest.Template.Fingerprint, p.IsReady))];
        return new DeploymentStatus
        {
            Namespace = running.Manifest.Namespace,
            Name = running.Manifest.Name,
            Wanted = running.Wanted,
            Pods = pods.Count,
            Updated = pods.Count(p => p.New),
            UpdatedReady = pods.Count(p => p is { New: true, Ready: true }),
            Ready = pods.Count(p => p.Ready),
            Revisions = [.. running.History().Select(h => new RevisionStatus { Number = h.Number, Since = h.Since, Cause = h.Cause, Command = h.Template.Command })],
        };
    }).ToList();

    public IEnumerable<PodStatus> Statuses() => _all.OrderBy(r => r.Key, StringComparer.Ordinal).SelectMany(r => r.Value.All()).Select(p => p.Status()).ToList();

    /// <summary>Ends all pods at once; nobody sends requests any more.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_all.Values.SelectMany(r => r.All()).Select(p => p.StopNowAsync(grace))).ConfigureAwait(false);
    }

    public void Dispose()
    {
        foreach (Running running in _all.Values)
        {
            foreach (Pod pod in running.All()) pod.Dispose();
            running.Gate.Dispose();
        }
        _stop.Dispose();
    }

    private Running Find(string ns, string name) => _all.TryGetValue($"{ns}/{name}", out Running? running)
        ? running
        : throw new MeshException(new Diagnostic("NARU-L020", Severity.Error, $"no Deployment \"{name}\" runs in namespace {ns}",
            Remedy: Nearest.Suggestion($"{ns}/{name}", _all.Keys) ?? $"there {(_all.Count == 1 ? "is" : "are")} {string.Join(", ", _all.Keys.Order(StringComparer.Ordinal))}"));

    private async Task ConvergeAsync(Running running, CancellationToken cancel)
    {
        await running.Gate.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            // Fewer first, then a new template, then more: nothing is replaced that is going anyway.
            Pod[] surplus = [.. running.All().Skip(running.Wanted)];
            await Task.WhenAll(surplus.Select(p => RetireAsync(running, p))).ConfigureAwait(false);
            foreach (Pod old in running.All().Where(p => p.Template.Fingerprint != running.Manifest.Template.Fingerprint)) await ReplaceAsync(running, old, cancel).ConfigureAwait(false);
            var fresh = new List<Task>();
            while (running.All().Length < running.Wanted) fresh.Add(ReadyAsync(Add(running), cancel));
            await Task.WhenAll(fresh).ConfigureAwait(false);
        }
        finally
        {
            running.Gate.Release();
        }
    }

    private async Task RemoveAsync(string key, Running running, CancellationToken cancel)
    {
        await running.Gate.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            await Task.WhenAll(running.All().Select(p => RetireAsync(running, p))).ConfigureAwait(false);
            _all.TryRemove(key, out _);
        }
        finally
        {
            running.Gate.Release();
        }
    }

    private async Task ReplaceAsync(Running running, Pod old, CancellationToken cancel)
    {
        Pod fresh = Add(running);
        try
        {
            await ReadyAsync(fresh, cancel).WaitAsync(s_progressBound, mesh.Time, cancel).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            string reason = fresh.Reason;
            await RetireAsync(running, fresh).ConfigureAwait(false);
            throw new MeshException(new Diagnostic("NARU-L021", Severity.Error, $"the new pod did not become ready in {s_progressBound.TotalSeconds:0} s: {reason}; the old one goes on",
                new Place(mesh.LogOf(fresh.Identity.Name)), $"Deployment {running.Manifest.Key}", $"naru logs {running.Manifest.Name}"));
        }
        await RetireAsync(running, old).ConfigureAwait(false);
    }

    private Pod Add(Running running)
    {
        DeploymentManifest manifest = running.Manifest;
        int number = state.TakePod() ?? throw new MeshException(new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 254 pods at most", manifest.Place, $"Deployment {manifest.Key}"));
        var identity = new PodIdentity($"{manifest.Name}-{Suffix()}", manifest.Namespace, state.PodAddress(number), number, manifest.Template.ServiceAccount, manifest.Template.Labels);
        var pod = new Pod(mesh, state, identity, manifest.Name, manifest.Template, [.. manifest.Template.Ports.Select(p => KeyValuePair.Create(p, state.AppPorts.Take()))]);
        lock (running.Pods) running.Pods.Add(pod);
        proxies.Add(pod.Proxy.Admin);
        pod.Start();
        return pod;
    }

    private async Task ReadyAsync(Pod pod, CancellationToken cancel)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stop.Token);
        try
        {
            await pod.WhenReadyAsync().WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!either.IsCancellationRequested)
        {
            return; // It was taken out before it was ready.
        }
        if (state.IsSelected(pod.Identity.Namespace, pod.Identity.Labels)) await proxies.KnownAsync(pod.Identity.Address).ConfigureAwait(false);
    }

    private async Task RetireAsync(Running running, Pod pod)
    {
        await pod.StopAsync(() => proxies.ForgottenAsync(pod.Identity.Address)).ConfigureAwait(false);
        proxies.Remove(pod.Proxy.Admin);
        foreach ((_, int port) in pod.Ports) state.AppPorts.Release(port);
        lock (running.Pods) running.Pods.Remove(pod);
        pod.Dispose();
    }

    // Kubernetes' alphabet for such suffixes: no vowels, no digits that look like letters.
    private static string Suffix() => RandomNumberGenerator.GetString("bcdfghjklmnpqrstvwxz2456789", 5);
}

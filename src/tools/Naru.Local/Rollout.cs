// One Deployment: what is wished for it, its pods, and the loop that makes the second match the first. The loop waits for nothing but its
// own next reason to look (a new wish, a pod that became ready or went), so a pod that never becomes ready keeps nobody from being heard.
using System.Security.Cryptography;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Pods;
using Naru.Local.Processes;

namespace Naru.Local;

internal sealed class Rollout(MeshContext mesh, MeshState state, Proxies proxies, DeploymentManifest manifest, Func<Rollout, bool> ended)
{
    private static readonly TimeSpan s_progressBound = TimeSpan.FromSeconds(120);

    private const int MostRevisions = 10;

    internal sealed record Revision(int Number, DateTimeOffset Since, string Cause, PodTemplate Template);

    // A pod with the wish it was made for; Known once every proxy has heard of it.
    private sealed class Entry(Pod pod, string fingerprint, int restarts)
    {
        public readonly Pod Pod = pod;
        public readonly string Fingerprint = fingerprint;
        public readonly int Restarts = restarts;
        public volatile bool Known;
        public volatile bool Leaving;
    }

    private sealed record Asker(TaskCompletionSource Settled, IProgress<string> Progress);

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _wake = new(0);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Entry> _pods = [];
    private readonly List<Revision> _revisions = [];
    private readonly List<Asker> _askers = [];
    private readonly List<Task> _leaving = [];
    // As the file says; and as it is to run, which is the same unless that was undone.
    private DeploymentManifest _written = manifest;
    private DeploymentManifest _manifest = manifest;
    private int? _scaled;
    private int _restarts;
    private bool _removed;
    private bool _over;
    private long _progressSince = mesh.Time.GetTimestamp();
    private bool _slowSaid;
    private string _faultSaid = "";
    private Task _loop = Task.CompletedTask;

    public DeploymentManifest Manifest => _manifest;

    /// <summary>How many pods are wished for now.</summary>
    public int Wanted
    {
        get
        {
            lock (_lock) return _removed ? 0 : _scaled ?? _manifest.Replicas;
        }
    }

    public void Start() => _loop = Task.Run(LoopAsync);

    public Revision[] History()
    {
        lock (_lock) return [.. _revisions];
    }

    /// <summary>Pods, those on their way out included.</summary>
    public Pod[] Pods()
    {
        lock (_lock) return [.. _pods.Select(p => p.Pod)];
    }

    /// <summary>Follows the file; an undo stays until the file has another template.</summary>
    public void Take(DeploymentManifest next)
    {
        bool changed;
        lock (_lock)
        {
            _removed = false;
            if (_written.Replicas != next.Replicas) _scaled = null;
            bool fresh = _revisions.Count == 0 || _written.Template.Fingerprint != next.Template.Fingerprint;
            _written = next;
            _manifest = fresh ? next : next with { Template = _manifest.Template };
            string cause = Path.GetFileName(next.Place.File) is { Length: > 0 } file ? $"{file}:{next.Place.Line}" : "its manifest";
            if (fresh) Note(cause, next.Template);
            changed = fresh && _revisions.Count > 1;
        }
        const string Said = "its manifest changed: pods are replaced one by one";
        if (changed) mesh.Events.Normal("Deployment", next.Namespace, next.Name, "NewTemplate", Said);
        Renewed();
    }

    /// <summary>No manifest names it any more.</summary>
    public void Remove()
    {
        lock (_lock) _removed = true;
        Renewed();
    }

    public void Scale(int replicas)
    {
        lock (_lock) _scaled = replicas;
        Renewed();
    }

    /// <summary>Every pod that is here now is to be replaced.</summary>
    public void Restart()
    {
        lock (_lock) _restarts++;
        Renewed();
    }

    /// <summary>Gives pods an earlier template again, until the manifest has another one.</summary>
    public void Undo(Revision to)
    {
        lock (_lock)
        {
            _manifest = _manifest with { Template = to.Template };
            Note($"undo to {to.Number}", to.Template);
        }
        Renewed();
    }

    /// <summary>Completes when what is wished is so: as many pods, all of the newest template, all ready, none on its way out.</summary>
    /// <param name="progress">Hears each step.</param>
    /// <param name="cancel">Whoever asked hung up.</param>
    /// <exception cref="MeshException">Nothing came of it for a while, or it cannot be. It goes on being tried.</exception>
    public async Task SettledAsync(IProgress<string> progress, CancellationToken cancel)
    {
        var asker = new Asker(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), progress);
        lock (_lock)
        {
            if (_over) return;
            _askers.Add(asker);
        }
        Wake();
        try
        {
            await asker.Settled.Task.WaitAsync(cancel).ConfigureAwait(false);
        }
        finally
        {
            lock (_lock) _askers.Remove(asker);
        }
    }

    public DeploymentStatus Status()
    {
        lock (_lock)
        {
            Entry[] here = [.. _pods.Where(p => !p.Leaving)];
            return new DeploymentStatus
            {
                Namespace = _manifest.Namespace,
                Name = _manifest.Name,
                Wanted = Wanted,
                Pods = here.Length,
                Updated = here.Count(IsNewest),
                UpdatedReady = here.Count(p => IsNewest(p) && p.Pod.IsReady),
                Ready = here.Count(p => p.Pod.IsReady),
                Revisions = [.. _revisions.Select(Seen)],
            };
        }
    }

    /// <summary>Ends all pods at once; nobody sends requests any more.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        await Task.WhenAll(Pods().Select(p => p.StopNowAsync(grace))).ConfigureAwait(false);
        Task[] leaving;
        lock (_lock) leaving = [.. _leaving];
        await Task.WhenAll(leaving).ConfigureAwait(false);
        foreach (Pod pod in Pods()) pod.Dispose();
    }

    private static RevisionStatus Seen(Revision r) =>
        new() { Number = r.Number, Since = r.Since, Cause = r.Cause, Command = r.Template.Command };

    private PlannedPod Seen(Entry pod)
    {
        bool newest = IsNewest(pod);
        return new PlannedPod(newest, pod.Pod.IsReady && (pod.Known || !newest));
    }

    private bool IsNewest(Entry pod) => pod.Fingerprint == _manifest.Template.Fingerprint && pod.Restarts == _restarts;

    // As Kubernetes counts: an old template that comes again is the newest one.
    private void Note(string cause, PodTemplate template)
    {
        int number = _revisions.Count == 0 ? 1 : _revisions[^1].Number + 1;
        _revisions.RemoveAll(r => r.Template.Fingerprint == template.Fingerprint);
        _revisions.Add(new Revision(number, mesh.Time.GetUtcNow(), cause, template));
        if (_revisions.Count > MostRevisions) _revisions.RemoveAt(0);
    }

    private void Renewed()
    {
        Progressed();
        Wake();
    }

    private void Progressed()
    {
        _progressSince = mesh.Time.GetTimestamp();
        _slowSaid = false;
    }

    private void Wake()
    {
        if (_wake.CurrentCount == 0) _wake.Release();
    }

    private async Task LoopAsync()
    {
        var backOff = new BackOff();
        while (!_stop.IsCancellationRequested)
        {
            TimeSpan wait;
            try
            {
                wait = Converge();
                (backOff, _faultSaid) = (new BackOff(), "");
            }
            // Whatever it is, it keeps this Deployment from being changed and no other; it is tried again.
            catch (Exception e)
            {
                Complain(e);
                TimeSpan next = backOff.Next(TimeSpan.Zero);
                wait = next > TimeSpan.Zero ? next : TimeSpan.FromMilliseconds(100);
            }
            if (ended(this))
            {
                lock (_lock) _over = true;
                _ = Answer(a => a.TrySetResult());
                return;
            }
            try
            {
                _ = await _wake.WaitAsync(wait, _stop.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    // One look and one step. Returns when to look again where nothing wakes it before.
    private TimeSpan Converge()
    {
        RolloutStep step;
        Entry[] here;
        bool settled;
        lock (_lock)
        {
            here = [.. _pods.Where(p => !p.Leaving)];
            // A new pod counts once requests come to it; an old one as long as they may.
            List<PlannedPod> seen = [.. here.Select(Seen)];
            step = RolloutStep.Next(seen, _pods.Count - here.Length, Wanted);
            settled = _pods.Count == Wanted && seen.TrueForAll(p => p is { Newest: true, Ready: true });
        }
        foreach (int i in step.Retire) Retire(here[i]);
        for (int i = 0; i < step.Add; i++) Add();
        if (settled)
        {
            _ = Answer(a => a.TrySetResult());
            return Timeout.InfiniteTimeSpan;
        }
        TimeSpan left = s_progressBound - mesh.Time.GetElapsedTime(_progressSince);
        if (left > TimeSpan.Zero) return left;
        SaySlow();
        return Timeout.InfiniteTimeSpan;
    }

    private void SaySlow()
    {
        bool again = _slowSaid;
        _slowSaid = true;
        Entry[] here, leaving;
        lock (_lock) (here, leaving) = ([.. _pods.Where(p => !p.Leaving)], [.. _pods.Where(p => p.Leaving)]);
        Entry? late = Array.Find(here, p => IsNewest(p) && !p.Pod.IsReady), slow = late ?? leaving.FirstOrDefault() ?? here.FirstOrDefault();
        string others = Array.Exists(here, p => !IsNewest(p)) ? "the old ones go on, and it is waited for" : "it is waited for";
        string message = late is not null
            ? $"the new pod did not become ready in {s_progressBound.TotalSeconds:0} s: {late.Pod.Reason}; {others}"
            : $"its pods are not as wished for after {s_progressBound.TotalSeconds:0} s: {slow?.Pod.Identity.Name ?? "none"} is waited for";
        Fail(new Diagnostic("NARU-L021", Severity.Error, message, slow is null ? default : new Place(mesh.LogOf(slow.Pod.Identity.Name)),
            $"Deployment {_manifest.Key}", $"naru logs {_manifest.Name}"), again);
    }

    private void Complain(Exception e)
    {
        bool again = e.Message == _faultSaid;
        _faultSaid = e.Message;
        Fail(e is MeshException known ? known.Diagnostic : new Diagnostic("NARU-L037", Severity.Error,
            $"its pods cannot be changed now: {e.Message}; it is tried again", _manifest.Place, $"Deployment {_manifest.Key}"), again);
    }

    // Whoever waits is told, also of what others have heard; where nobody does, whoever started the mesh, once.
    private void Fail(Diagnostic why, bool again)
    {
        if (again)
        {
            _ = Answer(a => a.TrySetException(new MeshException(why)));
            return;
        }
        mesh.Events.Warning("Deployment", _manifest.Namespace, _manifest.Name, "FailedToProgress", why.Message);
        if (Answer(a => a.TrySetException(new MeshException(why))) == 0) mesh.Tell(why);
    }

    private int Answer(Func<TaskCompletionSource, bool> answer)
    {
        lock (_lock)
        {
            int told = _askers.Count;
            foreach (Asker asker in _askers) _ = answer(asker.Settled);
            _askers.Clear();
            return told;
        }
    }

    private void Say(string text)
    {
        Asker[] all;
        lock (_lock) all = [.. _askers];
        foreach (Asker asker in all) asker.Progress.Report(text);
    }

    private void Add()
    {
        DeploymentManifest wish;
        int restarts;
        lock (_lock) (wish, restarts) = (_manifest, _restarts);
        int number = state.TakePod() ?? throw new MeshException(new Diagnostic("NARU-L012", Severity.Error,
            "no address is left: a local mesh has 254 pods at most", wish.Place, $"Deployment {wish.Key}"));
        var identity = new PodIdentity($"{wish.Name}-{Suffix()}", wish.Namespace, state.PodAddress(number), number,
            wish.Template.ServiceAccount, wish.Template.Labels);
        KeyValuePair<ContainerPort, int>[] ports = [.. wish.Template.Ports.Select(p => KeyValuePair.Create(p, state.AppPorts.Take()))];
        Pod pod;
        try
        {
            pod = new Pod(mesh, state, identity, wish.Name, wish.Template, ports);
        }
        catch
        {
            foreach ((_, int port) in ports) state.AppPorts.Release(port);
            state.GiveBack(number);
            throw;
        }
        var entry = new Entry(pod, wish.Template.Fingerprint, restarts);
        lock (_lock) _pods.Add(entry);
        Say($"starting {identity.Name}");
        proxies.Add(pod.Proxy.Admin);
        pod.Changed += Wake;
        pod.Start();
        _ = Kept.RunAsync($"{identity.Name} is not announced", cancel => AnnounceAsync(entry, cancel), mesh.Time, mesh.Tell, _stop.Token);
    }

    private async Task AnnounceAsync(Entry entry, CancellationToken cancel)
    {
        try
        {
            await entry.Pod.WhenReadyAsync().WaitAsync(cancel).ConfigureAwait(false);
            PodIdentity pod = entry.Pod.Identity;
            if (state.IsSelected(pod.Namespace, pod.Labels)) _ = await proxies.KnownAsync(pod.Address).ConfigureAwait(false);
            entry.Known = true;
            Renewed();
        }
        catch (OperationCanceledException)
        {
            // It was taken out before it was ready, or the mesh ends.
        }
    }

    private void Retire(Entry entry)
    {
        entry.Leaving = true;
        Say($"{entry.Pod.Identity.Name} goes");
        Task gone = RetireAsync(entry);
        lock (_lock)
        {
            _leaving.RemoveAll(t => t.IsCompleted);
            _leaving.Add(gone);
        }
    }

    // What fails on the way out keeps nothing of the rest from being given back.
    private async Task RetireAsync(Entry entry)
    {
        Pod pod = entry.Pod;
        try
        {
            await pod.StopAsync(() => proxies.ForgottenAsync(pod.Identity.Address)).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            mesh.Events.Warning("Pod", pod.Identity.Namespace, pod.Identity.Name, "FailedToStop", e.Message);
        }
        finally
        {
            pod.Changed -= Wake;
            proxies.Remove(pod.Proxy.Admin);
            foreach ((_, int port) in pod.Ports) state.AppPorts.Release(port);
            lock (_lock) _pods.Remove(entry);
            pod.Dispose();
            Renewed();
        }
    }

    /// <summary>Whether it is to be removed and nothing of it is left.</summary>
    public bool IsGone()
    {
        lock (_lock) return _removed && _pods.Count == 0;
    }

    // Kubernetes' alphabet for such suffixes: no vowels, no digits that look like letters.
    private static string Suffix() => RandomNumberGenerator.GetString("bcdfghjklmnpqrstvwxz2456789", 5);
}

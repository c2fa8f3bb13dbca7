// A pod of this machine: an address, a proxy, a process. Its life: the proxy is ready, then the process starts, then it listens (it itself,
// not somebody else on its port) and answers, then it gets requests; and backwards at the end. It knows nothing of other pods.
using System.Net;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Processes;

namespace Naru.Local.Pods;

internal sealed partial class Pod : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_drainBound = TimeSpan.FromSeconds(10);

    private readonly MeshContext _mesh;
    private readonly MeshState _state;
    private readonly Supervised _app;
    private readonly ReadinessProbe _probe;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly List<TaskCompletionSource> _waiters = [];
    private ProxyIdentity _applied;
    // Of the process that is there now; null where none is.
    private volatile AppLife? _life;
    private DateTimeOffset? _terminating;

    public Pod(MeshContext mesh, MeshState state, PodIdentity identity, string workload, PodTemplate template, IReadOnlyList<KeyValuePair<ContainerPort, int>> ports)
    {
        _mesh = mesh;
        _state = state;
        Identity = identity;
        Workload = workload;
        Template = template;
        Ports = ports;
        Started = mesh.Time.GetUtcNow();
        _probe = new ReadinessProbe(template.Probe);
        _applied = new ProxyIdentity
        {
            Type = "sidecar",
            Pod = identity,
            Workload = workload,
            InstanceAddresses = identity.Address,
            AppPorts = [.. ports.Select(p => KeyValuePair.Create(p.Key.Number, p.Value))],
        };
        Proxy = new ProxyRunner(mesh, _applied, concurrency: 1);
        _app = new Supervised(identity.Name, Request, mesh.Time, mesh.Tell);
        Proxy.Changed += ProxyChanged;
        _app.Came += Came;
        _app.Went += Went;
    }

    public PodIdentity Identity { get; }
    public string Workload { get; }
    public PodTemplate Template { get; }
    public IReadOnlyList<KeyValuePair<ContainerPort, int>> Ports { get; }
    public ProxyRunner Proxy { get; }
    public DateTimeOffset Started { get; }
    public string Reason { get; private set; } = "waiting for its proxy";
    public bool IsReady { get; private set; }

    /// <summary>Whether it is ready has changed. Heard under the pod's lock: nobody may wait there.</summary>
    public event Action? Changed;

    public void Start()
    {
        Publish();
        Proxy.Start();
    }

    /// <summary>Ends when the pod is ready for the first time, or is stopped.</summary>
    public Task WhenReadyAsync()
    {
        lock (_lock)
        {
            if (IsReady) return Task.CompletedTask;
            var waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_terminating is not null) waiter.SetCanceled();
            else _waiters.Add(waiter);
            return waiter.Task;
        }
    }

    /// <summary>Takes the pod out without losing a request: no new ones, wait for those in flight, then the process, then the proxy.</summary>
    /// <param name="forgotten">Completes when no proxy knows the pod any more, or when that has taken long enough.</param>
    public async Task StopAsync(Func<Task> forgotten)
    {
        MarkTerminating();
        await forgotten().ConfigureAwait(false);
        await Proxy.DrainAsync(inboundOnly: true, s_drainBound).ConfigureAwait(false);
        await _app.StopAsync(Template.Grace).ConfigureAwait(false);
        await Proxy.StopAsync().ConfigureAwait(false);
        _state.RemovePod(Identity);
    }

    /// <summary>Ends process and proxy when the whole mesh goes: nobody sends any more.</summary>
    public async Task StopNowAsync(TimeSpan grace)
    {
        MarkTerminating();
        await _app.StopAsync(grace < Template.Grace ? grace : Template.Grace).ConfigureAwait(false);
        await Proxy.StopAsync().ConfigureAwait(false);
    }

    public PodStatus Status() => new()
    {
        Namespace = Identity.Namespace,
        Name = Identity.Name,
        Workload = Workload,
        Address = Identity.Address,
        Ready = IsReady,
        Phase = _terminating is not null ? "Terminating" : IsReady ? "Running" : _app.IsBackingOff ? "CrashLoopBackOff" : _app.Child is null && _app.Restarts == 0 ? "Starting" : "NotReady",
        Restarts = _app.Restarts,
        ProxyRestarts = Proxy.Restarts,
        Pid = _app.Child?.Id ?? 0,
        ProxyPid = Proxy.Pid,
        AppPort = _life?.Target?.Port ?? (Ports.Count > 0 ? Ports[0].Value : 0),
        Started = Started,
        Reason = IsReady ? "" : Reason,
    };

    public void Dispose()
    {
        _probe.Dispose();
        Proxy.Dispose();
        _stop.Dispose();
    }

    // The port that readiness is about: the one its probe names, else the first.
    private KeyValuePair<ContainerPort, int> MainPort()
    {
        string wanted = Template.Probe.Port;
        return Ports.FirstOrDefault(p => wanted.Length == 0 || p.Key.Name == wanted || $"{p.Key.Number}" == wanted, Ports[0]);
    }

    private SpawnRequest Request() => new()
    {
        File = "/bin/sh",
        Arguments = ["-c", IsSimple(Template.Command) ? $"exec {Template.Command}" : Template.Command],
        Folder = Template.Folder,
        Environment = _state.EnvironmentOf(_mesh.Inherited, Identity, Ports, Template.Environment, names: _mesh.Names),
        Log = _mesh.LogOf(Identity.Name),
    };

    // Not every shell gives its place to the last command by itself; a plain program with plain arguments need not have one above it.
    private static bool IsSimple(string command) => PlainCommand().IsMatch(command) && command.Split(' ')[0] is not ("exec" or "cd" or "set" or "export" or "eval" or "exit" or "trap" or "ulimit" or "umask" or "unset" or "wait" or "source" or ".");

    [GeneratedRegex(@"^[A-Za-z0-9_./-]+( +[A-Za-z0-9_./:=,@%+-]+)*$")]
    private static partial Regex PlainCommand();

    private void Came(Child child)
    {
        var life = new AppLife(Template.Probe, _probe.AskAsync, FitAsync, _mesh.Time);
        life.Changed += () =>
        {
            if (!ReferenceEquals(_life, life)) return;
            if (!life.IsReady) Reason = life.Reason;
            Update();
        };
        _life = life;
        Reason = life.Reason;
        if (Ports.Count == 0) life.BeReady();
        else _ = WatchAsync(child, life);
    }

    private void Went(Child? child)
    {
        AppLife? life = _life;
        _life = null;
        life?.Dispose();
        // What could not be started at all is said by who keeps it running.
        if (child is null || life is null || life.HasListened) Reason = _app.LastEnd;
        else SayEarlyEnd();
        Update();
    }

    private void SayEarlyEnd()
    {
        string reason = _app.LastEnd;
        if (Ports.Count > 0 && _app.LastCode is not (126 or 127))
        {
            (ContainerPort container, int local) = MainPort();
            reason += $" before it listened; it was told {local} by PORT, and its containerPort {container.Number} is its sidecar's";
        }
        Reason = reason;
        // Once is bad luck; what ends again and again is said before anybody asks. What was not found will not be found later.
        if (_app.Restarts != (_app.LastCode is 126 or 127 ? 0 : 1)) return;
        var place = new Place(_mesh.LogOf(Identity.Name));
        string remedy = _app.LastCode is 126 or 127
            ? $"it ran in {Template.Folder}: {Template.Command}"
            : $"its last words are in that file: naru logs {Workload}";
        _mesh.Tell(new Diagnostic("NARU-L036", Severity.Warning, $"{Identity.Name} {reason}", place, Remedy: remedy));
    }

    private void ProxyChanged()
    {
        if (Proxy.IsReady && _terminating is null) _app.Start();
        else if (!Proxy.IsReady) Reason = Proxy.LastEnd.Length > 0 ? $"its proxy {Proxy.LastEnd}" : "waiting for its proxy";
        Update();
    }

    private async Task WatchAsync(Child child, AppLife life)
    {
        (ContainerPort container, int local) = MainPort();
        string ports = $"its containerPort {container.Number}";
        var watch = new AppWatch(new WatchedApp
        {
            Name = Identity.Name,
            // A program that always opens what its manifest says is right, too, as long as it is the only one here.
            Ports = [local, container.Number],
            Told = $"by PORT, SERVER_PORT, ASPNETCORE_URLS and their like, for {ports}",
            Elsewhere = $"let {Workload} take its port from PORT, or open {container.Number} on 127.0.0.1; naru logs {Workload}",
            Choose = "name one as the first containerPort",
        }, _mesh.Machine, _mesh.Time)
        {
            Found = life.FoundAsync,
            Lost = d =>
            {
                life.Lost(d);
                _mesh.Tell(d);
            },
            Say = d =>
            {
                life.Say(d);
                _mesh.Tell(d);
            },
        };
        using CancellationTokenRegistration going = _stop.Token.Register(life.Dispose);
        while (!life.Ended.IsCancellationRequested)
        {
            using var round = CancellationTokenSource.CreateLinkedTokenSource(life.Ended);
            try
            {
                var tree = ProcessTree.Of(child.Id, _mesh.Time, $"{Guard.Mark}={_mesh.Mark}", $"POD_NAME={Identity.Name}");
                Task first = await Task.WhenAny(watch.FollowAsync(tree, round.Token), life.ProbeAsync(round.Token)).ConfigureAwait(false);
                await round.CancelAsync().ConfigureAwait(false);
                await first.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return; // The process ended, or the pod is going.
            }
            // What cannot be looked at now is looked at again; a watch that ended would leave the pod as it happened to be.
            catch (Exception e)
            {
                life.Say(new Diagnostic("NARU-L039", Severity.Warning, $"{Identity.Name} cannot be watched: {e.Message}"));
                await Task.Delay(s_again, _mesh.Time, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    // Its sidecar must know where each port is; it was started with the ones that the process was told.
    private async Task FitAsync(Way way, Sight sight, CancellationToken cancel)
    {
        var ports = new List<KeyValuePair<int, int>>();
        var addresses = new List<KeyValuePair<int, string>>();
        foreach ((ContainerPort container, int told) in Ports)
        {
            Way? there = sight.Ways.Contains(way) && way.Port == told || way.Port == container.Number
                ? way
                : sight.Ways.FirstOrDefault(w => w.Port == told) ?? sight.Ways.FirstOrDefault(w => w.Port == container.Number);
            ports.Add(KeyValuePair.Create(container.Number, there?.Port ?? told));
            if (there is null || there.Address.Address.Equals(IPAddress.Loopback)) continue;
            addresses.Add(KeyValuePair.Create(container.Number, $"{there.Address.Address}"));
        }
        ProxyIdentity wanted = _applied with { AppPorts = ports, AppAddresses = addresses };
        bool other;
        lock (_lock)
        {
            cancel.ThrowIfCancellationRequested();
            other = !wanted.IsAs(_applied);
            if (other) _applied = wanted;
        }
        if (other) Proxy.Replace(wanted);
        // Ready as the one that it is to be; another process of this pod may have asked for that before.
        while (!Proxy.IsReady) await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
    }

    private void MarkTerminating()
    {
        lock (_lock)
        {
            _terminating ??= _mesh.Time.GetUtcNow();
            foreach (TaskCompletionSource waiter in _waiters) waiter.TrySetCanceled();
            _waiters.Clear();
        }
        _stop.Cancel();
        Update();
    }

    private void Update()
    {
        lock (_lock)
        {
            bool before = IsReady;
            IsReady = Proxy.IsReady && _life is { IsReady: true } && _terminating is null;
            if (IsReady != before) Changed?.Invoke();
            if (IsReady)
            {
                foreach (TaskCompletionSource waiter in _waiters) waiter.TrySetResult();
                _waiters.Clear();
            }
            Publish();
        }
    }

    private void Publish() => _state.Put(new PodState
    {
        Name = Identity.Name,
        Namespace = Identity.Namespace,
        Address = Identity.Address,
        Labels = Identity.Labels,
        Annotations = Template.Annotations,
        ServiceAccount = Identity.ServiceAccount,
        Container = Template.Container,
        Ports = [.. Ports.Select(p => p.Key)],
        Ready = IsReady,
        Terminating = _terminating,
    });
}

// A pod of this machine: an address, a proxy, a process. Its life: the proxy is ready, then the process starts, then it answers, then it
// gets requests; and backwards at the end. It knows nothing of other pods.
using System.Text.RegularExpressions;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Processes;

namespace Naru.Local.Pods;

internal sealed partial class Pod : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan s_drainBound = TimeSpan.FromSeconds(10);

    private readonly MeshContext _mesh;
    private readonly MeshState _state;
    private readonly Supervised _app;
    private readonly ReadinessProbe _probe;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly List<TaskCompletionSource> _waiters = [];
    private bool _appReady;
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
        _probe = new ReadinessProbe(template.Probe, PortOf(template.Probe.Port));
        Proxy = new ProxyRunner(mesh, new ProxyIdentity
        {
            Type = "sidecar",
            Pod = identity,
            Workload = workload,
            InstanceAddresses = identity.Address,
            AppPorts = [.. ports.Select(p => KeyValuePair.Create(p.Key.Number, p.Value))],
        }, concurrency: 1);
        _app = new Supervised(identity.Name, Request, mesh.Time);
        Proxy.Changed += ProxyChanged;
        _app.Came += child => _ = ProbeAsync(child);
        _app.Went += _ => SetApp(false, _app.LastEnd);
    }

    public PodIdentity Identity { get; }
    public string Workload { get; }
    public PodTemplate Template { get; }
    public IReadOnlyList<KeyValuePair<ContainerPort, int>> Ports { get; }
    public ProxyRunner Proxy { get; }
    public DateTimeOffset Started { get; }
    public string Reason { get; private set; } = "waiting for its proxy";
    public bool IsReady { get; private set; }

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
        AppPort = Ports.Count > 0 ? Ports[0].Value : 0,
        Started = Started,
        Reason = IsReady ? "" : Reason,
    };

    public void Dispose()
    {
        _probe.Dispose();
        Proxy.Dispose();
        _stop.Dispose();
    }

    private int PortOf(string port)
    {
        foreach ((ContainerPort container, int local) in Ports)
        {
            if (port.Length == 0 || container.Name == port || $"{container.Number}" == port) return local;
        }
        return Ports.Count > 0 ? Ports[0].Value : 0;
    }

    private SpawnRequest Request() => new()
    {
        File = "/bin/sh",
        Arguments = ["-c", IsSimple(Template.Command) ? $"exec {Template.Command}" : Template.Command],
        Folder = Template.Folder,
        Environment = _state.EnvironmentOf(_mesh.Inherited, Identity, Ports, Template.Environment),
        Log = _mesh.LogOf(Identity.Name),
    };

    // Not every shell gives its place to the last command by itself; a plain program with plain arguments need not have one above it.
    private static bool IsSimple(string command) => PlainCommand().IsMatch(command) && command.Split(' ')[0] is not ("exec" or "cd" or "set" or "export" or "eval" or "exit" or "trap" or "ulimit" or "umask" or "unset" or "wait" or "source" or ".");

    [GeneratedRegex(@"^[A-Za-z0-9_./-]+( +[A-Za-z0-9_./:=,@%+-]+)*$")]
    private static partial Regex PlainCommand();

    private void ProxyChanged()
    {
        if (Proxy.IsReady && _terminating is null) _app.Start();
        else if (!Proxy.IsReady) Reason = Proxy.LastEnd.Length > 0 ? $"its proxy {Proxy.LastEnd}" : "waiting for its proxy";
        Update();
    }

    private async Task ProbeAsync(Child child)
    {
        int failures = 0;
        try
        {
            while (child.IsAlive && !_stop.IsCancellationRequested)
            {
                string? fault = Ports.Count == 0 ? null : await _probe.AskAsync(_stop.Token).ConfigureAwait(false);
                if (!child.IsAlive) return;
                if (fault is null)
                {
                    failures = 0;
                    SetApp(true, "");
                    // A process that listens goes on listening until it ends; only those with a question of their own are asked again.
                    if (Template.Probe.Path is null) return;
                }
                else if (!_appReady)
                {
                    Reason = fault;
                }
                else if (++failures >= Template.Probe.FailureThreshold)
                {
                    SetApp(false, fault);
                }
                await Task.Delay(_appReady ? Template.Probe.Period : s_look, _mesh.Time, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The pod is going.
        }
    }

    private void SetApp(bool ready, string reason)
    {
        _appReady = ready;
        if (!ready) Reason = reason;
        Update();
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
            IsReady = Proxy.IsReady && _appReady && _terminating is null;
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

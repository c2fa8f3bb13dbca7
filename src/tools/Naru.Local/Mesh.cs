// A mesh on this machine, from start to end: control plane, gateway, pods. This file tells the story; how a Deployment follows its
// manifest is in Deployments.cs, how a process of the user's joins in Members.cs, what others may ask in Api/.
using System.Net;
using System.Security.Cryptography;
using System.Threading.Channels;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Api;
using Naru.Local.Front;
using Naru.Local.Manifests;
using Naru.Local.Pods;
using Naru.Local.Processes;

namespace Naru.Local;

/// <summary>What to run.</summary>
public sealed record MeshOptions
{
    /// <summary>Name; one user runs one mesh of a name at a time.</summary>
    public string Name { get; init; } = "default";
    /// <summary>Files and folders with manifests.</summary>
    public IReadOnlyList<string> Paths { get; init; } = [];
    /// <summary>What runs in place of containers.</summary>
    public RunOptions Run { get; init; } = new();
    /// <summary>Hears what is going to run, before anything does.</summary>
    public Action<RunPlan> Planned { get; init; } = _ => { };
    /// <summary>Whether <c>http_proxy</c> of applications stays as it is.</summary>
    public bool NoProxy { get; init; }
    /// <summary>Port of the gateway on 127.0.0.1; 0 takes a free one.</summary>
    public int GatewayPort { get; init; } = 8080;
    /// <summary>Whether another port may be used where <see cref="GatewayPort"/> is taken.</summary>
    public bool GatewayPortMayMove { get; init; } = true;
    /// <summary>Requests a second to send through the gateway; 0 for none.</summary>
    public int TrafficRate { get; init; }
    /// <summary>Path of those requests.</summary>
    public string TrafficPath { get; init; } = "/";
    /// <summary>The data plane: program and first arguments.</summary>
    public required IReadOnlyList<string> ProxyCommand { get; init; }
    /// <summary>The control plane: program and first arguments; options follow.</summary>
    public required IReadOnlyList<string> ControlCommand { get; init; }
    /// <summary>Hears at once what keeps a pod from being ready, also while the mesh starts.</summary>
    public Action<Diagnostic> Tell { get; init; } = _ => { };
    /// <summary>Clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>The mesh cannot be started. The diagnostic says why and what to do.</summary>
public sealed class MeshException(Diagnostic diagnostic) : Exception(diagnostic.Message)
{
    /// <summary>Code, cause, remedy.</summary>
    public Diagnostic Diagnostic { get; } = diagnostic;
}

/// <summary>A running mesh.</summary>
public sealed class Mesh : IAsyncDisposable
{
    private static readonly TimeSpan s_stopBound = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(3);

    private readonly MeshOptions _options;
    private readonly IProgress<string> _progress;
    private readonly FileStream _lock;
    private readonly Slot _slot;
    private readonly Guard _guard;
    private readonly MeshContext _context;
    private readonly MeshState _state;
    private readonly ControlPlaneRunner _control;
    private readonly Gateway _gateway;
    private readonly Proxies _proxies;
    private readonly Deployments _deployments;
    private readonly ManifestWatcher _manifests;
    private readonly Traffic? _traffic;
    private readonly CallWatch _calls;
    private readonly RestartWatch _restarts;
    private readonly LogKeeper _logs;
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _enough = new();
    private readonly TaskCompletionSource _stopAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Diagnostic> _complaints = [];
    private readonly DateTimeOffset _started;
    private RunnerApi? _api;
    private FrontDoor? _front;
    private Task _following = Task.CompletedTask;
    private Task _watching = Task.CompletedTask;
    private volatile bool _controlUp;
    private int _ended;

    private Mesh(MeshOptions options, IProgress<string> progress, FileStream fileLock, Slot slot, RunFolder run, PortClaim gatewayPort,
        string? gatewayMoved)
    {
        _options = options;
        _progress = progress;
        _lock = fileLock;
        _slot = slot;
        Run = run;
        GatewayMoved = gatewayMoved;
        _started = options.Time.GetUtcNow();
        string mark = $"{slot.Number}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}";
        (Dictionary<string, string> inherited, Dictionary<string, string> own) = MeshContext.Environments(mark);
        _context = new MeshContext
        {
            Run = run,
            Name = options.Name,
            Slot = slot.Number,
            Mark = mark,
            ProxyCommand = options.ProxyCommand,
            Time = options.Time,
            Machine = new Machine(options.Time),
            Tell = options.Tell,
            Events = new EventLog(options.Time),
            Inherited = inherited,
            Names = !options.NoProxy,
            OwnProcessEnvironment = own,
        };
        _guard = Guard.Start(mark, run.Path);
        _state = new MeshState(new AddressPlan(slot.Number), new StateWriter(run.State), _context.Events);
        _control = new ControlPlaneRunner(_context, options.ControlCommand, options.Paths);
        _proxies = new Proxies(options.Time);
        _gateway = new Gateway(_context, _state, gatewayPort);
        _deployments = new Deployments(_context, _state, _proxies);
        Members = new Members(_context, _state, _proxies);
        _manifests = new ManifestWatcher(options.Paths, options.Run, options.Time, options.Tell);
        _calls = new CallWatch(() => Pods(), options.Time, _state.Overview);
        _restarts = new RestartWatch(_context.Events);
        _logs = new LogKeeper(run.Logs, () => Pods().Select(p => p.Name), options.Time, tell: options.Tell);
        _logs.Start();
        if (options.TrafficRate > 0) _traffic = new Traffic(new Uri($"{GatewayUrl}{options.TrafficPath}"), options.TrafficRate, options.Time);
    }

    /// <summary>Its folder.</summary>
    public RunFolder Run { get; }

    /// <summary>Base address of the gateway.</summary>
    public string GatewayUrl => _state.GatewayUrl;

    /// <summary>Why the gateway is not on the port that was wanted, or null where it is.</summary>
    public string? GatewayMoved { get; }

    /// <summary>Completes when somebody asked for the end through the API.</summary>
    public Task StopAsked => _stopAsked.Task;

    /// <summary>Processes of users.</summary>
    internal Members Members { get; }

    /// <summary>Starts control plane, gateway and pods, and returns when every pod is ready, or has failed to become so within
    /// <paramref name="readyBound"/> (the mesh goes on trying then).</summary>
    /// <exception cref="MeshException">Nothing was started.</exception>
    public static async Task<Mesh> StartAsync(MeshOptions options, IProgress<string> progress, TimeSpan readyBound, CancellationToken cancel)
    {
        RunFolder run = RunFolder.Open(options.Name);
        FileStream fileLock = run.TryLock() ?? throw new MeshException(new Diagnostic("NARU-L010", Severity.Error,
            $"the mesh \"{options.Name}\" runs already{(MeshLocation.Find(options.Name) is { } other ? $" (pid {other.Pid}, gateway {other.Gateway})" : "")}",
            Remedy: $"end it with `naru down{(options.Name == "default" ? "" : $" --mesh {options.Name}")}`, or give this one a name of its own: --mesh NAME"));
        Slot? slot = null;
        PortClaim? port = null;
        Mesh? mesh = null;
        try
        {
            slot = Slot.Take() ?? throw new MeshException(new Diagnostic("NARU-L011", Severity.Error, $"all {Slot.Last} address slots of this machine are in use", Remedy: "end a mesh with `naru down`"));
            port = Gateway.ChoosePort(options, out string? moved);
            run.Prepare();
            mesh = new Mesh(options, progress, fileLock, slot, run, port, moved);
        }
        finally
        {
            if (mesh is null)
            {
                port?.Dispose();
                slot?.Dispose();
                await run.UnlockAsync(fileLock).ConfigureAwait(false);
            }
        }
        try
        {
            await mesh.BringUpAsync(readyBound, cancel).ConfigureAwait(false);
            return mesh;
        }
        catch
        {
            await mesh.StopAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>What it looks like now.</summary>
    public MeshStatus Status()
    {
        (long memory, int processes) = Memory.Of([Environment.ProcessId, .. Guard.Marked(_context.Mark)]);
        lock (_complaints)
        {
            return new MeshStatus
            {
                Mesh = _options.Name,
                Pid = Environment.ProcessId,
                Started = _started,
                Gateway = GatewayUrl,
                Folder = Run.Path,
                MemoryBytes = memory,
                Processes = processes,
                ControlPlane = _control.Status(),
                Services = _state.ServiceStatuses(),
                Pods = [.. Pods().Select(p => p with { WasReady = p.Ready || _state.WasReady(p.Namespace, p.Name) })],
                Deployments = [.. _deployments.Overview()],
                Diagnostics = [.. _complaints.Select(ReportedDiagnostic.From)],
                Traffic = _traffic?.Status(),
                FailingCalls = _calls.Failing(),
            };
        }
    }

    /// <summary>The same, with what proxies have counted until now.</summary>
    public async Task<MeshStatus> StatusAsync(CancellationToken cancel)
    {
        await _calls.LookAsync(asked: true, cancel).ConfigureAwait(false);
        return Status();
    }

    /// <summary>What keeps something of the manifests from running here.</summary>
    public IReadOnlyList<Diagnostic> Complaints()
    {
        lock (_complaints) return [.. _complaints];
    }

    /// <summary>Replaces every pod of a Deployment, one after the other, without losing a request.</summary>
    /// <exception cref="MeshException">No such Deployment, or a new pod did not become ready (the old ones stay).</exception>
    public Task RestartAsync(string ns, string name, IProgress<string> progress, CancellationToken cancel) => _deployments.RestartAsync(ns, name, progress, cancel);

    /// <summary>Gives a Deployment an earlier template again, until its manifest changes; 0 for the one before.</summary>
    /// <exception cref="MeshException">No such Deployment or revision, or a new pod did not become ready.</exception>
    public Task UndoAsync(string ns, string name, int revision, IProgress<string> progress, CancellationToken cancel) => _deployments.UndoAsync(ns, name, revision, progress, cancel);

    /// <summary>What happened lately, oldest first.</summary>
    public IReadOnlyList<MeshEvent> Events() => _context.Events.All();

    /// <summary>Changes the number of pods of a Deployment until its manifest changes.</summary>
    /// <exception cref="MeshException">No such Deployment.</exception>
    public Task ScaleAsync(string ns, string name, int replicas, IProgress<string> progress, CancellationToken cancel) => _deployments.ScaleAsync(ns, name, replicas, progress, cancel);

    /// <summary>Asks for the end; whoever holds the mesh hears it by <see cref="StopAsked"/>.</summary>
    public void AskToStop()
    {
        _stopAsked.TrySetResult();
        _enough.Cancel();
    }

    /// <summary>Requests and server errors that the gateway counted, if it answers.</summary>
    public async Task<(long Requests, long Errors)?> GatewayCountsAsync()
    {
        long? requests = await _gateway.Proxy.Admin.HttpStatAsync("downstream_rq_total").ConfigureAwait(false);
        long? errors = await _gateway.Proxy.Admin.HttpStatAsync("downstream_rq_5xx").ConfigureAwait(false);
        return requests is null ? null : (requests.Value, errors ?? 0);
    }

    /// <summary>Drains and ends everything: traffic, gateway, pods, control plane. Leaves the logs. A step that fails is said, and the others
    /// are taken all the same.</summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0) return;
        await _stop.CancelAsync().ConfigureAwait(false);
        if (_traffic is not null) await StepAsync("traffic", _traffic.StopAsync).ConfigureAwait(false);
        _manifests.Dispose();
        await StepAsync("watch", () => _watching).ConfigureAwait(false);
        await StepAsync("manifests", () => _following).ConfigureAwait(false);
        await StepAsync("processes of naru run", Members.StopAsync).ConfigureAwait(false);
        await StepAsync("gateway", _gateway.StopAsync).ConfigureAwait(false);
        await StepAsync("pods", () => _deployments.StopAsync(s_stopBound)).ConfigureAwait(false);
        await StepAsync("control plane", _control.StopAsync).ConfigureAwait(false);
        if (_api is { } api) await StepAsync("API", () => api.DisposeAsync().AsTask()).ConfigureAwait(false);
        if (_front is { } front) await StepAsync("front page", () => front.DisposeAsync().AsTask()).ConfigureAwait(false);
        // Processes that put themselves into a session of their own are still ours.
        await StepAsync("what is left", () => Task.FromResult(Guard.Sweep(_context.Mark))).ConfigureAwait(false);
        await StepAsync("logs", _logs.StopAsync).ConfigureAwait(false);
        await StepAsync("run folder", () => Task.Run(Run.Clean)).ConfigureAwait(false);
        _guard.Dispose();
        _slot.Dispose();
        await StepAsync("lock", () => Run.UnlockAsync(_lock)).ConfigureAwait(false);
        _gateway.Dispose();
        _state.AppPorts.Dispose();
        _proxies.Dispose();
        _calls.Dispose();
    }

    private async Task StepAsync(string what, Func<Task> step)
    {
        try
        {
            await step().ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // That is how it ends.
        }
        catch (Exception e)
        {
            _options.Tell(new Diagnostic("NARU-L015", Severity.Warning, $"{what}: {Causes.Of(e)}; the rest is ended all the same"));
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _stop.Dispose();
        _enough.Dispose();
    }

    private async Task BringUpAsync(TimeSpan readyBound, CancellationToken cancel)
    {
        RunPlan plan = _manifests.Read();
        ManifestSet set = plan.Set;
        Take(set);
        _options.Planned(plan);
        // What is missing may be missing because of what is wrong in a run file.
        if (set.Diagnostics.FirstOrDefault(d => RunPlan.IsOfRunFile(d)) is { } wrong) throw new MeshException(wrong);
        if (plan.Refusal is { } refusal) throw new MeshException(refusal);
        if (set.Deployments.IsEmpty && set.Diagnostics.FirstOrDefault(d => d.Severity == Severity.Error) is { } fault) throw new MeshException(fault);
        _gateway.Publish();

        // Whoever asks for the end through the API need not wait until everything is up.
        using var starting = CancellationTokenSource.CreateLinkedTokenSource(cancel, _enough.Token);
        using var waited = CancellationTokenSource.CreateLinkedTokenSource(starting.Token);
        Task telling = Kept.RunAsync("what is waited for is not said", TellWaitingAsync, _options.Time, _options.Tell, waited.Token);
        try
        {
            await BringUpAsync(set, readyBound, starting.Token).ConfigureAwait(false);
        }
        finally
        {
            await waited.CancelAsync().ConfigureAwait(false);
            await telling.ConfigureAwait(false);
        }
        _traffic?.Start();
    }

    // Whoever looks at a terminal on which nothing happens wants to know for what it waits.
    private async Task TellWaitingAsync(CancellationToken cancel)
    {
        string said = "";
        await Task.Delay(s_patience, _options.Time, cancel).ConfigureAwait(false);
        while (true)
        {
            string now = Waiting();
            if (now != said && now.Length > 0) _progress.Report(said = now);
            await Task.Delay(s_look, _options.Time, cancel).ConfigureAwait(false);
        }
    }

    private string Waiting()
    {
        if (!_controlUp) return _control.LastEnd is { Length: > 0 } end
            ? $"waiting for the control plane: it {end} (naru logs control)" : "waiting for the control plane";
        List<PodStatus> pods = [.. Pods().Where(p => !p.Ready)];
        if (pods.Count == 0) return "";
        string more = pods.Count > 3 ? $" and {pods.Count - 3} more" : "";
        return $"waiting for {string.Join(", ", pods.Take(3).Select(Why))}{more}";

        // How often is no news: only what changes is said again.
        static string Why(PodStatus p) =>
            $"{p.Workload} ({(p.Restarts > 1 ? "it ends again and again: " : "")}{(p.Reason.Length > 0 ? p.Reason : p.Phase)})";
    }

    private async Task BringUpAsync(ManifestSet set, TimeSpan readyBound, CancellationToken cancel)
    {
        _progress.Report("starting the control plane");
        _control.Start();
        await _control.WhenReadyAsync(cancel).ConfigureAwait(false);
        _controlUp = true;

        _progress.Report("starting gateway and sidecars");
        _proxies.Add(_gateway.Proxy.Admin);
        _front = await FrontDoor.StartAsync(FrontSource(), Run.FrontSocket).ConfigureAwait(false);
        _gateway.Proxy.Start();
        _deployments.Follow(set.Deployments);
        Task all = _deployments.SettledAsync(cancel);
        _api = await RunnerApi.StartAsync(this, Run.Socket).ConfigureAwait(false);
        IPAddress control = AddressPlan.ControlPlane(_slot.Number);
        Run.Describe(new MeshLocation
        {
            Mesh = _options.Name,
            Pid = Environment.ProcessId,
            Slot = _slot.Number,
            ControlPlane = $"http://{control}:{AddressPlan.HttpPort}",
            Xds = $"{control}:{AddressPlan.XdsPort}",
            TokenFile = Run.TokenFile,
            Gateway = GatewayUrl,
            Socket = Run.Socket,
            Folder = Run.Path,
        });

        _watching = KeptAsync("the mesh is not watched", WatchAsync);
        // What is mended while it starts is taken at once.
        _following = KeptAsync("manifests are not followed", FollowAsync);
        _progress.Report("starting services");
        try
        {
            await _gateway.WhenReadyAsync(cancel).WaitAsync(readyBound, _options.Time, cancel).ConfigureAwait(false);
            await all.WaitAsync(readyBound, _options.Time, cancel).ConfigureAwait(false);
            await _gateway.WhenServingAsync(cancel).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The first screen will say who is not ready; everything goes on being tried.
        }
    }

    private FrontSource FrontSource() =>
        new(_options.Name, _state, _gateway.Proxy.Admin, _gateway.Port, _control, Pods, Complaints, _calls.Failing);

    private IEnumerable<PodStatus> Pods() => [_gateway.Status(), .. _deployments.Statuses(), .. Members.Statuses()];

    // A change of a manifest is taken like a cluster would take it; the control plane reads the same files for its own kinds.
    private async Task FollowAsync(CancellationToken cancel)
    {
        await foreach (RunPlan plan in _manifests.FollowAsync(cancel).ConfigureAwait(false))
        {
            try
            {
                ManifestSet set = plan.Set;
                Take(set);
                // A file that cannot be read now says nothing about what should run: nothing is taken away because of it.
                bool blind = set.Diagnostics.Any(d => d.Severity == Severity.Error && d.Code != "NARU-L005");
                _deployments.Follow(set.Deployments, mayRemove: !blind);
            }
            // The next change is followed whatever became of this one.
            catch (Exception e) when (e is not OperationCanceledException)
            {
                Tell("a change of the manifests was not taken", Causes.Of(e));
            }
        }
    }

    private void Tell(string what, string why) => _options.Tell(new Diagnostic("NARU-L016", Severity.Error, $"{what}: {why}"));

    private Task KeptAsync(string name, Func<CancellationToken, Task> loop) => Kept.RunAsync(name, loop, _options.Time, _options.Tell, _stop.Token);

    private async Task WatchAsync(CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(s_look, _options.Time);
        string? said = null;
        while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
        {
            _restarts.Look([.. Pods()], _control.Status().Restarts);
            string? owed = _state.Retry();
            if (owed is not null && owed != said) Tell("what the mesh is cannot be written down", owed);
            said = owed;
            await _calls.LookAsync(asked: false, cancel).ConfigureAwait(false);
        }
    }

    private void Take(ManifestSet set)
    {
        bool blind = set.Diagnostics.Any(d => d.Severity == Severity.Error && d.Code.StartsWith("NARU-C", StringComparison.Ordinal));
        IEnumerable<ServiceManifest> services = set.Services;
        // The gateway's own Service may be given by the user; otherwise there is one as Istio installs it.
        if (services.All(s => s.Key != Gateway.ServiceKey)) services = services.Append(Gateway.DefaultService());
        if (blind) services = services.UnionBy(_state.Services(), s => s.Key);
        IReadOnlyList<ServiceManifest> refused = _state.SetServices(services);
        Members.ServicesChanged();
        lock (_complaints)
        {
            _complaints.Clear();
            _complaints.AddRange(set.Diagnostics);
            _complaints.AddRange(refused.Select(s => new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 253 services at most", s.Place, $"Service {s.Key}")));
        }
    }
}

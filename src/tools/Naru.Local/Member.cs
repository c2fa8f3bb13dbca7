// One process that its user started with `naru run`: the runner gives it an address, a sidecar and a service, sees where it listens, and
// takes it out when it leaves. It does not own the process; it sends a signal only where its wrapper died without a word.
using System.Collections.Immutable;
using System.Net;
using System.Security.Cryptography;
using System.Threading.Channels;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Pods;
using Naru.Local.Processes;

namespace Naru.Local;

internal sealed class Member
{
    private const string OwnPortName = "http";

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_drainBound = TimeSpan.FromSeconds(10);

    private readonly MeshContext _mesh;
    private readonly MeshState _state;
    private readonly Proxies _proxies;
    private readonly MemberRequest _request;
    private readonly ProxyRunner _proxy;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<RunnerEvent> _events = Channel.CreateUnbounded<RunnerEvent>();
    private readonly DateTimeOffset _started;
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly int _told;
    private readonly List<int> _taken = [];
    private readonly Dictionary<string, int> _named = new(StringComparer.Ordinal);
    private PodIdentity _identity;
    private ImmutableArray<ContainerPort> _inbound;
    private ProxyIdentity _applied;
    private Way? _target;
    private Task? _leaving;
    private long _processStarted;
    private int _pid;
    private int _othersSaid = -1;
    private bool _listening;
    private bool _terminating;
    private string _reason = "its process does not listen yet";

    public Member(MeshContext mesh, MeshState state, Proxies proxies, MemberRequest request, int number)
    {
        _mesh = mesh;
        _state = state;
        _proxies = proxies;
        _request = request;
        _started = mesh.Time.GetUtcNow();
        ServiceKey = $"{request.Namespace}/{request.Name}";
        string name = $"{request.Name}-run-{RandomNumberGenerator.GetString("bcdfghjklmnpqrstvwxz2456789", 5)}";
        _identity = new PodIdentity(name, request.Namespace, state.PodAddress(number), number, "default",
            ImmutableSortedDictionary<string, string>.Empty);
        // What the user said, if nobody has it; a port of ours otherwise.
        int said = request.Port > 0 ? request.Port : request.EnvironmentPort;
        _told = said > 0 && state.AppPorts.TryTake(said) ? said : request.Port == 0 && said > 0 ? said : state.AppPorts.Take();
        _taken.Add(_told);
        Follow(state.Service(ServiceKey));
        _applied = Identity();
        _proxy = new ProxyRunner(mesh, _applied, concurrency: 1);
        _proxy.Changed += Publish;
    }

    /// <summary>Told when it becomes one of its service.</summary>
    public required Action<Member> Shares { get; init; }

    public string Name => _identity.Name;

    public string ServiceKey { get; }

    public ChannelReader<RunnerEvent> Events => _events.Reader;

    public void Say(RunnerEvent item) => _events.Writer.TryWrite(item);

    /// <summary>Sidecar first; then the wrapper may start its process.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        _proxies.Add(_proxy.Admin);
        Publish();
        _proxy.Start();
        while (!_proxy.IsReady) await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
        var inherited = new Dictionary<string, string> { [Guard.Mark] = _mesh.Mark };
        if (_request.BesideProxy is { } beside) inherited["no_proxy"] = beside;
        Dictionary<string, string> environment = _state.EnvironmentOf(inherited, _identity,
            [KeyValuePair.Create(_inbound[0], _told)], [], _request.Variables.Contains, !_request.NoProxy);
        Say(new RunnerEvent { Event = "joined", Pod = Name, Address = _identity.Address, Port = _told, Environment = environment });
    }

    /// <summary>The wrapper has started its process: look until it listens, then let requests in.</summary>
    public void Started(int pid)
    {
        _pid = pid;
        _processStarted = _mesh.Time.GetTimestamp();
        _ = Kept.RunAsync($"{_request.Name} is not watched", WatchAsync, _mesh.Time, Trouble, _stop.Token);
    }

    public Task LeaveAsync()
    {
        lock (_lock) return _leaving ??= LeaveOnceAsync();
    }

    /// <summary>The wrapper went without a word; its process must not stay behind.</summary>
    public void EndOrphan()
    {
        if (_pid > 0 && Guard.Marked(_mesh.Mark).Contains(_pid)) _ = Native.Kill(_pid, Native.SigTerm);
    }

    /// <summary>Its service may be another one now.</summary>
    public void ServicesChanged()
    {
        if (_target is not null && !_terminating) _ = Kept.RunAsync($"{_request.Name} does not follow its service", AdaptQuietlyAsync, _mesh.Time, Trouble, _stop.Token);
    }

    /// <summary>Somebody else takes requests of the same service.</summary>
    public void SaySharing(string other)
    {
        if (_othersSaid < 0 || _state.Service(ServiceKey) is not { } service) return;
        int others = _state.OthersOf(service, Name);
        if (others == _othersSaid) return;
        _othersSaid = others;
        string message = $"{other} is {_request.Name} as well now: requests are shared by {others + 1}";
        Say(new RunnerEvent { Event = "sharing", Message = message });
    }

    public PodStatus Status() => new()
    {
        Namespace = _identity.Namespace,
        Name = Name,
        Workload = $"run {_request.Name}",
        Address = _identity.Address,
        Ready = IsReady,
        Phase = _terminating ? "Terminating" : IsReady ? "Running" : _pid == 0 ? "Starting" : "NotReady",
        ProxyRestarts = _proxy.Restarts,
        Pid = _pid,
        ProxyPid = _proxy.Pid,
        AppPort = _target?.Port ?? _told,
        Started = _started,
        Reason = IsReady ? "" : _reason,
    };

    private bool IsReady => _listening && _proxy.IsReady && !_terminating;

    private WatchedApp App() => new()
    {
        Name = _request.Name,
        Ports = _request.Port > 0 ? [.. new[] { _request.Port, _told }.Distinct()] : [_told],
        AnyPort = _request.Port == 0,
        Told = _request.Port > 0 ? $"--port {_request.Port}"
            : _request.EnvironmentPort > 0 ? "PORT, as you set it"
            : "by PORT, SERVER_PORT, ASPNETCORE_URLS and their like",
        Elsewhere = "say where it listens (--port N), or leave --port out: then it is found wherever it listens",
        Choose = "another is chosen with --port N",
    };

    // What pods of this service have to look like: which labels select them, on which ports requests come. A service of manifests says it;
    // for our own the pod's port has a name, so that several that come at once need not agree on a number. A process that insists on all
    // addresses of its port could not share the number with our listener.
    private void Follow(ServiceManifest? service)
    {
        var labels = new Dictionary<string, string>(StringComparer.Ordinal) { ["app"] = _request.Name };
        if (_request.Version is not null) labels["version"] = _request.Version;
        foreach ((string key, string value) in service?.Selector ?? ImmutableSortedDictionary<string, string>.Empty) labels[key] = value;
        _identity = _identity with { Labels = labels };
        _inbound = [.. (service?.Ports.Select(p => p.TargetPort.Length == 0 ? $"{p.Number}" : p.TargetPort) ?? [OwnPortName]).Distinct()
            .Select(t => int.TryParse(t, out int number) ? new ContainerPort("", number) : new ContainerPort(t, Named(t)))];
    }

    private int Named(string name)
    {
        if (_named.TryGetValue(name, out int known)) return known;
        int port = _state.AppPorts.Take();
        _taken.Add(port);
        return _named[name] = port;
    }

    private ProxyIdentity Identity() => new()
    {
        Type = "sidecar",
        Pod = _identity,
        Workload = _request.Name,
        InstanceAddresses = _identity.Address,
        AppPorts = [.. _inbound.Select(p => KeyValuePair.Create(p.Number, _target?.Port ?? _told))],
        AppAddresses = _target is not { } target || target.Address.Address.Equals(IPAddress.Loopback)
            ? []
            : [.. _inbound.Select(p => KeyValuePair.Create(p.Number, $"{target.Address.Address}"))],
    };

    private async Task WatchAsync(CancellationToken cancel)
    {
        var watch = new AppWatch(App(), _mesh.Machine, _mesh.Time)
        {
            Found = FoundAsync,
            Lost = d =>
            {
                _listening = false;
                _reason = d.Message;
                Publish();
                Say(new RunnerEvent { Event = "waiting", Message = d.Message, Diagnostic = ReportedDiagnostic.From(d) });
            },
            Say = d =>
            {
                if (!_listening && d.Severity != Severity.Info) _reason = d.Message;
                Say(new RunnerEvent { Event = "waiting", Message = d.Message, Diagnostic = ReportedDiagnostic.From(d) });
            },
        };
        try
        {
            var tree = ProcessTree.Of(_pid, _mesh.Time, $"{Guard.Mark}={_mesh.Mark}", $"POD_NAME={Name}");
            await watch.FollowAsync(tree, cancel).ConfigureAwait(false);
        }
        catch (MeshException e)
        {
            Fail(e);
        }
    }

    private async Task FoundAsync(Way way, Sight sight)
    {
        _target = way;
        ServiceManifest service = await AdaptAsync().ConfigureAwait(false);
        _listening = true;
        Publish();
        await _proxies.KnownAsync(_identity.Address).ConfigureAwait(false);
        await _proxies.NamedAsync($"{service.Name}.{service.Namespace}.svc.cluster.local").ConfigureAwait(false);
        ServicePort port = service.Ports.FirstOrDefault(p => p.Number == 80) ?? service.Ports[0];
        string host = _request.Namespace == "default" ? _request.Name : $"{_request.Name}.{_request.Namespace}";
        int others = _othersSaid = _state.OthersOf(service, Name);
        Say(new RunnerEvent
        {
            Event = "ready",
            Port = way.Port,
            Address = $"{way.Address}",
            Seconds = _mesh.Time.GetElapsedTime(_processStarted).TotalSeconds,
            Service = $"http://{host}{(port.Number == 80 ? "" : $":{port.Number}")}",
            Url = _state.GatewayUrlOf(_request.Namespace, _request.Name),
            Others = others,
            Message = Company(service, others),
        });
        Shares(this);
    }

    // Whom it shares its service with, or null where it is alone in a service of its own.
    private string? Company(ServiceManifest service, int others)
    {
        string share = others switch
        {
            0 => "there is no other endpoint",
            1 => "1 other endpoint; requests are shared by both",
            _ => $"{others} other endpoints; requests are shared by all {others + 1}",
        };
        if (_state.IsFromManifests(ServiceKey))
        {
            string place = service.Place.File is { Length: > 0 } file ? $"{Path.GetFileName(file)}:{service.Place.Line}" : "the manifests";
            return $"joins the service {_request.Name} of {place}: {share}";
        }
        return others == 0 ? null : $"joins the running {_request.Name}: {share}";
    }

    /// <summary>Makes pod, sidecar and service fit each other and the process. One at a time.</summary>
    private async Task<ServiceManifest> AdaptAsync()
    {
        await _turn.WaitAsync(_stop.Token).ConfigureAwait(false);
        try
        {
            ServiceManifest service = _state.JoinService(OwnService())
                ?? throw new MeshException(
                    new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 253 services at most"));
            Follow(service);
            ProxyIdentity wanted = Identity();
            if (!wanted.IsAs(_applied))
            {
                _applied = wanted;
                _proxy.Replace(wanted);
                while (!_proxy.IsReady) await Task.Delay(s_look, _mesh.Time, _stop.Token).ConfigureAwait(false);
            }
            Publish();
            return service;
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task AdaptQuietlyAsync(CancellationToken cancel)
    {
        try
        {
            await AdaptAsync().WaitAsync(cancel).ConfigureAwait(false);
        }
        catch (MeshException e)
        {
            Fail(e);
        }
    }

    // It is tried again, whatever it was; whoever runs the process hears why nothing comes of it.
    private void Trouble(Diagnostic what)
    {
        if (!_listening) _reason = what.Message;
        Say(new RunnerEvent { Event = "waiting", Message = what.Message, Diagnostic = ReportedDiagnostic.From(what) });
    }

    private void Fail(MeshException e)
    {
        _listening = false;
        _reason = e.Message;
        Publish();
        Say(new RunnerEvent { Event = "failed", Message = e.Message, Diagnostic = ReportedDiagnostic.From(e.Diagnostic) });
    }

    // Port 80, so that its name alone is enough; its own port as well, for those who are used to it. A port that the process holds on every
    // address is held where sidecars would listen for the service, too.
    private ServiceManifest OwnService()
    {
        int? held = _target is { IsWildcard: true } target ? target.Port : null;
        // Low ports that nobody may bind here are reached through the sidecars' HTTP proxy alone.
        bool Usable(int port) => port != held
            && ((port < 1024 && !PortHolder.MayBindLowPorts) || PortHolder.IsFree(IPAddress.Parse(_identity.Address), port));
        int first = new[] { 80, 8080 }.Concat(Enumerable.Range(8081, 200)).FirstOrDefault(Usable, 80);
        int own = _request.Port > 0 ? _request.Port : _target?.Port ?? _told;
        ImmutableArray<ServicePort> ports = [new ServicePort("http", first, OwnPortName)];
        if (own != first && first == 80 && own != held) ports = ports.Add(new ServicePort($"http-{own}", own, OwnPortName));
        return new ServiceManifest
        {
            Name = _request.Name,
            Namespace = _request.Namespace,
            Selector = new Dictionary<string, string> { ["app"] = _request.Name }.ToImmutableSortedDictionary(StringComparer.Ordinal),
            Ports = ports,
        };
    }

    private async Task LeaveOnceAsync()
    {
        _terminating = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        Publish();
        if (_target is not null) await _proxies.ForgottenAsync(_identity.Address).ConfigureAwait(false);
        await _proxy.DrainAsync(inboundOnly: true, s_drainBound).ConfigureAwait(false);
        await _proxy.StopAsync().ConfigureAwait(false);
        _proxies.Remove(_proxy.Admin);
        _state.RemovePod(_identity);
        _state.LeaveService(ServiceKey);
        foreach (int port in _taken) _state.AppPorts.Release(port);
        _events.Writer.TryComplete();
        _proxy.Dispose();
    }

    private void Publish() => _state.Put(new PodState
    {
        Name = Name,
        Namespace = _identity.Namespace,
        Address = _identity.Address,
        Labels = _identity.Labels,
        Ports = _inbound,
        Ready = IsReady,
        Terminating = _terminating ? _mesh.Time.GetUtcNow() : null,
    });
}

// Processes that their user started with `naru run`: the runner gives them an address, a sidecar and a service, sees when they listen,
// and takes them out when they leave. It does not own the process; it sends a signal only where its wrapper died without a word.
using System.Collections.Concurrent;
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

internal sealed class Members(MeshContext mesh, MeshState state, Proxies proxies)
{
    private readonly ConcurrentDictionary<string, Member> _all = new(StringComparer.Ordinal);

    public IEnumerable<PodStatus> Statuses() => _all.Values.Select(m => m.Status()).ToList();

    public Member? Find(string pod) => _all.GetValueOrDefault(pod);

    /// <summary>Gives a new process its place. It is in the mesh once it listens.</summary>
    public Member Join(MemberRequest request)
    {
        if (!IsName(request.Name)) throw new MeshException(new Diagnostic("NARU-L031", Severity.Error, $"\"{request.Name}\" is no name for a service", Remedy: "small letters, digits and dashes, at most 63"));
        if (request.Port is < 1 or > 65535) throw new MeshException(new Diagnostic("NARU-L031", Severity.Error, $"{request.Port} is no port", Remedy: "--port takes 1 to 65535"));
        int number = state.TakePod() ?? throw new MeshException(new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 254 pods at most"));
        var member = new Member(mesh, state, proxies, request, number);
        _all[member.Name] = member;
        return member;
    }

    public async Task LeaveAsync(Member member)
    {
        await member.LeaveAsync().ConfigureAwait(false);
        _all.TryRemove(member.Name, out _);
    }

    /// <summary>The mesh ends: wrappers are told, and end their processes.</summary>
    public async Task StopAsync()
    {
        foreach (Member member in _all.Values) member.Say(new RunnerEvent { Event = "stopping", Message = "the mesh ends" });
        await Task.WhenAll(_all.Values.Select(LeaveAsync)).ConfigureAwait(false);
    }

    private static bool IsName(string name) => name.Length is > 0 and <= 63 && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-') && char.IsAsciiLetterLower(name[0]) && name[^1] != '-';
}

internal sealed class Member
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_drainBound = TimeSpan.FromSeconds(10);

    private readonly MeshContext _mesh;
    private readonly MeshState _state;
    private readonly Proxies _proxies;
    private readonly MemberRequest _request;
    private readonly PodIdentity _identity;
    private readonly ContainerPort _inbound;
    private readonly string _serviceKey;
    private readonly ProxyRunner _proxy;
    private readonly HashSet<long> _socketsBefore;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<RunnerEvent> _events = Channel.CreateUnbounded<RunnerEvent>();
    private readonly DateTimeOffset _started;
    private readonly Lock _lock = new();
    private Task? _leaving;
    private ServiceManifest? _ownService;
    private int _appPort;
    private int _pid;
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
        _serviceKey = $"{request.Namespace}/{request.Name}";
        // A process that insists on all addresses of its port cannot share the port's number with our listeners, so the pod's own port
        // is another one, unless there is a service that says which.
        ServiceManifest? service = state.Service(_serviceKey);
        _inbound = InboundPort(service, request.Port);
        var labels = new Dictionary<string, string>(StringComparer.Ordinal) { ["app"] = request.Name };
        if (request.Version is not null) labels["version"] = request.Version;
        foreach ((string key, string value) in service?.Selector ?? ImmutableSortedDictionary<string, string>.Empty) labels[key] = value;
        string name = $"{request.Name}-run-{RandomNumberGenerator.GetString("bcdfghjklmnpqrstvwxz2456789", 5)}";
        _identity = new PodIdentity(name, request.Namespace, state.PodAddress(number), number, "default", labels);
        _appPort = PortHolder.IsFree(IPAddress.Any, request.Port) ? request.Port : state.AppPorts.Take();
        _socketsBefore = [.. PortHolder.All().Select(s => s.Inode)];
        _proxy = new ProxyRunner(mesh, Identity(), concurrency: 1);
        _proxy.Changed += Publish;
    }

    public string Name => _identity.Name;

    public ChannelReader<RunnerEvent> Events => _events.Reader;

    public void Say(RunnerEvent item) => _events.Writer.TryWrite(item);

    /// <summary>Sidecar first; then the wrapper may start its process.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        _proxies.Add(_proxy.Admin);
        Publish();
        _proxy.Start();
        while (!_proxy.IsReady) await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
        Dictionary<string, string> environment = _state.EnvironmentOf(
            new Dictionary<string, string> { [Guard.Mark] = _mesh.Mark }, _identity, [KeyValuePair.Create(_inbound, _appPort)], []);
        Say(new RunnerEvent { Event = "joined", Pod = Name, Address = _identity.Address, Port = _appPort, Environment = environment });
    }

    /// <summary>The wrapper has started its process: look until it listens, then let requests in.</summary>
    public void Started(int pid)
    {
        _pid = pid;
        _ = ListenAsync();
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
        AppPort = _appPort,
        Started = _started,
        Reason = IsReady ? "" : _reason,
    };

    private bool IsReady => _listening && _proxy.IsReady && !_terminating;

    private ContainerPort InboundPort(ServiceManifest? service, int wanted)
    {
        if (service is null) return new ContainerPort("", _state.AppPorts.Take());
        ServicePort port = service.Ports.FirstOrDefault(p => p.Number == wanted) ?? service.Ports[0];
        if (port.TargetPort.Length == 0) return new ContainerPort("", port.Number);
        return int.TryParse(port.TargetPort, out int number) ? new ContainerPort("", number) : new ContainerPort(port.TargetPort, _state.AppPorts.Take());
    }

    private ProxyIdentity Identity() => new()
    {
        Type = "sidecar",
        Pod = _identity,
        Workload = _request.Name,
        InstanceAddresses = _identity.Address,
        AppPorts = [KeyValuePair.Create(_inbound.Number, _appPort)],
    };

    private async Task ListenAsync()
    {
        try
        {
            ListeningSocket socket = await FindAsync().ConfigureAwait(false);
            Say(new RunnerEvent { Event = "listening", Port = socket.Port });
            if (socket.Port != _appPort)
            {
                // It opened the port it was said to have rather than PORT: its sidecar must know.
                _appPort = socket.Port;
                int before = _proxy.Restarts;
                _proxy.Replace(Identity());
                while (_proxy.Restarts == before || !_proxy.IsReady) await Task.Delay(s_look, _mesh.Time, _stop.Token).ConfigureAwait(false);
            }
            int port = Announce(socket);
            _listening = true;
            Publish();
            await _proxies.KnownAsync(_identity.Address).ConfigureAwait(false);
            Say(new RunnerEvent { Event = "ready", Port = port });
        }
        catch (OperationCanceledException)
        {
            // It left before it listened.
        }
        catch (MeshException e)
        {
            _reason = e.Message;
            Say(new RunnerEvent { Event = "failed", Message = e.Message, Diagnostic = ReportedDiagnostic.From(e.Diagnostic) });
        }
    }

    private async Task<ListeningSocket> FindAsync()
    {
        bool told = false;
        while (true)
        {
            List<ListeningSocket> fresh = [.. PortHolder.All().Where(s => (s.Port == _appPort || s.Port == _request.Port) && !_socketsBefore.Contains(s.Inode))];
            ListeningSocket? reachable = fresh.FirstOrDefault(s => s.IsWildcard || s.Address.Equals(IPAddress.Loopback));
            if (reachable is not null) return reachable;
            if (!told && fresh.FirstOrDefault(s => s.Address.Equals(IPAddress.IPv6Loopback)) is { } other)
            {
                told = true;
                Say(new RunnerEvent { Event = "progress", Message = $"the process listens on [::1]:{other.Port} only; its sidecar reaches it on 127.0.0.1 (NARU-L032)" });
            }
            await Task.Delay(s_look, _mesh.Time, _stop.Token).ConfigureAwait(false);
        }
    }

    private int Announce(ListeningSocket socket)
    {
        if (_state.Service(_serviceKey) is { } service) return service.Ports[0].Number;
        int number = _request.Port;
        if (socket.Port == number && socket.IsWildcard)
        {
            // The process has this port on every address, also on those where sidecars would listen for its service.
            number = new[] { 80, 8080 }.Concat(Enumerable.Range(8081, 200)).First(p => p != _request.Port && PortHolder.IsFree(IPAddress.Parse(_identity.Address), p));
        }
        var made = new ServiceManifest
        {
            Name = _request.Name,
            Namespace = _request.Namespace,
            Selector = new Dictionary<string, string> { ["app"] = _request.Name }.ToImmutableSortedDictionary(StringComparer.Ordinal),
            Ports = [new ServicePort("http", number, $"{_inbound.Number}")],
        };
        if (!_state.AddService(made)) throw new MeshException(new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 253 services at most"));
        _ownService = made;
        return number;
    }

    private async Task LeaveOnceAsync()
    {
        _terminating = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        Publish();
        if (_listening) await _proxies.ForgottenAsync(_identity.Address).ConfigureAwait(false);
        await _proxy.DrainAsync(inboundOnly: true, s_drainBound).ConfigureAwait(false);
        await _proxy.StopAsync().ConfigureAwait(false);
        _proxies.Remove(_proxy.Admin);
        _state.RemovePod(_identity);
        // Another process of the same name may have come meanwhile and lives by the same service.
        if (_ownService is { } own && !_state.HasPods(own)) _state.RemoveService(own.Key);
        _events.Writer.TryComplete();
        _proxy.Dispose();
    }

    private void Publish() => _state.Put(new PodState
    {
        Name = Name,
        Namespace = _identity.Namespace,
        Address = _identity.Address,
        Labels = _identity.Labels,
        Ports = [_inbound],
        Ready = IsReady,
        Terminating = _terminating ? _mesh.Time.GetUtcNow() : null,
    });
}

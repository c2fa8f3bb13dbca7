// One naru-proxy of the mesh, sidecar or gateway: its bootstrap, its process, whether it is ready, its drain. It decides nothing about
// the pod it belongs to.
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Local.Pods;

internal sealed class ProxyRunner : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(25);
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(8);

    private readonly MeshContext _mesh;
    private readonly string _name;
    private readonly int _concurrency;
    private readonly string _bootstrap;
    private readonly CancellationTokenSource _stop = new();
    private readonly Supervised _process;
    private readonly Lock _lock = new();
    // As whom it is to run; as whom the process that is there was started; which process answered that it is ready. All three are compared
    // for every question, so that what is late from an earlier process says nothing about this one.
    private ProxyIdentity _identity;
    private ProxyIdentity _startedAs;
    private (Child Child, ProxyIdentity As)? _ready;
    private bool _told;

    public ProxyRunner(MeshContext mesh, ProxyIdentity identity, int concurrency)
    {
        _mesh = mesh;
        _identity = _startedAs = identity;
        _concurrency = concurrency;
        _name = identity.Pod.Name;
        string folder = Path.Combine(mesh.Run.Pods, $"{identity.Pod.Namespace}~{_name}");
        Directory.CreateDirectory(folder);
        _bootstrap = Path.Combine(folder, "bootstrap.json");
        Admin = new ProxyAdmin($"{identity.Pod.Address}:{AddressPlan.AdminPort}");
        _process = new Supervised("naru-proxy", Request, mesh.Time, d => mesh.Tell(d with { Message = $"{_name}: {d.Message}" }));
        _process.Came += Came;
        _process.Went += _ => Set(null);
    }

    public ProxyAdmin Admin { get; }

    /// <summary>Whether the process that is there now is ready, and is who it is to be.</summary>
    public bool IsReady
    {
        get
        {
            lock (_lock) return _ready is { } ready && ready.Child.IsAlive && ReferenceEquals(ready.As, _identity);
        }
    }

    /// <summary>How often it ended by itself and was started again.</summary>
    public int Restarts => _process.Restarts;
    public int Pid => _process.Child?.Id ?? 0;
    public string LastEnd => _process.LastEnd;

    /// <summary>Readiness changed.</summary>
    public event Action? Changed;

    public void Start() => _process.Start();

    /// <summary>Starts it again as somebody slightly different, for example with another application port.</summary>
    public void Replace(ProxyIdentity identity)
    {
        lock (_lock) _identity = identity;
        Set(null);
        _process.Replace();
    }

    /// <summary>Inbound first: no new requests, wait for those in flight, at most <paramref name="bound"/>.</summary>
    public async Task DrainAsync(bool inboundOnly, TimeSpan bound)
    {
        if (Pid == 0 || !await Admin.DrainAsync(inboundOnly).ConfigureAwait(false)) return;
        long start = _mesh.Time.GetTimestamp();
        while (_mesh.Time.GetElapsedTime(start) < bound)
        {
            if (await Admin.HttpStatAsync("downstream_rq_active").ConfigureAwait(false) is null or 0) return;
            await Task.Delay(s_look, _mesh.Time).ConfigureAwait(false);
        }
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _process.StopAsync(s_grace).ConfigureAwait(false);
        Set(null);
        try
        {
            Directory.Delete(Path.GetDirectoryName(_bootstrap)!, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Somebody was faster; the whole folder goes with the mesh.
        }
    }

    public void Dispose()
    {
        Admin.Dispose();
        _stop.Dispose();
    }

    private SpawnRequest Request()
    {
        ProxyIdentity identity;
        lock (_lock) identity = _startedAs = _identity;
        Directory.CreateDirectory(Path.GetDirectoryName(_bootstrap)!);
        RunFolder.WriteWhole(_bootstrap, Bootstrap.Write(identity with { AccessLog = _mesh.RequestLogOf(_name) },
            AddressPlan.ControlPlane(_mesh.Slot).ToString(), PortHolder.MayBindLowPorts));
        return new SpawnRequest
        {
            File = _mesh.ProxyCommand[0],
            Arguments = [.. _mesh.ProxyCommand.Skip(1), "-c", _bootstrap, "--concurrency", $"{_concurrency}", "--drain-time-s", "5", "--log-level", "info", "--explain"],
            Environment = _mesh.OwnProcessEnvironment,
            Log = _mesh.LogOf($"{_name}.proxy"),
            Folder = "/",
        };
    }

    private void Came(Child child)
    {
        ProxyIdentity identity;
        bool stale;
        lock (_lock) (identity, stale) = (_startedAs, !ReferenceEquals(_startedAs, _identity));
        // It was replaced between the moment it was told who it is and now, when there was nobody to signal.
        if (stale) _process.Replace();
        else
        {
            _ = Kept.RunAsync($"whether the proxy of {_name} is ready is not seen", cancel => WaitReadyAsync(child, identity, cancel),
                _mesh.Time, _mesh.Tell, _stop.Token);
        }
    }

    private async Task WaitReadyAsync(Child child, ProxyIdentity identity, CancellationToken cancel)
    {
        while (child.IsAlive)
        {
            if (await Admin.IsReadyAsync(cancel).ConfigureAwait(false))
            {
                Set((child, identity));
                return;
            }
            await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
        }
    }

    private void Set((Child Child, ProxyIdentity As)? ready)
    {
        lock (_lock)
        {
            // An earlier process, or an earlier identity: it is too late to say that.
            if (ready is { } said && !(said.Child.IsAlive && ReferenceEquals(said.As, _identity))) return;
            _ready = ready;
            if (_told == ready is not null) return;
            _told = ready is not null;
        }
        Changed?.Invoke();
    }
}

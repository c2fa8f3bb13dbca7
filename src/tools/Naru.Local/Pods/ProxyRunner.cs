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
    private ProxyIdentity _identity;

    public ProxyRunner(MeshContext mesh, ProxyIdentity identity, int concurrency)
    {
        _mesh = mesh;
        _identity = identity;
        _concurrency = concurrency;
        _name = identity.Pod.Name;
        string folder = Path.Combine(mesh.Run.Pods, $"{identity.Pod.Namespace}~{_name}");
        Directory.CreateDirectory(folder);
        _bootstrap = Path.Combine(folder, "bootstrap.json");
        Admin = new ProxyAdmin($"{identity.Pod.Address}:{AddressPlan.AdminPort}");
        _process = new Supervised("naru-proxy", Request, mesh.Time);
        _process.Came += child => _ = WaitReadyAsync(child);
        _process.Went += _ => Set(false);
    }

    public ProxyAdmin Admin { get; }
    public bool IsReady { get; private set; }
    public int Restarts => _process.Restarts;
    public int Pid => _process.Child?.Id ?? 0;
    public string LastEnd => _process.LastEnd;

    /// <summary>Readiness changed.</summary>
    public event Action? Changed;

    public void Start() => _process.Start();

    /// <summary>Starts it again as somebody slightly different, for example with another application port.</summary>
    public void Replace(ProxyIdentity identity)
    {
        _identity = identity;
        Set(false);
        _process.Child?.SignalGroup(Native.SigTerm);
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
        Set(false);
        Directory.Delete(Path.GetDirectoryName(_bootstrap)!, recursive: true);
    }

    public void Dispose()
    {
        Admin.Dispose();
        _stop.Dispose();
    }

    private SpawnRequest Request()
    {
        RunFolder.WriteWhole(_bootstrap, Bootstrap.Write(_identity with { AccessLog = _mesh.RequestLogOf(_name) },
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

    private async Task WaitReadyAsync(Child child)
    {
        try
        {
            while (child.IsAlive && !_stop.IsCancellationRequested)
            {
                if (await Admin.IsReadyAsync(_stop.Token).ConfigureAwait(false))
                {
                    if (child.IsAlive) Set(true);
                    return;
                }
                await Task.Delay(s_look, _mesh.Time, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // We are going down.
        }
    }

    private void Set(bool ready)
    {
        if (IsReady == ready) return;
        IsReady = ready;
        Changed?.Invoke();
    }
}

// The door of the mesh: a pod that is only a proxy, bound where people find it. Chooses its ports, says who holds a taken one.
using System.Collections.Immutable;
using System.Net;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;
using Naru.Local.Pods;
using Naru.Local.Processes;

namespace Naru.Local;

internal sealed class Gateway : IDisposable
{
    public const string Namespace = "istio-system";
    public const string ServiceName = "istio-ingressgateway";
    public const string ServiceKey = $"{Namespace}/{ServiceName}";
    private const string PortRemedy = "end that process, or choose another port: --gateway-port N (0 for any)";
    private const int HttpPort = 8080;
    private const int TlsPort = 8443;

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan s_drainBound = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_serveBound = TimeSpan.FromSeconds(10);

    private readonly MeshContext _mesh;
    private readonly MeshState _state;
    private readonly PodIdentity _identity;
    private readonly DateTimeOffset _started;
    private readonly PortClaim _claim;
    private bool _terminating;
    private string _fault = "";

    public Gateway(MeshContext mesh, MeshState state, PortClaim port)
    {
        _mesh = mesh;
        _state = state;
        _claim = port;
        Port = port.Port;
        state.GatewayUrl = $"http://localhost:{Port}";
        _started = mesh.Time.GetUtcNow();
        int number = state.TakePod() ?? throw new InvalidOperationException("the gateway is the first pod");
        var labels = new Dictionary<string, string> { ["app"] = ServiceName, ["istio"] = "ingressgateway" };
        _identity = new PodIdentity(ServiceName, Namespace, state.PodAddress(number), number, "istio-ingressgateway-service-account", labels);
        int tls = PortHolder.IsFree(IPAddress.Loopback, TlsPort) && state.AppPorts.TryTake(TlsPort) ? TlsPort : state.AppPorts.Take();
        Proxy = new ProxyRunner(mesh, new ProxyIdentity
        {
            Type = "router",
            Pod = _identity,
            Workload = ServiceName,
            InstanceAddresses = "127.0.0.1",
            PortMap = [KeyValuePair.Create(HttpPort, Port), KeyValuePair.Create(TlsPort, tls)],
            FrontPage = mesh.Run.FrontSocket,
            Mesh = mesh.Name,
        }, concurrency: Math.Min(2, Environment.ProcessorCount));
        Proxy.Changed += Publish;
    }

    public int Port { get; }
    public ProxyRunner Proxy { get; }

    /// <summary>The wanted port, or the next free one; then <paramref name="moved"/> says who holds the wanted one. It is kept from other
    /// meshes at once, also before anybody listens on it.</summary>
    public static PortClaim ChoosePort(MeshOptions options, out string? moved)
    {
        moved = null;
        if (options.GatewayPort == 0) return AnyPort();
        if (TryTake(options.GatewayPort) is { } wanted) return wanted;
        string holder = PortHolder.Name(new IPEndPoint(IPAddress.Loopback, options.GatewayPort))
            ?? PortClaim.Holder(options.GatewayPort) ?? "somebody";
        if (options.GatewayPortMayMove)
        {
            for (int port = options.GatewayPort + 1; port < Math.Min(65536, options.GatewayPort + 100); port++)
            {
                if (TryTake(port) is not { } next) continue;
                moved = $"{options.GatewayPort} is taken by {holder}";
                return next;
            }
        }
        string message = $"port {options.GatewayPort} is taken by {holder}";
        throw new MeshException(new Diagnostic("NARU-L014", Severity.Error, message, Remedy: PortRemedy));
    }

    private static PortClaim? TryTake(int port)
    {
        if (PortClaim.Take(port) is not { } claim) return null;
        if (PortHolder.IsFree(IPAddress.Loopback, port)) return claim;
        claim.Dispose();
        return null;
    }

    private static PortClaim AnyPort()
    {
        while (true)
        {
            using var ports = new AppPorts();
            int port = ports.Take();
            ports.Release(port);
            // Between the two another mesh may have taken it.
            if (TryTake(port) is { } claim) return claim;
        }
    }

    /// <summary>The Service that Istio installs beside its gateway.</summary>
    public static ServiceManifest DefaultService() => new()
    {
        Name = ServiceName,
        Namespace = Namespace,
        Labels = new Dictionary<string, string> { ["app"] = ServiceName, ["istio"] = "ingressgateway" }.ToImmutableSortedDictionary(StringComparer.Ordinal),
        Selector = new Dictionary<string, string> { ["istio"] = "ingressgateway" }.ToImmutableSortedDictionary(StringComparer.Ordinal),
        Ports = [new ServicePort("http2", 80, $"{HttpPort}"), new ServicePort("https", 443, $"{TlsPort}"), new ServicePort("http-alt", HttpPort, $"{HttpPort}")],
    };

    public void Publish() => _state.Put(new PodState
    {
        Name = _identity.Name,
        Namespace = Namespace,
        Address = _identity.Address,
        Labels = _identity.Labels,
        ServiceAccount = _identity.ServiceAccount,
        Container = "istio-proxy",
        Ports = [new ContainerPort("http2", HttpPort), new ContainerPort("https", TlsPort)],
        Ready = Proxy.IsReady && !_terminating,
        Terminating = _terminating ? _mesh.Time.GetUtcNow() : null,
    });

    public async Task WhenReadyAsync(CancellationToken cancel)
    {
        while (!Proxy.IsReady) await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
    }

    /// <summary>Waits until its port is open.</summary>
    public async Task WhenServingAsync(CancellationToken cancel)
    {
        long start = _mesh.Time.GetTimestamp();
        while (_mesh.Time.GetElapsedTime(start) < s_serveBound)
        {
            string listeners = await Proxy.Admin.GetAsync("listeners", cancel).ConfigureAwait(false) ?? "";
            if (!listeners.Contains("127.0.0.1:", StringComparison.Ordinal)) return;
            List<ListeningSocket> there =
                [.. PortHolder.All().Where(s => s.Port == Port && (s.IsWildcard || s.Address.Equals(IPAddress.Loopback)))];
            HashSet<long> own = [.. ProcessTable.Sockets(Proxy.Pid, out _)];
            ListeningSocket? foreign = there.Find(s => !own.Contains(s.Inode));
            _fault = foreign is null ? "" : $"port {Port} is held by {PortHolder.Name(new HashSet<long> { foreign.Inode })}";
            if (there.Count > 0 && foreign is null) return;
            await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
        }
        if (_fault.Length > 0) _mesh.Tell(new Diagnostic("NARU-L014", Severity.Error, _fault, Remedy: PortRemedy));
    }

    public PodStatus Status() => new()
    {
        Namespace = Namespace,
        Name = _identity.Name,
        Workload = ServiceName,
        Address = _identity.Address,
        Ready = Proxy.IsReady && _fault.Length == 0,
        Phase = _terminating ? "Terminating" : Proxy.IsReady && _fault.Length == 0 ? "Running" : "NotReady",
        ProxyRestarts = Proxy.Restarts,
        ProxyPid = Proxy.Pid,
        AppPort = Port,
        Started = _started,
        Reason = Proxy.IsReady ? _fault : Proxy.LastEnd,
    };

    public async Task StopAsync()
    {
        _terminating = true;
        await Proxy.DrainAsync(inboundOnly: false, s_drainBound).ConfigureAwait(false);
        await Proxy.StopAsync().ConfigureAwait(false);
    }

    public void Dispose()
    {
        Proxy.Dispose();
        _claim.Dispose();
    }
}

// Which loopback address belongs to whom in a local mesh (docs/decisions/0004-local-addresses.md). Pure numbers and one lock;
// nothing is bound here but the slot's own mark.
using System.Net;
using System.Net.Sockets;
using Naru.Local.Processes;

namespace Naru.Local;

/// <summary>A slot: all of 127.m.*.* for one mesh, held until disposed or until the process ends, however it ends.</summary>
public sealed class Slot : IDisposable
{
    /// <summary>Highest slot.</summary>
    public const int Last = 120;

    private readonly Socket? _mark;

    private Slot(int number, Socket? mark)
    {
        Number = number;
        _mark = mark;
    }

    /// <summary>1 to <see cref="Last"/>.</summary>
    public int Number { get; }

    /// <summary>Takes the lowest free slot, or none where all are taken. The mark is a Unix socket without a file: it has the
    /// same reach as the addresses (one network namespace, all users), and the kernel gives it back when its owner dies.</summary>
    public static Slot? Take()
    {
        for (int number = 1; number <= Last; number++)
        {
            var mark = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                mark.Bind(new UnixDomainSocketEndPoint($"\0naru/slot/{number}"));
                if (PortHolder.IsFree(AddressPlan.ControlPlane(number), AddressPlan.XdsPort) && PortHolder.IsFree(AddressPlan.ControlPlane(number), AddressPlan.HttpPort))
                {
                    return new Slot(number, mark);
                }
            }
            catch (SocketException)
            {
                // Another mesh has it.
            }
            mark.Dispose();
        }
        return null;
    }

    /// <summary>A slot without a lock, for tests of numbers.</summary>
    public static Slot Unlocked(int number) => new(number, null);

    /// <inheritdoc/>
    public void Dispose() => _mark?.Dispose();
}

/// <summary>Hands out numbers for pods and services of one slot. Not safe for concurrent use.</summary>
public sealed class AddressPlan(int slot)
{
    /// <summary>xDS of the control plane.</summary>
    public const int XdsPort = 15010;
    /// <summary>REST and debug pages of the control plane.</summary>
    public const int HttpPort = 15014;
    /// <summary>Admin of every proxy.</summary>
    public const int AdminPort = 15000;
    /// <summary>Host-routed proxy of every sidecar.</summary>
    public const int HttpProxyPort = 15080;

    private const int Highest = 254;

    private readonly SortedSet<int> _pods = [];
    private readonly Dictionary<string, int> _services = new(StringComparer.Ordinal);
    private int _lastPod;
    private int _lastService = 1;

    /// <summary>The slot.</summary>
    public int Slot { get; } = slot;

    /// <summary>Services by <c>namespace/name</c>.</summary>
    public IReadOnlyDictionary<string, int> Services => _services;

    /// <summary>Address of a slot's control plane.</summary>
    public static IPAddress ControlPlane(int slot) => new([127, (byte)slot, 0, 1]);

    /// <summary>Own address of pod <paramref name="pod"/>.</summary>
    public string PodAddress(int pod) => $"127.{Slot}.{pod}.1";

    /// <summary>Cluster IP of service <paramref name="service"/>.</summary>
    public string ClusterAddress(int service) => $"127.{Slot}.0.{service}";

    /// <summary>Where pod <paramref name="pod"/> finds service <paramref name="service"/>.</summary>
    public string ServiceAddress(int pod, int service) => $"127.{Slot}.{pod}.{service}";

    /// <summary>A number for a new pod, or null where 254 are in use. Numbers go round, so that an address that was just left rests.</summary>
    public int? TakePod()
    {
        for (int i = 0; i < Highest; i++)
        {
            _lastPod = _lastPod % Highest + 1;
            if (_pods.Add(_lastPod)) return _lastPod;
        }
        return null;
    }

    /// <summary>Gives a pod's number back.</summary>
    public void ReleasePod(int pod) => _pods.Remove(pod);

    /// <summary>The number of a service, a new one where it has none; null where 253 are in use.</summary>
    public int? TakeService(string key)
    {
        if (_services.TryGetValue(key, out int known)) return known;
        for (int i = 2; i <= Highest; i++)
        {
            _lastService = _lastService >= Highest ? 2 : _lastService + 1;
            if (_services.ContainsValue(_lastService)) continue;
            return _services[key] = _lastService;
        }
        return null;
    }

    /// <summary>Gives a service's number back.</summary>
    public void ReleaseService(string key) => _services.Remove(key);
}

/// <summary>Free ports on 127.0.0.1 outside of the range from which the system takes ports of outgoing connections, so that none of
/// them can take an application's port between our look and its bind; other meshes are kept off by a <see cref="PortClaim"/>.</summary>
public sealed class AppPorts : IDisposable
{
    private const int First = 20_000;
    private const int Last = 32_000;

    private readonly Dictionary<int, PortClaim> _taken = [];
    private int _next = Random.Shared.Next(First, Last);

    /// <summary>A port that nobody listens on, on any address.</summary>
    /// <exception cref="IOException">None is free.</exception>
    public int Take()
    {
        lock (_taken)
        {
            for (int i = First; i < Last; i++)
            {
                _next = _next + 1 >= Last ? First : _next + 1;
                if (TryTake(_next)) return _next;
            }
        }
        throw new IOException($"no port between {First} and {Last} is free on this machine");
    }

    /// <summary>Takes this very port, if nobody listens on it and no mesh has it.</summary>
    public bool TryTake(int port)
    {
        lock (_taken)
        {
            if (_taken.ContainsKey(port) || !PortHolder.IsFreeEverywhere(port) || PortClaim.Take(port) is not { } claim) return false;
            _taken.Add(port, claim);
            return true;
        }
    }

    /// <summary>Gives it back.</summary>
    public void Release(int port)
    {
        lock (_taken)
        {
            if (_taken.Remove(port, out PortClaim? claim)) claim.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_taken)
        {
            foreach (PortClaim claim in _taken.Values) claim.Dispose();
            _taken.Clear();
        }
    }
}

// A listener at run time: one SO_REUSEPORT socket per worker and address, the manager its connections are served by, and
// the connections themselves, so that a drain finds them.
using System.Net;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Listeners;

internal sealed class Listener
{
    private readonly ListenerConnection?[] _connections;
    private readonly List<AcceptSocket>[] _sockets;
    private readonly Action<string, Exception> _onFault;
    private volatile HttpManager _manager;
    private volatile bool _draining;

    public Listener(ListenerConfig config, HttpManager manager, StatBlock stats, int workers, Action<string, Exception> onFault)
    {
        Config = config;
        _manager = manager;
        Stats = stats;
        _onFault = onFault;
        _connections = new ListenerConnection?[workers + 1];
        _sockets = new List<AcceptSocket>[workers + 1];
        for (int i = 0; i <= workers; i++) _sockets[i] = [];
    }

    public ListenerConfig Config { get; set; }
    public StatBlock Stats { get; }

    /// <summary>Replaced whole when the configuration changes; connections look here for each request.</summary>
    public HttpManager Manager { get => _manager; set => _manager = value; }

    /// <summary>TLS of its connections; null is plain text.</summary>
    public TlsServerSlot? Tls { get; set; }

    /// <summary>How long a handshake may take, in milliseconds; 0 is for ever.</summary>
    public long TlsMs { get; set; }

    public bool IsDraining { get => _draining; set => _draining = value; }

    /// <summary>What was really bound, in the order of the configured addresses.</summary>
    public List<IPEndPoint> Bound { get; } = [];

    public void OnFault(Exception e) => _onFault($"connection of listener {Config.Name}", e);

    /// <summary>Binds every address once per worker; an errno and its address on failure, with nothing left open.</summary>
    public (int Errno, AddressConfig? Address) Bind(IReadOnlyList<Worker> workers)
    {
        var opened = new List<(Worker Worker, AcceptSocket Socket)>();
        foreach (AddressConfig address in Config.AdditionalAddresses.Insert(0, Config.Address))
        {
            int port = address.Port;
            foreach (Worker worker in workers)
            {
                (int fd, int errno, IPEndPoint? bound) = Open(address.Ip ?? IPAddress.Any, port);
                if (fd < 0)
                {
                    foreach ((_, AcceptSocket socket) in opened) _ = Sys.close(socket.Fd);
                    Bound.Clear();
                    return (errno, address);
                }
                if (port == 0 || worker == workers[0]) Bound.Add(bound!);
                port = bound!.Port;
                opened.Add((worker, new AcceptSocket(worker, this, fd)));
            }
        }
        foreach ((Worker worker, AcceptSocket socket) in opened)
        {
            worker.Post(w =>
            {
                _sockets[w.Index].Add(socket);
                w.Add(socket, Sys.EPOLLIN, level: true);
            });
        }
        return (0, null);
    }

    private static unsafe (int Fd, int Errno, IPEndPoint? Bound) Open(IPAddress ip, int port)
    {
        const int Backlog = 4096;
        SockAddr address = SockAddr.From(ip, port);
        int fd = Sys.socket(address.Family, Sys.SOCK_STREAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0);
        if (fd < 0) return (-1, Sys.Errno, null);
        Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_REUSEADDR, 1);
        Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_REUSEPORT, 1);
        if (address.Family == Sys.AF_INET6) Sys.SetOption(fd, Sys.IPPROTO_IPV6, Sys.IPV6_V6ONLY, 1);
        if (Sys.bind(fd, (byte*)&address.Bytes, address.Length) < 0 || Sys.listen(fd, Backlog) < 0)
        {
            int errno = Sys.Errno;
            _ = Sys.close(fd);
            return (-1, errno, null);
        }
        SockAddr bound = default;
        int length = 28;
        _ = Sys.getsockname(fd, (byte*)&bound.Bytes, &length);
        bound.Length = length;
        return (fd, 0, bound.ToEndPoint());
    }

    /// <summary>On the worker: a connection was accepted.</summary>
    public void Accepted(Worker worker, int fd, in SockAddr peer)
    {
        Sys.SetOption(fd, Sys.IPPROTO_TCP, Sys.TCP_NODELAY, 1);
        var connection = new Http1Connection(worker, this, fd, peer) { Next = _connections[worker.Index] };
        if (connection.Next is { } next) next.Previous = connection;
        _connections[worker.Index] = connection;
        connection.Start();
    }

    /// <summary>On the worker: a connection is closed.</summary>
    public void Forget(ListenerConnection connection, Worker worker)
    {
        if (connection.Previous is { } previous) previous.Next = connection.Next;
        else if (ReferenceEquals(_connections[worker.Index], connection)) _connections[worker.Index] = connection.Next;
        if (connection.Next is { } next) next.Previous = connection.Previous;
        connection.Next = connection.Previous = null;
    }

    /// <summary>On the worker: a connection goes on as another object.</summary>
    public void Replace(ListenerConnection old, ListenerConnection connection, Worker worker)
    {
        Forget(old, worker);
        connection.Next = _connections[worker.Index];
        if (connection.Next is { } next) next.Previous = connection;
        _connections[worker.Index] = connection;
    }

    /// <summary>On the worker: closes idle connections; the others close with their answer.</summary>
    public void DrainConnections(Worker worker)
    {
        for (ListenerConnection? connection = _connections[worker.Index]; connection is not null;)
        {
            ListenerConnection? next = connection.Next;
            connection.Drain();
            connection = next;
        }
    }

    /// <summary>On the worker: takes in whoever waits already, then stops listening.</summary>
    public void StopAccepting(Worker worker)
    {
        foreach (AcceptSocket socket in _sockets[worker.Index])
        {
            socket.AcceptAll();
            worker.CloseHandle(socket);
        }
        _sockets[worker.Index].Clear();
    }
}

/// <summary>One listening socket of one worker.</summary>
internal sealed unsafe class AcceptSocket : IoHandle, ITimerOwner
{
    private const int Batch = 64;
    private const int PauseMs = 100;
    private readonly Worker _worker;
    private readonly Listener _listener;
    private readonly TimerNode _pause;

    public AcceptSocket(Worker worker, Listener listener, int fd)
    {
        _worker = worker;
        _listener = listener;
        _pause = new TimerNode(this);
        Fd = fd;
    }

    internal override void OnEvents(uint events) => Accept(Batch);

    public void AcceptAll() => Accept(int.MaxValue);

    private void Accept(int most)
    {
        for (int i = 0; i < most && Fd >= 0; i++)
        {
            SockAddr peer = default;
            int length = 28;
            int fd = Sys.accept4(Fd, (byte*)&peer.Bytes, &length, Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC);
            if (fd >= 0)
            {
                peer.Length = length;
                _listener.Accepted(_worker, fd, peer);
                continue;
            }
            int errno = Sys.Errno;
            if (errno is Sys.EMFILE or Sys.ENFILE)
            {
                // Out of descriptors: a level-triggered socket would spin. Those who wait are served when some are free again.
                _listener.Stats.Shard(_worker.Index)[ListenerStats.CxOverflow]++;
                _worker.Remove(this);
                _worker.Timers.Set(_pause, _worker.Now + PauseMs, _worker.Now);
                return;
            }
            if (errno == Sys.EAGAIN) return;
            if (errno is not (Sys.EINTR or Sys.ECONNRESET or 103)) return;
        }
    }

    public void OnTimer(TimerNode timer)
    {
        if (Fd >= 0) _worker.Add(this, Sys.EPOLLIN, level: true);
    }
}

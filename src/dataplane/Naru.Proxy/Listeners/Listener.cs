// A listener at run time: its sockets (one per worker and address), the filter chains its connections are served by, and the
// connections themselves, so that a drain finds them.
using System.Net;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Network;
using Naru.Telemetry;

namespace Naru.Proxy.Listeners;

internal sealed class Listener
{
    private readonly ListenerConnection?[] _connections;
    private readonly List<AcceptSocket>[] _sockets;
    private readonly Action<string, Exception> _onFault;
    private volatile ChainSet _chains;
    private readonly List<UdpServer>[] _udpServers;
    private volatile UdpProxy? _udp;
    private volatile bool _draining;
    private volatile AccessLog[] _logs = [];

    // By worker: it accepts nobody any more, and has told so. The last one of them ends the listener.
    private readonly bool[] _left;
    private readonly bool[] _stopped;
    private int _servers;

    public Listener(ListenerConfig config, ChainSet chains, StatBlock stats, int workers, ListenerDirectory directory, Action<string, Exception> onFault)
    {
        Config = config;
        _chains = chains;
        Stats = stats;
        Directory = directory;
        _onFault = onFault;
        _connections = new ListenerConnection?[workers + 1];
        _sockets = new List<AcceptSocket>[workers + 1];
        _udpServers = new List<UdpServer>[workers + 1];
        _left = new bool[workers + 1];
        _stopped = new bool[workers + 1];
        _servers = workers;
        for (int i = 0; i <= workers; i++)
        {
            _sockets[i] = [];
            _udpServers[i] = [];
        }
    }

    public ListenerConfig Config { get; set; }
    public StatBlock Stats { get; }

    /// <summary>What each worker has of it, by its index; empty where nobody looks.</summary>
    public StatBlock[] WorkerStats { get; init; } = [];

    /// <summary>The others.</summary>
    public ListenerDirectory Directory { get; }

    /// <summary>Replaced whole when the configuration changes.</summary>
    public ChainSet Chains { get => _chains; set => _chains = value; }

    /// <summary>Serves the datagrams of a UDP listener; null is TCP.</summary>
    public UdpProxy? Udp { get => _udp; set => _udp = value; }

    /// <summary>A line for each connection that ends, whatever became of it.</summary>
    public AccessLog[] Logs { get => _logs; set => _logs = value; }

    /// <summary>Told why connections end.</summary>
    public ConnectionLog Log { get; init; } = ConnectionLog.None;

    /// <summary>How many connections it takes at a time, all workers together; without a value there is no limit (Envoy docs: runtime limits of
    /// listeners). Null for none.</summary>
    public RuntimeSlot? ConnectionLimit { get; init; }

    /// <summary>It has as many connections as it takes.</summary>
    public bool IsFull => ConnectionLimit?.Value?.Integer is { } most && (ulong)Stats.Read(ListenerStats.CxActive) >= most;

    /// <summary>How long connections that nobody can end in order may live on when it drains, in ms.</summary>
    public long DrainMs { get; init; }

    /// <summary>Told, on a worker, when it has left and its last connection is closed.</summary>
    public Action<Listener> Ended { get; set; } = static _ => { };

    public bool IsDraining { get => _draining; set => _draining = value; }

    /// <summary>What was really bound, in the order of the configured addresses.</summary>
    public List<EndPoint> Bound { get; } = [];

    public void OnFault(Exception e) => _onFault($"connection of listener {Config.Name}", e);

    /// <summary>Binds every address once per worker; an errno and its address on failure, with nothing left open.</summary>
    public (int Errno, AddressConfig? Address) Bind(IReadOnlyList<Worker> workers, InheritedSockets? inherited = null)
    {
        if (!Config.BindToPort) return (0, null);
        int type = _udp is null ? Sys.SOCK_STREAM : Sys.SOCK_DGRAM;
        if (_udp is not null) inherited = null;
        var opened = new List<(Worker Worker, int Fd, string Network)>();
        foreach (AddressConfig address in Config.AllAddresses)
        {
            if (address.Kind == AddressKind.Internal) continue;
            int port = address.Port;
            int first = -1;
            string key = ListenSocket.Key(address);
            foreach (Worker worker in workers)
            {
                if (inherited?.Take(key) is >= 0 and int taken)
                {
                    if (first < 0) Bound.Add(ListenSocket.BoundOf(taken, address));
                    first = taken;
                    opened.Add((worker, taken, address.NetworkNamespace));
                    continue;
                }
                // The kernel spreads connections over sockets that share a port; of a Unix socket there is one for all.
                OpenedSocket socket = address.Kind == AddressKind.Pipe && first >= 0 ? new OpenedSocket(ListenSocket.Duplicate(first), 0, null)
                    : ListenSocket.Open(Config, address, port, type);
                if (socket.Fd < 0)
                {
                    foreach ((_, int other, _) in opened) _ = Sys.close(other);
                    Bound.Clear();
                    return (socket.Errno, address);
                }
                if (first < 0) Bound.Add(socket.Bound!);
                first = socket.Fd;
                if (socket.Bound is IPEndPoint ip) port = ip.Port;
                opened.Add((worker, socket.Fd, address.NetworkNamespace));
            }
            // Whoever waits in a socket that nobody listens on any more would be lost: those of further workers are shared out.
            for (int i = 0; inherited?.Take(key) is >= 0 and int more; i++)
            {
                Worker worker = workers[i % workers.Count];
                opened.Add((worker, more, address.NetworkNamespace));
            }
        }
        // Sessions of datagrams stay with the process that has them: only sockets of streams are handed on.
        if (_udp is null) ListenDescriptors = [.. opened.Select(o => (ListenSocket.Key(o.Fd, o.Network), o.Fd))];
        foreach ((Worker worker, int fd, string network) in opened) worker.Post(w => Listen(w, fd, network.Length > 0 ? network : null));
        return (0, null);
    }

    private void Listen(Worker worker, int fd, string? network)
    {
        if (_udp is not null)
        {
            var server = new UdpServer(worker, this, fd);
            _udpServers[worker.Index].Add(server);
            worker.Add(server, Sys.EPOLLIN, level: true);
            return;
        }
        var socket = new AcceptSocket(worker, this, fd, network);
        _sockets[worker.Index].Add(socket);
        worker.Add(socket, Sys.EPOLLIN, level: true);
    }

    /// <summary>On the worker: a connection was accepted.</summary>
    public void Accepted(Worker worker, int fd, in SockAddr peer, string? network = null)
    {
        if (!peer.IsUnix) Sys.SetOption(fd, Sys.IPPROTO_TCP, Sys.TCP_NODELAY, 1);
        Adopt(new Arrival(worker, this, null, fd, peer) { NetworkNamespace = network });
    }

    /// <summary>On the worker: a connection is here to be served.</summary>
    public void Adopt(in Arrival arrival)
    {
        ChainSet chains = _chains;
        if (chains.Only is { } chain)
        {
            Serve(arrival with { Chain = chain });
            return;
        }
        var connection = new AcceptedConnection(arrival, chains);
        Add(connection, arrival.Worker);
        connection.Start();
    }

    /// <summary>On the worker: a connection is here whose chain is known.</summary>
    public ListenerConnection Serve(in Arrival arrival)
    {
        ListenerConnection connection = arrival.Chain!.Serve(arrival);
        Add(connection, arrival.Worker);
        connection.Start();
        return connection;
    }

    private void Add(ListenerConnection connection, Worker worker)
    {
        connection.Next = _connections[worker.Index];
        if (connection.Next is { } next) next.Previous = connection;
        _connections[worker.Index] = connection;
    }

    /// <summary>On the worker: a connection is closed.</summary>
    public void Forget(ListenerConnection connection, Worker worker)
    {
        if (connection.Previous is { } previous) previous.Next = connection.Next;
        else if (ReferenceEquals(_connections[worker.Index], connection)) _connections[worker.Index] = connection.Next;
        if (connection.Next is { } next) next.Previous = connection.Previous;
        connection.Next = connection.Previous = null;
        // Later: it may only go on as another object.
        if (_left[worker.Index] && _connections[worker.Index] is null) worker.Post(_tellEnd ??= TellEnd);
    }

    private Action<Worker>? _tellEnd;

    private void TellEnd(Worker worker)
    {
        if (!_left[worker.Index] || _connections[worker.Index] is not null) return;
        _left[worker.Index] = false;
        if (Interlocked.Decrement(ref _servers) == 0) Ended(this);
    }

    /// <summary>On the worker: it accepts nobody any more.</summary>
    public bool HasStopped(Worker worker) => _stopped[worker.Index];

    /// <summary>On the worker: nobody will come any more. It ends with its last connection.</summary>
    public void Leave(Worker worker)
    {
        StopAccepting(worker);
        DrainConnections(worker);
        _left[worker.Index] = true;
        TellEnd(worker);
    }

    /// <summary>On the worker: a connection goes on as another object.</summary>
    public void Replace(ListenerConnection old, ListenerConnection connection, Worker worker)
    {
        Forget(old, worker);
        Add(connection, worker);
    }

    /// <summary>On the worker: its connections, as they are now.</summary>
    public IReadOnlyList<ListenerConnection> Connections(Worker worker)
    {
        var all = new List<ListenerConnection>();
        for (ListenerConnection? connection = _connections[worker.Index]; connection is not null; connection = connection.Next) all.Add(connection);
        return all;
    }

    /// <summary>On the worker: its connections set their timers anew; those of some chains, or all.</summary>
    public void Rescale(Worker worker, FilterChain[]? chains = null)
    {
        foreach (ListenerConnection connection in Connections(worker))
            if (chains is null || chains.Contains(connection.Chain)) connection.Rescale();
    }

    /// <summary>On the worker: closes idle connections; the others close with their answer. Those of one chain, or all.</summary>
    public void DrainConnections(Worker worker, FilterChain? chain = null)
    {
        for (ListenerConnection? connection = _connections[worker.Index]; connection is not null;)
        {
            ListenerConnection? next = connection.Next;
            if (chain is null || ReferenceEquals(connection.Chain, chain)) connection.Drain();
            connection = next;
        }
    }

    /// <summary>Its listening sockets, for a process that takes them over; empty once it stops accepting.</summary>
    public IReadOnlyList<(string Address, int Descriptor)> ListenDescriptors { get; private set; } = [];

    /// <summary>On the worker: takes in whoever waits already, then stops listening. Where another process listens on the same
    /// sockets, those who wait are left to it.</summary>
    public void StopAccepting(Worker worker, bool handedOver = false)
    {
        ListenDescriptors = [];
        _stopped[worker.Index] = true;
        foreach (AcceptSocket socket in _sockets[worker.Index])
        {
            if (!handedOver) socket.AcceptAll();
            worker.CloseHandle(socket);
        }
        _sockets[worker.Index].Clear();
        foreach (UdpServer server in _udpServers[worker.Index]) server.Close();
        _udpServers[worker.Index].Clear();
    }
}

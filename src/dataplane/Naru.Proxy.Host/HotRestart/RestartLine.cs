// Hot restart (Envoy: operations, hot restart): a new process takes the listening sockets of the old one over, so that nobody who
// connects is refused, then has it drain. The two speak over an abstract Unix socket whose name holds the user, the base id and the
// epoch. Counters are not taken over: a scraper sees a restart.
using System.Net.Sockets;

namespace Naru.Proxy.Host.HotRestart;

/// <summary>What an old process does for a new one.</summary>
internal interface IRestartParent
{
    /// <summary>The listening sockets: where they listen, and descriptors.</summary>
    IReadOnlyList<(string Address, int Descriptor)> ListenSockets { get; }

    /// <summary>Stops the admin, whose address the new process wants.</summary>
    Task StopAdminAsync();

    /// <summary>The new process serves: accept nobody any more, drain, and end.</summary>
    void HandOver();

    /// <summary>End now.</summary>
    void Terminate();
}

/// <summary>The old process's end: answers one new process at a time.</summary>
internal sealed class RestartServer : IDisposable
{
    private readonly Socket _socket;
    private readonly IRestartParent _parent;
    private readonly ProxyLog _log;

    private RestartServer(Socket socket, IRestartParent parent, ProxyLog log)
    {
        _socket = socket;
        _parent = parent;
        _log = log;
        new Thread(Accept) { IsBackground = true, Name = "hot-restart" }.Start();
    }

    /// <summary>Name of the socket of an epoch.</summary>
    public static UnixDomainSocketEndPoint Name(int baseId, int epoch) => new($"\0naru_hot_restart_{Environment.UserName}_{baseId}_{epoch}");

    /// <summary>Listens for the next epoch; null and an error in the log where the name is taken.</summary>
    public static RestartServer? Start(int baseId, int epoch, IRestartParent parent, ProxyLog log)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
        try
        {
            socket.Bind(Name(baseId, epoch));
            socket.Listen(4);
            return new RestartServer(socket, parent, log);
        }
        catch (SocketException)
        {
            socket.Dispose();
            log.Error("main", $"error[NARU-H101]: another process runs with base id {baseId} and epoch {epoch}; help: give another --base-id, or --restart-epoch {epoch + 1} to take over from it");
            return null;
        }
    }

    private void Accept()
    {
        while (true)
        {
            try
            {
                using Socket child = _socket.Accept();
                int fd = (int)child.Handle;
                if (!DescriptorMail.IsOurs(fd))
                {
                    _log.Warning("main", "a process of another user asked for hot restart and was sent away");
                    continue;
                }
                Serve(fd);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
            catch (IOException e)
            {
                _log.Warning("main", $"hot restart: the new process went away: {e.Message}");
            }
        }
    }

    private void Serve(int fd)
    {
        while (true)
        {
            string ask = DescriptorMail.Receive(fd).Text;
            switch (ask)
            {
                case "sockets":
                    foreach (IGrouping<string, int> address in _parent.ListenSockets.GroupBy(s => s.Address, s => s.Descriptor))
                        foreach (int[] part in address.Chunk(DescriptorMail.Most)) DescriptorMail.Send(fd, address.Key, part);
                    DescriptorMail.Send(fd, ".", []);
                    break;
                case "admin":
                    _parent.StopAdminAsync().GetAwaiter().GetResult();
                    DescriptorMail.Send(fd, ".", []);
                    break;
                case "drain":
                    _log.Info("main", "hot restart: a new process serves; this one drains and ends");
                    _parent.HandOver();
                    DescriptorMail.Send(fd, ".", []);
                    break;
                case "terminate":
                    _parent.Terminate();
                    return;
                default:
                    return;
            }
        }
    }

    public void Dispose() => _socket.Dispose();
}

/// <summary>The new process's end.</summary>
internal sealed class RestartClient : IDisposable
{
    private readonly Socket _socket;

    private RestartClient(Socket socket) => _socket = socket;

    /// <summary>Connects to the process of the epoch before; null where there is none.</summary>
    public static RestartClient? Connect(int baseId, int epoch)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
        try
        {
            socket.Connect(RestartServer.Name(baseId, epoch - 1));
            if (DescriptorMail.IsOurs((int)socket.Handle)) return new RestartClient(socket);
        }
        catch (SocketException)
        {
            // Nobody is there.
        }
        socket.Dispose();
        return null;
    }

    /// <summary>Takes the listening sockets.</summary>
    public InheritedSockets TakeSockets()
    {
        var all = new InheritedSockets();
        Send("sockets");
        while (DescriptorMail.Receive((int)_socket.Handle) is (not "." and not "", _) part)
            foreach (int fd in part.Descriptors) all.Add(part.Text, fd);
        return all;
    }

    /// <summary>Has the old process stop its admin.</summary>
    public void TakeAdmin() => Ask("admin");

    /// <summary>Has the old process drain.</summary>
    public void Drain() => Ask("drain");

    /// <summary>Ends the old process, if it is still there.</summary>
    public void Terminate()
    {
        try
        {
            Send("terminate");
        }
        catch (IOException)
        {
            // It ended by itself.
        }
    }

    private void Ask(string what)
    {
        Send(what);
        _ = DescriptorMail.Receive((int)_socket.Handle);
    }

    private void Send(string what) => DescriptorMail.Send((int)_socket.Handle, what, []);

    public void Dispose() => _socket.Dispose();
}

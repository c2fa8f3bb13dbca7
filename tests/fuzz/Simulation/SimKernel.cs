// The kernel of a simulated world: TCP between the proxy and its peers, epoll, a clock that stands still until somebody moves it. One
// thread, no waiting, the same course of events every time; and any call of the proxy can be made to fail.
// Peers act between two turns of the proxy's loop, never within a call. What Linux would do is done: see tcp(7) and epoll(7).
using System.Runtime.InteropServices;
using Naru.Proxy.Io;

namespace Naru.FuzzTests.Simulation;

/// <summary>What becomes of a call.</summary>
internal enum Fault : byte
{
    /// <summary>Nothing unusual.</summary>
    None,
    /// <summary>Interrupted (EINTR), and nothing else.</summary>
    Interrupted,
    /// <summary>It would block (EAGAIN) though epoll said otherwise; a moment later it would not.</summary>
    Again,
    /// <summary>One byte goes, the rest a moment later.</summary>
    OneByte,
    /// <summary>The peer has reset the connection (ECONNRESET, EPIPE, or ECONNREFUSED when it was about to be made).</summary>
    Reset,
    /// <summary>The peer ended in order just before: nothing more comes, and what is sent is answered by a reset.</summary>
    Ended,
    /// <summary>Nothing goes either way any more, and nobody says so.</summary>
    Silent,
    /// <summary>There are no more descriptors (EMFILE).</summary>
    NoDescriptors,
}

/// <summary>A kind of call.</summary>
internal enum Call : byte { Receive, Send, Connect, Socket, Accept, Wait }

/// <summary>A call of the proxy that could have failed.</summary>
/// <param name="Kind">What was called.</param>
/// <param name="Downstream">On a client's connection.</param>
internal readonly record struct CallMade(Call Kind, bool Downstream);

/// <summary>The kernel.</summary>
internal sealed unsafe partial class SimKernel : Kernel
{
    private const int FirstDescriptor = 1 << 20;
    private const uint Ready = Sys.EPOLLIN | Sys.EPOLLOUT | Sys.EPOLLRDHUP;
    private static readonly int s_eventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int s_dataOffset = s_eventSize == 12 ? 4 : 8;

    private readonly Dictionary<int, Descriptor> _open = [];
    private readonly Dictionary<int, Func<SimSocket, Task>> _servers = [];
    private readonly List<SimSocket> _sockets = [];
    private readonly List<Descriptor> _later = [];
    private int _next = FirstDescriptor;
    private int _port = 40_000;
    private int _errno;
    private long _now = 1_000_000;

    /// <summary>Which call fails, counted from 1 over those in <see cref="Made"/>; 0 is none.</summary>
    public int FailAt { get; set; }

    /// <summary>How it fails.</summary>
    public Fault How { get; set; }

    /// <summary>Whether it has.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Called when it does, before anything comes of it.</summary>
    public Action? OnFail { get; set; }

    /// <summary>Told of each of those calls, when it is made.</summary>
    public Action<Call>? OnCall { get; set; }

    /// <summary>Calls that could have failed since <see cref="Watch"/>; null is nobody counts.</summary>
    public List<CallMade>? Made { get; private set; }

    /// <summary>What the scripts of servers ended with, where that was an exception.</summary>
    public List<Exception> ServerFaults { get; } = [];

    public override int Errno => _errno;

    public override long Milliseconds => _now;

    /// <summary>Descriptors that are open but for those of the loop itself and of listeners.</summary>
    public int OpenSockets => _open.Values.Count(d => d.Socket is not null);

    /// <summary>Counts calls from now on.</summary>
    public void Watch()
    {
        Made = [];
        HasFailed = false;
    }

    /// <summary>Counts no more, and nothing fails any more.</summary>
    public void Unwatch()
    {
        Made = null;
        FailAt = 0;
    }

    /// <summary>Moves the clock.</summary>
    public void Advance(long ms) => _now += ms;

    /// <summary>Whoever connects to this port is served by the script, whose end closes.</summary>
    public void Serve(int port, Func<SimSocket, Task> script) => _servers[port] = script;

    /// <summary>A client's connection to a listener.</summary>
    public SimSocket Connect(int port)
    {
        Descriptor listener = _open.Values.First(d => d.IsListening && d.Port == port);
        var socket = new SimSocket(this, isClient: true, ++_port);
        _sockets.Add(socket);
        listener.Waiting.Enqueue(socket);
        return socket;
    }

    /// <summary>Whether epoll has something to say.</summary>
    public bool HasEvents => _open.Values.Any(d => d is { IsWatched: true, IsSilent: false } && (d.Pending != 0 || d.Waiting.Count > 0));

    public override string ToString() => string.Join("; ", _open.Values.Select(d =>
        $"{d.Number - FirstDescriptor}{(d.IsListening ? " listens" : "")}{(d.IsEvent ? " event" : "")} pending {d.Pending:x} inbound {d.Inbound.Count} ended {d.IsEnded} waiting {d.Waiting.Count}"))
        + $"; last calls {string.Join(' ', (Made ?? []).TakeLast(8).Select(c => $"{c.Kind}{(c.Downstream ? "v" : "^")}"))}";

    /// <summary>Lets peers act on what came for them; whether any did.</summary>
    public bool StepPeers()
    {
        bool moved = false;
        foreach (Descriptor descriptor in _later.ToArray())
        {
            descriptor.Pending |= descriptor.Later;
            descriptor.Later = 0;
            moved = true;
        }
        _later.Clear();
        foreach (SimSocket socket in _sockets.ToArray()) moved |= socket.Step();
        _sockets.RemoveAll(s => s.IsOver);
        return moved;
    }

    public override int Socket(int domain, int type)
    {
        if (Next(Call.Socket, null) == Fault.NoDescriptors) return Failing(Sys.EMFILE);
        return Open(new Descriptor()).Number;
    }

    private Descriptor Open(Descriptor descriptor)
    {
        descriptor.Number = _next++;
        _open[descriptor.Number] = descriptor;
        return descriptor;
    }

    public override int Bind(int fd, in SockAddr address)
    {
        Of(fd).Port = address.Port > 0 ? address.Port : ++_port;
        return 0;
    }

    public override int Listen(int fd)
    {
        Of(fd).IsListening = true;
        return 0;
    }

    public override int Accept(int fd, byte* address, int* length)
    {
        Descriptor listener = Of(fd);
        if (listener.Waiting.Count == 0) return Failing(Sys.EAGAIN);
        switch (Next(Call.Accept, null))
        {
            case Fault.Interrupted: return Failing(Sys.EINTR);
            case Fault.Again: return Failing(Sys.EAGAIN);
            case Fault.NoDescriptors: return Failing(Sys.EMFILE);
            case Fault.Reset:
                SimSocket gone = listener.Waiting.Dequeue();
                gone.WasReset = true;
                return Failing(103); // ECONNABORTED
        }
        SimSocket peer = listener.Waiting.Dequeue();
        Descriptor descriptor = Open(new Descriptor { Socket = peer, Port = listener.Port });
        peer.Proxy = descriptor;
        Write(address, length, peer.Port);
        return descriptor.Number;
    }

    public override int Connect(int fd, in SockAddr address)
    {
        Descriptor descriptor = Of(fd);
        descriptor.Port = ++_port;
        if (!_servers.TryGetValue(address.Port, out Func<SimSocket, Task>? script)) return Failing(Sys.ECONNREFUSED);
        Fault fault = Next(Call.Connect, descriptor);
        switch (fault)
        {
            case Fault.Reset: return Failing(Sys.ECONNREFUSED);
            case Fault.Ended: descriptor.Error = Sys.ECONNREFUSED; break;
        }
        var socket = new SimSocket(this, isClient: false, descriptor.Port) { Proxy = descriptor, Script = script };
        descriptor.Socket = socket;
        descriptor.IsConnecting = true;
        descriptor.IsSilent = fault == Fault.Silent;
        _sockets.Add(socket);
        return Failing(Sys.EINPROGRESS);
    }

    /// <summary>The peer's side of a connection that is being made.</summary>
    internal void Connected(Descriptor descriptor, SimSocket socket)
    {
        descriptor.IsConnecting = false;
        descriptor.Pending |= Ready;
        if (descriptor.Error != 0) return;
        Start(socket, socket.Script!);
    }

    public override nint Receive(int fd, byte* buffer, nint length, int flags)
    {
        Descriptor descriptor = Of(fd);
        if (descriptor.IsEvent)
        {
            descriptor.Pending = 0;
            return sizeof(ulong);
        }
        nint most = length;
        switch (Next(Call.Receive, descriptor))
        {
            case Fault.Interrupted: return Failing(Sys.EINTR);
            case Fault.Again:
                if (descriptor.HasSomething) Later(descriptor, Sys.EPOLLIN);
                return Failing(Sys.EAGAIN);
            case Fault.OneByte when descriptor.Inbound.Count > 1:
                // The rest arrives when this turn is over.
                most = 1;
                Later(descriptor, Sys.EPOLLIN);
                break;
            case Fault.Reset: descriptor.Break(Sys.ECONNRESET); break;
            case Fault.Ended:
                descriptor.Inbound.Clear();
                descriptor.Socket!.Close();
                break;
            case Fault.Silent: descriptor.IsSilent = true; break;
        }
        if (descriptor.IsSilent) return Failing(Sys.EAGAIN);
        if (descriptor.TakeError() is not 0 and var error) return Failing(error);
        if (descriptor.Inbound.Count == 0) return descriptor.IsEnded ? 0 : Failing(Sys.EAGAIN);
        int n = (int)Math.Min(most, descriptor.Inbound.Count);
        CollectionsMarshal.AsSpan(descriptor.Inbound)[..n].CopyTo(new Span<byte>(buffer, n));
        if ((flags & Sys.MSG_PEEK) == 0) descriptor.Inbound.RemoveRange(0, n);
        return n;
    }

    public override nint Send(int fd, byte* buffer, nint length)
    {
        Descriptor descriptor = Of(fd);
        if (descriptor.IsEvent)
        {
            descriptor.Pending = Sys.EPOLLIN;
            return length;
        }
        switch (Next(Call.Send, descriptor))
        {
            case Fault.Interrupted: return Failing(Sys.EINTR);
            case Fault.Again:
                Later(descriptor, Sys.EPOLLOUT);
                return Failing(Sys.EAGAIN);
            case Fault.OneByte when length > 1:
                length = 1;
                Later(descriptor, Sys.EPOLLOUT);
                break;
            case Fault.Reset: descriptor.Break(Sys.EPIPE); break;
            case Fault.Ended: descriptor.Socket!.Close(); break;
            case Fault.Silent: descriptor.IsSilent = true; break;
        }
        if (descriptor.IsSilent) return Failing(Sys.EAGAIN);
        if (descriptor.IsBroken) return Failing(descriptor.TakeError() is not 0 and var error ? error : Sys.EPIPE);
        SimSocket socket = descriptor.Socket!;
        int room = (int)Math.Min(length, descriptor.Room - socket.Unread);
        if (room <= 0)
        {
            descriptor.WantsRoom = true;
            return Failing(Sys.EAGAIN);
        }
        if (room < length) descriptor.WantsRoom = true;
        // Whoever is gone answers with a reset.
        if (socket.IsClosed) descriptor.Break(Sys.EPIPE);
        else socket.Deliver(new ReadOnlySpan<byte>(buffer, room));
        return room;
    }

    public override int Shutdown(int fd)
    {
        if (Of(fd).Socket is { } socket && !Of(fd).IsSilent) socket.IsEnded = true;
        return 0;
    }

    public override int Close(int fd)
    {
        if (!_open.Remove(fd, out Descriptor? descriptor)) return Failing(9); // EBADF
        descriptor.IsWatched = false;
        if (descriptor.Socket is not { } socket) return 0;
        socket.IsEnded = true;
        // Of silence nobody is told; that the script goes on is for the simulation's sake.
        if (descriptor.IsSilent) socket.WasReset = true;
        // What nobody read, and who asked for it, gets a reset (RFC 2525 2.17).
        if (descriptor.Lingers || descriptor.Inbound.Count > 0) socket.WasReset = true;
        return 0;
    }

    public override int SetOption(int fd, int level, int name, int* value)
    {
        if (level == Sys.SOL_SOCKET && name == Sys.SO_LINGER) Of(fd).Lingers = true;
        return 0;
    }

    public override int GetOption(int fd, int level, int name, int* value)
    {
        *value = level == Sys.SOL_SOCKET && name == Sys.SO_ERROR ? Of(fd).TakeError() : 0;
        return 0;
    }

    public override int Name(int fd, byte* address, int* length)
    {
        Write(address, length, Of(fd).Port);
        return 0;
    }

    private static void Write(byte* address, int* length, int port)
    {
        SockAddr name = SockAddr.From(System.Net.IPAddress.Loopback, port);
        for (int i = 0; i < name.Length; i++) address[i] = name.Bytes[i];
        *length = name.Length;
    }

    public override int EventFd() => Open(new Descriptor { IsEvent = true }).Number;

    public override int EpollCreate() => Open(new Descriptor()).Number;

    public override int EpollControl(int operation, int fd, byte* epollEvent)
    {
        Descriptor descriptor = Of(fd);
        descriptor.IsWatched = operation == Sys.EPOLL_CTL_ADD;
        descriptor.Data = *(ulong*)(epollEvent + s_dataOffset);
        // What is so already is told at once.
        if (descriptor is { IsWatched: true, Socket: not null, IsConnecting: false }) descriptor.Pending |= Ready;
        return 0;
    }

    public override int EpollWait(byte* events, int max)
    {
        int count = 0;
        if (HasEvents && Next(Call.Wait, null) == Fault.Interrupted) return Failing(Sys.EINTR);
        foreach (Descriptor descriptor in _open.Values)
        {
            if (!descriptor.IsWatched || count == max) continue;
            uint told = descriptor.Tell();
            if (told == 0) continue;
            *(uint*)(events + count * s_eventSize) = told;
            *(ulong*)(events + count * s_eventSize + s_dataOffset) = descriptor.Data;
            count++;
        }
        return count;
    }

    private Descriptor Of(int fd) => _open.TryGetValue(fd, out Descriptor? descriptor) ? descriptor : throw new LawViolated($"a call on descriptor {fd}, which is not open");

    private int Failing(int errno)
    {
        _errno = errno;
        return -1;
    }

    private void Later(Descriptor descriptor, uint events)
    {
        descriptor.Later |= events;
        _later.Add(descriptor);
    }

    private Fault Next(Call call, Descriptor? on)
    {
        if (Made is null || on is { IsEvent: true }) return Fault.None;
        Made.Add(new CallMade(call, call is Call.Accept || on?.Socket is { IsClient: true }));
        OnCall?.Invoke(call);
        if (Made.Count != FailAt) return Fault.None;
        HasFailed = true;
        OnFail?.Invoke();
        return How;
    }

    /// <summary>What a descriptor of the proxy stands for.</summary>
    internal sealed class Descriptor
    {
        public int Number, Port;
        public SimSocket? Socket;
        public bool IsEvent, IsListening, IsWatched, IsConnecting, IsEnded, IsSilent, Lingers, WantsRoom;
        public ulong Data;
        public uint Pending, Later;
        public int Error;
        public int Room = int.MaxValue;
        public readonly List<byte> Inbound = [];
        public readonly Queue<SimSocket> Waiting = new();

        /// <summary>Reset: an error is told once; afterwards the socket looks ended, and nothing can be sent.</summary>
        public bool IsBroken { get; private set; }

        public bool HasSomething => Inbound.Count > 0 || IsEnded || IsBroken;

        public void Break(int error)
        {
            IsBroken = IsEnded = true;
            Error = error;
            Inbound.Clear();
            Socket!.WasReset = true;
            Pending |= Ready;
        }

        public int TakeError()
        {
            int error = Error;
            Error = 0;
            return error;
        }

        public uint Tell()
        {
            if (IsListening) return Waiting.Count > 0 ? Sys.EPOLLIN : 0;
            if (IsSilent || Pending == 0) return 0;
            Pending = 0;
            if (IsEvent) return Sys.EPOLLIN;
            if (IsConnecting) return 0;
            uint now = HasSomething ? Sys.EPOLLIN : 0;
            if (IsBroken || Socket is null || Room > Socket.Unread) now |= Sys.EPOLLOUT;
            if (IsEnded) now |= Sys.EPOLLRDHUP;
            if (IsBroken) now |= Sys.EPOLLHUP;
            if (Error != 0) now |= Sys.EPOLLERR | Sys.EPOLLHUP | Sys.EPOLLIN | Sys.EPOLLOUT;
            return now;
        }
    }
}

internal sealed partial class SimKernel
{
    private void Start(SimSocket socket, Func<SimSocket, Task> script) => _ = RunAsync(socket, script);

    private async Task RunAsync(SimSocket socket, Func<SimSocket, Task> script)
    {
        try
        {
            await script(socket).ConfigureAwait(false);
        }
        catch (SimResetException)
        {
            // The proxy went first.
        }
        catch (Exception e)
        {
            ServerFaults.Add(e);
        }
        socket.Close();
    }
}

/// <summary>The proxy reset the connection.</summary>
internal sealed class SimResetException() : Exception("the connection was reset");

/// <summary>The proxy did what no program may do.</summary>
internal sealed class LawViolated(string message) : Exception(message);

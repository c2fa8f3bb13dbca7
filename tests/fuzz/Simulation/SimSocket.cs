// A peer's end of a simulated connection. Its reader goes on between two turns of the proxy, when something came for it.
using System.Runtime.InteropServices;
using Naru.Kit;
using Naru.Proxy.Io;

namespace Naru.FuzzTests.Simulation;

/// <summary>A client's or a server's end.</summary>
internal sealed class SimSocket
{
    private readonly SimKernel _kernel;
    private readonly List<byte> _received = [];
    private int _taken;
    private TaskCompletionSource? _waiting;

    public SimSocket(SimKernel kernel, bool isClient, int port)
    {
        _kernel = kernel;
        IsClient = isClient;
        Port = port;
        Reader = new HttpReader(ReadAsync);
    }

    public bool IsClient { get; }

    public int Port { get; }

    /// <summary>The proxy's end; null before it was accepted.</summary>
    public SimKernel.Descriptor? Proxy
    {
        get;
        set
        {
            field = value;
            if (value is null || _early.Count == 0) return;
            value.Inbound.AddRange(_early);
            _early.Clear();
        }
    }

    private readonly List<byte> _early = [];
    private bool _earlyEnd;

    public Func<SimSocket, Task>? Script { get; init; }

    /// <summary>Strict reader of HTTP/1.</summary>
    public HttpReader Reader { get; }

    /// <summary>Everything that ever came.</summary>
    public byte[] Received => [.. _received];

    /// <summary>Bytes that came and were not read.</summary>
    public int Unread => _received.Count - _taken;

    /// <summary>The proxy sends no more.</summary>
    public bool IsEnded { get; set; }

    /// <summary>The proxy reset it.</summary>
    public bool WasReset { get; set; }

    /// <summary>This end is closed.</summary>
    public bool IsClosed { get; private set; }

    public bool IsOver => IsClosed && _waiting is null;

    /// <summary>Sends text, a byte a character.</summary>
    public void Send(string text) => Send(System.Text.Encoding.Latin1.GetBytes(text));

    /// <summary>Sends bytes.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty || WasReset) return;
        if (Proxy is not { } proxy)
        {
            _early.AddRange(bytes);
            return;
        }
        if (proxy.IsSilent) return;
        proxy.Inbound.AddRange(bytes);
        proxy.Pending |= Sys.EPOLLIN;
    }

    /// <summary>Sends no more.</summary>
    public void End()
    {
        _earlyEnd = true;
        if (Proxy is { IsSilent: false } proxy)
        {
            proxy.IsEnded = true;
            proxy.Pending |= Sys.EPOLLIN;
        }
    }

    /// <summary>Neither sends nor reads any more; with a reset where something was left to read.</summary>
    public void Close()
    {
        if (IsClosed) return;
        IsClosed = true;
        if (Unread > 0) Reset();
        else End();
        Resume();
    }

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        IsClosed = true;
        if (Proxy is { IsSilent: false } proxy) proxy.Break(Sys.ECONNRESET);
        Resume();
    }

    /// <summary>Reads what came, waiting for it; 0 at the end.</summary>
    /// <exception cref="SimResetException">The connection was reset, and all before that was read.</exception>
    public async ValueTask<int> ReadAsync(Memory<byte> into)
    {
        while (Unread == 0)
        {
            if (WasReset) throw new SimResetException();
            if (IsEnded || IsClosed) return 0;
            _waiting = new TaskCompletionSource();
            await _waiting.Task.ConfigureAwait(false);
        }
        int n = Math.Min(into.Length, Unread);
        CollectionsMarshal.AsSpan(_received).Slice(_taken, n).CopyTo(into.Span);
        _taken += n;
        if (Proxy is { WantsRoom: true } proxy && proxy.Room > Unread)
        {
            proxy.WantsRoom = false;
            proxy.Pending |= Sys.EPOLLOUT;
        }
        return n;
    }

    internal void Deliver(ReadOnlySpan<byte> bytes) => _received.AddRange(bytes);

    /// <summary>Goes on with what came; whether there was anything to go on with.</summary>
    internal bool Step()
    {
        if (Proxy is { IsConnecting: true } connecting)
        {
            if (connecting.IsSilent) return false;
            _kernel.Connected(connecting, this);
            return true;
        }
        if (_earlyEnd && Proxy is { IsEnded: false, IsSilent: false })
        {
            End();
            return true;
        }
        if (_waiting is null || !(Unread > 0 || IsEnded || WasReset || IsClosed)) return false;
        Resume();
        return true;
    }

    private void Resume()
    {
        TaskCompletionSource? waiting = _waiting;
        _waiting = null;
        waiting?.SetResult();
    }
}

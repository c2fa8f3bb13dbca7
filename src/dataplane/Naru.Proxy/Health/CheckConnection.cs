// A connection that only checks: no pool, no circuit breaker, no statistics of traffic. One deadline for all that is done on it.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Health;

/// <summary>What TLS offers by ALPN.</summary>
internal enum CheckProtocol
{
    Bytes,
    Http1,
    Http2,
}

internal sealed class CheckConnection(Worker worker) : SecureSocket(worker), IHttp2Owner
{
    private bool _timedOut, _idle;

    /// <summary>Checks it has served.</summary>
    public int Served { get; set; }

    /// <summary>Why nothing came of it, in a few words.</summary>
    public string Failure => _timedOut ? "no answer in time" : HandshakeFailure.Length > 0 ? HandshakeFailure : Errno != 0 ? Sys.Describe(Errno) : "the endpoint closed the connection";

    public bool HasTimedOut => _timedOut;

    public bool IsOpen => Fd >= 0;

    /// <summary>Everything has to be done by then (ms from now).</summary>
    public void SetDeadline(long ms) => Worker.Timers.Set(Timer, Worker.Now + ms, Worker.Now);

    /// <summary>Connects, with TLS and PROXY header where the endpoint has them.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> ConnectAsync(HostState to, Transport transport, Host host, CheckProtocol protocol)
    {
        (Fd, int errno) = UpstreamSocket.Connect(Worker, to, null);
        if (Fd >= 0) Watch(writable: errno == 0);
        if (errno == Sys.EINPROGRESS)
        {
            await Writable();
            if (Cancelled) return false;
            errno = Errno != 0 ? Errno : Sys.SocketError(Fd);
        }
        if (errno != 0)
        {
            FailedWith(errno);
            return false;
        }
        if (transport.ProxyProtocol > 0)
        {
            var origin = new UpstreamOrigin(transport.ProxyProtocol, LocalAddress(), to.Address, null) { Values = host.ProxyValues };
            if (!UpstreamSocket.SendHeader(Fd, origin)) return false;
        }
        if (transport.Tls is not { } tls) return true;
        string hostname = host.Config.Hostname;
        string sni = tls.Config.AutoHostSni && hostname.Length > 0 ? hostname : tls.Config.Sni;
        return await ConnectTlsAsync(tls, sni, tls.Config.AutoSniSanValidation ? sni : "", Offer(protocol));
    }

    private static ReadOnlySpan<byte> Offer(CheckProtocol protocol) => protocol switch
    {
        CheckProtocol.Http1 => "\x08http/1.1"u8,
        CheckProtocol.Http2 => "\x02h2"u8,
        _ => default,
    };

    /// <summary>Sends all of it, by way of a buffer that is empty afterwards.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> SendAsync(ReadOnlyMemory<byte> bytes, IoBuffer buffer)
    {
        bool sent = true;
        for (int from = 0; sent && from < bytes.Length;)
        {
            int part = Math.Min(bytes.Length - from, buffer.Capacity);
            buffer.Clear();
            buffer.Append(bytes.Span.Slice(from, part));
            sent = SendNow(buffer) ?? await SendAllAsync(buffer);
            from += part;
        }
        buffer.Clear();
        return sent;
    }

    /// <summary>Reads what there is, or waits for it; false at the end, in either way.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> FillAsync(IoBuffer buffer)
    {
        while (true)
        {
            if (!MayRead) await Readable();
            if (Cancelled) return false;
            int n = Receive(buffer);
            if (n > 0) return true;
            if (n != WouldBlock) return false;
        }
    }

    /// <summary>Waits for the next check; closes when the endpoint does.</summary>
    public void Rest()
    {
        Worker.Timers.Remove(Timer);
        Served++;
        _idle = true;
        if (!IsQuiet()) Close();
    }

    /// <summary>Whether a resting connection may serve once more.</summary>
    public bool Wake()
    {
        _idle = false;
        if (IsOpen && !Dead && IsQuiet()) return true;
        Close();
        return false;
    }

    // One deadline bounds all that a session could wait for.
    void IHttp2Owner.SetTimer(long due)
    {
    }

    long IHttp2Owner.LifeEnd => TimerNode.Never;

    bool IHttp2Owner.IsRetired => false;

    int IHttp2Owner.AssumedStreams { get; set; } = 1;

    void IHttp2Owner.OnRoom()
    {
    }

    void IHttp2Owner.OnEnding(Http2ClientSession session)
    {
    }

    protected override void OnUnexpectedReadable()
    {
        if (_idle && !IsQuiet()) Close();
    }

    public override void OnTimer(TimerNode timer)
    {
        _timedOut = true;
        Cancel();
    }
}

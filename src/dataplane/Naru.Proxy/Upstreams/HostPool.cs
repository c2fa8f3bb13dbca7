// A worker's connections to one endpoint: the idle ones, newest on top, and those who wait for one.
// A connection is reused only while it is younger than what the endpoint promised; that is what keeps "503 UC" away.
using Naru.Proxy.Clusters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

/// <summary>What was done with an endpoint, counted by one worker.</summary>
internal struct HostCounts
{
    public long Connections, FailedConnections, Requests, Good, Bad, TimedOut;
}

internal sealed class HostPool(HostState host, Worker worker)
{
    private readonly WaitQueue _waiting = new();
    private UpstreamConnection? _idleTop;

    public HostState Host { get; } = host;
    public int Connections { get; private set; }
    public int ActiveRequests { get; set; }
    public int IdleCount { get; private set; }

    /// <summary>Connections on their way that nobody waits for.</summary>
    public int Early { get; set; }

    /// <summary>Who waits for a connection.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>What it has done since it is there (Envoy docs: /clusters).</summary>
    public HostCounts Counts;

    /// <summary>Set when the endpoint has left the cluster: connections close as they become free.</summary>
    public bool Retired { get; private set; }

    /// <summary>What ALPN settled on last, where it decides (<c>auto_config</c>); null before the first connection.</summary>
    public bool? AlpnHttp2 { get; set; }

    public Http2Pool Http2 { get; } = new(worker);

    /// <summary>Host names that requests brought (auto_sni).</summary>
    public NameCache Names { get; } = new();

    /// <summary>The connection used last with the same peer that may still be used, or null.</summary>
    public UpstreamConnection? TakeIdle(long now, in UpstreamPeer peer)
    {
        for (UpstreamConnection? next = _idleTop; next is { } connection;)
        {
            next = connection.NextIdle;
            if (connection.Peer != peer) continue;
            Unlink(connection);
            if (now >= connection.ReuseUntil)
            {
                connection.CountEnd();
                connection.CloseIdle();
            }
            else if (!connection.IsQuiet() || connection.Dead)
            {
                connection.CloseStale();
            }
            else
            {
                connection.LeaveIdle();
                return connection;
            }
        }
        return null;
    }

    /// <summary>Puts a connection that finished an exchange back, until <paramref name="reuseUntil"/> (worker ms).</summary>
    public void Return(UpstreamConnection connection, long reuseUntil)
    {
        if (Retired || connection.Dead || !connection.IsQuiet())
        {
            if (Retired) connection.Close();
            else connection.CloseStale();
            return;
        }
        connection.ReuseUntil = reuseUntil;
        connection.NextIdle = _idleTop;
        connection.PreviousIdle = null;
        if (_idleTop is { } top) top.PreviousIdle = connection;
        _idleTop = connection;
        IdleCount++;
        connection.EnterIdle();
        WakeOne();
    }

    public void Unlink(UpstreamConnection connection)
    {
        if (connection.PreviousIdle is { } previous) previous.NextIdle = connection.NextIdle;
        else _idleTop = connection.NextIdle;
        if (connection.NextIdle is { } next) next.PreviousIdle = connection.PreviousIdle;
        connection.NextIdle = connection.PreviousIdle = null;
        IdleCount--;
    }

    /// <summary>The endpoint has left: idle connections close now, busy ones when their answer is done, and who waits looks elsewhere.</summary>
    public void Retire()
    {
        Retired = true;
        Http2.RetireAll();
        CloseIdle();
        WakeAll();
    }

    public void CloseIdle()
    {
        while (_idleTop is { } connection)
        {
            Unlink(connection);
            connection.CloseIdle();
        }
    }

    /// <summary>Relays of bytes to the endpoint that end when it fails; null for none, and where the cluster lets them go on.</summary>
    public HashSet<Network.TcpProxyConnection>? Relays { get; set; }

    /// <summary>The endpoint failed: whoever may, leaves.</summary>
    public void CloseAll()
    {
        Http2.RetireAll();
        CloseIdle();
        foreach (Network.TcpProxyConnection relay in Relays?.ToArray() ?? []) relay.HostFailed();
    }

    public void Opened() => Connections++;

    public void Closed()
    {
        Connections--;
        WakeOne();
        // Room for one more is room for either version.
        Http2.Wake();
    }

    /// <summary>Resumes <paramref name="waiter"/> when a connection is returned or closed.</summary>
    public void Wait(PoolWaiter waiter) => _waiting.Enqueue(waiter);

    /// <summary>Something changed for all who wait: each looks again, on a later turn of the loop.</summary>
    public void WakeAll()
    {
        if (_waiting.Count > 0) worker.Post(_ => ResumeAll());
        Http2.Wake();
    }

    // Who waits again is not woken again.
    private void ResumeAll()
    {
        for (int n = _waiting.Count; n > 0 && _waiting.TryDequeue(out PoolWaiter? waiter); n--) waiter.Resume();
    }

    // On a later turn of the loop: whoever returns a connection is in the middle of its own exchange. Who is first is found out then, so
    // that one who leaves meanwhile does not take the turn with it.
    private void WakeOne()
    {
        if (_waiting.Count > 0) Later();
    }

    // Apart, since a closure is made where its method begins: for every connection given back, though nobody waits.
    private void Later() => worker.Post(_ => ResumeOne());

    private void ResumeOne()
    {
        while (_waiting.TryDequeue(out PoolWaiter? waiter))
        {
            if (!waiter.IsWaiting) continue;
            waiter.Resume();
            return;
        }
    }
}

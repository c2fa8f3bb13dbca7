// A worker's connections to one endpoint: the idle ones, newest on top, and those who wait for one.
// A connection is reused only while it is younger than what the endpoint promised; that is what keeps "503 UC" away.
using System.Runtime.InteropServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
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
    // One queue for all: what one gives back may be room for another, whatever either speaks and with whom.
    private readonly WaitQueue _waiting = new();
    private readonly Dictionary<(UpstreamPeer Peer, UpstreamProtocol? Offered), int> _kinds = [];
    private UpstreamConnection? _idleTop;
    private bool _wakes;

    public HostState Host { get; } = host;
    public int Connections { get; private set; }
    public int ActiveRequests { get; set; }
    public int IdleCount { get; private set; }

    /// <summary>Connections on their way.</summary>
    public List<NewConnection> Making { get; } = [];

    /// <summary>Those of them that nobody waits for.</summary>
    public int Early
    {
        get
        {
            int early = 0;
            foreach (NewConnection one in Making) if (one.IsNobodys) early++;
            return early;
        }
    }

    /// <summary>Who waits for a connection.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>What it has done since it is there (Envoy docs: /clusters).</summary>
    public HostCounts Counts;

    /// <summary>Set when the endpoint has left the cluster: connections close as they become free.</summary>
    public bool Retired { get; private set; }

    /// <summary>What ALPN settled on last, where it decides (<c>auto_config</c>); null before the first connection.</summary>
    public bool? AlpnHttp2 { get; set; }

    public Http2Pool Http2 { get; } = new();

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
        Wake();
    }

    public void Unlink(UpstreamConnection connection)
    {
        if (connection.PreviousIdle is { } previous) previous.NextIdle = connection.NextIdle;
        else _idleTop = connection.NextIdle;
        if (connection.NextIdle is { } next) next.PreviousIdle = connection.PreviousIdle;
        connection.NextIdle = connection.PreviousIdle = null;
        IdleCount--;
    }

    /// <summary>The endpoint has left: idle connections and those on their way close now, busy ones when their answer is done, and who waits
    /// looks elsewhere.</summary>
    public void Retire()
    {
        Retired = true;
        Http2.RetireAll();
        CloseIdle();
        foreach (NewConnection one in Making.ToArray()) one.Retire();
        Wake();
    }

    /// <summary>Whether an idle one is there for a peer.</summary>
    public bool HasIdle(in UpstreamPeer peer)
    {
        for (UpstreamConnection? next = _idleTop; next is not null; next = next.NextIdle) if (next.Peer == peer) return true;
        return false;
    }

    /// <summary>Whether a connection for many is being made for a peer; others wait for it.</summary>
    public bool IsMaking(in UpstreamPeer peer)
    {
        foreach (NewConnection one in Making) if (one.IsShared && one.Peer == peer) return true;
        return false;
    }

    /// <summary>Whether there is a connection of this kind, or one on its way.</summary>
    public bool Has(in UpstreamPeer peer, UpstreamProtocol? offered) => _kinds.ContainsKey((peer, offered));

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

    /// <param name="connection">Null of a session of UDP, which nobody waits for.</param>
    public void Opened(UpstreamConnection? connection = null)
    {
        Connections++;
        if (connection is not null) CollectionsMarshal.GetValueRefOrAddDefault(_kinds, (connection.Peer, connection.Offered), out _)++;
    }

    /// <inheritdoc cref="Opened"/>
    public void Closed(UpstreamConnection? connection = null)
    {
        Connections--;
        if (connection is not null)
        {
            (UpstreamPeer, UpstreamProtocol?) kind = (connection.Peer, connection.Offered);
            if (--CollectionsMarshal.GetValueRefOrNullRef(_kinds, kind) == 0) _kinds.Remove(kind);
        }
        Wake();
    }

    /// <summary>Waits until something changed that is of use to <paramref name="waiter"/>.</summary>
    public void Wait(PoolWaiter waiter) => _waiting.Enqueue(waiter);

    /// <summary>Something changed: whoever gets somewhere by it goes on, first come first served, on a later turn of the loop: whoever returns
    /// a connection is in the middle of its own exchange.</summary>
    public void Wake()
    {
        if (_waiting.Count == 0 || _wakes) return;
        _wakes = true;
        Later();
    }

    // Apart, since a closure is made where its method begins: for every connection given back, though nobody waits.
    private void Later() => worker.Post(_ => Resume());

    private void Resume()
    {
        _wakes = false;
        Wish? stuck = null;
        for (int n = _waiting.Count; n > 0 && _waiting.TryDequeue(out PoolWaiter? waiter); n--)
        {
            if (!waiter.IsWaiting) continue;
            // What one cannot have nobody gets who wants the same.
            if (!Retired && waiter is { Failure: null, Wish: { } wish } && (wish == stuck || !Connect.MayGo(this, wish)))
            {
                stuck = wish;
                _waiting.Requeue(waiter);
                continue;
            }
            waiter.Resume();
        }
    }

    /// <summary>The connection that was being made failed, for all who waited for it.</summary>
    public void Fail(in UpstreamPeer peer, AttemptEnd failure, ConnectFailure? why)
    {
        for (int n = _waiting.Count; n > 0 && _waiting.TryDequeue(out PoolWaiter? waiter); n--)
        {
            if (waiter.Wish is { Wanted: Wanted.Http2 } wish && wish.Peer == peer)
            {
                waiter.Failure = failure;
                waiter.Why = why;
            }
            _waiting.Requeue(waiter);
        }
        Wake();
    }
}

// A connection on its way. It is made for its pool: whoever began it has it first; where he leaves meanwhile it is there for whoever comes
// next, so that an endpoint which is slower to connect than its clients wait is reached all the same (as in Envoy, whose pools own what they
// connect).
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal sealed class NewConnection(Cluster cluster, HostPool pool, UpstreamPeer peer, UpstreamProtocol offered, Worker worker)
{
    private readonly UpstreamConnection _up = new(worker, pool, peer) { Offered = offered };
    private PoolWaiter? _owner;

    /// <summary>With whom.</summary>
    public UpstreamPeer Peer => peer;

    /// <summary>It will be shared by many: who wants the same waits for it.</summary>
    public bool IsShared => offered == UpstreamProtocol.Http2;

    /// <summary>It has ended, one way or the other.</summary>
    public bool IsDone { get; private set; }

    /// <summary>How it failed; null where it did not.</summary>
    public AttemptEnd? Failure { get; private set; }

    /// <summary>Why.</summary>
    public ConnectFailure? Why { get; private set; }

    /// <summary>What its owner gets: a connection of HTTP/1, or a session.</summary>
    public UpstreamConnection? Connection { get; private set; }

    /// <inheritdoc cref="Connection"/>
    public Http2ClientSession? Session { get; private set; }

    /// <summary>Begins. <see cref="IsDone"/> may be true at once.</summary>
    public void Begin()
    {
        pool.Making.Add(this);
        Unawaited.Run(RunAsync());
    }

    /// <summary>Its owner waits.</summary>
    public void Wait(PoolWaiter owner) => _owner = owner;

    /// <summary>It has no owner any more, or never had one.</summary>
    public bool IsNobodys { get; private set; }

    /// <inheritdoc cref="IsNobodys"/>
    public void Leave()
    {
        IsNobodys = true;
        if (Connection is { } made) Keep(made);
        Connection = null;
    }

    /// <summary>The endpoint has left: nobody waits for it any more.</summary>
    public void Retire()
    {
        _owner?.Resume();
        _up.Cancel();
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RunAsync()
    {
        ConnectResult result = ConnectResult.Failed;
        try
        {
            result = await _up.ConnectAsync(cluster.ConnectMs);
        }
        finally
        {
            IsDone = true;
            pool.Making.Remove(this);
        }
        if (result == ConnectResult.Connected) Made();
        else Failed(result);
        pool.Wake();
        // On this turn: what was made is his before anybody else looks.
        _owner?.Resume();
        return true;
    }

    private void Made()
    {
        // Its limits may be others by now.
        Cluster now = cluster.Slot.Current ?? cluster;
        long[] stats = cluster.Slot.Stats!.Shard(worker.Index);
        bool http2 = offered == UpstreamProtocol.Auto ? _up.AgreedOnHttp2 : IsShared;
        // What an endpoint chooses it may choose otherwise the next time.
        if (offered == UpstreamProtocol.Auto) pool.AlpnHttp2 = http2;
        if (http2)
        {
            stats[ClusterStats.CxHttp2Total]++;
            Session = new Http2ClientSession(worker, _up, _up, Http2ClientTraits.Of(now), stats);
            _up.Session = Session;
            pool.Http2.Add(Session, peer);
            Session.Start();
            return;
        }
        stats[ClusterStats.CxHttp1Total]++;
        if (IsNobodys || _owner is { IsWaiting: false }) Keep(_up);
        else Connection = _up;
    }

    private void Keep(UpstreamConnection up) =>
        pool.Return(up, Math.Min(worker.Now + (cluster.Slot.Current ?? cluster).IdleMs, up.LifeEnd));

    private void Failed(ConnectResult result)
    {
        (Failure, Why) = _up.FailureOf(result);
        // Those who waited for this connection share its fate: each trying in turn would wait for all before it.
        if (IsShared && result != ConnectResult.Cancelled) pool.Fail(peer, Failure.Value, Why);
    }
}

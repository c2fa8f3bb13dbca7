// What every downstream connection has, whatever is spoken on it: its listener, its filter chain, its peer, its place in the
// listener's list so that a drain finds it, and the listener's counters.
using Naru.Proxy.FilterChains;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Listeners;

/// <summary>A connection on its way to whoever serves it: a new socket, or one that <paramref name="From"/> gives up.</summary>
internal readonly record struct Arrival(Worker Worker, Listener Listener, FilterChain? Chain, int Fd, SockAddr Peer, ListenerConnection? From = null)
{
    /// <summary>Goes on as another object.</summary>
    public Arrival(ListenerConnection from, Worker worker) : this(worker, from.Listener, from.Chain, -1, default, from) { }
}

internal abstract class ListenerConnection : SecureSocket
{
    private readonly long[] _listenerShard;
    private bool _opened;
    private bool _admitted;

    protected ListenerConnection(in Arrival arrival) : base(arrival.Worker)
    {
        Listener = arrival.Listener;
        Chain = arrival.Chain;
        _listenerShard = Listener.Stats.Shard(Worker.Index);
        if (arrival.From is { } from)
        {
            Id = from.Id;
            OpenedAt = from.OpenedAt;
            Peer = from.Peer;
            Info = from.Info;
            _opened = from._opened;
            _admitted = from._admitted;
            TakeOver(from);
            return;
        }
        Id = ConnectionIds.Next();
        OpenedAt = Worker.Now;
        Peer = arrival.Peer;
        Fd = arrival.Fd;
    }

    public Listener Listener { get; }

    /// <summary>Null until it is picked.</summary>
    public FilterChain? Chain { get; protected set; }

    /// <summary>Unique in this process.</summary>
    public long Id { get; }

    /// <summary>The client: the socket's peer, or the one that a PROXY header names.</summary>
    public SockAddr Peer { get; protected set; }

    /// <summary>Where the client wanted to go, as far as it is known.</summary>
    public SockAddr Local => Info?.Destination ?? LocalAddress();

    /// <summary>Null for a connection that nobody looked at.</summary>
    public ConnectionInfo? Info { get; protected set; }

    /// <summary>What is known of it, to add to that.</summary>
    public ConnectionInfo Know() => Info ??= new ConnectionInfo { DirectPeer = Peer };

    /// <summary>It stands for a connection of TLS that nobody made (see <c>Explain/</c>).</summary>
    public bool SeemsSecure { get; protected init; }

    /// <summary>As upstream connections made for it are to look; null until one is, and nearly always after.</summary>
    public Upstreams.UpstreamOrigin? Origin { get; set; }

    /// <summary>Whether no more work should be taken on.</summary>
    public bool IsDraining => Listener.IsDraining || Chain is { IsRetired: true };

    /// <summary>Its listener or its chain has gone, and told those connections that it knew: whoever comes late has to ask.</summary>
    protected bool MustEnd => Chain is { IsRetired: true } || Listener.HasStopped(Worker);

    /// <summary>Worker milliseconds.</summary>
    protected long OpenedAt { get; }

    protected long[] ListenerShard => _listenerShard;

    /// <summary>Links of the listener's list on this worker.</summary>
    public ListenerConnection? Next { get; set; }
    public ListenerConnection? Previous { get; set; }

    /// <summary>Starts serving: the first thing called after it was made.</summary>
    public abstract void Start();

    /// <summary>Its other end is gone, where the socket cannot say so: what is under way is given up.</summary>
    public virtual void GiveUp() { }

    /// <summary>The listener drains: an idle connection ends soon, a busy one with what it does.</summary>
    public abstract void Drain();

    /// <summary>Sets its timer anew: the pressure that timeouts follow has changed (Envoy: reduce_timeouts), or what its chain says of
    /// them.</summary>
    public virtual void Rescale()
    {
    }

    /// <summary>Counts the connection and watches its socket, where that has not been done by whom it was taken over from.</summary>
    protected void Begin()
    {
        Opened();
        if (LoopIndex < 0) Watch(writable: true);
    }

    /// <summary>From now on it counts as a connection of its listener.</summary>
    protected void Opened()
    {
        if (_opened) return;
        _opened = true;
        _listenerShard[ListenerStats.CxTotal]++;
        _listenerShard[ListenerStats.CxActive]++;
        Worker.Overload.Opened();
    }

    /// <summary>Why a network filter refused it.</summary>
    protected Http.Reason? RefusedFor { get; private set; }

    /// <summary>Rules of access refuse it, whoever serves it: it is closed now, or soon.</summary>
    public virtual void Refused(Http.Reason reason) => Listener.Log.Tell(Listener, this, reason, "");

    /// <summary>Runs the network filters before the last one; a refusal and the ms to wait before the close, or null.</summary>
    protected long? Refusal()
    {
        Network.NetworkFilter[] filters = Chain!.Filters;
        for (int i = 0; i < filters.Length; i++)
        {
            if (filters[i].Refuses(this, Worker) is not { } delay) continue;
            RefusedFor = filters[i].Reason;
            while (--i >= 0) filters[i].Left(Worker);
            return delay;
        }
        _admitted = filters.Length > 0;
        return null;
    }

    public override void Close()
    {
        if (Fd < 0) return;
        base.Close();
        Listener.Forget(this, Worker);
        if (_admitted) foreach (Network.NetworkFilter filter in Chain!.Filters) filter.Left(Worker);
        if (!_opened) return;
        _listenerShard[ListenerStats.CxActive]--;
        Worker.Overload.Closed();
        _listenerShard[ListenerStats.CxDestroy]++;
        Listener.Stats.HistogramOf(Worker.Index, ListenerStats.CxLength).Record(Worker.Now - OpenedAt);
    }
}

// What every downstream connection has, whatever is spoken on it: its listener, its filter chain, its peer, its place in the
// listener's list so that a drain finds it, and the listener's counters.
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Listeners;

/// <summary>A connection on its way to whoever serves it: a new socket, or one that <paramref name="From"/> gives up.</summary>
internal readonly record struct Arrival(Worker Worker, Listener Listener, FilterChain? Chain, int Fd, SockAddr Peer, ListenerConnection? From = null)
{
    /// <summary>Goes on as another object.</summary>
    public Arrival(ListenerConnection from, Worker worker) : this(worker, from.Listener, from.Chain, -1, default, from) { }

    /// <summary>File of the network namespace that its listening socket is in; null for this process's own.</summary>
    public string? NetworkNamespace { get; init; }
}

internal abstract class ListenerConnection : SecureSocket
{
    private static readonly byte[] s_notSet = "NotSet"u8.ToArray();
    private readonly long[] _listenerShard;
    private bool _opened;
    private bool _admitted;
    private string _endedWhy = "";

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
            (EndedFor, _endedWhy) = (from.EndedFor, from._endedWhy);
            TakeOver(from);
            return;
        }
        Id = ConnectionIds.Next();
        OpenedAt = Worker.Now;
        Peer = arrival.Peer;
        Fd = arrival.Fd;
        if (arrival.NetworkNamespace is { } network) Info = new ConnectionInfo { DirectPeer = Peer, NetworkNamespace = network };
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
        CountOpen(1);
        Worker.Overload.Opened();
    }

    /// <summary>Why a network filter refused it.</summary>
    protected Http.Reason? RefusedFor { get; set; }

    /// <summary>Why it ends; null where nobody said.</summary>
    protected Http.Reason? EndedFor { get; private set; }

    /// <summary>Says why it ends; the first reason is kept.</summary>
    /// <param name="reason">The reason.</param>
    /// <param name="downstream">Why the client's transport failed.</param>
    protected void EndsFor(Http.Reason reason, string downstream = "")
    {
        if (EndedFor is null) (EndedFor, _endedWhy) = (reason, downstream);
    }

    /// <summary>What logs are told of it, once it has ended.</summary>
    public virtual Network.ConnectionRecord Record()
    {
        var record = new Network.ConnectionRecord(Id, Worker.Ticks - (Worker.Now - OpenedAt) * (System.Diagnostics.Stopwatch.Frequency / 1000));
        record.Begin(this);
        if (EndedFor is { } reason) record.Ended(reason, downstream: _endedWhy);
        record.End(BytesIn, BytesOut, Worker.Ticks);
        return record;
    }

    private void Log(AccessLog[] logs)
    {
        Network.ConnectionRecord record = Record();
        record.Type = s_notSet;
        record.Write(logs, Worker.Index);
    }

    /// <summary>Rules of access refuse it, whoever serves it: it is closed now, or soon.</summary>
    public virtual void Refused(Http.Reason reason)
    {
        EndsFor(reason);
        Listener.Log.Tell(Listener, this, reason, "");
    }

    // Workers count from 0 here, as Envoy's do.
    private void CountOpen(int one)
    {
        if (Worker.Index < 1 || Worker.Index > Listener.WorkerStats.Length) return;
        long[] shard = Listener.WorkerStats[Worker.Index - 1].Shard(Worker.Index);
        shard[ListenerWorkerStats.CxActive] += one;
        if (one > 0) shard[ListenerWorkerStats.CxTotal]++;
    }

    /// <summary>The network filters before the last one let it on: they are told when it leaves.</summary>
    protected void Admit() => _admitted = Chain!.Filters.Length > 0;

    public override void Close()
    {
        if (Fd < 0) return;
        if (Listener.Logs is { Length: > 0 } logs) Log(logs);
        base.Close();
        Listener.Forget(this, Worker);
        if (_admitted) foreach (Network.NetworkFilter filter in Chain!.Filters) filter.Left(Worker);
        if (!_opened) return;
        _listenerShard[ListenerStats.CxActive]--;
        CountOpen(-1);
        Worker.Overload.Closed();
        _listenerShard[ListenerStats.CxDestroy]++;
        Listener.Stats.HistogramOf(Worker.Index, ListenerStats.CxLength).Record(Worker.Now - OpenedAt);
    }
}

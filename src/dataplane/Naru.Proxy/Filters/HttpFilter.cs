// An HTTP filter, compiled: immutable, shared by all workers, asked at the stages that it wants and at no other. What it must remember of
// one request it keeps in a slot of that request (FilterCall.State). What it does not wait for costs no allocation.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

/// <summary>Where a filter wants to be asked.</summary>
/// <remarks>What concerns bodies is asked for anew with each request (<see cref="FilterCall.Want"/>): here stands what a filter may
/// want.</remarks>
[Flags]
internal enum FilterStages : byte
{
    /// <summary>Nowhere.</summary>
    None = 0,

    /// <summary>The request's head is here; its route is chosen, and nothing of it has gone on.</summary>
    RequestHead = 1,

    /// <summary>An answer's head is here: an endpoint's, another filter's or the proxy's own.</summary>
    ResponseHead = 2,

    /// <summary>The exchange is over, whatever became of it; for a cluster's filters, each try.</summary>
    End = 4,

    /// <summary>Pieces of the request's body, the last of which is the end.</summary>
    RequestBody = 8,

    /// <summary>The end of a request's body, with trailers or without; comes behind the body.</summary>
    RequestTrailers = 16,

    /// <summary>Pieces of the answer's body, an own one's too.</summary>
    ResponseBody = 32,

    /// <summary>The end of an endpoint's answer, with trailers or without; comes behind the body.</summary>
    ResponseTrailers = 64,
}

/// <summary>What becomes of a request after a filter.</summary>
internal enum FilterVerdict : byte
{
    /// <summary>It goes on.</summary>
    Go,

    /// <summary>It is answered: <see cref="FilterCall.Answer"/> said how.</summary>
    Answer,

    /// <summary>It goes on, and its route is chosen anew.</summary>
    RouteAgain,
}

/// <summary>One filter of a chain.</summary>
internal abstract class HttpFilter
{
    /// <summary>Where it wants to be asked; never changes.</summary>
    public abstract FilterStages Stages { get; }

    /// <summary>Asking it about a request that nobody sends takes nothing from anybody, asks nobody else and depends on no chance: explanations
    /// ask it (<c>Explain/</c>) and only name the others.</summary>
    /// <param name="said">What the route says to it; null for nothing.</param>
    public virtual bool IsPure(object? said) => false;

    /// <summary>It says who may come in: where a condition cannot be told that would lead to it, it is asked rather than left out.</summary>
    public virtual bool Guards => false;

    /// <summary>What holds of what the levels of a route say, narrow to wide; at least one. The narrowest, unless a filter has another rule.</summary>
    public virtual object Merge(ReadOnlySpan<object> narrowToWide) => narrowToWide[0];

    /// <summary>Whether what a route says to this other kind of filter is meant for it: it has one of that kind do its work.</summary>
    public virtual bool Hears(HttpFilterExtension kind) => false;

    /// <summary>Asked with the request's head.</summary>
    public virtual ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(FilterVerdict.Go);

    /// <summary>Asked with the answer's head, in the reverse order of the chain; false cuts the exchange short, before
    /// anything of the answer went on; where <see cref="FilterCall.Refuse"/> gave a reason, the log has that.</summary>
    public virtual ValueTask<bool> OnResponseAsync(FilterCall call) => new(true);

    /// <summary>Asked with a piece of the request's body. It goes on as the filter leaves it.</summary>
    public virtual ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) => new(BodyVerdict.Go);

    /// <summary>Told that the request's body ended. What <paramref name="last"/> becomes goes on as the last piece of the body.</summary>
    public virtual ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last) => default;

    /// <summary>Asked with a piece of the answer's body, in the reverse order of the chain.</summary>
    public virtual ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) => new(BodyVerdict.Go);

    /// <summary>Told that the answer's body ended. What <paramref name="last"/> becomes goes on as the last piece of the body.</summary>
    public virtual ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last) => default;

    /// <summary>Told that the exchange is over; of a cluster's filters, that the try is.</summary>
    public virtual void OnEnd(FilterCall call) { }
}

/// <summary>A kind of filter on the data plane's side: the class that reads its configuration makes filters of it.</summary>
internal interface IHttpFilterKind
{
    /// <summary>A filter of a chain.</summary>
    HttpFilter Compile(object settings, FilterContext context);

    /// <summary>What a level of a route says, compiled once for all requests.</summary>
    object CompileRoute(object settings, FilterContext context) => settings;
}

/// <summary>What filters are made with.</summary>
/// <param name="Stats">All counters.</param>
/// <param name="StatPrefix">Of the chain's own: <c>http.NAME</c> or <c>cluster.NAME</c>; empty where routes are compiled, whose chains are not known.</param>
/// <param name="Clusters">All clusters.</param>
/// <param name="Node">This proxy.</param>
internal sealed record FilterContext(StatRegistry Stats, string StatPrefix, ClusterDirectory Clusters, NodeState Node)
{
    /// <summary>The chain is a cluster's. Routes say how its filters do what they do, and not whether, as in Envoy.</summary>
    public bool IsUpstream { get; init; }

    /// <summary>The filter's name in the chain; empty where it is none of a chain's own.</summary>
    public string Name { get; init; } = "";

    /// <summary>A block below the chain's prefix.</summary>
    public StatBlock Block(string name, StatSchema schema) => Stats.Block(StatPrefix, name, schema);
}

/// <summary>Facts of this proxy that filters tell others. Any thread may look.</summary>
internal sealed class NodeState
{
    private volatile bool _healthCheckFailed;

    /// <summary>The name of the cluster that this node is of; empty for none.</summary>
    public byte[] Cluster { get; init; } = [];

    /// <summary>The name of this node; empty for none.</summary>
    public byte[] Id { get; init; } = [];

    /// <summary>The zone that it is in; empty for none.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Who it is, as services are told in a first message (<c>envoy.config.core.v3.Node</c>).</summary>
    public byte[] Message { get; init; } = [];

    /// <summary>Those that do its work. Known before any configuration is compiled.</summary>
    public Worker[] Workers { get; set; } = [];

    /// <summary>Services that are told things.</summary>
    public Reports.ExporterTable Exporters { get; } = new();

    /// <summary>Values that change while it runs.</summary>
    public Runtime Runtime { get; init; } = new([]);

    /// <summary>Scopes of routes that discovery brings.</summary>
    public Routing.DiscoveredScopes Scopes { get; } = new();

    /// <summary>Virtual hosts that requests wait for.</summary>
    public Routing.HostsOnDemand Hosts { get; } = new();

    /// <summary>Secrets that filters read.</summary>
    public FilterSecrets Secrets { get; } = new();

    /// <summary>What day it is.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>The proxy's log, of what filters say.</summary>
    public Action<Naru.Core.LogLevel, string> Log { get; init; } = static (_, _) => { };

    /// <summary>Has a worker do something for which no request came; later, and not at all where none runs.</summary>
    public Action<Action<Worker>> Later { get; set; } = static _ => { };

    private readonly List<Task> _beginnings = [];

    /// <summary>Something is to have ended before this proxy says that it serves. Said while configuration is compiled.</summary>
    public void Awaits(Task beginning)
    {
        lock (_beginnings)
        {
            _beginnings.RemoveAll(static b => b.IsCompleted);
            _beginnings.Add(beginning);
        }
    }

    /// <summary>Ends when all of that has ended.</summary>
    public Task Begun
    {
        get
        {
            lock (_beginnings) return Task.WhenAll(_beginnings);
        }
    }

    /// <summary>Its health check is failed on purpose (Envoy: /healthcheck/fail).</summary>
    public bool HealthCheckFailed { get => _healthCheckFailed; set => _healthCheckFailed = value; }

    /// <summary>A share of all requests, in millionths.</summary>
    public static bool Chance(Worker worker, int perMillion) => perMillion >= 1_000_000 || (perMillion > 0 && worker.Random.Below(1_000_000) < perMillion);
}

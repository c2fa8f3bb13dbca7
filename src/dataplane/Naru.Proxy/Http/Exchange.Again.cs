// What an exchange knows of its way beyond the first route: the hash that its endpoint is picked by, and the redirects that were followed for it.
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal sealed partial class Exchange
{
    private RedirectsFollowed? _redirects;

    /// <summary>Of <see cref="RequestLength"/>: there is no body any more, and nothing is told of a length.</summary>
    public const long NoBody = -3;

    public ref byte[]? MadeMethod => ref _facts.MadeMethod;
    public ref RouteTable? Table => ref _choice.Table;
    public bool MadeCookie => _choice.MadeCookie;
    public ref bool IsRedirecting => ref _way.IsRedirecting;
    public ref FallbackStep Fallback => ref _way.Fallback;
    public ref string? FallbackCause => ref _way.FallbackCause;

    /// <summary>What was chosen for the request: for somebody who tries another choice and may come back.</summary>
    public ref RouteChoice Choice => ref _choice;

    /// <summary>What a hashing balancer picks by; null for chance. Asked by such balancers only, since it may make a cookie.</summary>
    public ulong? RouteHash()
    {
        if (_choice.HashKnown || _choice.Route?.Forward?.Hash is not { } policies) return _choice.Hash;
        _choice.HashKnown = true;
        _choice.Hash = policies.Make(this, makesCookie: true, out int asked);
        _choice.MadeCookie = policies.MakesCookie(this, asked);
        return _choice.Hash;
    }

    /// <summary>Another route was chosen: its policies make another hash.</summary>
    public void ForgetHash() => (_choice.Hash, _choice.HashKnown, _choice.MadeCookie) = (null, false, false);

    /// <summary>Counts one more where it is counted besides its cluster: by virtual cluster, by route.</summary>
    /// <param name="stat">Of <see cref="RequestStats"/>.</param>
    public void CountBeside(int stat)
    {
        _way.VirtualCluster?.Counts.Count(Worker.Index, stat);
        _way.RouteCounts?.Count(Worker.Index, stat);
    }

    /// <summary>The request goes out anew, to another route: nothing of the tries before counts for it. Each part of what is known is
    /// assigned whole, and what stays of it is named here.</summary>
    public void BeginAgain()
    {
        _way = default;
        _limits = new Limits();
        _notes = default;
        _filtering = new FilterState { Chain = _filtering.Chain, RequestLength = _filtering.RequestLength, GivesRequestBody = _filtering.GivesRequestBody };
        _outcome = new Outcome { KeepAlive = _outcome.KeepAlive, HeadTorn = _outcome.HeadTorn, Abort = _outcome.Abort };
        Deadlines.Route = Deadlines.Stream = TimerNode.Never;
        Deadlines.IdleMs = Manager.StreamIdleMs;
        Tried.Clear();
    }

    /// <summary>Redirects that were followed for this request; made when the first one is.</summary>
    public RedirectsFollowed Redirects => _redirects ??= new RedirectsFollowed();
}

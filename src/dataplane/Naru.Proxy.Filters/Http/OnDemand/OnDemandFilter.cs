// Holds a request whose virtual host nobody knows yet, asks for the host, and has the route chosen anew when more is known. Where there is no
// such host the request goes on without a route, which is 404.
using System.Runtime.CompilerServices;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.OnDemand;

internal sealed class OnDemandFilter(HostsOnDemand hosts) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        bool isKnown = x.VirtualHost is not null || x.Table is not { Config.HostsOnDemand: not null };
        return isKnown ? new ValueTask<FilterVerdict>(FilterVerdict.Go) : HoldAsync(call);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> HoldAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        RouteTable table = x.Table!;
        if (HostsOnDemand.NameOf(x.Authority, table.Config.IgnorePortInHostMatching) is not { } host) return FilterVerdict.Go;
        switch (await hosts.WaitAsync(x, table.Config.Name, host))
        {
            case HostWait.Overflow: return call.Refuse(FilterReasons.TooManyHosts);
            case HostWait.GivenUp: return FilterVerdict.Go;
        }
        // The listener may have changed meanwhile; the request keeps its manager.
        x.Table = x.Manager.Scopes?.Of(x.RequestHeaders) ?? x.Manager.Routes ?? table;
        return FilterVerdict.RouteAgain;
    }
}

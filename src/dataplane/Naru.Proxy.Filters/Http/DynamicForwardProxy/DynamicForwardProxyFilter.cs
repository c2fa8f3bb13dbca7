// Has the host that a request names looked up before the request goes on, and answers where there is none. For requests whose route leads
// to a cluster of type dynamic_forward_proxy; the others pass. The cluster takes its endpoint from the same cache.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Filters.Http.DynamicForwardProxy;

internal sealed class DynamicForwardProxyFilter(ForwardNames names, bool savesAddress) : HttpFilter
{
    // Envoy: filter state that other filters look at.
    private static readonly byte[] s_address = "envoy.stream.upstream_address"u8.ToArray();

    public override FilterStages Stages => FilterStages.RequestHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        if (x.Route?.Forward is null || x.Target?.Slot.Current is not { Config.Type: DiscoveryType.DynamicForwardProxy } cluster)
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (call.Route<ForwardProxyRoute>() is { } route) Rewrite(x, route);
        if (names.Get(x.Authority, RequestHosts.StandardPort(cluster), x.Worker.Now, out bool isFull) is not { } entry)
            return new ValueTask<FilterVerdict>(isFull ? call.Refuse(FilterReasons.NameCacheFull) : Failed(call, "no_host"));
        return entry.Addresses is null ? WaitAsync(call, entry) : new ValueTask<FilterVerdict>(Go(call, entry));
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> WaitAsync(FilterCall call, ForwardNames.Entry entry) => await names.WaitAsync(call.Exchange, entry) switch
    {
        NameWait.Overflow => call.Refuse(FilterReasons.TooManyLookups),
        NameWait.GivenUp => FilterVerdict.Go,
        _ => Go(call, entry),
    };

    private FilterVerdict Go(FilterCall call, ForwardNames.Entry entry)
    {
        if (entry.Addresses is not { Length: > 0 } addresses) return Failed(call, entry.Why);
        if (savesAddress) call.Exchange.SetState(s_address, Encoding.ASCII.GetBytes(addresses[0].ToString()), readOnly: false);
        return FilterVerdict.Go;
    }

    private static FilterVerdict Failed(FilterCall call, string why) =>
        call.Refuse(FilterReasons.NoSuchName with { Details = $"{FilterReasons.NoSuchName.Details}{{{why}}}" });

    // The first value of a header counts; what is no host is left alone, as where a route rewrites it.
    private static void Rewrite(Exchange x, ForwardProxyRoute route)
    {
        ReadOnlySpan<byte> host = route.Host;
        if (route.Header is { } name && x.RequestHeaders.TryGet(name, out ReadOnlySpan<byte> value)) host = value;
        if (host.IsEmpty || host.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) >= 0) return;
        x.RequestHeaders.SetAuthority(host);
    }
}

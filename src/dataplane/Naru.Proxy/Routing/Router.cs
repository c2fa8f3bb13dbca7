// Finds the route of a request and does what it says: forward, redirect, or answer at once.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Routing;

internal static class Router
{
    /// <summary>Answers the request; false when the downstream connection must close.</summary>
    public static ValueTask<bool> AnswerAsync(Exchange x)
    {
        long[] stats = x.Manager.Stats.Shard(x.Worker.Index);
        if (x.Worker.Overload.RefusesRequest(x.Worker.Random))
        {
            stats[HttpStats.RqOverloadClose]++;
            stats[HttpStats.RqOverloadLocalReply]++;
            return LocalReply.SendAsync(x, Reasons.Overloaded);
        }
        RouteTable? table = x.Manager.Scopes?.Of(x.RequestHeaders) ?? x.Manager.Routes;
        if (table is null) return LocalReply.SendAsync(x, Reasons.NoRouteTable, x.Manager.RouteName);
        if (table.InternalOnly is { } names && !ClientAddress.IsInternal(x) && TakeInternalOnly(x, names) is { } lost)
            return LocalReply.SendAsync(x, lost);
        x.Manager.EarlyMutations?.Apply(x);
        if (ClientAddress.Refusal(x) is { } refusal) return LocalReply.SendAsync(x, refusal);
        TrustedHeaders.Clean(x);
        // What a client made up, and is gone now, must choose no scope either.
        if (x.Manager.Scopes is { } scopes && (table = scopes.Of(x.RequestHeaders) ?? x.Manager.Routes) is null)
            return LocalReply.SendAsync(x, Reasons.NoRouteTable, x.Manager.RouteName);
        Choose(x, table);
        if (x.Manager.Tracing is { } tracing)
        {
            tracing.Begin(x);
            Decorators.OnRequest(x);
        }
        if (x.Manager.Config.LogMoments.OnStart) x.LogNow(LogMoment.Start);
        return x.Manager.Filters is { } filters ? FilterAsync(x, filters, table) : ActAsync(x);
    }

    /// <summary>Chooses virtual host, route and target by the request's head as it is now.</summary>
    public static void Choose(Exchange x, RouteTable table)
    {
        x.Table = table;
        x.VirtualHost = table.Find(x);
        ulong? given = x.Explanation?.Random;
        uint chance = (uint)(given ?? x.Worker.Random.Next());
        x.Route = WantsTls(x) ? null : x.VirtualHost?.Match(x.View, chance);
        x.ForgetHash();
        bool noWeight = false;
        x.Target = x.Route?.Forward?.Pick(x, given ?? x.Worker.Random.Next(), out noWeight);
        x.Explanation?.Chose(x, table, chance, noWeight);
        if (noWeight) x.Route = null;
        x.Mutations = x.Target?.Headers ?? x.Route?.Headers;
    }

    /// <summary>The request goes where a redirect that was followed leads: its route was chosen. Filters see it once more, as they would see it if the
    /// client had asked for that.</summary>
    public static ValueTask<bool> AgainAsync(Exchange x)
    {
        x.Filters?.End(x);
        x.BeginAgain();
        if (x.Manager.Tracing is not null) Decorators.OnRequest(x);
        if (x.Manager.Filters is not { } filters) return ActAsync(x);
        return FilterAsync(x, filters, x.Table!);
    }

    // The stop behind the route: what the filters let go on is done as the route says. They see a request without a route, too.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> FilterAsync(Exchange x, HttpFilterChain chain, RouteTable table)
    {
        FilterSteps steps = chain.At(Said(x));
        FilterRun run = x.BeginFilters(x.Explanation?.Asked(x, chain, steps) ?? steps);
        if (!x.IsBodyHere && x.Manager.RequestMs > 0) x.Deadlines.Request = x.Worker.Now + x.Manager.RequestMs;
        int next = 0;
        while (true)
        {
            (FilterVerdict verdict, next) = await run.RequestAsync(x, next);
            if (x.Abort != AbortReason.None) return await GivenUpAsync(x);
            if (verdict == FilterVerdict.Answer) x.Explanation?.Ended(run.Steps.Request[next - 1].Slot);
            if (verdict == FilterVerdict.Answer) return await LocalReply.SendAsync(x, x.FilterAnswer!);
            if (verdict == FilterVerdict.Go) return await ActAsync(x);
            // A filter may have waited for a newer table.
            table = x.Manager.Scopes?.Of(x.RequestHeaders) ?? x.Table ?? table;
            Choose(x, table);
            run.Settings = chain.At(Said(x)).Settings;
        }
    }

    // While a filter waited: nobody upstream knows of it yet.
    private static ValueTask<bool> GivenUpAsync(Exchange x) =>
        Aborts.Reason(x, out string detail) is { } reason ? LocalReply.SendAsync(x, reason, detail) : ValueTask.FromResult(false);

    /// <summary>What the route that was chosen says to filters, the cluster's among them; null for nothing.</summary>
    public static RouteFilters? Said(Exchange x) => x.Target?.Filters ?? x.Route?.Filters;

    private static ValueTask<bool> ActAsync(Exchange x)
    {
        long[] stats = x.Manager.Stats.Shard(x.Worker.Index);
        stats[HttpStats.RqRouted]++;
        if (x.Route is null)
        {
            if (WantsTls(x)) return RequireTls(x, stats);
            stats[HttpStats.NoRoute]++;
            return LocalReply.SendAsync(x, Reasons.NoRoute);
        }
        if (x.AsksUpgrade && !RequestCheck.MayUpgrade(x, x.Route.Forward))
        {
            stats[HttpStats.RqUpgradeRefused]++;
            return LocalReply.SendAsync(x, Reasons.UpgradeNotAllowed);
        }
        if (x.Route.Forward is { } forward) return Forward(x, forward, stats);
        switch (x.Route.Config.Action)
        {
            case RedirectActionConfig redirect:
                stats[HttpStats.RqDirectResponse]++;
                return Redirects.SendAsync(x, redirect);
            default:
                var direct = (DirectResponseActionConfig)x.Route.Config.Action;
                stats[HttpStats.RqDirectResponse]++;
                x.Status = direct.Status;
                x.Details = "direct_response";
                // Of a status that speaks of a place, that place is the request's own (Envoy: DirectResponseAction).
                string here = direct.Status is 201 or (>= 300 and < 400) ? $"location: {Redirects.Own(x)}\r\n" : "";
                return x.Route.DirectBody is { } format ? LocalReply.SendAsync(x, format, direct.Bytes, here) : LocalReply.SendAsync(x, direct.Bytes, here);
        }
    }

    private static ValueTask<bool> Forward(Exchange x, ForwardAction action, long[] stats)
    {
        x.RouteCounts = x.Route!.Counts;
        foreach (VirtualCluster counted in x.VirtualHost!.VirtualClusters)
        {
            if (!counted.Matches(x.RequestHeaders)) continue;
            x.VirtualCluster = counted;
            break;
        }
        if (!x.Manager.Config.StrictChecks.IsEmpty && StrictChecks.Refusal(x, out string body) is { } unreadable)
            return LocalReply.SayAsync(x, unreadable, body);
        if (x.Target?.Slot.Current is not { } cluster)
        {
            stats[HttpStats.NoCluster]++;
            Reason reason = Reasons.NoCluster with { Status = action.Config.ClusterNotFoundResponseCode };
            string name = x.Target?.Slot.Name ?? action.Config.ClusterHeader ?? "";
            x.Target = null;
            return LocalReply.SendAsync(x, reason, name);
        }
        return Forwarder.ForwardAsync(x, action, cluster);
    }

    // Before anything reads them (Envoy: RouteConfiguration.internal_only_headers). What the head's check found out is found out anew.
    private static unsafe Reason? TakeInternalOnly(Exchange x, byte[][] names)
    {
        x.RequestBody.Unwanted = names;
        // Those of a short request of HTTP/2 may be here already.
        x.Stream?.RemoveTrailers(names);
        int moved = x.Head.RemoveNamed(new Span<byte>(x.In.Memory + x.HeadOffset, x.Head.Length), names);
        if (moved == 0) return null;
        x.HeadOffset += moved;
        return RequestCheck.Again(x);
    }

    /// <summary>Its virtual host sends plain requests to https, and this is one.</summary>
    internal static bool WantsTls(Exchange x) => x.VirtualHost is { Config.RequireTls: not TlsRequirement.None } host && !IsSecure(x, host);

    private static bool IsSecure(Exchange x, VirtualHost host) =>
        (x.RequestHeaders.TryGet("x-forwarded-proto"u8, out ReadOnlySpan<byte> scheme) && Ascii.EqualsIgnoreCase(scheme, "https"u8))
        || (host.Config.RequireTls == TlsRequirement.ExternalOnly && ClientAddress.IsInternal(x));

    // Before any route, and without what host and table add to answers (Envoy: VirtualHost.require_tls).
    private static ValueTask<bool> RequireTls(Exchange x, long[] stats)
    {
        stats[HttpStats.RqDirectResponse]++;
        x.Status = 301;
        x.Details = "direct_response";
        return LocalReply.SendAsync(x, [], $"location: https://{Encoding.Latin1.GetString(x.Authority)}{Encoding.Latin1.GetString(x.PathAndQuery)}\r\n");
    }
}

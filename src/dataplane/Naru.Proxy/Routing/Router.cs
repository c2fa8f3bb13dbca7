// Finds the route of a request and does what it says: forward, redirect, or answer at once.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
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
            return LocalReply.SendAsync(x, Reasons.Overloaded);
        }
        RouteTable? table = x.Manager.Routes;
        if (table is null) return LocalReply.SendAsync(x, Reasons.NoRouteTable, x.Manager.RouteName);
        if (table.InternalOnly is { } names && !ClientAddress.IsInternal(x)) TakeInternalOnly(x, names);
        TrustedHeaders.Clean(x);
        x.VirtualHost = table.Find(x.Authority);
        x.Route = x.VirtualHost?.Match(x.View, (uint)x.Worker.Random.Next());
        if (x.Route is null)
        {
            stats[HttpStats.NoRoute]++;
            return LocalReply.SendAsync(x, Reasons.NoRoute);
        }
        if (x.IsUpgrade && !RequestCheck.MayUpgrade(x, x.Route.Forward))
        {
            stats[HttpStats.RqUpgradeRefused]++;
            return LocalReply.SendAsync(x, Reasons.UpgradeNotAllowed);
        }
        if (x.Route.Forward is { } forward) return Forward(x, forward, stats);
        switch (x.Route.Config.Action)
        {
            case RedirectActionConfig redirect:
                stats[HttpStats.RqRedirect]++;
                return Redirect(x, redirect);
            default:
                var direct = (DirectResponseActionConfig)x.Route.Config.Action;
                stats[HttpStats.RqDirectResponse]++;
                x.Status = direct.Status;
                x.Details = "direct_response";
                return LocalReply.SendAsync(x, [.. direct.Body], "");
        }
    }

    private static ValueTask<bool> Forward(Exchange x, ForwardAction action, long[] stats)
    {
        stats[HttpStats.RqRouted]++;
        // A tunnel has no body before it: with one, the request is an ordinary one (RFC 9110 7.8: a server may ignore Upgrade).
        if (x.Framing.Body != BodyKind.None) x.IsUpgrade = false;
        x.Target = action.Pick(x.View, x.Worker.Random.Next());
        if (x.Target?.Slot.Current is not { } cluster)
        {
            stats[HttpStats.NoCluster]++;
            Reason reason = Reasons.NoCluster with { Status = action.Config.ClusterNotFoundResponseCode };
            return LocalReply.SendAsync(x, reason, x.Target?.Slot.Name ?? action.Config.ClusterHeader!);
        }
        x.Mutations = x.Target.Headers ?? x.Route!.Headers;
        return Forwarder.ForwardAsync(x, action, cluster);
    }

    // Before anything reads them (Envoy: RouteConfiguration.internal_only_headers). What the head's check found out is found out anew.
    private static unsafe void TakeInternalOnly(Exchange x, byte[][] names)
    {
        int moved = x.Head.RemoveNamed(new Span<byte>(x.In.Memory + x.HeadOffset, x.Head.Length), names);
        if (moved == 0) return;
        x.HeadOffset += moved;
        RequestCheck.Again(x);
    }

    private static ValueTask<bool> Redirect(Exchange x, RedirectActionConfig action)
    {
        string authority = Encoding.Latin1.GetString(x.Authority);
        string path = Encoding.Latin1.GetString(x.Path);
        string scheme = action.Scheme ?? (x.IsHttps ? "https" : "http");
        string host = action.Host ?? HostOnly(authority);
        string port = action.Port is { } p ? IsDefault(scheme, p) ? "" : $":{p}"
            : action.Host is null && action.Scheme is null ? authority[HostOnly(authority).Length..] : "";
        string location = action.Path
            ?? (action.PrefixRewrite is { } prefix ? PathRewrite.Rooted(prefix) + path[x.Route!.MatchedLength(x.Path)..]
            : action.RegexRewrite is { } rewrite ? Encoding.Latin1.GetString(PathRewrite.ByRegex(x.Path, rewrite.Pattern, rewrite.Substitution))
            : path);
        if (x.HasQuery && !action.StripQuery && !location.Contains('?')) location += "?" + Encoding.Latin1.GetString(x.Query);
        x.Status = action.ResponseCode;
        x.Details = "direct_response";
        return LocalReply.SendAsync(x, [], $"location: {scheme}://{host}{port}{location}\r\n");
    }

    private static bool IsDefault(string scheme, int port) => scheme == "https" ? port == 443 : port == 80;

    private static string HostOnly(string authority)
    {
        int colon = authority.LastIndexOf(':');
        return colon < 0 || authority.EndsWith(']') ? authority : authority[..colon];
    }
}

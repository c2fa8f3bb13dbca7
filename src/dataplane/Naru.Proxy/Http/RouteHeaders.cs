// What a route makes of a request's head, once and before the first try, and of its answer's: the router's own fields, the mutations of
// all levels, then host and path (Envoy: router filter). Values of mutations see the request before it is rewritten.
using System.Text;
using Naru.Http.Headers;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal static class RouteHeaders
{
    /// <summary>Makes the head that goes upstream; limits and target of the exchange are known.</summary>
    public static void ApplyToRequest(Exchange x, ForwardAction action)
    {
        RequestHeaders head = x.RequestHeaders;
        if ((x.Manager.HasInternal && ClientAddress.IsInternal(x)) || (x.Filters is not null && head.Has(KnownHeader.Internal))) RequestLimits.TakeConsumed(x, head);
        if (x.GrpcTimeoutMs >= 0)
        {
            Span<byte> text = stackalloc byte[16];
            head.Set("grpc-timeout"u8, text[..RequestLimits.FormatGrpcTimeout(x.GrpcTimeoutMs, text)]);
        }
        if (x.Route!.Host.IncludeRequestAttemptCount) head.Set("x-envoy-attempt-count"u8, 1);
        SetExpected(x, head);
        x.Mutations?.ApplyToRequest(x);
        RewriteHost(x, head, action);
        RewritePath(x, head, action);
    }

    /// <summary>What differs from try to try: how many there were, what time is left, whose name the endpoint has.</summary>
    public static void ApplyToTry(Exchange x, ForwardAction action)
    {
        RequestHeaders head = x.RequestHeaders;
        x.Manager.Tracing?.BeginTry(x, x.Try);
        if (x.Manager.Config.SchemeMatchesUpstream)
            x.IsHttps = (x.Host!.Transport ?? x.Target!.Slot.Current?.Transports.Nameless) is { Tls: not null };
        if (x.Attempts > 1)
        {
            if (x.Route!.Host.IncludeRequestAttemptCount) head.Set("x-envoy-attempt-count"u8, x.Attempts);
            if (x.Route.Host.IncludeIsTimeoutRetry && x.Retried > 0)
                head.Set("x-envoy-is-timeout-retry"u8, x.FollowsTimeout ? "true"u8 : "false"u8);
            SetExpected(x, head);
        }
        if (!action.Config.AutoHostRewrite || x.Target!.HostRewrite is not null || x.Host!.Hostname.Length == 0) return;
        // What the client asked for is told once, not the name of the endpoint before.
        if (x.Attempts > 1) head.SetAuthority(x.Host.Hostname);
        else SetHost(x, head, action, x.Host.Hostname);
    }

    /// <summary>Begins an answer from upstream whose head is at the front of a buffer, with what the router and the route say in it.</summary>
    public static void BeginAnswer(Exchange x, IoBuffer from, bool upgrade)
    {
        ResponseHeaders head = x.ResponseHeaders;
        if (!head.IsOpen) head.Begin(from);
        bool clean = !head.Has(KnownHeader.Internal);
        // Only we speak in our name.
        if (!clean)
        {
            head.Remove("x-naru-reason"u8);
            head.Remove("x-naru-may-repeat"u8);
        }
        if (!upgrade && !x.Manager.Config.SuppressEnvoyHeaders)
        {
            Span<byte> text = stackalloc byte[20];
            Worker.Milliseconds(x.UpstreamStartTicks, x.ResponseStartTicks).TryFormat(text, out int written);
            if (clean) head.AddOwn("x-envoy-upstream-service-time"u8, text[..written], KnownHeader.Internal);
            else head.Set("x-envoy-upstream-service-time"u8, text[..written]);
        }
        if (x.MadeCookie) x.Route!.Forward!.Hash!.SetCookie(x);
        ApplyToAnswer(x);
    }

    /// <summary>What the route says in an answer, also in one of our own. Without a route nothing is said.</summary>
    public static void ApplyToAnswer(Exchange x)
    {
        // The first attempt counts from the moment it is decided on.
        if (x.Route is { Forward: not null, Host.IncludeAttemptCountInResponse: true })
            x.ResponseHeaders.Set("x-envoy-attempt-count"u8, Math.Max(1, x.Attempts));
        if (x.Fallback == FallbackStep.Taken) x.ResponseHeaders.Set("x-naru-fallback"u8, Encoding.ASCII.GetBytes(x.FallbackCause!));
        x.Mutations?.ApplyToResponse(x);
    }

    private static void SetExpected(Exchange x, RequestHeaders head)
    {
        if (x.Manager.Config.SuppressEnvoyHeaders) return;
        long expected = RequestLimits.Expected(x);
        if (expected > 0) head.Set("x-envoy-expected-rq-timeout-ms"u8, expected);
    }

    private static void RewriteHost(Exchange x, RequestHeaders head, ForwardAction action)
    {
        if (x.Target is { OwnsHost: true, HostRewrite: { } own }) head.SetAuthority(own);
        else if (x.Target!.HostRewrite is { } literal) SetHost(x, head, action, literal);
        else if (action.HostFormat is { } format)
        {
            x.Scratch.Clear();
            format.Write(x, x.Scratch);
            SetHost(x, head, action, x.Scratch.Written);
        }
        else if (action.HostRewriteHeader is { } name && head.TryGet(name, out ReadOnlySpan<byte> value)) SetHost(x, head, action, value);
        else if (action.Config.HostRewritePathRegex is { } byPath)
            SetHost(x, head, action, PathRewrite.Replace(x.Path, byPath.Pattern, byPath.Substitution));
    }

    private static void SetHost(Exchange x, RequestHeaders head, ForwardAction action, ReadOnlySpan<byte> host)
    {
        // A field's value may hold what no authority does.
        if (host.IsEmpty || host.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) >= 0) return;
        ReadOnlySpan<byte> old = x.Authority;
        bool append = action.Config.AppendXForwardedHost && old.Length > 0 && !IsLastForwarded(head, old);
        if (append) head.Join("x-forwarded-host"u8, old, ","u8);
        if (!x.Manager.Config.SuppressEnvoyHeaders) head.Set("x-envoy-original-host"u8, old);
        head.SetAuthority(host);
    }

    // The same name twice in a row says nothing.
    private static bool IsLastForwarded(RequestHeaders head, ReadOnlySpan<byte> host)
    {
        int last = -1;
        for (int i = head.Next(KnownHeader.XForwardedHost); i >= 0; i = head.Next(KnownHeader.XForwardedHost, i + 1)) last = i;
        if (last < 0) return false;
        ReadOnlySpan<byte> value = head.Value(last);
        int comma = value.LastIndexOf((byte)',');
        return value[(comma + 1)..].Trim((byte)' ').SequenceEqual(host);
    }

    // An authority and the asterisk are no paths.
    private static void RewritePath(Exchange x, RequestHeaders head, ForwardAction action)
    {
        ReadOnlySpan<byte> path = x.Path;
        if (path[0] != '/') return;
        LineBuffer made = x.Scratch;
        made.Clear();
        if (action.PrefixRewrite is { } prefix)
        {
            int matched = x.Route!.MatchedLength(path);
            if (matched < 0) return;
            made.Append(prefix);
            made.Append(path[matched..]);
        }
        else if (action.PathFormat is { } format)
        {
            byte[] formatted = PathRewrite.Formatted(format.Value(x, made), action.PathFormatHasQuery);
            made.Clear();
            made.Append(formatted);
        }
        else if (action.Config.TemplateRewrite is { IsEmpty: false } parts)
        {
            byte[] rewritten = PathRewrite.ByTemplate(path, x.Route!.Config.Match.Template!.Regex, parts);
            if (rewritten.Length == 0) return;
            made.Append(rewritten);
        }
        else if (action.Config.RegexRewrite is { } rewrite)
        {
            byte[] rewritten = PathRewrite.ByRegex(path, rewrite.Pattern, rewrite.Substitution);
            // Nothing is no path: it stays as it was.
            if (rewritten.Length == 0) return;
            made.Append(rewritten);
        }
        else
        {
            return;
        }
        if (x.HasQuery)
        {
            made.Append((byte)'?');
            made.Append(x.Query);
        }
        if (!x.Manager.Config.SuppressEnvoyHeaders) head.Set("x-envoy-original-path"u8, x.PathAndQuery);
        head.SetPath(made.Written);
    }
}

// Sends the proxy's own answers: a reason from the table, a redirect, a fixed body. Clients get what Envoy would say, in the form that
// they speak (HTTP, or a gRPC status); where somebody asked for it (--explain), those on this machine are told why instead. Whoever is
// told what, the access log knows.
using System.Text;
using Naru.Core;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal static class LocalReply
{
    private const int MostCandidates = 5;

    /// <summary>Notes why the proxy ends an exchange itself: for the log, and for those who may know.</summary>
    public static void Because(Exchange x, Reason reason, string detail = "")
    {
        x.Reason = reason;
        x.ReasonDetail = detail;
        x.Flags |= reason.Flags;
        x.Details = !x.SpeaksHttp2 ? reason.Details : Reasons.DetailsInHttp2(reason);
    }

    /// <summary>Answers with a reason; false when the connection must close.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="reason">Why.</param>
    /// <param name="detail">More about it, for those who may know.</param>
    /// <param name="extra">Whole header lines to add.</param>
    public static ValueTask<bool> SendAsync(Exchange x, Reason reason, string detail = "", string extra = "")
    {
        Because(x, reason, detail);
        x.Status = reason.Status;
        // Envoy counts the try for which there was no host.
        if (reason == Reasons.NoHealthyUpstream && x.Attempts == 0) x.Attempts = 1;
        if (reason == Reasons.Overflow) extra = "x-envoy-overloaded: true\r\n";
        else if (MayRepeat(x, reason)) extra = "x-naru-may-repeat: true\r\n";
        else if (reason == Reasons.EscapedSlash)
        {
            extra = $"location: {Location(x)}\r\n";
            x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqRedirectedWithNormalizedPath]++;
        }
        if (!ClientAddress.MayKnow(x)) return SendAsync(x, "", Encoding.ASCII.GetBytes(Reasons.Body(reason, x.Attempts > 1)), "text/plain", extra, reason.Grpc);
        // A route may have given the request another name; it came by the one that it was asked by.
        bool named = ClientAddress.IsNamedHere(x.AskedAuthority);
        string said = named ? Said(x) : reason.Code;
        Failure? failure = named ? ReplyPages.Of(x, reason) : null;
        if (ReplyForms.WantsProblem(x))
            return SendAsync(x, said, ReplyForms.Problem(x, reason, said, failure), "application/problem+json", extra, reason.Grpc);
        if (failure is null) return SendAsync(x, said, Encoding.ASCII.GetBytes($"{said}\n"), "text/plain", extra, reason.Grpc);
        return ReplyForms.WantsPage(x)
            ? SendAsync(x, said, ReplyPages.Html(failure, x.Status, ReplyForms.FlagsOf(x), said, x.Method), "text/html; charset=utf-8",
                extra + ReplyPages.Headers, reason.Grpc)
            : SendAsync(x, said, ReplyPages.Text(failure, said), "text/plain", extra, reason.Grpc);
    }

    /// <summary>The same with a body of its own.</summary>
    public static ValueTask<bool> SayAsync(Exchange x, Reason reason, string body)
    {
        Because(x, reason);
        x.Status = reason.Status;
        return SendAsync(x, "", Encoding.Latin1.GetBytes(body), "text/plain", "", reason.Grpc);
    }

    // A sidecar whose own service took no connection, or died with a request that may be repeated by its method, tells the one that asked: to
    // it that is as good as no connection at all, and it may go to another endpoint though its policy names no status (decision 0008).
    private static bool MayRepeat(Exchange x, Reason reason) =>
        x.Connection is { Listener.Config.Direction: TrafficDirection.Inbound }
        && ((reason.Flags & ResponseFlags.UpstreamConnectionFailure) != 0 ? x.Attempts == 1 || x.IsIdempotent
            : (reason.Flags & ResponseFlags.UpstreamConnectionTermination) != 0 && x.IsIdempotent);

    /// <summary>Answers as a route says, with the status that the exchange has.</summary>
    public static ValueTask<bool> SendAsync(Exchange x, byte[] body, string extra, string contentType = "text/plain") =>
        SendAsync(x, "", body, contentType, extra, -1);

    /// <summary>Code and sentence of the exchange's <see cref="Exchange.Reason"/>, in printable ASCII.</summary>
    public static string Said(Exchange x) => $"{x.Reason!.Code} {Clean(Sentence(x, x.Reason, x.ReasonDetail))}";

    /// <summary>Answers as a route says, with a body made of the request (Envoy: DirectResponseAction.body_format).</summary>
    public static ValueTask<bool> SendAsync(Exchange x, BodyFormat format, byte[] body, string extra)
    {
        // Not even the status is known yet.
        x.ResponseHeaders.BeginOwn(isLocal: true);
        return SendAsync(x, "", format.Make(x, body), format.ContentType, extra, -1, formatted: true);
    }

    // In Envoy's order (prepareLocalReply): the route's headers, the listener's mapper and format, then form and type of the body.
    private static ValueTask<bool> SendAsync(
        Exchange x, string said, byte[] body, string contentType, string extra, int grpc, bool formatted = false, FilterAnswer? instead = null)
    {
        x.LocalBody = body;
        x.Mutations ??= x.Route?.Headers;
        ResponseHeaders head = ResponseWriter.BeginLocal(x, said, extra);
        instead?.Headers?.Apply(head, x, x.Scratch);
        if (x.Manager.LocalReplies is { } replies)
        {
            byte[] before = body;
            string typeBefore = TypeOf(head);
            ResponseFlags flags = x.Flags;
            // What a codec refuses is flagged for the log only.
            if (x.Reason is { Flags: ResponseFlags.DownstreamProtocolError } && x.Details.StartsWith("http", StringComparison.Ordinal)) x.Flags = ResponseFlags.None;
            replies.Apply(x, ref body, ref contentType);
            x.Flags = flags;
            // A type of the mapper's own stays.
            formatted = (formatted || !body.AsSpan().SequenceEqual(before)) && TypeOf(head) == typeBefore;
        }
        switch (ReplyForms.Of(x))
        {
            case ReplyForm.Grpc:
                // A trailers-only answer (gRPC over HTTP/2, "Responses"), whatever the HTTP status would have been.
                head.Set("content-type"u8, "application/grpc"u8);
                SetStatus(x, head, grpc, body);
                x.Status = 200;
                return WriteAsync(x, [], instead);
            case ReplyForm.GrpcWeb:
                // Envoy's filter keeps the HTTP status, and tells a gRPC one where there is something to say.
                head.Set("content-type"u8, GrpcWeb.AnswerType(x));
                if (body.Length > 0) SetStatus(x, head, grpc, body);
                return WriteAsync(x, [], instead);
            default:
                if (body.Length == 0) head.Remove("content-type"u8);
                else if (formatted || !head.Has(KnownHeader.ContentType)) head.Set("content-type"u8, Encoding.Latin1.GetBytes(contentType));
                return WriteAsync(x, body, instead);
        }
    }

    /// <summary>Answers as a filter says.</summary>
    public static ValueTask<bool> SendAsync(Exchange x, FilterAnswer answer)
    {
        if (answer.Content is { } content)
        {
            x.Status = answer.Reason.Status;
            if (answer.Reason.Details.Length > 0) x.Details = answer.Reason.Details;
            return SendAsync(x, "", content.Bytes, content.Type, answer.Lines, answer.Reason.Grpc, formatted: true, instead: answer);
        }
        if (answer.Body is null) return SendAsync(x, answer.Reason, extra: answer.Lines);
        // An answer without a code is one that was asked for.
        if (answer.Reason.Code.Length > 0) Because(x, answer.Reason);
        x.Flags |= answer.Reason.Flags;
        x.Details = answer.Reason.Details;
        x.Status = answer.Reason.Status;
        byte[] bytes = answer.Bytes ?? Encoding.ASCII.GetBytes(answer.Body);
        if (!answer.IsWhole) return SendAsync(x, "", bytes, "text/plain", answer.Lines, answer.Reason.Grpc);
        x.LocalBody = bytes;
        x.Mutations ??= x.Route?.Headers;
        ResponseWriter.BeginLocal(x, "", answer.Lines);
        return WriteAsync(x, bytes, null);
    }

    private static string TypeOf(ResponseHeaders head) => head.TryGet("content-type"u8, out ReadOnlySpan<byte> type) ? Encoding.Latin1.GetString(type) : "";

    private static void SetStatus(Exchange x, ResponseHeaders head, int grpc, byte[] body)
    {
        if (!head.Has("grpc-status"u8)) head.Set("grpc-status"u8, grpc >= 0 ? grpc : ReplyForms.GrpcStatus(x.Status));
        if (body.Length > 0) head.Set("grpc-message"u8, Encoding.ASCII.GetBytes(ReplyForms.GrpcMessage(body)));
    }

    private static ValueTask<bool> WriteAsync(Exchange x, byte[] body, FilterAnswer? instead) =>
        x.Explanation is { IsTold: false } explanation ? ExplainAsync(x, explanation, body) : WriteOutAsync(x, body, passed: instead is { Instead: true });

    // With all that filters and connection would say in it.
    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> ExplainAsync(Exchange x, Explanation explanation, byte[] body)
    {
        bool goesOn = await FilterWalk.OwnAsync(x);
        ResponseWriter.Complete(x);
        return await explanation.AnsweredAsync(x, body, isCut: !goesOn);
    }

    /// <summary>Tells an explanation in the place of what was explained; false when the connection must close.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="text">The explanation.</param>
    /// <param name="contentType">Of it.</param>
    /// <param name="passed">The filters have seen the answer that it is about: none sees a second one.</param>
    public static ValueTask<bool> TellAsync(Exchange x, byte[] text, string contentType, bool passed)
    {
        x.Status = 200;
        x.Reason = null;
        x.Flags = ResponseFlags.None;
        x.Details = "explained";
        x.LocalBody = text;
        x.ResponseHeaders.BeginOwn(isLocal: true);
        x.ResponseHeaders.Set("content-type"u8, Encoding.ASCII.GetBytes(contentType));
        x.ResponseHeaders.KnowStatus();
        return WriteOutAsync(x, text, passed);
    }

    private static async ValueTask<bool> WriteOutAsync(Exchange x, byte[] body, bool passed = false)
    {
        // No retry follows, however long the client takes.
        x.RetryPermit.Dispose();
        // What has not been read cannot be told from the next request.
        if (!x.IsRequestRead || x.IsUpgrade) x.KeepAlive = false;
        x.UncancelDownstream();
        x.OwnLength = body.Length;
        if (!passed && !await FilterWalk.OwnAsync(x))
        {
            if (x.FilterAnswer is { Instead: true, Content: not null } instead) return await SendAsync(x, instead);
            x.CutDownstream();
            return false;
        }
        byte[]? left = x.IsHead || passed ? body : await FilterWalk.OwnBodyAsync(x, body);
        if (left is null)
        {
            x.CutDownstream();
            return false;
        }
        IoBuffer o = x.Worker.Buffers.Rent();
        try
        {
            ResponseWriter.WriteLocal(x, ref o, left);
            x.ResponseStarted = true;
            return await x.SendDownstreamAsync(o, (int)x.HeadBytesSent, end: true) && x.KeepAlive;
        }
        finally
        {
            x.Worker.Buffers.Return(o);
        }
    }

    // Two slashes at the front would name a host (RFC 3986 4.2).
    private static string Location(Exchange x)
    {
        string path = Encoding.Latin1.GetString(x.Path);
        if (path.Length > 1 && path[1] is '/' or '\\') path = $"/.{path}";
        return x.HasQuery ? $"{path}?{Encoding.Latin1.GetString(x.Query)}" : path;
    }

    private static string Sentence(Exchange x, Reason reason, string detail)
    {
        if (reason == Reasons.NoRoute) return NoRoute(x);
        string sentence = detail.Length > 0 ? $"{reason.Sentence}: {detail}" : reason.Sentence;
        if (reason.Of is { } service) return $"{sentence} (cluster {service})";
        return x.Target is { } target && reason.Status >= 500
            ? $"{sentence} (cluster {target.Slot.Name}{(x.Host is { } host ? $", endpoint {host.State.Display}" : "")})"
            : sentence;
    }

    // What was looked for, and what there is that comes nearest.
    private static string NoRoute(Exchange x)
    {
        if (x.VirtualHost is { } found)
        {
            string path = Encoding.Latin1.GetString(x.Path);
            if (path.Length > 128) path = path[..128] + "...";
            return $"no route: virtual host {found.Config.Name} has none for {Encoding.Latin1.GetString(x.Method)} {path}; "
                + Candidates(path, found.Routes.Select(r => r.Config.Match.Path).Distinct(), Losers(x, found));
        }
        string host = Encoding.Latin1.GetString(x.Authority);
        string[] domains = [.. x.Manager.Routes?.Hosts.SelectMany(h => h.Config.Domains) ?? []];
        return $"no route: route configuration {x.Manager.RouteName} has no virtual host for {host}; {Candidates(host, domains, domains)}";
    }

    private static string Candidates(string wanted, IEnumerable<string> names, IEnumerable<string> described)
    {
        string list = string.Join(", ", described.Take(MostCandidates));
        string have = list.Length == 0 ? "it has none at all" : $"it has: {list}";
        return wanted.Length <= 256 && Nearest.Suggestion(wanted, names) is { } suggestion ? $"{suggestion} {have}" : have;
    }

    // Those first that came nearest: they had the path.
    private static IEnumerable<string> Losers(Exchange x, VirtualHost host)
    {
        RequestView request = x.View;
        var losers = new (Route Route, Mismatch Why)[host.Routes.Length];
        for (int i = 0; i < losers.Length; i++) losers[i] = (host.Routes[i], host.Routes[i].Test(request, random: 0));
        return losers.OrderBy(l => l.Why.Kind is MismatchKind.Path or MismatchKind.Connect)
            .Select(l => Describe(l.Route.Config.Match, l.Why));
    }

    private static string Describe(RouteMatchConfig match, Mismatch why) =>
        $"{match.Kind}{(match.Path.Length > 0 ? " " : "")}{match.Path} ({why.Describe(match)})";

    /// <summary>Printable ASCII only: what goes into headers and bodies of ours.</summary>
    private static string Clean(string text) => string.Create(text.Length, text, static (span, source) =>
    {
        for (int i = 0; i < span.Length; i++) span[i] = source[i] is >= ' ' and < (char)127 ? source[i] : '?';
    });
}

// Sends the proxy's own answers: a reason from the table, a redirect, a fixed body. The form follows the client: text, problem+json
// (RFC 9457) or a gRPC status; the detail is for those who may know it, strangers get the code alone.
using System.Text;
using Naru.Core;
using Naru.Http.Http1;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

internal static class LocalReply
{
    private const int MostCandidates = 5;

    /// <summary>Answers with a reason; false when the connection must close.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="reason">Why.</param>
    /// <param name="detail">More about it, for those who may know.</param>
    /// <param name="extra">Whole header lines to add.</param>
    public static ValueTask<bool> SendAsync(Exchange x, Reason reason, string detail = "", string extra = "")
    {
        x.Status = reason.Status;
        x.Flags |= reason.Flags;
        x.Details = x.Stream is null ? reason.Details : Reasons.DetailsInHttp2(reason);
        string said = ClientAddress.MayKnow(x) ? $"{reason.Code} {Clean(Sentence(x, reason, detail))}" : reason.Code;
        if (reason == Reasons.Overflow) extra = "x-envoy-overloaded: true\r\n";
        else if (reason == Reasons.Overloaded) extra = "x-envoy-local-overloaded: true\r\n";
        else if (reason == Reasons.EscapedSlash) extra = $"location: {Location(x)}\r\n";
        return ReplyForms.Of(x) switch
        {
            ReplyForm.Grpc => SendGrpcAsync(x, Encoding.ASCII.GetBytes(said), said, extra, reason.Grpc),
            ReplyForm.Json => SendAsync(x, Encoding.ASCII.GetBytes(said), ReplyForms.Problem(x, reason, said), extra, "application/problem+json"),
            _ => SendAsync(x, Encoding.ASCII.GetBytes(said), Encoding.ASCII.GetBytes($"{said}\n"), extra, "text/plain"),
        };
    }

    /// <summary>Answers as a route says, with the status that the exchange has; an error is a gRPC status to a gRPC client.</summary>
    public static ValueTask<bool> SendAsync(Exchange x, byte[] body, string extra) =>
        x.Status >= 400 && ReplyForms.Of(x) == ReplyForm.Grpc ? SendGrpcAsync(x, [], Encoding.Latin1.GetString(body), extra, -1) : SendAsync(x, [], body, extra, "text/plain");

    // A trailers-only answer (gRPC over HTTP/2, "Responses").
    private static ValueTask<bool> SendGrpcAsync(Exchange x, byte[] said, string message, string extra, int status)
    {
        string lines = $"{extra}content-type: {ReplyForms.GrpcType(x)}\r\ngrpc-status: {(status >= 0 ? status : ReplyForms.GrpcStatus(x.Status))}\r\ngrpc-message: {ReplyForms.GrpcMessage(message)}\r\n";
        x.Status = 200;
        return SendAsync(x, said, [], lines, "");
    }

    private static async ValueTask<bool> SendAsync(Exchange x, byte[] reason, byte[] body, string extra, string contentType)
    {
        // A body that has not been read cannot be told from the next request.
        if (x.Framing.Body != BodyKind.None && !x.RequestBody.Done && !x.RequestBodyBuffered) x.KeepAlive = false;
        x.LocalBody = body;
        x.Mutations ??= x.Route?.Headers;
        x.UncancelDownstream();
        IoBuffer o = x.Worker.Buffers.Rent();
        ResponseWriter.WriteLocal(x, ref o, reason, body, contentType, Encoding.Latin1.GetBytes(extra));
        x.ResponseStarted = true;
        bool sent = await x.SendDownstreamAsync(o, (int)x.HeadBytesSent, end: true);
        x.Worker.Buffers.Return(o);
        return sent && x.KeepAlive;
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
                + Candidates(path, found.Routes.Select(r => r.Config.Match.Path).Distinct(), found.Routes.Select(Describe));
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

    private static string Describe(Route route) =>
        $"{route.Config.Match.Kind} {route.Config.Match.Path}{(route.Config.Match.Headers.IsDefaultOrEmpty ? "" : " (with header matches)")}";

    /// <summary>Printable ASCII only: what goes into headers and bodies of ours.</summary>
    private static string Clean(string text) => string.Create(text.Length, text, static (span, source) =>
    {
        for (int i = 0; i < span.Length; i++) span[i] = source[i] is >= ' ' and < (char)127 ? source[i] : '?';
    });
}

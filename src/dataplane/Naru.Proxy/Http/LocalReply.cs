// Sends the proxy's own answers: a reason from the table, a redirect, a fixed body.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class LocalReply
{
    /// <summary>Answers with a reason; false when the connection must close.</summary>
    public static ValueTask<bool> SendAsync(Exchange x, Reason reason, string detail = "")
    {
        x.Status = reason.Status;
        x.Flags |= reason.Flags;
        x.Details = reason.Details;
        string sentence = detail.Length > 0 ? $"{reason.Sentence}: {detail}" : reason.Sentence;
        if (reason == Reasons.NoRoute) sentence = NoRouteSentence(x);
        else if (x.Target is { } target && reason.Status >= 500) sentence = $"{sentence} (cluster {target.Slot.Name}{(x.Host is { } host ? $", endpoint {host.State.Display}" : "")})";
        byte[] header = Encoding.Latin1.GetBytes(Clean($"{reason.Code} {sentence}"));
        byte[] body = Encoding.Latin1.GetBytes($"{reason.Code} {Clean(sentence)}\n");
        return SendAsync(x, header, body, reason == Reasons.Overflow ? "x-envoy-overloaded: true\r\n"u8.ToArray() : reason == Reasons.Overloaded ? "x-envoy-local-overloaded: true\r\n"u8.ToArray() : []);
    }

    /// <summary>Answers with the status that the exchange has; false when the connection must close.</summary>
    public static async ValueTask<bool> SendAsync(Exchange x, byte[] reason, byte[] body, byte[] extra)
    {
        // A body that has not been read cannot be told from the next request.
        if (x.Framing.Body != BodyKind.None && !x.RequestBody.Done && !x.RequestBodyBuffered) x.KeepAlive = false;
        x.LocalBody = body;
        x.Mutations ??= x.Route?.Headers;
        x.UncancelDownstream();
        IoBuffer o = x.Worker.Buffers.Rent();
        ResponseWriter.WriteLocal(x, ref o, reason, body, extra);
        x.ResponseStarted = true;
        bool sent = await x.SendDownstreamAsync(o, (int)x.HeadBytesSent, end: true);
        x.Worker.Buffers.Return(o);
        return sent && x.KeepAlive;
    }

    private static string NoRouteSentence(Exchange x)
    {
        string host = Encoding.Latin1.GetString(x.Authority);
        string path = Encoding.Latin1.GetString(x.Path);
        if (path.Length > 128) path = path[..128] + "…";
        if (x.VirtualHost is { } found)
        {
            string paths = string.Join(", ", found.Routes.Take(5).Select(r => $"{r.Config.Match.Kind} {r.Config.Match.Path}"));
            return $"no route: virtual host {found.Config.Name} has none for path {path}; it has: {paths}";
        }
        RouteTableDomains(x, out string domains);
        return $"no route: route configuration {x.Manager.RouteName} has no virtual host for {host}; it has: {domains}";
    }

    private static void RouteTableDomains(Exchange x, out string domains)
    {
        IEnumerable<string> all = x.Manager.Routes?.Hosts.SelectMany(h => h.Config.Domains) ?? [];
        domains = string.Join(", ", all.Take(5));
    }

    // Only printable ASCII goes into a header.
    private static string Clean(string text) => string.Create(text.Length, text, static (span, source) =>
    {
        for (int i = 0; i < span.Length; i++) span[i] = source[i] is >= ' ' and < (char)127 ? source[i] : '?';
    });
}

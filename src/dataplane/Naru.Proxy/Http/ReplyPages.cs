// What somebody on this machine reads where a service behind a local mesh's gateway is broken: which one, what happened in words, what to
// type. The control plane says in the listener's metadata that there is somebody to read it (docs/decisions/0041-pages-of-failure.md).
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>A failure in words.</summary>
/// <param name="Service">Short name of the service, with its subset; of a cluster that stands for none, its name.</param>
/// <param name="Title">What happened, a clause without a period.</param>
/// <param name="Hint">What that mostly means, a sentence.</param>
/// <param name="Asked">The URL, as <see cref="ReplyPages.Url"/> makes it; empty where it is too long to be shown.</param>
/// <param name="Next">Commands to type, each fit for a shell.</param>
internal sealed record Failure(string Service, string Title, string Hint, string Asked, string[] Next);

internal static class ReplyPages
{
    /// <summary>Namespace of the listener's metadata; its <c>option</c> is what commands need to mean the mesh.</summary>
    public static ReadOnlySpan<byte> Metadata => "naru.page"u8;

    private const int LongestUrl = 1000;

    /// <summary>What the page looks like; <see cref="StyleHash"/> is of these bytes.</summary>
    public const string Style =
        ":root{color-scheme:light dark;--ground:#f7f8f7;--card:#fff;--ink:#16211f;--soft:#55625f;--line:#d9e0de;--water:#0a6a6f;"
        + "--bad:#b3261e}\n@media (prefers-color-scheme:dark){:root{--ground:#101716;--card:#182120;--ink:#e4ebe9;--soft:#9daca8;"
        + "--line:#2b3836;--water:#6fcfd3;--bad:#ff9a90}}\n*{box-sizing:border-box}\n"
        + "body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
        + "main,header,footer{max-width:58rem;margin:0 auto;padding:0 1.25rem}\nheader{padding-top:1.25rem}\n"
        + "header b{color:var(--water);font-size:1.15rem;letter-spacing:.02em}\n"
        + "h1{font-size:1.6rem;line-height:1.25;margin:1rem 0 .5rem;overflow-wrap:anywhere}\nh2{font-size:1rem;margin:0 0 .5rem}\n"
        + "section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.1rem;margin:1rem 0}\n"
        + "section.bad{border-left:.3rem solid var(--bad)}\n.bad>h2{color:var(--bad)}\np{margin:.25rem 0;overflow-wrap:anywhere}\n"
        + "code{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}\n"
        + ".type code{display:block;padding:.3rem 0;border-top:1px solid var(--line)}\n.type code:first-of-type{border-top:0}\n"
        + ".soft,footer{color:var(--soft)}\nfooter{padding-bottom:2rem;font-size:.85rem}\n";

    /// <summary>SHA-256 of <see cref="Style"/> in base 64 (CSP 3, 2.3.1).</summary>
    public const string StyleHash = "tdPHr6CipxKlFGwIfJ7pfMDiaP/ROesS/D3SFoLi+NM=";

    /// <summary>Header lines of the page: nothing is loaded, kept or put into a frame by it.</summary>
    public const string Headers = "cache-control: no-store\r\nvary: accept\r\nx-content-type-options: nosniff\r\n"
        + $"content-security-policy: default-src 'none'; style-src 'sha256-{StyleHash}'; img-src data:; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n";

    /// <summary>The failure that a reason of ours tells of; null where no page is for it: the listener has none, the caller speaks gRPC, or
    /// it is not the service behind the route that failed.</summary>
    public static Failure? Of(Exchange x, Reason reason)
    {
        if (reason.Status is not (502 or 503 or 504) || x.Down is SideCall || x.Explanation is not null) return null;
        if (ReplyForms.Of(x) != ReplyForm.Http) return null;
        if (x.Connection.Chain?.Config.ListenerMetadata?.Find(Metadata) is not { Kind: MetaKind.Map } page) return null;
        string cluster = x.Target is { } target ? target.Slot.Name
            : reason.Code == Reasons.NoCluster.Code ? x.ReasonDetail : "";
        if (cluster.Length == 0) return null;
        (string service, string logs) = ServiceOf(cluster);
        if (Words(reason, service) is not var (title, hint)) return null;
        string mesh = page.Find("option"u8) is { Kind: MetaKind.Text } option ? Encoding.UTF8.GetString(option.Text) : "";
        string url = Url(x.IsFromTls ? "https" : "http", x.AskedAuthority, x.AskedPath, x.HasQuery, x.AskedQuery);
        string[] next = [$"naru status{mesh}", $"naru logs {logs}{mesh}"];
        if (url.Length > 0 && IsPlainMethod(x.Method))
            next = [.. next, $"naru explain {Encoding.ASCII.GetString(x.Method)} {Quoted(url)}{mesh}"];
        return new Failure(service, title, hint, url, next);
    }

    /// <summary>The failure as text, behind what the reason says.</summary>
    public static byte[] Text(Failure failure, string said)
    {
        var text = new StringBuilder($"{said}\n{failure.Title}. {failure.Hint}\n");
        foreach (string command in failure.Next) text.Append("  ").Append(command).Append('\n');
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>The failure as a document of HTML with its style inside.</summary>
    /// <param name="failure">What happened.</param>
    /// <param name="status">Status of the answer.</param>
    /// <param name="flags">Response flags.</param>
    /// <param name="said">Code and sentence of the reason, in printable ASCII.</param>
    /// <param name="method">Method of the request.</param>
    public static byte[] Html(Failure failure, int status, string flags, string said, ReadOnlySpan<byte> method)
    {
        int space = said.IndexOf(' ', StringComparison.Ordinal);
        (string code, string sentence) = space < 0 ? (said, "") : (said[..space], said[(space + 1)..]);
        string asked = failure.Asked.Length > 0 && IsPlainMethod(method)
            ? $" · asked: <code>{Encoding.ASCII.GetString(method)} {Escape(failure.Asked)}</code>" : "";
        string next = string.Concat(failure.Next.Select(c => $"<code>{Escape(c)}</code>\n"));
        return Encoding.UTF8.GetBytes($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{status}: {Escape(failure.Title)} · naru</title>
            <link rel="icon" href="data:,">
            <style>{Style}</style>
            </head>
            <body>
            <header><b>naru</b></header>
            <main>
            <h1>{Escape(failure.Title)}</h1>
            <p class="soft">{status} · {Escape(flags)} · {Escape(code)}{asked}</p>
            <section class="bad" aria-labelledby="what"><h2 id="what">What happened</h2>
            <p>{Escape(failure.Hint)}</p>
            <p class="soft">The gateway says: {Escape(sentence)}</p>
            </section>
            <section class="type" aria-labelledby="next"><h2 id="next">What to type next</h2>
            {next}</section>
            </main>
            <footer><p>This page is the local mesh's own. It is shown on this machine only;
            what services answer themselves is never replaced.</p></footer>
            </body>
            </html>

            """);
    }

    // Everything by which an upstream, or the way to it, fails; a fault that a rule injects, a filter's answer and overload are not.
    private static (string Title, string Hint)? Words(Reason reason, string service) => Flag(reason) switch
    {
        ResponseFlags.NoHealthyUpstream => ($"No pod of {service} can take requests",
            "It has no pod, none of them is ready, or all were taken out because they failed."),
        ResponseFlags.UpstreamConnectionFailure => ($"{service} cannot be reached",
            "No connection to its pod came about: it was refused, took too long, or TLS with it failed."),
        ResponseFlags.UpstreamConnectionTermination => ($"{service} closed the connection before it answered",
            "Its process may have ended in the middle of the request."),
        ResponseFlags.UpstreamRemoteReset => ($"{service} broke the request off before it answered",
            "It, or its sidecar, reset the stream."),
        ResponseFlags.UpstreamRequestTimeout => ($"{service} did not answer in time", "The timeout of the route was over first."),
        ResponseFlags.UpstreamMaxStreamDurationReached or ResponseFlags.StreamIdleTimeout => ($"{service} did not answer in time",
            "The request took longer, or was silent for longer, than a request may be."),
        ResponseFlags.UpstreamOverflow => ($"{service} has as many requests as it may have",
            "A limit of its connection pool is reached: see the trafficPolicy of its DestinationRule."),
        ResponseFlags.UpstreamProtocolError => ($"{service} answered with something that is not HTTP",
            "It may speak another protocol on this port, or TLS."),
        ResponseFlags.NoClusterFound => ($"The route leads to {service}, which nobody knows",
            "No service of the mesh, or no subset of its DestinationRule, has this name."),
        _ => null,
    };

    // The reason's own flag: a retry that was given up, or a delay that was injected, says nothing about how it ended.
    private static ResponseFlags Flag(Reason reason) =>
        reason.Code == Reasons.MaxDurationUpstream.Code ? ResponseFlags.UpstreamMaxStreamDurationReached : reason.Flags;

    /// <summary>Of a cluster that the control plane made of a service, the service as commands and pages name it, and what
    /// <c>naru logs</c> knows; of any other its name, and the gateway.</summary>
    public static (string Service, string Logs) ServiceOf(string cluster)
    {
        const string Kubernetes = ".svc.cluster.local", Default = ".default";
        if (cluster.Split('|') is not ["outbound", _, var subset, var host]) return (cluster, "gateway");
        bool hasPods = host.EndsWith(Kubernetes, StringComparison.Ordinal);
        string name = hasPods ? host[..^Kubernetes.Length] : host;
        if (hasPods && name.EndsWith(Default, StringComparison.Ordinal)) name = name[..^Default.Length];
        string shown = subset.Length > 0 ? $"{name} {subset}" : name;
        // What goes into a command is a name (RFC 1123), or is left out.
        string logs = name.Split('.')[0];
        return (shown, hasPods && logs.Length > 0 && logs.All(c => char.IsAsciiLetterOrDigit(c) || c == '-') ? logs : "gateway");
    }

    /// <summary>A URL that is safe to show and, between single quotes, to paste: what RFC 3986 does not let stand in a URL, and quotes, are
    /// percent-encoded. Empty where it would be longer than 1000 characters.</summary>
    public static string Url(string scheme, ReadOnlySpan<byte> authority, ReadOnlySpan<byte> path, bool hasQuery, ReadOnlySpan<byte> query)
    {
        if (authority.Length + path.Length + query.Length > LongestUrl) return "";
        var url = new StringBuilder($"{scheme}://");
        Append(url, authority);
        Append(url, path);
        if (hasQuery)
        {
            url.Append('?');
            Append(url, query);
        }
        return url.Length <= LongestUrl ? url.ToString() : "";
    }

    private static void Append(StringBuilder url, ReadOnlySpan<byte> bytes)
    {
        const string Plain = "-._~:/?#[]@!$&()*+,;=%";
        foreach (byte b in bytes)
        {
            if (char.IsAsciiLetterOrDigit((char)b) || Plain.Contains((char)b, StringComparison.Ordinal)) url.Append((char)b);
            else url.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    private static string Quoted(string url) => url.AsSpan().IndexOfAny("#[]!$&()*;?~") < 0 ? url : $"'{url}'";

    private static bool IsPlainMethod(ReadOnlySpan<byte> method) =>
        method.Length is > 0 and <= 20 && method.IndexOfAnyExceptInRange((byte)'A', (byte)'Z') < 0;

    /// <summary>Text as it may stand in HTML, in attributes too.</summary>
    public static string Escape(string text) =>
        text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("\"", "&quot;").Replace("'", "&#39;");
}

// The front page as HTML: one document with its style inside, no script, nothing loaded from anywhere. Every text of somebody else's goes
// through Escape; links are made of the gateway's own address and escaped paths only.
using System.Net;
using System.Security.Cryptography;
using System.Text;

namespace Naru.Local.Front;

internal static class FrontHtml
{
    private const string Style = """
        :root{color-scheme:light dark;--ground:#f7f8f7;--card:#fff;--ink:#16211f;--soft:#55625f;--line:#d9e0de;
        --water:#0a6a6f;--good:#17713a;--bad:#b3261e;--warn:#8a5a00}
        @media (prefers-color-scheme:dark){:root{--ground:#101716;--card:#182120;--ink:#e4ebe9;--soft:#9dacA8;--line:#2b3836;
        --water:#6fcfd3;--good:#6fd08c;--bad:#ff9a90;--warn:#f0bf5f}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
        main,header,footer{max-width:58rem;margin:0 auto;padding:0 1.25rem}
        header{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;padding-top:1.25rem;color:var(--soft)}
        header b{color:var(--water);font-size:1.15rem;letter-spacing:.02em}
        h1{font-size:1.6rem;line-height:1.25;margin:1rem 0 .5rem;overflow-wrap:anywhere}
        h2{font-size:1rem;margin:0 0 .5rem}
        section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.1rem;margin:1rem 0}
        section.bad{border-left:.3rem solid var(--bad)}
        section.warn{border-left:.3rem solid var(--warn)}
        p{margin:.25rem 0}
        a{color:var(--water);text-underline-offset:.15em;overflow-wrap:anywhere}
        a:focus-visible{outline:2px solid var(--water);outline-offset:2px;border-radius:.2rem}
        code{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
        table{width:100%;border-collapse:collapse}
        th{text-align:left;font-weight:600;font-size:.85rem;color:var(--soft);padding:.25rem .75rem .25rem 0}
        td{vertical-align:top;padding:.4rem .75rem .4rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
        ul{margin:0;padding:0;list-style:none}
        li+li{margin-top:.6rem}
        .soft{color:var(--soft)}.good{color:var(--good)}.bad>h2,.no{color:var(--bad)}.warn>h2{color:var(--warn)}
        .type code{display:block;padding:.3rem 0;border-top:1px solid var(--line)}
        .type code:first-of-type{border-top:0}
        footer{padding-bottom:2rem;color:var(--soft);font-size:.85rem}
        @media (max-width:36rem){thead{position:absolute;left:-100vw}tr,td{display:block}td{border:0;padding:.05rem 0}
        tr{border-top:1px solid var(--line);padding:.4rem 0}}
        """;

    /// <summary>Allows the style by its hash, and nothing else.</summary>
    public static string ContentSecurityPolicy { get; } =
        $"default-src 'none'; style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(Style)))}'; "
        + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    /// <summary>The page.</summary>
    public static string Write(FrontView view, FrontRequest request)
    {
        var html = new StringBuilder(16 * 1024);
        string title = request.IsFront ? $"Mesh {view.Mesh}" : $"Not found: {request.Missing(view)}";
        html.Append($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{Escape(title)} · naru</title>
            <link rel="icon" href="data:,">
            <style>{Style}</style>
            </head>
            <body>
            <header><b>naru</b><span>mesh {Name(view.Mesh)}</span>
            <span>gateway {Link(view.Gateway, view.Gateway["http://".Length..])}</span></header>
            <main>

            """);
        if (request.IsFront) Welcome(html, view);
        else Missing(html, view, request);
        Problems(html, view);
        Services(html, view);
        Routes(html, view);
        Type(html, view);
        html.Append("""
            </main>
            <footer><p>This page is the local mesh's own. It answers only on this machine,
            and only where no rule of the gateway takes a request.</p></footer>
            </body>
            </html>

            """);
        return html.ToString();
    }

    private static void Welcome(StringBuilder html, FrontView view)
    {
        int down = view.Services.Count(s => s.Ready == 0);
        string sentence = view.Services.Count == 0 ? "No service is here yet."
            : down == 0 ? $"{Count(view.Services.Count, "service")}, all reachable."
            : $"{Count(view.Services.Count, "service")}, {down} without a ready pod.";
        html.Append($"<h1>The mesh runs</h1>\n<p>{sentence} No rule of the gateway takes <code>/</code>, so here is what there is.</p>\n");
    }

    private static void Missing(StringBuilder html, FrontView view, FrontRequest request)
    {
        string sentence = request.Missing(view);
        html.Append($"<h1>{Escape(char.ToUpperInvariant(sentence[0]) + sentence[1..])}</h1>\n");
        html.Append($"<p class=\"soft\">404 · NARU-R404 · asked: <code>{Escape(request.Host + request.Path)}</code></p>\n");
        IReadOnlyList<string> near = request.Near(view);
        if (near.Count > 0) html.Append($"<p>Did you mean {string.Join(" or ", near.Select(u => Link(u, u["http://".Length..])))}?</p>\n");
    }

    private static void Problems(StringBuilder html, FrontView view)
    {
        if (view.Problems.Count == 0) return;
        bool error = view.Problems.Any(p => p.IsError);
        html.Append($"<section class=\"{(error ? "bad" : "warn")}\" aria-labelledby=\"wrong\">");
        html.Append($"<h2 id=\"wrong\">{(error ? "What is wrong" : "Worth a look")}</h2>\n<ul>\n");
        foreach (FrontProblem problem in view.Problems)
        {
            html.Append($"<li>{(problem.IsError ? "" : "<span class=\"soft\">warning:</span> ")}{Escape(problem.Text)}");
            if (problem.Where.Length > 0) html.Append($"<br><code>{Escape(problem.Where)}</code>");
            if (problem.Help.Length > 0) html.Append($"<br><span class=\"soft\">{Escape(problem.Help)}</span>");
            html.Append("</li>\n");
        }
        html.Append("</ul></section>\n");
    }

    private static void Services(StringBuilder html, FrontView view)
    {
        if (view.Services.Count == 0) return;
        html.Append("<section aria-labelledby=\"services\"><h2 id=\"services\">Services</h2>\n").Append(Head("Service", "Versions", "From here"));
        foreach (FrontService service in view.Services)
        {
            string versions = service.Versions.Count == 0 ? "<span class=\"no\">no pod</span>"
                : string.Join("<br>", service.Versions.Select(Version));
            string ports = service.Ports.Count > 0 ? $" <span class=\"soft\">:{string.Join(", ", service.Ports)}</span>" : "";
            string link = service.Url is { } url ? Link(url, url["http://".Length..])
                : "<span class=\"soft\">not over HTTP, or by a rule of its own</span>";
            html.Append($"<tr><td><b>{Name(service.Shown)}</b>{ports}</td><td>{versions}</td><td>{link}</td></tr>\n");
        }
        html.Append("</tbody></table></section>\n");
    }

    private static string Version(FrontVersion version)
    {
        string ready = version.Ready == version.Pods
            ? $"<span class=\"good\">{version.Ready} ready</span>" : $"<span class=\"no\">{version.Ready} of {version.Pods} ready</span>";
        return version.Label.Length > 0 ? $"{Name(version.Label)} · {ready}" : ready;
    }

    private static void Routes(StringBuilder html, FrontView view)
    {
        html.Append("<section aria-labelledby=\"routes\"><h2 id=\"routes\">Routes of the gateway</h2>\n");
        if (view.Routes.Count == 0)
        {
            html.Append("<p>No Gateway and VirtualService of yours is here; "
                + "every HTTP service has its name below <code>.localhost</code>.</p></section>\n");
            return;
        }
        html.Append(Head("Host", "Path", "Leads to"));
        foreach (FrontRoute route in view.Routes)
        {
            string path = route.Url is { } url ? Link(url, route.Path) : $"<code>{Escape(route.Path)}</code>";
            string more = string.Join(", ", new[] { route.Kind, route.Condition }.Where(t => t.Length > 0 && t != "exact"));
            string host = route.Host == "*" ? "<span class=\"soft\">any</span>" : Name(route.Host);
            string soft = more.Length > 0 ? $" <span class=\"soft\">{Escape(more)}</span>" : "";
            html.Append($"<tr><td>{host}</td><td>{path}{soft}</td><td>→ {Name(route.Target)}</td></tr>\n");
        }
        html.Append("</tbody></table></section>\n");
    }

    private static void Type(StringBuilder html, FrontView view)
    {
        html.Append("<section class=\"type\" aria-labelledby=\"next\"><h2 id=\"next\">What to type next</h2>\n");
        string? curl = view.Routes.FirstOrDefault(r => r.Url is not null)?.Url
            ?? view.Services.OrderBy(s => s.Ready == 0).FirstOrDefault(s => s.Url is not null)?.Url;
        if (curl is not null) html.Append($"<code>curl -s {Escape(curl)}</code>\n");
        string mesh = Escape(view.MeshOption);
        html.Append($"<code>naru logs istio-ingressgateway -f{mesh}</code>\n<code>naru get vs,dr,svc,pods{mesh}</code>\n"
            + $"<code>naru run --name mine --port 5000{mesh} -- python3 -m http.server 5000</code>\n</section>\n");
    }

    private static string Head(params string[] columns) =>
        $"<table>\n<thead><tr>{string.Concat(columns.Select(c => $"<th scope=\"col\">{c}</th>"))}</tr></thead>\n<tbody>\n";

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    // <bdi>: a name written from right to left must not turn around what stands beside it.
    private static string Name(string text) => $"<bdi>{Escape(text)}</bdi>";

    private static string Link(string url, string text) => $"<a href=\"{Escape(url)}\">{Escape(text)}</a>";

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}

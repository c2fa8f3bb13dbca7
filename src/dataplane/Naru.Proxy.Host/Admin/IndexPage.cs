// The admin's front page: a list of links and buttons, plain HTML without script. Every text is escaped, whoever chose it.
using System.Text;

namespace Naru.Proxy.Host.Admin;

internal static class IndexPage
{
    public static Task<AdminResponse> Answer(IEnumerable<AdminCommand> commands, IAdminTarget target)
    {
        ServerDescription server = target.Server;
        var page = new StringBuilder("""
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>naru-proxy</title>
            <style>body{font:15px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#222}
            td{padding:.15em 1em .15em 0;vertical-align:top}h1{font-size:1.4em}button{font:inherit}small{color:#666}</style></head><body>

            """);
        page.Append("<h1>naru-proxy ").Append(AdminPages.Html(server.Version)).Append("</h1>\n<p>")
            .Append(AdminPages.Html(target.State.ToString().ToUpperInvariant())).Append(", node <b>").Append(AdminPages.Html(server.NodeId))
            .Append("</b>, cluster <b>").Append(AdminPages.Html(server.NodeCluster)).Append("</b></p>\n<table>\n");
        foreach (AdminCommand command in commands)
        {
            if (command.Path == "/") continue;
            string path = AdminPages.Html(command.Path.TrimStart('/'));
            page.Append("<tr><td>");
            if (command.Changes) page.Append("<form method=\"post\" action=\"").Append(path).Append("\"><button>").Append(path).Append("</button></form>");
            else page.Append("<a href=\"").Append(path).Append("\">").Append(path).Append("</a>");
            page.Append("</td><td>").Append(AdminPages.Html(command.Help));
            if (command.Parameters.Length > 0) page.Append("<br><small>").Append(AdminPages.Html(string.Join(", ", command.Parameters))).Append("</small>");
            page.Append("</td></tr>\n");
        }
        page.Append("</table></body></html>\n");
        var made = new AdminResponse { ContentType = AdminResponse.Html };
        made.Body.Append(Encoding.UTF8.GetBytes(page.ToString()));
        return Task.FromResult(made);
    }
}

// An explanation for people: short lines, what was decided first, then stop by stop who decided it and who lost. Printable characters only: what strangers
// wrote must not speak to a terminal.
using System.Text;

namespace Naru.Proxy.Explain;

internal static class ExplanationText
{
    private const int Column = 14, MostLines = 20;

    /// <summary>All of it, with a line end.</summary>
    public static string Of(Explanation e)
    {
        var text = new StringBuilder();
        text.Append(Clean($"{e.Method} {e.Url}")).Append('\n').Append(Clean(Headline(e))).Append("\n\n");
        if (e.Listener is { } listener) Line(text, "listener", $"{listener.Name} {listener.Address}{(listener.Direction is "inbound" or "outbound" ? $" ({listener.Direction})" : "")}: {listener.Why}");
        if (e.Chain is { } chain) Line(text, "filter chain", $"{chain.Name}{(chain.Of > 1 ? $" of {chain.Of}" : "")}, for {chain.Match}{(chain.HasTls ? ", TLS" : "")}: {chain.Terminal}");
        if (e.Table.Length > 0) Line(text, "routes", e.Table);
        if (e.Host is { } host) Line(text, "virtual host", $"{host.Name}, by {host.Domain} ({How(host.How)})");
        else if (e.NearHosts.Count > 0) Line(text, "virtual host", $"none; the nearest names are {string.Join(", ", e.NearHosts)}");
        Routes(text, e);
        Destination(text, e);
        foreach (Explanation.FilterPart filter in e.Filters.Count > 1 ? e.Filters : [])
            Line(text, ReferenceEquals(filter, e.Filters[0]) ? "filters" : "", $"{filter.Name}: {filter.State}{(filter.Verdict.Length > 0 ? $", {filter.Verdict}" : "")}");
        if (e.Limits is { } limits) Limits(text, limits);
        if (e.Retry is { } retry)
            Line(text, "retries", $"{retry.Most} on {string.Join(", ", retry.On)}, after {retry.BackOffMs:0} to {retry.MostBackOffMs:0} ms{(retry.Elsewhere.Length > 0 ? $"; {retry.Elsewhere}" : "")}");
        else if (e.Limits is not null) Line(text, "retries", "none");
        Many(text, "mirrors", e.Mirrors);
        if (e.Fallback is { } instead) Many(text, "fallback", [instead]);
        if (e.Upstream is { } upstream)
        {
            Line(text, "is sent as", $"{upstream.Method} {upstream.Path} to host {upstream.Authority}");
            Many(text, "  with", upstream.Added);
            Many(text, "  without", upstream.Removed);
        }
        Many(text, "answer with", e.AnswerAdds);
        Many(text, "  without", e.AnswerRemoves);
        if (e.Outcome is { Kind: not "forward" } outcome)
        {
            Many(text, "answer", outcome.Headers);
            if (outcome.Body.Length > 0) Line(text, "  body", outcome.Body.Length > 200 ? outcome.Body[..200] + "…" : outcome.Body.TrimEnd());
        }
        foreach (string note in e.Notes) Line(text, "note", note);
        return text.ToString();
    }

    private static string Headline(Explanation e) => e.Outcome switch
    {
        { Kind: "forward" } => $"goes to {e.Cluster?.Name}{(e.Endpoints is not { } to ? "" : to.Chosen.Length > 0 ? $" at {to.Chosen}" : to.IsNamed ? "" : to.Count > 0 ? ": no endpoint may be used (503)" : ", of which no endpoint is known")}",
        { Kind: "fallback" } instead => $"is answered {instead.Status} by the fallback of the route",
        { Kind: "redirect" } redirect => $"is redirected to {redirect.Location} ({redirect.Status})",
        { Kind: "filter" } filter => $"is answered {filter.Status} by a filter ({filter.Details})",
        { Kind: "direct_response" } direct => $"is answered {direct.Status} by the route",
        { Kind: "tcp" } tcp => tcp.Reason,
        { Kind: "closed" } closed => closed.Reason,
        { } refused => $"is answered {refused.Status}{(refused.Reason.Length > 0 ? $": {refused.Reason}" : refused.Details.Length > 0 ? $" ({refused.Details})" : "")}",
        null => "nothing is known",
    };

    private static string How(string how) => how switch { "exact" => "its name", "suffix" => "the longest suffix", "prefix" => "the longest prefix", _ => "any name" };

    private static void Routes(StringBuilder text, Explanation e)
    {
        if (e.Routes is not { } routes) return;
        if (routes.Chosen is { } route) Line(text, "route", $"#{route.Index}{Named(route.Name)} {route.Match}: {route.Action}; {routes.Tried} of {routes.Count} tried");
        else Line(text, "route", $"none of {routes.Count} matches");
        bool first = true;
        foreach (Explanation.LoserPart lost in routes.Lost)
        {
            Line(text, first ? "  lost" : "", $"#{lost.Index}{Named(lost.Name)} wants {lost.Wanted}; got {lost.Got}");
            first = false;
        }
        if (routes.More > 0) Line(text, "", $"and {routes.More} more, farther from matching");
    }

    private static void Destination(StringBuilder text, Explanation e)
    {
        if (e.Cluster is { } cluster)
        {
            Line(text, "cluster", $"{cluster.Name}, by {cluster.ChosenBy}{(cluster.Type.Length > 0 ? $"; {cluster.Type}, {cluster.Policy}, {cluster.Protocol}" : "")}");
            if (cluster.Member.Length > 0) Line(text, "  member", cluster.Member);
            if (cluster.Weights.Count > 1) Line(text, "  weights", string.Join(", ", cluster.Weights.Take(MostLines).Select(w => $"{w.Cluster} {w.Weight}")));
        }
        if (e.Endpoints is not { } endpoints) return;
        string note = endpoints.Note.Length > 0 ? $"; {endpoints.Note}" : "";
        Line(text, "endpoint", endpoints.Chosen.Length > 0 ? $"{endpoints.Chosen}, one of {endpoints.Candidates} that may be picked of {endpoints.Count}{note}" : $"none of {endpoints.Count}{note}");
        foreach ((string address, int priority, string why) in endpoints.LeftOut) Line(text, "  left out", $"{address}{(priority > 0 ? $" (priority {priority})" : "")}: {why}");
        if (endpoints.More > 0) Line(text, "", $"and {endpoints.More} more");
    }

    private static void Limits(StringBuilder text, Explanation.LimitsPart limits)
    {
        Line(text, "timeouts", string.Join(", ", new[]
        {
            $"route {Ms(limits.RouteMs)}", limits.PerTryMs > 0 ? $"each try {Ms(limits.PerTryMs)}" : "", limits.PerTryIdleMs > 0 ? $"silence of a try {Ms(limits.PerTryIdleMs)}" : "",
            $"idle {Ms(limits.IdleMs)}", limits.MaxStreamMs > 0 ? $"stream {Ms(limits.MaxStreamMs)}" : "", $"connect {Ms(limits.ConnectMs)}", limits.Hedges ? "hedged" : "",
        }.Where(s => s.Length > 0)));
        Line(text, "limits", $"{limits.MaxConnections} connections, {limits.MaxPending} pending, {limits.MaxRequests} requests, {limits.MaxRetries} retries at once (priority {limits.Priority})");
    }

    private static void Many(StringBuilder text, string what, IReadOnlyList<string> lines)
    {
        for (int i = 0; i < Math.Min(lines.Count, MostLines); i++) Line(text, i == 0 ? what : "", lines[i]);
        if (lines.Count > MostLines) Line(text, "", $"and {lines.Count - MostLines} more");
    }

    private static void Line(StringBuilder text, string what, string line) => text.Append(what.PadRight(Column)).Append(Clean(line)).Append('\n');

    private static string Named(string name) => name.Length > 0 ? $" \"{name}\"" : "";

    private static string Ms(long ms) => ms == 0 ? "none" : ms % 1000 == 0 ? $"{ms / 1000} s" : $"{ms} ms";

    private static string Clean(string line) => string.Create(line.Length, line, static (span, source) =>
    {
        for (int i = 0; i < span.Length; i++) span[i] = char.IsControl(source[i]) ? '?' : source[i];
    });
}

// Finds the parts of a stat's name that are values (a cluster, a listener, a response code), as Envoy's default tags do.
// Stands under the Prometheus format. Works on a block's prefix, so a name with dots stays whole where Envoy's patterns cut it.
using System.Text;

namespace Naru.Telemetry;

/// <summary>A prefix without its values: <c>cluster.reviews</c> is base <c>cluster</c> with <c>envoy_cluster_name="reviews"</c>.</summary>
/// <param name="Base">What is left, dots included; may be empty.</param>
/// <param name="Labels">Prometheus labels, escaped and joined by commas, without braces.</param>
public readonly record struct TaggedPrefix(string Base, string Labels);

/// <summary>Envoy's default tag extraction.</summary>
public static class StatTags
{
    // Scopes that may follow a name; all else after the first dot belongs to the name.
    private static readonly string[] s_clusterScopes =
        [".circuit_breakers.default", ".circuit_breakers.high", ".outlier_detection", ".health_check", ".external", ".internal", ".canary", ".ssl"];

    private static readonly string[] s_httpScopes = [".user_agent", ".tracing", ".fault", ".rbac", ".ext_authz", ".cors", ".csrf", ".jwt_authn", ".lua", ".compressor"];

    /// <summary>Splits a block's prefix.</summary>
    public static TaggedPrefix Extract(string prefix)
    {
        int dot = prefix.IndexOf('.');
        if (dot < 0) return new TaggedPrefix(prefix, "");
        string rest = prefix[(dot + 1)..];
        switch (prefix[..dot])
        {
            case "cluster":
                return Named("cluster", "envoy_cluster_name", rest, s_clusterScopes);
            case "http":
                int rds = rest.IndexOf(".rds.", StringComparison.Ordinal);
                if (rds < 0) return Named("http", "envoy_http_conn_manager_prefix", rest, s_httpScopes);
                return new TaggedPrefix("http.rds",
                    Label("envoy_http_conn_manager_prefix", rest[..rds]) + "," + Label("envoy_rds_route_config", rest[(rds + 5)..]));
            case "listener":
                int http = rest.IndexOf(".http.", StringComparison.Ordinal);
                if (http < 0) return Named("listener", "envoy_listener_address", rest, [".ssl"]);
                return new TaggedPrefix("listener.http",
                    Label("envoy_listener_address", rest[..http]) + "," + Label("envoy_http_conn_manager_prefix", rest[(http + 6)..]));
            case "vhost":
                int vcluster = rest.IndexOf(".vcluster.", StringComparison.Ordinal);
                if (vcluster < 0) return new TaggedPrefix("vhost", Label("envoy_virtual_host", rest));
                return new TaggedPrefix("vhost.vcluster",
                    Label("envoy_virtual_host", rest[..vcluster]) + "," + Label("envoy_virtual_cluster", rest[(vcluster + 10)..]));
            case "tcp": return new TaggedPrefix("tcp", Label("envoy_tcp_prefix", rest));
            case "listener_manager" when rest.StartsWith("worker_", StringComparison.Ordinal):
                return new TaggedPrefix("listener_manager", Label("envoy_worker_id", rest[7..]));
            default: return new TaggedPrefix(prefix, "");
        }
    }

    /// <summary>Splits a stat's own name: <c>upstream_rq_503</c> is <c>upstream_rq</c> with a code, <c>downstream_rq_5xx</c> is
    /// <c>downstream_rq_xx</c> with a class.</summary>
    public static (string Name, string Labels) ExtractCode(string name)
    {
        if (name.Length < 6) return (name, "");
        int at = name.Length - 3;
        if (!name.AsSpan(0, at).EndsWith("_rq_", StringComparison.Ordinal) || !char.IsAsciiDigit(name[at])) return (name, "");
        if (name.EndsWith("xx", StringComparison.Ordinal)) return (name[..at] + "xx", Label("envoy_response_code_class", name.Substring(at, 1)));
        if (char.IsAsciiDigit(name[at + 1]) && char.IsAsciiDigit(name[at + 2])) return (name[..(at - 1)], Label("envoy_response_code", name[at..]));
        return (name, "");
    }

    /// <summary><c>envoy_</c> and the name with everything but letters, digits and underscores replaced.</summary>
    public static string MetricName(string baseName, string stat)
    {
        var made = new StringBuilder("envoy_", 64);
        foreach (char c in baseName) made.Append(char.IsAsciiLetterOrDigit(c) ? c : '_');
        if (baseName.Length > 0) made.Append('_');
        foreach (char c in stat) made.Append(char.IsAsciiLetterOrDigit(c) ? c : '_');
        return made.ToString();
    }

    /// <summary>One label, its value escaped (Prometheus text format: backslash, quote, line feed; ours escapes other controls away too).</summary>
    public static string Label(string name, string value)
    {
        var made = new StringBuilder(name, name.Length + value.Length + 3).Append("=\"");
        foreach (char c in value)
        {
            if (c is '\\' or '"') made.Append('\\').Append(c);
            else if (c == '\n') made.Append("\\n");
            else made.Append(char.IsControl(c) || c is '\u2028' or '\u2029' ? '_' : c);
        }
        return made.Append('"').ToString();
    }

    private static TaggedPrefix Named(string family, string label, string rest, string[] scopes)
    {
        foreach (string scope in scopes)
        {
            if (rest.Length > scope.Length && rest.EndsWith(scope, StringComparison.Ordinal))
                return new TaggedPrefix(family + scope, Label(label, rest[..^scope.Length]));
        }
        return new TaggedPrefix(family, Label(label, rest));
    }
}

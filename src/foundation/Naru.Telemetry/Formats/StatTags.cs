// Finds the parts of a stat's name that are values (a cluster, a listener, a response code), as Envoy's default tags do.
// Stands under the Prometheus format. A block knows where its owner's name ends, so a name with dots stays whole where Envoy's patterns cut it.
using System.Text;

namespace Naru.Telemetry;

/// <summary>A prefix without its values: <c>cluster.reviews</c> is base <c>cluster</c> with <c>envoy_cluster_name="reviews"</c>.</summary>
/// <param name="Base">What is left, dots included; may be empty.</param>
/// <param name="Labels">Prometheus labels, escaped and joined by commas, without braces.</param>
public readonly record struct TaggedPrefix(string Base, string Labels);

/// <summary>Envoy's default tag extraction.</summary>
public static class StatTags
{
    /// <summary>Splits a block's prefix.</summary>
    /// <param name="prefix">All of it.</param>
    /// <param name="scope">What of it, behind a dot at its end, belongs to no name (<see cref="StatBlock.Scope"/>).</param>
    public static TaggedPrefix Extract(string prefix, string scope = "")
    {
        if (scope.Length == 0) return Owner(prefix);
        string owner = prefix[..^(scope.Length + 1)];
        if (scope == "http_local_rate_limit" && !owner.StartsWith("http.", StringComparison.Ordinal))
            return new TaggedPrefix(scope, Label("envoy_local_http_ratelimit_prefix", owner));
        TaggedPrefix tagged = Owner(owner);
        int dot = scope.IndexOf('.', StringComparison.Ordinal);
        string? kind = tagged.Base != "vhost" || dot < 0 ? null : scope[..dot] switch
        {
            "vcluster" => "envoy_virtual_cluster",
            "route" => "envoy_route",
            _ => null,
        };
        return kind is null ? tagged with { Base = $"{tagged.Base}.{scope}" }
            : new TaggedPrefix($"vhost.{scope[..dot]}", $"{tagged.Labels},{Label(kind, scope[(dot + 1)..])}");
    }

    private static TaggedPrefix Owner(string prefix)
    {
        int dot = prefix.IndexOf('.', StringComparison.Ordinal);
        if (dot < 0) return new TaggedPrefix(prefix, "");
        string kind = prefix[..dot], rest = prefix[(dot + 1)..];
        switch (kind)
        {
            case "cluster": return new TaggedPrefix(kind, Label("envoy_cluster_name", rest));
            case "http":
                int rds = rest.IndexOf(".rds.", StringComparison.Ordinal);
                if (rds < 0) return new TaggedPrefix(kind, Label("envoy_http_conn_manager_prefix", rest));
                return new TaggedPrefix("http.rds",
                    Label("envoy_http_conn_manager_prefix", rest[..rds]) + "," + Label("envoy_rds_route_config", rest[(rds + 5)..]));
            case "listener":
                int http = rest.IndexOf(".http.", StringComparison.Ordinal);
                if (http < 0) return new TaggedPrefix(kind, Label("envoy_listener_address", rest));
                return new TaggedPrefix("listener.http",
                    Label("envoy_http_conn_manager_prefix", rest[(http + 6)..]) + "," + Label("envoy_listener_address", rest[..http]));
            case "vhost": return new TaggedPrefix(kind, Label("envoy_virtual_host", rest));
            case "tcp": return new TaggedPrefix(kind, Label("envoy_tcp_prefix", rest));
            case "udp": return new TaggedPrefix(kind, Label("envoy_udp_prefix", rest));
            case "local_rate_limit": return new TaggedPrefix(kind, Label("envoy_local_network_ratelimit_prefix", rest));
            case "listener_local_ratelimit": return new TaggedPrefix(kind, Label("envoy_local_listener_ratelimit_prefix", rest));
            case "listener_manager" when rest.StartsWith("worker_", StringComparison.Ordinal):
                return new TaggedPrefix(kind, Label("envoy_worker_id", rest[7..]));
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
}

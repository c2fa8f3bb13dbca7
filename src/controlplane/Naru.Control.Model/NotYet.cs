// Istio's fields that exist but that Naru does not honour yet. They are refused by name, as such: a field that is ignored
// in silence is worse than one that is refused. A field leaves this table when it enters our declarations under proto/.
using System.Collections.Frozen;

namespace Naru.Control.Model;

/// <summary>Istio's fields that Naru refuses as not supported yet.</summary>
public static class NotYet
{
    /// <summary>By the short name of the message, in snake_case.</summary>
    public static IReadOnlyDictionary<string, string[]> Fields { get; } = new Dictionary<string, string[]>
    {
        ["VirtualService"] = ["tls", "tcp"],
        ["HTTPRoute"] = ["fault", "mirror", "mirror_percent", "mirror_percentage", "mirrors", "cors_policy", "delegate",
            "websocket_upgrade", "append_headers", "remove_response_headers", "append_response_headers", "remove_request_headers", "append_request_headers"],
        ["HTTPMatchRequest"] = ["stat_prefix"],
        ["HTTPRouteDestination"] = ["remove_response_headers", "append_response_headers", "remove_request_headers", "append_request_headers"],
        ["HTTPRedirect"] = ["prefix_rewrite"],
        ["HTTPRetry"] = ["retry_remote_localities"],
        ["DestinationRule"] = ["workload_selector"],
        ["TrafficPolicy"] = ["outlier_detection", "tls", "tunnel", "proxy_protocol", "retry_budget"],
        ["PortTrafficPolicy"] = ["outlier_detection", "tls"],
        ["LoadBalancerSettings"] = ["consistent_hash", "locality_lb_setting", "zone_aware_lb_setting", "warmup_duration_secs", "warmup"],
        ["TCPSettings"] = ["tcp_keepalive", "max_connection_duration", "idle_timeout"],
        ["HTTPSettings"] = ["h2_upgrade_policy", "use_client_protocol", "max_concurrent_streams", "http2_keep_alive"],
        ["Server"] = ["tls", "default_endpoint"],
        ["Port"] = ["target_port"],
        ["ServiceEntry"] = ["subject_alt_names"],
        ["WorkloadEntry"] = ["network"],
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, string> Remedies = new Dictionary<string, string>
    {
        ["websocket_upgrade"] = "remove it: WebSocket upgrades are always allowed",
        ["append_headers"] = "use headers.request.add",
        ["append_request_headers"] = "use headers.request.add",
        ["append_response_headers"] = "use headers.response.add",
        ["remove_request_headers"] = "use headers.request.remove",
        ["remove_response_headers"] = "use headers.response.remove",
    }.ToFrozenDictionary();

    /// <summary>Whether the message (short proto name) has this field in Istio but not yet here; names in snake_case or lowerCamelCase.</summary>
    public static bool Has(string message, string field, out string remedy)
    {
        remedy = "remove the field";
        if (!Fields.TryGetValue(message, out string[]? names)) return false;
        foreach (string name in names)
        {
            if (name != field && Camel(name) != field) continue;
            remedy = Remedies.GetValueOrDefault(name, remedy);
            return true;
        }
        return false;
    }

    /// <summary><c>retry_on</c> → <c>retryOn</c>.</summary>
    public static string Camel(string snake)
    {
        var text = new System.Text.StringBuilder(snake.Length);
        for (int i = 0; i < snake.Length; i++)
        {
            if (snake[i] == '_' && i + 1 < snake.Length) text.Append(char.ToUpperInvariant(snake[++i]));
            else text.Append(snake[i]);
        }
        return text.ToString();
    }
}

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
        ["Delay"] = ["exponential_delay"],
        ["Abort"] = ["http2_error"],
        ["DestinationRule"] = ["workload_selector"],
        ["OutlierDetection"] = ["outlier_detection_http_error_codes"],
        ["LoadBalancerSettings"] = ["zone_aware_lb_setting"],
        ["LocalityLoadBalancerSetting"] = ["failover_priority"],
        ["Server"] = ["default_endpoint"],
        ["ServerTLSSettings"] = ["credential_names", "ca_crl", "ca_cert_credential_name"],
        ["Port"] = ["target_port"],
        ["ServiceEntry"] = ["subject_alt_names"],
        ["WorkloadEntry"] = ["network"],
        ["AuthorizationPolicy"] = ["target_ref", "target_refs"],
        ["RequestAuthentication"] = ["target_ref", "target_refs"],
        ["JWTRule"] = ["space_delimited_claims"],
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, string> Remedies = new Dictionary<string, string>
    {
        ["exponential_delay"] = "use fixedDelay",
        ["http2_error"] = "use httpStatus or grpcStatus",
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

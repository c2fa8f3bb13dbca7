// /clusters: every cluster with its limits and endpoints, as text (name::key::value) or as envoy.admin.v3.Clusters.
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

internal static class ClustersPage
{
    // What EDS says has a field of its own.
    private static readonly (string Name, HostFlags Flag)[] s_flags =
    [
        ("failed_active_health_check", HostFlags.FailedActiveHealthCheck),
        ("failed_outlier_check", HostFlags.FailedOutlierCheck),
        ("failed_active_degraded_check", HostFlags.DegradedActiveHealthCheck),
        ("pending_dynamic_removal", HostFlags.PendingDynamicRemoval),
        ("pending_active_hc", HostFlags.PendingActiveHealthCheck),
        ("excluded_via_immediate_hc_fail", HostFlags.ExcludedViaImmediateHealthCheckFail),
        ("active_hc_timeout", HostFlags.ActiveHealthCheckTimeout),
    ];

    public static async Task<AdminResponse> Answer(IAdminTarget target, AdminRequest request)
    {
        string format = request.Parameter("format") ?? "text";
        if (format is not ("text" or "json")) return AdminResponse.Text($"/clusters has no format \"{AdminPages.Printable(format)}\"; it has text and json.\n", 400);
        Regex? names = null;
        if (request.Parameter("filter") is { Length: > 0 } pattern)
        {
            try
            {
                names = StatsQuery.CompileFilter(pattern);
            }
            catch (ArgumentException)
            {
                return AdminResponse.Text("Invalid re2 regex", 400);
            }
        }
        IReadOnlyList<ClusterView> clusters = await target.ClustersAsync().ConfigureAwait(false);
        if (names is not null) clusters = [.. clusters.Where(c => names.IsMatch(c.Name))];
        if (format == "json") return AdminResponse.WriteJson(json => Write(json, clusters));
        var text = new StringBuilder();
        foreach (ClusterView cluster in clusters) Append(text, cluster);
        return AdminResponse.Text(text.ToString());
    }

    /// <summary>A name that cannot start a line of its own.</summary>
    internal static string OneLine(string name) => name.Any(char.IsControl) ? new string([.. name.Select(c => char.IsControl(c) ? '_' : c)]) : name;

    private static void Append(StringBuilder text, ClusterView cluster)
    {
        string name = OneLine(cluster.Name);
        Line("observability_name", OneLine(Observable(cluster)));
        foreach ((string priority, ThresholdsConfig limits) in new[] { ("default_priority", cluster.Thresholds),
            ("high_priority", cluster.HighThresholds) })
        {
            Line($"{priority}::max_connections", Number(limits.MaxConnections));
            Line($"{priority}::max_pending_requests", Number(limits.MaxPendingRequests));
            Line($"{priority}::max_requests", Number(limits.MaxRequests));
            Line($"{priority}::max_retries", Number(limits.MaxRetries));
        }
        Line("added_via_api", cluster.AddedViaApi ? "true" : "false");
        if (cluster.EdsServiceName.Length > 0) Line("eds_service_name", OneLine(cluster.EdsServiceName));
        foreach (HostView host in cluster.Hosts)
        {
            string address = OneLine(host.Address.ToString());
            foreach ((string stat, long value, _) in host.Stats) Line($"{address}::{stat}", Number(value));
            Line($"{address}::hostname", OneLine(host.Hostname));
            Line($"{address}::health_flags", host.Flags.ToText());
            Line($"{address}::weight", Number(host.Weight));
            Line($"{address}::region", OneLine(host.Region));
            Line($"{address}::zone", OneLine(host.Zone));
            Line($"{address}::sub_zone", OneLine(host.SubZone));
            Line($"{address}::canary", host.Canary ? "true" : "false");
            Line($"{address}::priority", Number(host.Priority));
            Line($"{address}::success_rate", Rate(host.SuccessRate));
            Line($"{address}::local_origin_success_rate", Rate(host.LocalOriginSuccessRate));
        }

        void Line(string key, string value) => text.Append(name).Append("::").Append(key).Append("::").Append(value).Append('\n');
    }

    private static void Write(Utf8JsonWriter json, IReadOnlyList<ClusterView> clusters)
    {
        json.WriteStartObject();
        json.WriteStartArray("cluster_statuses");
        foreach (ClusterView cluster in clusters)
        {
            json.WriteStartObject();
            json.WriteString("name", cluster.Name);
            if (cluster.AddedViaApi) json.WriteBoolean("added_via_api", true);
            json.WriteStartArray("host_statuses");
            foreach (HostView host in cluster.Hosts) Write(json, host);
            json.WriteEndArray();
            json.WriteStartObject("circuit_breakers");
            json.WriteStartArray("thresholds");
            foreach ((bool high, ThresholdsConfig limits) in new[] { (false, cluster.Thresholds), (true, cluster.HighThresholds) })
            {
                json.WriteStartObject();
                if (high) json.WriteString("priority", "HIGH");
                json.WriteNumber("max_connections", limits.MaxConnections);
                json.WriteNumber("max_pending_requests", limits.MaxPendingRequests);
                json.WriteNumber("max_requests", limits.MaxRequests);
                json.WriteNumber("max_retries", limits.MaxRetries);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
            json.WriteString("observability_name", Observable(cluster));
            if (cluster.EdsServiceName.Length > 0) json.WriteString("eds_service_name", cluster.EdsServiceName);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, HostView host)
    {
        json.WriteStartObject();
        json.WriteStartObject("address");
        ListenersPage.WriteSocketAddress(json, host.Address);
        json.WriteEndObject();
        json.WriteStartArray("stats");
        foreach ((string name, long value, bool isGauge) in host.Stats.OrderBy(s => s.IsGauge))
        {
            json.WriteStartObject();
            if (isGauge) json.WriteString("type", "GAUGE");
            if (value != 0) json.WriteString("value", Number(value));
            json.WriteString("name", name);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("health_status");
        json.WriteString("eds_health_status", host.EdsHealth);
        foreach ((string name, HostFlags flag) in s_flags) if ((host.Flags & flag) != 0) json.WriteBoolean(name, true);
        json.WriteEndObject();
        json.WriteNumber("weight", host.Weight);
        json.WriteStartObject("locality");
        if (host.Region.Length > 0) json.WriteString("region", host.Region);
        if (host.Zone.Length > 0) json.WriteString("zone", host.Zone);
        if (host.SubZone.Length > 0) json.WriteString("sub_zone", host.SubZone);
        json.WriteEndObject();
        if (host.Hostname.Length > 0) json.WriteString("hostname", host.Hostname);
        if (host.Priority != 0) json.WriteNumber("priority", host.Priority);
        json.WriteEndObject();
    }

    private static string Rate(double rate) => rate.ToString("0.####", CultureInfo.InvariantCulture);

    private static string Observable(ClusterView cluster) => cluster.ObservabilityName.Length > 0 ? cluster.ObservabilityName : cluster.Name;

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}

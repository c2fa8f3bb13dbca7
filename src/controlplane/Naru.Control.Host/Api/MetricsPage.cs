// Metrics of the control plane in Prometheus' text format; names are Istio's where Istio has one. Labels come from fixed lists
// only, so that nobody outside can add rows.
using System.Globalization;
using System.Text;
using Naru.Control.Host;
using Naru.Control.Registries;
using Naru.Control.Xds;
using Naru.Core;

namespace Naru.Control.Host.Api;

/// <summary><c>/metrics</c>.</summary>
/// <param name="state">The newest snapshot.</param>
/// <param name="xds">The proxies.</param>
/// <param name="pushes">How often a snapshot was published.</param>
internal sealed class MetricsPage(ControlState state, XdsServer xds, Func<long> pushes)
{
    /// <summary>The media type of the text format.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>The page.</summary>
    public string Render()
    {
        var page = new StringBuilder(4096);
        IReadOnlyList<ProxyStatus> proxies = xds.Proxies();
        Snapshot snapshot = state.Current;

        Head(page, "pilot_xds", "gauge", "Connected xDS streams.");
        Row(page, "pilot_xds", "", proxies.Count);
        Head(page, "pilot_xds_pushes", "counter", "xDS responses sent.");
        foreach (var row in xds.Counters.Rows) Row(page, "pilot_xds_pushes", Type(row.Type), row.Pushes);
        Head(page, "pilot_xds_pushed_resources", "counter", "Resources in xDS responses sent.");
        foreach (var row in xds.Counters.Rows) Row(page, "pilot_xds_pushed_resources", Type(row.Type), row.Resources);
        Head(page, "pilot_total_xds_rejects", "counter", "xDS responses that proxies refused.");
        foreach (var row in xds.Counters.Rows) Row(page, "pilot_total_xds_rejects", Type(row.Type), row.Nacks);
        Head(page, "naru_xds_refused_streams", "counter", "xDS streams that were refused.");
        Row(page, "naru_xds_refused_streams", "", xds.Counters.RefusedStreams);
        Head(page, "naru_xds_types", "gauge", "Subscribed types of connected proxies by state.");
        foreach (SyncState sync in Enum.GetValues<SyncState>())
        {
            Row(page, "naru_xds_types", $"state=\"{sync.ToString().ToLowerInvariant()}\"", proxies.Sum(p => p.Types.Count(t => t.State == sync)));
        }
        Head(page, "naru_snapshots_published", "counter", "Snapshots that proxies were told about.");
        Row(page, "naru_snapshots_published", "", pushes());

        Head(page, "pilot_services", "gauge", "Services known.");
        Row(page, "pilot_services", "", snapshot.Layout.Services.Count);
        Head(page, "pilot_virt_services", "gauge", "VirtualServices in use.");
        Row(page, "pilot_virt_services", "", snapshot.Layout.VirtualServices.Length);
        Head(page, "naru_endpoints", "gauge", "Endpoints known, counted once for each port of their service.");
        Row(page, "naru_endpoints", "", snapshot.Endpoints.Values.Sum(e => e.Length));
        Head(page, "naru_config_objects", "gauge", "Configuration objects in use.");
        Row(page, "naru_config_objects", "", snapshot.Config.Objects.Count);
        Head(page, "naru_config_diagnostics", "gauge", "Complaints about configuration.");
        foreach (Severity severity in Enum.GetValues<Severity>())
        {
            Row(page, "naru_config_diagnostics", $"severity=\"{Answers.NameOf(severity)}\"", snapshot.Diagnostics.Count(d => d.Severity == severity));
        }
        Head(page, "process_resident_memory_bytes", "gauge", "Resident memory.");
        Row(page, "process_resident_memory_bytes", "", Environment.WorkingSet);
        return page.ToString();
    }

    private static string Type(string type) => $"type=\"{type.ToLowerInvariant()}\"";

    private static void Head(StringBuilder page, string name, string type, string help) =>
        page.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private static void Row(StringBuilder page, string name, string labels, long value)
    {
        page.Append(name);
        if (labels.Length > 0) page.Append('{').Append(labels).Append('}');
        page.Append(' ').Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }
}

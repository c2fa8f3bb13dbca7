// Ejections and returns as lines of JSON, one object each (Envoy: data.cluster.v3.OutlierDetectionEvent, fields in the order of their
// numbers).
using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Naru.Telemetry;

namespace Naru.Proxy.Outliers;

/// <summary>What rates were compared.</summary>
/// <param name="Host">Percent of the endpoint.</param>
/// <param name="Mean">Of all endpoints; -1 where they do not count.</param>
/// <param name="Least">Below it, an endpoint stands out.</param>
internal readonly record struct OutlierRates(double Host, double Mean = -1, double Least = -1);

/// <param name="sink">Takes the lines.</param>
/// <param name="time">The clock.</param>
internal sealed class OutlierLog(AccessLogSink sink, TimeProvider time)
{
    private static readonly string[] s_types =
    [
        "CONSECUTIVE_5XX", "CONSECUTIVE_GATEWAY_FAILURE", "CONSECUTIVE_LOCAL_ORIGIN_FAILURE", "SUCCESS_RATE", "SUCCESS_RATE_LOCAL_ORIGIN",
        "FAILURE_PERCENTAGE", "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
    ];

    /// <summary>An endpoint stands out.</summary>
    /// <param name="cluster">Its cluster.</param>
    /// <param name="host">It.</param>
    /// <param name="kind">In what.</param>
    /// <param name="enforced">It is ejected.</param>
    /// <param name="sinceLast">Seconds since it came back last; null where it was never away.</param>
    /// <param name="rates">What was compared.</param>
    public void Ejected(string cluster, HostOutlier host, OutlierKind kind, bool enforced, long? sinceLast, OutlierRates rates) =>
        Write(cluster, host, s_types[(int)kind], "EJECT", enforced, sinceLast, json =>
        {
            switch (kind)
            {
                case OutlierKind.SuccessRate or OutlierKind.LocalOriginSuccessRate:
                    json.WriteStartObject("eject_success_rate_event");
                    json.WriteNumber("host_success_rate", (uint)rates.Host);
                    json.WriteNumber("cluster_average_success_rate", (uint)rates.Mean);
                    json.WriteNumber("cluster_success_rate_ejection_threshold", (uint)Math.Max(0, rates.Least));
                    break;
                case OutlierKind.FailurePercentage or OutlierKind.LocalOriginFailurePercentage:
                    json.WriteStartObject("eject_failure_percentage_event");
                    json.WriteNumber("host_success_rate", (uint)rates.Host);
                    break;
                default:
                    json.WriteStartObject("eject_consecutive_event");
                    break;
            }
            json.WriteEndObject();
        });

    /// <summary>An endpoint is back.</summary>
    /// <param name="cluster">Its cluster.</param>
    /// <param name="host">It.</param>
    /// <param name="sinceLast">Seconds since it was ejected.</param>
    public void Back(string cluster, HostOutlier host, long sinceLast) =>
        Write(cluster, host, s_types[0], "UNEJECT", enforced: false, sinceLast, static _ => { });

    private void Write(string cluster, HostOutlier host, string type, string action, bool enforced, long? sinceLast,
        Action<Utf8JsonWriter> more)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("type", type);
            json.WriteString("timestamp",
                time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            if (sinceLast is { } seconds) json.WriteString("secs_since_last_action", seconds.ToString(CultureInfo.InvariantCulture));
            json.WriteString("cluster_name", cluster);
            json.WriteString("upstream_url", host.Host.Display);
            json.WriteString("action", action);
            json.WriteNumber("num_ejections", host.Ejections);
            json.WriteBoolean("enforced", enforced);
            more(json);
            json.WriteEndObject();
        }
        line.Write("\n"u8);
        sink.Write(0, line.WrittenSpan);
    }
}

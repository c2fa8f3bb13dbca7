// What checks find out as lines of JSON, one object each (Envoy: data.core.v3.HealthCheckEvent, fields in the order of their numbers; an
// empty locality and plain fields that say nothing are written all the same).
using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Health;

/// <summary>What happened.</summary>
internal enum HealthEvent
{
    /// <summary>It is taken out.</summary>
    Ejected,

    /// <summary>It is let in.</summary>
    Added,

    /// <summary>A check succeeded.</summary>
    Success,

    /// <summary>A check failed.</summary>
    Failure,

    /// <summary>It is degraded.</summary>
    Degraded,

    /// <summary>It is degraded no longer.</summary>
    NoLongerDegraded,
}

/// <param name="sinks">Take the lines.</param>
/// <param name="time">The clock.</param>
internal sealed class HealthLog(AccessLogSink[] sinks, TimeProvider time)
{
    /// <summary>Writes an event of a check, on its worker.</summary>
    /// <param name="worker">Which.</param>
    /// <param name="cluster">Whose endpoint.</param>
    /// <param name="host">Which.</param>
    /// <param name="check">What was asked.</param>
    /// <param name="what">What happened.</param>
    /// <param name="answer">What the check made of it.</param>
    /// <param name="first">It was the first of the endpoint.</param>
    public void Write(int worker, string cluster, Host host, HealthCheckConfig check, HealthEvent what, in CheckAnswer answer, bool first)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("health_checker_type", check.Http is not null ? "HTTP" : check.Tcp is not null ? "TCP" : "GRPC");
            json.WriteStartObject("host");
            Address(json, host.Config.Address);
            json.WriteEndObject();
            json.WriteString("cluster_name", cluster);
            switch (what)
            {
                case HealthEvent.Ejected:
                    json.WriteStartObject("eject_unhealthy_event");
                    json.WriteString("failure_type", TypeOf(answer));
                    json.WriteNumber("http_status_code", answer.Status);
                    break;
                case HealthEvent.Failure:
                    json.WriteStartObject("health_check_failure_event");
                    json.WriteString("failure_type", TypeOf(answer));
                    json.WriteBoolean("first_check", first);
                    json.WriteNumber("http_status_code", answer.Status);
                    break;
                case HealthEvent.Added:
                    json.WriteStartObject("add_healthy_event");
                    json.WriteBoolean("first_check", first);
                    break;
                default:
                    json.WriteStartObject(what switch
                    {
                        HealthEvent.Degraded => "degraded_healthy_host",
                        HealthEvent.NoLongerDegraded => "no_longer_degraded_host",
                        _ => "successful_health_check_event",
                    });
                    break;
            }
            json.WriteEndObject();
            json.WriteString("timestamp",
                time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            if (host.Config.FilterMetadata is { } said)
            {
                var text = new LineBuffer();
                said.WriteJson(text);
                json.WriteStartObject("metadata");
                json.WritePropertyName("filter_metadata");
                json.WriteRawValue(text.Written);
                json.WriteStartObject("typed_filter_metadata");
                json.WriteEndObject();
                json.WriteEndObject();
            }
            string[] place = host.Config.Locality.Split('/', 3);
            json.WriteStartObject("locality");
            json.WriteString("region", place[0]);
            json.WriteString("zone", place.ElementAtOrDefault(1) ?? "");
            json.WriteString("sub_zone", place.ElementAtOrDefault(2) ?? "");
            json.WriteEndObject();
            json.WriteEndObject();
        }
        line.Write("\n"u8);
        foreach (AccessLogSink sink in sinks) sink.Write(worker, line.WrittenSpan);
    }

    private static void Address(Utf8JsonWriter json, AddressConfig address)
    {
        switch (address.Kind)
        {
            case AddressKind.Socket:
                json.WriteStartObject("socket_address");
                json.WriteString("protocol", "TCP");
                json.WriteString("address", address.Host);
                json.WriteNumber("port_value", address.Port);
                json.WriteString("resolver_name", "");
                json.WriteBoolean("ipv4_compat", false);
                json.WriteString("network_namespace_filepath", "");
                break;
            case AddressKind.Internal:
                json.WriteStartObject("envoy_internal_address");
                json.WriteString("server_listener_name", address.Host);
                json.WriteString("endpoint_id", "");
                break;
            default:
                json.WriteStartObject("pipe");
                json.WriteString("path", address.Host);
                json.WriteNumber("mode", 0);
                break;
        }
        json.WriteEndObject();
    }

    private static string TypeOf(in CheckAnswer answer) => answer.SaidItself ? "PASSIVE"
        : answer.Outcome != CheckOutcome.Network ? "ACTIVE"
        : answer.TimedOut ? "NETWORK_TIMEOUT" : "NETWORK";
}

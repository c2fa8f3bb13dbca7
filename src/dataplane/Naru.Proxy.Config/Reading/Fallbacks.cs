// What a route says of its fallback. Envoy has no such thing: it stands in the route's metadata under a name of ours, so that the same
// configuration is good for Envoy, which leaves it out (docs/decisions/0036-fallback.md).
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

internal static class Fallbacks
{
    /// <summary>Key of <c>Route.metadata.filter_metadata</c>.</summary>
    public const string Key = "naru.fallback";

    private const int MostBytes = 64 * 1024;
    private static readonly ImmutableArray<int> s_gatewayErrors = [502, 503, 504];

    /// <summary>Null where there is none.</summary>
    /// <param name="scope">Of the metadata.</param>
    /// <param name="metadata">Of a route that leads to a cluster.</param>
    public static FallbackConfig? Read(Scope scope, Metadata metadata)
    {
        if (!metadata.FilterMetadata.TryGetValue(Key, out Struct? said)) return null;
        string? cluster = null, body = null, type = null;
        int? status = null;
        ImmutableArray<int> statuses = s_gatewayErrors;
        foreach ((string name, Value value) in said.Fields)
        {
            switch (name)
            {
                case "cluster": cluster = Text(scope, name, value); break;
                case "body": body = Text(scope, name, value); break;
                case "content_type": type = Text(scope, name, value); break;
                case "status": status = Status(scope, name, value, 200); break;
                case "statuses" when value.KindCase == Value.KindOneofCase.ListValue:
                    statuses = [.. value.ListValue.Values.Select(v => Status(scope, name, v, 400) ?? 0)];
                    break;
                case "statuses":
                    Error(scope, name, "is not a list", "write statuses: [502, 503, 504]");
                    break;
                default:
                    Error(scope, name, "is not known", "there are cluster, status, body, content_type and statuses");
                    break;
            }
        }
        bool answers = said.Fields.ContainsKey("status") || said.Fields.ContainsKey("body");
        if (cluster is { Length: > 0 } == answers)
            Error(scope, "cluster", "or an answer of its own must be said, not both", "keep cluster, or status and body");
        else if (!said.Fields.ContainsKey("status") && cluster is not { Length: > 0 }) Error(scope, "status", "is required with a body", "say the status of the answer");
        if (body is not null && Encoding.UTF8.GetByteCount(body) > MostBytes) Error(scope, "body", $"is longer than {MostBytes} bytes", "use a cluster");
        if (type is not null && (type.Length == 0 || type.AsSpan().ContainsAnyExceptInRange(' ', '~'))) Error(scope, "content_type", "is no value of a header");
        return new FallbackConfig(cluster is { Length: > 0 } ? cluster : null, status ?? 200, Encoding.UTF8.GetBytes(body ?? ""), type ?? "text/plain", statuses);
    }

    /// <summary>Says that there is none where no route leads to a cluster.</summary>
    public static void Refuse(Scope scope, Metadata? metadata)
    {
        if (metadata is not null && metadata.FilterMetadata.ContainsKey(Key))
            scope.In("metadata", metadata).Error("filter_metadata", "NARU-C102", $"{Key} is of a route that leads to a cluster",
                "move it to the metadata of such a route");
    }

    /// <summary>The cluster that is named, if there is one.</summary>
    public static string? ClusterOf(Metadata? metadata) =>
        metadata is not null && metadata.FilterMetadata.TryGetValue(Key, out Struct? said) && said.Fields.TryGetValue("cluster", out Value? cluster)
            && cluster.KindCase == Value.KindOneofCase.StringValue && cluster.StringValue.Length > 0 ? cluster.StringValue : null;

    private static string? Text(Scope scope, string name, Value value)
    {
        if (value.KindCase == Value.KindOneofCase.StringValue) return value.StringValue;
        Error(scope, name, "is no text");
        return null;
    }

    private static int? Status(Scope scope, string name, Value value, int least)
    {
        if (value.KindCase == Value.KindOneofCase.NumberValue && value.NumberValue >= least && value.NumberValue <= 599 && value.NumberValue == Math.Floor(value.NumberValue))
            return (int)value.NumberValue;
        Error(scope, name, $"is no status from {least} to 599");
        return null;
    }

    private static void Error(Scope scope, string name, string what, string? remedy = null) =>
        scope.Error("filter_metadata", "NARU-C102", $"\"{name}\" of {Key} {what}", remedy);
}

// The command operators that read metadata and filter state: %DYNAMIC_METADATA%, %METADATA%, %UPSTREAM_METADATA%, %CLUSTER_METADATA%,
// %FILTER_STATE%, %PER_REQUEST_STATE% (Envoy docs: access logging, custom headers). Stands under AccessLogFormat.
using System.Text;
using System.Text.Json;

namespace Naru.Telemetry;

/// <summary>Whose metadata.</summary>
public enum MetadataSource
{
    /// <summary>What filters say about the request.</summary>
    Dynamic,
    /// <summary>Of the route.</summary>
    Route,
    /// <summary>Of the virtual host.</summary>
    VirtualHost,
    /// <summary>Of the cluster.</summary>
    Cluster,
    /// <summary>Of the endpoint.</summary>
    UpstreamHost,
    /// <summary>Of the listener.</summary>
    Listener,
    /// <summary>Of the filter chain.</summary>
    FilterChain,
}

internal static class MetadataOperators
{
    // A text of JSON within a text of JSON is written here first.
    [ThreadStatic]
    private static LineBuffer? t_scratch;

    /// <summary>NAMESPACE:KEY:…, or the older form, a list of names in JSON.</summary>
    public static Operator? Create(MetadataSource source, string argument, out string? error)
    {
        string[] names = [];
        error = argument.Length == 0 ? "wants a namespace" : null;
        if (argument.StartsWith('['))
        {
            try
            {
                using JsonDocument list = JsonDocument.Parse(argument);
                names = [.. list.RootElement.EnumerateArray().Select(e => e.GetString() ?? "")];
                if (names.Length == 0) error = "wants a namespace";
            }
            catch (Exception fault) when (fault is JsonException or InvalidOperationException)
            {
                error = $"its argument is no list of names in JSON: {fault.Message}";
            }
        }
        else names = argument.Split(':');
        return error is null ? Of(source, names) : null;
    }

    /// <summary>TYPE:NAMESPACE:KEY:….</summary>
    public static Operator? CreateTyped(string argument, out string? error)
    {
        string[] parts = argument.Split(':');
        MetadataSource? source = parts[0] switch
        {
            "DYNAMIC" => MetadataSource.Dynamic,
            "ROUTE" => MetadataSource.Route,
            "VIRTUAL_HOST" => MetadataSource.VirtualHost,
            "CLUSTER" => MetadataSource.Cluster,
            "UPSTREAM_HOST" => MetadataSource.UpstreamHost,
            "LISTENER" => MetadataSource.Listener,
            "LISTENER_FILTER_CHAIN" => MetadataSource.FilterChain,
            _ => null,
        };
        error = source is null ? "wants DYNAMIC, ROUTE, VIRTUAL_HOST, CLUSTER, UPSTREAM_HOST, LISTENER or LISTENER_FILTER_CHAIN first"
            : parts.Length < 2 || parts[1].Length == 0 ? "wants a namespace second" : null;
        return error is null ? Of(source!.Value, parts[1..]) : null;
    }

    private static Operator Of(MetadataSource source, string[] names) =>
        new(OperatorKind.Metadata) { Metadata = source, Names = [.. names.Select(Encoding.UTF8.GetBytes)] };

    /// <summary>KEY, KEY:PLAIN or KEY:TYPED.</summary>
    public static Operator? CreateState(string argument, out string? error)
    {
        int colon = argument.IndexOf(':', StringComparison.Ordinal);
        string key = colon < 0 ? argument : argument[..colon], form = colon < 0 ? "TYPED" : argument[(colon + 1)..];
        error = key.Length == 0 ? "wants the key of a state"
            : form.StartsWith("FIELD", StringComparison.Ordinal) ? "states are texts and have no fields"
            : form is "PLAIN" or "TYPED" ? null : "wants PLAIN or TYPED second";
        return error is null ? State(key, form == "TYPED") : null;
    }

    /// <summary>A state as it is.</summary>
    public static Operator? CreatePlainState(string argument, out string? error)
    {
        error = argument.Length == 0 ? "wants the key of a state" : null;
        return error is null ? State(argument, typed: false) : null;
    }

    private static Operator State(string key, bool typed) =>
        new(OperatorKind.FilterState) { Name = Encoding.UTF8.GetBytes(key), Style = typed ? 1 : 0 };

    /// <summary>The value that an operator speaks of; null for none.</summary>
    public static MetaValue? Find(Operator part, IRequestInfo request) =>
        request.Metadata(part.Metadata)?.Find(part.Names) is { Kind: not MetaKind.Null } value ? value : null;

    /// <summary>A buffer for a text that is escaped once more.</summary>
    public static LineBuffer Scratch
    {
        get
        {
            LineBuffer scratch = t_scratch ??= new LineBuffer();
            scratch.Clear();
            return scratch;
        }
    }
}

// A request as a proxy of a local mesh wrote it down, one object of JSON a line, and as one line for people. What came from a client is
// printed without anything that could control a terminal.
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Naru.Inspect;

/// <summary>One request.</summary>
public sealed record RequestEntry
{
    /// <summary>When it began.</summary>
    public DateTimeOffset Time { get; init; }
    /// <summary>Method.</summary>
    public string Method { get; init; } = "";
    /// <summary>Host as the client named it.</summary>
    public string Authority { get; init; } = "";
    /// <summary>Path with query.</summary>
    public string Path { get; init; } = "";
    /// <summary>Version of HTTP.</summary>
    public string Protocol { get; init; } = "";
    /// <summary>Status of the answer; 0 where none was sent.</summary>
    public int Status { get; init; }
    /// <summary>gRPC status, where it was a call.</summary>
    public int? GrpcStatus { get; init; }
    /// <summary>Envoy's response flags, <c>-</c> for none.</summary>
    public string Flags { get; init; } = "-";
    /// <summary>Envoy's response code details.</summary>
    public string Details { get; init; } = "";
    /// <summary>Code and sentence of an answer that the proxy made, or cut, itself.</summary>
    public string? Reason { get; init; }
    /// <summary>Milliseconds.</summary>
    public long Duration { get; init; }
    /// <summary>Bytes of the request's body.</summary>
    public long Received { get; init; }
    /// <summary>Bytes of the answer's body.</summary>
    public long Sent { get; init; }
    /// <summary>Cluster that it went to.</summary>
    public string Cluster { get; init; } = "";
    /// <summary>Endpoint that it went to.</summary>
    public string Upstream { get; init; } = "";
    /// <summary>How often it was tried.</summary>
    public int Attempts { get; init; }
    /// <summary>Who asked.</summary>
    public string Client { get; init; } = "";
    /// <summary>Its id.</summary>
    public string RequestId { get; init; } = "";

    /// <summary>Whether it left the pod, asked by the pod's own application.</summary>
    public bool Outbound { get; init; }

    /// <summary>Short name of the service that it went to; empty for inbound requests and where there was none.</summary>
    public string Service => Cluster == "naru_front_page" ? "the front page" : ServiceOf(Cluster);

    /// <summary>Short name of the service, with its subset, that an outbound cluster stands for; empty for other clusters.</summary>
    public static string ServiceOf(string cluster)
    {
        string[] parts = cluster.Split('|');
        if (parts is not ["outbound", _, var subset, var host]) return "";
        string name = host.EndsWith(".svc.cluster.local", StringComparison.Ordinal) ? host[..^".svc.cluster.local".Length] : host;
        if (name.EndsWith(".default", StringComparison.Ordinal)) name = name[..^".default".Length];
        return subset.Length > 0 ? $"{name} {subset}" : name;
    }

    /// <summary>Reads a line; null where it is none of ours.</summary>
    public static RequestEntry? Parse(string line)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            JsonElement e = json.RootElement;
            if (e.ValueKind != JsonValueKind.Object) return null;
            if (!DateTimeOffset.TryParse(Text(e, "time"), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset time))
                return null;
            return new RequestEntry
            {
                Time = time,
                Method = Text(e, "method"),
                Authority = Text(e, "authority"),
                Path = Text(e, "path"),
                Protocol = Text(e, "protocol"),
                Status = (int)Number(e, "status"),
                GrpcStatus = e.TryGetProperty("grpcStatus", out JsonElement grpc) && grpc.ValueKind == JsonValueKind.Number
                    ? (int)Number(e, "grpcStatus") : null,
                Flags = Text(e, "flags") is { Length: > 0 } flags ? flags : "-",
                Details = Text(e, "details"),
                Reason = Text(e, "reason") is { Length: > 0 } reason ? reason : null,
                Duration = Number(e, "duration"),
                Received = Number(e, "received"),
                Sent = Number(e, "sent"),
                Cluster = Text(e, "cluster"),
                Upstream = Text(e, "upstream"),
                Attempts = (int)Number(e, "attempts"),
                Client = Text(e, "client"),
                RequestId = Text(e, "requestId"),
                Outbound = Text(e, "direction") == "outbound",
            };
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary><c>GET /reviews/0  200  3 ms</c> and, where it did not go well, why.</summary>
    /// <param name="withAuthority">Whether the host is said as well.</param>
    /// <param name="status">Dresses the status.</param>
    public string Describe(bool withAuthority, Func<int, string, string> status)
    {
        var text = new StringBuilder();
        text.Append(status(Status, Status == 0 ? "---" : Status.ToString(CultureInfo.InvariantCulture))).Append(' ');
        text.Append(Method.Length > 0 ? Plain(Method) : "-").Append(' ').Append(withAuthority ? Plain(Authority) : "").Append(Plain(Path))
            .Append("  ").Append(Duration).Append(" ms");
        if (Attempts > 1) text.Append($"  {Attempts} tries");
        if (GrpcStatus is > 0) text.Append($"  grpc-status {GrpcStatus}");
        if (Status == 200 && Flags == "-") return text.ToString();
        if (Flags != "-") text.Append("  ").Append(Plain(Flags));
        string why = Reason is not null ? Plain(Reason) : Flags != "-"
            ? string.Join("; ", Flags.Split(',').Select(Sentence).Where(s => s.Length > 0)) : "";
        if (why.Length > 0) text.Append("  ").Append(why);
        return text.ToString();
    }

    // Envoy's response flags (Envoy: access logging, %RESPONSE_FLAGS%) in our words, for ends that have no reason of their own.
    private static string Sentence(string flag) => flag switch
    {
        "UH" => "no healthy endpoint",
        "UF" => "the endpoint could not be reached",
        "UO" => "a circuit breaker is open",
        "NR" => "no route takes it",
        "NC" => "the route's cluster is not known",
        "URX" => "all tries were used up",
        "DC" => "the client went away",
        "LR" => "reset by the proxy",
        "UR" => "reset by the endpoint",
        "UC" => "the endpoint closed the connection",
        "UT" => "the endpoint took too long",
        "SI" => "nothing moved for too long",
        "DI" => "delayed on purpose",
        "FI" => "aborted on purpose",
        "RL" => "over the rate limit",
        "UAEX" => "not allowed",
        "IH" => "a header is not valid",
        "DPE" => "the client's request is not valid HTTP",
        "UPE" => "the endpoint's answer is not valid HTTP",
        "UMSDR" => "over the time allowed",
        "OM" => "the proxy is short of resources",
        _ => "",
    };

    // Paths and hosts are a stranger's words.
    private static string Plain(string text)
    {
        if (!text.Any(IsHidden)) return text;
        var plain = new StringBuilder();
        foreach (char c in text) plain.Append(IsHidden(c) ? $"\\u{(int)c:x4}" : c.ToString());
        return plain.ToString();
    }

    private static bool IsHidden(char c) => char.IsControl(c)
        || c is (>= '\u200b' and <= '\u200f') or (>= '\u2028' and <= '\u202e') or (>= '\u2066' and <= '\u2069') or '\ufeff';

    private static string Text(JsonElement of, string name) => of.TryGetProperty(name, out JsonElement value)
        && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    private static long Number(JsonElement of, string name) => of.TryGetProperty(name, out JsonElement value)
        && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number : 0;
}

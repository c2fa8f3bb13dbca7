// Who asks: an xDS Node read into what translation needs to know. Refuses ids that are not Istio's four parts, except
// from gRPC clients, whose bootstraps name themselves as they like.
using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;

namespace Naru.Control.Translation;

/// <summary>First part of a node id.</summary>
public enum NodeType
{
    /// <summary>Beside one workload.</summary>
    Sidecar,
    /// <summary>A gateway.</summary>
    Router,
}

/// <summary>A proxy, as far as its configuration depends on it. Metadata keys are Istio's, those that begin with NARU_ ours.</summary>
public sealed record NodeInfo
{
    private const string UserAgent = "naru-proxy", OwnMetadata = "NARU_";

    /// <summary>The whole id.</summary>
    public required string Id { get; init; }
    /// <summary><c>node.cluster</c>.</summary>
    public string Cluster { get; init; } = "";
    /// <summary>Sidecar or gateway.</summary>
    public NodeType Type { get; init; }
    /// <summary>Pod name (third part of the id before its last dot).</summary>
    public string Name { get; init; } = "";
    /// <summary>NAMESPACE, else from the id, else <c>default</c>.</summary>
    public string Namespace { get; init; } = "default";
    /// <summary>INSTANCE_IPS, else the address in the id; in order.</summary>
    public ImmutableArray<string> Addresses { get; init; } = [];
    /// <summary>LABELS.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>SERVICE_ACCOUNT.</summary>
    public string ServiceAccount { get; init; } = "";
    /// <summary>WORKLOAD_NAME.</summary>
    public string WorkloadName { get; init; } = "";
    /// <summary>GENERATOR is <c>grpc</c>: a proxyless client.</summary>
    public bool IsGrpc { get; init; }
    /// <summary>INTERCEPTION_MODE is NONE: nothing redirects the workload's traffic, so listeners have addresses of their own.</summary>
    public bool NoInterception { get; init; }
    /// <summary>Whether it is a proxy of a cluster: a sidecar that traffic is redirected to, or a gateway; Istio's own, as far as
    /// resources go.</summary>
    public bool IsCaptured => !IsGrpc && !NoInterception;
    /// <summary>A proxy of Naru (<c>user_agent_name</c>, or metadata of ours). It has no certificates of the mesh yet, so what needs them
    /// is not sent: secrets that nobody brings would keep its listeners waiting.</summary>
    public bool IsOurs { get; init; }
    /// <summary>INTERCEPTION_MODE is TPROXY: connections keep the client's address.</summary>
    public bool IsTransparent { get; init; }
    /// <summary>HTTP10: whether HTTP/1.0 is answered.</summary>
    public bool TakesHttp10 { get; init; }
    /// <summary>IDLE_TIMEOUT of connections of clients; null for the proxy's own.</summary>
    public TimeSpan? IdleTimeout { get; init; }
    /// <summary>What PROXY_CONFIG says of headers; null where the proxy brings no such configuration.</summary>
    public ProxyHeadersSpec? Headers { get; init; }
    /// <summary>What of it is in every listener and route of its own.</summary>
    public string Habits => $"{IsOurs}|{IsTransparent}|{TakesHttp10}|{IdleTimeout?.Ticks}|{HttpProxyPort}|{Headers}";
    /// <summary>UNPRIVILEGED_POD: ports below 1024 cannot be bound and are left out; such services are reached through the HTTP proxy.</summary>
    public bool Unprivileged { get; init; }
    /// <summary>HTTP_PROXY_PORT; null has no such listener.</summary>
    public int? HttpProxyPort { get; init; }
    /// <summary>NARU_APP_PORTS: container port to the process's port on 127.0.0.1.</summary>
    public ImmutableSortedDictionary<int, int> AppPorts { get; init; } = ImmutableSortedDictionary<int, int>.Empty;
    /// <summary>NARU_APP_ADDRESSES: container port to the address on which the process has its port, where that is not 127.0.0.1.</summary>
    public ImmutableSortedDictionary<string, string> AppAddresses { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>NARU_PORT_MAP: gateway port to the port that is really bound.</summary>
    public ImmutableSortedDictionary<int, int> PortMap { get; init; } = ImmutableSortedDictionary<int, int>.Empty;
    /// <summary>NARU_VIP_OCTET: third octet of service addresses as this pod sees them.</summary>
    public int? VipOctet { get; init; }
    /// <summary>NARU_FRONT_PAGE: absolute path of the Unix socket on which a local mesh's runner answers what no rule takes.</summary>
    public string FrontPage { get; init; } = "";
    /// <summary>NARU_MESH: name of the local mesh, as commands take it; empty where it is none.</summary>
    public string Mesh { get; init; } = "";
    /// <summary>NARU_ACCESS_LOG: absolute path of the file into which the proxy writes a line for each request.</summary>
    public string AccessLog { get; init; } = "";
    /// <summary><c>locality.region/zone/sub_zone</c>, as far as given.</summary>
    public string Locality { get; init; } = "";

    /// <summary>Reads an xDS node.</summary>
    /// <exception cref="FormatException">The node is not one that can be served; the message says why.</exception>
    public static NodeInfo Parse(Envoy.Config.Core.V3.Node node) =>
        TryParse(node, out string? error) ?? throw new FormatException(error);

    /// <summary>Reads an xDS node.</summary>
    /// <returns>The node, or null and a sentence that says what is wrong with it.</returns>
    public static NodeInfo? TryParse(Envoy.Config.Core.V3.Node node, out string? error)
    {
        NodeInfo? read = TryParse(node.Id, node.Cluster, node.Metadata, out error);
        if (read is not null && node.UserAgentName == UserAgent) read = read with { IsOurs = true };
        return read is null || node.Locality is null ? read
            : read with { Locality = string.Join('/', new[] { node.Locality.Region, node.Locality.Zone, node.Locality.SubZone }.TakeWhile(p => p.Length > 0)) };
    }

    /// <summary>Reads a node.</summary>
    /// <returns>The node, or null and a sentence that says what is wrong with it.</returns>
    public static NodeInfo? TryParse(string id, string cluster, Struct? metadata, out string? error)
    {
        error = null;
        bool grpc = Text(metadata, "GENERATOR") == "grpc";
        string[] parts = id.Split('~');
        NodeType type = NodeType.Sidecar;
        string address = "", name = id, domain = "";
        if (parts.Length == 4)
        {
            switch (parts[0])
            {
                case "sidecar": type = NodeType.Sidecar; break;
                case "router": type = NodeType.Router; break;
                default:
                    error = $"node.id \"{id}\" begins with \"{parts[0]}\"; this control plane serves \"sidecar\" and \"router\"";
                    return null;
            }
            address = parts[1];
            name = parts[2];
            domain = parts[3];
        }
        else if (!grpc)
        {
            error = $"node.id \"{id}\" must be type~ip~name.namespace~domain (four parts, three '~'); a gRPC client may have any id when node.metadata.GENERATOR is \"grpc\"";
            return null;
        }

        int dot = name.LastIndexOf('.');
        string ns = Text(metadata, "NAMESPACE") is { Length: > 0 } given ? given
            : parts.Length == 4 && dot > 0 ? name[(dot + 1)..]
            : domain.IndexOf('.') is > 0 and int first ? domain[..first]
            : "default";

        ImmutableArray<string> addresses = [.. Text(metadata, "INSTANCE_IPS")
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Where(a => IPAddress.TryParse(a, out _))];
        if (addresses.IsEmpty && IPAddress.TryParse(address, out _)) addresses = [address];
        if (addresses.IsEmpty && !grpc)
        {
            error = $"node.id \"{id}\" has no IP address as its second part, and node.metadata.INSTANCE_IPS has none either";
            return null;
        }

        return new NodeInfo
        {
            Id = id,
            Cluster = cluster,
            Type = type,
            Name = parts.Length == 4 && dot > 0 ? name[..dot] : name,
            Namespace = ns,
            Addresses = addresses,
            Labels = Texts(metadata, "LABELS"),
            ServiceAccount = Text(metadata, "SERVICE_ACCOUNT"),
            WorkloadName = Text(metadata, "WORKLOAD_NAME"),
            IsGrpc = grpc,
            NoInterception = Text(metadata, "INTERCEPTION_MODE") == "NONE",
            IsOurs = metadata?.Fields.Keys.Any(k => k.StartsWith(OwnMetadata, StringComparison.Ordinal)) ?? false,
            IsTransparent = Text(metadata, "INTERCEPTION_MODE") == "TPROXY",
            TakesHttp10 = Text(metadata, "HTTP10") is "1" or "true",
            IdleTimeout = MeshConfigReader.TimeOf(Text(metadata, "IDLE_TIMEOUT")),
            Headers = ProxyConfig(metadata),
            Unprivileged = Text(metadata, "UNPRIVILEGED_POD") == "true",
            HttpProxyPort = Number(metadata, "HTTP_PROXY_PORT"),
            AppPorts = Ports(metadata, "NARU_APP_PORTS"),
            AppAddresses = Texts(metadata, "NARU_APP_ADDRESSES"),
            PortMap = Ports(metadata, "NARU_PORT_MAP"),
            VipOctet = Number(metadata, "NARU_VIP_OCTET"),
            FrontPage = AbsolutePath(metadata, "NARU_FRONT_PAGE"),
            Mesh = Text(metadata, "NARU_MESH") is { Length: > 0 and <= 63 } mesh && mesh.All(IsOfName) ? mesh : "",
            AccessLog = AbsolutePath(metadata, "NARU_ACCESS_LOG"),
        };
    }

    /// <summary>Equal for nodes that get the same resources; cheap to compare.</summary>
    public string Fingerprint => string.Join('\u0001',
        Type, IsGrpc, NoInterception, Habits, Unprivileged, Namespace, HttpProxyPort, VipOctet, string.Join(',', Addresses),
        string.Join(',', Labels.Select(l => l.Key + "=" + l.Value)),
        string.Join(',', AppPorts.Select(p => $"{p.Key}={p.Value}")), string.Join(',', AppAddresses.Select(p => $"{p.Key}={p.Value}")),
        string.Join(',', PortMap.Select(p => $"{p.Key}={p.Value}")), FrontPage, Mesh, AccessLog, Type == NodeType.Sidecar ? Name : "");

    private static string Text(Struct? metadata, string key) =>
        metadata is not null && metadata.Fields.TryGetValue(key, out Value? value) ? Text(value) : "";

    // It is shown in commands to be copied.
    private static bool IsOfName(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.';

    private static string AbsolutePath(Struct? metadata, string key) => Text(metadata, key) is ['/', ..] path ? path : "";

    private static string Text(Value value) => value.KindCase switch
    {
        Value.KindOneofCase.StringValue => value.StringValue,
        Value.KindOneofCase.NumberValue => value.NumberValue.ToString(System.Globalization.CultureInfo.InvariantCulture),
        Value.KindOneofCase.BoolValue => value.BoolValue ? "true" : "false",
        _ => "",
    };

    private static int? Number(Struct? metadata, string key) => int.TryParse(Text(metadata, key), out int number) ? number : null;

    private static ImmutableSortedDictionary<string, string> Texts(Struct? metadata, string key)
    {
        if (metadata is null || !metadata.Fields.TryGetValue(key, out Value? value)) return ImmutableSortedDictionary<string, string>.Empty;
        // Some agents put maps into metadata as JSON text.
        Struct? map = value.KindCase switch
        {
            Value.KindOneofCase.StructValue => value.StructValue,
            Value.KindOneofCase.StringValue => ParseStruct(value.StringValue),
            _ => null,
        };
        if (map is null) return ImmutableSortedDictionary<string, string>.Empty;
        return map.Fields.ToImmutableSortedDictionary(f => f.Key, f => Text(f.Value), StringComparer.Ordinal);
    }

    private static ProxyHeadersSpec? ProxyConfig(Struct? metadata)
    {
        if (metadata is null || !metadata.Fields.TryGetValue("PROXY_CONFIG", out Value? value)) return null;
        return value.KindCase switch
        {
            Value.KindOneofCase.StructValue => MeshConfigReader.HeadersOf(JsonFormatter.Default.Format(value.StructValue)),
            Value.KindOneofCase.StringValue => MeshConfigReader.HeadersOf(value.StringValue),
            _ => null,
        };
    }

    private static Struct? ParseStruct(string json)
    {
        try { return Struct.Parser.ParseJson(json); }
        catch (Google.Protobuf.InvalidProtocolBufferException) { return null; }
        catch (Google.Protobuf.InvalidJsonException) { return null; }
    }

    private static ImmutableSortedDictionary<int, int> Ports(Struct? metadata, string key)
    {
        var ports = ImmutableSortedDictionary.CreateBuilder<int, int>();
        foreach ((string from, string to) in Texts(metadata, key))
        {
            if (int.TryParse(from, out int a) && int.TryParse(to, out int b) && a is > 0 and <= 65535 && b is > 0 and <= 65535) ports[a] = b;
        }
        return ports.ToImmutable();
    }
}

// What a proxy of the mesh is started with: who it is, where its admin listens, where its control plane is. Everything else comes by xDS.
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Naru.Local;

/// <summary>Who a proxy is.</summary>
public sealed record ProxyIdentity
{
    /// <summary><c>sidecar</c> or <c>router</c>.</summary>
    public required string Type { get; init; }
    /// <summary>Pod.</summary>
    public required PodIdentity Pod { get; init; }
    /// <summary>Workload, the pod's Deployment.</summary>
    public required string Workload { get; init; }
    /// <summary>Addresses it listens on.</summary>
    public required string InstanceAddresses { get; init; }
    /// <summary>Container port to the process's port.</summary>
    public IReadOnlyList<KeyValuePair<int, int>> AppPorts { get; init; } = [];
    /// <summary>Container port to the address on which the process has that port, where that is not 127.0.0.1.</summary>
    public IReadOnlyList<KeyValuePair<int, string>> AppAddresses { get; init; } = [];
    /// <summary>Gateway port to the port really bound.</summary>
    public IReadOnlyList<KeyValuePair<int, int>> PortMap { get; init; } = [];
    /// <summary>Gateways: Unix socket of the front page; empty for none.</summary>
    public string FrontPage { get; init; } = "";
    /// <summary>Gateways: name of the mesh, as commands take it; empty for none.</summary>
    public string Mesh { get; init; } = "";
    /// <summary>File for a line for each request that comes to it; empty for none.</summary>
    public string AccessLog { get; init; } = "";

    /// <summary>Whether a proxy that was started as <paramref name="other"/> will do for this one and need not be started again.</summary>
    public bool IsAs(ProxyIdentity other) =>
        AppPorts.SequenceEqual(other.AppPorts) && AppAddresses.SequenceEqual(other.AppAddresses) && PortMap.SequenceEqual(other.PortMap)
        && Pod.Labels.Count == other.Pod.Labels.Count
        && Pod.Labels.All(l => other.Pod.Labels.TryGetValue(l.Key, out string? value) && value == l.Value);
}

/// <summary>Writes bootstraps.</summary>
public static class Bootstrap
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    /// <summary>The bootstrap of a proxy, in Envoy's v3 spelling.</summary>
    /// <param name="proxy">Who it is.</param>
    /// <param name="controlPlane">IP of the control plane.</param>
    /// <param name="mayBindLowPorts">Whether ports below 1024 can be bound here.</param>
    public static string Write(ProxyIdentity proxy, string controlPlane, bool mayBindLowPorts = true)
    {
        PodIdentity pod = proxy.Pod;
        var labels = new JsonObject();
        foreach ((string key, string value) in pod.Labels) labels[key] = value;
        var metadata = new JsonObject
        {
            ["NAME"] = pod.Name,
            ["NAMESPACE"] = pod.Namespace,
            ["LABELS"] = labels,
            ["SERVICE_ACCOUNT"] = pod.ServiceAccount,
            ["WORKLOAD_NAME"] = proxy.Workload,
            ["INSTANCE_IPS"] = proxy.InstanceAddresses,
            ["INTERCEPTION_MODE"] = "NONE",
        };
        if (proxy.Type == "sidecar")
        {
            metadata["HTTP_PROXY_PORT"] = $"{AddressPlan.HttpProxyPort}";
            metadata["NARU_APP_PORTS"] = Ports(proxy.AppPorts);
            if (proxy.AppAddresses.Count > 0)
            {
                var addresses = new JsonObject();
                foreach ((int port, string address) in proxy.AppAddresses) addresses[$"{port}"] = address;
                metadata["NARU_APP_ADDRESSES"] = addresses;
            }
            metadata["NARU_VIP_OCTET"] = pod.Number;
        }
        // Services on such ports are then reached through the host-routed proxy only.
        if (!mayBindLowPorts) metadata["UNPRIVILEGED_POD"] = "true";
        if (proxy.PortMap.Count > 0) metadata["NARU_PORT_MAP"] = Ports(proxy.PortMap);
        if (proxy.FrontPage.Length > 0) metadata["NARU_FRONT_PAGE"] = proxy.FrontPage;
        if (proxy.Mesh.Length > 0) metadata["NARU_MESH"] = proxy.Mesh;
        if (proxy.AccessLog.Length > 0) metadata["NARU_ACCESS_LOG"] = proxy.AccessLog;
        string app = pod.Labels.TryGetValue("app", out string? label) ? label : proxy.Workload;
        var ads = new JsonObject
        {
            ["api_type"] = "DELTA_GRPC",
            ["transport_api_version"] = "V3",
            ["set_node_on_first_message_only"] = true,
            ["grpc_services"] = new JsonArray(new JsonObject { ["envoy_grpc"] = new JsonObject { ["cluster_name"] = "xds-grpc" } }),
        };
        return new JsonObject
        {
            ["node"] = new JsonObject
            {
                ["id"] = $"{proxy.Type}~{pod.Address}~{pod.Name}.{pod.Namespace}~{pod.Namespace}.svc.cluster.local",
                ["cluster"] = $"{app}.{pod.Namespace}",
                ["metadata"] = metadata,
            },
            ["admin"] = new JsonObject { ["address"] = Socket(pod.Address, AddressPlan.AdminPort) },
            ["dynamic_resources"] = new JsonObject
            {
                ["ads_config"] = ads,
                ["lds_config"] = new JsonObject { ["ads"] = new JsonObject(), ["resource_api_version"] = "V3" },
                ["cds_config"] = new JsonObject { ["ads"] = new JsonObject(), ["resource_api_version"] = "V3" },
            },
            ["static_resources"] = new JsonObject
            {
                ["clusters"] = new JsonArray(new JsonObject
                {
                    ["name"] = "xds-grpc",
                    ["type"] = "STATIC",
                    ["connect_timeout"] = "1s",
                    ["typed_extension_protocol_options"] = new JsonObject
                    {
                        ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = new JsonObject
                        {
                            ["@type"] = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            ["explicit_http_config"] = new JsonObject { ["http2_protocol_options"] = new JsonObject() },
                        },
                    },
                    ["load_assignment"] = new JsonObject
                    {
                        ["cluster_name"] = "xds-grpc",
                        ["endpoints"] = new JsonArray(new JsonObject
                        {
                            ["lb_endpoints"] = new JsonArray(new JsonObject { ["endpoint"] = new JsonObject { ["address"] = Socket(controlPlane, AddressPlan.XdsPort) } }),
                        }),
                    },
                }),
            },
        }.ToJsonString(s_indented) + "\n";
    }

    private static JsonObject Socket(string address, int port) =>
        new() { ["socket_address"] = new JsonObject { ["address"] = address, ["port_value"] = port } };

    private static JsonObject Ports(IReadOnlyList<KeyValuePair<int, int>> ports)
    {
        var map = new JsonObject();
        foreach ((int from, int to) in ports) map[$"{from}"] = to;
        return map;
    }
}

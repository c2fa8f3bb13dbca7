// envoy.config.endpoint.v3.ClusterLoadAssignment as a record: localities are flattened, each endpoint keeps its locality, that one's
// weight, and its priority.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads endpoints.</summary>
internal static class EndpointReader
{
    private const int MaxPriority = 128;

    /// <summary>The record; meaningless where the reading has errors.</summary>
    /// <param name="scope">Of the assignment.</param>
    /// <param name="assignment">The message.</param>
    /// <param name="names">Whether an endpoint may be a DNS name.</param>
    /// <param name="ofCluster">Name of the cluster that holds the assignment; null for EDS, which must say it.</param>
    public static EndpointsConfig Read(Scope scope, ClusterLoadAssignment assignment, bool names, string? ofCluster)
    {
        if (ofCluster is null) Values.Required(scope, "cluster_name", assignment.ClusterName);
        var endpoints = ImmutableArray.CreateBuilder<EndpointConfig>();
        for (int i = 0; i < assignment.Endpoints.Count; i++)
        {
            LocalityLbEndpoints locality = assignment.Endpoints[i];
            Locality(scope.In("endpoints", i, locality), locality, names, endpoints);
        }
        string name = ofCluster ?? assignment.ClusterName;
        return new EndpointsConfig(name, endpoints.ToImmutable()) { Policy = Policy(scope, assignment.Policy) };
    }

    private static EndpointPolicyConfig Policy(Scope scope, ClusterLoadAssignment.Types.Policy? policy)
    {
        if (policy is null) return EndpointPolicyConfig.Standard;
        if (policy.OverprovisioningFactor == 0)
            scope.In("policy", policy).Error("overprovisioning_factor", "NARU-C102", "\"overprovisioning_factor\" must be at least 1");
        return new EndpointPolicyConfig(policy.OverprovisioningFactor ?? 140, policy.WeightedPriorityHealth);
    }

    private static bool IsCanary(LbEndpoint endpoint) =>
        endpoint.Metadata is { } metadata
            && metadata.FilterMetadata.TryGetValue("envoy.lb", out Google.Protobuf.WellKnownTypes.Struct? labels)
        && labels.Fields.TryGetValue("canary", out Google.Protobuf.WellKnownTypes.Value? canary) && canary.BoolValue;

    private static string? HashKey(LbEndpoint endpoint) =>
        endpoint.Metadata is { } metadata
            && metadata.FilterMetadata.TryGetValue("envoy.lb", out Google.Protobuf.WellKnownTypes.Struct? labels)
        && labels.Fields.TryGetValue("hash_key", out Google.Protobuf.WellKnownTypes.Value? key) && key.HasStringValue ? key.StringValue : null;

    private static void Locality(Scope scope, LocalityLbEndpoints locality, bool names, ImmutableArray<EndpointConfig>.Builder endpoints)
    {
        if (locality.Priority > MaxPriority)
        {
            scope.Error("priority", "NARU-C102", $"\"priority\" cannot be {locality.Priority}", $"it may be 0 to {MaxPriority}");
            return;
        }
        string place = Join(locality.Locality);
        ImmutableArray<KeyValuePair<string, string>> ofLocality = MetadataValues.ForTransport(locality.Metadata, default);
        ImmutableArray<KeyValuePair<string, string>> last = [];
        ImmutableArray<LabelConfig> labels = [];
        Metadata? noted = null;
        Telemetry.MetaValue? notes = null;
        long sum = 0;
        for (int i = 0; i < locality.LbEndpoints.Count; i++)
        {
            LbEndpoint endpoint = locality.LbEndpoints[i];
            Scope at = scope.In("lb_endpoints", i, endpoint);
            if (endpoint.HostIdentifierCase == LbEndpoint.HostIdentifierOneofCase.EndpointName) continue;
            if (endpoint.Endpoint is not { } host)
            {
                at.Error("endpoint", "NARU-C101", "\"endpoint\" is required");
                continue;
            }
            if (endpoint.LoadBalancingWeight == 0) at.Error("load_balancing_weight", "NARU-C102", "\"load_balancing_weight\" must be at least 1");
            Scope hostAt = at.In("endpoint", host);
            if (Addresses.Read(hostAt, "address", host.Address, literalOnly: false) is not { } address) continue;
            if (!names && address is { Kind: AddressKind.Socket, Ip: null })
            {
                hostAt.Error("address", "NARU-C107", $"\"{address.Host}\" is not an IP address", "give the cluster type STRICT_DNS or LOGICAL_DNS to use names");
                continue;
            }
            if (Health(at, endpoint) is not { } health) continue;
            if (host.HealthCheckConfig is { PortValue: > 65535 } far) hostAt.In("health_check_config", far).Error("port_value", "NARU-C102", $"{far.PortValue} is not a port", "it may be 1 to 65535");
            last = MetadataValues.ForTransport(endpoint.Metadata, last);
            labels = SubsetReader.Labels(endpoint.Metadata, labels);
            // Many endpoints say the same of themselves, and share it.
            if (!Equals(endpoint.Metadata, noted)) (noted, notes) = (endpoint.Metadata, MetadataReader.Read(endpoint.Metadata));
            sum += endpoint.LoadBalancingWeight ?? 1;
            endpoints.Add(new EndpointConfig(address)
            {
                Hostname = host.Hostname.Length > 0 ? host.Hostname : address is { Kind: AddressKind.Socket, Ip: null } ? address.Host : "",
                Weight = endpoint.LoadBalancingWeight ?? 1,
                Priority = (int)locality.Priority,
                Health = health,
                HealthCheckPort = (int)(host.HealthCheckConfig?.PortValue ?? 0),
                HealthCheckAddress = CheckedAt(hostAt, host.HealthCheckConfig),
                HealthCheckHostname = host.HealthCheckConfig?.Hostname ?? "",
                DisableActiveHealthCheck = host.HealthCheckConfig?.DisableActiveHealthCheck ?? false,
                ProxyValues = TransportSockets.OfEndpoint(at, endpoint.Metadata),
                Locality = place,
                LocalityWeight = locality.LoadBalancingWeight ?? 0,
                IsCanary = IsCanary(endpoint),
                HashKey = HashKey(endpoint),
                Labels = labels,
                FilterMetadata = notes,
                TransportMetadata = last,
                LocalityTransportMetadata = ofLocality,
            });
        }
        if (sum > uint.MaxValue) scope.Error("lb_endpoints", "NARU-C102", "the weights of a locality add up to more than 4294967295", "make them smaller, keeping their ratio");
    }

    // Checks look no names up.
    private static AddressConfig? CheckedAt(Scope scope, Endpoint.Types.HealthCheckConfig? check)
    {
        if (check?.Address is not { } given) return null;
        Scope at = scope.In("health_check_config", check);
        if (Addresses.Read(at, "address", given, literalOnly: false) is not { } address) return null;
        if (address is { Kind: AddressKind.Pipe } or { Kind: AddressKind.Socket, Ip: not null }) return address;
        at.Error("address", "NARU-C107", $"\"{address.Host}\" is not an IP address", "give an IP address, or a pipe");
        return null;
    }

    private static EndpointHealth? Health(Scope scope, LbEndpoint endpoint)
    {
        switch (endpoint.HealthStatus)
        {
            case HealthStatus.Unknown or HealthStatus.Healthy: return EndpointHealth.Healthy;
            case HealthStatus.Unhealthy or HealthStatus.Timeout: return EndpointHealth.Unhealthy;
            case HealthStatus.Draining: return EndpointHealth.Draining;
            case HealthStatus.Degraded: return EndpointHealth.Degraded;
            default:
                scope.Error("health_status", "NARU-C102", $"{(int)endpoint.HealthStatus} is not a health_status");
                return null;
        }
    }

    /// <summary><c>region/zone/subzone</c> as far as known.</summary>
    public static string Join(Locality? locality)
    {
        if (locality is null || locality.Region.Length + locality.Zone.Length + locality.SubZone.Length == 0) return "";
        if (locality.SubZone.Length > 0) return $"{locality.Region}/{locality.Zone}/{locality.SubZone}";
        return locality.Zone.Length > 0 ? $"{locality.Region}/{locality.Zone}" : locality.Region;
    }
}

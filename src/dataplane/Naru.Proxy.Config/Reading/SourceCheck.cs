// Whether every source of resources in a bootstrap leads somewhere: gRPC sources name a static HTTP/2 cluster, and "ads" has a stream.
using System.Collections.Immutable;
using Envoy.Config.Bootstrap.V3;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Checks the sources of one bootstrap.</summary>
internal sealed class SourceCheck(Bootstrap message, ImmutableArray<ClusterConfig> clusters)
{
    /// <summary>Checks the sources of dynamic resources and of clusters.</summary>
    public void Check(Scope scope, BootstrapConfig config)
    {
        if (message.DynamicResources is { } dynamic)
        {
            Scope at = scope.In("dynamic_resources", dynamic);
            Check(at, "ads_config", config.Ads);
            Check(at, "lds_config", config.Lds);
            Check(at, "cds_config", config.Cds);
        }
        if (message.LayeredRuntime is { } runtime)
        {
            foreach (RuntimeLayerConfig layer in config.Runtime) Check(scope.In("layered_runtime", runtime), "layers", layer.Source);
        }
        if (message.ClusterManager is { } manager) Check(scope.In("cluster_manager", manager), "load_stats_config", config.LoadReports);
        if (message.StaticResources is not { } resources) return;
        Scope inResources = scope.In("static_resources", resources);
        for (int i = 0; i < resources.Clusters.Count; i++)
        {
            string name = resources.Clusters[i].Name;
            Check(inResources.In("clusters", i, resources.Clusters[i]), "eds_cluster_config", clusters.FirstOrDefault(c => c.Name == name)?.EdsSource);
        }
    }

    /// <summary>Reports <c>NARU-C104</c> or <c>C113</c> for a source that leads nowhere.</summary>
    public void Check(Scope at, string field, ConfigSourceConfig? source)
    {
        if (source is null) return;
        bool isAds = field == "ads_config";
        if (source.Kind == ConfigSourceKind.Ads && message.DynamicResources?.AdsConfig is null)
        {
            at.Error(field, "NARU-C104", "this comes from the aggregated stream, but there is no dynamic_resources.ads_config", "add ads_config");
            return;
        }
        if (isAds && source.Kind == ConfigSourceKind.Ads) at.Error(field, "NARU-C113", "ads_config itself cannot be an aggregated type", "use GRPC or DELTA_GRPC");
        if (source.Kind != ConfigSourceKind.Grpc) return;
        ClusterConfig? cluster = clusters.FirstOrDefault(c => c.Name == source.ClusterName);
        if (cluster is null)
        {
            at.Error(field, "NARU-C104", $"there is no static cluster \"{source.ClusterName}\"", Nearest.Suggestion(source.ClusterName, clusters.Select(c => c.Name)) ?? "add it to static_resources.clusters");
        }
        else if (cluster.Type == DiscoveryType.Eds)
        {
            at.Error(field, "NARU-C113", $"the cluster \"{cluster.Name}\" cannot be of type EDS: its endpoints would come from itself", "use STATIC, STRICT_DNS or LOGICAL_DNS");
        }
        else if (!cluster.TransportMatches.IsEmpty || cluster.ProxyProtocolVersion != 0)
        {
            string socket = cluster.ProxyProtocolVersion != 0 ? "a PROXY header" : "transport_socket_matches";
            at.Error(field, "NARU-C113", $"the cluster \"{cluster.Name}\" has {socket}; configuration is fetched over TLS or in plain text only", "give the source a cluster of its own");
        }
        else if (cluster.Tls is { } tls && Unusable(tls) is { } part)
        {
            at.Error(field, "NARU-C113", $"the TLS context of the cluster \"{cluster.Name}\" has {part}, which is not supported where configuration is fetched", "give the source a cluster of its own without it, or one with the pipe of an agent");
        }
        else if (cluster.Tls is not null && source.Stream is { Authority.Length: > 0 })
        {
            at.Error(field, "NARU-C113", $"\"authority\" cannot be told to the cluster \"{cluster.Name}\", which is called over TLS: there it is the name that TLS is spoken with", "name the server with the cluster's sni");
        }
        else if (!cluster.Http2)
        {
            at.Error(field, "NARU-C113", $"the cluster \"{cluster.Name}\" does not speak HTTP/2, which gRPC needs", "add http2_protocol_options to it");
        }
    }

    // What TLS towards a control plane does not honour (it is .NET's, not the data path's).
    private static string? Unusable(UpstreamTlsConfig tls)
    {
        CommonTlsConfig common = tls.Common;
        ValidationContextConfig validation = common.Validation ?? new ValidationContextConfig();
        return common.SecretReferences.Any() ? "secrets of SDS"
            : !common.CipherSuites.IsEmpty ? "cipher_suites"
            : !common.EcdhCurves.IsEmpty ? "ecdh_curves"
            : !common.SignatureAlgorithms.IsEmpty ? "signature_algorithms"
            : common.MinimumVersion is TlsVersion.Tls10 or TlsVersion.Tls11 || common.MaximumVersion is TlsVersion.Tls10 or TlsVersion.Tls11 ? "a version of TLS below 1.2"
            : !common.Alpn.IsEmpty && !common.Alpn.Contains("h2") ? "alpn_protocols without h2"
            : common.Certificates.Length > 1 ? "several certificates"
            : common.Certificates.Any(c => c.Pkcs12 is not null) ? "pkcs12"
            : validation.Crl is not null ? "crl"
            : validation.MaxVerifyDepth is not null ? "max_verify_depth"
            : !validation.SpiffeTrustDomains.IsEmpty ? "custom_validator_config"
            : null;
    }
}

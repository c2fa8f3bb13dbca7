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
        else if (cluster.AllTls.Any(t => t is not null) || cluster.ProxyProtocolVersion != 0 || cluster.TransportMatches.Any(m => m.ProxyProtocolVersion != 0))
        {
            at.Error(field, "NARU-C113", $"the cluster \"{cluster.Name}\" has a transport socket; configuration is fetched in plain text only, as yet", "give the source a cluster of its own without transport_socket, such as one with the pipe of an agent");
        }
        else if (!cluster.Http2)
        {
            at.Error(field, "NARU-C113", $"the cluster \"{cluster.Name}\" does not speak HTTP/2, which gRPC needs", "add http2_protocol_options to it");
        }
    }
}

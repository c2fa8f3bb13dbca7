// The message types that typed configuration may hold. What is not listed is kept by name and refused by whoever reads it.
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Bootstrap.V3;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.AccessLoggers.Stream.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Retry.Host.PreviousHosts.V3;
using Envoy.Extensions.TransportSockets.RawBuffer.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config.Extensions;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>Types by name.</summary>
public static class EnvoyTypes
{
    /// <summary>The files of declarations from which all others that are read can be reached.</summary>
    public static IReadOnlyList<FileDescriptor> Files { get; } =
    [
        BootstrapReflection.Descriptor,
        AccesslogReflection.Descriptor,
        FileReflection.Descriptor,
        StreamReflection.Descriptor,
        RouterReflection.Descriptor,
        HttpConnectionManagerReflection.Descriptor,
        PreviousHostsReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3.RoundRobinReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3.LeastRequestReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.Random.V3.RandomReflection.Descriptor,
        Envoy.Extensions.Retry.Host.OmitCanaryHosts.V3.OmitCanaryHostsReflection.Descriptor,
        Envoy.Extensions.Retry.Priority.PreviousPriorities.V3.PreviousPrioritiesConfigReflection.Descriptor,
        Envoy.Type.Matcher.V3.HttpInputsReflection.Descriptor,
        Envoy.Extensions.Path.Match.UriTemplate.V3.UriTemplateMatchReflection.Descriptor,
        Envoy.Extensions.Path.Rewrite.UriTemplate.V3.UriTemplateRewriteReflection.Descriptor,
        Envoy.Extensions.InternalRedirect.PreviousRoutes.V3.PreviousRoutesConfigReflection.Descriptor,
        Envoy.Extensions.InternalRedirect.SafeCrossScheme.V3.SafeCrossSchemeConfigReflection.Descriptor,
        Envoy.Extensions.InternalRedirect.AllowListedRoutes.V3.AllowListedRoutesConfigReflection.Descriptor,
        Envoy.Extensions.Router.ClusterSpecifiers.Matcher.V3.MatcherReflection.Descriptor,
        Envoy.Extensions.AccessLoggers.Filters.Cel.V3.CelReflection.Descriptor,
        Envoy.Extensions.Filters.Common.Matcher.Action.V3.SkipActionReflection.Descriptor,
        Xds.Type.Matcher.V3.HttpInputsReflection.Descriptor,
        Xds.Type.Matcher.V3.CelReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.RingHash.V3.RingHashReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.Maglev.V3.MaglevReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.Subset.V3.SubsetReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.WrrLocality.V3.WrrLocalityReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.OverrideHost.V3.OverrideHostReflection.Descriptor,
        Envoy.Extensions.LoadBalancingPolicies.ClientSideWeightedRoundRobin.V3.ClientSideWeightedRoundRobinReflection.Descriptor,
        Envoy.Extensions.Http.StatefulSession.Cookie.V3.CookieReflection.Descriptor,
        Envoy.Extensions.Http.StatefulSession.Header.V3.HeaderReflection.Descriptor,
        Envoy.Extensions.Compression.Gzip.Compressor.V3.GzipReflection.Descriptor,
        Envoy.Extensions.Compression.Gzip.Decompressor.V3.GzipReflection.Descriptor,
        Envoy.Extensions.Compression.Brotli.Compressor.V3.BrotliReflection.Descriptor,
        Envoy.Extensions.Compression.Brotli.Decompressor.V3.BrotliReflection.Descriptor,
        Envoy.Extensions.Http.CustomResponse.LocalResponsePolicy.V3.LocalResponsePolicyReflection.Descriptor,
        Envoy.Type.Matcher.V3.StatusCodeInputReflection.Descriptor,
        RawBufferReflection.Descriptor,
        TlsReflection.Descriptor,
        TlsSpiffeValidatorConfigReflection.Descriptor,
        Envoy.Extensions.TransportSockets.ProxyProtocol.V3.UpstreamProxyProtocolReflection.Descriptor,
        Envoy.Extensions.TransportSockets.InternalUpstream.V3.InternalUpstreamReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.TlsInspector.V3.TlsInspectorReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.HttpInspector.V3.HttpInspectorReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalDst.V3.OriginalDstReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalSrc.V3.OriginalSrcReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.ProxyProtocol.V3.ProxyProtocolReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.LocalRatelimit.V3.LocalRatelimitReflection.Descriptor,
        Envoy.Extensions.Filters.Network.TcpProxy.V3.TcpProxyReflection.Descriptor,
        Envoy.Extensions.Filters.Network.ConnectionLimit.V3.ConnectionLimitReflection.Descriptor,
        Envoy.Extensions.Filters.Network.LocalRatelimit.V3.LocalRateLimitReflection.Descriptor,
        Envoy.Extensions.Filters.Network.DirectResponse.V3.ConfigReflection.Descriptor,
        Envoy.Extensions.Filters.Network.Echo.V3.EchoReflection.Descriptor,
        Envoy.Extensions.Filters.Network.SniCluster.V3.SniClusterReflection.Descriptor,
        Envoy.Extensions.Filters.Network.Rbac.V3.RbacReflection.Descriptor,
        Envoy.Extensions.Filters.Network.SetFilterState.V3.SetFilterStateReflection.Descriptor,
        Envoy.Extensions.Matching.CommonInputs.Network.V3.NetworkInputsReflection.Descriptor,
        Envoy.Extensions.Matching.CommonInputs.Ssl.V3.SslInputsReflection.Descriptor,
        Xds.Type.Matcher.V3.IpReflection.Descriptor,
        Envoy.Extensions.Filters.Http.UpstreamCodec.V3.UpstreamCodecReflection.Descriptor,
        Envoy.Extensions.Formatter.ReqWithoutQuery.V3.ReqWithoutQueryReflection.Descriptor,
        Envoy.Extensions.Http.OriginalIpDetection.Xff.V3.XffReflection.Descriptor,
        Envoy.Extensions.Http.OriginalIpDetection.CustomHeader.V3.CustomHeaderReflection.Descriptor,
        Envoy.Extensions.Http.EarlyHeaderMutation.HeaderMutation.V3.HeaderMutationReflection.Descriptor,
        Envoy.Extensions.Filters.Udp.UdpProxy.V3.UdpProxyReflection.Descriptor,
        Envoy.Extensions.Filters.Udp.UdpProxy.V3.RouteReflection.Descriptor,
        Envoy.Extensions.Bootstrap.InternalListener.V3.InternalListenerReflection.Descriptor,
        Envoy.Extensions.Network.DnsResolver.Cares.V3.CaresDnsResolverReflection.Descriptor,
        Envoy.Extensions.Network.DnsResolver.Getaddrinfo.V3.GetaddrinfoDnsResolverReflection.Descriptor,
        Envoy.Extensions.Clusters.Aggregate.V3.ClusterReflection.Descriptor,
        Envoy.Extensions.HealthCheck.EventSinks.File.V3.FileReflection.Descriptor,
        Envoy.Extensions.Clusters.DynamicForwardProxy.V3.ClusterReflection.Descriptor,
        Envoy.Extensions.ResourceMonitors.FixedHeap.V3.FixedHeapReflection.Descriptor,
        Envoy.Extensions.ResourceMonitors.DownstreamConnections.V3.DownstreamConnectionsReflection.Descriptor,
        Envoy.Extensions.ResourceMonitors.InjectedResource.V3.InjectedResourceReflection.Descriptor,
        Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptionsReflection.Descriptor,
        Envoy.Extensions.AccessLoggers.Grpc.V3.AlsReflection.Descriptor,
        Envoy.Extensions.AccessLoggers.OpenTelemetry.V3.LogsServiceReflection.Descriptor,
        Envoy.Config.Metrics.V3.MetricsServiceReflection.Descriptor,
        Envoy.Extensions.StatSinks.OpenTelemetry.V3.OpenTelemetryReflection.Descriptor,
        Envoy.Config.Trace.V3.ZipkinReflection.Descriptor,
        Envoy.Config.Trace.V3.OpentelemetryReflection.Descriptor,
        Envoy.Extensions.RequestId.Uuid.V3.UuidReflection.Descriptor,
        Envoy.Extensions.Tracers.Opentelemetry.ResourceDetectors.V3.EnvironmentResourceDetectorReflection.Descriptor,
        Envoy.Extensions.Tracers.Opentelemetry.ResourceDetectors.V3.StaticConfigResourceDetectorReflection.Descriptor,
        Envoy.Extensions.Tracers.Opentelemetry.Samplers.V3.AlwaysOnSamplerReflection.Descriptor,
        Envoy.Extensions.Tracers.Opentelemetry.Samplers.V3.ParentBasedSamplerReflection.Descriptor,
        Envoy.Service.Discovery.V3.DiscoveryReflection.Descriptor,
        Envoy.Service.Runtime.V3.RtdsReflection.Descriptor,
        Envoy.Admin.V3.ConfigDumpReflection.Descriptor,
        Envoy.Admin.V3.ConfigDumpSharedReflection.Descriptor,
        Xds.Type.V3.TypedStructReflection.Descriptor,
        Udpa.Type.V1.TypedStructReflection.Descriptor,
        .. ExtensionTable.Files,
    ];

    /// <summary>Everything that may stand in an <c>Any</c>.</summary>
    public static TypeRegistry Registry { get; } = TypeRegistry.FromFiles([.. Files]);

    /// <summary>How files are bound: messages that are known by name only are not looked into.</summary>
    public static BindOptions Binding { get; } = new()
    {
        Types = Registry,
        KeepUnknownTypes = true,
        Opaque = static type => !HonouredFields.Knows(type) && !IsData(type),
        Unknown = OldNames.Explain,
    };

    /// <summary>The full name of the message; of free data off the wire (<c>TypedStruct</c>) the one that it says it is.</summary>
    public static string NameOf(Any any)
    {
        string name = Bare(any.TypeUrl);
        if (name is not ("xds.type.v3.TypedStruct" or "udpa.type.v1.TypedStruct")) return name;
        try
        {
            string inner = Bare(Xds.Type.V3.TypedStruct.Parser.ParseFrom(any.Value).TypeUrl);
            return inner.Length > 0 ? inner : name;
        }
        catch (Google.Protobuf.InvalidProtocolBufferException)
        {
            return name;
        }
    }

    private static string Bare(string url) => url[(url.LastIndexOf('/') + 1)..];

    // Containers that no table describes, since they hold only what others describe.
    private static bool IsData(MessageDescriptor type) => type.FullName is "envoy.service.discovery.v3.DiscoveryResponse"
        or "envoy.service.discovery.v3.Resource" or "envoy.service.discovery.v3.ResourceName" or "envoy.config.core.v3.Metadata" or "envoy.config.core.v3.TypedExtensionConfig";
}

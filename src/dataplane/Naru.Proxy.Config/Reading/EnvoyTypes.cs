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
    // By package, and only made when a message of theirs is named: the descriptors of all of them are 3 MB that a proxy would hold for filters
    // that it has not.
    private static readonly (string Package, Func<FileDescriptor> File)[] s_files =
    [
        ("envoy.config.bootstrap.v3", static () => BootstrapReflection.Descriptor),
        ("envoy.config.accesslog.v3", static () => AccesslogReflection.Descriptor),
        ("envoy.extensions.access_loggers.file.v3", static () => FileReflection.Descriptor),
        ("envoy.extensions.access_loggers.stream.v3", static () => StreamReflection.Descriptor),
        ("envoy.extensions.filters.http.router.v3", static () => RouterReflection.Descriptor),
        ("envoy.extensions.filters.network.http_connection_manager.v3", static () => HttpConnectionManagerReflection.Descriptor),
        ("envoy.extensions.retry.host.previous_hosts.v3", static () => PreviousHostsReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.round_robin.v3", static () => Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3.RoundRobinReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.least_request.v3", static () => Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3.LeastRequestReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.random.v3", static () => Envoy.Extensions.LoadBalancingPolicies.Random.V3.RandomReflection.Descriptor),
        ("envoy.extensions.retry.host.omit_canary_hosts.v3", static () => Envoy.Extensions.Retry.Host.OmitCanaryHosts.V3.OmitCanaryHostsReflection.Descriptor),
        ("envoy.extensions.retry.priority.previous_priorities.v3", static () => Envoy.Extensions.Retry.Priority.PreviousPriorities.V3.PreviousPrioritiesConfigReflection.Descriptor),
        ("envoy.type.matcher.v3", static () => Envoy.Type.Matcher.V3.HttpInputsReflection.Descriptor),
        ("envoy.extensions.path.match.uri_template.v3", static () => Envoy.Extensions.Path.Match.UriTemplate.V3.UriTemplateMatchReflection.Descriptor),
        ("envoy.extensions.path.rewrite.uri_template.v3", static () => Envoy.Extensions.Path.Rewrite.UriTemplate.V3.UriTemplateRewriteReflection.Descriptor),
        ("envoy.extensions.internal_redirect.previous_routes.v3", static () => Envoy.Extensions.InternalRedirect.PreviousRoutes.V3.PreviousRoutesConfigReflection.Descriptor),
        ("envoy.extensions.internal_redirect.safe_cross_scheme.v3", static () => Envoy.Extensions.InternalRedirect.SafeCrossScheme.V3.SafeCrossSchemeConfigReflection.Descriptor),
        ("envoy.extensions.internal_redirect.allow_listed_routes.v3", static () => Envoy.Extensions.InternalRedirect.AllowListedRoutes.V3.AllowListedRoutesConfigReflection.Descriptor),
        ("envoy.extensions.router.cluster_specifiers.matcher.v3", static () => Envoy.Extensions.Router.ClusterSpecifiers.Matcher.V3.MatcherReflection.Descriptor),
        ("envoy.extensions.access_loggers.filters.cel.v3", static () => Envoy.Extensions.AccessLoggers.Filters.Cel.V3.CelReflection.Descriptor),
        ("envoy.extensions.filters.common.matcher.action.v3", static () => Envoy.Extensions.Filters.Common.Matcher.Action.V3.SkipActionReflection.Descriptor),
        ("xds.type.matcher.v3", static () => Xds.Type.Matcher.V3.HttpInputsReflection.Descriptor),
        ("xds.type.matcher.v3", static () => Xds.Type.Matcher.V3.CelReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.ring_hash.v3", static () => Envoy.Extensions.LoadBalancingPolicies.RingHash.V3.RingHashReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.maglev.v3", static () => Envoy.Extensions.LoadBalancingPolicies.Maglev.V3.MaglevReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.subset.v3", static () => Envoy.Extensions.LoadBalancingPolicies.Subset.V3.SubsetReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.wrr_locality.v3", static () => Envoy.Extensions.LoadBalancingPolicies.WrrLocality.V3.WrrLocalityReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.override_host.v3", static () => Envoy.Extensions.LoadBalancingPolicies.OverrideHost.V3.OverrideHostReflection.Descriptor),
        ("envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3", static () => Envoy.Extensions.LoadBalancingPolicies.ClientSideWeightedRoundRobin.V3.ClientSideWeightedRoundRobinReflection.Descriptor),
        ("envoy.extensions.http.stateful_session.cookie.v3", static () => Envoy.Extensions.Http.StatefulSession.Cookie.V3.CookieReflection.Descriptor),
        ("envoy.extensions.http.stateful_session.header.v3", static () => Envoy.Extensions.Http.StatefulSession.Header.V3.HeaderReflection.Descriptor),
        ("envoy.extensions.compression.gzip.compressor.v3", static () => Envoy.Extensions.Compression.Gzip.Compressor.V3.GzipReflection.Descriptor),
        ("envoy.extensions.compression.gzip.decompressor.v3", static () => Envoy.Extensions.Compression.Gzip.Decompressor.V3.GzipReflection.Descriptor),
        ("envoy.extensions.compression.brotli.compressor.v3", static () => Envoy.Extensions.Compression.Brotli.Compressor.V3.BrotliReflection.Descriptor),
        ("envoy.extensions.compression.brotli.decompressor.v3", static () => Envoy.Extensions.Compression.Brotli.Decompressor.V3.BrotliReflection.Descriptor),
        ("envoy.extensions.http.custom_response.local_response_policy.v3", static () => Envoy.Extensions.Http.CustomResponse.LocalResponsePolicy.V3.LocalResponsePolicyReflection.Descriptor),
        ("envoy.type.matcher.v3", static () => Envoy.Type.Matcher.V3.StatusCodeInputReflection.Descriptor),
        ("envoy.extensions.transport_sockets.raw_buffer.v3", static () => RawBufferReflection.Descriptor),
        ("envoy.extensions.transport_sockets.tls.v3", static () => TlsReflection.Descriptor),
        ("envoy.extensions.transport_sockets.tls.v3", static () => TlsSpiffeValidatorConfigReflection.Descriptor),
        ("envoy.extensions.transport_sockets.proxy_protocol.v3", static () => Envoy.Extensions.TransportSockets.ProxyProtocol.V3.UpstreamProxyProtocolReflection.Descriptor),
        ("envoy.extensions.transport_sockets.internal_upstream.v3", static () => Envoy.Extensions.TransportSockets.InternalUpstream.V3.InternalUpstreamReflection.Descriptor),
        ("envoy.extensions.filters.listener.tls_inspector.v3", static () => Envoy.Extensions.Filters.Listener.TlsInspector.V3.TlsInspectorReflection.Descriptor),
        ("envoy.extensions.filters.listener.http_inspector.v3", static () => Envoy.Extensions.Filters.Listener.HttpInspector.V3.HttpInspectorReflection.Descriptor),
        ("envoy.extensions.filters.listener.original_dst.v3", static () => Envoy.Extensions.Filters.Listener.OriginalDst.V3.OriginalDstReflection.Descriptor),
        ("envoy.extensions.filters.listener.original_src.v3", static () => Envoy.Extensions.Filters.Listener.OriginalSrc.V3.OriginalSrcReflection.Descriptor),
        ("envoy.extensions.filters.listener.proxy_protocol.v3", static () => Envoy.Extensions.Filters.Listener.ProxyProtocol.V3.ProxyProtocolReflection.Descriptor),
        ("envoy.extensions.filters.listener.local_ratelimit.v3", static () => Envoy.Extensions.Filters.Listener.LocalRatelimit.V3.LocalRatelimitReflection.Descriptor),
        ("envoy.extensions.filters.network.tcp_proxy.v3", static () => Envoy.Extensions.Filters.Network.TcpProxy.V3.TcpProxyReflection.Descriptor),
        ("envoy.extensions.filters.network.connection_limit.v3", static () => Envoy.Extensions.Filters.Network.ConnectionLimit.V3.ConnectionLimitReflection.Descriptor),
        ("envoy.extensions.filters.network.local_ratelimit.v3", static () => Envoy.Extensions.Filters.Network.LocalRatelimit.V3.LocalRateLimitReflection.Descriptor),
        ("envoy.extensions.filters.network.direct_response.v3", static () => Envoy.Extensions.Filters.Network.DirectResponse.V3.ConfigReflection.Descriptor),
        ("envoy.extensions.filters.network.echo.v3", static () => Envoy.Extensions.Filters.Network.Echo.V3.EchoReflection.Descriptor),
        ("envoy.extensions.filters.network.sni_cluster.v3", static () => Envoy.Extensions.Filters.Network.SniCluster.V3.SniClusterReflection.Descriptor),
        ("envoy.extensions.filters.network.rbac.v3", static () => Envoy.Extensions.Filters.Network.Rbac.V3.RbacReflection.Descriptor),
        ("envoy.extensions.filters.network.set_filter_state.v3", static () => Envoy.Extensions.Filters.Network.SetFilterState.V3.SetFilterStateReflection.Descriptor),
        ("envoy.extensions.matching.common_inputs.network.v3", static () => Envoy.Extensions.Matching.CommonInputs.Network.V3.NetworkInputsReflection.Descriptor),
        ("envoy.extensions.matching.common_inputs.ssl.v3", static () => Envoy.Extensions.Matching.CommonInputs.Ssl.V3.SslInputsReflection.Descriptor),
        ("xds.type.matcher.v3", static () => Xds.Type.Matcher.V3.IpReflection.Descriptor),
        ("envoy.extensions.filters.http.upstream_codec.v3", static () => Envoy.Extensions.Filters.Http.UpstreamCodec.V3.UpstreamCodecReflection.Descriptor),
        ("envoy.extensions.formatter.req_without_query.v3", static () => Envoy.Extensions.Formatter.ReqWithoutQuery.V3.ReqWithoutQueryReflection.Descriptor),
        ("envoy.extensions.http.original_ip_detection.xff.v3", static () => Envoy.Extensions.Http.OriginalIpDetection.Xff.V3.XffReflection.Descriptor),
        ("envoy.extensions.http.original_ip_detection.custom_header.v3", static () => Envoy.Extensions.Http.OriginalIpDetection.CustomHeader.V3.CustomHeaderReflection.Descriptor),
        ("envoy.extensions.http.early_header_mutation.header_mutation.v3", static () => Envoy.Extensions.Http.EarlyHeaderMutation.HeaderMutation.V3.HeaderMutationReflection.Descriptor),
        ("envoy.extensions.filters.udp.udp_proxy.v3", static () => Envoy.Extensions.Filters.Udp.UdpProxy.V3.UdpProxyReflection.Descriptor),
        ("envoy.extensions.filters.udp.udp_proxy.v3", static () => Envoy.Extensions.Filters.Udp.UdpProxy.V3.RouteReflection.Descriptor),
        ("envoy.extensions.bootstrap.internal_listener.v3", static () => Envoy.Extensions.Bootstrap.InternalListener.V3.InternalListenerReflection.Descriptor),
        ("envoy.extensions.network.dns_resolver.cares.v3", static () => Envoy.Extensions.Network.DnsResolver.Cares.V3.CaresDnsResolverReflection.Descriptor),
        ("envoy.extensions.network.dns_resolver.getaddrinfo.v3", static () => Envoy.Extensions.Network.DnsResolver.Getaddrinfo.V3.GetaddrinfoDnsResolverReflection.Descriptor),
        ("envoy.extensions.clusters.aggregate.v3", static () => Envoy.Extensions.Clusters.Aggregate.V3.ClusterReflection.Descriptor),
        ("envoy.extensions.health_check.event_sinks.file.v3", static () => Envoy.Extensions.HealthCheck.EventSinks.File.V3.FileReflection.Descriptor),
        ("envoy.extensions.clusters.dynamic_forward_proxy.v3", static () => Envoy.Extensions.Clusters.DynamicForwardProxy.V3.ClusterReflection.Descriptor),
        ("envoy.extensions.resource_monitors.fixed_heap.v3", static () => Envoy.Extensions.ResourceMonitors.FixedHeap.V3.FixedHeapReflection.Descriptor),
        ("envoy.extensions.resource_monitors.downstream_connections.v3", static () => Envoy.Extensions.ResourceMonitors.DownstreamConnections.V3.DownstreamConnectionsReflection.Descriptor),
        ("envoy.extensions.resource_monitors.injected_resource.v3", static () => Envoy.Extensions.ResourceMonitors.InjectedResource.V3.InjectedResourceReflection.Descriptor),
        ("envoy.extensions.upstreams.http.v3", static () => Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptionsReflection.Descriptor),
        ("envoy.service.discovery.v3", static () => Envoy.Service.Discovery.V3.DiscoveryReflection.Descriptor),
        ("envoy.service.runtime.v3", static () => Envoy.Service.Runtime.V3.RtdsReflection.Descriptor),
        ("envoy.admin.v3", static () => Envoy.Admin.V3.ConfigDumpReflection.Descriptor),
        ("envoy.admin.v3", static () => Envoy.Admin.V3.ConfigDumpSharedReflection.Descriptor),
        ("envoy.extensions.resource_monitors.cpu_utilization.v3", static () => Envoy.Extensions.ResourceMonitors.CpuUtilization.V3.CpuUtilizationReflection.Descriptor),
        ("envoy.extensions.network.socket_interface.v3", static () => Envoy.Extensions.Network.SocketInterface.V3.DefaultSocketInterfaceReflection.Descriptor),
        ("envoy.extensions.retry.host.omit_host_metadata.v3", static () => Envoy.Extensions.Retry.Host.OmitHostMetadata.V3.OmitHostMetadataConfigReflection.Descriptor),
        ("envoy.extensions.http.injected_credentials.generic.v3", static () => Envoy.Extensions.Http.InjectedCredentials.Generic.V3.GenericReflection.Descriptor),
        ("envoy.extensions.http.injected_credentials.oauth2.v3", static () => Envoy.Extensions.Http.InjectedCredentials.Oauth2.V3.Oauth2Reflection.Descriptor),
        ("envoy.extensions.access_loggers.grpc.v3", static () => Envoy.Extensions.AccessLoggers.Grpc.V3.AlsReflection.Descriptor),
        ("envoy.extensions.access_loggers.open_telemetry.v3", static () => Envoy.Extensions.AccessLoggers.OpenTelemetry.V3.LogsServiceReflection.Descriptor),
        ("envoy.config.metrics.v3", static () => Envoy.Config.Metrics.V3.MetricsServiceReflection.Descriptor),
        ("envoy.extensions.stat_sinks.open_telemetry.v3", static () => Envoy.Extensions.StatSinks.OpenTelemetry.V3.OpenTelemetryReflection.Descriptor),
        ("envoy.config.trace.v3", static () => Envoy.Config.Trace.V3.ZipkinReflection.Descriptor),
        ("envoy.config.trace.v3", static () => Envoy.Config.Trace.V3.OpentelemetryReflection.Descriptor),
        ("envoy.extensions.request_id.uuid.v3", static () => Envoy.Extensions.RequestId.Uuid.V3.UuidReflection.Descriptor),
        ("envoy.extensions.tracers.opentelemetry.resource_detectors.v3", static () => Envoy.Extensions.Tracers.Opentelemetry.ResourceDetectors.V3.EnvironmentResourceDetectorReflection.Descriptor),
        ("envoy.extensions.tracers.opentelemetry.resource_detectors.v3", static () => Envoy.Extensions.Tracers.Opentelemetry.ResourceDetectors.V3.StaticConfigResourceDetectorReflection.Descriptor),
        ("envoy.extensions.tracers.opentelemetry.samplers.v3", static () => Envoy.Extensions.Tracers.Opentelemetry.Samplers.V3.AlwaysOnSamplerReflection.Descriptor),
        ("envoy.extensions.tracers.opentelemetry.samplers.v3", static () => Envoy.Extensions.Tracers.Opentelemetry.Samplers.V3.ParentBasedSamplerReflection.Descriptor),
        ("xds.type.v3", static () => Xds.Type.V3.TypedStructReflection.Descriptor),
        ("udpa.type.v1", static () => Udpa.Type.V1.TypedStructReflection.Descriptor),
    ];

    /// <summary>The files of declarations from which all others that are read can be reached.</summary>
    public static IReadOnlyList<FileDescriptor> Files => [.. s_files.Select(f => f.File()), .. ExtensionTable.Files];

    /// <summary>Everything that may stand in an <c>Any</c>, for printers; to find one, ask <see cref="Find"/>.</summary>
    public static TypeRegistry Registry => Whole.Types;

    /// <summary>A message that may stand in an <c>Any</c>, by its full name; null where there is none.</summary>
    public static MessageDescriptor? Find(string name)
    {
        if (Basic.Types.Find(name) is { } basic) return basic;
        int end = name.LastIndexOf('.');
        if (end < 0) return null;
        foreach ((string package, Func<FileDescriptor> file) in s_files)
            if (name.AsSpan(0, end).SequenceEqual(package) && file().FindTypeByName<MessageDescriptor>(name[(end + 1)..]) is { } found) return found;
        if (ExtensionTable.Find(name) is { } own) return own;
        // Messages inside others, or in files that those above use.
        return Registry.Find(name);
    }

    private static class Whole
    {
        public static readonly TypeRegistry Types = TypeRegistry.FromFiles([.. Files]);
    }

    private static class Basic
    {
        public static readonly TypeRegistry Types = TypeRegistry.FromFiles(BootstrapReflection.Descriptor);
    }

    /// <summary>How files are bound: messages that are known by name only are not looked into.</summary>
    public static BindOptions Binding { get; } = new()
    {
        Types = Find,
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

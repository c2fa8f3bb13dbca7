// What all listeners of a redirected sidecar or of a gateway in a cluster have in common, as istiod sends them: HTTP managers, TCP proxies,
// their logs, and what the mesh and the node say of headers and idle times.
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.Filters.Http.GrpcWeb.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using ManagerTypes = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types;

namespace Naru.Control.Translation;

internal sealed class CapturedProxy(MeshConfigSpec mesh, NodeInfo node)
{
    private const string ServerName = "istio-envoy";

    private static readonly ManagerTypes.SetCurrentClientCertDetails s_names = new() { Subject = true, Dns = true, Uri = true };

    private readonly ProxyHeadersSpec _headers = Headers(mesh, node);

    /// <summary>What a proxy brings itself takes the place of what the mesh has for all, as a whole.</summary>
    public static ProxyHeadersSpec Headers(MeshConfigSpec mesh, NodeInfo node) => node.Headers ?? mesh.Headers;

    /// <param name="statPrefix">Of its statistics.</param>
    /// <param name="routes">Their name.</param>
    /// <param name="grpcWeb">Whether browsers speak gRPC there.</param>
    public HttpConnectionManager Outbound(string statPrefix, string routes, bool grpcWeb = false)
    {
        HttpConnectionManager made = Managers.ByName(mesh, statPrefix, routes);
        if (grpcWeb) Managers.Guard(made, [GrpcWebFilter()]);
        return Finish(made, null);
    }

    private static HttpFilter GrpcWebFilter() => new() { Name = "envoy.filters.http.grpc_web", TypedConfig = Any.Pack(new GrpcWeb()) };

    public HttpConnectionManager Inbound(string statPrefix, RouteConfiguration routes, bool http2, IEnumerable<HttpFilter> policies,
        bool grpcWeb)
    {
        HttpConnectionManager made = Managers.Inline(mesh, statPrefix, routes);
        if (grpcWeb) Managers.Guard(made, [GrpcWebFilter()]);
        if (http2) made.Http2ProtocolOptions = new Http2ProtocolOptions();
        made.ForwardClientCertDetails = System.Enum.TryParse(_headers.ClientCertificate, ignoreCase: true,
            out ManagerTypes.ForwardClientCertDetails what) ? what
            : ManagerTypes.ForwardClientCertDetails.AppendForward;
        if (made.ForwardClientCertDetails is ManagerTypes.ForwardClientCertDetails.AppendForward or ManagerTypes.ForwardClientCertDetails.SanitizeSet)
        {
            made.SetCurrentClientCertDetails = _headers.Details is not { } said ? s_names.Clone()
                : new ManagerTypes.SetCurrentClientCertDetails
                {
                    Subject = said.Subject,
                    Cert = said.Cert,
                    Chain = said.Chain,
                    Dns = said.Dns,
                    Uri = said.Uri,
                };
        }
        Managers.Guard(made, policies);
        return Finish(made, ServerName);
    }

    public HttpConnectionManager Gateway(string statPrefix, string routes, IEnumerable<HttpFilter> policies)
    {
        HttpConnectionManager made = Managers.ByName(mesh, statPrefix, routes);
        made.UseRemoteAddress = true;
        made.HttpProtocolOptions = new Http1ProtocolOptions();
        made.ForwardClientCertDetails = ManagerTypes.ForwardClientCertDetails.SanitizeSet;
        made.SetCurrentClientCertDetails = s_names.Clone();
        made.SetCurrentClientCertDetails.Cert = true;
        Managers.Guard(made, policies);
        return Finish(made, ServerName);
    }

    private HttpConnectionManager Finish(HttpConnectionManager made, string? server)
    {
        made.Proxy100Continue = true;
        if (_headers.KeepsServer) made.ServerHeaderTransformation = ManagerTypes.ServerHeaderTransformation.PassThrough;
        else made.ServerName = _headers.Server ?? server ?? "";
        if (_headers.MakesNoId) made.GenerateRequestId = false;
        if (_headers.HidesDebug) made.HttpFilters[^1].TypedConfig = Any.Pack(new Router { SuppressEnvoyHeaders = true });
        if (node.TakesHttp10) (made.HttpProtocolOptions ??= new Http1ProtocolOptions()).AcceptHttp10 = true;
        if (node.IdleTimeout is { } idle)
            made.CommonHttpProtocolOptions = new HttpProtocolOptions { IdleTimeout = Duration.FromTimeSpan(idle) };
        if (Log() is { } log) made.AccessLog.Add(log);
        return made;
    }

    /// <summary>Bytes to one cluster.</summary>
    /// <param name="cluster">Its name.</param>
    /// <param name="policy">What the rule for its service says; null for nothing.</param>
    public Filter Tcp(string cluster, TrafficPolicy? policy = null)
    {
        var made = new TcpProxy { StatPrefix = cluster, Cluster = cluster };
        if ((policy?.Pool?.TcpIdleTimeout ?? node.IdleTimeout) is { } idle) made.IdleTimeout = Duration.FromTimeSpan(idle);
        if (policy?.Pool?.MaxConnectionDuration is { } life) made.MaxDownstreamConnectionDuration = Duration.FromTimeSpan(life);
        if (policy?.LoadBalancer?.Hash is { SourceIp: true })
            made.HashPolicy.Add(new HashPolicy { SourceIp = new HashPolicy.Types.SourceIp() });
        if (policy?.Tunnel is { } tunnel)
            made.TunnelingConfig = new TcpProxy.Types.TunnelingConfig { Hostname = tunnel.Target, UsePost = tunnel.ByPost };
        if (Log() is { } log) made.AccessLog.Add(log);
        return Packed(made);
    }

    /// <summary>The end of what would go round in a circle; nobody is told of it.</summary>
    public static Filter Hole() => Packed(new TcpProxy { StatPrefix = Clusters.BlackHole, Cluster = Clusters.BlackHole });

    private static Filter Packed(TcpProxy made) => new() { Name = "envoy.filters.network.tcp_proxy", TypedConfig = Any.Pack(made) };

    /// <summary>Has a listener say which connections no chain was for.</summary>
    public void TellUnmatched(Listener listener)
    {
        if (Log() is not { } log) return;
        log.Filter = new AccessLogFilter { ResponseFlagFilter = new ResponseFlagFilter { Flags = { "NR" } } };
        listener.AccessLog.Add(log);
    }

    private AccessLog? Log()
    {
        if (mesh.Log is not { } said) return null;
        var format = new SubstitutionFormatString();
        if (said.Json is not null) format.JsonFormat = said.Json;
        else format.TextFormatSource = new DataSource { InlineString = said.Text };
        var file = new FileAccessLog { Path = said.File, LogFormat = format };
        return new AccessLog { Name = "envoy.access_loggers.file", TypedConfig = Any.Pack(file) };
    }
}

// HTTP managers of redirected sidecars and of gateways in a cluster, as istiod sends them.
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Translation;

internal static class CapturedManagers
{
    private const string ServerName = "istio-envoy";

    public static HttpConnectionManager Outbound(string statPrefix, string routes)
    {
        HttpConnectionManager made = Managers.ByName(statPrefix, routes);
        made.Proxy100Continue = true;
        return made;
    }

    public static HttpConnectionManager Inbound(string statPrefix, RouteConfiguration routes, bool http2, IEnumerable<HttpFilter> policies)
    {
        HttpConnectionManager made = Managers.Inline(statPrefix, routes);
        if (http2) made.Http2ProtocolOptions = new Http2ProtocolOptions();
        made.Proxy100Continue = true;
        made.ServerName = ServerName;
        made.ForwardClientCertDetails = HttpConnectionManager.Types.ForwardClientCertDetails.AppendForward;
        made.SetCurrentClientCertDetails = new HttpConnectionManager.Types.SetCurrentClientCertDetails { Subject = true, Dns = true,
            Uri = true };
        Managers.Guard(made, policies);
        return made;
    }

    public static HttpConnectionManager Gateway(string statPrefix, string routes, IEnumerable<HttpFilter> policies)
    {
        HttpConnectionManager made = Managers.ByName(statPrefix, routes);
        made.Proxy100Continue = true;
        made.ServerName = ServerName;
        made.UseRemoteAddress = true;
        made.HttpProtocolOptions = new Http1ProtocolOptions();
        made.ForwardClientCertDetails = HttpConnectionManager.Types.ForwardClientCertDetails.SanitizeSet;
        made.SetCurrentClientCertDetails = new HttpConnectionManager.Types.SetCurrentClientCertDetails { Subject = true, Cert = true,
            Dns = true, Uri = true };
        Managers.Guard(made, policies);
        return made;
    }
}

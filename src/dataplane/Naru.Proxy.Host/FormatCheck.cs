// Compiles every access-log and header format of a configuration once, before it is used, so that a bad one is refused by name.
// Stands between reading and applying: the readers know no formats, and the engine must not meet one that does not compile.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

internal static class FormatCheck
{
    /// <summary>Checks everything in a bootstrap.</summary>
    public static void Check(BootstrapConfig bootstrap, Place place, Diagnostics diagnostics)
    {
        foreach (ListenerConfig listener in bootstrap.Listeners) Check(listener, place, diagnostics);
    }

    /// <summary>Checks a resource's record; kinds without formats pass.</summary>
    public static void Check(object record, Place place, Diagnostics diagnostics)
    {
        if (record is BootstrapConfig bootstrap) Check(bootstrap, place, diagnostics);
        else if (record is ListenerConfig listener) Check(listener, place, diagnostics);
        else if (record is RouteConfigurationConfig routes) Check(routes, place, diagnostics);
        else if (record is RouteScopeConfig { Routes: { } own }) Check(own, place, diagnostics);
        else if (record is VirtualHostConfig host) Check(host, $"virtual_host {host.Name}", place, diagnostics);
    }

    private static void Check(ListenerConfig listener, Place place, Diagnostics diagnostics)
    {
        foreach (FilterChainConfig chain in listener.AllChains)
        {
            ImmutableArray<AccessLogConfig> logs = chain.Terminal switch
            {
                HttpConnectionManagerConfig http => http.AccessLogs,
                TcpProxyConfig tcp => tcp.AccessLogs,
                _ => [],
            };
            Check(logs, $"listener {listener.Name}", place, diagnostics);
            if (chain.Terminal is HttpConnectionManagerConfig { RouteConfig: { } routes }) Check(routes, place, diagnostics);
        }
        if (listener.Udp is { } udp) Check(udp.AccessLogs, $"listener {listener.Name}", place, diagnostics);
    }

    private static void Check(ImmutableArray<AccessLogConfig> logs, string subject, Place place, Diagnostics diagnostics)
    {
        for (int i = 0; i < logs.Length; i++)
        {
            if (logs[i].Format is { } format) AccessLogFormat.Compile(format, diagnostics, FormatUse.LogLine, place, $"{subject}: access_log[{i}]");
        }
    }

    private static void Check(RouteConfigurationConfig routes, Place place, Diagnostics diagnostics)
    {
        Check(routes.Headers, $"route_config {routes.Name}", place, diagnostics);
        foreach (VirtualHostConfig host in routes.VirtualHosts)
        {
            Check(host, $"route_config {routes.Name}, virtual_host {host.Name}", place, diagnostics);
        }
    }

    private static void Check(VirtualHostConfig host, string hostSubject, Place place, Diagnostics diagnostics)
    {
        Check(host.Headers, hostSubject, place, diagnostics);
        int i = 0;
        foreach (RouteConfig route in host.AllRoutes)
        {
            string subject = $"{hostSubject}, routes[{i++}]";
            Check(route.Headers, subject, place, diagnostics);
            if (route.Action is not ForwardActionConfig forward) continue;
            foreach (WeightedClusterConfig cluster in forward.Clusters) Check(cluster.Headers, $"{subject}, cluster {cluster.Name}", place, diagnostics);
        }
    }

    private static void Check(HeaderMutationsConfig headers, string subject, Place place, Diagnostics diagnostics)
    {
        if (headers.IsEmpty) return;
        foreach (HeaderValueConfig header in headers.RequestAdd.Concat(headers.ResponseAdd))
        {
            if (header.Value.Contains('%')) AccessLogFormat.Compile(header.Value, diagnostics, FormatUse.HeaderValue, place, $"{subject}: header {header.Name}");
        }
    }
}

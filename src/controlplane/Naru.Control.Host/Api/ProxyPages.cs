// What each connected proxy has, and whether it is in step. Read by `naru proxy-status` and by runners that wait for a push.
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Naru.Control.Registries;
using Naru.Control.Xds;

namespace Naru.Control.Host.Api;

/// <summary><c>/api/v1/proxies</c> and <c>/debug/syncz</c>.</summary>
/// <param name="state">The newest snapshot.</param>
/// <param name="xds">The proxies.</param>
internal sealed class ProxyPages(ControlState state, XdsServer xds)
{
    // Istio's names of the types, for its own page.
    private static readonly (string TypeUrl, string Name)[] s_istio =
    [
        (TypeUrls.Cluster, "cluster"), (TypeUrls.Listener, "listener"), (TypeUrls.Route, "route"), (TypeUrls.Endpoint, "endpoint"),
    ];

    /// <summary>Adds the pages.</summary>
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/proxies", (RequestDelegate)ProxiesAsync);
        routes.MapGet("/debug/syncz", (RequestDelegate)SyncAsync);
    }

    /// <summary>Whether a proxy was offered at least this snapshot and confirmed everything of it.</summary>
    public static bool IsInStep(ProxyStatus proxy, long snapshot) =>
        proxy.Generation >= snapshot && proxy.Types.All(t => t.State == SyncState.Synced || t.State == SyncState.NotSent && t.Names == 0);

    private Task ProxiesAsync(HttpContext context) => Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
    {
        long current = state.Current.Version;
        w.WriteStartObject();
        w.WriteNumber("snapshot", current);
        w.WriteStartArray("proxies");
        foreach (ProxyStatus proxy in xds.Proxies())
        {
            w.WriteStartObject();
            w.WriteString("id", proxy.Id);
            w.WriteString("address", proxy.Peer);
            w.WriteString("protocol", proxy.Encoding == XdsEncoding.Delta ? "delta" : "sotw");
            w.WriteString("connectedAt", proxy.ConnectedAt);
            w.WriteNumber("snapshot", proxy.Generation);
            w.WriteBoolean("inStep", IsInStep(proxy, current));
            w.WriteStartObject("types");
            foreach (TypeStatus type in proxy.Types)
            {
                w.WriteStartObject(TypeUrls.ShortName(type.TypeUrl));
                w.WriteString("state", NameOf(type.State));
                w.WriteString("sent", type.SentVersion);
                w.WriteString("acked", type.AckedVersion);
                if (type.Error is not null) w.WriteString("error", type.Error);
                w.WriteNumber("resources", type.Resources);
                w.WriteNumber("updates", type.Updates);
                w.WriteNumber("nacks", type.Nacks);
                w.WriteEndObject();
            }
            w.WriteEndObject();
            w.WriteEndObject();
        }
        w.WriteEndArray();
        w.WriteEndObject();
    });

    private Task SyncAsync(HttpContext context) => Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
    {
        w.WriteStartArray();
        foreach (ProxyStatus proxy in xds.Proxies())
        {
            w.WriteStartObject();
            w.WriteString("cluster_id", "Kubernetes");
            w.WriteString("proxy", Name(proxy.Id));
            foreach ((string typeUrl, string name) in s_istio)
            {
                if (proxy.Types.FirstOrDefault(t => t.TypeUrl == typeUrl) is not { } type) continue;
                w.WriteString($"{name}_sent", type.SentVersion);
                w.WriteString($"{name}_acked", type.AckedVersion);
            }
            w.WriteEndObject();
        }
        w.WriteEndArray();
    });

    private static string NameOf(SyncState state) => state switch
    {
        SyncState.Synced => "SYNCED",
        SyncState.Stale => "STALE",
        SyncState.Nack => "NACK",
        _ => "NOT SENT",
    };

    // type~ip~name.namespace~domain; a gRPC client has a name of its own making.
    private static string Name(string id) => id.Split('~') is { Length: 4 } parts ? parts[2] : id;
}

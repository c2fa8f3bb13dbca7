// One listener or cluster in YAML, read as part of a bootstrap: the record of a good one, the complaints about a bad one.
using Naru.Core;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

internal static class Read
{
    public const string Types = "type.googleapis.com/envoy.extensions.";
    public const string Tls = Types + "transport_sockets.tls.v3.";
    public const string Echo = "filters: [{ name: envoy.filters.network.echo }]";

    // 32 bytes of 0xAB.
    public static string Hex => string.Concat(Enumerable.Repeat("ab", 32));

    public static ListenerConfig Listener(string fields) => Assert.Single(Good(InListener(fields)).Listeners);

    public static ClusterConfig Cluster(string fields) => Assert.Single(Good(InCluster(fields)).Clusters);

    public static DownstreamTlsConfig Downstream(string context) =>
        Listener($"filter_chains: [{{ {Echo}, transport_socket: {Socket("DownstreamTlsContext", context)} }}]").FilterChains[0].Tls!;

    public static UpstreamTlsConfig Upstream(string context) => Cluster($"transport_socket: {Socket("UpstreamTlsContext", context)}").Tls!;

    public static string Socket(string type, string context) => $"{{ name: envoy.transport_sockets.tls, typed_config: {{ \"@type\": {Tls}{type}, {context} }} }}";

    public static string InListener(string fields) => $"static_resources: {{ listeners: [{{ name: l, address: {{ socket_address: {{ address: 127.0.0.1, port_value: 1 }} }}, {fields} }}] }}";

    public static string InCluster(string fields) => $"static_resources: {{ clusters: [{{ name: c, {fields} }}] }}";

    public static BootstrapConfig Good(string text)
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.Read(text, "b.yaml", found);
        Assert.DoesNotContain(found.Items, d => d.Severity == Severity.Error);
        return Assert.IsType<BootstrapConfig>(config);
    }

    /// <summary>The one error, as "code field".</summary>
    public static string Bad(string text)
    {
        var found = new Diagnostics();
        Assert.Null(BootstrapReader.Read(text, "b.yaml", found));
        Diagnostic error = Assert.Single(found.Items, d => d.Severity == Severity.Error);
        Assert.True(error.Place.Line > 0, error.ToString());
        string subject = error.Subject ?? "";
        return $"{error.Code} {subject[(subject.LastIndexOf('.') + 1)..]}";
    }

    /// <summary>The one error, as it is printed.</summary>
    public static string Said(string text)
    {
        var found = new Diagnostics();
        Assert.Null(BootstrapReader.Read(text, "b.yaml", found));
        return Assert.Single(found.Items, d => d.Severity == Severity.Error).ToString();
    }
}

// Texts of bootstraps for tests: as few lines as a test needs, in Envoy's own spelling.
// Only text; the proxy's readers are the subject and must not be used to make their own input.
using System.Text;

namespace Naru.Kit;

/// <summary>A cluster in a test's bootstrap.</summary>
/// <param name="Name">Name.</param>
/// <param name="Ports">Ports of <c>127.0.0.1</c>.</param>
/// <param name="Extra">Further lines of the cluster, unindented YAML.</param>
public sealed record TestCluster(string Name, int[] Ports, string Extra = "");

/// <summary>Bootstrap texts.</summary>
public static class Bootstraps
{
    /// <summary>Lines of a cluster that make it speak HTTP/2.</summary>
    public const string Http2Cluster = """
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            explicit_http_config: { http2_protocol_options: {} }
        """;

    /// <summary>One listener on port 0, every path to one backend.</summary>
    public static string One(int port, string manager = "", string route = "", string cluster = "", string filters = "") =>
        Many($$"""
            - match: { prefix: "/" }
              route:
                cluster: backend
            {{Indent(route, 4)}}
            """, [new TestCluster("backend", [port], cluster)], manager, filters);

    /// <summary>One listener on port 0 with these routes (a YAML list) in one virtual host for every domain.</summary>
    public static string Many(string routes, IEnumerable<TestCluster> clusters, string manager = "", string filters = "") =>
        Hosts($$"""
            - name: all
              domains: ["*"]
              routes:
            {{Indent(routes, 2)}}
            """, clusters, manager, filters: filters);

    /// <summary>One listener on port 0 with these virtual hosts (a YAML list).</summary>
    /// <param name="hosts">They.</param>
    /// <param name="clusters">Where they lead.</param>
    /// <param name="manager">Further lines of the connection manager.</param>
    /// <param name="routeConfig">Further lines of the route configuration.</param>
    /// <param name="filters">HTTP filters before the router (a YAML list).</param>
    public static string Hosts(string hosts, IEnumerable<TestCluster> clusters, string manager = "", string routeConfig = "", string filters = "") =>
        $$"""
        node: { id: test, cluster: tests }
        admin:
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            filter_chains:
            - filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: test
        {{Indent(manager, 10)}}
                  route_config:
                    name: test
        {{Indent(routeConfig, 12)}}
                    virtual_hosts:
        {{Indent(hosts, 12)}}
                  http_filters:
        {{Indent(filters, 10)}}
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          clusters:
        {{Indent(Clusters(clusters), 2)}}
        """;

    /// <summary>The YAML list of static clusters.</summary>
    public static string Clusters(IEnumerable<TestCluster> clusters)
    {
        var text = new StringBuilder();
        foreach (TestCluster cluster in clusters)
        {
            text.Append($$"""
                - name: {{cluster.Name}}
                  type: STATIC
                  connect_timeout: 2s

                """);
            if (cluster.Extra.Length > 0) text.Append(Indent(cluster.Extra, 2)).Append('\n');
            text.Append($$"""
                  load_assignment:
                    cluster_name: {{cluster.Name}}
                    endpoints:
                    - lb_endpoints:

                """);
            foreach (int port in cluster.Ports)
            {
                text.Append($$"""
                          - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{port}} } } }

                    """);
            }
        }
        return text.ToString().TrimEnd('\n');
    }

    /// <summary>Moves every line to the right.</summary>
    public static string Indent(string text, int by)
    {
        string blanks = new(' ', by);
        return string.Join('\n', text.Split('\n').Where(l => l.Trim().Length > 0).Select(l => blanks + l.TrimEnd('\r')));
    }
}

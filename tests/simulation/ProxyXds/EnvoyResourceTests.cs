// Discovery with the readers of production: YAML files and messages as they are in real life.
using Envoy.Config.Cluster.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class EnvoyResourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("naru-yaml-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Clusters_listeners_routes_and_endpoints_may_all_come_from_files()
    {
        Write("cds.yaml", $$"""
            version_info: "7"
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: app
              type: EDS
              connect_timeout: 1s
              eds_cluster_config:
                eds_config: { path_config_source: { path: {{PathOf("eds.yaml")}} } }
            """);
        Write("eds.yaml", """
            resources:
            - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
              cluster_name: app
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }
            """);
        Write("lds.yaml", $$"""
            resources:
            - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
              name: front
              address: { socket_address: { address: 127.0.0.1, port_value: 8080 } }
              filter_chains:
              - filters:
                - name: envoy.filters.network.http_connection_manager
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                    stat_prefix: front
                    rds:
                      route_config_name: main
                      config_source: { path_config_source: { path: {{PathOf("rds.yaml")}} } }
                    http_filters:
                    - name: envoy.filters.http.router
                      typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
            """);
        Write("rds.yaml", """
            resources:
            - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
              name: main
              virtual_hosts:
              - { name: all, domains: ["*"], routes: [ { match: { prefix: / }, route: { cluster: app } } ] }
            """);
        World world = Watching();
        Assert.True(world.IsLive, string.Join("\n", world.Lines));
        Assert.Equal("127.0.0.1:9000", world.Plane.Addresses("app"));
        Assert.Equal(["app"], Resources.TargetsOf(world.Plane.Routes["main"]));
        Assert.Contains("front", world.Plane.Listeners.Keys);
        Assert.Equal("7", world.Dump().CdsVersion);
        Assert.DoesNotContain(world.Lines, l => l.StartsWith("Error", StringComparison.Ordinal) || l.StartsWith("Warning", StringComparison.Ordinal));
    }

    [Fact]
    public void A_fault_in_a_file_is_told_with_its_line_and_its_neighbours_serve()
    {
        Write("cds.yaml", """
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: good
              connect_timeout: 1s
              load_assignment: { cluster_name: good }
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: bad
              connect_timeout: 0s
              load_assignment: { cluster_name: bad }
            """);
        Write("lds.yaml", "resources: []");
        World world = Watching();
        Assert.Contains("good", world.Plane.Clusters.Keys);
        Assert.DoesNotContain("bad", world.Plane.Clusters.Keys);
        Assert.Contains(world.Lines, l => l.Contains(PathOf("cds.yaml") + ":8:", StringComparison.Ordinal) && l.Contains("bad", StringComparison.Ordinal));
    }

    [Fact]
    public void A_field_that_is_not_supported_is_refused_by_name_over_the_wire()
    {
        var diagnostics = new Diagnostics();
        var cluster = new Cluster
        {
            Name = "a",
            ConnectionPoolPerDownstreamConnection = true,
            LoadAssignment = Resources.Endpoints("a", "10.0.0.1:80"),
        };
        Assert.Null(EnvoyResources.Decode(ResourceType.Cluster, cluster.ToByteString(), diagnostics));
        Assert.Contains(diagnostics.Items, d => d.Severity == Severity.Error
            && d.ToString().Contains("connection_pool_per_downstream_connection", StringComparison.Ordinal));
    }

    private World Watching() => new World(
        change: b => b with { Cds = new ConfigSourceConfig(ConfigSourceKind.Path, PathOf("cds.yaml")), Lds = new ConfigSourceConfig(ConfigSourceKind.Path, PathOf("lds.yaml")), Ads = null },
        files: EnvoyResources.ReadFile).Start();

    private void Write(string name, string text) => File.WriteAllText(PathOf(name), text);

    private string PathOf(string name) => Path.Combine(_folder, name);
}

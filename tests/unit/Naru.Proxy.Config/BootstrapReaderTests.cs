// Bootstraps become records; what is wrong in them is named with its line.
using Envoy.Config.Bootstrap.V3;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class BootstrapReaderTests
{
    private static BootstrapConfig Good(string text)
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.Read(text, "b.yaml", found);
        Assert.DoesNotContain(found.Items, d => d.Severity != Severity.Info);
        return Assert.IsType<BootstrapConfig>(config);
    }

    private static List<Diagnostic> Bad(string text)
    {
        var found = new Diagnostics();
        Assert.Null(BootstrapReader.Read(text, "b.yaml", found));
        return [.. found.Items.Where(d => d.Severity == Severity.Error)];
    }

    [Fact]
    public void A_front_proxy_is_read()
    {
        BootstrapConfig config = Good(Bootstraps.One(8081));
        ListenerConfig listener = Assert.Single(config.Listeners);
        Assert.Equal(new AddressConfig("127.0.0.1", 0), listener.Address);
        Assert.Equal("test", listener.HttpManagers.Single().StatPrefix);
        VirtualHostConfig host = Assert.Single(listener.HttpManagers.Single().RouteConfig!.VirtualHosts);
        Assert.Equal(["*"], host.Domains);
        var forward = Assert.IsType<ForwardActionConfig>(Assert.Single(host.Routes).Action);
        Assert.Equal("backend", Assert.Single(forward.Clusters).Name);
        Assert.Equal(TimeSpan.FromSeconds(15), forward.Timeout);
        ClusterConfig cluster = Assert.Single(config.Clusters);
        Assert.Equal(TimeSpan.FromSeconds(2), cluster.ConnectTimeout);
        Assert.Equal(new AddressConfig("127.0.0.1", 8081), Assert.Single(cluster.LoadAssignment!.Endpoints).Address);
        Assert.Equal(("test", "tests"), (config.NodeId, config.NodeCluster));
    }

    [Fact]
    public void Every_fault_is_named_with_its_line()
    {
        List<Diagnostic> faults = Bad("""
            static_resources:
              listeners:
              - address: { socket_address: { address: localhost, port_value: 80 } }
                filter_chains:
                - filters:
                  - name: envoy.filters.network.http_connection_manager
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                      stat_prefix: x
                      route_config:
                        virtual_hosts:
                        - name: a
                          domains: ["x", "x"]
                          routes:
                          - match: { safe_regex: { regex: "(a" } }
                            route: { cluster: nothing }
                      http_filters:
                      - name: envoy.filters.http.wasm
              clusters:
              - name: c
                connect_timeout: 0s
                lb_policy: LOAD_BALANCING_POLICY_CONFIG
                connection_pool_per_downstream_connection: true
            """);
        (string Code, int Line)[] expected =
        [
            ("NARU-C107", 3), ("NARU-C103", 13), ("NARU-C105", 15), ("NARU-C104", 16), ("NARU-C112", 18), ("NARU-C106", 17), ("NARU-C102", 21), ("NARU-C113", 22), ("NARU-C110", 23),
        ];
        Assert.Equal(expected.OrderBy(e => e.Line), faults.Select(f => (f.Code, f.Place.Line)).OrderBy(e => e.Line));
        Assert.All(faults, f => Assert.Equal("b.yaml", f.Place.File));
    }

    [Fact]
    public void The_protobuf_is_kept_for_dumps()
    {
        BootstrapReader.Read(Bootstraps.One(8081), "b.yaml", new Diagnostics(), null, out Bootstrap message);
        Assert.Equal("backend", Assert.Single(message.StaticResources.Clusters).Name);
    }
}

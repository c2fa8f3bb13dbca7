// Resources as they come over the wire: what is honoured, what is refused by name, what is merely said.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class ResourceReaderTests
{
    private static RouteConfiguration Routes(params RouteMatch[] matches)
    {
        var host = new VirtualHost { Name = "v", Domains = { "*" } };
        host.Routes.AddRange(matches.Select(m => new Route { Match = m, Route_ = new RouteAction { Cluster = "c" } }));
        return new RouteConfiguration { Name = "r", VirtualHosts = { host } };
    }

    private static RouteMatchConfig Match(string regex)
    {
        var found = new Diagnostics();
        RouteConfigurationConfig? config = ResourceReader.RouteConfiguration(Routes(new RouteMatch { SafeRegex = new() { Regex = regex } }), found);
        Assert.Empty(found.Items);
        return config!.VirtualHosts[0].Routes[0].Match;
    }

    [Theory]
    [InlineData("/a|/b", "/b", true)]
    [InlineData("/a|/b", "/bc", false)]
    [InlineData("/a$", "/a\n", false)]
    [InlineData(@"/\d+", "/٣", false)]
    [InlineData(@"/\w+", "/é", false)]
    [InlineData("/[[:upper:][:digit:]]+", "/A1", true)]
    [InlineData("/[[:upper:]]+", "/a", false)]
    [InlineData("(?i)/ABC", "/abc", true)]
    [InlineData(@"/\Qa.b\E", "/a.b", true)]
    [InlineData(@"/\Qa.b\E", "/axb", false)]
    [InlineData(@"/\x{61}", "/a", true)]
    [InlineData("/(?P<id>[0-9]+)", "/12", true)]
    [InlineData("/[^/]+", "/x", true)]
    [InlineData("/a{2,3}", "/aaa", true)]
    [InlineData("/[]a]", "/]", true)]
    public void A_pattern_means_what_it_means_in_RE2_and_matches_the_whole(string regex, string path, bool matches) => Assert.Equal(matches, Match(regex).Regex!.IsMatch(path));

    [Theory]
    [InlineData(@"(a)\1")]
    [InlineData("(?<!a)b")]
    [InlineData("a++(")]
    [InlineData("[z-a]")]
    [InlineData("\\")]
    public void A_pattern_outside_the_language_is_refused(string regex)
    {
        var found = new Diagnostics();
        Assert.Null(ResourceReader.RouteConfiguration(Routes(new RouteMatch { SafeRegex = new() { Regex = regex } }), found));
        Assert.Equal("NARU-C105", Assert.Single(found.Items).Code);
    }

    [Fact]
    public void A_pattern_that_would_take_for_ever_does_not()
    {
        // Backtracking would need 2^28 steps; linear time is no wait at all.
        Assert.DoesNotMatch(Match("/(a+)+b").Regex!, "/" + new string('a', 28));
        var found = new Diagnostics();
        Assert.Null(ResourceReader.RouteConfiguration(Routes(new RouteMatch { SafeRegex = new() { Regex = new string('a', 3000) } }), found));
        Assert.Contains("2048", Assert.Single(found.Items).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_resource_is_named_and_the_fields_path_is_in_the_sentence()
    {
        var found = new Diagnostics();
        var cluster = new Cluster
        {
            Name = "reviews",
            ConnectTimeout = new Duration(),
            ConnectionPoolPerDownstreamConnection = true
        };
        Assert.Null(ResourceReader.Cluster(cluster, found));
        Assert.Equal(2, found.Items.Count);
        Assert.All(found.Items, d => Assert.Equal("Cluster reviews", d.Subject));
        Assert.Contains(found.Items, d => d.Code == "NARU-C110"
            && d.Message.StartsWith("connection_pool_per_downstream_connection: ", StringComparison.Ordinal));
    }

    [Fact]
    public void Bytes_that_nobody_knows_are_taken_and_said()
    {
        // Field 1000, a varint, in front of what we know.
        byte[] bytes = [0xC0, 0x3E, 0x01, .. new ClusterLoadAssignment { ClusterName = "c" }.ToByteArray()];
        var found = new Diagnostics();
        Assert.NotNull(ResourceReader.ClusterLoadAssignment(ClusterLoadAssignment.Parser.ParseFrom(bytes), found));
        Diagnostic said = Assert.Single(found.Items);
        Assert.Equal(("NARU-C115", Severity.Info), (said.Code, said.Severity));
    }

    [Fact]
    public void A_listener_off_the_wire_is_read_and_a_broken_any_is_refused()
    {
        var manager = new HttpConnectionManager
        {
            StatPrefix = "x",
            Rds = new Rds { RouteConfigName = "9080", ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource(), InitialFetchTimeout = new Duration() } },
            HttpFilters = { new HttpFilter { Name = "r", TypedConfig = Any.Pack(new Envoy.Extensions.Filters.Http.Router.V3.Router()) } },
        };
        var listener = new Listener
        {
            Name = "l",
            Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = 9080 } },
            FilterChains = { new FilterChain { Filters = { new Envoy.Config.Listener.V3.Filter { Name = "hcm", TypedConfig = Any.Pack(manager) } } } },
        };
        var found = new Diagnostics();
        ListenerConfig config = ResourceReader.Listener(listener, found)!;
        Assert.Empty(found.Items);
        HttpConnectionManagerConfig http = config.HttpManagers.Single();
        Assert.Equal(("9080", ConfigSourceKind.Ads, TimeSpan.Zero), (http.RouteConfigName, http.RouteConfigSource!.Kind, http.RouteConfigSource.InitialFetchTimeout));

        listener.FilterChains[0].Filters[0].TypedConfig.Value = ByteString.CopyFrom(0xFF, 0xFF);
        Assert.Null(ResourceReader.Listener(listener, found));
        Assert.Contains(found.Items, d => d.Code == "NARU-C102");
    }

    [Fact]
    public void An_endpoint_by_eds_is_an_address_and_keeps_health_priority_and_weight()
    {
        var assignment = new ClusterLoadAssignment { ClusterName = "c" };
        assignment.Endpoints.Add(new LocalityLbEndpoints
        {
            Locality = new Locality { Region = "r", Zone = "z", SubZone = "s" },
            Priority = 1,
            LoadBalancingWeight = 7,
            LbEndpoints = { new LbEndpoint { HealthStatus = HealthStatus.Timeout, LoadBalancingWeight = 3, Endpoint = new Endpoint { Address = new Address { SocketAddress = new SocketAddress { Address = "::1", PortValue = 80 } } } } },
        });
        var found = new Diagnostics();
        EndpointConfig endpoint = Assert.Single(ResourceReader.ClusterLoadAssignment(assignment, found)!.Endpoints);
        Assert.Equal(("r/z/s", 1, 3u, EndpointHealth.Unhealthy, "[::1]:80"), (endpoint.Locality, endpoint.Priority, endpoint.Weight, endpoint.Health, endpoint.Address.ToString()));
        assignment.Endpoints[0].LbEndpoints[0].Endpoint.Address.SocketAddress.Address = "name.example";
        Assert.Null(ResourceReader.ClusterLoadAssignment(assignment, new Diagnostics()));
    }

    [Fact]
    public void A_false_switch_of_something_unsupported_is_no_fault()
    {
        var cluster = new Cluster { Name = "c", LoadAssignment = new ClusterLoadAssignment() };
        var found = new Diagnostics();
        Assert.NotNull(ResourceReader.Cluster(cluster, found));
        Assert.Empty(found.Items);
    }

    [Fact]
    public void A_resource_file_is_a_response_or_single_resources_and_keeps_lines()
    {
        var found = new Diagnostics();
        ResourceFile file = ResourceFiles.Read("""
            version_info: "3"
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: a
              connect_timeout: 0s
            - "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
              name: b
              resource: { "@type": type.googleapis.com/envoy.api.v2.Cluster, name: b, hosts: [{ socket_address: { address: 127.0.0.1, port_value: 1 } }] }
            """, "cds.yaml", found)!;
        Assert.Equal("3", file.VersionInfo);
        Assert.Equal(["a", "b"], file.Resources.Select(ResourceReader.NameOf));
        Assert.Null(ResourceReader.Read(file.Resources[0], found, file.Places));
        Assert.Contains(found.Items, d => d.Severity == Severity.Error && d.Place == new Place("cds.yaml", 5, 3));
        Assert.Single(Assert.IsType<ClusterConfig>(ResourceReader.Read(file.Resources[1], new Diagnostics(), file.Places)).LoadAssignment!.Endpoints);
        Assert.Single(ResourceFiles.Read("\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\nname: x", "x.yaml", new Diagnostics())!.Resources);
        Assert.Null(ResourceFiles.Read("resources: [{ \"@type\": type.googleapis.com/no.Such }]", "x.yaml", new Diagnostics()));
    }

    [Fact]
    public void Validation_prints_ok_or_every_line_and_reads_the_files_that_are_named()
    {
        using var folder = new TempFolder();
        string cds = folder.Write("cds.yaml", "resources:\n- { \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a, connect_timeout: 0s }\n");
        string text = Bootstraps.One(1);
        string good = folder.Write("good.yaml", text);
        string bad = folder.Write("bad.yaml", text + $"\ndynamic_resources: {{ cds_config: {{ path_config_source: {{ path: {cds} }} }} }}\n");
        var output = new StringWriter();
        Assert.Equal(0, ConfigValidator.ValidateFile(good).Print(output));
        Assert.Equal("OK\n", output.ToString());
        output = new StringWriter();
        Assert.Equal(1, ConfigValidator.ValidateFile(bad).Print(output));
        Assert.Contains($"{cds}:2:", output.ToString(), StringComparison.Ordinal);
        Assert.Equal("NARU-C008", Assert.Single(ConfigValidator.ValidateFile(folder.At("missing.yaml")).Diagnostics).Code);
    }

    [Fact]
    public void The_command_line_lays_itself_over_the_file()
    {
        var options = new BootstrapOptions { Overlay = "admin: { address: { socket_address: { address: 127.0.0.2, port_value: 7 } } }\nnode: { cluster: over }", ServiceNode = "me" };
        var found = new Diagnostics();
        BootstrapConfig config = BootstrapReader.Read(Bootstraps.One(1), "b.yaml", found, options, out _)!;
        Assert.Empty(found.Items);
        Assert.Equal(("me", "over", "127.0.0.2:7", 1), (config.NodeId, config.NodeCluster, config.Admin!.ToString(), config.Listeners.Length));
        Assert.NotNull(BootstrapReader.Read("", null, new Diagnostics(), options, out _));
        Assert.Null(BootstrapReader.Read("", null, new Diagnostics()));
    }

    [Theory]
    [InlineData("static_resources: { clusters: ")]
    [InlineData("static_resources:\n  clusters:\n  - &a { name: a, load_assignment: *a }")]
    [InlineData("[1, 2]")]
    [InlineData("just text")]
    [InlineData("a: 1\n---\nb: 2")]
    [InlineData("node: { metadata: { a: .nan } }\nadmin: []")]
    public void Nonsense_is_refused_and_never_throws(string text)
    {
        var found = new Diagnostics();
        Assert.Null(BootstrapReader.Read(text, "x", found));
        Assert.True(found.HasErrors);
    }

    [Fact]
    public void A_bootstrap_cut_or_changed_anywhere_never_throws()
    {
        string text = Bootstraps.One(1, "access_log: [{ name: envoy.access_loggers.stdout }]", "retry_policy: { retry_on: 5xx }");
        var random = new Random(11);
        for (int i = 0; i < 300; i++)
        {
            int at = random.Next(text.Length);
            string broken = random.Next(3) switch
            {
                0 => text[..at],
                1 => text.Remove(at, Math.Min(random.Next(1, 30), text.Length - at)),
                _ => text.Insert(at, new[] { ":", " - ", "{", "\"", "null", "5", "[", "&x ", "*x" }[random.Next(9)]),
            };
            BootstrapReader.Read(broken, "x", new Diagnostics());
        }
    }
}

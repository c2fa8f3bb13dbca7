// Reports of load: who wants them says of what and how often, and each says what came since the last one.
using Envoy.Service.LoadStats.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class LoadReportTests
{
    private static readonly EndpointConfig s_near = new(new AddressConfig("10.0.0.1", 80)) { Locality = "north/n1" };
    private static readonly EndpointConfig s_far = new(new AddressConfig("10.0.0.2", 80)) { Locality = "south", Priority = 1 };
    private readonly List<ClusterLoad> _loads = [];

    private World Reporting(params (EndpointConfig, long, long, long, int)[] before)
    {
        if (before.Length > 0) Load("one", before);
        return Reporting();
    }

    private World Reporting() => new World(change: b => b with { LoadReports = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc") }, loads: () => [.. _loads]).Start();

    private static MemoryStream StreamOf(World world) => world.Wire.Streams.Last(s => s.Method == XdsMethod.LoadReports);

    private static LoadStatsRequest[] Heard(World world) => [.. StreamOf(world).Heard().Cast<LoadStatsRequest>()];

    private void Load(string cluster, params (EndpointConfig, long, long, long, int)[] endpoints)
    {
        _loads.RemoveAll(l => l.Name == cluster);
        _loads.Add(new ClusterLoad(cluster, "", [.. endpoints.Select(e => new EndpointLoad(e.Item1, e.Item2, e.Item3, e.Item4, e.Item5))]));
    }

    private static void Ask(World world, double seconds, bool endpoints, bool all, params string[] clusters)
    {
        var response = new LoadStatsResponse { LoadReportingInterval = Duration.FromTimeSpan(TimeSpan.FromSeconds(seconds)), ReportEndpointGranularity = endpoints, SendAllClusters = all };
        response.Clusters.AddRange(clusters);
        StreamOf(world).Bring(response);
        world.Main.Drain();
    }

    [Fact]
    public void The_first_message_says_who_reports_and_each_report_what_came_since()
    {
        Load("other", (s_near, 1, 1, 0, 0));
        World world = Reporting((s_near, 100, 90, 10, 0), (s_far, 5, 5, 0, 0));
        LoadStatsRequest first = Assert.Single(Heard(world));
        Assert.Equal("a.b", first.Node.Cluster);
        Assert.Equal(["envoy.lrs.supports_send_all_clusters"], first.Node.ClientFeatures);
        Assert.Empty(first.ClusterStats);
        Ask(world, 2, endpoints: false, all: false, "one", "missing");
        Load("one", (s_near, 107, 95, 11, 1), (s_far, 5, 5, 0, 0));
        world.Wait(2.1);
        Envoy.Config.Endpoint.V3.ClusterStats one = Assert.Single(Assert.Single(Heard(world)).ClusterStats);
        Assert.Equal("one", one.ClusterName);
        Assert.InRange(one.LoadReportInterval.ToTimeSpan().TotalSeconds, 2, 2.2);
        Envoy.Config.Endpoint.V3.UpstreamLocalityStats locality = Assert.Single(one.UpstreamLocalityStats);
        Assert.Equal(("north", "n1", 0u), (locality.Locality.Region, locality.Locality.Zone, locality.Priority));
        Assert.Equal((7UL, 5UL, 1UL, 1UL), (locality.TotalIssuedRequests, locality.TotalSuccessfulRequests, locality.TotalErrorRequests, locality.TotalRequestsInProgress));
        Assert.Empty(locality.UpstreamEndpointStats);
        Load("one", (s_near, 107, 96, 11, 0), (s_far, 6, 6, 0, 0));
        world.Wait(2.1);
        one = Assert.Single(Assert.Single(Heard(world)).ClusterStats);
        Assert.Equal([(0UL, 1UL), (1UL, 1UL)], one.UpstreamLocalityStats.Select(l => (l.TotalIssuedRequests, l.TotalSuccessfulRequests)));
    }

    [Fact]
    public void Endpoints_and_all_clusters_are_reported_where_that_is_wanted_and_a_new_answer_replaces_the_old()
    {
        World world = Reporting();
        Load("one", (s_near, 0, 0, 0, 0));
        Load("two", (s_far, 0, 0, 0, 0));
        Ask(world, 1, endpoints: true, all: true);
        Heard(world);
        Load("one", (s_near, 3, 3, 0, 0));
        world.Wait(1.1);
        LoadStatsRequest report = Assert.Single(Heard(world));
        Assert.Equal(["one", "two"], report.ClusterStats.Select(c => c.ClusterName).Order());
        Envoy.Config.Endpoint.V3.UpstreamEndpointStats endpoint = Assert.Single(report.ClusterStats.Single(c => c.ClusterName == "one").UpstreamLocalityStats[0].UpstreamEndpointStats);
        Assert.Equal(("10.0.0.1", 80u, 3UL), (endpoint.Address.SocketAddress.Address, endpoint.Address.SocketAddress.PortValue, endpoint.TotalIssuedRequests));
        Ask(world, 1, endpoints: false, all: false, "two");
        world.Wait(1.1);
        Assert.Equal("two", Assert.Single(Assert.Single(Heard(world)).ClusterStats).ClusterName);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void An_interval_that_is_none_stops_the_reports(double seconds)
    {
        World world = Reporting();
        Load("one", (s_near, 0, 0, 0, 0));
        Ask(world, seconds, endpoints: false, all: true);
        Heard(world);
        world.Wait(3600);
        Assert.Empty(Heard(world));
        Assert.Contains(world.Lines, l => l.Contains("states no interval above 0", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_done_before_the_first_answer_counts_and_so_does_a_cluster_that_came_since()
    {
        World world = Reporting((s_near, 100, 90, 10, 0));
        Load("one", (s_near, 103, 92, 11, 0));
        Load("new", (s_near, 2, 2, 0, 0));
        Ask(world, 1, endpoints: false, all: true);
        Heard(world);
        Load("late", (s_near, 4, 4, 0, 0));
        world.Wait(1.1);
        Assert.Equal([("late", 4UL), ("new", 2UL), ("one", 3UL)], Issued(world));
        world.Wait(1);
        Assert.All(Assert.Single(Heard(world)).ClusterStats, c => Assert.Empty(c.UpstreamLocalityStats));
    }

    [Fact]
    public void A_cluster_that_a_later_answer_asks_for_counts_from_there()
    {
        World world = Reporting((s_near, 0, 0, 0, 0));
        Load("two", (s_near, 5, 5, 0, 0));
        Ask(world, 1, endpoints: false, all: false, "one");
        Load("two", (s_near, 9, 9, 0, 0));
        Ask(world, 1, endpoints: false, all: false, "one", "two");
        Load("two", (s_near, 10, 10, 0, 0));
        Heard(world);
        world.Wait(1.1);
        Assert.Equal([("two", 1UL)], Issued(world));
    }

    private static IEnumerable<(string, ulong)> Issued(World world) => Assert.Single(Heard(world)).ClusterStats
        .Where(c => c.UpstreamLocalityStats.Count > 0).Select(c => (c.ClusterName, c.UpstreamLocalityStats[0].TotalIssuedRequests)).OrderBy(c => c.ClusterName, StringComparer.Ordinal);

    [Fact]
    public void A_broken_stream_is_opened_again_and_what_was_done_between_the_two_is_reported()
    {
        World world = Reporting((s_near, 0, 0, 0, 0));
        Ask(world, 1, endpoints: false, all: true);
        StreamOf(world).Break();
        world.Main.Drain();
        Load("one", (s_near, 50, 50, 0, 0));
        world.Wait(60);
        Assert.Equal(2, world.Wire.Streams.Count(s => s.Method == XdsMethod.LoadReports));
        Assert.Empty(Assert.Single(Heard(world)).ClusterStats);
        Ask(world, 1, endpoints: false, all: true);
        Load("one", (s_near, 51, 51, 0, 0));
        world.Wait(1.1);
        Assert.Equal([("one", 51UL)], Issued(world));
        Assert.Equal(1, world.Stat("load_reporter", "errors"));
    }
}

// What becomes of good resources that the data plane cannot use: they are refused by name, their predecessors serve with all that those
// refer to, and they count as new when they come again.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.HeaderMutation.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class RefusalTests
{
    private static ConfigSource Ads => new() { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 };

    private static Cluster ClusterOf(string service = "", string secret = "", double timeout = 1)
    {
        Cluster cluster = Resources.Eds("c", service, timeout);
        cluster.EdsClusterConfig.EdsConfig = Ads;
        if (secret.Length > 0) cluster.TransportSocket = Socket(new UpstreamTlsContext { CommonTlsContext = Context(secret) });
        return cluster;
    }

    private static TransportSocket Socket(IMessage tls) => new() { Name = "tls", TypedConfig = Any.Pack(tls) };

    private static CommonTlsContext Context(string secret) =>
        new() { TlsCertificateSdsSecretConfigs = { new SdsSecretConfig { Name = secret, SdsConfig = Ads } } };

    private static Secret SecretOf(string name, string chain = "CHAIN") => new()
    {
        Name = name,
        TlsCertificate = new TlsCertificate
        {
            CertificateChain = new DataSource { InlineString = chain },
            PrivateKey = new DataSource { InlineString = "KEY" },
        },
    };

    private static TypedExtensionConfig FilterOf(bool wins = false) =>
        new() { Name = "own", TypedConfig = Any.Pack(new HeaderMutation { MostSpecificHeaderMutationsWins = wins }) };

    private static RouteConfiguration RoutesOf(string name, string cluster = "c") => Resources.Routes(name, cluster);

    private static Listener ListenerOf(string routes = "r", string secret = "", bool filter = true, uint port = 8080)
    {
        var manager = new HttpConnectionManager
        {
            StatPrefix = "s",
            Rds = new Rds { RouteConfigName = routes, ConfigSource = Ads },
            HttpFilters = { new HttpFilter { Name = "router", TypedConfig = Any.Pack(new Router()) } },
        };
        if (filter)
        {
            manager.HttpFilters.Insert(0, new HttpFilter
            {
                Name = "own",
                ConfigDiscovery = new ExtensionConfigSource
                {
                    ConfigSource = Ads,
                    TypeUrls = { "type.googleapis.com/" + HeaderMutation.Descriptor.FullName },
                },
            });
        }
        var chain = new FilterChain { Filters = { new Envoy.Config.Listener.V3.Filter { Name = "hcm", TypedConfig = Any.Pack(manager) } } };
        if (secret.Length > 0) chain.TransportSocket = Socket(new DownstreamTlsContext { CommonTlsContext = Context(secret) });
        return new Listener
        {
            Name = "l",
            Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = port } },
            FilterChains = { chain },
        };
    }

    // A server that tells the state of the world is asked for the endpoints of a changed cluster once more.
    private static void Say(World world, bool delta, ResourceType type, string version, params IMessage[] resources)
    {
        world.Stream.Heard();
        world.Say(s => StreamTests.Send(s, delta, type, version, resources));
        if (type == ResourceType.Cluster && !delta) world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("c", "10.0.0.1:80")));
    }

    // A listener with routes, a filter and a certificate that are discovered, and a cluster with endpoints.
    private static World Serving(bool delta)
    {
        World world = new World(delta, null, EnvoyResources.ReadFile, EnvoyResources.Decode).Start();
        Say(world, delta, ResourceType.Cluster, "1", ClusterOf());
        Say(world, delta, ResourceType.Endpoints, "1", Resources.Endpoints("c", "10.0.0.1:80"));
        Say(world, delta, ResourceType.Listener, "1", ListenerOf(secret: "tls"));
        Say(world, delta, ResourceType.Route, "1", RoutesOf("r"));
        Say(world, delta, ResourceType.Filter, "1", FilterOf());
        Say(world, delta, ResourceType.Secret, "1", SecretOf("tls"));
        Assert.True(world.IsLive);
        Assert.Contains("l", world.Plane.Listeners.Keys);
        return world;
    }

    private static (ResourceType Type, IMessage First, IMessage Next, string Name) Of(ConfigKind kind) => kind switch
    {
        ConfigKind.Cluster => (ResourceType.Cluster, ClusterOf(), ClusterOf(timeout: 7), "c"),
        ConfigKind.RouteConfiguration => (ResourceType.Route, RoutesOf("r"), RoutesOf("r", "nowhere"), "r"),
        ConfigKind.Listener => (ResourceType.Listener, ListenerOf(secret: "tls"), ListenerOf(secret: "tls", port: 9090), "l"),
        ConfigKind.Filter => (ResourceType.Filter, FilterOf(), FilterOf(wins: true), "own"),
        _ => (ResourceType.Secret, SecretOf("tls"), SecretOf("tls", "NEWER"), "tls"),
    };

    private static object? Held(World world, ConfigKind kind) => kind switch
    {
        ConfigKind.Cluster => world.Plane.Clusters["c"],
        ConfigKind.RouteConfiguration => world.Plane.Routes["r"],
        ConfigKind.Listener => world.Plane.Listeners["l"],
        ConfigKind.Filter => world.Plane.Filters["own"],
        _ => world.Plane.Changes.SelectMany(c => c.Secrets).Last(),
    };

    private static string? Error(World world) => world.Stream.Heard().Select(Error).LastOrDefault(e => e is not null);

    private static string? Error(IMessage request) => request switch
    {
        DiscoveryRequest state => state.ErrorDetail?.Message,
        IMessage delta => ((DeltaDiscoveryRequest)delta).ErrorDetail?.Message,
    };

    public static TheoryData<ConfigKind, bool> Kinds()
    {
        var all = new TheoryData<ConfigKind, bool>();
        foreach (ConfigKind kind in System.Enum.GetValues<ConfigKind>())
        {
            all.Add(kind, false);
            all.Add(kind, true);
        }
        return all;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_the_data_plane_cannot_use_is_refused_by_name_and_is_new_when_it_comes_again(ConfigKind kind, bool delta)
    {
        World world = Serving(delta);
        (ResourceType type, _, IMessage next, string name) = Of(kind);
        object? before = Held(world, kind);
        world.Plane.Refuses = (k, n) => k == kind && n == name ? "NARU-P104" : null;
        Say(world, delta, type, "2", next);
        Assert.StartsWith($"1 of 1 resources refused: {name}\n", Error(world), StringComparison.Ordinal);
        ResourceDump dump = world.Dump().Resources.Single(r => r.Type == type && r.Name == name);
        Assert.Equal((ResourceState.Active, "1"), (dump.State, dump.Version));
        Assert.Contains("NARU-P104", dump.Failure!.Details, StringComparison.Ordinal);

        world.Plane.Refuses = (_, _) => null;
        Say(world, delta, type, "3", next);
        Assert.Null(Error(world));
        Assert.NotSame(before, Held(world, kind));
        dump = world.Dump().Resources.Single(r => r.Type == type && r.Name == name);
        Assert.Equal((ResourceState.Active, "3", null), (dump.State, dump.Version, dump.Failure));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_one_before_is_in_use_and_needs_not_be_taken_again(ConfigKind kind, bool delta)
    {
        World world = Serving(delta);
        (ResourceType type, IMessage first, IMessage next, string name) = Of(kind);
        world.Plane.Refuses = (k, n) => k == kind && n == name ? "NARU-P104" : null;
        Say(world, delta, type, "2", next);
        int changes = world.Plane.Changes.Count;
        Say(world, delta, type, "3", first);
        Assert.Null(Error(world));
        Assert.Equal(changes, world.Plane.Changes.Count);
        Assert.Null(world.Dump().Resources.Single(r => r.Type == type && r.Name == name).Failure);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_new_cluster_that_is_refused_is_not_there(bool delta)
    {
        World world = World.Live(delta);
        world.Plane.Refuses = (k, _) => k == ConfigKind.Cluster ? "NARU-P104" : null;
        Say(world, delta, ResourceType.Cluster, "1", Resources.Static("c"));
        Assert.StartsWith("1 of 1 resources refused: c\n", Error(world), StringComparison.Ordinal);
        Assert.Equal(ResourceState.Failed, world.Dump().Resources.Single(r => r.Name == "c").State);
        Assert.Equal(1, world.Stat("cluster_manager", "active_clusters"));
        // Others come and go, and it is no worse for that.
        Say(world, delta, ResourceType.Cluster, "2", Resources.Static("c"), Resources.Static("d"));
        world.Plane.Refuses = (_, _) => null;
        Say(world, delta, ResourceType.Cluster, "3", Resources.Static("c"), Resources.Static("d"));
        Assert.Null(Error(world));
        Assert.Equal(["c", "d", "xds-grpc"], world.Plane.Clusters.Keys);
    }

    [Fact]
    public void A_new_cluster_that_is_refused_may_be_taken_away_again()
    {
        World world = World.Live();
        world.Plane.Refuses = (k, _) => k == ConfigKind.Cluster ? "NARU-P104" : null;
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("c")));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("c", "10.0.0.1:80")));
        // Its verdict waited until it could be tried.
        Assert.StartsWith("1 of 1 resources refused: c\n", Error(world), StringComparison.Ordinal);
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        Assert.Null(Error(world));
        Assert.DoesNotContain(world.Dump().Resources, r => r.Name == "c");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_cluster_whose_successor_is_refused_still_hears_of_its_endpoints(bool delta)
    {
        World world = Serving(delta);
        world.Plane.Refuses = (k, _) => k == ConfigKind.Cluster ? "NARU-P104" : null;
        Say(world, delta, ResourceType.Cluster, "2", ClusterOf(service: "elsewhere"));
        IMessage[] both = [Resources.Endpoints("elsewhere", "10.9.9.9:80"), Resources.Endpoints("c", "10.0.0.2:80")];
        Say(world, delta, ResourceType.Endpoints, "2", both);
        Assert.Equal("10.0.0.2:80", world.Plane.Addresses("c"));
        Say(world, delta, ResourceType.Endpoints, "3", Resources.Endpoints("c", "10.0.0.3:80"));
        Assert.Equal("10.0.0.3:80", world.Plane.Addresses("c"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_whose_successor_is_refused_keeps_its_routes_its_filter_and_their_clusters(bool delta)
    {
        World world = Serving(delta);
        world.Plane.Unbindable.Add("l");
        if (delta) world.Say(s => s.Delta(ResourceType.Cluster, "2", [Resources.Static("d")], "c"));
        else world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("d")));
        Say(world, delta, ResourceType.Listener, "2", ListenerOf("other", filter: false));
        Say(world, delta, ResourceType.Route, "2", RoutesOf("other", "d"));
        Assert.Contains("r", world.Plane.Routes.Keys);
        Assert.Contains("c", world.Plane.Clusters.Keys);
        Assert.DoesNotContain(world.Plane.Changes, c => !c.RemovedFilters.IsEmpty);
        Say(world, delta, ResourceType.Route, "3", RoutesOf("r", "d"));
        Assert.Equal(["d"], Resources.TargetsOf(world.Plane.Routes["r"]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Who_replaces_another_one_waits_on_where_the_secret_that_it_names_is_refused(bool delta)
    {
        World world = Serving(delta);
        world.Plane.Unusable.Add("new");
        Say(world, delta, ResourceType.Cluster, "2", ClusterOf(secret: "new", timeout: 9));
        Say(world, delta, ResourceType.Listener, "2", ListenerOf(secret: "new"));
        Say(world, delta, ResourceType.Secret, "2", SecretOf("new"));
        Assert.StartsWith("1 of 1 resources refused: new\n", Error(world), StringComparison.Ordinal);
        Assert.Equal(TimeSpan.FromSeconds(1), world.Plane.Clusters["c"].ConnectTimeout);
        Assert.Equal("tls", world.Plane.Listeners["l"].SecretReferences.Single().Name);
        world.Plane.Unusable.Clear();
        Say(world, delta, ResourceType.Secret, "3", SecretOf("new"));
        Assert.Null(Error(world));
        Assert.Equal(TimeSpan.FromSeconds(9), world.Plane.Clusters["c"].ConnectTimeout);
        Assert.Equal("new", world.Plane.Listeners["l"].SecretReferences.Single().Name);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_that_replaces_another_one_waits_on_where_the_routes_that_it_names_are_refused(bool delta)
    {
        World world = Serving(delta);
        world.Plane.Refuses = (k, n) => k == ConfigKind.RouteConfiguration && n == "other" ? "NARU-P108" : null;
        Say(world, delta, ResourceType.Listener, "2", ListenerOf("other", secret: "tls"));
        Say(world, delta, ResourceType.Route, "2", RoutesOf("other"));
        Assert.Equal("r", world.Plane.Listeners["l"].HttpManagers.Single().RouteConfigName);
        world.Plane.Refuses = (_, _) => null;
        Say(world, delta, ResourceType.Route, "3", RoutesOf("other"));
        Assert.Equal("other", world.Plane.Listeners["l"].HttpManagers.Single().RouteConfigName);
    }

    [Fact]
    public void What_is_refused_counts_as_refused()
    {
        World world = Serving(delta: false);
        world.Plane.Refuses = (_, _) => "NARU-P104";
        foreach (ConfigKind kind in System.Enum.GetValues<ConfigKind>())
        {
            (ResourceType type, _, IMessage next, _) = Of(kind);
            Say(world, delta: false, type, "2", next);
        }
        Assert.Equal((1, 1), (world.Stat("sds.tls", "update_rejected"), world.Stat("sds.tls", "update_success")));
        Assert.Equal((1, 1), (world.Stat("http.s.rds.r", "update_rejected"), world.Stat("http.s.rds.r", "update_success")));
        const string Filter = "extension_config_discovery.http_filter.own";
        Assert.Equal((1, 1), (world.Stat(Filter, "config_fail"), world.Stat(Filter, "config_reload")));
        Assert.Equal((1, 1), (world.Stat("cluster_manager.cds", "update_rejected"), world.Stat("listener_manager.lds", "update_rejected")));
    }

    [Fact]
    public void A_static_cluster_or_secret_that_cannot_be_used_has_failed()
    {
        var world = new World(change: b => b with { Secrets = [new SecretConfig("own") { Certificate = new TlsCertificateConfig() }] });
        world.Plane.Refuses = (k, _) => k is ConfigKind.Cluster or ConfigKind.Secret ? "NARU-P104" : null;
        world.Start();
        Assert.All(world.Dump().Resources.Where(r => r.IsStatic), r => Assert.Equal(ResourceState.Failed, r.State));
        Assert.Equal(2, world.Dump().Resources.Count(r => r.IsStatic));
    }

    [Fact]
    public void A_fault_of_ours_in_an_update_is_said_to_whoever_sent_it_and_later_ones_are_heard()
    {
        World world = new World(decoder: (type, bytes, found) =>
            ResourceTypes.PeekName(bytes) == "boom"
                ? throw new InvalidOperationException("unheard of")
                : Resources.Decode(type, bytes, found)).Start();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("boom")));
        Assert.Contains("NARU-X112", Error(world), StringComparison.Ordinal);
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("a")));
        IMessage last = world.Stream.Requests.Last(r => World.Tell(r).StartsWith("CDS", StringComparison.Ordinal));
        Assert.Null(((DiscoveryRequest)last).ErrorDetail);
        Assert.Contains("a", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void An_update_that_waited_when_its_cluster_was_removed_is_made_when_it_comes_back()
    {
        World world = WarmingTests.WithListener();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a", service: "elsewhere")));
        world.Say(s => s.State(ResourceType.Cluster, "3"));
        world.Say(s => s.State(ResourceType.Cluster, "4", Resources.Eds("a", service: "elsewhere")));
        world.Say(s => s.State(ResourceType.Endpoints, "4", Resources.Endpoints("elsewhere", "10.9.9.9:80")));
        Assert.Equal("elsewhere", world.Plane.Clusters["a"].EdsServiceName);
        world.Wait(100);
        Assert.Equal("elsewhere", world.Plane.Clusters["a"].EdsServiceName);
    }

    [Fact]
    public async Task A_look_up_that_ends_in_a_way_nobody_thought_of_is_a_failure_and_not_the_last_one()
    {
        World world = World.Live();
        world.Names["name"] = ["this is no address"];
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Named("a", "name")));
        await world.UntilAsync(() => world.Stat("cluster.a", "update_failure") == 1, "a failure");
        world.Names["name"] = ["10.0.0.1"];
        await world.UntilAsync(
            () =>
            {
                world.Wait(5);
                return world.Plane.Addresses("a") == "10.0.0.1:80";
            },
            "the next look-up");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_secret_that_nobody_names_any_more_is_taken_from_the_data_plane(bool delta)
    {
        World world = Serving(delta);
        Say(world, delta, ResourceType.Listener, "2", ListenerOf());
        Assert.Equal(["tls"], world.Plane.Changes.SelectMany(c => c.RemovedSecrets));
        // It may come again.
        Say(world, delta, ResourceType.Listener, "3", ListenerOf(secret: "tls"));
        Assert.Empty(world.Plane.Listeners["l"].SecretReferences);
        Say(world, delta, ResourceType.Secret, "3", SecretOf("tls"));
        Assert.Equal("tls", world.Plane.Listeners["l"].SecretReferences.Single().Name);
        Assert.Single(world.Plane.Changes.SelectMany(c => c.RemovedSecrets));
    }
}

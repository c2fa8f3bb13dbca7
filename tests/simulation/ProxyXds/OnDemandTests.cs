// Virtual hosts on demand (VHDS), scopes of routes (SRDS) and layers of the runtime (RTDS), as the store and the streams see them. Resources are read by
// the readers of production.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class OnDemandTests
{
    private static World Live(bool delta = false, Func<BootstrapConfig, BootstrapConfig>? change = null)
    {
        World world = new World(delta, change, decoder: EnvoyResources.Decode).Start();
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "c", Resources.Static("one")));
        world.Heard();
        return world;
    }

    internal static Rds TableOf(string name) => new() { RouteConfigName = name, ConfigSource = Ads };

    internal static Listener Front(string name, Action<HttpConnectionManager> routes)
    {
        var manager = new HttpConnectionManager
        {
            StatPrefix = "in",
            HttpFilters = { new HttpFilter { Name = "envoy.filters.http.router", TypedConfig = Any.Pack(new Router()) } },
        };
        routes(manager);
        return new Listener
        {
            Name = name,
            Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = 8080 } },
            FilterChains = { new FilterChain { Filters = { new Envoy.Config.Listener.V3.Filter { Name = "hcm", TypedConfig = Any.Pack(manager) } } } },
        };
    }

    private static ConfigSource Ads => new() { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 };

    private static ConfigSource Own(ApiConfigSource.Types.ApiType type) => new()
    {
        ResourceApiVersion = ApiVersion.V3,
        ApiConfigSource = new ApiConfigSource
        {
            ApiType = type,
            TransportApiVersion = ApiVersion.V3,
            SetNodeOnFirstMessageOnly = true,
            GrpcServices = { new GrpcService { EnvoyGrpc = new GrpcService.Types.EnvoyGrpc { ClusterName = "xds-grpc" } } },
        },
    };

    private static Listener WithRds => Front("front", m => m.Rds = TableOf("table"));

    private static VirtualHost Host(string host, string name = "", string cluster = "one") => new()
    {
        Name = name.Length > 0 ? name : "table/" + host,
        Domains = { host },
        Routes = { new Route { Match = new RouteMatch { Prefix = "/" }, Route_ = new RouteAction { Cluster = cluster } } },
    };

    private static RouteConfiguration Table(params VirtualHost[] hosts) => new()
    {
        Name = "table",
        VirtualHosts = { hosts },
        Vhds = new Vhds { ConfigSource = Own(ApiConfigSource.Types.ApiType.DeltaGrpc) },
    };

    private static (World World, MemoryStream Ads, MemoryStream Hosts) Demanding(params VirtualHost[] hosts)
    {
        World world = Live();
        MemoryStream ads = world.Stream;
        ads.State(ResourceType.Listener, "l", WithRds);
        world.Main.Drain();
        ads.State(ResourceType.Route, "r", Table(hosts));
        world.Main.Drain();
        Assert.True(world.IsLive);
        Assert.NotSame(ads, world.Stream);
        return (world, ads, world.Stream);
    }

    private static void Want(World world, params string[] hosts)
    {
        foreach (string host in hosts) world.Manager.WantHost("table", host);
        world.Main.Drain();
    }

    private static IEnumerable<string> Answered(World world) => world.Plane.Changes.SelectMany(c => c.AnsweredHosts).Select(h => h.Host);

    private static string[] DomainsOf(World world) => [.. world.Plane.Routes["table"].VirtualHosts.SelectMany(h => h.Domains).Order(StringComparer.Ordinal)];

    [Fact]
    public void The_stream_of_virtual_hosts_begins_with_the_table_and_asks_for_none_before_a_request_does()
    {
        (World world, MemoryStream _, MemoryStream hosts) = Demanding();
        Assert.Equal("envoy.service.route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts", $"{hosts.Method.Service}/{hosts.Method.Name}");
        Assert.Equal("VHDS node", world.Heard());
        Want(world, "shop.example", "shop.example");
        Assert.Equal("VHDS +table/shop.example", world.Heard());
        Assert.Empty(Answered(world));
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [Host("shop.example")]));
        Assert.Equal("VHDS ACK=n-1", world.Heard());
        Assert.Equal(["shop.example"], DomainsOf(world));
        Assert.Equal(["shop.example"], Answered(world));
        // A change of it comes unasked.
        world.Say(s => s.Delta(ResourceType.VirtualHost, "2", [Host("shop.example", cluster: "two")]));
        Assert.Equal(["two"], Resources.TargetsOf(world.Plane.Routes["table"]));
    }

    [Fact]
    public void A_host_that_is_not_there_is_answered_and_may_be_asked_for_again()
    {
        (World world, MemoryStream _, MemoryStream hosts) = Demanding();
        Want(world, "no.example", "gone.example");
        world.Heard();
        var none = new DeltaDiscoveryResponse { TypeUrl = ResourceType.VirtualHost.Url(), Nonce = "n-1" };
        none.Resources.Add(new Resource { Name = "table/no.example" });
        none.RemovedResources.Add("table/gone.example");
        world.Say(s => s.Raw(none));
        Assert.Equal(["gone.example", "no.example"], Answered(world).Order(StringComparer.Ordinal));
        Assert.Equal("VHDS -table/gone.example -table/no.example ACK=n-1", world.Heard());
        Want(world, "no.example");
        Assert.Equal("VHDS +table/no.example", world.Heard());
    }

    [Fact]
    public void A_server_that_says_nothing_holds_requests_for_a_time_only()
    {
        (World world, MemoryStream _, MemoryStream _) = Demanding();
        Want(world, "slow.example");
        world.Wait(14.9);
        Assert.Empty(Answered(world));
        world.Wait(0.2);
        Assert.Equal(["slow.example"], Answered(world));
    }

    [Fact]
    public void An_alias_answers_whoever_asked_for_it()
    {
        (World world, MemoryStream _, MemoryStream _) = Demanding();
        Want(world, "a.example", "b.example");
        var response = new DeltaDiscoveryResponse { TypeUrl = ResourceType.VirtualHost.Url(), Nonce = "n-1" };
        VirtualHost shared = Host("a.example", "shared");
        shared.Domains.Add("b.example");
        response.Resources.Add(new Resource { Name = "table/shared", Version = "1", Aliases = { "table/a.example", "table/b.example" }, Resource_ = MemoryStream.Pack(shared) });
        world.Say(s => s.Raw(response));
        Assert.Equal(["a.example", "b.example"], DomainsOf(world));
        Assert.Equal(["a.example", "b.example"], Answered(world).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_bad_host_is_refused_and_the_table_goes_on()
    {
        (World world, MemoryStream _, MemoryStream _) = Demanding(Host("fixed.example", "fixed"));
        Want(world, "x.example", "y.example");
        world.Heard();
        VirtualHost taken = Host("x.example");
        taken.Domains.Add("fixed.example");
        VirtualHost broken = Host("y.example");
        broken.Routes[0].Match = null;
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [taken, broken]));
        Assert.Contains("NACK=n-1", world.Heard(), StringComparison.Ordinal);
        Assert.Equal(["fixed.example"], DomainsOf(world));
        Assert.Equal(2, Answered(world).Count());
    }

    [Fact]
    public void A_flood_of_hosts_that_nobody_has_keeps_what_is_asked_for_bounded()
    {
        (World world, MemoryStream _, MemoryStream _) = Demanding();
        Want(world, [.. Enumerable.Range(0, 50_000).Select(i => $"h{i}.example")]);
        IMessage[] requests = [.. world.Stream.Heard()];
        Assert.Equal(XdsManager.MostHostsAsked, requests.Cast<DeltaDiscoveryRequest>().Sum(r => r.ResourceNamesSubscribe.Count));
        Assert.Equal(50_000 - XdsManager.MostHostsAsked, Answered(world).Count());
        world.Wait(15.1);
        Assert.Equal(50_000, Answered(world).Count());
        Assert.Equal(XdsManager.MostHostsAsked, world.Stream.Heard().Cast<DeltaDiscoveryRequest>().Sum(r => r.ResourceNamesUnsubscribe.Count));
        Want(world, "real.example");
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [Host("real.example")]));
        Assert.Equal(["real.example"], DomainsOf(world));
    }

    [Fact]
    public void Hosts_that_nobody_asked_for_or_of_other_tables_are_none_of_ours()
    {
        (World world, MemoryStream _, MemoryStream _) = Demanding();
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [Host("x.example", "elsewhere/x.example")]));
        Assert.Empty(DomainsOf(world));
        Assert.Equal("VHDS node; VHDS ACK=n-1", world.Heard());
    }

    [Fact]
    public void A_host_that_is_taken_away_leaves_the_table_and_the_stream_tells_what_it_has_when_it_begins_anew()
    {
        (World world, MemoryStream _, MemoryStream hosts) = Demanding();
        Want(world, "a.example", "b.example");
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [Host("a.example"), Host("b.example")]));
        world.Say(s => s.Delta(ResourceType.VirtualHost, "2", [], "table/a.example"));
        Assert.Equal(["b.example"], DomainsOf(world));
        hosts.Break();
        world.Main.Drain();
        world.Wait(1);
        Assert.Equal("VHDS node +table/b.example has table/b.example@1", world.Heard());
    }

    [Fact]
    public void A_newer_table_keeps_its_hosts_and_one_without_vhds_has_none()
    {
        (World world, MemoryStream ads, MemoryStream hosts) = Demanding();
        Want(world, "a.example");
        world.Say(s => s.Delta(ResourceType.VirtualHost, "1", [Host("a.example")]));
        ads.State(ResourceType.Route, "r2", Table(Host("fixed.example", "fixed")));
        world.Main.Drain();
        Assert.Equal(["a.example", "fixed.example"], DomainsOf(world));
        ads.State(ResourceType.Route, "r3", new RouteConfiguration { Name = "table", VirtualHosts = { Host("fixed.example", "fixed") } });
        world.Main.Drain();
        Assert.Equal(["fixed.example"], DomainsOf(world));
        Assert.True(hosts.IsClosed);
    }

    [Fact]
    public void Virtual_hosts_over_an_aggregated_stream_of_the_state_of_the_world_are_refused_by_name()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "l", WithRds));
        RouteConfiguration table = Table();
        table.Vhds.ConfigSource = Ads;
        world.Say(s => s.State(ResourceType.Route, "r", table));
        var refused = (DiscoveryRequest)world.Stream.Requests[^1];
        Assert.Contains("NARU-X114", refused.ErrorDetail.Message, StringComparison.Ordinal);
    }

    private static Listener Scoped => Front("front", m => m.ScopedRoutes = new ScopedRoutes
    {
        Name = "scopes",
        RdsConfigSource = Ads,
        ScopedRds = new ScopedRds { ScopedRdsConfigSource = Ads },
        ScopeKeyBuilder = new ScopedRoutes.Types.ScopeKeyBuilder
        {
            Fragments =
            {
                new ScopedRoutes.Types.ScopeKeyBuilder.Types.FragmentBuilder
                {
                    HeaderValueExtractor = new ScopedRoutes.Types.ScopeKeyBuilder.Types.FragmentBuilder.Types.HeaderValueExtractor { Name = "x-tenant", Index = 0 },
                },
            },
        },
    });

    private static ScopedRouteConfiguration Scope(string name, string table, params string[] key)
    {
        var scope = new ScopedRouteConfiguration { Name = name, RouteConfigurationName = table, Key = new ScopedRouteConfiguration.Types.Key() };
        scope.Key.Fragments.AddRange(key.Select(k => new ScopedRouteConfiguration.Types.Key.Types.Fragment { StringKey = k }));
        return scope;
    }

    private static RouteConfiguration Named(string name) => new() { Name = name, VirtualHosts = { Host("*", "all") } };

    private static string ScopesOf(World world) => string.Join(" ", world.Plane.Changes.Last(c => c.Scopes is not null).Scopes!.Value.Select(s => $"{s.JoinedKey}={s.Table}"));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_opens_when_its_scopes_and_their_tables_are_here(bool delta)
    {
        World world = Live(delta);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Listener, "l", Scoped));
        Assert.Contains("SRDS", world.Heard(), StringComparison.Ordinal);
        Assert.False(world.IsLive);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Scope, "s", Scope("red", "t-red", "r"), Scope("blue", "t-blue", "b")));
        Assert.Contains("t-blue", world.Heard(), StringComparison.Ordinal);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Route, "r", Named("t-red")));
        Assert.False(world.IsLive);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Route, "r2", Named("t-blue")));
        Assert.True(world.IsLive);
        Assert.Equal("r=t-red b=t-blue", ScopesOf(world));
    }

    [Fact]
    public void A_scope_that_changes_its_table_waits_for_it_and_one_that_is_left_out_goes()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "l", Scoped));
        world.Say(s => s.State(ResourceType.Scope, "1", Scope("red", "t-red", "r"), Scope("blue", "t-red", "b")));
        world.Say(s => s.State(ResourceType.Route, "1", Named("t-red")));
        world.Say(s => s.State(ResourceType.Scope, "2", Scope("red", "t-new", "r")));
        Assert.Equal("r=t-red", ScopesOf(world));
        world.Say(s => s.State(ResourceType.Route, "2", Named("t-new")));
        Assert.Equal("r=t-new", ScopesOf(world));
        Assert.Equal(["t-new"], world.Plane.Routes.Keys);
    }

    [Fact]
    public void Keys_that_two_scopes_have_or_that_do_not_fit_are_refused_and_keys_may_change_hands()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "l", Scoped));
        world.Say(s => s.State(ResourceType.Scope, "1", Scope("red", "t", "r"), Scope("blue", "t", "b")));
        world.Say(s => s.State(ResourceType.Route, "1", Named("t")));
        world.Say(s => s.State(ResourceType.Scope, "2", Scope("red", "t", "b"), Scope("blue", "t", "r")));
        Assert.Equal("b=t r=t", ScopesOf(world));
        world.Heard();
        world.Say(s => s.State(ResourceType.Scope, "3", Scope("red", "t", "b"), Scope("blue", "t", "r"), Scope("twin", "t", "r"), Scope("long", "t", "x", "y")));
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        string why = ((DiscoveryRequest)world.Stream.Requests[^1]).ErrorDetail.Message;
        Assert.Contains("twin", why, StringComparison.Ordinal);
        Assert.Contains("long", why, StringComparison.Ordinal);
        Assert.Equal("b=t r=t", ScopesOf(world));
    }

    private static Envoy.Service.Runtime.V3.Runtime Layer(string name, params (string Key, double Value)[] values)
    {
        var layer = new Struct();
        foreach ((string key, double value) in values) layer.Fields[key] = Value.ForNumber(value);
        return new Envoy.Service.Runtime.V3.Runtime { Name = name, Layer = layer };
    }

    private static World WithLayer(bool delta, bool isLive = false)
    {
        World world = new World(delta, b => b with
        {
            Cds = null,
            Lds = null,
            Runtime =
            [
                new RuntimeLayerConfig("base", RuntimeLayerConfig.None.Add("k", new RuntimeValue("1"))),
                new RuntimeLayerConfig("far", RuntimeLayerConfig.None) { Resource = "knobs", Source = new ConfigSourceConfig(ConfigSourceKind.Ads) },
            ],
        }, decoder: EnvoyResources.Decode).Start();
        if (isLive) world.Say(s => StreamTests.Send(s, delta, ResourceType.Runtime, "1", Layer("knobs", ("k", 2))));
        return world;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_layer_of_the_runtime_comes_before_all_else_and_may_be_emptied(bool delta)
    {
        World world = WithLayer(delta);
        Assert.Equal(delta ? "RTDS node +knobs" : "RTDS node knobs", world.Heard());
        Assert.False(world.IsLive);
        RuntimeSlot slot = world.Runtime.Slot("k");
        Assert.Equal(1ul, slot.Integer(0));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Runtime, "1", Layer("knobs", ("k", 2))));
        Assert.True(world.IsLive);
        Assert.Equal(2ul, slot.Integer(0));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Runtime, "2", Layer("knobs")));
        Assert.Equal(1ul, slot.Integer(0));
        if (!delta) return;
        world.Say(s => s.Delta(ResourceType.Runtime, "3", [Layer("knobs", ("k", 3))]));
        world.Say(s => s.Delta(ResourceType.Runtime, "4", [], "knobs"));
        Assert.Equal(1ul, slot.Integer(0));
    }

    [Fact]
    public void A_layer_that_cannot_be_read_leaves_the_last_good_one_and_one_that_never_comes_holds_nothing_up_for_ever()
    {
        World world = WithLayer(delta: false, isLive: true);
        var bad = new Envoy.Service.Runtime.V3.Runtime { Name = "knobs", Layer = new Struct { Fields = { ["k"] = Value.ForList(Value.ForNumber(1)) } } };
        world.Heard();
        world.Say(s => s.State(ResourceType.Runtime, "2", bad));
        Assert.Contains("NACK=n-2", world.Heard(), StringComparison.Ordinal);
        Assert.Equal(2ul, world.Runtime.Slot("k").Integer(0));
        World late = WithLayer(delta: false);
        late.Wait(15.1);
        Assert.True(late.IsLive);
        late.Say(s => s.State(ResourceType.Runtime, "1", Layer("knobs", ("k", 7))));
        Assert.Equal(7ul, late.Runtime.Slot("k").Integer(0));
    }
}

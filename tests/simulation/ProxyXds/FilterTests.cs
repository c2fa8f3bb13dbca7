// ECDS: a listener waits for the filters it names, a newer configuration goes alone, and one that never comes holds nobody up for ever.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Cors.V3;
using Envoy.Extensions.Filters.Http.HeaderMutation.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class FilterTests
{
    private static readonly string s_mutation = "type.googleapis.com/" + HeaderMutation.Descriptor.FullName;

    private static TypedExtensionConfig Filter(string name, IMessage? message = null) =>
        new() { Name = name, TypedConfig = Any.Pack(message ?? new HeaderMutation()) };

    private static HeaderMutation Wins { get; } = new() { MostSpecificHeaderMutationsWins = true };

    private static Listener Listener(uint port, string filter, bool atOnce = false, IMessage? standard = null) => new()
    {
        Name = "l",
        Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = port } },
        FilterChains =
        {
            new FilterChain
            {
                Filters =
                {
                    new Envoy.Config.Listener.V3.Filter
                    {
                        Name = "hcm",
                        TypedConfig = Any.Pack(new HttpConnectionManager
                        {
                            StatPrefix = "s",
                            RouteConfig = new RouteConfiguration(),
                            HttpFilters =
                            {
                                new HttpFilter
                                {
                                    Name = filter,
                                    ConfigDiscovery = new ExtensionConfigSource
                                    {
                                        ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 },
                                        TypeUrls = { s_mutation },
                                        ApplyDefaultConfigWithoutWarming = atOnce,
                                        DefaultConfig = standard is null ? null : Any.Pack(standard),
                                    },
                                },
                                new HttpFilter { Name = "r", TypedConfig = Any.Pack(new Envoy.Extensions.Filters.Http.Router.V3.Router()) },
                            },
                        }),
                    },
                },
            },
        },
    };

    private static void Say(World world, bool delta, ResourceType type, string version, params IMessage[] resources) => world.Say(s =>
    {
        if (delta) s.Delta(type, version, resources);
        else s.State(type, version, resources);
    });

    private static World Live(bool delta = false)
    {
        World world = new World(delta, null, EnvoyResources.ReadFile, EnvoyResources.Decode).Start();
        Say(world, delta, ResourceType.Cluster, "c0");
        Say(world, delta, ResourceType.Listener, "l0");
        Assert.True(world.IsLive);
        world.Stream.Heard();
        return world;
    }

    private const string Stats = "extension_config_discovery.http_filter.own";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_waits_for_its_filter_and_a_newer_configuration_goes_alone(bool delta)
    {
        World world = Live(delta);
        Say(world, delta, ResourceType.Listener, "1", Listener(80, "own"));
        Assert.Contains("ECDS", world.Heard(), StringComparison.Ordinal);
        Assert.DoesNotContain("l", world.Plane.Listeners.Keys);
        Say(world, delta, ResourceType.Filter, "1", Filter("own"));
        Assert.Contains("l", world.Plane.Listeners.Keys);
        Assert.Equal(("own", "l"), (world.Plane.Changes[^1].Filters.Single().Name, world.Plane.Changes[^1].Listeners.Single().Name));
        Say(world, delta, ResourceType.Filter, "2", Filter("own", Wins));
        ConfigChange newer = world.Plane.Changes[^1];
        Assert.True(newer.Filters.Length == 1 && newer.Listeners.IsEmpty && newer.Clusters.IsEmpty);
        int changes = world.Plane.Changes.Count;
        Say(world, delta, ResourceType.Filter, "3", Filter("own", Wins));
        Assert.Equal(changes, world.Plane.Changes.Count);
        Assert.Equal((2, 0), (world.Stat(Stats, "config_reload"), world.Stat(Stats, "config_fail")));
    }

    [Fact]
    public void A_type_that_was_not_named_is_refused_and_the_last_good_one_stays()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "1", Listener(80, "own")));
        world.Say(s => s.State(ResourceType.Filter, "1", Filter("own")));
        int changes = world.Plane.Changes.Count;
        world.Heard();
        world.Say(s => s.State(ResourceType.Filter, "2", Filter("own", new Cors())));
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        Assert.Equal((changes, 1), (world.Plane.Changes.Count, world.Stat(Stats, "config_fail")));
        ResourceDump filter = world.Dump().Resources.Single(r => r.Type == ResourceType.Filter);
        Assert.Contains("NARU-X108", filter.Failure!.Details, StringComparison.Ordinal);
    }

    [Fact]
    public void What_never_comes_holds_a_listener_for_its_time_and_no_longer()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "1", Listener(80, "own")));
        world.Wait(14.9);
        Assert.DoesNotContain("l", world.Plane.Listeners.Keys);
        world.Wait(0.2);
        Assert.Contains("l", world.Plane.Listeners.Keys);
        Assert.Equal(1, world.Stat(Stats, "init_fetch_timeout"));
        world.Say(s => s.State(ResourceType.Filter, "1", Filter("own")));
        Assert.Equal("own", world.Plane.Changes[^1].Filters.Single().Name);
    }

    [Fact]
    public void A_default_that_holds_at_once_is_not_waited_for()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "1", Listener(80, "own", atOnce: true, new HeaderMutation())));
        HttpFilterConfig filter = world.Plane.Listeners["l"].HttpManagers.Single().HttpFilters.Single();
        Assert.Equal("envoy.filters.http.header_mutation", filter.Extension!.Name);
        Assert.True(filter.Discovery!.WithoutWarming);
    }

    [Fact]
    public void What_nobody_names_any_more_is_forgotten()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Listener, "1", Listener(80, "own")));
        world.Say(s => s.State(ResourceType.Filter, "1", Filter("own")));
        world.Say(s => s.State(ResourceType.Listener, "2"));
        Assert.Equal(["own"], world.Plane.Changes[^1].RemovedFilters);
        Assert.DoesNotContain(world.Dump().Resources, r => r.Type == ResourceType.Filter);
    }
}

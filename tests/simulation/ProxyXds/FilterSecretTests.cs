// Secrets that filters name (generic_secret) by SDS: a listener waits for them, a newer one goes alone, and what discovery brings asks for its own.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.CredentialInjector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Http.InjectedCredentials.Generic.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class FilterSecretTests
{
    private static ConfigSource Ads => new() { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 };

    private static Secret Text(string text) => new() { Name = "key", GenericSecret = new GenericSecret { Secret = new DataSource { InlineString = text } } };

    private static CredentialInjector Injector(bool isStatic = false) => new()
    {
        Credential = new TypedExtensionConfig
        {
            Name = "generic",
            TypedConfig = Any.Pack(new Generic { Credential = new SdsSecretConfig { Name = "key", SdsConfig = isStatic ? null : Ads } }),
        },
    };

    private static Listener Listener(HttpFilter filter) => new()
    {
        Name = "l",
        Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = 8080 } },
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
                            HttpFilters = { filter, new HttpFilter { Name = "r", TypedConfig = Any.Pack(new Envoy.Extensions.Filters.Http.Router.V3.Router()) } },
                        }),
                    },
                },
            },
        },
    };

    private static HttpFilter Written(bool isStatic = false) => new() { Name = "own", TypedConfig = Any.Pack(Injector(isStatic)) };

    private static HttpFilter Discovered => new()
    {
        Name = "own",
        ConfigDiscovery = new ExtensionConfigSource { ConfigSource = Ads, TypeUrls = { "type.googleapis.com/" + CredentialInjector.Descriptor.FullName } },
    };

    private static void Say(World world, bool delta, ResourceType type, string version, params IMessage[] resources) => world.Say(s =>
    {
        if (delta) s.Delta(type, version, resources);
        else s.State(type, version, resources);
    });

    private static World Live(bool delta)
    {
        World world = new World(delta, null, EnvoyResources.ReadFile, EnvoyResources.Decode).Start();
        Say(world, delta, ResourceType.Cluster, "c0");
        Say(world, delta, ResourceType.Listener, "l0");
        Assert.True(world.IsLive);
        world.Stream.Heard();
        return world;
    }

    private static string Held(World world) =>
        System.Text.Encoding.UTF8.GetString([.. world.Plane.Changes.SelectMany(c => c.Secrets).Last().Generic!.Inline]);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_waits_for_the_secret_that_its_filter_names_and_a_newer_one_goes_alone(bool delta)
    {
        World world = Live(delta);
        Say(world, delta, ResourceType.Listener, "1", Listener(Written()));
        Assert.Contains("SDS", world.Heard(), StringComparison.Ordinal);
        Assert.DoesNotContain("l", world.Plane.Listeners.Keys);
        Say(world, delta, ResourceType.Secret, "1", Text("one"));
        Assert.Contains("l", world.Plane.Listeners.Keys);
        Assert.Equal("one", Held(world));
        Say(world, delta, ResourceType.Secret, "2", Text("two"));
        Assert.Equal("two", Held(world));
        Assert.Empty(world.Plane.Changes[^1].Listeners);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_filter_that_discovery_brings_asks_for_its_secret(bool delta)
    {
        World world = Live(delta);
        Say(world, delta, ResourceType.Listener, "1", Listener(Discovered));
        world.Stream.Heard();
        Say(world, delta, ResourceType.Filter, "1", new TypedExtensionConfig { Name = "own", TypedConfig = Any.Pack(Injector()) });
        Assert.Contains("l", world.Plane.Listeners.Keys);
        Say(world, delta, ResourceType.Secret, "1", Text("one"));
        Assert.Equal("one", Held(world));
    }

    [Fact]
    public void A_filter_that_names_a_secret_that_the_bootstrap_lacks_is_refused()
    {
        World world = Live(delta: false);
        Say(world, false, ResourceType.Listener, "1", Listener(Written(isStatic: true)));
        Assert.DoesNotContain("l", world.Plane.Listeners.Keys);
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
    }
}

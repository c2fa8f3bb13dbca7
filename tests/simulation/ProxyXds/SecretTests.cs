// SDS: whoever names a secret waits for it, a newer one goes alone, and one that never comes holds nobody up for ever.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class SecretTests
{
    private static ConfigSource Ads => new() { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 };

    private static Secret Certificate(string name, string chain = "CHAIN") => new()
    {
        Name = name,
        TlsCertificate = new TlsCertificate { CertificateChain = new DataSource { InlineString = chain }, PrivateKey = new DataSource { InlineString = "KEY" } },
    };

    private static CommonTlsContext Context(string name, ConfigSource? source) => new() { TlsCertificateSdsSecretConfigs = { new SdsSecretConfig { Name = name, SdsConfig = source } } };

    private static Cluster Cluster(string name, string secret, ConfigSource? source, double timeout = 1)
    {
        Cluster cluster = Resources.Static(name, timeout: timeout);
        cluster.TransportSocket = new TransportSocket { Name = "tls", TypedConfig = Any.Pack(new UpstreamTlsContext { CommonTlsContext = Context(secret, source) }) };
        return cluster;
    }

    private static Listener Listener(string name, string secret, ConfigSource? source) => new()
    {
        Name = name,
        Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = 8443 } },
        FilterChains =
        {
            new FilterChain
            {
                Filters = { new Envoy.Config.Listener.V3.Filter { Name = "envoy.filters.network.echo" } },
                TransportSocket = new TransportSocket { Name = "tls", TypedConfig = Any.Pack(new DownstreamTlsContext { CommonTlsContext = Context(secret, source) }) },
            },
        },
    };

    private static World Live(bool delta = false, Func<BootstrapConfig, BootstrapConfig>? change = null)
    {
        World world = new World(delta, change, EnvoyResources.ReadFile, EnvoyResources.Decode).Start();
        world.Say(s => { if (delta) s.Delta(ResourceType.Cluster, "c0", []); else s.State(ResourceType.Cluster, "c0"); });
        world.Say(s => { if (delta) s.Delta(ResourceType.Listener, "l0", []); else s.State(ResourceType.Listener, "l0"); });
        Assert.True(world.IsLive);
        world.Stream.Heard();
        return world;
    }

    [Fact]
    public void A_cluster_waits_for_the_secret_it_names_and_comes_with_it()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", Ads)));
        Assert.Contains("SDS own", world.Heard(), StringComparison.Ordinal);
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own")));
        ConfigChange change = world.Plane.Changes[^1];
        Assert.Equal(("a", "own"), (change.Clusters.Single().Name, change.Secrets.Single().Name));
        Assert.Equal(1, world.Stat("sds.own", "update_success"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_listener_waits_for_its_secret_and_a_newer_one_goes_alone(bool delta)
    {
        World world = Live(delta);
        world.Say(s => { if (delta) s.Delta(ResourceType.Listener, "1", [Listener("l", "own", Ads)]); else s.State(ResourceType.Listener, "1", Listener("l", "own", Ads)); });
        Assert.DoesNotContain("l", world.Plane.Listeners.Keys);
        world.Say(s => { if (delta) s.Delta(ResourceType.Secret, "1", [Certificate("own")]); else s.State(ResourceType.Secret, "1", Certificate("own")); });
        Assert.Contains("l", world.Plane.Listeners.Keys);
        world.Say(s => { if (delta) s.Delta(ResourceType.Secret, "2", [Certificate("own", "NEWER")]); else s.State(ResourceType.Secret, "2", Certificate("own", "NEWER")); });
        ConfigChange rotation = world.Plane.Changes[^1];
        Assert.Equal("NEWER"u8.ToArray(), rotation.Secrets.Single().Certificate!.Chain!.Inline);
        Assert.True(rotation.Listeners.IsEmpty && rotation.Clusters.IsEmpty);
        int changes = world.Plane.Changes.Count;
        world.Say(s => { if (delta) s.Delta(ResourceType.Secret, "3", [Certificate("own", "NEWER")]); else s.State(ResourceType.Secret, "3", Certificate("own", "NEWER")); });
        Assert.Equal(changes, world.Plane.Changes.Count);
    }

    [Fact]
    public void A_secret_that_never_comes_holds_a_new_cluster_for_its_time_and_an_update_for_ever()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "never", Ads)));
        world.Wait(14.9);
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
        world.Wait(0.2);
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.Equal(1, world.Stat("sds.never", "init_fetch_timeout"));
        world.Say(s => s.State(ResourceType.Cluster, "2", Cluster("a", "neither", Ads, timeout: 9)));
        world.Wait(100);
        Assert.Equal(TimeSpan.FromSeconds(1), world.Plane.Clusters["a"].ConnectTimeout);
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("neither")));
        Assert.Equal(TimeSpan.FromSeconds(9), world.Plane.Clusters["a"].ConnectTimeout);
    }

    [Fact]
    public void A_secret_that_is_refused_is_told_by_name_and_the_last_good_one_stays()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", Ads)));
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own")));
        int changes = world.Plane.Changes.Count;
        var bad = new Secret { Name = "own", TlsCertificate = new TlsCertificate { CertificateChain = new DataSource { InlineString = "CHAIN" }, PrivateKey = new DataSource { Filename = "/there/is/nothing" } } };
        world.Heard();
        world.Say(s => s.State(ResourceType.Secret, "2", bad));
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        Assert.Equal(changes, world.Plane.Changes.Count);
        Assert.Equal(1, world.Stat("sds.own", "update_rejected"));
        Assert.Contains("private_key", world.Dump().Resources.Single(r => r.Type == ResourceType.Secret).Failure!.Details, StringComparison.Ordinal);
    }

    [Fact]
    public void A_secret_that_the_data_plane_cannot_use_is_a_NACK_and_counts_as_new_when_it_comes_again()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", Ads)));
        world.Plane.Unusable.Add("own");
        world.Heard();
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own")));
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        world.Plane.Unusable.Clear();
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own")));
        Assert.Single(world.Plane.Changes[^1].Secrets);
        Assert.Contains("ACK", world.Heard(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_secret_that_nobody_names_is_neither_taken_nor_asked_for()
    {
        World world = Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", Ads)));
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own"), Certificate("other")));
        Assert.Equal("own", Assert.Single(world.Plane.Changes.SelectMany(c => c.Secrets)).Name);
        world.Heard();
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        Assert.DoesNotContain("own", world.Heard(), StringComparison.Ordinal);
        Assert.DoesNotContain(world.Dump().Resources, r => r.Type == ResourceType.Secret);
    }

    [Fact]
    public void Static_secrets_stand_before_everything_and_cannot_be_replaced()
    {
        var own = new SecretConfig("own") { Certificate = new TlsCertificateConfig() };
        World world = Live(change: b => b with { Secrets = [own] });
        Assert.Equal("own", world.Plane.Changes[0].Secrets.Single().Name);
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", null), Cluster("b", "nothing", null)));
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.DoesNotContain("b", world.Plane.Clusters.Keys);
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        Assert.DoesNotContain("SDS", world.Heard(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_may_come_from_a_file_and_rotates_with_it()
    {
        string folder = Directory.CreateTempSubdirectory("naru-sds-").FullName;
        try
        {
            string path = Path.Combine(folder, "sds.yaml");
            string Text(string chain) => $"resources:\n- {{ \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: own, tls_certificate: {{ certificate_chain: {{ inline_string: {chain} }}, private_key: {{ inline_string: KEY }} }} }}\n";
            File.WriteAllText(path, Text("ONE"));
            World world = Live();
            world.Say(s => s.State(ResourceType.Listener, "1", Listener("l", "own", new ConfigSource { PathConfigSource = new PathConfigSource { Path = path } })));
            Assert.Contains("l", world.Plane.Listeners.Keys);
            Assert.DoesNotContain("SDS", world.Heard(), StringComparison.Ordinal);
            File.WriteAllText(path + ".new", Text("TWO"));
            File.Move(path + ".new", path, overwrite: true);
            await world.UntilAsync(
                () =>
                {
                    world.Wait(1);
                    return world.Plane.Changes[^1].Secrets is [{ Certificate.Chain.Inline: { } inline }] && inline.AsSpan().SequenceEqual("TWO"u8);
                },
                "the rotation");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_secret_with_a_service_of_its_own_is_asked_for_on_a_stream_of_its_own()
    {
        World world = Live();
        var source = new ConfigSource
        {
            ResourceApiVersion = ApiVersion.V3,
            ApiConfigSource = new ApiConfigSource
            {
                ApiType = ApiConfigSource.Types.ApiType.Grpc,
                TransportApiVersion = ApiVersion.V3,
                GrpcServices = { new GrpcService { EnvoyGrpc = new GrpcService.Types.EnvoyGrpc { ClusterName = "xds-grpc" } } },
            },
        };
        int streams = world.Wire.Streams.Count;
        world.Say(s => s.State(ResourceType.Cluster, "1", Cluster("a", "own", source)));
        Assert.Equal(streams + 1, world.Wire.Streams.Count);
        world.Say(s => s.Accept());
        Assert.Contains("SDS node own", world.Heard(), StringComparison.Ordinal);
        world.Say(s => s.State(ResourceType.Secret, "1", Certificate("own")));
        Assert.Contains("a", world.Plane.Clusters.Keys);
    }
}

// gRPC's own xDS clients refuse what they cannot use. Our translation makes nothing of that kind, so the test does: the server must
// show the client's reason, must not send the same again, and must get through with what comes next.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Xds;
using Naru.Kit;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class GrpcRefusalTests
{
    [Theory]
    [InlineData("grpc-js")]
    [InlineData("grpcio")]
    public async Task What_a_grpc_client_refuses_is_shown_costs_no_call_and_is_followed_by_what_it_takes(string client)
    {
        int one = Loopback.FreePort(), two = Loopback.FreePort();
        await using ChildProcess backends = ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-backends.js"), $"127.0.0.1:{one}=v1", $"127.0.0.1:{two}=v2"]);
        await backends.LineAsync("listening v1");
        await backends.LineAsync("listening v2");
        await using ControlServer server = await ControlServer.StartAsync(0);
        server.Publish(World(Resources.Eds("demo"), one));
        await using ChildProcess running = GrpcXdsClient.Start(client, $"127.0.0.1:{server.Port}", "xds:///demo", 0);
        await running.LineAsync("answer v1");

        // A kind of cluster that neither knows.
        server.Publish(World(Resources.Named("demo", "localhost"), two));
        await Waiting.UntilAsync(() => Clusters(server) is { State: SyncState.Nack }, "the refusal");
        TypeStatus refused = Clusters(server)!;
        Assert.Contains("validation", refused.Error, StringComparison.Ordinal);
        Assert.NotEqual(refused.SentVersion, refused.AckedVersion);
        int before = running.Output.Split('\n').Length;
        await Waiting.UntilAsync(() => running.Output.Split('\n').Length > before + 20, "twenty more answers");
        Assert.Equal((refused.Updates, 1), (Clusters(server)!.Updates, Clusters(server)!.Nacks));

        server.Publish(World(Resources.Eds("demo", timeout: 2), two));
        await running.LineAsync("answer v2");
        await Waiting.UntilAsync(() => Clusters(server) is { State: SyncState.Synced, Error: null }, "the client in step again");
        Assert.DoesNotContain("error", running.Output, StringComparison.Ordinal);
    }

    private static TypeStatus? Clusters(ControlServer server) =>
        server.Xds.Proxies().SelectMany(p => p.Types).SingleOrDefault(t => t.TypeUrl.EndsWith(".Cluster", StringComparison.Ordinal));

    private static IMessage[] World(Cluster cluster, int port)
    {
        var manager = new HttpConnectionManager
        {
            Rds = new Rds { RouteConfigName = "demo", ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 } },
            HttpFilters = { new HttpFilter { Name = "router", TypedConfig = Any.Pack(new Router()) } },
        };
        return
        [
            new Listener { Name = "demo", ApiListener = new ApiListener { ApiListener_ = Any.Pack(manager) } },
            Resources.Routes("demo", "demo"),
            cluster,
            Weighted(Resources.Endpoints("demo", $"127.0.0.1:{port}")),
        ];
    }

    // gRPC leaves out localities that have no weight.
    private static IMessage Weighted(Envoy.Config.Endpoint.V3.ClusterLoadAssignment assignment)
    {
        assignment.Endpoints[0].LoadBalancingWeight = 1;
        assignment.Endpoints[0].Locality = new Locality { Region = "here" };
        return assignment;
    }
}

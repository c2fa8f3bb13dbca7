// xDS on the wire, with a client that says exactly what a test wants: admission, both encodings, refusals, hostile input.
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Service.Cluster.V3;
using Envoy.Service.Discovery.V3;
using Grpc.Core;
using Grpc.Net.Client;
using Naru.Kit;
using Xunit;
using static Naru.SystemTests.ControlPlane.WireClient;

namespace Naru.SystemTests.ControlPlane;

public sealed class XdsTests
{
    private static readonly IPAddress s_pod = IPAddress.Parse("127.250.1.1");

    private static Dictionary<string, string> Mesh(int services = 1) => new()
    {
        ["mesh.yaml"] = string.Concat(Enumerable.Range(1, services).Select(i => Manifests.Service($"s{i}", 80, 8080, "http") + Manifests.Pod($"s{i}", "v1", s_pod, 8080))),
    };

    [Theory]
    [InlineData("nonsense", "four parts")]
    [InlineData("a~b~c~d~e", "four parts")]
    [InlineData("teapot~1.2.3.4~a.b~c", "teapot")]
    [InlineData("sidecar~nowhere~a.b~c", "IP address")]
    [InlineData("", "node with an id")]
    public async Task A_node_that_cannot_be_served_is_told_why(string id, string words)
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using var client = new WireClient(control, new Node { Id = id });
        await client.AskAsync(C, []);
        Status status = await client.RefusedAsync();
        Assert.Equal(StatusCode.InvalidArgument, status.StatusCode);
        Assert.Contains(words, status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stream_without_a_node_is_refused()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using var client = new WireClient(control, null);
        await client.AskAsync(C, []);
        Assert.Equal(StatusCode.InvalidArgument, (await client.RefusedAsync()).StatusCode);
    }

    [Fact]
    public async Task The_node_is_remembered_from_the_first_message_and_a_refusal_is_shown()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using var client = new WireClient(control, Sidecar("127.250.1.1", "s1-v1"));
        await client.AskAsync(C, []);
        DiscoveryResponse clusters = await client.NextAsync();
        Assert.Contains("outbound|80||s1.default.svc.cluster.local", clusters.Resources.Select(r => r.Unpack<Cluster>().Name));
        await client.AskAsync(C, [], clusters, "I do not like \u001b[31mred\nlines");
        JsonElement proxy = await control.ProxyAsync(p => p.GetProperty("types").GetProperty("CDS").GetProperty("state").GetString() == "NACK", "the refusal to be shown");
        Assert.Contains("I do not like", proxy.GetProperty("types").GetProperty("CDS").GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Contains("pilot_total_xds_rejects{type=\"cds\"} 1", await control.Client.GetStringAsync("metrics"), StringComparison.Ordinal);
        // Nobody writes lines or colours into our log.
        Assert.DoesNotContain('\u001b', control.Log);
        Assert.Contains("\\u001b[31mred\\u000alines", control.Log, StringComparison.Ordinal);

        // The next request carries no node, and is served as the same proxy.
        await client.AskAsync(L, []);
        Assert.Equal(L, (await client.NextAsync()).TypeUrl);
    }

    [Fact]
    public async Task Delta_sends_differences_and_remembers_what_a_returning_client_holds()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh(3));
        using GrpcChannel channel = Open(control);
        var stub = new AggregatedDiscoveryService.AggregatedDiscoveryServiceClient(channel);
        var held = new Dictionary<string, string>();
        using (AsyncDuplexStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> call = stub.DeltaAggregatedResources())
        {
            await call.RequestStream.WriteAsync(new DeltaDiscoveryRequest { Node = Sidecar("127.250.1.1", "s1-v1"), TypeUrl = C, ResourceNamesSubscribe = { "*" } });
            DeltaDiscoveryResponse all = await NextAsync(call);
            foreach (Resource resource in all.Resources) held[resource.Name] = resource.Version;
            await call.RequestStream.WriteAsync(new DeltaDiscoveryRequest { TypeUrl = C, ResponseNonce = all.Nonce });
            control.Write("more.yaml", Manifests.Service("extra", 80, 8080, "http"));
            DeltaDiscoveryResponse more = await NextAsync(call);
            Assert.Equal(["outbound|80||extra.default.svc.cluster.local"], more.Resources.Select(r => r.Name));
            Assert.Empty(more.RemovedResources);
            foreach (Resource resource in more.Resources) held[resource.Name] = resource.Version;
        }
        File.Delete(control.Folder.At("config/more.yaml"));
        await Waiting.UntilAsync(async () => (await control.GetAsync("debug/registryz")).GetArrayLength() == 3, "the extra service to be gone");

        using AsyncDuplexStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> again = stub.DeltaAggregatedResources();
        var request = new DeltaDiscoveryRequest { Node = Sidecar("127.250.1.1", "s1-v1"), TypeUrl = C, ResourceNamesSubscribe = { "*" } };
        request.InitialResourceVersions.Add(held);
        await again.RequestStream.WriteAsync(request);
        // The deletion may still be on its way into a push: then it comes second.
        var removed = new List<string>();
        while (removed.Count == 0)
        {
            DeltaDiscoveryResponse difference = await NextAsync(again);
            Assert.Empty(difference.Resources);
            removed.AddRange(difference.RemovedResources);
            await again.RequestStream.WriteAsync(new DeltaDiscoveryRequest { TypeUrl = C, ResponseNonce = difference.Nonce });
        }
        Assert.Equal(["outbound|80||extra.default.svc.cluster.local"], removed);
    }

    [Fact]
    public async Task A_service_of_one_type_serves_that_type_only_and_answers_single_fetches()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using GrpcChannel channel = Open(control);
        var stub = new ClusterDiscoveryService.ClusterDiscoveryServiceClient(channel);
        DiscoveryResponse fetched = await stub.FetchClustersAsync(new DiscoveryRequest { Node = Sidecar("127.250.1.1", "s1-v1") });
        Assert.NotEmpty(fetched.Resources);

        using AsyncDuplexStreamingCall<DiscoveryRequest, DiscoveryResponse> call = stub.StreamClusters();
        await call.RequestStream.WriteAsync(new DiscoveryRequest { Node = Sidecar("127.250.1.1", "s1-v1") });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).Within("clusters"));
        await call.RequestStream.WriteAsync(new DiscoveryRequest { TypeUrl = L });
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).Within("the refusal"));
        Assert.Equal(StatusCode.InvalidArgument, e.StatusCode);
    }

    [Fact]
    public async Task A_mesh_larger_than_grpcs_usual_message_is_served_whole()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh(3000));
        using var client = new WireClient(control, Sidecar("127.250.1.1", "s1-v1"));
        await client.AskAsync(C, []);
        DiscoveryResponse clusters = await client.NextAsync();
        Assert.True(clusters.Resources.Count >= 3000);
        // A request with more names than fit into 4 MB is read, too; the limit on names is what answers it.
        await client.AskAsync(E, [.. Enumerable.Range(0, 250_000).Select(i => $"a-name-that-nobody-has-{i}")]);
        Assert.Equal(StatusCode.ResourceExhausted, (await client.RefusedAsync()).StatusCode);
    }

    [Fact]
    public async Task Hostile_bytes_and_messages_end_only_their_own_stream()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using var good = new WireClient(control, Sidecar("127.250.1.1", "s1-v1"));
        await good.AskAsync(C, []);
        DiscoveryResponse clusters = await good.NextAsync();

        // Bytes that are no HTTP/2 at all, then HTTP/2 that is no gRPC.
        var random = new Random(7);
        for (int i = 0; i < 20; i++)
        {
            using var socket = new TcpClient();
            await socket.ConnectAsync(control.Xds);
            byte[] noise = new byte[random.Next(1, 4000)];
            random.NextBytes(noise);
            try
            {
                if (i % 2 == 0) await socket.GetStream().WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray());
                await socket.GetStream().WriteAsync(noise);
            }
            catch (IOException)
            {
                // It was closed on us already.
            }
        }
        // A message that is no message: random bytes through a raw method of the same name.
        using GrpcChannel channel = Open(control);
        var bytes = Marshallers.Create<byte[]>(b => b, b => b);
        var method = new Method<byte[], byte[]>(MethodType.DuplexStreaming, "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources", bytes, bytes);
        for (int i = 0; i < 50; i++)
        {
            using AsyncDuplexStreamingCall<byte[], byte[]> call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(method, null, new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20)));
            byte[] noise = new byte[random.Next(0, 300)];
            random.NextBytes(noise);
            await call.RequestStream.WriteAsync(noise);
            await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None));
        }
        // Messages that are well-formed and make no sense.
        string[] odd = ["", "*", "\0", new string('x', 5000), "outbound|80||s1.default.svc.cluster.local", "\u2028", "../../etc/passwd"];
        for (int i = 0; i < 60; i++)
        {
            using var client = new WireClient(control, random.Next(4) == 0 ? WireClient.Grpc(odd[random.Next(1, odd.Length)]) : Sidecar("127.250.1.1", "s1-v1"));
            try
            {
                for (int n = 0; n < 5; n++)
                {
                    string type = random.Next(5) switch { 0 => C, 1 => E, 2 => L, 3 => R, _ => odd[random.Next(odd.Length)] };
                    var before = new DiscoveryResponse { Nonce = odd[random.Next(odd.Length)] };
                    await client.AskAsync(type, [.. Enumerable.Range(0, random.Next(4)).Select(_ => odd[random.Next(odd.Length)])], before, random.Next(3) == 0 ? odd[random.Next(odd.Length)] : null);
                }
            }
            catch (Exception e) when (e is RpcException or InvalidOperationException)
            {
                // Refused in the middle: as it should be.
            }
        }

        // The good one never noticed.
        await good.AskAsync(C, [], clusters);
        control.Write("more.yaml", Manifests.Service("extra", 80, 8080, "http"));
        Assert.Contains("outbound|80||extra.default.svc.cluster.local", (await good.NextAsync()).Resources.Select(r => r.Unpack<Cluster>().Name));
    }

    [Fact]
    public async Task Many_changes_at_once_are_few_pushes_and_the_last_one_counts()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, Mesh());
        using var client = new WireClient(control, Sidecar("127.250.1.1", "s1-v1"));
        await client.AskAsync(C, []);
        DiscoveryResponse clusters = await client.NextAsync();
        for (int i = 0; i < 50; i++)
        {
            (HttpStatusCode status, _) = await control.ApplyAsync(Manifests.Service($"burst{i}", 80, 8080, "http"));
            Assert.Equal(HttpStatusCode.OK, status);
        }
        int pushes = 0;
        while (!clusters.Resources.Select(r => r.Unpack<Cluster>().Name).Contains("outbound|80||burst49.default.svc.cluster.local"))
        {
            // Slow to answer: all that happens meanwhile is one more push, not fifty.
            await client.AskAsync(C, [], clusters);
            clusters = await client.NextAsync();
            pushes++;
        }
        Assert.InRange(pushes, 1, 10);
    }

    private static async Task<DeltaDiscoveryResponse> NextAsync(AsyncDuplexStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> call)
    {
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).Within("a response"));
        return call.ResponseStream.Current;
    }
}

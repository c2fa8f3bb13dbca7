// gRPC through the proxy between implementations that others wrote, each as client and as server: all four kinds of calls, metadata,
// errors, deadlines, cancellation, large messages, many calls at once.
using Grpc.Core;
using Grpc.Net.Client;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class GrpcInteropTests
{
    private static readonly string[] s_peers = ["grpc-dotnet", "grpc-js", "grpcio"];

    public static TheoryData<string, string> Pairs()
    {
        var rows = new TheoryData<string, string>();
        foreach (string client in s_peers)
            foreach (string server in s_peers) rows.Add(client, server);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public async Task Every_kind_of_call_passes(string client, string server)
    {
        await using DotnetGrpcServer? dotnet = server == "grpc-dotnet" ? await DotnetGrpcServer.StartAsync() : null;
        await using ChildProcess? other = dotnet is null ? Peer(server, "server") : null;
        int port = dotnet?.Port ?? int.Parse((await other!.LineAsync("listening ")).Split(' ')[1]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(port, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster));
        string[] lines;
        if (client == "grpc-dotnet")
        {
            lines = [.. await DotnetGrpcClient.RunAsync(proxy.Address)];
        }
        else
        {
            await using ChildProcess running = Peer(client, "client", proxy.Address.ToString());
            await running.LineAsync("done", TimeSpan.FromSeconds(60));
            lines = [.. running.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => l != "done")];
        }
        Assert.All(lines, line => Assert.StartsWith("ok ", line));
        Assert.Equal(13, lines.Length);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 0, "all calls to be over");
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_active"));
    }

    [Theory]
    [InlineData("connect-failure", StatusCode.Unavailable)]
    [InlineData("no-route", StatusCode.Unimplemented)]
    public async Task What_the_proxy_answers_itself_is_a_status_of_grpc(string fault, StatusCode status)
    {
        string bootstrap = fault == "no-route"
            ? Bootstraps.Many("- match: { prefix: \"/other\" }\n  route: { cluster: backend }", [new TestCluster("backend", [1], Bootstraps.Http2Cluster)])
            : Bootstraps.One(1, cluster: Bootstraps.Http2Cluster);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap);
        using GrpcChannel channel = GrpcChannel.ForAddress(proxy.Url, new GrpcChannelOptions { HttpHandler = new SocketsHttpHandler { UseProxy = false }, DisposeHttpClient = true });
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () =>
            await channel.CreateCallInvoker().AsyncUnaryCall(InteropService.Of(MethodType.Unary, "Unary"), null, default, [1]));
        Assert.Equal(status, e.StatusCode);
    }

    private static ChildProcess Peer(string name, params string[] arguments) => name == "grpc-js"
        ? ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-interop.js"), .. arguments])
        : ChildProcess.Start("/usr/bin/python3", [Repository.At("tests/kit/peers/grpc_interop.py"), .. arguments]);
}

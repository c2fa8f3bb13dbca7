// A hand-held xDS client: one stream, one message at a time, exactly as a test says it.
using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Grpc.Net.Client;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.ControlPlane;

internal sealed class WireClient : IDisposable
{
    public const string C = "type.googleapis.com/envoy.config.cluster.v3.Cluster", E = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        L = "type.googleapis.com/envoy.config.listener.v3.Listener", R = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<DiscoveryRequest, DiscoveryResponse> _call;
    private bool _first = true;

    public WireClient(RunningControlPlane control, Node? node)
    {
        Node = node;
        _channel = Open(control);
        _call = new AggregatedDiscoveryService.AggregatedDiscoveryServiceClient(_channel).StreamAggregatedResources();
    }

    public Node? Node { get; }

    public static GrpcChannel Open(RunningControlPlane control) => GrpcChannel.ForAddress($"http://{control.Xds}", new GrpcChannelOptions
    {
        MaxReceiveMessageSize = null,
        MaxSendMessageSize = null,
        HttpHandler = new SocketsHttpHandler { UseProxy = false },
    });

    public static Node Sidecar(string ip, string pod, string ns = "default") => new()
    {
        Id = $"sidecar~{ip}~{pod}.{ns}~{ns}.svc.cluster.local",
        Metadata = Metadata(("NAMESPACE", ns), ("INTERCEPTION_MODE", "NONE"), ("INSTANCE_IPS", ip)),
    };

    public static Node Grpc(string id) => new() { Id = id, Metadata = Metadata(("GENERATOR", "grpc"), ("NAMESPACE", "default")) };

    public static Struct Metadata(params (string Key, string Value)[] items)
    {
        var made = new Struct();
        foreach ((string key, string value) in items) made.Fields[key] = Value.ForString(value);
        return made;
    }

    public async Task AskAsync(string typeUrl, string[] names, DiscoveryResponse? answers = null, string? error = null)
    {
        var request = new DiscoveryRequest { TypeUrl = typeUrl, ResponseNonce = answers?.Nonce ?? "", VersionInfo = answers?.VersionInfo ?? "" };
        if (_first) request.Node = Node;
        _first = false;
        request.ResourceNames.AddRange(names);
        if (error is not null) request.ErrorDetail = new Google.Rpc.Status { Code = 3, Message = error };
        await _call.RequestStream.WriteAsync(request);
    }

    public async Task<DiscoveryResponse> NextAsync()
    {
        Assert.True(await _call.ResponseStream.MoveNext(CancellationToken.None).Within("a response"));
        return _call.ResponseStream.Current;
    }

    /// <summary>The status with which the stream was refused.</summary>
    public async Task<Status> RefusedAsync()
    {
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None).Within("the end of the stream")) { }
        });
        return e.Status;
    }

    public void Dispose()
    {
        _call.Dispose();
        _channel.Dispose();
    }
}

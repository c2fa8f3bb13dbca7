// The gRPC services: which stream serves which type. Nothing is decided here.
using System.Net.Sockets;
using Envoy.Service.Cluster.V3;
using Envoy.Service.Discovery.V3;
using Envoy.Service.Endpoint.V3;
using Envoy.Service.Listener.V3;
using Envoy.Service.Route.V3;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Naru.Control.Xds;

/// <summary>Runs streams for the services below, and answers single fetches.</summary>
/// <param name="server">Whose streams they are.</param>
public sealed class XdsRunner(XdsServer server)
{
    internal Task StateAsync(string? onlyType, IAsyncStreamReader<DiscoveryRequest> requests, IServerStreamWriter<DiscoveryResponse> responses, ServerCallContext context) =>
        RunAsync(StateEncoding.Instance, onlyType, requests, responses, context);

    internal Task DeltaAsync(string? onlyType, IAsyncStreamReader<DeltaDiscoveryRequest> requests, IServerStreamWriter<DeltaDiscoveryResponse> responses, ServerCallContext context) =>
        RunAsync(DeltaEncoding.Instance, onlyType, requests, responses, context);

    // One request, one response, no subscription: a stream that ends after its first answer.
    internal async Task<DiscoveryResponse> FetchAsync(string onlyType, DiscoveryRequest request, ServerCallContext context)
    {
        var once = new Once(request);
        var answer = new FirstAnswer();
        await RunAsync(StateEncoding.Instance, onlyType, once, answer, context).ConfigureAwait(false);
        return answer.Response ?? throw new RpcException(new Status(StatusCode.Unavailable, "the configuration has not been read yet"));
    }

    private async Task RunAsync<TRequest, TResponse>(IStreamEncoding<TRequest, TResponse> encoding, string? onlyType,
        IAsyncStreamReader<TRequest> requests, IServerStreamWriter<TResponse> responses, ServerCallContext context)
        where TRequest : class
    {
        XdsStream stream = server.Open(context.Peer);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, server.Stopping);
        try
        {
            await stream.RunAsync(encoding, onlyType, requests, responses, ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (server.Stopping.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "the control plane is stopping"));
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException or SocketException && context.CancellationToken.IsCancellationRequested)
        {
            // The proxy is gone; whatever was being written has no reader.
        }
        finally
        {
            server.Close(stream);
            if (stream.Status is { } status) server.Logger.LogInformation("proxy disconnected proxy={Proxy} stream={Stream}", status.Id, stream.Id);
        }
    }

    private sealed class Once(DiscoveryRequest request) : IAsyncStreamReader<DiscoveryRequest>
    {
        private bool _read;

        public DiscoveryRequest Current => request;

        public Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            bool first = !_read;
            _read = true;
            return Task.FromResult(first);
        }
    }

    private sealed class FirstAnswer : IServerStreamWriter<DiscoveryResponse>
    {
        public DiscoveryResponse? Response { get; private set; }

        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(DiscoveryResponse message)
        {
            Response ??= message;
            return Task.CompletedTask;
        }

        public Task WriteAsync(DiscoveryResponse message, CancellationToken cancellationToken) => WriteAsync(message);
    }
}

/// <summary>All types on one stream (ADS).</summary>
/// <param name="runner">Runs the streams.</param>
public sealed class AggregatedService(XdsRunner runner) : AggregatedDiscoveryService.AggregatedDiscoveryServiceBase
{
    /// <inheritdoc/>
    public override Task StreamAggregatedResources(IAsyncStreamReader<DiscoveryRequest> requestStream, IServerStreamWriter<DiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.StateAsync(null, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task DeltaAggregatedResources(IAsyncStreamReader<DeltaDiscoveryRequest> requestStream, IServerStreamWriter<DeltaDiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.DeltaAsync(null, requestStream, responseStream, context);
}

/// <summary>Clusters on a stream of their own (CDS).</summary>
/// <param name="runner">Runs the streams.</param>
public sealed class ClusterService(XdsRunner runner) : ClusterDiscoveryService.ClusterDiscoveryServiceBase
{
    /// <inheritdoc/>
    public override Task StreamClusters(IAsyncStreamReader<DiscoveryRequest> requestStream, IServerStreamWriter<DiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.StateAsync(TypeUrls.Cluster, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task DeltaClusters(IAsyncStreamReader<DeltaDiscoveryRequest> requestStream, IServerStreamWriter<DeltaDiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.DeltaAsync(TypeUrls.Cluster, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task<DiscoveryResponse> FetchClusters(DiscoveryRequest request, ServerCallContext context) =>
        runner.FetchAsync(TypeUrls.Cluster, request, context);
}

/// <summary>Endpoints on a stream of their own (EDS).</summary>
/// <param name="runner">Runs the streams.</param>
public sealed class EndpointService(XdsRunner runner) : EndpointDiscoveryService.EndpointDiscoveryServiceBase
{
    /// <inheritdoc/>
    public override Task StreamEndpoints(IAsyncStreamReader<DiscoveryRequest> requestStream, IServerStreamWriter<DiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.StateAsync(TypeUrls.Endpoint, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task DeltaEndpoints(IAsyncStreamReader<DeltaDiscoveryRequest> requestStream, IServerStreamWriter<DeltaDiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.DeltaAsync(TypeUrls.Endpoint, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task<DiscoveryResponse> FetchEndpoints(DiscoveryRequest request, ServerCallContext context) =>
        runner.FetchAsync(TypeUrls.Endpoint, request, context);
}

/// <summary>Listeners on a stream of their own (LDS).</summary>
/// <param name="runner">Runs the streams.</param>
public sealed class ListenerService(XdsRunner runner) : ListenerDiscoveryService.ListenerDiscoveryServiceBase
{
    /// <inheritdoc/>
    public override Task StreamListeners(IAsyncStreamReader<DiscoveryRequest> requestStream, IServerStreamWriter<DiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.StateAsync(TypeUrls.Listener, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task DeltaListeners(IAsyncStreamReader<DeltaDiscoveryRequest> requestStream, IServerStreamWriter<DeltaDiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.DeltaAsync(TypeUrls.Listener, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task<DiscoveryResponse> FetchListeners(DiscoveryRequest request, ServerCallContext context) =>
        runner.FetchAsync(TypeUrls.Listener, request, context);
}

/// <summary>Routes on a stream of their own (RDS).</summary>
/// <param name="runner">Runs the streams.</param>
public sealed class RouteService(XdsRunner runner) : RouteDiscoveryService.RouteDiscoveryServiceBase
{
    /// <inheritdoc/>
    public override Task StreamRoutes(IAsyncStreamReader<DiscoveryRequest> requestStream, IServerStreamWriter<DiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.StateAsync(TypeUrls.Route, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task DeltaRoutes(IAsyncStreamReader<DeltaDiscoveryRequest> requestStream, IServerStreamWriter<DeltaDiscoveryResponse> responseStream, ServerCallContext context) =>
        runner.DeltaAsync(TypeUrls.Route, requestStream, responseStream, context);

    /// <inheritdoc/>
    public override Task<DiscoveryResponse> FetchRoutes(DiscoveryRequest request, ServerCallContext context) =>
        runner.FetchAsync(TypeUrls.Route, request, context);
}

// The wire in earnest: gRPC over HTTP/2, with TLS where the cluster says so, one connection a stream. Method descriptions are made by hand so that
// no generated stub, descriptor or reflection is pulled into the sidecar. Refuses nothing for its size: that is the server's choice.
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Threading.Channels;
using Envoy.Service.Discovery.V3;
using Envoy.Service.LoadStats.V3;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>xDS over gRPC with keep-alive pings (every 30 s, answered within 10 s).</summary>
public sealed class GrpcTransport : IXdsTransport
{
    private static readonly Marshaller<DiscoveryRequest> StateRequests = Requests<DiscoveryRequest>();
    private static readonly Marshaller<DeltaDiscoveryRequest> DeltaRequests = Requests<DeltaDiscoveryRequest>();
    private static readonly Marshaller<DiscoveryResponse> StateResponses = Responses(DiscoveryResponse.Parser);
    private static readonly Marshaller<LoadStatsRequest> LoadRequests = Requests<LoadStatsRequest>();
    private static readonly Marshaller<LoadStatsResponse> LoadResponses = Responses(LoadStatsResponse.Parser);
    private static readonly Marshaller<DeltaDiscoveryResponse> DeltaResponses = Responses(DeltaDiscoveryResponse.Parser);

    /// <inheritdoc/>
    public IXdsStream Open(XdsMethod method, XdsPeer peer, IXdsStreamEvents events) => method == XdsMethod.LoadReports
        ? new Stream<LoadStatsRequest, LoadStatsResponse>(Describe(method, LoadRequests, LoadResponses), peer, events) : method.Delta
        ? new Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(Describe(method, DeltaRequests, DeltaResponses), peer, events)
        : new Stream<DiscoveryRequest, DiscoveryResponse>(Describe(method, StateRequests, StateResponses), peer, events);

    private static Method<TRequest, TResponse> Describe<TRequest, TResponse>(
        XdsMethod method, Marshaller<TRequest> requests, Marshaller<TResponse> responses) =>
        new(MethodType.DuplexStreaming, method.Service, method.Name, requests, responses);

    private static Marshaller<T> Requests<T>() where T : class, IMessage<T> => new(
        static (message, context) =>
        {
            context.SetPayloadLength(message.CalculateSize());
            message.WriteTo(context.GetBufferWriter());
            context.Complete();
        },
        static _ => throw new NotSupportedException("Requests are only written."));

    private static Marshaller<T> Responses<T>(MessageParser<T> parser) where T : class, IMessage<T> => new(
        static (_, _) => throw new NotSupportedException("Responses are only read."),
        context => parser.ParseFrom(context.PayloadAsReadOnlySequence()));

    private sealed class Stream<TRequest, TResponse> : IXdsStream
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(1);

        private readonly Channel<TRequest> _requests = Channel.CreateUnbounded<TRequest>(new UnboundedChannelOptions { SingleReader = true });
        private readonly CancellationTokenSource _end = new();
        private readonly IXdsStreamEvents _events;
        private volatile bool _open;

        public Stream(Method<TRequest, TResponse> method, XdsPeer peer, IXdsStreamEvents events)
        {
            _events = events;
            _ = Task.Run(() => RunAsync(method, peer));
        }

        public void Send(IMessage request) => _requests.Writer.TryWrite((TRequest)request);

        // The server hears the end of the stream before that of the connection: a handler that is disposed of drops the reset that a cancelled
        // call had queued, and what looks like a broken connection counts as one.
        public void Close()
        {
            if (!_open)
            {
                _end.Cancel();
                return;
            }
            _requests.Writer.TryComplete();
            _end.CancelAfter(Farewell);
        }

        private async Task RunAsync(Method<TRequest, TResponse> method, XdsPeer peer)
        {
            string reason = "closed by the server";
            AddressConfig address = peer.Address;
            StreamTls? tls = null;
            try
            {
                tls = peer.Tls is { } wanted ? new StreamTls(wanted, peer.Hostname) : null;
                using var handler = new SocketsHttpHandler
                {
                    // The environment's proxy variables are for applications; the way to the control plane is the configured one.
                    UseProxy = false,
                    UseCookies = false,
                    AllowAutoRedirect = false,
                    ActivityHeadersPropagator = null,
                    ConnectTimeout = peer.ConnectTimeout,
                    PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
                    KeepAlivePingDelay = TimeSpan.FromSeconds(30),
                    KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
                    KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
                };
                if (tls is not null) handler.SslOptions = tls.Options;
                StreamSettings settings = peer.Settings ?? StreamSettings.Default;
                // An agent beside the proxy listens on a Unix socket; its path is no authority.
                bool pipe = address.Kind == AddressKind.Pipe;
                string authority = pipe ? "localhost" : address.ToString();
                if (tls is not null)
                {
                    // The handler takes SNI from the authority, and none from an address.
                    if (tls.ServerName.Length > 0) authority = pipe ? tls.ServerName : $"{tls.ServerName}:{address.Port}";
                    else if (pipe) authority = "127.0.0.1";
                }
                else if (settings.Authority.Length > 0) authority = settings.Authority;
                if (pipe || tls is not null || settings.Authority.Length > 0)
                    handler.ConnectCallback = (_, token) => DialAsync(address, token);
                using GrpcChannel channel = GrpcChannel.ForAddress($"{(tls is null ? "http" : "https")}://{authority}", new GrpcChannelOptions
                {
                    HttpHandler = handler,
                    MaxReceiveMessageSize = null,
                    MaxSendMessageSize = null,
                });
                using AsyncDuplexStreamingCall<TRequest, TResponse> call =
                    channel.CreateCallInvoker().AsyncDuplexStreamingCall(method, null, new CallOptions(Headers(settings), cancellationToken: _end.Token));
                Task writing = WriteAsync(call.RequestStream);
                await call.ResponseHeadersAsync.ConfigureAwait(false);
                _open = true;
                _events.Connected();
                while (await call.ResponseStream.MoveNext(_end.Token).ConfigureAwait(false)) _events.Received(call.ResponseStream.Current);
                _end.Cancel();
                await writing.ConfigureAwait(false);
            }
            catch (RpcException e) { reason = $"{e.StatusCode}: {e.Status.Detail}"; }
            catch (Exception e) when (e is IOException or OperationCanceledException or InvalidOperationException or HttpRequestException) { reason = e.Message; }
            catch (Exception e) when (e is CryptographicException or UnauthorizedAccessException or ArgumentException or FormatException) { reason = $"TLS: {e.Message}"; }
            if (tls?.Refused is { } refused) reason = $"TLS: {refused}";
            tls?.Dispose();
            _requests.Writer.TryComplete();
            // A stream that we closed ourselves has nobody listening any more; the listener tells them apart.
            _events.Closed(reason);
        }

        // As Envoy's own calls say it, unless they are told not to.
        private static Metadata Headers(StreamSettings settings)
        {
            var headers = new Metadata();
            if (!settings.SkipsEnvoyHeaders) headers.Add("x-envoy-internal", "true");
            foreach ((string name, string value) in settings.Headers) headers.Add(name, value);
            return headers;
        }

        private static async ValueTask<System.IO.Stream> DialAsync(AddressConfig address, CancellationToken token)
        {
            bool pipe = address.Kind == AddressKind.Pipe;
            EndPoint there = pipe ? new UnixDomainSocketEndPoint(address.Host.StartsWith('@') ? "\0" + address.Host[1..] : address.Host) : new IPEndPoint(IPAddress.Parse(address.Host), address.Port);
            var socket = new Socket(there.AddressFamily, SocketType.Stream, pipe ? ProtocolType.Unspecified : ProtocolType.Tcp);
            try
            {
                if (!pipe) socket.NoDelay = true;
                await socket.ConnectAsync(there, token).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        private async Task WriteAsync(IClientStreamWriter<TRequest> writer)
        {
            try
            {
                await foreach (TRequest request in _requests.Reader.ReadAllAsync(_end.Token).ConfigureAwait(false))
                    await writer.WriteAsync(request).ConfigureAwait(false);
                await writer.CompleteAsync().ConfigureAwait(false);
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException or InvalidOperationException or IOException)
            {
                // The reading side knows why the stream ended and says so.
            }
        }
    }
}

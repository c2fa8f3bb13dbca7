// One gRPC stream: a reader that fills a bounded inbox, and one loop that owns the engine and is the only writer.
// While a write waits for a slow proxy, nothing queues up: later changes are seen when the loop comes round again.
using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Envoy.Config.Core.V3;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Naru.Control.Xds;

internal sealed class XdsStream(XdsServer server, long id, string peer)
{
    private const int InboxSize = 64;

    // Holds at most one token: "look again".
    private readonly Channel<byte> _wake = Channel.CreateBounded<byte>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private ProxyStatus? _status;

    public long Id => id;

    /// <summary>Null until the proxy said who it is.</summary>
    public ProxyStatus? Status => Volatile.Read(ref _status);

    /// <summary>Null until the proxy said who it is.</summary>
    public ProxyIdentity? Proxy { get; private set; }

    public void Wake() => _wake.Writer.TryWrite(0);

    /// <summary>Serves the stream until the proxy leaves, misbehaves, or the token ends it.</summary>
    /// <exception cref="RpcException">The stream was refused; the text says why.</exception>
    public async Task RunAsync<TRequest, TResponse>(IStreamEncoding<TRequest, TResponse> encoding, string? onlyType,
        IAsyncStreamReader<TRequest> requests, IServerStreamWriter<TResponse> responses, CancellationToken cancel)
        where TRequest : class
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var inbox = Channel.CreateBounded<TRequest>(new BoundedChannelOptions(InboxSize) { SingleReader = true, SingleWriter = true });
        Task reading = ReadAsync(requests, inbox.Writer, ended.Token);
        try
        {
            await ServeAsync(encoding, onlyType, inbox.Reader, responses, cancel).ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(false);
        }
    }

    private async Task ServeAsync<TRequest, TResponse>(IStreamEncoding<TRequest, TResponse> encoding, string? onlyType,
        ChannelReader<TRequest> inbox, IServerStreamWriter<TResponse> responses, CancellationToken cancel)
        where TRequest : class
    {
        var engine = new SubscriptionEngine(encoding.Encoding, $"{id:x}.", server.Limits, server.Time);
        ProxyIdentity? proxy = null;
        DateTimeOffset connectedAt = server.Time.GetUtcNow();
        long seen = -1;
        long generation = -1;
        while (true)
        {
            bool closed = inbox.Completion.IsCompleted;
            while (inbox.TryRead(out TRequest? request))
            {
                Proxy = proxy ??= Admit(encoding.NodeOf(request));
                Take(engine, encoding, request, onlyType, proxy);
            }
            if (proxy is not null && server.Published is long published && published != seen && server.Provider.WorldOf(proxy) is { } now)
            {
                seen = published;
                generation = now.Generation;
                engine.Offer(now.World);
            }
            ServerUpdate? update = proxy is null ? null : engine.Next();
            if (proxy is not null) Volatile.Write(ref _status, new ProxyStatus(id, proxy.Id, peer, encoding.Encoding, connectedAt, generation, engine.Status()));
            if (update is not null)
            {
                await SendAsync(responses, encoding.Write(update, server.ControlPlane), update.Resources.Count, cancel).ConfigureAwait(false);
                server.Counters.Pushed(update.TypeUrl, update.Resources.Count);
                continue;
            }
            if (closed)
            {
                if (inbox.Completion.Exception?.InnerException is { } failure) throw Refuse(failure);
                return;
            }
            await WaitAsync(engine.WakeIn, cancel).ConfigureAwait(false);
        }
    }

    // A large response lies in memory until its proxy has read it. When a thousand proxies connect at once, they take turns; one
    // that does not read loses its turn after a while, so that it holds nobody up.
    private async Task SendAsync<TResponse>(IServerStreamWriter<TResponse> responses, TResponse response, int resources, CancellationToken cancel)
    {
        if (resources < XdsServer.LargeResponse)
        {
            await responses.WriteAsync(response, cancel).ConfigureAwait(false);
            return;
        }
        await server.LargeSends.WaitAsync(cancel).ConfigureAwait(false);
        Task sending;
        try
        {
            sending = responses.WriteAsync(response, cancel);
            if (!sending.IsCompleted) await Task.WhenAny(sending, Task.Delay(XdsServer.LongestTurn, server.Time, cancel)).ConfigureAwait(false);
        }
        finally
        {
            server.LargeSends.Release();
        }
        await sending.ConfigureAwait(false);
    }

    private async Task WaitAsync(TimeSpan? bound, CancellationToken cancel)
    {
        Task<bool> woken = _wake.Reader.WaitToReadAsync(cancel).AsTask();
        if (bound is { } limit) await Task.WhenAny(woken, Task.Delay(limit, server.Time, cancel)).ConfigureAwait(false);
        else await woken.ConfigureAwait(false);
        cancel.ThrowIfCancellationRequested();
        _wake.Reader.TryRead(out _);
    }

    private ProxyIdentity Admit(Node? node)
    {
        if (node is null || node.Id.Length == 0) throw Refuse(new Refusal(RefusalKind.InvalidArgument, "the first request of a stream must carry node with an id"));
        if (node.Id.Length > server.Limits.NameLength) throw Refuse(new Refusal(RefusalKind.InvalidArgument, "node.id is too long"));
        if (server.Provider.Identify(node, out string? error) is { } proxy)
        {
            server.Logger.LogInformation("proxy connected proxy={Proxy} peer={Peer} stream={Stream}", proxy.Id, peer, id);
            return proxy;
        }
        throw Refuse(new Refusal(RefusalKind.InvalidArgument, error ?? "this proxy is not served here"));
    }

    private void Take<TRequest, TResponse>(SubscriptionEngine engine, IStreamEncoding<TRequest, TResponse> encoding, TRequest request, string? onlyType, ProxyIdentity proxy)
    {
        string typeUrl = encoding.TypeUrlOf(request);
        if (onlyType is not null)
        {
            if (typeUrl.Length == 0) typeUrl = onlyType;
            if (typeUrl != onlyType) throw Refuse(new Refusal(RefusalKind.InvalidArgument, $"this stream serves {onlyType} only, not {typeUrl}"));
        }
        if (encoding.HasLocators(request)) throw Refuse(new Refusal(RefusalKind.InvalidArgument, "resource_locators are not supported; use resource names"));
        ClientMessage message = encoding.Read(request, typeUrl);
        if (message.Error is not null)
        {
            server.Counters.Refused(typeUrl);
            server.Logger.LogWarning("proxy refused a response proxy={Proxy} type={Type} nonce={Nonce} reason={Reason}", proxy.Id, TypeUrls.ShortName(typeUrl), message.Nonce, message.Error);
        }
        if (engine.Receive(message) is { } refusal) throw Refuse(refusal);
    }

    private RpcException Refuse(Refusal refusal)
    {
        server.Counters.StreamRefused();
        server.Logger.LogWarning("stream refused peer={Peer} stream={Stream} reason={Reason}", peer, id, refusal.Text);
        StatusCode code = refusal.Kind == RefusalKind.ResourceExhausted ? StatusCode.ResourceExhausted : StatusCode.InvalidArgument;
        return new RpcException(new Status(code, refusal.Text));
    }

    // Too long a message, or one that is none: gRPC's own status where it has one.
    private RpcException Refuse(Exception failure)
    {
        if (failure is not RpcException { Status.StatusCode: not StatusCode.Unknown } known) return Refuse(new Refusal(RefusalKind.InvalidArgument, "a request could not be read"));
        server.Counters.StreamRefused();
        server.Logger.LogWarning("stream refused peer={Peer} stream={Stream} reason={Reason}", peer, id, known.Status.Detail);
        return new RpcException(known.Status);
    }

    // However a connection dies, it only ends this stream: the loop sees a completed inbox.
    [SuppressMessage("Design", "CA1031", Justification = "whatever ends the connection, only this stream ends with it")]
    private async Task ReadAsync<TRequest>(IAsyncStreamReader<TRequest> requests, ChannelWriter<TRequest> inbox, CancellationToken cancel)
    {
        try
        {
            while (await requests.MoveNext(cancel).ConfigureAwait(false))
            {
                await inbox.WriteAsync(requests.Current, cancel).ConfigureAwait(false);
                Wake();
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException and not InvalidProtocolBufferException || cancel.IsCancellationRequested)
        {
            server.Logger.LogDebug("stream ended stream={Stream} reason={Reason}", id, e.Message);
        }
        catch (Exception e)
        {
            inbox.TryComplete(e);
        }
        inbox.TryComplete();
        Wake();
    }
}

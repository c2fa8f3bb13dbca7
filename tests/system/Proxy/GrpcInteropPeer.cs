// grpc-dotnet as a server and a client of /demo.Interop, whose messages are plain bytes: the same scenarios as the peers in other
// languages (tests/kit/peers) run.
using System.Net;
using System.Text;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Naru.Kit;

namespace Naru.SystemTests.Proxy;

[BindServiceMethod(typeof(InteropBase), nameof(Bind))]
public abstract class InteropBase
{
    private static readonly Marshaller<byte[]> s_raw = Marshallers.Create<byte[]>(b => b, b => b);

    public static Method<byte[], byte[]> Of(MethodType type, string name) => new(type, "demo.Interop", name, s_raw, s_raw);

    public static void Bind(ServiceBinderBase binder, InteropBase? service)
    {
        binder.AddMethod(Of(MethodType.Unary, nameof(Unary)), service is null ? null : new UnaryServerMethod<byte[], byte[]>(service.Unary));
        binder.AddMethod(Of(MethodType.Unary, nameof(Remaining)), service is null ? null : new UnaryServerMethod<byte[], byte[]>(service.Remaining));
        binder.AddMethod(Of(MethodType.Unary, nameof(Cancelled)), service is null ? null : new UnaryServerMethod<byte[], byte[]>(service.Cancelled));
        binder.AddMethod(Of(MethodType.ServerStreaming, nameof(Download)), service is null ? null : new ServerStreamingServerMethod<byte[], byte[]>(service.Download));
        binder.AddMethod(Of(MethodType.ServerStreaming, nameof(Hold)), service is null ? null : new ServerStreamingServerMethod<byte[], byte[]>(service.Hold));
        binder.AddMethod(Of(MethodType.ClientStreaming, nameof(Upload)), service is null ? null : new ClientStreamingServerMethod<byte[], byte[]>(service.Upload));
        binder.AddMethod(Of(MethodType.DuplexStreaming, nameof(Chat)), service is null ? null : new DuplexStreamingServerMethod<byte[], byte[]>(service.Chat));
    }

    public abstract Task<byte[]> Unary(byte[] request, ServerCallContext context);

    public abstract Task<byte[]> Remaining(byte[] request, ServerCallContext context);

    public abstract Task<byte[]> Cancelled(byte[] request, ServerCallContext context);

    public abstract Task Download(byte[] request, IServerStreamWriter<byte[]> answers, ServerCallContext context);

    public abstract Task Hold(byte[] request, IServerStreamWriter<byte[]> answers, ServerCallContext context);

    public abstract Task<byte[]> Upload(IAsyncStreamReader<byte[]> messages, ServerCallContext context);

    public abstract Task Chat(IAsyncStreamReader<byte[]> messages, IServerStreamWriter<byte[]> answers, ServerCallContext context);
}

/// <summary>What each method does.</summary>
public sealed class InteropService : InteropBase
{
    private const string Reason = "because \u2713 100%";
    private static int s_cancelled;

    public override async Task<byte[]> Unary(byte[] request, ServerCallContext context)
    {
        Fail(context);
        var metadata = new Metadata();
        foreach (Metadata.Entry entry in context.RequestHeaders.Where(e => e.Key is "x-echo" or "x-echo-bin")) metadata.Add(entry);
        await context.WriteResponseHeadersAsync(metadata);
        context.ResponseTrailers.Add("x-trail", "t");
        return request;
    }

    public override Task<byte[]> Remaining(byte[] request, ServerCallContext context) => Text(((long)(context.Deadline - DateTime.UtcNow).TotalMilliseconds).ToString());

    public override Task<byte[]> Cancelled(byte[] request, ServerCallContext context) => Text(Volatile.Read(ref s_cancelled).ToString());

    public override async Task Download(byte[] request, IServerStreamWriter<byte[]> answers, ServerCallContext context)
    {
        for (int i = 0; i < int.Parse(Encoding.UTF8.GetString(request)); i++) await answers.WriteAsync(Encoding.UTF8.GetBytes($"item {i}"));
        Fail(context);
    }

    public override async Task Hold(byte[] request, IServerStreamWriter<byte[]> answers, ServerCallContext context)
    {
        await answers.WriteAsync("begun"u8.ToArray());
        var over = new TaskCompletionSource();
        context.CancellationToken.Register(over.SetResult);
        await over.Task;
        Interlocked.Increment(ref s_cancelled);
    }

    public override async Task<byte[]> Upload(IAsyncStreamReader<byte[]> messages, ServerCallContext context)
    {
        int count = 0, length = 0;
        await foreach (byte[] message in messages.ReadAllAsync())
        {
            count++;
            length += message.Length;
        }
        return Encoding.UTF8.GetBytes($"{count} {length}");
    }

    public override async Task Chat(IAsyncStreamReader<byte[]> messages, IServerStreamWriter<byte[]> answers, ServerCallContext context)
    {
        await foreach (byte[] message in messages.ReadAllAsync()) await answers.WriteAsync(message);
    }

    private static Task<byte[]> Text(string text) => Task.FromResult(Encoding.UTF8.GetBytes(text));

    private static void Fail(ServerCallContext context)
    {
        if (context.RequestHeaders.GetValue("x-fail") is not { } code) return;
        throw new RpcException(new Status((StatusCode)int.Parse(code), Reason), new Metadata { { "x-trail", "t" }, { "x-trail-bin", [0, 1, 255] } });
    }
}

/// <summary>The server, in this process.</summary>
internal sealed class DotnetGrpcServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private DotnetGrpcServer(WebApplication app) => _app = app;

    public int Port => new Uri(_app.Urls.First()).Port;

    public static async Task<DotnetGrpcServer> StartAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, o => o.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        WebApplication app = builder.Build();
        app.MapGrpcService<InteropService>();
        await app.StartAsync();
        return new DotnetGrpcServer(app);
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}

/// <summary>The client: runs every scenario and says what went wrong in each, as the other clients do.</summary>
internal sealed class DotnetGrpcClient(CallInvoker calls)
{
    private static readonly byte[] s_binary = [0, 200, 255, 10];
    private static readonly byte[] s_large = Encoding.ASCII.GetBytes(new string('l', 3 << 20));

    public static async Task<List<string>> RunAsync(IPEndPoint address)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{address}", new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler { UseProxy = false },
            DisposeHttpClient = true,
        });
        var client = new DotnetGrpcClient(channel.CreateCallInvoker());
        var lines = new List<string>();
        foreach ((string name, Func<Task> run) in client.Scenarios())
        {
            try
            {
                await run().Within(name);
                lines.Add($"ok {name}");
            }
            catch (Exception e)
            {
                lines.Add($"error {name}: {e.Message}");
            }
        }
        return lines;
    }

    private (string, Func<Task>)[] Scenarios() =>
    [
        ("unary", async () => Check(await UnaryAsync("hello") == "hello", "answer")),
        ("empty", async () => Check(await UnaryAsync("") == "", "answer")),
        ("large", async () => Check(((ReadOnlyMemory<byte>)await Unary("Unary", s_large)).Span.SequenceEqual(s_large), "answer")),
        ("metadata", MetadataAsync),
        ("errors", ErrorsAsync),
        ("download", async () => Check(await DownloadAsync(1000, null) == 1000, "messages")),
        ("downloadError", DownloadErrorAsync),
        ("upload", UploadAsync),
        ("chat", ChatAsync),
        ("deadlinePasses", DeadlinePassesAsync),
        ("deadlineEnds", DeadlineEndsAsync),
        ("cancel", CancelAsync),
        ("many", ManyAsync),
    ];

    private static void Check(bool holds, string what)
    {
        if (!holds) throw new InvalidOperationException(what);
    }

    private AsyncUnaryCall<byte[]> Unary(string name, byte[] request, CallOptions options = default) =>
        calls.AsyncUnaryCall(InteropService.Of(MethodType.Unary, name), null, options, request);

    private async Task<string> UnaryAsync(string text) => Encoding.UTF8.GetString(await Unary("Unary", Encoding.UTF8.GetBytes(text)));

    private async Task MetadataAsync()
    {
        using AsyncUnaryCall<byte[]> call = Unary("Unary", [1], new CallOptions(new Metadata { { "x-echo", "one" }, { "x-echo-bin", s_binary } }));
        Metadata head = await call.ResponseHeadersAsync;
        await call;
        Check(head.GetValue("x-echo") == "one" && Convert.ToHexString(head.GetValueBytes("x-echo-bin")!) == "00C8FF0A", "metadata");
        Check(call.GetTrailers().GetValue("x-trail") == "t", "trailer");
    }

    private async Task ErrorsAsync()
    {
        for (int code = 1; code <= 16; code++)
        {
            try
            {
                await Unary("Unary", [1], new CallOptions(new Metadata { { "x-fail", code.ToString() } }));
                Check(false, $"{code} was no error");
            }
            catch (RpcException e)
            {
                Check((int)e.StatusCode == code && e.Status.Detail == "because \u2713 100%", $"{code} became {e.Status}");
                Check(e.Trailers.GetValue("x-trail") == "t" && Convert.ToHexString(e.Trailers.GetValueBytes("x-trail-bin")!) == "0001FF", "trailers");
            }
        }
    }

    private async Task<int> DownloadAsync(int count, Metadata? metadata, Action? each = null)
    {
        using AsyncServerStreamingCall<byte[]> call = calls.AsyncServerStreamingCall(InteropService.Of(MethodType.ServerStreaming, "Download"), null, new CallOptions(metadata), Encoding.UTF8.GetBytes(count.ToString()));
        int seen = 0;
        await foreach (byte[] message in call.ResponseStream.ReadAllAsync())
        {
            Check(Encoding.UTF8.GetString(message) == $"item {seen++}", "order");
            each?.Invoke();
        }
        return seen;
    }

    private async Task DownloadErrorAsync()
    {
        int seen = 0;
        try
        {
            await DownloadAsync(5, new Metadata { { "x-fail", "9" } }, () => seen++);
            Check(false, "no error");
        }
        catch (RpcException e)
        {
            Check(seen == 5 && (int)e.StatusCode == 9, $"{seen} messages, {e.StatusCode}");
        }
    }

    private async Task UploadAsync()
    {
        using AsyncClientStreamingCall<byte[], byte[]> call = calls.AsyncClientStreamingCall(InteropService.Of(MethodType.ClientStreaming, "Upload"), null, default);
        for (int i = 0; i < 500; i++) await call.RequestStream.WriteAsync(new byte[1000]);
        await call.RequestStream.CompleteAsync();
        Check(Encoding.UTF8.GetString(await call) == "500 500000", "sum");
    }

    private async Task ChatAsync()
    {
        using AsyncDuplexStreamingCall<byte[], byte[]> call = calls.AsyncDuplexStreamingCall(InteropService.Of(MethodType.DuplexStreaming, "Chat"), null, default);
        for (int i = 0; i < 50; i++)
        {
            await call.RequestStream.WriteAsync(Encoding.UTF8.GetBytes($"turn {i}"));
            Check(await call.ResponseStream.MoveNext(default) && Encoding.UTF8.GetString(call.ResponseStream.Current) == $"turn {i}", $"turn {i}");
        }
        await call.RequestStream.CompleteAsync();
        Check(!await call.ResponseStream.MoveNext(default), "the end");
    }

    private async Task DeadlinePassesAsync()
    {
        int left = int.Parse(Encoding.UTF8.GetString(await Unary("Remaining", [], new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20)))));
        Check(left is > 5000 and <= 20500, $"{left} ms left");
    }

    private AsyncServerStreamingCall<byte[]> Hold(CallOptions options) => calls.AsyncServerStreamingCall(InteropService.Of(MethodType.ServerStreaming, "Hold"), null, options, []);

    private async Task DeadlineEndsAsync()
    {
        using AsyncServerStreamingCall<byte[]> call = Hold(new CallOptions(deadline: DateTime.UtcNow.AddMilliseconds(300)));
        await EndsWithAsync(call, StatusCode.DeadlineExceeded);
    }

    private static async Task EndsWithAsync(AsyncServerStreamingCall<byte[]> call, StatusCode code)
    {
        try
        {
            await foreach (byte[] _ in call.ResponseStream.ReadAllAsync())
            {
                // Whatever came before the end is of no interest.
            }
            Check(false, "no error");
        }
        catch (RpcException e)
        {
            Check(e.StatusCode == code, e.Status.ToString());
        }
    }

    private async Task CancelAsync()
    {
        async Task<int> CountAsync() => int.Parse(Encoding.UTF8.GetString(await Unary("Cancelled", [])));
        int before = await CountAsync();
        using var stop = new CancellationTokenSource();
        using AsyncServerStreamingCall<byte[]> call = Hold(new CallOptions(cancellationToken: stop.Token));
        Check(await call.ResponseStream.MoveNext(default), "begun");
        await stop.CancelAsync();
        await EndsWithAsync(call, StatusCode.Cancelled);
        await Waiting.UntilAsync(async () => await CountAsync() > before, "the server to hear of it");
    }

    private async Task ManyAsync()
    {
        string[] answers = await Task.WhenAll(Enumerable.Range(0, 300).Select(i => UnaryAsync($"call {i}")));
        for (int i = 0; i < answers.Length; i++) Check(answers[i] == $"call {i}", $"call {i}");
    }
}

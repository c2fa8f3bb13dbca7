// Calls to another service of the sample: where it is, which headers travel along, how long we wait.
// It never throws for what the network does: the answer is a value, or the status to report.
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Primitives;

namespace Bookinfo;

/// <summary>What came of a call.</summary>
/// <param name="Value">The body; null where there is none to be had.</param>
/// <param name="Status">The status received; 504 after the time ran out, 503 where nobody answered, 502 for an answer that is not JSON.</param>
public readonly record struct Reply<T>(T? Value, int Status) where T : class;

/// <summary>A client of one peer.</summary>
public sealed class Upstream(Peer peer, TimeSpan timeout, int attempts = 1)
{
    /// <summary>Headers that a service passes on, so that traces hang together and rules further down can match.</summary>
    public static readonly string[] Forwarded =
    [
        "x-request-id",
        "traceparent", "tracestate", "baggage",
        "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
        "x-ot-span-context",
        "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin",
        "x-cloud-trace-context", "grpc-trace-bin", "sw8",
        "end-user", "user-agent", "cookie", "authorization", "jwt",
    ];

    // A sidecar listens on an address of its own, so a call to an address goes straight there; only a name that nobody
    // here can resolve goes through the environment's http_proxy.
    private readonly HttpMessageInvoker client = new(new SocketsHttpHandler
    {
        UseProxy = peer.ByName,
        UseCookies = false,
        AllowAutoRedirect = false,
        ConnectTimeout = timeout,
        ActivityHeadersPropagator = null,
    });

    /// <summary>GET <paramref name="path"/>, tried again (it is safe to) while attempts are left.</summary>
    public async Task<Reply<T>> GetAsync<T>(string path, HttpRequest incoming, JsonTypeInfo<T> type, string? user = null)
        where T : class
    {
        Reply<T> reply = default;
        for (int i = 0; i < attempts; i++)
        {
            reply = await GetOnceAsync(path, incoming, type, user);
            if (reply.Value is not null || incoming.HttpContext.RequestAborted.IsCancellationRequested)
                return reply;
        }
        return reply;
    }

    private async Task<Reply<T>> GetOnceAsync<T>(string path, HttpRequest incoming, JsonTypeInfo<T> type, string? user)
        where T : class
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(peer.Address, path));
        request.Headers.Host = peer.Name;
        foreach (string name in Forwarded)
        {
            if (incoming.Headers.TryGetValue(name, out StringValues values))
                request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }
        if (user is not null)
        {
            request.Headers.Remove("end-user");
            request.Headers.TryAddWithoutValidation("end-user", user);
        }

        using var bound = CancellationTokenSource.CreateLinkedTokenSource(incoming.HttpContext.RequestAborted);
        bound.CancelAfter(timeout);
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, bound.Token);
            // An error's body is read too: otherwise its connection could not be used again.
            byte[] body = await response.Content.ReadAsByteArrayAsync(bound.Token);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                Console.Error.WriteLine($"{peer.Name}{path} answered {(int)response.StatusCode}");
                return new Reply<T>(null, (int)response.StatusCode);
            }
            return new Reply<T>(JsonSerializer.Deserialize(body, type), 200);
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine($"{peer.Name}{path} did not answer within {timeout.TotalSeconds} s");
            return new Reply<T>(null, 504);
        }
        catch (HttpRequestException e)
        {
            Console.Error.WriteLine($"{peer.Name}{path} cannot be reached: {e.Message}");
            return new Reply<T>(null, 503);
        }
        catch (JsonException e)
        {
            Console.Error.WriteLine($"{peer.Name}{path} sent what is not its JSON: {e.Message}");
            return new Reply<T>(null, 502);
        }
    }
}

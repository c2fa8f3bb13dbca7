// Steady traffic in the background of a test: a few connections, one request after another, every failure remembered.
// It asserts nothing; the test does, about the result.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Naru.Kit;

/// <summary>What came of a load.</summary>
/// <param name="Count">Answers that were right.</param>
/// <param name="Failures">Each other end, in words.</param>
public sealed record LoadResult(int Count, IReadOnlyList<string> Failures);

/// <summary>A running load.</summary>
public sealed class Load : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<string> _failures = new();
    private readonly IPEndPoint _address;
    private readonly string _request;
    private Task _running = Task.CompletedTask;
    private int _count;
    private volatile string _last = "";

    private Load(IPEndPoint address, string request)
    {
        _address = address;
        _request = request;
    }

    /// <summary>Right answers so far.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Body of the answer that came last.</summary>
    public string Last => _last;

    /// <summary>Starts it. Each connection asks again as soon as it was answered, and reconnects when the answer says close.</summary>
    /// <param name="address">Where.</param>
    /// <param name="connections">How many at once.</param>
    /// <param name="request">What; a GET of <c>/load</c> where null.</param>
    /// <param name="refusedIsEnd">Whether a refused connection is the expected end (a drain) rather than a failure.</param>
    public static Load Start(IPEndPoint address, int connections = 2, string? request = null, bool refusedIsEnd = false)
    {
        var load = new Load(address, request ?? "GET /load HTTP/1.1\r\nHost: load\r\n\r\n");
        load._running = Task.WhenAll(Enumerable.Range(0, connections).Select(_ => Task.Run(() => load.RunAsync(refusedIsEnd))));
        return load;
    }

    /// <summary>Ends it after the requests under way.</summary>
    public async Task<LoadResult> StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        return await EndAsync().ConfigureAwait(false);
    }

    /// <summary>Waits until it ends by itself (see <c>refusedIsEnd</c>).</summary>
    public async Task<LoadResult> EndAsync()
    {
        await _running.Within("the load to end").ConfigureAwait(false);
        return new LoadResult(Count, [.. _failures]);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync(bool refusedIsEnd)
    {
        while (!_stop.IsCancellationRequested)
        {
            RawClient client;
            try
            {
                client = await RawClient.ConnectAsync(_address).ConfigureAwait(false);
            }
            catch (SocketException e)
            {
                if (refusedIsEnd) return;
                _failures.Enqueue($"connect: {e.SocketErrorCode}");
                continue;
            }
            using (client)
            {
                await ServeAsync(client, refusedIsEnd).ConfigureAwait(false);
            }
        }
    }

    private async Task ServeAsync(RawClient client, bool refusedIsEnd)
    {
        for (int i = 0; !_stop.IsCancellationRequested; i++)
        {
            try
            {
                HttpMessage answer = await client.ExchangeAsync(_request).ConfigureAwait(false);
                if (answer.Status != 200)
                {
                    _failures.Enqueue(answer.ToString());
                    if (answer.Header("connection") is { } c && c.Contains("close", StringComparison.OrdinalIgnoreCase)) return;
                    continue;
                }
                _last = answer.Text;
                Interlocked.Increment(ref _count);
                if (answer.Header("connection") is { } token && token.Contains("close", StringComparison.OrdinalIgnoreCase)) return;
            }
            catch (Exception e) when (e is SocketException or HttpFormatException or TimeoutException)
            {
                // A connection that was accepted by the system and never by the proxy ends unanswered: at its first request only.
                if (!(refusedIsEnd && i == 0 && e is SocketException { SocketErrorCode: SocketError.ConnectionReset })) _failures.Enqueue($"request {i}: {e.Message}");
                return;
            }
        }
    }
}

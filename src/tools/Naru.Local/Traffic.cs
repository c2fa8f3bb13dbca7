// A little traffic, so that there is something to see: a fixed rate through the gateway, never more than a few requests at once.
using Naru.Inspect;

namespace Naru.Local;

internal sealed class Traffic(Uri target, int rate, TimeProvider time)
{
    private const int MostAtOnce = 4;

    // Until the gateway has heard of everybody; what is answered before the first good answer is then nobody's fault.
    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(3);

    private readonly CancellationTokenSource _stop = new();
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(10) };
    private long _requests;
    private long _errors;
    private int _active;
    private long _started;
    private volatile bool _served;
    private Task _loop = Task.CompletedTask;

    public void Start()
    {
        _started = time.GetTimestamp();
        _loop = LoopAsync();
    }

    public TrafficStatus Status() => new() { Requests = Interlocked.Read(ref _requests), Errors = Interlocked.Read(ref _errors), Rate = rate };

    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        _http.Dispose();
    }

    private async Task LoopAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / rate), time);
        var sent = new List<Task>();
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                sent.RemoveAll(t => t.IsCompleted);
                if (Volatile.Read(ref _active) < MostAtOnce) sent.Add(SendAsync());
            }
        }
        catch (OperationCanceledException)
        {
            // The mesh goes down; what is on its way comes back first.
        }
        await Task.WhenAll(sent).ConfigureAwait(false);
    }

    private async Task SendAsync()
    {
        Interlocked.Increment(ref _active);
        try
        {
            using HttpResponseMessage answer = await _http.GetAsync(target).ConfigureAwait(false);
            Count((int)answer.StatusCode < 500);
        }
        // Whatever keeps a request from being answered is an error of that one.
        catch (Exception)
        {
            Count(good: false);
        }
        finally
        {
            Interlocked.Decrement(ref _active);
        }
    }

    private void Count(bool good)
    {
        _served |= good;
        if (!good && !_served && time.GetElapsedTime(_started) < s_settling) return;
        Interlocked.Increment(ref _requests);
        if (!good) Interlocked.Increment(ref _errors);
    }
}

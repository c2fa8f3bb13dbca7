// Keeps one process running: starts it, tells when it came and went, starts it again with back-off. Whoever owns it decides what the
// process is and when it counts as ready.
using System.Globalization;

namespace Naru.Local.Processes;

/// <summary>How long to wait before a process that ended is started again: at once the first time, then 0.5 s doubling to 30 s. A process
/// that lived for 10 s has earned a new start.</summary>
public sealed class BackOff
{
    /// <summary>Longest wait.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_good = TimeSpan.FromSeconds(10);
    private int _failures;

    /// <summary>The wait after a life of <paramref name="lived"/>.</summary>
    public TimeSpan Next(TimeSpan lived)
    {
        if (lived >= s_good) _failures = 0;
        int n = _failures++;
        if (n == 0) return TimeSpan.Zero;
        double seconds = 0.5 * Math.Pow(2, Math.Min(n - 1, 10));
        return seconds >= Longest.TotalSeconds ? Longest : TimeSpan.FromSeconds(seconds);
    }
}

/// <summary>Codes with which processes end, in words.</summary>
public static class Exits
{
    /// <summary>How a process ended, as a shell means its codes (POSIX, Shell Command Language, "Exit Status for Commands").</summary>
    public static string Describe(int code) => code switch
    {
        126 => "ended with 126: the command is not executable",
        127 => "ended with 127: command not found",
        >= 128 => $"was killed by signal {code - 128}",
        _ => $"ended with {code}",
    };
}

/// <summary>A process that is kept running.</summary>
internal sealed class Supervised(string name, Func<SpawnRequest> request, TimeProvider time)
{
    private readonly CancellationTokenSource _stop = new();
    private readonly BackOff _backOff = new();
    private volatile Child? _child;
    private Task _loop = Task.CompletedTask;

    /// <summary>The living process, or null.</summary>
    public Child? Child => _child is { IsAlive: true } child ? child : null;

    /// <summary>How often it was started again.</summary>
    public int Restarts { get; private set; }

    /// <summary>Waiting before the next start.</summary>
    public bool IsBackingOff { get; private set; }

    /// <summary>How it ended last, or empty.</summary>
    public string LastEnd { get; private set; } = "";

    /// <summary>The code of that end.</summary>
    public int LastCode { get; private set; }

    /// <summary>A process came up.</summary>
    public event Action<Child>? Came;

    /// <summary>The process went, not because we asked.</summary>
    public event Action<int>? Went;

    /// <summary>Starts the first one. Later calls do nothing.</summary>
    public void Start()
    {
        if (_loop != Task.CompletedTask) return;
        _loop = Task.Run(LoopAsync);
    }

    /// <summary>Ends it for good: SIGTERM, SIGKILL after <paramref name="grace"/>.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        if (_child is { IsAlive: true } child) await child.StopAsync(grace).ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        // It may have been started in the moment of the cancellation.
        if (_child is { IsAlive: true } late) await late.StopAsync(grace).ConfigureAwait(false);
    }

    private async Task LoopAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            long started = time.GetTimestamp();
            SpawnRequest what = request();
            int code;
            try
            {
                Child child = Child.Start(what);
                _child = child;
                Came?.Invoke(child);
                code = await child.Exited.ConfigureAwait(false);
                LastEnd = Exits.Describe(code);
            }
            catch (IOException e)
            {
                code = 127;
                LastEnd = e.Message; // of ours: "cannot start X: ..."
            }
            LastCode = code;
            if (_stop.IsCancellationRequested) return;
            Note(what.Log, $"{name} {LastEnd}");
            Went?.Invoke(code);
            TimeSpan wait = _backOff.Next(time.GetElapsedTime(started));
            IsBackingOff = wait > TimeSpan.Zero;
            try
            {
                await Task.Delay(wait, time, _stop.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            IsBackingOff = false;
            Restarts++;
            Note(what.Log, $"{name} is started again (restart {Restarts.ToString(CultureInfo.InvariantCulture)})");
        }
    }

    private void Note(string? log, string text)
    {
        if (log is null) return;
        try
        {
            File.AppendAllText(log, $"[naru {time.GetUtcNow():HH:mm:ss.fff}] {text}\n");
        }
        catch (IOException)
        {
            // The log is a courtesy.
        }
    }
}

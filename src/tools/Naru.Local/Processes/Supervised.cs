// Keeps one process running: starts it, tells when it came and went, starts it again with back-off. Whoever owns it decides what the
// process is and when it counts as ready.
using System.Globalization;
using Naru.Core;

namespace Naru.Local.Processes;

/// <summary>How long to wait before a process that ended is started again: at once the first time, then 0.5 s doubling to 30 s. A process
/// that lived for 10 s has earned a new start.</summary>
public sealed class BackOff
{
    /// <summary>Longest wait.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <summary>A life so long earns a new start.</summary>
    public static readonly TimeSpan Good = TimeSpan.FromSeconds(10);

    private int _failures;

    /// <summary>The wait after a life of <paramref name="lived"/>.</summary>
    public TimeSpan Next(TimeSpan lived)
    {
        if (lived >= Good) _failures = 0;
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
/// <param name="name">As people know it.</param>
/// <param name="request">What to start; asked anew for each start. Whatever it throws is a start that failed.</param>
/// <param name="time">Clock.</param>
/// <param name="tell">Hears why it cannot be started, once for each row of failures.</param>
internal sealed class Supervised(string name, Func<SpawnRequest> request, TimeProvider time, Action<Diagnostic>? tell = null)
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private BackOff _backOff = new();
    private volatile Child? _child;
    // The process that was told to make room for another one: that is no failure of it.
    private Child? _replaced;
    private CancellationTokenSource? _waiting;
    private Task _loop = Task.CompletedTask;
    private string? _log;
    private TimeSpan _grace;

    /// <summary>The living process, or null.</summary>
    public Child? Child => _child is { IsAlive: true } child ? child : null;

    /// <summary>How often it was started again because it ended by itself.</summary>
    public int Restarts { get; private set; }

    /// <summary>Waiting before the next start.</summary>
    public bool IsBackingOff { get; private set; }

    /// <summary>How it ended last, or empty.</summary>
    public string LastEnd { get; private set; } = "";

    /// <summary>The code of that end.</summary>
    public int LastCode { get; private set; }

    /// <summary>A process came up.</summary>
    public event Action<Child>? Came;

    /// <summary>The process went, not because we asked; null where it never came.</summary>
    public event Action<Child?>? Went;

    /// <summary>Starts the first one. Later calls do nothing.</summary>
    public void Start()
    {
        if (_loop != Task.CompletedTask) return;
        _loop = Task.Run(LoopAsync);
    }

    /// <summary>Starts it anew, at once, as what <c>request</c> says now. Asked for, it is neither counted as a restart nor followed by back-off.
    /// Where there is no process the next start is the new one.</summary>
    public void Replace()
    {
        Child? child;
        lock (_lock)
        {
            _backOff = new BackOff();
            child = _replaced = Child;
            _waiting?.Cancel();
        }
        child?.SignalGroup(Native.SigTerm);
    }

    /// <summary>Ends it for good: SIGTERM, SIGKILL after <paramref name="grace"/>.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        _grace = grace;
        await _stop.CancelAsync().ConfigureAwait(false);
        // One that is being started in this moment the loop ends itself.
        if (_child is { IsAlive: true } child) await child.StopAsync(grace).ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
    }

    private async Task LoopAsync()
    {
        bool failed = false;
        while (!_stop.IsCancellationRequested)
        {
            long started = time.GetTimestamp();
            Child? child = TryStart();
            if (child is not null)
            {
                failed = false;
                if (_stop.IsCancellationRequested) await child.StopAsync(_grace).ConfigureAwait(false);
                else Raise(() => Came?.Invoke(child));
                int code = await child.Exited.ConfigureAwait(false);
                bool asked;
                lock (_lock) asked = ReferenceEquals(_replaced, child);
                if (asked && !_stop.IsCancellationRequested)
                {
                    Note($"{name} makes room for its successor");
                    Raise(() => Went?.Invoke(child));
                    continue;
                }
                LastCode = code;
                LastEnd = Exits.Describe(code);
            }
            if (_stop.IsCancellationRequested) return;
            Note($"{name} {LastEnd}");
            Raise(() => Went?.Invoke(child));
            TimeSpan wait;
            CancellationTokenSource waiting;
            lock (_lock)
            {
                wait = _backOff.Next(time.GetElapsedTime(started));
                waiting = _waiting = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            }
            if (child is null && !failed)
            {
                failed = true;
                string message = $"{name} cannot be started: {LastEnd}; it is tried again";
                Raise(() => tell?.Invoke(new Diagnostic("NARU-L038", Severity.Error, message, _log is null ? default : new Place(_log))));
            }
            IsBackingOff = wait > TimeSpan.Zero;
            try
            {
                await Task.Delay(wait, time, waiting.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                if (_stop.IsCancellationRequested) return;
            }
            finally
            {
                lock (_lock) _waiting = null;
                waiting.Dispose();
            }
            IsBackingOff = false;
            Restarts++;
            Note($"{name} is started again (restart {Restarts.ToString(CultureInfo.InvariantCulture)})");
        }
    }

    private Child? TryStart()
    {
        try
        {
            SpawnRequest what = request();
            _log = what.Log;
            return _child = Child.Start(what);
        }
        // A full disk, a folder that is gone: whatever keeps it from starting now may have passed a moment later.
        catch (Exception e)
        {
            LastEnd = e is IOException or UnauthorizedAccessException ? Causes.Of(e, withPath: true) : e.Message;
            return null;
        }
    }

    // Who hears of it must not end the loop that keeps the process running.
    private void Raise(Action what)
    {
        try
        {
            what();
        }
        catch (Exception e)
        {
            Note($"{name}: {e.Message}");
        }
    }

    private void Note(string text)
    {
        if (_log is null) return;
        try
        {
            File.AppendAllText(_log, $"[naru {time.GetUtcNow():HH:mm:ss.fff}] {text}\n");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The log is a courtesy.
        }
    }
}

// One process of a pod, from its start to its end: where it was found, whether it answered. What is known of it belongs to it and ends with
// it; a look or a question that comes back late writes here, where nobody reads any more, and never into the life of the next process.
using System.Net;
using Naru.Core;
using Naru.Local.Manifests;
using Naru.Local.Processes;

namespace Naru.Local.Pods;

/// <summary>The life of one process.</summary>
/// <param name="how">How it is asked whether it is ready.</param>
/// <param name="ask">Asks; null for ready, else why not.</param>
/// <param name="fit">Makes the sidecar send to where it was found; completes when it does.</param>
/// <param name="time">Clock.</param>
internal sealed class AppLife(Probe how, Func<IPEndPoint, CancellationToken, Task<string?>> ask,
    Func<Way, Sight, CancellationToken, Task> fit, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan s_calmLook = TimeSpan.FromSeconds(1);

    // Nobody sends a second question while the first one waits, so one place is enough to say that there is something to ask.
    private readonly SemaphoreSlim _news = new(0);
    private readonly CancellationTokenSource _end = new();
    private volatile IPEndPoint? _target;

    /// <summary>Where its sidecar sends, or null.</summary>
    public IPEndPoint? Target => _end.IsCancellationRequested ? null : _target;

    /// <summary>Whether it may get requests.</summary>
    public bool IsReady { get; private set; }

    /// <summary>Why it is not ready.</summary>
    public string Reason { get; private set; } = "its process does not listen yet";

    /// <summary>Whether it was ever found listening.</summary>
    public bool HasListened { get; private set; }

    /// <summary>Cancelled when it ends.</summary>
    public CancellationToken Ended => _end.Token;

    /// <summary>Readiness or reason may have changed. Not after the end.</summary>
    public event Action? Changed;

    /// <summary>A process without ports is ready as soon as it runs.</summary>
    public void BeReady() => Set(true, "");

    /// <summary>It listens there.</summary>
    public async Task FoundAsync(Way way, Sight sight)
    {
        await fit(way, sight, _end.Token).ConfigureAwait(false);
        if (_end.IsCancellationRequested) return;
        HasListened = true;
        _target = way.Address;
        if (_news.CurrentCount == 0) _news.Release();
    }

    /// <summary>It does not listen there any more.</summary>
    public void Lost(Diagnostic why)
    {
        _target = null;
        Set(false, why.Message);
    }

    /// <summary>What keeps it from being found.</summary>
    public void Say(Diagnostic what)
    {
        if (!IsReady) Set(false, what.Message);
    }

    /// <summary>Asks it whether it is ready for as long as there is something to ask; ends with it.</summary>
    public async Task ProbeAsync(CancellationToken cancel)
    {
        long since = time.GetTimestamp();
        int failures = 0;
        while (true)
        {
            // What listens goes on until it ends or is seen to stop; only those with a question of their own are asked again.
            if (_target is not { } target || (IsReady && how.Path is null))
            {
                await _news.WaitAsync(cancel).ConfigureAwait(false);
                (since, failures) = (time.GetTimestamp(), 0);
                continue;
            }
            string? fault = await ask(target, cancel).ConfigureAwait(false);
            cancel.ThrowIfCancellationRequested();
            // It went or moved while we asked.
            if (!ReferenceEquals(_target, target)) continue;
            if (fault is null)
            {
                failures = 0;
                Set(true, "");
            }
            else if (!IsReady || ++failures >= how.FailureThreshold)
            {
                if (IsReady) since = time.GetTimestamp();
                Set(false, fault);
            }
            if (IsReady && how.Path is null) continue;
            TimeSpan hurry = time.GetElapsedTime(since) < AppWatch.Patience ? s_look : s_calmLook;
            await Task.Delay(IsReady ? how.Period : hurry, time, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>It has ended.</summary>
    public void Dispose()
    {
        Changed = null;
        _end.Cancel();
    }

    private void Set(bool ready, string reason)
    {
        if (_end.IsCancellationRequested) return;
        (IsReady, Reason) = (ready, reason);
        Changed?.Invoke();
    }
}

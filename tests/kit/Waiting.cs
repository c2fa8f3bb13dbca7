// Bounded waiting for tests: every wait names what it waits for and ends with that name when it does not come.
// Stands below all other kit files. The poll loop here is the only one in test code; nothing else may sleep.
namespace Naru.Kit;

/// <summary>Waits with a bound. The bound says when a test gives up, never how fast something has to be.</summary>
public static class Waiting
{
    /// <summary>How long a wait lasts at most where the caller says nothing. Generous, since build machines are slow and shared.</summary>
    public static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(15);

    /// <summary>Polls until <paramref name="probe"/> holds.</summary>
    /// <exception cref="TimeoutException">It did not hold within the bound; the message is <paramref name="what"/>.</exception>
    public static Task UntilAsync(Func<bool> probe, string what, TimeSpan? bound = null) =>
        UntilAsync(() => Task.FromResult(probe()), what, bound);

    /// <summary>Polls until <paramref name="probe"/> holds.</summary>
    public static Task UntilAsync(Func<Task<bool>> probe, string what, TimeSpan? bound = null) =>
        ForAsync(async () => await probe().ConfigureAwait(false) ? "" : null, what, bound);

    /// <summary>Polls until <paramref name="probe"/> yields a value.</summary>
    public static async Task<T> ForAsync<T>(Func<Task<T?>> probe, string what, TimeSpan? bound = null)
        where T : class
    {
        TimeSpan limit = bound ?? Bound;
        long start = TimeProvider.System.GetTimestamp();
        using var timer = new PeriodicTimer(s_interval);
        while (true)
        {
            if (await probe().ConfigureAwait(false) is { } value) return value;
            if (TimeProvider.System.GetElapsedTime(start) > limit) throw new TimeoutException($"waited {limit.TotalSeconds:0} s for {what}");
            await timer.WaitForNextTickAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The task's result, or a timeout that says what was awaited.</summary>
    public static async Task<T> Within<T>(this Task<T> task, string what, TimeSpan? bound = null)
    {
        TimeSpan limit = bound ?? Bound;
        try
        {
            return await task.WaitAsync(limit).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!task.IsCompleted)
        {
            throw new TimeoutException($"waited {limit.TotalSeconds:0} s for {what}");
        }
    }

    /// <summary>The task's end, or a timeout that says what was awaited.</summary>
    public static async Task Within(this Task task, string what, TimeSpan? bound = null)
    {
        TimeSpan limit = bound ?? Bound;
        try
        {
            await task.WaitAsync(limit).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!task.IsCompleted)
        {
            throw new TimeoutException($"waited {limit.TotalSeconds:0} s for {what}");
        }
    }
}

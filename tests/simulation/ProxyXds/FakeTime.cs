// A clock that only moves when a test says so.
namespace Naru.SimulationTests.ProxyXds;

/// <summary>Timers fire in the order of their times while <see cref="Advance"/> runs.</summary>
internal sealed class FakeTime : TimeProvider
{
    private readonly List<Timer> _timers = [];
    private TimeSpan _now = TimeSpan.FromHours(1);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>What each look at the clock takes.</summary>
    public TimeSpan Drift { get; set; }

    public override long GetTimestamp() => (_now += Drift).Ticks;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + _now;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(this, () => callback(state));
        timer.Change(dueTime, period);
        _timers.Add(timer);
        return timer;
    }

    /// <summary>Moves on by <paramref name="by"/>; <paramref name="after"/> runs after each timer that fires.</summary>
    public void Advance(TimeSpan by, Action after)
    {
        TimeSpan end = _now + by;
        while (_timers.Where(t => t.Due <= end).MinBy(t => t.Due) is { } next)
        {
            if (next.Due > _now) _now = next.Due.Value;
            next.Due = null;
            next.Fire();
            after();
        }
        _now = end;
    }

    private sealed class Timer(FakeTime clock, Action fire) : ITimer
    {
        public TimeSpan? Due { get; set; }

        public void Fire() => fire();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Due = dueTime == Timeout.InfiniteTimeSpan ? null : clock._now + dueTime;
            return true;
        }

        public void Dispose() => clock._timers.Remove(this);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}

// Times as .NET's timers take them.
namespace Naru.Core;

/// <summary>Times for timers.</summary>
public static class Periods
{
    /// <summary>What a timer takes at most, some 49 days.</summary>
    public static TimeSpan Longest { get; } = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    /// <summary>The time, or the longest that a timer takes: a configuration may say years, and nobody waits so long.</summary>
    public static TimeSpan ForTimer(this TimeSpan time) => time > Longest ? Longest : time;
}

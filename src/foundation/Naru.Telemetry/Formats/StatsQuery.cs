// Which stats somebody wants to see: kind, name pattern, only those that moved.
// Stands under the three formats; what a query string may say is the admin's matter.
using System.Globalization;
using System.Text.RegularExpressions;

namespace Naru.Telemetry;

/// <summary>Kinds of stats in a <see cref="StatsQuery"/>.</summary>
[Flags]
public enum StatTypes
{
    /// <summary>Counters.</summary>
    Counters = 1,
    /// <summary>Gauges.</summary>
    Gauges = 2,
    /// <summary>Histograms.</summary>
    Histograms = 4,
    /// <summary>Texts.</summary>
    Texts = 8,
    /// <summary>Everything.</summary>
    All = 15,
}

/// <summary>How histograms are shown.</summary>
public enum StatBucketForm
{
    /// <summary>As quantiles.</summary>
    None,
    /// <summary>How many are at most each bound.</summary>
    Cumulative,
    /// <summary>How many are between each bound and the one before.</summary>
    Disjoint,
}

/// <summary>A selection of stats.</summary>
public sealed record StatsQuery
{
    /// <summary>Everything.</summary>
    public static StatsQuery All { get; } = new();

    /// <summary>Kinds (default all).</summary>
    public StatTypes Types { get; init; } = StatTypes.All;

    /// <summary>Found anywhere in the full dotted name; null is every name. <see cref="RegexOptions.NonBacktracking"/>, since strangers may write it.</summary>
    public Regex? Filter { get; init; }

    /// <summary>How histograms are shown.</summary>
    public StatBucketForm Buckets { get; init; }

    /// <summary>Leaves out what never moved; of a gauge at 0 that is known where a counter counts what it is about.</summary>
    public bool UsedOnly { get; init; }

    /// <summary>Compiles a pattern for <see cref="Filter"/>.</summary>
    /// <exception cref="ArgumentException">It is not a regular expression, or it needs backtracking.</exception>
    public static Regex CompileFilter(string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (NotSupportedException e)
        {
            throw new ArgumentException(e.Message, e);
        }
    }

    internal bool Wants(StatKind kind) => (Types & (kind == StatKind.Counter ? StatTypes.Counters : StatTypes.Gauges)) != 0;

    internal bool WantsTexts => (Types & StatTypes.Texts) != 0;

    internal bool WantsHistograms => (Types & StatTypes.Histograms) != 0;

    internal bool Wants(StatBlock block, string stat)
    {
        if (Filter is null) return true;
        Span<char> name = stackalloc char[256];
        return block.Prefix.Length + stat.Length < 255 && name.TryWrite(CultureInfo.InvariantCulture, $"{block.Prefix}.{stat}", out int length)
            ? Filter.IsMatch(name[..length])
            : Filter.IsMatch($"{block.Prefix}.{stat}");
    }
}

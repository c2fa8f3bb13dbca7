// Times to live of resources (xDS transport protocol, "Resource TTL"): what is not renewed in time is taken away, so that a fault that was
// injected for a moment does not outlive the control plane that meant to end it.
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Xds;

/// <summary>Until when each resource that came with a time to live may be used. Runs on the main context.</summary>
/// <param name="time">The clock.</param>
/// <param name="main">Where <paramref name="expired"/> is called.</param>
/// <param name="expired">Told the names of one type whose time is over; they are forgotten here.</param>
internal sealed class Leases(TimeProvider time, MainContext main, Action<ResourceType, IReadOnlyList<string>> expired) : IDisposable
{
    // Longer than this is for ever, and a timer has its bounds.
    private static readonly TimeSpan Most = TimeSpan.FromDays(7);

    private readonly Dictionary<(ResourceType Type, string Name), long> _until = [];
    private ITimer? _timer;
    private long _next = long.MaxValue;

    /// <summary>Whether the removal of a resource of this type means anything: a secret or a filter is kept while something refers to it, and a
    /// virtual host on demand would only be asked for again.</summary>
    public static bool Has(ResourceType type) => type is not (ResourceType.Secret or ResourceType.Filter or ResourceType.VirtualHost);

    /// <summary>A stated time as one that can be kept; null where it is not above 0 or out of range.</summary>
    public static TimeSpan? Read(Duration stated)
    {
        if (stated.Seconds < 0 || stated.Nanos is < 0 or > 999_999_999 || (stated.Seconds == 0 && stated.Nanos == 0)) return null;
        return stated.Seconds >= (long)Most.TotalSeconds ? Most : TimeSpan.FromSeconds(stated.Seconds) + TimeSpan.FromTicks(stated.Nanos / 100 + 1);
    }

    /// <summary>A resource was accepted or renewed; without a time to live it stays.</summary>
    public void Set(ResourceType type, string name, TimeSpan? stays)
    {
        if (stays is null)
        {
            _until.Remove((type, name));
            return;
        }
        long until = time.GetTimestamp() + (long)(stays.Value.TotalSeconds * time.TimestampFrequency);
        _until[(type, name)] = until;
        if (until < _next) Await(until);
    }

    /// <inheritdoc/>
    public void Dispose() => _timer?.Dispose();

    private void Await(long until)
    {
        _next = until;
        _timer ??= time.CreateTimer(_ => main.Post(Look), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        long left = Math.Max(0, until - time.GetTimestamp());
        _timer.Change(TimeSpan.FromSeconds((double)left / time.TimestampFrequency) + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    private void Look()
    {
        long now = time.GetTimestamp();
        foreach (IGrouping<ResourceType, string> over in _until.Where(u => u.Value <= now).Select(u => u.Key).GroupBy(k => k.Type, k => k.Name).ToList())
        {
            foreach (string name in over) _until.Remove((over.Key, name));
            expired(over.Key, [.. over.Order(StringComparer.Ordinal)]);
        }
        _next = long.MaxValue;
        if (_until.Count > 0) Await(_until.Values.Min());
    }
}

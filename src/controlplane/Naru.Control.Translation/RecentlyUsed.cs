// What was made for single proxies, as long as somebody asks for it: proxies come and go, and nobody says when one is gone.
using System.Collections.Concurrent;

namespace Naru.Control.Translation;

/// <summary>Values by key in two generations: what was asked for since the last <see cref="Turn"/>, and before it. What two turns did not
/// ask for is forgotten; what is asked for again then is made again. Safe for concurrent use.</summary>
/// <param name="limit">Values of one generation at which it turns by itself.</param>
public sealed class RecentlyUsed<T>(int limit)
{
    private readonly Lock _gate = new();
    private volatile ConcurrentDictionary<string, Lazy<T>> _young = new(StringComparer.Ordinal);
    private volatile ConcurrentDictionary<string, Lazy<T>> _old = new(StringComparer.Ordinal);

    /// <summary>Values kept now; one that is in both generations counts twice.</summary>
    public int Count => _young.Count + _old.Count;

    /// <summary>The value of a key, made once while it is kept.</summary>
    public T GetOrAdd(string key, Func<T> make)
    {
        ConcurrentDictionary<string, Lazy<T>> young = _young;
        if (young.TryGetValue(key, out Lazy<T>? known)) return known.Value;
        Lazy<T> made = young.GetOrAdd(key, _ => _old.TryGetValue(key, out Lazy<T>? before) ? before : new Lazy<T>(make));
        if (young.Count > limit) Turn(young);
        return made.Value;
    }

    /// <summary>Begins a new generation.</summary>
    public void Turn() => Turn(_young);

    private void Turn(ConcurrentDictionary<string, Lazy<T>> from)
    {
        lock (_gate)
        {
            if (!ReferenceEquals(from, _young)) return;
            _old = from;
            _young = new ConcurrentDictionary<string, Lazy<T>>(StringComparer.Ordinal);
        }
    }
}

// Secrets that filters read (generic_secret): texts by name, from the bootstrap or from SDS. A filter holds the place of a name, and
// whatever is there is used from then on; an empty text is as none, for a key of nothing would sign everything. What is in them is never
// told.
using System.Collections.Concurrent;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Filters;

/// <summary>All of them. Any thread may ask.</summary>
internal sealed class FilterSecrets
{
    private readonly ConcurrentDictionary<string, FilterSecret> _all = new(StringComparer.Ordinal);

    /// <summary>The place of a name.</summary>
    public FilterSecret Of(string name) => _all.GetOrAdd(name, static _ => new FilterSecret());

    /// <summary>A secret is new or has changed.</summary>
    public void Set(SecretConfig secret) => Of(secret.Name).Set(secret.Generic);

    /// <summary>Nobody names it any more. Who still ends requests with it goes on.</summary>
    public void Remove(string name) => _all.TryRemove(name, out _);
}

/// <summary>The place of one secret.</summary>
internal sealed class FilterSecret
{
    private const long LookMs = 1000;
    private const int MostBytes = 64 * 1024;
    private readonly Lock _gate = new();
    private volatile byte[]? _value;
    private volatile string? _file;
    private FileStamp _stamp;
    private long _lookAt;

    /// <summary>Its bytes, or null: there is none yet, or it is another kind's. A file is looked at once a second at most, by who uses it;
    /// one that cannot be read leaves what it held.</summary>
    public byte[]? Value
    {
        get
        {
            if (_file is not null && Environment.TickCount64 >= Volatile.Read(ref _lookAt)) Look();
            return _value;
        }
    }

    /// <summary>Takes what was brought; null is a secret of another kind.</summary>
    public void Set(DataSourceConfig? source)
    {
        lock (_gate)
        {
            _stamp = default;
            _lookAt = 0;
            _file = source?.File;
            if (source is not { File: not null }) _value = source is { Inline.IsEmpty: false } ? [.. source.Inline] : null;
        }
        if (_file is not null) Look();
    }

    private void Look()
    {
        lock (_gate)
        {
            long now = Environment.TickCount64;
            if (_file is not { } path || now < _lookAt) return;
            Volatile.Write(ref _lookAt, now + LookMs);
            FileStamp stamp = FileStamp.Of(path);
            if (stamp == default || stamp == _stamp) return;
            try
            {
                using FileStream file = File.OpenRead(path);
                if (file.Length is 0 or > MostBytes) return;
                byte[] read = new byte[file.Length];
                file.ReadExactly(read);
                (_value, _stamp) = (read, stamp);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Half written, or gone: the next look may find it.
            }
        }
    }
}

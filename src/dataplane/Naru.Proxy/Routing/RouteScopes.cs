// One routing table of several, by headers of the request (Envoy: ScopedRoutes). A request whose headers make no key, or one that no scope has, has no route.
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal sealed class RouteScopes
{
    private const int MostKey = 1024;
    private readonly (ScopeFragmentConfig Config, byte[] Header, byte[] Separator, byte[] Key, byte[] KeySeparator)[] _fragments;
    private readonly DiscoveredScopes _scopes;
    private readonly RouteTable _none;

    /// <param name="config">Fragments and scopes.</param>
    /// <param name="make">Compiles a table, or goes on with the one that was there.</param>
    /// <param name="discovered">Scopes that discovery brings, for managers whose scopes come from there.</param>
    public RouteScopes(ScopedRoutesConfig config, Func<RouteConfigurationConfig, RouteTable> make, DiscoveredScopes discovered)
    {
        _fragments =
        [
            .. config.Fragments.Select(f => (f, Encoding.ASCII.GetBytes(f.Header), Encoding.UTF8.GetBytes(f.Separator), Encoding.UTF8.GetBytes(f.ElementKey),
                Encoding.UTF8.GetBytes(f.KeySeparator))),
        ];
        if (config.Source is not null) _scopes = discovered;
        else
        {
            _scopes = new DiscoveredScopes();
            _scopes.Replace(config.Scopes.Select(s => (Key(s.Key), new RouteSlot(s.Routes.Name) { Current = make(s.Routes) })));
        }
        _none = make(new RouteConfigurationConfig { Name = "" });
    }

    /// <summary>All tables.</summary>
    public IEnumerable<RouteTable> Tables => _scopes.Tables;

    /// <summary>The table of a request; one without routes where no scope is its own.</summary>
    public RouteTable Of(HeadEdits head)
    {
        Span<char> key = stackalloc char[MostKey];
        int length = 0;
        foreach (ref readonly (ScopeFragmentConfig Config, byte[] Header, byte[] Separator, byte[] Key, byte[] KeySeparator) fragment in _fragments.AsSpan())
        {
            if (!head.TryGet(fragment.Header, out ReadOnlySpan<byte> value) || !TryTake(fragment.Config, fragment.Separator, fragment.Key, fragment.KeySeparator, ref value))
                return _none;
            if (length + value.Length + 1 > MostKey) return _none;
            length += Encoding.Latin1.GetChars(value, key[length..]);
            key[length++] = '\n';
        }
        return _scopes.Find(key[..length]) ?? _none;
    }

    private static bool TryTake(ScopeFragmentConfig config, ReadOnlySpan<byte> separator, ReadOnlySpan<byte> key, ReadOnlySpan<byte> keySeparator, ref ReadOnlySpan<byte> value)
    {
        ReadOnlySpan<byte> rest = value;
        for (int i = 0; ; i++)
        {
            int end = separator.Length == 0 ? -1 : rest.IndexOf(separator);
            ReadOnlySpan<byte> element = end < 0 ? rest : rest[..end];
            if (config.Index is { } index)
            {
                value = element;
                if (i == index) return true;
            }
            else if (element.IndexOf(keySeparator) is >= 0 and var at && element[..at].SequenceEqual(key))
            {
                value = element[(at + keySeparator.Length)..];
                return true;
            }
            if (end < 0) return false;
            rest = rest[(end + separator.Length)..];
        }
    }

    // No value of a header holds a line end: keys cannot run into each other. Bytes as characters of the same number.
    public static string Key(ImmutableArray<string> fragments) => string.Concat(fragments.Select(f => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(f)) + "\n"));
}

/// <summary>Tables by the keys of their scopes, replaced whole while requests go on.</summary>
internal sealed class DiscoveredScopes
{
    private sealed record Picture(FrozenDictionary<string, RouteSlot> Slots, FrozenDictionary<string, RouteSlot>.AlternateLookup<ReadOnlySpan<char>> ByKey);

    private volatile Picture _now = Of([]);

    /// <summary>The tables that are there.</summary>
    public IEnumerable<RouteTable> Tables => _now.Slots.Values.Select(s => s.Current).OfType<RouteTable>();

    /// <summary>The table of a key; null where no scope has it, or its table is not there.</summary>
    public RouteTable? Find(ReadOnlySpan<char> key) => _now.ByKey.TryGetValue(key, out RouteSlot? slot) ? slot.Current : null;

    /// <summary>These are all; of two with one key the first is it.</summary>
    public void Replace(IEnumerable<(string Key, RouteSlot Slot)> scopes) => _now = Of(scopes);

    private static Picture Of(IEnumerable<(string Key, RouteSlot Slot)> scopes)
    {
        FrozenDictionary<string, RouteSlot> slots = scopes.DistinctBy(s => s.Key, StringComparer.Ordinal).ToFrozenDictionary(s => s.Key, s => s.Slot, StringComparer.Ordinal);
        return new Picture(slots, slots.GetAlternateLookup<ReadOnlySpan<char>>());
    }
}

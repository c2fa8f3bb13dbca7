// The routes of a virtual host by what they say of paths, where there are many: those whose path or prefix is a text are found by search, and only what
// can match is asked, in the order of the list. A request costs the logarithm of such routes, and the number of the others (patterns, templates).
namespace Naru.Proxy.Routing;

internal sealed class RouteIndex
{
    // Fewer are looked through as fast.
    private const int Least = 12;

    // More prefixes of one path than that are rare: then all routes are looked through.
    private const int MostLists = 64;

    private readonly Route[] _routes;
    private readonly int[] _others;

    // Texts in the order of their bytes; the routes of each; and the longest other text that is a prefix of it, or -1.
    private readonly byte[][] _texts;
    private readonly int[][] _of;
    private readonly int[] _shorter;

    private RouteIndex(Route[] routes)
    {
        _routes = routes;
        var byText = new SortedDictionary<byte[], List<int>>(Comparer<byte[]>.Create(static (x, y) => x.AsSpan().SequenceCompareTo(y)));
        var others = new List<int>();
        for (int i = 0; i < routes.Length; i++)
        {
            if (!IsText(routes[i]))
            {
                others.Add(i);
                continue;
            }
            byte[] text = routes[i].ComparedPath.ToArray();
            if (!byText.TryGetValue(text, out List<int>? list)) byText[text] = list = [];
            list.Add(i);
        }
        _others = [.. others];
        _texts = [.. byText.Keys];
        _of = [.. byText.Values.Select(l => l.ToArray())];
        _shorter = new int[_texts.Length];
        for (int i = 0; i < _texts.Length; i++)
        {
            int at = i - 1;
            while (at >= 0 && !_texts[i].AsSpan().StartsWith(_texts[at])) at = _shorter[at];
            _shorter[i] = at;
        }
    }

    /// <summary>Null where the list itself is as fast.</summary>
    public static RouteIndex? Of(Route[] routes) => routes.Count(IsText) >= Least ? new RouteIndex(routes) : null;

    // Letter case aside, bytes are in no order.
    private static bool IsText(Route route) => route.Config.Match is { CaseSensitive: true, Kind: Config.PathMatchKind.Prefix or Config.PathMatchKind.Exact or Config.PathMatchKind.PathSeparatedPrefix };

    /// <summary>The first route that matches, or null.</summary>
    public Route? First(scoped in RequestView request, uint random)
    {
        // Each list that may hold a match, and how far it was looked through; the lists' own order is that of the routes.
        Span<int> lists = stackalloc int[MostLists], at = stackalloc int[MostLists];
        int count = 0;
        for (int i = Longest(request.Path); i >= 0; i = _shorter[i])
        {
            if (count == MostLists - 1) return All(request, random);
            lists[count++] = i;
        }
        if (_others.Length > 0) lists[count++] = -1;
        at[..count].Clear();
        while (true)
        {
            int first = int.MaxValue, from = -1;
            for (int i = 0; i < count; i++)
            {
                int[] list = lists[i] < 0 ? _others : _of[lists[i]];
                if (at[i] < list.Length && list[at[i]] < first) (first, from) = (list[at[i]], i);
            }
            if (from < 0) return null;
            at[from]++;
            if (_routes[first].Test(request, random).Kind == MismatchKind.None) return _routes[first];
        }
    }

    private Route? All(scoped in RequestView request, uint random)
    {
        foreach (Route route in _routes) if (route.Test(request, random).Kind == MismatchKind.None) return route;
        return null;
    }

    // The longest text that the path begins with.
    private int Longest(ReadOnlySpan<byte> path)
    {
        int low = 0, high = _texts.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (path.SequenceCompareTo(_texts[middle]) < 0) high = middle;
            else low = middle + 1;
        }
        int at = low - 1;
        while (at >= 0 && !path.StartsWith(_texts[at])) at = _shorter[at];
        return at;
    }
}

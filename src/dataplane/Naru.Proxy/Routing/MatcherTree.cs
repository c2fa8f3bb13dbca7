// A matcher compiled (xds.type.matcher.v3.Matcher): from headers and attributes of a request to an action. An end that is a matcher without
// an answer for the request does not end the search: the next rule, the next shorter prefix, on_no_match are asked.
using System.Collections.Frozen;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <typeparam name="T">The action, compiled.</typeparam>
internal sealed class MatcherTree<T> where T : class
{
    private readonly (RequestPredicate When, End Then)[] _rules;
    private readonly End? _rest;
    private readonly byte[]? _header;
    private readonly FrozenDictionary<string, End>.AlternateLookup<ReadOnlySpan<char>> _exact;
    private readonly (byte[] Prefix, End Then)[]? _prefixes;

    private MatcherTree((RequestPredicate, End)[] rules, End? rest, byte[]? header, FrozenDictionary<string, End>? exact,
        (byte[], End)[]? prefixes)
    {
        (_rules, _rest, _header, _prefixes) = (rules, rest, header, prefixes);
        if (exact is not null) _exact = exact.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    private sealed record End(MatcherTree<T>? Tree, T? Action);

    /// <summary>Compiles one.</summary>
    public static MatcherTree<T> Of<TConfig>(MatcherConfig<TConfig> config, Func<TConfig, T> action) where TConfig : class
    {
        End To(MatcherEndConfig<TConfig> end) => new(end.Matcher is { } tree ? Of(tree, action) : null, end.Action is { } last ? action(last) : null);
        MatcherMapConfig<TConfig>? map = config.Map;
        return new MatcherTree<T>(
            [.. config.Rules.Select(r => (RequestPredicate.Of(r.When), To(r.Then)))],
            config.NoMatch is { } rest ? To(rest) : null,
            map is null ? null : Encoding.ASCII.GetBytes(map.Header),
            map is { IsPrefix: false } ? map.Entries.ToFrozenDictionary(e => Bytes(e.Key), e => To(e.Then), StringComparer.Ordinal) : null,
            map is { IsPrefix: true } ? [.. map.Entries.Select(e => (Encoding.UTF8.GetBytes(e.Key), To(e.Then))).OrderBy(e => e.Item1, ByteOrder.Instance)] : null);
    }

    /// <summary>Where the request leads; null for nowhere.</summary>
    public T? Find(HeadEdits head, IRequestInfo info)
    {
        foreach ((RequestPredicate when, End then) in _rules) if (when.Holds(head, info) && Follow(then, head, info) is { } found)
            return found;
        if (_header is not null && ByValue(head, info) is { } mapped) return mapped;
        return _rest is null ? null : Follow(_rest, head, info);
    }

    private static T? Follow(End end, HeadEdits head, IRequestInfo info) => end.Tree is { } tree ? tree.Find(head, info) : end.Action;

    private T? ByValue(HeadEdits head, IRequestInfo info)
    {
        Span<byte> room = stackalloc byte[HeaderValues.Room];
        if (!HeaderValues.TryJoin(head, _header, room, out ReadOnlySpan<byte> value)) return null;
        if (_prefixes is { } prefixes) return ByPrefix(prefixes, value, head, info);
        Span<char> chars = value.Length <= HeaderValues.Room ? stackalloc char[HeaderValues.Room] : new char[value.Length];
        int length = Encoding.Latin1.GetChars(value, chars);
        return _exact.TryGetValue(chars[..length], out End? end) ? Follow(end, head, info) : null;
    }

    // The longest first: a prefix stands behind its own prefixes in order, and before whatever is greater than the value.
    private static T? ByPrefix((byte[] Prefix, End Then)[] prefixes, ReadOnlySpan<byte> value, HeadEdits head, IRequestInfo info)
    {
        int low = 0, high = prefixes.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (value.SequenceCompareTo(prefixes[middle].Prefix) < 0) high = middle;
            else low = middle + 1;
        }
        for (int i = low - 1; i >= 0;)
        {
            int common = value.CommonPrefixLength(prefixes[i].Prefix);
            if (common == prefixes[i].Prefix.Length)
            {
                if (Follow(prefixes[i].Then, head, info) is { } found) return found;
                if (common == 0) return null;
                common--;
            }
            // What comes next has to be a prefix of what they have in common.
            ReadOnlySpan<byte> rest = value[..common];
            for (low = 0, high = i; low < high;)
            {
                int middle = (low + high) / 2;
                if (rest.SequenceCompareTo(prefixes[middle].Prefix) < 0) high = middle;
                else low = middle + 1;
            }
            i = low - 1;
        }
        return null;
    }

    // Bytes as characters of the same number: any bytes of a request can be looked up.
    private static string Bytes(string text) => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text));

    private sealed class ByteOrder : IComparer<byte[]>
    {
        public static readonly ByteOrder Instance = new();

        public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
    }
}

/// <summary>The condition of a rule.</summary>
internal abstract class RequestPredicate
{
    public abstract bool Holds(HeadEdits head, IRequestInfo info);

    public static RequestPredicate Of(PredicateConfig config) => config switch
    {
        HeaderPredicateConfig single => new Single(Encoding.ASCII.GetBytes(single.Header), new ByteMatcher(single.Value)),
        ExpressionPredicateConfig asked => new Asked(asked.Expression),
        CombinedPredicateConfig several => new Several(several.All, [.. several.Of.Select(Of)]),
        NotPredicateConfig not => new Not(Of(not.Of)),
        _ => throw new ArgumentException($"{config.GetType().Name} is no predicate"),
    };

    private sealed class Single(byte[] header, ByteMatcher value) : RequestPredicate
    {
        public override bool Holds(HeadEdits head, IRequestInfo info)
        {
            Span<byte> room = stackalloc byte[HeaderValues.Room];
            return HeaderValues.TryJoin(head, header, room, out ReadOnlySpan<byte> found) && value.Matches(found);
        }
    }

    private sealed class Asked(Expression expression) : RequestPredicate
    {
        public override bool Holds(HeadEdits head, IRequestInfo info) => expression.Holds(info) == true;
    }

    private sealed class Several(bool all, RequestPredicate[] of) : RequestPredicate
    {
        public override bool Holds(HeadEdits head, IRequestInfo info)
        {
            foreach (RequestPredicate one in of) if (one.Holds(head, info) != all) return !all;
            return all;
        }
    }

    private sealed class Not(RequestPredicate of) : RequestPredicate
    {
        public override bool Holds(HeadEdits head, IRequestInfo info) => !of.Holds(head, info);
    }
}

/// <summary>The values of a name as one.</summary>
internal static class HeaderValues
{
    /// <summary>Bytes that several joined values have at most on the stack.</summary>
    public const int Room = 1024;

    /// <summary>All values, with commas between them where there are several; false without any.</summary>
    /// <param name="head">The head.</param>
    /// <param name="name">Lower case; a pseudo header, too.</param>
    /// <param name="room">Where they are joined, where that is long enough.</param>
    /// <param name="value">Valid until the head changes, or the room does.</param>
    public static bool TryJoin(HeadEdits head, ReadOnlySpan<byte> name, Span<byte> room, out ReadOnlySpan<byte> value)
    {
        if (!head.TryGet(name, out value)) return false;
        if (name[0] == ':') return true;
        int first = head.Next(name), next = first < 0 ? -1 : head.Next(name, first + 1);
        if (next < 0) return true;
        int length = value.Length;
        for (int i = next; i >= 0; i = head.Next(name, i + 1)) length += 1 + head.Value(i).Length;
        Span<byte> joined = length <= room.Length ? room : new byte[length];
        int at = 0;
        for (int i = first; i >= 0; i = head.Next(name, i + 1))
        {
            if (i != first) joined[at++] = (byte)',';
            head.Value(i).CopyTo(joined[at..]);
            at += head.Value(i).Length;
        }
        value = length <= room.Length ? room[..at] : joined[..at].ToArray();
        return true;
    }
}

// A matcher compiled (xds.type.matcher.v3.Matcher): from headers and attributes of a request, or facts of its connection, to an action. An end
// that is a matcher without an answer for the request does not end the search: the next rule, the next shorter prefix, on_no_match are asked.
// A condition that cannot be told (an expression that is an error) is no match where a place for the request is looked for. Whoever guards
// asks for the end that lets the least through of all that there may be.
using System.Collections.Frozen;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <typeparam name="T">The action, compiled.</typeparam>
internal sealed class MatcherTree<T> where T : class
{
    private readonly (MatchPredicate When, End Then)[] _rules;
    private readonly End? _rest;
    private readonly byte[]? _header;
    private readonly ConnectionInput? _input;
    private readonly (AddressRange Range, bool Exclusive, End Then)[]? _ranges;
    private readonly FrozenDictionary<string, End>.AlternateLookup<ReadOnlySpan<char>> _exact;
    private readonly (byte[] Prefix, End Then)[]? _prefixes;

    private MatcherTree(
        (MatchPredicate, End)[] rules, End? rest, byte[]? header, ConnectionInput? input, FrozenDictionary<string, End>? exact,
        (byte[], End)[]? prefixes, (AddressRange, bool, End)[]? ranges)
    {
        (_rules, _rest, _header, _input, _prefixes, _ranges) = (rules, rest, header, input, prefixes, ranges);
        if (exact is not null) _exact = exact.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    private sealed record End(MatcherTree<T>? Tree, T? Action);

    /// <summary>Compiles one.</summary>
    public static MatcherTree<T> Of<TConfig>(MatcherConfig<TConfig> config, Func<TConfig, T> action) where TConfig : class
    {
        End To(MatcherEndConfig<TConfig> end) => new(end.Matcher is { } tree ? Of(tree, action) : null, end.Action is { } last ? action(last) : null);
        MatcherMapConfig<TConfig>? map = config.Map;
        return new MatcherTree<T>(
            [.. config.Rules.Select(r => (MatchPredicate.Of(r.When), To(r.Then)))],
            config.NoMatch is { } rest ? To(rest) : null,
            map is null or { Input: not null } ? null : Encoding.ASCII.GetBytes(map.Header),
            map?.Input ?? config.Ranges?.Input,
            map is { IsPrefix: false } ? map.Entries.ToFrozenDictionary(e => Bytes(e.Key), e => To(e.Then), StringComparer.Ordinal) : null,
            map is { IsPrefix: true } ? [.. map.Entries.Select(e => (Encoding.UTF8.GetBytes(e.Key), To(e.Then))).OrderBy(e => e.Item1, ByteOrder.Instance)] : null,
            // The narrowest first; of the same width the first one written.
            config.Ranges is { } ranges
                ? [.. ranges.Entries.OrderByDescending(e => e.Range.PrefixLength)
                    .Select(e => (new AddressRange(e.Range), e.Exclusive, To(e.Then)))]
                : null);
    }

    /// <summary>Where the request or the connection leads; null for nowhere. An expression that is an error does not fit (Envoy), but one
    /// that the request made too expensive leads nowhere at all: else a client could choose what comes behind it.</summary>
    public T? Find(in MatchSubject subject)
    {
        var search = new Search(null);
        T? found = Find(subject, ref search);
        return search.IsInDoubt ? null : found;
    }

    /// <summary>The same for whoever guards: a condition that cannot be told may hold or not, and of all ends that there are then one that
    /// is rather taken is taken; without one, it counts as one that does not hold.</summary>
    /// <param name="subject">What is looked at.</param>
    /// <param name="rather">The ends that let less through than none.</param>
    /// <param name="isInDoubt">A condition on the way could not be told.</param>
    public T? Find(in MatchSubject subject, Func<T, bool> rather, out bool isInDoubt)
    {
        var search = new Search(rather);
        T? found = Find(subject, ref search);
        isInDoubt = search.IsInDoubt;
        return found;
    }

    private record struct Search(Func<T, bool>? Rather)
    {
        public bool IsInDoubt { get; set; }
    }

    private T? Find(in MatchSubject subject, ref Search search)
    {
        foreach ((MatchPredicate when, End then) in _rules)
        {
            bool? holds = when.Holds(subject, search.Rather is not null);
            if (holds == false) continue;
            search.IsInDoubt |= holds is null;
            if (Follow(then, subject, ref search) is { } found && (holds == true || search.Rather?.Invoke(found) == true)) return found;
        }
        if (_ranges is not null && ByRange(_ranges, subject, ref search) is { } near) return near;
        if (_ranges is null && (_header is not null || _input is not null) && ByValue(subject, ref search) is { } mapped) return mapped;
        return _rest is null ? null : Follow(_rest, subject, ref search);
    }

    private static T? Follow(End end, in MatchSubject subject, ref Search search) =>
        end.Tree is { } tree ? tree.Find(subject, ref search) : end.Action;

    private T? ByRange((AddressRange Range, bool Exclusive, End Then)[] ranges, in MatchSubject subject, ref Search search)
    {
        Span<byte> address = stackalloc byte[16];
        int length = subject.Address(_input!.Value, address);
        if (length == 0) return null;
        bool isNarrowest = true;
        foreach ((AddressRange range, bool exclusive, End then) in ranges)
        {
            if (!range.Contains(address[..length])) continue;
            if ((isNarrowest || !exclusive) && Follow(then, subject, ref search) is { } found) return found;
            isNarrowest = false;
        }
        return null;
    }

    private T? ByValue(in MatchSubject subject, ref Search search)
    {
        Span<byte> room = stackalloc byte[HeaderValues.Room];
        if (!(_input is { } input ? subject.TryGet(input, room, out ReadOnlySpan<byte> value) : subject.TryJoin(_header, room, out value)))
            return null;
        if (_prefixes is { } prefixes) return ByPrefix(prefixes, value, subject, ref search);
        Span<char> chars = value.Length <= HeaderValues.Room ? stackalloc char[HeaderValues.Room] : new char[value.Length];
        int length = Encoding.Latin1.GetChars(value, chars);
        return _exact.TryGetValue(chars[..length], out End? end) ? Follow(end, subject, ref search) : null;
    }

    // The longest first: a prefix stands behind its own prefixes in order, and before whatever is greater than the value.
    private static T? ByPrefix(
        (byte[] Prefix, End Then)[] prefixes, ReadOnlySpan<byte> value, in MatchSubject subject, ref Search search)
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
                if (Follow(prefixes[i].Then, subject, ref search) is { } found) return found;
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
internal abstract class MatchPredicate
{
    /// <summary>Whether it holds; null where that cannot be told.</summary>
    /// <param name="subject">What is looked at.</param>
    /// <param name="doubts">An expression that is an error cannot be told; else only one that is too expensive cannot, and others do not
    /// hold.</param>
    public abstract bool? Holds(in MatchSubject subject, bool doubts);

    public static MatchPredicate Of(PredicateConfig config) => config switch
    {
        HeaderPredicateConfig single => new Single(Encoding.ASCII.GetBytes(single.Header), new ByteMatcher(single.Value)),
        ExpressionPredicateConfig asked => new Asked(asked.Expression),
        ConnectionPredicateConfig fact => new Fact(fact.Input, new ByteMatcher(fact.Value)),
        CombinedPredicateConfig several => new Several(several.All, [.. several.Of.Select(Of)]),
        NotPredicateConfig not => new Not(Of(not.Of)),
        _ => throw new ArgumentException($"{config.GetType().Name} is no predicate"),
    };

    private sealed class Single(byte[] header, ByteMatcher value) : MatchPredicate
    {
        public override bool? Holds(in MatchSubject subject, bool doubts)
        {
            Span<byte> room = stackalloc byte[HeaderValues.Room];
            return subject.TryJoin(header, room, out ReadOnlySpan<byte> found) && value.Matches(found);
        }
    }

    private sealed class Fact(ConnectionInput input, ByteMatcher value) : MatchPredicate
    {
        public override bool? Holds(in MatchSubject subject, bool doubts)
        {
            Span<byte> room = stackalloc byte[HeaderValues.Room];
            return subject.TryGet(input, room, out ReadOnlySpan<byte> found) && value.Matches(found);
        }
    }

    // Of a connection alone there are no attributes: nothing can be told.
    private sealed class Asked(Expression expression) : MatchPredicate
    {
        public override bool? Holds(in MatchSubject subject, bool doubts)
        {
            bool isSpent = false;
            bool? holds = subject.Info is { } info ? expression.Holds(info, out isSpent) : null;
            return holds ?? (doubts || isSpent ? null : false);
        }
    }

    private sealed class Several(bool all, MatchPredicate[] of) : MatchPredicate
    {
        // One that can be told may decide, whatever the others are.
        public override bool? Holds(in MatchSubject subject, bool doubts)
        {
            bool? holds = all;
            foreach (MatchPredicate one in of)
            {
                bool? here = one.Holds(subject, doubts);
                if (here == !all) return here;
                if (here is null) holds = null;
            }
            return holds;
        }
    }

    private sealed class Not(MatchPredicate of) : MatchPredicate
    {
        public override bool? Holds(in MatchSubject subject, bool doubts) => !of.Holds(subject, doubts);
    }
}

/// <summary>The values of a name as one.</summary>
internal static class HeaderValues
{
    /// <summary>Bytes that several joined values have at most on the stack.</summary>
    public const int Room = 1024;

    /// <summary>All values, with commas between them where there are several, and semicolons between cookies; false without any.</summary>
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
        ReadOnlySpan<byte> separator = HeadEdits.Separator(name);
        int length = value.Length;
        for (int i = next; i >= 0; i = head.Next(name, i + 1)) length += separator.Length + head.Value(i).Length;
        Span<byte> joined = length <= room.Length ? room : new byte[length];
        int at = 0;
        for (int i = first; i >= 0; i = head.Next(name, i + 1))
        {
            if (i != first)
            {
                separator.CopyTo(joined[at..]);
                at += separator.Length;
            }
            head.Value(i).CopyTo(joined[at..]);
            at += head.Value(i).Length;
        }
        value = length <= room.Length ? room[..at] : joined[..at].ToArray();
        return true;
    }
}

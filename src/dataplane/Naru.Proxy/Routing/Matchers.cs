// String, header and query matchers over bytes (envoy.type.matcher.v3.StringMatcher, route.v3.HeaderMatcher,
// QueryParameterMatcher).
using System.Buffers.Text;
using System.Text;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal sealed class ByteMatcher(StringMatcherConfig config)
{
    private readonly byte[] _value = Encoding.UTF8.GetBytes(config.Value);

    public bool Matches(ReadOnlySpan<byte> input) => config.Kind switch
    {
        StringMatchKind.Exact => input.Length == _value.Length && Same(input),
        StringMatchKind.Prefix => input.Length >= _value.Length && Same(input[.._value.Length]),
        StringMatchKind.Suffix => input.Length >= _value.Length && Same(input[^_value.Length..]),
        StringMatchKind.Contains => Contains(input),
        _ => Re2.IsMatch(config.Regex!, input),
    };

    /// <summary>The same of text.</summary>
    public bool Matches(string text)
    {
        Span<byte> room = stackalloc byte[1024];
        return Matches(Encoding.UTF8.TryGetBytes(text, room, out int length) ? room[..length] : Encoding.UTF8.GetBytes(text));
    }

    private bool Same(ReadOnlySpan<byte> part) =>
        config.IgnoreCase ? SameLetters(part, _value) : part.SequenceEqual(_value);

    private bool Contains(ReadOnlySpan<byte> input)
    {
        if (!config.IgnoreCase) return input.IndexOf(_value) >= 0;
        for (int i = 0; i + _value.Length <= input.Length; i++)
            if (SameLetters(input.Slice(i, _value.Length), _value)) return true;
        return false;
    }

    /// <summary>Whether both are the same but for the case of ASCII's letters. Other bytes stand for themselves (the method of that name in
    /// .NET finds none of them equal).</summary>
    public static bool SameLetters(ReadOnlySpan<byte> one, ReadOnlySpan<byte> other)
    {
        if (one.Length != other.Length) return false;
        for (int i = 0; i < one.Length; i++)
            if (one[i] != other[i] && (!char.IsAsciiLetter((char)one[i]) || (one[i] | 0x20) != (other[i] | 0x20))) return false;
        return true;
    }
}

internal sealed class HeaderMatcher(HeaderMatcherConfig config)
{
    private readonly byte[] _name = Encoding.ASCII.GetBytes(config.Name.ToLowerInvariant());
    private readonly ByteMatcher? _value = config.Value is null ? null : new ByteMatcher(config.Value);
    private readonly bool _isCookie = string.Equals(config.Name, "cookie", StringComparison.OrdinalIgnoreCase);

    public HeaderMatcherConfig Config { get; } = config;

    /// <summary>Whether the request's head fits. A name that came several times is looked at value by value: one that fits is enough, and inverted none
    /// may fit, so that a second value cannot slip past. Lines of cookies are one. A missing header fits only where it counts as empty.</summary>
    public bool Matches(HeadEdits head)
    {
        if (Config.Present is { } present) return ((Config.TreatMissingAsEmpty || head.Has(_name)) == present) != Config.Invert;
        if (_name[0] == ':' || _name.AsSpan().SequenceEqual("host"u8))
            return head.TryGet(_name, out ReadOnlySpan<byte> pseudo) ? Fits(pseudo) != Config.Invert : Config.TreatMissingAsEmpty && Fits(default) != Config.Invert;
        int index = head.Next(_name);
        if (index < 0) return Config.TreatMissingAsEmpty && Fits(default) != Config.Invert;
        if (_isCookie && head.Next(_name, index + 1) >= 0)
        {
            Span<byte> room = stackalloc byte[HeaderValues.Room];
            return HeaderValues.TryJoin(head, _name, room, out ReadOnlySpan<byte> all) && Fits(all) != Config.Invert;
        }
        for (; index >= 0; index = head.Next(_name, index + 1)) if (Fits(head.Value(index))) return !Config.Invert;
        return Config.Invert;
    }

    /// <summary>Whether a request without any headers fits.</summary>
    public bool MatchesNone() => Config.Present is { } present ? (Config.TreatMissingAsEmpty == present) != Config.Invert : Config.TreatMissingAsEmpty && Fits(default) != Config.Invert;

    private bool Fits(ReadOnlySpan<byte> value)
    {
        if (Config.Range is { } range) return TryNumber(value, out long number) && number >= range.Start && number < range.End;
        return _value is null || _value.Matches(value);
    }

    // Digits with or without a sign in front, and nothing else.
    private static bool TryNumber(ReadOnlySpan<byte> text, out long number) =>
        Utf8Parser.TryParse(text, out number, out int used) && used == text.Length;
}

internal sealed class QueryMatcher(QueryParameterMatcherConfig config)
{
    private readonly byte[] _name = Encoding.UTF8.GetBytes(config.Name);
    private readonly ByteMatcher? _value = config.Value is null ? null : new ByteMatcher(config.Value);

    public QueryParameterMatcherConfig Config { get; } = config;

    public bool Matches(in RequestView request) => Matches(request.Query, null);

    /// <summary>The same with names and values as they are meant (RFC 3986 2.1), where what counts is what a service will read.</summary>
    public bool MatchesDecoded(ReadOnlySpan<byte> query)
    {
        if (!query.Contains((byte)'%')) return Matches(query, null);
        byte[] decoded = System.Buffers.ArrayPool<byte>.Shared.Rent(query.Length);
        try
        {
            return Matches(query, decoded);
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(decoded);
        }
    }

    // With room for a decoded name or value; without, all are taken as they are written.
    private bool Matches(ReadOnlySpan<byte> query, byte[]? decoded)
    {
        foreach (Range range in query.Split((byte)'&'))
        {
            ReadOnlySpan<byte> parameter = query[range];
            int equals = parameter.IndexOf((byte)'=');
            ReadOnlySpan<byte> name = equals < 0 ? parameter : parameter[..equals];
            if (!(decoded is null ? name : QueryText.Decode(name, decoded)).SequenceEqual(_name)) continue;
            if (Config.Present is { } wanted) return wanted;
            ReadOnlySpan<byte> value = equals < 0 ? default : parameter[(equals + 1)..];
            return _value is null || _value.Matches(decoded is null ? value : QueryText.Decode(value, decoded));
        }
        return Config.Present == false;
    }
}

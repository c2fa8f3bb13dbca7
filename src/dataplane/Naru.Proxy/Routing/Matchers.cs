// String, header and query matchers over bytes (envoy.type.matcher.v3.StringMatcher, route.v3.HeaderMatcher,
// QueryParameterMatcher). A value that a pattern cannot be tried on does not match; an inverted matcher does not turn
// that into a yes.
using System.Text;
using System.Text.RegularExpressions;
using Naru.Http.Http1;
using Naru.Proxy.Config;

namespace Naru.Proxy.Routing;

internal sealed class ByteMatcher(StringMatcherConfig config)
{
    private const int MaxRegexInput = 16 * 1024;
    private readonly byte[] _value = Encoding.UTF8.GetBytes(config.Value);

    public bool Matches(ReadOnlySpan<byte> input) => config.Kind switch
    {
        StringMatchKind.Exact => input.Length == _value.Length && Same(input),
        StringMatchKind.Prefix => input.Length >= _value.Length && Same(input[.._value.Length]),
        StringMatchKind.Suffix => input.Length >= _value.Length && Same(input[^_value.Length..]),
        StringMatchKind.Contains => Contains(input),
        _ => RegexMatches(config.Regex!, input),
    };

    private bool Same(ReadOnlySpan<byte> part) =>
        config.IgnoreCase ? Ascii.EqualsIgnoreCase(part, _value) : part.SequenceEqual(_value);

    private bool Contains(ReadOnlySpan<byte> input)
    {
        if (!config.IgnoreCase) return input.IndexOf(_value) >= 0;
        for (int i = 0; i + _value.Length <= input.Length; i++)
            if (Ascii.EqualsIgnoreCase(input.Slice(i, _value.Length), _value)) return true;
        return false;
    }

    /// <summary>Whether a (whole-value) pattern matches bytes read as Latin-1.</summary>
    public static bool RegexMatches(Regex regex, ReadOnlySpan<byte> input)
    {
        if (input.Length > MaxRegexInput) return false;
        Span<char> chars = input.Length <= 1024 ? stackalloc char[1024] : new char[input.Length];
        Encoding.Latin1.GetChars(input, chars);
        return regex.IsMatch(chars[..input.Length]);
    }
}

internal sealed class HeaderMatcher(HeaderMatcherConfig config)
{
    private readonly byte[] _name = Encoding.ASCII.GetBytes(config.Name.ToLowerInvariant());
    private readonly ByteMatcher? _value = config.Value is null ? null : new ByteMatcher(config.Value);

    public HeaderMatcherConfig Config { get; } = config;

    public bool Matches(in RequestView request)
    {
        bool found = request.TryGetHeader(_name, out ReadOnlySpan<byte> value);
        if (Config.Present is { } present) return (found == present) != Config.Invert;
        if (!found)
        {
            // Envoy: a missing header fails the match whatever it asks, inverted or not, unless it counts as empty;
            // for an inverted value match a missing header is a match.
            if (!Config.TreatMissingAsEmpty) return Config.Invert;
            value = default;
        }
        if (_name[0] != ':' && request.Head.IndexOf(request.Bytes, _name) is >= 0 and int first
            && request.Head.IndexOf(request.Bytes, _name, first + 1) >= 0)
            return Matches(Join(request)) != Config.Invert;
        return Matches(value) != Config.Invert;
    }

    private bool Matches(ReadOnlySpan<byte> value)
    {
        if (Config.Range is { } range)
            return System.Buffers.Text.Utf8Parser.TryParse(value, out long number, out int used) && used == value.Length
                && number >= range.Start && number < range.End;
        return _value is null || _value.Matches(value);
    }

    // Several fields of one name are one list (RFC 9110 5.3): matching only the first would let the others through.
    private byte[] Join(in RequestView request)
    {
        var joined = new MemoryStream();
        for (int i = request.Head.IndexOf(request.Bytes, _name); i >= 0; i = request.Head.IndexOf(request.Bytes, _name, i + 1))
        {
            if (joined.Length > 0) joined.WriteByte((byte)',');
            joined.Write(Http1Head.Value(request.Bytes, request.Head.Fields[i]));
        }
        return joined.ToArray();
    }
}

internal sealed class QueryMatcher(QueryParameterMatcherConfig config)
{
    private readonly byte[] _name = Encoding.UTF8.GetBytes(config.Name);
    private readonly ByteMatcher? _value = config.Value is null ? null : new ByteMatcher(config.Value);

    public QueryParameterMatcherConfig Config { get; } = config;

    public bool Matches(in RequestView request)
    {
        foreach (Range range in request.Query.Split((byte)'&'))
        {
            ReadOnlySpan<byte> parameter = request.Query[range];
            int equals = parameter.IndexOf((byte)'=');
            ReadOnlySpan<byte> name = equals < 0 ? parameter : parameter[..equals];
            if (!name.SequenceEqual(_name)) continue;
            if (Config.Present is { } wanted) return wanted;
            return _value is null || _value.Matches(equals < 0 ? default : parameter[(equals + 1)..]);
        }
        return Config.Present == false;
    }
}

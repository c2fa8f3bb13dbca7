// Comparisons with what filters said of a request, compiled (envoy.type.matcher.v3: MetadataMatcher, ValueMatcher, FilterStateMatcher).
using System.Text;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

internal sealed class MetadataMatcher(MetadataMatcherConfig config)
{
    private readonly ValueMatcher _value = new(config.Value);

    /// <summary>Whether a value is there, whatever it is.</summary>
    public bool Finds(MetaValue? metadata) => metadata?.Find(config.Path.AsSpan()) is not null;

    /// <summary>A value that is not there fits nothing, which an inverted one takes for good.</summary>
    public bool Matches(MetaValue? metadata) =>
        (metadata?.Find(config.Path.AsSpan()) is { } value && _value.Matches(value)) != config.Invert;
}

/// <summary>One comparison of a value.</summary>
internal sealed class ValueMatcher(ValueMatcherConfig config)
{
    private readonly ByteMatcher? _text = config is TextMatcherConfig text ? new ByteMatcher(text.Text) : null;

    private readonly ValueMatcher[] _inner = config switch
    {
        ListMatcherConfig list => [new ValueMatcher(list.OneOf)],
        AnyMatcherConfig any => [.. any.Of.Select(m => new ValueMatcher(m))],
        _ => [],
    };

    public bool Matches(MetaValue value)
    {
        switch (config)
        {
            case NullMatcherConfig: return value.Kind == MetaKind.Null;
            case BoolMatcherConfig flag: return value.Kind == MetaKind.Bool && value.IsTrue == flag.Value;
            case PresentMatcherConfig present: return present.Value;
            case TextMatcherConfig: return value.Kind == MetaKind.Text && _text!.Matches(value.Text);
            case NumberMatcherConfig number:
                if (value.Kind != MetaKind.Number) return false;
                return number.Start == number.End ? value.Number == number.Start : value.Number >= number.Start
                    && value.Number < number.End;
            case ListMatcherConfig:
                if (value.Kind != MetaKind.List) return false;
                foreach (MetaValue item in value.Items) if (_inner[0].Matches(item)) return true;
                return false;
            default:
                foreach (ValueMatcher one in _inner) if (one.Matches(value)) return true;
                return false;
        }
    }
}

/// <summary>One comparison of filter state.</summary>
internal sealed class StateMatcher(StateMatcherConfig config)
{
    private readonly byte[] _key = Encoding.UTF8.GetBytes(config.Key);
    private readonly ByteMatcher _text = new(config.Text);

    /// <summary>What a connection keeps.</summary>
    public bool Matches(Http.StateText? states) => Http.StateText.TryGet(states, _key, out ReadOnlySpan<byte> value) && _text.Matches(value);

    public bool Matches(IRequestInfo? request) => request is not null && request.TryGetState(_key, out ReadOnlySpan<byte> value)
        && _text.Matches(value);
}

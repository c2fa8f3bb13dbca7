// What a route makes of a request for rate limits: one descriptor, written as bytes, so that it can be compared without being taken apart.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

/// <summary>One descriptor of a route or a virtual host, compiled (Envoy: config.route.v3.RateLimit).</summary>
internal sealed class RateLimitPolicy(RateLimitConfig config, Runtime runtime)
{
    // Envoy: what is more is no number of hits.
    private const double MostHits = 1_000_000_000;

    private readonly RuntimeSlot? _disable = config.DisableKey.Length > 0 ? runtime.Slot($"ratelimit.{config.DisableKey}.http_filter_enabled") : null;
    private readonly HeaderValueFormat? _hits = config.HitsFormat.Length > 0 ? new HeaderValueFormat(config.HitsFormat) : null;
    private readonly Action[] _actions = [.. config.Actions.Select(a => new Action(a))];

    /// <summary>It is for filters of this stage.</summary>
    public int Stage => config.Stage;

    /// <summary>The bytes of an entry.</summary>
    public static byte[] Entry(string key, string value) => [.. Encoding.UTF8.GetBytes(key), 0, .. Encoding.UTF8.GetBytes(value), 0];

    /// <summary>Writes the descriptor of a request; false where it has none.</summary>
    public bool Write(Exchange x, NodeState node, LineBuffer into)
    {
        into.Clear();
        if (_disable is not null && !NodeState.Chance(x.Worker, _disable.PerMillion(1_000_000))) return false;
        foreach (Action action in _actions) if (!action.Write(x, node, into)) return false;
        return into.Length > 0;
    }

    /// <summary>The limit that metadata names instead of the service's (Envoy: RateLimit.limit); null for none.</summary>
    public (uint Requests, int Unit)? Override(Exchange x)
    {
        if (config.LimitPath.IsEmpty || x.DynamicMetadata?.Find(config.LimitPath.AsSpan()) is not { Kind: MetaKind.Map } limit) return null;
        if (limit.Find("requests_per_unit"u8) is not { Kind: MetaKind.Number } requests || !(requests.Number is >= 0 and <= uint.MaxValue)) return null;
        if (limit.Find("unit"u8) is not { Kind: MetaKind.Text } unit) return null;
        int at = Array.IndexOf(s_units, Encoding.UTF8.GetString(unit.Text));
        return at < 0 ? null : ((uint)requests.Number, at);
    }

    // By number.
    private static readonly string[] s_units = ["UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR"];

    /// <summary>How often the request counts; null where nothing is said.</summary>
    public uint? Hits(Exchange x)
    {
        if (config.Hits is { } number) return number;
        return _hits is not null && MetaValue.TryNumber(_hits.Value(x, x.Scratch), out double said) && said is >= 0 and <= MostHits ? (uint)said : null;
    }

    private sealed class Action(RateLimitActionConfig config)
    {
        private readonly byte[] _key = Encoding.UTF8.GetBytes(config.Key);
        private readonly byte[] _value = Encoding.UTF8.GetBytes(config.Value);
        private readonly byte[] _header = Encoding.ASCII.GetBytes(config.Header);
        private readonly HeaderMatcher[] _headers = [.. config.Headers.Select(h => new HeaderMatcher(h))];
        private readonly QueryMatcher[] _parameters = [.. config.Parameters.Select(p => new QueryMatcher(p))];

        public bool Write(Exchange x, NodeState node, LineBuffer into)
        {
            switch (config.Source)
            {
                case RateLimitSource.GenericKey:
                    Put(into, _value);
                    return true;
                case RateLimitSource.SourceCluster:
                    Put(into, node.Cluster);
                    return true;
                case RateLimitSource.DestinationCluster:
                    Put(into, Encoding.UTF8.GetBytes(x.Target?.Slot.Name ?? ""));
                    return x.Target is not null;
                case RateLimitSource.RequestHeader:
                    if (!x.RequestHeaders.TryGet(_header, out ReadOnlySpan<byte> value)) return config.SkipIfAbsent;
                    Put(into, value);
                    return true;
                case RateLimitSource.HeaderValueMatch:
                    if (AllMatch(x) != config.ExpectMatch) return false;
                    Put(into, _value);
                    return true;
                case RateLimitSource.QueryParameter:
                    return Parameter(x, into);
                case RateLimitSource.Metadata or RateLimitSource.RouteMetadata:
                    return Metadata(x, into);
                case RateLimitSource.QueryParameterValueMatch:
                    if (ParametersMatch(x) != config.ExpectMatch) return false;
                    Put(into, _value);
                    return true;
                default:
                    return Address(x, into);
            }
        }

        // A text that is not empty (Envoy takes no others).
        private bool Metadata(Exchange x, LineBuffer into)
        {
            MetaValue? from = config.Source == RateLimitSource.Metadata ? x.DynamicMetadata : x.Route?.Config.FilterMetadata;
            MetaValue? found = from?.Find(config.MetadataPath.AsSpan());
            if (found is { Kind: MetaKind.Text, Text.IsEmpty: false })
            {
                Put(into, found.Text);
                return true;
            }
            if (_value.Length == 0) return config.SkipIfAbsent;
            Put(into, _value);
            return true;
        }

        // The first of the name, with names and values as they are meant.
        private bool Parameter(Exchange x, LineBuffer into)
        {
            foreach (Range range in x.Query.Split((byte)'&'))
            {
                ReadOnlySpan<byte> pair = x.Query[range];
                int equals = pair.IndexOf((byte)'=');
                if (!QueryText.Decoded(equals < 0 ? pair : pair[..equals]).AsSpan().SequenceEqual(_header)) continue;
                Put(into, equals < 0 ? default : QueryText.Decoded(pair[(equals + 1)..]));
                return true;
            }
            return config.SkipIfAbsent;
        }

        private bool AllMatch(Exchange x)
        {
            foreach (HeaderMatcher header in _headers) if (!header.Matches(x.RequestHeaders)) return false;
            return true;
        }

        private bool ParametersMatch(Exchange x)
        {
            // Letters may be written as %xx, as services read them. What a service makes of + or of a name that comes twice is its own; here the first
            // one counts, as in Envoy.
            foreach (QueryMatcher parameter in _parameters) if (!parameter.MatchesDecoded(x.Query)) return false;
            return true;
        }

        private bool Address(Exchange x, LineBuffer into)
        {
            Span<byte> bytes = stackalloc byte[16];
            int length = ClientAddress.AddressBytes(ClientAddress.Of(x), bytes);
            if (length == 0) return false;
            bytes = bytes[..length];
            bool masked = config.Source == RateLimitSource.MaskedRemoteAddress;
            int bits = length == 4 ? config.MaskV4 : config.MaskV6;
            if (masked) Mask(bytes, bits);
            string text = new System.Net.IPAddress(bytes).ToString();
            Put(into, Encoding.ASCII.GetBytes(masked ? $"{text}/{bits}" : text));
            return true;
        }

        private static void Mask(Span<byte> address, int bits)
        {
            for (int i = 0; i < address.Length; i++, bits -= 8)
                address[i] &= bits >= 8 ? (byte)0xff : bits <= 0 ? (byte)0 : (byte)(0xff << (8 - bits));
        }

        // An entry ends with a NUL, which no header, address or parameter may bring into it.
        private void Put(LineBuffer into, ReadOnlySpan<byte> value)
        {
            into.Append(_key);
            into.Append((byte)0);
            into.Append(value.Contains((byte)0) ? "\ufffd"u8 : value);
            into.Append((byte)0);
        }
    }
}

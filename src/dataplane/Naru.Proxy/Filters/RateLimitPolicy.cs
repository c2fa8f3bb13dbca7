// What a route makes of a request for rate limits: one descriptor, written as bytes, so that it can be compared without being taken apart.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

/// <summary>One descriptor of a route or a virtual host, compiled (Envoy: config.route.v3.RateLimit).</summary>
internal sealed class RateLimitPolicy(RateLimitConfig config)
{
    private readonly Action[] _actions = [.. config.Actions.Select(a => new Action(a))];

    /// <summary>It is for filters of this stage.</summary>
    public int Stage => config.Stage;

    /// <summary>The bytes of an entry.</summary>
    public static byte[] Entry(string key, string value) => [.. Encoding.UTF8.GetBytes(key), 0, .. Encoding.UTF8.GetBytes(value), 0];

    /// <summary>Writes the descriptor of a request; false where it has none.</summary>
    public bool Write(Exchange x, NodeState node, LineBuffer into)
    {
        into.Clear();
        foreach (Action action in _actions) if (!action.Write(x, node, into)) return false;
        return into.Length > 0;
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
                case RateLimitSource.QueryParameterValueMatch:
                    if (ParametersMatch(x) != config.ExpectMatch) return false;
                    Put(into, _value);
                    return true;
                default:
                    return Address(x, into);
            }
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

        private void Put(LineBuffer into, ReadOnlySpan<byte> value)
        {
            into.Append(_key);
            into.Append((byte)0);
            into.Append(value);
            into.Append((byte)0);
        }
    }
}

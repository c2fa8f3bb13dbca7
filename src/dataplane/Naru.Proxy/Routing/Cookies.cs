// Cookies of a request (RFC 6265 5.4): the first of a name counts, whatever line it stands on, without the quotes around its value.
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal static class Cookies
{
    /// <summary>The value of the first cookie of a name, which is compared with its letter case.</summary>
    public static bool TryGet(HeadEdits head, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)';'))
            {
                ReadOnlySpan<byte> pair = line[range].Trim((byte)' ');
                int equals = pair.IndexOf((byte)'=');
                if (equals < 0 || !pair[..equals].SequenceEqual(name)) continue;
                value = pair[(equals + 1)..];
                if (value.Length >= 2 && value[0] == '"' && value[^1] == '"') value = value[1..^1];
                return true;
            }
        }
        value = default;
        return false;
    }
}

/// <summary>One comparison of a cookie, compiled.</summary>
internal sealed class CookieMatcher(CookieMatcherConfig config)
{
    private readonly byte[] _name = System.Text.Encoding.UTF8.GetBytes(config.Name);
    private readonly ByteMatcher _value = new(config.Value);

    /// <summary>Without such a cookie nothing fits, which an inverted one takes for good (Envoy: CookieMatcher).</summary>
    public bool Matches(HeadEdits head) => (Cookies.TryGet(head, _name, out ReadOnlySpan<byte> value) && _value.Matches(value)) != config.Invert;
}

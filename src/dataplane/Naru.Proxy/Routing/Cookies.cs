// Cookies of a request (RFC 6265 5.4): the first of a name counts, whatever line it stands on, without the quotes around its value.
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal static class Cookies
{
    /// <summary>The value of the first cookie of a name, which is compared with its letter case.</summary>
    public static bool TryGet(HeadEdits head, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value) =>
        Count(head, name, out value, most: 1) > 0;

    /// <summary>How many cookies of a name there are, on whatever lines.</summary>
    /// <param name="head">The head.</param>
    /// <param name="name">The name.</param>
    /// <param name="first">The value of the first.</param>
    /// <param name="most">How many are counted.</param>
    public static int Count(HeadEdits head, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> first, int most = int.MaxValue)
    {
        first = default;
        int count = 0;
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)';'))
            {
                ReadOnlySpan<byte> pair = line[range].Trim((byte)' ');
                int equals = pair.IndexOf((byte)'=');
                if (equals < 0 || !pair[..equals].SequenceEqual(name)) continue;
                if (count++ == 0)
                {
                    first = pair[(equals + 1)..];
                    if (first.Length >= 2 && first[0] == '"' && first[^1] == '"') first = first[1..^1];
                }
                if (count == most) return count;
            }
        }
        return count;
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

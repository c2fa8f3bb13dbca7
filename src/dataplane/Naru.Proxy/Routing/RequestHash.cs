// What hashing balancers pick an endpoint by: the route's hash policies over one request, combined as Envoy combines them, so that proxies of either kind
// beside each other choose alike (Envoy: RouteAction.hash_policy).
using System.Numerics;
using System.Text;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <summary>The hash policies of a route, compiled.</summary>
internal sealed class RequestHash
{
    private readonly (HashPolicyConfig Config, byte[] Name, byte[] Suffix)[] _policies;

    private RequestHash(IEnumerable<HashPolicyConfig> policies) => _policies =
    [
        .. policies.Select(p => (p, p switch
        {
            HeaderHashConfig header => Encoding.ASCII.GetBytes(header.Name),
            CookieHashConfig cookie => Encoding.UTF8.GetBytes(cookie.Name),
            QueryHashConfig query => Encoding.UTF8.GetBytes(query.Name),
            _ => (byte[])[],
        }, p is CookieHashConfig made ? Encoding.UTF8.GetBytes(made.Suffix) : [])),
    ];

    /// <summary>Null where there are none.</summary>
    public static RequestHash? Of(IReadOnlyList<HashPolicyConfig> policies) => policies.Count == 0 ? null : new RequestHash(policies);

    /// <summary>The hash of a request; null where no policy gives one.</summary>
    /// <param name="x">The request.</param>
    /// <param name="makesCookie">Whether a cookie that it lacks is made, and set in the answer.</param>
    public ulong? Make(Exchange x, bool makesCookie) => Make(x, makesCookie, out _);

    /// <param name="x">The request.</param>
    /// <param name="makesCookie">Whether a cookie that it lacks is made, and set in the answer.</param>
    /// <param name="asked">How many of the policies were asked: those behind a terminal one that gave a hash say nothing.</param>
    public ulong? Make(Exchange x, bool makesCookie, out int asked)
    {
        ulong? hash = null;
        asked = _policies.Length;
        for (int i = 0; i < _policies.Length; i++)
        {
            ref readonly (HashPolicyConfig Config, byte[] Name, byte[] Suffix) policy = ref _policies[i];
            // Turned, so that two policies that say the same do not undo each other.
            if (One(x, policy.Config, policy.Name, makesCookie) is { } one) hash = hash is { } before ? BitOperations.RotateLeft(before, 1) ^ one : one;
            if (!policy.Config.Terminal || hash is null) continue;
            asked = i + 1;
            break;
        }
        return hash;
    }

    /// <summary>Whether a cookie was made for a request.</summary>
    /// <param name="x">The request.</param>
    /// <param name="asked">How many of the policies were asked.</param>
    public bool MakesCookie(Exchange x, int asked)
    {
        foreach ((HashPolicyConfig config, byte[] name, _) in _policies.AsSpan(0, asked))
            if (config is CookieHashConfig { Ttl: not null } && !Cookies.TryGet(x.RequestHeaders, name, out _)) return true;
        return false;
    }

    /// <summary>Says the cookie that was made for this request in its answer.</summary>
    public void SetCookie(Exchange x)
    {
        Span<byte> value = stackalloc byte[16];
        Make(x, makesCookie: true, out int asked);
        foreach ((HashPolicyConfig config, byte[] name, byte[] suffix) in _policies.AsSpan(0, asked))
        {
            if (config is not CookieHashConfig { Ttl: not null } || Cookies.TryGet(x.RequestHeaders, name, out _)) continue;
            LineBuffer line = x.Scratch;
            line.Clear();
            line.Append(name);
            line.Append("=\""u8);
            line.Append(value[..CookieValue(x, value)]);
            line.Append((byte)'"');
            line.Append(suffix);
            x.ResponseHeaders.Add("set-cookie"u8, line.Written);
        }
    }

    private static ulong? One(Exchange x, HashPolicyConfig policy, ReadOnlySpan<byte> name, bool makesCookie)
    {
        switch (policy)
        {
            case HeaderHashConfig header: return OfHeader(x.RequestHeaders, name, header);
            case CookieHashConfig cookie:
                if (Cookies.TryGet(x.RequestHeaders, name, out ReadOnlySpan<byte> value)) return XxHash64.Of(value);
                if (!makesCookie || cookie.Ttl is null) return null;
                Span<byte> made = stackalloc byte[16];
                return XxHash64.Of(made[..CookieValue(x, made)]);
            case SourceHashConfig:
                SockAddr client = ClientAddress.Of(x);
                Span<byte> text = stackalloc byte[64];
                return XxHash64.Of(text[..client.FormatAddress(text)]);
            case QueryHashConfig:
                foreach (Range range in x.Query.Split((byte)'&'))
                {
                    ReadOnlySpan<byte> parameter = x.Query[range];
                    int equals = parameter.IndexOf((byte)'=');
                    if (!(equals < 0 ? parameter : parameter[..equals]).SequenceEqual(name)) continue;
                    return XxHash64.Of(equals < 0 ? default : parameter[(equals + 1)..]);
                }
                return null;
            default: return null;
        }
    }

    // Of several values each in the order of their bytes, so that the order of lines does not matter.
    private static ulong? OfHeader(HeadEdits head, ReadOnlySpan<byte> name, HeaderHashConfig config)
    {
        if (!head.TryGet(name, out ReadOnlySpan<byte> value)) return null;
        int first = name[0] == ':' ? -1 : head.Next(name);
        if (first < 0 || head.Next(name, first + 1) < 0) return XxHash64.Of(Rewritten(value, config));
        Span<int> order = stackalloc int[16];
        int count = 0;
        for (int i = first; i >= 0 && count < order.Length; i = head.Next(name, i + 1))
        {
            int at = count++;
            for (; at > 0 && Rewritten(head.Value(order[at - 1]), config).SequenceCompareTo(Rewritten(head.Value(i), config)) > 0; at--) order[at] = order[at - 1];
            order[at] = i;
        }
        ulong hash = 0;
        foreach (int index in order[..count]) hash = XxHash64.Of(Rewritten(head.Value(index), config), hash);
        return hash;
    }

    private static ReadOnlySpan<byte> Rewritten(ReadOnlySpan<byte> value, HeaderHashConfig config) =>
        config.Rewrite is { } rewrite ? PathRewrite.Replace(value, rewrite.Pattern, rewrite.Substitution) : value;

    // The same for all requests of a connection, so that several at once get one cookie (Envoy: HashPolicy.Cookie).
    private static int CookieValue(Exchange x, Span<byte> into)
    {
        XxHash64.Of(Encoding.ASCII.GetBytes($"{x.Connection.Peer}{x.Connection.LocalAddress()}")).TryFormat(into, out int written, "x16");
        return written;
    }
}

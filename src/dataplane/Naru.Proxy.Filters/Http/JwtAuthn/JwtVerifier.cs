// A provider, compiled: where its tokens stand in a request, whether one is good, and what becomes of what it says. The last
// good tokens are remembered with the keys that checked them: a warm one costs a look-up, and only its times, audiences and subject are
// compared anew.
using System.Collections.Concurrent;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>A token that was checked.</summary>
/// <param name="Token">The token.</param>
/// <param name="Keys">By which keys.</param>
/// <param name="Payload">Its claims as metadata has them.</param>
/// <param name="Claims">Values of headers, in the order of the provider's.</param>
internal sealed record GoodToken(JwtToken Token, Jwks Keys, MetaValue Payload, byte[]?[] Claims);

/// <summary>A token in a request.</summary>
/// <param name="Text">The token.</param>
/// <param name="Header">The header that it stands in; null for another place.</param>
/// <param name="Parameter">The parameter of the query that it is; null for another place.</param>
internal readonly record struct FoundToken(byte[] Text, byte[]? Header, byte[]? Parameter);

internal sealed class JwtVerifier
{
    // Tokens of one request that are looked at.
    private const int MostTokens = 8;
    private static readonly byte[] s_namespace = "envoy.filters.http.jwt_authn"u8.ToArray();
    private readonly (byte[] Name, byte[] Prefix)[] _headers;
    private readonly byte[][] _parameters, _cookies;
    private readonly byte[]? _payloadHeader;
    private readonly (byte[] Header, string[] Path)[] _claims;
    private readonly byte[] _payloadKey, _headerKey;
    private readonly byte[][] _spaced;
    private readonly ByteMatcher? _subjects;
    private readonly string[] _audiences;
    private readonly JwksSource _keys;
    private readonly StatBlock _stats;
    private readonly TimeProvider _time;
    private readonly TokenCache _cache;

    public JwtVerifier(JwtProviderConfig config, FilterContext context, StatBlock stats)
    {
        Config = config;
        (_stats, _time) = (stats, context.Node.Time);
        bool standard = config.Headers.IsEmpty && config.Parameters.IsEmpty && config.Cookies.IsEmpty;
        _headers = standard ? [("authorization"u8.ToArray(), "Bearer "u8.ToArray())]
            : [.. config.Headers.Select(h => (Encoding.ASCII.GetBytes(h.Name), Encoding.UTF8.GetBytes(h.Prefix)))];
        _parameters = standard ? ["access_token"u8.ToArray()] : [.. config.Parameters.Select(Encoding.UTF8.GetBytes)];
        _cookies = [.. config.Cookies.Select(Encoding.UTF8.GetBytes)];
        _payloadHeader = config.PayloadHeader.Length > 0 ? Encoding.ASCII.GetBytes(config.PayloadHeader) : null;
        _claims = [.. config.Claims.Select(c => (Encoding.ASCII.GetBytes(c.Header), c.Path.ToArray()))];
        (_payloadKey, _headerKey) = (Encoding.UTF8.GetBytes(config.PayloadKey), Encoding.UTF8.GetBytes(config.HeaderKey));
        _spaced = [.. config.SpaceDelimited.Select(Encoding.UTF8.GetBytes)];
        _subjects = config.Subjects is { } subjects ? new ByteMatcher(subjects) : null;
        _audiences = Plain(config.Audiences);
        _keys = config.Local is { } local ? new LocalJwks(local) : new RemoteJwks(config.Remote!, context.Clusters, context.Node, stats);
        _cache = new TokenCache(config.CacheSize);
    }

    public JwtProviderConfig Config { get; }

    /// <summary>Audiences as they are compared: Envoy takes neither scheme nor slash at the end for a part of them.</summary>
    public static string[] Plain(IEnumerable<string> audiences) => [.. audiences.Select(Plain)];

    private static string Plain(string audience)
    {
        foreach (string scheme in (ReadOnlySpan<string>)["https://", "http://"])
        {
            if (!audience.StartsWith(scheme, StringComparison.Ordinal)) continue;
            audience = audience[scheme.Length..];
            break;
        }
        return audience.EndsWith('/') ? audience[..^1] : audience;
    }

    /// <summary>What clients may not say for it: headers that hold claims.</summary>
    public void Clean(RequestHeaders head)
    {
        if (_payloadHeader is not null) head.Remove(_payloadHeader);
        foreach ((byte[] header, _) in _claims) head.Remove(header);
    }

    /// <summary>All tokens that stand where this provider's do: each must be good, so that none can hide behind another. False where there are
    /// too many.</summary>
    public bool Find(Exchange x, List<FoundToken> into)
    {
        RequestHeaders head = x.RequestHeaders;
        foreach ((byte[] name, byte[] prefix) in _headers)
            for (int i = head.Next(name); i >= 0; i = head.Next(name, i + 1)) InHeader(head.Value(i), name, prefix, into);
        if (_parameters.Length > 0 && x.HasQuery) InQuery(x.Query, into);
        if (_cookies.Length > 0) InCookies(head, into);
        return into.Count <= MostTokens;
    }

    private static void InHeader(ReadOnlySpan<byte> value, byte[] name, byte[] prefix, List<FoundToken> into)
    {
        if (prefix.Length == 0)
        {
            if (value.Length > 0) Add(value, name, into);
            return;
        }
        // Wherever it begins, and however often: whoever reads the header behind us may read it so.
        for (int at = value.IndexOf(prefix); at >= 0 && into.Count <= MostTokens; at = value.IndexOf(prefix))
        {
            value = value[(at + prefix.Length)..].TrimStart((byte)' ');
            int end = 0;
            while (end < value.Length && value[end] is not ((byte)',' or (byte)' ' or (byte)';')) end++;
            Add(value[..end], name, into);
            value = value[end..];
        }
    }

    private void InQuery(ReadOnlySpan<byte> query, List<FoundToken> into)
    {
        foreach (Range range in query.Split((byte)'&'))
        {
            ReadOnlySpan<byte> pair = query[range];
            int equals = pair.IndexOf((byte)'=');
            if (equals < 0) continue;
            byte[] name = QueryText.Decoded(pair[..equals]);
            foreach (byte[] wanted in _parameters)
                if (name.AsSpan().SequenceEqual(wanted)) Add(QueryText.Decoded(pair[(equals + 1)..]), null, into, wanted);
        }
    }

    private void InCookies(RequestHeaders head, List<FoundToken> into)
    {
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)';'))
            {
                ReadOnlySpan<byte> pair = line[range].Trim((byte)' ');
                int equals = pair.IndexOf((byte)'=');
                if (equals < 0) continue;
                foreach (byte[] wanted in _cookies)
                    if (pair[..equals].SequenceEqual(wanted)) Add(pair[(equals + 1)..].Trim((byte)'"'), null, into);
            }
        }
    }

    private static void Add(ReadOnlySpan<byte> text, byte[]? header, List<FoundToken> into, byte[]? parameter = null)
    {
        if (into.Count <= MostTokens) into.Add(new FoundToken(text.ToArray(), header, parameter));
    }

    /// <summary>A token that was good before, whatever it is now; null for others.</summary>
    public JwtToken? Known(byte[] text) => _cache.Find(text)?.Token;

    /// <summary>Whether a token is good.</summary>
    /// <param name="x">The request.</param>
    /// <param name="text">The token.</param>
    /// <param name="audiences">Other audiences than the provider's; null for those.</param>
    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<(JwtStatus Status, GoodToken? Good)> CheckAsync(Exchange x, byte[] text, string[]? audiences)
    {
        long[] stats = _stats.Shard(x.Worker.Index);
        GoodToken? known = _cache.Find(text);
        stats[known is not null && Config.CountsCache ? JwtStats.CacheHit : JwtStats.CacheMiss]++;
        JwtToken? token = known?.Token;
        if (token is null && JwtToken.Read(text, out token) is var read && token is null) return (read, null);
        if (Config.Issuer.Length > 0 && token!.Issuer != Config.Issuer) return (JwtStatus.UnknownIssuer, null);
        JwtStatus status = Claims(token!, audiences ?? _audiences);
        if (status != JwtStatus.Ok) return (status, null);
        if (await _keys.GetAsync(x) is not { } keys) return (JwtStatus.NoFetch, null);
        if (known is not null && ReferenceEquals(known.Keys, keys)) return (status, known);
        status = keys.Check(token!);
        if (status != JwtStatus.Ok) return (status, null);
        var good = new GoodToken(token!, keys, Normalized(token!.Payload), [.. _claims.Select(c => JwtJson.Claim(token.PayloadJson, c.Path))]);
        _cache.Add(text, good);
        return (status, good);
    }

    private JwtStatus Claims(JwtToken token, string[] audiences)
    {
        double now = _time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0;
        JwtStatus status = token.At(now, Config.SkewSeconds);
        if (status != JwtStatus.Ok) return status;
        if (audiences.Length > 0 && !token.Audiences.Any(a => audiences.Contains(Plain(a), StringComparer.Ordinal))) return JwtStatus.WrongAudience;
        if (_subjects is not null && !_subjects.Matches(Encoding.UTF8.GetBytes(token.Subject))) return JwtStatus.WrongSubject;
        if ((Config.RequireExpiration || Config.MaxLifetime is not null) && token.Expires is null) return JwtStatus.NoExpiration;
        return Config.MaxLifetime is { } longest && token.Expires - now > longest.TotalSeconds + Config.SkewSeconds ? JwtStatus.LivesTooLong : JwtStatus.Ok;
    }

    private MetaValue Normalized(MetaValue payload)
    {
        foreach (byte[] name in _spaced)
        {
            if (payload.Find(name) is not { Kind: MetaKind.Text } text) continue;
            string[] words = Encoding.UTF8.GetString(text.Text).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            payload = payload.With(name, MetaValue.List(words.Select(MetaValue.Of)));
        }
        return payload;
    }

    /// <summary>Says in the request what a good token says. True where a route may be another one for it.</summary>
    public bool Pass(Exchange x, in FoundToken found, GoodToken good)
    {
        RequestHeaders head = x.RequestHeaders;
        if (!Config.Forward && found.Header is { } from) head.Remove(from);
        if (!Config.Forward && found.Parameter is { } parameter) QueryText.Remove(x, parameter);
        if (_payloadHeader is not null) head.Set(_payloadHeader, Padded(good.Token.PayloadText));
        bool said = false;
        for (int i = 0; i < _claims.Length; i++)
        {
            if (good.Claims[i] is not { } value) continue;
            head.Set(_claims[i].Header, value);
            said = true;
        }
        if (_payloadKey.Length > 0) x.SetMetadata(s_namespace, MetaValue.Empty.With(_payloadKey, good.Payload));
        if (_headerKey.Length > 0) x.SetMetadata(s_namespace, MetaValue.Empty.With(_headerKey, good.Token.Header));
        return Config.ClearRouteCache && (said || _payloadKey.Length > 0);
    }

    private ReadOnlySpan<byte> Padded(ReadOnlySpan<byte> payload)
    {
        int missing = Config.PadPayload ? (4 - payload.Length % 4) % 4 : 0;
        return missing == 0 ? payload : new List<byte>([.. payload, .. "=="u8[..missing]]).ToArray();
    }

    // The last good tokens, of all workers: beyond the limit the oldest goes.
    private sealed class TokenCache(int most)
    {
        private const int LongestToken = 8 * 1024;
        private readonly ConcurrentDictionary<byte[], GoodToken> _known = new(ByteComparer.Instance);
        private readonly ConcurrentQueue<byte[]> _order = new();

        public GoodToken? Find(byte[] text) => _known.GetValueOrDefault(text);

        public void Add(byte[] text, GoodToken good)
        {
            if (text.Length > LongestToken) return;
            bool isNew = _known.TryAdd(text, good);
            if (!isNew) _known[text] = good;
            else _order.Enqueue(text);
            if (_known.Count > most && _order.TryDequeue(out byte[]? oldest)) _known.TryRemove(oldest, out _);
        }
    }

    private sealed class ByteComparer : IEqualityComparer<byte[]>
    {
        public static readonly ByteComparer Instance = new();

        public bool Equals(byte[]? a, byte[]? b) => a.AsSpan().SequenceEqual(b);

        // Signatures stand at the end.
        public int GetHashCode(byte[] text)
        {
            var hash = default(HashCode);
            hash.AddBytes(text.AsSpan(Math.Max(0, text.Length - 64)));
            return hash.ToHashCode();
        }
    }
}

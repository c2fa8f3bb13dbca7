// Lets requests on that bring the key of a client. Keys are looked up by their digest, so that no time tells how much of one is right. The
// first place that has a key decides; one that stands twice in a place is none, since who reads the other one is not known.
using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.ApiKeyAuth;

internal sealed class ApiKeyAuthFilter : HttpFilter
{
    private static readonly Reason s_missing = FilterReasons.NoKey;
    private static readonly Reason s_unknown = FilterReasons.NoKey with { Details = "unknown_api_key" };

    private readonly ApiKeyConfig _config;
    private readonly ApiKeys _own;
    private readonly StatBlock _stats;

    public ApiKeyAuthFilter(ApiKeyConfig config, FilterContext context)
    {
        _config = config;
        _own = new ApiKeys(config, config);
        _stats = context.Block("api_key_auth", ApiKeyStats.Schema);
    }

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override bool IsPure(object? said) => true;

    public override object Merge(ReadOnlySpan<object> narrowToWide) => new ApiKeys((ApiKeyConfig)narrowToWide[0], _config);

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Ask(call, call.Route<ApiKeys>() ?? _own));

    private FilterVerdict Ask(FilterCall call, ApiKeys keys)
    {
        KeyFound found = keys.Find(call.Exchange, out ApiClient? client);
        int stat = found != KeyFound.Known ? ApiKeyStats.Unauthorized : client!.IsAllowed ? ApiKeyStats.Allowed : ApiKeyStats.Forbidden;
        if (call.Exchange.Explanation is null) _stats.Shard(call.Worker.Index)[stat]++;
        if (found != KeyFound.Known) return call.Answer(found == KeyFound.None ? s_missing : s_unknown, "Client authentication failed.");
        if (!client!.IsAllowed) return call.Answer(FilterReasons.ClientForbidden, "Client is forbidden.");
        keys.Forward(call.Exchange, client);
        return FilterVerdict.Go;
    }
}

internal enum KeyFound : byte
{
    None,
    Unknown,
    Known,
}

/// <summary>A client of a level.</summary>
/// <param name="Digest">SHA-256 of its key.</param>
/// <param name="Name">Told to those behind.</param>
/// <param name="IsAllowed">It may come here.</param>
internal sealed record ApiClient(byte[] Digest, byte[] Name, bool IsAllowed);

/// <summary>What one level says, over what the chain says.</summary>
internal sealed class ApiKeys
{
    private readonly FrozenDictionary<ulong, ApiClient[]> _clients;
    private readonly ApiKeySource[] _sources;
    private readonly byte[] _header;
    private readonly bool _hides;

    public ApiKeys(ApiKeyConfig config, ApiKeyConfig chain)
    {
        _sources = [.. config.Sources.IsEmpty ? chain.Sources : config.Sources];
        _header = Encoding.ASCII.GetBytes(config.Forward.Header);
        _hides = config.Forward.HidesKey;
        _clients = (config.Credentials.IsEmpty ? chain.Credentials : config.Credentials)
            .Select(c => new ApiClient(SHA256.HashData(Encoding.UTF8.GetBytes(c.Key)), Encoding.UTF8.GetBytes(c.Client),
                config.Allowed.IsEmpty || config.Allowed.Contains(c.Client)))
            .GroupBy(c => BinaryPrimitives.ReadUInt64LittleEndian(c.Digest)).ToFrozenDictionary(g => g.Key, g => g.ToArray());
    }

    /// <summary>Whose key a request has.</summary>
    public KeyFound Find(Exchange x, out ApiClient? client)
    {
        client = null;
        foreach (ApiKeySource source in _sources)
        {
            KeyFound found = source.Place switch
            {
                ApiKeyPlace.Header => InHeader(x.RequestHeaders, source, out client),
                ApiKeyPlace.Query => InQuery(x.Query, source, out client),
                _ => InCookie(x.RequestHeaders, source, out client),
            };
            if (found != KeyFound.None) return found;
        }
        return KeyFound.None;
    }

    private KeyFound InHeader(HeadEdits head, ApiKeySource source, out ApiClient? client)
    {
        client = null;
        int first = head.Next(source.NameBytes);
        if (first < 0) return KeyFound.None;
        ReadOnlySpan<byte> value = head.Value(first);
        if (value.Length >= 7 && ByteMatcher.SameLetters(value[..7], "Bearer "u8)) value = value[7..].Trim((byte)' ');
        if (head.Next(source.NameBytes, first + 1) >= 0) return KeyFound.Unknown;
        return Of(value, out client);
    }

    private KeyFound InCookie(HeadEdits head, ApiKeySource source, out ApiClient? client)
    {
        client = null;
        int count = Cookies.Count(head, source.NameBytes, out ReadOnlySpan<byte> key);
        return count > 1 ? KeyFound.Unknown : count == 0 ? KeyFound.None : Of(key, out client);
    }

    private KeyFound InQuery(ReadOnlySpan<byte> query, ApiKeySource source, out ApiClient? client)
    {
        client = null;
        if (query.IsEmpty) return KeyFound.None;
        byte[] room = System.Buffers.ArrayPool<byte>.Shared.Rent(query.Length);
        try
        {
            KeyFound found = KeyFound.None;
            bool isSecond = false;
            foreach (Range range in query.Split((byte)'&'))
            {
                ReadOnlySpan<byte> parameter = query[range];
                int equals = parameter.IndexOf((byte)'=');
                if (!QueryText.Decode(equals < 0 ? parameter : parameter[..equals], room).SequenceEqual(source.NameBytes)) continue;
                if (isSecond)
                {
                    client = null;
                    return KeyFound.Unknown;
                }
                isSecond = true;
                found = Of(equals < 0 ? default : QueryText.Decode(parameter[(equals + 1)..], room), out client);
            }
            return found;
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(room, clearArray: true);
        }
    }

    // An empty key is none.
    private KeyFound Of(ReadOnlySpan<byte> key, out ApiClient? client)
    {
        client = null;
        if (key.IsEmpty) return KeyFound.None;
        Span<byte> digest = stackalloc byte[32];
        SHA256.HashData(key, digest);
        if (!_clients.TryGetValue(BinaryPrimitives.ReadUInt64LittleEndian(digest), out ApiClient[]? same)) return KeyFound.Unknown;
        foreach (ApiClient one in same) if (CryptographicOperations.FixedTimeEquals(digest, one.Digest)) client = one;
        return client is null ? KeyFound.Unknown : KeyFound.Known;
    }

    /// <summary>Makes of the request what goes on: the client's name, and no key in any of the places.</summary>
    public void Forward(Exchange x, ApiClient client)
    {
        if (_hides)
        {
            foreach (ApiKeySource source in _sources)
            {
                switch (source.Place)
                {
                    case ApiKeyPlace.Header: x.RequestHeaders.Remove(source.NameBytes); break;
                    case ApiKeyPlace.Query: QueryText.Remove(x, source.NameBytes); break;
                    default: RemoveCookie(x.RequestHeaders, source.NameBytes); break;
                }
            }
        }
        if (_header.Length > 0) x.RequestHeaders.Set(_header, client.Name);
    }

    private static void RemoveCookie(HeadEdits head, byte[] name)
    {
        if (!Cookies.TryGet(head, name, out _)) return;
        var left = new List<byte>();
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)';'))
            {
                ReadOnlySpan<byte> pair = line[range].Trim((byte)' ');
                int equals = pair.IndexOf((byte)'=');
                if (pair.IsEmpty || (equals >= 0 && pair[..equals].SequenceEqual(name))) continue;
                if (left.Count > 0) left.AddRange("; "u8);
                left.AddRange(pair);
            }
        }
        if (left.Count == 0) head.Remove("cookie"u8);
        else head.Set("cookie"u8, left.ToArray());
    }
}

internal static class ApiKeyStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Allowed = Schema.Counter("allowed");
    public static readonly int Unauthorized = Schema.Counter("unauthorized");
    public static readonly int Forbidden = Schema.Counter("forbidden");
}

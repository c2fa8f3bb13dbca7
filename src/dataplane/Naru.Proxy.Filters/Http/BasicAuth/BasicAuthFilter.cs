// Lets requests on that bring the name and password of a user. Whether a name is known takes as long to find out as whether its password is
// right; passwords are compared in constant time. Two headers of that name are no credentials: who reads the other one is not known.
using System.Buffers.Text;
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.BasicAuth;

internal sealed class BasicAuthFilter(BasicAuthConfig config, FilterContext context) : HttpFilter
{
    // What goes back in a realm is cut there (Envoy: MaximumUriLength).
    private const int LongestPath = 256;

    private readonly BasicUsers _own = BasicUsers.Of(config);
    private readonly StatBlock _stats = context.Block("basic_auth", BasicAuthStats.Schema);
    private readonly byte[] _header = Encoding.ASCII.GetBytes(config.Header);
    private readonly byte[] _forward = Encoding.ASCII.GetBytes(config.ForwardHeader);

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Ask(call));

    private FilterVerdict Ask(FilterCall call)
    {
        bool counts = call.Exchange.Explanation is null;
        if (Refusal(call, call.Route<BasicUsers>() ?? _own) is { } refusal)
        {
            if (counts) _stats.Shard(call.Worker.Index)[BasicAuthStats.Denied]++;
            return call.Answer(refusal.Reason, refusal.Words, $"www-authenticate: Basic realm=\"{Realm(call.Exchange)}\"\r\n");
        }
        if (counts) _stats.Shard(call.Worker.Index)[BasicAuthStats.Allowed]++;
        return FilterVerdict.Go;
    }

    private (Reason Reason, string Words)? Refusal(FilterCall call, BasicUsers users)
    {
        int first = call.Request.Next(_header);
        if (first < 0) return (BasicAuthReasons.None, "User authentication failed. Missing username and password.");
        ReadOnlySpan<byte> value = call.Request.Value(first);
        if (!value.StartsWith("Basic "u8))
            return (BasicAuthReasons.Scheme, "User authentication failed. Expected 'Basic' authentication scheme.");
        ReadOnlySpan<byte> written = value[6..].Trim((byte)' ');
        if (call.Request.Next(_header, first + 1) < 0 && written.Length > 0)
        {
            byte[] room = System.Buffers.ArrayPool<byte>.Shared.Rent(written.Length + 3);
            try
            {
                if (TryDecode(written, room, out int length) && room.AsSpan(0, length).IndexOf((byte)':') is >= 0 and int colon)
                {
                    ReadOnlySpan<byte> name = room.AsSpan(0, colon);
                    if (!users.Has(name, room.AsSpan(colon + 1, length - colon - 1)))
                        return (BasicAuthReasons.Wrong, "User authentication failed. Invalid username/password combination.");
                    if (_forward.Length > 0) call.Request.Set(_forward, name);
                    return null;
                }
            }
            finally
            {
                System.Buffers.ArrayPool<byte>.Shared.Return(room, clearArray: true);
            }
        }
        return (BasicAuthReasons.Format, "User authentication failed. Invalid basic credential format.");
    }

    // With or without the signs that fill it up, and with nothing else.
    private static bool TryDecode(ReadOnlySpan<byte> written, Span<byte> into, out int length)
    {
        length = 0;
        if (written.IndexOfAny(" \t"u8) >= 0) return false;
        ReadOnlySpan<byte> bare = written.TrimEnd((byte)'=');
        if (bare.Length % 4 == 1 || written.Length - bare.Length > 2) return false;
        Span<byte> whole = stackalloc byte[0];
        int filled = (bare.Length + 3) / 4 * 4;
        byte[]? rented = null;
        whole = filled <= 512 ? stackalloc byte[512] : rented = System.Buffers.ArrayPool<byte>.Shared.Rent(filled);
        bare.CopyTo(whole);
        whole[bare.Length..filled].Fill((byte)'=');
        bool good = Base64.DecodeFromUtf8(whole[..filled], into, out _, out length) == System.Buffers.OperationStatus.Done;
        if (rented is not null) System.Buffers.ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        return good && length > 0;
    }

    // The address that was asked for (Envoy: buildOriginalUri). It stands in quotes.
    private static string Realm(Exchange x)
    {
        ReadOnlySpan<byte> path = x.PathAndQuery;
        if (path.Length > LongestPath) path = path[..LongestPath];
        string text = $"{(x.IsHttps ? "https" : "http")}://{Encoding.Latin1.GetString(x.Authority)}{Encoding.Latin1.GetString(path)}";
        return text.AsSpan().IndexOfAny('"', '\\') < 0 && text.All(c => c is >= ' ' and <= '~') ? text
            : string.Concat(text.Select(c => c is >= ' ' and <= '~' and not ('"' or '\\') ? c.ToString() : $"%{(int)c:X2}"));
    }
}

/// <summary>Users of one level, by name.</summary>
internal sealed class BasicUsers
{
    private static readonly byte[] s_nobody = new byte[20];
    private readonly FrozenDictionary<string, byte[]>.AlternateLookup<ReadOnlySpan<char>> _digests;

    private BasicUsers(FrozenDictionary<string, byte[]> digests) => _digests = digests.GetAlternateLookup<ReadOnlySpan<char>>();

    // Names are bytes of a request: a character each.
    public static BasicUsers Of(BasicAuthConfig config) => new(config.Users.ToFrozenDictionary(
        u => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(u.Name)), u => u.Digest.ToArray(), StringComparer.Ordinal));

    /// <summary>Whether there is a user of this name and password.</summary>
    [SuppressMessage("Security", "CA5350", Justification = "The format of htpasswd says so: {SHA} is SHA-1.")]
    public bool Has(ReadOnlySpan<byte> name, ReadOnlySpan<byte> password)
    {
        Span<byte> digest = stackalloc byte[20];
        SHA1.HashData(password, digest);
        Span<char> text = name.Length <= 256 ? stackalloc char[256] : new char[name.Length];
        text = text[..Encoding.Latin1.GetChars(name, text)];
        bool known = _digests.TryGetValue(text, out byte[]? right);
        return CryptographicOperations.FixedTimeEquals(digest, known ? right : s_nobody) & known;
    }
}

/// <summary>Why a request is refused; Envoy's details.</summary>
internal static class BasicAuthReasons
{
    public static readonly Reason None = FilterReasons.NoCredentials with { Details = "no_credential_for_basic_auth" };
    public static readonly Reason Scheme = FilterReasons.NoCredentials with { Details = "invalid_scheme_for_basic_auth" };
    public static readonly Reason Format = FilterReasons.NoCredentials with { Details = "invalid_format_for_basic_auth" };
    public static readonly Reason Wrong = FilterReasons.NoCredentials with { Details = "invalid_credential_for_basic_auth" };
}

internal static class BasicAuthStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Allowed = Schema.Counter("allowed");
    public static readonly int Denied = Schema.Counter("denied");
}

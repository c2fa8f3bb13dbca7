// A JSON Web Token (RFC 7519) as it is read before anybody knows whether it is good: three parts in base64url, a header that names algorithm and
// key, claims. Bounded in every direction; what is read in two ways is refused.
using System.Buffers;
using System.Text;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>What became of a token, in the words of Envoy's answers.</summary>
internal sealed record JwtStatus(string Message)
{
    public static readonly JwtStatus Ok = new("OK"),
        Missing = new("Jwt is missing"),
        NotYetValid = new("Jwt not yet valid"),
        Expired = new("Jwt is expired"),
        BadFormat = new("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
        TooMany = new("Found multiple Jwt tokens"),
        HeaderBase64 = new("Jwt header is an invalid Base64url encoded"),
        HeaderJson = new("Jwt header is an invalid JSON"),
        BadAlgorithm = new("Jwt header [alg] field is required and must be a string"),
        UnknownAlgorithm = new("Jwt header [alg] is not supported"),
        BadKeyId = new("Jwt header [kid] field is not a string"),
        Critical = new("Jwt header [crit] is not supported"),
        PayloadBase64 = new("Jwt payload is an invalid Base64url encoded"),
        PayloadJson = new("Jwt payload is an invalid JSON"),
        BadAudience = new("Jwt payload [aud] field is not a string or string list"),
        SignatureBase64 = new("Jwt signature is an invalid Base64url encoded"),
        UnknownIssuer = new("Jwt issuer is not configured"),
        WrongAudience = new("Audiences in Jwt are not allowed"),
        WrongSubject = new("Jwt subject is not allowed"),
        NoExpiration = new("Jwt has no expiration"),
        LivesTooLong = new("Jwt lifetime is too long"),
        WrongSignature = new("Jwt verification fails"),
        NoKeys = new("Jwks doesn't have any valid public key"),
        NoSuchKey = new("Jwks doesn't have key to match kid or alg from Jwt"),
        NoFetch = new("Jwks remote fetch is failed");

    public static JwtStatus NotText(string claim) => new($"Jwt payload [{claim}] field is not a string");

    public static JwtStatus NotInteger(string claim) => new($"Jwt payload [{claim}] field is not an integer");

    public static JwtStatus NotPositive(string claim) => new($"Jwt payload [{claim}] field is not a positive 64 bit integer");
}

/// <summary>An algorithm of signatures (RFC 7518 3.1, RFC 8037 3.1). None and those with shared secrets are not among them.</summary>
/// <param name="Name">As tokens and keys have it.</param>
/// <param name="KeyType">What a key of it is.</param>
/// <param name="Kind">How signatures are made.</param>
/// <param name="Digest">Bits.</param>
/// <param name="Curve">Bits of the curve; 0 for none.</param>
internal sealed record JwtAlgorithm(string Name, string KeyType, SignatureKind Kind, int Digest, int Curve = 0)
{
    private static readonly JwtAlgorithm[] s_all =
    [
        new("RS256", "RSA", SignatureKind.RsaPkcs1, 256), new("RS384", "RSA", SignatureKind.RsaPkcs1, 384),
        new("RS512", "RSA", SignatureKind.RsaPkcs1, 512), new("PS256", "RSA", SignatureKind.RsaPss, 256),
        new("PS384", "RSA", SignatureKind.RsaPss, 384), new("PS512", "RSA", SignatureKind.RsaPss, 512),
        new("ES256", "EC", SignatureKind.Ecdsa, 256, 256), new("ES384", "EC", SignatureKind.Ecdsa, 384, 384),
        new("ES512", "EC", SignatureKind.Ecdsa, 512, 521), new("EdDSA", "OKP", SignatureKind.Ed25519, 0),
        // Tokens may name these, and no key of ours has them: they find none.
        new("HS256", "oct", default, 0), new("HS384", "oct", default, 0), new("HS512", "oct", default, 0),
    ];

    /// <summary>By name, whose letters are compared as they are; null where there is none.</summary>
    public static JwtAlgorithm? Of(ReadOnlySpan<byte> name)
    {
        foreach (JwtAlgorithm one in s_all) if (name.Length == one.Name.Length && Ascii.Equals(name, one.Name)) return one;
        return null;
    }

    /// <summary>Bytes of a signature; 0 where the key says that.</summary>
    public int SignatureLength => Curve > 0 ? (Curve + 7) / 8 * 2 : Kind == SignatureKind.Ed25519 && KeyType == "OKP" ? 64 : 0;
}

internal sealed class JwtToken
{
    /// <summary>Longest token, bytes; values in a header and in claims.</summary>
    public const int MostBytes = 16 * 1024, MostValues = 1024;

    private static readonly SearchValues<byte> s_base64 =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"u8);

    private JwtToken(byte[] text, MetaValue header, MetaValue payload, JwtAlgorithm algorithm)
    {
        (Text, Header, Payload, Algorithm) = (text, header, payload, algorithm);
    }

    /// <summary>All of it.</summary>
    public byte[] Text { get; }

    public MetaValue Header { get; }
    public MetaValue Payload { get; }
    public JwtAlgorithm Algorithm { get; }

    /// <summary>The key's name; empty for none.</summary>
    public string KeyId { get; private init; } = "";

    public string Issuer { get; private init; } = "";
    public string Subject { get; private init; } = "";
    public string[] Audiences { get; private init; } = [];

    /// <summary>Seconds since 1970; null for none.</summary>
    public double? Expires { get; private init; }

    /// <summary>The same.</summary>
    public double? NotBefore { get; private init; }

    /// <summary>The claims as JSON.</summary>
    public byte[] PayloadJson { get; private init; } = [];

    public byte[] Signature { get; private init; } = [];

    private int _dot, _lastDot;

    /// <summary>What is signed.</summary>
    public ReadOnlySpan<byte> Signed => Text.AsSpan(0, _lastDot);

    /// <summary>The claims in base64url.</summary>
    public ReadOnlySpan<byte> PayloadText => Text.AsSpan(_dot + 1, _lastDot - _dot - 1);

    /// <summary>Reads one.</summary>
    public static JwtStatus Read(byte[] text, out JwtToken? token)
    {
        token = null;
        if (text.Length > MostBytes) return JwtStatus.BadFormat;
        int dot = text.AsSpan().IndexOf((byte)'.'), last = text.AsSpan().LastIndexOf((byte)'.');
        if (dot <= 0 || last <= dot + 1 || last == text.Length - 1 || text.AsSpan(dot + 1, last - dot - 1).Contains((byte)'.')) return JwtStatus.BadFormat;
        if (Decode(text.AsSpan(0, dot)) is not { } headerJson) return JwtStatus.HeaderBase64;
        if (JwtJson.Read(headerJson, MostValues) is not { } header) return JwtStatus.HeaderJson;
        if (header.Find("alg"u8) is not { Kind: MetaKind.Text } named) return JwtStatus.BadAlgorithm;
        if (JwtAlgorithm.Of(named.Text) is not { } algorithm) return JwtStatus.UnknownAlgorithm;
        if (header.Find("kid"u8) is { Kind: not MetaKind.Text }) return JwtStatus.BadKeyId;
        // What must be understood is not (RFC 7515 4.1.11).
        if (header.Find("crit"u8) is not null) return JwtStatus.Critical;
        if (Decode(text.AsSpan(dot + 1, last - dot - 1)) is not { } payloadJson) return JwtStatus.PayloadBase64;
        if (JwtJson.Read(payloadJson, MostValues) is not { } payload) return JwtStatus.PayloadJson;
        foreach (string claim in (ReadOnlySpan<string>)["iss", "sub", "jti"])
            if (payload.Find(Encoding.ASCII.GetBytes(claim)) is { Kind: not MetaKind.Text }) return JwtStatus.NotText(claim);
        foreach (string claim in (ReadOnlySpan<string>)["iat", "nbf", "exp"])
        {
            if (payload.Find(Encoding.ASCII.GetBytes(claim)) is not { } value) continue;
            if (value.Kind != MetaKind.Number) return JwtStatus.NotInteger(claim);
            if (!(value.Number >= 0 && value.Number < long.MaxValue)) return JwtStatus.NotPositive(claim);
        }
        if (AudiencesOf(payload.Find("aud"u8)) is not { } audiences) return JwtStatus.BadAudience;
        if (Decode(text.AsSpan(last + 1)) is not { } signature) return JwtStatus.SignatureBase64;
        token = new JwtToken(text, header, payload, algorithm)
        {
            _dot = dot,
            _lastDot = last,
            KeyId = TextOf(header.Find("kid"u8)),
            Issuer = TextOf(payload.Find("iss"u8)),
            Subject = TextOf(payload.Find("sub"u8)),
            Audiences = audiences,
            Expires = payload.Find("exp"u8)?.Number,
            NotBefore = payload.Find("nbf"u8)?.Number,
            PayloadJson = payloadJson,
            Signature = signature,
        };
        return JwtStatus.Ok;
    }

    /// <summary>Whether it is good at a time.</summary>
    /// <param name="now">Seconds since 1970.</param>
    /// <param name="skew">How far clocks may be apart, seconds.</param>
    public JwtStatus At(double now, long skew) =>
        NotBefore is { } from && from > now + skew ? JwtStatus.NotYetValid
        : Expires is { } until && now > until + skew ? JwtStatus.Expired : JwtStatus.Ok;

    private static string TextOf(MetaValue? value) => value is null ? "" : Encoding.UTF8.GetString(value.Text);

    private static string[]? AudiencesOf(MetaValue? value)
    {
        if (value is null) return [];
        if (value.Kind == MetaKind.Text) return [TextOf(value)];
        if (value.Kind != MetaKind.List) return null;
        var all = new string[value.Items.Length];
        for (int i = 0; i < all.Length; i++)
        {
            if (value.Items[i].Kind != MetaKind.Text) return null;
            all[i] = TextOf(value.Items[i]);
        }
        return all;
    }

    /// <summary>Base64url without anything else in it (RFC 7515 2); null where it is not that.</summary>
    public static byte[]? Decode(ReadOnlySpan<byte> text)
    {
        if (text.ContainsAnyExcept(s_base64) || text.Length % 4 == 1) return null;
        byte[] bytes = new byte[text.Length * 3 / 4];
        (uint bits, int count, int length) = (0, 0, 0);
        foreach (byte b in text)
        {
            int value = b is >= (byte)'a' ? b - 'a' + 26 : b is (byte)'_' ? 63 : b is >= (byte)'A' ? b - 'A' : b is (byte)'-' ? 62 : b - '0' + 52;
            bits = bits << 6 | (uint)value;
            count += 6;
            if (count < 8) continue;
            count -= 8;
            bytes[length++] = (byte)(bits >> count);
        }
        return bytes;
    }
}

// A set of public keys (RFC 7517), read once and shared by all workers. Keys that are not for signatures, of another kind, too weak or written
// twice in themselves are left out; a token is compared with those alone that are of its algorithm and may be of its name.
using System.Text;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

internal sealed class Jwks
{
    /// <summary>Longest set, bytes.</summary>
    public const int MostBytes = 1024 * 1024;

    // Keys of a set, values in it, and keys that one token is compared with.
    private const int MostKeys = 256, MostValues = 16 * 1024, MostTried = 16;

    private readonly Key[] _keys;

    private sealed record Key(string Id, string Type, string Algorithm, int Curve, PublicKey Public);

    private Jwks(Key[] keys) => _keys = keys;

    /// <summary>How many keys there are.</summary>
    public int Count => _keys.Length;

    /// <summary>Any key of the text was a shared secret.</summary>
    public bool HadSecrets { get; private init; }

    /// <summary>Those for signatures that cannot be used: each by its name, or by its place.</summary>
    public IReadOnlyList<string> LeftOut { get; private init; } = [];

    /// <summary>Reads a set; null where the text is none.</summary>
    public static Jwks? Read(ReadOnlySpan<byte> text)
    {
        if (text.Length > MostBytes || JwtJson.Read(text, MostValues, leavesOut: true)?.Find("keys"u8) is not { Kind: MetaKind.List } list
            || list.Items.Length > MostKeys)
            return null;
        var keys = new List<Key>();
        var leftOut = new List<string>();
        bool secrets = false;
        for (int i = 0; i < list.Items.Length; i++)
        {
            MetaValue one = list.Items[i];
            if (KeyOf(one) is { } key) keys.Add(key);
            else if (one.Find("use"u8) is null || Text(one, "use"u8) == "sig")
                leftOut.Add(Text(one, "kid"u8) is { Length: > 0 } id ? $"\"{id}\"" : $"keys[{i}]");
            secrets |= Text(one, "kty"u8) == "oct";
        }
        return new Jwks([.. keys]) { HadSecrets = secrets, LeftOut = leftOut };
    }

    // RFC 7518 6, RFC 8037 2.
    private static Key? KeyOf(MetaValue jwk)
    {
        string type = Text(jwk, "kty"u8), algorithm = Text(jwk, "alg"u8), curve = Text(jwk, "crv"u8);
        if (jwk.Find("use"u8) is not null && Text(jwk, "use"u8) != "sig") return null;
        // Half of what they are is not theirs to show.
        if (jwk.Find("d"u8) is not null) return null;
        if (jwk.Find("alg"u8) is not null && JwtAlgorithm.Of(Encoding.UTF8.GetBytes(algorithm))?.KeyType != type) return null;
        int bits = type != "EC" ? 0 : curve switch { "P-256" => 256, "P-384" => 384, "P-521" => 521, _ => -1 };
        PublicKey? key = type switch
        {
            "RSA" => PublicKey.Rsa(Bytes(jwk, "n"u8), Bytes(jwk, "e"u8)),
            "EC" => PublicKey.Ec(bits, Bytes(jwk, "x"u8), Bytes(jwk, "y"u8)),
            "OKP" when curve == "Ed25519" => PublicKey.Ed(Bytes(jwk, "x"u8)),
            _ => null,
        };
        return key is null ? null : new Key(Text(jwk, "kid"u8), type, algorithm, bits, key);
    }

    private static string Text(MetaValue map, ReadOnlySpan<byte> name) =>
        map.Find(name) is { Kind: MetaKind.Text } text ? Encoding.UTF8.GetString(text.Text) : "";

    private static byte[] Bytes(MetaValue map, ReadOnlySpan<byte> name) =>
        map.Find(name) is { Kind: MetaKind.Text } text ? JwtToken.Decode(text.Text) ?? [] : [];

    /// <summary>Whether one of the keys signed a token.</summary>
    public JwtStatus Check(JwtToken token)
    {
        if (_keys.Length == 0) return JwtStatus.NoKeys;
        JwtAlgorithm algorithm = token.Algorithm;
        int tried = 0;
        foreach (Key key in _keys)
        {
            if (token.KeyId.Length > 0 && key.Id.Length > 0 && key.Id != token.KeyId) continue;
            if (key.Type != algorithm.KeyType || key.Curve != algorithm.Curve || (key.Algorithm.Length > 0 && key.Algorithm != algorithm.Name)) continue;
            if (++tried > MostTried) break;
            if (algorithm.SignatureLength > 0 && token.Signature.Length != algorithm.SignatureLength) continue;
            if (key.Public.Verifies(algorithm.Kind, algorithm.Digest, token.Signed, token.Signature)) return JwtStatus.Ok;
        }
        return tried == 0 ? JwtStatus.NoSuchKey : JwtStatus.WrongSignature;
    }
}

// What a proxy of Naru takes as keys that tokens are checked by (RFC 7517), so that a set which it would refuse, and with it the whole
// listener
// and the policies there, is refused where it is applied. It takes no more than the proxy does; tests/golden has both read the same texts.
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Naru.Control.Model;

internal static class TokenKeys
{
    private const int MostBytes = 1024 * 1024, MostDepth = 16, MostKeys = 256, MostValues = 16 * 1024;
    private const int LeastRsaBits = 2048, MostRsaBits = 8192;

    /// <summary>Why the text is no set that a proxy takes; null where it is one.</summary>
    public static string? Fault(string text)
    {
        if (Encoding.UTF8.GetByteCount(text) > MostBytes) return "is longer than 1 MiB";
        try
        {
            using var json = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MostDepth });
            JsonElement root = json.RootElement;
            int values = 0;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("keys", out JsonElement keys)
                || keys.ValueKind != JsonValueKind.Array)
                return "is no set of keys";
            if (SaysTwice(root, ref values, leavesOut: true)) return "says something twice";
            if (keys.GetArrayLength() > MostKeys || values > MostValues) return $"has more than {MostKeys} keys, or says too much of them";
            if (keys.EnumerateArray().Any(k =>
                Text(k, "kty") == "oct")) return "has a key of kty oct, a shared secret: whoever checks by it could sign, too";
            return keys.EnumerateArray().Any(IsUsable) ? null : "has no key that tokens can be checked by";
        }
        catch (JsonException)
        {
            return "is no JSON";
        }
    }

    // A name that comes twice means two things to two readers. Of a member of a list it spoils that member alone.
    private static bool SaysTwice(JsonElement value, ref int values, bool leavesOut)
    {
        values++;
        if (value.ValueKind == JsonValueKind.Array)
        {
            bool twice = false;
            foreach (JsonElement item in value.EnumerateArray()) twice |= SaysTwice(item, ref values, leavesOut: false);
            return twice && !leavesOut;
        }
        if (value.ValueKind != JsonValueKind.Object) return false;
        var names = new HashSet<string>(StringComparer.Ordinal);
        bool any = false;
        foreach (JsonProperty member in value.EnumerateObject()) any |= !names.Add(member.Name) | SaysTwice(member.Value, ref values,
            leavesOut);
        return any;
    }

    // RFC 7518 6, RFC 8037 2.
    private static bool IsUsable(JsonElement key)
    {
        int values = 0;
        if (key.ValueKind != JsonValueKind.Object || SaysTwice(key, ref values, leavesOut: false)) return false;
        string type = Text(key, "kty"), curve = Text(key, "crv");
        if (key.TryGetProperty("d", out _) || (key.TryGetProperty("use", out _) && Text(key, "use") != "sig")) return false;
        if (key.TryGetProperty("alg", out _) && !Algorithms(type).Contains(Text(key, "alg"))) return false;
        return type switch
        {
            "RSA" => IsRsa(Bytes(key, "n"), Bytes(key, "e")),
            "EC" => IsPoint(curve, Bytes(key, "x"), Bytes(key, "y")),
            "OKP" => curve == "Ed25519" && Bytes(key, "x").Length == 32,
            _ => false,
        };
    }

    private static string[] Algorithms(string type) => type switch
    {
        "RSA" => ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        "EC" => ["ES256", "ES384", "ES512"],
        "OKP" => ["EdDSA"],
        _ => [],
    };

    private static bool IsRsa(ReadOnlySpan<byte> modulus, ReadOnlySpan<byte> exponent)
    {
        modulus = modulus.TrimStart((byte)0);
        exponent = exponent.TrimStart((byte)0);
        if (modulus.IsEmpty || exponent.Length is 0 or > 8 || (exponent[^1] & 1) == 0 || (exponent.Length == 1
            && exponent[0] < 3)) return false;
        int bits = modulus.Length * 8 - System.Numerics.BitOperations.LeadingZeroCount((uint)modulus[0] << 24);
        return bits is >= LeastRsaBits and <= MostRsaBits;
    }

    private static bool IsPoint(string name, byte[] x, byte[] y)
    {
        ECCurve? curve = name switch
        {
            "P-256" => ECCurve.NamedCurves.nistP256,
            "P-384" => ECCurve.NamedCurves.nistP384,
            "P-521" => ECCurve.NamedCurves.nistP521,
            _ => null,
        };
        int length = name switch { "P-256" => 32, "P-384" => 48, _ => 66 };
        if (curve is not { } known || x.Length != length || y.Length != length) return false;
        try
        {
            // Refuses what does not lie on the curve.
            using ECDsa made = ECDsa.Create(new ECParameters { Curve = known, Q = new ECPoint { X = x, Y = y } });
            return true;
        }
        catch (CryptographicException)
        {
            return false;
        }
    }

    private static string Text(JsonElement map, string name) =>
        map.ValueKind == JsonValueKind.Object && map.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()! : "";

    private static byte[] Bytes(JsonElement map, string name)
    {
        string text = Text(map, name);
        if (text.Contains('=', StringComparison.Ordinal) || !Base64Url.IsValid(text)) return [];
        byte[] bytes = Base64Url.DecodeFromChars(text);
        return Base64Url.EncodeToString(bytes) == text ? bytes : [];
    }
}

// What oauth2 signs and seals with one secret, as Envoy does, so that either reads the cookies of the other: HMAC-SHA256 over host, end
// and tokens; AES-256 with SHA-256 of the secret as key. Texts are sealed by GCM behind the mark "gcm."; those without a mark are CBC's,
// which older proxies wrote. CBC does not tell whether a text was changed: what cannot be opened is taken as it stands, so that nobody
// learns from an answer whether its padding was right (CVE-2026-47775).
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Naru.Proxy.Filters.Http.OAuth2;

/// <summary>One secret at work.</summary>
internal readonly struct OAuthSeals(byte[] secret)
{
    private const string Mark = "gcm.";
    private const int IvBytes = 12, TagBytes = 16, BlockBytes = 16;

    /// <summary>The signature of a session, in base64.</summary>
    public string Sign(string domain, string expires, string access, string id, string refresh) =>
        Convert.ToBase64String(Mac($"{domain}\n{expires}\n{access}\n{id}\n{refresh}"));

    /// <summary>Whether a session is signed so; the older form, base64 of hexadecimal digits, is good too.</summary>
    public bool IsSigned(string given, string domain, string expires, string access, string id, string refresh)
    {
        byte[] mac = Mac($"{domain}\n{expires}\n{access}\n{id}\n{refresh}");
        string older = Convert.ToBase64String(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(mac)));
        return Same(given, Convert.ToBase64String(mac)) | Same(given, older);
    }

    /// <summary>A nonce with its signature behind it.</summary>
    public string Nonce(string flow) => $"{flow}.{Convert.ToBase64String(Mac(flow))}";

    /// <summary>Whether a nonce is of our own making.</summary>
    public bool IsNonce(string given)
    {
        int dot = given.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && Same(given, Nonce(given[..dot]));
    }

    /// <summary>Compares in a time that says nothing of either.</summary>
    public static bool Same(string one, string other) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(one), Encoding.UTF8.GetBytes(other));

    private byte[] Mac(string text) => HMACSHA256.HashData(secret, Encoding.UTF8.GetBytes(text));

    /// <summary>Seals a text, so that it may stand in a cookie.</summary>
    /// <param name="text">The text.</param>
    /// <param name="marked">By GCM; else as proxies do that know only CBC.</param>
    public string Seal(string text, bool marked)
    {
        byte[] plain = Encoding.UTF8.GetBytes(text), key = SHA256.HashData(secret);
        if (!marked)
        {
            using Aes aes = Aes.Create();
            aes.Key = key;
            byte[] iv = RandomNumberGenerator.GetBytes(BlockBytes);
            return Base64Url.EncodeToString([.. iv, .. aes.EncryptCbc(plain, iv)]);
        }
        byte[] box = new byte[IvBytes + plain.Length + TagBytes];
        Span<byte> at = box;
        RandomNumberGenerator.Fill(at[..IvBytes]);
        using var gcm = new AesGcm(key, TagBytes);
        gcm.Encrypt(at[..IvBytes], plain, at.Slice(IvBytes, plain.Length), at[^TagBytes..]);
        return Mark + Base64Url.EncodeToString(box);
    }

    /// <summary>What was sealed; empty where a marked one was not sealed by us.</summary>
    /// <param name="text">The cookie's value.</param>
    /// <param name="takesOld">Whether one without a mark may be CBC's.</param>
    /// <param name="wasOld">It was.</param>
    public string Open(string text, bool takesOld, out bool wasOld)
    {
        wasOld = false;
        if (text.Length == 0) return "";
        bool isMarked = text.StartsWith(Mark, StringComparison.Ordinal);
        if (!isMarked && !takesOld) return "";
        try
        {
            byte[] bytes = Base64Url.DecodeFromChars(isMarked ? text.AsSpan(Mark.Length) : text), key = SHA256.HashData(secret);
            if (isMarked)
            {
                if (bytes.Length < IvBytes + TagBytes) return "";
                byte[] plain = new byte[bytes.Length - IvBytes - TagBytes];
                using var gcm = new AesGcm(key, TagBytes);
                gcm.Decrypt(bytes.AsSpan(0, IvBytes), bytes.AsSpan(IvBytes, plain.Length), bytes.AsSpan(bytes.Length - TagBytes), plain);
                return Encoding.UTF8.GetString(plain);
            }
            if (bytes.Length < 2 * BlockBytes || bytes.Length % BlockBytes != 0) return text;
            using Aes aes = Aes.Create();
            aes.Key = key;
            string opened = Encoding.UTF8.GetString(aes.DecryptCbc(bytes.AsSpan(BlockBytes), bytes.AsSpan(0, BlockBytes)));
            if (!OAuthTexts.IsToken(opened)) return text;
            wasOld = true;
            return opened;
        }
        catch (Exception e) when (e is CryptographicException or FormatException)
        {
            return isMarked ? "" : text;
        }
    }
}

/// <summary>Small texts of the protocol.</summary>
internal static class OAuthTexts
{
    /// <summary>Longest token that is taken.</summary>
    public const int MostToken = 16 * 1024;

    /// <summary>Whether a text may be a token: what stands in a cookie as it is (RFC 6265 4.1.1), which those of RFC 6750 2.1 do. Any other
    /// would be more than one cookie to who reads behind us.</summary>
    public static bool IsToken(string text)
    {
        if (text.Length is 0 or > MostToken) return false;
        foreach (char c in text) if (c is <= ' ' or >= (char)127 or '"' or ',' or ';' or '\\') return false;
        return true;
    }

    /// <summary>A verifier of 32 random bytes (RFC 7636 4.1).</summary>
    public static string Verifier() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    /// <summary>What the server is told of it (RFC 7636 4.2).</summary>
    public static string Challenge(string verifier) => Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(verifier)));

    /// <summary>The name of a sign-in.</summary>
    public static string Flow() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));

    /// <summary>A text for logs: short, printable, without blanks.</summary>
    public static string Plain(string text, int most = 512)
    {
        if (text.Length > most) text = text[..most];
        return string.Create(text.Length, text, static (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = from[i] is > ' ' and < (char)127 ? from[i] : '_';
        });
    }
}

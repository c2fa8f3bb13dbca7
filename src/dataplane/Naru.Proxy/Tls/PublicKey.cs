// A public key that checks signatures of messages (RFC 7518 3, RFC 8037): RSA with PKCS #1 and PSS, ECDSA, Ed25519. Made of its numbers, which
// are written as a SubjectPublicKeyInfo for OpenSSL to read. Shared by all workers; what is too weak or no key is null.
using System.Formats.Asn1;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Tls;

/// <summary>How a signature is made.</summary>
internal enum SignatureKind : byte
{
    /// <summary>RSASSA-PKCS1-v1_5.</summary>
    RsaPkcs1,

    /// <summary>RSASSA-PSS with a salt as long as its digest.</summary>
    RsaPss,

    /// <summary>ECDSA; r and s one behind the other.</summary>
    Ecdsa,

    /// <summary>Ed25519; no digest.</summary>
    Ed25519,
}

internal sealed unsafe partial class PublicKey : SafeHandle
{
    private const string Lib = "libcrypto.so.3";

    /// <summary>Bits of RSA keys, at least and at most: shorter ones are broken, longer ones take too long.</summary>
    public const int LeastRsaBits = 2048, MostRsaBits = 8192;

    private PublicKey() : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Crypto.EVP_PKEY_free(handle);
        return true;
    }

    /// <summary>Of RSA, by modulus and exponent, unsigned and big-endian.</summary>
    public static PublicKey? Rsa(ReadOnlySpan<byte> modulus, ReadOnlySpan<byte> exponent)
    {
        modulus = modulus.TrimStart((byte)0);
        exponent = exponent.TrimStart((byte)0);
        if (modulus.IsEmpty || exponent.Length is 0 or > 8) return null;
        int bits = modulus.Length * 8 - System.Numerics.BitOperations.LeadingZeroCount((uint)modulus[0] << 24);
        // An exponent of 1 leaves any message as it is.
        if (bits is < LeastRsaBits or > MostRsaBits || (exponent[^1] & 1) == 0 || (exponent.Length == 1 && exponent[0] < 3)) return null;
        var key = new AsnWriter(AsnEncodingRules.DER);
        using (key.PushSequence())
        {
            key.WriteIntegerUnsigned(modulus);
            key.WriteIntegerUnsigned(exponent);
        }
        return Of("1.2.840.113549.1.1.1", null, key.Encode());
    }

    /// <summary>Of a curve, by the coordinates of a point, each as long as the curve has it.</summary>
    /// <param name="bits">256, 384 or 521.</param>
    /// <param name="x">Of the point.</param>
    /// <param name="y">Of the point.</param>
    public static PublicKey? Ec(int bits, ReadOnlySpan<byte> x, ReadOnlySpan<byte> y)
    {
        int length = (bits + 7) / 8;
        string? curve = bits switch { 256 => "1.2.840.10045.3.1.7", 384 => "1.3.132.0.34", 521 => "1.3.132.0.35", _ => null };
        if (curve is null || x.Length != length || y.Length != length) return null;
        return Of("1.2.840.10045.2.1", curve, [4, .. x, .. y]);
    }

    /// <summary>Of Ed25519.</summary>
    public static PublicKey? Ed(ReadOnlySpan<byte> x) => x.Length == 32 ? Of("1.3.101.112", null, x.ToArray()) : null;

    // RFC 5280 4.1.2.7, RFC 3279 2.3, RFC 8410 4.
    private static PublicKey? Of(string algorithm, string? curve, byte[] key)
    {
        var info = new AsnWriter(AsnEncodingRules.DER);
        using (info.PushSequence())
        {
            using (info.PushSequence())
            {
                info.WriteObjectIdentifier(algorithm);
                if (curve is not null) info.WriteObjectIdentifier(curve);
                else if (algorithm != "1.3.101.112") info.WriteNull();
            }
            info.WriteBitString(key);
        }
        return Of(info.Encode());
    }

    /// <summary>Of a SubjectPublicKeyInfo in DER, of any kind that OpenSSL knows.</summary>
    public static PublicKey? Of(ReadOnlySpan<byte> bytes)
    {
        OpenSsl.Start();
        var made = new PublicKey();
        fixed (byte* from = bytes)
        {
            byte* at = from;
            made.SetHandle(d2i_PUBKEY(0, &at, bytes.Length));
        }
        if (!made.IsInvalid) return made;
        Crypto.ERR_clear_error();
        made.Dispose();
        return null;
    }

    /// <summary>Whether a signature is this key's, of these bytes.</summary>
    /// <param name="kind">How it is made; the key must be of that kind.</param>
    /// <param name="digest">Bits of the digest: 256, 384 or 512; no matter for Ed25519.</param>
    /// <param name="message">What is signed.</param>
    /// <param name="signature">As JSON Web Signatures have it.</param>
    public bool Verifies(SignatureKind kind, int digest, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (signature.IsEmpty || message.IsEmpty) return false;
        byte[]? pair = kind == SignatureKind.Ecdsa ? Pair(signature) : null;
        if (kind == SignatureKind.Ecdsa && pair is null) return false;
        nint hash = kind == SignatureKind.Ed25519 ? 0 : digest switch { 256 => Crypto.EVP_sha256(), 384 => EVP_sha384(), _ => EVP_sha512() };
        return Verifies(hash, kind == SignatureKind.RsaPss, message, pair ?? signature);
    }

    /// <summary>The same of a key of any kind, with PKCS #1 v1.5 of RSA, and the signatures of elliptic curves in DER.</summary>
    /// <param name="digest">Bits of the digest: 160 (SHA-1), 224, 256, 384 or 512.</param>
    /// <param name="message">What is signed.</param>
    /// <param name="signature">As OpenSSL makes it.</param>
    public bool Verifies(int digest, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        nint hash = digest switch
        {
            160 => EVP_sha1(),
            224 => EVP_sha224(),
            256 => Crypto.EVP_sha256(),
            384 => EVP_sha384(),
            _ => EVP_sha512(),
        };
        return !signature.IsEmpty && !message.IsEmpty && Verifies(hash, false, message, signature);
    }

    private bool Verifies(nint hash, bool isPss, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        bool held = false;
        nint context = 0;
        try
        {
            DangerousAddRef(ref held);
            context = EVP_MD_CTX_new();
            nint keyContext = 0;
            if (context == 0 || EVP_DigestVerifyInit(context, &keyContext, hash, 0, handle) != 1) return false;
            if (isPss && (EVP_PKEY_CTX_ctrl_str(keyContext, "rsa_padding_mode", "pss") <= 0
                || EVP_PKEY_CTX_ctrl_str(keyContext, "rsa_pss_saltlen", "digest") <= 0)) return false;
            fixed (byte* signed = signature)
            fixed (byte* bytes = message)
                return EVP_DigestVerify(context, signed, (nuint)signature.Length, bytes, (nuint)message.Length) == 1;
        }
        finally
        {
            EVP_MD_CTX_free(context);
            // TLS on this thread reads the queue of errors.
            Crypto.ERR_clear_error();
            if (held) DangerousRelease();
        }
    }

    // ECDSA-Sig-Value of the two halves.
    private static byte[]? Pair(ReadOnlySpan<byte> signature)
    {
        int half = signature.Length / 2;
        if (signature.Length != half * 2 || half is < 16 or > 80) return null;
        var pair = new AsnWriter(AsnEncodingRules.DER);
        using (pair.PushSequence())
        {
            pair.WriteIntegerUnsigned(Shortest(signature[..half]));
            pair.WriteIntegerUnsigned(Shortest(signature[half..]));
        }
        return pair.Encode();
    }

    private static ReadOnlySpan<byte> Shortest(ReadOnlySpan<byte> number)
    {
        number = number.TrimStart((byte)0);
        return number.IsEmpty ? "\0"u8 : number;
    }

    [LibraryImport(Lib)] private static partial nint d2i_PUBKEY(nint into, byte** bytes, nint length);
    [LibraryImport(Lib)] private static partial nint EVP_MD_CTX_new();
    [LibraryImport(Lib)] private static partial void EVP_MD_CTX_free(nint context);
    [LibraryImport(Lib)] private static partial nint EVP_sha1();
    [LibraryImport(Lib)] private static partial nint EVP_sha224();
    [LibraryImport(Lib)] private static partial nint EVP_sha384();
    [LibraryImport(Lib)] private static partial nint EVP_sha512();
    [LibraryImport(Lib)] private static partial int EVP_DigestVerifyInit(nint context, nint* keyContext, nint digest, nint engine, nint key);

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int EVP_PKEY_CTX_ctrl_str(nint context, string name, string value);

    [LibraryImport(Lib)]
    private static partial int EVP_DigestVerify(nint context, byte* signature, nuint signatureLength, byte* bytes, nuint length);
}

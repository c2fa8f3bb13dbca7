// What a certificate says, read once into plain values: for messages, /certs, access logs and x-forwarded-client-cert.
// Owns nothing of OpenSSL's afterwards.
using System.Collections.Immutable;
using System.Net;
using System.Text;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

/// <summary>One subject alternative name. An IP address is written as text; bytes that are no text show as <c>?</c>.</summary>
public readonly record struct SubjectAltName(SanType Type, string Value);

/// <summary>A certificate's facts.</summary>
public sealed class CertificateInfo
{
    private CertificateInfo() { }

    /// <summary>Subject, RFC 2253.</summary>
    public required string Subject { get; init; }
    /// <summary>Issuer, RFC 2253.</summary>
    public required string Issuer { get; init; }
    /// <summary>Serial number, lower-case hexadecimal.</summary>
    public required string Serial { get; init; }
    /// <summary>Names in the certificate's order.</summary>
    public required ImmutableArray<SubjectAltName> Names { get; init; }
    /// <summary>UTC.</summary>
    public required DateTime NotBefore { get; init; }
    /// <summary>UTC.</summary>
    public required DateTime NotAfter { get; init; }
    /// <summary>SHA-256 of the DER (32 bytes).</summary>
    public required ImmutableArray<byte> Sha256 { get; init; }
    /// <summary>The certificate in PEM.</summary>
    public required string Pem { get; init; }

    /// <summary>First name of a kind, or empty.</summary>
    public string First(SanType type)
    {
        foreach (SubjectAltName name in Names) if (name.Type == type) return name.Value;
        return "";
    }

    /// <summary>A fact as access logs print it.</summary>
    internal string Fact(TlsFact what) => what switch
    {
        TlsFact.UriSan => All(SanType.Uri),
        TlsFact.DnsSan => All(SanType.Dns),
        TlsFact.IpSan => All(SanType.IpAddress),
        TlsFact.EmailSan => All(SanType.Email),
        TlsFact.Subject => Subject,
        TlsFact.Issuer => Issuer,
        TlsFact.Fingerprint256 => Convert.ToHexStringLower(Sha256.AsSpan()),
        TlsFact.Serial => Serial,
        TlsFact.Certificate => Uri.EscapeDataString(Pem),
        TlsFact.ValidFrom => $"{NotBefore:yyyy-MM-ddTHH:mm:ss.fffZ}",
        TlsFact.ValidTo => $"{NotAfter:yyyy-MM-ddTHH:mm:ss.fffZ}",
        _ => "",
    };

    private string All(SanType type) => string.Join(',', Names.Where(n => n.Type == type).Select(n => n.Value));

    /// <summary>Names for a message: the alternative names, else the subject.</summary>
    public string Described => Describe(Names, Subject);

    internal static string Describe(ImmutableArray<SubjectAltName> names, string subject)
    {
        if (names.IsEmpty) return subject.Length > 0 ? $"{subject} without alternative names" : "nobody";
        const int Most = 8;
        string text = string.Join(", ", names.Take(Most).Select(n => n.Value));
        return names.Length > Most ? $"{text} and {names.Length - Most} more" : text;
    }

    /// <summary>Reads an X509; the caller keeps it.</summary>
    internal static unsafe CertificateInfo Read(nint x509)
    {
        Span<byte> digest = stackalloc byte[32];
        fixed (byte* into = digest) _ = Crypto.X509_digest(x509, Crypto.EVP_sha256(), into, null);
        nint pem = Crypto.BIO_new(Crypto.BIO_s_mem());
        _ = Crypto.PEM_write_bio_X509(pem, x509);
        return new CertificateInfo
        {
            Subject = Crypto.NameText(Crypto.X509_get_subject_name(x509)),
            Issuer = Crypto.NameText(Crypto.X509_get_issuer_name(x509)),
            Serial = SerialOf(x509),
            Names = NamesOf(x509),
            NotBefore = Crypto.Time(Crypto.X509_get0_notBefore(x509)),
            NotAfter = Crypto.Time(Crypto.X509_get0_notAfter(x509)),
            Sha256 = [.. digest],
            Pem = Crypto.TakeText(pem),
        };
    }

    /// <summary>An X509's alternative names: DNS, URI, e-mail and IP; other kinds are left out.</summary>
    internal static unsafe ImmutableArray<SubjectAltName> NamesOf(nint x509)
    {
        nint names = Crypto.X509_get_ext_d2i(x509, Crypto.NidSubjectAltName, null, null);
        if (names == 0) return [];
        int count = Crypto.OPENSSL_sk_num(names);
        var made = ImmutableArray.CreateBuilder<SubjectAltName>(count);
        for (int i = 0; i < count; i++)
        {
            int type;
            nint value = Crypto.GENERAL_NAME_get0_value(Crypto.OPENSSL_sk_value(names, i), &type);
            if (type is not (Crypto.NameDns or Crypto.NameUri or Crypto.NameEmail or Crypto.NameIp)) continue;
            var bytes = new ReadOnlySpan<byte>(Crypto.ASN1_STRING_get0_data(value), Crypto.ASN1_STRING_length(value));
            switch (type)
            {
                case Crypto.NameDns: made.Add(new SubjectAltName(SanType.Dns, Printable(bytes))); break;
                case Crypto.NameUri: made.Add(new SubjectAltName(SanType.Uri, Printable(bytes))); break;
                case Crypto.NameEmail: made.Add(new SubjectAltName(SanType.Email, Printable(bytes))); break;
                default: if (bytes.Length is 4 or 16) made.Add(new SubjectAltName(SanType.IpAddress, new IPAddress(bytes).ToString())); break;
            }
        }
        Crypto.GENERAL_NAMES_free(names);
        return made.ToImmutable();
    }

    /// <summary>SHA-256 of the DER.</summary>
    internal static unsafe bool HasDigest(nint x509, ImmutableArray<ImmutableArray<byte>> wanted)
    {
        if (wanted.IsEmpty) return false;
        byte* digest = stackalloc byte[32];
        return Crypto.X509_digest(x509, Crypto.EVP_sha256(), digest, null) == 1 && Contains(wanted, new ReadOnlySpan<byte>(digest, 32));
    }

    /// <summary>SHA-256 of the DER of SubjectPublicKeyInfo.</summary>
    internal static unsafe bool HasKeyDigest(nint x509, ImmutableArray<ImmutableArray<byte>> wanted)
    {
        if (wanted.IsEmpty) return false;
        byte* der = null;
        int length = Crypto.i2d_X509_PUBKEY(Crypto.X509_get_X509_PUBKEY(x509), &der);
        if (length <= 0) return false;
        byte[] digest = Crypto.Sha256(new ReadOnlySpan<byte>(der, length));
        Crypto.CRYPTO_free(der, "", 0);
        return Contains(wanted, digest);
    }

    private static bool Contains(ImmutableArray<ImmutableArray<byte>> wanted, ReadOnlySpan<byte> digest)
    {
        foreach (ImmutableArray<byte> one in wanted) if (one.AsSpan().SequenceEqual(digest)) return true;
        return false;
    }

    // A name with a NUL or other control character must match nothing: a matcher that stopped there would take evil for good.
    private static string Printable(ReadOnlySpan<byte> bytes)
    {
        Span<char> text = bytes.Length <= 256 ? stackalloc char[bytes.Length] : new char[bytes.Length];
        for (int i = 0; i < bytes.Length; i++) text[i] = bytes[i] is > 0x20 and < 0x7f ? (char)bytes[i] : '\ufffd';
        return new string(text);
    }

    private static unsafe string SerialOf(nint x509)
    {
        nint number = Crypto.ASN1_INTEGER_to_BN(Crypto.X509_get0_serialNumber(x509), 0);
        if (number == 0) return "";
        byte* hex = Crypto.BN_bn2hex(number);
        string text = Crypto.Text(hex).ToLowerInvariant();
        Crypto.CRYPTO_free(hex, "", 0);
        Crypto.BN_free(number);
        return text;
    }

    /// <inheritdoc/>
    public override string ToString() => new StringBuilder(Described).Append(" (").Append(Serial).Append(')').ToString();
}

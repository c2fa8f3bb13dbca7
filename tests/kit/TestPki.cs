// Authorities and certificates made for a test and gone with it. Uses .NET's own certificate code, which the proxy does not.
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Naru.Kit;

/// <summary>A certificate and its key as PEM texts, and as .NET has them.</summary>
public sealed record TestCertificate(X509Certificate2 Certificate, AsymmetricAlgorithm Key)
{
    /// <summary>PEM.</summary>
    public string Chain => Certificate.ExportCertificatePem() + "\n";

    /// <summary>PKCS#8 PEM.</summary>
    public string PrivateKey => Key.ExportPkcs8PrivateKeyPem() + "\n";

    /// <summary>Encrypted PKCS#8 PEM.</summary>
    public string Encrypted(string password) =>
        Key.ExportEncryptedPkcs8PrivateKeyPem(password, new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)) + "\n";

    /// <summary>PKCS#12.</summary>
    public byte[] Pkcs12(string password) => Certificate.Export(X509ContentType.Pfx, password);

    /// <summary>SHA-256 of the certificate.</summary>
    public byte[] Hash => SHA256.HashData(Certificate.RawData);

    /// <summary>SHA-256 of the public key info.</summary>
    public byte[] KeyHash => SHA256.HashData(Certificate.PublicKey.ExportSubjectPublicKeyInfo());
}

/// <summary>An authority.</summary>
public sealed class TestAuthority
{
    private static int s_serial;
    private readonly X509Certificate2 _certificate;

    /// <summary>A root, or an intermediate below <paramref name="parent"/>.</summary>
    public TestAuthority(string name, TestAuthority? parent = null)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        // Within the parent's time, to the second.
        DateTimeOffset from = parent?._certificate.NotBefore ?? DateTimeOffset.UtcNow.AddDays(-2000), to = parent?._certificate.NotAfter ?? DateTimeOffset.UtcNow.AddDays(2000);
        _certificate = parent is null
            ? request.CreateSelfSigned(from, to)
            : request.Create(parent._certificate, from, to, Serial()).CopyWithPrivateKey(key);
    }

    /// <summary>PEM of its certificate.</summary>
    public string Pem => _certificate.ExportCertificatePem() + "\n";

    /// <summary>PEM of its key.</summary>
    public string PrivateKey => _certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem() + "\n";

    /// <summary>Issues a certificate.</summary>
    /// <param name="names">DNS names; <c>scheme://…</c> are URIs, IP literals are addresses.</param>
    /// <param name="rsa">RSA 2048 instead of P-256.</param>
    /// <param name="from">Days from now it begins.</param>
    /// <param name="to">Days from now it ends.</param>
    /// <param name="client">Usage: client only; null is both.</param>
    /// <param name="usage">What the key is for; null leaves the extension out.</param>
    /// <param name="padding">Bytes of an extension that nobody knows.</param>
    public TestCertificate Issue(
        string[] names, bool rsa = false, double from = -1, double to = 30, bool? client = null, X509KeyUsageFlags? usage = X509KeyUsageFlags.DigitalSignature, int padding = 0)
    {
        AsymmetricAlgorithm key = rsa ? RSA.Create(2048) : ECDsa.Create(ECCurve.NamedCurves.nistP256);
        string subject = $"CN={(names.Length > 0 ? names[0].Replace("://", "-").Replace('/', '-') : "nobody")}, O=Test";
        CertificateRequest request = key is RSA r
            ? new CertificateRequest(subject, r, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : new CertificateRequest(subject, (ECDsa)key, HashAlgorithmName.SHA256);
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (string name in names)
        {
            if (name.Contains("://", StringComparison.Ordinal)) alternatives.AddUri(new Uri(name));
            else if (IPAddress.TryParse(name, out IPAddress? ip)) alternatives.AddIpAddress(ip);
            else alternatives.AddDnsName(name);
        }
        if (names.Length > 0) request.CertificateExtensions.Add(alternatives.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        if (usage is { } flags) request.CertificateExtensions.Add(new X509KeyUsageExtension(flags, true));
        if (padding > 0) request.CertificateExtensions.Add(new X509Extension("1.3.6.1.4.1.54321.1", new byte[padding], false));
        var usages = new OidCollection();
        if (client != true) usages.Add(new Oid("1.3.6.1.5.5.7.3.1"));
        if (client != false) usages.Add(new Oid("1.3.6.1.5.5.7.3.2"));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(usages, false));
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using X509Certificate2 bare = request.Create(
            _certificate.SubjectName, X509SignatureGenerator.CreateForECDsa(_certificate.GetECDsaPrivateKey()!), now.AddDays(from), now.AddDays(to), Serial());
        X509Certificate2 whole = key is RSA rsaKey ? bare.CopyWithPrivateKey(rsaKey) : bare.CopyWithPrivateKey((ECDsa)key);
        return new TestCertificate(whole, key);
    }

    /// <summary>A revocation list, PEM.</summary>
    public string Revoke(params TestCertificate[] those)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (TestCertificate one in those) list.AddEntry(one.Certificate);
        byte[] der = list.Build(_certificate, 1, DateTimeOffset.UtcNow.AddDays(7), HashAlgorithmName.SHA256, rsaSignaturePadding: null, DateTimeOffset.UtcNow.AddDays(-1));
        return PemEncoding.WriteString("X509 CRL", der) + "\n";
    }

    private static byte[] Serial()
    {
        byte[] serial = RandomNumberGenerator.GetBytes(12);
        BitConverter.TryWriteBytes(serial, Interlocked.Increment(ref s_serial));
        serial[0] = 0x40;
        return serial;
    }
}

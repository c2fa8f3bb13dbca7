// Keys and certificates of one run: an authority and one certificate that every side shows. They live as long as the run's folder.
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Naru.Bench;

/// <summary>Writes <c>ca.pem</c>, <c>cert.pem</c>, <c>key.pem</c>, and <c>both.pem</c> for HAProxy.</summary>
public static class Keys
{
    /// <summary>The name in the certificate.</summary>
    public const string Name = "bench.test";

    /// <summary>Makes them anew, ECDSA on P-256, valid for a day.</summary>
    public static void Write(string folder)
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using ECDsa authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=naru bench authority", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        authority.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        using X509Certificate2 issuer = authority.CreateSelfSigned(now.AddHours(-1), now.AddDays(1));

        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={Name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(Name);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        using X509Certificate2 certificate = request.Create(issuer, now.AddHours(-1), now.AddHours(23), [1, 2, 3, 4, 5, 6, 7, 8]);

        string shown = certificate.ExportCertificatePem() + "\n";
        string secret = key.ExportPkcs8PrivateKeyPem() + "\n";
        Put("ca.pem", issuer.ExportCertificatePem() + "\n");
        Put("cert.pem", shown);
        Put("key.pem", secret);
        Put("both.pem", shown + secret);

        void Put(string name, string text)
        {
            var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using var writer = new StreamWriter(Path.Combine(folder, name), options);
            writer.Write(text);
        }
    }
}

// A certificate with its key, or authorities with their revocation lists, read from PEM, DER or PKCS#12 into OpenSSL's objects.
// Complaints name the file and what is wrong with it; keys and passwords never show up in them.
using System.Collections.Immutable;

namespace Naru.Proxy.Tls;

/// <summary>What cannot be used and why: a sentence for a person.</summary>
internal sealed class TlsMaterialException(string message) : Exception(message);

/// <summary>A certificate chain and its private key. Freed by the collector: contexts hold references of their own.</summary>
internal sealed unsafe class Credential
{
    private Credential(string from, nint leaf, nint chain, nint key, ImmutableArray<CertificateInfo> infos)
    {
        From = from;
        Leaf = leaf;
        Chain = chain;
        Key = key;
        Infos = infos;
        KeyType = Crypto.EVP_PKEY_get_base_id(key);
    }

    /// <summary>File, or what it was given as.</summary>
    public string From { get; }

    /// <summary>X509*.</summary>
    public nint Leaf { get; }

    /// <summary>STACK_OF(X509)* without the leaf.</summary>
    public nint Chain { get; }

    /// <summary>EVP_PKEY*.</summary>
    public nint Key { get; }

    /// <summary>NID of the key's algorithm: OpenSSL keeps one certificate of each in a context.</summary>
    public int KeyType { get; }

    /// <summary>Leaf first.</summary>
    public ImmutableArray<CertificateInfo> Infos { get; }

    public CertificateInfo Info => Infos[0];

    /// <summary>DER of the OCSP response to staple, or empty.</summary>
    public byte[] Staple { get; private init; } = [];

    /// <summary>When the staple ends to be good; MinValue where there is none.</summary>
    public DateTime StapleUntil { get; private set; }

    /// <summary>Reads PEM parts; <paramref name="from"/> and <paramref name="keyFrom"/> name them in complaints.</summary>
    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    public static Credential FromPem(ReadOnlySpan<byte> chain, string from, ReadOnlySpan<byte> key, string keyFrom, byte[]? password, byte[] staple)
    {
        OpenSsl.Start();
        nint privateKey = ReadKey(key, keyFrom, password);
        List<nint> certificates = [];
        try
        {
            certificates = ReadCertificates(chain, from);
            if (certificates.Count == 0) throw new TlsMaterialException($"{from} holds no PEM certificate");
            return Make(certificates, privateKey, from, keyFrom, staple);
        }
        catch
        {
            foreach (nint one in certificates) Crypto.X509_free(one);
            Crypto.EVP_PKEY_free(privateKey);
            throw;
        }
    }

    /// <summary>Reads a PKCS#12 file.</summary>
    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    public static Credential FromPkcs12(ReadOnlySpan<byte> file, string from, byte[]? password, byte[] staple)
    {
        OpenSsl.Start();
        nint key = 0, leaf = 0, chain = 0;
        fixed (byte* bytes = file)
        fixed (byte* secret = Terminated(password))
        {
            nint bio = Crypto.BIO_new_mem_buf(bytes, file.Length);
            nint parsed = Crypto.d2i_PKCS12_bio(bio, 0);
            _ = Crypto.BIO_free(bio);
            if (parsed == 0) throw new TlsMaterialException($"{from} is no PKCS#12 file: {Crypto.TakeErrors()}");
            int ok = Crypto.PKCS12_parse(parsed, secret, &key, &leaf, &chain);
            Crypto.PKCS12_free(parsed);
            if (ok != 1) throw new TlsMaterialException($"{from} cannot be opened with the given password: {Crypto.TakeErrors()}");
        }
        List<nint> certificates = [];
        if (leaf != 0) certificates.Add(leaf);
        for (int i = 0; chain != 0 && i < Crypto.OPENSSL_sk_num(chain); i++) certificates.Add(Crypto.OPENSSL_sk_value(chain, i));
        if (chain != 0) Crypto.OPENSSL_sk_free(chain);
        try
        {
            if (leaf == 0) throw new TlsMaterialException($"{from} holds no certificate that goes with its key");
            if (key == 0) throw new TlsMaterialException($"{from} holds no private key");
            return Make(certificates, key, from, from, staple);
        }
        catch
        {
            foreach (nint one in certificates) Crypto.X509_free(one);
            Crypto.EVP_PKEY_free(key);
            throw;
        }
    }

    private static Credential Make(List<nint> certificates, nint key, string from, string keyFrom, byte[] staple)
    {
        if (Crypto.X509_check_private_key(certificates[0], key) != 1)
        {
            _ = Crypto.TakeErrors();
            string subject = CertificateInfo.Read(certificates[0]).Described;
            throw new TlsMaterialException(from == keyFrom
                ? $"{from}: the private key is not the one of the certificate for {subject}"
                : $"the private key in {keyFrom} is not the one of the certificate for {subject} in {from}");
        }
        DateTime until = staple.Length > 0 ? StapleEnd(staple, from) : default;
        ImmutableArray<CertificateInfo> infos = [.. certificates.Select(CertificateInfo.Read)];
        nint chain = Crypto.OPENSSL_sk_new_null();
        foreach (nint one in certificates.Skip(1)) _ = Crypto.OPENSSL_sk_push(chain, one);
        return new Credential(from, certificates[0], chain, key, infos) { Staple = staple, StapleUntil = until };
    }

    private static nint ReadKey(ReadOnlySpan<byte> pem, string from, byte[]? password)
    {
        nint key;
        fixed (byte* bytes = pem)
        fixed (byte* secret = Terminated(password))
        {
            nint bio = Crypto.BIO_new_mem_buf(bytes, pem.Length);
            // Without a callback the password is the string given; without that OpenSSL would ask on the terminal.
            key = Crypto.PEM_read_bio_PrivateKey(bio, 0, 0, secret);
            _ = Crypto.BIO_free(bio);
        }
        if (key != 0)
        {
            Crypto.ERR_clear_error();
            return key;
        }
        string reason = Crypto.TakeErrors();
        if (pem.IndexOf("PRIVATE KEY-----"u8) < 0) throw new TlsMaterialException($"{from} holds no PEM private key");
        if (pem.IndexOf("ENCRYPTED"u8) >= 0)
            throw new TlsMaterialException(password is null ? $"the private key in {from} is encrypted and no password is given" : $"the password does not open the private key in {from}");
        throw new TlsMaterialException($"the private key in {from} cannot be read: {reason}");
    }

    // NUL-terminated, without the line end that an editor leaves in a password file.
    private static byte[] Terminated(byte[]? password)
    {
        ReadOnlySpan<byte> text = (password ?? []).AsSpan().TrimEnd("\r\n"u8);
        byte[] made = new byte[text.Length + 1];
        text.CopyTo(made);
        return made;
    }

    /// <summary>Every certificate of a PEM text; the caller owns them.</summary>
    /// <exception cref="TlsMaterialException">One of them is broken.</exception>
    public static List<nint> ReadCertificates(ReadOnlySpan<byte> pem, string from)
    {
        OpenSsl.Start();
        var made = new List<nint>();
        byte none = 0;
        fixed (byte* bytes = pem)
        {
            nint bio = Crypto.BIO_new_mem_buf(bytes, pem.Length);
            while (true)
            {
                Crypto.ERR_clear_error();
                nint one = Crypto.PEM_read_bio_X509(bio, 0, 0, &none);
                if (one == 0) break;
                made.Add(one);
            }
            _ = Crypto.BIO_free(bio);
        }
        int begun = CountOf(pem, "-----BEGIN CERTIFICATE-----"u8) + CountOf(pem, "-----BEGIN TRUSTED CERTIFICATE-----"u8) + CountOf(pem, "-----BEGIN X509 CERTIFICATE-----"u8);
        string reason = Crypto.TakeErrors();
        if (made.Count >= begun) return made;
        foreach (nint one in made) Crypto.X509_free(one);
        throw new TlsMaterialException($"certificate {made.Count + 1} in {from} cannot be read: {reason}");
    }

    internal static int CountOf(ReadOnlySpan<byte> text, ReadOnlySpan<byte> what)
    {
        int count = 0;
        for (int at; (at = text.IndexOf(what)) >= 0; text = text[(at + what.Length)..]) count++;
        return count;
    }

    // Only a good answer is worth stapling; a broken or bad one is refused when it is configured.
    private static DateTime StapleEnd(byte[] staple, string from)
    {
        fixed (byte* bytes = staple)
        {
            byte* at = bytes;
            nint response = Crypto.d2i_OCSP_RESPONSE(0, &at, staple.Length);
            nint basic = response != 0 && Crypto.OCSP_response_status(response) == 0 ? Crypto.OCSP_response_get1_basic(response) : 0;
            nint single = basic != 0 ? Crypto.OCSP_resp_get0(basic, 0) : 0;
            nint next = 0;
            int status = single != 0 ? Crypto.OCSP_single_get0_status(single, null, null, null, &next) : -1;
            DateTime until = next == 0 ? DateTime.MaxValue : Crypto.Time(next);
            if (basic != 0) Crypto.OCSP_BASICRESP_free(basic);
            if (response != 0) Crypto.OCSP_RESPONSE_free(response);
            Crypto.ERR_clear_error();
            if (status < 0) throw new TlsMaterialException($"the OCSP staple of the certificate in {from} is no successful OCSP response");
            if (status != 0) throw new TlsMaterialException($"the OCSP staple of the certificate in {from} says that it is {(status == 1 ? "revoked" : "unknown")}");
            return until;
        }
    }

    ~Credential()
    {
        for (int i = 0; i < Crypto.OPENSSL_sk_num(Chain); i++) Crypto.X509_free(Crypto.OPENSSL_sk_value(Chain, i));
        Crypto.OPENSSL_sk_free(Chain);
        Crypto.X509_free(Leaf);
        Crypto.EVP_PKEY_free(Key);
    }
}

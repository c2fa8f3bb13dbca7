// Trusted authorities and revocation lists in one X509_STORE, shared by all contexts that trust the same.
// Several proofs of the same kind are allowed in one PEM text; an unreadable one refuses the whole.
using System.Collections.Immutable;

namespace Naru.Proxy.Tls;

/// <summary>A trust store. Freed by the collector: contexts hold references of their own.</summary>
internal sealed unsafe class Authorities
{
    private readonly List<nint> _certificates;

    private Authorities(string from, List<nint> certificates, nint store)
    {
        From = from;
        _certificates = certificates;
        Store = store;
        Infos = [.. certificates.Select(CertificateInfo.Read)];
    }

    /// <summary>File, or what they were given as.</summary>
    public string From { get; }

    /// <summary>X509_STORE*.</summary>
    public nint Store { get; }

    /// <summary>SHA-256 of the revocation lists as given.</summary>
    public byte[] ListsDigest { get; private init; } = [];

    public IReadOnlyList<nint> Certificates => _certificates;
    public ImmutableArray<CertificateInfo> Infos { get; }

    /// <summary>Reads authorities and, where given, revocation lists (PEM or DER).</summary>
    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    public static Authorities Read(ReadOnlySpan<byte> pem, string from, ReadOnlySpan<byte> crl, string crlFrom, bool leafCrlOnly, bool allowExpired)
    {
        List<nint> certificates = Credential.ReadCertificates(pem, from);
        if (certificates.Count == 0) throw new TlsMaterialException($"{from} holds no PEM certificate");
        nint store = Crypto.X509_STORE_new();
        foreach (nint one in certificates) _ = Crypto.X509_STORE_add_cert(store, one);
        // An intermediate that is trusted by name needs no root above it.
        ulong flags = Crypto.VerifyPartialChain;
        if (allowExpired) flags |= Crypto.VerifyNoTime;
        var made = new Authorities(from, certificates, store) { ListsDigest = crl.IsEmpty ? [] : Crypto.Sha256(crl) };
        if (!crl.IsEmpty)
        {
            AddLists(store, crl, crlFrom);
            flags |= leafCrlOnly ? Crypto.VerifyCrl : Crypto.VerifyCrl | Crypto.VerifyCrlAll;
        }
        _ = Crypto.X509_STORE_set_flags(store, flags);
        return made;
    }

    private static void AddLists(nint store, ReadOnlySpan<byte> bytes, string from)
    {
        int count = 0;
        byte none = 0;
        int begun = Credential.CountOf(bytes, "-----BEGIN X509 CRL-----"u8);
        fixed (byte* start = bytes)
        {
            nint bio = Crypto.BIO_new_mem_buf(start, bytes.Length);
            nint one;
            while ((one = begun > 0 ? Crypto.PEM_read_bio_X509_CRL(bio, 0, 0, &none) : count == 0 ? Crypto.d2i_X509_CRL_bio(bio, 0) : 0) != 0)
            {
                _ = Crypto.X509_STORE_add_crl(store, one);
                Crypto.X509_CRL_free(one);
                count++;
            }
            _ = Crypto.BIO_free(bio);
        }
        Crypto.ERR_clear_error();
        if (count < Math.Max(1, begun)) throw new TlsMaterialException($"revocation list {count + 1} in {from} cannot be read");
    }

    ~Authorities()
    {
        Crypto.X509_STORE_free(Store);
        foreach (nint one in _certificates) Crypto.X509_free(one);
    }
}

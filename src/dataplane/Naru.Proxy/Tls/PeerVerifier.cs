// Decides whether a peer's certificate is good: chain and dates by OpenSSL, then pinned hashes, then names (Envoy:
// CertificateValidationContext and the SPIFFE validator). Each refusal leaves its reason, with names and dates, in the session.
using System.Collections.Immutable;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Tls;

internal sealed unsafe class PeerVerifier
{
    private readonly ValidationContextConfig _config;
    private readonly Authorities? _authorities;
    private readonly KeyValuePair<string, Authorities>[] _spiffe;
    private readonly (SanMatcherConfig Config, ByteMatcher Matcher)[] _names;

    public PeerVerifier(ValidationContextConfig config, Authorities? authorities, KeyValuePair<string, Authorities>[] spiffe)
    {
        _config = config;
        _authorities = authorities;
        _spiffe = spiffe;
        _names = [.. config.SubjectAltNames.Select(n => (n, new ByteMatcher(n.Matcher)))];
    }

    public ValidationContextConfig Config => _config;

    public Authorities? Authorities => _authorities;

    public IEnumerable<Authorities> All => _authorities is null ? _spiffe.Select(s => s.Value) : _spiffe.Select(s => s.Value).Prepend(_authorities);

    public int? MaxDepth => _config.MaxVerifyDepth;

    /// <summary>Something is proved by passing it: it has authorities, or pinned certificates.</summary>
    public bool Proves => _authorities is not null || _spiffe.Length > 0 || !_config.CertificateHashes.IsEmpty || !_config.SpkiHashes.IsEmpty;

    /// <summary>What does not pass is let in all the same.</summary>
    public bool AcceptsUntrusted => _config.AcceptUntrusted;

    /// <summary>Whether a certificate out of its time is refused.</summary>
    public bool HeedsTime => (_authorities is not null || _spiffe.Length > 0) && !_config.AllowExpired && !_config.AcceptUntrusted;

    /// <summary>A certificate's time is over.</summary>
    public static bool IsOver(nint x509) => Crypto.X509_cmp_current_time(Crypto.X509_get0_notAfter(x509)) < 0;

    /// <summary>All that decides about a certificate, as text: what passed one verification may be taken for good only by one whose text is
    /// the same. Where material lies is no part of it, what it says is.</summary>
    public string Fingerprint
    {
        get
        {
            var text = new StringBuilder();
            // Whatever is a plain value, also what a later version adds; the rest one by one.
            ValidationContextConfig plain = _config with { CertificateHashes = [], SpkiHashes = [], SubjectAltNames = [], SpiffeTrustDomains = [] };
            Add((plain with { TrustedCa = null, Crl = null, WatchedDirectory = "" }).ToString());
            foreach (ImmutableArray<byte> hash in _config.CertificateHashes) Add($"certificate {Convert.ToHexString(hash.AsSpan())}");
            foreach (ImmutableArray<byte> hash in _config.SpkiHashes) Add($"key {Convert.ToHexString(hash.AsSpan())}");
            foreach (SanMatcherConfig name in _config.SubjectAltNames) Add(name.ToString());
            if (_authorities is not null) AddAuthorities("", _authorities);
            foreach ((string domain, Authorities authorities) in _spiffe) AddAuthorities(domain, authorities);
            return text.ToString();

            void AddAuthorities(string domain, Authorities authorities)
            {
                Add($"authorities of {domain}");
                foreach (CertificateInfo info in authorities.Infos) Add(Convert.ToHexString(info.Sha256.AsSpan()));
                Add($"lists {Convert.ToHexString(authorities.ListsDigest)}");
            }

            // With its length before it: no value can look like two.
            void Add(string part) => text.Append(part.Length).Append(':').Append(part).Append('\n');
        }
    }

    /// <summary>The function OpenSSL calls instead of its own verification.</summary>
    public static nint Callback => (nint)(delegate* unmanaged[Cdecl]<nint, nint, int>)&OnVerify;

    [UnmanagedCallersOnly(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvCdecl)])]
    private static int OnVerify(nint verification, nint argument)
    {
        TlsSession? session = TlsSession.Current;
        try
        {
            if (session?.Context.Verifier is not { } verifier) return 0;
            bool accepted = verifier.Accepts(verification, session);
            if (!accepted) session.Remember(Crypto.X509_STORE_CTX_get0_cert(verification));
            if (accepted)
            {
                Crypto.X509_STORE_CTX_set_error(verification, 0);
                return 1;
            }
        }
        catch (Exception e)
        {
            session?.Refuse(TlsStats.FailVerifyError, $"its certificate could not be looked at: {e.GetType().Name}");
        }
        // The peer is told "certificate unknown" and the like; what OpenSSL found itself is more exact.
        if (Crypto.X509_STORE_CTX_get_error(verification) == 0) Crypto.X509_STORE_CTX_set_error(verification, Crypto.ApplicationVerification);
        return 0;
    }

    private bool Accepts(nint verification, TlsSession session)
    {
        nint leaf = Crypto.X509_STORE_CTX_get0_cert(verification);
        if (session.IsServer && !session.MayKeep(leaf)) return false;
        if (_spiffe.Length > 0)
        {
            if (!IsLeaf(leaf))
            {
                string why = $"its certificate for {Describe(leaf)} is no SPIFFE leaf: it may sign certificates, or does not say what its key is for";
                return Refuses(verification, session, TlsStats.FailVerifyError, why, TransportText.Verification("cert precheck"));
            }
            if (AuthoritiesOf(leaf, out string foreign) is not { } authorities)
                return Refuses(verification, session, TlsStats.FailVerifyError, foreign, TransportText.Verification("no trust bundle store"));
            if (!IsVouchedFor(verification, authorities, leaf, session)) return Refuses(verification, session, TlsStats.FailVerifyError, "", "");
        }
        else if (_authorities is not null && Crypto.X509_verify_cert(verification) != 1)
        {
            TellChain(verification, leaf, session);
            return _config.AcceptUntrusted;
        }
        bool pinned = _config.CertificateHashes.IsEmpty && _config.SpkiHashes.IsEmpty;
        if (!pinned && !CertificateInfo.HasDigest(leaf, _config.CertificateHashes) && !CertificateInfo.HasKeyDigest(leaf, _config.SpkiHashes))
        {
            string why = $"its certificate for {Describe(leaf)} has none of the pinned hashes";
            return Refuses(verification, session, TlsStats.FailVerifyCertHash, why, TransportText.Verification("cert hash and spki"), Crypto.TellBad);
        }
        if (_names.Length == 0 && session.ExpectedName.Length == 0) return true;
        ImmutableArray<SubjectAltName> names = CertificateInfo.NamesOf(leaf);
        if (session.ExpectedName.Length > 0 && !NamesHost(names, session.ExpectedName))
        {
            // Envoy has a matcher for a name that the context asks for.
            string words = session.Context is TlsClientContext { Upstream.AutoSniSanValidation: true } ? TransportText.Names(names) : TransportText.Names(names, session.ExpectedName);
            return Refuses(verification, session, TlsStats.FailVerifySan, $"its certificate names {Describe(leaf)}, expected {session.ExpectedName}", words);
        }
        if (_names.Length > 0 && !MatchesAny(names))
            return Refuses(verification, session, TlsStats.FailVerifySan, $"its certificate names {Describe(leaf)}, expected {Expected()}", TransportText.Names(names));
        return true;
    }

    // True: let in all the same. The peer is told no more than that its certificate will not do.
    private bool Refuses(nint verification, TlsSession session, int stat, string why, string words, int told = Crypto.TellUnknown)
    {
        session.Refuse(stat, why, words);
        Crypto.X509_STORE_CTX_set_error(verification, told);
        return _config.AcceptUntrusted;
    }

    private static void TellChain(nint verification, nint leaf, TlsSession session) =>
        session.Refuse(TlsStats.FailVerifyError, ChainReason(verification, leaf),
            TransportText.Chain(Crypto.X509_STORE_CTX_get_error(verification), Crypto.X509_STORE_CTX_get_error_depth(verification)));

    // The authorities of a trust domain come with a store of their own, and with what is asked of a chain there: revocation lists, dates.
    private static bool IsVouchedFor(nint verification, Authorities authorities, nint leaf, TlsSession session)
    {
        nint own = Crypto.X509_STORE_CTX_new();
        try
        {
            bool ready = own != 0 && Crypto.X509_STORE_CTX_init(own, authorities.Store, leaf, Crypto.X509_STORE_CTX_get0_untrusted(verification)) == 1
                && Crypto.X509_VERIFY_PARAM_set1(Crypto.X509_STORE_CTX_get0_param(own), Crypto.X509_STORE_CTX_get0_param(verification)) == 1;
            if (ready && Crypto.X509_verify_cert(own) == 1) return true;
            if (ready) TellChain(own, leaf, session);
            else session.Refuse(TlsStats.FailVerifyError, "its certificate could not be looked at");
            return false;
        }
        finally
        {
            Crypto.X509_STORE_CTX_free(own);
            GC.KeepAlive(authorities);
        }
    }

    // X509-SVID 4.1 and 4.3: no authority, and a key usage that neither signs certificates nor revocation lists. Without the extension
    // a key may do anything, which OpenSSL says with all bits set.
    private static bool IsLeaf(nint leaf) =>
        (Crypto.X509_get_extension_flags(leaf) & Crypto.IsAuthority) == 0 && (Crypto.X509_get_key_usage(leaf) & (Crypto.SignsCertificates | Crypto.SignsLists)) == 0;

    // Exactly one URI name, spiffe://<trust domain>/…, decides which authorities count (SPIFFE X509-SVID 2).
    private Authorities? AuthoritiesOf(nint leaf, out string why)
    {
        SubjectAltName[] uris = [.. CertificateInfo.NamesOf(leaf).Where(n => n.Type == SanType.Uri)];
        if (uris.Length == 1 && TrustDomain(uris[0].Value) is { } domain)
        {
            foreach ((string name, Authorities authorities) in _spiffe)
            {
                if (name != domain) continue;
                why = "";
                return authorities;
            }
            why = $"its certificate is of trust domain {domain}, trusted are {string.Join(", ", _spiffe.Select(s => s.Key))}";
            return null;
        }
        why = $"its certificate for {Describe(leaf)} is no SPIFFE identity: it must have one URI name spiffe://…";
        return null;
    }

    internal static string? TrustDomain(string uri)
    {
        const string Scheme = "spiffe://";
        if (!uri.StartsWith(Scheme, StringComparison.Ordinal)) return null;
        int slash = uri.IndexOf('/', Scheme.Length);
        string domain = slash < 0 ? uri[Scheme.Length..] : uri[Scheme.Length..slash];
        return domain.Length == 0 ? null : domain;
    }

    private bool MatchesAny(ImmutableArray<SubjectAltName> names)
    {
        Span<byte> bytes = stackalloc byte[512];
        foreach (SubjectAltName name in names)
        {
            if (name.Value.Length > bytes.Length || name.Value.Contains('\ufffd')) continue;
            ReadOnlySpan<byte> value = bytes[..Encoding.ASCII.GetBytes(name.Value, bytes)];
            foreach ((SanMatcherConfig config, ByteMatcher matcher) in _names)
            {
                if (config.Type is { } type && type != name.Type) continue;
                // A wildcard name stands for what it covers (Envoy: exact DNS matchers are compared that way).
                if (name.Type == SanType.Dns && config.Matcher.Kind == StringMatchKind.Exact ? DnsMatches(name.Value, config.Matcher.Value) : matcher.Matches(value)) return true;
            }
        }
        return false;
    }

    private static bool NamesHost(ImmutableArray<SubjectAltName> names, string host)
    {
        bool isIp = IPAddress.TryParse(host, out IPAddress? ip);
        foreach (SubjectAltName name in names)
        {
            if (isIp ? name.Type == SanType.IpAddress && IPAddress.TryParse(name.Value, out IPAddress? own) && own.Equals(ip) : name.Type == SanType.Dns && DnsMatches(name.Value, host))
                return true;
        }
        return false;
    }

    /// <summary>RFC 6125 6.4.3: a leading <c>*</c> stands for exactly one whole label.</summary>
    internal static bool DnsMatches(string pattern, string host)
    {
        if (pattern.Equals(host, StringComparison.OrdinalIgnoreCase)) return true;
        if (!pattern.StartsWith("*.", StringComparison.Ordinal)) return false;
        int dot = host.IndexOf('.');
        return dot > 0 && pattern.IndexOf('.', 2) > 0 && host.AsSpan(dot).Equals(pattern.AsSpan(1), StringComparison.OrdinalIgnoreCase);
    }

    private string Expected() => string.Join(" or ", _config.SubjectAltNames.Take(8).Select(n => n.Matcher.Kind switch
    {
        StringMatchKind.Exact => n.Matcher.Value,
        StringMatchKind.Prefix => $"{n.Matcher.Value}…",
        StringMatchKind.Suffix => $"…{n.Matcher.Value}",
        StringMatchKind.Contains => $"…{n.Matcher.Value}…",
        _ => $"/{n.Matcher.Regex}/",
    }));

    private static string Describe(nint x509) => CertificateInfo.Describe(CertificateInfo.NamesOf(x509), Crypto.NameText(Crypto.X509_get_subject_name(x509)));

    private static string ChainReason(nint verification, nint leaf)
    {
        int error = Crypto.X509_STORE_CTX_get_error(verification);
        nint at = Crypto.X509_STORE_CTX_get_current_cert(verification);
        string whose = at == 0 || at == leaf ? $"its certificate for {Describe(leaf)}" : $"in the chain of its certificate for {Describe(leaf)}, {Describe(at)}";
        if (at == 0) at = leaf;
        return error switch
        {
            Crypto.CertExpired => $"{whose} expired on {Crypto.Time(Crypto.X509_get0_notAfter(at)):yyyy-MM-dd HH:mm:ss} UTC",
            Crypto.CertNotYetValid => $"{whose} is not valid before {Crypto.Time(Crypto.X509_get0_notBefore(at)):yyyy-MM-dd HH:mm:ss} UTC",
            Crypto.Revoked => $"{whose} is revoked",
            Crypto.NoLocalIssuer or Crypto.NoLeafSignature or Crypto.SelfSignedLeaf or Crypto.SelfSignedInChain =>
                $"{whose} is issued by {Crypto.NameText(Crypto.X509_get_issuer_name(at))}, which is not trusted",
            _ => $"{whose} cannot be trusted: {Crypto.Text(Crypto.X509_verify_cert_error_string(error))}",
        };
    }
}

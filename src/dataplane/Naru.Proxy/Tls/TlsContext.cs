// A TLS context compiled: immutable, shared by all workers, replaced whole when a certificate rotates. Connections keep the one
// they began with, since OpenSSL counts references. What both sides have in common is here.
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal abstract unsafe class TlsContext
{
    private const string DefaultCiphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
        + "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
    private const string Tls13Suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    private const string DefaultCurves = "X25519:P-256";
    private readonly List<nint> _handles = [];

    protected TlsContext(CommonTlsConfig config, ImmutableArray<Credential> credentials, PeerVerifier? verifier, StatBlock stats)
    {
        OpenSsl.Start();
        Config = config;
        Credentials = credentials;
        Verifier = verifier;
        Stats = stats;
    }

    public CommonTlsConfig Config { get; }
    public ImmutableArray<Credential> Credentials { get; }

    /// <summary>Null: the peer's certificate is not looked at.</summary>
    public PeerVerifier? Verifier { get; }

    /// <summary>Schema <see cref="TlsStats"/>.</summary>
    public StatBlock Stats { get; }

    /// <summary>SSL_CTX* a new connection starts with.</summary>
    public nint Handle { get; protected set; }

    /// <param name="method">Side.</param>
    /// <param name="highestByDefault">Version where the configuration names no highest.</param>
    /// <exception cref="TlsMaterialException">OpenSSL refuses a setting.</exception>
    protected nint NewHandle(nint method, int highestByDefault)
    {
        nint handle = OpenSsl.SSL_CTX_new(method);
        if (handle == 0) throw new TlsMaterialException($"OpenSSL makes no context: {Crypto.TakeErrors()}");
        _handles.Add(handle);
        int lowest = VersionOf(Config.MinimumVersion, OpenSsl.Tls12), highest = VersionOf(Config.MaximumVersion, highestByDefault);
        if (lowest > highest) throw new TlsMaterialException("tls_minimum_protocol_version is above tls_maximum_protocol_version");
        Control(handle, OpenSsl.CtrlMinVersion, lowest, "tls_minimum_protocol_version");
        Control(handle, OpenSsl.CtrlMaxVersion, highest, "tls_maximum_protocol_version");
        const int Modes = OpenSsl.ModeEnablePartialWrite | OpenSsl.ModeAcceptMovingWriteBuffer | OpenSsl.ModeNoAutoChain;
        _ = OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlMode, Modes, 0);
        _ = OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlReadAhead, 1, 0);
        _ = OpenSsl.SSL_CTX_set_options(handle, OpenSsl.OpNoCompression);
        SetCiphers(handle, lowest);
        string curves = Config.EcdhCurves.IsEmpty ? DefaultCurves : string.Join(':', Config.EcdhCurves);
        if (OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlGroups, 0, curves) != 1) throw Refused("ecdh_curves", curves);
        if (!Config.SignatureAlgorithms.IsEmpty)
        {
            string algorithms = string.Join(':', Config.SignatureAlgorithms);
            if (OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlSignatureAlgorithms, 0, algorithms) != 1) throw Refused("signature_algorithms", algorithms);
        }
        if (Verifier is { } verifier)
        {
            OpenSsl.SSL_CTX_set_cert_verify_callback(handle, PeerVerifier.Callback, 0);
            if (verifier.Authorities is { } authorities) OpenSsl.SSL_CTX_set1_cert_store(handle, authorities.Store);
            if (verifier.MaxDepth is { } depth) OpenSsl.SSL_CTX_set_verify_depth(handle, depth);
        }
        return handle;
    }

    private void SetCiphers(nint handle, int lowest)
    {
        // Equal preference ([a|b]) is BoringSSL's; here they stand in their order.
        string ciphers = Config.CipherSuites.IsEmpty ? DefaultCiphers : string.Join(':', Config.CipherSuites).Replace("[", "").Replace("]", "").Replace('|', ':');
        string[] names = ciphers.Split(':', StringSplitOptions.RemoveEmptyEntries);
        string old = string.Join(':', names.Where(n => !n.StartsWith("TLS_", StringComparison.Ordinal)));
        string suites = string.Join(':', names.Where(n => n.StartsWith("TLS_", StringComparison.Ordinal)));
        if (old.Length > 0)
        {
            // OpenSSL 3 allows nothing below 1.2 on its default security level.
            string list = lowest < OpenSsl.Tls12 ? old + (Config.CipherSuites.IsEmpty ? ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA:@SECLEVEL=0" : ":@SECLEVEL=0") : old;
            if (OpenSsl.SSL_CTX_set_cipher_list(handle, list) != 1) throw Refused("cipher_suites", old);
        }
        if (suites.Length == 0) suites = Tls13Suites;
        if (OpenSsl.SSL_CTX_set_ciphersuites(handle, suites) != 1) throw Refused("cipher_suites", suites);
    }

    protected static void Use(nint handle, Credential credential)
    {
        if (OpenSsl.SSL_CTX_use_cert_and_key(handle, credential.Leaf, credential.Key, credential.Chain, 1) != 1)
            throw new TlsMaterialException($"OpenSSL takes no certificate for {credential.Info.Described}: {Crypto.TakeErrors()}");
        GC.KeepAlive(credential);
    }

    private static void Control(nint handle, int command, int value, string field)
    {
        if (OpenSsl.SSL_CTX_ctrl(handle, command, value, 0) != 1) throw Refused(field, value.ToString("x"));
    }

    private static TlsMaterialException Refused(string field, string value) => new($"{field}: OpenSSL does not take {value}: {Crypto.TakeErrors()}");

    private static int VersionOf(TlsVersion version, int otherwise) => version switch
    {
        TlsVersion.Tls10 => OpenSsl.Tls10,
        TlsVersion.Tls11 => OpenSsl.Tls11,
        TlsVersion.Tls12 => OpenSsl.Tls12,
        TlsVersion.Tls13 => OpenSsl.Tls13,
        _ => otherwise,
    };

    /// <summary>Protocols as the wire has them: each with its length before it (RFC 7301 3.1).</summary>
    protected static byte[] AlpnWire(ImmutableArray<string> protocols)
    {
        var wire = new List<byte>();
        foreach (string protocol in protocols)
        {
            byte[] bytes = System.Text.Encoding.ASCII.GetBytes(protocol);
            if (bytes.Length is 0 or > 255) throw new TlsMaterialException($"alpn_protocols: \"{protocol}\" must have 1 to 255 bytes");
            wire.Add((byte)bytes.Length);
            wire.AddRange(bytes);
        }
        return [.. wire];
    }

    ~TlsContext()
    {
        foreach (nint handle in _handles) OpenSsl.SSL_CTX_free(handle);
    }
}

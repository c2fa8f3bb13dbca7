// The client's side of TLS compiled: own certificate, ALPN offer, and the sessions that servers gave us, kept by server name for
// resumption. A new context begins without sessions: what was checked by other rules counts no more.
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal sealed unsafe class TlsClientContext : TlsContext
{
    // Names differ only where requests name them (auto_sni); beyond this many the rest is not remembered.
    private const int MaxNames = 1024;
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Sni, string Expected), Stack<nint>> _sessions = [];

    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    public TlsClientContext(UpstreamTlsConfig config, ImmutableArray<Credential> credentials, PeerVerifier? verifier, StatBlock stats)
        : base(config.Common, credentials, verifier, stats)
    {
        Upstream = config;
        // Envoy docs, TlsParameters: clients end with 1.2 unless told; a least version beyond that tells it, too.
        Handle = NewHandle(OpenSsl.TLS_client_method(), config.Common.MinimumVersion == TlsVersion.Tls13 ? OpenSsl.Tls13 : OpenSsl.Tls12);
        foreach (Credential credential in credentials.GroupBy(c => c.KeyType).Select(g => g.First())) Use(Handle, credential);
        if (!config.AllowRenegotiation) _ = OpenSsl.SSL_CTX_set_options(Handle, OpenSsl.OpNoRenegotiation);
        if (verifier is not null) OpenSsl.SSL_CTX_set_verify(Handle, OpenSsl.VerifyPeer, 0);
        byte[] alpn = AlpnWire(config.Common.Alpn);
        fixed (byte* wire = alpn) if (alpn.Length > 0) _ = OpenSsl.SSL_CTX_set_alpn_protos(Handle, wire, (uint)alpn.Length);
        _ = OpenSsl.SSL_CTX_ctrl(
            Handle, OpenSsl.CtrlSessionCacheMode, config.MaxSessionKeys > 0 ? OpenSsl.SessionCacheClient | OpenSsl.SessionCacheNoInternal : OpenSsl.SessionCacheOff, 0);
        if (config.MaxSessionKeys > 0) OpenSsl.SSL_CTX_sess_set_new_cb(Handle, (nint)(delegate* unmanaged[Cdecl]<nint, nint, int>)&OnSession);
    }

    public UpstreamTlsConfig Upstream { get; }

    /// <summary>Lets a new connection try to resume. A TLS 1.3 ticket is used once (RFC 8446 C.4).</summary>
    public void Resume(nint ssl, string sni, string expected)
    {
        if (Upstream.MaxSessionKeys == 0) return;
        lock (_gate)
        {
            if (!_sessions.TryGetValue((sni, expected), out Stack<nint>? kept) || !kept.TryPeek(out nint session)) return;
            _ = OpenSsl.SSL_set_session(ssl, session);
            if (OpenSsl.SSL_SESSION_get_protocol_version(session) < OpenSsl.Tls13) return;
            _ = kept.Pop();
            OpenSsl.SSL_SESSION_free(session);
        }
    }

    // True: the reference is ours now.
    private bool Keep(nint session, string sni, string expected)
    {
        lock (_gate)
        {
            if (!_sessions.TryGetValue((sni, expected), out Stack<nint>? kept))
            {
                if (_sessions.Count >= MaxNames) return false;
                _sessions[(sni, expected)] = kept = new Stack<nint>();
            }
            if (kept.Count < Upstream.MaxSessionKeys)
            {
                kept.Push(session);
                return true;
            }
            // The newest lives longest.
            OpenSsl.SSL_SESSION_free(kept.Pop());
            kept.Push(session);
            return true;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnSession(nint ssl, nint session)
    {
        try
        {
            return TlsSession.Current is { Context: TlsClientContext context } owner && context.Keep(session, owner.Sni, owner.ExpectedName) ? 1 : 0;
        }
        catch (Exception)
        {
            return 0;
        }
    }

    ~TlsClientContext()
    {
        foreach (Stack<nint> kept in _sessions.Values)
            foreach (nint session in kept) OpenSsl.SSL_SESSION_free(session);
    }
}

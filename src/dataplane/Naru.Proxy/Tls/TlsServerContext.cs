// The server's side of TLS compiled: which certificate goes with which name, ALPN in our order, client certificates, tickets and
// sessions that are good for one filter chain only, OCSP staples.
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal sealed unsafe class TlsServerContext : TlsContext
{
    private const int MaxCachedSessions = 10_000;
    private readonly DownstreamTlsConfig _config;
    private readonly byte[] _alpn;
    private readonly byte[] _sessionScope;
    private readonly Dictionary<string, nint> _byName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, nint> _byCredentials = new(StringComparer.Ordinal);
    private readonly nint _scanned;
    private readonly bool _staples;

    /// <param name="scope">Identity of the filter chain: sessions of one are never taken by another.</param>
    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    public TlsServerContext(
        DownstreamTlsConfig config, ImmutableArray<Credential> credentials, PeerVerifier? verifier, StatBlock stats, TicketKeys tickets, string scope)
        : base(config.Common, credentials, verifier, stats)
    {
        if (credentials.IsEmpty) throw new TlsMaterialException("a server needs a certificate: neither tls_certificates nor a secret gives one");
        foreach (Credential credential in credentials)
        {
            if (config.OcspStaple == OcspStaplePolicy.MustStaple && credential.Staple.Length == 0)
                throw new TlsMaterialException($"ocsp_staple_policy is MUST_STAPLE and the certificate for {credential.Info.Described} has no staple");
        }
        _config = config;
        _alpn = AlpnWire(config.Common.Alpn);
        _staples = credentials.Any(c => c.Staple.Length > 0);
        Tickets = config.DisableStatelessResumption ? null : tickets;
        _sessionScope = Crypto.Sha256(Encoding.UTF8.GetBytes($"{scope}\n{config.RequireClientCertificate}\n{verifier?.Fingerprint ?? "no verification"}"));
        var names = new Dictionary<string, List<Credential>>(StringComparer.Ordinal);
        foreach (Credential credential in credentials)
        {
            foreach (string name in NamesOf(credential))
            {
                if (!names.TryGetValue(name, out List<Credential>? those)) names[name] = those = [];
                those.Add(credential);
            }
        }
        // The first certificate serves whoever asks for no known name, whatever its key (Envoy docs: SSL, certificate selection).
        Handle = HandleFor([credentials[0]]);
        _scanned = credentials.Length > 1 ? HandleFor([.. credentials]) : Handle;
        foreach ((string name, List<Credential> those) in names) _byName[name] = HandleFor(those);
    }

    /// <summary>Null: no tickets.</summary>
    public TicketKeys? Tickets { get; }

    // One SSL_CTX for each set of certificates that answers for a name: the first of each key type.
    private nint HandleFor(List<Credential> those)
    {
        Credential[] used = [.. those.GroupBy(c => c.KeyType).Select(g => g.First())];
        string key = string.Join(',', used.Select(c => Credentials.IndexOf(c)));
        if (_byCredentials.TryGetValue(key, out nint known)) return known;
        nint handle = NewHandle(OpenSsl.TLS_server_method(), OpenSsl.Tls13);
        foreach (Credential credential in used) Use(handle, credential);
        ulong options = OpenSsl.OpNoRenegotiation;
        if (!_config.PreferClientCiphers)
        {
            options |= OpenSsl.OpServerPreference | OpenSsl.OpPrioritizeChaCha;
            if (!Config.CipherSuites.Any(s => s.StartsWith("TLS_", StringComparison.Ordinal)))
                OpenSsl.SSL_CTX_set_client_hello_cb(handle, (nint)(delegate* unmanaged[Cdecl]<nint, int*, nint, int>)&OnHello, 0);
        }
        if (Tickets is null) options |= OpenSsl.OpNoTicket;
        else if (OpenSsl.SSL_CTX_set_tlsext_ticket_key_evp_cb(handle, TicketKeys.Callback) != 1) throw new TlsMaterialException("OpenSSL takes no ticket keys");
        _ = OpenSsl.SSL_CTX_set_options(handle, options);
        // In TLS 1.3 a session that the server keeps is named by a ticket as well: without tickets nothing is resumed there.
        if (Tickets is null) _ = OpenSsl.SSL_CTX_set_num_tickets(handle, 0);
        else if (Verifier is { HeedsTime: true }) _ = OpenSsl.SSL_CTX_set_session_ticket_cb(handle, 0, (nint)(delegate* unmanaged[Cdecl]<nint, nint, byte*, nuint, int, nint, int>)&OnTicketRead, 0);
        _ = OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlSessionCacheMode, _config.DisableStatefulResumption ? OpenSsl.SessionCacheOff : OpenSsl.SessionCacheServer, 0);
        _ = OpenSsl.SSL_CTX_ctrl(handle, OpenSsl.CtrlSessionCacheSize, MaxCachedSessions, 0);
        if (_config.SessionTimeout is { } life) _ = OpenSsl.SSL_CTX_set_timeout(handle, (nint)life.TotalSeconds);
        fixed (byte* id = _sessionScope) _ = OpenSsl.SSL_CTX_set_session_id_context(handle, id, (uint)_sessionScope.Length);
        if (_alpn.Length > 0) OpenSsl.SSL_CTX_set_alpn_select_cb(handle, (nint)(delegate* unmanaged[Cdecl]<nint, byte**, byte*, byte*, uint, nint, int>)&OnAlpn, 0);
        if (Credentials.Length > 1 || _config.RequireSni)
            _ = OpenSsl.SSL_CTX_callback_ctrl(handle, OpenSsl.CtrlServerNameCallback, (nint)(delegate* unmanaged[Cdecl]<nint, int*, nint, int>)&OnServerName);
        if (_staples || _config.OcspStaple == OcspStaplePolicy.MustStaple)
            _ = OpenSsl.SSL_CTX_callback_ctrl(handle, OpenSsl.CtrlStatusCallback, (nint)(delegate* unmanaged[Cdecl]<nint, nint, int>)&OnStatus);
        AskForCertificate(handle);
        return _byCredentials[key] = handle;
    }

    private void AskForCertificate(nint handle)
    {
        if (Verifier is null && !_config.RequireClientCertificate) return;
        OpenSsl.SSL_CTX_set_verify(handle, OpenSsl.VerifyPeer | (_config.RequireClientCertificate ? OpenSsl.VerifyFailIfNoPeerCert : 0), 0);
        if (Verifier is null) OpenSsl.SSL_CTX_set_cert_verify_callback(handle, (nint)(delegate* unmanaged[Cdecl]<nint, nint, int>)&TakeAny, 0);
        foreach (Authorities authorities in Verifier?.All ?? [])
            foreach (nint authority in authorities.Certificates) _ = OpenSsl.SSL_CTX_add_client_CA(handle, authority);
    }

    // A session is good under the verification that it passed, and while the certificate is that it was made with. Where it is not,
    // a full handshake follows.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnTicketRead(nint ssl, nint session, byte* key, nuint keyLength, int status, nint argument)
    {
        if (status is OpenSsl.TicketEmpty or OpenSsl.TicketNotDecrypted || session == 0) return OpenSsl.TicketIgnoreRenew;
        nint peer = OpenSsl.SSL_SESSION_get0_peer(session);
        if (peer != 0 && PeerVerifier.IsOver(peer)) return OpenSsl.TicketIgnoreRenew;
        return status == OpenSsl.TicketGood ? OpenSsl.TicketUse : OpenSsl.TicketUseRenew;
    }

    private static List<string> NamesOf(Credential credential)
    {
        List<string> names = [.. credential.Info.Names.Where(n => n.Type == SanType.Dns).Select(n => n.Value.ToLowerInvariant()).Distinct()];
        if (names.Count > 0 || credential.Info.Names.Length > 0) return names;
        // Only the common name, as old certificates have it (RFC 6125 6.4.4: not where there are other names).
        string? common = credential.Info.Subject.Split(',').FirstOrDefault(p => p.StartsWith("CN=", StringComparison.Ordinal));
        if (common is not null) names.Add(common[3..].ToLowerInvariant());
        return names;
    }

    /// <summary>The SSL_CTX whose certificates answer for a name: exact, then one wildcard label, then the first or, if told so, all.</summary>
    private nint For(ReadOnlySpan<byte> sni)
    {
        if (sni.Length is 0 or > 255) return _scanned;
        Span<char> name = stackalloc char[sni.Length + 1];
        Span<char> plain = name[1..];
        if (Ascii.ToLower(sni, plain, out _) != System.Buffers.OperationStatus.Done) return Handle;
        Dictionary<string, nint>.AlternateLookup<ReadOnlySpan<char>> byName = _byName.GetAlternateLookup<ReadOnlySpan<char>>();
        if (byName.TryGetValue(plain, out nint found)) return found;
        int dot = plain.IndexOf('.');
        if (dot > 0)
        {
            name[dot] = '*';
            if (byName.TryGetValue(name[dot..], out found)) return found;
        }
        return _config.FullScanOnSniMismatch ? _scanned : Handle;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnServerName(nint ssl, int* alert, nint argument)
    {
        if (TlsSession.Current?.Context is not TlsServerContext context) return OpenSsl.CallbackAlertFatal;
        try
        {
            byte* name = OpenSsl.SSL_get_servername(ssl, 0);
            if (name is null && context._config.RequireSni)
            {
                TlsSession.Current.Refuse(TlsStats.ConnectionError, "it sent no server name (SNI), which is required here");
                *alert = OpenSsl.AlertUnrecognizedName;
                return OpenSsl.CallbackAlertFatal;
            }
            nint handle = context.For(name is null ? default : MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name));
            if (handle != context.Handle) _ = OpenSsl.SSL_set_SSL_CTX(ssl, handle);
            return OpenSsl.CallbackOk;
        }
        catch (Exception)
        {
            *alert = OpenSsl.AlertInternalError;
            return OpenSsl.CallbackAlertFatal;
        }
    }

    // The order of cipher_suites is for TLS 1.2: of the suites of 1.3 the client's first is taken (BoringSSL has no order of its own among those
    // with AES). All else that the server prefers stays.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnHello(nint ssl, int* alert, nint argument)
    {
        byte* suites;
        nuint length = OpenSsl.SSL_client_hello_get0_ciphers(ssl, &suites);
        for (nuint at = 0; at + 1 < length; at += 2)
        {
            if (suites[at] != 0x13 || suites[at + 1] is not (1 or 2 or 3)) continue;
            // TLS_AES_256_GCM_SHA384 (RFC 8446 B.4); the others are first already.
            fixed (byte* order = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256\0"u8)
                if (suites[at + 1] == 2) _ = OpenSsl.SSL_set_ciphersuites(ssl, order);
            break;
        }
        return OpenSsl.HelloGoOn;
    }

    // The first of ours that the client has too; without one the connection goes on and HTTP/1.1 is spoken (Envoy does so).
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnAlpn(nint ssl, byte** chosen, byte* chosenLength, byte* offered, uint offeredLength, nint argument)
    {
        if (TlsSession.Current?.Context is not TlsServerContext context) return OpenSsl.CallbackNoAck;
        ReadOnlySpan<byte> ours = context._alpn;
        while (!ours.IsEmpty)
        {
            ReadOnlySpan<byte> one = ours.Slice(1, ours[0]);
            for (uint at = 0; at < offeredLength && at + 1 + offered[at] <= offeredLength; at += 1u + offered[at])
            {
                if (!one.SequenceEqual(new ReadOnlySpan<byte>(offered + at + 1, offered[at]))) continue;
                *chosen = offered + at + 1;
                *chosenLength = offered[at];
                return OpenSsl.CallbackOk;
            }
            ours = ours[(1 + one.Length)..];
        }
        return OpenSsl.CallbackNoAck;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnStatus(nint ssl, nint argument)
    {
        if (TlsSession.Current is not { Context: TlsServerContext context } session) return OpenSsl.CallbackNoAck;
        session.Shard[TlsStats.OcspRequests]++;
        nint own = OpenSsl.SSL_get_certificate(ssl);
        foreach (Credential credential in context.Credentials)
        {
            if (credential.Leaf != own) continue;
            if (credential.Staple.Length == 0) break;
            if (credential.StapleUntil < DateTime.UtcNow)
            {
                if (context._config.OcspStaple == OcspStaplePolicy.Lenient) break;
                session.Shard[TlsStats.OcspFailed]++;
                session.Refuse(TlsStats.ConnectionError, $"our OCSP staple for {credential.Info.Subject} ended on {credential.StapleUntil:yyyy-MM-dd HH:mm:ss} UTC");
                return OpenSsl.CallbackAlertFatal;
            }
            byte* copy = Crypto.CRYPTO_malloc((nuint)credential.Staple.Length, "", 0);
            credential.Staple.CopyTo(new Span<byte>(copy, credential.Staple.Length));
            _ = OpenSsl.SSL_ctrl(ssl, OpenSsl.CtrlStatusResponse, credential.Staple.Length, (nint)copy);
            session.Shard[TlsStats.OcspStapled]++;
            return OpenSsl.CallbackOk;
        }
        session.Shard[TlsStats.OcspOmitted]++;
        return OpenSsl.CallbackNoAck;
    }

    // A certificate is required and nothing says which: having the key is enough (Envoy: require_client_certificate alone).
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int TakeAny(nint verification, nint argument) => 1;
}

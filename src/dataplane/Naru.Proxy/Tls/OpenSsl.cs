// libssl of OpenSSL 3, declared and nothing more. Handles are raw pointers: whoever wraps them owns them.
// What is a macro in OpenSSL's headers is here the control call behind it.
using System.Runtime.InteropServices;

namespace Naru.Proxy.Tls;

internal static unsafe partial class OpenSsl
{
    private const string Lib = "libssl.so.3";

    public const int Tls10 = 0x301, Tls11 = 0x302, Tls12 = 0x303, Tls13 = 0x304;
    public const ulong OpNoTicket = 1UL << 14, OpNoCompression = 1UL << 17, OpPrioritizeChaCha = 1UL << 21, OpServerPreference = 1UL << 22,
        OpNoRenegotiation = 1UL << 30;
    public const int ModeEnablePartialWrite = 1, ModeAcceptMovingWriteBuffer = 2, ModeNoAutoChain = 8;
    public const int VerifyNone = 0, VerifyPeer = 1, VerifyFailIfNoPeerCert = 2;
    public const int SessionCacheOff = 0, SessionCacheClient = 1, SessionCacheServer = 2, SessionCacheNoInternal = 0x300;
    public const int ErrorSsl = 1, ErrorWantRead = 2, ErrorWantWrite = 3, ErrorSyscall = 5, ErrorZeroReturn = 6;
    public const int ReasonNoPeerCertificate = 199, ReasonUnexpectedEof = 294, ReasonVerifyFailed = 134, ReasonHttpRequest = 156, ReasonProxyRequest = 155,
        ReasonNoSharedCipher = 193, ReasonUnsupportedProtocol = 258, ReasonVersionTooLow = 396, ReasonWrongVersion = 267, ReasonNoSignatureAlgorithm = 118,
        ReasonNoKeyShare = 101;
    public const int CallbackOk = 0, CallbackAlertFatal = 2, CallbackNoAck = 3;
    public const int TicketEmpty = 3, TicketNotDecrypted = 4, TicketGood = 5;
    public const int TicketIgnoreRenew = 2, TicketUse = 3, TicketUseRenew = 4;
    public const int AlertUnrecognizedName = 112, AlertInternalError = 80;

    public const int CtrlMode = 33, CtrlReadAhead = 41, CtrlSessionCacheSize = 42, CtrlSessionCacheMode = 44, CtrlServerNameCallback = 53,
        CtrlHostName = 55, CtrlStatusCallback = 63, CtrlStatusResponse = 71, CtrlGroups = 92, CtrlSignatureAlgorithms = 98,
        CtrlMinVersion = 123, CtrlMaxVersion = 124, CtrlPeerSignatureDigest = 108, CtrlNegotiatedGroup = 134;

    public const int HelloGoOn = 1;

    [LibraryImport(Lib)] public static partial int OPENSSL_init_ssl(ulong options, nint settings);
    [LibraryImport(Lib)] public static partial nint TLS_server_method();
    [LibraryImport(Lib)] public static partial nint TLS_client_method();
    [LibraryImport(Lib)] public static partial nint SSL_CTX_new(nint method);
    [LibraryImport(Lib)] public static partial void SSL_CTX_free(nint context);
    [LibraryImport(Lib)] public static partial nint SSL_CTX_ctrl(nint context, int command, nint number, nint pointer);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial nint SSL_CTX_ctrl(nint context, int command, nint number, string text);
    [LibraryImport(Lib)] public static partial nint SSL_CTX_callback_ctrl(nint context, int command, nint callback);
    [LibraryImport(Lib)] public static partial ulong SSL_CTX_set_options(nint context, ulong options);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial int SSL_CTX_set_cipher_list(nint context, string list);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial int SSL_CTX_set_ciphersuites(nint context, string list);
    [LibraryImport(Lib)] public static partial int SSL_CTX_use_cert_and_key(nint context, nint certificate, nint key, nint chain, int replace);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set_verify(nint context, int mode, nint callback);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set_verify_depth(nint context, int depth);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set1_cert_store(nint context, nint store);
    [LibraryImport(Lib)] public static partial int SSL_CTX_add_client_CA(nint context, nint certificate);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set_cert_verify_callback(nint context, nint callback, nint argument);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set_alpn_select_cb(nint context, nint callback, nint argument);
    [LibraryImport(Lib)] public static partial int SSL_CTX_set_alpn_protos(nint context, byte* protocols, uint length);
    [LibraryImport(Lib)] public static partial int SSL_CTX_set_session_id_context(nint context, byte* id, uint length);
    [LibraryImport(Lib)] public static partial nint SSL_CTX_set_timeout(nint context, nint seconds);
    [LibraryImport(Lib)] public static partial void SSL_CTX_sess_set_new_cb(nint context, nint callback);
    [LibraryImport(Lib)] public static partial int SSL_CTX_set_tlsext_ticket_key_evp_cb(nint context, nint callback);
    [LibraryImport(Lib)] public static partial int SSL_CTX_set_num_tickets(nint context, nuint count);

    [LibraryImport(Lib)] public static partial nint SSL_new(nint context);
    [LibraryImport(Lib)] public static partial void SSL_free(nint ssl);
    [LibraryImport(Lib)] public static partial void SSL_set_bio(nint ssl, nint read, nint write);
    [LibraryImport(Lib)] public static partial void SSL_set_accept_state(nint ssl);
    [LibraryImport(Lib)] public static partial void SSL_set_connect_state(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_do_handshake(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_read(nint ssl, byte* buffer, int length);
    [LibraryImport(Lib)] public static partial int SSL_peek(nint ssl, byte* buffer, int length);
    [LibraryImport(Lib)] public static partial int SSL_write(nint ssl, byte* buffer, int length);
    [LibraryImport(Lib), SuppressGCTransition] public static partial int SSL_has_pending(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_free_buffers(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_shutdown(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_get_error(nint ssl, int result);
    [LibraryImport(Lib)] public static partial nint SSL_ctrl(nint ssl, int command, nint number, nint pointer);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial nint SSL_ctrl(nint ssl, int command, nint number, string text);
    [LibraryImport(Lib)] public static partial int SSL_set_alpn_protos(nint ssl, byte* protocols, uint length);
    [LibraryImport(Lib)] public static partial int SSL_set_session(nint ssl, nint session);
    [LibraryImport(Lib)] public static partial nint SSL_set_SSL_CTX(nint ssl, nint context);
    [LibraryImport(Lib)] public static partial byte* SSL_get_servername(nint ssl, int type);
    [LibraryImport(Lib)] public static partial void SSL_get0_alpn_selected(nint ssl, byte** data, uint* length);
    [LibraryImport(Lib)] public static partial nint SSL_get1_peer_certificate(nint ssl);
    [LibraryImport(Lib)] public static partial nint SSL_get_peer_cert_chain(nint ssl);
    [LibraryImport(Lib)] public static partial nint SSL_get_certificate(nint ssl);
    [LibraryImport(Lib)] public static partial byte* SSL_get_version(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_version(nint ssl);
    [LibraryImport(Lib)] public static partial nint SSL_get_current_cipher(nint ssl);
    [LibraryImport(Lib)] public static partial nint SSL_get_pending_cipher(nint ssl);
    [LibraryImport(Lib)] public static partial byte* SSL_CIPHER_get_name(nint cipher);
    [LibraryImport(Lib), SuppressGCTransition] public static partial int SSL_session_reused(nint ssl);
    [LibraryImport(Lib)] public static partial nint SSL_get_session(nint ssl);
    [LibraryImport(Lib)] public static partial byte* SSL_SESSION_get_id(nint session, uint* length);
    [LibraryImport(Lib)] public static partial int SSL_SESSION_get_protocol_version(nint session);
    [LibraryImport(Lib)] public static partial int SSL_SESSION_is_resumable(nint session);
    [LibraryImport(Lib)] public static partial void SSL_SESSION_free(nint session);
    [LibraryImport(Lib)] public static partial int SSL_SESSION_up_ref(nint session);

    [LibraryImport(Lib)] public static partial nint SSL_SESSION_get0_peer(nint session);
    [LibraryImport(Lib)] public static partial int SSL_CTX_set_session_ticket_cb(nint context, nint generated, nint decrypted, nint argument);
    [LibraryImport(Lib)] public static partial int SSL_CTX_remove_session(nint context, nint session);
    [LibraryImport(Lib)] public static partial nint SSL_get_SSL_CTX(nint ssl);
    [LibraryImport(Lib)] public static partial int SSL_set_num_tickets(nint ssl, nuint count);
    [LibraryImport(Lib)] public static partial void SSL_CTX_set_client_hello_cb(nint context, nint callback, nint argument);
    [LibraryImport(Lib)] public static partial nuint SSL_client_hello_get0_ciphers(nint ssl, byte** suites);
    [LibraryImport(Lib)] public static partial int SSL_set_ciphersuites(nint ssl, byte* suites);
    [LibraryImport(Lib)] public static partial int SSL_get_peer_signature_type_nid(nint ssl, int* type);

    static OpenSsl()
    {
        // No exit handler: it would pull OpenSSL from under workers that still run.
        const ulong NoAtExit = 0x80000, SslStrings = 0x200000, CryptoStrings = 2;
        if (OPENSSL_init_ssl(NoAtExit | SslStrings | CryptoStrings, 0) != 1) throw new InvalidOperationException($"OpenSSL does not start: {Crypto.TakeErrors()}");
    }

    /// <summary>Runs the initialisation, once, before anything else is called.</summary>
    public static void Start() { }
}

// One TLS connection over one descriptor: handshake, reading and writing records, the end. Belongs to one worker.
// OpenSSL reads and writes through our own BIO, which makes the system calls the proxy makes anyway and, unlike OpenSSL's, remembers
// whether the socket was read empty: without that every message would cost one more call that finds nothing.
using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal sealed unsafe class TlsSession : SocketLayer
{
    // 64 KiB hold the rest of a session too.
    private const int MostKept = 60_000;

    private static readonly nint s_bioMethod = MakeBioMethod();

    [ThreadStatic]
    private static TlsSession? t_current;

    private readonly int _fd;
    private readonly SockAddr _peerAddress;
    private readonly RecordBuffers _buffers;
    private nint _ssl;
    private bool _emptied;
    private bool _broken;
    private int _refusedAs = -1;
    private string? _refusal;
    private string _refusalWords = "";
    private string? _sni;
    private string? _alpn;
    private CertificateInfo? _peer, _own;
    private bool _peerRead;
    private byte[]?[]? _facts;

    private TlsSession(TlsContext context, int fd, Worker worker)
    {
        Context = context;
        Shard = context.Stats.Shard(worker.Index);
        _buffers = RecordBuffers.Local.Of(worker);
        _fd = fd;
        // Now: of a connection that was reset nobody knows the peer any more.
        SockAddr peer = default;
        int length = 28;
        if (Sys.getpeername(fd, (byte*)&peer.Bytes, &length) == 0) peer.Length = length;
        _peerAddress = peer;
        _ssl = OpenSsl.SSL_new(context.Handle);
        if (_ssl == 0) throw new InvalidOperationException($"OpenSSL makes no connection: {Crypto.TakeErrors()}");
        nint bio = Crypto.BIO_new(s_bioMethod);
        Crypto.BIO_set_init(bio, 1);
        OpenSsl.SSL_set_bio(_ssl, bio, bio);
    }

    /// <summary>The server's side.</summary>
    public static TlsSession Server(TlsServerContext context, int fd, Worker worker)
    {
        var session = new TlsSession(context, fd, worker) { IsServer = true };
        OpenSsl.SSL_set_accept_state(session._ssl);
        return session;
    }

    /// <summary>The client's side.</summary>
    /// <param name="context">Compiled context.</param>
    /// <param name="fd">Connected.</param>
    /// <param name="worker">The worker it belongs to.</param>
    /// <param name="sni">Server name to send; empty or an IP literal sends none (RFC 6066 3).</param>
    /// <param name="expectedName">Name the certificate must have besides what the context asks; may be empty.</param>
    /// <param name="alpn">Protocols in wire form, offered where the context names none.</param>
    public static TlsSession Client(TlsClientContext context, int fd, Worker worker, string sni, string expectedName, ReadOnlySpan<byte> alpn)
    {
        string sent = sni.Length > 0 && !IPAddress.TryParse(sni, out _) ? sni : "";
        var session = new TlsSession(context, fd, worker) { _sni = sni, SentName = sent, ExpectedName = expectedName };
        OpenSsl.SSL_set_connect_state(session._ssl);
        if (sent.Length > 0) _ = OpenSsl.SSL_ctrl(session._ssl, OpenSsl.CtrlHostName, 0, sent);
        fixed (byte* wire = alpn) if (context.Config.Alpn.IsEmpty && alpn.Length > 0) _ = OpenSsl.SSL_set_alpn_protos(session._ssl, wire, (uint)alpn.Length);
        context.Resume(session._ssl, sni, expectedName);
        return session;
    }

    /// <summary>The session whose call into OpenSSL runs on this thread: for callbacks.</summary>
    public static TlsSession? Current => t_current;

    public TlsContext Context { get; }
    public bool IsServer { get; private init; }

    /// <summary>Its place among those that keep their record buffers, or -1.</summary>
    public int BuffersPlace { get; set; } = -1;

    /// <summary>Whether a record was moved since <see cref="RecordBuffers"/> last looked.</summary>
    public bool BuffersUsed { get; set; }

    /// <summary>Gives the record buffers back; what is only half read or written stays.</summary>
    public void FreeBuffers()
    {
        if (_ssl != 0) _ = OpenSsl.SSL_free_buffers(_ssl);
    }

    /// <summary>The counters of its worker.</summary>
    public long[] Shard { get; }

    /// <summary>Client: the name the certificate must have, or empty.</summary>
    public string ExpectedName { get; private init; } = "";

    /// <summary>Whether the peer said anything at all: a probe that connects and goes is no failure worth a line.</summary>
    public bool Heard { get; private set; }

    /// <summary>Whether the handshake is done.</summary>
    public bool Established { get; private set; }

    /// <summary>Why the handshake failed, in one sentence: which side, which peer, which names and dates. Empty while it did not.</summary>
    public string Failure { get; private set; } = "";

    /// <summary>The same in Envoy's words, for access logs; empty where the peer only went away.</summary>
    public string FailureWords { get; private set; } = "";

    /// <summary>One step of the handshake: 1 when done, or a negative constant.</summary>
    public int Handshake()
    {
        if (_ssl == 0 || _broken) return Failed;
        Enter();
        int result = OpenSsl.SSL_do_handshake(_ssl);
        if (result == 1)
        {
            if (IsServer && ResumesForExpired()) return HandshakeFailed();
            Established = true;
            CountHandshake();
            FreeBuffers();
            return 1;
        }
        switch (OpenSsl.SSL_get_error(_ssl, result))
        {
            case OpenSsl.ErrorWantRead: return WantRead;
            case OpenSsl.ErrorWantWrite: return WantWrite;
            default: return HandshakeFailed();
        }
    }

    // Sessions that we keep by id come with the certificate as it was; those in tickets were looked at before (TlsServerContext).
    private bool ResumesForExpired()
    {
        if (Context.Verifier is not { HeedsTime: true } || OpenSsl.SSL_session_reused(_ssl) != 1) return false;
        nint certificate = OpenSsl.SSL_get1_peer_certificate(_ssl);
        if (certificate == 0) return false;
        bool over = PeerVerifier.IsOver(certificate);
        if (over)
        {
            string end = $"{Crypto.Time(Crypto.X509_get0_notAfter(certificate)):yyyy-MM-dd HH:mm:ss} UTC";
            Refuse(TlsStats.FailVerifyError, $"its certificate expired on {end}, after the session was made that it resumes", TransportText.Chain(Crypto.CertExpired, 0));
            _ = OpenSsl.SSL_CTX_remove_session(OpenSsl.SSL_get_SSL_CTX(_ssl), OpenSsl.SSL_get_session(_ssl));
        }
        Crypto.X509_free(certificate);
        return over;
    }

    /// <summary>Whether a session with this client certificate can be kept. A ticket has at most 64 KiB with the certificate in it: in TLS 1.3
    /// none is sent for a larger one; in TLS 1.2 it was promised before the certificate came, and the peer is refused.</summary>
    public bool MayKeep(nint certificate)
    {
        if (Context is not TlsServerContext { Tickets: not null } || Crypto.i2d_X509(certificate, null) < MostKept) return true;
        if (OpenSsl.SSL_version(_ssl) >= OpenSsl.Tls13) return OpenSsl.SSL_set_num_tickets(_ssl, 0) == 1;
        Refuse(TlsStats.ConnectionError, $"its certificate has {Crypto.i2d_X509(certificate, null)} bytes, more than the {MostKept} that fit into a session ticket of TLS 1.2");
        return false;
    }

    /// <summary>Reads what was decrypted: bytes, 0 at the peer's orderly end, or a negative constant. An end without close_notify is a
    /// failure: who cuts a connection must not be able to cut an answer unseen (RFC 8446 6.1).</summary>
    public override int Read(byte* into, int length)
    {
        if (_ssl == 0 || _broken) return Failed;
        Enter();
        int n = OpenSsl.SSL_read(_ssl, into, length);
        return n > 0 ? Moved(n) : Outcome(n);
    }

    /// <summary>Like <see cref="Read"/> of one byte that stays where it is; takes in TLS's own messages on the way.</summary>
    public override int Peek()
    {
        if (_ssl == 0 || _broken) return Failed;
        Enter();
        byte one;
        int n = OpenSsl.SSL_peek(_ssl, &one, 1);
        return n > 0 ? n : Outcome(n);
    }

    /// <summary>Writes at most one record: bytes taken or a negative constant. After <see cref="WantWrite"/> or <see cref="WantRead"/> the next
    /// call must begin with the same bytes: they are encrypted already.</summary>
    public override int Write(byte* bytes, int length)
    {
        if (_ssl == 0 || _broken) return Failed;
        Enter();
        int n = OpenSsl.SSL_write(_ssl, bytes, length);
        return n > 0 ? Moved(n) : Outcome(n);
    }

    private int Moved(int count)
    {
        BuffersUsed = true;
        if (BuffersPlace < 0) _buffers.Enter(this);
        return count;
    }

    /// <summary>Whether nothing is left to be read before the socket is readable again: neither decrypted nor raw bytes are here, and the
    /// socket itself was read empty.</summary>
    public override void MoreCame() => _emptied = false;

    public override bool IsEmptied => _emptied && OpenSsl.SSL_has_pending(_ssl) == 0;

    /// <summary>Whether bytes are here, without asking the socket.</summary>
    public override bool HasPending => OpenSsl.SSL_has_pending(_ssl) != 0;

    /// <summary>Says close_notify. False when the socket has no room for it: to be called again when it has.</summary>
    public override bool Shutdown()
    {
        if (_ssl == 0 || _broken || !Established) return true;
        Enter();
        int result = OpenSsl.SSL_shutdown(_ssl);
        if (result >= 0) return true;
        bool again = OpenSsl.SSL_get_error(_ssl, result) == OpenSsl.ErrorWantWrite;
        Crypto.ERR_clear_error();
        return !again;
    }

    // SSL_get_error looks at the thread's queue: what another call left there must not be taken for this one's.
    private void Enter()
    {
        t_current = this;
        if (Crypto.ERR_peek_error() != 0) Crypto.ERR_clear_error();
    }

    private int Outcome(int result)
    {
        switch (OpenSsl.SSL_get_error(_ssl, result))
        {
            case OpenSsl.ErrorWantRead: return WantRead;
            case OpenSsl.ErrorWantWrite: return WantWrite;
            case OpenSsl.ErrorZeroReturn: return 0;
        }
        _broken = true;
        if (Errno == 0) Errno = Sys.ECONNRESET;
        Crypto.ERR_clear_error();
        return Failed;
    }

    private void CountHandshake()
    {
        Shard[TlsStats.Handshake]++;
        // Let in though it is not trusted.
        if (_refusedAs >= 0) Shard[_refusedAs]++;
        bool reused = OpenSsl.SSL_session_reused(_ssl) == 1;
        if (reused) Shard[TlsStats.SessionReused]++;
        if (IsServer && !reused)
        {
            nint certificate = OpenSsl.SSL_get1_peer_certificate(_ssl);
            if (certificate == 0) Shard[TlsStats.NoCertificate]++;
            else Crypto.X509_free(certificate);
        }
        Span<char> name = stackalloc char[64];
        TlsStats.CountVersion(Shard, Chars(OpenSsl.SSL_get_version(_ssl), name));
        TlsStats.CountCipher(Shard, Chars(OpenSsl.SSL_CIPHER_get_name(OpenSsl.SSL_get_current_cipher(_ssl)), name));
        TlsStats.CountCurve(Shard, (int)OpenSsl.SSL_ctrl(_ssl, OpenSsl.CtrlNegotiatedGroup, 0, 0));
        int key = 0, digest = 0;
        if (OpenSsl.SSL_get_peer_signature_type_nid(_ssl, &key) == 1)
        {
            _ = OpenSsl.SSL_ctrl(_ssl, OpenSsl.CtrlPeerSignatureDigest, 0, (nint)(&digest));
            TlsStats.CountSignature(Shard, key, digest);
        }
    }

    private static ReadOnlySpan<char> Chars(byte* text, Span<char> into)
    {
        int length = 0;
        for (; text is not null && text[length] != 0 && length < into.Length; length++) into[length] = (char)text[length];
        return into[..length];
    }

    /// <summary>A callback refuses the peer; the first reason counts.</summary>
    /// <param name="stat">Of <see cref="TlsStats"/>.</param>
    /// <param name="reason">As if about the peer ("it …").</param>
    /// <param name="words">Envoy's; empty where it has none.</param>
    public void Refuse(int stat, string reason, string words = "")
    {
        if (_refusal is not null) return;
        _refusedAs = stat;
        _refusal = reason;
        _refusalWords = words;
    }

    /// <summary>A certificate was refused: the session itself forgets whose it was, access logs say it.</summary>
    public void Remember(nint certificate)
    {
        if (_peerRead) return;
        _peerRead = true;
        _peer = CertificateInfo.Read(certificate);
    }

    private int HandshakeFailed()
    {
        _broken = true;
        nuint error = Crypto.ERR_peek_error();
        int reason = Crypto.ReasonOf(error);
        if (_refusal is null && reason == OpenSsl.ReasonNoPeerCertificate)
            Refuse(TlsStats.FailVerifyNoCert, "it gave no certificate, which is required here", TransportText.NoPeerCertificate);
        if (_refusal is null && error == 0) Refuse(TlsStats.ConnectionError, Errno is 0 or Sys.ECONNRESET ? "it closed the connection during the handshake" : Sys.Describe(Errno));
        if (_refusal is null && reason == OpenSsl.ReasonUnexpectedEof) Refuse(TlsStats.ConnectionError, "it closed the connection during the handshake");
        if (_refusal is null)
        {
            string words = TransportText.Error(error);
            Refuse(TlsStats.ConnectionError, Crypto.TakeErrors(), words);
        }
        else if (_refusalWords.Length == 0 && error != 0 && reason != OpenSsl.ReasonUnexpectedEof) _refusalWords = TransportText.Error(error);
        Crypto.ERR_clear_error();
        if (Errno == 0) Errno = Sys.ECONNRESET;
        Fail(_refusal!);
        FailureWords = _refusalWords;
        Shard[_refusedAs]++;
        return Failed;
    }

    /// <summary>The handshake was given up from outside: <paramref name="reason"/> says why, as if about the peer ("it …"). Whoever gave it up counts it.</summary>
    public void GiveUp(string reason)
    {
        if (Established || _broken) return;
        _broken = true;
        Fail(reason);
    }

    private void Fail(string reason)
    {
        string name = ExpectedName.Length > 0 ? ExpectedName : IsServer ? "" : Sni;
        Failure = $"{(IsServer ? "downstream" : "upstream")} TLS with {(_peerAddress.Length > 0 && _peerAddress.Family is Sys.AF_INET or Sys.AF_INET6 ? _peerAddress.ToString() : "a local peer")}{(name.Length > 0 ? $" ({name})" : "")}: {reason}";
    }

    /// <summary>Server name the client sent or, as a client, the one we sent; may be empty.</summary>
    public string Sni => _sni ??= _ssl == 0 ? "" : Crypto.Text(OpenSsl.SSL_get_servername(_ssl, 0));

    /// <summary>Client: the server name that was sent; empty where none was.</summary>
    public string SentName { get; private init; } = "";

    /// <summary>The protocol agreed on (ALPN); may be empty.</summary>
    public string Alpn
    {
        get
        {
            if (_alpn is not null || _ssl == 0) return _alpn ?? "";
            byte* data;
            uint length;
            OpenSsl.SSL_get0_alpn_selected(_ssl, &data, &length);
            var protocol = new ReadOnlySpan<byte>(data, (int)length);
            return _alpn = protocol.SequenceEqual("h2"u8) ? "h2" : protocol.SequenceEqual("http/1.1"u8) ? "http/1.1" : System.Text.Encoding.Latin1.GetString(protocol);
        }
    }

    /// <summary><c>TLSv1.3</c> and the like; empty before both sides agreed on one.</summary>
    public string Version => _ssl == 0 || !HasSuite ? "" : Crypto.Text(OpenSsl.SSL_get_version(_ssl));

    // Version and suite are agreed on together; before that OpenSSL says the highest version there is.
    private bool HasSuite => OpenSsl.SSL_get_current_cipher(_ssl) != 0 || OpenSsl.SSL_get_pending_cipher(_ssl) != 0;

    /// <summary>OpenSSL's name of the suite.</summary>
    public string Cipher => _ssl == 0 ? "" : Crypto.Text(OpenSsl.SSL_CIPHER_get_name(OpenSsl.SSL_get_current_cipher(_ssl)));

    /// <summary>Whether an earlier session was resumed.</summary>
    public bool Reused => _ssl != 0 && OpenSsl.SSL_session_reused(_ssl) == 1;

    /// <summary>Session id in lower-case hexadecimal; may be empty.</summary>
    public string SessionId
    {
        get
        {
            nint session = _ssl == 0 ? 0 : OpenSsl.SSL_get_session(_ssl);
            if (session == 0) return "";
            uint length;
            byte* id = OpenSsl.SSL_SESSION_get_id(session, &length);
            return Convert.ToHexStringLower(new ReadOnlySpan<byte>(id, (int)length));
        }
    }

    /// <summary>The peer's certificate was verified (Envoy: peerCertificateValidated). Of a session that is resumed that is known where nothing else is let in.</summary>
    public bool IsPeerVerified => Peer is not null && _refusal is null && Context.Verifier is { Proves: true } verifier
        && (!verifier.AcceptsUntrusted || (_ssl != 0 && OpenSsl.SSL_session_reused(_ssl) != 1));

    /// <summary>The peer's certificate, read on first use; null without one. A server that was not to look at certificates knows of none: nobody
    /// behind it may take one for a name.</summary>
    public CertificateInfo? Peer
    {
        get
        {
            if (_peerRead || _ssl == 0 || (IsServer && Context.Verifier is null)) return _peer;
            _peerRead = true;
            nint certificate = OpenSsl.SSL_get1_peer_certificate(_ssl);
            if (certificate == 0) return null;
            _peer = CertificateInfo.Read(certificate);
            Crypto.X509_free(certificate);
            return _peer;
        }
    }

    /// <summary>Our own certificate as it was sent; null without one.</summary>
    public CertificateInfo? Own
    {
        get
        {
            if (_ssl == 0) return _own;
            nint certificate = OpenSsl.SSL_get_certificate(_ssl);
            foreach (Credential credential in Context.Credentials) if (credential.Leaf == certificate) return credential.Info;
            return null;
        }
    }

    /// <summary>PEM of the chain the peer sent, leaf first; empty without one. For x-forwarded-client-cert's Chain.</summary>
    public string PeerChainPem()
    {
        nint chain = _ssl == 0 ? 0 : OpenSsl.SSL_get_peer_cert_chain(_ssl);
        var text = new System.Text.StringBuilder();
        // On the server's side OpenSSL leaves the leaf out.
        if (IsServer && Peer is { } leaf) text.Append(leaf.Pem);
        for (int i = 0; chain != 0 && i < Crypto.OPENSSL_sk_num(chain); i++) text.Append(CertificateInfo.Read(Crypto.OPENSSL_sk_value(chain, i)).Pem);
        return text.ToString();
    }

    /// <summary>Facts are asked for when it is closed, too: what is logged of an exchange is written after its end.</summary>
    public bool KeepsFacts { get; set; }

    /// <summary>A fact for access logs, made once for a connection; empty is absent.</summary>
    public ReadOnlySpan<byte> Fact(bool peer, TlsFact what)
    {
        _facts ??= new byte[]?[2 * ((int)TlsFact.Version + 1)];
        return _facts[2 * (int)what + (peer ? 1 : 0)] ??= System.Text.Encoding.UTF8.GetBytes(FactText(peer ? Peer : Own, what));
    }

    private string FactText(CertificateInfo? info, TlsFact what) => what switch
    {
        TlsFact.SessionId => SessionId,
        TlsFact.Cipher => Cipher,
        TlsFact.Version => Version,
        _ => info?.Fact(what) ?? "",
    };

    /// <summary>x-forwarded-client-cert as it was made for this connection, and with which details; null before.</summary>
    public byte[]? ClientCertHeader { get; set; }

    public int ClientCertHeaderFor { get; set; }

    /// <inheritdoc/>
    public override void Dispose()
    {
        GC.SuppressFinalize(this);
        if (KeepsFacts && _ssl != 0)
        {
            foreach (TlsFact what in (ReadOnlySpan<TlsFact>)[TlsFact.SessionId, TlsFact.Cipher, TlsFact.Version]) _ = Fact(peer: true, what);
            _ = Peer;
            _own = Own;
        }
        Free();
    }

    private void Free()
    {
        if (_ssl == 0) return;
        // Only Dispose finds it with a place: who has one is held there.
        if (BuffersPlace >= 0) _buffers.Leave(this);
        OpenSsl.SSL_free(_ssl);
        _ssl = 0;
        if (ReferenceEquals(t_current, this)) t_current = null;
    }

    ~TlsSession() => Free();

    private static nint MakeBioMethod()
    {
        OpenSsl.Start();
        const int SourceSink = 0x400;
        nint method = Crypto.BIO_meth_new(Crypto.BIO_get_new_index() | SourceSink, "naru");
        _ = Crypto.BIO_meth_set_read(method, (nint)(delegate* unmanaged[Cdecl]<nint, byte*, int, int>)&OnRead);
        _ = Crypto.BIO_meth_set_write(method, (nint)(delegate* unmanaged[Cdecl]<nint, byte*, int, int>)&OnWrite);
        _ = Crypto.BIO_meth_set_ctrl(method, (nint)(delegate* unmanaged[Cdecl]<nint, int, nint, nint, nint>)&OnControl);
        return method;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnRead(nint bio, byte* into, int length)
    {
        TlsSession session = t_current!;
        Crypto.BIO_clear_flags(bio, Crypto.BioFlagsAll);
        while (true)
        {
            nint n = Sys.recv(session._fd, into, length, 0);
            if (n >= 0)
            {
                session._emptied = n > 0 && n < length;
                if (n > 0) session.Heard = true;
                return (int)n;
            }
            int errno = Sys.FastErrno;
            if (errno == Sys.EINTR) continue;
            if (errno == Sys.EAGAIN)
            {
                session._emptied = true;
                Crypto.BIO_set_flags(bio, Crypto.BioFlagsRead | Crypto.BioFlagsRetry);
            }
            else session.Errno = errno;
            return -1;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnWrite(nint bio, byte* bytes, int length)
    {
        TlsSession session = t_current!;
        Crypto.BIO_clear_flags(bio, Crypto.BioFlagsAll);
        while (true)
        {
            nint n = Sys.send(session._fd, bytes, length, Sys.MSG_NOSIGNAL);
            if (n >= 0) return (int)n;
            int errno = Sys.FastErrno;
            if (errno == Sys.EINTR) continue;
            if (errno == Sys.EAGAIN) Crypto.BIO_set_flags(bio, Crypto.BioFlagsWrite | Crypto.BioFlagsRetry);
            else session.Errno = errno;
            return -1;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint OnControl(nint bio, int command, nint number, nint pointer) => command == Crypto.BioCtrlFlush ? 1 : 0;
}

// A worker with TLS sockets on it, for tests: a server that echoes, a client that exchanges. The sockets are the proxy's own; the peers
// are other people's TLS (SslStream, openssl).
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.UnitTests.Proxy;

/// <summary>How a handshake ended on the proxy's side.</summary>
internal sealed record Outcome(bool Ok, string Failure, string Sni, string Alpn, string Version, bool Reused, CertificateInfo? Peer, CertificateInfo? Own)
{
    /// <summary>What access logs say of a failure.</summary>
    public string Words { get; init; } = "";
}

internal sealed class TlsBench : IDisposable
{
    private readonly Worker _worker;
    private readonly ConcurrentBag<string> _faults = [];

    public TlsBench()
    {
        _worker = new Worker(1, (where, e) => _faults.Add($"{where}: {e}"));
        _worker.Start();
        Store = new TlsContextStore(Reports.Enqueue);
        ServerStats = Registry.Block("listener.test", TlsStats.Schema);
        ClientStats = Registry.Block("cluster.test", TlsStats.Schema);
    }

    public Worker Worker => _worker;
    public StatRegistry Registry { get; } = new(1);
    public StatBlock ServerStats { get; }
    public StatBlock ClientStats { get; }
    public TlsContextStore Store { get; }
    public ConcurrentQueue<Diagnostic> Reports { get; } = new();
    public IEnumerable<string> Faults => _faults;

    public static DataSourceConfig Inline(string text) => new(null, [.. Encoding.ASCII.GetBytes(text)]);

    public static TlsCertificateConfig Config(TestCertificate certificate) => new() { Chain = Inline(certificate.Chain), PrivateKey = Inline(certificate.PrivateKey) };

    public static CommonTlsConfig Common(params TestCertificate[] certificates) => new() { Certificates = [.. certificates.Select(Config)] };

    public static ValidationContextConfig Trust(TestAuthority authority, params SanMatcherConfig[] names) => new() { TrustedCa = Inline(authority.Pem), SubjectAltNames = [.. names] };

    public static SanMatcherConfig San(SanType type, string exact) => new(type, new StringMatcherConfig(StringMatchKind.Exact, exact));

    public TlsServerSlot Server(DownstreamTlsConfig config, string owner = "listener test") =>
        Good(d => Store.Server(owner, config, ServerStats, d));

    public TlsServerSlot Server(params TestCertificate[] certificates) => Server(new DownstreamTlsConfig { Common = Common(certificates) });

    public TlsClientSlot Client(UpstreamTlsConfig config) => Good(d => Store.Client("cluster test", config, ClientStats, d));

    private static T Good<T>(Func<Diagnostics, T?> make) where T : class
    {
        var diagnostics = new Diagnostics();
        return make(diagnostics) ?? throw new InvalidOperationException(string.Join("\n", diagnostics.Items));
    }

    /// <summary>Listens; every handshake's outcome is in the channel.</summary>
    public EchoServer Listen(TlsServerSlot slot) => new(_worker, slot);

    /// <summary>Connects, does the handshake and, where that worked, sends one line and reads the answer up to its line end.</summary>
    public Task<(Outcome Outcome, string Answer)> ExchangeAsync(TlsClientSlot slot, int port, string sni = "", string expected = "", string line = "ping\n")
    {
        var done = new TaskCompletionSource<(Outcome, string)>(TaskCreationOptions.RunContinuationsAsynchronously);
        _worker.Post(w => _ = new ClientSocket(w).RunAsync(slot, port, sni, expected, line, done));
        return done.Task.Within("a TLS exchange");
    }

    public void Dispose()
    {
        Store.Dispose();
        _worker.Stop();
    }

    internal static Outcome OutcomeOf(SecureSocket socket, bool ok) => ok && socket.Tls is { } tls
        ? new Outcome(true, "", tls.Sni, tls.Alpn, tls.Version, tls.Reused, tls.Peer, tls.Own)
        : new Outcome(false, socket.HandshakeFailure, socket.Tls?.Sni ?? "", "", socket.Tls?.Version ?? "", false, socket.Tls?.Peer, null) { Words = socket.TransportFailure };

    internal sealed class EchoServer : IDisposable
    {
        private readonly Worker _worker;
        private readonly TlsServerSlot _slot;
        private readonly Socket _listener;
        private readonly Channel<Outcome> _outcomes = Channel.CreateUnbounded<Outcome>();
        private int _open;

        public EchoServer(Worker worker, TlsServerSlot slot)
        {
            _worker = worker;
            _slot = slot;
            _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _listener.Listen(512);
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

        public int Open => Volatile.Read(ref _open);

        /// <summary>How long a handshake may take.</summary>
        public int TimeoutMs { get; init; } = 20_000;

        public async Task<Outcome> NextAsync() => await _outcomes.Reader.ReadAsync().AsTask().Within("a handshake on the server");

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    using Socket accepted = await _listener.AcceptAsync();
                    int fd = Dup((int)accepted.Handle);
                    Interlocked.Increment(ref _open);
                    _worker.Post(w => _ = new EchoSocket(w, fd, this).RunAsync());
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }

        public void Dispose() => _listener.Dispose();

        private sealed class EchoSocket : SecureSocket
        {
            private readonly EchoServer _server;

            public EchoSocket(Worker worker, int fd, EchoServer server) : base(worker)
            {
                Fd = fd;
                _server = server;
            }

            public async ValueTask RunAsync()
            {
                Watch(writable: true);
                Worker.Timers.Set(Timer, Worker.Now + _server.TimeoutMs, Worker.Now);
                bool ok = await AcceptTlsAsync(_server._slot);
                TimerWheel.Stop(Timer);
                _server._outcomes.Writer.TryWrite(OutcomeOf(this, ok));
                var buffer = new BufferPool().Rent();
                while (ok)
                {
                    if (!MayRead) await Readable();
                    int n = Receive(buffer);
                    if (n == 0) ShutdownWrite();
                    if (n is 0 or Failed) break;
                    if (n > 0 && !await SendAllAsync(buffer)) break;
                    buffer.Clear();
                }
                Close();
                Interlocked.Decrement(ref _server._open);
            }

            public override void OnTimer(TimerNode timer) => Cancel();
        }
    }

    private sealed class ClientSocket(Worker worker) : SecureSocket(worker)
    {
        public async ValueTask RunAsync(TlsClientSlot slot, int port, string sni, string expected, string line, TaskCompletionSource<(Outcome, string)> done)
        {
            try
            {
                Connect(port);
                await Writable();
                bool ok = await ConnectTlsAsync(slot, sni, expected);
                Outcome outcome = OutcomeOf(this, ok);
                var text = new StringBuilder();
                if (ok)
                {
                    var buffer = new BufferPool().RentLarge();
                    buffer.Append(Encoding.ASCII.GetBytes(line));
                    bool sent = await SendAllAsync(buffer);
                    buffer.Clear();
                    while (sent && !text.ToString().EndsWith('\n'))
                    {
                        if (!MayRead) await Readable();
                        int n = Receive(buffer);
                        if (n is 0 or Failed)
                        {
                            text.Append(n == 0 ? "<end>" : $"<failed {Errno}>");
                            break;
                        }
                        text.Append(Encoding.ASCII.GetString(buffer.Filled));
                        buffer.Clear();
                    }
                }
                Close();
                done.SetResult((outcome, text.ToString()));
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        }

        private void Connect(int port)
        {
            SockAddr address = SockAddr.From(IPAddress.Loopback, port);
            Fd = Sys.socket(Sys.AF_INET, Sys.SOCK_STREAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0);
            _ = Sys.Connect(Fd, address);
            Watch(writable: false);
        }
    }

    private static int Dup(int fd)
    {
        int copy = dup(fd);
        const int SetFlags = 4, NonBlocking = 0x800;
        _ = fcntl(copy, SetFlags, NonBlocking);
        return copy;
    }

    [System.Runtime.InteropServices.DllImport("libc")]
    private static extern int dup(int fd);

    [System.Runtime.InteropServices.DllImport("libc")]
    private static extern int fcntl(int fd, int command, int value);
}

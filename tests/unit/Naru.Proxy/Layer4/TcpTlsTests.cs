// tcp_proxy between TLS on both sides: bytes, orderly ends, and streams that were cut.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TcpTlsTests : IAsyncDisposable
{
    private readonly TestAuthority _root = new("root");
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EngineBench _bench = new();

    public TcpTlsTests()
    {
        _listener.Start();
        _ = ServeAsync();
        _bench.Apply(
            EngineBench.Cluster(((IPEndPoint)_listener.LocalEndpoint).Port) with
            {
                Tls = new UpstreamTlsConfig { Common = TlsBench.Common() with { Validation = TlsBench.Trust(_root) }, Sni = "far.example", AutoSniSanValidation = true },
            },
            EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy()) with { Tls = new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["near.example"])) } }));
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _bench.DisposeAsync();
    }

    private async Task ServeAsync()
    {
        try
        {
            using TcpClient client = await _listener.AcceptTcpClientAsync();
            await using var stream = new SslStream(client.GetStream());
            await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = _root.Issue(["far.example"]).Certificate });
            var piece = new byte[64 * 1024];
            int n;
            while ((n = await stream.ReadAsync(piece)) > 0) await stream.WriteAsync(piece.AsMemory(0, n));
            await stream.ShutdownAsync();
            _ended.SetResult($"end with {stream.NegotiatedApplicationProtocol}");
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            _ended.TrySetResult("cut");
        }
    }

    [Fact]
    public async Task Bytes_and_ends_go_through_and_nobody_is_offered_http()
    {
        (SslStream stream, string? failure) = await TlsHandshakeTests.DialAsync(_bench.Port(), new SslClientAuthenticationOptions { TargetHost = "near.example" });
        Assert.Null(failure);
        byte[] sent = RandomNumberGenerator.GetBytes(5_000_000);
        Task sending = Task.Run(() => stream.WriteAsync(sent).AsTask());
        var got = new byte[sent.Length];
        await stream.ReadExactlyAsync(got).AsTask().Within("the echo");
        await sending;
        Assert.True(got.AsSpan().SequenceEqual(sent));
        // Not while something is read: SslStream lets OpenSSL read for the end, too, and two at once break its state.
        await stream.ShutdownAsync();
        Assert.Equal(0, await stream.ReadAsync(got).AsTask().Within("the end"));
        Assert.Equal("end with ", await _ended.Task.Within("the server's end"));
        await stream.DisposeAsync();
    }

    [Fact]
    public async Task A_stream_that_was_cut_is_cut_on_the_other_side_too()
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, _bench.Port());
        var stream = new SslStream(tcp.GetStream(), false, (_, _, _, _) => true);
        await stream.AuthenticateAsClientAsync("near.example").Within("the handshake");
        await stream.WriteAsync("half"u8.ToArray());
        var echo = new byte[4];
        await stream.ReadExactlyAsync(echo).AsTask().Within("the echo");
        // An end of TCP without one of TLS: somebody between may have cut it (RFC 8446 6.1).
        tcp.Client.Shutdown(SocketShutdown.Send);
        Assert.Equal("cut", await _ended.Task.Within("the server to notice"));
    }
}

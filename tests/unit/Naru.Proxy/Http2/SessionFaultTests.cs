// An exception in a session's own code, wherever it is thrown, is logged under the session's name and ends the connection: the peer
// sees the end, the owner is told, and nothing stays behind that looks alive.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Naru.Http.Http2;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.UnitTests.Proxy;

public sealed class SessionFaultTests
{
    public static TheoryData<string> Places() => ["read", "settings", "headers", "pong", "flushed", "posted"];

    [Theory]
    [MemberData(nameof(Places))]
    public async Task An_exception_ends_the_session_and_is_logged(string place)
    {
        var faults = new ConcurrentQueue<string>();
        var worker = new Worker(1, (where, e) => faults.Enqueue($"{where}: {e.Message}"));
        worker.Start();
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        using Http2Peer peer = await Http2Peer.ConnectSilentAsync((IPEndPoint)listener.LocalEndPoint!);
        using Socket accepted = await listener.AcceptAsync().Within("the connection");
        // A worker never waits in a call.
        accepted.Blocking = false;
        // All that the peer has to say is there before the session begins: a peer answers what it is told (SETTINGS, PING), and an answer that
        // came before the preface would be a fault of the protocol, not of the session.
        await peer.SendAsync((byte[])
        [
            .. Http2FrameHeader.Preface,
            .. Settings(),
            .. Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, "naruping"u8),
            .. Frame(Http2FrameType.Headers, Http2Flags.EndHeaders, 1, []),
        ]);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        worker.Post(w => new FaultySession(w, new Handed(w, accepted), place, ended).Start());

        await ended.Task.Within("the session's end");
        await peer.ClosedAsync();
        worker.Stop();
        Assert.Equal([$"a faulty session: {place}"], faults);
    }

    /// <summary>A socket that .NET made.</summary>
    private sealed class Handed : SecureSocket
    {
        private readonly Socket _from;

        public Handed(Worker worker, Socket from) : base(worker)
        {
            _from = from;
            Fd = (int)from.Handle;
            Watch(writable: true);
        }

        public override void Close()
        {
            if (Fd < 0) return;
            // The descriptor is the other's to close.
            Worker.Remove(this);
            Fd = -1;
            _from.Dispose();
            Cancel();
        }
    }

    private sealed class FaultySession(Worker worker, SecureSocket socket, string place, TaskCompletionSource ended)
        : Http2Session(worker, socket, new Http2OptionsConfig(), server: true, 60 * 1024, 100)
    {
        private string? _broken;

        protected override string Description => "a faulty session";

        protected override long UnitMs => 0;

        protected override void OnUnitBegun() { }

        public void Start()
        {
            SendPreface();
            SendPing("naruping"u8, ack: false);
            Unawaited.Run(RunToEndAsync());
            if (place == "posted") Post(Throw);
        }

        private async ValueTask<bool> RunToEndAsync()
        {
            bool ours = await RunAsync(null);
            if (!IsDestroyed) ended.TrySetException(new InvalidOperationException($"the session ended without its exception: {_broken ?? (ours ? "by us" : "by the peer")}"));
            return ours;
        }

        protected override void OnProtocolFault(Http2ErrorCode code, string why) => _broken = why;

        private static void Throw() => throw new InvalidOperationException("posted");

        private void At(string here)
        {
            if (here == place) throw new InvalidOperationException(place);
        }

        protected override bool OnHeaders(int id, ReadOnlySpan<byte> block, bool end)
        {
            At("headers");
            return true;
        }

        protected override void OnRead(int bytes) => At("read");

        protected override void OnSettings() => At("settings");

        protected override void OnPong(ReadOnlySpan<byte> payload) => At("pong");

        protected override void OnFlushed() => At("flushed");

        protected override void OnDestroyed() => ended.TrySetResult();
    }
}

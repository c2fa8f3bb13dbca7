// Tells the debug log why connections ended. Whether anybody listens is asked first: in an attack nearly every connection has a reason.
using Naru.Proxy.Http;

namespace Naru.Proxy.Listeners;

/// <summary>The debug log of listeners; from any worker.</summary>
/// <param name="IsOn">Whether lines are written now.</param>
/// <param name="Write">Writes one.</param>
public sealed record ConnectionLog(Func<bool> IsOn, Action<string> Write)
{
    /// <summary>Nobody listens.</summary>
    public static ConnectionLog None { get; } = new(static () => false, static _ => { });

    internal void Tell(Listener listener, ListenerConnection connection, Reason reason, string why)
    {
        if (!IsOn()) return;
        // Of TLS our own sentence, which says more.
        if (connection.HandshakeFailure.Length > 0) why = connection.HandshakeFailure;
        string name = connection.Info?.ServerName is { Length: > 0 } known ? known : connection.Tls?.Sni ?? "";
        Write($"{reason.Code} {reason.Sentence}{(why.Length > 0 ? ": " : "")}{why} (listener {listener.Config.Name}, connection {connection.Id}, client {connection.Peer}, to {connection.Local}{(name.Length > 0 ? ", server name " : "")}{name})");
    }

    internal void Tell(Listener listener, in Io.SockAddr peer, Reason reason)
    {
        if (IsOn()) Write($"{reason.Code} {reason.Sentence} (listener {listener.Config.Name}, client {peer})");
    }
}

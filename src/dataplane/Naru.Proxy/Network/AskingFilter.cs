// Network filters that ask another service about a connection (Envoy: network ext_authz, ratelimit), and a question that is under way. A
// connection that ends gives its question up; what an answer means is the filter's matter.
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Network;

internal abstract class AskingFilter : NetworkFilter
{
    /// <summary>It asks when a connection begins, before TLS and before anything is connected to; else at its first bytes.</summary>
    public abstract bool OnNew { get; }

    public sealed override long? Refuses(ListenerConnection connection, Worker worker) => null;

    public sealed override bool JudgesBytes => !OnNew;

    /// <summary>Asks about a connection; null lets it on without a question.</summary>
    public abstract NetworkQuestion? Ask(ListenerConnection connection, Worker worker);
}

/// <summary>A question about one connection. Whoever asked it disposes of it.</summary>
internal sealed class NetworkQuestion : IDisposable
{
    private readonly CallOut _call;
    private readonly Func<CallOut, Reason?> _judge;
    private readonly long[] _shard;
    private readonly int _active;
    private bool _isDisposed;

    /// <param name="method">Who is asked.</param>
    /// <param name="call">With its message.</param>
    /// <param name="judge">Makes of the answer why the connection is refused; null where it is not.</param>
    /// <param name="shard">The filter's counters on this worker.</param>
    /// <param name="active">The gauge of questions.</param>
    public NetworkQuestion(GrpcMethod method, CallOut call, Func<CallOut, Reason?> judge, long[] shard, int active)
    {
        (_call, _judge, _shard, _active) = (call, judge, shard, active);
        shard[active]++;
        method.Run(call, Over);
    }

    /// <summary>It is answered, or nobody answers any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Why the connection is refused; null where it is not.</summary>
    public Reason? Refusal { get; private set; }

    /// <summary>Called when it is over, where it was not from the start.</summary>
    public Action? Ended { get; set; }

    private void Over(CallOut call)
    {
        if (_isDisposed) return;
        IsOver = true;
        _shard[_active]--;
        Refusal = _judge(call);
        Ended?.Invoke();
    }

    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        if (!IsOver) _shard[_active]--;
        _call.Dispose();
    }
}

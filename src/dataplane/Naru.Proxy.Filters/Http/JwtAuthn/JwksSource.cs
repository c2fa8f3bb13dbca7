// Where a provider's keys come from: configuration, or a server that is asked over HTTP and whose answer is kept for a time. All workers share
// what came, and one question is under way at most. A server that fails leaves the last good keys for as long again; without any, each request
// that needs them asks anew.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>Keys of a provider.</summary>
internal abstract class JwksSource
{
    /// <summary>The keys as they are now; null where there are none.</summary>
    public abstract ValueTask<Jwks?> GetAsync(Exchange x);
}

/// <summary>Keys that configuration holds.</summary>
internal sealed class LocalJwks(Jwks keys) : JwksSource
{
    public override ValueTask<Jwks?> GetAsync(Exchange x) => new(keys);
}

/// <summary>Keys that a server gives out (Envoy: RemoteJwks).</summary>
internal sealed class RemoteJwks : JwksSource
{
    private readonly Lock _gate = new();
    private readonly RemoteJwksConfig _config;
    private readonly WeightedTarget _target;
    private readonly StatBlock _stats;
    private readonly byte[] _head;
    private readonly long _timeoutMs, _keptMs;
    private readonly List<(Worker Worker, PoolWaiter Waiter)> _waiting = [];
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Jwks? _keys;
    private long _gotAt, _failedAt = long.MinValue;
    private bool _isAsking;

    public RemoteJwks(RemoteJwksConfig config, ClusterDirectory clusters, NodeState node, StatBlock stats)
    {
        (_config, _stats) = (config, stats);
        _target = new WeightedTarget(clusters.GetOrAdd(config.Service.Cluster), 1, null, null);
        _timeoutMs = Math.Max(1, (long)config.Service.Timeout.TotalMilliseconds);
        _keptMs = Math.Max(1, (long)config.CacheDuration.TotalMilliseconds);
        // Envoy's name for whoever asks; servers know it.
        _head = Encoding.ASCII.GetBytes($"GET {config.Service.Path} HTTP/1.1\r\nhost: {config.Service.Authority}\r\nuser-agent: Go-browser\r\n");
        if (!config.IsAsync) return;
        if (config.IsAwaited) node.Awaits(_begun.Task);
        node.Later(Ask);
    }

    public override ValueTask<Jwks?> GetAsync(Exchange x)
    {
        long now = x.Worker.Now;
        lock (_gate)
        {
            long age = now - _gotAt;
            if (_keys is { } keys && age < _keptMs)
            {
                // Before anybody has to wait for them.
                if (_config.IsAsync && age > _keptMs - _keptMs / 10 && MayAsk(now)) x.Worker.Post(Ask);
                return new ValueTask<Jwks?>(keys);
            }
            if (!_isAsking && !MayAsk(now) && (_config.IsAsync || _keys is not null)) return new ValueTask<Jwks?>(Kept(now));
        }
        return WaitAsync(x);
    }

    private bool MayAsk(long now) => !_isAsking && (_failedAt == long.MinValue || now - _failedAt >= _config.FailedRefetch.TotalMilliseconds);

    // Those that are old, but not too old.
    private Jwks? Kept(long now) => now - _gotAt < _keptMs * 2 ? _keys : null;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<Jwks?> WaitAsync(Exchange x)
    {
        Worker worker = x.Worker;
        bool goesOn = await x.WaitAsync(new PoolWaiter(waiter =>
        {
            lock (_gate) _waiting.Add((worker, waiter));
            // On a later turn: it may end at once, and whoever waits has not begun to.
            worker.Post(Ask);
        }));
        lock (_gate) return goesOn ? Kept(worker.Now) : null;
    }

    private void Ask(Worker worker)
    {
        lock (_gate)
        {
            if (_isAsking) return;
            _isAsking = true;
        }
        Ask(worker, 0);
    }

    private void Ask(Worker worker, int retried)
    {
        var call = new CallOut(worker);
        call.Append(_head);
        call.AppendOrigin(_timeoutMs, saysAddress: true);
        call.Append("\r\n"u8);
        call.Run(_target, _timeoutMs, Jwks.MostBytes, ended => Ended(worker, ended, retried));
    }

    private void Ended(Worker worker, CallOut call, int retried)
    {
        Jwks? keys = null;
        try
        {
            if (call.IsAnswered && call.Answer.Status == 200) keys = Jwks.Read(call.Body);
        }
        catch (Exception e)
        {
            // Somebody waits for the end of this.
            worker.Report($"keys from {_config.Service.Authority}", e);
        }
        call.Dispose();
        if (keys is { Count: 0 }) keys = null;
        if (keys is null && retried < _config.Retries)
        {
            long range = Math.Min((long)_config.BackOffMax.TotalMilliseconds, (1L << Math.Min(retried, 20)) * (long)_config.BackOffBase.TotalMilliseconds);
            RetryTimer.Start(worker, 1 + worker.Random.Below((uint)Math.Clamp(range, 1, int.MaxValue)), w => Ask(w, retried + 1));
            return;
        }
        _stats.Shard(worker.Index)[keys is null ? JwtStats.FetchFailed : JwtStats.FetchSuccess]++;
        (Worker Worker, PoolWaiter Waiter)[] waiting;
        lock (_gate)
        {
            if (keys is null) _failedAt = worker.Now;
            else (_keys, _gotAt, _failedAt) = (keys, worker.Now, long.MinValue);
            _isAsking = false;
            waiting = [.. _waiting];
            _waiting.Clear();
        }
        _begun.TrySetResult();
        foreach ((Worker whose, PoolWaiter waiter) in waiting) whose.Post(_ => waiter.Resume());
    }

    private sealed class RetryTimer(Worker worker, Action<Worker> action) : ITimerOwner
    {
        public static void Start(Worker worker, long ms, Action<Worker> action) =>
            worker.Timers.Set(new TimerNode(new RetryTimer(worker, action)), worker.Now + ms, worker.Now);

        void ITimerOwner.OnTimer(TimerNode timer) => action(worker);
    }
}

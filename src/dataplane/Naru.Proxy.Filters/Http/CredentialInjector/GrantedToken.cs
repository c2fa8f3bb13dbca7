// A token that a server gives this workload (RFC 6749 4.4), shared by all workers: asked for before the first request where that can be,
// renewed from half its time on beside the request that finds that out, and used until it ends. One question is under way at most;
// whoever finds no token waits for it. After a failure nobody asks before its time.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Filters.Http.OAuth2;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.CredentialInjector;

internal sealed class GrantedToken
{
    private readonly Lock _gate = new();
    private readonly TokenGrantConfig _config;
    private readonly TokenEndpoint _endpoint;
    private readonly StatBlock _stats;
    private readonly List<(Worker Worker, PoolWaiter Waiter)> _waiting = [];
    private byte[]? _token;
    private long _renewAt, _endsAt, _askAt = long.MinValue;
    private bool _isAsking;

    public GrantedToken(TokenGrantConfig config, FilterContext context)
    {
        (_config, _endpoint) = (config, new TokenEndpoint(config.Endpoint, context));
        _stats = context.Block("credential_injector.oauth2", GrantStats.Schema);
        // Nobody waits for this one: where it fails, the first request asks again at once.
        context.Node.Later(worker => Ask(worker, isWanted: false));
    }

    /// <summary>The token where nobody need wait for it.</summary>
    public byte[]? IsFresh(Worker worker)
    {
        long now = worker.Now;
        lock (_gate)
        {
            if (_token is null || now >= _endsAt) return null;
            // Before anybody has to wait.
            if (now >= _renewAt && !_isAsking && now >= _askAt) worker.Post(w => Ask(w, isWanted: true));
            return _token;
        }
    }

    /// <summary>The token; null where there is none to be had now.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<byte[]?> GetAsync(FilterCall call)
    {
        Worker worker = call.Worker;
        lock (_gate)
        {
            if (!_isAsking && worker.Now < _askAt) return null;
        }
        bool goesOn = await call.WaitAsync(waiter =>
        {
            lock (_gate) _waiting.Add((worker, waiter));
            // On a later turn: it may end at once, and whoever waits has not begun to.
            worker.Post(w => Ask(w, isWanted: true));
        });
        return goesOn ? IsFresh(worker) : null;
    }

    private void Ask(Worker worker, bool isWanted)
    {
        bool canAsk = _endpoint.IsReady, isOver;
        lock (_gate)
        {
            if (_isAsking) return;
            // A question may have ended since this one was wanted.
            isOver = worker.Now < _askAt || (_token is not null && worker.Now < _renewAt);
            _isAsking = true;
        }
        if (isOver)
        {
            Ended(worker, null);
            return;
        }
        long[] stats = _stats.Shard(worker.Index);
        if (!canAsk)
        {
            // Its secret has not come; the next request looks again.
            stats[GrantStats.NotSent]++;
            Ended(worker, null);
            return;
        }
        if (!_endpoint.HasCluster) stats[GrantStats.NoCluster]++;
        stats[GrantStats.Requested]++;
        _endpoint.Ask(worker, _endpoint.ByClient(_config.Scopes), result =>
        {
            TokenAnswer? token = result.Tokens is { ExpiresIn: > 0 } given ? given : null;
            if (token is not null) stats[GrantStats.Fetched]++;
            else if (result.Status == 200) stats[GrantStats.BadToken]++;
            else if (result.Status != 0) stats[GrantStats.BadStatus]++;
            else if (_endpoint.HasCluster) stats[GrantStats.Reset]++;
            if (token is null && isWanted) lock (_gate) _askAt = worker.Now + (long)_config.RetryAfter.TotalMilliseconds;
            Ended(worker, token);
        });
    }

    private void Ended(Worker worker, TokenAnswer? token)
    {
        (Worker Worker, PoolWaiter Waiter)[] waiting;
        lock (_gate)
        {
            if (token is not null)
            {
                long now = worker.Now, ms = token.ExpiresIn * 1000;
                _token = Encoding.ASCII.GetBytes($"Bearer {token.Access}");
                (_renewAt, _endsAt, _askAt) = (now + ms / 2, now + ms, long.MinValue);
            }
            _isAsking = false;
            waiting = [.. _waiting];
            _waiting.Clear();
        }
        foreach ((Worker whose, PoolWaiter waiter) in waiting) whose.Post(_ => waiter.Resume());
    }
}

internal static class GrantStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Fetched = Schema.Counter("token_fetched");
    public static readonly int BadStatus = Schema.Counter("token_fetch_failed_on_bad_response_code");
    public static readonly int BadToken = Schema.Counter("token_fetch_failed_on_bad_token");
    public static readonly int NotSent = Schema.Counter("token_fetch_failed_on_client_send");
    public static readonly int NoCluster = Schema.Counter("token_fetch_failed_on_cluster_not_found");
    public static readonly int Reset = Schema.Counter("token_fetch_failed_on_stream_reset");
    public static readonly int Requested = Schema.Counter("token_requested");
}

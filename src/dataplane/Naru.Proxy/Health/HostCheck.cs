// One check of one endpoint, again and again, on one worker: connects, asks, takes the verdict down, sleeps. What others may know of it
// is whether the endpoint failed and whether anybody has asked yet.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Health;

internal sealed class HostCheck : ITimerOwner
{
    private readonly HealthChecks _owner;
    private readonly ClusterSlot _slot;
    private readonly HealthCheckConfig _config;
    private readonly Worker _worker;
    private readonly HostState _target;
    private readonly StatBlock _stats;
    private readonly TimerNode _timer;
    private readonly CheckVerdict _verdict;
    private readonly CheckHead? _head;
    private readonly byte[] _request = [];
    private readonly byte[]? _message;
    private readonly bool _http2;
    private CheckConnection? _connection;
    private readonly HealthLog? _log;
    private volatile bool _failed = true, _pending = true, _stopped, _said, _degraded, _timedOut;

    public HostCheck(HealthChecks owner, ClusterSlot slot, Host host, HealthCheckConfig config, string cluster, Transport transport,
        Worker worker, StatBlock stats, HealthLog? log)
    {
        _owner = owner;
        _slot = slot;
        _config = config;
        _worker = worker;
        _stats = stats;
        _log = log;
        _timer = new TimerNode(this);
        _verdict = new CheckVerdict(config);
        Host = host;
        Transport = transport;
        _target = TargetOf(slot, host, config, worker);
        string asked = host.Config.HealthCheckHostname;
        if (config.Http is { } http) _head = new CheckHead(http, asked.Length > 0 ? asked : http.Host.Length > 0 ? http.Host : cluster, config.ReuseConnection);
        if (config.Grpc is { } grpc) _head = new CheckHead(grpc, asked.Length > 0 ? asked : grpc.Authority.Length > 0 ? grpc.Authority : cluster);
        _http2 = config.Grpc is not null || config.Http is { Http2: true };
        if (_head is not null) _request = _http2 ? Http2Check.Head(_head) : Http1Check.Request(_head);
        if (config.Grpc is { } call) _message = Http2Check.Message(call.ServiceName);
    }

    // Its own address, another one, or either at another port.
    private static HostState TargetOf(ClusterSlot slot, Host host, HealthCheckConfig config, Worker worker)
    {
        AddressConfig? elsewhere = host.Config.HealthCheckAddress;
        AddressConfig address = elsewhere ?? host.Config.Address;
        int port = host.Config.HealthCheckPort > 0 ? host.Config.HealthCheckPort : elsewhere is null ? config.AltPort : 0;
        if (address.Kind != AddressKind.Socket) port = 0;
        if (elsewhere is null && port == 0) return host.State;
        SockAddr at = elsewhere is null ? host.State.Address : SockAddr.From(elsewhere);
        string shown = port > 0 ? $"{address.Host}:{port}" : address.ToString();
        return new HostState(slot, port > 0 ? at.WithPort(port) : at, shown, worker.Index);
    }

    public Host Host { get; }

    public Transport Transport { get; }

    /// <summary>Whether the endpoint failed, as far as is known; true at the start.</summary>
    public bool Failed => _failed;

    /// <summary>Whether the endpoint said itself that it fails, and has not been found well since.</summary>
    public bool SaidItself => _said;

    /// <summary>Whether the endpoint is well and says that it is worse than usual.</summary>
    public bool IsDegraded => _degraded && !_failed;

    /// <summary>Whether it failed because there was no answer in time.</summary>
    public bool HasTimedOut => _timedOut && _failed;

    /// <summary>Whether no check has ended yet.</summary>
    public bool Pending => _pending;

    /// <summary>Why it failed last.</summary>
    public string Why { get; private set; } = "not checked yet";

    /// <summary>Goes on from what an earlier check knew.</summary>
    public void Inherit(HostCheck other)
    {
        if (other.Pending) return;
        _verdict.Inherit(other.Failed);
        _failed = other.Failed;
        _degraded = other._degraded;
        _timedOut = other._timedOut;
        _pending = false;
        Why = other.Why;
    }

    /// <summary>The endpoint said itself that it fails. From any worker.</summary>
    public void FailNow()
    {
        if (_said || _stopped) return;
        _worker.Post(_ =>
        {
            if (_stopped || _said) return;
            _said = true;
            _stats.Shard(_worker.Index)[HealthStats.Failure]++;
            _stats.Shard(_worker.Index)[HealthStats.PassiveFailure]++;
            bool first = _pending;
            var answer = new CheckAnswer(CheckOutcome.Unhealthy, "") { SaidItself = true };
            if (_verdict.Take(CheckOutcome.Unhealthy)) Tell(HealthEvent.Ejected, answer, first);
            if (first || _config.LogsFailures) Tell(HealthEvent.Failure, answer, first);
            _timedOut = _degraded = false;
            (Why, _failed, _pending) = ("it said itself that it fails", true, false);
            _owner.Changed(_slot, this, first);
        });
    }

    public void Start() => _worker.Post(w => w.Timers.Set(_timer, w.Now + Random(_config.InitialJitter), w.Now));

    public void Stop()
    {
        _stopped = true;
        _worker.Post(w =>
        {
            w.Timers.Remove(_timer);
            // Who waits on it goes on and sees that nobody wants to know any more.
            _connection?.Cancel();
            _connection?.Close();
        });
    }

    void ITimerOwner.OnTimer(TimerNode timer) => Unawaited.Run(RunAsync());

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RunAsync()
    {
        if (_stopped) return false;
        _stats.Shard(_worker.Index)[HealthStats.Attempt]++;
        CheckAnswer answer;
        try
        {
            answer = await CheckAsync();
        }
        catch (Exception e)
        {
            Report(e);
            _connection?.Close();
            answer = new CheckAnswer(CheckOutcome.Network, "the check failed");
        }
        if (_stopped) return false;
        long wait = (long)_config.Interval.TotalMilliseconds;
        try
        {
            Take(answer);
            wait = Wait();
        }
        catch (Exception e)
        {
            Report(e);
        }
        // Whatever happened: a check that ended here would never ask again, and its last verdict would stand for ever.
        _worker.Timers.Set(_timer, _worker.Now + Math.Max(1, wait), _worker.Now);
        return true;
    }

    private void Report(Exception e) => _worker.Report($"health check of cluster {_slot.Name}", e);

    private void Take(in CheckAnswer answer)
    {
        long[] stats = _stats.Shard(_worker.Index);
        if (answer.Outcome == CheckOutcome.Healthy) stats[HealthStats.Success]++;
        else stats[HealthStats.Failure]++;
        if (answer.Outcome == CheckOutcome.Network) stats[HealthStats.NetworkFailure]++;
        if (_config.Http?.ServiceName is not null && answer.Why == CheckHead.OtherService) stats[HealthStats.VerifyCluster]++;
        bool first = _pending;
        bool changed = _verdict.Take(answer.Outcome);
        bool well = answer.Outcome == CheckOutcome.Healthy;
        if (changed) Tell(well ? HealthEvent.Added : HealthEvent.Ejected, answer, first);
        if (well && _config.LogsSuccesses) Tell(HealthEvent.Success, answer, first);
        if (!well && (first || _config.LogsFailures)) Tell(HealthEvent.Failure, answer, first);
        if (_degraded != answer.Degraded)
        {
            if (well) Tell(answer.Degraded ? HealthEvent.Degraded : HealthEvent.NoLongerDegraded, answer, first);
            _degraded = answer.Degraded;
            changed = true;
        }
        Why = answer.Why;
        _failed = _verdict.Failed;
        _timedOut = answer.TimedOut;
        changed |= _said && answer.Outcome == CheckOutcome.Healthy;
        if (answer.Outcome == CheckOutcome.Healthy) _said = false;
        _pending = false;
        if (first || changed) _owner.Changed(_slot, this, first);
        if (answer.Outcome == CheckOutcome.Healthy && !_failed) Host.State.Listener?.FoundWell();
    }

    private void Tell(HealthEvent what, in CheckAnswer answer, bool first) =>
        _log?.Write(_worker.Index, _slot.Name, Host, _config, what, answer, first);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<CheckAnswer> CheckAsync()
    {
        long deadline = _worker.Now + (long)_config.Timeout.TotalMilliseconds;
        if (_connection is { } rested && rested.Wake())
        {
            rested.SetDeadline(deadline - _worker.Now);
            CheckAnswer answer = await AskAsync(rested);
            // The endpoint closed it as we spoke: another one tells how it is.
            if (!answer.Untouched || _stopped || _worker.Now >= deadline) return answer;
        }
        var connection = new CheckConnection(_worker);
        _connection = connection;
        connection.SetDeadline(Math.Max(1, deadline - _worker.Now));
        CheckProtocol protocol = _config.Tcp is not null ? CheckProtocol.Bytes : _http2 ? CheckProtocol.Http2 : CheckProtocol.Http1;
        if (await connection.ConnectAsync(_target, Transport, Host, protocol)) return await AskAsync(connection);
        CheckAnswer failed = CheckAnswer.Broken(connection);
        connection.Close();
        return failed;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<CheckAnswer> AskAsync(CheckConnection connection)
    {
        CheckAnswer answer = _config.Tcp is { } tcp ? await TcpCheck.RunAsync(connection, _worker, tcp, _config.ReuseConnection)
            : _http2 ? await Http2Check.RunAsync(connection, _worker, _slot.Name, _head!, _request, _message)
            : await Http1Check.RunAsync(connection, _worker, _request, _head!);
        if (connection.IsOpen) connection.Rest();
        return answer;
    }

    private long Wait()
    {
        TimeSpan wait = _verdict.Wait(_slot.Stats!.Read(ClusterStats.CxTotal) > 0);
        long jitter = Random(_config.IntervalJitter) + Random(wait * (_config.IntervalJitterPercent / 100.0));
        return Math.Max(1, (long)wait.TotalMilliseconds + jitter);
    }

    private long Random(TimeSpan most) => most < TimeSpan.FromMilliseconds(1) ? 0 : _worker.Random.Below((uint)Math.Min(most.TotalMilliseconds + 1, int.MaxValue));
}

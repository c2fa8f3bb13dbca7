// Delays requests, answers them, or slows their answers down, as configured: for all, for a share, or where the client asks for it by
// headers, which go on to the endpoint. A delay comes first and is no part of the route's timeout; it ends early where the client leaves.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Fault;

internal sealed class FaultFilter(FaultLevel own, StatBlock stats) : HttpFilter
{
    private const string Text = "fault filter abort";
    private long _active;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseBody | FilterStages.End;

    public override bool IsPure(object? said) => (said as FaultLevel ?? own).IsOff;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        FaultLevel level = call.Route<FaultLevel>() ?? own;
        if (!level.Concerns(call)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (level.Kbps(call) is > 0 and long kbps && Enter(call, level))
        {
            stats.Shard(call.Worker.Index)[FaultStats.RateLimits]++;
            call.State.Object = new ResponseRate(kbps);
            call.Want(FilterStages.ResponseBody);
        }
        long delay = level.Delay(call);
        return delay > 0 && Enter(call, level) ? DelayAsync(call, level, delay) : new ValueTask<FilterVerdict>(Abort(call, level));
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> DelayAsync(FilterCall call, FaultLevel level, long ms)
    {
        stats.Shard(call.Worker.Index)[FaultStats.Delays]++;
        call.Exchange.Flags |= ResponseFlags.DelayInjected;
        return await call.DelayAsync(ms) ? Abort(call, level) : FilterVerdict.Go;
    }

    // What may not go yet stays here, and nothing behind it is read.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public override async ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is not ResponseRate rate || piece.Bytes.IsEmpty) return BodyVerdict.Go;
        int take;
        while ((take = rate.Take(call.Worker.Now, piece.Bytes.Length)) == 0)
        {
            if (!await call.DelayAsync(ResponseRate.SliceMs)) return BodyVerdict.Go;
        }
        piece.Split(take);
        return BodyVerdict.Go;
    }

    private FilterVerdict Abort(FilterCall call, FaultLevel level)
    {
        if (level.Abort(call) is not { } status || !Enter(call, level)) return FilterVerdict.Go;
        stats.Shard(call.Worker.Index)[FaultStats.Aborts]++;
        return call.Answer(status.Grpc < 0 ? FilterReasons.FaultInjected with { Status = status.Http } : FilterReasons.FaultInjected with { Status = 200, Grpc = status.Grpc }, Text);
    }

    // One fault a request, however many parts it has.
    private bool Enter(FilterCall call, FaultLevel level)
    {
        if (call.State.Number != 0) return true;
        long[] shard = stats.Shard(call.Worker.Index);
        if (Interlocked.Increment(ref _active) > level.MaxActive)
        {
            Interlocked.Decrement(ref _active);
            shard[FaultStats.Overflow]++;
            return false;
        }
        call.State.Number = 1;
        shard[FaultStats.Active]++;
        return true;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Number == 0) return;
        Interlocked.Decrement(ref _active);
        stats.Shard(call.Worker.Index)[FaultStats.Active]--;
    }
}

/// <summary>What the chain or a route says, compiled.</summary>
internal sealed class FaultLevel(FaultConfig config, Runtime runtime)
{
    private readonly RuntimeSlot? _delayShare = Slot(runtime, config.Keys.DelayShare);
    private readonly RuntimeSlot? _delayMs = Slot(runtime, config.Keys.DelayMs);
    private readonly RuntimeSlot? _abortShare = Slot(runtime, config.Keys.AbortShare);
    private readonly RuntimeSlot? _abortHttp = Slot(runtime, config.Keys.AbortHttp);
    private readonly RuntimeSlot? _abortGrpc = Slot(runtime, config.Keys.AbortGrpc);
    private readonly RuntimeSlot? _maxActive = Slot(runtime, config.Keys.MaxActive);
    private readonly RuntimeSlot? _rateShare = Slot(runtime, config.Keys.RateShare);
    private readonly HeaderMatcher[] _headers = [.. config.Headers.Select(h => new HeaderMatcher(h))];
    private readonly byte[][] _nodes = [.. config.DownstreamNodes.Select(Encoding.ASCII.GetBytes)];

    /// <summary>Faults at once.</summary>
    public long MaxActive => (long)(_maxActive?.Integer((ulong)config.MaxActive) ?? (ulong)config.MaxActive);

    private static RuntimeSlot? Slot(Runtime runtime, string key) => key.Length > 0 ? runtime.Slot(key) : null;

    /// <summary>There are no faults.</summary>
    public bool IsOff => config is { Delay: null, Abort: null, RateLimit: null };

    /// <summary>Whether a request is one of those that faults are for.</summary>
    public bool Concerns(FilterCall call)
    {
        if (IsOff) return false;
        if (config.UpstreamCluster.Length > 0 && call.Exchange.Target?.Slot.Name != config.UpstreamCluster) return false;
        if (_nodes.Length > 0 && !FromNode(call)) return false;
        foreach (HeaderMatcher header in _headers) if (!header.Matches(call.Request)) return false;
        return true;
    }

    private bool FromNode(FilterCall call)
    {
        if (!call.Request.TryGet("x-envoy-downstream-service-node"u8, out ReadOnlySpan<byte> node)) return false;
        foreach (byte[] one in _nodes) if (node.SequenceEqual(one)) return true;
        return false;
    }

    /// <summary>How long this request is delayed, ms; 0 for not.</summary>
    public long Delay(FilterCall call)
    {
        if (config.Delay is not { } delay) return 0;
        long ms = delay.Ms is { } fixedMs ? Math.Min((long)(_delayMs?.Integer((ulong)fixedMs) ?? (ulong)fixedMs), int.MaxValue) : Number(call, "x-envoy-fault-delay-request"u8);
        return ms > 0 && Hits(call, delay.Share, _delayShare, delay.Ms is null, "x-envoy-fault-delay-request-percentage"u8) ? ms : 0;
    }

    /// <summary>Most that a client may ask for: any more is no limit.</summary>
    public const long MostKbps = 1 << 30;

    /// <summary>How fast this request's answer may go, KiB a second; 0 for any.</summary>
    public long Kbps(FilterCall call)
    {
        if (config.RateLimit is not { } limit) return 0;
        long kbps = limit.Kbps ?? Number(call, "x-envoy-fault-throughput-response"u8);
        bool hit = kbps > 0 && Hits(call, limit.Share, _rateShare, limit.Kbps is null, "x-envoy-fault-throughput-response-percentage"u8);
        return hit ? Math.Min(kbps, MostKbps) : 0;
    }

    /// <summary>With which status this request is answered; gRPC's is -1 for none. Null for not.</summary>
    public (int Http, int Grpc)? Abort(FilterCall call)
    {
        if (config.Abort is not { } abort) return null;
        bool asked = abort is { Http: null, Grpc: null };
        if (!Hits(call, abort.Share, _abortShare, asked, "x-envoy-fault-abort-request-percentage"u8)) return null;
        if (abort.Grpc is { } code) return (200, (int)Math.Min(_abortGrpc?.Integer((ulong)code) ?? (ulong)code, int.MaxValue));
        if (abort.Http is { } status)
            return (_abortHttp?.Integer((ulong)status) is >= 200 and < 600 and var other ? (int)other : status, -1);
        long http = Number(call, "x-envoy-fault-abort-request"u8);
        if (http is >= 200 and < 600) return ((int)http, -1);
        long grpc = Number(call, "x-envoy-fault-abort-grpc-request"u8);
        return grpc is >= 0 and <= int.MaxValue ? (200, (int)grpc) : null;
    }

    // What the client says can only lower the share that is configured.
    private static bool Hits(FilterCall call, Share share, RuntimeSlot? slot, bool asked, ReadOnlySpan<byte> header)
    {
        ulong unit = 1;
        if (slot is { Value: not null } && slot.PerMillion(-1) is >= 0 and int millionths)
        {
            // A client's number is of hundred then.
            share = new Share((uint)millionths, 1_000_000);
            unit = 10_000;
        }
        ulong numerator = share.Numerator;
        if (asked && Number(call, header) is >= 0 and long lower)
            numerator = Math.Min(numerator, Math.Min((ulong)lower, uint.MaxValue) * unit);
        return numerator >= share.Denominator || (numerator > 0 && call.Worker.Random.Below(share.Denominator) < numerator);
    }

    // -1 where there is none, or it is no number.
    private static long Number(FilterCall call, ReadOnlySpan<byte> header) =>
        call.Request.TryGet(header, out ReadOnlySpan<byte> text) && Utf8Parser.TryParse(text, out ulong number, out int used) && used == text.Length && number <= long.MaxValue
            ? (long)number : -1;
}

/// <summary>How much of an answer may go on: a slice each 63 ms, and what a second of silence left (Envoy: StreamRateLimiter).</summary>
internal sealed class ResponseRate(long kbps)
{
    /// <summary>Milliseconds of a slice.</summary>
    public const int SliceMs = 63;

    // Slices of a second.
    private const int Slices = 16;
    private readonly long _slice = kbps * 1024 / Slices;
    private double _slices = 1;

    // Of the last slice, which small pieces share.
    private long _left;
    private long _at = -1;

    /// <summary>How many of so many bytes may go now; 0 for none yet.</summary>
    /// <param name="now">Worker milliseconds.</param>
    /// <param name="bytes">How many there are.</param>
    public int Take(long now, int bytes)
    {
        if (_at >= 0) _slices = Math.Min(Slices, _slices + (now - _at) * Slices / 1000.0);
        _at = now;
        if (_left < bytes)
        {
            long take = Math.Min((long)_slices, (bytes - _left + _slice - 1) / _slice);
            _slices -= take;
            _left += take * _slice;
        }
        int given = (int)Math.Min(bytes, _left);
        _left -= given;
        return given;
    }
}

internal static class FaultStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Delays = Schema.Counter("delays_injected");
    public static readonly int Aborts = Schema.Counter("aborts_injected");
    public static readonly int RateLimits = Schema.Counter("response_rl_injected");
    public static readonly int Overflow = Schema.Counter("faults_overflow");
    public static readonly int Active = Schema.Gauge("active_faults");
}

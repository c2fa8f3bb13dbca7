// Lets bodies on as far as a bucket has bytes for them. All workers, all flows and both directions of a level share its bucket. What
// may not go yet stays with the filter, and nothing behind it is read. A flow that is given up while it waits ends at once.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.BandwidthLimit;

internal sealed class BandwidthLimitFilter(BandwidthLevel own) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.RequestTrailers
        | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.ResponseTrailers | FilterStages.End;

    public override bool IsPure(object? said) => true;

    private BandwidthLevel Level(FilterCall call) => call.Route<BandwidthLevel>() ?? own;

    // Of one exchange: made when the first of its bodies is slowed.
    private sealed class Flows(BandwidthLevel level)
    {
        public BandwidthLevel Level => level;
        public Flow Request, Response;
    }

    private struct Flow
    {
        public long Since, Waited, Took;
        public bool IsOn;
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        BandwidthLevel level = Level(call);
        if (level.Settings.OfRequests && !call.Exchange.IsUpgrade)
        {
            level.Stats.Shard(call.Worker.Index)[BandwidthStats.Request.Enabled]++;
            if (call.Exchange.Framing.Body != BodyKind.None)
            {
                var flows = new Flows(level);
                Begin(call, ref flows.Request, BandwidthStats.Request, level);
                call.State.Object = flows;
                call.Want(FilterStages.RequestBody | FilterStages.RequestTrailers);
            }
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        var flows = call.State.Object as Flows;
        BandwidthLevel level = flows?.Level ?? Level(call);
        if (level.Settings.OfResponses && call.Exchange.Status != 101)
        {
            level.Stats.Shard(call.Worker.Index)[BandwidthStats.Response.Enabled]++;
            if (call.HasResponseBody)
            {
                flows ??= new Flows(level);
                Begin(call, ref flows.Response, BandwidthStats.Response, level);
                call.State.Object = flows;
                call.Want(FilterStages.ResponseBody | FilterStages.ResponseTrailers);
                // HTTP/1 has trailers only behind chunks.
                if (level.Settings.TellsClients && !call.Exchange.SpeaksHttp2) call.ChangesResponseLength();
            }
        }
        return new ValueTask<bool>(true);
    }

    private static void Begin(FilterCall call, ref Flow flow, DirectionStats stats, BandwidthLevel level)
    {
        flow.Since = call.Worker.Now;
        flow.IsOn = true;
        level.Stats.Shard(call.Worker.Index)[stats.Pending]++;
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) =>
        call.State.Object is Flows { Request.IsOn: true } flows
            ? SlowAsync(call, piece, flows, isRequest: true) : new ValueTask<BodyVerdict>(BodyVerdict.Go);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) =>
        call.State.Object is Flows { Response.IsOn: true } flows
            ? SlowAsync(call, piece, flows, isRequest: false) : new ValueTask<BodyVerdict>(BodyVerdict.Go);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<BodyVerdict> SlowAsync(FilterCall call, BodyPiece piece, Flows flows, bool isRequest)
    {
        BandwidthLevel level = flows.Level;
        DirectionStats stats = isRequest ? BandwidthStats.Request : BandwidthStats.Response;
        ByteBucket bucket = level.Bucket;
        long[] shard = level.Stats.Shard(call.Worker.Index);
        shard[stats.Incoming] = piece.Bytes.Length;
        int take = 0;
        while (!piece.Bytes.IsEmpty && (take = bucket.Take(call.Worker.Now, piece.Bytes.Length, isRequest)) == 0)
        {
            long before = call.Worker.Now;
            shard[stats.Enforced]++;
            bool goesOn = await call.DelayAsync(bucket.FillMs);
            (isRequest ? ref flows.Request : ref flows.Response).Waited += call.Worker.Now - before;
            if (!goesOn) return BodyVerdict.Go;
        }
        shard[stats.Allowed] = take;
        shard[stats.IncomingTotal] += take;
        shard[stats.AllowedTotal] += take;
        bool isLast = piece.End && take == piece.Bytes.Length;
        if (take > 0) piece.Split(take);
        if (isLast) End(call, level, ref (isRequest ? ref flows.Request : ref flows.Response), stats);
        return BodyVerdict.Go;
    }

    private static void End(FilterCall call, BandwidthLevel level, ref Flow flow, DirectionStats stats)
    {
        if (!flow.IsOn) return;
        flow.IsOn = false;
        flow.Took = call.Worker.Now - flow.Since;
        level.Stats.Shard(call.Worker.Index)[stats.Pending]--;
        level.Stats.HistogramOf(call.Worker.Index, stats.Duration).Record(flow.Took);
    }

    // Envoy docs: bandwidth limit, enable_response_trailers.
    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is not Flows { Level.Settings.TellsClients: true } flows) return default;
        Flow request = flows.Request, response = flows.Response;
        if (request.Took == 0 && response.Took == 0) return default;
        TrailerEdits trailers = call.ResponseTrailers;
        BandwidthLevel level = flows.Level;
        if (request.Took > 0) trailers.Set(level.RequestDelay, request.Took);
        if (response.Took > 0) trailers.Set(level.ResponseDelay, response.Took);
        if (request.Waited > 0) trailers.Set(level.RequestFilterDelay, request.Waited);
        if (response.Waited > 0) trailers.Set(level.ResponseFilterDelay, response.Waited);
        return default;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not Flows flows) return;
        long[] shard = flows.Level.Stats.Shard(call.Worker.Index);
        if (flows.Request.IsOn) shard[BandwidthStats.Request.Pending]--;
        if (flows.Response.IsOn) shard[BandwidthStats.Response.Pending]--;
        call.State.Object = null;
    }
}

/// <summary>What the chain or a route says, with its buckets.</summary>
internal sealed class BandwidthLevel(BandwidthSettings settings, FilterContext context)
{
    public BandwidthSettings Settings => settings;

    public StatBlock Stats { get; } = context.Stats.Block(settings.StatPrefix, "http_bandwidth_limit", BandwidthStats.Schema);

    public ByteBucket Bucket { get; } = new(settings.Kbps, settings.FillInterval);

    public byte[] RequestDelay { get; } = Name(settings, "bandwidth-request-delay-ms");
    public byte[] ResponseDelay { get; } = Name(settings, "bandwidth-response-delay-ms");
    public byte[] RequestFilterDelay { get; } = Name(settings, "bandwidth-request-filter-delay-ms");
    public byte[] ResponseFilterDelay { get; } = Name(settings, "bandwidth-response-filter-delay-ms");

    private static byte[] Name(BandwidthSettings settings, string name) =>
        Encoding.ASCII.GetBytes(settings.TrailerPrefix.Length > 0 ? $"{settings.TrailerPrefix}-{name}" : name);
}

/// <summary>Bytes that may go: a second's worth gathers at most. All workers share it without a lock: it is one number, the bytes that were
/// handed out, beside what the clock allows.</summary>
internal sealed class ByteBucket(long kbps, TimeSpan fill)
{
    private readonly long _perSecond = Math.Max(1, kbps * 1024);
    private long _began = long.MinValue;

    // Handed out, or let go to waste since a second's worth is the most.
    private long _gone;

    /// <summary>How long who finds nothing waits, ms.</summary>
    public long FillMs { get; } = (long)Math.Ceiling(fill.TotalMilliseconds);

    /// <summary>How many of so many bytes may go now; 0 for none yet.</summary>
    /// <param name="now">Milliseconds of the workers' clock.</param>
    /// <param name="bytes">How many there are.</param>
    /// <param name="isRequest">Whose: an answer that is the first finds one interval's worth, a request a second's, as recorded with
    /// Envoy.</param>
    public int Take(long now, int bytes, bool isRequest = false)
    {
        long began = Interlocked.CompareExchange(ref _began, now - (isRequest ? 1000 : FillMs), long.MinValue);
        if (began == long.MinValue) began = Volatile.Read(ref _began);
        // In whole numbers that do not overflow: a second's worth may be 2^40.
        long ms = Math.Max(0, now - began);
        long filled = ms / 1000 * _perSecond + (long)(ms % 1000 * (double)_perSecond / 1000);
        while (true)
        {
            long gone = Volatile.Read(ref _gone);
            long there = Math.Min(_perSecond, filled - gone);
            if (there <= 0) return 0;
            long take = Math.Min(there, bytes);
            // What a second did not need is lost.
            if (Interlocked.CompareExchange(ref _gone, filled - there + take, gone) == gone) return (int)take;
        }
    }
}

/// <summary>Places of one direction's.</summary>
internal sealed record DirectionStats(
    int Enabled, int Enforced, int Pending, int Incoming, int Allowed, int IncomingTotal, int AllowedTotal, int Duration);

internal static class BandwidthStats
{
    public static readonly StatSchema Schema = new();
    public static readonly DirectionStats Request = Of("request"), Response = Of("response");

    private static DirectionStats Of(string of) => new(
        Schema.Counter($"{of}_enabled"), Schema.Counter($"{of}_enforced"), Schema.Gauge($"{of}_pending"), Schema.Gauge($"{of}_incoming_size"),
        Schema.Gauge($"{of}_allowed_size"), Schema.Counter($"{of}_incoming_total_size"), Schema.Counter($"{of}_allowed_total_size"),
        Schema.Histogram($"{of}_transfer_duration"));
}

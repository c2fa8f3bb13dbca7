// What goes on between one exchange and its processor: one stream, on which each message is answered before the next one of its side is sent.
// The two sides, request and answer, go on beside each other. A processor that says what nobody asked for has failed, whatever it is.
using System.Runtime.CompilerServices;
using Envoy.Service.ExtProc.V3;
using Google.Protobuf;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;
using Asked = Envoy.Service.ExtProc.V3.ProcessingResponse.ResponseOneofCase;

namespace Naru.Proxy.Filters.Http.ExtProc;

/// <summary>What came of a message.</summary>
internal enum Told : byte
{
    /// <summary>The processor answered it: <see cref="ProcessingSide.Answer"/>.</summary>
    Answered,

    /// <summary>The processor answers the client: <see cref="ProcessingSide.Answer"/>.</summary>
    Immediate,

    /// <summary>Nothing is processed any more; the message goes on as it is.</summary>
    Over,

    /// <summary>The processor failed, and that ends the exchange: <see cref="Processing.Failure"/>.</summary>
    Failed,

    /// <summary>The exchange, or what of it was waited for, was given up.</summary>
    Gone,
}

/// <summary>One direction of an exchange.</summary>
internal sealed class ProcessingSide(Processing of) : ITimerOwner
{
    private TimerNode? _timer;

    /// <summary>Who waits for an answer.</summary>
    public PoolWaiter? Waiter;

    /// <summary>The answer that is to come; none where nothing is asked.</summary>
    public Asked Expected;

    /// <summary>The answer that came.</summary>
    public ProcessingResponse? Answer;

    /// <summary>The processor asked for more time.</summary>
    public bool WasExtended;

    /// <summary>What becomes of the body that is told.</summary>
    public BodyChange Change;

    /// <summary>The length that the head tells; -1 for none. <see cref="LengthChanged"/>: the processor said so.</summary>
    public long Length = -1;
    public bool LengthChanged;

    public bool IsWaiting => Waiter is not null && Answer is null;

    /// <summary>Begins to wait for so long.</summary>
    public void Begin(Asked expected, long ms)
    {
        (Expected, Answer, WasExtended) = (expected, null, false);
        SetTimer(ms);
    }

    public void SetTimer(long ms) => of.Worker.Timers.Set(_timer ??= new TimerNode(this), of.Worker.Now + ms, of.Worker.Now);

    public void End()
    {
        if (_timer is { } timer) of.Worker.Timers.Remove(timer);
        Waiter = null;
    }

    public void Resume() => Waiter?.Resume();

    void ITimerOwner.OnTimer(TimerNode timer) => Resume();
}

internal sealed class Processing : IDisposable
{
    private readonly ExtProcFilter _filter;
    private readonly Exchange _x;
    private readonly long[] _stats;
    private GrpcStream? _stream;
    private bool _isClosed, _hasFailed, _isFirst = true;
    private Reason? _broken;

    public Processing(ExtProcFilter filter, Exchange x, ProcessorRoute route)
    {
        (_filter, _x, Route, Mode) = (filter, x, route, route.Mode);
        _stats = filter.Stats.Shard(x.Worker.Index);
        (Request, Response) = (new ProcessingSide(this), new ProcessingSide(this));
    }

    public ProcessingSide Request { get; }

    public ProcessingSide Response { get; }

    public ProcessorRoute Route { get; }

    /// <summary>What of the exchange is told; the processor may have changed that.</summary>
    public ModeConfig Mode { get; set; }

    /// <summary>Nothing is told any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Why the exchange ends; once something <see cref="Told.Failed"/>.</summary>
    public Reason? Failure { get; private set; }

    public Worker Worker => _x.Worker;

    /// <summary>Tells the processor something, and waits for its answer.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<Told> TellAsync(FilterCall call, ProcessingSide side, ProcessingRequest message, Asked expected)
    {
        if (IsOver) return Told.Over;
        if (_broken is { } broken) return Fail(broken);
        message.MetadataContext = MetadataMessages.Of(_x.DynamicMetadata, Route.Told);
        if (_isFirst)
            message.ProtocolConfig = new ProtocolConfiguration { RequestBodyMode = Mode.Request.Body, ResponseBodyMode = Mode.Response.Body };
        _isFirst = false;
        if (_stream is null)
        {
            _stream = Route.Method.Open(_x, OnChanged);
            _stats[ProcessorStats.StreamsStarted]++;
        }
        side.Begin(expected, _filter.Config.MessageMs);
        _stream.Send(message.ToByteArray());
        _stats[ProcessorStats.MessagesSent]++;
        bool goesOn = await call.WaitAsync(waiter => side.Waiter = waiter);
        side.End();
        if (!goesOn) return Told.Gone;
        if (side.Answer is { } answer)
        {
            side.Expected = Asked.None;
            if (answer.ResponseCase != Asked.ImmediateResponse) return Told.Answered;
            if (!_filter.Config.TakesNoAnswers) return Told.Immediate;
            Finish();
            return Told.Over;
        }
        if (IsOver) return Told.Over;
        if (_broken is { } failure) return Fail(failure);
        _stats[ProcessorStats.MessageTimeouts]++;
        return Fail(FilterReasons.ProcessorLate with { Status = _filter.Config.StatusOnError ?? FilterReasons.ProcessorLate.Status });
    }

    /// <summary>The processor failed: nothing is told any more, and the exchange ends where nobody allows that.</summary>
    public Told Fail(Reason why)
    {
        if (IsOver) return Told.Over;
        if (Route.AllowsFailures)
        {
            _stats[ProcessorStats.FailureModeAllowed]++;
            Finish();
            return Told.Over;
        }
        // Each stream that began ends once in the counts.
        if (_hasFailed) _isClosed = true;
        Finish();
        _stats[ProcessorStats.Immediate]++;
        Failure = why with { Of = Route.Method.Cluster };
        return Told.Failed;
    }

    /// <summary>The same with what was wrong.</summary>
    public Told Fail(string what) => Fail(FilterReasons.ProcessorFailed with
    {
        Status = _filter.Config.StatusOnError ?? FilterReasons.ProcessorFailed.Status,
        Details = Details($"ext_proc_error_{what}"),
    });

    /// <summary>An answer of the processor's own is given.</summary>
    public void CountImmediate()
    {
        _stats[ProcessorStats.Immediate]++;
        Finish();
    }

    public void Count(int what, int by = 1) => _stats[what] += by;

    /// <summary>Text as details of a log have it.</summary>
    public static string Details(string text) => text.Replace(' ', '_');

    /// <summary>Nothing is told any more.</summary>
    public void Finish()
    {
        IsOver = true;
        Dispose();
    }

    private void OnChanged()
    {
        while (!_isClosed && _broken is null && _stream!.TryTake(out byte[] message)) Take(message);
        if (_isClosed || _broken is not null || !_stream!.IsOver) return;
        if (_stream.Status == 0)
        {
            // Whoever ends the stream in order wants to hear no more of this exchange (service/ext_proc/v3: step 6).
            Finish();
        }
        else
        {
            _stats[ProcessorStats.StreamsFailed]++;
            _hasFailed = true;
            _broken = FilterReasons.ProcessorFailed with
            {
                Status = _filter.Config.StatusOnError ?? FilterReasons.ProcessorFailed.Status,
                Details = Details($"ext_proc_error_gRPC_error_{_stream.Status}{{{_stream.Text}{{{_stream.Details}}}}}"),
            };
        }
        ResumeAll();
    }

    private void ResumeAll()
    {
        Request.Resume();
        Response.Resume();
    }

    private void Take(byte[] message)
    {
        ProcessingResponse response;
        try
        {
            response = ProcessingResponse.Parser.ParseFrom(message);
        }
        catch (InvalidProtocolBufferException)
        {
            Break(FilterReasons.ProcessorFailed with
            {
                Status = _filter.Config.StatusOnError ?? FilterReasons.ProcessorFailed.Status,
                Details = "ext_proc_error_unreadable_message",
            });
            return;
        }
        if (response.OverrideMessageTimeout is { } longer)
        {
            Extend(longer);
            return;
        }
        ProcessingSide? side = SideOf(response.ResponseCase);
        if (side is null || !side.IsWaiting)
        {
            // What nobody waits for any more was asked for.
            if (side is { Expected: not Asked.None } && side.Expected == response.ResponseCase)
            {
                side.Expected = Asked.None;
                return;
            }
            _stats[ProcessorStats.Spurious]++;
            Break(FilterReasons.ProcessorOutOfTurn with { Status = _filter.Config.StatusOnError ?? FilterReasons.ProcessorOutOfTurn.Status });
            return;
        }
        _stats[ProcessorStats.MessagesReceived]++;
        side.Answer = response;
        TakeMetadata(response);
        side.Resume();
    }

    private ProcessingSide? SideOf(Asked answer) => answer == Asked.ImmediateResponse ? Request.IsWaiting ? Request : Response
        : answer == Asked.None ? null
        : answer == Request.Expected ? Request
        : answer == Response.Expected ? Response : null;

    // At most once for a message, and within what is allowed (service/ext_proc/v3: override_message_timeout).
    private void Extend(Google.Protobuf.WellKnownTypes.Duration longer)
    {
        double ms = longer.Seconds * 1000.0 + longer.Nanos / 1_000_000;
        ProcessingSide side = Request.IsWaiting ? Request : Response;
        bool isGood = ms >= 1 && ms <= _filter.Config.MostMessageMs && side.IsWaiting && !side.WasExtended;
        _stats[isGood ? ProcessorStats.OverrideReceived : ProcessorStats.OverrideIgnored]++;
        if (!isGood) return;
        side.WasExtended = true;
        side.SetTimer((long)ms);
    }

    private void TakeMetadata(ProcessingResponse response)
    {
        if (response.DynamicMetadata is not { Fields.Count: > 0 } metadata) return;
        MetaValue all = MetadataReader.Read(metadata);
        foreach (string name in Route.Taken)
        {
            byte[] key = System.Text.Encoding.UTF8.GetBytes(name);
            if (all.Find(key) is { Kind: MetaKind.Map } map) _x.SetMetadata(key, map);
        }
    }

    // Whoever is asked next, or waits, finds out.
    private void Break(Reason why)
    {
        _broken = why;
        ResumeAll();
    }

    /// <summary>Ends the stream.</summary>
    public void Dispose()
    {
        if (_stream is not { } stream) return;
        stream.Dispose();
        if (!_isClosed) _stats[ProcessorStats.StreamsClosed]++;
        _isClosed = true;
    }
}

internal static class ProcessorStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int StreamsStarted = Schema.Counter("streams_started");
    public static readonly int StreamsClosed = Schema.Counter("streams_closed");
    public static readonly int StreamsFailed = Schema.Counter("streams_failed");
    public static readonly int MessagesSent = Schema.Counter("stream_msgs_sent");
    public static readonly int MessagesReceived = Schema.Counter("stream_msgs_received");
    public static readonly int Spurious = Schema.Counter("spurious_msgs_received");
    public static readonly int FailureModeAllowed = Schema.Counter("failure_mode_allowed");
    public static readonly int MessageTimeouts = Schema.Counter("message_timeouts");
    public static readonly int OverrideReceived = Schema.Counter("override_message_timeout_received");
    public static readonly int OverrideIgnored = Schema.Counter("override_message_timeout_ignored");
    public static readonly int Rejected = Schema.Counter("rejected_header_mutations");
    public static readonly int CacheIgnored = Schema.Counter("clear_route_cache_ignored");
    public static readonly int CacheDisabled = Schema.Counter("clear_route_cache_disabled");
    public static readonly int Immediate = Schema.Counter("immediate_responses_sent");
}

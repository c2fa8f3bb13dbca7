// The filters of one exchange, or of one of its tries: which of a chain are on, what its route says to them, and what they remember.
// Belongs to the exchange, which keeps it for its next request; beginning sets everything.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

/// <summary>What one filter remembers of one request.</summary>
internal struct FilterSlot
{
    /// <summary>Anything.</summary>
    public object? Object;

    /// <summary>A number, or flags.</summary>
    public long Number;

    /// <summary>The filter that does its work for this request, where it has others do it; null for none.</summary>
    internal HttpFilter? Chosen;

    /// <summary>What of the bodies it wants to see (<see cref="FilterCall.Want"/>).</summary>
    internal FilterStages Wants;
}

internal sealed class FilterRun
{
    private FilterSlot[] _slots = [];
    private int _added;

    /// <summary>The filters that are on, by stage. A route that is chosen later switches none on or off, as in Envoy.</summary>
    public FilterSteps Steps { get; private set; } = FilterSteps.None;

    /// <summary>What the route says, by slot; follows when another route is chosen.</summary>
    public object?[] Settings { get; set; } = [];

    /// <summary>The one try that they see, where they are a cluster's; null where they see the exchange.</summary>
    public Attempt? Of { get; private set; }

    /// <summary>Any of them wants something of the answer's body.</summary>
    public bool WantsResponseBody { get; private set; }

    /// <summary>Begins with a request.</summary>
    public void Begin(FilterSteps steps, Attempt? of)
    {
        Of = of;
        WantsResponseBody = false;
        _added = 0;
        Steps = steps;
        Settings = steps.Settings;
        if (_slots.Length < steps.Settings.Length) _slots = new FilterSlot[steps.Settings.Length];
        else Array.Clear(_slots);
    }

    /// <summary>A filter's own memory.</summary>
    public ref FilterSlot Slot(int slot) => ref _slots[slot];

    /// <summary>The request passes those that want it, from <paramref name="next"/> on, which becomes the next one's index.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<(FilterVerdict Verdict, int Next)> RequestAsync(Exchange x, int next)
    {
        FilterStep[] steps = Steps.Request;
        while (next < steps.Length)
        {
            FilterStep step = steps[next++];
            FilterVerdict verdict;
            try
            {
                verdict = await step.Filter.OnRequestAsync(new FilterCall(x, this, step));
            }
            catch (Exception e)
            {
                Failed(x, step.Filter, e);
                verdict = FilterVerdict.Answer;
            }
            if (x.Abort != AbortReason.None || verdict != FilterVerdict.Go) return (verdict, next);
        }
        return (FilterVerdict.Go, next);
    }

    /// <summary>An answer passes those that want it, the last of the chain first.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> ResponseAsync(Exchange x)
    {
        // Of an answer that was made because one of them failed they see nothing.
        if (x.HasFilterFailed) return true;
        foreach (FilterStep step in Steps.Response)
        {
            try
            {
                if (!await step.Filter.OnResponseAsync(new FilterCall(x, this, step))) return false;
            }
            catch (Exception e)
            {
                Failed(x, step.Filter, e);
                return false;
            }
        }
        return true;
    }

    /// <summary>A filter failed by a fault of its own: logged, and the exchange's end, which is answered while no head went out, and cut
    /// after.</summary>
    public static void Failed(Exchange x, HttpFilter filter, Exception e)
    {
        x.Worker.Report($"HTTP filter {filter.GetType().Name}", e);
        x.HasFilterFailed = true;
        x.FilterAnswer = new FilterAnswer(FilterReasons.Failed);
    }

    /// <summary>Tells those that want to know that all is over.</summary>
    public void End(Exchange x)
    {
        foreach (FilterStep step in Steps.End) step.Filter.OnEnd(new FilterCall(x, this, step));
    }

    /// <summary>A filter wants to see a body, of which nothing has gone on yet. A request without one has nothing to show.</summary>
    public void Want(Exchange x, in FilterStep step, FilterStages stages)
    {
        _slots[step.Slot].Wants |= stages;
        WantsResponseBody |= (stages & (FilterStages.ResponseBody | FilterStages.ResponseTrailers)) != 0;
        if ((stages & (FilterStages.RequestBody | FilterStages.RequestTrailers)) == 0) return;
        if (!x.SendsBody || x.IsUpgrade) return;
        BodyPipe pipe = Of is { } attempt ? attempt.FilterBody() : x.FilterRequest();
        pipe.Add(this, step, (stages & FilterStages.RequestBody) != 0, (stages & FilterStages.RequestTrailers) != 0);
    }

    /// <summary>Adds those that want to see the answer's body, and have not been added.</summary>
    public void AddResponse(BodyPipe pipe)
    {
        while (_added < Steps.ResponseBody.Length)
        {
            FilterStep step = Steps.ResponseBody[_added++];
            FilterStages wants = _slots[step.Slot].Wants & OfResponseBody;
            if (wants != 0) pipe.Add(this, step, (wants & FilterStages.ResponseBody) != 0, (wants & FilterStages.ResponseTrailers) != 0);
        }
    }

    /// <summary>Adds those that see the answer's body before the filter of this slot does, which takes it in; all, where that is none of
    /// them.</summary>
    public void AddResponseBefore(Exchange x, int end)
    {
        while (_added < Steps.ResponseBody.Length)
        {
            FilterStep step = Steps.ResponseBody[_added];
            if (step.Slot == end) return;
            _added++;
            FilterStages wants = _slots[step.Slot].Wants & OfResponseBody;
            if (wants == 0) continue;
            BodyPipe pipe = x.ResponseBody.Filter(x, isRequest: false);
            pipe.Add(this, step, (wants & FilterStages.ResponseBody) != 0, (wants & FilterStages.ResponseTrailers) != 0);
        }
    }

    private const FilterStages OfResponseBody = FilterStages.ResponseBody | FilterStages.ResponseTrailers;
}

/// <summary>One filter asked about one request.</summary>
internal readonly struct FilterCall(Exchange x, FilterRun run, FilterStep step)
{
    /// <summary>The exchange; heads are read and changed through the two below only.</summary>
    public Exchange Exchange => x;

    /// <summary>The worker that all of it happens on.</summary>
    public Worker Worker => x.Worker;

    /// <summary>The request's head.</summary>
    public RequestHeaders Request => x.RequestHeaders;

    /// <summary>The answer's head; from <see cref="FilterStages.ResponseHead"/> on.</summary>
    public ResponseHeaders Response => x.ResponseHeaders;

    /// <summary>What the route says to this filter, merged; null for nothing, or where it is another kind's.</summary>
    public T? Route<T>() where T : class => run.Settings[step.Slot] as T;

    /// <summary>What the filter remembers of this request; empty at its start.</summary>
    public ref FilterSlot State => ref run.Slot(step.Slot);

    /// <summary>The same asked of another filter in its place, which remembers where this one does.</summary>
    public FilterCall Of(HttpFilter other) => new(x, run, step with { Filter = other });

    /// <summary>Wants to see bodies of this exchange: a request's, said in <see cref="HttpFilter.OnRequestAsync"/>; an answer's, said there
    /// or in <see cref="HttpFilter.OnResponseAsync"/>. Body and trailers of a message are asked for at once.</summary>
    public void Want(FilterStages stages) => run.Want(x, step, stages);

    /// <summary>The length of the request's body will not be what was told; said before its head went on. Where there is none nobody may be
    /// told of one: what came next on the connection would be taken for it. The body is framed anew from here on, also where nobody wants to
    /// see it.</summary>
    public void ChangesRequestLength()
    {
        if (x.SendsBody) x.RequestLength = Exchange.UnknownLength;
    }

    /// <summary>The length of the answer's body will not be what was told; said before its head went on.</summary>
    /// <param name="length">What it will be instead; -1 where nobody knows.</param>
    public void ChangesResponseLength(long length = -1)
    {
        x.ChangesResponseLength = true;
        x.ResponseLength = length;
    }

    /// <summary>The answer has a body, also where it came without one: what filters make of nothing.</summary>
    /// <param name="length">Its length; -1 where nobody knows.</param>
    public void GivesResponseBody(long length)
    {
        ChangesResponseLength(length);
        x.GivesResponseBody = true;
    }

    /// <summary>The answer whose head is looked at has a body that still comes.</summary>
    public bool HasResponseBody => !x.IsHead && !Http1Framing.IsContentless(x.Status)
        && (x.ResponseHeaders.IsLocal ? x.OwnLength > 0 : x.Try.Answer.Framing.Body != BodyKind.None);

    /// <summary>Another answer takes the place of the one whose head is looked at; the filters that have not seen that one do not see this
    /// one either, as in Envoy. To be returned from <see cref="HttpFilter.OnResponseAsync"/>.</summary>
    public bool AnswerInstead(FilterAnswer answer)
    {
        x.FilterAnswer = answer with { Instead = true };
        return false;
    }

    /// <summary>The same with a reason of the proxy's own. Of one of those another takes the place as content alone.</summary>
    public bool AnswerInstead(Reason reason)
    {
        if (!x.ResponseHeaders.IsLocal) return AnswerInstead(new FilterAnswer(reason));
        LocalReply.Because(x, reason);
        return AnswerInstead(new FilterAnswer(reason) { Content = ([], "text/plain") });
    }

    /// <summary>Takes the request's whole body in, as it comes out of the filters before, while its head waits.</summary>
    /// <param name="limit">Most bytes of it.</param>
    public ValueTask<BufferResult> BufferAsync(long limit) => x.BufferAsync(limit);

    /// <summary>Looks at the beginning of the request's body, as it comes out of the filters before, while its head waits. All of it goes
    /// on afterwards, untouched.</summary>
    /// <param name="most">Bytes of it at most; of a gRPC message its prefix counts.</param>
    /// <param name="until">What is wanted.</param>
    public ValueTask<PeekResult> PeekAsync(int most, PeekUntil until) => x.PeekAsync(most, until);

    /// <summary>What was looked at; given back when it was read.</summary>
    public PeekedBody Peeked() => x.Peeked();

    /// <summary>The request's trailers; in their stage.</summary>
    public TrailerEdits RequestTrailers => (run.Of?.SentBody ?? x.RequestBody).TrailerEdits;

    /// <summary>The answer's trailers; in their stage.</summary>
    public TrailerEdits ResponseTrailers => x.ResponseBody.TrailerEdits;

    /// <summary>Answers the request.</summary>
    /// <param name="reason">Status, flags and details.</param>
    /// <param name="body">What a client is told.</param>
    /// <param name="lines">Whole header lines to add.</param>
    public FilterVerdict Answer(Reason reason, string body = "", string lines = "")
    {
        x.FilterAnswer = new FilterAnswer(reason, body, lines);
        return FilterVerdict.Answer;
    }

    /// <summary>Answers the request with a reason in its own words.</summary>
    public FilterVerdict Refuse(Reason reason)
    {
        x.FilterAnswer = new FilterAnswer(reason);
        return FilterVerdict.Answer;
    }

    /// <summary>Takes the answer's whole body in, as it comes out of the filters before, while its head waits; only where
    /// <see cref="HasResponseBody"/>, and not of an answer of the proxy's own.</summary>
    /// <param name="limit">Most bytes of it.</param>
    public ValueTask<BufferResult> BufferResponseAsync(long limit)
    {
        // Over HTTP/1 the body follows its head in one buffer.
        if (x.Try.Answer.Stream is null) x.ResponseHeaders.Hold();
        x.UpstreamFilters?.AddResponseBefore(x, -1);
        run.AddResponseBefore(x, step.Slot);
        return x.ResponseBody.BufferAsync(x, limit);
    }

    /// <summary>Answers in place of an answer whose body did not come whole. To be returned from <see cref="HttpFilter.OnResponseAsync"/>.</summary>
    /// <param name="result">What <see cref="BufferResponseAsync"/> said.</param>
    public bool AnswerInstead(BufferResult result) => result switch
    {
        BufferResult.Answered => false,
        BufferResult.TooLarge => AnswerInstead(new FilterAnswer(FilterReasons.ResponseTooLarge)),
        BufferResult.Refused => AnswerInstead(new FilterAnswer(Reasons.UpstreamProtocol)),
        _ => x.Abort == AbortReason.None && AnswerInstead(new FilterAnswer(Reasons.UpstreamReset)),
    };

    /// <summary>Takes the beginning of the answer's body in, which goes on afterwards; otherwise as <see cref="BufferResponseAsync"/>, which goes on afterwards.</summary>
    /// <param name="most">Bytes at most; of a gRPC message its prefix counts.</param>
    /// <param name="until">What is wanted.</param>
    public ValueTask<PeekResult> PeekResponseAsync(int most, PeekUntil until)
    {
        if (x.Try.Answer.Stream is null) x.ResponseHeaders.Hold();
        x.UpstreamFilters?.AddResponseBefore(x, -1);
        run.AddResponseBefore(x, step.Slot);
        return x.ResponseBody.PeekAsync(x, most, until);
    }

    /// <summary>What was taken in; given back when it was read.</summary>
    public PeekedBody BufferedResponse() => new(x.ResponseBody, x.Worker.Buffers);

    /// <summary>Waits until it is resumed; false where the exchange, the try that the filter sees, or the rest of the request's body was
    /// given up meanwhile.</summary>
    /// <param name="wait">Given what is to be resumed.</param>
    public ValueTask<bool> WaitAsync(Action<PoolWaiter> wait) => x.WaitAsync(new PoolWaiter(wait) { Of = run.Of });

    /// <summary>Waits; false where the exchange, the try that the filter sees, or the rest of the request's body was given up
    /// meanwhile.</summary>
    public ValueTask<bool> DelayAsync(long ms) => Delay.RunAsync(x, ms, run.Of);
}

/// <summary>How a filter answers.</summary>
internal sealed record FilterAnswer(Reason Reason, string? Body = null, string Lines = "")
{
    /// <summary>In the place of <see cref="Body"/>, where that is not ASCII.</summary>
    public byte[]? Bytes { get; init; }

    /// <summary>It is a whole answer, whose head says all there is to say: it gets no type, no form of a client's protocol and no format of the
    /// listener's.</summary>
    public bool IsWhole { get; init; }

    /// <summary>It takes the place of an answer whose head was looked at.</summary>
    public bool Instead { get; init; }

    /// <summary>A body that is no text of ours, with its type; null where <see cref="Body"/> is.</summary>
    public (byte[] Bytes, string Type)? Content { get; init; }

    /// <summary>What is changed in its head.</summary>
    public HeaderChanges? Headers { get; init; }
}

/// <summary>A filter that could pack answers to a request. Which of several does is decided among all of them.</summary>
internal interface IPackOffer
{
    /// <summary>The coding's name in <c>accept-encoding</c>.</summary>
    PackCoding Coding { get; }

    /// <summary>Between equals it is preferred.</summary>
    bool IsFirst { get; }

    /// <summary>Whether it packs content of this type.</summary>
    bool Packs(ReadOnlySpan<byte> contentType);
}

/// <summary>How bodies are packed.</summary>
internal enum PackCoding : byte
{
    Gzip,
    Brotli,
}

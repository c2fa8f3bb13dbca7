// What an exchange does while it waits for its endpoint's side: the request is read on, as in Envoy, which reads into its buffers whatever
// becomes of the try. So it is known when the request is whole, from when on its client waits for others, and when the client has left.
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal sealed partial class Exchange
{
    public ref long AheadLimit => ref _limits.AheadLimit;

    /// <summary>Worker ticks: the request's last byte was handed on.</summary>
    public long RequestSentTicks => Try.State.SentTicks > 0 ? Try.State.SentTicks : RequestEndTicks;

    /// <summary>The endpoint's side is waited for from here on: for a connection, for another try's turn, or until it takes more.</summary>
    public void AwaitEndpoint()
    {
        if (RequestBodyBuffered || IsUpgrade) return;
        if (RequestBody.IsWhole) Forwarder.RequestArrived(this);
        else if (AheadLimit > 0) Deadlines.ReadAheadSoon();
    }

    /// <summary>It is not waited for any more: the request is read as it is taken.</summary>
    public void EndpointTakes() => Deadlines.StopReadingAhead();

    /// <summary>Something came of the request while nobody waits for it. False when that ended the exchange: nothing may be asked of it any
    /// more.</summary>
    public bool RequestCame() => !Deadlines.ReadsAhead || ReadAhead();

    /// <summary>Reads what is here of the request. False when that ended the exchange: nothing may be asked of it any more.</summary>
    public bool ReadAhead()
    {
        if (Abort != AbortReason.None || !RequestBody.CanReadAhead) return true;
        long before = RequestBody.Bytes;
        AheadResult result = RequestBody.ReadAhead(AheadLimit);
        if (RequestBody.Bytes > before) Touch();
        switch (result)
        {
            case AheadResult.More:
                return true;
            case AheadResult.Whole:
                Forwarder.RequestArrived(this);
                return true;
            default:
                GiveUp(result == AheadResult.Refused ? AbortReason.DownstreamBroken : AbortReason.DownstreamGone);
                return false;
        }
    }
}

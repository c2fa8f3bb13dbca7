// A server's stream as the client's side of an exchange.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

internal sealed partial class Http2Stream : IDownstream
{
    bool IDownstream.SpeaksHttp2 => true;

    bool IDownstream.IsOpen => !IsReset;

    // An end is the end of the request here, and no more.
    bool IDownstream.HasEnded => false;

    void IDownstream.StartBody(Exchange x, BodyKind kind, long length) => x.RequestBody.Start(Session.Worker, this);

    // On a connection that is too busy to be told, the client goes on by its own patience (RFC 9110 10.1.1).
    bool IDownstream.SendInterim(ReadOnlySpan<byte> head) => Session.SendHead(this, new HeadReader(SectionKind.Response, head), end: false) || !IsReset;

    // A head goes out whole or not at all.
    void IDownstream.Owe(IoBuffer rest) => throw new InvalidOperationException("HTTP/2 has no half of a head");

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    async ValueTask<bool> IDownstream.SendAsync(IoBuffer o, int headBytes, bool end)
    {
        Http1Head? marks = Exchange is { UpstreamIsHttp2: true } x ? x.UpstreamHead : null;
        var form = new HeadForm(SectionKind.Response, IsHttps: false, IsTunnel, marks);
        if (!await SendHeadAsync(o, headBytes, form, end && headBytes == o.Count)) return false;
        o.Start += headBytes;
        if (!await SendDataAsync(o, o.Start, o.Count, end)) return false;
        o.Start = o.End;
        return true;
    }

    // What is in the buffer is a head.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    async ValueTask<PumpResult> IDownstream.PumpAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked)
    {
        if (!o.IsEmpty && !await ((IDownstream)this).SendAsync(o, o.Count, whole)) return Cancelled && !IsReset ? PumpResult.Cancelled : PumpResult.SinkFailed;
        return whole ? PumpResult.Done : await BodyPump.RunAsync(x, from, BodySink.To(this));
    }

    // Its last frame says so.
    void IDownstream.EndSending()
    {
    }

    // The stream ends in any case; what may end with it is the connection.
    bool IDownstream.GoesOnAfter(Exchange x)
    {
        ((Http2ServerSession)Session).OnAnswer();
        return true;
    }

    void IDownstream.Cut(bool endsWithClose) => Session.Reset(this, Http2ErrorCode.InternalError);
}

// What an endpoint answered, before anybody has decided what becomes of it: its head is here, its body still comes. It may be delivered
// (Http/Delivery.cs), dropped for another try, or read by whoever asked on the side.
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

/// <param name="Head">The final head (or 101), parsed. Null where the endpoint got no request, but a tunnel (CONNECT ends here).</param>
/// <param name="HeadBuffer">Has the head at its front. Over HTTP/1 the body follows in it: who takes the body steps over the head.</param>
/// <param name="Framing">How the body ends, and what the head says of its connection.</param>
/// <param name="Body">Reads the body, started.</param>
/// <param name="Stream">What it rides on where that is HTTP/2.</param>
/// <param name="IsTunnel">The endpoint agreed to a tunnel: what follows are bytes, both ways.</param>
internal readonly record struct Answer(
    Http1Head? Head, IoBuffer HeadBuffer, Http1Framing Framing, BodyReader Body, Http2Stream? Stream, bool IsTunnel)
{
    /// <summary>The head's bytes.</summary>
    public ReadOnlySpan<byte> HeadBytes => HeadBuffer.Filled[..Head!.Length];
}

/// <summary>What became of an answer.</summary>
internal enum AnswerUse : byte
{
    /// <summary>Nothing, or not all of it was taken.</summary>
    Cut,

    /// <summary>All of it was taken.</summary>
    Taken,

    /// <summary>Another try is made in its place; its head still stands in its buffer.</summary>
    Dropped,
}

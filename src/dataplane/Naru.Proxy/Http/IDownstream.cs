// The client's side of an exchange, whatever it speaks: a connection of HTTP/1, or a stream of an HTTP/2 connection. Heads are written as
// HTTP/1 has them; what becomes of them on the wire is the implementation's.
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal interface IDownstream
{
    /// <summary>Whether it is HTTP/2: no reason phrases, no fields of a connection, many exchanges at once.</summary>
    bool SpeaksHttp2 { get; }

    /// <summary>Whether something can still be told to the client.</summary>
    bool IsOpen { get; }

    /// <summary>Whether the client said that it sends no more, where that gives up what it waits for (decision 0014).</summary>
    bool HasEnded { get; }

    /// <summary>Starts the reader on what follows the head in the exchange's buffer and on the wire.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="kind">How the body ends; HTTP/2 has its own end.</param>
    /// <param name="length">Bytes of it for <see cref="BodyKind.Length"/>.</param>
    void StartBody(Exchange x, BodyKind kind, long length);

    /// <summary>Sends an interim head without waiting; false when the client is gone.</summary>
    bool SendInterim(ReadOnlySpan<byte> head);

    /// <summary>Sends a head and what of the body stands behind it; false when the client is gone or the exchange was given up.</summary>
    /// <param name="o">The head, then perhaps the body; empty afterwards.</param>
    /// <param name="headBytes">How many bytes of it are the head.</param>
    /// <param name="end">Nothing follows.</param>
    ValueTask<bool> SendAsync(IoBuffer o, int headBytes, bool end);

    /// <summary>Takes over the rest of an interim head that was sent in part (HTTP/1): it goes out before anything else does.</summary>
    void Owe(IoBuffer rest);

    /// <summary>Passes a message on until it ends or a side fails.</summary>
    /// <param name="x">The exchange, told about progress.</param>
    /// <param name="from">The source of its body.</param>
    /// <param name="o">What goes out first, the head if there is one; empty when it is done.</param>
    /// <param name="whole">Nothing follows what is in <paramref name="o"/>, over HTTP/2 a head alone.</param>
    /// <param name="chunked">Whether HTTP/1 frames it in chunks.</param>
    ValueTask<PumpResult> PumpAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked);

    /// <summary>Says that nothing more comes, where the body's framing has not said so (tunnels).</summary>
    void EndSending();

    /// <summary>Asked when the answer's head is written: whether there will be room for another request. Counts why not.</summary>
    bool GoesOnAfter(Exchange x);

    /// <summary>Ends waits on this side, now and later, until <see cref="Uncancel"/>.</summary>
    void Cancel();

    /// <summary>Makes waits wait again.</summary>
    void Uncancel();

    /// <summary>Ends the answer so that the client sees that it is not whole.</summary>
    /// <param name="endsWithClose">The end of the connection would look like a whole one.</param>
    void Cut(bool endsWithClose);
}

// Sends a head, or bytes, on a stream until its session has taken them: what both sides of a proxy do, and what both wait for.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

/// <summary>How a head that is laid out as HTTP/1 is said over HTTP/2; see <see cref="HeadReader"/>.</summary>
internal readonly record struct HeadForm(SectionKind Kind, bool IsHttps, bool IsTunnel, Http1Head? Marks)
{
    /// <summary>A CONNECT is said as a POST at this path (Envoy: use_post of tunneling_config); null says it as it is.</summary>
    public byte[]? PostPath { get; init; }

    public HeadReader Of(ReadOnlySpan<byte> head) => new(Kind, head)
    {
        IsHttps = IsHttps,
        IsTunnel = IsTunnel,
        Marks = Marks,
        PostPath = PostPath
    };
}

internal sealed partial class Http2Stream
{
    /// <summary>Sends a head, which stands at the front of a buffer and stays there; false when the stream is gone, or its wait is
    /// ended, before that is taken.</summary>
    /// <param name="o">The buffer.</param>
    /// <param name="bytes">The head's length.</param>
    /// <param name="form">How it is said.</param>
    /// <param name="end">Nothing follows.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> SendHeadAsync(IoBuffer o, int bytes, HeadForm form, bool end)
    {
        while (!Session.SendHead(this, form.Of(o.Filled[..bytes]), end))
        {
            if (IsReset || Cancelled) return false;
            await Writable();
            if (IsReset || Cancelled) return false;
        }
        return true;
    }

    /// <summary>Sends bytes from where they lie; false when the stream is gone, or its wait is ended, before all are taken.</summary>
    /// <param name="o">The buffer.</param>
    /// <param name="at">The first one's offset in it.</param>
    /// <param name="length">How many.</param>
    /// <param name="end">Nothing follows.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> SendDataAsync(IoBuffer o, int at, int length, bool end)
    {
        for (int sent = 0; sent < length;)
        {
            if (IsReset || Cancelled) return false;
            sent += SendPart(o, at + sent, length - sent, end);
            if (sent < length) await Writable();
        }
        return true;
    }

    private unsafe int SendPart(IoBuffer o, int at, int length, bool end) => Session.SendData(this, o.Memory + at, length, end);
}

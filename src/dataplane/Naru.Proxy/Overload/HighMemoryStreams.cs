// Resets the streams that hold the most memory on one worker (Envoy: reset_high_memory_stream). Streams are put into eight classes by
// the bytes that wait on them, each twice the one below, from 128 KiB on; the higher the pressure, the more classes go.
using Naru.Http.Http2;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Overload;

internal static class HighMemoryStreams
{
    private const int Classes = 8;
    private const long Least = 128 * 1024;
    private const int MostAtOnce = 50;

    public static void Reset(IReadOnlyList<Listener> listeners, Worker worker, double state)
    {
        int classes = Math.Max(1, (int)Math.Ceiling(state * Classes));
        long from = Least << (Classes - classes);
        int left = MostAtOnce;
        foreach (Listener listener in listeners)
        {
            foreach (ListenerConnection connection in listener.Connections(worker))
            {
                if (connection is not Http2ServerConnection http2) continue;
                foreach (Http2Stream stream in http2.StreamsAbove(from))
                {
                    stream.Session.Reset(stream, Http2ErrorCode.EnhanceYourCalm);
                    stream.Exchange?.GiveUp(Http.AbortReason.DownstreamGone);
                    if (--left == 0) return;
                }
            }
        }
    }
}

// tcp_proxy's tunneling_config compiled: asks an HTTP proxy for a way to a host with CONNECT (RFC 9110 9.3.6), or over HTTP/2 with POST,
// after which bytes flow as if it were the host. A target or header that came out with anything but visible ASCII is never sent.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class TcpTunnel
{
    private const int MaxAnswerBytes = 60 * 1024;
    private const int MaxFields = 100;
    private readonly HeaderValueFormat _hostname;
    private readonly (byte[] Name, HeaderValueFormat Value)[] _headers;

    /// <summary>It is asked for by POST, whose body it is: over HTTP/2 alone, where a body needs no framing of its own.</summary>
    public bool IsPost { get; }

    public TcpTunnel(TunnelingConfig config)
    {
        IsPost = config.UsePost;
        _hostname = new HeaderValueFormat(config.Hostname);
        _headers = [.. config.HeadersToAdd.Select(h => (Encoding.ASCII.GetBytes(h.Name), new HeaderValueFormat(h.Value)))];
    }

    /// <summary>The request's bytes for a connection; false where they cannot be sent.</summary>
    public bool Write(IRequestInfo connection, IoBuffer o)
    {
        var scratch = new LineBuffer();
        ReadOnlySpan<byte> host = _hostname.Value(connection, scratch);
        if (host.IsEmpty || host.ContainsAnyExceptInRange((byte)'!', (byte)'~') || host.Length > 512) return false;
        o.Append("CONNECT "u8);
        o.Append(host);
        o.Append(" HTTP/1.1\r\nhost: "u8);
        o.Append(host);
        o.Append("\r\n"u8);
        foreach ((byte[] name, HeaderValueFormat format) in _headers)
        {
            ReadOnlySpan<byte> value = format.Value(connection, scratch);
            if (value.ContainsAnyExceptInRange((byte)' ', (byte)'~') || value.Length + name.Length + 8 > o.Room) return false;
            o.Append(name);
            o.Append(": "u8);
            o.Append(value);
            o.Append("\r\n"u8);
        }
        o.Append("\r\n"u8);
        return true;
    }

    /// <summary>Sends the request and reads the answer.</summary>
    /// <param name="up">Connected; its timer is set by the caller.</param>
    /// <param name="worker">Its worker.</param>
    /// <param name="request">Goes back to the pool.</param>
    /// <returns>What came behind a 2xx, to be returned to the pool; null and the status (0 without an answer) otherwise.</returns>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<(IoBuffer? Behind, int Status)> OpenAsync(TcpSocket up, Worker worker, IoBuffer request)
    {
        bool sent = await up.SendAllAsync(request);
        worker.Buffers.Return(request);
        if (!sent) return (null, 0);
        var head = new Http1Head();
        head.StartResponse();
        IoBuffer buffer = worker.Buffers.Rent();
        while (true)
        {
            HeadStatus found = buffer.IsEmpty ? HeadStatus.Incomplete : head.Parse(buffer.Filled, MaxAnswerBytes, MaxFields);
            if (found == HeadStatus.Refused) break;
            if (found == HeadStatus.Complete)
            {
                buffer.Start += head.Length;
                if (head.Status is >= 200 and < 300) return (buffer, head.Status);
                if (head.Status >= 200) break;
                // 1xx: the answer is still to come.
                head.StartResponse();
                continue;
            }
            if (buffer.Room == 0)
            {
                buffer.Compact();
                if (buffer.Room == 0) buffer = worker.Buffers.Grow(buffer);
            }
            if (!up.MayRead) await up.Readable();
            if (up.Cancelled || up.Receive(buffer) is 0 or TcpSocket.Failed) break;
        }
        worker.Buffers.Return(buffer);
        return (null, head.Status);
    }
}

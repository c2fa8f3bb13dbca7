// Looking at what a peer sent without taking it: for whoever must know what is spoken before somebody else reads it.
namespace Naru.Proxy.Io;

internal abstract partial class TcpSocket
{
    /// <summary>Copies what waits in the socket to the front of the buffer and leaves it there: all of it when there is more than the
    /// buffer has already, 0 when no more will come, <see cref="WouldBlock"/> when it has to be waited for, or <see cref="Failed"/>.</summary>
    protected unsafe int Peek(IoBuffer buffer)
    {
        if (Fd < 0) return Failed;
        nint n = Sys.recv(Fd, buffer.Memory, buffer.Capacity, Sys.MSG_PEEK);
        if (n > buffer.Count)
        {
            buffer.Start = 0;
            buffer.End = (int)n;
            return (int)n;
        }
        if (n == 0 || (n > 0 && _peerClosed)) return 0;
        int errno = n > 0 ? Sys.EAGAIN : Sys.FastErrno;
        if (errno == Sys.EINTR) return Peek(buffer);
        if (errno != Sys.EAGAIN) return Fail(errno);
        _readable = false;
        return WouldBlock;
    }

    /// <summary>Takes bytes that were peeked at off the front; the buffer is empty afterwards.</summary>
    protected unsafe bool Consume(IoBuffer buffer, int count)
    {
        nint n = Sys.recv(Fd, buffer.Memory, count, 0);
        buffer.Clear();
        MayHaveMore();
        return n == count;
    }

    /// <summary>What was only peeked at is still there: whoever reads next need not wait.</summary>
    protected void MayHaveMore() => _readable = true;
}

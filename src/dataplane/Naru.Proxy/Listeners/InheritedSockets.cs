// Listening sockets that another process handed over (hot restart), until a listener with their address takes them.
using Naru.Proxy.Io;

namespace Naru.Proxy;

/// <summary>Descriptors by the address they listen on. Any thread.</summary>
public sealed class InheritedSockets
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Queue<int>> _sockets = new(StringComparer.Ordinal);

    /// <summary>Adds one.</summary>
    public void Add(string address, int descriptor)
    {
        lock (_gate)
        {
            if (!_sockets.TryGetValue(address, out Queue<int>? queue)) _sockets[address] = queue = new Queue<int>();
            queue.Enqueue(descriptor);
        }
    }

    /// <summary>One of an address, or -1 when there is none (left).</summary>
    public int Take(string address)
    {
        lock (_gate) return _sockets.TryGetValue(address, out Queue<int>? queue) && queue.TryDequeue(out int fd) ? fd : -1;
    }

    /// <summary>Closes what nobody took: listeners that the new configuration does not have.</summary>
    public void CloseRest()
    {
        lock (_gate)
        {
            foreach (int fd in _sockets.Values.SelectMany(q => q)) _ = Sys.close(fd);
            _sockets.Clear();
        }
    }
}

// What all pods look at, looked at once: the machine's listening sockets and, where somebody needs them, its processes. Many pods that wait
// cost one look a round, not one each.
namespace Naru.Local.Processes;

/// <summary>One look at the machine.</summary>
/// <param name="sockets">All listening sockets.</param>
/// <param name="processes">Walks the processes, at most once, and after the sockets were read: who opened one of them is there.</param>
internal sealed class MachineLook(IReadOnlyList<ListeningSocket> sockets, Func<IReadOnlyList<ProcessEntry>> processes)
{
    private readonly Lazy<IReadOnlyList<ProcessEntry>> _processes = new(processes);

    /// <summary>All listening sockets.</summary>
    public IReadOnlyList<ListeningSocket> Sockets { get; } = sockets;

    /// <summary>All processes.</summary>
    public IReadOnlyList<ProcessEntry> Processes => _processes.Value;
}

/// <summary>Looks for all who ask.</summary>
internal sealed class Machine(TimeProvider time, Func<IReadOnlyList<ListeningSocket>>? sockets = null, Func<IReadOnlyList<ProcessEntry>>? processes = null)
{
    private readonly Lock _lock = new();
    private MachineLook? _last;
    private long _at;

    /// <summary>A look that is not older than <paramref name="oldest"/>.</summary>
    public MachineLook Look(TimeSpan oldest)
    {
        lock (_lock)
        {
            if (_last is not null && time.GetElapsedTime(_at) < oldest) return _last;
            _at = time.GetTimestamp();
            return _last = new MachineLook((sockets ?? PortHolder.All)(), processes ?? ProcessTable.All);
        }
    }
}

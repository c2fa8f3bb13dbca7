// What a worker has handed out and not got back: rented objects, timers that run, watched descriptors. Back where it was when the
// requests are over, or something leaks. Nobody keeps it: each line is counted by whoever owns it, when somebody asks.
namespace Naru.Proxy.Io;

/// <summary>A worker's ledger. Written and read on its thread.</summary>
internal sealed class Ledger
{
    private readonly List<(string Name, Func<long> Count)> _lines = [];

    /// <summary>Adds a line, for good.</summary>
    public void Add(string name, Func<long> count) => _lines.Add((name, count));

    /// <summary>All lines as they stand now.</summary>
    public IReadOnlyList<KeyValuePair<string, long>> Read() => [.. _lines.Select(l => KeyValuePair.Create(l.Name, l.Count()))];
}

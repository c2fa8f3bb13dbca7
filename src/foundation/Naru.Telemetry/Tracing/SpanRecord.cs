// One span while it goes on, of a request that is traced: made then, and written out once when it ends.
using System.Text;

namespace Naru.Telemetry;

/// <summary>Whose side a span is on.</summary>
public enum SpanKind : byte
{
    /// <summary>Of whoever was asked.</summary>
    Server,
    /// <summary>Of whoever asks.</summary>
    Client,
}

/// <summary>How it ended, as far as that is said (OpenTelemetry: status).</summary>
public enum SpanStatus : byte
{
    /// <summary>Nothing is said.</summary>
    None,
    /// <summary>Said, and good.</summary>
    Unset,
    /// <summary>An error.</summary>
    Error,
}

/// <summary>A span.</summary>
public sealed class SpanRecord
{
    /// <summary>Most bytes of what a span says: tags beyond are left out.</summary>
    public const int MostBytes = 64 * 1024;

    private readonly LineBuffer _bytes = new(1024);
    private readonly List<(byte[] Name, int Start, int Length)> _tags = [];
    private readonly List<(long Time, string What)> _events = [];

    /// <summary>Ids.</summary>
    public TraceContext Context { get; set; }

    /// <summary>Whose side.</summary>
    public SpanKind Kind { get; init; }

    /// <summary>What it is about.</summary>
    public string Name { get; set; } = "";

    /// <summary><c>tracestate</c>, of a trace that came with one.</summary>
    public string State { get; init; } = "";

    /// <summary>Nanoseconds since 1970.</summary>
    public long Start { get; init; }

    /// <summary>The same.</summary>
    public long End { get; set; }

    /// <summary>How it ended.</summary>
    public SpanStatus Status { get; set; }

    /// <summary>Its end is that of the request, and is told behind it.</summary>
    public bool EndsRequest { get; set; }

    /// <summary>Moments in it.</summary>
    public IReadOnlyList<(long Time, string What)> Events => _events;

    /// <summary>Says something; of two of a name the later counts.</summary>
    /// <param name="name">Kept.</param>
    /// <param name="value">Copied.</param>
    public void Tag(byte[] name, ReadOnlySpan<byte> value)
    {
        if (_bytes.Length + value.Length + name.Length > MostBytes) return;
        _tags.Add((name, _bytes.Length, value.Length));
        _bytes.Append(value);
    }

    /// <summary>The same with a number.</summary>
    public void Tag(byte[] name, long value)
    {
        int start = _bytes.Length;
        _bytes.Append(value);
        _tags.Add((name, start, _bytes.Length - start));
    }

    /// <summary>The same with a text.</summary>
    public void Tag(byte[] name, string value) => Tag(name, Encoding.UTF8.GetBytes(value));

    /// <summary>A moment.</summary>
    public void Event(long time, string what) => _events.Add((time, what));

    /// <summary>What it says, by name, each once.</summary>
    internal List<(byte[] Name, int Start, int Length)> Tags()
    {
        // Stable, so that the last of a name stands last.
        List<(byte[] Name, int Start, int Length)> sorted = [.. _tags.Order(s_byName)];
        int kept = 0;
        for (int i = 0; i < sorted.Count; i++)
        {
            if (i + 1 < sorted.Count && sorted[i + 1].Name.AsSpan().SequenceEqual(sorted[i].Name)) continue;
            sorted[kept++] = sorted[i];
        }
        sorted.RemoveRange(kept, sorted.Count - kept);
        return sorted;
    }

    internal ReadOnlySpan<byte> Value(in (byte[] Name, int Start, int Length) tag) => _bytes.Written.Slice(tag.Start, tag.Length);

    private static readonly Comparer<(byte[] Name, int Start, int Length)> s_byName = Comparer<(byte[] Name, int Start, int Length)>.Create(
        static (a, b) => a.Name.AsSpan().SequenceCompareTo(b.Name));
}

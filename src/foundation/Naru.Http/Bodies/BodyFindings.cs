// What readers of bodies found for each of several rules: one pass over a body serves them all. Kept by whoever reads and used again, so
// that reading allocates nothing once it is warm.
namespace Naru.Http.Bodies;

/// <summary>What a rule's path led to.</summary>
public enum FindingKind : byte
{
    /// <summary>Nothing is there.</summary>
    Missing,

    /// <summary>A text; UTF-8.</summary>
    Text,

    /// <summary>A number, as it is written, in decimal.</summary>
    Number,

    /// <summary>True.</summary>
    True,

    /// <summary>False.</summary>
    False,

    /// <summary>JSON's null.</summary>
    Null,

    /// <summary>Something that has no value of its own: an object, a list, an element with elements in it.</summary>
    Compound,

    /// <summary>It can be read in more than one way, or not as it was asked for: a name that is there twice, bytes that are no text,
    /// a field of another type.</summary>
    Unclear,

    /// <summary>A text longer than <see cref="BodyFinding.Longest"/>.</summary>
    TooLong,
}

/// <summary>One of them.</summary>
public sealed class BodyFinding
{
    /// <summary>Bytes of a text at most (Envoy: MAX_PAYLOAD_VALUE_LEN).</summary>
    public const int Longest = 8 * 1024;

    private byte[] _bytes = [];
    private int _length;

    /// <summary>What it is.</summary>
    public FindingKind Kind { get; private set; }

    /// <summary>Of a text or a number, until the next body is read.</summary>
    public ReadOnlySpan<byte> Text => _bytes.AsSpan(0, _length);

    // How many steps of its path lead to where the reader is, and which of them were met in the thing that is open there.
    internal int Matched;
    internal ulong Seen;

    // Of XML: it takes text in; how often a step was met, by step and predicate.
    internal bool Takes;
    internal int[] Counts = [];

    internal void Begin()
    {
        Clear();
        Matched = 0;
        Seen = 0;
        Takes = false;
    }

    internal void Clear() => (Kind, _length) = (FindingKind.Missing, 0);

    // What is unclear stays so.
    internal void Set(FindingKind kind)
    {
        if (Kind == FindingKind.Unclear) return;
        (Kind, _length) = (kind, 0);
    }

    internal void Set(FindingKind kind, ReadOnlySpan<byte> text)
    {
        Set(kind);
        Append(text);
    }

    internal void Append(ReadOnlySpan<byte> text)
    {
        if (Kind is not (FindingKind.Text or FindingKind.Number)) return;
        if (_length + text.Length > Longest)
        {
            (Kind, _length) = (FindingKind.TooLong, 0);
            return;
        }
        if (_length + text.Length > _bytes.Length) Array.Resize(ref _bytes, Math.Min(Longest, Math.Max(128, 2 * (_length + text.Length))));
        text.CopyTo(_bytes.AsSpan(_length));
        _length += text.Length;
    }
}

/// <summary>All of them. Belongs to one thread at a time.</summary>
public sealed class BodyFindings
{
    private BodyFinding[] _all = [];

    /// <summary>How many rules there are.</summary>
    public int Count { get; private set; }

    /// <summary>What was found for a rule.</summary>
    public BodyFinding this[int rule] => _all[rule];

    // For what has to be decoded before it is compared.
    internal BodyFinding Scratch { get; } = new();

    /// <summary>Forgets what was found before.</summary>
    /// <param name="count">Rules.</param>
    public void Begin(int count)
    {
        if (count > _all.Length)
        {
            int before = _all.Length;
            Array.Resize(ref _all, count);
            for (int i = before; i < count; i++) _all[i] = new BodyFinding();
        }
        Count = count;
        for (int i = 0; i < count; i++) _all[i].Begin();
    }
}

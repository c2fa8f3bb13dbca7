// What one evaluation works with: the request, the variables of its loops, its bytes, and how much it may still cost. A thread has one and
// keeps it, so that an evaluation whose texts fit into it allocates nothing.
namespace Naru.Telemetry;

internal sealed class Evaluation
{
    /// <summary>What an evaluation may cost: one for each node and each element, and for each 16 bytes that are compared or
    /// copied.</summary>
    public const int MostCost = 100_000;

    /// <summary>Variables of loops within each other.</summary>
    public const int MostVariables = 32;

    // More than this is not kept for the next evaluation.
    private const int KeepBytes = 64 * 1024;

    [ThreadStatic]
    private static Evaluation? t_free;

    private byte[] _bytes = new byte[2048];
    private int _used;
    private int _left;

    public IRequestInfo Info { get; private set; } = null!;

    public CelValue[] Variables { get; } = new CelValue[MostVariables];

    /// <summary>The budget is used up: whatever comes out is an error.</summary>
    public bool IsSpent => _left < 0;

    /// <summary>The thread's own, ready.</summary>
    public static Evaluation Begin(IRequestInfo info)
    {
        Evaluation e = t_free ?? new Evaluation();
        t_free = null;
        (e.Info, e._used, e._left) = (info, 0, MostCost);
        return e;
    }

    /// <summary>Its values are of no use any more.</summary>
    public void End()
    {
        Info = null!;
        Array.Clear(Variables);
        if (_bytes.Length <= KeepBytes) t_free = this;
    }

    /// <summary>Counts; false where nothing is left.</summary>
    public bool Spend(int cost)
    {
        _left -= Math.Min(cost, MostCost + 1);
        if (_left >= 0) return true;
        _left = -1;
        return false;
    }

    /// <summary>Room for bytes that belong to the evaluation; what was given before stays where it is.</summary>
    public Span<byte> Room(int length)
    {
        if (_bytes.Length - _used < length) (_bytes, _used) = (new byte[Math.Max(_bytes.Length * 2, length)], 0);
        return _bytes.AsSpan(_used, length);
    }

    /// <summary>The first bytes of the last room as a text.</summary>
    public CelValue Take(int length)
    {
        CelValue text = CelValue.Text(_bytes, _used, length);
        _used += length;
        return Spend(length / 16) ? text : CelValue.Spent;
    }

    /// <summary>A copy of a text.</summary>
    public CelValue Text(ReadOnlySpan<byte> text)
    {
        text.CopyTo(Room(text.Length));
        return Take(text.Length);
    }

    /// <summary>A copy of a text; an empty one is not there.</summary>
    public CelValue Known(ReadOnlySpan<byte> text) => text.IsEmpty ? CelValue.Absent : Text(text);
}

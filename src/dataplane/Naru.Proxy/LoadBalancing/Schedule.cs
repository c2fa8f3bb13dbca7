// Who is due when in a weighted round robin: each as often as its weight says, whatever the weights are.
namespace Naru.Proxy.LoadBalancing;

internal sealed class Schedule
{
    // Turns up to this length are written out, and up to a few parts for each.
    private const int MaxTurn = 4096, PartsEach = 4;

    // 2^64 divided by the golden ratio: its multiples fall into the largest gap that those before left.
    private const ulong Golden = 0x9E37_79B9_7F4A_7C15;

    // One full turn; else null, and each one's part of the sum ends where the next one's begins.
    private readonly int[]? _turn;
    private readonly ulong[] _ends = [];

    /// <summary>A turn that is short enough is written out: earliest deadline first, what weighs w is due at (k + 1/2) / w for k = 0,
    /// 1, ... Of a long one, which weights as they are in practice seldom make, the turn itself says who is due, so that no weight is
    /// rounded.</summary>
    /// <param name="weights">At least 1 each, below 2^64 together.</param>
    public Schedule(ReadOnlySpan<ulong> weights)
    {
        ulong gcd = 0, sum = 0;
        foreach (ulong weight in weights) gcd = Gcd(gcd, weight);
        foreach (ulong weight in weights) sum = checked(sum + weight / gcd);
        if (sum <= (ulong)Math.Max(MaxTurn, (long)PartsEach * weights.Length))
        {
            Length = (int)sum;
            _turn = WrittenOut(weights, gcd, Length);
            return;
        }
        Length = int.MaxValue;
        _ends = new ulong[weights.Length];
        ulong end = 0;
        for (int i = 0; i < weights.Length; i++) _ends[i] = end += weights[i] / gcd;
    }

    /// <summary>How many turns are different; at most <see cref="int.MaxValue"/>.</summary>
    public int Length { get; }

    /// <summary>Who is due the given time.</summary>
    public int At(uint turn) => _turn is { } all ? all[turn % (uint)all.Length] : Covering(turn * Golden);

    /// <summary>Whom a hash leads to.</summary>
    public int Of(ulong hash) => _turn is { } all ? all[hash % (uint)all.Length] : Covering(hash * Golden);

    // Who has the place that a part of 2^64 falls on.
    private int Covering(ulong part)
    {
        ulong place = Math.BigMul(part, _ends[^1], out _);
        int at = Array.BinarySearch(_ends, place);
        // Where one ends the next begins; all weigh something, so that no two ends are alike.
        return at < 0 ? ~at : at + 1;
    }

    private static int[] WrittenOut(ReadOnlySpan<ulong> weights, ulong gcd, int length)
    {
        var due = new PriorityQueue<int, (double, int)>(weights.Length);
        for (int i = 0; i < weights.Length; i++) due.Enqueue(i, (0.5 * gcd / weights[i], i));
        var schedule = new int[length];
        var turns = new int[weights.Length];
        for (int step = 0; step < schedule.Length; step++)
        {
            int next = schedule[step] = due.Peek();
            due.DequeueEnqueue(next, ((++turns[next] + 0.5) * gcd / weights[next], next));
        }
        return schedule;
    }

    private static ulong Gcd(ulong a, ulong b)
    {
        while (b != 0) (a, b) = (b, a % b);
        return a;
    }
}

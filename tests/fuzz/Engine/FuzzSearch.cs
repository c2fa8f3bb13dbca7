// The search itself: mutate, run, keep what leads somewhere new; make what breaks a law small. Same seed, same search.
namespace Naru.FuzzTests.Engine;

/// <summary>An input that broke a law.</summary>
/// <param name="Input">As small as it could be made.</param>
/// <param name="Problem">What went wrong.</param>
internal sealed record Finding(byte[] Input, Exception Problem);

/// <summary>A search through the inputs of one target.</summary>
internal sealed class FuzzSearch(FuzzTarget target, int seed)
{
    private const int MostKept = 4096;

    private readonly Mutator _mutator = new(seed);
    private readonly List<byte[]> _pool = [.. target.Corpus];
    private readonly HashSet<int> _outcomes = [];
    private bool _started;

    /// <summary>Inputs tried.</summary>
    public long Tried { get; private set; }

    /// <summary>Outcomes told apart.</summary>
    public int Outcomes => _outcomes.Count;

    /// <summary>The input that is being tried.</summary>
    public byte[] Current { get; private set; } = [];

    /// <summary>The corpus as it is.</summary>
    public Finding? Replay()
    {
        _started = true;
        foreach (byte[] input in _pool.ToArray())
            if (Try(input) is { } finding) return finding;
        return null;
    }

    /// <summary>So many mutations; stops at the first finding.</summary>
    public Finding? Go(int count)
    {
        if (!_started && Replay() is { } known) return known;
        for (int i = 0; i < count; i++)
            if (Try(_mutator.Mutate(_pool, target.Words, target.MaxLength)) is { } finding) return finding;
        return null;
    }

    private Finding? Try(byte[] input)
    {
        Current = input;
        Tried++;
        try
        {
            int outcome = target.Run(input);
            if (_outcomes.Add(outcome)) Keep(input);
            return null;
        }
        catch (Exception problem)
        {
            return Shrink(input, problem);
        }
    }

    // Once the pool is full the newest takes the place of any other.
    private void Keep(byte[] input)
    {
        if (_pool.Count < MostKept) _pool.Add(input);
        else _pool[_mutator.Below(MostKept)] = input;
    }

    // Takes away ever smaller pieces for as long as the same kind of problem stays.
    private Finding Shrink(byte[] input, Exception problem)
    {
        for (int piece = Math.Max(1, input.Length / 2); piece > 0; piece = piece == 1 ? 0 : piece / 2)
        {
            for (int at = 0; at + piece <= input.Length;)
            {
                byte[] less = [.. input.AsSpan(0, at), .. input.AsSpan(at + piece)];
                if (ProblemOf(less) is { } still && still.GetType() == problem.GetType() && FirstLine(still) == FirstLine(problem)) (input, problem) = (less, still);
                else at += piece;
            }
        }
        return new Finding(input, problem);
    }

    private static string FirstLine(Exception e) => e.Message.Split('\n')[0];

    private Exception? ProblemOf(byte[] input)
    {
        try
        {
            target.Run(input);
            return null;
        }
        catch (Exception problem)
        {
            return problem;
        }
    }
}

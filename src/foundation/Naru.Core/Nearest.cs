// Finds the name a person probably meant. Used wherever an unknown name is refused. Two letters that changed places are one mistake.
namespace Naru.Core;

/// <summary>Nearest-name suggestions by edit distance.</summary>
public static class Nearest
{
    /// <summary>The candidate closest to <paramref name="wanted"/>, or null where none is close enough to be worth saying
    /// (more than a third of the letters differ).</summary>
    public static string? To(string wanted, IEnumerable<string> candidates)
    {
        string? best = null;
        int bestDistance = Math.Max(1, wanted.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int distance = Distance(wanted, candidate, bestDistance);
            if (distance >= bestDistance) continue;
            bestDistance = distance;
            best = candidate;
        }
        return best;
    }

    /// <summary><c>did you mean "x"?</c>, or null.</summary>
    public static string? Suggestion(string wanted, IEnumerable<string> candidates) =>
        To(wanted, candidates) is { } best ? $"did you mean \"{best}\"?" : null;

    private static int Distance(string a, string b, int limit)
    {
        if (Math.Abs(a.Length - b.Length) >= limit) return limit;
        var previous = new int[b.Length + 1];
        var current = new int[b.Length + 1];
        var earlier = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++) previous[j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int cost = Same(a[i - 1], b[j - 1]) ? 0 : 1;
                current[j] = Math.Min(Math.Min(current[j - 1] + 1, previous[j] + 1), previous[j - 1] + cost);
                if (i > 1 && j > 1 && Same(a[i - 1], b[j - 2]) && Same(a[i - 2], b[j - 1])) current[j] = Math.Min(current[j], earlier[j - 2] + 1);
            }
            (earlier, previous, current) = (previous, current, earlier);
        }
        return previous[b.Length];
    }

    private static bool Same(char x, char y) => char.ToLowerInvariant(x) == char.ToLowerInvariant(y);
}

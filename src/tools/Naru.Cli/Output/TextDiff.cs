// The difference of two texts as diff -u shows it: longest common subsequence of lines, three lines around each change.
using System.Text;

namespace Naru.Cli.Output;

internal static class TextDiff
{
    private const int Around = 3;

    // Above this many cells the middle is shown as replaced whole: correct, only less fine.
    private const long MostCells = 16_000_000;

    /// <summary>Unified difference; empty where the texts are equal.</summary>
    public static string Unified(string before, string after, string beforeName, string afterName)
    {
        string[] a = Lines(before), b = Lines(after);
        List<(char Mark, string Line)> all = Walk(a, b);
        if (all.All(l => l.Mark == ' ')) return "";
        var text = new StringBuilder($"--- {beforeName}\n+++ {afterName}\n");
        int at = 0, lineA = 0, lineB = 0;
        while (at < all.Count)
        {
            int change = all.FindIndex(at, l => l.Mark != ' ');
            if (change < 0) break;
            int start = Math.Max(at, change - Around), end = change;
            // Changes whose surroundings touch share one hunk.
            for (int i = change; i < all.Count && i <= end + 2 * Around; i++)
            {
                if (all[i].Mark != ' ') end = i;
            }
            int stop = Math.Min(all.Count, end + Around + 1);
            (lineA, lineB) = (lineA + all[at..start].Count(l => l.Mark != '+'), lineB + all[at..start].Count(l => l.Mark != '-'));
            List<(char Mark, string Line)> hunk = all[start..stop];
            int countA = hunk.Count(l => l.Mark != '+'), countB = hunk.Count(l => l.Mark != '-');
            text.Append($"@@ -{Range(lineA, countA)} +{Range(lineB, countB)} @@\n");
            foreach ((char mark, string line) in hunk) text.Append(mark).Append(line).Append('\n');
            (lineA, lineB, at) = (lineA + countA, lineB + countB, stop);
        }
        return text.ToString();
    }

    private static string[] Lines(string text) => text.Length == 0 ? [] : text.TrimEnd('\n').Split('\n');

    private static string Range(int before, int count) => $"{(count == 0 ? before : before + 1)}{(count == 1 ? "" : $",{count}")}";

    private static List<(char, string)> Walk(string[] a, string[] b)
    {
        int head = 0;
        while (head < a.Length && head < b.Length && a[head] == b[head]) head++;
        int tail = 0;
        while (tail < a.Length - head && tail < b.Length - head && a[^(tail + 1)] == b[^(tail + 1)]) tail++;
        var all = new List<(char, string)>(a[..head].Select(l => (' ', l)));
        string[] x = a[head..^tail], y = b[head..^tail];
        if ((long)x.Length * y.Length > MostCells)
        {
            all.AddRange(x.Select(l => ('-', l)));
            all.AddRange(y.Select(l => ('+', l)));
        }
        else
        {
            var common = new int[x.Length + 1, y.Length + 1];
            for (int i = x.Length - 1; i >= 0; i--)
            {
                for (int j = y.Length - 1; j >= 0; j--) common[i, j] = x[i] == y[j] ? common[i + 1, j + 1] + 1 : Math.Max(common[i + 1, j], common[i, j + 1]);
            }
            int p = 0, q = 0;
            while (p < x.Length || q < y.Length)
            {
                if (p < x.Length && q < y.Length && x[p] == y[q])
                {
                    all.Add((' ', x[p++]));
                    q++;
                }
                else if (p < x.Length && (q == y.Length || common[p + 1, q] >= common[p, q + 1])) all.Add(('-', x[p++]));
                else all.Add(('+', y[q++]));
            }
        }
        all.AddRange(a[(a.Length - tail)..].Select(l => (' ', l)));
        return all;
    }
}

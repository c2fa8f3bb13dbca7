// Which objects somebody means: KIND, KIND,KIND, KIND NAME …, KIND/NAME …; the same for get, describe, delete, edit and port-forward.
using Naru.Core;

namespace Naru.Cli;

/// <summary>A kind, and a name of it; without name all of the kind.</summary>
internal sealed record Target(Kind Kind, string? Name);

internal static class Targets
{
    /// <summary>Reads words; null where they cannot be understood, after that was said.</summary>
    /// <param name="words">As typed.</param>
    /// <param name="verb">For the complaint.</param>
    public static IReadOnlyList<Target>? Parse(IReadOnlyList<string> words, string verb)
    {
        if (words.Count == 0)
        {
            Screen.Say($"{verb} what? `naru {verb} KIND NAME`; `naru api-resources` lists the kinds");
            return null;
        }
        if (words.Any(w => w.Contains('/')))
        {
            if (words.FirstOrDefault(w => !w.Contains('/')) is { } bare)
            {
                Screen.Say($"KIND/NAME and bare names do not mix: \"{bare}\" has no kind");
                return null;
            }
            var made = new List<Target>();
            foreach (string word in words)
            {
                string[] parts = word.Split('/', 2);
                if (Kind(parts[0]) is not { } kind) return null;
                if (parts[1].Length == 0)
                {
                    Screen.Say($"\"{word}\" names nothing: the name after / is missing");
                    return null;
                }
                made.Add(new Target(kind, parts[1]));
            }
            return made;
        }
        var kinds = new List<Kind>();
        foreach (string word in words[0].Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            if (word == "all") kinds.AddRange(Kinds.InAll.Select(k => Kinds.Find(k)!));
            else if (Kind(word) is { } kind) kinds.Add(kind);
            else return null;
        }
        string?[] names = words.Count > 1 ? [.. words.Skip(1)] : [null];
        return [.. kinds.Distinct().SelectMany(k => names.Select(n => new Target(k, n)))];
    }

    private static Kind? Kind(string word)
    {
        if (Kinds.Find(word) is { } kind) return kind;
        Screen.Complain(new Diagnostic("NARU-L042", Severity.Error, $"no kind \"{word}\" is known", Remedy: Kinds.Suggestion(word)));
        return null;
    }
}

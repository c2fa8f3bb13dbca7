// naru samples [NAME] [DIR]: what comes with naru, unpacked so that it can be read and changed. Nothing of one's own is written over.
using System.CommandLine;
using Naru.Core;

namespace Naru.Cli.Commands;

internal static class SamplesVerb
{
    private static readonly string[] s_made = ["bin", "obj", "artifacts"];

    public static Command Make()
    {
        var words = new Argument<string[]>("SAMPLE")
        {
            HelpName = "[SAMPLE] DIR",
            Description = "A sample, and where to: its own name where no folder is given. A folder alone takes all",
            Arity = new ArgumentArity(0, 2)
        };
        var force = new Option<bool>("--force") { Description = "Write over files that differ" };
        var command = new Command("samples", "Lists the samples, or unpacks them with their sources") { words, force };
        command.SetAction(parsed => Run(parsed.GetValue(words) ?? [], parsed.GetValue(force)));
        return command;
    }

    private static int Run(string[] words, bool force)
    {
        if (Where.Sample() is not { } bookinfo)
        {
            Screen.Say("the samples are not here: they lie beside an installed naru, or in a checkout");
            return Exit.Failed;
        }
        string root = Path.GetDirectoryName(bookinfo)!;
        string[] names = [.. Directory.EnumerateDirectories(root).Where(d => File.Exists(Path.Combine(d, "README.md")))
            .Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)];
        if (words is [] or ["list"])
        {
            Screen.Table(Console.Out, ["SAMPLE", "WHAT IT IS", "UNPACK AND RUN"],
                names.Select(n => (IReadOnlyList<string>)[n, About(Path.Combine(root, n)),
                $"{Screen.Program} samples {n} && {Screen.Program} up {n}"]));
            return Exit.Ok;
        }
        string? sample = names.Contains(words[0]) ? words[0] : null;
        if (sample is null && words.Length == 2)
        {
            Screen.Say($"there is no sample \"{words[0]}\"; {Nearest.Suggestion(words[0], names) ?? $"there {(names.Length == 1 ? "is" : "are")} {string.Join(", ", names)}"}");
            return Exit.Failed;
        }
        if (sample is null && words[0].IndexOfAny(['/', '.']) < 0 && Nearest.To(words[0], names) is { } near)
        {
            Screen.Say($"there is no sample \"{words[0]}\"; did you mean \"{near}\"? ./{words[0]} would be a folder");
            return Exit.Failed;
        }
        string target = sample is null ? words[0] : words.Length == 2 ? words[1] : sample;
        var copies = (sample is null ? names : [sample]).SelectMany(n =>
            Copies(Path.Combine(root, n), Path.Combine(target, sample is null ? n : ""))).ToList();
        if (Path.GetFullPath(target) is var full && (full == root || full.StartsWith(root + "/", StringComparison.Ordinal)))
        {
            Screen.Say($"{target} is where the samples lie already");
            return Exit.Failed;
        }
        // Everything is looked at before anything is written.
        List<(string From, string To)> fresh = [.. copies.Where(c => !Same(c.From, c.To))];
        List<string> differ = [.. fresh.Select(c => c.To).Where(Path.Exists)];
        if (differ.Count > 0 && !force)
        {
            foreach (string file in differ.Take(10)) Console.Error.WriteLine($"  {file}");
            if (differ.Count > 10) Console.Error.WriteLine($"  and {differ.Count - 10} more");
            Screen.Say($"{Screen.Count(differ.Count, "file")} there differ{(differ.Count == 1 ? "s" : "")} from the sample's: nothing was written; --force writes over {(differ.Count == 1 ? "it" : "them")}");
            return Exit.Failed;
        }
        foreach ((string from, string to) in fresh)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(to)!);
            File.Copy(from, to, overwrite: true);
            File.SetUnixFileMode(to, File.GetUnixFileMode(from) | UnixFileMode.UserWrite);
        }
        Console.WriteLine($"{target}: {Screen.Count(fresh.Count, "file")} written{(copies.Count > fresh.Count ? $", {copies.Count - fresh.Count} there already" : "")}");
        string first = sample is null ? Path.Combine(target, names[0]) : target;
        Console.WriteLine($"Try: {Screen.Program} up {first}");
        return Exit.Ok;
    }

    // What a build left behind is no part of a sample, but the program that a release brings along is: who has no SDK runs that.
    private static IEnumerable<(string From, string To)> Copies(string from, string to) =>
        Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories)
            .Select(f => Path.GetRelativePath(from, f))
            .Where(f => f.Split('/') is var parts && (parts[0] == "bin" || !parts.Any(p => s_made.Contains(p))))
            .Order(StringComparer.Ordinal)
            .Select(f => (Path.Combine(from, f), Path.Combine(to, f)));

    private static bool Same(string from, string to)
    {
        if (!File.Exists(to) || new FileInfo(from).Length != new FileInfo(to).Length) return false;
        return File.ReadAllBytes(from).AsSpan().SequenceEqual(File.ReadAllBytes(to));
    }

    // The first sentence below the title of its README.
    private static string About(string folder) =>
        File.ReadLines(Path.Combine(folder, "README.md")).Skip(1)
            .FirstOrDefault(l => l.Trim().Length > 0 && l[0] is not ('#' or '`')) is { } line ? line.Trim().TrimEnd('.') : "";
}

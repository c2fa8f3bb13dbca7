// What the system refused, in words for people: no names of classes, no stack traces.
using System.Text.RegularExpressions;

namespace Naru.Cli;

internal static partial class Faults
{
    /// <summary>A cause in one sentence; the path is named where the system named one and <paramref name="withPath"/> asks for it.</summary>
    public static string Sentence(Exception e, bool withPath = false)
    {
        string? path = e is FileNotFoundException { FileName.Length: > 0 } missing ? missing.FileName : Quoted().Match(e.Message) is { Success: true } match ? match.Groups[1].Value : null;
        string of = withPath && path is not null ? $"{path}: " : "";
        return e switch
        {
            FileNotFoundException when path is null => e.Message,
            FileNotFoundException or DirectoryNotFoundException => of + "there is no such file or folder",
            UnauthorizedAccessException when path is not null && Directory.Exists(path) && !e.Message.Contains("directory", StringComparison.OrdinalIgnoreCase) => of + "this user may not write there, or it is a folder",
            UnauthorizedAccessException => of + "this user may not (permission denied)",
            PathTooLongException => of + "the path is too long",
            IOException when (e.HResult & 0xffff) == 28 || e.Message.Contains("No space left", StringComparison.Ordinal) => of + "no space is left on the disk",
            IOException when e.Message.Contains("Read-only file system", StringComparison.Ordinal) => of + "the disk is read-only",
            IOException when e.Message.Contains("Not a directory", StringComparison.Ordinal) => of + "a part of the path is no folder",
            _ => e.Message.TrimEnd('.'),
        };
    }

    /// <summary>Writes what nobody expected where it can be read, and says where.</summary>
    public static string Keep(Exception e)
    {
        string file = Path.Combine(Path.GetTempPath(), $"naru-fault-{Environment.ProcessId}.txt");
        try
        {
            File.WriteAllText(file, $"naru {Commands.UpVerb.Version()} {string.Join(' ', Environment.GetCommandLineArgs().Skip(1).Take(1))}\n{e}\n");
            return $"a fault of naru itself ({e.GetType().Name}); what is known is in {file}";
        }
        catch (Exception disk) when (disk is IOException or UnauthorizedAccessException)
        {
            return $"a fault of naru itself: {e.GetType().Name}: {e.Message}";
        }
    }

    [GeneratedRegex("'([^']+)'")]
    private static partial Regex Quoted();
}

// What the system refused, in words for people: no names of classes, no stack traces.
using Naru.Core;

namespace Naru.Cli;

internal static class Faults
{
    /// <summary>A cause in one sentence; the path is named where the system named one and <paramref name="withPath"/> asks for it.</summary>
    public static string Sentence(Exception e, bool withPath = false) => Causes.Of(e, withPath);

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
}

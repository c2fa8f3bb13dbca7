// A folder as a layer of the runtime (Envoy docs: runtime, file system layout): a file is a value, its path below the folder, with dots
// between its parts, is the key. Refuses what no hand would write: paths too deep, files too large, too many of them.
using System.Collections.Immutable;
using System.Text;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Config;

/// <summary>Reads folders of values.</summary>
public static class RuntimeFolder
{
    /// <summary>Folders within folders (Envoy: 16).</summary>
    public const int MostDepth = 16;

    /// <summary>Values of one layer.</summary>
    public const int MostKeys = 10_000;

    /// <summary>Bytes of one value.</summary>
    public const int MostBytes = 64 * 1024;

    /// <summary>All values; null where the folder is not there.</summary>
    /// <exception cref="InvalidDataException">Something in it cannot be a value; says what.</exception>
    /// <exception cref="IOException">Something could not be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public static ImmutableSortedDictionary<string, RuntimeValue>? Read(string path)
    {
        if (!Directory.Exists(path)) return null;
        var values = ImmutableSortedDictionary.CreateBuilder<string, RuntimeValue>(StringComparer.Ordinal);
        Walk(path, "", values, 1);
        return values.ToImmutable();
    }

    private static void Walk(string folder, string prefix, ImmutableSortedDictionary<string, RuntimeValue>.Builder into, int depth)
    {
        if (depth > MostDepth) throw new InvalidDataException($"{folder}: folders are nested deeper than {MostDepth}");
        foreach (string inner in Directory.EnumerateDirectories(folder)) Walk(inner, $"{prefix}{Path.GetFileName(inner)}.", into, depth + 1);
        foreach (string file in Directory.EnumerateFiles(folder))
        {
            if (into.Count >= MostKeys) throw new InvalidDataException($"{file}: there are more than {MostKeys} values");
            into[prefix + Path.GetFileName(file)] = RuntimeReader.OfFile(Text(file));
        }
    }

    private static string Text(string file)
    {
        using FileStream stream = File.OpenRead(file);
        // What has no length (a pipe, a device) is not waited for.
        if (!stream.CanSeek) throw new InvalidDataException($"{file}: is no file");
        if (stream.Length > MostBytes) throw new InvalidDataException($"{file}: is longer than {MostBytes} bytes");
        var room = new byte[(int)stream.Length];
        int read = stream.ReadAtLeast(room, room.Length, throwOnEndOfStream: false);
        return Encoding.UTF8.GetString(room, 0, read);
    }
}

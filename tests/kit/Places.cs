// Where things are while tests run: the repository, folders that vanish, free addresses.
// Knows nothing of Naru's programs.
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Naru.Kit;

/// <summary>The checked-out repository.</summary>
public static class Repository
{
    /// <summary>Its root: the nearest folder above the running test (or this source file) that holds <c>Naru.slnx</c>.</summary>
    public static string Root { get; } = Find();

    /// <summary>A path below the root.</summary>
    public static string At(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string Find([CallerFilePath] string source = "")
    {
        foreach (string? start in new[] { AppContext.BaseDirectory, Path.GetDirectoryName(source) })
        {
            for (string? folder = start; folder is not null; folder = Path.GetDirectoryName(folder))
            {
                if (File.Exists(Path.Combine(folder, "Naru.slnx"))) return folder;
            }
        }
        throw new DirectoryNotFoundException("no Naru.slnx above the tests");
    }
}

/// <summary>A folder of one test; gone when disposed.</summary>
public sealed class TempFolder : IDisposable
{
    /// <summary>Makes it.</summary>
    public TempFolder(string prefix = "naru-test-") => Root = Directory.CreateTempSubdirectory(prefix).FullName;

    /// <summary>Absolute path.</summary>
    public string Root { get; }

    /// <summary>A path in it.</summary>
    public string At(string name) => Path.Combine(Root, name);

    /// <summary>Writes a file, folders included, and gives its path.</summary>
    public string Write(string name, string text)
    {
        string path = At(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }

    /// <summary>Replaces a file as editors and mounted volumes do: written beside it, then renamed over it.</summary>
    public string Replace(string name, string text)
    {
        string path = At(name);
        string fresh = path + ".fresh";
        File.WriteAllText(fresh, text);
        File.Move(fresh, path, overwrite: true);
        return path;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            Directory.Delete(Root, recursive: true);
        }
        catch (IOException)
        {
            // A process that is still going down may write once more; the system cleans its temp folder.
        }
    }
}

/// <summary>Addresses on the loopback interface that nobody uses.</summary>
public static class Loopback
{
    private static int s_next = Random.Shared.Next(1, 60_000);

    /// <summary>A port of <c>127.0.0.1</c> that was free a moment ago. Prefer port 0 where the program can tell what it got.</summary>
    public static int FreePort(IPAddress? address = null)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(address ?? IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>An address in <c>127.200.0.0</c> to <c>127.249.255.255</c>, above those of local meshes (decision 0004), not given
    /// out before by this process.</summary>
    public static IPAddress FreeAddress()
    {
        int n = Interlocked.Increment(ref s_next);
        int host = (n + Environment.ProcessId * 251) % (50 * 254 * 254);
        return new IPAddress([127, (byte)(200 + host / (254 * 254)), (byte)(1 + host / 254 % 254), (byte)(1 + host % 254)]);
    }
}

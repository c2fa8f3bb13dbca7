// A port of this machine, promised before anybody listens on it: two meshes that start at once look at the same free port, and the
// seconds until their processes bind it would give it to both. The mark is a Unix socket without a file, as with slots.
using System.Net.Sockets;

namespace Naru.Local.Processes;

/// <summary>A promise that this process may use a port; kept until disposed or until the process ends, however it ends.</summary>
public sealed class PortClaim : IDisposable
{
    private readonly Socket _mark;

    private PortClaim(int port, Socket mark)
    {
        Port = port;
        _mark = mark;
    }

    /// <summary>The port.</summary>
    public int Port { get; }

    /// <summary>Takes a port, or null where another mesh of this machine has it, running or about to.</summary>
    public static PortClaim? Take(int port)
    {
        var mark = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            mark.Bind(new UnixDomainSocketEndPoint($"\0{NameOf(port)}"));
            return new PortClaim(port, mark);
        }
        catch (SocketException)
        {
            mark.Dispose();
            return null;
        }
    }

    /// <summary><c>name (pid 123)</c> of who has claimed a port, or null.</summary>
    public static string? Holder(int port)
    {
        try
        {
            long? inode = Inode(File.ReadAllText("/proc/net/unix"), NameOf(port));
            return inode is null ? null : PortHolder.Name(new HashSet<long> { inode.Value });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The inode of a socket without a file in a table as the kernel prints it (proc(5), <c>/proc/net/unix</c>: inode and path are
    /// the last two columns, the path begins with @ for such a socket).</summary>
    public static long? Inode(string table, string name)
    {
        foreach (string line in table.Split('\n').Skip(1))
        {
            string[] cells = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (cells.Length == 8 && cells[7] == $"@{name}" && long.TryParse(cells[6], out long inode)) return inode;
        }
        return null;
    }

    /// <inheritdoc/>
    public void Dispose() => _mark.Dispose();

    private static string NameOf(int port) => $"naru/port/{port}";
}

// Who listens where on this machine, from /proc: so that "port taken" can say by whom, and a process can be asked what it opened.
// Reads only; sees the processes of other users only where the system lets it.
using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Naru.Local.Processes;

/// <summary>A listening TCP socket.</summary>
/// <param name="Address">Local address; <c>0.0.0.0</c> or <c>::</c> for every one.</param>
/// <param name="Port">Local port.</param>
/// <param name="Inode">The socket's number, for finding its owner.</param>
/// <param name="User">Whose process made it, as a user id.</param>
public sealed record ListeningSocket(IPAddress Address, int Port, long Inode, int User = 0)
{
    /// <summary>Whether it takes connections to every local address.</summary>
    public bool IsWildcard => Address.Equals(IPAddress.Any) || Address.Equals(IPAddress.IPv6Any);
}

/// <summary>Looks at listening sockets.</summary>
public static class PortHolder
{
    /// <summary>Whether this user may listen below 1024 (root, a capability, or a system that allows it).</summary>
    public static bool MayBindLowPorts { get; } = Try(new IPEndPoint(IPAddress.Loopback, 1)) != SocketError.AccessDenied;

    /// <summary>All listening TCP sockets of this network namespace.</summary>
    public static IReadOnlyList<ListeningSocket> All()
    {
        var found = new List<ListeningSocket>();
        foreach (string table in new[] { "/proc/net/tcp", "/proc/net/tcp6" })
        {
            try
            {
                found.AddRange(Parse(File.ReadAllText(table)));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A machine without IPv6 has no second table.
            }
        }
        return found;
    }

    /// <summary>Listening sockets of a table as the kernel prints it: proc(5), <c>/proc/net/tcp</c>; state 0A is LISTEN, column 8 the
    /// user, column 10 the inode. Lines that are cut short are left out.</summary>
    public static IReadOnlyList<ListeningSocket> Parse(string table)
    {
        var found = new List<ListeningSocket>();
        Span<Range> cells = stackalloc Range[11];
        foreach (ReadOnlySpan<char> line in table.AsSpan().EnumerateLines())
        {
            // Most lines are connections; only a listener's is taken apart. The state stands between blanks, and nothing else is so written.
            if (line.IndexOf(" 0A ", StringComparison.Ordinal) < 0) continue;
            if (line.Split(cells, ' ', StringSplitOptions.RemoveEmptyEntries) < 10 || line[cells[3]] is not "0A") continue;
            ReadOnlySpan<char> local = line[cells[1]];
            int colon = local.IndexOf(':');
            if (colon is not (8 or 32)) continue;
            if (!int.TryParse(local[(colon + 1)..], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int port)) continue;
            if (!long.TryParse(line[cells[9]], CultureInfo.InvariantCulture, out long inode)) continue;
            if (!int.TryParse(line[cells[7]], CultureInfo.InvariantCulture, out int user)) continue;
            found.Add(new ListeningSocket(Address(local[..colon]), port, inode, user));
        }
        return found;
    }

    /// <summary><c>name (pid 123)</c> of whoever keeps <paramref name="address"/> from being bound, or null where that cannot be
    /// seen.</summary>
    public static string? Name(IPEndPoint address)
    {
        bool IsInTheWay(ListeningSocket s) => s.Port == address.Port
            && (s.IsWildcard || address.Address.Equals(IPAddress.Any) || s.Address.Equals(address.Address));
        HashSet<long> inodes = [.. All().Where(IsInTheWay).Select(s => s.Inode)];
        return inodes.Count == 0 ? null : Name(inodes);
    }

    /// <summary><c>name (pid 123)</c> of the process that has one of these sockets open.</summary>
    public static string Name(IReadOnlySet<long> inodes) =>
        Owner(inodes) is { } pid ? ProcessTable.Describe(pid) : "a process of another user";

    /// <summary>The process that has one of these sockets open, or null where none can be seen.</summary>
    public static int? Owner(IReadOnlySet<long> inodes)
    {
        foreach (int pid in ProcessTable.Ids())
        {
            if (ProcessTable.Sockets(pid, out _).Any(inodes.Contains)) return pid;
        }
        return null;
    }

    /// <summary>Whether an address can be bound now. Asks with SO_REUSEADDR alone, socket(7): connections of a former holder that linger do
    /// not count as taken, and a listener does, also one with SO_REUSEPORT, which .NET's <c>ReuseAddress</c> would let us
    /// share.</summary>
    public static bool IsFree(IPAddress address, int port) => Try(new IPEndPoint(address, port)) == SocketError.Success;

    /// <summary>Whether nobody listens on a port, on any address of either family.</summary>
    public static bool IsFreeEverywhere(int port) => All().All(s => s.Port != port) && IsFree(IPAddress.Any, port);

    private static SocketError Try(IPEndPoint address)
    {
        using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // SOL_SOCKET and SO_REUSEADDR, the same on x64 and arm64.
            socket.SetRawSocketOption(1, 2, BitConverter.GetBytes(1));
            socket.Bind(address);
            socket.Listen(1);
            return SocketError.Success;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
    }

    // The kernel prints 32-bit words in the machine's own order.
    private static IPAddress Address(ReadOnlySpan<char> hex)
    {
        byte[] bytes = Convert.FromHexString(hex);
        for (int i = 0; i < bytes.Length; i += 4)
        {
            Span<byte> word = bytes.AsSpan(i, 4);
            if (BitConverter.IsLittleEndian) BinaryPrimitives.WriteUInt32LittleEndian(word, BinaryPrimitives.ReadUInt32BigEndian(word));
        }
        var address = new IPAddress(bytes);
        return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
    }
}

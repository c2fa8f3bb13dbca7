// Who listens where on this machine, from /proc: so that "port taken" can say by whom, and a wrapped process can be asked what it opened.
// Reads only; sees process names of other users only where the system lets it.
using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Naru.Local.Processes;

/// <summary>A listening TCP socket.</summary>
/// <param name="Address">Local address; <c>0.0.0.0</c> or <c>::</c> for every one.</param>
/// <param name="Port">Local port.</param>
/// <param name="Inode">The socket's number, for finding its owner.</param>
public sealed record ListeningSocket(IPAddress Address, int Port, long Inode)
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
            string[] lines;
            try
            {
                lines = File.ReadAllLines(table);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                continue;
            }
            foreach (string line in lines.Skip(1))
            {
                string[] cells = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (cells.Length < 10 || cells[3] != "0A") continue;
                int colon = cells[1].IndexOf(':');
                found.Add(new ListeningSocket(Address(cells[1][..colon]), int.Parse(cells[1].AsSpan(colon + 1), NumberStyles.HexNumber), long.Parse(cells[9])));
            }
        }
        return found;
    }

    /// <summary><c>name (pid 123)</c> of whoever keeps <paramref name="address"/> from being bound, or null where that cannot be seen.</summary>
    public static string? Name(IPEndPoint address)
    {
        HashSet<long> inodes = [.. All().Where(s => s.Port == address.Port && (s.IsWildcard || s.Address.Equals(address.Address))).Select(s => s.Inode)];
        if (inodes.Count == 0) return null;
        int? pid = ProcessIds().Cast<int?>().FirstOrDefault(p => Sockets(p!.Value).Any(inodes.Contains));
        if (pid is null) return "a process of another user";
        try
        {
            return $"{File.ReadAllText($"/proc/{pid}/comm").Trim()} (pid {pid})";
        }
        catch (IOException)
        {
            return $"pid {pid}";
        }
    }

    /// <summary>Listening sockets of a set of processes.</summary>
    public static IReadOnlyList<ListeningSocket> Of(IEnumerable<int> pids)
    {
        HashSet<long> inodes = [.. pids.SelectMany(Sockets)];
        return [.. All().Where(s => inodes.Contains(s.Inode))];
    }

    /// <summary>Whether an address can be bound now.</summary>
    public static bool IsFree(IPAddress address, int port) => Try(new IPEndPoint(address, port)) == SocketError.Success;

    private static SocketError Try(IPEndPoint address)
    {
        using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // Connections of a former holder that still linger must not count as taken.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(address);
            socket.Listen(1);
            return SocketError.Success;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
    }

    private static IEnumerable<int> ProcessIds() =>
        Directory.EnumerateDirectories("/proc").Select(f => int.TryParse(Path.GetFileName(f), out int pid) ? pid : 0).Where(p => p > 0);

    private static IEnumerable<long> Sockets(int pid)
    {
        string[] links;
        try
        {
            links = Directory.GetFiles($"/proc/{pid}/fd");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            yield break;
        }
        foreach (string link in links)
        {
            string? target = null;
            try
            {
                target = new FileInfo(link).LinkTarget;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Closed meanwhile.
            }
            if (target is not null && target.StartsWith("socket:[", StringComparison.Ordinal) && long.TryParse(target.AsSpan(8, target.Length - 9), out long inode)) yield return inode;
        }
    }

    // The kernel prints 32-bit words in the machine's own order.
    private static IPAddress Address(string hex)
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

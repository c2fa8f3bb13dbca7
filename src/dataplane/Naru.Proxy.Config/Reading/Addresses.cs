// envoy.config.core.v3.Address as a record: a socket address, a Unix socket, or a listener inside of this process.
// Refuses names where only literals can be used, and paths that no socket could have.
using System.Text;
using Envoy.Config.Core.V3;
using IPAddress = System.Net.IPAddress;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads addresses.</summary>
internal static class Addresses
{
    // sockaddr_un holds 108 bytes with the end of the text.
    private const int MostPath = 107;

    /// <summary>An address to listen on (<paramref name="literalOnly"/>) or to connect to; null after an error.</summary>
    /// <param name="scope">What has the address.</param>
    /// <param name="field">As what.</param>
    /// <param name="address">The message.</param>
    /// <param name="literalOnly">It is an IP address.</param>
    /// <param name="ofListener">A socket is opened there, if need be in another network namespace.</param>
    public static AddressConfig? Read(Scope scope, string field, Address? address, bool literalOnly, bool ofListener = false)
    {
        switch (address?.AddressCase)
        {
            case Address.AddressOneofCase.SocketAddress:
                return Socket(scope.In(field, address).In("socket_address", address.SocketAddress), address.SocketAddress, literalOnly, ofListener);
            case Address.AddressOneofCase.Pipe: return Pipe(scope.In(field, address).In("pipe", address.Pipe), address.Pipe);
            case Address.AddressOneofCase.EnvoyInternalAddress when literalOnly:
                scope.In(field, address).Error("envoy_internal_address", "NARU-C113", "an internal listener has no address: its name is one", "write internal_listener: {} instead of an address");
                return null;
            case Address.AddressOneofCase.EnvoyInternalAddress:
                Scope at = scope.In(field, address).In("envoy_internal_address", address.EnvoyInternalAddress);
                return Values.Required(at, "server_listener_name", address.EnvoyInternalAddress.ServerListenerName)
                    ? new AddressConfig(address.EnvoyInternalAddress.ServerListenerName, 0)
                    {
                        Kind = AddressKind.Internal,
                        EndpointId = address.EnvoyInternalAddress.EndpointId,
                    }
                    : null;
            default:
                scope.Error(field, "NARU-C101", $"\"{field}\" is required", "write socket_address: {address: 127.0.0.1, port_value: 80}, or pipe: {path: /run/x.sock}");
                return null;
        }
    }

    /// <summary>The local address of connections; port 0 is any.</summary>
    public static AddressConfig? Source(Scope scope, string field, SocketAddress address) =>
        Socket(scope.In(field, address), address, literalOnly: true, ofListener: false);

    private static AddressConfig? Socket(Scope at, SocketAddress socket, bool literalOnly, bool ofListener)
    {
        if (socket.NetworkNamespaceFilepath.Length > 0)
        {
            string path = socket.NetworkNamespaceFilepath;
            if (!ofListener)
                at.Error("network_namespace_filepath", "NARU-C113", "only listeners are opened in other network namespaces", "remove it");
            else if (!path.StartsWith('/') || path.Contains('\0', StringComparison.Ordinal))
            {
                at.Error("network_namespace_filepath", "NARU-C102", $"\"{path}\" is not the path of a network namespace",
                    "write /var/run/netns/NAME, or /proc/PID/ns/net");
            }
        }
        if (!Values.Required(at, "address", socket.Address)) return null;
        if (socket.PortSpecifierCase != SocketAddress.PortSpecifierOneofCase.PortValue)
        {
            if (socket.PortSpecifierCase == SocketAddress.PortSpecifierOneofCase.None) at.Error("port_value", "NARU-C101", "\"port_value\" is required");
            return null;
        }
        if (socket.PortValue > 65535 || (!literalOnly && socket.PortValue == 0))
        {
            at.Error("port_value", "NARU-C102", $"{socket.PortValue} is not a port", literalOnly ? "it may be 0 to 65535" : "it may be 1 to 65535");
            return null;
        }
        if (literalOnly && !IPAddress.TryParse(socket.Address, out _))
        {
            at.Error("address", "NARU-C107", $"\"{socket.Address}\" is not an IP address", "names are resolved in clusters of type STRICT_DNS and LOGICAL_DNS only");
            return null;
        }
        if (socket.Address.Length > 253 || socket.Address.Any(c => c <= ' ' || c == '/'))
        {
            at.Error("address", "NARU-C107", $"\"{socket.Address}\" is neither an IP address nor a name");
            return null;
        }
        return new AddressConfig(socket.Address, (int)socket.PortValue)
        {
            Ipv4Compat = socket.Ipv4Compat,
            NetworkNamespace = socket.NetworkNamespaceFilepath,
        };
    }

    private static AddressConfig? Pipe(Scope at, Pipe pipe)
    {
        if (!Values.Required(at, "path", pipe.Path)) return null;
        if (Encoding.UTF8.GetByteCount(pipe.Path) > MostPath || pipe.Path.Contains('\0', StringComparison.Ordinal))
        {
            at.Error("path", "NARU-C107", $"\"{pipe.Path}\" is not the path of a Unix socket", $"it has at most {MostPath} bytes, and no NUL");
            return null;
        }
        if (pipe.Mode > 511) at.Error("mode", "NARU-C102", $"{pipe.Mode} is not a file mode", "it may be 0 to 511, which is 0777");
        return new AddressConfig(pipe.Path, 0) { Kind = AddressKind.Pipe, PipeMode = (int)Math.Min(pipe.Mode, 511) };
    }
}

// What Istio's networking objects say, validated: a record that exists may be translated. Hosts stay as they were written;
// whoever resolves them needs the namespace of the object.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>Gateway.</summary>
public sealed record GatewaySpec(ImmutableSortedDictionary<string, string> Selector, ImmutableArray<GatewayServer> Servers, Place SelectorPlace) : Spec;

/// <summary>One <c>servers[]</c> entry.</summary>
/// <param name="Port">1 to 65535.</param>
/// <param name="Protocol">Upper case: HTTP, HTTP2, GRPC or GRPC-WEB.</param>
/// <param name="PortName">Name of the port, for people.</param>
/// <param name="Hosts">Namespace (<c>*</c> any, or a name) and DNS name, which may begin with <c>*</c>.</param>
/// <param name="Bind">Address to bind instead of the proxy's own; empty for none.</param>
/// <param name="Name">Name of the server, or empty.</param>
/// <param name="Place">Where it was written.</param>
public sealed record GatewayServer(int Port, string Protocol, string PortName, ImmutableArray<GatewayHost> Hosts, string Bind, string Name,
    Place Place)
{
    /// <summary>How it ends TLS; null for plain connections.</summary>
    public ServerTls? Tls { get; init; }
}

/// <summary><c>servers[].tls</c>.</summary>
public sealed record ServerTls
{
    /// <summary>Whether plain requests are sent to HTTPS; nothing else counts then.</summary>
    public bool Redirect { get; init; }
    /// <summary>Whether clients show a certificate: never, always, or as they like.</summary>
    public ClientCertificate Clients { get; init; }
    /// <summary>Whether both sides show certificates of the mesh (<c>ISTIO_MUTUAL</c>).</summary>
    public bool Mesh { get; init; }
    /// <summary>File of the certificate.</summary>
    public string Certificate { get; init; } = "";
    /// <summary>File of its key.</summary>
    public string Key { get; init; } = "";
    /// <summary>File of whom clients' certificates must be from.</summary>
    public string Ca { get; init; } = "";
    /// <summary>A secret in place of the files.</summary>
    public string Credential { get; init; } = "";
    /// <summary>Names that a client's certificate must have one of.</summary>
    public ImmutableArray<string> Names { get; init; } = [];
    /// <summary>Hashes of keys (SPKI, base64) that clients may have.</summary>
    public ImmutableArray<string> Spki { get; init; } = [];
    /// <summary>Hashes of certificates that clients may have.</summary>
    public ImmutableArray<string> Hashes { get; init; } = [];
    /// <summary>Oldest version, as TLS counts them: 0 (not said), 1 for 1.0, to 4 for 1.3.</summary>
    public int MinVersion { get; init; }
    /// <summary>Newest version.</summary>
    public int MaxVersion { get; init; }
    /// <summary>Ciphers; empty for the proxy's own.</summary>
    public ImmutableArray<string> Ciphers { get; init; } = [];
}

/// <summary>Whether clients show a certificate.</summary>
public enum ClientCertificate
{
    /// <summary>They are not asked.</summary>
    None,
    /// <summary>They must.</summary>
    Required,
    /// <summary>They may.</summary>
    Optional,
}

/// <summary>A host of a gateway's server, <c>[namespace/]dnsName</c>; <c>./x</c> is already resolved to the gateway's namespace.</summary>
public readonly record struct GatewayHost(string Namespace, string Dns, Place Place);

/// <summary>VirtualService.</summary>
public sealed record VirtualServiceSpec : Spec
{
    /// <summary>Hosts as written; none makes it a delegate, which counts only where a route of another one names it.</summary>
    public required ImmutableArray<Located<string>> Hosts { get; init; }
    /// <summary>Gateways as written; <c>mesh</c> where none was.</summary>
    public required ImmutableArray<Located<string>> Gateways { get; init; }
    /// <summary>In order; the first that matches wins.</summary>
    public required ImmutableArray<HttpRoute> Http { get; init; }
    /// <summary>Namespaces that see it; empty for all.</summary>
    public ImmutableArray<string> ExportTo { get; init; } = [];
}

/// <summary>ServiceEntry.</summary>
public sealed record ServiceEntrySpec : Spec
{
    /// <summary>DNS names.</summary>
    public required ImmutableArray<Located<string>> Hosts { get; init; }
    /// <summary>Virtual addresses.</summary>
    public ImmutableArray<string> Addresses { get; init; } = [];
    /// <summary>Ports.</summary>
    public required ImmutableArray<ServiceEntryPort> Ports { get; init; }
    /// <summary>Whether it belongs to the mesh.</summary>
    public bool Internal { get; init; }
    /// <summary>Endpoints by name (DNS) instead of by address.</summary>
    public bool Dns { get; init; }
    /// <summary>Whether only the first address of a name counts (<c>DNS_ROUND_ROBIN</c>).</summary>
    public bool LogicalDns { get; init; }
    /// <summary>Endpoints.</summary>
    public ImmutableArray<WorkloadEndpoint> Endpoints { get; init; } = [];
    /// <summary>Pods that are endpoints; empty for none.</summary>
    public ImmutableSortedDictionary<string, string> WorkloadSelector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Namespaces that see it; empty for all.</summary>
    public ImmutableArray<string> ExportTo { get; init; } = [];
}

/// <summary>A port of a ServiceEntry.</summary>
public sealed record ServiceEntryPort(int Number, string Protocol, string Name, int TargetPort);

/// <summary>An endpoint of a ServiceEntry.</summary>
public sealed record WorkloadEndpoint(string Address, ImmutableSortedDictionary<string, int> Ports, ImmutableSortedDictionary<string, string> Labels,
    string Locality, int Weight, string ServiceAccount, Place Place);

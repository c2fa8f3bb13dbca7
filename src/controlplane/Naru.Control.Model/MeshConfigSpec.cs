// What the mesh configuration says, as far as it is honoured (ConfigMap istio-system/istio, key mesh).
using System.Collections.Immutable;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Model;

/// <summary>The mesh's own configuration.</summary>
public sealed record MeshConfigSpec : Spec
{
    /// <summary>Where nobody configured anything: no mutual TLS, since nobody gives out certificates.</summary>
    public static MeshConfigSpec None { get; } = new() { AutoMtls = false };

    /// <summary>Whether clients use mutual TLS towards whoever can.</summary>
    public bool AutoMtls { get; init; } = true;
    /// <summary>Whether only hosts of the mesh may be called.</summary>
    public bool RegistryOnly { get; init; }
    /// <summary>Whether redirected traffic goes to the workload's loopback address.</summary>
    public bool InboundToLocalhost { get; init; }
    /// <summary>First part of identities.</summary>
    public string TrustDomain { get; init; } = "cluster.local";
    /// <summary>Other names of it.</summary>
    public ImmutableArray<string> TrustDomainAliases { get; init; } = [];
    /// <summary>TLS that servers of the mesh take from its clients; null as Istio has it.</summary>
    public TlsFloor? MeshTls { get; init; }
    /// <summary>All other TLS, where it says nothing itself.</summary>
    public TlsFloor? OtherTls { get; init; }
    /// <summary>Whom CUSTOM policies may ask.</summary>
    public ImmutableArray<AuthorizerSpec> Authorizers { get; init; } = [];
    /// <summary>How paths are written before anybody compares them.</summary>
    public PathNormalization Paths { get; init; }
    /// <summary>Time to connect.</summary>
    public TimeSpan? ConnectTimeout { get; init; }
    /// <summary>Probes of idle connections, where a rule says nothing of a value.</summary>
    public TcpKeepalive? Keepalive { get; init; }
    /// <summary>How long the first bytes of a connection may take to come; zero for ever.</summary>
    public TimeSpan DetectionTimeout { get; init; }
    /// <summary>Whether ports of HTTP/1.1 are spoken to in HTTP/2.</summary>
    public bool Http2Upgrade { get; init; }
    /// <summary>Retries of routes that say nothing of them.</summary>
    public HttpRetry? Retries { get; init; }
    /// <summary>What places mean where a rule says nothing; null for what outlier detection makes of them.</summary>
    public LocalityRule? Locality { get; init; }
    /// <summary>How often names are resolved.</summary>
    public TimeSpan DnsRefresh { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>Namespaces that see services whose objects say nothing; empty for all.</summary>
    public ImmutableArray<string> ServiceExports { get; init; } = [];
    /// <summary>The same of VirtualServices.</summary>
    public ImmutableArray<string> VirtualServiceExports { get; init; } = [];
    /// <summary>The same of DestinationRules.</summary>
    public ImmutableArray<string> DestinationRuleExports { get; init; } = [];
    /// <summary>Port of a proxy that its workload's traffic is redirected to.</summary>
    public int OutboundPort { get; init; } = 15001;
    /// <summary>Port of a proxy that traffic for its workload is redirected to.</summary>
    public int InboundPort { get; init; } = 15006;
    /// <summary>Port of a proxy where its workload may ask it by name; 0 for none.</summary>
    public int HttpProxyPort { get; init; }
    /// <summary>Where redirected proxies and gateways of a cluster write a line for each request; null for nowhere.</summary>
    public AccessLogSpec? Log { get; init; }
    /// <summary>Headers of proxies that bring no configuration of their own.</summary>
    public ProxyHeadersSpec Headers { get; init; } = ProxyHeadersSpec.None;
}

/// <summary><c>meshMTLS</c>, <c>tlsDefaults</c>.</summary>
/// <param name="MinVersion">As TLS counts them: 0 (not said), 3 for 1.2, 4 for 1.3.</param>
/// <param name="Ciphers">Of TLS 1.2; empty for the standard ones.</param>
/// <param name="Curves">Of key exchange; empty for the standard ones.</param>
public sealed record TlsFloor(int MinVersion, ImmutableArray<string> Ciphers, ImmutableArray<string> Curves);

/// <summary><c>pathNormalization</c>.</summary>
public enum PathNormalization
{
    /// <summary>Dot segments (RFC 3986).</summary>
    Base,
    /// <summary>As they come.</summary>
    None,
    /// <summary>And several slashes as one.</summary>
    MergeSlashes,
    /// <summary>And %2F and %5C as slashes.</summary>
    DecodeAndMergeSlashes,
}

/// <summary><c>accessLogFile</c>, <c>accessLogFormat</c>, <c>accessLogEncoding</c>.</summary>
/// <param name="File">Path.</param>
/// <param name="Text">A line, with its end; null where it is JSON.</param>
/// <param name="Json">An object; null where it is text.</param>
public sealed record AccessLogSpec(string File, string? Text, Struct? Json);

/// <summary><c>proxyHeaders</c>.</summary>
public sealed record ProxyHeadersSpec
{
    /// <summary>As Istio has it without a word.</summary>
    public static ProxyHeadersSpec None { get; } = new();

    /// <summary>Name of the server; null for Istio's.</summary>
    public string? Server { get; init; }
    /// <summary>Whether the upstream's own name stays.</summary>
    public bool KeepsServer { get; init; }
    /// <summary>Whether services are not told how often a request was tried.</summary>
    public bool HidesAttempts { get; init; }
    /// <summary>Whether headers for debugging are left out.</summary>
    public bool HidesDebug { get; init; }
    /// <summary>Whether requests without an id stay so.</summary>
    public bool MakesNoId { get; init; }
    /// <summary>What becomes of a client's certificate, inbound: the name of Envoy's choice; empty for Istio's.</summary>
    public string ClientCertificate { get; init; } = "";
    /// <summary>What is said of it, inbound; null for Istio's choice.</summary>
    public ClientCertificateDetails? Details { get; init; }
}

/// <summary><c>setCurrentClientCertDetails</c>.</summary>
public sealed record ClientCertificateDetails(bool Subject, bool Cert, bool Chain, bool Dns, bool Uri);

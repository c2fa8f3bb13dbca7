// What Istio's security objects say, validated: a record that exists may be translated.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>What a policy does with requests that its rules take.</summary>
public enum PolicyAction
{
    /// <summary>Lets them in, and nobody else.</summary>
    Allow,
    /// <summary>Refuses them.</summary>
    Deny,
    /// <summary>Writes them down.</summary>
    Audit,
    /// <summary>Asks another service about them.</summary>
    Custom,
}

/// <summary>AuthorizationPolicy.</summary>
/// <param name="Selector">Labels of its workloads; empty is all of the namespace.</param>
/// <param name="Rules">Any of them; none is nobody.</param>
/// <param name="Action">What it does.</param>
/// <param name="Provider">Name of whom CUSTOM asks; else empty.</param>
/// <param name="DryRun">Whether it is only tried (annotation <c>istio.io/dry-run</c>).</param>
public sealed record AuthorizationSpec(ImmutableSortedDictionary<string, string> Selector, ImmutableArray<AccessRule> Rules,
    PolicyAction Action, string Provider, bool DryRun) : Spec;

/// <summary>A rule: one of <see cref="From"/>, one of <see cref="To"/>, all of <see cref="When"/>.</summary>
public sealed record AccessRule(ImmutableArray<AccessSource> From, ImmutableArray<AccessOperation> To,
    ImmutableArray<AccessCondition> When);

/// <summary>Values that are wanted, and such that are not.</summary>
public readonly record struct Wanted(ImmutableArray<string> Values, ImmutableArray<string> NotValues)
{
    /// <summary>Whether nothing is asked.</summary>
    public bool IsEmpty => Values.IsEmpty && NotValues.IsEmpty;
}

/// <summary>Who asks. All that is said must hold.</summary>
public sealed record AccessSource(Wanted Principals, Wanted RequestPrincipals, Wanted Namespaces, Wanted ServiceAccounts, Wanted IpBlocks,
    Wanted RemoteIpBlocks);

/// <summary>What is asked. All that is said must hold.</summary>
public sealed record AccessOperation(Wanted Hosts, Wanted Ports, Wanted Methods, Wanted Paths);

/// <summary>An attribute and its values.</summary>
public sealed record AccessCondition(string Key, Wanted Values);

/// <summary>PeerAuthentication's modes.</summary>
public enum PeerMode
{
    /// <summary>As the level above has it.</summary>
    Unset,
    /// <summary>Plain connections.</summary>
    Disable,
    /// <summary>Both.</summary>
    Permissive,
    /// <summary>Mutual TLS.</summary>
    Strict,
}

/// <summary>PeerAuthentication.</summary>
/// <param name="Selector">Labels of its workloads; empty is all of the namespace.</param>
/// <param name="Mode">For all ports.</param>
/// <param name="Ports">By port of the workload.</param>
public sealed record PeerAuthenticationSpec(ImmutableSortedDictionary<string, string> Selector, PeerMode Mode,
    ImmutableSortedDictionary<int, PeerMode> Ports) : Spec;

/// <summary>RequestAuthentication.</summary>
public sealed record RequestAuthenticationSpec(ImmutableSortedDictionary<string, string> Selector, ImmutableArray<TokenRule> Rules) : Spec;

/// <summary>Tokens of one issuer.</summary>
public sealed record TokenRule
{
    /// <summary><c>iss</c>.</summary>
    public required string Issuer { get; init; }
    /// <summary>One of <c>aud</c>; empty for any.</summary>
    public ImmutableArray<string> Audiences { get; init; } = [];
    /// <summary>Keys as they are; empty where <see cref="KeysUri"/> says where they are.</summary>
    public string Keys { get; init; } = "";
    /// <summary>Whether proxies of Naru check tokens by these keys; others may know more kinds.</summary>
    public bool IsChecked { get; init; } = true;
    /// <summary>Where its keys are; empty for <see cref="Keys"/>.</summary>
    public string KeysUri { get; init; } = "";
    /// <summary>Headers that bring it, with what stands before it there.</summary>
    public ImmutableArray<(string Name, string Prefix)> Headers { get; init; } = [];
    /// <summary>Parameters of the query that bring it.</summary>
    public ImmutableArray<string> Parameters { get; init; } = [];
    /// <summary>Cookies that bring it.</summary>
    public ImmutableArray<string> Cookies { get; init; } = [];
    /// <summary>Header for its payload; empty for none.</summary>
    public string PayloadHeader { get; init; } = "";
    /// <summary>Whether the token goes on to the service.</summary>
    public bool Forward { get; init; }
    /// <summary>Headers for single claims.</summary>
    public ImmutableArray<(string Header, string Claim)> ClaimHeaders { get; init; } = [];
    /// <summary>How long its keys may take to come.</summary>
    public TimeSpan? Timeout { get; init; }
}

/// <summary><c>tls</c> of a DestinationRule.</summary>
public enum ClientTlsMode
{
    /// <summary>None.</summary>
    Disable,
    /// <summary>The server shows a certificate.</summary>
    Simple,
    /// <summary>Both do, by files or a secret.</summary>
    Mutual,
    /// <summary>Both do, with those of the mesh.</summary>
    IstioMutual,
}

/// <summary>How a service is spoken to by TLS.</summary>
public sealed record ClientTls
{
    /// <summary>Which.</summary>
    public required ClientTlsMode Mode { get; init; }
    /// <summary>File of the own certificate.</summary>
    public string Certificate { get; init; } = "";
    /// <summary>File of its key.</summary>
    public string Key { get; init; } = "";
    /// <summary>File of whom the server's certificate must be from.</summary>
    public string Ca { get; init; } = "";
    /// <summary>File of certificates called back.</summary>
    public string Crl { get; init; } = "";
    /// <summary>A secret in place of the files.</summary>
    public string Credential { get; init; } = "";
    /// <summary>Names that the server's certificate must have one of.</summary>
    public ImmutableArray<string> Names { get; init; } = [];
    /// <summary>Name asked for.</summary>
    public string Sni { get; init; } = "";
    /// <summary>Whether any certificate will do.</summary>
    public bool? Insecure { get; init; }
}

/// <summary>A service that is asked about requests (<c>extensionProviders</c>).</summary>
public sealed record AuthorizerSpec
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }
    /// <summary>Whether it speaks gRPC.</summary>
    public bool Grpc { get; init; }
    /// <summary>Host of the mesh.</summary>
    public required string Service { get; init; }
    /// <summary>Its port.</summary>
    public required int Port { get; init; }
    /// <summary>How long it may take; Istio's 600 s where nothing is said.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(600);
    /// <summary>Whether requests go on where it does not answer.</summary>
    public bool FailOpen { get; init; }
    /// <summary>Whether the route is chosen anew afterwards.</summary>
    public bool ClearRouteCache { get; init; }
    /// <summary>Before the path.</summary>
    public string PathPrefix { get; init; } = "";
    /// <summary>Answer where it fails; 0 is 403.</summary>
    public int StatusOnError { get; init; }
    /// <summary>Headers sent along.</summary>
    public ImmutableArray<string> IncludeHeaders { get; init; } = [];
    /// <summary>Headers set.</summary>
    public ImmutableSortedDictionary<string, string> AddHeaders { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Of its answer, to the service.</summary>
    public ImmutableArray<string> UpstreamOnAllow { get; init; } = [];
    /// <summary>Of its refusal, to the client.</summary>
    public ImmutableArray<string> DownstreamOnDeny { get; init; } = [];
    /// <summary>Of its yes, to the client.</summary>
    public ImmutableArray<string> DownstreamOnAllow { get; init; } = [];
    /// <summary>Most bytes of a body that are shown; 0 for none.</summary>
    public uint MaxBody { get; init; }
    /// <summary>Whether a body may be shown in part.</summary>
    public bool PartialBody { get; init; }
    /// <summary>Whether it is shown as bytes.</summary>
    public bool PackAsBytes { get; init; }
}

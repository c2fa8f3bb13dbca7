// Who may do what (envoy.config.rbac.v3), of requests and of connections. Words and meanings are Envoy's v3 API.
using System.Collections.Immutable;
using System.Net;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>What becomes of whoever fits (<c>envoy.config.rbac.v3.RBAC.Action</c>).</summary>
public enum AccessAction
{
    /// <summary>It may; nobody else may.</summary>
    Allow,

    /// <summary>It may not; everybody else may.</summary>
    Deny,

    /// <summary>Everybody may; who fits is told to access logs.</summary>
    Log,
}

/// <summary><c>envoy.config.rbac.v3.RBAC</c>, or a matcher that leads to actions.</summary>
public sealed record AccessRulesConfig
{
    /// <summary>Of all policies; of no meaning beside a matcher.</summary>
    public AccessAction Action { get; init; }

    /// <summary>In the order of their names' bytes, in which they are asked.</summary>
    public ImmutableArray<AccessPolicyConfig> Policies { get; init; } = [];

    /// <summary>In the place of policies. Who is led nowhere is refused.</summary>
    public MatcherConfig<AccessEndConfig>? Matcher { get; init; }
}

/// <summary><c>envoy.config.rbac.v3.Action</c>: where a matcher leads.</summary>
public sealed record AccessEndConfig(string Name, AccessAction Action);

/// <summary><c>envoy.config.rbac.v3.Policy</c>: one of the permissions and one of the principals fit, and the condition holds.</summary>
public sealed record AccessPolicyConfig(
    string Name, ImmutableArray<AccessTermConfig> Permissions, ImmutableArray<AccessTermConfig> Principals, Expression? Condition = null);

/// <summary>One permission or principal.</summary>
public abstract record AccessTermConfig
{
    /// <summary>It compares the path of a request.</summary>
    public virtual bool JudgesPaths => false;
}

/// <summary><c>any</c>.</summary>
public sealed record AnyTermConfig : AccessTermConfig;

/// <summary><c>and_rules</c>, <c>or_rules</c>, <c>and_ids</c>, <c>or_ids</c>.</summary>
public sealed record CombinedTermConfig(bool All, ImmutableArray<AccessTermConfig> Of) : AccessTermConfig
{
    /// <inheritdoc/>
    public override bool JudgesPaths => Of.Any(t => t.JudgesPaths);
}

/// <summary><c>not_rule</c>, <c>not_id</c>.</summary>
public sealed record NotTermConfig(AccessTermConfig Of) : AccessTermConfig
{
    /// <inheritdoc/>
    public override bool JudgesPaths => Of.JudgesPaths;
}

/// <summary><c>header</c>.</summary>
public sealed record HeaderTermConfig(HeaderMatcherConfig Header) : AccessTermConfig
{
    /// <inheritdoc/>
    public override bool JudgesPaths => Header.Name == ":path";
}

/// <summary><c>url_path</c>: the path as it goes on, without its query.</summary>
public sealed record PathTermConfig(StringMatcherConfig Path) : AccessTermConfig
{
    /// <inheritdoc/>
    public override bool JudgesPaths => true;
}

/// <summary><c>uri_template</c>.</summary>
public sealed record TemplateTermConfig(UriTemplateConfig Template) : AccessTermConfig
{
    /// <inheritdoc/>
    public override bool JudgesPaths => true;
}

/// <summary>Whose address is compared.</summary>
public enum AccessAddress
{
    /// <summary><c>destination_ip</c>: where the client wanted to go.</summary>
    Destination,

    /// <summary><c>source_ip</c>: the connection's client; a PROXY header may have named it.</summary>
    Connection,

    /// <summary><c>direct_remote_ip</c>: the socket's other end, whatever anybody says.</summary>
    Direct,

    /// <summary><c>remote_ip</c>: the client as far as those in front are trusted to name it (<c>x-forwarded-for</c>).</summary>
    Client,
}

/// <summary>An address in a range.</summary>
public sealed record AddressTermConfig(AccessAddress Whose, IPNetwork Range) : AccessTermConfig;

/// <summary><c>destination_port</c>, <c>destination_port_range</c>: from <paramref name="Start"/> on, before
/// <paramref name="End"/>.</summary>
public sealed record PortTermConfig(int Start, int End) : AccessTermConfig;

/// <summary><c>metadata</c>, <c>sourced_metadata</c>.</summary>
/// <param name="Matcher">The comparison.</param>
/// <param name="OfRoute">With the route's metadata, in the place of what filters said.</param>
public sealed record MetadataTermConfig(MetadataMatcherConfig Matcher, bool OfRoute) : AccessTermConfig;

/// <summary><c>filter_state</c>.</summary>
public sealed record StateTermConfig(StateMatcherConfig State) : AccessTermConfig;

/// <summary><c>requested_server_name</c>: what <c>tls_inspector</c> saw; empty without it.</summary>
public sealed record ServerNameTermConfig(StringMatcherConfig Name) : AccessTermConfig;

/// <summary><c>authenticated</c>.</summary>
/// <param name="Name">Of the client's certificate: a URI name, else a DNS name, else its subject. Null is any connection of TLS.</param>
public sealed record AuthenticatedTermConfig(StringMatcherConfig? Name) : AccessTermConfig;

/// <summary>Rules that decide, and rules that are only counted.</summary>
/// <param name="Enforced">Null lets everybody in.</param>
/// <param name="Shadow">Null for none.</param>
/// <param name="Prefix">Of counters and metadata of those that decide; mostly empty.</param>
/// <param name="ShadowPrefix">The same of the others.</param>
public sealed record AccessConfig(AccessRulesConfig? Enforced, AccessRulesConfig? Shadow, string Prefix, string ShadowPrefix)
{
    /// <summary>Whether somebody is let in is decided by the path of a request, among others.</summary>
    public bool JudgesPaths => Enforced is { } rules && rules.Policies.Any(p => p.Permissions.Concat(p.Principals).Any(t => t.JudgesPaths));

    /// <summary>Policies are counted one by one.</summary>
    public bool CountsPolicies { get; init; }
}

/// <summary><c>envoy.extensions.filters.network.rbac.v3.RBAC</c>.</summary>
/// <param name="StatPrefix">As it was written.</param>
/// <param name="Rules">The rules.</param>
/// <param name="Continuous">Asked whenever bytes come, not only the first time.</param>
/// <param name="OnReady">Asked when TLS is there, before anything is connected to.</param>
/// <param name="Delay">How long a refused connection is held before it is closed.</param>
public sealed record NetworkAccessConfig(string StatPrefix, AccessConfig Rules, bool Continuous, bool OnReady, TimeSpan Delay)
    : NetworkFilterConfig;

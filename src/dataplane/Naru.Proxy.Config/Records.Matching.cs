// How requests are told apart and led on beyond the plain fields of a route: matchers, templates of paths, hashes, scopes, redirects that are followed.
// Words, defaults and units are Envoy's v3 API.
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary><c>xds.type.matcher.v3.Matcher</c>: leads from headers of a request to an action, if to any.</summary>
/// <typeparam name="T">The action.</typeparam>
public sealed record MatcherConfig<T> where T : class
{
    /// <summary>The first that holds, and whose end is an action; empty where <see cref="Map"/> is.</summary>
    public ImmutableArray<MatcherRuleConfig<T>> Rules { get; init; } = [];
    /// <summary>By the value of one input; null where <see cref="Rules"/> are.</summary>
    public MatcherMapConfig<T>? Map { get; init; }
    /// <summary>By the range that an address is in; null where <see cref="Rules"/> are.</summary>
    public MatcherRangesConfig<T>? Ranges { get; init; }
    /// <summary>For all that is left; null for nothing.</summary>
    public MatcherEndConfig<T>? NoMatch { get; init; }

    /// <summary>All actions that it may lead to.</summary>
    public IEnumerable<T> Actions =>
        Ends.SelectMany(e => e.Matcher?.Actions ?? [e.Action!]);

    /// <summary>Any of it looks at headers of a request.</summary>
    public bool ReadsHeaders =>
        Map is { Header.Length: > 0 } || Rules.Any(r => r.When.ReadsHeaders) || Ends.Any(e => e.Matcher is { ReadsHeaders: true });

    /// <summary>All inputs of connections that it looks at.</summary>
    public IEnumerable<ConnectionInput> Inputs => Predicates.OfType<ConnectionPredicateConfig>().Select(p => p.Input).Concat(OwnInputs);

    private IEnumerable<ConnectionInput> OwnInputs => new[] { Map?.Input, Ranges?.Input }.OfType<ConnectionInput>()
        .Concat(Ends.SelectMany(e => e.Matcher?.OwnInputs ?? []));

    /// <summary>All conditions in it that hold no further ones.</summary>
    public IEnumerable<PredicateConfig> Predicates =>
        Rules.SelectMany(r => r.When.Leaves).Concat(Ends.SelectMany(e => e.Matcher?.Predicates ?? []));

    private IEnumerable<MatcherEndConfig<T>> Ends => Rules.Select(r => r.Then).Concat(Map?.Entries.Select(e => e.Then) ?? [])
        .Concat(Ranges?.Entries.Select(e => e.Then) ?? []).Concat(NoMatch is { } rest ? [rest] : []);
}

/// <summary>What matchers look at of a connection (<c>envoy.extensions.matching.common_inputs</c>).</summary>
public enum ConnectionInput
{
    /// <summary>Where the client wanted to go, without the port.</summary>
    DestinationIp,
    /// <summary>The port of that.</summary>
    DestinationPort,
    /// <summary>The client, as far as those in front are trusted to name it.</summary>
    SourceIp,
    /// <summary>Its port.</summary>
    SourcePort,
    /// <summary>The socket's other end.</summary>
    DirectSourceIp,
    /// <summary><c>local</c> for a client on this machine.</summary>
    SourceType,
    /// <summary>SNI.</summary>
    ServerName,
    /// <summary><c>tls</c> or <c>raw_buffer</c>.</summary>
    TransportProtocol,
    /// <summary>What was offered (ALPN), each in quotes, with commas.</summary>
    ApplicationProtocol,
    /// <summary>File of the network namespace of the listener's address.</summary>
    NetworkNamespace,
    /// <summary>URI names of the client's certificate, with commas.</summary>
    UriSan,
    /// <summary>DNS names of it.</summary>
    DnsSan,
    /// <summary>Its subject.</summary>
    Subject,
}

/// <summary><c>xds.type.matcher.v3.IPMatcher</c>: the narrowest range decides.</summary>
/// <param name="Input">Whose address.</param>
/// <param name="Entries">In the order in which they were written; an exclusive one is asked only where no narrower one has the address.</param>
public sealed record MatcherRangesConfig<T>(
    ConnectionInput Input, ImmutableArray<(System.Net.IPNetwork Range, bool Exclusive, MatcherEndConfig<T> Then)> Entries) where T : class;

/// <summary>Where a matcher leads: to a further one or to an action, one of which is there.</summary>
public sealed record MatcherEndConfig<T>(MatcherConfig<T>? Matcher, T? Action) where T : class;

/// <summary>One rule of a list.</summary>
public sealed record MatcherRuleConfig<T>(PredicateConfig When, MatcherEndConfig<T> Then) where T : class;

/// <summary>A map by the value of one input.</summary>
/// <param name="Header">Lower case; pseudo headers too. Empty where it is <see cref="Input"/>.</param>
/// <param name="IsPrefix">Keys are the beginnings of values, the longest first.</param>
/// <param name="Entries">In order of their keys.</param>
public sealed record MatcherMapConfig<T>(string Header, bool IsPrefix, ImmutableArray<(string Key, MatcherEndConfig<T> Then)> Entries) where T : class
{
    /// <summary>What of the connection it is by; null is a header.</summary>
    public ConnectionInput? Input { get; init; }
}

/// <summary>A condition.</summary>
public abstract record PredicateConfig
{
    /// <summary>It looks at headers of a request.</summary>
    public virtual bool ReadsHeaders => false;

    /// <summary>Those in it that hold no further ones.</summary>
    public virtual IEnumerable<PredicateConfig> Leaves => [this];
}

/// <summary>What is known of the connection fits; false where it is not known.</summary>
public sealed record ConnectionPredicateConfig(ConnectionInput Input, StringMatcherConfig Value) : PredicateConfig;

/// <summary>The value of a header, several joined by commas, fits; false without one.</summary>
public sealed record HeaderPredicateConfig(string Header, StringMatcherConfig Value) : PredicateConfig
{
    /// <inheritdoc/>
    public override bool ReadsHeaders => true;
}

/// <summary>An expression over the request's attributes is true (<c>HttpAttributesCelMatchInput</c> and <c>CelMatcher</c>).</summary>
public sealed record ExpressionPredicateConfig(Expression Expression) : PredicateConfig;

/// <summary>All hold, or any.</summary>
public sealed record CombinedPredicateConfig(bool All, ImmutableArray<PredicateConfig> Of) : PredicateConfig
{
    /// <inheritdoc/>
    public override bool ReadsHeaders => Of.Any(p => p.ReadsHeaders);

    /// <inheritdoc/>
    public override IEnumerable<PredicateConfig> Leaves => Of.SelectMany(p => p.Leaves);
}

/// <summary>It does not hold.</summary>
public sealed record NotPredicateConfig(PredicateConfig Of) : PredicateConfig
{
    /// <inheritdoc/>
    public override bool ReadsHeaders => Of.ReadsHeaders;

    /// <inheritdoc/>
    public override IEnumerable<PredicateConfig> Leaves => Of.Leaves;
}

/// <summary>The filter chain at the end of a listener's matcher.</summary>
/// <param name="Name">Its name.</param>
public sealed record ChainNameConfig(string Name);

/// <summary>The routes at the end of a virtual host's matcher; the first that matches is taken.</summary>
public sealed record MatchedRoutesConfig(ImmutableArray<RouteConfig> Routes);

/// <summary><c>envoy.config.route.v3.CookieMatcher</c>: the first cookie of a name.</summary>
public sealed record CookieMatcherConfig(string Name, StringMatcherConfig Value, bool Invert);

/// <summary><c>UriTemplateMatchConfig</c>.</summary>
/// <param name="Template">As it was written.</param>
/// <param name="Regex">Of whole paths; its groups are the variables in order.</param>
/// <param name="Variables">Their names.</param>
public sealed record UriTemplateConfig(string Template, Regex Regex, ImmutableArray<string> Variables);

/// <summary>A part of a path that is put together: a text, or what a variable stood for.</summary>
/// <param name="Text">Null for a variable.</param>
/// <param name="Group">Group of the template's pattern.</param>
public readonly record struct UriRewritePart(string? Text, int Group);

/// <summary><c>envoy.config.route.v3.InternalRedirectPolicy</c>: which redirects of endpoints are followed here.</summary>
public sealed record InternalRedirectConfig
{
    /// <summary>How many one after the other (default 1).</summary>
    public int Most { get; init; } = 1;
    /// <summary>Of 301, 302, 303, 307 and 308 (default 302).</summary>
    public ImmutableArray<int> Codes { get; init; } = [302];
    /// <summary>From http to https and back.</summary>
    public bool CrossesScheme { get; init; }
    /// <summary>But not from http to https, where a client has shown nothing that https would ask for (<c>safe_cross_scheme</c>).</summary>
    public bool SafeCrossing { get; init; }
    /// <summary>No route leads twice to the same one.</summary>
    public bool NoRouteTwice { get; init; }
    /// <summary>Names of routes that it may lead to; null for all.</summary>
    public ImmutableArray<string>? AllowedRoutes { get; init; }
    /// <summary>Headers of the redirect that the next request has; lower case.</summary>
    public ImmutableArray<string> CopiedHeaders { get; init; } = [];
}

/// <summary><c>envoy.config.route.v3.RouteAction.HashPolicy</c>.</summary>
/// <param name="Terminal">Where it gives a hash, later ones are not looked at.</param>
public abstract record HashPolicyConfig(bool Terminal);

/// <summary>All values of a header, or what a pattern makes of them.</summary>
public sealed record HeaderHashConfig(bool Terminal, string Name, (Regex Pattern, string Substitution)? Rewrite) : HashPolicyConfig(Terminal);

/// <summary>A cookie, which is made where the client lacks it and <see cref="Ttl"/> is there.</summary>
/// <param name="Terminal">See <see cref="HashPolicyConfig"/>.</param>
/// <param name="Name">Its name.</param>
/// <param name="Ttl">Of a made one; zero lasts as long as the client runs, null makes none.</param>
/// <param name="Suffix">Path and attributes of a made one, as they stand behind its value and age.</param>
public sealed record CookieHashConfig(bool Terminal, string Name, TimeSpan? Ttl, string Suffix) : HashPolicyConfig(Terminal);

/// <summary><c>envoy.config.route.v3.VirtualCluster</c>.</summary>
/// <param name="Name">What its statistics are called.</param>
/// <param name="Headers">All must fit.</param>
public sealed record VirtualClusterConfig(string Name, ImmutableArray<HeaderMatcherConfig> Headers);

/// <summary>The client's address, without its port.</summary>
public sealed record SourceHashConfig(bool Terminal) : HashPolicyConfig(Terminal);

/// <summary>The first query parameter of a name.</summary>
public sealed record QueryHashConfig(bool Terminal, string Name) : HashPolicyConfig(Terminal);

/// <summary><c>ScopedRoutes</c> with its list: one routing table of several, by headers of the request.</summary>
/// <param name="Fragments">What makes the key.</param>
/// <param name="Scopes">Keys and their tables; none where discovery brings them.</param>
public sealed record ScopedRoutesConfig(ImmutableArray<ScopeFragmentConfig> Fragments, ImmutableArray<(ImmutableArray<string> Key, RouteConfigurationConfig Routes)> Scopes)
{
    /// <summary>Name of the whole, for statistics.</summary>
    public string Name { get; init; } = "";
    /// <summary>Where scopes come from (<c>scoped_rds</c>); null where they stand here.</summary>
    public ConfigSourceConfig? Source { get; init; }
    /// <summary>Where the tables come from that they name; null where they stand here.</summary>
    public ConfigSourceConfig? TableSource { get; init; }
}

/// <summary>A scope of SRDS (<c>envoy.config.route.v3.ScopedRouteConfiguration</c>).</summary>
/// <param name="Name">Its name.</param>
/// <param name="Key">What the fragments of its requests are.</param>
/// <param name="Table">Name of its table; empty where it brings it along.</param>
/// <param name="Routes">The table that it brings along; null where it names one.</param>
public sealed record RouteScopeConfig(string Name, ImmutableArray<string> Key, string Table, RouteConfigurationConfig? Routes)
{
    /// <summary>The key as one text: no value of a header holds a line end.</summary>
    public string JoinedKey { get; } = string.Join('\n', Key);
}

/// <summary>A layer of RTDS (<c>envoy.service.runtime.v3.Runtime</c>).</summary>
/// <param name="Name">Its name.</param>
/// <param name="Values">By key.</param>
public sealed record RuntimeResourceConfig(string Name, ImmutableSortedDictionary<string, RuntimeValue> Values);

/// <summary>A part of the key: an element of a header.</summary>
/// <param name="Header">Lower case.</param>
/// <param name="Separator">Of elements; empty takes the value whole.</param>
/// <param name="Index">Which element; null for the one with <see cref="ElementKey"/>.</param>
/// <param name="ElementKey">The element whose key it is gives what stands behind <see cref="KeySeparator"/>.</param>
/// <param name="KeySeparator">Between key and value of an element.</param>
public sealed record ScopeFragmentConfig(string Header, string Separator, int? Index, string ElementKey, string KeySeparator);

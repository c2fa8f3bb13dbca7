// What the configuration of jwt_authn says, as the filter takes it.
using System.Collections.Immutable;
using Naru.Proxy.Config;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>Keys that a server gives out.</summary>
internal sealed record RemoteJwksConfig(HttpServiceConfig Service)
{
    /// <summary>How long they are good.</summary>
    public TimeSpan CacheDuration { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>They are asked for before anybody needs them.</summary>
    public bool IsAsync { get; init; }

    /// <summary>The proxy does not say that it serves before they were asked for.</summary>
    public bool IsAwaited { get; init; }

    /// <summary>How long after a failure the server is asked again, where requests need not wait for that.</summary>
    public TimeSpan FailedRefetch { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often it is asked again at once.</summary>
    public int Retries { get; init; }

    public TimeSpan BackOffBase { get; init; } = TimeSpan.FromSeconds(1);
    public TimeSpan BackOffMax { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>A header that holds a token behind a prefix.</summary>
internal sealed record JwtHeaderConfig(string Name, string Prefix);

/// <summary>A claim that becomes a header.</summary>
internal sealed record JwtClaimConfig(string Header, ImmutableArray<string> Path);

/// <summary>Whose tokens are good.</summary>
internal sealed record JwtProviderConfig(string Name)
{
    public string Issuer { get; init; } = "";
    public ImmutableArray<string> Audiences { get; init; } = [];
    public StringMatcherConfig? Subjects { get; init; }
    public bool RequireExpiration { get; init; }

    /// <summary>Longest time that a token may still be good for.</summary>
    public TimeSpan? MaxLifetime { get; init; }

    /// <summary>Keys of configuration; null where a server has them.</summary>
    public Jwks? Local { get; init; }
    public RemoteJwksConfig? Remote { get; init; }

    /// <summary>The token stays in the request.</summary>
    public bool Forward { get; init; }
    public ImmutableArray<JwtHeaderConfig> Headers { get; init; } = [];
    public ImmutableArray<string> Parameters { get; init; } = [];
    public ImmutableArray<string> Cookies { get; init; } = [];

    /// <summary>Header that gets the claims; empty for none.</summary>
    public string PayloadHeader { get; init; } = "";
    public bool PadPayload { get; init; }

    /// <summary>Keys of metadata; empty for none.</summary>
    public string PayloadKey { get; init; } = "";
    public string HeaderKey { get; init; } = "";

    /// <summary>Claims that are lists with blanks between.</summary>
    public ImmutableArray<string> SpaceDelimited { get; init; } = [];
    public long SkewSeconds { get; init; } = 60;

    /// <summary>How many tokens are remembered, and whether that is told in statistics.</summary>
    public int CacheSize { get; init; } = 100;
    public bool CountsCache { get; init; }
    public ImmutableArray<JwtClaimConfig> Claims { get; init; } = [];
    public bool ClearRouteCache { get; init; }
}

/// <summary>What a request must show.</summary>
internal abstract record JwtRequirementConfig;

/// <summary>A token of a provider; with audiences of its own, or the provider's.</summary>
internal sealed record JwtProviderRequirement(string Provider, ImmutableArray<string>? Audiences) : JwtRequirementConfig;

/// <summary>Any of these.</summary>
internal sealed record JwtAnyRequirement(ImmutableArray<JwtRequirementConfig> Of) : JwtRequirementConfig;

/// <summary>All of these.</summary>
internal sealed record JwtAllRequirement(ImmutableArray<JwtRequirementConfig> Of) : JwtRequirementConfig;

/// <summary>No token, or a good one; with <paramref name="OrFailed"/> anything.</summary>
internal sealed record JwtMayLackRequirement(bool OrFailed) : JwtRequirementConfig;

/// <summary>Which requests must show what; null for nothing.</summary>
internal sealed record JwtRuleConfig(RouteMatchConfig Match, JwtRequirementConfig? Requires);

/// <summary>All of it.</summary>
internal sealed record JwtAuthnConfig(
    ImmutableArray<JwtProviderConfig> Providers, ImmutableArray<JwtRuleConfig> Rules, ImmutableSortedDictionary<string, JwtRequirementConfig?> Named)
{
    /// <summary>Name of the text of filter state that chooses a requirement; empty for none.</summary>
    public string StateName { get; init; } = "";
    public ImmutableSortedDictionary<string, JwtRequirementConfig?> ByState { get; init; } = ImmutableSortedDictionary<string, JwtRequirementConfig?>.Empty;
    public bool BypassPreflight { get; init; }
    public bool StripsFailure { get; init; }
}

/// <summary>What a route says.</summary>
internal sealed record JwtRouteConfig(bool Disabled, string RequirementName);

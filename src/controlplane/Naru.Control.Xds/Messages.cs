// What crosses between a stream's encoding (state of the world, delta) and the engine: one shape for both.
// Holds no logic; Encodings.cs turns protobuf into these and back.
namespace Naru.Control.Xds;

/// <summary>The two ways to spell one subscription.</summary>
public enum XdsEncoding
{
    /// <summary>Requests list every name, responses are full for clusters and listeners.</summary>
    StateOfTheWorld,

    /// <summary>Requests and responses carry differences.</summary>
    Delta,
}

/// <summary>One request of a client.</summary>
/// <param name="TypeUrl">The type it is about.</param>
/// <param name="Nonce">Of the response it answers; empty where it answers none.</param>
/// <param name="Names">State of the world: all names. Delta: the names to add.</param>
public sealed record ClientMessage(string TypeUrl, string Nonce, IReadOnlyList<string> Names)
{
    /// <summary>Why the client refused the response; null where it accepted it.</summary>
    public string? Error { get; init; }

    /// <summary>Delta: names no longer wanted.</summary>
    public IReadOnlyList<string> Unsubscribe { get; init; } = [];

    /// <summary>Delta, first request after a reconnect: what the client still holds, name to version.</summary>
    public IReadOnlyDictionary<string, string> InitialVersions { get; init; } = System.Collections.Immutable.ImmutableDictionary<string, string>.Empty;
}

/// <summary>One response to a client.</summary>
/// <param name="TypeUrl">The type it is about.</param>
/// <param name="Nonce">The client repeats it to accept or refuse.</param>
/// <param name="Version">Of everything the client is subscribed to, of this type.</param>
/// <param name="Resources">Added or changed; for state-of-the-world clusters and listeners, all.</param>
/// <param name="Removed">Delta: names that do not exist, or no longer.</param>
public sealed record ServerUpdate(string TypeUrl, string Nonce, string Version, IReadOnlyList<XdsResource> Resources, IReadOnlyList<string> Removed);

/// <summary>Why a stream is ended by us, in words for the person who reads the proxy's log.</summary>
/// <param name="Kind">What sort of refusal.</param>
/// <param name="Text">One sentence.</param>
public sealed record Refusal(RefusalKind Kind, string Text);

/// <summary>Maps to a gRPC status of the same name.</summary>
public enum RefusalKind
{
    /// <summary>The request makes no sense.</summary>
    InvalidArgument,

    /// <summary>The request asks for more than one proxy may.</summary>
    ResourceExhausted,
}

/// <summary>What one stream may ask for. The defaults are far above a real proxy and far below what would hurt.</summary>
public sealed record XdsLimits
{
    /// <summary>Names subscribed to on one stream, all types together.</summary>
    public int Names { get; init; } = 200_000;

    /// <summary>Characters in one name.</summary>
    public int NameLength { get; init; } = 4096;

    /// <summary>Types on one stream.</summary>
    public int Types { get; init; } = 32;

    /// <summary>Characters kept of the reason that came with a refused response.</summary>
    public int ErrorLength { get; init; } = 2048;

    /// <summary>Responses of one type that may wait for an answer. Only explicit requests get a second one before the first was answered.</summary>
    public int Unanswered { get; init; } = 16;

    /// <summary>How long listeners and routes wait until the proxy confirmed the clusters and endpoints that they point at.</summary>
    public TimeSpan WarmingHold { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>How far a proxy is with one type.</summary>
public enum SyncState
{
    /// <summary>Nothing was sent yet.</summary>
    NotSent,

    /// <summary>The last response is not answered yet, or another one waits behind it.</summary>
    Stale,

    /// <summary>The proxy confirmed the last response and nothing waits.</summary>
    Synced,

    /// <summary>The proxy refused the last response.</summary>
    Nack,
}

/// <summary>One proxy and one type, at one moment.</summary>
/// <param name="TypeUrl">The type.</param>
/// <param name="State">How far the proxy is.</param>
/// <param name="SentVersion">Of the last response.</param>
/// <param name="AckedVersion">Of the last response that the proxy confirmed.</param>
/// <param name="Error">The proxy's reason, when it refused.</param>
/// <param name="Names">How many names it asked for; -1 where it asked for everything.</param>
/// <param name="Resources">How many resources of the type it holds, as far as we know.</param>
/// <param name="Updates">Responses sent.</param>
/// <param name="Nacks">Responses refused.</param>
public sealed record TypeStatus(string TypeUrl, SyncState State, string SentVersion, string AckedVersion, string? Error, int Names, int Resources, long Updates, long Nacks);

// A request as matchers see it: spans on the bytes it came in and on what was changed, nothing copied.
using Naru.Proxy.Http;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Routing;

/// <summary>The parts of a request that routing looks at. Valid while the request's buffer stays put and its head is not changed.</summary>
internal readonly ref struct RequestView
{
    /// <summary>Its fields, cleaned; pseudo headers too.</summary>
    public required HeadEdits Headers { get; init; }

    /// <summary>Without query, normalized where the manager says so.</summary>
    public required ReadOnlySpan<byte> Path { get; init; }

    /// <summary>Without the question mark; empty without one.</summary>
    public required ReadOnlySpan<byte> Query { get; init; }

    /// <summary>Of the client's connection; null where it has no TLS.</summary>
    public TlsSession? Tls { get; init; }

    /// <summary>The request itself, and what filters said of it.</summary>
    public required Telemetry.IRequestInfo Request { get; init; }

    /// <summary>CONNECT: <see cref="Path"/> means nothing.</summary>
    public required bool IsConnect { get; init; }
}
